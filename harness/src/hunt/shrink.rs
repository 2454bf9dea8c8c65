//! A violation made simpler: fewer switches from one process to another.

use std::time::{Duration, Instant};

use super::execution::{End, Execution, Limits};
use super::fault::{Fault, Strike};
use super::ground::{Expected, Ground};
use super::recording::Recording;
use super::step::{Step, Unit};
use super::strategy::Strategy;
use super::workload::Workload;
use super::{Violation, Wrong};
use crate::error::HarnessError;

/// Looks for an execution with fewer switches that shows the same, by leaving out turns (delta debugging, Zeller and
/// Hildebrandt 2002).
pub(super) fn simplest(
    ground: &mut Ground,
    workload: &Workload,
    limits: Limits,
    expected: &Expected,
    wrong: Wrong,
    execution: Execution,
    limit: Duration,
) -> Result<Violation, HarnessError> {
    let (mut best, mut wrong) = (execution, wrong);
    let until = Instant::now() + limit;
    // Half of them at a time, then a quarter, and so on.
    let mut size = turns(&best.steps).len().div_ceil(2);
    'smaller: while size > 0 {
        let mut from = 0;
        while from < turns(&best.steps).len() {
            if Instant::now() > until {
                break 'smaller;
            }
            let mut left = turns(&best.steps);
            left.drain(from..(from + size).min(left.len()));
            let mut strategy = Shorter { turns: left, at: 0, taken: 0, strike: Strike::first_of(&best.steps) };
            match ground.shows(wrong.property, workload, expected, &mut strategy, limits)? {
                Some((tried, same)) if turns(&tried.steps).len() < turns(&best.steps).len() => {
                    (best, wrong) = (tried, same);
                }
                _ => from += size,
            }
        }
        size /= 2;
    }
    if !workload.daemons.is_empty() {
        (best, wrong) = usual(ground, workload, limits, expected, (best, wrong))?;
    }
    let recording = Recording::of(workload, ground.drivers(), &wrong, &best);
    Ok(Violation { wrong, execution: best, recording })
}

/// How often an execution with goroutines is looked for that goes the same way again.
const LOOKS: u32 = 20;

/// An execution with goroutines that shows the same and is no rarity. Which of them gets what they wait for inside their
/// process is not always ours to choose (where Go's race detector is in it, the runtime throws coins: `randomizeScheduler` of
/// runtime/proc.go), so one that does not go the same way twice in a row gives way to one with the same turns.
fn usual(
    ground: &mut Ground,
    workload: &Workload,
    limits: Limits,
    expected: &Expected,
    (mut best, mut wrong): (Execution, Wrong),
) -> Result<(Execution, Wrong), HarnessError> {
    for _ in 0..LOOKS {
        let recording = Recording::of(workload, ground.drivers(), &wrong, &best);
        let mut goes_so = || ground.repeat(&recording, limits).map(|tried| !matches!(tried.end, End::Diverged { .. }));
        if goes_so()? && goes_so()? {
            break;
        }
        let mut strategy = Shorter::of(&best.steps);
        if let Some(another) = ground.shows(wrong.property, workload, expected, &mut strategy, limits)? {
            (best, wrong) = another;
        }
    }
    Ok((best, wrong))
}

/// Who goes how many steps in a row.
fn turns(steps: &[Step]) -> Vec<(Unit, usize)> {
    let mut turns: Vec<(Unit, usize)> = Vec::new();
    for step in steps {
        match turns.last_mut().filter(|(unit, _)| *unit == step.unit) {
            Some((_, steps)) => *steps += 1,
            None => turns.push((step.unit, 1)),
        }
    }
    turns
}

/// Gives turns, as far as they are possible; after them, whoever went last goes on. Whoever had a fault has it again.
pub(super) struct Shorter {
    turns: Vec<(Unit, usize)>,
    at: usize,
    taken: usize,
    strike: Option<Strike>,
}

impl Shorter {
    /// In the order of these steps.
    pub(super) fn of(steps: &[Step]) -> Self {
        Self { turns: turns(steps), at: 0, taken: 0, strike: Strike::first_of(steps) }
    }
}

impl Strategy for Shorter {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        loop {
            let Some((unit, steps)) = self.turns.get(self.at).copied() else {
                let last = self.turns.last().map(|(unit, _)| *unit);
                return Ok(Some(enabled.iter().position(|step| Some(step.unit) == last).unwrap_or(0)));
            };
            let possible = enabled.iter().position(|step| step.unit == unit).filter(|_| self.taken < steps);
            if let Some(possible) = possible {
                self.taken += 1;
                return Ok(Some(possible));
            }
            (self.at, self.taken) = (self.at + 1, 0);
        }
    }

    fn fault(&mut self, step: &Step) -> Option<Fault> {
        Strike::at(&mut self.strike, step)
    }

    fn learn(&mut self, _: &Execution) -> bool {
        false
    }
}
