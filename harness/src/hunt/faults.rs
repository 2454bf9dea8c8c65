//! A fault at every event of every command: a crash, or an error in place of the call.
//!
//! Each command goes first, alone, up to the event; there it is killed, or its call fails. Then it goes on, if it can, and the
//! others go, and later commands look at the store. A command that was killed, or says that it failed, may have taken effect
//! or not, but wholly so; one that says that it succeeded has. (Durable linearizability: Izraelevitz, Mendes, Scott,
//! "Linearizability of persistent memory objects under a full-system-crash failure model", DISC 2016.)

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Wrong;
use super::build::Build;
use super::execution::{End, Execution, Limits};
use super::fault::Fault;
use super::ground::Ground;
use super::outcome::{LATER, Outcome};
use super::recording::Recording;
use super::step::Step;
use super::strategy::{RETRIES, Strategy};
use super::workload::Workload;
use crate::Harness;
use crate::error::HarnessError;

/// Which faults, and what bounds the sweep.
#[derive(Clone, Debug)]
pub struct FaultOptions {
    /// What runs the commands of each participant; the last is that of all further ones.
    pub programs: Vec<Build>,
    /// Each is tried wherever it is possible.
    pub faults: Vec<Fault>,
    /// After how long it ends.
    pub time: Duration,
    /// What bounds each execution.
    pub limits: Limits,
}

/// Where a fault broke something.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Whose event it was.
    pub participant: usize,
    /// Which of its events, from 0.
    pub event: usize,
    /// What the event was.
    pub step: String,
    /// What happened in its place.
    pub fault: Fault,
    /// What came of it.
    pub wrong: Wrong,
    /// The execution, to be run again.
    pub recording: Recording,
    /// The execution.
    pub execution: Execution,
}

/// What a sweep found.
#[derive(Clone, Debug)]
pub struct FaultReport {
    /// How many events each command has by itself, in the order of the commands.
    pub events: Vec<usize>,
    /// How many executions had each fault.
    pub tried: BTreeMap<Fault, u64>,
    /// Of how many executions it is not known what came of them: they were cut, or never went as before. The first reason.
    pub cut: (u64, Option<String>),
    /// Whether every event had its turn.
    pub complete: bool,
    /// How many different outcomes there were, and how many of them are as after whole commands.
    pub outcomes: (usize, usize),
    /// How long it took.
    pub lasted: Duration,
    /// What broke, in the order of the commands, their events and the faults.
    pub broken: Vec<Broken>,
}

/// Lets one participant go first, and the others after it; at one of its events a fault comes in place of the step.
struct Faulty<'a> {
    participant: usize,
    /// At which of its events, what is expected there, and what happens.
    fault: Option<(usize, &'a str, Fault)>,
    /// How many events it has had.
    events: usize,
}

impl Strategy for Faulty<'_> {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        let Some(first) = enabled.iter().position(|step| step.unit.participant == self.participant) else {
            return Ok(Some(0));
        };
        if let Some((at, expected, _)) = self.fault
            && at == self.events
            && *enabled[first].what != *expected
        {
            return Err((expected.to_owned(), enabled[first].what.to_string()));
        }
        Ok(Some(first))
    }

    fn fault(&mut self, step: &Step) -> Option<Fault> {
        if step.unit.participant != self.participant {
            return None;
        }
        self.events += 1;
        self.fault.filter(|(at, ..)| at + 1 == self.events).map(|(.., fault)| fault)
    }

    fn learn(&mut self, _: &Execution) -> bool {
        false
    }
}

