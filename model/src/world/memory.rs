//! The memory of one process: plain cells, objects, Go's `sync.Mutex` and `sync.RWMutex`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::op::{CellName, Mode, Op, Outcome};
use crate::value::{Object, Value};

/// What became of an attempt to perform an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is done.
    Done(Outcome),
    /// The thread has joined those who wait; that was a step. The same attempt later finishes it.
    Waits,
    /// It cannot go on now: no step, and nothing has changed.
    Blocked,
    /// The Go runtime ends the process: a mutex is unlocked that is not locked.
    Fatal(String),
}

/// The state of a Go `sync.RWMutex` (src/sync/rwmutex.go).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RwState {
    /// How many readers are inside.
    pub readers: u32,
    /// The writer that is inside or has announced itself; a second writer does not get as far.
    pub writer: Option<Writer>,
    /// Readers that came after the announcement. They wait for this writer and no other: its `Unlock` lets all of them in.
    pub late_readers: BTreeSet<u32>,
    /// Readers that an `Unlock` has let in and that do not know it yet; they count as `readers`.
    pub admitted: BTreeSet<u32>,
}

/// The writer of a [`RwState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Writer {
    /// Its thread.
    pub thread: u32,
    /// Whether it is inside, or still waits for the readers that came before it.
    pub inside: bool,
}

/// The memory of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Memory {
    /// What each cell holds; one that holds `Nil` is not listed. Memories that differ elsewhere share them.
    pub cells: Arc<BTreeMap<CellName, Arc<Value>>>,
    /// Which thread has each mutex that is locked.
    pub mutexes: BTreeMap<CellName, u32>,
    /// Each `RWMutex` that is not free.
    pub rw_mutexes: BTreeMap<CellName, RwState>,
}

impl Memory {
    /// What a cell holds.
    #[must_use]
    pub fn get(&self, cell: &CellName) -> Value {
        self.cells.get(cell).map(|value| Value::clone(value)).unwrap_or_default()
    }

    /// Attempts an operation on cells and mutexes for `thread`. `None` for an operation that is none of the memory's.
    pub fn attempt(&mut self, thread: u32, op: &Op) -> Option<Progress> {
        Some(match op {
            Op::Get { cell } => Progress::Done(Outcome::Value(self.get(cell))),
            Op::Set { cell, value } => {
                let cells = Arc::make_mut(&mut self.cells);
                match value {
                    Value::Nil => cells.remove(cell),
                    value => cells.insert(cell.clone(), Arc::new(value.clone())),
                };
                Progress::Done(Outcome::Done)
            }
            Op::MutexLock { mutex } => {
                if self.mutexes.contains_key(mutex) {
                    return Some(Progress::Blocked);
                }
                self.mutexes.insert(mutex.clone(), thread);
                Progress::Done(Outcome::Done)
            }
            Op::MutexUnlock { mutex } => {
                if self.mutexes.remove(mutex).is_none() {
                    return Some(Progress::Fatal(format!("sync: unlock of unlocked mutex {mutex}")));
                }
                Progress::Done(Outcome::Done)
            }
            Op::RwLock { mutex, mode } => self.rw_lock(thread, mutex, *mode),
            Op::RwUnlock { mutex, mode } => self.rw_unlock(mutex, *mode),
            _ => return None,
        })
    }

    /// `RLock`: `readerCount.Add(1) < 0` means that a writer is announced; wait for it.
    /// `Lock`: first `w.Lock()` against other writers, then announce, then wait for the readers inside.
    fn rw_lock(&mut self, thread: u32, mutex: &CellName, mode: Mode) -> Progress {
        let state = self.rw_mutexes.entry(mutex.clone()).or_default();
        match mode {
            Mode::Shared if state.admitted.remove(&thread) => Progress::Done(Outcome::Done),
            Mode::Shared if state.writer.is_none() => {
                state.readers += 1;
                Progress::Done(Outcome::Done)
            }
            Mode::Shared if state.late_readers.insert(thread) => Progress::Waits,
            Mode::Shared => Progress::Blocked,
            Mode::Exclusive => match &mut state.writer {
                None => {
                    let inside = state.readers == 0;
                    state.writer = Some(Writer { thread, inside });
                    if inside { Progress::Done(Outcome::Done) } else { Progress::Waits }
                }
                Some(writer) if writer.thread == thread && !writer.inside && state.readers == 0 => {
                    writer.inside = true;
                    Progress::Done(Outcome::Done)
                }
                Some(_) => Progress::Blocked,
            },
        }
    }

