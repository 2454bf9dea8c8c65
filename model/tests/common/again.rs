//! Runs a counterexample again, operation by operation, and looks whether it shows what it says.

use std::collections::BTreeSet;

use lockproof_model::machine::Machine;
use lockproof_model::op::{LockResult, Outcome};
use lockproof_model::property::Property;
use lockproof_model::schedule::{Schedule, Step};
use lockproof_model::state::State;
use lockproof_model::system::System;
use lockproof_model::trace::Effect;
use lockproof_model::verdict::Finding;

/// What is wrong with the trace of `finding`, if something is. `watched` is what the check was asked for.
pub fn fault(system: &System, watched: &[Property], finding: &Finding) -> Option<String> {
    let trace = finding.trace.as_ref()?;
    let schedule: Schedule = trace.schedule().to_string().parse().expect("a schedule");
    let mut machine = Machine::watching(system, watched.iter().copied()).unwrap();
    let mut wrong = BTreeSet::from_iter(machine.data_race());
    let mut orders = 0;
    for (number, step) in schedule.steps.iter().enumerate() {
        let Some(performed) = machine.try_step(*step).unwrap() else {
            return Some(format!("step {} is not possible", number + 1));
        };
        wrong.extend(performed.wrong);
        wrong.extend(machine.data_race());
        orders += performed.orders.len();
    }
    match finding.property {
        Property::Ordered if orders == 0 => Some("no second lock is taken".into()),
        Property::Ordered => None,
        Property::NoDeadlock => stuck(&mut machine, &finding.detail),
        Property::NoStarvationWeak => lasso(&mut machine, &schedule.cycle, &finding.detail, false),
        Property::NoStarvationStrong => lasso(&mut machine, &schedule.cycle, &finding.detail, true),
        Property::CrashSafe if finding.detail.contains("for ever") => stuck(&mut machine, &finding.detail),
        property if wrong.contains(&(property, finding.detail.clone())) => None,
        _ => Some(format!("it ends without {:?}; wrong were {wrong:?}", finding.detail)),
    }
}

/// From the state where it ends, nobody who is stuck can take a step that brings it on, whatever the others do.
fn stuck(machine: &mut Machine<'_>, detail: &str) -> Option<String> {
    let names =
        detail.split("; ").filter_map(|part| part.split_once(" waits for ").or(part.split_once(" stands before ")));
    let of = |name: &str| {
        let (process, thread) = name.split_once(" thread ").unwrap_or((name, "1"));
        let process = machine.model.system.processes.iter().position(|other| other.name == process)?;
        Some((u8::try_from(process).ok()?, thread.parse::<u8>().ok()? - 1))
    };
    let stuck: BTreeSet<Actor> = names.filter_map(|(name, _)| of(name)).collect();
    if stuck.is_empty() {
        return Some(format!("nobody is stuck: {detail}"));
    }
    let mut seen = BTreeSet::from([machine.state.clone()]);
    let mut open = vec![machine.state.clone()];
    while let Some(state) = open.pop() {
        machine.state = state.clone();
        for step in machine.enabled().unwrap() {
            machine.state = state.clone();
            let performed = machine.try_step(step).unwrap().expect("it is enabled");
            if performed.progress && actor(step).is_some_and(|actor| stuck.contains(&actor)) {
                return Some(format!("{step:?} is possible: {detail}"));
            }
            if seen.insert(machine.state.clone()) {
                open.push(machine.state.clone());
            }
        }
    }
    None
}

type Actor = (u8, u8);

fn actor(step: Step) -> Option<Actor> {
    match step {
        Step::Run { process, thread, .. } => Some((process, thread)),
        Step::Kill { .. } => None,
    }
}

/// Goes round the cycle twice: it comes back to the same state, the waiter waits all the while, and it is fair.
fn lasso(machine: &mut Machine<'_>, cycle: &[Step], detail: &str, strong: bool) -> Option<String> {
    if cycle.is_empty() {
        return Some("there is no cycle".into());
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
        let enabled = machine.enabled().unwrap();
        let can: BTreeSet<Actor> = enabled.iter().filter_map(|step| actor(*step)).collect();
        always = Some(always.map_or_else(|| can.clone(), |always| &always & &can));
        for step in enabled {
            machine.state = state.clone();
            let performed = machine.try_step(step).unwrap().expect("it is enabled");
            let grant = performed.event.effect == Effect::Done(Outcome::Locked(LockResult::Granted));
            granted.extend(actor(step).filter(|actor| grant && waiting(&state).contains(actor)));
        }
        machine.state = state;
        if machine.try_step(*step).unwrap().is_none() {
            return Some("a step of the cycle is not possible".into());
        }
        taken.extend(actor(*step));
        for_ever = &for_ever & &waiting(&machine.state);
    }
    for_ever.retain(|actor| !taken.contains(actor));
    if machine.state != start {
        return Some("the cycle does not come back".into());
    }
    if for_ever.is_empty() {
        return Some("nobody waits for ever".into());
    }
    let unfair: Vec<_> = always.unwrap_or_default().difference(&taken).copied().collect();
    if !unfair.is_empty() {
        return Some(format!("not weakly fair to {unfair:?}: {detail}"));
    }
    let unfair: Vec<_> = granted.difference(&taken).copied().collect();
    (strong && !unfair.is_empty()).then(|| format!("not strongly fair to {unfair:?}: {detail}"))
}
