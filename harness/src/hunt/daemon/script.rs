//! What a process of the library is told to do, as text: `open a; a names base; 1: a images; 2: a create-image i base`.
//!
//! Statements are separated by `;`. One that begins with a word and `:` is a call of that goroutine; its calls are made in
//! the order in which they stand. What has no goroutine is done first, before any of them goes. `open STORE [RUN]` opens
//! a store of the process, by default with the run root that commands have. A process has one object for each pair of roots
//! (`GetStore` of store.go), so another run root makes another object over the same graph root.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The run root of commands, below the directory of a store.
pub(crate) const RUN: &str = "run";

/// The call that opens a store.
pub(crate) const OPEN: &str = "open";

/// The calls of the driver, each with how many arguments it needs.
const CALLS: [(&str, usize); 23] = [
    ("close-diff", 1),
    ("containers", 0),
    ("create-container", 1),
    ("create-image", 1),
    ("create-layer", 1),
    ("delete-container", 1),
    ("delete-image", 1),
    ("delete-layer", 1),
    ("diff", 1),
    ("exists", 1),
    ("images", 0),
    ("layers", 0),
    ("lookup", 1),
    ("mount", 1),
    ("mounted", 1),
    ("names", 1),
    ("open", 0),
    ("pull-layer", 3),
    ("put-layer", 1),
    ("set-names", 1),
    ("shutdown", 0),
    ("status", 0),
    ("unmount", 1),
];

/// A call of a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// The process's name for the store.
    pub store: String,
    /// What is called, as the driver names it.
    pub call: String,
    /// With what.
    pub args: Vec<String>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { store, call, args } = self;
        if call == OPEN { write!(f, "{call} {store}") } else { write!(f, "{store} {call}") }?;
        args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// What a process is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Script {
    /// What is called first, one after the other.
    pub before: Vec<Call>,
    /// The goroutines, by name, and what each calls.
    pub goroutines: Vec<(String, Vec<Call>)>,
}

impl Script {
    /// All calls: those that come first, then those of each goroutine.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        self.before.iter().chain(self.goroutines.iter().flat_map(|(_, calls)| calls))
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.before.iter().map(Call::to_string);
        let of_goroutine = |(name, calls): &(String, Vec<Call>)| -> Vec<String> {
            calls.iter().map(|call| format!("{name}: {call}")).collect()
        };
        let all: Vec<String> = before.chain(self.goroutines.iter().flat_map(of_goroutine)).collect();
        f.write_str(&all.join("; "))
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut script = Script::default();
        let mut opened: Vec<String> = Vec::new();
        for statement in text.split([';', '\n']).map(str::trim).filter(|statement| !statement.is_empty()) {
            let (goroutine, words) = match statement.split_once(':') {
                Some((name, rest)) if !name.contains(char::is_whitespace) => (Some(name), rest),
                _ => (None, statement),
            };
            let call = call(words).map_err(|problem| format!("`{statement}`: {problem}"))?;
            match goroutine {
                Some("" | "main") => return Err(format!("`{statement}`: a goroutine needs a name other than `main`")),
                Some(_) if call.call == OPEN => {
                    return Err(format!(
                        "`{statement}`: stores are opened before the goroutines go: write no goroutine"
                    ));
                }
                _ => {}
            }
            if call.call == OPEN {
                opened.push(call.store.clone());
            } else if !opened.contains(&call.store) {
                let store = &call.store;
                return Err(format!("`{statement}`: no store {store} is open: write `open {store}` before it"));
            }
            match goroutine {
                None => script.before.push(call),
                Some(name) => match script.goroutines.iter_mut().find(|(known, _)| known == name) {
                    Some((_, calls)) => calls.push(call),
                    None => script.goroutines.push((name.to_owned(), vec![call])),
                },
            }
        }
        if opened.is_empty() {
            return Err("no store is opened: begin with `open a`".into());
        }
        Ok(script)
    }
}

fn call(text: &str) -> Result<Call, String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let (store, call, args) = match words.as_slice() {
        [open, store, args @ ..] if open == OPEN => (store, open, args),
        [store, call, args @ ..] => (store, call, args),
        _ => return Err("a call is a store, what is called, and its arguments".into()),
    };
    let Some((_, least)) = CALLS.iter().find(|(known, _)| known == call) else {
        let known: Vec<&str> = CALLS.iter().map(|(known, _)| *known).collect();
        return Err(format!("there is no call {call}: there are {}", known.join(", ")));
    };
    if args.len() < *least {
        return Err(format!("{call} needs {least} arguments, and has {}", args.len()));
    }
    if call == OPEN && args.iter().any(|run| run.contains('/') || run.starts_with('.') || run == "root") {
        return Err("a run root is the name of a directory beside `root`".into());
    }
    Ok(Call { store: store.clone(), call: call.clone(), args: args.to_vec() })
}

impl From<Script> for String {
    fn from(script: Script) -> String {
        script.to_string()
    }
}

impl TryFrom<String> for Script {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "open a; open b run2; a names base; 1: a put-layer x base; 1: a images; 2: b layers";

    #[test]
    fn what_is_written_is_read() {
        let script: Script = TEXT.parse().unwrap();
        assert_eq!(script.to_string(), TEXT);
        assert_eq!((script.before.len(), script.goroutines.len(), script.calls().count()), (3, 2, 6));
        assert_eq!(script.goroutines[0].1[0].args, ["x", "base"]);
        // Goroutines may take turns in the text, and each statement may have a line.
        let other = "open a\nopen b run2\na names base\n1: a put-layer x base\n2: b layers\n1: a images\n";
        assert_eq!(other.parse(), Ok(script));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (text, problem) in [
            ("", "no store is opened"),
            ("1: a images", "write `open a` before it"),
            ("open a; 1: open b", "write no goroutine"),
            ("open a; main: a images", "other than `main`"),
            ("open a; 1: a image", "there is no call image: there are close-diff, "),
            ("open a; 1: a put-layer", "put-layer needs 1 arguments, and has 0"),
            ("open a; 1: a", "a call is a store"),
            ("open a ../x", "a run root is the name of a directory"),
        ] {
            let found = text.parse::<Script>().unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }

    #[test]
    fn the_driver_knows_every_call() {
        let driver = include_str!("../../../go-driver/main.go");
        for (call, least) in CALLS {
            let in_table = driver.contains(&format!("\"{call}\":")) && driver.contains(&format!("{{{least},"));
            assert!(in_table || ["open", "diff", "close-diff"].contains(&call), "{call}");
        }
    }
}
