//! What the supervisor and the launcher say to each other, one message each.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the launcher is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub(crate) enum Order {
    /// Start a program. Its standard input, output and error come with the message.
    Start {
        /// The number by which it is spoken of.
        number: u32,
        /// The program and its arguments.
        command: Vec<OsString>,
        /// In which directory.
        directory: PathBuf,
        /// What is set in its environment; the rest is ours. A list, for a key of JSON cannot be an `OsString`.
        environment: Vec<(OsString, OsString)>,
    },
    /// Kill whatever is left.
    Sweep,
}

/// What it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub(crate) enum Report {
    /// The filter is there. The listener and a descriptor of the launcher come with it.
    Listening {
        /// Whether it is init of a namespace.
        isolated: bool,
        /// Why it is not, though that was asked for.
        why_not: Option<String>,
    },
    /// There is no filter.
    Deaf {
        /// The `errno`.
        errno: i32,
    },
    /// A program runs. A descriptor of it comes with the message.
    Started {
        /// By its number.
        number: u32,
    },
    /// A program does not run.
    NotStarted {
        /// By its number.
        number: u32,
        /// Why.
        problem: String,
    },
    /// A program has ended.
    Ended {
        /// By its number.
        number: u32,
        /// The status as wait(2) gives it.
        status: i32,
    },
    /// Nothing is left.
    Swept,
}
