//! The vocabulary: everything a protocol can do, one operation at a time.
//!
//! A protocol never touches a lock, a file or a clock. It awaits an [`Op`] through [`Ctx`](crate::ctx::Ctx) and gets an
//! [`Outcome`]; a driver decides what the operation means. What it means on Linux is in [`world`](crate::world).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::value::{Object, Value};

/// A file below the scenario's directory: `root/storage.lock` below the graph root, `run/…` below the run root.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Path(pub String);

impl Path {
    /// A path from its text, with `/` between its parts and none at its ends.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether it is a document, which is not there until it is written; every other file is a lock file.
    #[must_use]
    pub fn is_document(&self) -> bool {
        self.0.ends_with(".json")
    }

    /// The last part, for people: `layers.lock`.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A JSON document and the lock file that governs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Document {
    /// The file.
    pub path: Path,
    /// The lock under which it may be read (shared) and replaced (exclusive); the property `exclusive` holds it to that.
    pub lock: Path,
}

/// How a lock is held: `F_RDLCK` or `F_WRLCK` of fcntl(2), read or write of a Go `sync.RWMutex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Any number of holders.
    Shared,
    /// One holder, and no other.
    Exclusive,
}

impl Mode {
    /// Whether two holders in these modes exclude each other (`posix_locks_conflict` in fs/locks.c).
    #[must_use]
    pub fn conflicts(self, other: Mode) -> bool {
        self == Mode::Exclusive || other == Mode::Exclusive
    }
}

/// A plain variable of a process, shared by its threads: a field of an object, or a package variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellName {
    /// The object it is a field of, if it is one. The cells of an object that nothing points to are gone.
    pub object: Option<Object>,
    /// The name, unique in the object, or in the process where there is none.
    pub field: Arc<str>,
}

impl fmt::Display for CellName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.object {
            Some(Object(number)) => write!(f, "#{number}.{}", self.field),
            None => f.write_str(&self.field),
        }
    }
}

/// What a thread notes for properties and for people; it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Note {
    /// The thread is about to acquire a lock of the lock library.
    Acquire(Path, Mode),
    /// The thread holds it now, as far as the lock library knows.
    Acquired(Path, Mode),
    /// The thread gives it back.
    Release(Path),
}

/// One operation. Each is one atomic step of the thread that asks for it, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// Open the file and lock the whole of it: `F_SETLKW` of fcntl(2) with `wait`, `F_SETLK` without.
    /// Outcome: [`Outcome::Locked`]. Two steps where it has to wait: the request, and the grant.
    Lock {
        /// The lock file.
        file: Path,
        /// Shared or exclusive.
        mode: Mode,
        /// Whether to wait for a holder that excludes this one.
        wait: bool,
    },
    /// Close the descriptor of a lock file, which drops the process's lock on its inode.
    Close {
        /// The lock file.
        file: Path,
    },
    /// Open a lock file and close it again, which drops the process's lock on its inode too.
    Probe {
        /// The lock file.
        file: Path,
        /// `O_RDONLY` where it is shared, `O_RDWR` where it is exclusive.
        mode: Mode,
    },
    /// Read the stamp. Outcome: [`Outcome::Value`], a `Stamp` or, of a file never written, `Nil`.
    ReadStamp {
        /// The lock file.
        file: Path,
    },
    /// Write a stamp that nobody ever wrote. Outcome: [`Outcome::Value`] with that `Stamp`.
    WriteStamp {
        /// The lock file.
        file: Path,
    },
    /// Read a document. Outcome: [`Outcome::Value`], `Nil` if it does not exist.
    Read {
        /// The document.
        document: Document,
    },
    /// Write the new contents to a temporary file beside the document: seen by nobody, litter after a crash.
    WriteTemp {
        /// The document.
        document: Document,
        /// What is written.
        value: Value,
    },
    /// `fdatasync` of the temporary file.
    Sync {
        /// The document.
        document: Document,
    },
    /// Rename the temporary file over the document: from here on it is what others read.
    Rename {
        /// The document.
        document: Document,
        /// What the writer believes it replaces; no driver looks at it, the property `no-lost-update` does.
        base: Value,
        /// What replaces it, as it was given to `WriteTemp`.
        value: Value,
    },
    /// The time at which a file was last written. Outcome: [`Outcome::Value`] with an `Mtime`, or `Nil` if it is a
    /// document that does not exist.
    /// The protocol must have named the file as [`timed`](crate::protocol::Entry::timed).
    Mtime {
        /// The lock file or document.
        file: Path,
    },
    /// The clock. Outcome: [`Outcome::Value`] with an `Instant`.
    Now,
    /// Go `sync.Mutex` `Lock`; waits while another thread has it.
    MutexLock {
        /// The mutex.
        mutex: CellName,
    },
    /// Go `sync.Mutex` `Unlock`.
    MutexUnlock {
        /// The mutex.
        mutex: CellName,
    },
    /// Go `sync.RWMutex` `Lock` or `RLock`: two steps where it has to wait; a waiting writer holds off new readers.
    RwLock {
        /// The mutex.
        mutex: CellName,
        /// Reader or writer.
        mode: Mode,
    },
    /// Go `sync.RWMutex` `Unlock` or `RUnlock`.
    RwUnlock {
        /// The mutex.
        mutex: CellName,
        /// Reader or writer.
        mode: Mode,
    },
    /// Read a cell. Outcome: [`Outcome::Value`], `Nil` if it was never written.
    Get {
        /// The cell.
        cell: CellName,
    },
    /// Write a cell.
    Set {
        /// The cell.
        cell: CellName,
        /// What is written.
        value: Value,
    },
    /// Allocate an object, with cells that were never written. Outcome: [`Outcome::Value`] with an `Object`.
    New,
    /// Start a goroutine. Outcome: [`Outcome::Value`] with its number in the process, an `Int`.
    Spawn {
        /// What it runs: a [`Call::Goroutine`].
        call: Call,
    },
    /// Wait for the goroutine of that number to end. Outcome: [`Outcome::Value`] with what it returned.
    Join {
        /// The number that `Spawn` returned.
        thread: u32,
    },
    /// Choose a number below `among`, any. Outcome: [`Outcome::Value`] with an `Int`.
    Choose {
        /// How many there are, at least one.
        among: u32,
    },
    /// A Go panic: the process dies. There is no outcome.
    Panic {
        /// What it says.
        message: String,
    },
    /// The top of a loop that may repeat without bound; goes on with the values that come back.
    /// Outcome: [`Outcome::Value`]. See [`automaton`](crate::automaton).
    LoopHead {
        /// Which loop of the call: its name and how many were entered before it.
        label: String,
        /// All that a round needs to know.
        values: Value,
    },
    /// An annotation, no step of its own.
    Note(Note),
}

/// What an operation comes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is done.
    Done,
    /// Of a [`Op::Lock`].
    Locked(LockResult),
    /// A value.
    Value(Value),
}

/// What becomes of a lock request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockResult {
    /// The process holds the lock.
    Granted,
    /// `EAGAIN`: another process holds it, and the request does not wait.
    WouldBlock,
    /// `EDEADLK`: to wait would close a cycle of blocked owners.
    Deadlock,
}
