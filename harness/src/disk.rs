//! The disk driver: what each operation on locks, stamps and documents does to real files.
//!
//! The steps are those of `pkg/lockfile/lockfile_unix.go` and `pkg/ioutils/fswriters.go` at 9f889830f. Locks are POSIX
//! record locks on whole files: they belong to the process, and closing a descriptor drops them.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockproof_model::op::{LockResult, Op, Outcome, Path};
use lockproof_model::value::{Instant, Mtime, Stamp, Value};

use crate::documents::{self, Records};
use crate::error::HarnessError;
use crate::stamps::{self, Bytes, Fresh, Table};
use crate::sys::{self, Request};

/// `time.Sleep` after a failed `F_SETLKW` (`lock` in `pkg/lockfile/lockfile_unix.go`).
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(10);

/// What a lock request that has to wait does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It asks with `F_SETLK` and is told that it would wait: who waits, and who is granted, is for our caller to say.
    Park,
    /// It waits in the kernel, in `F_SETLKW`.
    Kernel,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is done.
    Done(Outcome),
    /// It would wait for another process. The same attempt later may succeed.
    Waits,
}

/// The files of one process, below one directory. Usable from many threads: no lock of ours is held while the kernel
/// lets one of them wait.
#[derive(Debug)]
pub struct Disk {
    base: PathBuf,
    fresh: Fresh,
    /// Whether somebody asks for [`take_numbered`](Disk::take_numbered).
    tell_stamps: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The descriptors of lock files, by the path they were opened by.
    open: HashMap<Path, Arc<File>>,
    /// The temporary file of each document that is being replaced.
    temporary: HashMap<Path, (File, PathBuf)>,
    stamps: Table,
    /// Stamps that were numbered since they were last asked for.
    numbered: Vec<(Stamp, Bytes)>,
    records: Records,
    /// How many temporary files this process made.
    files_made: u64,
}

impl Disk {
    /// The files below `base`.
    ///
    /// # Errors
    /// If there is no source of random bytes.
    pub fn new(base: impl Into<PathBuf>) -> Result<Self, HarnessError> {
        let fresh = Fresh::new().map_err(HarnessError::io("open", "/dev/urandom"))?;
        let base = base.into();
        let state = State { records: Records::below(base.join("root")), ..State::default() };
        Ok(Self { base, fresh, tell_stamps: false, state: Mutex::new(state) })
    }

    /// Keeps the bytes of each stamp for [`take_numbered`](Self::take_numbered).
    #[must_use]
    pub fn telling_stamps(self) -> Self {
        Self { tell_stamps: true, ..self }
    }

    /// Where `path` lies.
    #[must_use]
    pub fn at(&self, path: &Path) -> PathBuf {
        self.base.join(&path.0)
    }

