//! seccomp user notification (seccomp(2), `SECCOMP_RET_USER_NOTIF`; seccomp_unotify(2); kernel/seccomp.c).

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (Linux 6.6): whoever is answered runs on our processor at once, as we are about
/// to sleep.
const SYNC_WAKE_UP: u64 = 1;

/// The bytes kept for a notification. The kernel's own is 80 bytes, and may grow ([`notification_size`]).
const NOTIFICATION_BYTES: usize = 256;

/// An instruction of a filter.
pub use libc::sock_filter as Instruction;

/// Loads a word of `struct seccomp_data`.
#[must_use]
pub fn load(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

/// Keeps these bits of the loaded word.
#[must_use]
pub fn and(bits: u32) -> Instruction {
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, bits)
}

/// Skips so many instructions if the loaded word is `value`, and so many otherwise.
#[must_use]
pub fn jump_if(value: u32, then: u8, otherwise: u8) -> Instruction {
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, then, otherwise, value)
}

/// Ends the filter with an action (`SECCOMP_RET_*`).
#[must_use]
pub fn ret(action: u32) -> Instruction {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, action)
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> Instruction {
    // The codes are bits of 16.
    #[allow(clippy::cast_possible_truncation)]
    Instruction { code: code as u16, jt, jf, k }
}

/// A system call that has not happened yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The kernel's number of this notification.
    pub id: u64,
    /// The thread, by its number in our process id namespace; 0 if it has none there.
    pub thread: u32,
    /// The number of the system call.
    pub number: i64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

impl Notification {
    /// The low half of an argument: what the kernel looks at where it takes an `int`.
    #[must_use]
    pub fn word(&self, index: usize) -> u32 {
        (self.arguments[index] & u64::from(u32::MAX)) as u32
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It happens.
    Continue,
    /// It does not happen, and fails with this `errno`.
    Fail(i32),
    /// It does not happen, and returns this.
    Return(i64),
}

/// Installs a filter on this thread, for it and all its children, and for ever; returns the listener, which is closed on
/// exec. The caller has `CAP_SYS_ADMIN`, or has called [`no_new_privileges`].
///
/// # Errors
/// What the kernel says: `EBUSY` where a filter with a listener is there already, `EINVAL` where it knows no
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` (before Linux 5.19), `EACCES` without the right to.
pub fn install(program: &[Instruction]) -> io::Result<OwnedFd> {
    // Without `WAIT_KILLABLE_RECV` a signal makes the kernel take the call back and notify again: Go's SIGURG would make
    // one call look like many.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // The kernel only reads the program, though the field is a pointer to mutable.
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` points to `len` instructions that outlive the call, which copies them.
    let listener =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    let listener = RawFd::try_from(listener).unwrap_or(-1);
    if listener < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(listener) })
}

/// Gives up, for this thread and its children, whatever a set-user-ID program would gain (`PR_SET_NO_NEW_PRIVS`).
///
/// # Errors
/// What the kernel says.
pub fn no_new_privileges() -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs().map_err(Into::into)
}

/// Asks the kernel to run whoever is answered at once. Returns whether it knows how.
pub fn wake_synchronously(listener: impl AsFd) -> bool {
    // SAFETY: the request takes a number, and no pointer.
    let set = unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
    set == 0
}

/// Whether an action of a filter is known to the kernel (`SECCOMP_GET_ACTION_AVAIL`).
#[must_use]
pub fn knows_notifications() -> bool {
    let action: u32 = libc::SECCOMP_RET_USER_NOTIF;
    // SAFETY: `action` is a number of 32 bits that outlives the call.
    let known = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    known == 0
}

/// How many bytes the kernel writes for a notification, and whether that is no more than we keep for it.
///
/// # Errors
/// What the kernel says.
pub fn notification_size() -> io::Result<(usize, bool)> {
    let mut sizes = libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    // SAFETY: `sizes` is what the kernel fills, and outlives the call.
    let asked = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, &raw mut sizes) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    let size = usize::from(sizes.seccomp_notif);
    Ok((size, size <= NOTIFICATION_BYTES))
}

/// The next notification, waiting for it; `None` if the call was taken back before we had it, or nobody is left who could
/// make one.
///
/// # Errors
/// What the kernel says.
pub fn receive(listener: impl AsFd) -> io::Result<Option<Notification>> {
    // The kernel refuses a buffer that is not all zero.
    #[repr(C, align(8))]
    struct Buffer([u8; NOTIFICATION_BYTES]);
    loop {
        let mut buffer = Buffer([0; NOTIFICATION_BYTES]);
        let descriptor = listener.as_fd().as_raw_fd();
        // SAFETY: the buffer is aligned and large enough for what the kernel writes, as `notification_size` has shown
        // before a listener was made.
        let received = unsafe { libc::ioctl(descriptor, libc::SECCOMP_IOCTL_NOTIF_RECV, buffer.0.as_mut_ptr()) };
        if received == 0 {
            // SAFETY: the kernel has written a `seccomp_notif`, all of whose bit patterns are values.
            let raw = unsafe { buffer.0.as_ptr().cast::<libc::seccomp_notif>().read() };
            let (number, arguments) = (i64::from(raw.data.nr), raw.data.args);
            return Ok(Some(Notification { id: raw.id, thread: raw.pid, number, arguments }));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ENOENT) => return Ok(None),
            _ => return Err(error),
        }
    }
}

/// Answers a notification. Returns whether the caller is still there.
///
/// # Errors
/// What the kernel says.
pub fn answer(listener: impl AsFd, id: u64, answer: Answer) -> io::Result<bool> {
    let (val, error, flags) = match answer {
        // A small constant.
        Answer::Continue => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Answer::Fail(errno) => (0, -errno, 0),
        Answer::Return(value) => (value, 0, 0),
    };
    let mut response = libc::seccomp_notif_resp { id, val, error, flags };
    loop {
        // SAFETY: `response` is a `seccomp_notif_resp` that outlives the call.
        let sent =
            unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response) };
        if sent == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ENOENT) => return Ok(false),
            _ => return Err(error),
        }
    }
}
