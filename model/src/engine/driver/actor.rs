//! A thread of a process: it makes its calls, one operation at a time, until its script is over or its process is gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::world::{Contents, Running, Sleep, World, fresh};
use super::{Object, Primitives};
use crate::automaton::LearnError;
use crate::call::{Call, Reply};
use crate::ctx::{Request, Task};
use crate::engine::happens_before::HappensBefore;
use crate::engine::plan::Actor as Name;
use crate::monitor;
use crate::op::{Mode, Note, Op, Outcome, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::{Life, Local};
use crate::system::Thread;
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
    early: Vec<Note>,
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

    /// A thread that a panic of another has ended would have gone on, had it come first; an engine that reduces has to be told.
    fn registers_death(&self) {
        if P::REDUCES && self.world.is_mortal(self.process) && self.local(|local| local.life == Life::Dead) {
            let holds = self.world.primitives.object(Object::Holds(self.process));
            drop(P::enter(&self.world, self.at, &holds));
        }
    }

    /// Whether what this thread does in its process is nobody else's business.
    pub(super) fn is_only_thread(&self) -> bool {
        !self.world.has_several(self.process)
    }

    pub(super) fn local<T>(&self, act: impl FnOnce(&mut Local) -> T) -> T {
        act(&mut self.world.contents().locals[self.process])
    }

    fn name(&self) -> Name {
        (self.process, self.thread)
    }

    /// Whether the thread may do anything more.
    pub(super) fn may_go_on(&self) -> Result<(), Gone> {
        let contents = self.world.contents();
        let alive = contents.locals[self.process].life == Life::Alive && !contents.runs[self.process].dying;
        drop(contents);
        if alive && !self.world.is_over() { Ok(()) } else { Err(Gone) }
    }

    /// The calls of a thread, in each run of its process.
    fn run_script(&mut self) -> Result<(), Gone> {
        let process = self.world.system().processes[self.process].clone();
        let (runs, ends) = self.world.search.times(process.runs);
        for run in 0..runs {
            let prepared = if self.thread == 0 { run } else { run + 1 };
            self.wait_for_start(run, prepared);
            self.may_go_on()?;
            if self.thread == 0 {
                for call in &process.before {
                    drop(self.make(call)?);
                }
                self.prepared(run, process.threads.len());
            }
            let Thread { script, repeat } = &process.threads[self.thread];
            let (rounds, stops) = self.world.search.times(*repeat);
            for call in (0..rounds).flat_map(|_| script) {
                drop(self.make(call)?);
            }
            if !stops && !script.is_empty() {
                // It would go on. So its process stays as it is.
                self.world.contents().rounds_over = true;
                return Ok(());
            }
            let last = ends && run + 1 == runs;
            self.finish(last)?;
        }
        if !ends {
            self.world.contents().rounds_over = true;
        }
        Ok(())
    }

    fn wait_for_start(&self, ended: u32, prepared: u32) {
        let ready = |contents: &Contents| {
            let runs = &contents.runs[self.process];
            runs.ended >= ended && runs.prepared >= prepared
        };
        loop {
            if P::REDUCES && ended > 0 && !self.is_only_thread() {
                P::touch(&self.world, self.at, &Object::Threads(self.process));
            }
            if self.world.is_over() || ready(&self.world.contents()) || self.may_go_on().is_err() {
                return;
            }
            self.world.sleep(self.at, Sleep::Start { ended, prepared }, ());
        }
    }

    /// The calls before the other threads start are over.
    fn prepared(&self, run: u32, threads: usize) {
        if P::REDUCES && run > 0 && threads > 1 {
            P::touch(&self.world, self.at, &Object::Threads(self.process));
        }
        {
            let contents = &mut *self.world.contents();
            contents.runs[self.process].prepared = run + 1;
            (1..threads).for_each(|other| contents.order[self.process].order(0, other));
        }
        if run == 0 {
            (1..threads).for_each(|other| Self::start(&self.world, self.process, other));
        } else {
            self.wake_for_start();
        }
        if !P::REDUCES && threads > 1 && self.world.system().processes[self.process].before.is_empty() {
            // It was chosen before the others were there; who goes on is chosen anew.
            P::touch(&self.world, self.at, &Object::Threads(self.process));
        }
    }

    fn wake_for_start(&self) {
        self.world.wake(|contents, thread, sleep| {
            let runs = &contents.runs[thread.process];
            let ready = |ended: u32, prepared: u32| runs.ended >= ended && runs.prepared >= prepared;
            matches!(sleep, Sleep::Start { ended, prepared } if ready(*ended, *prepared))
        });
    }

    /// The script is over; with the last thread that is done, the process exits.
    fn finish(&mut self, last_run: bool) -> Result<(), Gone> {
        if P::REDUCES && !self.is_only_thread() {
            self.world.primitives.next_step(self.at);
            P::touch(&self.world, self.at, &Object::Threads(self.process));
        }
        if self.world.is_over() || self.local(|local| local.life != Life::Alive) {
            return Err(Gone);
        }
        self.local(|local| local.threads[self.thread].done = Some(Value::Nil));
        if self.local(|local| local.threads.iter().all(|thread| thread.done.is_some())) {
            self.leave(Life::Ended, None);
            // Who has ended by itself is killed no more.
            self.world.contents().runs[self.process].dying &= !last_run;
            if !last_run {
                self.restart();
            }
        }
        if self.stops_here() { self.stop() } else { Ok(()) }
    }

    /// The next process of the kind begins, with empty memory.
    fn restart(&self) {
        let system = self.world.system();
        {
            let contents = &mut *self.world.contents();
            contents.locals[self.process] = fresh(system, self.process);
            contents.order[self.process] = HappensBefore::default();
            let runs = &mut contents.runs[self.process];
            runs.ended += 1;
            if system.processes[self.process].before.is_empty() {
                runs.prepared = runs.ended + 1;
            }
        }
        self.wake_for_start();
    }

    /// The process is gone: its locks are dropped all at once (fcntl(2)), after which `then` is done.
    pub(super) fn leave(&self, life: Life, then: Option<Step>) {
        let inodes: Vec<Path> = self.local(|local| local.locks.keys().cloned().collect());
        let awaits = self.local(|local| local.threads.iter().any(|thread| thread.waiting.is_some()));
        let object = |object| self.world.primitives.object(object);
        let files: Vec<_> = inodes.iter().map(|inode| object(Object::File(inode.clone()))).collect();
        let waits = object(Object::Waits);
        let killed = matches!(then, Some(Step::Kill { .. }));
        // To exit is no step of its own, and only an engine that reduces has to be told what it is ordered with.
        let ordered = P::REDUCES || life == Life::Dead;
        let enter = |object| if ordered { P::enter(&self.world, self.at, object) } else { None };
        let _files: Vec<_> = files.iter().map(enter).collect();
        let _waits = if inodes.is_empty() && !awaits { None } else { enter(&waits) };
        if killed && P::REDUCES && self.world.watches(Property::CrashSafe) {
            P::touch(&self.world, self.at, &self.world.answers());
        }
        if let Some(Step::Run { branch, .. }) = then {
            self.record_step(branch);
        } else if let Some(kill) = then {
            let contents = &mut *self.world.contents();
            contents.steps.push(kill);
            contents.shared.crashes_left -= 1;
        }
        if killed {
            self.leave_half_made();
        }
        if life == Life::Ended && !inodes.is_empty() {
            self.note_exit();
        }
        self.local(|local| {
            local.locks.clear();
            local.life = life;
            if life == Life::Dead {
                for thread in &mut local.threads {
                    (thread.waiting, thread.begun) = (None, false);
                    thread.holds.clear();
                }
            }
        });
        self.wake_for_file();
        self.world.wake(|_, thread, _| life == Life::Dead && thread.process == self.process);
    }

    /// The process exits later than its last step, of which that is a part; so the step may as well be made now.
    fn note_exit(&self) {
        let contents = &mut *self.world.contents();
        let own = |step: &Step| step.process() == narrow(self.process);
        if let Some(last) = contents.steps.iter().rposition(own) {
            contents.exits.push((last, contents.steps.len()));
        }
    }

    /// `crash-safe`: what a process that is killed leaves half-made.
    fn leave_half_made(&self) {
        if !self.world.watches(Property::CrashSafe) {
            return;
        }
        let contents = &mut *self.world.contents();
        let local = &contents.locals[self.process];
        let writes = |(path, mode): &(Path, Mode)| monitor::guards_layers(path) && *mode == Mode::Exclusive;
        let in_call = |running: &&Running| {
            let state = local.threads.get(running.thread).filter(|_| running.process == self.process);
            state.is_some_and(|state| state.done.is_none() && state.begun && state.holds.iter().any(writes))
        };
        let calls = contents.threads.iter().filter(in_call).filter_map(|running| running.call.as_deref().cloned());
        monitor::killed(calls, &mut contents.shared);
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

    fn record_step(&self, branch: u8) {
        let (process, thread) = (narrow(self.process), narrow(self.thread));
        let contents = &mut *self.world.contents();
        contents.steps.push(Step::Run { process, thread, branch });
        let running = &mut contents.threads[self.at];
        running.steps += 1;
        let (name, steps) = (self.name(), running.steps);
        self.world.search.found(|found| found.met.step(name, steps));
    }

    fn may_be_killed(&self) -> bool {
        let system = self.world.system();
        system.processes[self.process].may_crash && self.world.contents().shared.crashes_left > 0
    }

    /// Whether the process dies now, of an engine that makes choices at random: at one step in 64.
    fn rolls_a_kill(&self) -> bool {
        self.world.primitives.draw(64) == Some(0)
    }

    /// Whether the thread has made all its steps, because its process is killed.
    pub(super) fn stops_here(&self) -> bool {
        let contents = self.world.contents();
        if contents.locals[self.process].life != Life::Alive {
            return false;
        }
        let steps = contents.threads[self.at].steps;
        let planned = self.world.search.found(|found| found.plan.dies_after(self.name()));
        contents.runs[self.process].dying || planned == Some(steps)
    }

    /// The process is killed once all its threads have come as far as they do.
    pub(super) fn stop<T>(&mut self) -> Result<T, Gone> {
        self.world.primitives.next_step(self.at);
        let dying = self.world.contents().runs[self.process].dying;
        if !dying && !self.is_only_thread() {
            P::touch(&self.world, self.at, &Object::Threads(self.process));
        }
        if self.world.is_over() {
            return Err(Gone);
        }
        let all = {
            let stopped = &mut self.world.contents().runs[self.process].stopped;
            stopped.insert(self.thread);
            stopped.len() == self.world.system().processes[self.process].threads.len()
        };
        if (dying || all) && self.local(|local| local.life == Life::Alive) {
            if !P::REDUCES {
                P::touch(&self.world, self.at, &Object::Waits);
            }
            self.leave(Life::Dead, Some(Step::Kill { process: narrow(self.process) }));
        }
        Err(Gone)
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

    fn note(&mut self, note: &Note) {
        let (system, mut orders) = (self.world.system(), Vec::new());
        let wrong = self.local(|local| monitor::note(system, local, self.thread, note, &mut orders));
        wrong.into_iter().for_each(|wrong| self.world.wrong(wrong));
        if self.world.watches(Property::Ordered) {
            orders.into_iter().for_each(|(first, second)| self.ordered(first, second));
        }
    }

    /// `ordered`: a lock was taken while another was held.
    fn ordered(&self, first: Path, second: Path) {
        let cycle = self.world.search.found(|found| {
            let new = found.orders.entry(first.clone()).or_default().insert(second.clone());
            if new { crate::explore::order::cycle(&found.orders, &first, &second) } else { None }
        });
        if let Some(text) = cycle {
            self.world.wrong((Property::Ordered, text));
        }
    }
}

pub(super) fn narrow(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}
