//! What random scripts show: each violation by itself, made simpler, and then on.
//!
//! Two violations count as the same if, made simpler, they are of the same property, need as many goroutines and commands and
//! a crash or none, and leave the same calls without an answer.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::draw::{Drawn, draw};
use super::killing::Killing;
use super::script::{Call, OPEN};
use crate::Harness;
use crate::error::HarnessError;
use crate::hunt::execution::{End, Execution, Limits};
use crate::hunt::ground::{Expected, Ground};
use crate::hunt::shrink::{Shorter, simplest};
use crate::hunt::step::{Step, Unit};
use crate::hunt::strategy::{Pct, Random, Strategy};
use crate::hunt::workload::Workload;
use crate::hunt::{HuntOptions, Violation, Wrong};

/// How many executions a workload has: every other by [`Random`], the others by [`Pct`].
const EXECUTIONS: u32 = 6;

/// Of [`Pct`].
const DEPTH: u32 = 3;

/// How often a recording is run again, to see whether it shows the same.
pub const REPEATS: u32 = 3;

/// The call that gives a `diff` back.
const CLOSE: &str = "close-diff";

/// Something wrong that random scripts have shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What, and how it comes about.
    pub violation: Violation,
    /// What the workload was drawn with.
    pub seed: u64,
    /// How many executions there had been, it included.
    pub executions: u64,
    /// How long it took.
    pub after: Duration,
    /// How often it was seen.
    pub times: u64,
    /// How often its recording showed it again, of [`REPEATS`] times. What goroutines do inside their process is not recorded.
    pub repeated: u32,
}

/// What random scripts have shown.
#[derive(Clone, Debug, Default)]
pub struct SearchReport {
    /// How many workloads were drawn.
    pub workloads: u64,
    /// How many executions came to an end, without those that made something simpler.
    pub executions: u64,
    /// How many steps they had.
    pub steps: u64,
    /// How many executions were cut by a limit.
    pub cut: u64,
    /// How long it took.
    pub lasted: Duration,
    /// What was shown, and is not known, in the order in which it was found.
    pub shown: Vec<Shown>,
    /// What is known, by the name that the baseline has for it, and how often it was seen.
    pub known: BTreeMap<String, u64>,
}

/// Draws workloads, and runs them, until a bound is reached. `goes_on` is asked after each execution; it is given how many
/// there were, and what a new recording shows, with its place in [`SearchReport::shown`].
///
/// # Errors
/// As of [`crate::hunt::hunt`].
pub fn search(
    harness: &Harness,
    options: &HuntOptions,
    mut goes_on: impl FnMut(u64, Option<(usize, &Shown)>) -> bool,
) -> Result<SearchReport, HarnessError> {
    let began = Instant::now();
    let mut grounds: BTreeMap<Vec<Vec<String>>, Ground> = BTreeMap::new();
    let mut report = SearchReport::default();
    let mut seen: BTreeMap<Class, usize> = BTreeMap::new();
    'all: loop {
        let seed = options.seed.wrapping_add(report.workloads);
        report.workloads += 1;
        let mut draws = StdRng::seed_from_u64(seed);
        let Drawn { workload, killed } = draw(&mut draws);
        let ground = match grounds.entry(workload.start.clone()) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(none) => {
                none.insert(Ground::new(harness, &options.programs, &options.drivers, &workload.start, options.limits)?)
            }
        };
        let expected = ground.expected(&workload)?;
        for number in 0..EXECUTIONS {
            let drawn = draws.random();
            let inner: Box<dyn Strategy> =
                if number % 2 == 0 { Box::new(Random::new(drawn)) } else { Box::new(Pct::new(drawn, DEPTH)) };
            let mut strategy = Killing::new(inner, killed, &mut draws);
            let left = options.time.saturating_sub(began.elapsed());
            let limits = Limits { time: options.limits.time.min(left), ..options.limits };
            let execution = ground.execute(&workload, &mut strategy, limits)?;
            let is_late = began.elapsed() >= options.time;
            if is_late && matches!(execution.end, End::Limit(_)) {
                break 'all;
            }
            report.executions += 1;
            report.steps += execution.steps.len() as u64;
            report.cut += u64::from(matches!(execution.end, End::Limit(_)));
            let (after, wrong) = (began.elapsed(), ground.judge(&execution, &expected)?.0);
            let mut new = None;
            if let Some(wrong) = wrong {
                let known = options.baseline.find(&wrong, &workload.operations(), &options.releases);
                match known {
                    Some(known) => *report.known.entry(known.name.clone()).or_insert(0) += 1,
                    None => {
                        let found = (workload.clone(), execution, wrong);
                        let (simple, execution, wrong) = fewer_calls(ground, found, options, &seen)?;
                        let class = Class::of(&simple, &execution, &wrong);
                        let place = seen.get(&class).copied();
                        // One that does not repeat is as good as none: another may.
                        if place.is_none_or(|at| report.shown[at].repeated == 0) {
                            let expected = ground.expected(&simple)?;
                            let (limits, limit) = (options.limits, options.simplify);
                            let violation = simplest(ground, &simple, limits, &expected, wrong, execution, limit)?;
                            let repeated = repeats(ground, &expected, &violation, limits)?;
                            let (executions, times) = (report.executions, 0);
                            let shown = Shown { violation, seed, executions, after, times, repeated };
                            match place {
                                None => {
                                    seen.insert(class, report.shown.len());
                                    report.shown.push(shown);
                                    new = Some(report.shown.len() - 1);
                                }
                                Some(at) if repeated > 0 => {
                                    report.shown[at] = Shown { times: report.shown[at].times, ..shown };
                                    new = Some(at);
                                }
                                Some(_) => {}
                            }
                        }
                        let at = place.unwrap_or(report.shown.len() - 1);
                        report.shown[at].times += 1;
                    }
                }
            }
            let goes_on = goes_on(report.executions, new.map(|at| (at, &report.shown[at])));
            if !goes_on || report.executions >= options.executions || began.elapsed() >= options.time {
                break 'all;
            }
        }
    }
    report.lasted = began.elapsed();
    Ok(report)
}

