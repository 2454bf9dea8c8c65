//! Whether a process can do anything before we answer it.
//!
//! It rests when each of its threads is stopped before a call that waits for our answer, or sleeps in a call that somebody
//! else has to finish. The kernel's word for a thread is `/proc/<process>/task/<thread>/syscall` (proc(5)): `running` also
//! where it is only about to run, else the call that it sleeps in.
//!
//! A thread that was seen in nanosleep(2), and has made no call that we saw, is not looked at again before it makes one: in
//! a Go program it is `sysmon` (runtime/proc.go), which wakes every 20 µs while another thread is in a call, and on a busy
//! machine is nearly always about to run. (Where that call is seen, it does not come back; [`super::session`].) Whatever a timer
//! wakes may come at any moment, wherever it was last seen.
//!
//! Where calls that wake threads are seen ([`Wakes`]), a thread that sleeps in futex(2) without a timeout is not looked at again
//! before such a call, or the end of a thread or a process, either. It was seen so twice, each time with the whole
//! process at rest: at the first, a call that was let go on before may just have woken it after we looked.
//!
//! So it is with a thread that waits for descriptors (epoll(7), poll(2)), while another of its process waits for our answer: it
//! is woken by what writes to a pipe or the like, reads from it or closes it, and by sending, each of which is seen. What
//! is not seen is epoll_ctl(2): it wakes the waiter where what is added is ready already, as Go's runtime does with each file
//! that it opens; no goroutine waits for that one then (`internal/poll`, fd_poll_runtime.go).
//!
//! [`Wakes`]: super::Wakes

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use nix::libc;

use super::filter::{OPERATION_BITS, WAKE_OPERATIONS, Wakes};
use super::memory;
use super::session::Session;
use crate::proc::Fields;

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// A thread of it runs, or is about to, and none waits for our answer: when one does, we hear of it.
    Runs,
    /// A thread of it waits for our answer, and another runs yet.
    Lingers,
    /// It waits for our answer, and for nothing else.
    Asks,
    /// So it seems, but a thread of it may be in a call that has not been taken in.
    SeemsToAsk,
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
    /// Where the kernel says in which state it is, once that was asked for.
    state: Option<File>,
    /// Whether it wakes from time to time, and has made no call since that was seen.
    ticks: bool,
    /// Whether it sleeps until it is woken, when it was last looked at.
    sleeps: bool,
    /// Whether what it waits for then are descriptors, perhaps for a time.
    polls: bool,
    /// How often in a row that was so when its process came to rest, up to [`SURE`].
    asleep: u8,
}

/// How often a thread is seen asleep before it is taken to be.
const SURE: u8 = 2;

/// How a thread is.
enum Thread {
    Runs,
    /// Waits for a child.
    Waits,
    /// Sleeps in a call of those that we see, which may not have been taken in yet.
    Sleeps,
    Dozes,
    /// The same, and no timer will.
    SleepsUntilWoken,
    /// Waits for descriptors, perhaps for a time.
    Polls,
    /// Sleeps for a time of its own choice, with no condition (nanosleep(2)).
    Ticks,
    Gone,
}

impl Session {
    /// How a process is, at this moment. One that rested before our answer does so until we give it, or it makes a call.
    pub fn rest(&mut self, pid: u32) -> Rest {
        let Some(process) = self.processes.get_mut(&pid) else { return Rest::Gone };
        if let Some(rest) = process.rests {
            return rest;
        }
        let asking = &self.asking;
        let asks_us = |thread: u32| asking.values().any(|asking| *asking == thread);
        let tasks = &mut process.tasks;
        if tasks.is_empty() && !list(pid, tasks) {
            return Rest::Runs;
        }
        let is_sleeper = |id: &u64| self.sleepers.iter().any(|(sleeper, _)| sleeper == id);
        let asks = asking.iter().any(|(id, thread)| self.threads.get(thread) == Some(&pid) && !is_sleeper(id));
        let (mut waits, mut sleeps);
        // Where that is not seen, whoever is looked at last may have woken the first.
        process.wakes |= self.wakes == Wakes::Unseen;
        let mut again = false;
        loop {
            let mut at = 0;
            (waits, sleeps) = (false, false);
            while let Some(task) = tasks.get_mut(at) {
                if !task.is_known(asks) && !asks_us(task.thread) {
                    // One that is just being woken looks as if it slept, but by its state.
                    let seen = if again && task.is_woken(pid) { Thread::Runs } else { task.look(pid) };
                    task.polls = matches!(seen, Thread::Polls);
                    task.sleeps = matches!(seen, Thread::SleepsUntilWoken | Thread::Polls);
                    match seen {
                        Thread::Ticks => task.ticks = true,
                        Thread::Runs => {
                            // It is looked at first the next time, and no less closely.
                            tasks.swap(0, at);
                            process.wakes |= again;
                            return if asks { Rest::Lingers } else { Rest::Runs };
                        }
                        Thread::Waits => waits = true,
                        Thread::Sleeps => sleeps = true,
                        Thread::Dozes | Thread::SleepsUntilWoken | Thread::Polls => {}
                        Thread::Gone => {
                            tasks.swap_remove(at);
                            // Whoever waits for its end is woken by the kernel (set_tid_address(2)).
                            tasks.iter_mut().for_each(Task::stirs);
                            (at, waits, sleeps) = (0, false, false);
                            continue;
                        }
                    }
                }
                at += 1;
            }
            // Nobody that we know of runs, so a new one is there by now, and whoever was woken runs, though it may have been
            // looked at before.
            process.forks = process.forks && list(pid, tasks);
            if !process.forks && !std::mem::take(&mut process.wakes) {
                break;
            }
            again = true;
        }
        if self.wakes == Wakes::Seen {
            for task in tasks.iter_mut() {
                task.asleep = if task.sleeps { (task.asleep + 1).min(SURE) } else { 0 };
            }
        }
        match (asks, waits || sleeps) {
            (true, _) => {
                let rest = if sleeps { Rest::SeemsToAsk } else { Rest::Asks };
                process.rests = Some(rest);
                rest
            }
            // A child that has made no call yet is on its way to one.
            (false, true) if self.meets_children(pid) => Rest::Runs,
            (false, true) => Rest::Sleeps,
            (false, false) => Rest::Dozes,
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
    let status = Fields::of(format!("/proc/{pid}/status"));
    status.as_ref().and_then(|status| status.get("State")).is_none_or(|state| state.starts_with(['Z', 'X']))
}

/// The children of a process, by the thread that started them (`/proc/<process>/task/<thread>/children`, proc(5)).
fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Adds the threads of a process that are not known yet; returns whether there were any.
fn list(pid: u32, tasks: &mut Vec<Task>) -> bool {
    let before = tasks.len();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if tasks.iter().all(|task| task.thread != thread)
            && let Ok(doing) = File::open(entry.path().join("syscall"))
        {
            tasks.push(Task { thread, doing, state: None, ticks: false, sleeps: false, polls: false, asleep: 0 });
        }
    }
    tasks.len() > before
}

impl Task {
    /// Whether it is this thread.
    pub(super) fn is(&self, thread: u32) -> bool {
        self.thread == thread
    }

