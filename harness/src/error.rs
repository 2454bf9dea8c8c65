//! What can go wrong with real processes, apart from what they are meant to show.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lockproof_model::ctx::ProtocolError;
use lockproof_model::step::ModelError;

/// A run of real processes that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// A system call.
    #[error("failed to {what}: {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A document that is not what it should be.
    #[error("failed to read {path}: {problem}; the file is left as it is, look at it or start from an empty store")]
    Document {
        /// The document.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The protocol made a mistake.
    #[error("failed to run the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The schedule is not possible in the model, or the model has a limit.
    #[error("failed to follow the schedule in the model: {0}")]
    Model(#[from] ModelError),
    /// A worker said so, or ended, or answered something else than it was asked.
    #[error("failed to go on with process {process} (pid {pid}): {problem}")]
    Worker {
        /// The process's name.
        process: String,
        /// Its process id.
        pid: u32,
        /// What happened.
        problem: String,
    },
    /// A worker did not answer in time. It is killed.
    #[error("failed to get an answer of process {process} (pid {pid}) within {limit:?}; it is killed")]
    Silent {
        /// The process's name.
        process: String,
        /// Its process id.
        pid: u32,
        /// How long we waited.
        limit: Duration,
    },
    /// The whole run took too long.
    #[error("failed to finish within {limit:?}: {at}; raise the deadline or shorten the schedule")]
    Deadline {
        /// How long we waited.
        limit: Duration,
        /// How far it went.
        at: String,
    },
    /// A mistake of the protocol that shows when the model starts.
    #[error("failed to learn the protocol: {0}")]
    Learn(#[from] lockproof_model::automaton::LearnError),
    /// System calls of other programs cannot be seen here.
    #[error("failed to install a seccomp filter that asks us: {0}; `lockproof doctor` says what works here")]
    NoFilter(String),
    /// A program that is not ours cannot be started.
    #[error("failed to start {program}: {problem}")]
    NotStarted {
        /// The program.
        program: String,
        /// What the system said.
        problem: String,
    },
    /// A system that real processes cannot run.
    #[error("failed to start: {0}")]
    Refused(String),
}

impl HarnessError {
    /// Makes an [`HarnessError::Io`] of a system's error, for `map_err`.
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
