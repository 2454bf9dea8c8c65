//! A system run step by step, one operation at a time: for replay, for traces, for the plain explorer of the tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::monitor::{self, Wrong};
use crate::op::{Mode, Op, Path};
use crate::property::Property;
use crate::schedule::{Schedule, Step};
use crate::state::{Life, Local, Model, State};
use crate::step::{self, Around, ModelError, Performed};
use crate::system::System;
use crate::times;
use crate::trace::{Event, Trace};
use crate::value::Stamp;
use crate::world::locks::{Answer, Waits, closes_cycle};

/// The processes around one of them.
struct Others<'a, 's> {
    model: &'a Model<'s>,
    locals: &'a [Local],
    shared: &'a crate::state::Shared,
    me: usize,
}

impl Others<'_, '_> {
    fn holders(&self, owner: usize, inode: &Path, mode: Mode) -> Vec<usize> {
        let conflicts = |local: &Local| local.locks.get(inode).is_some_and(|held| held.conflicts(mode));
        let holders = self.locals.iter().enumerate().filter(|(index, local)| *index != owner && conflicts(local));
        holders.map(|(index, _)| index).collect()
    }
}

impl Waits for Others<'_, '_> {
    fn blockers(&self, process: usize) -> Vec<usize> {
        let requests = self.locals[process].threads.iter().filter_map(|thread| thread.waiting.as_ref());
        requests.flat_map(|(inode, mode)| self.holders(process, inode, *mode)).collect()
    }
}

impl Others<'_, '_> {
    /// What a step of `thread` of the process with part `local` needs to know.
    fn around(&self, local: &Local, thread: usize) -> Around {
        let (mut excluded, mut cycle) = (false, Answer::default());
        if let Some(Op::Lock { file, mode, .. }) = self.model.automaton.node(local.threads[thread].node).op() {
            let holders = self.holders(self.me, &self.model.system.inode(file), *mode);
            excluded = !holders.is_empty();
            cycle = closes_cycle(self, self.me, &holders);
        }
        let mut held: BTreeSet<Stamp> = self.shared.stamps_held();
        for local in self.locals {
            held.extend(local.stamps_held(&self.model.automaton));
        }
        let since_tick = self.shared.clock + 1;
        let mut others = self.locals.iter().enumerate().filter(|(index, _)| *index != self.me);
        Around {
            excluded,
            cycle,
            fresh_stamp: self.model.stamp_order.iter().copied().find(|stamp| !held.contains(stamp)),
            others_read: others.any(|(_, local)| monitor::readers_inside(local) > 0),
            instant_held: self
                .locals
                .iter()
                .any(|local| times::of_local(local, &self.model.automaton).contains(&since_tick)),
        }
    }
}

/// A system and its present state.
#[derive(Debug)]
pub struct Machine<'s> {
    /// What is run.
    pub model: Model<'s>,
    /// Where it is.
    pub state: State,
}

/// What a thread stands before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The process, from 0.
    pub process: u8,
    /// Its thread, from 0.
    pub thread: u8,
    /// Its next operation; `None` if its call returns without one.
    pub op: Option<Op>,
    /// Whether it waits in the kernel for the lock that it asks for.
    pub waits: bool,
}

impl<'s> Machine<'s> {
    /// A system at its start, with every property watched.
    ///
    /// # Errors
    /// A mistake of a protocol.
    pub fn new(system: &'s System) -> Result<Self, ModelError> {
        Self::watching(system, Property::ALL)
    }

    /// A system at its start, with these properties watched.
    ///
    /// # Errors
    /// A mistake of a protocol.
    pub fn watching(system: &'s System, properties: impl IntoIterator<Item = Property>) -> Result<Self, ModelError> {
        let mut model = Model::new(system, properties);
        let state = model.initial()?;
        Ok(Self { model, state })
    }

    /// The steps that are possible now.
    ///
    /// # Errors
    /// A mistake of a protocol, or a limit of the model.
    pub fn enabled(&mut self) -> Result<Vec<Step>, ModelError> {
        let mut steps = Vec::new();
        for process in 0..self.state.locals.len() {
            let process = narrow(process);
            for thread in 0..self.state.locals[usize::from(process)].threads.len() {
                let thread = narrow(thread);
                for branch in 0..=u8::MAX {
                    let step = Step::Run { process, thread, branch };
                    let before = self.state.clone();
                    if self.try_step(step)?.is_none() {
                        break;
                    }
                    self.state = before;
                    steps.push(step);
                }
            }
            let step = Step::Kill { process };
            let before = self.state.clone();
            if self.try_step(step)?.is_some() {
                self.state = before;
                steps.push(step);
            }
        }
        Ok(steps)
    }

