//! What runs the commands of a participant, or is told its calls.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::asked::commands_of;
use super::daemon::script::Call;
use crate::error::HarnessError;
use crate::{Harness, reference};

/// The driver of the Go library, as it is named among what daemons can be.
pub const LIBRARY: &str = "library";

/// A build of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Build {
    /// An unmodified `containers-storage`.
    Program(PathBuf),
    /// Our reference store: the commands that come to calls of a protocol, in processes of our own program.
    Reference {
        /// Our program, which calls [`worker::run_if_asked`](crate::worker::run_if_asked) first of all.
        program: PathBuf,
        /// The name of the protocol.
        protocol: String,
    },
}

impl From<PathBuf> for Build {
    fn from(program: PathBuf) -> Self {
        Build::Program(program)
    }
}

impl From<&Path> for Build {
    fn from(program: &Path) -> Self {
        program.to_path_buf().into()
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Build::Program(program) => program.display().fmt(f),
            Build::Reference { protocol, .. } => write!(f, "reference:{protocol}"),
        }
    }
}

impl Build {
    /// The words with which its command lines begin.
    pub(super) fn words(&self) -> Vec<OsString> {
        match self {
            Build::Program(program) => vec![program.into()],
            Build::Reference { program, protocol } => vec![program.into(), reference::ARGUMENT.into(), protocol.into()],
        }
    }

    /// The command line of a process that is told its calls: an unmodified program is the driver of the library.
    pub(super) fn daemon(&self) -> Vec<OsString> {
        let mut words = self.words();
        words.extend(matches!(self, Build::Reference { .. }).then(|| reference::DAEMON.into()));
        words
    }

    /// What it is, as a daemon.
    pub(super) fn as_driver(&self) -> String {
        match self {
            Build::Program(_) => LIBRARY.into(),
            Build::Reference { .. } => self.to_string(),
        }
    }

    /// The commands that it knows.
    ///
    /// # Errors
    /// As of [`commands_of`].
    pub(super) fn commands(&self, harness: &Harness) -> Result<BTreeSet<String>, HarnessError> {
        match self {
            Build::Program(program) => commands_of(harness, program),
            Build::Reference { .. } => Ok(reference::COMMANDS.map(str::to_owned).into()),
        }
    }

    /// Why it cannot run a command, if we know that beforehand. What an unmodified program takes is its own business.
    pub(super) fn refuses(&self, words: &[String]) -> Option<String> {
        match self {
            Build::Program(_) => None,
            Build::Reference { .. } => reference::refuses(words),
        }
    }

    /// The same of a call, where it is a daemon.
    pub(super) fn refuses_call(&self, call: &Call) -> Option<String> {
        match self {
            Build::Program(_) => None,
            Build::Reference { .. } => reference::refuses_call(call),
        }
    }
}
