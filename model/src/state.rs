//! The state of a system, in two kinds of parts: one for each process, and one that all share.
//!
//! Which process holds or awaits a record lock is in the part of that process, so that the shared part names no process:
//! the parts of two processes that run the same script can be exchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::automaton::{Automaton, LearnError, NodeId, stamps_in};
use crate::call::{Call, Reply};
use crate::op::{Mode, Path};
use crate::property::Property;
use crate::system::{Process, Repeat, System};
use crate::value::{Object, Stamp, Value};
use crate::world::memory::{Memory, objects_in};

/// A system, what was learned of its protocols, and which properties are watched.
#[derive(Debug)]
pub struct Model<'s> {
    /// The system.
    pub system: &'s System,
    /// What was learned.
    pub automaton: Automaton,
    /// The properties that are watched; the monitors of the others keep nothing.
    pub watched: BTreeSet<Property>,
    /// In which order free numbers are given to fresh stamps. Any order will do; a test tries several.
    pub stamp_order: Vec<Stamp>,
    /// The fields of cells whose data races are left out, by name.
    pub races_left_out: BTreeSet<String>,
    /// Whether one that is met is left out from then on.
    pub leaves_races_out: bool,
    /// Whether fine times between which no coarse one is held keep ranks of their own ([`times`](crate::times)).
    pub instants_apart: bool,
}

/// How many stamps may be held at once; a state keeps them as bits of a word.
pub const STAMPS_MAX: u32 = 64;

/// How many locks of the lock library a thread may hold at once. Who locks for ever and never unlocks would have a state
/// that grows for ever.
pub const HOLDS_MAX: usize = 64;

/// So many Shutdowns look like none, to a driver that has seen none of them.
pub const SHUTDOWNS_MAX: u8 = 16;

/// Whether a process still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Life {
    /// It does.
    Alive,
    /// It has made its last call and is gone.
    Ended,
    /// It was killed, or it panicked.
    Dead,
}

/// The part of one process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Local {
    /// The first process of the system that is described in the same way; equal parts of one kind behave alike.
    pub kind: u8,
    /// Whether it runs.
    pub life: Life,
    /// How many processes of this description are still to come, this one counted; `None` for endless.
    pub runs_left: Option<u32>,
    /// Its threads, then its goroutines.
    pub threads: Vec<ThreadState>,
    /// Its memory.
    pub memory: Arc<Memory>,
    /// The record locks that it holds, by inode.
    pub locks: BTreeMap<Path, Mode>,
    /// `no-needless-load`: what it loaded or wrote last, by inode.
    pub known: BTreeMap<Path, Value>,
    /// `driver-alive`: of which Shutdown it knew when it last looked at the graph lock, and when it made its driver.
    pub shutdowns_seen: [u8; 2],
}

/// A thread of a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadState {
    /// The goroutine's call; `None` of a thread with a script.
    pub goroutine: Option<Arc<Call>>,
    /// The index of its call in the calls made before and in the script, one after the other.
    pub position: u32,
    /// How often the script is still to be run; `None` for ever.
    pub rounds_left: Option<u32>,
    /// Its control state.
    pub node: NodeId,
    /// Whether the call has begun; it does with its first operation.
    pub begun: bool,
    /// What it returned as a goroutine, or `Nil`, once it is done.
    pub done: Option<Value>,
    /// The record lock that it waits for, by inode.
    pub waiting: Option<(Path, Mode)>,
    /// The locks of the lock library that it holds, by inode, in the order in which it took them.
    pub holds: Vec<(Path, Mode)>,
    /// `fresh`: the answers to its call that were true at some moment since it began.
    pub answers: BTreeSet<Reply>,
    /// `parallel-reads`: whether another thread has been inside since the call began.
    pub beside: bool,
}

