//! The properties: what each demands, in words. How each is judged is in [`monitor`](crate::monitor) and
//! [`explore`](crate::explore).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// Every read returns what was true of the store at some moment between its call and its return.
    Fresh,
    /// A document is replaced only by a writer that knew what it held.
    NoLostUpdate,
    /// A document is replaced only under its exclusive lock and read only under a lock; never two holders that
    /// exclude each other.
    Exclusive,
    /// Whoever goes on inside a lock file has it in the kernel, and no other thread of its process that it excludes is
    /// inside: the half of `Exclusive` that is judged where a lock is taken, whatever is done under it.
    MutualExclusion,
    /// No thread that is not done and takes no step in any continuation. One whose process panics waits no longer.
    NoDeadlock,
    /// No weakly fair cycle in which a thread waits for a lock file for ever.
    NoStarvationWeak,
    /// No strongly fair cycle in which a thread waits for a lock file for ever.
    NoStarvationStrong,
    /// Two readers are inside at once, in some run.
    ParallelReads,
    /// No two unordered accesses to one plain cell, one of them a write.
    NoDataRace,
    /// No Go panic.
    NoPanic,
    /// No call returns an error.
    NoError,
    /// After a kill, what was acknowledged is still there and nothing half-made is seen.
    CrashSafe,
    /// A store that is opened with an option that is to keep it from writing replaces no document, and no lock file of an
    /// additional store is opened for writing.
    ReadOnly,
    /// No process loads a document that holds what it loaded or wrote last: each change is loaded once.
    NoNeedlessLoad,
    /// A layer is mounted only by a driver that was made since the last Shutdown of any process.
    DriverAlive,
    /// Locks are taken in one global order.
    Ordered,
}

impl Property {
    /// All of them.
    pub const ALL: [Property; 16] = [
        Property::Fresh,
        Property::NoLostUpdate,
        Property::Exclusive,
        Property::MutualExclusion,
        Property::NoDeadlock,
        Property::NoStarvationWeak,
        Property::NoStarvationStrong,
        Property::ParallelReads,
        Property::NoDataRace,
        Property::NoPanic,
        Property::NoError,
        Property::CrashSafe,
        Property::ReadOnly,
        Property::NoNeedlessLoad,
        Property::DriverAlive,
        Property::Ordered,
    ];

    /// The name, as scenarios and reports write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Property::Fresh => "fresh",
            Property::NoLostUpdate => "no-lost-update",
            Property::Exclusive => "exclusive",
            Property::MutualExclusion => "mutual-exclusion",
            Property::NoDeadlock => "no-deadlock",
            Property::NoStarvationWeak => "no-starvation-weak",
            Property::NoStarvationStrong => "no-starvation-strong",
            Property::ParallelReads => "parallel-reads",
            Property::NoDataRace => "no-data-race",
            Property::NoPanic => "no-panic",
            Property::NoError => "no-error",
            Property::CrashSafe => "crash-safe",
            Property::ReadOnly => "read-only",
            Property::NoNeedlessLoad => "no-needless-load",
            Property::DriverAlive => "driver-alive",
            Property::Ordered => "ordered",
        }
    }

    /// What it demands, in a few words.
    #[must_use]
    pub fn demand(self) -> &'static str {
        match self {
            Property::Fresh => "every read returns what was true of the store at some moment between call and return",
            Property::NoLostUpdate => "a document is replaced only by a writer that knew what it held",
            Property::Exclusive => "a document is replaced only under its exclusive lock, and read only under a lock",
            Property::MutualExclusion => "whoever is inside a lock file has it in the kernel, and alone in its process",
            Property::NoDeadlock => "nobody stands still for ever, whatever happens",
            Property::NoStarvationWeak => "nobody waits for a lock file for ever, if whoever can always go on does",
            Property::NoStarvationStrong => {
                "nobody waits for a lock file for ever, if whoever can go on again and again does"
            }
            Property::ParallelReads => "two readers are inside at once in some run",
            Property::NoDataRace => "no two unordered accesses to one variable of a process, one of them a write",
            Property::NoPanic => "no Go panic",
            Property::NoError => "no call returns an error",
            Property::CrashSafe => "after a kill, what was acknowledged is there and nothing half-made is seen",
            Property::ReadOnly => {
                "a store that is opened read-only replaces no document, and opens no lock file to write"
            }
            Property::NoNeedlessLoad => "no process loads a document that holds what it loaded or wrote last",
            Property::DriverAlive => "a layer is mounted only by a driver that was made since the last Shutdown",
            Property::Ordered => "locks are taken in one global order",
        }
    }

    /// Whether it is judged on endless runs, which allows no reduction but merging a process's own steps.
    #[must_use]
    pub fn is_liveness(self) -> bool {
        matches!(self, Property::NoDeadlock | Property::NoStarvationWeak | Property::NoStarvationStrong)
    }

    /// Whether it asks for a run, where the others forbid some: a run proves it, and only all states together violate it.
    #[must_use]
    pub fn is_wish(self) -> bool {
        self == Property::ParallelReads
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No property has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no property is called {0:?}")]
pub struct UnknownProperty(pub String);

impl FromStr for Property {
    type Err = UnknownProperty;

    fn from_str(name: &str) -> Result<Self, UnknownProperty> {
        Self::ALL.into_iter().find(|property| property.name() == name).ok_or_else(|| UnknownProperty(name.into()))
    }
}
