//! The model and real processes, side by side.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Instant;

use lockproof_model::machine::Machine;
use lockproof_model::op::{LockResult, Note, Op, Outcome, Path};
use lockproof_model::schedule::{Schedule, Step};
use lockproof_model::state::{Life, Local};
use lockproof_model::step::ModelError;
use lockproof_model::system::System;
use lockproof_model::trace::{Effect, Event};
use lockproof_model::value::Value;
use lockproof_model::world::locks::closes_cycle;

use super::clock::Ticks;
use super::party::{Blocked, Party};
use super::rename::{StampNames, same_op, same_outcome};
use super::{CallMade, Parting, ReplayOptions, ReplayReport, Taken};
use crate::Harness;
use crate::disk::Disk;
use crate::error::HarnessError;
use crate::guardian::RunDirectory;
use crate::kernel::{self, KernelLock};
use crate::process::Worker;
use crate::store;
use crate::wire::{Answer, Command, Did, Next, Role};
use crate::worker::hex;

/// A replay under way. Its fields are dropped in order: the processes before the directory.
pub(super) struct Lockstep<'s> {
    pub(super) parties: Vec<Party>,
    harness: &'s Harness,
    pub(super) machine: Machine<'s>,
    pub(super) options: &'s ReplayOptions,
    stamps: StampNames,
    pub(super) ticks: Ticks,
    /// Reads documents, for us.
    pub(super) disk: Disk,
    /// The lock file of each inode that was locked, by the number that the kernel gives it.
    inodes: HashMap<u64, Path>,
    pub(super) report: ReplayReport,
    until: Instant,
    directory: RunDirectory,
}

/// What a worker said of a step.
pub(super) struct Said {
    pub(super) did: Option<Did>,
    notes: Vec<Note>,
}

impl<'s> Lockstep<'s> {
    pub(super) fn start(
        harness: &'s Harness,
        system: &'s System,
        schedule: &Schedule,
        options: &'s ReplayOptions,
    ) -> Result<Self, HarnessError> {
        let machine = Machine::new(system)?;
        let directory = RunDirectory::new(harness)?;
        let disk = Disk::new(directory.path())?;
        let mut stamps = StampNames::default();
        for (file, bytes) in store::lay_out(system, directory.path())? {
            if let Some(stamp) = machine.state.shared.stamps.get(&system.inode(&file)) {
                stamps.bind(&hex(&bytes), *stamp);
            }
        }
        let mut ticks = Ticks::now()?;
        for (file, _) in machine.state.shared.mtimes.iter().filter(|(_, time)| **time != 0) {
            ticks.stamp(&disk.at(file))?;
        }
        ticks.set = 0;
        let report = ReplayReport {
            system: system.clone(),
            schedule: schedule.clone(),
            steps: Vec::new(),
            scheduled: 0,
            parted: None,
            calls: Vec::new(),
            initial: machine.state.shared.documents.clone(),
            documents: BTreeMap::new(),
            held: Vec::new(),
            unfinished: Vec::new(),
            idle: Vec::new(),
            kernel: None,
            panics: Vec::new(),
            times_set: 0,
        };
        Ok(Self {
            parties: system.processes.iter().map(|_| Party::default()).collect(),
            harness,
            machine,
            options,
            stamps,
            ticks,
            disk,
            inodes: HashMap::new(),
            report,
            until: Instant::now() + options.deadline,
            directory,
        })
    }

    pub(super) fn run(mut self) -> Result<ReplayReport, HarnessError> {
        let schedule = self.report.schedule.clone();
        let rounds =
            (0..self.options.rounds).flat_map(|round| schedule.cycle.iter().map(move |step| (step, round + 1)));
        let steps = schedule.steps.iter().map(|step| (step, None));
        for (step, round) in steps.chain(rounds.map(|(step, round)| (step, Some(round)))) {
            self.step(*step, round)?;
            if self.report.parted.is_some() {
                break;
            }
        }
        self.report.scheduled = self.report.steps.len();
        if schedule.cycle.is_empty() {
            self.settle()?;
        }
        self.look_at_the_end()?;
        Ok(self.report)
    }

    /// Lets each thread take a step in turn, for as long as anybody can go on. To be refused with `EDEADLK` is not to.
    fn settle(&mut self) -> Result<(), HarnessError> {
        let end = self.report.scheduled + self.options.settle_steps;
        loop {
            let before = self.report.steps.len();
            for pending in self.machine.pending() {
                let step = Step::Run { process: pending.process, thread: pending.thread, branch: 0 };
                let state = self.machine.state.clone();
                let goes_on = self.machine.try_step(step)?.is_some_and(|performed| performed.progress);
                self.machine.state = state;
                if self.report.parted.is_some() || self.report.steps.len() >= end {
                    return Ok(());
                }
                if goes_on {
                    self.step(step, None)?;
                }
            }
            if self.report.steps.len() == before {
                return Ok(());
            }
        }
    }

