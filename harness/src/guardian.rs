//! The directory of a run. It is gone after the run, whatever becomes of us.
//!
//! A process that is killed with `SIGKILL` removes nothing. So the directory belongs to a small process of its own, the
//! guardian: it makes the directory, waits for the end of its stdin, which is a pipe that only we hold open, and
//! removes the directory. It has a process group of its own, so Ctrl-C does not reach it, and it outlives whatever else asks
//! for its end.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Harness;
use crate::error::HarnessError;
use crate::process::Worker;
use crate::sys::process;
use crate::wire::{Answer, Role};
use crate::worker;

/// How long the guardian may take to make or remove the directory.
const LIMIT: Duration = Duration::from_secs(10);

/// How often the guardian tries to remove the directory, while processes that are being killed may still write there.
const TRIES: u32 = 200;

/// How long it waits between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// A directory that is removed when this is dropped, and also if our process dies.
#[derive(Debug)]
pub struct RunDirectory {
    guardian: Worker,
    path: PathBuf,
}

impl RunDirectory {
    /// A new directory in the system's directory for temporary files.
    ///
    /// # Errors
    /// If the guardian cannot be started or cannot make it.
    pub fn new(harness: &Harness) -> Result<Self, HarnessError> {
        Self::below(harness, &std::env::temp_dir())
    }

    /// A new directory in this one.
    ///
    /// # Errors
    /// If the guardian cannot be started or cannot make it.
    pub fn below(harness: &Harness, directory: &Path) -> Result<Self, HarnessError> {
        let role = Role::Guardian { below: directory.to_path_buf() };
        let mut guardian = Worker::start(harness, "guardian", role, LIMIT)?;
        match guardian.first()? {
            Answer::Guards { directory } => Ok(Self { guardian, path: directory }),
            other => Err(guardian.unexpected(&other)),
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The guardian's process id.
    #[must_use]
    pub fn guardian(&self) -> u32 {
        self.guardian.pid()
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // It removes the directory at the end of its stdin. An error here has nowhere to go; what is left is seen.
        let _ = self.guardian.finish();
    }
}

/// The guardian's side.
pub(crate) fn watch(below: &Path) -> Result<i32, String> {
    process::outlive(&process::ASKED).map_err(|error| format!("it cannot handle signals: {error}"))?;
    let made = tempfile::Builder::new().prefix("lockproof-").tempdir_in(below);
    let directory = made.map_err(|error| format!("it cannot make a directory in {}: {error}", below.display()))?.keep();
    // The parent may be gone already; its end is seen below.
    let _ = worker::say(&Answer::Guards { directory: directory.clone() });
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
    for _ in 0..TRIES {
        // That something in it is gone meanwhile does not say that it is.
        match fs::remove_dir_all(&directory) {
            Err(_) if directory.exists() => std::thread::sleep(BETWEEN_TRIES),
            _ => return Ok(0),
        }
    }
    Err(format!("it cannot remove {}", directory.display()))
}
