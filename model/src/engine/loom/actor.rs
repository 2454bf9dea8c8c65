//! A thread of a process: it makes its calls, and performs each operation with loom's primitives.

use std::sync::Arc;

use ::loom::sync::MutexGuard;

use super::world::{Contents, Guarded, Running, Sleep, World, fresh};
use crate::automaton::LearnError;
use crate::call::{Call, Reply};
use crate::ctx::{Request, Task};
use crate::monitor::{self, Need};
use crate::op::{CellName, Document, LockResult, Mode, Note, Op, Outcome, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::{Life, Local};
use crate::system::{Repeat, Thread};
use crate::value::{Instant, Mtime, Object, Stamp, Value};
use crate::world::locks::closes_cycle;
use crate::world::memory::Progress;

/// The words that a loom thread has for its stack: 256 KiB.
const STACK: usize = 0x8000;

/// The execution is over, or the process has died.
#[derive(Debug)]
struct Gone;

/// The top of a loop, and with which values.
type Head = Option<(String, Value)>;

/// A thread that runs.
#[derive(Debug)]
pub(super) struct Actor {
    world: Arc<World>,
    at: usize,
    process: usize,
    thread: usize,
    /// The lock request that the kernel refused last with `EDEADLK`, and the round of the loop that made it.
    refused: Option<(Path, Mode, Head)>,
    head: Head,
}

impl Actor {
    /// Starts a thread with a script.
    pub(super) fn start(world: &Arc<World>, process: usize, thread: usize) {
        Self::spawn(world, process, thread, |actor| drop(actor.run_script()));
    }

    fn spawn(world: &Arc<World>, process: usize, thread: usize, body: impl FnOnce(&mut Self) + Send + 'static) {
        let at = world.contents().threads.len();
        if at >= super::THREADS_MAX {
            return world.cut(&format!("more than {} threads", super::THREADS_MAX));
        }
        let running = Running { process, thread, handle: None, sleeps: None, done: false, call: None };
        world.contents().threads.push(running);
        let mut actor = Self { world: Arc::clone(world), at, process, thread, refused: None, head: None };
        let run = move || {
            let handle = ::loom::thread::current();
            actor.world.contents().threads[at].handle = Some(handle);
            body(&mut actor);
            actor.world.contents().threads[at].done = true;
            actor.world.look_for_deadlock();
        };
        // Nobody joins: the execution is over when every thread has returned.
        if ::loom::thread::Builder::new().stack_size(STACK).spawn(run).is_err() {
            world.cut("loom does not start another thread");
        }
    }

    /// Whether what this thread does in its process is nobody else's business.
    fn is_only_thread(&self) -> bool {
        self.world.system().processes[self.process].threads.len() == 1
    }

    fn local<T>(&self, act: impl FnOnce(&mut Local) -> T) -> T {
        act(&mut self.world.contents().locals[self.process])
    }

    fn may_go_on(&self) -> Result<(), Gone> {
        let alive = self.local(|local| local.life == Life::Alive);
        if alive && !self.world.is_over() { Ok(()) } else { Err(Gone) }
    }

    /// The calls of a thread, and of its process's other runs if it is the only one.
    fn run_script(&mut self) -> Result<(), Gone> {
        let process = self.world.system().processes[self.process].clone();
        let runs = if let Repeat::Times(runs) = process.runs { runs } else { 1 };
        for _ in 0..runs {
            if self.thread == 0 {
                for call in &process.before {
                    drop(self.make(call)?);
                }
                for other in 1..process.threads.len() {
                    Self::start(&self.world, self.process, other);
                }
            }
            let Thread { script, repeat } = &process.threads[self.thread];
            let rounds = if let Repeat::Times(rounds) = repeat { *rounds } else { 1 };
            for call in (0..rounds).flat_map(|_| script) {
                drop(self.make(call)?);
            }
            self.local(|local| local.threads[self.thread].done = Some(Value::Nil));
            if self.local(|local| local.threads.iter().all(|thread| thread.done.is_some())) {
                self.leave(false);
                if self.is_only_thread() {
                    let new = fresh(self.world.system(), self.process);
                    self.local(|local| *local = new);
                }
            }
        }
        Ok(())
    }

    /// The process is gone: its locks are dropped all at once (fcntl(2)).
    fn leave(&self, panics: bool) {
        let inodes: Vec<Path> = self.local(|local| local.locks.keys().cloned().collect());
        let mutexes: Vec<_> = inodes.iter().map(|inode| self.world.mutex(Guarded::File(inode.clone()))).collect();
        let waits = self.world.mutex(Guarded::Waits);
        let _files: Vec<_> = mutexes.iter().map(|mutex| self.world.enter(mutex)).collect();
        let _waits = if inodes.is_empty() { None } else { self.world.enter(&waits) };
        if panics {
            self.record();
        }
        self.local(|local| {
            local.locks.clear();
            local.life = Life::Ended;
        });
        self.world.wake(|contents, thread, sleep| wakes(contents, thread, sleep, self.process));
    }

    fn record(&self) {
        let (process, thread) = (narrow(self.process), narrow(self.thread));
        self.world.contents().steps.push(Step::Run { process, thread, branch: 0 });
    }

    /// Makes one call.
    fn make(&mut self, call: &Call) -> Result<Reply, Gone> {
        let entry = self.world.system().processes[self.process].protocol;
        let judged = call.is_query() && self.world.watches(Property::Fresh);
        self.may_go_on()?;
        self.begin(call, judged);
        let mut task = Task::new(entry, call.clone());
        let mut outcome = None;
        let mut steps = 0;
        loop {
            self.may_go_on()?;
            let request = task.resume(outcome).map_err(|error| {
                let error = LearnError::Protocol { protocol: entry.name, call: call.to_string(), error };
                self.world.search.found(|found| found.error.get_or_insert(error).clone());
                self.world.end();
                Gone
            })?;
            match request {
                Request::Op(op) => {
                    steps += usize::from(!matches!(op, Op::Note(_) | Op::LoopHead { .. }));
                    outcome = Some(self.perform(&op)?);
                }
                Request::Done(reply) => {
                    if steps == 0 {
                        self.record();
                    }
                    self.end(call, &reply, judged)?;
                    return Ok(reply);
                }
            }
        }
    }

    /// When a query begins and ends is seen by whoever replaces what its answer is judged by.
    fn begin(&mut self, call: &Call, judged: bool) {
        if judged {
            for document in monitor::contents_of(call, self.world.system()) {
                self.world.touch(&document);
            }
        }
        let contents = &mut *self.world.contents();
        contents.threads[self.at].call = Some(Arc::new(call.clone()));
        let answers = if judged { monitor::answers(call, &contents.shared) } else { std::collections::BTreeSet::new() };
        let state = &mut contents.locals[self.process].threads[self.thread];
        state.begun = judged;
        state.answers = answers;
    }

    fn end(&mut self, call: &Call, reply: &Reply, judged: bool) -> Result<(), Gone> {
        if judged {
            for document in monitor::contents_of(call, self.world.system()) {
                self.world.touch(&document);
            }
            self.may_go_on()?;
        }
        let answers = self.local(|local| {
            local.threads[self.thread].begun = false;
            std::mem::take(&mut local.threads[self.thread].answers)
        });
        if judged && let Some(wrong) = monitor::judge_answer(call, reply, &answers) {
            self.world.wrong(wrong);
        }
        if let Err(fail) = reply {
            self.world.wrong(monitor::failed(call, fail));
        }
        self.world.contents().threads[self.at].call = None;
        Ok(())
    }

    fn perform(&mut self, op: &Op) -> Result<Outcome, Gone> {
        if !matches!(op, Op::LoopHead { .. } | Op::Lock { .. } | Op::Note(_)) {
            self.refused = None;
        }
        let value = |value| Ok(Outcome::Value(value));
        match op {
            Op::Lock { file, mode, wait } => self.lock(file, *mode, *wait).map(Outcome::Locked),
            Op::Close { file } | Op::Probe { file } => self.unlock(file),
            Op::ReadStamp { file } => {
                let inode = self.touch(file)?;
                let stamp = self.world.contents().shared.stamps.get(&inode).copied();
                self.record();
                value(stamp.map_or(Value::Nil, Value::Stamp))
            }
            Op::WriteStamp { file } => self.write_stamp(file),
            Op::Read { document } => {
                let inode = self.touch(&document.path)?;
                let read = self.world.contents().shared.documents.get(&inode).cloned();
                self.record();
                self.judge_access(&document.lock, Need::Any, || format!("reads {}", document.path.file_name()));
                value(read.unwrap_or_default())
            }
            Op::WriteTemp { .. } | Op::Sync { .. } => {
                self.record();
                Ok(Outcome::Done)
            }
            Op::Rename { document, base, value } => self.rename(document, base, value),
            Op::Mtime { file } => {
                // Nobody writes it, or the search is cut.
                let inode = self.world.system().inode(file);
                let time = self.world.contents().shared.mtimes.get(&inode).copied();
                self.record();
                let Some(time) = time else { return self.cut(&format!("{file} is not named as timed")) };
                value(if time == 0 { Value::Nil } else { Value::Mtime(Mtime(time)) })
            }
            Op::Now => {
                let time = self.world.contents().shared.clock + 1;
                self.record();
                value(Value::Instant(Instant(time)))
            }
            Op::New => {
                self.record();
                let contents = &mut *self.world.contents();
                contents.objects[self.process] += 1;
                value(Value::Object(Object(contents.objects[self.process] - 1)))
            }
            Op::Spawn { .. } | Op::Join { .. } => self.cut("a protocol starts a goroutine"),
            Op::Choose { among } if *among <= 1 => {
                self.record();
                value(Value::Int(0))
            }
            Op::Choose { .. } => self.cut("a protocol chooses"),
            Op::Panic { message } => self.die(message),
            Op::LoopHead { label, values } => {
                self.head = Some((label.clone(), values.clone()));
                value(values.clone())
            }
            Op::Note(note) => {
                self.note(note);
                Ok(Outcome::Done)
            }
            Op::Get { cell } => self.cell(op, cell, false),
            Op::Set { cell, .. } => self.cell(op, cell, true),
            Op::MutexLock { mutex } | Op::RwLock { mutex, .. } => self.go_mutex(op, mutex, false),
            Op::MutexUnlock { mutex } | Op::RwUnlock { mutex, .. } => self.go_mutex(op, mutex, true),
        }
    }

    fn cut<T>(&self, why: &str) -> Result<T, Gone> {
        self.world.cut(why);
        Err(Gone)
    }

    /// The inode of a file whose contents are about to be used.
    fn touch(&self, file: &Path) -> Result<Path, Gone> {
        let inode = self.world.system().inode(file);
        self.world.touch(&inode);
        self.may_go_on()?;
        Ok(inode)
    }

    fn write_stamp(&self, file: &Path) -> Result<Outcome, Gone> {
        let inode = self.touch(file)?;
        self.refuse_timed(&inode)?;
        let stamp = {
            let contents = &mut *self.world.contents();
            let stamp = Stamp(contents.stamps);
            contents.stamps += 1;
            contents.shared.stamps.insert(inode, stamp);
            stamp
        };
        self.record();
        self.judge_access(file, Need::Exclusive, || format!("writes the stamp of {}", file.file_name()));
        Ok(Outcome::Value(Value::Stamp(stamp)))
    }

    fn rename(&self, document: &Document, base: &Value, value: &Value) -> Result<Outcome, Gone> {
        let inode = self.touch(&document.path)?;
        self.refuse_timed(&inode)?;
        let replaced = self.world.contents().shared.documents.insert(inode.clone(), value.clone());
        self.record();
        if let Some(wrong) = monitor::judge_base(&inode, base, &replaced.unwrap_or_default()) {
            self.world.wrong(wrong);
        }
        let name = || format!("replaces {}", document.path.file_name());
        self.judge_access(&document.lock, Need::Exclusive, name);
        if monitor::is_contents(&inode) && self.world.watches(Property::Fresh) {
            self.world.see_replaced();
        }
        Ok(Outcome::Done)
    }

    /// The clock may tick before a file is written or may not; that is a choice, and loom has none.
    fn refuse_timed(&self, inode: &Path) -> Result<(), Gone> {
        if self.world.contents().shared.mtimes.contains_key(inode) {
            return self.cut(&format!("{} is written, and its time is asked for", inode.file_name()));
        }
        Ok(())
    }

    fn judge_access(&self, lock: &Path, need: Need, what: impl FnOnce() -> String) {
        if self.world.watches(Property::Exclusive) {
            let inode = self.world.system().inode(lock);
            let wrong = self.local(|local| monitor::judge_access(local, self.thread, &inode, need, &what()));
            if let Some(wrong) = wrong {
                self.world.wrong(wrong);
            }
        }
    }

    fn note(&self, note: &Note) {
        let system = self.world.system();
        let wrong = self.local(|local| monitor::note(system, local, self.thread, note, &mut Vec::new()));
        for wrong in wrong {
            self.world.wrong(wrong);
        }
    }

    /// A Go panic ends the process.
    fn die<T>(&self, message: &str) -> Result<T, Gone> {
        self.leave(true);
        self.world.wrong((Property::NoPanic, format!("panic: {message}")));
        self.local(|local| {
            local.life = Life::Dead;
            local.threads.iter_mut().for_each(|thread| thread.waiting = None);
        });
        self.world.wake(|_, thread, _| thread.process == self.process);
        Err(Gone)
    }

    /// `F_SETLKW` and `F_SETLK`: `posix_lock_inode` of fs/locks.c.
    fn lock(&mut self, file: &Path, mode: Mode, wait: bool) -> Result<LockResult, Gone> {
        let inode = self.world.system().inode(file);
        let (mutex, cycle) = (self.world.mutex(Guarded::File(inode.clone())), self.world.mutex(Guarded::Waits));
        loop {
            let file_guard = self.world.enter(&mutex);
            self.may_go_on()?;
            let (excluded, awaited) = {
                let contents = self.world.contents();
                (!contents.holders(self.process, &inode, mode).is_empty(), contents.is_awaited(&inode))
            };
            let cycle_guard = if awaited || (excluded && wait) { Some(self.world.enter(&cycle)) } else { None };
            self.may_go_on()?;
            if !excluded {
                self.local(|local| {
                    local.locks.insert(inode.clone(), mode);
                    local.threads[self.thread].waiting = None;
                });
                self.record();
                self.refused = None;
                self.wake_for_file();
                return Ok(LockResult::Granted);
            }
            let waits = self.local(|local| local.threads[self.thread].waiting.is_some());
            if !waits && !wait {
                self.record();
                return Ok(LockResult::WouldBlock);
            }
            if !waits {
                let answer = {
                    let contents = self.world.contents();
                    closes_cycle(&*contents, self.process, &contents.holders(self.process, &inode, mode))
                };
                if answer.possible && !answer.certain {
                    return self.cut("the kernel may answer EDEADLK or may not");
                }
                if answer.certain {
                    if self.asks_again(&inode, mode) {
                        self.world.sleep(self.at, Sleep::Refused(inode.clone()), (file_guard, cycle_guard));
                        continue;
                    }
                    self.record();
                    self.refused = Some((inode, mode, self.head.clone()));
                    return Ok(LockResult::Deadlock);
                }
                self.local(|local| local.threads[self.thread].waiting = Some((inode.clone(), mode)));
                self.record();
                self.wake_for_file();
            }
            self.world.sleep(self.at, Sleep::File(inode.clone(), mode), (file_guard, cycle_guard));
        }
    }

    /// Whether this request was just refused in a round of a loop that was like this one: to ask again is no news until
    /// something has changed.
    fn asks_again(&self, inode: &Path, mode: Mode) -> bool {
        let same = |refused: &(Path, Mode, Head)| refused.0 == *inode && refused.1 == mode && refused.2 == self.head;
        self.head.is_some() && self.refused.as_ref().is_some_and(same)
    }

    /// Who holds or awaits a lock file has changed.
    fn wake_for_file(&self) {
        self.world.wake(|contents, thread, sleep| wakes(contents, thread, sleep, self.process));
    }

    /// Closing any descriptor of an inode drops the lock of the process.
    fn unlock(&self, file: &Path) -> Result<Outcome, Gone> {
        let inode = self.world.system().inode(file);
        if !self.is_only_thread() || self.local(|local| local.locks.contains_key(&inode)) {
            let (mutex, cycle) = (self.world.mutex(Guarded::File(inode.clone())), self.world.mutex(Guarded::Waits));
            let _file = self.world.enter(&mutex);
            self.may_go_on()?;
            let awaited = self.world.contents().is_awaited(&inode);
            let _cycle: Option<MutexGuard<'_, ()>> = if awaited { self.world.enter(&cycle) } else { None };
            self.may_go_on()?;
            self.local(|local| local.locks.remove(&inode));
            self.record();
            self.wake_for_file();
        } else {
            self.record();
        }
        Ok(Outcome::Done)
    }

    fn cell(&self, op: &Op, cell: &CellName, writes: bool) -> Result<Outcome, Gone> {
        if !self.is_only_thread() {
            self.world.access(self.at, self.process, cell, writes);
            self.may_go_on()?;
        }
        self.attempt(op).map_or(Err(Gone), |progress| match progress {
            Progress::Done(outcome) => {
                self.record();
                Ok(outcome)
            }
            _ => Err(Gone),
        })
    }

    fn attempt(&self, op: &Op) -> Option<Progress> {
        let thread = u32::try_from(self.thread).unwrap_or(u32::MAX);
        self.local(|local| Arc::make_mut(&mut local.memory).attempt(thread, op))
    }

    fn go_mutex(&self, op: &Op, name: &CellName, unlocks: bool) -> Result<Outcome, Gone> {
        let mutex = self.world.mutex(Guarded::Go(self.process, name.clone()));
        let why = Sleep::Go(self.process, name.clone());
        loop {
            let guard = if self.is_only_thread() { None } else { self.world.enter(&mutex) };
            self.may_go_on()?;
            match self.attempt(op) {
                Some(Progress::Done(outcome)) => {
                    self.record();
                    if unlocks {
                        self.world.wake(|_, _, sleep| *sleep == why);
                    }
                    return Ok(outcome);
                }
                Some(Progress::Waits) => {
                    self.record();
                    self.world.sleep(self.at, why.clone(), guard);
                }
                Some(Progress::Blocked) => self.world.sleep(self.at, why.clone(), guard),
                Some(Progress::Fatal(message)) => return self.die(&message),
                None => return Err(Gone),
            }
        }
    }
}

/// Whether a thread is woken by a change that `changer` made to who holds or awaits a lock file.
fn wakes(contents: &Contents, thread: &Running, sleep: &Sleep, changer: usize) -> bool {
    match sleep {
        Sleep::File(inode, mode) => contents.holders(thread.process, inode, *mode).is_empty(),
        Sleep::Refused(_) => thread.process != changer,
        Sleep::Go(..) => false,
    }
}

fn narrow(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}
