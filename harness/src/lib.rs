//! Real processes: the same protocol text as the model's, on real files, with real record locks.
//!
//! | module | subject |
//! | --- | --- |
//! | [`disk`] | what each operation does to files |
//! | [`documents`] | the JSON files of containers/storage |
//! | [`stamps`] | the 64 bytes at the beginning of a lock file |
//! | [`worker`] | a process of a system, as the child sees it |
//! | [`process`] | the same, as its parent sees it: started, asked, killed, waited for |
//! | `free` | a process whose threads go freely: what a load and a reference process have in common |
//! | `reference` | the same protocol as a command, with the arguments of `containers-storage`, and as a daemon, told its calls as the library is |
//! | [`guardian`] | the directory of a run, removed even if we are killed |
//! | [`replay`] | a schedule, in the model and by real processes, one step at a time |
//! | [`shown`] | whether real processes showed what the model says |
//! | [`stress`] | the same processes, running freely |
//! | [`beside`] | the real library as a daemon, and real commands beside it, running freely |
//! | [`supervise`] | unmodified programs, each call about a lock or a file seen before it happens |
//! | [`hunt`] | the unmodified `containers-storage` against itself, one interleaving after the other |
//! | [`doctor`] | what works on this machine |
//! | [`kernel`] | the kernel's own account of locks |
//! | [`library`] | the real library in a long-lived process, by a small Go program of ours |
//! | `proc` | the fields of files of `/proc` |
//! | [`probe`] | a plain process that opens and locks files, for the rules of Linux |
#![deny(unsafe_code)]

pub mod beside;
mod bounded;
pub mod disk;
pub mod doctor;
pub mod documents;
mod error;
mod free;
pub mod guardian;
pub mod hunt;
pub mod kernel;
pub mod library;
pub mod probe;
mod proc;
pub mod process;
mod reference;
pub mod replay;
pub mod shown;
pub mod stamps;
mod store;
pub mod stress;
pub mod supervise;
pub mod sys;
mod thread;
mod wire;
pub mod worker;

use std::path::PathBuf;

pub use error::HarnessError;
pub use wire::{BlockedRequest, StillWaiting};

/// Starts real processes: it knows which program they are.
#[derive(Clone, Debug)]
pub struct Harness {
    /// The program that is executed for each process; it calls [`worker::run_if_asked`] first of all.
    pub program: PathBuf,
}

impl Harness {
    /// Processes are `program`, executed again.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Processes are the program that runs now.
    ///
    /// # Errors
    /// [`HarnessError::Io`] if the system does not say which that is.
    pub fn current() -> Result<Self, HarnessError> {
        let program = std::env::current_exe().map_err(HarnessError::io("find our own program", "/proc/self/exe"))?;
        Ok(Self::new(program))
    }
}
