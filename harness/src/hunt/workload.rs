//! What is run against what, and from which store.

use serde::{Deserialize, Serialize};

use super::daemon::script::Script;
use super::step::Unit;

/// Commands of a store, each a process of its own, and processes of the library, all started at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Commands that make the store to begin with, one after the other.
    pub start: Vec<Vec<String>>,
    /// Those that run against each other.
    pub commands: Vec<Vec<String>>,
    /// What processes of the library are told. They are the participants after the commands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub daemons: Vec<Script>,
}

impl Workload {
    /// How many participants there are.
    #[must_use]
    pub fn participants(&self) -> usize {
        self.commands.len() + self.daemons.len()
    }

    /// What a participant is told, as text.
    #[must_use]
    pub fn text(&self, participant: usize) -> String {
        match (self.commands.get(participant), self.daemon(participant)) {
            (Some(words), _) => words.join(" "),
            (None, Some(script)) => script.to_string(),
            (None, None) => String::new(),
        }
    }

    /// The script of a participant that is a process of the library.
    #[must_use]
    pub fn daemon(&self, participant: usize) -> Option<&Script> {
        self.daemons.get(participant.checked_sub(self.commands.len())?)
    }

    /// What the units of a participant are called: `B`, a goroutine `B 1`, a child `B (child 1)`.
    #[must_use]
    pub fn unit(&self, unit: Unit) -> String {
        let name = Self::name(unit.participant);
        let goroutines = self.daemon(unit.participant).map_or(&[][..], |script| &script.goroutines);
        match unit.process {
            0 => name,
            process => match goroutines.get(process - 1) {
                Some((goroutine, _)) => format!("{name} {goroutine}"),
                None => format!("{name} (child {})", process - goroutines.len()),
            },
        }
    }

    /// The commands and the calls, each as words that begin with what it does.
    #[must_use]
    pub fn operations(&self) -> Vec<Vec<String>> {
        let calls = self.daemons.iter().flat_map(Script::calls);
        let words = calls.map(|call| [&call.call].into_iter().chain(&call.args).cloned().collect());
        self.commands.iter().cloned().chain(words).collect()
    }

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
