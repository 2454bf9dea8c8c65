//! A thread of a process: it makes its calls, one operation at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Primitives;
use super::world::{Running, World};
use crate::automaton::LearnError;
use crate::call::{Call, Reply};
use crate::ctx::{Request, Task};
use crate::engine::plan::Actor as Name;
use crate::monitor::{self, Wrong};
use crate::op::{Mode, Note, Op, Outcome, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::{Life, Local};
use crate::value::Value;

/// The execution is over, or the process is dead: the thread goes home.
#[derive(Debug)]
pub(super) struct Gone;

/// The top of a loop, and with which values.
pub(super) type Head = Option<(String, Value)>;

/// A thread that runs.
#[derive(Debug)]
pub(in crate::engine) struct Actor<P> {
    pub(super) world: Arc<World<P>>,
    pub(super) at: usize,
    pub(super) process: usize,
    pub(super) thread: usize,
    /// The lock request that the kernel refused last with `EDEADLK`, and the round of the loop that made it.
    pub(super) refused: Option<(Path, Mode, Head)>,
    pub(super) head: Head,
    /// The call that begins with the next step.
    begins: Option<Arc<Call>>,
    /// What a call noted before its first step: it is part of that step, as in the automaton.
    pub(super) early: Vec<Note>,
}

impl<P: Primitives> Actor<P> {
    /// Starts a thread with a script.
    pub(in crate::engine) fn start(world: &Arc<World<P>>, process: usize, thread: usize) {
        Self::spawn(world, process, thread, |actor| drop(actor.run_script()));
    }

    pub(super) fn spawn(
        world: &Arc<World<P>>,
        process: usize,
        thread: usize,
        body: impl FnOnce(&mut Self) + Send + 'static,
    ) {
        let at = world.contents().threads.len();
        let (sleeps, call) = (None, None);
        let running = Running { process, thread, sleeps, woken: false, done: false, call, steps: 0, choices: 0 };
        world.contents().threads.push(running);
        let (refused, head, begins, early) = (None, None, None, Vec::new());
        let mut actor = Self { world: Arc::clone(world), at, process, thread, refused, head, begins, early };
        let run = move || {
            body(&mut actor);
            actor.registers_death();
            actor.world.contents().threads[at].done = true;
            actor.world.look_for_deadlock();
        };
        // Nobody joins: the execution is over when every thread has returned.
        if let Err(why) = world.primitives.spawn(at, Box::new(run)) {
            world.cut(&why);
        }
    }

    /// Whether what this thread does in its process is nobody else's business.
    pub(super) fn is_only_thread(&self) -> bool {
        !self.world.has_several(self.process)
    }

    pub(super) fn local<T>(&self, act: impl FnOnce(&mut Local) -> T) -> T {
        act(&mut self.world.contents().locals[self.process])
    }

    pub(super) fn name(&self) -> Name {
        (self.process, self.thread)
    }

    /// Whether the thread may do anything more.
    pub(super) fn may_go_on(&self) -> Result<(), Gone> {
        let contents = self.world.contents();
        let alive = contents.locals[self.process].life == Life::Alive && !contents.runs[self.process].dying;
        drop(contents);
        if alive && !self.world.is_over() { Ok(()) } else { Err(Gone) }
    }

    /// A step is made, with its outcome number `branch`; the call begins with its first one.
    pub(super) fn record(&mut self, branch: u8) {
        self.record_step(branch);
        if let Some(call) = self.begins.take() {
            self.begin(&call);
        }
        std::mem::take(&mut self.early).iter().for_each(|note| self.note(note));
        if self.may_be_killed() && self.rolls_a_kill() {
            self.world.contents().runs[self.process].dying = true;
        }
    }

    pub(super) fn record_step(&self, branch: u8) {
        let (process, thread) = (narrow(self.process), narrow(self.thread));
        let contents = &mut *self.world.contents();
        contents.steps.push(Step::Run { process, thread, branch });
        let running = &mut contents.threads[self.at];
        running.steps += 1;
        let (name, steps) = (self.name(), running.steps);
        self.world.search.found(|found| found.met.step(name, steps));
    }

    /// Makes one call.
    pub(super) fn make(&mut self, call: &Call) -> Result<Reply, Gone> {
        let entry = self.world.system().processes[self.process].protocol;
        let call = Arc::new(call.clone());
        self.before_step()?;
        self.world.contents().threads[self.at].call = Some(Arc::clone(&call));
        if P::REDUCES && self.is_asked(&call) {
            self.touch_event()?;
            self.begin(&call);
        } else {
            if self.is_asked(&call) {
                P::yields(&self.world, self.at);
                self.may_go_on()?;
            }
            self.begins = Some(Arc::clone(&call));
        }
        let mut task = Task::new(entry, (*call).clone());
        let mut outcome = None;
        let mut steps = 0;
        loop {
            let request = task.resume(outcome).map_err(|error| {
                let error = LearnError::Protocol { protocol: entry.name, call: call.to_string(), error };
                self.world.search.found(|found| found.error.get_or_insert(error).clone());
                self.world.end();
                Gone
            })?;
            match request {
                Request::Op(Op::Note(note)) => {
                    if steps == 0 {
                        self.early.push(note)
                    } else {
                        self.note(&note)
                    }
                    outcome = Some(Outcome::Done);
                }
                Request::Op(Op::LoopHead { label, values }) => {
                    self.head = Some((label, values.clone()));
                    outcome = Some(Outcome::Value(values));
                }
                Request::Op(op) => {
                    self.before_step()?;
                    outcome = Some(self.perform(&op)?);
                    steps += 1;
                    if steps > self.world.search.limits.steps_max {
                        return self.overlong();
                    }
                }
                Request::Done(reply) => {
                    if steps == 0 {
                        self.before_step()?;
                        self.record(0);
                    }
                    self.end(&call, &reply)?;
                    return Ok(reply);
                }
            }
        }
    }

    /// A step is next, unless this is where the process is killed.
    pub(super) fn before_step(&mut self) -> Result<(), Gone> {
        if self.world.is_over() {
            return Err(Gone);
        }
        if self.stops_here() {
            return self.stop();
        }
        self.may_go_on()?;
        if self.world.contents().steps.len() > self.world.search.limits.steps_max {
            return self.overlong();
        }
        self.world.primitives.next_step(self.at);
        Ok(())
    }

    fn overlong<T>(&self) -> Result<T, Gone> {
        if !self.world.is_over() {
            self.world.overlong();
        }
        Err(Gone)
    }

    /// Whether a property asks when a call begins.
    fn is_asked(&self, call: &Call) -> bool {
        call.is_query() && self.world.watches(Property::Fresh)
    }

    /// Whether a property asks when a call ends.
    fn is_judged(&self, call: &Call) -> bool {
        self.world.watches(Property::CrashSafe) || self.is_asked(call)
    }

    /// A moment that monitors remember, of an engine that has to know which moments are ordered.
    fn touch_event(&self) -> Result<(), Gone> {
        self.world.primitives.next_step(self.at);
        P::touch(&self.world, self.at, &self.world.answers());
        self.may_go_on()
    }

    fn begin(&mut self, call: &Call) {
        let contents = &mut *self.world.contents();
        let asked = self.is_asked(call);
        let answers = if asked { monitor::answers(call, &contents.shared) } else { BTreeSet::new() };
        let state = &mut contents.locals[self.process].threads[self.thread];
        (state.begun, state.answers) = (true, answers);
    }

    fn end(&mut self, call: &Call, reply: &Reply) -> Result<(), Gone> {
        if P::REDUCES && self.is_judged(call) {
            self.touch_event()?;
        }
        let mut wrong = Vec::new();
        {
            let contents = &mut *self.world.contents();
            let state = &mut contents.locals[self.process].threads[self.thread];
            state.begun = false;
            let answers = std::mem::take(&mut state.answers);
            if self.is_asked(call) {
                wrong.extend(monitor::judge_answer(call, reply, &answers));
            }
            if let Err(fail) = reply {
                wrong.push(monitor::failed(call, fail));
            }
            if self.world.watches(Property::CrashSafe) {
                wrong.extend(monitor::call_ends(call, reply, &mut contents.shared));
            }
            contents.threads[self.at].call = None;
        }
        wrong.into_iter().for_each(|wrong| self.world.wrong(wrong));
        Ok(())
    }

    fn note(&self, note: &Note) {
        self.judge_note(note).into_iter().for_each(|wrong| self.world.wrong(wrong));
    }

    /// Takes a note, and says what is wrong with it.
    pub(super) fn judge_note(&self, note: &Note) -> Vec<Wrong> {
        let (system, mut orders) = (self.world.system(), Vec::new());
        let mut wrong = self.local(|local| monitor::note(system, local, self.thread, note, &mut orders));
        if self.world.watches(Property::Ordered) {
            wrong.extend(orders.into_iter().filter_map(|(first, second)| self.cycle(first, second)));
        }
        wrong
    }

    /// `ordered`: a lock was taken while another was held.
    fn cycle(&self, first: Path, second: Path) -> Option<Wrong> {
        let cycle = self.world.search.found(|found| {
            let new = found.orders.entry(first.clone()).or_default().insert(second.clone());
            if new { crate::explore::order::cycle(&found.orders, &first, &second) } else { None }
        });
        cycle.map(|text| (Property::Ordered, text))
    }
}

pub(super) fn narrow(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}
