//! Waiting without end: deadlock and starvation.

use lockproof_model::op::{LockResult, Mode, Op, Outcome};
use lockproof_model::schedule::Step;
use lockproof_model::trace::Effect;

use crate::kernel::KernelLock;
use crate::replay::{ReplayReport, Taken, Unfinished};

impl ReplayReport {
    /// The threads that nobody can ever help: each waits for a process, its own or another's, of which no thread is left
    /// but such ones. `EDEADLK` alone says less: the kernel gives it where another thread could still give way.
    fn lost_threads(&self) -> Vec<&Unfinished> {
        let mut lost: Vec<&Unfinished> = self.unfinished.iter().filter(|thread| thread.stuck).collect();
        loop {
            let has_others = |process: u8| {
                let free = |thread: &&Unfinished| thread.process == process && !lost.contains(thread);
                self.unfinished.iter().any(|thread| free(&thread)) || self.idle.iter().any(|(idle, _)| *idle == process)
            };
            let stays = |thread: &&Unfinished| match &thread.op {
                Op::Lock { .. } => !thread.holders.iter().any(|holder| has_others(*holder)),
                _ => !has_others(thread.process),
            };
            let staying: Vec<&Unfinished> = lost.iter().copied().filter(stays).collect();
            if staying.len() == lost.len() {
                return lost;
            }
            lost = staying;
        }
    }

    /// Threads that can never go on, and what the kernel says of them.
    pub(super) fn deadlock(&self) -> Option<String> {
        let mut lost = self.lost_threads();
        if lost.is_empty() {
            // Others go on for ever, and nobody in the cycle touches what these wait for.
            lost = self.unfinished.iter().filter(|thread| self.is_forgotten(thread)).collect();
        }
        if lost.is_empty() {
            return None;
        }
        let mut parts: Vec<String> =
            lost.iter().map(|thread| format!("pid {} stands before {}", thread.pid, short(&thread.op))).collect();
        if let Some(kernel) = &self.kernel {
            let mine = |pid: u32| lost.iter().any(|thread| thread.pid == pid);
            if kernel.requests.iter().any(|(_, pid, request)| request.granted && mine(*pid)) {
                return None;
            }
            parts.extend(
                kernel.blocked().map(|lock| format!("the kernel lets pid {} wait for {}", lock.pid, name(lock))),
            );
            for (_, pid, request) in kernel.requests.iter().filter(|(_, _, request)| request.deadlocks > 0) {
                let (times, file) = (request.deadlocks, request.file.file_name());
                parts.push(format!("it answers pid {pid} EDEADLK for {file}, {times} times in {:?}", kernel.waited));
            }
        }
        Some(parts.join("; "))
    }

    /// Whether a thread that is stuck took no step in the cycle, or in the later half of what came after the schedule, and
    /// nobody else was granted meanwhile what it waits for.
    fn is_forgotten(&self, thread: &Unfinished) -> bool {
        let since = if self.schedule.cycle.is_empty() {
            self.scheduled + (self.steps.len() - self.scheduled) / 2
        } else {
            self.schedule.steps.len()
        };
        let mut after = self.steps.iter().skip(since).peekable();
        let wanted = |op: &Op| match (op, &thread.op) {
            (Op::Lock { file, .. }, Op::Lock { file: other, .. }) => {
                self.system.inode(file) == self.system.inode(other)
            }
            (op, other) => op == other,
        };
        thread.stuck
            && after.peek().is_some()
            && after.all(|taken| {
                let others = !matches!(taken.real.step, Step::Run { process, thread: number, .. }
                    if (process, number) == (thread.process, thread.thread));
                let same_memory = taken.pid == thread.pid || matches!(thread.op, Op::Lock { .. });
                others && !(same_memory && taken.real.op.as_ref().is_some_and(wanted))
            })
    }

    /// A thread that waits through every round of the cycle, while others are granted what it waits for, or one of them
    /// never gives it back.
    pub(super) fn starvation(&self) -> Option<String> {
        let rounds = self.steps.iter().filter_map(|taken| taken.round).max()?;
        self.unfinished.iter().find_map(|thread| {
            let Op::Lock { file, mode, .. } = &thread.op else { return None };
            let inode = self.system.inode(file);
            let mine = |taken: &&Taken| {
                matches!(taken.real.step, Step::Run { process, thread: other, .. }
                    if (process, other) == (thread.process, thread.thread))
            };
            let last = self.steps.iter().rev().find(mine)?;
            if last.round.is_some() || last.real.effect != Effect::Waits {
                return None;
            }
            let is_granted = |taken: &&Taken| {
                taken.pid != thread.pid
                    && taken.real.effect == Effect::Done(Outcome::Locked(LockResult::Granted))
                    && matches!(&taken.real.op, Some(Op::Lock { file, .. }) if self.system.inode(file) == inode)
            };
            let overtakes = self.steps[last.number..].iter().filter(is_granted).count();
            let why = match (overtakes, thread.holders.first()) {
                (0, None) => return None,
                (0, Some(holder)) => {
                    format!("{} never gives it back", self.system.processes[usize::from(*holder)].name)
                }
                (overtakes, _) => format!("{overtakes} grants to others"),
            };
            let (file, mode) = (inode.file_name(), mode_name(*mode));
            let since = last.number;
            Some(format!(
                "pid {} has been waiting for {file} ({mode}) since step {since}: {rounds} rounds, {why}",
                thread.pid
            ))
        })
    }
}

fn name(lock: &KernelLock) -> String {
    lock.file.as_ref().map_or_else(|| format!("inode {}", lock.inode), |file| file.file_name().to_owned())
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Shared => "shared",
        Mode::Exclusive => "exclusive",
    }
}

/// An operation that waits, for people.
fn short(op: &Op) -> String {
    match op {
        Op::Lock { file, mode, .. } => format!("the lock {} ({})", file.file_name(), mode_name(*mode)),
        Op::MutexLock { mutex } => format!("the mutex {mutex}"),
        Op::RwLock { mutex, mode } => format!("the RWMutex {mutex} ({})", mode_name(*mode)),
        Op::Join { thread } => format!("the end of goroutine {thread}"),
        other => format!("{other:?}"),
    }
}