    fn step(&mut self, step: Step, round: Option<u32>) -> Result<(), HarnessError> {
        let number = self.report.steps.len() + 1;
        if Instant::now() > self.until {
            let at = format!("{number} of {} steps", self.report.schedule.steps.len());
            return Err(HarnessError::Deadline { limit: self.options.deadline, at });
        }
        let index = usize::from(step.process());
        let before = self.machine.state.locals.get(index).cloned();
        let model = self.machine.step(step).map_err(|error| match error {
            ModelError::Impossible { why, .. } => ModelError::Impossible { number, why },
            other => other,
        })?;
        let ends_process = before.is_some_and(|before| self.ends_process(&before, &model));
        let taken = match step {
            Step::Kill { process } => Some(self.kill(usize::from(process), number, round, &model)?),
            Step::Run { process, thread, branch } => {
                self.perform(usize::from(process), u32::from(thread), branch, number, round, &model)?
            }
        };
        if let Some(taken) = taken {
            self.report.steps.push(taken);
            let dead = self.machine.state.locals[index].life == Life::Dead;
            if ends_process || dead {
                self.end(index)?;
            }
        }
        Ok(())
    }

    /// Whether the process ends with this step: its last thread returns from its last call.
    fn ends_process(&self, before: &Local, event: &Event) -> bool {
        let Step::Run { thread, .. } = event.step else { return false };
        let thread = usize::from(thread);
        let others_done =
            (before.threads.iter().enumerate()).all(|(index, other)| index == thread || other.done.is_some());
        if event.ends.is_none() || !others_done {
            return false;
        }
        let me = &before.threads[thread];
        let description = &self.report.system.processes[usize::from(event.step.process())];
        if me.goroutine.is_some() {
            return true;
        }
        let first = if thread == 0 { description.before.len() } else { 0 };
        let script = description.threads[thread].script.len();
        let is_last_of_round = me.position as usize + 1 == first + script;
        is_last_of_round && (script == 0 || me.rounds_left == Some(1))
    }

    /// The worker of a process, started if there is none.
    pub(super) fn worker(&mut self, process: usize) -> Result<&mut Worker, HarnessError> {
        if self.parties[process].worker.is_none() {
            let description = &self.report.system.processes[process];
            let role = Role::Steps {
                base: self.directory.path().to_path_buf(),
                protocol: description.protocol.name.to_owned(),
            };
            let worker = Worker::start(self.harness, &description.name, role, self.options.step_limit)?.ready()?;
            self.parties[process] = Party { worker: Some(worker), ..Party::default() };
        }
        let name = &self.report.system.processes[process].name;
        let worker = self.parties[process].worker.as_mut();
        worker.ok_or_else(|| HarnessError::Refused(format!("process {name} has no worker")))
    }

    pub(super) fn ask(&mut self, process: usize, thread: u32, command: &Command) -> Result<Said, HarnessError> {
        let worker = self.worker(process)?;
        match worker.ask(command)? {
            Answer::Stands { did, notes, next, stamps } => {
                let party = &mut self.parties[process];
                for (stamp, bytes) in stamps {
                    party.names.numbered(stamp, bytes);
                }
                party.next.insert(thread, next);
                Ok(Said { did, notes })
            }
            other => Err(worker.unexpected(&other)),
        }
    }

    /// Ends the worker of a process: it exits by itself, or has died.
    fn end(&mut self, process: usize) -> Result<(), HarnessError> {
        if let Some(mut worker) = std::mem::take(&mut self.parties[process]).worker {
            worker.finish();
        }
        Ok(())
    }

    fn kill(
        &mut self,
        process: usize,
        number: usize,
        round: Option<u32>,
        model: &Event,
    ) -> Result<Taken, HarnessError> {
        let worker = self.worker(process)?;
        let pid = worker.pid();
        worker.kill();
        let locks = self.locks()?;
        Ok(Taken { number, round, model: model.clone(), real: model.clone(), pid, replaced: None, became: None, locks })
    }