/// The part that all processes share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shared {
    /// The stamp of each lock file that has one, by inode.
    pub stamps: BTreeMap<Path, Stamp>,
    /// The documents that exist.
    pub documents: BTreeMap<Path, Value>,
    /// The coarse clock, an even rank.
    pub clock: u64,
    /// The time of each file whose time is kept, by inode; 0 of a document that does not exist.
    pub mtimes: BTreeMap<Path, u64>,
    /// How many kills there may still be.
    pub crashes_left: u32,
    /// `driver-alive`: how many times a driver was shut down, modulo [`SHUTDOWNS_MAX`].
    pub shutdowns: u8,
    /// `crash-safe`: what was acknowledged and not deleted since: layers by id, `image ID`, `container ID`.
    pub acknowledged: BTreeSet<String>,
    /// `crash-safe`: what a deletion has taken away and nobody has made since, under the same names.
    pub deleted: BTreeSet<String>,
    /// `crash-safe`: what a killed process left half-made, under the same names.
    pub half_made: BTreeSet<String>,
}

/// The state of a system.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    /// One part for each process.
    pub locals: Vec<Local>,
    /// The rest.
    pub shared: Shared,
}

impl<'s> Model<'s> {
    /// A model of `system` that watches `properties`.
    pub fn new(system: &'s System, properties: impl IntoIterator<Item = Property>) -> Self {
        Self {
            system,
            automaton: Automaton::default(),
            watched: properties.into_iter().collect(),
            stamp_order: (0..STAMPS_MAX).map(Stamp).collect(),
            races_left_out: BTreeSet::new(),
            leaves_races_out: false,
            instants_apart: false,
        }
    }

    /// The description of the process that `kind` names.
    #[must_use]
    pub fn process(&self, kind: u8) -> &'s Process {
        &self.system.processes[usize::from(kind)]
    }

    /// The state at the start.
    ///
    /// # Errors
    /// A mistake of a protocol.
    pub fn initial(&mut self) -> Result<State, LearnError> {
        let system = self.system;
        let kinds = (0..system.processes.len()).map(|index| kind_of(system, index));
        let locals = kinds.map(|kind| self.fresh_local(kind, first_run(self.process(kind).runs)));
        let locals = locals.collect::<Result<_, _>>()?;
        let mut shared = Shared::start(system);
        for (path, stamp) in system.stamped.iter().zip(&self.stamp_order) {
            shared.stamps.insert(system.inode(path), *stamp);
        }
        if self.watched.contains(&Property::CrashSafe) {
            crate::monitor::acknowledge_all(&mut shared);
        }
        Ok(State { locals, shared })
    }

    /// A process as it starts: with empty memory, before its first call.
    ///
    /// # Errors
    /// A mistake of its protocol.
    pub fn fresh_local(&mut self, kind: u8, runs_left: Option<u32>) -> Result<Local, LearnError> {
        let process = self.process(kind);
        let mut threads = Vec::new();
        for thread in &process.threads {
            threads.push(ThreadState {
                goroutine: None,
                position: 0,
                rounds_left: first_run(thread.repeat),
                node: NodeId(0),
                begun: false,
                done: None,
                waiting: None,
                holds: Vec::new(),
                answers: BTreeSet::new(),
                beside: false,
            });
        }
        let mut local = Local {
            kind,
            life: Life::Alive,
            runs_left,
            threads,
            memory: Arc::default(),
            locks: BTreeMap::new(),
            known: BTreeMap::new(),
            shutdowns_seen: [0; 2],
        };
        for index in 0..local.threads.len() {
            if index > 0 {
                local.threads[index].position = before(process, index);
            }
            self.stand_before_call(process, &mut local.threads[index], index)?;
        }
        Ok(local)
    }

    /// Puts a thread before the call at its position, or ends it where the script is over.
    ///
    /// # Errors
    /// A mistake of its protocol.
    pub fn stand_before_call(
        &mut self,
        process: &Process,
        thread: &mut ThreadState,
        index: usize,
    ) -> Result<(), LearnError> {
        let first = before(process, index);
        let script = &process.threads[index].script;
        let last = first + u32::try_from(script.len()).unwrap_or(u32::MAX);
        if thread.position >= last {
            thread.rounds_left = thread.rounds_left.map(|rounds| rounds.saturating_sub(1));
            thread.position = first;
        }
        if thread.position >= first && (thread.rounds_left == Some(0) || script.is_empty()) {
            thread.done = Some(Value::Nil);
            thread.node = NodeId(0);
            thread.position = first;
            return Ok(());
        }
        let call = match thread.position.checked_sub(first) {
            Some(in_script) => &script[in_script as usize],
            None => &process.before[thread.position as usize],
        };
        thread.node = self.automaton.root(process.protocol, call)?.target;
        Ok(())
    }
}

