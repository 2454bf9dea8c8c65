//! What an operation does to the parts of the state, and what monitors make of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Around, ModelError, Performed, die, see_released, see_replaced};
use crate::automaton::Edge;
use crate::call::{Call, Reply};
use crate::monitor::{self, Need};
use crate::op::{Document, LockResult, Mode, Note, Op, Outcome, Path};
use crate::property::Property;
use crate::state::{HOLDS_MAX, Life, Local, Model, SHUTDOWNS_MAX, Shared, ThreadState};
use crate::trace::Effect;
use crate::value::{Instant, Mtime, Value};
use crate::world::memory::Progress;

/// A step of `thread` under way.
pub(super) struct Acting<'a, 's> {
    pub(super) model: &'a mut Model<'s>,
    pub(super) local: &'a mut Local,
    pub(super) shared: &'a mut Shared,
    pub(super) thread: usize,
    pub(super) done: Performed,
}

impl Acting<'_, '_> {
    pub(super) fn me(&mut self) -> &mut ThreadState {
        &mut self.local.threads[self.thread]
    }

    fn watches(&self, property: Property) -> bool {
        self.model.watched.contains(&property)
    }

    /// The call begins with its first operation.
    pub(super) fn begin(&mut self, call: &Call, around: &Around) -> Result<(), ModelError> {
        if self.me().begun {
            return Ok(());
        }
        self.me().begun = true;
        self.done.event.begins = Some(call.clone());
        if self.watches(Property::Fresh) && call.is_query() {
            self.me().answers = monitor::answers(call, self.shared);
        }
        if self.watches(Property::ParallelReads) && call.is_read() {
            let own = monitor::readers_inside(self.local);
            let mine = self.me().holds.iter();
            let mine = mine.filter(|(path, mode)| monitor::guards_layers(path) && *mode == Mode::Shared).count();
            self.me().beside = around.others_read || own > mine;
        }
        let entry = self.model.process(self.local.kind).protocol;
        let edge = self.model.automaton.root(entry, call)?;
        self.take_notes(&edge);
        Ok(())
    }