    /// `RUnlock`: one reader less. `Unlock`: every reader that waits is let in before the next writer may announce itself.
    fn rw_unlock(&mut self, mutex: &CellName, mode: Mode) -> Progress {
        let state = self.rw_mutexes.entry(mutex.clone()).or_default();
        match mode {
            Mode::Shared if state.readers == 0 => {
                return Progress::Fatal(format!("sync: RUnlock of unlocked RWMutex {mutex}"));
            }
            Mode::Exclusive if !state.writer.is_some_and(|writer| writer.inside) => {
                return Progress::Fatal(format!("sync: Unlock of unlocked RWMutex {mutex}"));
            }
            Mode::Shared => state.readers -= 1,
            Mode::Exclusive => {
                state.writer = None;
                state.admitted = std::mem::take(&mut state.late_readers);
                state.readers += u32::try_from(state.admitted.len()).unwrap_or(u32::MAX);
            }
        }
        if *state == RwState::default() {
            self.rw_mutexes.remove(mutex);
        }
        Progress::Done(Outcome::Done)
    }

    /// The smallest object that neither the cells nor `held` point to, so that a new one is like the one before it.
    #[must_use]
    pub fn fresh_object(&self, held: &BTreeSet<Object>) -> Object {
        let mut used = held.clone();
        for value in self.cells.values() {
            objects_in(value, &mut used);
        }
        let free = (0..).map(Object).find(|object| !used.contains(object));
        free.unwrap_or(Object(u32::MAX))
    }

    /// Forgets the cells of objects that nothing points to any more: neither `held`, nor a cell that stays.
    pub fn collect(&mut self, held: &BTreeSet<Object>) {
        let live = self.live(held);
        Arc::make_mut(&mut self.cells).retain(|name, _| name.object.is_none_or(|object| live.contains(&object)));
    }

    /// Whether there is anything to [`collect`](Self::collect).
    #[must_use]
    pub fn has_garbage(&self, held: &BTreeSet<Object>) -> bool {
        let mut objects = self.cells.keys().filter_map(|name| name.object).peekable();
        objects.peek().is_some() && {
            let live = self.live(held);
            objects.any(|object| !live.contains(&object))
        }
    }

    /// `held`, and what the cells of those objects and the cells of no object point to, and so on.
    fn live(&self, held: &BTreeSet<Object>) -> BTreeSet<Object> {
        let mut live = held.clone();
        loop {
            let before = live.len();
            for (name, value) in self.cells.iter() {
                if name.object.is_none_or(|object| live.contains(&object)) {
                    objects_in(value, &mut live);
                }
            }
            if live.len() == before {
                return live;
            }
        }
    }
}

