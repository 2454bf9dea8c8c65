//! One step: a thread performs its next operation, or a process is killed. Every engine that keeps states steps here.

mod acting;

use std::sync::Arc;

use self::acting::Acting;
use crate::automaton::LearnError;
use crate::ctx::Request;
use crate::monitor::{self, Wrong};
use crate::op::{LockResult, Mode, Outcome, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::{Life, Local, Model, Shared, ThreadState};
use crate::trace::{Effect, Event};
use crate::value::Stamp;
use crate::world::locks::Answer;

/// What a step needs to know of the other processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around {
    /// Whether another process holds the lock that the thread asks for in a mode that excludes it.
    pub excluded: bool,
    /// Whether to wait for it would close a cycle of blocked owners.
    pub cycle: Answer,
    /// The next fresh stamp; `None` if every number is held.
    pub fresh_stamp: Option<Stamp>,
    /// Whether a thread of another process holds the layers for reading.
    pub others_read: bool,
    /// Whether anything holds a time that was taken since the coarse clock ticked last.
    pub instant_held: bool,
}

/// What a step did, besides changing the parts it was given.
#[derive(Clone, Debug)]
pub struct Performed {
    /// For people.
    pub event: Event,
    /// A document that answers are judged by was replaced: every other process has to [`see`](see_replaced) it.
    pub contents_replaced: bool,
    /// A read lock on the layers was given back: every other process has to [`see`](see_released) it.
    pub released_read: bool,
    /// Whether it brought the thread on; a lock request that meets `EDEADLK` and is made again does not.
    pub progress: bool,
    /// What is wrong about it.
    pub wrong: Vec<Wrong>,
    /// Pairs of locks that were taken, the second while the first was held.
    pub orders: Vec<(Path, Path)>,
}

/// Why a model cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A mistake of the protocol.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// More stamps are held at once than a state can tell apart.
    #[error("more than {} stamps are held at once; the scenario is too large for the model", crate::state::STAMPS_MAX)]
    Stamps,
    /// More times are held at once than a state can tell apart.
    #[error("more than 32 times are held at once; the scenario is too large for the model")]
    Times,
    /// There are more lock files than a state can tell apart.
    #[error("more than 64 lock files; the scenario is too large for the model")]
    Locks,
    /// A thread holds more locks at once than a state keeps.
    #[error(
        "a thread of process {process} holds more than {} locks at once; the scenario is too large for the model",
        crate::state::HOLDS_MAX
    )]
    Holds {
        /// Its name.
        process: String,
    },
    /// A file's time was asked for that the protocol does not name as timed.
    #[error("the protocol asks for the time of {0}, which it does not name in `TIMED`")]
    NotTimed(Path),
    /// A process computes for ever on its own.
    #[error("process {process}: a run of operations on its own cells and mutexes does not end")]
    LocalRun {
        /// Its name.
        process: String,
    },
    /// An engine saw a violation that the machine does not repeat: one of the two is wrong.
    #[error("{engine} saw {property} violated ({text}), and the model does not repeat it: {why}")]
    Unrepeated {
        /// The engine's name.
        engine: &'static str,
        /// The property.
        property: Property,
        /// What the engine says is wrong.
        text: String,
        /// What the machine says.
        why: String,
    },
    /// A step was asked for that is not possible.
    #[error("step {number} of the schedule is not possible: {why}")]
    Impossible {
        /// Its number, from 1.
        number: usize,
        /// Why.
        why: String,
    },
}

impl ModelError {
    /// Whether the scenario is too large for the model: nobody has made a mistake.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::Stamps | Self::Times | Self::Locks | Self::Holds { .. })
    }
}