    /// Whether it need not be looked at, where another thread of its process `asks` us, or none does.
    fn is_known(&self, asks: bool) -> bool {
        self.ticks || (self.asleep == SURE && (asks || !self.polls))
    }

    /// It makes a call.
    pub(super) fn calls(&mut self) {
        self.ticks = false;
        self.stirs();
    }

    /// It runs, or may be woken.
    pub(super) fn stirs(&mut self) {
        (self.sleeps, self.asleep) = (false, 0);
    }

    /// What it waits for may be there, if that is a descriptor.
    pub(super) fn may_be_ready(&mut self) {
        if self.polls {
            self.stirs();
        }
    }

    /// Whether it runs or is being woken. While it is (`TASK_WAKING` of the kernel's linux/sched.h, until the processor that it is
    /// to run on has heard of it) `syscall` still shows the call in which it slept; its state is `R` already (proc(5), `stat`).
    fn is_woken(&mut self, pid: u32) -> bool {
        if self.state.is_none() {
            self.state = File::open(format!("/proc/{pid}/task/{}/stat", self.thread)).ok();
        }
        // Its number and its name, of 15 bytes at most, come before it.
        let mut text = [0; 64];
        let length = self.state.as_ref().and_then(|state| state.read_at(&mut text, 0).ok()).unwrap_or(0);
        let after_name = text[..length].iter().rposition(|byte| *byte == b')').map(|at| &text[at..length]);
        after_name.is_some_and(|rest| rest.starts_with(b") R"))
    }

    fn look(&self, pid: u32) -> Thread {
        let mut text = [0; 256];
        let Ok(length) = self.doing.read_at(&mut text, 0) else { return Thread::Gone };
        let mut words = str::from_utf8(&text[..length]).unwrap_or_default().split_ascii_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<i64>().ok()) else { return Thread::Runs };
        match number {
            libc::SYS_wait4 | libc::SYS_waitid => Thread::Waits,
            libc::SYS_read | libc::SYS_write | libc::SYS_readv | libc::SYS_writev | libc::SYS_splice => {
                let descriptor =
                    words.next().and_then(|word| i32::from_str_radix(word.trim_start_matches("0x"), 16).ok());
                let link = descriptor.and_then(|descriptor| memory::link_of(pid, descriptor).ok());
                match link {
                    Some(link) if !link.is_absolute() => Thread::Sleeps,
                    _ => Thread::Runs,
                }
            }
            libc::SYS_nanosleep | libc::SYS_clock_nanosleep => Thread::Ticks,
            libc::SYS_futex => futex(words),
            libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 | libc::SYS_ppoll | libc::SYS_pselect6 => Thread::Polls,
            libc::SYS_rt_sigtimedwait | libc::SYS_rt_sigsuspend | libc::SYS_restart_syscall => Thread::Dozes,
            _ => old(number).unwrap_or(Thread::Runs),
        }
    }
}

/// How a thread is that is in a futex(2) with these arguments. One that wakes others never sleeps, but for our answer.
fn futex<'a>(arguments: impl Iterator<Item = &'a str>) -> Thread {
    let mut numbers = arguments.map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    let (Some(Some(operation)), Some(Some(timeout))) = (numbers.nth(1), numbers.nth(1)) else { return Thread::Runs };
    let operation = operation & u64::from(OPERATION_BITS);
    let is_one_of = |operations: &[i32]| operations.iter().any(|one| u64::from(one.cast_unsigned()) == operation);
    if is_one_of(&WAKE_OPERATIONS) {
        Thread::Runs
    } else if timeout == 0 && is_one_of(&[libc::FUTEX_WAIT, libc::FUTEX_WAIT_BITSET]) {
        Thread::SleepsUntilWoken
    } else {
        Thread::Dozes
    }
}

/// How a thread is that sleeps in a call that newer architectures have not got.
#[cfg(target_arch = "x86_64")]
fn old(number: i64) -> Option<Thread> {
    match number {
        libc::SYS_epoll_wait | libc::SYS_poll | libc::SYS_select => Some(Thread::Polls),
        libc::SYS_pause => Some(Thread::Dozes),
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn old(_: i64) -> Option<Thread> {
    None
}