/// How many calls of the process's preparation a thread makes itself: the first thread all of them.
fn before(process: &Process, thread: usize) -> u32 {
    if thread == 0 { u32::try_from(process.before.len()).unwrap_or(u32::MAX) } else { 0 }
}

fn first_run(repeat: Repeat) -> Option<u32> {
    match repeat {
        Repeat::Times(times) => Some(times),
        Repeat::Forever => None,
    }
}

/// The first process that is described like the one at `index`.
fn kind_of(system: &System, index: usize) -> u8 {
    let same = |other: &Process| {
        let process = &system.processes[index];
        other.protocol.name == process.protocol.name
            && other.before == process.before
            && other.runs == process.runs
            && other.may_crash == process.may_crash
            && other.threads.len() == process.threads.len()
            && other.threads.iter().zip(&process.threads).all(|(a, b)| a.script == b.script && a.repeat == b.repeat)
    };
    let kind = system.processes.iter().position(same).unwrap_or(index);
    u8::try_from(kind).unwrap_or(u8::MAX)
}

impl Local {
    /// Whether the calls made before the other threads start are over.
    #[must_use]
    pub fn is_ready(&self, process: &Process) -> bool {
        self.threads.first().is_none_or(|first| first.done.is_some() || first.position >= before(process, 0))
    }

    /// Whether `thread` may run at all: it is not done, and if it has to, it has waited for the preparation.
    #[must_use]
    pub fn may_run(&self, process: &Process, thread: usize) -> bool {
        self.life == Life::Alive && self.threads[thread].done.is_none() && (thread == 0 || self.is_ready(process))
    }

    /// The objects that control states point to.
    #[must_use]
    pub fn objects_held(&self, automaton: &Automaton) -> BTreeSet<Object> {
        let mut held = BTreeSet::new();
        for thread in &self.threads {
            if thread.done.is_none() {
                held.extend(&automaton.node(thread.node).objects);
            }
            if let Some(value) = &thread.done {
                objects_in(value, &mut held);
            }
            if let Some(Call::Goroutine { arguments, .. }) = thread.goroutine.as_deref().map(Call::plain) {
                objects_in(arguments, &mut held);
            }
        }
        held
    }

    /// The stamps that it holds: in cells, in control states, in answers.
    #[must_use]
    pub fn stamps_held(&self, automaton: &Automaton) -> BTreeSet<Stamp> {
        let mut held = BTreeSet::new();
        for value in self.memory.cells.values() {
            stamps_in(value, &mut held);
        }
        for thread in &self.threads {
            if thread.done.is_none() {
                held.extend(&automaton.node(thread.node).stamps);
            }
            for value in thread.answers.iter().flatten().chain(&thread.done) {
                stamps_in(value, &mut held);
            }
            if let Some(Call::Goroutine { arguments, .. }) = thread.goroutine.as_deref().map(Call::plain) {
                stamps_in(arguments, &mut held);
            }
        }
        held
    }
}

impl Shared {
    /// At the start, without the stamps: the documents that there are, and of each file whose time is kept its first time,
    /// the present, or none.
    #[must_use]
    pub fn start(system: &System) -> Self {
        let mut shared = Shared { clock: 2, crashes_left: system.crashes, ..Shared::default() };
        for (path, value) in &system.documents {
            shared.documents.insert(system.inode(path), value.clone());
        }
        for path in system.timed().iter().map(|path| system.inode(path)) {
            let is_there = !path.is_document() || shared.documents.contains_key(&path);
            shared.mtimes.insert(path, if is_there { shared.clock } else { 0 });
        }
        shared
    }

    /// The stamps that files hold.
    #[must_use]
    pub fn stamps_held(&self) -> BTreeSet<Stamp> {
        let mut held: BTreeSet<Stamp> = self.stamps.values().copied().collect();
        for value in self.documents.values() {
            stamps_in(value, &mut held);
        }
        held
    }
}
