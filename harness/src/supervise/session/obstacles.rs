//! Who is in the way of a request: by our table, and where that is not enough, by the kernel's.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use nix::libc;

use super::super::event::{FileId, LockKind, Range};
use super::super::locks::{Held, Owner, Request};
use super::Session;
use crate::error::HarnessError;
use crate::kernel;
use crate::sys::process;

/// How long the kernel may take to run a call that was let go on and drops a lock.
const LEAVING_LIMIT: Duration = Duration::from_secs(5);

impl Session {
    /// Who is in the way of a request: processes, and 0 for one that is not supervised. What is about to be dropped is
    /// waited for, as the kernel knows when it is.
    pub(super) fn blockers(&mut self, request: &Request) -> Result<Vec<u32>, HarnessError> {
        let until = Instant::now() + LEAVING_LIMIT;
        loop {
            let in_the_way = self.locks.in_the_way(request);
            let leaving: Vec<Held> =
                in_the_way.iter().filter(|held| held.leaving).map(|held| (*held).clone()).collect();
            let mut by: Vec<u32> =
                in_the_way.iter().filter(|held| !held.leaving).map(|held| held.owner.process()).collect();
            by.dedup();
            if leaving.is_empty() {
                if by.is_empty() && self.is_kept_by_others(request) {
                    by.push(0);
                }
                return Ok(by);
            }
            for held in leaving {
                self.settle(request.file, &held)?;
            }
            if Instant::now() > until {
                return Err(HarnessError::Deadline {
                    limit: LEAVING_LIMIT,
                    at: "a call that unlocks has not run".into(),
                });
            }
            std::thread::yield_now();
        }
    }

    /// Asks the kernel whether a lock that is about to go is gone. One that a thread is no longer in the course of dropping,
    /// and that is still there, stays.
    fn settle(&mut self, file: FileId, held: &Held) -> Result<(), HarnessError> {
        let process = held.owner.process();
        let is_it =
            |lock: &kernel::KernelLock| lock.inode == file.inode && !lock.waits && lock.kind == kernel_name(held.kind);
        let there = match held.owner {
            Owner::Process(pid) => kernel::locks_of(&[pid])?.iter().any(is_it),
            Owner::Description(pid, _) if held.kind == LockKind::Flock => kernel::locks_of(&[pid])?.iter().any(is_it),
            Owner::Description(..) => kernel::anyones()?.iter().any(is_it),
        };
        let is_dropping = self.dropping.iter().any(|thread| self.threads.get(thread) == Some(&process));
        if !there {
            self.locks.drop_lock(file, held);
        } else if !is_dropping {
            self.locks.stays(file, held);
        }
        Ok(())
    }

    /// Whether somebody who is not supervised is in the way.
    fn is_kept_by_others(&self, request: &Request) -> bool {
        let Some(Some(probe)) = self.probes.get(&request.file) else { return false };
        let is_ours = |pid: u32| self.processes.contains_key(&pid);
        if request.wanted.kind == LockKind::Flock {
            let locks = kernel::anyones().unwrap_or_default();
            return locks.iter().any(|lock| {
                let of_file = lock.kind == "FLOCK" && lock.inode == request.file.inode && !lock.waits;
                of_file && lock.mode.conflicts(request.wanted.mode) && !u32::try_from(lock.pid).is_ok_and(is_ours)
            });
        }
        let Range { start, end } = request.wanted.range;
        // Our own question is answered with the asker's own lock, too, and with one at most.
        match process::keeper(probe, request.wanted.mode, start, end) {
            Ok(Some(keeper)) => match keeper.pid {
                Some(pid) => !is_ours(pid),
                None => !self.locks.held(request.file).iter().any(|held| held.kind == LockKind::OpenFile),
            },
            Ok(None) | Err(_) => false,
        }
    }

    /// The threads whose parked request could be granted now, in the order of their numbers.
    ///
    /// # Errors
    /// If the kernel does not say who holds what.
    pub fn grantable(&mut self) -> Result<Vec<u32>, HarnessError> {
        let parked: Vec<(u32, Request)> =
            self.parked.iter().map(|(thread, parked)| (*thread, parked.request.clone())).collect();
        let mut free = Vec::new();
        for (thread, request) in parked {
            if self.blockers(&request)?.is_empty() {
                free.push(thread);
            }
        }
        Ok(free)
    }

    /// The threads whose requests are parked, in the order of their numbers.
    pub fn parked(&self) -> impl Iterator<Item = (u32, &Request)> {
        self.parked.iter().map(|(thread, parked)| (*thread, &parked.request))
    }

    /// Whether a parked or a stopped request could be granted now.
    ///
    /// # Errors
    /// If the kernel does not say who holds what.
    pub fn is_free(&mut self, request: &Request) -> Result<bool, HarnessError> {
        Ok(self.blockers(request)?.is_empty())
    }
}

/// How `/proc/locks` calls it.
fn kernel_name(kind: LockKind) -> &'static str {
    match kind {
        LockKind::Posix => "POSIX",
        LockKind::OpenFile => "OFDLCK",
        LockKind::Flock => "FLOCK",
    }
}

/// A descriptor of ours for a file, to ask with. Closing it drops no lock but ours, and we have none.
pub(super) fn probe(process: u32, descriptor: i32) -> Option<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(format!("/proc/{process}/fd/{descriptor}")).ok()
}
