//! What is checked: which processes and threads make which calls on which store.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::call::{Call, StoreId};
use crate::op::Path;
use crate::protocol::Entry;
use crate::second_store;
use crate::value::Value;

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repeat {
    /// That many times.
    Times(u32),
    /// Without end.
    Forever,
}

/// A thread of a process.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Its calls, in order.
    pub script: Vec<Call>,
    /// How often the script is run.
    pub repeat: Repeat,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its name, for people.
    pub name: String,
    /// The protocol that it speaks.
    pub protocol: Entry,
    /// Calls of the first thread, before any other thread starts.
    pub before: Vec<Call>,
    /// Its threads, at least one.
    pub threads: Vec<Thread>,
    /// How often a process of this kind is started; each starts with empty cells, once the one before has ended.
    pub runs: Repeat,
    /// Whether it may be killed.
    pub may_crash: bool,
}

/// The most processes of a system, and the most threads of a process: a letter each in a schedule.
pub const PROCESSES_MAX: usize = 26;

/// A closed system: a store, and those who use it.
#[derive(Clone, Debug)]
pub struct System {
    /// The documents that exist at the start.
    pub documents: Vec<(Path, Value)>,
    /// The lock files that hold a stamp at the start; the others are empty.
    pub stamped: Vec<Path>,
    /// Pairs of a path and the one it is another name of (a symbolic link): one inode, two paths.
    pub aliases: Vec<(Path, Path)>,
    /// The processes.
    pub processes: Vec<Process>,
    /// How many kills there may be, in all.
    pub crashes: u32,
    /// Whether each write of a file gives it a time that is later than all that were looked at: fine-grained times, as
    /// Linux has them since 6.13 for a file whose time was asked for (`fill_mg_cmtime` and `inode_set_ctime_current` in fs/).
    /// Otherwise the time is the coarse clock's, which may have ticked or not.
    pub fine_times: bool,
}

impl System {
    /// The path that stands for the inode of `path`: a prefix that is an alias is replaced by its target.
    #[must_use]
    pub fn inode(&self, path: &Path) -> Path {
        for (alias, target) in &self.aliases {
            if let Some(rest) = path.0.strip_prefix(&alias.0)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return Path(format!("{}{rest}", target.0));
            }
        }
        path.clone()
    }

    /// Every call that a script holds.
    fn calls(&self) -> impl Iterator<Item = &Call> {
        self.processes
            .iter()
            .flat_map(|process| process.before.iter().chain(process.threads.iter().flat_map(|thread| &thread.script)))
    }

    /// Whether anything in this system can write the document: it is there at the start, or a call is made for it.
    #[must_use]
    pub fn may_write(&self, document: &Path) -> bool {
        let writes = |call: &Call| {
            let file = match call.plain() {
                Call::PutLayer { .. } => "layers.json",
                Call::CreateImage { .. } => "images.json",
                Call::CreateContainer { .. } => "containers.json",
                Call::Mount { .. } => "mountpoints.json",
                _ => return false,
            };
            file == document.file_name() && second_store::is_of(&document.0, call.store())
        };
        self.documents.iter().any(|(path, _)| path == document) || self.calls().any(writes)
    }

    /// How many additional stores anybody reads or writes.
    #[must_use]
    pub fn additional_stores(&self) -> u8 {
        let used = |call: &Call| match call.store() {
            Some(StoreId::With(number) | StoreId::Additional(number)) => number,
            _ => 0,
        };
        self.calls().map(used).max().unwrap_or(0)
    }

    /// The files whose time is kept, of each store.
    #[must_use]
    pub fn timed(&self) -> BTreeSet<Path> {
        let timed = self.processes.iter().flat_map(|process| process.protocol.timed);
        let additional = 1..=self.additional_stores();
        timed
            .flat_map(|path| {
                let of_each = additional.clone().filter_map(|number| second_store::in_additional(path, number));
                of_each.chain([(*path).to_owned()]).map(Path)
            })
            .collect()
    }
}
