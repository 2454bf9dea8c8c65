//! What the threads of one execution share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Object, Primitives, Search, Witness};
use crate::automaton::NodeId;
use crate::call::Call;
use crate::engine::happens_before::HappensBefore;
use crate::monitor::{self, LAYERS, Wrong};
use crate::op::{CellName, Mode, Op, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::{Life, Local, Shared, ThreadState};
use crate::system::System;
use crate::value::{Stamp, Value};
use crate::world::locks::Waits;
use crate::world::memory::Progress;

/// Why a thread sleeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// It waits for a lock file in that mode.
    File(Path, Mode),
    /// It would ask again for a lock that it was refused, and would be refused again.
    Refused(Path),
    /// It waits for a Go mutex of its process.
    Go(Op),
    /// It waits for a goroutine of its process to end.
    Join(usize),
    /// It waits for its process to be started again, and for what the first thread does before the others start.
    Start {
        /// How many runs of the process have to be over.
        ended: u32,
        /// How many have to be prepared.
        prepared: u32,
    },
}

/// A thread of the execution.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) process: usize,
    pub(super) thread: usize,
    pub(super) sleeps: Option<Sleep>,
    /// It sleeps, and was told that it need not.
    pub(super) woken: bool,
    pub(super) done: bool,
    /// The call that it is in.
    pub(super) call: Option<Arc<Call>>,
    /// How many steps it has made.
    pub(super) steps: u32,
    /// How many choices it has made.
    pub(super) choices: usize,
}

/// How far a process is.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// How many of its runs are over.
    pub(super) ended: u32,
    /// How many are prepared: their calls before the other threads start are over.
    pub(super) prepared: u32,
    /// The threads that have made all the steps that they make before the process is killed.
    pub(super) stopped: BTreeSet<usize>,
    /// It is killed as soon as its thread comes to it.
    pub(super) dying: bool,
}

/// What the engine's scheduler does not see.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) locals: Vec<Local>,
    pub(super) shared: Shared,
    pub(super) runs: Vec<Runs>,
    pub(super) threads: Vec<Running>,
    pub(super) steps: Vec<Step>,
    /// Of each process that exited with locks: the number of its last step, and how many steps there were at its exit.
    pub(super) exits: Vec<(usize, usize)>,
    pub(super) objects: Vec<u32>,
    pub(super) stamps: u32,
    pub(super) order: Vec<HappensBefore>,
    /// A time was read since the coarse clock ticked last.
    pub(super) instant_taken: bool,
    /// Who runs for ever has come to the end of the rounds that are run.
    pub(super) rounds_over: bool,
}

/// One execution.
#[derive(Debug)]
pub(in crate::engine) struct World<P> {
    pub(in crate::engine) search: Arc<Search>,
    pub(in crate::engine) primitives: P,
    contents: Mutex<Contents>,
    /// The execution is to end: every thread returns at its next operation.
    over: AtomicBool,
    /// The processes in which what one thread does may be another's business; with its first goroutine one becomes such.
    several: Vec<AtomicBool>,
    /// The files whose time is kept.
    timed: BTreeSet<Path>,
}

impl<P: Primitives> World<P> {
    pub(in crate::engine) fn new(search: &Arc<Search>, primitives: P) -> Self {
        let system = &search.system;
        let several = system.processes.iter().map(|process| AtomicBool::new(process.threads.len() > 1)).collect();
        let mut shared = Shared::start(system);
        for (path, stamp) in system.stamped.iter().zip(0..) {
            shared.stamps.insert(system.inode(path), Stamp(stamp));
        }
        monitor::acknowledge_all(&mut shared);
        let timed = shared.mtimes.keys().cloned().collect();
        let contents = Contents {
            locals: (0..system.processes.len()).map(|process| fresh(system, process)).collect(),
            stamps: u32::try_from(system.stamped.len()).unwrap_or(u32::MAX),
            shared,
            runs: vec![Runs::default(); system.processes.len()],
            threads: Vec::new(),
            steps: Vec::new(),
            exits: Vec::new(),
            objects: vec![0; system.processes.len()],
            order: vec![HappensBefore::default(); system.processes.len()],
            instant_taken: false,
            rounds_over: false,
        };
        Self {
            search: Arc::clone(search),
            primitives,
            contents: Mutex::new(contents),
            over: AtomicBool::new(false),
            several,
            timed,
        }
    }

