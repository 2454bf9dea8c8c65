//! Reads a TOML tree key by key, and keeps the place of everything for messages.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::error::Found;
use crate::near::nearest;

/// A value and where it stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(pub(crate) Vec<Found>);

impl Mistakes {
    pub(crate) fn add(
        &mut self,
        span: &Range<usize>,
        what: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.0.push(Found { span: span.clone(), what: what.into(), label: label.into(), help: help.into() });
    }

    /// A name that is none of `known`, which are `kind`s.
    pub(crate) fn unknown<'a>(
        &mut self,
        span: &Range<usize>,
        kind: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let label = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("no {kind} is called that"),
        };
        self.add(span, format!("unknown {kind} `{name}`"), label, allowed(&known));
    }
}

/// "allowed here: `a`, `b`", or that nothing is.
pub(crate) fn allowed(known: &[&str]) -> String {
    if known.is_empty() {
        return "nothing is allowed here".into();
    }
    let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("allowed here: {}", known.join(", "))
}

/// A table of the file.
#[derive(Clone, Debug)]
pub(crate) struct Table<'t> {
    entries: &'t DeTable<'t>,
    /// Its place.
    pub(crate) span: Range<usize>,
    /// What it is, for messages: "a process".
    what: &'static str,
}

impl<'t> Table<'t> {
    /// The table `entries`, of which no key may be outside `keys`.
    pub(crate) fn new(
        entries: &'t DeTable<'t>,
        span: Range<usize>,
        what: &'static str,
        keys: &[&'static str],
        mistakes: &mut Mistakes,
    ) -> Self {
        for key in entries.keys().filter(|key| !keys.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let label = match nearest(name, keys.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{what} has no such key"),
            };
            mistakes.add(&key.span(), format!("unknown key `{name}`"), label, allowed(keys));
        }
        Self { entries, span, what }
    }

    /// The keys and their items, whatever they are called.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Placed<&'t str>, Item<'t>)> + use<'t> {
        self.entries.iter().map(|(key, value)| {
            let placed = Placed { value: key.get_ref().as_ref(), span: key.span() };
            (placed, Item { key: key.get_ref().as_ref().into(), value })
        })
    }

    /// The item of a key that may be missing.
    pub(crate) fn optional(&self, key: &str) -> Option<Item<'t>> {
        let (key, value) = self.entries.get_key_value(key)?;
        Some(Item { key: format!("`{}`", key.get_ref()), value })
    }

    /// The item of a key that must be there.
    pub(crate) fn required(&self, key: &str, mistakes: &mut Mistakes) -> Option<Item<'t>> {
        let item = self.optional(key);
        if item.is_none() {
            mistakes.add(&self.span, format!("{} needs the key `{key}`", self.what), "not in here", None);
        }
        item
    }
}

/// A value of the file, under its key.
#[derive(Clone, Debug)]
pub(crate) struct Item<'t> {
    key: String,
    value: &'t Spanned<DeValue<'t>>,
}

impl<'t> Item<'t> {
    pub(crate) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    fn wrong_type<T>(&self, wanted: &str, mistakes: &mut Mistakes) -> Option<T> {
        let found = kind(self.value.get_ref());
        mistakes.add(&self.span(), format!("{} should be {wanted}", self.key), format!("this is {found}"), None);
        None
    }

    fn placed<T>(&self, value: T) -> Placed<T> {
        Placed { value, span: self.span() }
    }

    pub(crate) fn text(&self, mistakes: &mut Mistakes) -> Option<Placed<&'t str>> {
        self.as_text().or_else(|| self.wrong_type("a string", mistakes))
    }

    /// The string that it is, if it is one.
    pub(crate) fn as_text(&self) -> Option<Placed<&'t str>> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(self.placed(text.as_ref())),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, mistakes: &mut Mistakes) -> Option<Placed<bool>> {
        match self.value.get_ref() {
            DeValue::Boolean(flag) => Some(self.placed(*flag)),
            _ => self.wrong_type("`true` or `false`", mistakes),
        }
    }

    /// A whole number within `range`.
    pub(crate) fn count(&self, range: Range<u32>, mistakes: &mut Mistakes) -> Option<Placed<u32>> {
        let wanted = format!("a whole number from {} to {}", range.start, range.end - 1);
        match self.number() {
            Some(Some(number)) if range.contains(&number) => Some(self.placed(number)),
            Some(_) => {
                mistakes.add(&self.span(), format!("{} should be {wanted}", self.key), "out of range", None);
                None
            }
            None => self.wrong_type(&wanted, mistakes),
        }
    }

    /// `None`: no integer at all. `Some(None)`: one that is no `u32`.
    fn number(&self) -> Option<Option<u32>> {
        match self.value.get_ref() {
            DeValue::Integer(number) => Some(u32::from_str_radix(number.as_str(), number.radix()).ok()),
            _ => None,
        }
    }

    /// A number of times, or `"forever"`.
    pub(crate) fn times(&self, mistakes: &mut Mistakes) -> Option<Option<u32>> {
        let wanted = "a number of times, at least 1, or \"forever\"";
        match (self.value.get_ref(), self.number()) {
            (DeValue::String(text), _) if text == "forever" => Some(None),
            (_, Some(Some(number @ 1..))) => Some(Some(number)),
            (_, Some(_)) => {
                mistakes.add(&self.span(), format!("{} should be {wanted}", self.key), "out of range", None);
                None
            }
            _ => self.wrong_type(wanted, mistakes),
        }
    }

    fn array(&self, of: &str, mistakes: &mut Mistakes) -> Option<&'t DeArray<'t>> {
        match self.value.get_ref() {
            DeValue::Array(items) => Some(items),
            _ => self.wrong_type(&format!("an array of {of}"), mistakes),
        }
    }

    /// The strings of an array; those that are none are mistakes and left out.
    pub(crate) fn texts(&self, mistakes: &mut Mistakes) -> Option<Vec<Placed<&'t str>>> {
        let items = self.array("strings", mistakes)?;
        Some(self.members(items).filter_map(|item| item.text(mistakes)).collect())
    }

    fn members(&self, items: &'t DeArray<'t>) -> impl Iterator<Item = Item<'t>> + use<'t> {
        let key = format!("each member of {}", self.key);
        items.iter().map(move |value| Item { key: key.clone(), value })
    }

    /// A table, `what` for messages.
    pub(crate) fn table(
        &self,
        what: &'static str,
        keys: &[&'static str],
        mistakes: &mut Mistakes,
    ) -> Option<Table<'t>> {
        match self.value.get_ref() {
            DeValue::Table(entries) => Some(Table::new(entries, self.span(), what, keys, mistakes)),
            _ => self.wrong_type("a table", mistakes),
        }
    }

    /// A table with keys of the writer's choice.
    pub(crate) fn open_table(&self, what: &'static str, mistakes: &mut Mistakes) -> Option<Table<'t>> {
        match self.value.get_ref() {
            DeValue::Table(entries) => Some(Table { entries, span: self.span(), what }),
            _ => self.wrong_type("a table", mistakes),
        }
    }

    /// An array of tables.
    pub(crate) fn tables(
        &self,
        what: &'static str,
        keys: &[&'static str],
        mistakes: &mut Mistakes,
    ) -> Option<Vec<Table<'t>>> {
        let items = self.array("tables", mistakes)?;
        Some(self.members(items).filter_map(|item| item.table(what, keys, mistakes)).collect())
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