/// How often its recording shows it again.
fn repeats(
    ground: &mut Ground,
    expected: &Expected,
    violation: &Violation,
    limits: Limits,
) -> Result<u32, HarnessError> {
    let mut repeated = 0;
    for _ in 0..REPEATS {
        let (execution, _) = ground.once_more(&violation.recording, expected, limits)?;
        let wrong = ground.judge(&execution, expected)?.0;
        repeated += u32::from(wrong.is_some_and(|wrong| wrong.property == violation.wrong.property));
    }
    Ok(repeated)
}

/// What a violation is counted as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    property: &'static str,
    /// How many goroutines and commands it needs.
    needs: (usize, usize),
    /// Whether somebody is killed.
    crash: bool,
    /// The calls that give no answer, without their arguments.
    stuck: BTreeSet<String>,
}

impl Class {
    fn of(workload: &Workload, execution: &Execution, wrong: &Wrong) -> Self {
        let goroutines = workload.daemons.iter().map(|script| script.goroutines.len());
        let stuck = execution.calls.iter().filter(|made| made.ended.is_none() && wrong.property == "no-deadlock");
        Self {
            property: wrong.property,
            needs: (goroutines.sum(), workload.commands.len()),
            crash: execution.steps.iter().any(|step| step.fault.is_some()),
            stuck: stuck.map(|made| made.call.call.clone()).collect(),
        }
    }
}

/// Leaves out goroutines, commands and then calls, one after the other, where the same is shown without. As soon as it is of
/// a class that was seen, it is left as it is.
fn fewer_calls(
    ground: &mut Ground,
    found: (Workload, Execution, Wrong),
    options: &HuntOptions,
    seen: &BTreeMap<Class, usize>,
) -> Result<(Workload, Execution, Wrong), HarnessError> {
    let (mut workload, mut execution, mut wrong) = found;
    let until = Instant::now() + options.simplify;
    let (mut at, mut coarse) = (0, true);
    while Instant::now() < until {
        let all = parts(&workload, coarse);
        let Some(part) = all.get(at) else {
            if !coarse || seen.contains_key(&Class::of(&workload, &execution, &wrong)) {
                break;
            }
            (at, coarse) = (0, false);
            continue;
        };
        let Some(simpler) = try_without(ground, (&workload, &execution, &wrong), part, options)? else {
            at += 1;
            continue;
        };
        if !coarse && !needs_all(ground, &simpler, options)? {
            // It has become another: what all its goroutines were needed for is gone.
            at += 1;
            continue;
        }
        (workload, execution, wrong) = simpler;
    }
    Ok((workload, execution, wrong))
}