    /// The stamps that got a number since this was last asked, with the bytes they stand for.
    pub fn take_numbered(&self) -> Vec<(Stamp, Bytes)> {
        std::mem::take(&mut self.state().numbered)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Performs an operation on files. `None` for one that is no business of the disk.
    ///
    /// # Errors
    /// What the system says, or a document that is none.
    pub fn perform(&self, op: &Op, waiting: Waiting) -> Result<Option<Attempt>, HarnessError> {
        let outcome = match op {
            Op::Lock { file, mode, wait } => {
                let request = if *wait && waiting == Waiting::Kernel { Request::Wait } else { Request::Try };
                let descriptor = self.descriptor(file)?;
                let result =
                    sys::set_lock(&*descriptor, *mode, request).map_err(HarnessError::io("lock", self.at(file)))?;
                if *wait && result == LockResult::WouldBlock {
                    return Ok(Some(Attempt::Waits));
                }
                Outcome::Locked(result)
            }
            Op::Close { file } => {
                self.state().open.remove(file);
                Outcome::Done
            }
            Op::Probe { file, .. } => {
                drop(self.open_lock_file(file)?);
                Outcome::Done
            }
            Op::ReadStamp { file } => {
                let descriptor = self.descriptor(file)?;
                let bytes = stamps::read(&descriptor).map_err(HarnessError::io("read the stamp of", self.at(file)))?;
                Outcome::Value(stamps::to_value(bytes.map(|bytes| self.number(bytes))))
            }
            Op::WriteStamp { file } => {
                let descriptor = self.descriptor(file)?;
                let bytes = self.fresh.stamp().map_err(HarnessError::io("read", "/dev/urandom"))?;
                stamps::write(&descriptor, &bytes).map_err(HarnessError::io("write the stamp of", self.at(file)))?;
                Outcome::Value(Value::Stamp(self.number(bytes)))
            }
            Op::Read { document } => Outcome::Value(self.read(&document.path)?),
            Op::WriteTemp { document, value } => {
                self.write_temporary(&document.path, value)?;
                Outcome::Done
            }
            Op::Sync { document } => {
                if let Some((file, path)) = self.state().temporary.get(&document.path) {
                    file.sync_data().map_err(HarnessError::io("sync", path.clone()))?;
                }
                Outcome::Done
            }
            Op::Rename { document, base, value } => {
                self.rename(&document.path, base, value)?;
                Outcome::Done
            }
            Op::Mtime { file } => {
                let path = self.at(file);
                Outcome::Value(match fs::metadata(&path) {
                    Ok(metadata) => Value::Mtime(Mtime(sys::mtime_ns(&metadata))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Value::Nil,
                    Err(error) => return Err(HarnessError::io("stat", path)(error)),
                })
            }
            Op::Now => Outcome::Value(Value::Instant(Instant(sys::now_ns()))),
            _ => return Ok(None),
        };
        Ok(Some(Attempt::Done(outcome)))
    }

    /// The descriptor of a lock file, opened if it is not open. It stays open until `Close`, even if it was opened only
    /// to read a stamp: to close it would drop the process's lock.
    pub(crate) fn descriptor(&self, file: &Path) -> Result<Arc<File>, HarnessError> {
        if let Some(open) = self.state().open.get(file) {
            return Ok(Arc::clone(open));
        }
        let opened = Arc::new(self.open_lock_file(file)?);
        self.state().open.insert(file.clone(), Arc::clone(&opened));
        Ok(opened)
    }

    /// `open(O_RDWR|O_CREAT|O_CLOEXEC, 0644)`, in a directory that is made if need be.
    fn open_lock_file(&self, file: &Path) -> Result<File, HarnessError> {
        let path = self.at(file);
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(&path);
        let opened = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_parent(&path).and_then(|()| open()),
            other => other,
        };
        opened.map_err(HarnessError::io("open", path))
    }

    fn number(&self, bytes: Bytes) -> Stamp {
        let mut state = self.state();
        let (stamp, new) = state.stamps.number(bytes);
        if new && self.tell_stamps {
            state.numbered.push((stamp, bytes));
        }
        stamp
    }

    /// The value of a document; `Nil` if there is no such file.
    pub(crate) fn read(&self, document: &Path) -> Result<Value, HarnessError> {
        let path = self.at(document);
        match fs::read(&path) {
            Ok(text) => {
                self.state().records.decode(document, &text).map_err(|problem| HarnessError::Document { path, problem })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Value::Nil),
            Err(error) => Err(HarnessError::io("read", path)(error)),
        }
    }

    fn write_temporary(&self, document: &Path, value: &Value) -> Result<(), HarnessError> {
        let path = self.at(document);
        let mut state = self.state();
        let text = state
            .records
            .encode(document, value)
            .map_err(|problem| HarnessError::Document { path: path.clone(), problem })?;
        state.files_made += 1;
        // Digits after the name, as Go's `os.CreateTemp` has them.
        let name = format!(".tmp-{}{}{:06}", document.file_name(), std::process::id(), state.files_made);
        let temporary = path.with_file_name(name);
        make_parent(&path).map_err(HarnessError::io("make the directory of", path))?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(HarnessError::io("make", temporary.clone()))?;
        file.write_all(&text).map_err(HarnessError::io("write", temporary.clone()))?;
        state.temporary.insert(document.clone(), (file, temporary));
        Ok(())
    }

    /// Renames the temporary file over the document. Of `layers.json`, the directories of the layers in the vfs driver
    /// are made before (`Create` of drivers/vfs comes before the last `Save`) and removed after.
    fn rename(&self, document: &Path, base: &Value, value: &Value) -> Result<(), HarnessError> {
        let path = self.at(document);
        let Some((file, temporary)) = self.state().temporary.remove(document) else {
            let problem = "no temporary file was written for it: the protocol renames without `WriteTemp`".into();
            return Err(HarnessError::Document { path, problem });
        };
        drop(file);
        let layers = (document.file_name() == "layers.json").then(|| VfsLayers::beside(&path)).flatten();
        let (before, after) = (documents::layer_ids(base), documents::layer_ids(value));
        if let Some(layers) = &layers {
            for id in after.iter().filter(|id| !before.contains(id)) {
                layers.create(id)?;
            }
        }
        fs::rename(&temporary, &path).map_err(HarnessError::io("rename over", path))?;
        if let Some(layers) = &layers {
            for id in before.iter().filter(|id| !after.contains(id)) {
                layers.remove(id)?;
            }
        }
        Ok(())
    }

    /// Writes a document at once, for the store that a run starts with.
    ///
    /// # Errors
    /// What the system says, or a value that the document cannot hold.
    pub fn put(&self, document: &Path, value: &Value) -> Result<(), HarnessError> {
        self.write_temporary(document, value)?;
        self.rename(document, &Value::Nil, value)
    }

    /// Makes an empty lock file, likewise.
    pub(crate) fn touch(&self, file: &Path) -> Result<(), HarnessError> {
        self.open_lock_file(file).map(drop)
    }

    /// Writes a fresh stamp into a lock file and closes it, likewise. Returns the stamp's bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn put_stamp(&self, file: &Path) -> Result<Bytes, HarnessError> {
        let opened = self.open_lock_file(file)?;
        let bytes = self.fresh.stamp().map_err(HarnessError::io("read", "/dev/urandom"))?;
        stamps::write(&opened, &bytes).map_err(HarnessError::io("write the stamp of", self.at(file)))?;
        Ok(bytes)
    }
}

