//! Which system calls are seen, and the filter that makes the kernel ask.
//!
//! A filter sees numbers, no paths: so every open, stat, rename and close is seen, and what is of no interest goes on at
//! once. `close` is seen for every descriptor, for closing *any* descriptor of a locked file unlocks it. A call that is
//! not in the table costs nothing: the kernel remembers that it is always allowed (`seccomp_cache_check_allow`).

use nix::libc;

use crate::sys::seccomp::{Instruction, and, jump_if, load, ret};

/// What a call is about, however it is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// `fcntl` with a request for a lock.
    Fcntl,
    Flock,
    Close,
    CloseRange,
    /// `dup2`, `dup3`: closes what was there.
    Replace,
    Open(Spelling),
    /// `openat2`: with a structure for the flags.
    OpenWith,
    /// `creat`.
    Create,
    Read(Place),
    Write(Place),
    Status(Spelling),
    StatusOfOpen,
    Rename(Spelling),
    Unlink(Spelling),
    RemoveDirectory,
    MakeDirectory(Spelling),
    Link(Spelling),
    Symlink(Spelling),
    Truncate,
    TruncateOpen,
    Sync,
    ChangeMode(Spelling),
    SetTimes,
    List,
    Mount,
    Unmount,
    ChangeRoot,
    Execute(Spelling),
    Fork,
    Exit,
    /// Threads may be woken that sleep in futex(2) or wait for a descriptor.
    Wake,
    /// `nanosleep`, `clock_nanosleep`.
    Sleep,
}

/// Whether calls that wake other threads are seen, and those by which a thread sleeps for a time. They mean nothing, but where
/// they are, a thread that sleeps need not be looked at before one is made, and the user of a session says which threads
/// go on ([`Session::give_turn`], [`Session::let_sleep`]).
///
/// [`Session::give_turn`]: super::session::Session::give_turn
/// [`Session::let_sleep`]: super::session::Session::let_sleep
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakes {
    /// They are: for programs that make few.
    Seen,
    /// They are not.
    Unseen,
}

/// How a path is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// As the first argument.
    Plain,
    /// As the second, after a directory's descriptor.
    At,
}

/// Where in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where the descriptor stands.
    Here,
    /// At the fourth argument.
    Given,
    /// From or to several places in memory (`readv`, …).
    Scattered,
}

use Place::{Given, Here, Scattered};
use Spelling::{At, Plain};

/// The calls of every architecture.
const TABLE: &[(libc::c_long, Trap)] = &[
    (libc::SYS_read, Trap::Read(Here)),
    (libc::SYS_write, Trap::Write(Here)),
    (libc::SYS_close, Trap::Close),
    (libc::SYS_openat, Trap::Open(At)),
    (libc::SYS_newfstatat, Trap::Status(At)),
    (libc::SYS_fcntl, Trap::Fcntl),
    (libc::SYS_fstat, Trap::StatusOfOpen),
    (libc::SYS_pread64, Trap::Read(Given)),
    (libc::SYS_pwrite64, Trap::Write(Given)),
    (libc::SYS_flock, Trap::Flock),
    (libc::SYS_renameat, Trap::Rename(At)),
    (libc::SYS_renameat2, Trap::Rename(At)),
    (libc::SYS_unlinkat, Trap::Unlink(At)),
    (libc::SYS_mkdirat, Trap::MakeDirectory(At)),
    (libc::SYS_fsync, Trap::Sync),
    (libc::SYS_fdatasync, Trap::Sync),
    (libc::SYS_fchmodat, Trap::ChangeMode(At)),
    (libc::SYS_statx, Trap::Status(At)),
    (libc::SYS_faccessat, Trap::Status(At)),
    (libc::SYS_faccessat2, Trap::Status(At)),
    (libc::SYS_openat2, Trap::OpenWith),
    (libc::SYS_readv, Trap::Read(Scattered)),
    (libc::SYS_preadv, Trap::Read(Scattered)),
    (libc::SYS_writev, Trap::Write(Scattered)),
    (libc::SYS_pwritev, Trap::Write(Scattered)),
    (libc::SYS_linkat, Trap::Link(At)),
    (libc::SYS_symlinkat, Trap::Symlink(At)),
    (libc::SYS_truncate, Trap::Truncate),
    (libc::SYS_ftruncate, Trap::TruncateOpen),
    (libc::SYS_utimensat, Trap::SetTimes),
    (libc::SYS_getdents64, Trap::List),
    (libc::SYS_close_range, Trap::CloseRange),
    (libc::SYS_dup3, Trap::Replace),
    (libc::SYS_mount, Trap::Mount),
    (libc::SYS_umount2, Trap::Unmount),
    (libc::SYS_chroot, Trap::ChangeRoot),
    (libc::SYS_pivot_root, Trap::ChangeRoot),
    (libc::SYS_execve, Trap::Execute(Plain)),
    (libc::SYS_execveat, Trap::Execute(At)),
    (libc::SYS_clone, Trap::Fork),
    (libc::SYS_clone3, Trap::Fork),
    (libc::SYS_exit_group, Trap::Exit),
];

