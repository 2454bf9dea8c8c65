//! The unmodified `containers-storage` against itself: its interleavings, one after the other, until one shows something
//! wrong or there are none left.
//!
//! | module | subject |
//! | --- | --- |
//! | [`workload`] | what is run against what |
//! | [`build`] | what runs the commands of a participant: the program, or our reference store |
//! | [`catalogue`], [`pairs`], `asked` | workloads that are generated: every command against every other |
//! | `ground` | a store to begin with, of which each execution has a copy |
//! | [`execution`] | one execution, step by step |
//! | [`step`] | what a step is, and which two steps depend on each other |
//! | [`strategy`] | who goes next |
//! | `lanes` | several executions at once |
//! | [`fault`] | what may happen in place of a call |
//! | [`faults`] | a crash or an error at every event |
//! | [`outcome`] | what came of it, and what whole commands, one after the other, give |
//! | [`oracle`] | what must hold of it |
//! | [`baseline`] | what is known to be wrong already |
//! | `shrink` | a violation made simpler |
//! | [`recording`] | an execution written down, to be run again |
//!
//! What is not seen, and so not enumerated: the order of two calls of one process that wait at the same time (the first by
//! name goes first), symbolic links that are read, extended attributes, owners, and whatever the supervisor does not see.

mod asked;
pub mod baseline;
pub mod build;
pub mod catalogue;
pub mod daemon;
pub mod execution;
pub mod fault;
pub mod faults;
mod ground;
mod judge;
mod lanes;
pub mod oracle;
pub mod outcome;
pub mod pairs;
pub mod recording;
mod shrink;
pub mod step;
pub mod strategy;
pub mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::Harness;
use crate::error::HarnessError;
use baseline::Baseline;
use build::Build;
use execution::{End, Execution, Limits};
use fault::Fault;
use faults::Explained;
use ground::Ground;
use lanes::Ran;
use oracle::lock_order::LockOrder;
use outcome::Outcome;
use recording::Recording;
use shrink::simplest;
use strategy::{Bounded, Exhaustive, Pct, Progress, Random, RunsAhead, Struck};
use workload::Workload;

/// How long a simpler execution is looked for.
const SIMPLIFY: Duration = Duration::from_secs(30);

/// More participants have more orders than are run.
pub const PARTICIPANTS_MAX: usize = 5;

/// How the schedules are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Every order that makes a difference.
    Exhaustive,
    /// [`Bounded`]: every order with few preemptions.
    Bounded {
        /// How many at most.
        preemptions: u32,
    },
    /// [`Pct`], for violations that need so many orderings.
    Pct {
        /// How many.
        depth: u32,
    },
    /// [`Random`].
    Random,
}

/// What a hunt is for, and what bounds it.
#[derive(Clone, Debug)]
pub struct HuntOptions {
    /// What runs the commands of each participant; the last is that of all further ones.
    pub programs: Vec<Build>,
    /// The driver of each process that is told its calls, for a workload with some; the last is that of all further ones.
    pub drivers: Vec<Build>,
    /// What they are called, as in [`Baseline`].
    pub releases: Vec<String>,
    /// What is known already, and so no violation.
    pub baseline: Baseline,
    /// How schedules are chosen.
    pub search: Search,
    /// One of them comes in each execution but the first, drawn from the seed, as its step is: for [`Search::Pct`] and
    /// [`Search::Random`] of commands.
    pub faults: Vec<Fault>,
    /// Where random choices are drawn from.
    pub seed: u64,
    /// How many executions are run at once, at least 1. What is found does not depend on it, but for executions that are cut by
    /// time.
    pub lanes: usize,
    /// Whether, while a lane runs one execution, the commands of its next are started: where there are processors to spare.
    pub ahead: bool,
    /// After how many executions it ends.
    pub executions: u64,
    /// After how long it ends.
    pub time: Duration,
    /// What bounds each execution.
    pub limits: Limits,
    /// How long, at most, an execution that shows a violation is made simpler.
    pub simplify: Duration,
}

impl HuntOptions {
    /// How many stores, each with a supervisor, are needed.
    fn grounds(&self) -> usize {
        self.lanes.max(1) * if self.ahead { 2 } else { 1 }
    }
}

/// What is wrong with an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Of which property: `no-deadlock`, `exclusive`, `serial`, or one of [`oracle`].
    pub property: &'static str,
    /// In words.
    pub detail: String,
}

