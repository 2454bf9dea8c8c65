//! One step: a thread performs its next operation, or a process is killed. Every engine that keeps states steps here.

use std::sync::Arc;

use crate::automaton::{Edge, LearnError};
use crate::call::{Call, Reply};
use crate::ctx::Request;
use crate::monitor::{self, LAYERS, Need, Wrong};
use crate::op::{Document, LockResult, Mode, Note, Op, Outcome, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::{Life, Local, Model, Shared, ThreadState};
use crate::trace::{Effect, Event};
use crate::value::{Instant, Mtime, Stamp, Value};
use crate::world::locks::Answer;
use crate::world::memory::Progress;

/// What a step needs to know of the other processes.
pub trait Around {
    /// Whether another process holds the inode in a mode that excludes `mode`.
    fn excluded(&self, inode: &Path, mode: Mode) -> bool;
    /// Whether to wait for it would close a cycle of blocked owners.
    fn closes_cycle(&self, inode: &Path, mode: Mode) -> Answer;
    /// The next fresh stamp; `None` if every number is held.
    fn fresh_stamp(&self) -> Option<Stamp>;
    /// Whether a thread of another process holds the layers for reading.
    fn others_read(&self) -> bool;
    /// Whether anything holds a time that was taken since the coarse clock ticked last.
    fn instant_held(&self, instant: Instant) -> bool;
}

/// What a step did, besides changing the parts it was given.
#[derive(Clone, Debug)]
pub struct Performed {
    /// For people.
    pub event: Event,
    /// The layers document was replaced: every other process has to [`see`](see_replaced) it.
    pub layers_replaced: bool,
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
    /// A file's time was asked for that the protocol does not name as timed.
    #[error("the protocol asks for the time of {0}, which it does not name in `TIMED`")]
    NotTimed(Path),
    /// A process computes for ever on its own.
    #[error("process {process}: a run of operations on its own cells and mutexes does not end")]
    LocalRun {
        /// Its name.
        process: String,
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

/// A step of `thread` under way.
struct Acting<'a, 's> {
    model: &'a mut Model<'s>,
    local: &'a mut Local,
    shared: &'a mut Shared,
    thread: usize,
    done: Performed,
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
    around: &impl Around,
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
        layers_replaced: false,
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
        return Ok(Some(acting.finish()));
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
        Effect::Died => acting.die(),
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
    Ok(Some(acting.finish()))
}

impl Acting<'_, '_> {
    fn me(&mut self) -> &mut ThreadState {
        &mut self.local.threads[self.thread]
    }

    fn watches(&self, property: Property) -> bool {
        self.model.watched.contains(&property)
    }

    /// The call begins with its first operation.
    fn begin(&mut self, call: &Call, around: &impl Around) -> Result<(), ModelError> {
        if self.me().begun {
            return Ok(());
        }
        self.me().begun = true;
        self.done.event.begins = Some(call.clone());
        if self.watches(Property::Fresh) && call.is_query() {
            self.me().answers = monitor::answers(call, self.shared);
        }
        if self.watches(Property::ParallelReads) && call.is_query() {
            let own = monitor::readers_inside(self.local);
            let mine = self.me().holds.iter();
            let mine = mine.filter(|(path, mode)| monitor::guards_layers(path) && *mode == Mode::Shared).count();
            self.me().beside = around.others_read() || own > mine;
        }
        if self.watches(Property::CrashSafe) {
            monitor::call_begins(call, self.shared);
        }
        let entry = self.model.process(self.local.kind).protocol;
        let edge = self.model.automaton.root(entry, call)?;
        self.take_notes(&edge);
        Ok(())
    }

    fn go_to(&mut self, edge: &Edge) {
        self.me().node = edge.target;
        self.take_notes(edge);
    }

    fn take_notes(&mut self, edge: &Edge) {
        for note in edge.notes.iter() {
            let (system, thread) = (self.model.system, self.thread);
            if let Note::Release(path) = note
                && monitor::guards_layers(&system.inode(path))
            {
                self.done.released_read = self.watches(Property::ParallelReads);
            }
            let wrong = monitor::note(system, self.local, thread, note, &mut self.done.orders);
            self.done.wrong.extend(wrong);
            self.done.event.notes.push(note.clone());
        }
        if self.done.released_read {
            let thread = self.thread;
            see_released(self.local, Some(thread));
        }
    }

    /// What the operation comes to; `None` if the thread cannot take this step now. Changes the parts, not the thread's
    /// control state.
    fn effect(&mut self, op: &Op, around: &impl Around, branch: u8) -> Result<Option<Effect>, ModelError> {
        let thread = u32::try_from(self.thread).unwrap_or(u32::MAX);
        let system = self.model.system;
        let value = |value| Some(Effect::Done(Outcome::Value(value)));
        let branches = self.branches(op, around);
        if branch >= branches && !matches!(op, Op::Lock { .. }) {
            return Ok(None);
        }
        Ok(match op {
            Op::Lock { file, mode, wait } => self.lock(&system.inode(file), *mode, *wait, around, branch),
            Op::Close { file } | Op::Probe { file } => {
                self.local.locks.remove(&system.inode(file));
                Some(Effect::Done(Outcome::Done))
            }
            Op::ReadStamp { file } => {
                let stamp = self.shared.stamps.get(&system.inode(file));
                value(stamp.map_or(Value::Nil, |stamp| Value::Stamp(*stamp)))
            }
            Op::WriteStamp { file } => {
                let inode = system.inode(file);
                let stamp = around.fresh_stamp().ok_or(ModelError::Stamps)?;
                self.shared.stamps.insert(inode.clone(), stamp);
                self.written(&inode, branch == 0);
                value(Value::Stamp(stamp))
            }
            Op::Read { document } => {
                value(self.shared.documents.get(&system.inode(&document.path)).cloned().unwrap_or_default())
            }
            Op::WriteTemp { .. } | Op::Sync { .. } => Some(Effect::Done(Outcome::Done)),
            Op::Rename { document, base, value } => {
                self.rename(document, base, value);
                self.written(&system.inode(&document.path), branch == 0);
                Some(Effect::Done(Outcome::Done))
            }
            Op::Mtime { file } => {
                let inode = system.inode(file);
                let time = self.shared.mtimes.get(&inode).ok_or_else(|| ModelError::NotTimed(file.clone()))?;
                value(Value::Mtime(Mtime(*time)))
            }
            Op::Now => {
                if branch == 1 {
                    self.shared.clock += 2;
                }
                value(Value::Instant(Instant(self.shared.clock + 1)))
            }
            Op::New => {
                let held = self.local.objects_held(&self.model.automaton);
                value(Value::Object(self.local.memory.fresh_object(&held)))
            }
            Op::Spawn { call } => {
                let number = self.local.threads.len();
                let entry = self.model.process(self.local.kind).protocol;
                let node = self.model.automaton.root(entry, call)?.target;
                let mut goroutine = self.local.threads[self.thread].clone();
                goroutine = ThreadState {
                    goroutine: Some(Arc::new(call.clone())),
                    node,
                    begun: false,
                    holds: Vec::new(),
                    answers: std::collections::BTreeSet::new(),
                    beside: false,
                    ..goroutine
                };
                self.local.threads.push(goroutine);
                value(Value::Int(u32::try_from(number).unwrap_or(u32::MAX)))
            }
            Op::Join { thread } => {
                let result = self.local.threads.get(*thread as usize).map(|thread| thread.done.clone());
                match result {
                    Some(None) => None,
                    Some(Some(result)) => {
                        if *thread as usize + 1 == self.local.threads.len() {
                            self.local.threads.pop();
                        }
                        value(result)
                    }
                    None => Some(self.panics(format!("join of goroutine {thread}, which there is none"))),
                }
            }
            Op::Choose { .. } => value(Value::Int(u32::from(branch))),
            Op::Panic { message } => Some(self.panics(message.clone())),
            Op::Note(_) | Op::LoopHead { .. } => Some(Effect::Done(Outcome::Done)),
            Op::MutexLock { .. }
            | Op::MutexUnlock { .. }
            | Op::RwLock { .. }
            | Op::RwUnlock { .. }
            | Op::Get { .. }
            | Op::Set { .. } => match Arc::make_mut(&mut self.local.memory).attempt(thread, op) {
                Some(Progress::Done(outcome)) => Some(Effect::Done(outcome)),
                Some(Progress::Waits) => Some(Effect::Waits),
                Some(Progress::Fatal(message)) => Some(self.panics(message)),
                Some(Progress::Blocked) | None => None,
            },
        })
    }

    /// How many outcomes are possible, for all but locks.
    fn branches(&self, op: &Op, around: &impl Around) -> u8 {
        let timed = |path: &Path| self.shared.mtimes.contains_key(&self.model.system.inode(path));
        match op {
            Op::Choose { among } => u8::try_from(*among).unwrap_or(u8::MAX),
            Op::WriteStamp { file } if timed(file) => 2,
            Op::Rename { document, .. } if timed(&document.path) => 2,
            // A tick right before the clock is read shows only if another time was read since the last tick.
            Op::Now if around.instant_held(Instant(self.shared.clock + 1)) => 2,
            _ => 1,
        }
    }

    /// A file was written: its time is the coarse clock's, which may or may not have ticked since it was looked at.
    fn written(&mut self, inode: &Path, ticked: bool) {
        if let Some(time) = self.shared.mtimes.get_mut(inode) {
            if ticked {
                self.shared.clock += 2;
            }
            *time = self.shared.clock;
        }
    }

    /// A request, or the grant of one that waits (`fcntl_setlk` and `posix_lock_inode` in fs/locks.c).
    fn lock(&mut self, inode: &Path, mode: Mode, wait: bool, around: &impl Around, branch: u8) -> Option<Effect> {
        let excluded = around.excluded(inode, mode);
        let waits = self.me().waiting.is_some();
        let mut possible = Vec::with_capacity(2);
        if !excluded {
            possible.push(Some(LockResult::Granted));
        } else if waits {
            return None;
        } else if !wait {
            possible.push(Some(LockResult::WouldBlock));
        } else {
            let answer = around.closes_cycle(inode, mode);
            if !answer.certain {
                possible.push(None);
            }
            if answer.possible {
                possible.push(Some(LockResult::Deadlock));
            }
        }
        let result = *possible.get(usize::from(branch))?;
        match result {
            Some(LockResult::Granted) => {
                self.local.locks.insert(inode.clone(), mode);
                self.me().waiting = None;
            }
            None => self.me().waiting = Some((inode.clone(), mode)),
            Some(_) => {}
        }
        Some(result.map_or(Effect::Waits, |result| Effect::Done(Outcome::Locked(result))))
    }

    fn rename(&mut self, document: &Document, base: &Value, value: &Value) {
        let inode = self.model.system.inode(&document.path);
        let replaced = self.shared.documents.insert(inode.clone(), value.clone()).unwrap_or_default();
        self.done.wrong.extend(monitor::judge_base(&inode, base, &replaced));
        if inode.0 == LAYERS {
            self.done.layers_replaced = true;
            if self.watches(Property::CrashSafe) {
                self.done.wrong.extend(monitor::layers_replaced(self.shared));
            }
            if self.watches(Property::Fresh) {
                see_replaced(self.model, self.local, self.shared);
            }
        }
    }

    /// `exclusive`: was the lock held that governs what was touched.
    fn judge(&mut self, op: &Op) {
        let system = self.model.system;
        let (lock, need, what) = match op {
            Op::Read { document } => (&document.lock, Need::Any, format!("reads {}", document.path.file_name())),
            Op::Rename { document, .. } => {
                (&document.lock, Need::Exclusive, format!("replaces {}", document.path.file_name()))
            }
            Op::WriteStamp { file } => (file, Need::Exclusive, format!("writes the stamp of {}", file.file_name())),
            _ => return,
        };
        let wrong = monitor::judge_access(self.local, self.thread, &system.inode(lock), need, &what);
        self.done.wrong.extend(wrong);
    }

    fn panics(&mut self, message: String) -> Effect {
        self.done.wrong.push((Property::NoPanic, format!("panic: {message}")));
        Effect::Died
    }

    fn die(&mut self) {
        die(self.local);
    }

    fn end_call(&mut self) -> Result<(), ModelError> {
        let node = self.me().node;
        let node = self.model.automaton.node(node);
        let Some(reply) = node.reply().cloned() else { return Ok(()) };
        let call = Arc::clone(&node.call);
        self.judge_reply(&call, &reply);
        self.done.event.ends = Some(reply.clone());
        let thread = self.thread;
        let process = self.model.process(self.local.kind);
        let me = self.me();
        me.begun = false;
        me.answers.clear();
        me.beside = false;
        if me.goroutine.is_some() {
            me.done = Some(reply.unwrap_or_default());
        } else {
            me.position += 1;
            let me = &mut self.local.threads[thread];
            self.model.stand_before_call(process, me, thread)?;
        }
        if self.local.threads.iter().all(|thread| thread.done.is_some()) {
            self.end_process()?;
        }
        Ok(())
    }

    fn judge_reply(&mut self, call: &Call, reply: &Reply) {
        if self.watches(Property::Fresh) && call.is_query() {
            let wrong = monitor::judge_answer(call, reply, &self.local.threads[self.thread].answers);
            self.done.wrong.extend(wrong);
        }
        if self.watches(Property::ParallelReads) && self.me().beside && reply.is_ok() {
            let text = format!("`{call}` begins and returns while another reader is inside");
            self.done.wrong.push((Property::ParallelReads, text));
        }
        if self.watches(Property::CrashSafe) {
            self.done.wrong.extend(monitor::call_ends(call, reply, self.shared));
        }
    }

    /// The last thread is done: the process exits, which drops its locks, and the next one of its kind may start.
    fn end_process(&mut self) -> Result<(), ModelError> {
        let runs_left = self.local.runs_left.map(|runs| runs.saturating_sub(1));
        if runs_left == Some(0) {
            die(self.local);
            self.local.life = Life::Ended;
        } else {
            *self.local = self.model.fresh_local(self.local.kind, runs_left)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Performed {
        if self.local.memory.cells.keys().any(|name| name.object.is_some()) {
            let held = self.local.objects_held(&self.model.automaton);
            Arc::make_mut(&mut self.local.memory).collect(&held);
        }
        let watched = &self.model.watched;
        self.done.wrong.retain(|(property, _)| watched.contains(property));
        if let Some((_, text)) = self.done.wrong.first() {
            self.done.event.wrong = Some(text.clone());
        }
        self.done
    }
}

/// A process is gone: its memory and its locks are, too (fcntl(2): locks are released when the process terminates).
fn die(local: &mut Local) {
    local.life = Life::Dead;
    local.threads.clear();
    local.memory = Arc::default();
    local.locks.clear();
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
        let call_of = |thread: usize| {
            let thread = &local.threads[thread];
            // Who only waits for the lock has made nothing yet, even if another makes the same layer.
            let writes = |(path, mode): &(Path, Mode)| monitor::guards_layers(path) && *mode == Mode::Exclusive;
            (thread.done.is_none() && thread.begun && thread.holds.iter().any(writes))
                .then(|| (*model.automaton.node(thread.node).call).clone())
        };
        monitor::killed(local, call_of, shared);
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
        layers_replaced: false,
        released_read,
        progress: true,
        wrong: Vec::new(),
        orders: Vec::new(),
    })
}

/// `fresh`: the layers document was replaced while this process may be in a query.
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
