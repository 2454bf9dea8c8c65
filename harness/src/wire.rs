//! What a worker and its parent say to each other: one JSON object a line, on the worker's stdin and stdout.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lockproof_model::call::{Call, Reply};
use lockproof_model::op::{LockResult, Mode, Note, Op, Outcome, Path};
use serde::{Deserialize, Serialize};

/// The version of this protocol. Parent and worker are one program, so another version means a mistake in starting it.
pub(crate) const VERSION: u32 = 1;

/// The first argument of a worker.
pub(crate) const ARGUMENT: &str = "--lockproof-worker";

/// The first argument of a process that is to become another program; our process id, that program and its arguments follow.
pub(crate) const EXECUTE: &str = "--lockproof-execute";

/// What a worker is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "role")]
pub(crate) enum Role {
    /// A process of a system; it takes one step for each command.
    Steps {
        /// Below which directory its files lie.
        base: PathBuf,
        /// The protocol's name.
        protocol: String,
    },
    /// A process of a system that runs freely.
    Free(FreeRun),
    /// Makes a directory, and removes it when its stdin ends.
    Guardian {
        /// In which directory.
        below: PathBuf,
    },
    /// Opens, locks and closes files as it is told.
    Probe,
}

/// What a process that runs freely is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FreeRun {
    /// Below which directory its files lie.
    pub(crate) base: PathBuf,
    /// Where grants are counted: a file for each lock file.
    pub(crate) counters: PathBuf,
    /// The protocol's name.
    pub(crate) protocol: String,
    /// Calls before the threads start.
    pub(crate) before: Vec<Call>,
    /// The script of each thread, and how often it is run; `None` without end.
    pub(crate) threads: Vec<(Vec<Call>, Option<u32>)>,
    /// After how long no call begins any more.
    pub(crate) milliseconds: u64,
    /// How much longer those under way may take.
    pub(crate) grace_ms: u64,
    /// Where branches are drawn from.
    pub(crate) seed: u64,
}

/// The first line: who the worker is, and who started it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) version: u32,
    pub(crate) parent: u32,
    #[serde(flatten)]
    pub(crate) role: Role,
}

/// What a worker that takes steps is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub(crate) enum Command {
    /// A thread begins a call. No operation is performed.
    Begin {
        /// The thread.
        thread: u32,
        /// The call.
        call: Call,
    },
    /// A thread attempts the operation that it stands before.
    Perform {
        /// The thread.
        thread: u32,
        /// Which branch, where it may choose.
        branch: u32,
        /// The number of the goroutine, where it starts one.
        spawns: Option<u32>,
    },
    /// A thread's request is answered as the kernel would: only `EDEADLK`.
    Refuse {
        /// The thread.
        thread: u32,
    },
    /// A thread's lock request is made in the kernel, and made again for as long as the kernel answers `EDEADLK`. The
    /// answer comes at once; what became of it is told by `Account`.
    Block {
        /// The thread.
        thread: u32,
    },
    /// How the blocked requests fare.
    Account,
    /// The process ends, as `main` returns.
    Exit,
}

/// What it answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub(crate) enum Answer {
    /// To the first line.
    Ready {
        /// Its process id.
        pid: u32,
    },
    /// Of a guardian, to the first line: the directory that it made.
    Guards {
        /// The directory.
        directory: PathBuf,
    },
    /// Where a thread stands now, and what it just did.
    Stands {
        /// What the operation came to; `None` where none was attempted.
        did: Option<Did>,
        /// What it noted since.
        notes: Vec<Note>,
        /// What comes next.
        next: Next,
        /// Stamps that were met for the first time: their number here, and their bytes in hexadecimal.
        stamps: Vec<(u32, String)>,
    },
    /// To `Block`.
    Blocking,
    /// To `Account`.
    Account {
        /// Each request made by `Block`.
        requests: Vec<BlockedRequest>,
    },
    /// The worker cannot go on.
    Trouble {
        /// Why.
        problem: String,
    },
    /// Of a process that ran freely: what it saw.
    Ran(Box<Ran>),
    /// Of a probe: it is done, and this is the result.
    Probed {
        /// Of a lock request.
        result: Option<LockResult>,
    },
}

/// What an operation came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Did {
    /// It is done.
    Done(Outcome),
    /// The thread has joined those who wait.
    Waits,
    /// It cannot go on, and nothing has changed.
    Blocked,
    /// The process panicked, and is ending.
    Died,
}

/// What comes next for a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Next {
    /// It stands before this operation.
    Op(Op),
    /// Its call has returned.
    End(Reply),
    /// The process is ending.
    Death {
        /// What the panic said.
        message: String,
    },
}

/// A lock request that was made in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedRequest {
    /// The thread.
    pub thread: u32,
    /// The lock file.
    pub file: Path,
    /// The mode.
    pub mode: Mode,
    /// How often the kernel answered `EDEADLK`, without anything else in between.
    pub deadlocks: u64,
    /// Whether it was granted in the end.
    pub granted: bool,
}

/// What a process that ran freely saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ran {
    /// How many calls returned.
    pub(crate) calls: u64,
    /// How many of them failed, and how.
    pub(crate) failures: BTreeMap<String, u64>,
    /// How long it ran, in nanoseconds.
    pub(crate) ran_ns: u64,
    /// The locks that it was granted.
    pub(crate) waits: Vec<Waits>,
    /// The requests that were still waiting at the end.
    pub(crate) waiting: Vec<StillWaiting>,
    /// How many threads had not ended in time.
    pub(crate) unfinished: u32,
    /// What the calls of each thread returned in the last round of its script, in order; of the first thread, the calls
    /// made before come first.
    pub(crate) replies: Vec<Vec<(Call, Reply)>>,
    /// The message of a panic.
    pub(crate) panic: Option<String>,
}

/// How long a process waited for one lock file in one mode.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Waits {
    pub(crate) file: Path,
    pub(crate) mode: Mode,
    /// Waits in nanoseconds: pairs of a value and how often it was recorded.
    pub(crate) wait_ns: Vec<(u64, u64)>,
    /// Grants to others between request and grant, likewise.
    pub(crate) overtakes: Vec<(u64, u64)>,
    /// How often the kernel answered `EDEADLK`.
    pub(crate) deadlocks: u64,
}

/// A request that nobody granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillWaiting {
    /// The lock file.
    pub file: Path,
    /// The mode.
    pub mode: Mode,
    /// For how long it has been waiting, in nanoseconds.
    pub wait_ns: u64,
    /// How many grants of the lock there were meanwhile.
    pub overtakes: u64,
}

/// What a probe is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub(crate) enum Probing {
    /// Open a file, for reading and writing, and call the descriptor `slot`.
    Open { slot: u32, path: PathBuf },
    /// Close that descriptor.
    Close { slot: u32 },
    /// Lock it, now or not at all.
    Try { slot: u32, mode: Mode },
    /// Lock it, waiting, in a thread of its own. Answered at once; the result is told by `Result`.
    Wait { slot: u32, mode: Mode, ofd: bool },
    /// What became of the request in `slot`, `None` while it waits.
    Result { slot: u32 },
}
