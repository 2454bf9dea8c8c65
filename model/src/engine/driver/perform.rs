//! What each operation does, but for lock files.

use std::sync::Arc;

use super::actor::{Actor, Gone, narrow};
use super::world::{Sleep, cell_of, fresh_thread};
use super::{Object, Primitives};
use crate::call::Call;
use crate::monitor::{self, Need};
use crate::op::{CellName, Document, Mode, Op, Outcome, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::Life;
use crate::value::{Instant, Mtime, Object as Pointer, Stamp, Value};
use crate::world::memory::Progress;

impl<P: Primitives> Actor<P> {
    /// Performs an operation that is neither a note nor the top of a loop.
    pub(super) fn perform(&mut self, op: &Op) -> Result<Outcome, Gone> {
        if !matches!(op, Op::Lock { .. }) {
            self.refused = None;
        }
        let world = Arc::clone(&self.world);
        let sleeps = matches!(op, Op::Lock { .. } | Op::MutexLock { .. } | Op::RwLock { .. } | Op::Join { .. });
        let holds = if sleeps { None } else { self.holds() };
        let _held = holds.as_ref().map(|holds| P::enter(&world, self.at, holds));
        self.may_go_on()?;
        let value = |value| Ok(Outcome::Value(value));
        match op {
            Op::Lock { file, mode, wait } => self.lock(file, *mode, *wait).map(Outcome::Locked),
            Op::Close { file } | Op::Probe { file, .. } => self.unlock(file),
            Op::ReadStamp { file } => {
                let inode = self.use_contents(file)?;
                let stamp = world.contents().shared.stamps.get(&inode).copied();
                self.record(0);
                value(stamp.map_or(Value::Nil, Value::Stamp))
            }
            Op::WriteStamp { file } => self.write_stamp(file),
            Op::Read { document } => {
                let inode = self.use_contents(&document.path)?;
                let read = world.contents().shared.documents.get(&inode).cloned();
                self.record(0);
                self.judge_access(&document.lock, Need::Any, || format!("reads {}", document.path.file_name()));
                value(read.unwrap_or_default())
            }
            Op::WriteTemp { .. } | Op::Sync { .. } => {
                self.record(0);
                Ok(Outcome::Done)
            }
            Op::Rename { document, base, value } => self.rename(document, base, value),
            Op::Mtime { file } => self.mtime(file),
            Op::Now => self.now(),
            Op::New => {
                self.record(0);
                let contents = &mut *world.contents();
                contents.objects[self.process] += 1;
                value(Value::Object(Pointer(contents.objects[self.process] - 1)))
            }
            Op::Spawn { call } => self.start_goroutine(call),
            Op::Join { thread } => self.join(*thread),
            Op::Choose { among } => {
                let branch = self.choose(u8::try_from(*among).unwrap_or(u8::MAX))?;
                self.record(branch);
                value(Value::Int(u32::from(branch)))
            }
            Op::Panic { message } => {
                if !P::REDUCES && !self.is_only_thread() {
                    // It ends the other threads, which may come first.
                    P::touch(&world, self.at, &Object::Threads(self.process));
                    self.may_go_on()?;
                }
                self.panic(message)
            }
            Op::Note(_) | Op::LoopHead { .. } => Ok(Outcome::Done),
            Op::Get { cell } => self.cell(op, cell, false),
            Op::Set { cell, .. } => self.cell(op, cell, true),
            Op::MutexLock { mutex } | Op::MutexUnlock { mutex } => self.go_mutex(op, mutex, Mode::Exclusive),
            Op::RwLock { mutex, mode } | Op::RwUnlock { mutex, mode } => self.go_mutex(op, mutex, *mode),
        }
    }

    /// What stands for the order of any two operations of a process with several threads, of an engine that has to know
    /// where that counts: what `exclusive` and `mutual-exclusion` remember is noted right behind an operation, as part of
    /// it; and a panic ends all.
    pub(super) fn holds(&self) -> Option<P::Object> {
        let watched = [Property::Exclusive, Property::MutualExclusion].iter().any(|one| self.world.watches(*one));
        let noted = watched || self.world.is_mortal(self.process);
        let counts = P::REDUCES && !self.is_only_thread() && noted;
        counts.then(|| self.world.primitives.object(Object::Holds(self.process)))
    }

    /// An outcome of `outcomes`: what the plan says, or a random one.
    pub(super) fn choose(&self, outcomes: u8) -> Result<u8, Gone> {
        if outcomes <= 1 {
            return Ok(0);
        }
        if let Some(drawn) = self.world.primitives.draw(u32::from(outcomes)) {
            return Ok(u8::try_from(drawn).unwrap_or(0));
        }
        let number = {
            let running = &mut self.world.contents().threads[self.at];
            running.choices += 1;
            running.choices - 1
        };
        let actor = (self.process, self.thread);
        let branch = self.world.search.found(|found| {
            let planned = found.plan.branch(actor, number);
            if planned.is_none() {
                found.met.choice(actor, number, outcomes);
            }
            planned.unwrap_or(0)
        });
        // What the plan says may be no outcome in this execution. To end it would hide from an engine that reduces what comes
        // later; so it goes on as one of another plan.
        Ok(branch.min(outcomes - 1))
    }

    /// Sleeps, unless this is where the process is killed.
    pub(super) fn sleep<G>(&mut self, why: Sleep, guards: G) -> Result<(), Gone> {
        if self.stops_here() {
            drop(guards);
            return self.stop();
        }
        self.world.sleep(self.at, why, guards);
        Ok(())
    }

    /// The inode of a file whose contents are about to be used.
    fn use_contents(&self, file: &Path) -> Result<Path, Gone> {
        let inode = self.world.system().inode(file);
        P::touch(&self.world, self.at, &self.world.disk(&inode));
        self.may_go_on()?;
        Ok(inode)
    }

    fn write_stamp(&mut self, file: &Path) -> Result<Outcome, Gone> {
        let inode = self.use_contents(file)?;
        let branch = self.write_time(&inode)?;
        let stamp = {
            let contents = &mut *self.world.contents();
            let stamp = Stamp(contents.stamps);
            contents.stamps += 1;
            contents.shared.stamps.insert(inode, stamp);
            stamp
        };
        self.record(branch);
        self.judge_access(file, Need::Exclusive, || format!("writes the stamp of {}", file.file_name()));
        Ok(Outcome::Value(Value::Stamp(stamp)))
    }

    fn rename(&mut self, document: &Document, base: &Value, value: &Value) -> Result<Outcome, Gone> {
        let inode = self.use_contents(&document.path)?;
        let branch = self.write_time(&inode)?;
        let replaced = self.world.contents().shared.documents.insert(inode.clone(), value.clone());
        self.record(branch);
        let replaced = replaced.unwrap_or_default();
        if let Some(wrong) = monitor::judge_base(&inode, base, &replaced) {
            self.world.wrong(wrong);
        }
        let name = || format!("replaces {}", document.path.file_name());
        self.judge_access(&document.lock, Need::Exclusive, name);
        if monitor::is_contents(&inode) {
            if self.world.watches(Property::CrashSafe) {
                let wrong = {
                    let contents = &mut *self.world.contents();
                    let call = contents.threads[self.at].call.as_deref();
                    call.and_then(|call| monitor::contents_replaced(call, &inode, &replaced, &mut contents.shared))
                };
                wrong.into_iter().for_each(|wrong| self.world.wrong(wrong));
            }
            if self.world.watches(Property::Fresh) {
                self.world.see_replaced();
            }
        }
        Ok(Outcome::Done)
    }

    /// A file is written: its time is the coarse clock's, which ticks before (the first outcome), or, where times are
    /// coarse, does not.
    fn write_time(&self, inode: &Path) -> Result<u8, Gone> {
        if !self.world.contents().shared.mtimes.contains_key(inode) {
            return Ok(0);
        }
        if !self.world.times_matter() {
            self.world.again(|found| found.times_matter = true);
            return Err(Gone);
        }
        let branch = self.choose(if self.world.system().fine_times { 1 } else { 2 })?;
        let contents = &mut *self.world.contents();
        if branch == 0 {
            contents.shared.clock += 2;
            contents.instant_taken = false;
        }
        contents.shared.mtimes.insert(inode.clone(), contents.shared.clock);
        Ok(branch)
    }

    fn mtime(&mut self, file: &Path) -> Result<Outcome, Gone> {
        let inode = self.world.system().inode(file);
        self.use_clock()?;
        let time = self.world.contents().shared.mtimes.get(&inode).copied();
        self.record(0);
        match time {
            Some(0) => Ok(Outcome::Value(Value::Nil)),
            Some(time) => Ok(Outcome::Value(Value::Mtime(Mtime(time)))),
            None => {
                self.world.cut(&format!("the protocol asks for the time of {file}, which it does not name in `TIMED`"));
                Err(Gone)
            }
        }
    }

    /// The clock may tick right before it is read, which shows if another time was read since its last tick.
    fn now(&mut self) -> Result<Outcome, Gone> {
        self.use_clock()?;
        let shows = self.world.contents().instant_taken && self.world.times_matter();
        let branch = self.choose(if shows { 2 } else { 1 })?;
        let time = {
            let contents = &mut *self.world.contents();
            contents.shared.clock += 2 * u64::from(branch);
            contents.instant_taken = true;
            contents.shared.clock + 1
        };
        self.record(branch);
        Ok(Outcome::Value(Value::Instant(Instant(time))))
    }

    fn use_clock(&self) -> Result<(), Gone> {
        if self.world.times_matter() {
            P::touch(&self.world, self.at, &Object::Clock);
        }
        self.may_go_on()
    }

    fn judge_access(&self, lock: &Path, need: Need, what: impl FnOnce() -> String) {
        if self.world.watches(Property::Exclusive) {
            let inode = self.world.system().inode(lock);
            let wrong = self.local(|local| monitor::judge_access(local, self.thread, &inode, need, &what()));
            wrong.into_iter().for_each(|wrong| self.world.wrong(wrong));
        }
    }

    /// A Go panic ends the process.
    fn panic<T>(&mut self, message: &str) -> Result<T, Gone> {
        if P::REDUCES && !self.is_only_thread() && !self.world.is_mortal(self.process) {
            self.world.again(|found| found.mortal.extend([self.process]));
            return Err(Gone);
        }
        // What the call noted before is part of this step; and who is dead has no locks.
        let wrong: Vec<_> = std::mem::take(&mut self.early).iter().flat_map(|note| self.judge_note(note)).collect();
        self.leave(Life::Dead, Some(self.my_step()));
        wrong.into_iter().for_each(|wrong| self.world.wrong(wrong));
        self.world.wrong((Property::NoPanic, format!("panic: {message}")));
        Err(Gone)
    }

    fn my_step(&self) -> Step {
        Step::Run { process: narrow(self.process), thread: narrow(self.thread), branch: 0 }
    }

    fn start_goroutine(&mut self, call: &Call) -> Result<Outcome, Gone> {
        if self.world.system().processes[self.process].may_crash && self.world.primitives.draw(2).is_none() {
            self.world.cut("a process that may be killed starts a goroutine");
            return Err(Gone);
        }
        self.world.set_several(self.process);
        P::touch(&self.world, self.at, &Object::Threads(self.process));
        self.may_go_on()?;
        let number = {
            let contents = &mut *self.world.contents();
            let threads = &mut contents.locals[self.process].threads;
            let mut goroutine = fresh_thread();
            goroutine.goroutine = Some(Arc::new(call.clone()));
            threads.push(goroutine);
            let number = threads.len() - 1;
            contents.order[self.process].order(self.thread, number);
            number
        };
        self.record(0);
        let call = call.clone();
        Self::spawn(&self.world, self.process, number, move |actor| {
            let Ok(reply) = actor.make(&call) else { return };
            if P::REDUCES {
                actor.world.primitives.next_step(actor.at);
                P::touch(&actor.world, actor.at, &Object::Threads(actor.process));
            }
            actor.local(|local| local.threads[number].done = Some(reply.unwrap_or_default()));
            actor.world.wake(|_, thread, sleep| thread.process == actor.process && *sleep == Sleep::Join(number));
        });
        Ok(Outcome::Value(Value::Int(u32::try_from(number).unwrap_or(u32::MAX))))
    }

    fn join(&mut self, thread: u32) -> Result<Outcome, Gone> {
        let number = thread as usize;
        let (world, holds) = (Arc::clone(&self.world), self.holds());
        loop {
            let held = holds.as_ref().map(|holds| P::enter(&world, self.at, holds));
            P::touch(&self.world, self.at, &Object::Threads(self.process));
            self.may_go_on()?;
            let found = self.local(|local| local.threads.get(number).map(|thread| thread.done.clone()));
            match found {
                None => return self.panic(&format!("join of goroutine {thread}, which there is none")),
                Some(None) => self.sleep(Sleep::Join(number), held)?,
                Some(Some(result)) => {
                    {
                        let contents = &mut *self.world.contents();
                        contents.order[self.process].order(number, self.thread);
                        if number + 1 == contents.locals[self.process].threads.len() {
                            contents.locals[self.process].threads.pop();
                        }
                    }
                    self.record(0);
                    return Ok(Outcome::Value(result));
                }
            }
        }
    }

    fn cell(&mut self, op: &Op, cell: &CellName, writes: bool) -> Result<Outcome, Gone> {
        if !self.is_only_thread() {
            self.access(cell, writes)?;
        }
        match self.attempt(op) {
            Some(Progress::Done(outcome)) => {
                self.record(0);
                Ok(outcome)
            }
            _ => Err(Gone),
        }
    }

    /// An access to a cell that another thread may access too.
    fn access(&self, cell: &CellName, writes: bool) -> Result<(), Gone> {
        let (process, run, _) = cell_of(&self.world.contents(), self.process, cell);
        let called_a_race = P::access(&self.world, self.at, (process, run, cell), writes);
        self.may_go_on()?;
        let (call, race) = {
            let contents = &mut *self.world.contents();
            let call = contents.threads[self.at].call.clone().unwrap_or_else(|| Arc::new(Call::Open));
            let at = contents.steps.len();
            (Arc::clone(&call), contents.order[self.process].access(self.thread, cell, writes, &call, at))
        };
        if let Some(other) = race {
            let verb = |writes: bool| if writes { "writes" } else { "reads" };
            let text = format!(
                "`{}` {} {cell} while `{call}` {} it, in two threads of one process",
                other.call,
                verb(other.writes),
                verb(writes)
            );
            let first = (other.at, narrow(self.process), narrow(other.thread));
            self.world.race(text, first);
        } else if called_a_race {
            self.world.cut(&format!("the engine calls an access to {cell} a data race, and it is none in Go"));
        }
        Ok(())
    }

    fn attempt(&self, op: &Op) -> Option<Progress> {
        let thread = u32::try_from(self.thread).unwrap_or(u32::MAX);
        self.local(|local| Arc::make_mut(&mut local.memory).attempt(thread, op))
    }

    fn go_mutex(&mut self, op: &Op, name: &CellName, mode: Mode) -> Result<Outcome, Gone> {
        let world = Arc::clone(&self.world);
        let mutex = world.primitives.object(Object::Go(self.process, name.clone()));
        let locks = matches!(op, Op::MutexLock { .. } | Op::RwLock { .. });
        let holds = if locks { self.holds() } else { None };
        let outcome = loop {
            let held = holds.as_ref().map(|holds| P::enter(&world, self.at, holds));
            let guard = if self.is_only_thread() { None } else { P::enter(&world, self.at, &mutex) };
            self.may_go_on()?;
            match self.attempt(op) {
                Some(Progress::Done(outcome)) => {
                    self.record(0);
                    let order = &mut world.contents().order[self.process];
                    if locks {
                        order.acquire(self.thread, name, mode);
                    } else {
                        order.release(self.thread, name, mode);
                    }
                    break outcome;
                }
                Some(Progress::Waits) => {
                    self.record(0);
                    self.sleep(Sleep::Go(op.clone()), (held, guard))?;
                }
                Some(Progress::Blocked) => self.sleep(Sleep::Go(op.clone()), (held, guard))?,
                Some(Progress::Fatal(message)) => return self.panic(&message),
                None => return Err(Gone),
            }
        };
        if !locks {
            self.wake_for_mutex(name);
        }
        Ok(outcome)
    }

    fn wake_for_mutex(&self, name: &CellName) {
        self.world.wake(|_, thread, sleep| {
            let of = |op: &Op| matches!(op, Op::MutexLock { mutex } | Op::RwLock { mutex, .. } if mutex == name);
            thread.process == self.process && matches!(sleep, Sleep::Go(op) if of(op))
        });
    }
}
