//! What an engine saw going wrong is run again by the machine before it is reported.

use crate::machine::{Machine, Pending};
use crate::op::Op;
use crate::property::Property;
use crate::schedule::Step;
use crate::state::Life;
use crate::step::{ModelError, Performed};
use crate::system::System;
use crate::trace::{Effect, Event, Trace};
use crate::verdict::{Finding, Verdict};

/// A run in which something is wrong.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    /// What the engine says is wrong.
    pub(super) text: String,
    /// The steps up to it.
    pub(super) steps: Vec<Step>,
    /// Of each process that exited with locks: the number of its last step, and how many steps there were at its exit. To
    /// the machine the exit is part of that step.
    pub(super) exits: Vec<(usize, usize)>,
    /// Of a data race: the number of the step of the first access, and the process and thread that made it.
    pub(super) first_access: Option<(usize, u8, u8)>,
    /// The engine's own text for the schedule.
    pub(super) own: Option<String>,
}

/// What the machine made of a run.
struct Replayed<'s> {
    machine: Machine<'s>,
    events: Vec<Event>,
    /// What is wrong about it, if it is about one of the properties.
    wrong: Option<String>,
    /// Whether a lock was taken while another was held.
    ordered: bool,
}

/// Why a run is not what it was taken for.
enum Fault {
    Model(ModelError),
    /// It is not possible, or shows nothing wrong.
    Otherwise(String),
}

impl From<ModelError> for Fault {
    fn from(error: ModelError) -> Self {
        Fault::Model(error)
    }
}

/// The finding that `witness` stands for, as the machine sees it.
///
/// # Errors
/// [`ModelError::Unrepeated`] if the machine does not see it; a limit of the model.
pub(super) fn confirm(
    engine: &'static str,
    system: &System,
    watched: &[Property],
    property: Property,
    witness: &Witness,
) -> Result<Finding, ModelError> {
    let mut why = String::new();
    for steps in candidates(property, witness) {
        let shown = follow(system, watched, property, &steps).and_then(|mut replayed| {
            let text = shows(&mut replayed, property, &witness.text)?;
            Ok((text, replayed.events))
        });
        match shown {
            Ok((text, events)) => return Ok(finding(property, text, events)),
            Err(Fault::Model(error)) => return Err(error),
            Err(Fault::Otherwise(fault)) => why = fault,
        }
    }
    if property == Property::NoDataRace
        && let Ok(replayed) = follow(system, watched, property, &witness.steps)
    {
        // Only what the two do on disk keeps them apart, and in Go that orders nothing.
        let text = format!("{}; what they do on disk puts one first, which orders nothing in Go", witness.text);
        return Ok(finding(property, text, replayed.events));
    }
    Err(ModelError::Unrepeated { engine, property, text: witness.text.clone(), why })
}

/// Whether the machine follows a data race to where both threads stand before their accesses.
pub(super) fn stands_together(system: &System, watched: &[Property], witness: &Witness) -> bool {
    let property = Property::NoDataRace;
    let shown = |steps: &Vec<Step>| {
        follow(system, watched, property, steps).is_ok_and(|mut replayed| shows(&mut replayed, property, "").is_ok())
    };
    candidates(property, witness).iter().any(shown)
}

fn finding(property: Property, detail: String, mut events: Vec<Event>) -> Finding {
    if let Some(last) = events.last_mut() {
        last.wrong = Some(detail.clone());
    }
    Finding { property, verdict: Verdict::Violated, detail, trace: Some(Trace { events, cycle: Vec::new() }) }
}

/// The runs that may show it: of a data race, first the one in which the first access is held back until the other
/// stands beside it.
fn candidates(property: Property, witness: &Witness) -> Vec<Vec<Step>> {
    let mut candidates = Vec::new();
    if let (Property::NoDataRace, Some((at, process, thread))) = (property, witness.first_access) {
        let held_back = |index: usize, step: &Step| {
            index >= at && matches!(step, Step::Run { process: p, thread: t, .. } if (*p, *t) == (process, thread))
        };
        let steps = witness.steps.iter().enumerate().filter(|(index, step)| !held_back(*index, step));
        candidates.push(steps.map(|(_, step)| *step).collect());
    }
    if !witness.exits.is_empty() {
        candidates.push(exits_late(witness));
    }
    candidates.push(witness.steps.clone());
    candidates
}

/// The run in which processes make their last step where they exit.
fn exits_late(witness: &Witness) -> Vec<Step> {
    let mut steps: Vec<(usize, Step)> = witness.steps.iter().copied().enumerate().collect();
    for &(last, exit) in &witness.exits {
        let Some(from) = steps.iter().position(|(number, _)| *number == last) else { continue };
        let step = steps.remove(from);
        let to = steps.iter().position(|(number, _)| *number >= exit).unwrap_or(steps.len());
        steps.insert(to, step);
    }
    steps.into_iter().map(|(_, step)| step).collect()
}