/// Has each fault come at each event of each command where it is possible, once. `goes_on` is asked after each execution.
///
/// # Errors
/// As of [`super::hunt`].
pub fn faults(
    harness: &Harness,
    workload: &Workload,
    options: &FaultOptions,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Result<FaultReport, HarnessError> {
    let began = Instant::now();
    let mut ground = Ground::new(harness, &options.programs, &[], &workload.start, options.limits)?;
    let mut report = FaultReport {
        events: Vec::new(),
        tried: options.faults.iter().map(|fault| (*fault, 0)).collect(),
        cut: (0, None),
        complete: true,
        outcomes: (0, 0),
        lasted: Duration::ZERO,
        broken: Vec::new(),
    };
    let mut outcomes = Vec::new();
    let mut executions = 0;
    'all: for participant in 0..workload.commands.len() {
        let explained = Explained::new(&mut ground, workload, &BTreeSet::from([participant]))?;
        let mut strategy = Faulty { participant, fault: None, events: 0 };
        let whole = ground.execute(workload, &mut strategy, options.limits)?;
        let steps: Vec<Step> =
            whole.steps.iter().filter(|step| step.unit.participant == participant).cloned().collect();
        report.events.push(steps.len());
        for (event, step) in steps.iter().enumerate() {
            let is_possible = |fault: &&Fault| **fault == Fault::Crash || step.possible.contains(fault);
            for fault in options.faults.iter().copied().filter(|fault| is_possible(&fault)) {
                if began.elapsed() >= options.time || !goes_on(executions) {
                    report.complete = false;
                    break 'all;
                }
                executions += 1;
                let point = Faulty { participant, fault: Some((event, &step.what, fault)), events: 0 };
                let execution = repeat(&mut ground, workload, point, options.limits)?;
                *report.tried.entry(fault).or_default() += 1;
                if let End::Limit(why) | End::Diverged { found: why, .. } = &execution.end {
                    report.cut.0 += 1;
                    let at = format!("{fault} before event {} of {}", event + 1, Workload::name(participant));
                    report.cut.1.get_or_insert_with(|| format!("{at}: {why}"));
                    continue;
                }
                let (wrong, outcome) = explained.judge(&mut ground, &execution)?;
                if let Some(outcome) = outcome.filter(|new| !outcomes.iter().any(|(known, _)| known == new)) {
                    outcomes.push((outcome, wrong.is_none()));
                }
                if let Some(wrong) = wrong {
                    let recording = Recording::of(workload, ground.drivers(), &wrong, &execution);
                    let step = step.what.to_string();
                    report.broken.push(Broken { participant, event, step, fault, wrong, recording, execution });
                }
            }
        }
    }
    report.outcomes = (outcomes.len(), outcomes.iter().filter(|(_, explained)| *explained).count());
    report.lasted = began.elapsed();
    Ok(report)
}

/// Runs until it goes as before, a few times at most.
fn repeat(
    ground: &mut Ground,
    workload: &Workload,
    point: Faulty<'_>,
    limits: Limits,
) -> Result<Execution, HarnessError> {
    let mut retries = 0;
    loop {
        let mut strategy = Faulty { events: 0, ..point };
        let execution = ground.execute(workload, &mut strategy, limits)?;
        retries += 1;
        if !matches!(execution.end, End::Diverged { .. }) || retries > RETRIES {
            return Ok(execution);
        }
    }
}

/// What may come of a workload some of whose commands have a fault: what each order of the others gives, and of those with
/// the faulty ones.
pub(super) struct Explained {
    allowed: Vec<(BTreeSet<usize>, Outcome)>,
}

impl Explained {
    /// Of executions in which all of `faulty` have a fault, or some of them.
    pub(super) fn new(
        ground: &mut Ground,
        workload: &Workload,
        faulty: &BTreeSet<usize>,
    ) -> Result<Self, HarnessError> {
        Self::of_each(ground, workload, subsets(workload.commands.len(), faulty))
    }

    /// Of executions in which one participant has a fault, whichever.
    pub(super) fn of_any(ground: &mut Ground, workload: &Workload) -> Result<Self, HarnessError> {
        let number = workload.commands.len();
        let without = |one: usize| (0..number).filter(|other| *other != one).collect();
        let all = std::iter::once((0..number).collect());
        Self::of_each(ground, workload, all.chain((0..number).map(without)).collect())
    }

    fn of_each(ground: &mut Ground, workload: &Workload, sets: Vec<BTreeSet<usize>>) -> Result<Self, HarnessError> {
        let mut allowed = Vec::new();
        for present in sets {
            let participants: Vec<usize> = present.iter().copied().collect();
            let outcomes = ground.orders_of(workload, &participants)?;
            allowed.extend(outcomes.into_iter().map(|(_, outcome)| (present.clone(), outcome)));
        }
        Ok(Self { allowed })
    }

    /// What is wrong with an execution, and what came of it, if it came to an end.
    pub(super) fn judge(
        &self,
        ground: &mut Ground,
        execution: &Execution,
    ) -> Result<(Option<Wrong>, Option<Outcome>), HarnessError> {
        if let Some(detail) = execution.replaced_without_lock().into_iter().next() {
            return Ok((Some(Wrong { property: "exclusive", detail }), None));
        }
        match &execution.end {
            End::Stuck(waiting) => Ok((Some(Wrong { property: "no-deadlock", detail: waiting.join("; ") }), None)),
            End::Abandoned | End::Diverged { .. } | End::Limit(_) => Ok((None, None)),
            End::Done => {
                let (outcome, _) = ground.outcome(&execution.said)?;
                Ok((self.unexplained(&outcome, &execution.faulty()), Some(outcome)))
            }
        }
    }

