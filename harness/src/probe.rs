//! A plain process that opens, locks and closes files as it is told: for the rules of Linux that the model states.
//!
//! It knows no protocol. Each of its descriptors has a number, so that one file can be open twice.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockproof_model::op::{LockResult, Mode};

use crate::Harness;
use crate::error::HarnessError;
use crate::process::Worker;
use crate::sys::{self, Request};
use crate::wire::{Answer, Probing, Role};
use crate::worker;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A process that opens, locks and closes files.
#[derive(Debug)]
pub struct Probe {
    worker: Worker,
}

impl Probe {
    /// Starts one.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(harness: &Harness, name: &str) -> Result<Self, HarnessError> {
        Ok(Self { worker: Worker::start(harness, name, Role::Probe, LIMIT)?.ready()? })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.worker.pid()
    }

    /// Opens a file for reading and writing, and makes it if need be.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(&mut self, slot: u32, path: &Path) -> Result<(), HarnessError> {
        self.ask(&Probing::Open { slot, path: path.to_path_buf() }).map(drop)
    }

    /// Closes a descriptor.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn close(&mut self, slot: u32) -> Result<(), HarnessError> {
        self.ask(&Probing::Close { slot }).map(drop)
    }

    /// Asks for a lock, now or not at all.
    ///
    /// # Errors
    /// If the process is gone or the kernel says something unforeseen.
    pub fn try_lock(&mut self, slot: u32, mode: Mode) -> Result<LockResult, HarnessError> {
        let result = self.ask(&Probing::Try { slot, mode })?;
        result.ok_or_else(|| self.worker.problem("it says nothing of the lock".into()))
    }

    /// Asks for a lock in a thread of its own, and does not wait for the answer.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn request(&mut self, slot: u32, mode: Mode) -> Result<(), HarnessError> {
        self.ask(&Probing::Wait { slot, mode, ofd: false }).map(drop)
    }

    /// The same, for a lock of the open file description.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn request_ofd(&mut self, slot: u32, mode: Mode) -> Result<(), HarnessError> {
        self.ask(&Probing::Wait { slot, mode, ofd: true }).map(drop)
    }

    /// What became of a request; `None` while it waits.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn result(&mut self, slot: u32) -> Result<Option<LockResult>, HarnessError> {
        self.ask(&Probing::Result { slot })
    }

    /// What becomes of a request within `limit`; `None` if it waits even then.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn result_within(&mut self, slot: u32, limit: Duration) -> Result<Option<LockResult>, HarnessError> {
        let until = Instant::now() + limit;
        loop {
            let result = self.result(slot)?;
            if result.is_some() || Instant::now() >= until {
                return Ok(result);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it with `SIGKILL`, and waits for its end.
    pub fn kill(&mut self) {
        self.worker.kill();
    }

    fn ask(&mut self, what: &Probing) -> Result<Option<LockResult>, HarnessError> {
        match self.worker.ask(what)? {
            Answer::Probed { result } => Ok(result),
            other => Err(self.worker.unexpected(&other)),
        }
    }
}

/// The child's side.
pub(crate) fn serve() -> Result<i32, String> {
    let mut open: HashMap<u32, Arc<File>> = HashMap::new();
    let results: Arc<Mutex<HashMap<u32, LockResult>>> = Arc::default();
    worker::say(&Answer::Ready { pid: std::process::id() })?;
    while let Some(what) = worker::hear::<Probing>()? {
        let file = |slot| open.get(&slot).cloned().ok_or_else(|| format!("descriptor {slot} is not open"));
        let result = match what {
            Probing::Open { slot, path } => {
                let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
                let opened = opened.map_err(|error| format!("it cannot open {}: {error}", path.display()))?;
                open.insert(slot, Arc::new(opened));
                None
            }
            Probing::Close { slot } => {
                open.remove(&slot);
                None
            }
            Probing::Try { slot, mode } => {
                Some(sys::set_lock(&*file(slot)?, mode, Request::Try).map_err(|error| error.to_string())?)
            }
            Probing::Wait { slot, mode, ofd } => {
                let (file, results) = (file(slot)?, Arc::clone(&results));
                results.lock().unwrap_or_else(PoisonError::into_inner).remove(&slot);
                let request = if ofd { Request::WaitOfd } else { Request::Wait };
                std::thread::spawn(move || {
                    if let Ok(result) = sys::set_lock(&*file, mode, request) {
                        results.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, result);
                    }
                });
                None
            }
            Probing::Result { slot } => results.lock().unwrap_or_else(PoisonError::into_inner).get(&slot).copied(),
        };
        worker::say(&Answer::Probed { result })?;
    }
    Ok(0)
}
