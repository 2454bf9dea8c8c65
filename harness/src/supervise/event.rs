//! What is seen: calls that are about locks and files, before they happen, and the ends of processes.

use std::path::PathBuf;

use lockproof_model::op::Mode;
use serde::{Deserialize, Serialize};

/// The identity of a file: two paths with the same are one file, and have one lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// A file, by identity and by path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Which it is; `None` if there is none of that path yet.
    #[serde(flatten)]
    pub id: Option<FileId>,
    /// Where it is, as the kernel or the program says.
    pub path: PathBuf,
}

/// Which of Linux's advisory locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockKind {
    /// Of a process and an inode (fcntl(2), `F_SETLK`).
    Posix,
    /// Of an open file description (fcntl(2), `F_OFD_SETLK`). Excludes those of processes, too.
    OpenFile,
    /// Of an open file description, on whole files (flock(2)). Knows nothing of the other two.
    Flock,
}

/// Bytes of a file, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first.
    pub start: u64,
    /// The last; `u64::MAX` for the end of the file, however long it grows, which is `null` where it is written down.
    #[serde(with = "open_end")]
    pub end: u64,
}

/// Programs that read JSON as floating point would round `u64::MAX`.
mod open_end {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    // The signature is serde's.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(super) fn serialize<S: Serializer>(end: &u64, to: S) -> Result<S::Ok, S::Error> {
        Some(*end).filter(|end| *end != u64::MAX).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        Ok(Option::deserialize(from)?.unwrap_or(u64::MAX))
    }
}

impl Range {
    /// The whole file.
    pub const ALL: Range = Range { start: 0, end: u64::MAX };

    /// Whether the two have a byte in common.
    #[must_use]
    pub fn overlaps(self, other: Range) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}

/// A request for a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Of which file.
    pub file: FileRef,
    /// Which lock.
    pub kind: LockKind,
    /// Shared or exclusive.
    pub mode: Mode,
    /// Of which bytes.
    pub range: Range,
    /// Whether it waits for those who exclude it.
    pub waits: bool,
}

/// What releases a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleasedBy {
    /// A request to unlock.
    Unlock,
    /// A descriptor of the file is closed, any one.
    Close,
    /// Descriptors are closed on exec.
    Exec,
    /// The end of the process.
    Exit,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenMode {
    /// For reading.
    pub read: bool,
    /// For writing.
    pub write: bool,
    /// Made if it is not there (`O_CREAT`).
    pub create: bool,
    /// An error if it is there (`O_EXCL`).
    pub exclusive: bool,
    /// Emptied (`O_TRUNC`).
    pub truncate: bool,
}

/// What a process is about to do, or what has become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "does")]
pub enum Action {
    /// Asks for a lock.
    Lock(Wanted),
    /// A lock that was waited for is granted.
    Grant(Wanted),
    /// A lock is released: a call that does so.
    Release {
        /// Of which file.
        file: FileRef,
        /// Which lock.
        kind: LockKind,
        /// Of which bytes.
        range: Range,
        /// By what.
        by: ReleasedBy,
    },
    /// Opens a file.
    Open {
        /// Which.
        file: FileRef,
        /// How.
        mode: OpenMode,
    },
    /// Reads from a file.
    Read {
        /// Which.
        file: FileRef,
        /// From where; `None` for where the descriptor stands.
        offset: Option<u64>,
        /// How many bytes at most.
        bytes: u64,
        /// What is there: the first bytes of a file that is or was locked, and a JSON document.
        content: Option<Content>,
    },
    /// Writes to a file.
    Write {
        /// Which.
        file: FileRef,
        /// Where; `None` for where the descriptor stands.
        offset: Option<u64>,
        /// How many bytes.
        bytes: u64,
        /// What: the first bytes of a file that is or was locked, and a JSON document.
        content: Option<Content>,
    },
    /// Asks for a file's status: stat(2), access(2).
    Status {
        /// Which.
        file: FileRef,
    },
    /// Renames a file.
    Rename {
        /// Which.
        from: FileRef,
        /// To what; with the identity of the file that is replaced.
        to: FileRef,
    },
    /// Removes a name.
    Unlink {
        /// Whose.
        file: FileRef,
        /// Whether it is a directory's.
        directory: bool,
    },
    /// Makes a directory.
    MakeDirectory {
        /// Which.
        file: FileRef,
    },
    /// Gives a file another name, or makes a symbolic link.
    Link {
        /// To what: for a symbolic link, its text.
        target: PathBuf,
        /// The new name.
        file: FileRef,
        /// Whether it is a symbolic one.
        symbolic: bool,
    },
    /// Changes a file's length.
    Truncate {
        /// Which.
        file: FileRef,
        /// To how many bytes.
        bytes: u64,
    },
    /// Waits until what was written is on disk: fsync(2), fdatasync(2).
    Sync {
        /// Of which file.
        file: FileRef,
    },
    /// Changes a file's mode or its times.
    Change {
        /// Which.
        file: FileRef,
    },
    /// Reads names from a directory.
    List {
        /// Which.
        file: FileRef,
    },
    /// Mounts something, or unmounts it.
    Mount {
        /// Where.
        file: FileRef,
        /// Whether it is unmounted.
        unmount: bool,
    },
    /// Executes a program.
    Execute {
        /// Which.
        program: PathBuf,
    },
    /// Ends.
    Exit {
        /// The status.
        status: i32,
    },
    /// Has ended. Its locks are gone.
    Ended,
}

/// Bytes that a file's name or its locks say to be of interest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// A stamp, or other bytes: in hexadecimal.
    Bytes(String),
    /// A document.
    Json(serde_json::Value),
    /// More than is looked at: the number of bytes.
    Long(u64),
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Fate {
    /// It was let go on. Of all but locks we do not see what it came to.
    Goes,
    /// A lock that nothing is in the way of.
    Granted,
    /// A request that does not wait, refused: `EAGAIN`.
    Refused {
        /// Who is in the way; 0 stands for one that is not supervised.
        by: Vec<u32>,
    },
    /// It waits: it is parked until its lock is free.
    Waits {
        /// Who is in the way; 0 stands for one that is not supervised.
        by: Vec<u32>,
    },
    /// It would close a cycle of those who wait: `EDEADLK`.
    Deadlock {
        /// Who is in the way.
        by: Vec<u32>,
    },
    /// An error was answered in its place, by number.
    Failed {
        /// The `errno`.
        errno: i32,
    },
    /// Only so many bytes were written.
    Short {
        /// How many.
        bytes: u64,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since the beginning.
    pub at_us: u64,
    /// The process.
    pub process: u32,
    /// The thread.
    pub thread: u32,
    /// What it does.
    #[serde(flatten)]
    pub action: Action,
    /// What became of it.
    #[serde(flatten)]
    pub fate: Fate,
}

impl Action {
    /// The file that it is about; of a renaming, the new name.
    #[must_use]
    pub fn file(&self) -> Option<&FileRef> {
        match self {
            Action::Lock(wanted) | Action::Grant(wanted) => Some(&wanted.file),
            Action::Release { file, .. }
            | Action::Open { file, .. }
            | Action::Read { file, .. }
            | Action::Write { file, .. }
            | Action::Status { file }
            | Action::Unlink { file, .. }
            | Action::MakeDirectory { file }
            | Action::Link { file, .. }
            | Action::Truncate { file, .. }
            | Action::Sync { file }
            | Action::Change { file }
            | Action::List { file }
            | Action::Mount { file, .. } => Some(file),
            Action::Rename { to, .. } => Some(to),
            Action::Execute { .. } | Action::Exit { .. } | Action::Ended => None,
        }
    }
}
