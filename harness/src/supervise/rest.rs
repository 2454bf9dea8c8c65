//! Whether a process can do anything before we answer it.
//!
//! It rests when each of its threads is stopped before a call that waits for our answer, or sleeps in a call that somebody
//! else has to finish. The kernel's word for a thread is `/proc/<process>/task/<thread>/syscall` (proc(5)): `running` also
//! where it is only about to run, else the call that it sleeps in.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use nix::libc;

use super::memory;
use super::session::Session;

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// A thread of it runs, or is about to.
    Runs,
    /// It waits for our answer, and for nothing else.
    Asks,
    /// It waits for a child of its own or for the other end of a pipe.
    Sleeps,
    /// All its threads sleep, but a timer may wake it.
    Dozes,
    /// It is gone.
    Gone,
}

/// A thread, and where the kernel says what it does.
#[derive(Debug)]
pub(super) struct Task {
    thread: u32,
    doing: File,
}

/// How a thread is.
enum Thread {
    Runs,
    Sleeps,
    Dozes,
    Gone,
}

impl Session {
    /// How a process is, at this moment.
    pub fn rest(&mut self, pid: u32) -> Rest {
        let asking: Vec<u32> = self.asking.values().copied().collect();
        let Some(process) = self.processes.get_mut(&pid) else { return Rest::Gone };
        let tasks = process.tasks.get_or_insert_with(|| tasks(pid));
        let (mut asks, mut sleeps, mut left) = (false, false, Vec::with_capacity(tasks.len()));
        let mut runs = tasks.is_empty();
        for task in tasks.drain(..) {
            if asking.contains(&task.thread) {
                asks = true;
            } else {
                match task.look(pid) {
                    Thread::Runs => runs = true,
                    Thread::Sleeps => sleeps = true,
                    Thread::Dozes => {}
                    Thread::Gone => continue,
                }
            }
            left.push(task);
        }
        *tasks = left;
        match (runs, asks, sleeps) {
            (true, ..) => Rest::Runs,
            (false, true, _) => Rest::Asks,
            // A child that has made no call yet is on its way to one.
            (false, false, true) if self.meets_children(pid) => Rest::Runs,
            (false, false, true) => Rest::Sleeps,
            (false, false, false) => Rest::Dozes,
        }
    }

    /// Takes notice of children that have made no call that we saw. Returns whether there were any.
    fn meets_children(&mut self, pid: u32) -> bool {
        let unknown = |child: &u32| !self.processes.contains_key(child) && !has_ended(*child);
        let new: Vec<u32> = children(pid).into_iter().filter(unknown).collect();
        new.into_iter().filter_map(|child| self.know(child)).count() > 0
    }
}

/// Whether a process has ended, though nobody has waited for it, or is gone.
fn has_ended(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_none_or(|state| state.trim_start().starts_with(['Z', 'X']))
}

/// The children of a process, by the thread that started them (`/proc/<process>/task/<thread>/children`, proc(5)).
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn tasks(pid: u32) -> Vec<Task> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let task = |entry: fs::DirEntry| {
        let thread = entry.file_name().to_str()?.parse().ok()?;
        Some(Task { thread, doing: File::open(entry.path().join("syscall")).ok()? })
    };
    entries.filter_map(task).collect()
}

impl Task {
    fn look(&self, pid: u32) -> Thread {
        let mut text = [0; 256];
        let Ok(length) = self.doing.read_at(&mut text, 0) else { return Thread::Gone };
        let text = String::from_utf8_lossy(&text[..length]);
        let mut words = text.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<i64>().ok()) else { return Thread::Runs };
        match number {
            libc::SYS_wait4 | libc::SYS_waitid => Thread::Sleeps,
            libc::SYS_read | libc::SYS_write | libc::SYS_readv | libc::SYS_writev | libc::SYS_splice => {
                let descriptor =
                    words.next().and_then(|word| i32::from_str_radix(word.trim_start_matches("0x"), 16).ok());
                let link = descriptor.and_then(|descriptor| memory::link_of(pid, descriptor).ok());
                match link {
                    Some(link) if !link.is_absolute() => Thread::Sleeps,
                    _ => Thread::Runs,
                }
            }
            libc::SYS_futex
            | libc::SYS_epoll_pwait
            | libc::SYS_epoll_pwait2
            | libc::SYS_nanosleep
            | libc::SYS_clock_nanosleep
            | libc::SYS_ppoll
            | libc::SYS_pselect6
            | libc::SYS_rt_sigtimedwait
            | libc::SYS_rt_sigsuspend
            | libc::SYS_restart_syscall => Thread::Dozes,
            _ if is_old_sleep(number) => Thread::Dozes,
            _ => Thread::Runs,
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn is_old_sleep(number: i64) -> bool {
    [libc::SYS_epoll_wait, libc::SYS_poll, libc::SYS_select, libc::SYS_pause].contains(&number)
}

#[cfg(not(target_arch = "x86_64"))]
fn is_old_sleep(_: i64) -> bool {
    false
}
