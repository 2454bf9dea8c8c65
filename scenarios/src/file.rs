//! From the text of a file to a scenario: the keys, and what each may hold.

use std::ops::Range;

use lockproof_model::call::{ADDITIONAL_MAX, Call};
use lockproof_model::op::Path;
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::system::{PROCESSES_MAX, Repeat, Thread};
use toml::de::DeTable;

use crate::calls;
use crate::decode::{Item, Mistakes, Placed, Table};
use crate::discussion::{REMARKS, remark};
use crate::error::{Found, Refused};
use crate::expect;
use crate::scenario::{Kind, Program, Scenario};
use crate::{store, usage};

const FILE_KEYS: [&str; 12] = [
    "name",
    "title",
    "cites",
    "about",
    "properties",
    "protocols",
    "crashes",
    "fine_times",
    "store",
    "alias",
    "process",
    "expect",
];
const PROCESS_KEYS: [&str; 9] =
    ["name", "kind", "count", "runs", "protocol", "additional", "crash", "before", "thread"];
/// More kills than this are not asked for by any scenario, and each multiplies the states.
const CRASHES_MAX: u32 = 8;

/// A call, and where it stands.
pub(crate) type PlacedCall = Placed<Call>;

/// A kind of process with the places of its calls, for [`usage`].
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
    pub(crate) before: Vec<PlacedCall>,
    /// The script of each thread, and its place.
    pub(crate) scripts: Vec<(Vec<PlacedCall>, Range<usize>)>,
}

pub(crate) fn parse(origin: &str, text: &str, protocols: &[Entry]) -> Result<Scenario, Refused> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.into_iter().next() {
        // What follows the first one is often only its echo.
        let span = error.span().unwrap_or(0..0);
        let (what, label) = (error.message().to_owned(), "this is no TOML".into());
        return Err(Refused::new(origin, text, vec![Found { span, what, label, help: None }]));
    }
    let mut reader = Reader { source: text, protocols, mistakes: Mistakes::default() };
    let root_span = first_line(text);
    let scenario = reader.scenario(origin, root.get_ref(), root_span);
    match scenario {
        Some(scenario) if reader.mistakes.0.is_empty() => Ok(scenario),
        _ => Err(Refused::new(origin, text, reader.mistakes.0)),
    }
}

/// What is marked when the whole file lacks something.
fn first_line(text: &str) -> Range<usize> {
    0..text.find('\n').unwrap_or(text.len())
}

struct Reader<'a> {
    source: &'a str,
    protocols: &'a [Entry],
    mistakes: Mistakes,
}