    /// Lets the real process take the step that the model took. `None` if they part.
    fn perform(
        &mut self,
        process: usize,
        thread: u32,
        branch: u8,
        number: usize,
        round: Option<u32>,
        model: &Event,
    ) -> Result<Option<Taken>, HarnessError> {
        let pid = self.worker(process)?.pid();
        let mut real = Event {
            step: model.step,
            begins: model.begins.clone(),
            call: model.call.clone(),
            op: None,
            effect: model.effect.clone(),
            notes: Vec::new(),
            ends: None,
            wrong: None,
        };
        if let Some(call) = &model.begins {
            let said = self.ask(process, thread, &Command::Begin { thread, call: call.clone() })?;
            real.notes = said.notes;
            let (process, thread) = (model.step.process(), narrow(thread));
            self.report.calls.push(CallMade { process, thread, pid, call: call.clone(), begun: number, ended: None });
        }
        let (mut replaced, mut became) = (None, None);
        let pending = match self.parties[process].next.get(&thread) {
            Some(Next::Op(op)) => Some(op.clone()),
            _ => None,
        };
        let named = pending.as_ref().map(|op| self.parties[process].names.op(&self.stamps, op));
        if !same_request(model.op.as_ref(), named.as_ref()) {
            self.part(number, "operation", format!("{:?}", model.op), format!("{named:?}"));
            return Ok(None);
        }
        if let Some(op) = &pending {
            self.tick(op, branch)?;
            if let Op::Rename { document, .. } = op {
                replaced = Some(self.disk.read(&document.path)?);
            }
            let spawns = match (&model.op, &model.effect) {
                (Some(Op::Spawn { .. }), Effect::Done(Outcome::Value(Value::Int(number)))) => Some(*number),
                _ => None,
            };
            let branch_of_choice = if matches!(op, Op::Choose { .. }) { u32::from(branch) } else { 0 };
            let mut said = self.ask(process, thread, &Command::Perform { thread, branch: branch_of_choice, spawns })?;
            if said.did == Some(Did::Waits) {
                said = self.wait(process, thread, op, said, model)?;
            }
            self.keep_time(op, branch)?;
            self.note_locks(process, thread, op, said.did.as_ref())?;
            if let Op::Rename { document, .. } = op {
                became = Some(self.disk.read(&document.path)?);
            }
            self.bind(process, model, said.did.as_ref());
            let effect = self.effect(process, said.did);
            real.notes.extend(said.notes);
            real.op = named;
            if !same_effect(&model.effect, effect.as_ref()) {
                self.part(number, "effect", format!("{:?}", model.effect), format!("{effect:?}"));
                return Ok(None);
            }
            real.effect = effect.unwrap_or(Effect::Waits);
        }
        match self.parties[process].next.get(&thread) {
            Some(Next::End(reply)) => real.ends = Some(self.parties[process].names.reply(&self.stamps, reply)),
            Some(Next::Death { message }) => self.report.panics.push((number, message.clone())),
            _ => {}
        }
        if real.notes != model.notes {
            self.part(number, "notes", format!("{:?}", model.notes), format!("{:?}", real.notes));
            return Ok(None);
        }
        if real.ends != model.ends {
            self.part(number, "reply", format!("{:?}", model.ends), format!("{:?}", real.ends));
            return Ok(None);
        }
        if let Some(reply) = &real.ends {
            let mine = |call: &&mut CallMade| {
                (call.process, call.thread) == (model.step.process(), narrow(thread)) && call.ended.is_none()
            };
            if let Some(call) = self.report.calls.iter_mut().rev().find(mine) {
                call.ended = Some((number, reply.clone()));
            }
        }
        let locks = match &pending {
            Some(
                Op::Lock { .. } | Op::Read { .. } | Op::Rename { .. } | Op::WriteStamp { .. } | Op::ReadStamp { .. },
            ) => self.locks()?,
            _ => Vec::new(),
        };
        Ok(Some(Taken { number, round, model: model.clone(), real, pid, replaced, became, locks }))
    }

    /// A lock request that would wait: where the model says so and the rules allow it for the locks that are really
    /// held, it is answered with `EDEADLK`.
    fn wait(&mut self, process: usize, thread: u32, op: &Op, said: Said, model: &Event) -> Result<Said, HarnessError> {
        let Op::Lock { file, mode, .. } = op else { return Ok(said) };
        let inode = self.report.system.inode(file);
        let blocked = Blocked(&self.parties);
        let answer = closes_cycle(&blocked, process, &blocked.holders(process, &inode, *mode));
        let wants_deadlock = model.effect == Effect::Done(Outcome::Locked(LockResult::Deadlock));
        if answer.possible && (wants_deadlock || answer.certain) {
            return self.ask(process, thread, &Command::Refuse { thread });
        }
        Ok(said)
    }

