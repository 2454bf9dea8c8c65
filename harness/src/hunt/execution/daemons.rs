//! The processes of the library in an execution: who is told what, and whose a system call is.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::time::Instant;

use super::super::daemon::line::{Line, Made};
use super::super::daemon::script::Script;
use super::super::step::{Step, Unit};
use super::{LOOK, Running, SILENCE, environment};
use crate::error::HarnessError;
use crate::supervise::Program;

impl Running<'_> {
    /// Has a process of the library started.
    pub(super) fn start_daemon(&mut self, participant: usize, script: &Script) -> Result<(), HarnessError> {
        let Some(driver) = self.stage.driver(self.lines.len()) else {
            return Err(HarnessError::Refused("there is no driver of the library, and a daemon is to be run".into()));
        };
        if let Some(why) = script.calls().find_map(|call| driver.refuses_call(call)) {
            return Err(HarnessError::Refused(why));
        }
        let (line, ends) = Line::new(participant, script).map_err(HarnessError::io("make", "a pipe"))?;
        let path = self.stage.output.join(format!("{participant}.err"));
        let errors = File::create(&path).map_err(HarnessError::io("create", path))?;
        let environment = environment::of_library();
        let program = Program { command: driver.daemon(), directory: self.stage.output.clone(), environment };
        let number = u32::try_from(participant).unwrap_or(u32::MAX);
        self.session.run(number, &program, [ends.input.as_fd(), ends.output.as_fd(), errors.as_fd()])?;
        self.lines.push(line);
        // Its children come after its goroutines.
        self.born[participant] = script.goroutines.len();
        Ok(())
    }

    /// Waits until every goroutine has said on which thread it stays.
    pub(super) fn meet_goroutines(&mut self) -> Result<(), HarnessError> {
        self.lines.iter_mut().for_each(Line::ask_for_threads);
        let until = Instant::now() + SILENCE;
        while !self.lines.iter().all(Line::knows_threads) {
            self.hear(LOOK)?;
            self.listen();
            if Instant::now() > until {
                let at = "the goroutines of a daemon have not said which threads they are on".into();
                return Err(HarnessError::Deadline { limit: SILENCE, at });
            }
        }
        Ok(())
    }

    /// Takes in the answers that are there.
    pub(super) fn listen(&mut self) {
        let (units, first, step) = (&self.units, self.said.len() - self.lines.len(), self.steps.len());
        for (at, line) in self.lines.iter_mut().enumerate() {
            let main = Unit { participant: first + at, process: 0 };
            if let Some((pid, _)) = units.iter().find(|(_, unit)| **unit == main) {
                line.listen(*pid, step);
            }
        }
    }

    /// The number of a process of the library, from 0; `None` of a command.
    pub(super) fn daemon(&self, participant: usize) -> Option<usize> {
        (participant + self.lines.len()).checked_sub(self.said.len())
    }

    pub(super) fn line(&self, participant: usize) -> Option<&Line> {
        self.lines.get(self.daemon(participant)?)
    }

    fn line_mut(&mut self, participant: usize) -> Option<&mut Line> {
        let at = self.daemon(participant)?;
        self.lines.get_mut(at)
    }

    /// A process has ended: if it is a process of the library, nobody can be told anything any more.
    pub(super) fn has_ended(&mut self, unit: Unit) {
        self.stopped.remove(&unit);
        if unit.process == 0
            && let Some(line) = self.line_mut(unit.participant)
        {
            line.ends();
            let goroutines = line.goroutines();
            self.stopped.retain(|other, _| other.participant != unit.participant || other.process > goroutines);
        }
    }

    /// The unit of a thread that is known: a process, or a goroutine of it.
    pub(super) fn unit_of(&self, pid: u32, thread: u32) -> Option<Unit> {
        let unit = *self.units.get(&pid)?;
        let line = self.line(unit.participant).filter(|_| unit.process == 0);
        Some(line.map_or(unit, |line| Unit { process: line.goroutine_of(thread), ..unit }))
    }

    /// The process of a unit.
    pub(super) fn process_of(&self, unit: Unit) -> Option<u32> {
        let is_goroutine = self.line(unit.participant).is_some_and(|line| unit.process <= line.goroutines());
        let process = if is_goroutine { Unit { process: 0, ..unit } } else { unit };
        self.units.iter().find(|(_, known)| **known == process).map(|(pid, _)| *pid)
    }

    /// It is a goroutine's turn, if it is one.
    pub(super) fn give_turn(&mut self, unit: Unit) {
        if let Some(thread) = self.line(unit.participant).and_then(|line| line.thread_of(unit.process))
            && let Some(pid) = self.process_of(unit)
        {
            self.session.give_turn(pid, thread);
        }
    }

    /// What goroutines may be told.
    pub(super) fn tellable(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for participant in 0..self.said.len() {
            let Some(line) = self.line(participant) else { continue };
            for process in 0..=line.goroutines() {
                let unit = Unit { participant, process };
                steps.extend(line.next(process).map(|what| Step::tells(unit, what)));
            }
        }
        steps
    }

    /// A step of a goroutine may have something to do with each other one of its process.
    pub(super) fn in_memory(&self, step: Step) -> Step {
        let Unit { participant, process } = step.unit;
        let is_goroutine = self.line(participant).is_some_and(|line| process <= line.goroutines());
        if is_goroutine { step.in_memory_of(participant) } else { step }
    }

    /// Takes a step that tells a goroutine something, if it is one.
    pub(super) fn tell(&mut self, step: &Step) -> Result<bool, HarnessError> {
        let Unit { participant, process } = step.unit;
        if self.line(participant).and_then(|line| line.next(process)).as_deref() != Some(&*step.what) {
            return Ok(false);
        }
        let (store, at) = (self.stage.store.clone(), self.steps.len());
        if let Some(pid) = self.process_of(step.unit) {
            self.session.stirs(pid);
        }
        if let Some(line) = self.line_mut(participant) {
            line.tell(process, &store, at);
        }
        Ok(true)
    }

    /// The goroutines that have given no answer: each with its name, and the call.
    pub(super) fn unanswered(&self) -> BTreeMap<Unit, String> {
        let mut all = BTreeMap::new();
        for participant in 0..self.said.len() {
            for (process, name, call) in self.line(participant).into_iter().flat_map(Line::unanswered) {
                all.insert(Unit { participant, process }, format!("goroutine {name}, in `{call}`"));
            }
        }
        all
    }

    /// All calls that were made, in the order in which they were told.
    pub(super) fn calls_made(&mut self) -> Vec<Made> {
        let mut all: Vec<Made> = self.lines.iter_mut().flat_map(|line| std::mem::take(&mut line.made)).collect();
        all.sort_by_key(|made| made.begun);
        all
    }
}
