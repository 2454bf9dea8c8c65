//! What the threads of one execution share.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize as Counter};
use std::sync::{Arc, Mutex as Outside, MutexGuard as OutsideGuard, PoisonError};

use ::loom::cell::Cell as TrackedCell;
use ::loom::sync::atomic::AtomicUsize;
use ::loom::sync::{Mutex, MutexGuard};

use super::{Search, Witness};
use crate::automaton::NodeId;
use crate::call::Call;
use crate::monitor::{self, Wrong};
use crate::op::{CellName, Mode, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::{Life, Local, Shared, ThreadState};
use crate::system::System;
use crate::value::{Stamp, Value};
use crate::world::locks::Waits;

/// More atomics than names are known: an execution may meet some that none has met before.
const SPARE: usize = 8;

/// What a loom `Mutex` stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Guarded {
    /// The holders of a lock file and those who wait for it.
    File(Path),
    /// Who waits for whom.
    Waits,
    /// A Go mutex of a process.
    Go(usize, CellName),
}

/// A step that needs a loom `Mutex` while it lasts.
pub(super) type Entered = Arc<Mutex<()>>;

/// Why a thread sleeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// It waits for a lock file in that mode.
    File(Path, Mode),
    /// It would ask again for a lock that it was refused, and would be refused again.
    Refused(Path),
    /// It waits for a Go mutex of its process.
    Go(usize, CellName),
}

/// A thread of the execution.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: usize,
    pub(super) thread: usize,
    pub(super) handle: Option<::loom::thread::Thread>,
    pub(super) sleeps: Option<Sleep>,
    pub(super) done: bool,
    /// The call that it is in.
    pub(super) call: Option<Arc<Call>>,
}

/// What loom does not see.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) locals: Vec<Local>,
    pub(super) shared: Shared,
    pub(super) threads: Vec<Running>,
    pub(super) steps: Vec<Step>,
    pub(super) objects: Vec<u32>,
    pub(super) stamps: u32,
    /// Of each cell, by thread: its last access, whether it wrote, in which call.
    accesses: BTreeMap<usize, BTreeMap<usize, (bool, Arc<Call>)>>,
    raced: BTreeSet<usize>,
}

/// One execution.
#[derive(Debug)]
pub(super) struct World {
    pub(super) search: Arc<Search>,
    contents: Outside<Contents>,
    disk: Vec<AtomicUsize>,
    cells: Vec<(AtomicUsize, Outside<TrackedCell<()>>)>,
    mutexes: Outside<BTreeMap<Guarded, Entered>>,
    /// The execution is to end: every thread returns at its next operation.
    over: AtomicBool,
    branches: Counter,
    /// Whether there is but one thread in all.
    alone: bool,
}

impl World {
    pub(super) fn new(search: &Arc<Search>) -> Self {
        let system = &search.system;
        let (disk, cells) = search.found(|found| (found.disk.len(), found.cells.len()));
        let alone = system.processes.len() == 1 && system.processes[0].threads.len() == 1;
        let several = system.processes.iter().any(|process| process.threads.len() > 1);
        let (disk, cells) = (if alone { 0 } else { disk + SPARE }, if several { cells + 4 * SPARE } else { 0 });
        let mut shared = Shared { clock: 2, ..Shared::default() };
        for (path, value) in &system.documents {
            shared.documents.insert(system.inode(path), value.clone());
        }
        for (path, stamp) in system.stamped.iter().zip(0..) {
            shared.stamps.insert(system.inode(path), Stamp(stamp));
        }
        shared.start_times(system);
        let contents = Contents {
            locals: (0..system.processes.len()).map(|process| fresh(system, process)).collect(),
            stamps: u32::try_from(shared.stamps.len()).unwrap_or(u32::MAX),
            shared,
            threads: Vec::new(),
            steps: Vec::new(),
            objects: vec![0; system.processes.len()],
            accesses: BTreeMap::new(),
            raced: BTreeSet::new(),
        };
        Self {
            search: Arc::clone(search),
            contents: Outside::new(contents),
            disk: (0..disk).map(|_| AtomicUsize::new(0)).collect(),
            cells: (0..cells).map(|_| (AtomicUsize::new(0), Outside::new(TrackedCell::new(())))).collect(),
            mutexes: Outside::default(),
            over: AtomicBool::new(false),
            branches: Counter::new(0),
            alone,
        }
    }

    /// What loom does not see. Never held across anything that loom sees.
    pub(super) fn contents(&self) -> OutsideGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    pub(super) fn system(&self) -> &System {
        &self.search.system
    }

