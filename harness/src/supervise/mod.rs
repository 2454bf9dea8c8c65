//! Unmodified programs, each call about a lock or a file seen before it happens.
//!
//! A seccomp filter makes the kernel ask us before each such call (`SECCOMP_RET_USER_NOTIF`), in whatever program and
//! whatever it has started: Go programs make raw system calls, so nothing can be preloaded. We say when it goes on, and the
//! kernel performs it. A POSIX lock cannot be taken on behalf of another process, so a call that would block is parked here
//! and let go on when it would not; and as the kernel sees no waiters then, `EDEADLK` is ours to answer.
//!
//! | module | subject |
//! | --- | --- |
//! | [`event`] | what is seen |
//! | [`locks`] | who holds what and who waits, by the kernel's rules |
//! | [`session`] | programs whose calls stop here, and go on when they are told to |
//! | [`rest`] | whether a process can do anything before we answer it |
//! | [`trace`] | a program that is only watched |
//! | `filter` | which calls are seen, and the filter |
//! | `decode`, `memory`, `descriptors` | what a call means |
//! | `keeper`, `launch`, `wire` | the processes between us and the programs, which leave nothing behind |
//!
//! What is not seen: files that are mapped into memory, what a program has the kernel do by `io_uring`, and calls of
//! programs of 32 bits.

mod decode;
mod descriptors;
pub mod event;
mod filter;
mod keeper;
mod launch;
pub mod locks;
mod memory;
pub mod rest;
pub mod session;
pub mod trace;
mod wire;

pub use decode::Interest;
pub use filter::Wakes;
pub use launch::{Isolation, Program};

/// Serves as a keeper or a launcher if this process was started as one, and does not return then.
pub(crate) fn run_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().is_some_and(|argument| argument == keeper::ARGUMENT) {
        let status = match keeper::serve(arguments) {
            Ok(status) => status,
            Err(problem) => {
                eprintln!("lockproof: {problem}");
                1
            }
        };
        std::process::exit(status);
    }
}