    /// Takes a step if it is possible.
    ///
    /// # Errors
    /// A mistake of a protocol, or a limit of the model.
    pub fn try_step(&mut self, step: Step) -> Result<Option<Performed>, ModelError> {
        let index = usize::from(step.process());
        let Some(local) = self.state.locals.get(index) else { return Ok(None) };
        let mut local = local.clone();
        let mut shared = self.state.shared.clone();
        let performed = match step {
            Step::Kill { .. } => step::kill(&self.model, &mut local, &mut shared, step),
            Step::Run { thread, .. } if usize::from(thread) >= local.threads.len() => None,
            // One that makes no call has never stood before an operation.
            Step::Run { thread, .. } if !local.may_run(self.model.process(local.kind), usize::from(thread)) => None,
            Step::Run { thread, branch, .. } => {
                let state = &self.state;
                let others = Others { model: &self.model, locals: &state.locals, shared: &state.shared, me: index };
                let around = others.around(&local, usize::from(thread));
                step::perform(&mut self.model, &mut local, &mut shared, &around, usize::from(thread), branch, step)?
            }
        };
        if let Some(performed) = &performed {
            self.state.locals[index] = local;
            self.state.shared = shared;
            let others = self.state.locals.iter_mut().enumerate().filter(|(other, _)| *other != index);
            for (_, local) in others {
                if performed.contents_replaced && self.model.watched.contains(&Property::Fresh) {
                    step::see_replaced(&self.model, local, &self.state.shared);
                }
                if performed.released_read {
                    step::see_released(local, None);
                }
            }
            times::normalise(&mut self.model, &mut self.state)?;
        }
        Ok(performed)
    }

    /// Takes a step.
    ///
    /// # Errors
    /// [`ModelError::Impossible`] if it is not possible now; a mistake of a protocol; a limit of the model.
    pub fn step(&mut self, step: Step) -> Result<Event, ModelError> {
        match self.try_step(step)? {
            Some(performed) => Ok(performed.event),
            None => Err(ModelError::Impossible { number: 0, why: self.why_not(step) }),
        }
    }

    /// Runs a schedule, its cycle once.
    ///
    /// # Errors
    /// [`ModelError::Impossible`] with the number of the step that is not possible; a mistake of a protocol; a limit.
    pub fn run(&mut self, schedule: &Schedule) -> Result<Trace, ModelError> {
        let mut trace = Trace::default();
        for (index, step) in schedule.steps.iter().chain(&schedule.cycle).enumerate() {
            let event = self.step(*step).map_err(|error| match error {
                ModelError::Impossible { why, .. } => ModelError::Impossible { number: index + 1, why },
                other => other,
            })?;
            if index < schedule.steps.len() { trace.events.push(event) } else { trace.cycle.push(event) }
        }
        Ok(trace)
    }

    fn why_not(&self, step: Step) -> String {
        let process = usize::from(step.process());
        let Some(local) = self.state.locals.get(process) else {
            return format!("there is no process {}", process + 1);
        };
        let name = &self.model.system.processes[process].name;
        match (local.life, step) {
            (Life::Dead, _) => format!("{name} is dead"),
            (Life::Ended, _) => format!("{name} has ended"),
            (Life::Alive, Step::Kill { .. }) => format!("{name} cannot be killed, or not once more"),
            (Life::Alive, Step::Run { thread, branch, .. }) => match local.threads.get(usize::from(thread)) {
                None => format!("{name} has no thread {}", thread + 1),
                Some(state) if state.done.is_some() => format!("thread {} of {name} is done", thread + 1),
                Some(_) if branch > 0 => format!("{name} has no outcome number {branch} there"),
                Some(state) => {
                    let op = self.model.automaton.node(state.node).op();
                    format!("{name} cannot go on: it stands before {op:?}")
                }
            },
        }
    }

    /// What each thread that is not done stands before.
    #[must_use]
    pub fn pending(&self) -> Vec<Pending> {
        let mut pending = Vec::new();
        for (process, local) in self.state.locals.iter().enumerate() {
            let description = self.model.process(local.kind);
            for (thread, state) in local.threads.iter().enumerate() {
                if local.may_run(description, thread) {
                    let op = self.model.automaton.node(state.node).op().cloned();
                    let waits = state.waiting.is_some();
                    pending.push(Pending { process: narrow(process), thread: narrow(thread), op, waits });
                }
            }
        }
        pending
    }

    /// What is wrong with the state itself: two threads of a process stand before accesses to one cell, one a write.
    #[must_use]
    pub fn data_race(&self) -> Option<Wrong> {
        self.state.locals.iter().find_map(|local| data_race(&self.model, local)).map(|(_, wrong)| wrong)
    }
}

/// Two threads of a process that stand before unordered accesses to one cell, one of them a write: the field, and how.
#[must_use]
pub fn data_race(model: &Model<'_>, local: &Local) -> Option<(Arc<str>, Wrong)> {
    let process = model.process(local.kind);
    let access = |thread: usize| {
        let node = model.automaton.node(local.threads[thread].node);
        match node.op() {
            Some(Op::Get { cell }) => Some((cell, false, &node.call)),
            Some(Op::Set { cell, .. }) => Some((cell, true, &node.call)),
            _ => None,
        }
    };
    let runnable = || (0..local.threads.len()).filter(|thread| local.may_run(process, *thread));
    for first in runnable() {
        for second in runnable().filter(|second| *second > first) {
            if let (Some((cell, writes, call)), Some((other, other_writes, other_call))) =
                (access(first), access(second))
                && cell == other
                && (writes || other_writes)
                && !model.races_left_out.contains(&*cell.field)
            {
                let verb = |writes: bool| if writes { "writes" } else { "reads" };
                let text = format!(
                    "`{call}` {} {cell} while `{other_call}` {} it, in two threads of one process",
                    verb(writes),
                    verb(other_writes)
                );
                return Some((Arc::clone(&cell.field), (Property::NoDataRace, text)));
            }
        }
    }
    None
}

fn narrow(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

/// Runs a schedule in the model, its cycle once.
///
/// # Errors
/// As [`Machine::run`].
pub fn replay(system: &System, schedule: &Schedule) -> Result<Trace, ModelError> {
    Machine::new(system)?.run(schedule)
}
