//! How a process begins, goes round, and ends or is killed.

use super::actor::{Actor, Gone, narrow};
use super::world::{Contents, Running, Sleep, fresh};
use super::{Object, Primitives};
use crate::engine::happens_before::HappensBefore;
use crate::monitor;
use crate::op::{Mode, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::Life;
use crate::system::Thread;
use crate::value::Value;

impl<P: Primitives> Actor<P> {
    /// The calls of a thread, in each run of its process.
    pub(super) fn run_script(&mut self) -> Result<(), Gone> {
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

    /// A thread that a panic of another has ended would have gone on, had it come first; an engine that reduces has to be told.
    pub(super) fn registers_death(&self) {
        if P::REDUCES && self.world.is_mortal(self.process) && self.local(|local| local.life == Life::Dead) {
            let holds = self.world.primitives.object(Object::Holds(self.process));
            drop(P::enter(&self.world, self.at, &holds));
        }
    }

    /// Whether a kill is left for this process, once all that are to die are dead.
    pub(super) fn may_be_killed(&self) -> bool {
        let may_crash = self.world.system().processes[self.process].may_crash;
        let contents = self.world.contents();
        let doomed =
            contents.runs.iter().zip(&contents.locals).filter(|(runs, local)| runs.dying && local.life == Life::Alive);
        may_crash && contents.shared.crashes_left as usize > doomed.count()
    }

    /// Whether the process dies now, of an engine that makes choices at random: at one step in 64.
    pub(super) fn rolls_a_kill(&self) -> bool {
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
}
