//! The primitives of loom.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize as Counter;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::{Arc, Mutex as Outside, MutexGuard as OutsideGuard, PoisonError};

use ::loom::cell::Cell as TrackedCell;
use ::loom::sync::atomic::AtomicUsize;
use ::loom::sync::{Mutex, MutexGuard};
use ::loom::thread::Thread;

use super::super::driver::{Object, Primitives, Search, World};
use crate::op::CellName;

/// The words that a loom thread has for its stack: 256 KiB.
const STACK: usize = 0x8000;

/// More atomics than names are known: an execution may meet some that none has met before.
const SPARE: usize = 8;

/// The loom objects of one execution.
#[derive(Debug)]
pub(super) struct Loom {
    max_branches: usize,
    branches: Counter,
    threads: Arc<Outside<Vec<Option<Thread>>>>,
    /// Of each object that takes part in one step alone. loom wants atomics made before its threads.
    disk: Vec<AtomicUsize>,
    cells: Vec<(AtomicUsize, Outside<TrackedCell<()>>)>,
    /// The cells that loom has called a race on, which leaves them unusable.
    raced: Outside<BTreeSet<usize>>,
    mutexes: Outside<BTreeMap<Object, Arc<Mutex<()>>>>,
}

fn unlocked<T>(mutex: &Outside<T>) -> OutsideGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loom {
    pub(super) fn new(search: &Search, max_branches: usize) -> Self {
        let (disk, cells) = search.found(|found| (found.disk.len(), found.cells.len()));
        let several = cells > 0 || search.system.processes.iter().any(|process| process.threads.len() > 1);
        let cells = if several { cells + 4 * SPARE } else { 0 };
        Self {
            max_branches,
            branches: Counter::new(0),
            threads: Arc::default(),
            disk: (0..disk + SPARE).map(|_| AtomicUsize::new(0)).collect(),
            cells: (0..cells).map(|_| (AtomicUsize::new(0), Outside::new(TrackedCell::new(())))).collect(),
            raced: Outside::default(),
            mutexes: Outside::default(),
        }
    }

    /// A point at which loom may switch to another thread. Whether the execution goes on.
    fn branches(world: &World<Self>) -> bool {
        let loom = &world.primitives;
        // Each is at most two entries of loom's path, and the ends of threads take some.
        let branches = loom.branches.fetch_add(2, Relaxed) + 2;
        if branches + 256 > loom.max_branches && !world.is_over() {
            world.cut(&format!("an execution has more than {} branching points", loom.max_branches));
        }
        !world.is_over()
    }
}

impl Primitives for Loom {
    const REDUCES: bool = true;
    type Object = Arc<Mutex<()>>;
    type Guard<'o> = MutexGuard<'o, ()>;

    fn spawn(&self, at: usize, body: Box<dyn FnOnce() + Send>) -> Result<(), String> {
        if at >= super::THREADS_MAX {
            return Err(format!("more than {} threads", super::THREADS_MAX));
        }
        unlocked(&self.threads).push(None);
        let threads = Arc::clone(&self.threads);
        let run = move || {
            let me = ::loom::thread::current();
            unlocked(&threads)[at] = Some(me);
            body();
        };
        let started = ::loom::thread::Builder::new().stack_size(STACK).spawn(run);
        started.map(drop).map_err(|error| format!("loom does not start another thread: {error}"))
    }

    fn next_step(&self, _at: usize) {}

    fn yields(_world: &World<Self>, _at: usize) {}

    fn object(&self, object: Object) -> Self::Object {
        Arc::clone(unlocked(&self.mutexes).entry(object).or_insert_with(|| Arc::new(Mutex::new(()))))
    }

    fn enter<'o>(world: &World<Self>, _at: usize, object: &'o Self::Object) -> Option<Self::Guard<'o>> {
        if world.is_alone() || !Self::branches(world) {
            return None;
        }
        object.lock().ok()
    }

    fn touch(world: &World<Self>, _at: usize, object: &Object) {
        if world.is_alone() || !Self::branches(world) {
            return;
        }
        let index = world.search.found(|found| {
            found.disk.iter().position(|known| known == object).unwrap_or_else(|| {
                found.disk.push(object.clone());
                found.disk.len() - 1
            })
        });
        match world.primitives.disk.get(index) {
            Some(atomic) => {
                // To join a goroutine orders it; to touch a file does not.
                let order = if matches!(object, Object::Threads(_)) { AcqRel } else { Relaxed };
                atomic.fetch_add(1, order);
            }
            None => world.again(|_| ()),
        }
    }

    fn access(world: &World<Self>, _at: usize, (process, run, cell): (usize, u32, &CellName), writes: bool) -> bool {
        if !Self::branches(world) {
            return false;
        }
        let index = world.search.found(|found| {
            let same = |known: &(usize, u32, CellName)| (known.0, known.1, &known.2) == (process, run, cell);
            found.cells.iter().position(same).unwrap_or_else(|| {
                found.cells.push((process, run, cell.clone()));
                found.cells.len() - 1
            })
        });
        let Some((atomic, tracked)) = world.primitives.cells.get(index) else {
            world.again(|_| ());
            return false;
        };
        atomic.fetch_add(1, Relaxed);
        let act = || {
            let tracked = unlocked(tracked);
            if writes { tracked.set(()) } else { tracked.get() }
        };
        let loom = &world.primitives;
        let raced = !unlocked(&loom.raced).contains(&index) && catch_unwind(AssertUnwindSafe(act)).is_err();
        if raced {
            unlocked(&loom.raced).insert(index);
        }
        raced
    }

    fn sleep(world: &World<Self>, _at: usize) {
        if Self::branches(world) {
            ::loom::thread::park();
        }
    }

    fn wake(&self, at: usize) {
        let thread = unlocked(&self.threads).get(at).cloned().flatten();
        if let Some(thread) = thread {
            thread.unpark();
        }
    }

    fn own_schedule(&self) -> Option<String> {
        None
    }

    fn draw(&self, _below: u32) -> Option<u32> {
        None
    }
}