    /// Keeps account of who really holds and awaits what.
    pub(super) fn note_locks(
        &mut self,
        process: usize,
        thread: u32,
        op: &Op,
        did: Option<&Did>,
    ) -> Result<(), HarnessError> {
        match op {
            Op::Lock { file, mode, .. } => {
                let inode = self.report.system.inode(file);
                let path = self.disk.at(file);
                let metadata = fs::metadata(&path).map_err(HarnessError::io("stat", path))?;
                self.inodes.insert(metadata.ino(), inode.clone());
                let party = &mut self.parties[process];
                match did {
                    Some(Did::Done(Outcome::Locked(LockResult::Granted))) => {
                        party.held.insert(inode, *mode);
                        party.waiting.remove(&thread);
                    }
                    Some(Did::Waits) => {
                        party.waiting.insert(thread, (inode, *mode));
                    }
                    _ => {}
                }
            }
            Op::Close { file } | Op::Probe { file, .. } => {
                let inode = self.report.system.inode(file);
                self.parties[process].held.remove(&inode);
            }
            _ => {}
        }
        Ok(())
    }

    /// A stamp was written, or an object allocated: model and reality have a new name for it.
    fn bind(&mut self, process: usize, model: &Event, did: Option<&Did>) {
        let (Effect::Done(Outcome::Value(model_value)), Some(Did::Done(Outcome::Value(real_value)))) =
            (&model.effect, did)
        else {
            return;
        };
        let party = &mut self.parties[process];
        match (&model.op, model_value, real_value) {
            (Some(Op::WriteStamp { .. }), Value::Stamp(stamp), Value::Stamp(real)) => {
                if let Some(bytes) = party.names.bytes(*real) {
                    self.stamps.bind(bytes, *stamp);
                }
            }
            (Some(Op::New), Value::Object(object), Value::Object(real)) => party.names.bind(*real, *object),
            _ => {}
        }
    }

    /// What the process did, in the model's names; `None` if it could take no step at all.
    fn effect(&self, process: usize, did: Option<Did>) -> Option<Effect> {
        Some(match did? {
            Did::Done(outcome) => Effect::Done(self.parties[process].names.outcome(&self.stamps, &outcome)),
            Did::Waits => Effect::Waits,
            Did::Died => Effect::Died,
            Did::Blocked => return None,
        })
    }

    fn part(&mut self, number: usize, what: &'static str, model: String, real: String) {
        self.report.parted = Some(Parting { number, what, model, real });
    }

    /// Before an operation: the clock ticks if the schedule says so.
    fn tick(&mut self, op: &Op, branch: u8) -> Result<(), HarnessError> {
        let ticks = match op {
            Op::WriteStamp { file } => branch == 0 && self.is_timed(file),
            Op::Rename { document, .. } => branch == 0 && self.is_timed(&document.path),
            Op::Now => branch == 1,
            _ => false,
        };
        if ticks { self.ticks.tick() } else { Ok(()) }
    }

    /// After an operation: the file's time is that of the last tick if the schedule says that there was none since.
    fn keep_time(&mut self, op: &Op, branch: u8) -> Result<(), HarnessError> {
        let written = match op {
            Op::WriteStamp { file } => file,
            Op::Rename { document, .. } => &document.path,
            _ => return Ok(()),
        };
        if branch == 1 && self.is_timed(written) { self.ticks.stamp(&self.disk.at(written)) } else { Ok(()) }
    }

    fn is_timed(&self, path: &Path) -> bool {
        self.machine.state.shared.mtimes.contains_key(&self.report.system.inode(path))
    }

    fn pids(&self) -> Vec<u32> {
        self.parties.iter().filter_map(|party| party.worker.as_ref().map(Worker::pid)).collect()
    }

    pub(super) fn locks(&self) -> Result<Vec<KernelLock>, HarnessError> {
        let mut locks = kernel::locks_of(&self.pids())?;
        for lock in &mut locks {
            lock.file = self.inodes.get(&lock.inode).cloned();
        }
        Ok(locks)
    }
}

pub(super) fn narrow(thread: u32) -> u8 {
    u8::try_from(thread).unwrap_or(u8::MAX)
}

pub(super) fn narrow_index(process: usize) -> u8 {
    u8::try_from(process).unwrap_or(u8::MAX)
}

fn same_request(model: Option<&Op>, real: Option<&Op>) -> bool {
    match (model, real) {
        (Some(model), Some(real)) => same_op(model, real),
        (None, None) => true,
        _ => false,
    }
}

fn same_effect(model: &Effect, real: Option<&Effect>) -> bool {
    match (model, real) {
        (Effect::Done(model), Some(Effect::Done(real))) => same_outcome(model, real),
        (model, real) => Some(model) == real,
    }
}