/// Adds the objects that `value` points to.
pub fn objects_in(value: &Value, into: &mut BTreeSet<Object>) {
    value.walk(&mut |leaf| {
        if let Value::Object(object) = leaf {
            into.insert(*object);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: Option<Progress> = Some(Progress::Done(Outcome::Done));
    const WAITS: Option<Progress> = Some(Progress::Waits);
    const BLOCKED: Option<Progress> = Some(Progress::Blocked);

    fn name(object: Option<u32>, field: &str) -> CellName {
        CellName { object: object.map(Object), field: field.into() }
    }

    /// One RWMutex, and what threads attempt on it.
    #[derive(Default)]
    struct Rw(Memory);

    impl Rw {
        fn lock(&mut self, thread: u32, mode: Mode) -> Option<Progress> {
            self.0.attempt(thread, &Op::RwLock { mutex: name(None, "m"), mode })
        }
        fn unlock(&mut self, thread: u32, mode: Mode) -> Option<Progress> {
            self.0.attempt(thread, &Op::RwUnlock { mutex: name(None, "m"), mode })
        }
    }

    use Mode::{Exclusive, Shared};

    #[test]
    fn readers_share_and_a_writer_waits_for_those_inside() {
        let mut rw = Rw::default();
        assert_eq!((rw.lock(0, Shared), rw.lock(1, Shared)), (DONE, DONE));
        assert_eq!(rw.lock(2, Exclusive), WAITS, "announced");
        assert_eq!(rw.lock(2, Exclusive), BLOCKED);
        assert_eq!((rw.unlock(0, Shared), rw.lock(2, Exclusive)), (DONE, BLOCKED));
        assert_eq!((rw.unlock(1, Shared), rw.lock(2, Exclusive)), (DONE, DONE));
        assert_eq!(rw.unlock(2, Exclusive), DONE);
        assert_eq!(rw.0, Memory::default(), "a free mutex leaves nothing");
    }

    #[test]
    fn an_announced_writer_holds_off_new_readers_even_one_that_is_inside() {
        let mut rw = Rw::default();
        assert_eq!((rw.lock(0, Shared), rw.lock(1, Exclusive)), (DONE, WAITS));
        assert_eq!((rw.lock(2, Shared), rw.lock(2, Shared)), (WAITS, BLOCKED));
        // The reader inside asks again: it waits for the writer, which waits for it.
        assert_eq!((rw.lock(0, Shared), rw.lock(0, Shared), rw.lock(1, Exclusive)), (WAITS, BLOCKED, BLOCKED));
    }

    #[test]
    fn unlock_lets_late_readers_in_before_the_next_writer() {
        let mut rw = Rw::default();
        assert_eq!(rw.lock(0, Exclusive), DONE);
        assert_eq!((rw.lock(1, Shared), rw.lock(2, Exclusive)), (WAITS, BLOCKED));
        assert_eq!(rw.unlock(0, Exclusive), DONE);
        // The next writer announces itself before the reader has woken: the reader is inside all the same.
        assert_eq!((rw.lock(2, Exclusive), rw.lock(2, Exclusive)), (WAITS, BLOCKED));
        assert_eq!(rw.lock(3, Shared), WAITS, "this one came after the announcement");
        assert_eq!((rw.lock(1, Shared), rw.lock(2, Exclusive)), (DONE, BLOCKED));
        assert_eq!((rw.unlock(1, Shared), rw.lock(2, Exclusive), rw.lock(3, Shared)), (DONE, DONE, BLOCKED));
        assert_eq!((rw.unlock(2, Exclusive), rw.lock(3, Shared), rw.unlock(3, Shared)), (DONE, DONE, DONE));
        assert_eq!(rw.0, Memory::default());
    }

    #[test]
    fn a_second_writer_does_not_announce_itself() {
        let mut rw = Rw::default();
        assert_eq!((rw.lock(0, Shared), rw.lock(1, Exclusive), rw.lock(2, Exclusive)), (DONE, WAITS, BLOCKED));
        assert_eq!((rw.unlock(0, Shared), rw.lock(2, Exclusive), rw.lock(1, Exclusive)), (DONE, BLOCKED, DONE));
        assert_eq!((rw.unlock(1, Exclusive), rw.lock(2, Exclusive)), (DONE, DONE));
    }

    #[test]
    fn what_is_not_locked_cannot_be_unlocked() {
        let fatal =
            |progress: Option<Progress>| matches!(progress, Some(Progress::Fatal(text)) if text.starts_with("sync: "));
        let mut rw = Rw::default();
        assert!(fatal(rw.unlock(0, Shared)) && fatal(rw.unlock(0, Exclusive)));
        assert_eq!((rw.lock(0, Shared), rw.lock(1, Exclusive)), (DONE, WAITS));
        assert!(fatal(rw.unlock(1, Exclusive)), "announced is not inside");
        let mut memory = Memory::default();
        let (lock, unlock) = (Op::MutexLock { mutex: name(None, "m") }, Op::MutexUnlock { mutex: name(None, "m") });
        assert!(fatal(memory.attempt(0, &unlock)));
        assert_eq!(
            (memory.attempt(0, &lock), memory.attempt(1, &lock), memory.attempt(0, &lock)),
            (DONE, BLOCKED, BLOCKED)
        );
        assert_eq!(memory.attempt(1, &unlock), DONE, "any goroutine may unlock a sync.Mutex");
        assert_eq!(memory, Memory::default());
    }

    #[test]
    fn objects_that_nothing_points_to_are_forgotten() {
        let mut memory = Memory::default();
        let mut set = |object, field: &str, value| memory.attempt(0, &Op::Set { cell: name(object, field), value });
        set(None, "root", Value::List(vec![Value::Object(Object(0))]));
        set(Some(0), "next", Value::Object(Object(1)));
        set(Some(1), "back", Value::Object(Object(0)));
        set(Some(2), "back", Value::Object(Object(0)));
        set(Some(3), "x", Value::Int(1));
        assert_eq!(memory.fresh_object(&BTreeSet::from([Object(2)])), Object(3));
        memory.collect(&BTreeSet::from([Object(3)]));
        let left: Vec<_> = memory.cells.keys().map(ToString::to_string).collect();
        assert_eq!(left, ["root", "#0.next", "#1.back", "#3.x"]);
        assert_eq!(memory.attempt(0, &Op::Set { cell: name(None, "root"), value: Value::Nil }), DONE);
        memory.collect(&BTreeSet::new());
        assert_eq!(memory, Memory::default(), "a ring of objects is garbage too");
    }
}
