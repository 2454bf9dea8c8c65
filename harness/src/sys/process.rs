//! Processes that are not ours to wait for: held by descriptor (pidfd_open(2)), looked into, kept in a namespace of their
//! own.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use lockproof_model::op::Mode;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::proc::Fields;

/// A descriptor of a process: readable when the process has ended, and its number is not used again for another.
///
/// # Errors
/// What the kernel says: `ESRCH` if there is no such process, or it is a mere thread.
pub fn hold(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two numbers.
    let held = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let held = RawFd::try_from(held).unwrap_or(-1);
    if held < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(held) })
}

/// The number, in our namespace, of a process that is held; `None` if it has been waited for.
#[must_use]
pub fn number(held: impl AsFd) -> Option<u32> {
    Fields::of(format!("/proc/self/fdinfo/{}", held.as_fd().as_raw_fd()))?.number("Pid")
}

/// Sends `SIGKILL` to a process that is held. That it has ended already is no error.
///
/// # Errors
/// What the kernel says.
pub fn kill(held: impl AsFd) -> io::Result<()> {
    let raw = held.as_fd().as_raw_fd();
    // SAFETY: a null pointer is allowed for the signal's information.
    let sent =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, raw, libc::SIGKILL, std::ptr::null::<libc::c_void>(), 0) };
    match sent {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            error => Err(error),
        },
    }
}

/// A descriptor of ours of what a process has open as `descriptor` (pidfd_getfd(2), Linux 5.6): one description, with one
/// position. Closed on exec.
///
/// # Errors
/// What the kernel says: `EBADF` if the process has no such descriptor, `EPERM` where we may not trace it.
pub fn descriptor_of(held: impl AsFd, descriptor: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers.
    let ours = unsafe { libc::syscall(libc::SYS_pidfd_getfd, held.as_fd().as_raw_fd(), descriptor, 0) };
    let ours = RawFd::try_from(ours).unwrap_or(-1);
    if ours < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(ours) })
}

/// Whether two descriptors of two processes are one open file description (kcmp(2)); `None` if the kernel does not say.
#[must_use]
pub fn same_description(first: (u32, i32), second: (u32, i32)) -> Option<bool> {
    const KCMP_FILE: libc::c_int = 0;
    // SAFETY: the call takes numbers.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, first.0, second.0, KCMP_FILE, first.1, second.1) };
    (order >= 0).then_some(order == 0)
}

/// Who keeps a lock from us: asked with `F_GETLK` for bytes `start` to `end` of an open file, in our own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// The process, in our namespace; `None` for a lock of an open file description, or of a process elsewhere.
    pub pid: Option<u32>,
    /// The mode of its lock.
    pub mode: Mode,
}

/// A process that holds a POSIX or open-file-description lock that excludes `mode` on `start..=end`; `None` if there is
/// none. Of several, one (fcntl(2), `F_GETLK`). `u64::MAX` is the end of the file, however long it grows.
///
/// # Errors
/// What the kernel says.
pub fn keeper(file: impl AsFd, mode: Mode, start: u64, end: u64) -> io::Result<Option<Keeper>> {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    let first = i64::try_from(start).unwrap_or(i64::MAX);
    let length = if end == u64::MAX { 0 } else { i64::try_from(end - start).map_or(0, |less| less.saturating_add(1)) };
    // The constants are small numbers that fit the fields' types, which differ from theirs.
    #[allow(clippy::cast_possible_truncation)]
    let mut lock =
        libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: first, l_len: length, l_pid: 0 };
    // SAFETY: `lock` is what the request reads and fills, and outlives the call.
    let asked = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GETLK, &raw mut lock) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    let mode = match i32::from(lock.l_type) {
        libc::F_UNLCK => return Ok(None),
        libc::F_RDLCK => Mode::Shared,
        _ => Mode::Exclusive,
    };
    Ok(Some(Keeper { pid: u32::try_from(lock.l_pid).ok().filter(|pid| *pid != 0), mode }))
}

/// Puts the processes that this one starts from now on into a process id namespace of their own, and this one and them
/// into a mount namespace. The first to be started is the namespace's init: when it ends, the kernel kills all others.
///
/// # Errors
/// What the kernel says: `EPERM` without the right to.
pub fn namespace_for_children() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS)?)
}

/// As init of a process id namespace: mounts a `/proc` that shows it, where nobody outside sees it.
///
/// # Errors
/// What the kernel says.
pub fn own_proc() -> io::Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)?;
    Ok(())
}

/// Orphans among our descendants become our children (`PR_SET_CHILD_SUBREAPER`).
///
/// # Errors
/// What the kernel says.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Asks for `SIGKILL` when the thread that started this process ends (`PR_SET_PDEATHSIG` of prctl(2)).
///
/// # Errors
/// What the kernel says.
pub fn die_with_parent_thread() -> io::Result<()> {
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// From now on this thread's waits end when they should, and not up to 50 µs later (`PR_SET_TIMERSLACK` of prctl(2)).
///
/// # Errors
/// What the kernel says.
pub fn wait_exactly() -> io::Result<()> {
    Ok(prctl::set_timerslack(1)?)
}

/// From now on these signals do not end this process. A handler does that, for a signal that is
/// ignored or blocked would be so in whatever is executed from here; one that has a handler is not (execve(2)).
///
/// # Errors
/// What the kernel says.
pub fn outlive(signals: &[Signal]) -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    for signal in signals {
        // SAFETY: the handler does nothing, which is safe at any moment.
        unsafe { sigaction(*signal, &action) }?;
    }
    Ok(())
}

/// What asks a process to end, or a key of its terminal sends: `killall lockproof` asks whoever cleans up, too.
pub const ASKED: [Signal; 5] = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGHUP, Signal::SIGTERM];

/// Our standard input, output and error.
#[must_use]
pub fn standard() -> [BorrowedFd<'static>; 3] {
    // SAFETY: the standard library keeps them open for as long as we run.
    unsafe { [BorrowedFd::borrow_raw(0), BorrowedFd::borrow_raw(1), BorrowedFd::borrow_raw(2)] }
}