    pub(super) fn go_to(&mut self, edge: &Edge) {
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
    pub(super) fn effect(&mut self, op: &Op, around: &Around, branch: u8) -> Result<Option<Effect>, ModelError> {
        let thread = u32::try_from(self.thread).unwrap_or(u32::MAX);
        let system = self.model.system;
        let value = |value| Some(Effect::Done(Outcome::Value(value)));
        let branches = self.branches(op, around);
        if branch >= branches && !matches!(op, Op::Lock { .. }) {
            return Ok(None);
        }
        Ok(match op {
            Op::Lock { file, mode, wait } => self.lock(&system.inode(file), *mode, *wait, around, branch),
            Op::Close { file } | Op::Probe { file, .. } => {
                self.local.locks.remove(&system.inode(file));
                Some(Effect::Done(Outcome::Done))
            }
            Op::ReadStamp { file } => {
                self.look_at_graph_lock(file);
                let stamp = self.shared.stamps.get(&system.inode(file));
                value(stamp.map_or(Value::Nil, |stamp| Value::Stamp(*stamp)))
            }
            Op::WriteStamp { file } => {
                let inode = system.inode(file);
                let stamp = around.fresh_stamp.ok_or(ModelError::Stamps)?;
                self.shared.stamps.insert(inode.clone(), stamp);
                self.written(&inode, branch == 0);
                value(Value::Stamp(stamp))
            }
            Op::Read { document } => {
                self.load(document);
                value(self.shared.documents.get(&system.inode(&document.path)).cloned().unwrap_or_default())
            }
            Op::WriteTemp { .. } | Op::Sync { .. } => Some(Effect::Done(Outcome::Done)),
            Op::Rename { document, base, value } => {
                self.rename(document, base, value);
                self.written(&system.inode(&document.path), branch == 0);
                Some(Effect::Done(Outcome::Done))
            }
            Op::Mtime { file } => {
                self.look_at_graph_lock(file);
                let inode = system.inode(file);
                let time = self.shared.mtimes.get(&inode).ok_or_else(|| ModelError::NotTimed(file.clone()))?;
                value(if *time == 0 { Value::Nil } else { Value::Mtime(Mtime(*time)) })
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
                    answers: BTreeSet::new(),
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
            Op::Get { cell } => value(self.local.memory.get(cell)),
            Op::MutexLock { .. }
            | Op::MutexUnlock { .. }
            | Op::RwLock { .. }
            | Op::RwUnlock { .. }
            | Op::Set { .. } => match Arc::make_mut(&mut self.local.memory).attempt(thread, op) {
                Some(Progress::Done(outcome)) => Some(Effect::Done(outcome)),
                Some(Progress::Waits) => Some(Effect::Waits),
                Some(Progress::Fatal(message)) => Some(self.panics(message)),
                Some(Progress::Blocked) | None => None,
            },
        })
    }

    /// `driver-alive`: whoever looks at the graph lock can know of every Shutdown so far. Whether it does is its own business.
    fn look_at_graph_lock(&mut self, file: &Path) {
        if self.watches(Property::DriverAlive) && self.model.system.inode(file).0 == monitor::GRAPH_LOCK {
            self.local.shutdowns_seen[0] = self.shared.shutdowns;
        }
    }

    /// `no-needless-load`: the process knows the document from now on. What it does in preparation is not judged.
    fn load(&mut self, document: &Document) {
        let inode = self.model.system.inode(&document.path);
        if !self.watches(Property::NoNeedlessLoad) || !monitor::is_counted(&inode) {
            return;
        }
        let holds = self.shared.documents.get(&inode).cloned().unwrap_or_default();
        let known = self.local.known.insert(inode.clone(), holds.clone());
        let process = self.model.process(self.local.kind);
        if self.local.is_ready(process) && known.as_ref() == Some(&holds) {
            self.done.wrong.push(monitor::judge_load(&inode, &holds));
        }
    }

    /// How many outcomes are possible, for all but locks.
    fn branches(&self, op: &Op, around: &Around) -> u8 {
        let timed = |path: &Path| self.shared.mtimes.contains_key(&self.model.system.inode(path));
        match op {
            Op::Choose { among } => u8::try_from(*among).unwrap_or(u8::MAX),
            Op::WriteStamp { file: path } | Op::Rename { document: Document { path, .. }, .. } if timed(path) => {
                if self.model.system.fine_times { 1 } else { 2 }
            }
            // A tick right before the clock is read shows only if another time was read since the last tick.
            Op::Now if around.instant_held => 2,
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
    fn lock(&mut self, inode: &Path, mode: Mode, wait: bool, around: &Around, branch: u8) -> Option<Effect> {
        let waits = self.me().waiting.is_some();
        let mut possible = Vec::with_capacity(2);
        if !around.excluded {
            possible.push(Some(LockResult::Granted));
        } else if waits {
            return None;
        } else if !wait {
            possible.push(Some(LockResult::WouldBlock));
        } else {
            if !around.cycle.certain {
                possible.push(None);
            }
            if around.cycle.possible {
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
        if self.watches(Property::NoNeedlessLoad) && monitor::is_counted(&inode) {
            self.local.known.insert(inode.clone(), value.clone());
        }
        self.done.wrong.extend(monitor::judge_base(&inode, base, &replaced));
        if monitor::is_contents(&inode) {
            self.done.contents_replaced = true;
            if self.watches(Property::CrashSafe) {
                let node = self.me().node;
                let call = &self.model.automaton.node(node).call;
                self.done.wrong.extend(monitor::contents_replaced(call, &inode, &replaced, self.shared));
            }
            if self.watches(Property::Fresh) {
                see_replaced(self.model, self.local, self.shared);
            }
        }
    }

    /// `exclusive`: was the lock held that governs what was touched. `read-only`: was it to be touched at all.
    pub(super) fn judge(&mut self, op: &Op) {
        let system = self.model.system;
        if let Op::Rename { document, .. } = op
            && self.model.process(self.local.kind).protocol.read_only
        {
            self.done.wrong.push(monitor::judge_read_only(&document.path));
        }
        if let Op::Set { cell, value } = op
            && monitor::is_graph_driver(cell)
            && *value != Value::Nil
        {
            self.local.shutdowns_seen[1] = self.local.shutdowns_seen[0];
        }
        if monitor::is_cleanup(op) && self.watches(Property::DriverAlive) {
            self.shared.shutdowns = (self.shared.shutdowns + 1) % SHUTDOWNS_MAX;
        }
        if let Op::Rename { document, .. } = op
            && self.watches(Property::DriverAlive)
            && self.local.shutdowns_seen[1] != self.shared.shutdowns
        {
            let node = self.me().node;
            let call = &self.model.automaton.node(node).call;
            self.done.wrong.extend(monitor::judge_mount(call, &system.inode(&document.path)));
        }
        if let Op::Probe { file, mode } = op {
            let node = self.me().node;
            let call = &self.model.automaton.node(node).call;
            self.done.wrong.extend(monitor::judge_open(call, &system.inode(file), *mode));
        }
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

    pub(super) fn end_call(&mut self) -> Result<(), ModelError> {
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
        if self.watches(Property::NoError)
            && let Err(fail) = reply
        {
            self.done.wrong.push(monitor::failed(call, fail));
        }
        if self.watches(Property::CrashSafe) {
            self.done.wrong.extend(monitor::call_ends(call, reply, self.shared));
        }
    }

    /// The process is about to be gone, and with it whatever it reads.
    pub(super) fn let_readers_go(&mut self) {
        self.done.released_read |= self.watches(Property::ParallelReads) && monitor::readers_inside(self.local) > 0;
    }

    /// The last thread is done: the process exits, which drops its locks, and the next one of its kind may start.
    fn end_process(&mut self) -> Result<(), ModelError> {
        self.let_readers_go();
        let runs_left = self.local.runs_left.map(|runs| runs.saturating_sub(1));
        if runs_left == Some(0) {
            die(self.local);
            self.local.life = Life::Ended;
        } else {
            *self.local = self.model.fresh_local(self.local.kind, runs_left)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Performed, ModelError> {
        if self.local.threads.iter().any(|thread| thread.holds.len() > HOLDS_MAX) {
            let process = self.model.process(self.local.kind).name.clone();
            return Err(ModelError::Holds { process });
        }
        if self.local.memory.cells.keys().any(|name| name.object.is_some()) {
            let held = self.local.objects_held(&self.model.automaton);
            if self.local.memory.has_garbage(&held) {
                Arc::make_mut(&mut self.local.memory).collect(&held);
            }
        }
        let watched = &self.model.watched;
        self.done.wrong.retain(|(property, _)| watched.contains(property));
        if let Some((_, text)) = self.done.wrong.first() {
            self.done.event.wrong = Some(text.clone());
        }
        Ok(self.done)
    }
}
