//! Mutants that no scenario can kill, each with the reason: `mutants/equivalent.toml`.

use std::fmt;
use std::str::FromStr;

use lockproof_model::mutation::{Mutation, MutationError, Operator};
use lockproof_model::protocol::Entry;
use toml::de::DeTable;

use crate::decode::{Mistakes, Placed, Table};
use crate::error::{Found, Refused};

/// The name of the file, and its text.
const BUILT_IN: (&str, &str) = ("mutants/equivalent.toml", include_str!("../mutants/equivalent.toml"));

/// Mutants of one kind that do nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivalent {
    /// The protocol that they are mutants of.
    pub protocol: String,
    /// What they have in common.
    pub pattern: Pattern,
    /// Why nobody can tell.
    pub reason: String,
}

/// What mutants have in common. It is written as they are, with `*` for any call and for any number, and `,` between several:
/// `names,lookup:drop-unlock:root/storage.lock:*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The names of the calls; empty for any.
    calls: Vec<String>,
    operator: Operator,
    target: String,
    /// The numbers, `None` for `all` of a mutex; empty for any.
    numbers: Vec<Option<u32>>,
    text: String,
}

impl Pattern {
    /// Whether it has `mutation`.
    #[must_use]
    pub fn matches(&self, mutation: &Mutation) -> bool {
        (self.calls.is_empty() || self.calls.contains(&mutation.call))
            && self.operator == mutation.operator
            && self.target == mutation.target
            && (self.numbers.is_empty() || self.numbers.contains(&mutation.number))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = MutationError;

    fn from_str(text: &str) -> Result<Self, MutationError> {
        let form = || MutationError::Form(text.into());
        let (calls, rest) = text.split_once(':').ok_or_else(form)?;
        let (rest, numbers) = rest.rsplit_once(':').ok_or_else(form)?;
        // Each part is read as that of a mutant; what stands for any number is `all` of a mutex.
        let any = if format!("{calls}:{rest}:all").parse::<Mutation>().is_ok() { "all" } else { "1" };
        let (mut pattern_calls, mut pattern_numbers) = (Vec::new(), Vec::new());
        let mut of = None;
        for call in calls.split(',') {
            for number in numbers.split(',') {
                let nth = if number == "*" { any } else { number };
                let one: Mutation = format!("{call}:{rest}:{nth}").parse()?;
                if call != "*" && !pattern_calls.contains(&one.call) {
                    pattern_calls.push(one.call.clone());
                }
                if number != "*" && !pattern_numbers.contains(&one.number) {
                    pattern_numbers.push(one.number);
                }
                of = Some(one);
            }
        }
        let Mutation { operator, target, .. } = of.ok_or_else(form)?;
        Ok(Self { calls: pattern_calls, operator, target, numbers: pattern_numbers, text: text.into() })
    }
}

/// Those that come with the tool.
///
/// # Errors
/// None as released: a test reads them. A file that was edited since then may have mistakes.
pub fn equivalents() -> Result<Vec<Equivalent>, Refused> {
    parse(BUILT_IN.0, BUILT_IN.1, &lockproof_model::protocol::all())
}

fn parse(origin: &str, text: &str, protocols: &[Entry]) -> Result<Vec<Equivalent>, Refused> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.into_iter().next() {
        let span = error.span().unwrap_or(0..0);
        let (what, label) = (error.message().to_owned(), "this is no TOML".into());
        return Err(Refused::new(origin, text, vec![Found { span, what, label, help: None }]));
    }
    let mut mistakes = Mistakes::default();
    let root = Table::new(root.get_ref(), 0..0, "the list", &["equivalent"], &mut mistakes);
    let keys = ["protocols", "reason", "mutants"];
    let tables = root.optional("equivalent");
    let tables = tables.and_then(|item| item.tables("an entry", &keys, &mut mistakes)).unwrap_or_default();
    let mut found: Vec<Equivalent> = Vec::new();
    for table in &tables {
        let texts = |key: &str, mistakes: &mut Mistakes| -> Vec<Placed<&str>> {
            let item = table.required(key, mistakes);
            item.and_then(|item| item.texts(mistakes)).unwrap_or_default()
        };
        let (of, mutants) = (texts("protocols", &mut mistakes), texts("mutants", &mut mistakes));
        let reason = table.required("reason", &mut mistakes).and_then(|item| item.text(&mut mistakes));
        let reason =
            reason.map_or_else(String::new, |reason| reason.value.split_whitespace().collect::<Vec<_>>().join(" "));
        for protocol in &of {
            if !protocols.iter().any(|entry| entry.name == protocol.value) {
                mistakes.unknown(&protocol.span, "protocol", protocol.value, protocols.iter().map(|entry| entry.name));
            }
        }
        for mutant in &mutants {
            let pattern: Pattern = match mutant.value.parse() {
                Ok(pattern) => pattern,
                Err(error) => {
                    mistakes.add(&mutant.span, format!("{error}"), "here", None);
                    continue;
                }
            };
            for protocol in &of {
                if found.iter().any(|other| other.protocol == protocol.value && other.pattern == pattern) {
                    let what = format!("`{pattern}` is listed twice for {}", protocol.value);
                    mistakes.add(&mutant.span, what, "again", None);
                }
                let (protocol, pattern) = (protocol.value.to_owned(), pattern.clone());
                found.push(Equivalent { protocol, pattern, reason: reason.clone() });
            }
        }
    }
    if mistakes.0.is_empty() { Ok(found) } else { Err(Refused::new(origin, text, mistakes.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_what_it_says_and_nothing_else() {
        let has = |pattern: &str, mutant: &str| {
            let pattern: Pattern = pattern.parse().expect("a pattern");
            pattern.matches(&mutant.parse().expect("a mutant"))
        };
        assert!(has("*:drop-lock:a.lock:*", "names:drop-lock:a.lock:3"));
        assert!(!has("*:drop-lock:a.lock:*", "names:drop-unlock:a.lock:3"));
        assert!(!has("*:drop-lock:a.lock:*", "names:drop-lock:b.lock:3"));
        assert!(has("names,lookup:drop-lock:a.lock:1,3", "lookup:drop-lock:a.lock:3"));
        assert!(!has("names,lookup:drop-lock:a.lock:1,3", "lookup:drop-lock:a.lock:2"));
        assert!(!has("names,lookup:drop-lock:a.lock:1,3", "exists:drop-lock:a.lock:1"));
        assert!(has("*:drop-mutex:a.lock:stateMutex:*", "names:drop-mutex:a.lock:stateMutex:all"));
        assert!(has("names:drop-mutex:a.lock:stateMutex:all", "names:drop-mutex:a.lock:stateMutex:all"));
        for wrong in ["names", "names:drop-lock:a.lock", "names:drop-lock:a.lock:0", "names:drop-lock:a.lock:all"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_list_that_comes_with_the_tool_has_no_mistake_and_every_reason_is_given() {
        let list = equivalents().unwrap_or_else(|refused| panic!("{}", refused.lines().collect::<Vec<_>>().join("\n")));
        assert!(list.iter().all(|equivalent| equivalent.reason.len() > 20));
    }

    #[test]
    fn mistakes_are_shown_with_their_places() {
        let text = r#"
[[equivalent]]
protocols = ["v1_24", "v1_25"]
reason = "nobody can tell"
mutants = [
    "names:drop-lock:root/storage.lock:1",
    "names:drop-lok:root/storage.lock:1",
    "names:drop-lock:root/storage.lock:0",
    "names:drop-lock:root/storage.lock:1",
]
"#;
        let refused = parse("mine.toml", text, &lockproof_model::protocol::all()).expect_err("mistakes");
        let lines: Vec<String> =
            refused.lines().map(|line| line.split(" (").next().unwrap_or_default().into()).collect();
        assert_eq!(lines.len(), 4 + 1, "one of them for each protocol: {lines:#?}");
        assert!(lines[0].starts_with("mine.toml:3:23: unknown protocol `v1_25`"), "{}", lines[0]);
        assert!(lines[1].starts_with("mine.toml:7:5: there is no operator `drop-lok`"), "{}", lines[1]);
        assert!(lines[2].starts_with("mine.toml:8:5: `names:drop-lock:root/storage.lock:0` names no mutant"));
        assert!(lines[3].starts_with("mine.toml:9:5: `names:drop-lock:root/storage.lock:1` is listed twice"));
    }
}