    /// What the engine's scheduler does not see. Never held across anything that it sees.
    pub(super) fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::engine) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    pub(super) fn system(&self) -> &System {
        &self.search.system
    }

    pub(super) fn watches(&self, property: Property) -> bool {
        self.search.watched.contains(&property)
    }

    /// Whether what a thread of `process` does in its process may be another thread's business.
    pub(super) fn has_several(&self, process: usize) -> bool {
        self.several[process].load(Relaxed)
    }

    /// From now on there is a goroutine in `process`.
    pub(super) fn set_several(&self, process: usize) {
        self.several[process].store(true, Relaxed);
    }

    /// Whether there is but one thread in all.
    pub(in crate::engine) fn is_alone(&self) -> bool {
        self.several.len() == 1 && !self.has_several(0)
    }

    /// Whether a thread of `process` may panic while others run.
    pub(super) fn is_mortal(&self, process: usize) -> bool {
        self.has_several(process) && self.search.found(|found| found.mortal.contains(&process))
    }

    /// Whether it matters when the clock ticks: a file is written whose time is asked for.
    pub(super) fn times_matter(&self) -> bool {
        self.search.found(|found| found.times_matter)
    }

    /// The object that the contents of a file are part of.
    pub(super) fn disk(&self, inode: &Path) -> Object {
        if self.timed.contains(inode) {
            Object::Clock
        } else if monitor::is_contents(inode) && (inode.0 == LAYERS || self.system().may_write(inode)) {
            self.answers()
        } else {
            Object::Disk(inode.clone())
        }
    }

    /// The object that what answers are judged by is part of.
    pub(super) fn answers(&self) -> Object {
        if self.timed.iter().any(monitor::is_contents) { Object::Clock } else { Object::Contents }
    }

    /// Ends this execution and the search.
    pub(in crate::engine) fn cut(&self, why: &str) {
        self.search.found(|found| found.cut.get_or_insert_with(|| why.into()).len());
        self.end();
    }

    /// Ends this execution, which has too many steps; an engine that draws schedules goes on with others.
    pub(super) fn overlong(&self) {
        if P::REDUCES {
            return self.cut(&format!("an execution has more than {} steps", self.search.limits.steps_max));
        }
        self.search.found(|found| found.overlong += 1);
        self.end();
    }

    /// Ends this execution, which begins again knowing what `learn` says.
    pub(in crate::engine) fn again(&self, learn: impl FnOnce(&mut super::Found)) {
        self.search.found(|found| {
            found.again = true;
            learn(found);
        });
        self.end();
    }

    /// Ends this execution: whoever sleeps is woken, and goes home.
    pub(in crate::engine) fn end(&self) {
        if self.over.swap(true, Relaxed) {
            return;
        }
        let contents = self.contents();
        let asleep = |at: &usize| contents.threads[*at].sleeps.is_some();
        let asleep: Vec<usize> = (0..contents.threads.len()).filter(asleep).collect();
        drop(contents);
        asleep.into_iter().for_each(|at| self.primitives.wake(at));
    }

    /// Something is wrong.
    pub(super) fn wrong(&self, (property, text): Wrong) {
        if self.watches(property) && self.search.found(|found| !found.witnesses.contains_key(&property)) {
            let witness = self.witness(text, None);
            self.search.found(|found| found.witnesses.insert(property, witness));
        }
    }

    /// A data race with what a thread did at the step of that number.
    pub(super) fn race(&self, text: String, first_access: (usize, u8, u8)) {
        if self.watches(Property::NoDataRace) && self.search.wants_race() {
            self.search.race(self.witness(text, Some(first_access)));
        }
    }

    fn witness(&self, text: String, first_access: Option<(usize, u8, u8)>) -> Witness {
        let own = self.primitives.own_schedule();
        let contents = self.contents();
        Witness { text, steps: contents.steps.clone(), exits: contents.exits.clone(), first_access, own }
    }

    /// Puts thread `at` to sleep, after which `guards` are dropped; returns when it is woken or all is over.
    pub(super) fn sleep<G>(&self, at: usize, why: Sleep, guards: G) {
        {
            let thread = &mut self.contents().threads[at];
            (thread.sleeps, thread.woken) = (Some(why), false);
        }
        drop(guards);
        self.look_for_deadlock();
        while !self.is_over() && !self.contents().threads[at].woken {
            P::sleep(self, at);
        }
        self.contents().threads[at].sleeps = None;
    }

    /// Wakes the threads whose sleep `ends`.
    pub(super) fn wake(&self, ends: impl Fn(&Contents, &Running, &Sleep) -> bool) {
        let mut contents = self.contents();
        let wakes = |thread: &Running| {
            let sleep = thread.sleeps.as_ref().filter(|_| !thread.woken);
            sleep.is_some_and(|sleep| ends(&contents, thread, sleep))
        };
        let woken: Vec<usize> = (0..contents.threads.len()).filter(|at| wakes(&contents.threads[*at])).collect();
        woken.iter().for_each(|at| contents.threads[*at].woken = true);
        drop(contents);
        woken.into_iter().for_each(|at| self.primitives.wake(at));
    }

    /// Whether thread `at` has anything to do: it does not sleep, or was woken and not in vain.
    pub(in crate::engine) fn is_able(&self, at: usize) -> bool {
        let contents = self.contents();
        let Some(thread) = contents.threads.get(at) else { return true };
        match &thread.sleeps {
            None => true,
            Some(_) if !thread.woken => false,
            Some(Sleep::File(inode, mode)) => {
                contents.is_dying(thread) || contents.holders(thread.process, inode, *mode).is_empty()
            }
            Some(Sleep::Go(op)) => contents.is_dying(thread) || contents.can(thread, op),
            Some(_) => true,
        }
    }

    /// Whether thread `at` sleeps, and nobody has told it that it need not.
    pub(in crate::engine) fn is_asleep(&self, at: usize) -> bool {
        self.contents().threads.get(at).is_some_and(|thread| thread.sleeps.is_some() && !thread.woken)
    }

    /// Everybody sleeps, and nobody is left to wake them.
    pub(super) fn look_for_deadlock(&self) {
        let contents = self.contents();
        let still = |thread: &Running| thread.done || (thread.sleeps.is_some() && !thread.woken);
        let waits = |thread: &Running| {
            !thread.done && thread.sleeps.as_ref().is_some_and(|sleep| !matches!(sleep, Sleep::Start { .. }))
        };
        if self.is_over() || !contents.threads.iter().all(still) || !contents.threads.iter().any(waits) {
            return;
        }
        let processes = || 0..contents.locals.len();
        let killed = |process: usize| contents.locals[process].life == Life::Dead;
        let planned = processes().any(|process| contents.plan_kills(self, process) && !killed(process));
        let someone_died = processes().any(killed);
        // Another process that may still be killed may so set it free.
        let may_die = |process: usize| self.system().processes[process].may_crash && !contents.is_gone(process);
        let may_be_freed = |thread: &Running| {
            contents.shared.crashes_left > 0 && processes().any(|other| other != thread.process && may_die(other))
        };
        let stuck = contents.threads.iter().filter(|thread| waits(thread) && !may_be_freed(thread));
        let stuck: Vec<String> = stuck.map(|thread| self.describe(thread)).collect();
        let rounds_over = contents.rounds_over;
        drop(contents);
        // Who has come to the end of its rounds would have gone on; who stopped to be killed never was.
        if !planned && !rounds_over && !stuck.is_empty() {
            self.wrong((Property::NoDeadlock, stuck.join("; ")));
            if someone_died {
                self.wrong((Property::CrashSafe, stuck.join("; ")));
            }
        }
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
            Some(Sleep::Go(Op::MutexLock { mutex } | Op::RwLock { mutex, .. })) => mutex.to_string(),
            Some(Sleep::Join(goroutine)) => format!("goroutine {goroutine}"),
            _ => "nothing".into(),
        };
        let call = thread.call.as_ref().map_or_else(String::new, |call| format!(" in `{call}`"));
        format!("{name} waits for {what} for ever{call}")
    }

    /// `fresh`: a document that answers are judged by was replaced.
    pub(super) fn see_replaced(&self) {
        let mut contents = self.contents();
        let contents = &mut *contents;
        for thread in &contents.threads {
            let Some(state) = contents.locals[thread.process].threads.get_mut(thread.thread) else { continue };
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

    /// Whether the process of a thread is to die before the thread does anything more.
    fn is_dying(&self, thread: &Running) -> bool {
        self.runs[thread.process].dying || self.locals[thread.process].life != Life::Alive
    }

    fn is_gone(&self, process: usize) -> bool {
        self.locals[process].life != Life::Alive
    }

    /// Whether an operation on a Go mutex would get on.
    fn can(&self, thread: &Running, op: &Op) -> bool {
        let mut memory = (*self.locals[thread.process].memory).clone();
        let number = u32::try_from(thread.thread).unwrap_or(u32::MAX);
        memory.attempt(number, op) != Some(Progress::Blocked)
    }

    fn plan_kills<P: Primitives>(&self, world: &World<P>, process: usize) -> bool {
        self.runs[process].dying || world.search.found(|found| found.plan.kills(process))
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
        known: BTreeMap::new(),
        shutdowns_seen: [0; 2],
    }
}

/// A thread as it starts.
pub(super) fn fresh_thread() -> ThreadState {
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

/// A cell of a run of a process.
pub(super) fn cell_of<'c>(contents: &Contents, process: usize, cell: &'c CellName) -> (usize, u32, &'c CellName) {
    (process, contents.runs[process].ended, cell)
}
