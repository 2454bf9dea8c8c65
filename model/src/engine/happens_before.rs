//! Happens-before among the goroutines of one process, as the Go memory model has it (go.dev/ref/mem), with vector clocks.
//!
//! What they do on disk orders nothing: that is kept out by having no operation for it. Two accesses to a cell that are not
//! ordered, one of them a write, are a data race.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::call::Call;
use crate::op::{CellName, Mode};

/// For each thread, how much of it is known.
type Clock = Vec<u32>;

/// An access to a cell.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// By which thread.
    pub(super) thread: usize,
    /// In which call.
    pub(super) call: Arc<Call>,
    /// Whether it writes.
    pub(super) writes: bool,
    /// How many steps of all processes were taken before it.
    pub(super) at: usize,
    /// The thread's own time.
    time: u32,
}

/// What the unlocks of a mutex have handed on.
#[derive(Clone, Debug, Default)]
struct Released {
    /// By those who held it alone.
    exclusive: Clock,
    /// By readers: an `RUnlock` is before the next `Lock`, and before no `RLock`.
    shared: Clock,
}

/// The clocks of a process.
#[derive(Clone, Debug, Default)]
pub(super) struct HappensBefore {
    threads: Vec<Clock>,
    mutexes: BTreeMap<CellName, Released>,
    /// Of each cell, the last access of each thread and kind.
    cells: BTreeMap<CellName, BTreeMap<(usize, bool), Access>>,
}

fn join(into: &mut Clock, other: &Clock) {
    into.resize(into.len().max(other.len()), 0);
    into.iter_mut().zip(other).for_each(|(mine, theirs)| *mine = (*mine).max(*theirs));
}

impl HappensBefore {
    fn thread(&mut self, thread: usize) -> &mut Clock {
        if self.threads.len() <= thread {
            self.threads.resize(thread + 1, Clock::new());
        }
        let clock = &mut self.threads[thread];
        if clock.len() <= thread {
            clock.resize(thread + 1, 0);
        }
        clock[thread] = clock[thread].max(1);
        clock
    }

    /// All that `earlier` did so far is before all that `later` does from now on: a goroutine starts, or is joined.
    pub(super) fn order(&mut self, earlier: usize, later: usize) {
        let before = self.thread(earlier).clone();
        self.thread(earlier)[earlier] += 1;
        join(self.thread(later), &before);
    }

    /// `thread` has got a mutex, or an `RWMutex` in `mode`.
    pub(super) fn acquire(&mut self, thread: usize, mutex: &CellName, mode: Mode) {
        let Some(released) = self.mutexes.get(mutex).cloned() else { return };
        join(self.thread(thread), &released.exclusive);
        if mode == Mode::Exclusive {
            join(self.thread(thread), &released.shared);
        }
    }

    /// `thread` has given it back.
    pub(super) fn release(&mut self, thread: usize, mutex: &CellName, mode: Mode) {
        let clock = self.thread(thread).clone();
        let released = self.mutexes.entry(mutex.clone()).or_default();
        join(if mode == Mode::Exclusive { &mut released.exclusive } else { &mut released.shared }, &clock);
        self.thread(thread)[thread] += 1;
    }

    /// `thread` accesses a cell, `at` steps into the run. An earlier access with which that is a race, if there is one.
    pub(super) fn access(
        &mut self,
        thread: usize,
        cell: &CellName,
        writes: bool,
        call: &Arc<Call>,
        at: usize,
    ) -> Option<Access> {
        let clock = self.thread(thread).clone();
        let accesses = self.cells.entry(cell.clone()).or_default();
        let unordered = |access: &&Access| access.time > clock.get(access.thread).copied().unwrap_or(0);
        let race = accesses.values().filter(|access| access.writes || writes).find(unordered).cloned();
        let access = Access { thread, call: Arc::clone(call), writes, at, time: clock[thread] };
        accesses.insert((thread, writes), access);
        race
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(field: &str) -> CellName {
        CellName { object: None, field: field.into() }
    }

    fn races(before: &mut HappensBefore, thread: usize, writes: bool) -> bool {
        before.access(thread, &name("c"), writes, &Arc::new(Call::Open), 0).is_some()
    }

    #[test]
    fn reads_do_not_race_and_an_unordered_write_does() {
        let mut before = HappensBefore::default();
        assert!(!races(&mut before, 0, false) && !races(&mut before, 1, false));
        assert!(races(&mut before, 1, true), "with the read of thread 0");
    }

    #[test]
    fn a_mutex_orders() {
        let mut before = HappensBefore::default();
        before.acquire(0, &name("m"), Mode::Exclusive);
        assert!(!races(&mut before, 0, true));
        before.release(0, &name("m"), Mode::Exclusive);
        before.acquire(1, &name("m"), Mode::Exclusive);
        assert!(!races(&mut before, 1, true));
        assert!(races(&mut before, 0, true), "after the unlock");
    }

    #[test]
    fn two_read_locks_order_nothing() {
        let mut before = HappensBefore::default();
        before.acquire(0, &name("m"), Mode::Shared);
        assert!(!races(&mut before, 0, true));
        before.release(0, &name("m"), Mode::Shared);
        let mut reader = before.clone();
        reader.acquire(1, &name("m"), Mode::Shared);
        assert!(races(&mut reader, 1, false));
        before.acquire(1, &name("m"), Mode::Exclusive);
        assert!(!races(&mut before, 1, false), "an RUnlock is before the next Lock");
    }

    #[test]
    fn start_and_join_order() {
        let mut before = HappensBefore::default();
        assert!(!races(&mut before, 0, true));
        before.order(0, 1);
        assert!(!races(&mut before, 1, true));
        let mut unjoined = before.clone();
        assert!(races(&mut unjoined, 0, false));
        before.order(1, 0);
        assert!(!races(&mut before, 0, true));
    }
}
