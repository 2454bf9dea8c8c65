//! What is run against what, and from which store.

use serde::{Deserialize, Serialize};

/// Commands of a store, each a process of its own, all started at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Commands that make the store to begin with, one after the other.
    pub start: Vec<Vec<String>>,
    /// Those that run against each other.
    pub commands: Vec<Vec<String>>,
}

impl Workload {
    /// The name of a participant: `A` is the first.
    #[must_use]
    pub fn name(participant: usize) -> String {
        let letter =
            u8::try_from(participant).ok().filter(|number| *number < 26).map(|number| char::from(b'A' + number));
        letter.map_or_else(|| format!("P{participant}"), String::from)
    }

    /// Splits a command at its blanks: ids and names of a store have none.
    #[must_use]
    pub fn words(command: &str) -> Vec<String> {
        command.split_whitespace().map(str::to_owned).collect()
    }
}

/// A command that is killed on its way: `kill-before 2 layers.json import-layer -i a`. Leftovers of a crash are made so.
#[derive(Debug)]
pub(super) struct Killed<'a> {
    /// Before which of the renamings to this name.
    pub(super) times: u32,
    /// The end of the name.
    pub(super) file: &'a str,
    /// The command.
    pub(super) command: &'a [String],
}

impl<'a> Killed<'a> {
    /// `None` of a command that is to come to its end.
    pub(super) fn of(words: &'a [String]) -> Option<Self> {
        match words {
            [first, times, file, command @ ..] if first == "kill-before" && !command.is_empty() => {
                Some(Self { times: times.parse().ok().filter(|times| *times > 0)?, file, command })
            }
            _ => None,
        }
    }
}
