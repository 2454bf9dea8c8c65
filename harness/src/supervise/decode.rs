//! What a stopped call means.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockproof_model::op::Mode;
use nix::libc;

use super::descriptors::Descriptors;
use super::event::{Action, Content, FileId, FileRef, LockKind, OpenMode, Range, Wanted};
use super::filter::{Place, Spelling, Trap};
use super::locks::{Owner, Request};
use super::memory;
use crate::proc::Fields;
use crate::sys::seccomp::Notification;

/// What Go's `sysmon` sleeps at least. Less is how a thread makes room for another (`runqgrab`, runtime/proc.go).
const SLEEP_MIN: Duration = Duration::from_micros(20);

/// A document that is longer is not looked into, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 1 << 20;

/// What a stamp has, in bytes, in every release of containers/storage; more bytes of a lock file are not looked into.
const STAMP_BYTES: u64 = 64;

/// Which files are looked at. Locks are, of whatever file.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    /// Those below these directories; if there are none, all but those of the system.
    pub below: Vec<PathBuf>,
}

/// Where programs and their libraries, the kernel's own file systems and the like are.
const SYSTEM: [&str; 10] = ["/proc", "/sys", "/dev", "/usr", "/lib", "/lib64", "/etc", "/bin", "/sbin", "/nix"];

impl Interest {
    fn is_in(&self, path: &Path) -> bool {
        if !self.below.is_empty() {
            return self.below.iter().any(|directory| path.starts_with(directory));
        }
        let shared_memory = path.starts_with("/dev/shm");
        path.is_absolute() && (shared_memory || !SYSTEM.iter().any(|directory| path.starts_with(directory)))
    }
}

/// A call, understood.
#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    /// Nothing that is looked at.
    Nothing,
    /// Something is done to a file.
    Plain(Action),
    /// A lock is asked for, through this descriptor.
    Lock(Request, i32),
    /// A request to unlock, through this descriptor.
    Unlock(FileRef, LockKind, Range, i32),
    /// Descriptors from the first to the last are closed.
    Close(u32, u32),
    /// A program is executed.
    Execute(PathBuf),
    /// The process's root is changed.
    ChangeRoot,
    /// A process or a thread is started.
    Fork,
    /// A thread may be woken, of another process, too.
    Wake { elsewhere: bool },
    /// A thread sleeps for a time, of at least [`SLEEP_MIN`].
    Sleep,
    /// The process ends.
    Exit(i32),
}

/// Who makes the call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) process: u32,
    /// It has another root directory than we.
    pub(crate) elsewhere: bool,
}

pub(super) struct Decoder<'a> {
    pub(super) interest: &'a Interest,
    pub(super) descriptors: &'a Descriptors,
    /// The files that have been locked.
    pub(crate) locked: &'a HashSet<FileId>,
    pub(crate) caller: Caller,
    pub(crate) call: &'a Notification,
}

