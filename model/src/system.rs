//! What is checked: which processes and threads make which calls on which store.

use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::op::Path;
use crate::protocol::Entry;
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

    /// Whether anything in this system can write the document: it is there at the start, or a call is made for it.
    #[must_use]
    pub fn may_write(&self, document: &Path) -> bool {
        let scripts = |process: &Process| {
            let threads = process.threads.iter().flat_map(|thread| thread.script.clone());
            process.before.iter().cloned().chain(threads).collect::<Vec<_>>()
        };
        let writes = |call: &Call| match call {
            Call::CreateImage { .. } => document.file_name() == "images.json",
            Call::CreateContainer { .. } => document.file_name() == "containers.json",
            Call::Mount { .. } => document.file_name() == "mountpoints.json",
            _ => false,
        };
        self.documents.iter().any(|(path, _)| path == document)
            || self.processes.iter().flat_map(scripts).any(|call| writes(&call))
    }

    /// Whether time is kept for `path`.
    #[must_use]
    pub fn is_timed(&self, path: &Path) -> bool {
        self.processes.iter().any(|process| process.protocol.timed.contains(&path.0.as_str()))
    }
}