/// Lets `thread` of the process with part `local` perform its next operation with its outcome number `branch`.
///
/// `None` if it cannot take a step now, or has no such outcome; then nothing has changed. `step` is how the step is
/// called in the event.
///
/// # Errors
/// A mistake of the protocol, or a limit of the model.
pub fn perform(
    model: &mut Model<'_>,
    local: &mut Local,
    shared: &mut Shared,
    around: &Around,
    thread: usize,
    branch: u8,
    step: Step,
) -> Result<Option<Performed>, ModelError> {
    let process = model.process(local.kind);
    if !local.may_run(process, thread) {
        return Ok(None);
    }
    let node = model.automaton.node(local.threads[thread].node);
    let call = (*node.call).clone();
    let request = node.request.clone();
    let event = Event {
        step,
        begins: None,
        call: Some(call.clone()),
        op: None,
        effect: Effect::Done(Outcome::Done),
        notes: Vec::new(),
        ends: None,
        wrong: None,
    };
    let done = Performed {
        event,
        contents_replaced: false,
        released_read: false,
        progress: true,
        wrong: Vec::new(),
        orders: Vec::new(),
    };
    let Request::Op(op) = request else {
        // A call that returns without any operation: it begins and ends in one step.
        if branch > 0 {
            return Ok(None);
        }
        let mut acting = Acting { model, local, shared, thread, done };
        acting.begin(&call, around)?;
        acting.end_call()?;
        return Ok(Some(acting.finish()?));
    };
    let mut acting = Acting { model, local, shared, thread, done };
    let Some(effect) = acting.effect(&op, around, branch)? else {
        return Ok(None);
    };
    acting.begin(&call, around)?;
    acting.done.event.op = Some(op.clone());
    acting.done.event.effect = effect.clone();
    match effect {
        Effect::Waits => {}
        Effect::Died => {
            acting.let_readers_go();
            die(acting.local);
        }
        Effect::Done(outcome) => {
            acting.judge(&op);
            let at = acting.me().node;
            let edge = acting.model.automaton.after(at, &outcome)?;
            // Who gives up has got on; who asks again stands where it stood.
            acting.done.progress = outcome != Outcome::Locked(LockResult::Deadlock) || edge.target != at;
            acting.go_to(&edge);
            if acting.model.automaton.node(edge.target).reply().is_some() {
                acting.end_call()?;
            }
        }
    }
    Ok(Some(acting.finish()?))
}

/// A process is gone: its memory and its locks are, too (fcntl(2): locks are released when the process terminates).
fn die(local: &mut Local) {
    local.life = Life::Dead;
    local.threads.clear();
    local.memory = Arc::default();
    local.locks.clear();
    local.known.clear();
    local.shutdowns_seen = [0; 2];
    local.runs_left = Some(0);
}

/// Kills the process with part `local`. `None` if it cannot be killed now.
#[must_use]
pub fn kill(model: &Model<'_>, local: &mut Local, shared: &mut Shared, step: Step) -> Option<Performed> {
    if local.life != Life::Alive || shared.crashes_left == 0 || !model.process(local.kind).may_crash {
        return None;
    }
    shared.crashes_left -= 1;
    let released_read = model.watched.contains(&Property::ParallelReads) && monitor::readers_inside(local) > 0;
    if model.watched.contains(&Property::CrashSafe) {
        // Who only waits for the lock has made nothing yet, even if another makes the same layer.
        let writes = |(path, mode): &(Path, Mode)| monitor::guards_layers(path) && *mode == Mode::Exclusive;
        let in_call = |thread: &&ThreadState| thread.done.is_none() && thread.begun && thread.holds.iter().any(writes);
        let calls = local.threads.iter().filter(in_call);
        monitor::killed(calls.map(|thread| (*model.automaton.node(thread.node).call).clone()), shared);
    }
    die(local);
    Some(Performed {
        event: Event {
            step,
            begins: None,
            call: None,
            op: None,
            effect: Effect::Died,
            notes: Vec::new(),
            ends: None,
            wrong: None,
        },
        contents_replaced: false,
        released_read,
        progress: true,
        wrong: Vec::new(),
        orders: Vec::new(),
    })
}

/// `fresh`: a document that answers are judged by was replaced while this process may be in a query.
pub fn see_replaced(model: &Model<'_>, local: &mut Local, shared: &Shared) {
    for thread in &mut local.threads {
        if thread.begun && thread.done.is_none() {
            thread.answers.extend(monitor::answers(&model.automaton.node(thread.node).call, shared));
        }
    }
}

/// `parallel-reads`: a reader has left, so that nobody but `except` can count on it any more.
pub fn see_released(local: &mut Local, except: Option<usize>) {
    for (index, thread) in local.threads.iter_mut().enumerate() {
        if Some(index) != except {
            thread.beside = false;
        }
    }
}
