//! How often each lock file was granted, counted across processes: a file for each, one byte longer at each grant.
//!
//! An append is atomic (open(2), `O_APPEND`), so processes that know nothing of each other can count together, and the
//! length of the file is the count.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use lockproof_model::op::Path;

/// The counters of one directory.
#[derive(Debug)]
pub(super) struct Counters {
    directory: PathBuf,
    open: Mutex<HashMap<Path, Arc<File>>>,
}

impl Counters {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, open: Mutex::default() }
    }

    fn file(&self, lock: &Path) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(lock) {
            return Ok(Arc::clone(file));
        }
        let path = self.directory.join(lock.0.replace('/', "+"));
        let file = Arc::new(OpenOptions::new().append(true).create(true).open(path)?);
        open.insert(lock.clone(), Arc::clone(&file));
        Ok(file)
    }

    /// How many grants there were.
    pub(super) fn count(&self, lock: &Path) -> io::Result<u64> {
        Ok(self.file(lock)?.metadata()?.len())
    }

    /// Counts one more. Returns how many there were before.
    pub(super) fn grant(&self, lock: &Path) -> io::Result<u64> {
        let file = self.file(lock)?;
        let before = file.metadata()?.len();
        (&*file).write_all(b"x")?;
        Ok(before)
    }
}