impl Decoder<'_> {
    /// What it means. A call whose arguments cannot be read fails by itself: it means nothing.
    pub(crate) fn meaning(&self, trap: Trap) -> Meaning {
        self.decode(trap).unwrap_or(Meaning::Nothing)
    }

    fn decode(&self, trap: Trap) -> Option<Meaning> {
        let plain = |action| Some(Meaning::Plain(action));
        match trap {
            Trap::Fcntl => self.fcntl(),
            Trap::Flock => self.flock(),
            Trap::Close => Some(Meaning::Close(self.word(0), self.word(0))),
            Trap::CloseRange => Some(Meaning::Close(self.word(0), self.word(1))),
            Trap::Replace if self.word(0) == self.word(1) => None,
            Trap::Replace => Some(Meaning::Close(self.word(1), self.word(1))),
            Trap::Open(spelling) => {
                let flags = self.argument(if spelling == Spelling::Plain { 1 } else { 2 });
                self.open(spelling, flags)
            }
            Trap::OpenWith => self.open(Spelling::At, memory::flags(self.call.thread, self.argument(2)).ok()?),
            Trap::Create => {
                // Small positive constants.
                let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
                self.open(Spelling::Plain, u64::try_from(flags).ok()?)
            }
            Trap::Read(place) => self.read(place),
            Trap::Write(place) => self.write(place),
            Trap::Status(spelling) => plain(Action::Status { file: self.path(spelling, 0)? }),
            Trap::StatusOfOpen => plain(Action::Status { file: self.descriptor()? }),
            Trap::Rename(spelling) => {
                let (from, to) = if spelling == Spelling::Plain { (0, 1) } else { (0, 2) };
                let (from, to) = (self.any_path(spelling, from, false)?, self.any_path(spelling, to, false)?);
                // One end out of sight does not make the other uninteresting.
                let is_seen = self.interest.is_in(&from.path) || self.interest.is_in(&to.path);
                is_seen.then_some(Meaning::Plain(Action::Rename { from, to }))
            }
            Trap::Unlink(spelling) => {
                let directory = spelling == Spelling::At && self.word(2) & libc::AT_REMOVEDIR.cast_unsigned() != 0;
                plain(Action::Unlink { file: self.name(spelling, 0)?, directory })
            }
            Trap::RemoveDirectory => plain(Action::Unlink { file: self.name(Spelling::Plain, 0)?, directory: true }),
            Trap::MakeDirectory(spelling) => plain(Action::MakeDirectory { file: self.name(spelling, 0)? }),
            Trap::Link(spelling) => {
                let (from, to) = if spelling == Spelling::Plain { (0, 1) } else { (0, 2) };
                let target = self.any_path(spelling, from, false)?.path;
                plain(Action::Link { target, file: self.name(spelling, to)?, symbolic: false })
            }
            Trap::Symlink(spelling) => {
                let target = PathBuf::from(memory::string(self.call.thread, self.argument(0)).ok()?);
                plain(Action::Link { target, file: self.name(spelling, 1)?, symbolic: true })
            }
            Trap::Truncate => plain(Action::Truncate { file: self.path(Spelling::Plain, 0)?, bytes: self.argument(1) }),
            Trap::TruncateOpen => plain(Action::Truncate { file: self.descriptor()?, bytes: self.argument(1) }),
            Trap::Sync => plain(Action::Sync { file: self.descriptor()? }),
            Trap::ChangeMode(spelling) => plain(Action::Change { file: self.path(spelling, 0)? }),
            Trap::SetTimes if self.argument(1) == 0 => plain(Action::Change { file: self.descriptor()? }),
            Trap::SetTimes => plain(Action::Change { file: self.path(Spelling::At, 0)? }),
            Trap::List => plain(Action::List { file: self.descriptor()? }),
            Trap::Mount => {
                let file = self.resolved(libc::AT_FDCWD, 1, true)?;
                plain(Action::Mount { file, unmount: false })
            }
            Trap::Unmount => plain(Action::Mount { file: self.path(Spelling::Plain, 0)?, unmount: true }),
            Trap::ChangeRoot => Some(Meaning::ChangeRoot),
            Trap::Execute(spelling) => Some(Meaning::Execute(self.any_path(spelling, 0, true)?.path)),
            Trap::Fork => Some(Meaning::Fork),
            Trap::Wake => {
                let is_private = libc::FUTEX_PRIVATE_FLAG.cast_unsigned() & self.word(1) != 0;
                Some(Meaning::Wake { elsewhere: self.call.number != libc::SYS_futex || !is_private })
            }
            Trap::Sleep => {
                let is_plain = self.call.number == libc::SYS_nanosleep;
                let is_until = !is_plain && self.word(1).cast_signed() & libc::TIMER_ABSTIME != 0;
                let time = memory::duration(self.call.thread, self.argument(if is_plain { 0 } else { 2 })).ok()??;
                (is_until || time >= SLEEP_MIN).then_some(Meaning::Sleep)
            }
            Trap::Exit => Some(Meaning::Exit(self.word(0).cast_signed())),
        }
    }

    fn argument(&self, index: usize) -> u64 {
        self.call.arguments[index]
    }

    fn word(&self, index: usize) -> u32 {
        self.call.word(index)
    }

    fn descriptor_number(&self, index: usize) -> i32 {
        self.word(index).cast_signed()
    }

    /// The file of the first argument, a descriptor, if it is of interest.
    fn descriptor(&self) -> Option<FileRef> {
        self.file_of(self.descriptor_number(0), |link| self.interest.is_in(link))
    }

    /// The same, whatever its path is: locks are looked at wherever they are.
    fn locked_file(&self) -> Option<FileRef> {
        self.file_of(self.descriptor_number(0), |link| link.is_absolute())
    }

    /// The file of a path, or of the directory's descriptor where the path is empty, if it is of interest.
    fn resolved(&self, directory: i32, index: usize, follow: bool) -> Option<FileRef> {
        let path = PathBuf::from(memory::string(self.call.thread, self.argument(index)).ok()?);
        if path.as_os_str().is_empty() && directory != libc::AT_FDCWD {
            // The path under which it was opened may be another file's by now.
            return self.file_of(directory, |link| self.interest.is_in(link));
        }
        let Caller { process, elsewhere } = self.caller;
        let path = memory::absolute(process, directory, path);
        // What is of no interest is not looked up.
        self.interest.is_in(&path).then(|| memory::resolve(process, path, elsewhere, follow))
    }

    fn file_of(&self, descriptor: i32, wanted: impl Fn(&PathBuf) -> bool) -> Option<FileRef> {
        self.descriptors.file(self.caller.process, descriptor, wanted)
    }

    fn any_path(&self, spelling: Spelling, index: usize, follow: bool) -> Option<FileRef> {
        let (directory, path) = match spelling {
            Spelling::Plain => (libc::AT_FDCWD, index),
            Spelling::At => (self.descriptor_number(index), index + 1),
        };
        let text = PathBuf::from(memory::string(self.call.thread, self.argument(path)).ok()?);
        let Caller { process, elsewhere } = self.caller;
        Some(memory::resolve(process, memory::absolute(process, directory, text), elsewhere, follow))
    }

    /// The file of a path, if it is of interest.
    fn path(&self, spelling: Spelling, index: usize) -> Option<FileRef> {
        self.interesting(spelling, index, true)
    }

    /// The same, of a name: a symbolic link is not followed.
    fn name(&self, spelling: Spelling, index: usize) -> Option<FileRef> {
        self.interesting(spelling, index, false)
    }

    fn interesting(&self, spelling: Spelling, index: usize, follow: bool) -> Option<FileRef> {
        match spelling {
            Spelling::Plain => self.resolved(libc::AT_FDCWD, index, follow),
            Spelling::At => self.resolved(self.descriptor_number(index), index + 1, follow),
        }
    }

    fn open(&self, spelling: Spelling, flags: u64) -> Option<Meaning> {
        let has = |flag: i32| flags & u64::from(flag.cast_unsigned()) != 0;
        let file = self.interesting(spelling, 0, !has(libc::O_NOFOLLOW))?;
        let access = flags & u64::from(libc::O_ACCMODE.cast_unsigned());
        let mode = OpenMode {
            read: access != u64::from(libc::O_WRONLY.cast_unsigned()),
            write: access != u64::from(libc::O_RDONLY.cast_unsigned()),
            create: has(libc::O_CREAT),
            exclusive: has(libc::O_EXCL),
            truncate: has(libc::O_TRUNC),
        };
        Some(Meaning::Plain(Action::Open { file, mode }))
    }

    fn read(&self, place: Place) -> Option<Meaning> {
        let file = self.descriptor()?;
        let offset = (place == Place::Given).then(|| self.argument(3));
        let bytes = if place == Place::Scattered { 0 } else { self.argument(2) };
        let content = self.there(&file, offset, bytes);
        Some(Meaning::Plain(Action::Read { file, offset, bytes, content }))
    }

    /// What is at the beginning of a file that is read there.
    fn there(&self, file: &FileRef, offset: Option<u64>, bytes: u64) -> Option<Content> {
        let (is_document, is_lock) = (is_document(&file.path), self.is_lock_file(file));
        if !is_document && !is_lock {
            return None;
        }
        let mut open = File::open(format!("/proc/{}/fd/{}", self.caller.process, self.descriptor_number(0))).ok()?;
        if offset.or_else(|| self.position())? != 0 {
            return None;
        }
        if is_document {
            let length = open.metadata().ok()?.len();
            if length > DOCUMENT_BYTES_MAX {
                return Some(Content::Long(length));
            }
            let mut text = Vec::new();
            open.read_to_end(&mut text).ok()?;
            return Some(document(&text));
        }
        if bytes > STAMP_BYTES {
            return None;
        }
        let mut stamp = vec![0; usize::try_from(bytes).ok()?];
        let read = open.read_at(&mut stamp, 0).ok()?;
        Some(Content::Bytes(hexadecimal(&stamp[..read])))
    }

    /// Where the descriptor of the first argument stands.
    fn position(&self) -> Option<u64> {
        let descriptor = self.descriptor_number(0);
        Fields::of(format!("/proc/{}/fdinfo/{descriptor}", self.caller.process))?.number("pos")
    }

    fn write(&self, place: Place) -> Option<Meaning> {
        let file = self.descriptor()?;
        let offset = (place == Place::Given).then(|| self.argument(3));
        let (is_document, is_lock) = (is_document(&file.path), self.is_lock_file(&file));
        let limit = usize::try_from(if is_document { DOCUMENT_BYTES_MAX } else { STAMP_BYTES }).ok()?;
        let looked_into = is_document || is_lock;
        let (data, bytes) = match place {
            Place::Scattered => {
                let limit = if looked_into { limit } else { 0 };
                memory::scattered(self.call.thread, self.argument(1), self.argument(2), limit).ok()?
            }
            Place::Here | Place::Given => {
                let bytes = self.argument(2);
                let fits = looked_into && bytes <= limit as u64;
                let data = if fits {
                    memory::bytes(self.call.thread, self.argument(1), usize::try_from(bytes).ok()?).ok()?
                } else {
                    Vec::new()
                };
                (data, bytes)
            }
        };
        let content = match looked_into {
            false => None,
            true if bytes != data.len() as u64 => is_document.then_some(Content::Long(bytes)),
            true if is_document => Some(document(&data)),
            true if offset.or_else(|| self.position()) == Some(0) => Some(Content::Bytes(hexadecimal(&data))),
            true => None,
        };
        Some(Meaning::Plain(Action::Write { file, offset, bytes, content }))
    }

    fn is_lock_file(&self, file: &FileRef) -> bool {
        file.id.is_some_and(|id| self.locked.contains(&id)) || file.path.extension().is_some_and(|end| end == "lock")
    }

    fn fcntl(&self) -> Option<Meaning> {
        let raw = memory::lock(self.call.thread, self.argument(2)).ok()?;
        let request = self.word(1).cast_signed();
        let kind = match request {
            libc::F_OFD_SETLK | libc::F_OFD_SETLKW => LockKind::OpenFile,
            _ => LockKind::Posix,
        };
        let file = self.locked_file()?;
        let range = self.range(raw)?;
        match raw.kind {
            libc::F_UNLCK => Some(Meaning::Unlock(file, kind, range, self.descriptor_number(0))),
            libc::F_RDLCK | libc::F_WRLCK => {
                let mode = if raw.kind == libc::F_RDLCK { Mode::Shared } else { Mode::Exclusive };
                let waits = matches!(request, libc::F_SETLKW | libc::F_OFD_SETLKW);
                self.lock(Wanted { file, kind, mode, range, waits })
            }
            _ => None,
        }
    }

    fn flock(&self) -> Option<Meaning> {
        let file = self.locked_file()?;
        let operation = self.word(1).cast_signed();
        let mode = match operation & !libc::LOCK_NB {
            libc::LOCK_UN => {
                return Some(Meaning::Unlock(file, LockKind::Flock, Range::ALL, self.descriptor_number(0)));
            }
            libc::LOCK_SH => Mode::Shared,
            libc::LOCK_EX => Mode::Exclusive,
            _ => return None,
        };
        let waits = operation & libc::LOCK_NB == 0;
        self.lock(Wanted { file, kind: LockKind::Flock, mode, range: Range::ALL, waits })
    }

    fn lock(&self, wanted: Wanted) -> Option<Meaning> {
        let owner = match wanted.kind {
            LockKind::Posix => Owner::Process(self.caller.process),
            LockKind::OpenFile | LockKind::Flock => Owner::Description(self.caller.process, self.descriptor_number(0)),
        };
        Some(Meaning::Lock(Request { owner, file: wanted.file.id?, wanted }, self.descriptor_number(0)))
    }

    /// The bytes of a `struct flock` (`flock_to_posix_lock` in fs/locks.c).
    fn range(&self, raw: memory::RawLock) -> Option<Range> {
        let base = match raw.whence {
            libc::SEEK_SET => 0,
            libc::SEEK_CUR => i64::try_from(self.position()?).ok()?,
            libc::SEEK_END => {
                let descriptor = self.descriptor_number(0);
                let found = fs::metadata(format!("/proc/{}/fd/{descriptor}", self.caller.process)).ok()?;
                i64::try_from(found.len()).ok()?
            }
            _ => return None,
        };
        let start = base.checked_add(raw.start)?;
        let (start, end) = match raw.length {
            0 => (start, None),
            length if length > 0 => (start, Some(start.checked_add(length - 1)?)),
            length => (start.checked_add(length)?, Some(start.checked_sub(1)?)),
        };
        let end = end.map_or(Some(u64::MAX), |end| u64::try_from(end).ok())?;
        Some(Range { start: u64::try_from(start).ok()?, end })
    }
}

/// Whether a file's name says that it is a JSON document, or one that is being written (`.tmp-layers.json123`).
fn is_document(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
        name.ends_with(".json")
            || (name.starts_with(".tmp-")
                && name.trim_end_matches(|digit: char| digit.is_ascii_digit()).ends_with(".json"))
    })
}

fn document(text: &[u8]) -> Content {
    serde_json::from_slice(text).map_or_else(|_| Content::Bytes(hexadecimal(text)), Content::Json)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