/// By which another thread is woken: `futex_wake` and `futex_requeue` (Linux 6.7), which have one number on every
/// architecture; what is sent; signals.
const WAKES: [libc::c_long; 16] = [
    454,
    456,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_sendmmsg,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
    libc::SYS_connect,
    libc::SYS_shutdown,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_pidfd_send_signal,
];

/// By which a thread sleeps for a time, and nobody wakes it.
const SLEEPS: [libc::c_long; 2] = [libc::SYS_nanosleep, libc::SYS_clock_nanosleep];

/// What futex(2) does that may wake a thread: `FUTEX_WAKE`, `_REQUEUE`, `_CMP_REQUEUE`, `_WAKE_OP`, `_UNLOCK_PI` and
/// `_WAKE_BITSET` of linux/futex.h.
pub(super) const WAKE_OPERATIONS: [libc::c_int; 6] = [
    libc::FUTEX_WAKE,
    libc::FUTEX_REQUEUE,
    libc::FUTEX_CMP_REQUEUE,
    libc::FUTEX_WAKE_OP,
    libc::FUTEX_UNLOCK_PI,
    libc::FUTEX_WAKE_BITSET,
];

/// The bits of the second argument of futex(2) that say what it does; the others say on what, and by which clock.
pub(super) const OPERATION_BITS: u32 = 0x7f;

/// Spellings that newer architectures have not got.
#[cfg(target_arch = "x86_64")]
const OLD: &[(libc::c_long, Trap)] = &[
    (libc::SYS_open, Trap::Open(Plain)),
    (libc::SYS_creat, Trap::Create),
    (libc::SYS_stat, Trap::Status(Plain)),
    (libc::SYS_lstat, Trap::Status(Plain)),
    (libc::SYS_access, Trap::Status(Plain)),
    (libc::SYS_rename, Trap::Rename(Plain)),
    (libc::SYS_unlink, Trap::Unlink(Plain)),
    (libc::SYS_rmdir, Trap::RemoveDirectory),
    (libc::SYS_mkdir, Trap::MakeDirectory(Plain)),
    (libc::SYS_link, Trap::Link(Plain)),
    (libc::SYS_symlink, Trap::Symlink(Plain)),
    (libc::SYS_chmod, Trap::ChangeMode(Plain)),
    (libc::SYS_dup2, Trap::Replace),
    (libc::SYS_fork, Trap::Fork),
    (libc::SYS_vfork, Trap::Fork),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[(libc::c_long, Trap)] = &[];

/// `AUDIT_ARCH_*` of linux/audit.h; `None` for an architecture that nobody has tried.
const ARCHITECTURE: Option<u32> = if cfg!(all(target_arch = "x86_64", target_endian = "little")) {
    Some(0xc000_003e)
} else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
    Some(0xc000_00b7)
} else {
    None
};

/// The requests of fcntl(2) that lock or unlock.
const LOCK_REQUESTS: [libc::c_int; 4] = [libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK, libc::F_OFD_SETLKW];

/// What a call is about.
pub(crate) fn trap_of(number: i64) -> Option<Trap> {
    if number == libc::SYS_futex || WAKES.contains(&number) {
        return Some(Trap::Wake);
    }
    if SLEEPS.contains(&number) {
        return Some(Trap::Sleep);
    }
    TABLE.iter().chain(OLD).find(|(call, _)| *call == number).map(|(_, trap)| *trap)
}

/// The filter; `None` if there is none for this architecture. A call of another architecture (a program of 32 bits) is not
/// seen.
pub(crate) fn program(wakes: Wakes) -> Option<Vec<Instruction>> {
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    const FIRST_ARGUMENT: u32 = 16;
    const SECOND_ARGUMENT: u32 = 24;
    let architecture = ARCHITECTURE?;
    let mut program = vec![load(ARCH), jump_if(architecture, 1, 0), ret(libc::SECCOMP_RET_ALLOW), load(NUMBER)];
    for (number, trap) in TABLE.iter().chain(OLD) {
        let number = u32::try_from(*number).ok()?;
        if *trap == Trap::Fcntl {
            program.extend(seen_if(number, &[load(SECOND_ARGUMENT)], &LOCK_REQUESTS)?);
        } else {
            program.extend([jump_if(number, 0, 1), ret(libc::SECCOMP_RET_USER_NOTIF)]);
        }
    }
    if wakes == Wakes::Seen {
        for number in WAKES.into_iter().chain(SLEEPS) {
            let is_launchers = number == libc::SYS_sendmsg;
            let number = u32::try_from(number).ok()?;
            if is_launchers {
                // By it the launcher hands over the listener, on its standard input: nobody hears of the call before.
                program.extend([jump_if(number, 0, 4), load(FIRST_ARGUMENT), jump_if(0, 0, 1)]);
                program.extend([ret(libc::SECCOMP_RET_ALLOW), ret(libc::SECCOMP_RET_USER_NOTIF)]);
            } else {
                program.extend([jump_if(number, 0, 1), ret(libc::SECCOMP_RET_USER_NOTIF)]);
            }
        }
        let operation = [load(SECOND_ARGUMENT), and(OPERATION_BITS)];
        program.extend(seen_if(u32::try_from(libc::SYS_futex).ok()?, &operation, &WAKE_OPERATIONS)?);
    }
    program.push(ret(libc::SECCOMP_RET_ALLOW));
    Some(program)
}