    pub(super) fn watches(&self, property: Property) -> bool {
        self.search.watched.contains(&property)
    }

    /// Ends this execution and the search.
    pub(super) fn cut(&self, why: &str) {
        self.search.found(|found| found.cut.get_or_insert_with(|| why.into()).len());
        self.end();
    }

    /// Ends this execution: whoever sleeps is woken, and goes home.
    pub(super) fn end(&self) {
        self.over.store(true, Relaxed);
        for thread in &self.contents().threads {
            if let (Some(handle), Some(_)) = (&thread.handle, &thread.sleeps) {
                handle.unpark();
            }
        }
    }

    /// Something is wrong.
    pub(super) fn wrong(&self, (property, text): Wrong) {
        if self.watches(property) {
            let steps = self.contents().steps.clone();
            self.search.found(|found| {
                found.witnesses.entry(property).or_insert(Witness { text, steps });
            });
        }
    }

    /// A point at which loom may switch to another thread. Whether the execution goes on.
    fn branches(&self) -> bool {
        // Each is at most two entries of loom's path, and the ends of threads take some.
        let branches = self.branches.fetch_add(2, Relaxed) + 2;
        if branches + 256 > self.search.options.max_branches && !self.is_over() {
            self.cut(&format!("an execution has more than {} branching points", self.search.options.max_branches));
        }
        !self.is_over()
    }

    /// An access to a document or a stamp.
    pub(super) fn touch(&self, inode: &Path) {
        if self.alone || !self.branches() {
            return;
        }
        let index = self.search.found(|found| {
            found.disk.iter().position(|known| known == inode).unwrap_or_else(|| {
                found.disk.push(inode.clone());
                found.disk.len() - 1
            })
        });
        match self.disk.get(index) {
            Some(atomic) => {
                atomic.fetch_add(1, Relaxed);
            }
            None => self.again(),
        }
    }

    /// An access to a cell of a process with several threads.
    pub(super) fn access(&self, at: usize, process: usize, cell: &CellName, writes: bool) {
        if !self.branches() {
            return;
        }
        let index = self.search.found(|found| {
            let same = |known: &(usize, CellName)| known.0 == process && known.1 == *cell;
            found.cells.iter().position(same).unwrap_or_else(|| {
                found.cells.push((process, cell.clone()));
                found.cells.len() - 1
            })
        });
        let Some((atomic, tracked)) = self.cells.get(index) else { return self.again() };
        atomic.fetch_add(1, Relaxed);
        if self.contents().raced.contains(&index) {
            return;
        }
        let act = || {
            let tracked = tracked.lock().unwrap_or_else(PoisonError::into_inner);
            if writes { tracked.set(()) } else { tracked.get() }
        };
        let raced = catch_unwind(AssertUnwindSafe(act)).is_err();
        let mut contents = self.contents();
        let call = contents.threads[at].call.clone().unwrap_or_else(|| Arc::new(Call::Open));
        let accesses = contents.accesses.entry(index).or_default();
        let other = accesses.iter().find(|(thread, (wrote, _))| **thread != at && (*wrote || writes));
        let other = other.map(|(_, (wrote, call))| (*wrote, Arc::clone(call)));
        accesses.insert(at, (writes, Arc::clone(&call)));
        if raced {
            contents.raced.insert(index);
            drop(contents);
            let verb = |writes: bool| if writes { "writes" } else { "reads" };
            let text = match other {
                Some((wrote, other)) => format!(
                    "`{other}` {} {cell} while `{call}` {} it, in two threads of one process",
                    verb(wrote),
                    verb(writes)
                ),
                None => format!("`{call}` {} {cell} while another thread of the process does", verb(writes)),
            };
            self.wrong((Property::NoDataRace, text));
        }
    }

    fn again(&self) {
        self.search.found(|found| found.again = true);
        self.end();
    }

    /// The loom `Mutex` that stands for `what`.
    pub(super) fn mutex(&self, what: Guarded) -> Entered {
        let mut mutexes = self.mutexes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(mutexes.entry(what).or_insert_with(|| Arc::new(Mutex::new(()))))
    }