/// Follows the steps, until `property` is seen to be violated if it is.
fn follow<'s>(
    system: &'s System,
    watched: &[Property],
    property: Property,
    steps: &[Step],
) -> Result<Replayed<'s>, Fault> {
    let machine = Machine::watching(system, watched.iter().copied())?;
    let mut replayed = Replayed { machine, events: Vec::new(), wrong: None, ordered: false };
    let about = |(wrong, text): (Property, String)| (wrong == property).then_some(text);
    replayed.wrong = replayed.machine.data_race().and_then(about);
    for (index, step) in steps.iter().enumerate() {
        if replayed.wrong.is_some() {
            break;
        }
        let Some(performed) = take(&mut replayed.machine, *step)? else {
            return Err(Fault::Otherwise(format!("step {}, {step:?}, is not possible", index + 1)));
        };
        let race = replayed.machine.data_race();
        replayed.wrong = performed.wrong.into_iter().chain(race).find_map(about);
        replayed.ordered |= !performed.orders.is_empty();
        replayed.events.push(performed.event);
    }
    Ok(replayed)
}

/// What is wrong with a run, in words. `text` is what the engine says.
fn shows(replayed: &mut Replayed<'_>, property: Property, text: &str) -> Result<String, Fault> {
    if let Some(wrong) = replayed.wrong.take() {
        return Ok(wrong);
    }
    let died = replayed.events.iter().any(|event| event.effect == Effect::Died);
    match property {
        Property::NoDeadlock => standstill(&mut replayed.machine),
        Property::CrashSafe if died => standstill(&mut replayed.machine),
        // The other half of the cycle is in another run.
        Property::Ordered if replayed.ordered => Ok(text.into()),
        _ => Err(Fault::Otherwise("it ends, and nothing is wrong".into())),
    }
}

/// Takes a step. A tick that nobody could notice is no choice of the machine's.
fn take(machine: &mut Machine<'_>, step: Step) -> Result<Option<Performed>, ModelError> {
    let performed = machine.try_step(step)?;
    if performed.is_none()
        && let Step::Run { process, thread, branch: 1 } = step
    {
        let me = |pending: &Pending| (pending.process, pending.thread) == (process, thread);
        if machine.pending().iter().any(|pending| me(pending) && pending.op == Some(Op::Now)) {
            return machine.try_step(Step::Run { process, thread, branch: 0 });
        }
    }
    Ok(performed)
}

/// In words, who stands still in a state in which nobody can get on.
fn standstill(machine: &mut Machine<'_>) -> Result<String, Fault> {
    let state = machine.state.clone();
    for step in machine.enabled()? {
        machine.state = state.clone();
        let gets_on = machine.try_step(step)?.is_some_and(|performed| performed.progress);
        if gets_on && matches!(step, Step::Run { .. }) {
            return Err(Fault::Otherwise(format!("it ends, and {step:?} is possible")));
        }
    }
    machine.state = state;
    // Another process that may still be killed may so set a thread free.
    let may_die = |process: usize| {
        let local = &machine.state.locals[process];
        machine.model.process(local.kind).may_crash && local.life == Life::Alive
    };
    let may_be_freed = |pending: &Pending| {
        let mut others = (0..machine.state.locals.len()).filter(|other| *other != usize::from(pending.process));
        machine.state.shared.crashes_left > 0 && others.any(may_die)
    };
    let pending = machine.pending();
    let stuck = pending.iter().filter(|pending| !may_be_freed(pending)).map(|pending| stands(machine, pending));
    let stuck: Vec<String> = stuck.collect();
    if stuck.is_empty() {
        return Err(Fault::Otherwise("it ends, and nobody is stuck".into()));
    }
    Ok(stuck.join("; "))
}

fn stands(machine: &Machine<'_>, pending: &Pending) -> String {
    let process = &machine.model.system.processes[usize::from(pending.process)];
    let name = if process.threads.len() > 1 {
        format!("{} thread {}", process.name, pending.thread + 1)
    } else {
        process.name.clone()
    };
    let waits = match &pending.op {
        Some(Op::Lock { file, .. }) => format!("waits for {}", file.file_name()),
        Some(Op::RwLock { mutex, .. } | Op::MutexLock { mutex }) => format!("waits for {mutex}"),
        Some(op) => format!("stands before {op:?}"),
        None => "stands before its return".into(),
    };
    let thread = &machine.state.locals[usize::from(pending.process)].threads[usize::from(pending.thread)];
    format!("{name} {waits} for ever in `{}`", machine.model.automaton.node(thread.node).call)
}