/// The call of this number is seen if what is loaded is one of `values`.
fn seen_if(number: u32, loads: &[Instruction], values: &[libc::c_int]) -> Option<Vec<Instruction>> {
    let (loaded, compared) = (u8::try_from(loads.len()).ok()?, u8::try_from(values.len()).ok()?);
    let mut program = vec![jump_if(number, 0, loaded + compared + 2)];
    program.extend(loads);
    for (index, value) in (0u8..).zip(values) {
        program.push(jump_if(u32::try_from(*value).ok()?, compared - index, 0));
    }
    program.extend([ret(libc::SECCOMP_RET_ALLOW), ret(libc::SECCOMP_RET_USER_NOTIF)]);
    Some(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter says to a call: classic BPF, as far as the filter uses it.
    fn run(wakes: Wakes, number: i64, arguments: [u32; 2], architecture: u32) -> u32 {
        let program = program(wakes).unwrap();
        let (mut at, mut word) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) & 7 {
                libc::BPF_LD => {
                    word = match step.k {
                        0 => u32::try_from(number).unwrap(),
                        4 => architecture,
                        16 => arguments[0],
                        24 => arguments[1],
                        other => panic!("a load of {other}"),
                    }
                }
                libc::BPF_ALU => word &= step.k,
                libc::BPF_JMP => at += usize::from(if word == step.k { step.jt } else { step.jf }),
                libc::BPF_RET => return step.k,
                other => panic!("an instruction {other}"),
            }
        }
    }

    #[test]
    fn every_call_of_the_table_is_seen_and_no_other() {
        let ours = ARCHITECTURE.unwrap();
        for number in 0..600 {
            let lock = [1, libc::F_SETLKW as u32];
            let seen = |wakes| run(wakes, number, lock, ours) == libc::SECCOMP_RET_USER_NOTIF;
            let trap = trap_of(number);
            let is_always = |trap| !matches!(trap, Trap::Wake | Trap::Sleep);
            assert_eq!(seen(Wakes::Unseen), trap.is_some_and(is_always), "call {number}");
            assert_eq!(seen(Wakes::Seen), trap.is_some(), "call {number}");
            assert_eq!(run(Wakes::Seen, number, lock, 0x4000_0003), libc::SECCOMP_RET_ALLOW);
        }
    }

    #[test]
    fn futex_is_seen_where_it_may_wake() {
        for operation in 0..16 {
            let wakes = WAKE_OPERATIONS.contains(&operation);
            for bits in [0, libc::FUTEX_PRIVATE_FLAG, libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME] {
                let arguments = [0, (operation | bits) as u32];
                let seen = |seen| run(seen, libc::SYS_futex, arguments, ARCHITECTURE.unwrap());
                assert_eq!(seen(Wakes::Seen) == libc::SECCOMP_RET_USER_NOTIF, wakes, "operation {operation}");
                assert_eq!(seen(Wakes::Unseen), libc::SECCOMP_RET_ALLOW, "operation {operation}");
            }
        }
    }

    #[test]
    fn fcntl_is_seen_where_it_locks() {
        for request in 0..1200 {
            let locks = LOCK_REQUESTS.contains(&request);
            let seen = run(Wakes::Unseen, libc::SYS_fcntl, [0, request as u32], ARCHITECTURE.unwrap());
            assert_eq!(seen == libc::SECCOMP_RET_USER_NOTIF, locks, "request {request}");
        }
    }

    #[test]
    fn sendmsg_is_seen_but_for_that_of_the_launcher() {
        let seen = |socket| run(Wakes::Seen, libc::SYS_sendmsg, [socket, 0], ARCHITECTURE.unwrap());
        assert_eq!(seen(0), libc::SECCOMP_RET_ALLOW);
        assert_eq!(seen(1), libc::SECCOMP_RET_USER_NOTIF);
    }

    #[test]
    fn no_call_stands_twice() {
        let mut numbers: Vec<_> = TABLE.iter().chain(OLD).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        let all = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), all);
    }
}