    /// Takes it; `None` if nobody else could see that.
    pub(super) fn enter<'m>(&self, mutex: &'m Entered) -> Option<MutexGuard<'m, ()>> {
        if self.alone || !self.branches() {
            return None;
        }
        mutex.lock().ok()
    }

    /// Puts thread `at` to sleep, after which `guards` are dropped; returns when it is woken or all is over.
    pub(super) fn sleep<G>(&self, at: usize, why: Sleep, guards: G) {
        self.contents().threads[at].sleeps = Some(why);
        drop(guards);
        self.look_for_deadlock();
        while !self.is_over() && self.contents().threads[at].sleeps.is_some() {
            if self.branches() {
                ::loom::thread::park();
            }
        }
    }

    /// Wakes the threads whose sleep `ends`.
    pub(super) fn wake(&self, ends: impl Fn(&Contents, &Running, &Sleep) -> bool) {
        let mut contents = self.contents();
        for at in 0..contents.threads.len() {
            let thread = &contents.threads[at];
            if thread.sleeps.as_ref().is_some_and(|sleep| ends(&contents, thread, sleep)) {
                let thread = &mut contents.threads[at];
                thread.sleeps = None;
                if let Some(handle) = &thread.handle {
                    handle.unpark();
                }
            }
        }
    }

    /// Everybody sleeps, and nobody is left to wake them.
    pub(super) fn look_for_deadlock(&self) {
        let contents = self.contents();
        let asleep = |thread: &&Running| thread.sleeps.is_some();
        let stuck = contents.threads.iter().filter(asleep).map(|thread| self.describe(thread));
        let stuck: Vec<String> = stuck.collect();
        if self.is_over() || stuck.is_empty() || contents.threads.iter().any(|t| !t.done && t.sleeps.is_none()) {
            return;
        }
        drop(contents);
        self.wrong((Property::NoDeadlock, stuck.join("; ")));
        self.end();
    }

    fn describe(&self, thread: &Running) -> String {
        let process = &self.system().processes[thread.process];
        let name = if process.threads.len() > 1 {
            format!("{} thread {}", process.name, thread.thread + 1)
        } else {
            process.name.clone()
        };
        let what = match &thread.sleeps {
            Some(Sleep::File(file, _) | Sleep::Refused(file)) => file.file_name().to_string(),
            Some(Sleep::Go(_, mutex)) => mutex.to_string(),
            None => "nothing".into(),
        };
        let call = thread.call.as_ref().map_or_else(String::new, |call| format!(" in `{call}`"));
        format!("{name} waits for {what} for ever{call}")
    }

    /// `fresh`: a document that answers are judged by was replaced.
    pub(super) fn see_replaced(&self) {
        let mut contents = self.contents();
        let contents = &mut *contents;
        for thread in &contents.threads {
            let state = &mut contents.locals[thread.process].threads[thread.thread];
            if let Some(call) = thread.call.as_ref().filter(|_| state.begun) {
                state.answers.extend(monitor::answers(call, &contents.shared));
            }
        }
    }
}

impl Contents {
    /// The other processes that hold `inode` in a mode that excludes `mode`.
    pub(super) fn holders(&self, process: usize, inode: &Path, mode: Mode) -> Vec<usize> {
        let conflicts = |local: &Local| local.locks.get(inode).is_some_and(|held| held.conflicts(mode));
        (0..self.locals.len()).filter(|other| *other != process && conflicts(&self.locals[*other])).collect()
    }

    /// Whether somebody waits for `inode`, or would ask for it again.
    pub(super) fn is_awaited(&self, inode: &Path) -> bool {
        let waits = self.locals.iter().flat_map(|local| &local.threads).filter_map(|thread| thread.waiting.as_ref());
        let refused = |thread: &Running| matches!(&thread.sleeps, Some(Sleep::Refused(file)) if file == inode);
        waits.into_iter().any(|(file, _)| file == inode) || self.threads.iter().any(refused)
    }
}

impl Waits for Contents {
    fn blockers(&self, process: usize) -> Vec<usize> {
        let requests = self.locals[process].threads.iter().filter_map(|thread| thread.waiting.as_ref());
        requests.flat_map(|(inode, mode)| self.holders(process, inode, *mode)).collect()
    }
}

/// A process as it starts.
pub(super) fn fresh(system: &System, process: usize) -> Local {
    let threads = system.processes[process].threads.iter().map(|_| fresh_thread()).collect();
    Local {
        kind: u8::try_from(process).unwrap_or(u8::MAX),
        life: Life::Alive,
        runs_left: None,
        threads,
        memory: Arc::default(),
        locks: BTreeMap::new(),
    }
}

/// A thread as it starts.
fn fresh_thread() -> ThreadState {
    ThreadState {
        goroutine: None,
        position: 0,
        rounds_left: None,
        node: NodeId(0),
        begun: false,
        done: None::<Value>,
        waiting: None,
        holds: Vec::new(),
        answers: BTreeSet::new(),
        beside: false,
    }
}