/// Something wrong, and how it comes about.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What.
    pub wrong: Wrong,
    /// The execution that shows it, the simplest that was found.
    pub execution: Execution,
    /// The same, to be run again.
    pub recording: Recording,
}

/// How a hunt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every order that makes a difference was tried.
    Exhausted,
    /// So many executions were allowed.
    Executions,
    /// So much time was allowed.
    Time,
    /// Something wrong was found.
    Violated,
    /// Everything that could be tried was tried, but some executions could not be repeated, or were cut.
    Lost,
}

/// What a hunt found.
#[derive(Clone, Debug)]
pub struct HuntReport {
    /// How it ended.
    pub ended: Ended,
    /// How many executions came to an end.
    pub executions: u64,
    /// How many steps they had.
    pub steps: u64,
    /// How many executions had each fault.
    pub struck: BTreeMap<Fault, u64>,
    /// How many executions were cut by a limit, or did not go as they had before.
    pub cut: u64,
    /// Of the exhaustive search.
    pub progress: Option<Progress>,
    /// How many different outcomes there were, and in how many the commands give run one after the other.
    pub outcomes: (usize, usize),
    /// How long it took.
    pub lasted: Duration,
    /// What was found, and is not known.
    pub violation: Option<Violation>,
    /// What is known, by the name that the baseline has for it, and how often it was seen.
    pub known: BTreeMap<String, u64>,
    /// Why the sequential model had no say: the property is `serial` then.
    pub not_modelled: Option<String>,
    /// A cycle in the order of locks over all executions.
    pub lock_cycle: Option<Wrong>,
}

impl HuntReport {
    /// Whether something new is wrong.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        self.violation.is_some() || self.lock_cycle.is_some()
    }
}

/// Runs the commands against each other until something new is wrong, nothing is left to be tried, or a bound is reached.
/// `goes_on` is asked after each execution.
///
/// # Errors
/// If the store to begin with cannot be made, or the supervisor cannot go on.
pub fn hunt(
    harness: &Harness,
    workload: &Workload,
    options: &HuntOptions,
    goes_on: impl FnMut(u64) -> bool,
) -> Result<HuntReport, HarnessError> {
    let ground = || Ground::new(harness, &options.programs, &options.drivers, &workload.start, options.limits);
    let mut grounds = (0..options.grounds()).map(|_| ground()).collect::<Result<Vec<_>, _>>()?;
    hunt_on(&mut grounds, workload, options, goes_on)
}

