//! Whether the run that a verdict rests on shows what the verdict says: it is taken again by the machine, operation by
//! operation, and judged anew. A counterexample that fails here is a mistake of the engine that found it.

use std::collections::BTreeSet;

use crate::machine::Machine;
use crate::op::{LockResult, Outcome};
use crate::property::Property;
use crate::schedule::{Schedule, Step};
use crate::state::{Life, State};
use crate::step::ModelError;
use crate::system::System;
use crate::trace::Effect;
use crate::verdict::Finding;

/// What is wrong with a run that is to show something.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Its schedule cannot be read from what was written, or is another one then.
    #[error("its schedule does not come back from its text: {0}")]
    Schedule(String),
    /// A step cannot be taken.
    #[error("step {0} is not possible")]
    Step(usize),
    /// It can be taken, and does not show what the verdict says.
    #[error("{0}")]
    Shows(String),
    /// More states follow than may be visited: it was not judged.
    #[error("more than {0} states follow, in which somebody may yet go on")]
    TooMany(usize),
    /// A mistake of a protocol, or a limit of the model.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Takes the run of `finding` again, by the text of its schedule; of a finding without a run there is nothing to say.
/// `watched` is what the check was asked for. That threads are stuck is judged by what they may do from there on, in at
/// most `states_max` states.
///
/// # Errors
/// What is wrong with it.
pub fn validate(system: &System, watched: &[Property], finding: &Finding, states_max: usize) -> Result<(), Fault> {
    let Some(trace) = finding.trace.as_ref() else { return Ok(()) };
    let text = trace.schedule().to_string();
    let schedule: Schedule = text.parse().map_err(|error| Fault::Schedule(format!("{text}: {error}")))?;
    if schedule != trace.schedule() {
        return Err(Fault::Schedule(text));
    }
    let mut machine = Machine::watching(system, watched.iter().copied())?;
    let mut wrong = BTreeSet::from_iter(machine.data_race());
    let mut orders = 0;
    for (index, step) in schedule.steps.iter().enumerate() {
        let performed = machine.try_step(*step)?.ok_or(Fault::Step(index + 1))?;
        wrong.extend(performed.wrong);
        wrong.extend(machine.data_race());
        orders += performed.orders.len();
    }
    let detail = &finding.detail;
    match finding.property {
        Property::Ordered if orders == 0 => Err(Fault::Shows("no second lock is taken".into())),
        Property::Ordered => Ok(()),
        Property::NoDeadlock => stuck(&mut machine, detail, states_max),
        Property::NoStarvationWeak => lasso(&mut machine, &schedule.cycle, detail, false),
        Property::NoStarvationStrong => lasso(&mut machine, &schedule.cycle, detail, true),
        Property::CrashSafe if detail.contains("for ever") => stuck(&mut machine, detail, states_max),
        property if wrong.contains(&(property, detail.clone())) => Ok(()),
        _ => Err(Fault::Shows(format!("it ends without {detail:?}; wrong were {wrong:?}"))),
    }
}

/// From the state where it ends, nobody who is stuck can take a step that brings it on, whatever the others do.
fn stuck(machine: &mut Machine<'_>, detail: &str, states_max: usize) -> Result<(), Fault> {
    let names =
        detail.split("; ").filter_map(|part| part.split_once(" waits for ").or(part.split_once(" stands before ")));
    let of = |name: &str| {
        let (process, thread) = name.split_once(" thread ").unwrap_or((name, "1"));
        let process = machine.model.system.processes.iter().position(|other| other.name == process)?;
        Some((u8::try_from(process).ok()?, thread.parse::<u8>().ok()? - 1))
    };
    let stuck: BTreeSet<Actor> = names.filter_map(|(name, _)| of(name)).collect();
    if stuck.is_empty() {
        return Err(Fault::Shows(format!("nobody is stuck: {detail}")));
    }
    let mut seen = BTreeSet::from([machine.state.clone()]);
    let mut open = vec![machine.state.clone()];
    while let Some(state) = open.pop() {
        machine.state = state.clone();
        for step in machine.enabled()? {
            machine.state = state.clone();
            let Some(performed) = machine.try_step(step)? else { continue };
            let gone = |(process, _): &Actor| machine.state.locals[usize::from(*process)].life != Life::Alive;
            let is_free = |actor: Actor| {
                performed.progress && stuck.contains(&actor)
                    || stuck.iter().any(|other| other.0 == actor.0 && gone(other))
            };
            if actor(step).is_some_and(is_free) {
                return Err(Fault::Shows(format!("{step:?} is possible: {detail}")));
            }
            if seen.insert(machine.state.clone()) {
                open.push(machine.state.clone());
            }
        }
        if seen.len() > states_max {
            return Err(Fault::TooMany(states_max));
        }
    }
    Ok(())
}

type Actor = (u8, u8);

fn actor(step: Step) -> Option<Actor> {
    match step {
        Step::Run { process, thread, .. } => Some((process, thread)),
        Step::Kill { .. } => None,
    }
}

/// Goes round the cycle twice: it comes back to the same state, the waiter waits all the while, and it is fair.
fn lasso(machine: &mut Machine<'_>, cycle: &[Step], detail: &str, strong: bool) -> Result<(), Fault> {
    let fault = |text: String| Err(Fault::Shows(text));
    if cycle.is_empty() {
        return fault("there is no cycle".into());
    }
    let start = machine.state.clone();
    let waiting = |state: &State| -> BTreeSet<Actor> {
        let threads =
            state.locals.iter().zip(0..).flat_map(|(local, p)| local.threads.iter().zip(0..).map(move |t| (p, t)));
        threads.filter(|(_, (thread, _))| thread.waiting.is_some()).map(|(p, (_, t))| (p, t)).collect()
    };
    let mut for_ever = waiting(&start);
    let (mut taken, mut always, mut granted) = (BTreeSet::new(), None::<BTreeSet<Actor>>, BTreeSet::new());
    for step in cycle.iter().chain(cycle) {
        let state = machine.state.clone();
        let enabled = machine.enabled()?;
        let can: BTreeSet<Actor> = enabled.iter().filter_map(|step| actor(*step)).collect();
        always = Some(always.map_or_else(|| can.clone(), |always| &always & &can));
        for step in enabled {
            machine.state = state.clone();
            let Some(performed) = machine.try_step(step)? else { continue };
            let grant = performed.event.effect == Effect::Done(Outcome::Locked(LockResult::Granted));
            granted.extend(actor(step).filter(|actor| grant && waiting(&state).contains(actor)));
        }
        machine.state = state;
        if machine.try_step(*step)?.is_none() {
            return fault("a step of the cycle is not possible".into());
        }
        taken.extend(actor(*step));
        for_ever = &for_ever & &waiting(&machine.state);
    }
    for_ever.retain(|actor| !taken.contains(actor));
    if machine.state != start {
        return fault("the cycle does not come back".into());
    }
    if for_ever.is_empty() {
        return fault("nobody waits for ever".into());
    }
    let unfair: Vec<_> = always.unwrap_or_default().difference(&taken).copied().collect();
    if !unfair.is_empty() {
        return fault(format!("not weakly fair to {unfair:?}: {detail}"));
    }
    let unfair: Vec<_> = granted.difference(&taken).copied().collect();
    if strong && !unfair.is_empty() {
        return fault(format!("not strongly fair to {unfair:?}: {detail}"));
    }
    Ok(())
}