/// The contents of the layers, in the vfs driver's layout: a directory each in `vfs/dir` beside `vfs-layers`.
struct VfsLayers {
    dir: PathBuf,
    layers: PathBuf,
}

impl VfsLayers {
    fn beside(layers_json: &FsPath) -> Option<Self> {
        let layers = layers_json.parent()?;
        Some(Self { dir: layers.parent()?.join("vfs/dir"), layers: layers.to_path_buf() })
    }

    fn create(&self, id: &str) -> Result<(), HarnessError> {
        let path = self.dir.join(id);
        fs::create_dir_all(&path).map_err(HarnessError::io("make", path))
    }

    fn remove(&self, id: &str) -> Result<(), HarnessError> {
        let tar_split = self.layers.join(format!("{id}.tar-split.gz"));
        for (path, removed) in [
            (self.dir.join(id), fs::remove_dir_all(self.dir.join(id))),
            (tar_split.clone(), fs::remove_file(&tar_split)),
        ] {
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(HarnessError::io("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn make_parent(path: &FsPath) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockproof_model::op::{Document, Mode};
    use lockproof_model::protocol::Layer;
    use lockproof_model::value::Datum;

    fn done(disk: &Disk, op: &Op) -> Outcome {
        match disk.perform(op, Waiting::Park).unwrap() {
            Some(Attempt::Done(outcome)) => outcome,
            other => panic!("{op:?} came to {other:?}"),
        }
    }

    #[test]
    fn a_layer_is_written_in_the_layout_of_the_vfs_driver_and_removed_again() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path()).unwrap();
        let lock = Path::new("root/vfs-layers/layers.lock");
        let document = Document { path: Path::new("root/vfs-layers/layers.json"), lock: lock.clone() };
        let read = Op::Read { document: document.clone() };
        assert_eq!(done(&disk, &read), Outcome::Value(Value::Nil));

        let one = vec![Layer { id: "a".into(), ..Layer::default() }].to_value();
        let none = Value::List(Vec::new());
        for (base, value, there) in [(&none, &one, true), (&one, &none, false)] {
            done(&disk, &Op::WriteTemp { document: document.clone(), value: value.clone() });
            done(&disk, &Op::Sync { document: document.clone() });
            done(&disk, &Op::Rename { document: document.clone(), base: base.clone(), value: value.clone() });
            assert_eq!(done(&disk, &read), Outcome::Value(value.clone()));
            assert_eq!(dir.path().join("root/vfs/dir/a").is_dir(), there);
        }
        let names: Vec<_> = fs::read_dir(dir.path().join("root/vfs-layers")).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file is left: {names:?}");
    }

    #[test]
    fn a_stamp_is_what_was_written_last() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path()).unwrap().telling_stamps();
        let file = Path::new("root/storage.lock");
        let read = Op::ReadStamp { file: file.clone() };
        assert_eq!(done(&disk, &read), Outcome::Value(Value::Nil));
        let lock = Op::Lock { file: file.clone(), mode: Mode::Exclusive, wait: true };
        assert_eq!(done(&disk, &lock), Outcome::Locked(LockResult::Granted));
        let written = done(&disk, &Op::WriteStamp { file: file.clone() });
        assert_eq!(done(&disk, &read), written);
        assert_eq!(disk.take_numbered().last().map(|(stamp, _)| Outcome::Value(Value::Stamp(*stamp))), Some(written));
    }
}