/// The same without a part, if it is shown without.
fn try_without(
    ground: &mut Ground,
    (workload, execution, wrong): (&Workload, &Execution, &Wrong),
    part: &Part,
    options: &HuntOptions,
) -> Result<Option<(Workload, Execution, Wrong)>, HarnessError> {
    let (fewer, steps) = without(workload, execution, part);
    if fewer.participants() == 0 {
        return Ok(None);
    }
    let expected = ground.expected(&fewer)?;
    let mut strategy = Shorter::of(&steps);
    let shown = ground.shows(wrong.property, &fewer, &expected, &mut strategy, options.limits)?;
    Ok(shown.map(|(tried, same)| (fewer, tried, same)))
}

/// Whether nothing is shown without one of its goroutines or commands.
fn needs_all(
    ground: &mut Ground,
    (workload, execution, wrong): &(Workload, Execution, Wrong),
    options: &HuntOptions,
) -> Result<bool, HarnessError> {
    let parts = parts(workload, true);
    if parts.len() < 2 {
        return Ok(true);
    }
    for part in &parts {
        if try_without(ground, (workload, execution, wrong), part, options)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Something that can be left out of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Command(usize),
    /// All calls of a goroutine of a process of the library.
    Goroutine(usize, usize),
    /// A call: of which process, of which goroutine from 1, or 0, and which.
    Call(usize, usize, usize),
}

/// What can be left out: large parts, or calls. Stores stay open.
fn parts(workload: &Workload, coarse: bool) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    if coarse {
        parts.extend((0..workload.commands.len()).map(Part::Command));
    }
    for (daemon, script) in workload.daemons.iter().enumerate() {
        let opens = script.before.iter().take_while(|call| call.call == OPEN).count();
        if !coarse {
            let may_go = |place: &usize| script.before[*place].call != CLOSE;
            parts.extend((opens..script.before.len()).filter(may_go).map(|place| Part::Call(daemon, 0, place)));
        }
        for (goroutine, (_, calls)) in (1..).zip(&script.goroutines) {
            // A goroutine without calls is none.
            if coarse || calls.len() == 1 {
                parts.push(Part::Goroutine(daemon, goroutine));
            } else {
                let may_go = |place: &usize| calls[*place].call != CLOSE;
                parts.extend((0..calls.len()).filter(may_go).map(|place| Part::Call(daemon, goroutine, place)));
            }
        }
    }
    parts
}

/// A workload without a part of it, and the steps of an execution without its.
fn without(workload: &Workload, execution: &Execution, part: &Part) -> (Workload, Vec<Step>) {
    let mut fewer = workload.clone();
    let unit = |daemon, process| Unit { participant: workload.commands.len() + daemon, process };
    let steps = match *part {
        Part::Command(number) => {
            fewer.commands.remove(number);
            let rest = execution.steps.iter().filter(|step| step.unit.participant != number).cloned();
            let renumbered = rest.map(|mut step| {
                step.unit.participant -= usize::from(step.unit.participant > number);
                step
            });
            renumbered.collect()
        }
        Part::Goroutine(daemon, goroutine) => {
            fewer.daemons[daemon].goroutines.remove(goroutine - 1);
            let gone = unit(daemon, goroutine);
            let rest = execution.steps.iter().filter(|step| step.unit != gone).cloned();
            let renumbered = rest.map(|mut step| {
                let is_after = step.unit.participant == gone.participant && step.unit.process > goroutine;
                step.unit.process -= usize::from(is_after);
                step
            });
            renumbered.collect()
        }
        Part::Call(daemon, process, place) => {
            let script = &mut fewer.daemons[daemon];
            let calls = match process.checked_sub(1) {
                None => &mut script.before,
                Some(goroutine) => &mut script.goroutines[goroutine].1,
            };
            let gone = calls.remove(place);
            // A diff that nobody closes keeps writers waiting, and one that is not open cannot be closed: both go or none.
            let closes = |call: &Call| call.call == CLOSE && (&call.store, &call.args) == (&gone.store, &gone.args);
            let close = calls.iter().skip(place).position(closes).filter(|_| gone.call == "diff").map(|at| at + place);
            close.map(|at| calls.remove(at));
            let mut told = 0;
            let is_kept = |step: &&Step| {
                let is_its = step.unit == unit(daemon, process);
                told += usize::from(is_its && step.what.starts_with("calls "));
                !is_its || told != place + 1 && close.is_none_or(|close| told != close + 2)
            };
            execution.steps.iter().filter(is_kept).cloned().collect()
        }
    };
    (fewer, steps)
}
