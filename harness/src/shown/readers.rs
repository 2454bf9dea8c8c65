//! Readers beside each other, as `parallel-reads` means it: a query begins and returns while another reader is inside all
//! the time.

use std::collections::BTreeSet;

use lockproof_model::monitor;
use lockproof_model::op::{Mode, Note};
use lockproof_model::system::Repeat;
use lockproof_model::trace::Effect;

use super::Holds;
use crate::replay::{ReplayReport, Taken};

impl ReplayReport {
    /// Whether a process has made all its calls with this step, and is gone.
    fn exits_after(&self, taken: &Taken) -> bool {
        let process = &self.system.processes[usize::from(taken.real.step.process())];
        let mut calls = process.before.len();
        for thread in &process.threads {
            let Repeat::Times(times) = thread.repeat else { return false };
            calls += thread.script.len() * times as usize;
        }
        let ended =
            |other: &&Taken| other.pid == taken.pid && other.real.ends.is_some() && other.number <= taken.number;
        taken.real.ends.is_some() && self.steps.iter().filter(ended).count() >= calls
    }

    /// The first query that returned while another reader was inside, and the kernel's account of the readers.
    pub(super) fn parallel_readers(&self) -> Option<String> {
        let mut holds = Holds::default();
        // The threads in a query during which another reader has been inside all the time.
        let mut beside = BTreeSet::new();
        let mut readers: Vec<&str> = Vec::new();
        for taken in &self.steps {
            let me = Holds::key(taken);
            let guards = |path: &_| monitor::guards_layers(&self.system.inode(path));
            if let Some(call) = &taken.real.begins {
                beside.remove(&me);
                if call.is_read() && holds.another_reads(me, guards) {
                    beside.insert(me);
                }
            }
            let of_readers = |lock: &&crate::kernel::KernelLock| {
                !lock.waits && lock.mode == Mode::Shared && lock.file.as_ref().is_some_and(monitor::guards_layers)
            };
            if !taken.locks.is_empty() {
                readers = taken.locks.iter().filter(of_readers).map(|lock| lock.line.as_str()).collect();
            }
            let released = taken.real.notes.iter().any(|note| matches!(note, Note::Release(path) if guards(path)));
            if released || taken.real.effect == Effect::Died {
                beside.retain(|thread| *thread == me);
            }
            holds.follow(taken, &self.system);
            if taken.real.effect == Effect::Died {
                holds.forget(taken.pid);
            }
            if let (Some(call), Some(Ok(_))) = (&taken.real.call, &taken.real.ends)
                && beside.remove(&me)
            {
                let (pid, number) = (taken.pid, taken.number);
                return Some(format!(
                    "pid {pid}, step {number}: `{call}` has returned while another was reading; /proc/locks: {}",
                    readers.join(" and ")
                ));
            }
            if self.exits_after(taken) {
                beside.clear();
                holds.forget(taken.pid);
            }
        }
        None
    }
}