    /// What is wrong with what came of an execution in which these have a fault.
    fn unexplained(&self, outcome: &Outcome, faulty: &BTreeSet<usize>) -> Option<Wrong> {
        // One that says that it succeeded has taken effect, and has printed what it prints.
        let failed: BTreeSet<usize> =
            faulty.iter().copied().filter(|faulty| outcome.said[*faulty].0 != Some(0)).collect();
        let whole =
            |present: &BTreeSet<usize>| (0..outcome.said.len()).all(|at| faulty.contains(&at) || present.contains(&at));
        let allowed: Vec<&(BTreeSet<usize>, Outcome)> =
            self.allowed.iter().filter(|(present, _)| whole(present)).collect();
        let agrees = |(present, allowed): &&(BTreeSet<usize>, Outcome)| {
            let is_alike = |at: usize| failed.contains(&at) || allowed.said[at] == outcome.said[at];
            (0..outcome.said.len()).all(|at| is_alike(at) && (failed.contains(&at) || present.contains(&at)))
        };
        let possible: Vec<&Outcome> = allowed.iter().copied().filter(agrees).map(|(_, outcome)| outcome).collect();
        if possible.iter().any(|allowed| allowed.later == outcome.later) {
            return None;
        }
        let status = |status: Option<i32>| status.map_or("a signal".into(), |status| status.to_string());
        for (at, (words, (ended, said))) in LATER.iter().zip(&outcome.later).enumerate() {
            if *ended != Some(0) && allowed.iter().all(|(_, allowed)| allowed.later[at].0 == Some(0)) {
                let said = if said.is_empty() { String::new() } else { format!(" and says {said:?}") };
                let detail = format!("later, `{words}` ends with {}{said}", status(*ended));
                return Some(Wrong { property: "recovery", detail });
            }
        }
        if possible.is_empty() {
            let ends: Vec<String> = (outcome.said.iter().enumerate())
                .map(|(at, (ended, _))| format!("{}: exit {}", Workload::name(at), status(*ended)))
                .collect();
            let detail = format!("no order of the commands gives these answers: {}", ends.join(", "));
            return Some(Wrong { property: "serial", detail });
        }
        let lines = |text: &str| -> BTreeSet<String> { text.lines().map(str::to_owned).collect() };
        let mut strange = Vec::new();
        for (at, (words, (_, said))) in LATER.iter().zip(&outcome.later).enumerate() {
            let now = lines(said);
            let mut of_all = possible.iter().map(|allowed| lines(&allowed.later[at].1));
            let always = of_all.next().unwrap_or_default();
            let always = of_all.fold(always, |all, some| &all & &some);
            let lost: Vec<String> = (&always - &now).into_iter().collect();
            if !lost.is_empty() {
                let detail = format!("later, `{words}` does not say {:?}, which was acknowledged", lost.join("; "));
                return Some(Wrong { property: "acknowledged", detail });
            }
            let is_as_allowed = possible.iter().any(|allowed| allowed.later[at].1 == *said);
            if !is_as_allowed {
                strange.push(format!("`{words}` says {said:?}"));
            }
        }
        let detail = match strange.is_empty() {
            true => "later commands answer as after no order of whole commands".to_owned(),
            false => format!("later, {}, as after no order of whole commands", strange.join(", ")),
        };
        Some(Wrong { property: "half-made", detail })
    }
}

/// All participants, without each set of those that may be left out; the whole first.
fn subsets(participants: usize, may_be_left_out: &BTreeSet<usize>) -> Vec<BTreeSet<usize>> {
    let mut all = vec![(0..participants).collect::<BTreeSet<usize>>()];
    for left_out in may_be_left_out {
        let without = |present: &BTreeSet<usize>| present.iter().copied().filter(|one| one != left_out).collect();
        let less: Vec<BTreeSet<usize>> = all.iter().map(without).collect();
        all.extend(less);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_fault_may_have_taken_effect_or_not() {
        let sets = |faulty: &[usize]| subsets(2, &faulty.iter().copied().collect());
        assert_eq!(sets(&[]), [BTreeSet::from([0, 1])]);
        assert_eq!(sets(&[1]), [BTreeSet::from([0, 1]), BTreeSet::from([0])]);
        assert_eq!(sets(&[0, 1]).len(), 4);
    }
}