impl Reader<'_> {
    fn scenario(&mut self, origin: &str, root: &DeTable<'_>, span: Range<usize>) -> Option<Scenario> {
        let root = Table::new(root, span, "a scenario", &FILE_KEYS, &mut self.mistakes);
        let name = self.scenario_name(&root);
        let title = root.required("title", &mut self.mistakes).and_then(|item| item.text(&mut self.mistakes));
        let about = root.optional("about").and_then(|item| item.text(&mut self.mistakes));
        let cites = root.optional("cites").map(|item| self.cites(&item)).unwrap_or_default();
        let mistakes_before = self.mistakes.0.len();
        let properties = self.properties(&root);
        let properties_are_good = self.mistakes.0.len() == mistakes_before;
        let only = root.optional("protocols").map(|item| self.only(&item));
        let crashes = root.optional("crashes").and_then(|item| item.count(0..CRASHES_MAX + 1, &mut self.mistakes));
        let fine_times = root.optional("fine_times").and_then(|item| item.flag(&mut self.mistakes));
        let store =
            root.optional("store").map(|item| store::read(&item, "the store", &mut self.mistakes)).unwrap_or_default();
        let aliases = self.aliases(&root);
        let drafts = self.processes(&root);
        usage::check(&store, &drafts, crashes.as_ref(), &root.span, &mut self.mistakes);
        let expectations = match root.optional("expect").filter(|_| properties_are_good) {
            Some(item) => expect::read(&item, &properties, self.protocols, only.as_deref(), &mut self.mistakes),
            None => Vec::new(), // a mistyped property would be reported again by each protocol
        };
        Some(Scenario {
            name: name?,
            title: title?.value.to_owned(),
            cites,
            about: about.map(|about| about.value.trim().to_owned()).unwrap_or_default(),
            properties,
            protocols: only,
            crashes: crashes.map_or(0, |crashes| crashes.value),
            fine_times: fine_times.is_some_and(|fine_times| fine_times.value),
            layers: store.layers,
            images: store.images,
            containers: store.containers,
            mounts: store.mounts,
            additional: store.additional,
            aliases,
            kinds: drafts.into_iter().map(|draft| draft.kind).collect(),
            expectations,
            origin: origin.to_owned(),
            text: self.source.to_owned(),
        })
    }

    fn scenario_name(&mut self, root: &Table<'_>) -> Option<String> {
        let name = root.required("name", &mut self.mistakes)?.text(&mut self.mistakes)?;
        let is_kebab = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if !is_kebab(name.value) {
            let help = "small letters, digits and `-` make a scenario's name".to_owned();
            self.mistakes.add(&name.span, format!("{:?} is no name of a scenario", name.value), "here", help);
        }
        Some(name.value.to_owned())
    }

    /// `D1` to `D22` must exist; anything else (the name of a race, a link) is the writer's business.
    fn cites(&mut self, item: &Item<'_>) -> Vec<String> {
        let cites = item.texts(&mut self.mistakes).unwrap_or_default();
        for cite in &cites {
            let number = cite.value.strip_prefix(['D', 'd']);
            let is_number = number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()));
            if is_number && remark(cite.value).is_none() {
                let help = format!("the remarks of the discussion are D1 to D{}", REMARKS.len());
                self.mistakes.add(&cite.span, format!("unknown remark `{}`", cite.value), "no such remark", help);
            }
        }
        cites.into_iter().map(|cite| cite.value.to_owned()).collect()
    }

    fn properties(&mut self, root: &Table<'_>) -> Vec<Property> {
        let Some(item) = root.required("properties", &mut self.mistakes) else {
            return Vec::new();
        };
        let mut properties = Vec::new();
        for name in item.texts(&mut self.mistakes).unwrap_or_default() {
            match name.value.parse::<Property>() {
                Err(_) => {
                    let known = Property::ALL.map(Property::name);
                    self.mistakes.unknown(&name.span, "property", name.value, known);
                }
                Ok(property) if properties.contains(&property) => {
                    self.mistakes.add(&name.span, format!("`{property}` is named twice"), "again", None);
                }
                Ok(property) => properties.push(property),
            }
        }
        if properties.is_empty() {
            self.mistakes.add(&item.span(), "a scenario needs a property to check", "none in here", None);
        }
        properties
    }

    fn protocol(&mut self, name: &Placed<&str>) -> Option<Entry> {
        let found = self.protocols.iter().find(|entry| entry.name == name.value).copied();
        if found.is_none() {
            let known = self.protocols.iter().map(|entry| entry.name);
            self.mistakes.unknown(&name.span, "protocol", name.value, known);
        }
        found
    }

    fn only(&mut self, item: &Item<'_>) -> Vec<String> {
        let names = item.texts(&mut self.mistakes).unwrap_or_default();
        names.iter().filter_map(|name| self.protocol(name)).map(|entry| entry.name.to_owned()).collect()
    }

    fn aliases(&mut self, root: &Table<'_>) -> Vec<(Path, Path)> {
        let tables =
            root.optional("alias").and_then(|item| item.tables("an alias", &["path", "target"], &mut self.mistakes));
        let mut aliases = Vec::new();
        for table in tables.unwrap_or_default() {
            let (path, target) = (self.path(&table, "path"), self.path(&table, "target"));
            if let (Some(path), Some(target)) = (path, target) {
                aliases.push((path, target));
            }
        }
        aliases
    }

    fn path(&mut self, table: &Table<'_>, key: &str) -> Option<Path> {
        let path = table.required(key, &mut self.mistakes)?.text(&mut self.mistakes)?;
        let parts: Vec<&str> = path.value.split('/').collect();
        let is_below = matches!(parts[0], "root" | "run") && !parts.iter().any(|part| matches!(*part, "" | "." | ".."));
        if !is_below {
            let help = "a path is below the scenario's directory: `root/…` or `run/…`".to_owned();
            self.mistakes.add(&path.span, format!("{:?} is no path of a store", path.value), "here", help);
            return None;
        }
        Some(Path::new(path.value))
    }

    fn processes(&mut self, root: &Table<'_>) -> Vec<Draft> {
        let Some(item) = root.required("process", &mut self.mistakes) else {
            return Vec::new();
        };
        let tables = item.tables("a process", &PROCESS_KEYS, &mut self.mistakes).unwrap_or_default();
        let mut drafts: Vec<Draft> = Vec::new();
        let mut total = 0;
        for table in tables {
            let Some(draft) = self.process(&table, drafts.len() + 1) else { continue };
            if drafts.iter().any(|other| other.kind.name == draft.kind.name) {
                let message = format!("two processes are called `{}`", draft.kind.name);
                let help = "processes that are alike are one, with `count`".to_owned();
                self.mistakes.add(&draft.span, message, "this is the second", help);
            }
            total += draft.kind.count as usize;
            drafts.push(draft);
        }
        if total > PROCESSES_MAX {
            let message = format!("{total} processes are more than {PROCESSES_MAX}");
            self.mistakes.add(&item.span(), message, "counted with their `count`", None);
        }
        drafts
    }

    fn process(&mut self, table: &Table<'_>, number: usize) -> Option<Draft> {
        let mistakes = &mut self.mistakes;
        let name = table.optional("name").and_then(|item| item.text(mistakes));
        let processes_max = u32::try_from(PROCESSES_MAX).unwrap_or(u32::MAX);
        let count = table.optional("count").and_then(|item| item.count(1..processes_max + 1, mistakes));
        let runs = table.optional("runs").and_then(|item| item.times(mistakes));
        let program = table.optional("kind").and_then(|item| item.text(mistakes));
        let program = program.map(|name| {
            let found = Program::ALL.into_iter().find(|program| program.name() == name.value);
            if found.is_none() {
                mistakes.unknown(&name.span, "kind of process", name.value, Program::ALL.map(Program::name));
            }
            found.unwrap_or_default()
        });
        let may_crash = table.optional("crash").and_then(|item| item.flag(mistakes));
        let additional =
            table.optional("additional").and_then(|item| item.count(0..u32::from(ADDITIONAL_MAX) + 1, mistakes));
        let pinned = table.optional("protocol").and_then(|item| item.text(mistakes));
        let protocol = pinned.and_then(|name| self.protocol(&name));
        let before = table.optional("before").map(|item| self.calls(&item));
        let item = table.required("thread", &mut self.mistakes)?;
        let tables = item.tables("a thread", &["calls", "repeat"], &mut self.mistakes)?;
        if tables.is_empty() || tables.len() > PROCESSES_MAX {
            let message = format!("a process has 1 to {PROCESSES_MAX} threads, not {}", tables.len());
            self.mistakes.add(&item.span(), message, "here", None);
        }
        let (mut threads, mut scripts) = (Vec::new(), Vec::new());
        for thread in &tables {
            let repeat = thread.optional("repeat").and_then(|item| item.times(&mut self.mistakes));
            let calls = thread.required("calls", &mut self.mistakes).map(|item| self.calls(&item)).unwrap_or_default();
            let script = calls.iter().map(|call| call.value.clone()).collect();
            threads.push(Thread { script, repeat: repeats(repeat) });
            scripts.push((calls, thread.span.clone()));
        }
        // The lock library alone needs no store.
        let needs_store = scripts.iter().any(|(calls, _)| calls.iter().any(|call| !call.value.is_on_lockfile()));
        let open = || needs_store.then(|| Placed { value: Call::Open, span: table.span.clone() });
        let before = before.unwrap_or_else(|| open().into_iter().collect());
        let kind = Kind {
            name: name.map_or_else(|| format!("P{number}"), |name| name.value.to_owned()),
            program: program.unwrap_or_default(),
            count: count.map_or(1, |count| count.value),
            runs: repeats(runs),
            protocol,
            may_crash: may_crash.is_some_and(|flag| flag.value),
            additional: additional.map_or(0, |number| u8::try_from(number.value).unwrap_or(ADDITIONAL_MAX)),
            before: before.iter().map(|call| call.value.clone()).collect(),
            threads,
        };
        Some(Draft { kind, span: table.span.clone(), before, scripts })
    }

    fn calls(&mut self, item: &Item<'_>) -> Vec<PlacedCall> {
        let texts = item.texts(&mut self.mistakes).unwrap_or_default();
        let mut parsed = Vec::new();
        for text in texts {
            if let Some(call) = calls::parse(&text, self.source, &mut self.mistakes) {
                parsed.push(Placed { value: call, span: text.span });
            }
        }
        parsed
    }
}

/// Once, where nothing is said.
fn repeats(times: Option<Option<u32>>) -> Repeat {
    match times {
        None => Repeat::Times(1),
        Some(Some(times)) => Repeat::Times(times),
        Some(None) => Repeat::Forever,
    }
}