/// The same, on grounds that are there.
fn hunt_on(
    grounds: &mut [Ground],
    workload: &Workload,
    options: &HuntOptions,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Result<HuntReport, HarnessError> {
    let mut expected = grounds[0].expected(workload)?;
    if !options.faults.is_empty() {
        if !matches!(options.search, Search::Pct { .. } | Search::Random) || !workload.daemons.is_empty() {
            return Err(HarnessError::Refused("faults are drawn, for commands whose orders are drawn, too".into()));
        }
        expected.struck = Some(Explained::of_any(&mut grounds[0], workload)?);
    }
    let expected = expected;
    // Time is for the search: what is expected has to be known, however little there is.
    let began = Instant::now();
    let mut search: Box<dyn RunsAhead> = match options.search {
        Search::Exhaustive => Box::new(Exhaustive::new()),
        Search::Bounded { preemptions } => Box::new(Bounded::new(preemptions)),
        Search::Pct { depth } => Box::new(Pct::new(options.seed, depth)),
        Search::Random => Box::new(Random::new(options.seed)),
    };
    if !options.faults.is_empty() {
        search = Box::new(Struck::new(search, options.seed, &options.faults));
    }
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut lock_order = LockOrder::default();
    let mut report = HuntReport {
        ended: Ended::Exhausted,
        executions: 0,
        steps: 0,
        struck: options.faults.iter().map(|fault| (*fault, 0)).collect(),
        cut: 0,
        progress: None,
        outcomes: (0, 0),
        lasted: Duration::ZERO,
        violation: None,
        known: BTreeMap::new(),
        not_modelled: expected.specification.as_ref().err().cloned(),
        lock_cycle: None,
    };
    let mut violating = None;
    let limits = || {
        let left = options.time.saturating_sub(began.elapsed());
        Limits { time: options.limits.time.min(left), ..options.limits }
    };
    lanes::run(grounds, options.lanes.max(1), workload, &expected, &mut search, limits, |ran, is_left| {
        let Ran { execution, wrong, outcome, .. } = ran;
        if matches!(execution.end, End::Limit(_)) && began.elapsed() >= options.time {
            report.ended = Ended::Time;
            return ControlFlow::Break(());
        }
        report.executions += 1;
        report.steps += execution.steps.len() as u64;
        report.cut += u64::from(matches!(execution.end, End::Limit(_) | End::Diverged { .. }));
        for fault in execution.steps.iter().filter_map(|step| step.fault) {
            *report.struck.entry(fault).or_default() += 1;
        }
        lock_order.add(&execution);
        outcomes.extend(outcome.filter(|outcome| !outcomes.contains(outcome)));
        if let Some(wrong) = wrong {
            match options.baseline.find(&wrong, &workload.operations(), &options.releases) {
                Some(known) => *report.known.entry(known.name.clone()).or_insert(0) += 1,
                None => {
                    violating = Some((wrong, execution));
                    return ControlFlow::Break(());
                }
            }
        }
        let ended = if report.executions >= options.executions {
            Some(Ended::Executions)
        } else {
            (began.elapsed() >= options.time || !goes_on(report.executions)).then_some(Ended::Time)
        };
        match ended.filter(|_| is_left) {
            Some(ended) => {
                report.ended = ended;
                ControlFlow::Break(())
            }
            None => ControlFlow::Continue(()),
        }
    })?;
    report.progress = search.progress();
    if let Some((wrong, execution)) = violating {
        report.ended = Ended::Violated;
        let limit = SIMPLIFY.min(options.simplify);
        let violation = simplest(&mut grounds[0], workload, options.limits, &expected, wrong, execution, limit)?;
        report.violation = Some(violation);
    } else if let Some(progress) = report.progress.filter(|_| report.ended == Ended::Exhausted)
        && !(progress.exhausted && report.cut == progress.diverged)
    {
        report.ended = Ended::Lost;
    }
    let explained = |outcome: &&Outcome| expected.allowed.iter().any(|(_, allowed)| allowed == *outcome);
    report.outcomes = (outcomes.len(), outcomes.iter().filter(explained).count());
    let cycle = lock_order.cycle().map(|detail| Wrong { property: "lock-order", detail });
    report.lock_cycle = cycle.filter(|cycle| {
        let known = options.baseline.find(cycle, &workload.operations(), &options.releases);
        known.is_none_or(|known| {
            *report.known.entry(known.name.clone()).or_insert(0) += 1;
            false
        })
    });
    report.lasted = began.elapsed();
    Ok(report)
}

/// A recording that was run again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Each time, what was wrong; `None` where nothing was.
    pub found: Vec<Option<Wrong>>,
    /// How many executions with processes of the library did not go as recorded, and were run again.
    pub again: u32,
    /// How the last one went.
    pub last: Option<Execution>,
}

/// Runs a recording again, as long as `goes_on`, which is asked before each execution and given how many there were.
///
/// # Errors
/// As of [`hunt`].
pub fn replay(
    harness: &Harness,
    programs: &[Build],
    drivers: &[Build],
    recording: &Recording,
    limits: Limits,
    mut goes_on: impl FnMut(usize) -> bool,
) -> Result<Replayed, HarnessError> {
    let mut ground = Ground::new(harness, programs, drivers, &recording.workload.start, limits)?;
    let faulty: BTreeSet<usize> = recording
        .faults
        .keys()
        .filter_map(|at| recording.schedule.get(*at))
        .map(|(participant, ..)| *participant)
        .collect();
    let mut expected = ground.expected(&recording.workload)?;
    // What calls may come to is not run beforehand, but known from the model.
    if expected.calls.is_none() && !faulty.is_empty() {
        expected.struck = Some(Explained::new(&mut ground, &recording.workload, &faulty)?);
    }
    let mut replayed = Replayed { found: Vec::new(), again: 0, last: None };
    while goes_on(replayed.found.len()) {
        let (execution, retries) = ground.once_more(recording, &expected, limits)?;
        replayed.again += retries;
        replayed.found.push(ground.judge(&execution, &expected)?.0);
        replayed.last = Some(execution);
    }
    Ok(replayed)
}
