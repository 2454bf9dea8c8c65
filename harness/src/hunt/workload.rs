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
