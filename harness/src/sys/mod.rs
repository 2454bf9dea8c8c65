//! What the kernel is asked for that the standard library does not offer. The only module that may be unsafe.
//!
//! | module | subject |
//! | --- | --- |
//! | [`seccomp`] | system calls of other processes, seen before they happen |
//! | [`socket`] | messages with descriptors |
//! | [`watch`] | waiting for several descriptors at once |
//! | [`process`] | processes held by descriptor, their namespaces, and what they leave |
#![allow(unsafe_code)]

pub mod process;
pub mod seccomp;
pub mod socket;
pub mod watch;

use std::fs::Metadata;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use lockproof_model::op::{LockResult, Mode};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::Signal;

/// Which of the kernel's lock requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `F_SETLK`: a POSIX lock, now or not at all.
    Try,
    /// `F_SETLKW`: a POSIX lock, waiting.
    Wait,
    /// `F_OFD_SETLKW`: a lock of the open file description, waiting. No protocol here uses it.
    WaitOfd,
}

/// Locks the whole of an open file: fcntl(2), "Advisory record locking", with `l_start` and `l_len` 0.
///
/// # Errors
/// What the kernel says, other than `EAGAIN`, `EACCES` and `EDEADLK`, which are results.
pub fn set_lock(file: impl AsFd, mode: Mode, request: Request) -> io::Result<LockResult> {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    // The constants are small numbers that fit the fields' types, which differ from theirs.
    #[allow(clippy::cast_possible_truncation)]
    let lock = libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 };
    loop {
        let asked = match request {
            Request::Try => fcntl(&file, FcntlArg::F_SETLK(&lock)),
            Request::Wait => fcntl(&file, FcntlArg::F_SETLKW(&lock)),
            Request::WaitOfd => fcntl(&file, FcntlArg::F_OFD_SETLKW(&lock)),
        };
        return match asked {
            Ok(_) => Ok(LockResult::Granted),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(LockResult::WouldBlock),
            Err(Errno::EDEADLK) => Ok(LockResult::Deadlock),
            Err(Errno::EINTR) => continue,
            Err(other) => Err(other.into()),
        };
    }
}

/// Nanoseconds since the epoch, of `CLOCK_REALTIME`.
#[must_use]
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// `st_mtim` in nanoseconds since the epoch.
#[must_use]
pub fn mtime_ns(metadata: &Metadata) -> u64 {
    let (seconds, rest) = (metadata.mtime(), metadata.mtime_nsec());
    u64::try_from(i128::from(seconds) * 1_000_000_000 + i128::from(rest)).unwrap_or(0)
}

/// Asks the kernel to kill this process when its parent ends (`PR_SET_PDEATHSIG` of prctl(2): when the *thread* that
/// started it ends). Returns whether `parent` is still the parent; if it ended before we asked, no signal comes.
///
/// # Errors
/// What the kernel says.
pub fn die_with_parent(parent: u32) -> io::Result<bool> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    Ok(std::os::unix::process::parent_id() == parent)
}
