//! Every order that makes a difference, once: dynamic partial-order reduction with source sets and sleep sets (Abdulla,
//! Aronsson, Jonsson, Sagonas: "Optimal dynamic partial order reduction", POPL 2014, algorithm 1).
//!
//! Two executions are equivalent if they differ only in the order of steps that do not depend on each other. After each
//! execution its races are looked for: two dependent steps of two units, the order of which nothing else fixes. For each, the
//! other order is tried from where the first was taken, unless what is tried there already covers it. A lock that could not
//! be had before another unit had released it races with the request that the other was granted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Beginning, RETRIES, RunsAhead, Strategy, chosen_before};
use crate::hunt::execution::{End, Execution};
use crate::hunt::step::{LockStep, Step, Unit};

/// Where a choice was made.
#[derive(Clone, Debug)]
struct Node {
    enabled: Arc<[Step]>,
    /// What was tried before, here or higher up, and does not depend on what came in between.
    sleep: Arc<[Step]>,
    /// What is to be tried from here.
    backtrack: BTreeSet<Unit>,
    /// What has been tried from here.
    done: Vec<Step>,
    chosen: Step,
}

/// How far the search is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Executions that went to their end.
    pub complete: u64,
    /// Executions that were given up, as they were equivalent to others.
    pub redundant: u64,
    /// Executions that did not go as before, and were tried again.
    pub diverged: u64,
    /// Branches that were given up, as they never went as before.
    pub lost: u64,
    /// Whether everything has been tried.
    pub exhausted: bool,
}

/// Tries every order that makes a difference.
#[derive(Clone, Debug, Default)]
pub struct Exhaustive {
    path: Vec<Node>,
    depth: usize,
    retries: u32,
    progress: Progress,
}

impl Exhaustive {
    /// Begins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// What sleeps after the step that was chosen at the end of the path.
    fn sleep(&self) -> Vec<Step> {
        let Some(last) = self.path.last() else { return Vec::new() };
        let all = last.sleep.iter().chain(&last.done);
        all.filter(|step| !step.depends_on(&last.chosen)).cloned().collect()
    }

    /// The next execution: from the deepest node where something is left to be tried.
    fn advance(&mut self) -> bool {
        while let Some(node) = self.path.last_mut() {
            let chosen = node.chosen.clone();
            if !node.done.iter().any(|step| step.unit == chosen.unit) {
                node.done.push(chosen);
            }
            let is_left = |unit: &Unit| !node.done.iter().chain(node.sleep.iter()).any(|step| step.unit == *unit);
            let next = node.backtrack.iter().copied().find(is_left);
            let step = next.and_then(|unit| node.enabled.iter().find(|step| step.unit == unit).cloned());
            if let Some(step) = step {
                node.chosen = step;
                return true;
            }
            self.path.pop();
        }
        self.progress.exhausted = self.progress.lost == 0;
        false
    }

    /// `blocked` are the steps that could not be taken at the end, as nobody was left to release what they ask for. They race
    /// with those who took it.
    fn reverse_races(&mut self, blocked: &[Step]) {
        let taken: Vec<Step> = self.path.iter().map(|node| node.chosen.clone()).collect();
        for last in std::iter::once(None).chain(blocked.iter().map(Some)) {
            let steps: Vec<Step> = taken.iter().chain(last).cloned().collect();
            let graph = Graph::new(&steps);
            let of_last = |second: usize| last.is_none() || second == taken.len();
            for (first, second) in graph.races.iter().filter(|(_, second)| of_last(*second)) {
                for from in reversal_points(&steps, *first, *second) {
                    self.reverse(&steps, &graph, from, *second);
                }
            }
        }
    }

    /// Has the order tried in which `second` comes without `first`.
    fn reverse(&mut self, steps: &[Step], graph: &Graph, first: usize, second: usize) {
        let needs_first = |at: usize| graph.is_before(first, at);
        if (first + 1..second).any(|at| steps[at].unit == steps[second].unit && needs_first(at)) {
            return;
        }
        let mut rest: Vec<usize> = (first + 1..second).filter(|at| !needs_first(*at)).collect();
        rest.push(second);
        let mut seen = BTreeSet::new();
        let mut initials = Vec::new();
        for (index, at) in rest.iter().enumerate() {
            // The last is there without the lock's release that came before it.
            let is_first = seen.insert(steps[*at].unit);
            if is_first && !rest[..index].iter().any(|before| graph.is_before(*before, *at)) {
                initials.push(steps[*at].unit);
            }
        }
        let node = &mut self.path[first];
        let covered = |unit: &Unit| {
            node.backtrack.contains(unit) || node.done.iter().chain(node.sleep.iter()).any(|step| step.unit == *unit)
        };
        if initials.iter().any(covered) {
            return;
        }
        let is_enabled = |unit: &Unit| node.enabled.iter().any(|step| step.unit == *unit);
        let preferred = Some(steps[second].unit).filter(|unit| initials.contains(unit) && is_enabled(unit));
        match preferred.or_else(|| initials.into_iter().find(is_enabled)) {
            Some(unit) => drop(node.backtrack.insert(unit)),
            None => node.backtrack.extend(node.enabled.iter().map(|step| step.unit)),
        }
    }
}

/// From where the order of a race can be reversed: where the first step was taken; but a lock that the first dropped could be
/// had earlier only if it had not been taken.
fn reversal_points(steps: &[Step], first: usize, second: usize) -> Vec<usize> {
    if steps[first].lock != LockStep::Drops || !steps[first].shares_lock(&steps[second]) {
        return vec![first];
    }
    let takes = |at: &usize| {
        let step = &steps[*at];
        step.unit == steps[first].unit
            && matches!(step.lock, LockStep::Takes | LockStep::Tries)
            && step.shares_lock(&steps[second])
    };
    let taken = (0..first).rev().find(takes);
    if steps[second].was_let_by(&steps[first]) {
        taken.into_iter().collect()
    } else {
        taken.into_iter().chain([first]).collect()
    }
}

/// What happens before what.
struct Graph {
    /// For each step, a bit for each that happens before it.
    before: Vec<Vec<u64>>,
    races: Vec<(usize, usize)>,
}

impl Graph {
    fn new(steps: &[Step]) -> Self {
        let words = steps.len().div_ceil(64);
        let touches = numbered(steps);
        let mut graph = Graph { before: Vec::with_capacity(steps.len()), races: Vec::new() };
        for (second, step) in steps.iter().enumerate() {
            let mut before = vec![0_u64; words];
            for first in (0..second).rev() {
                if before[first / 64] >> (first % 64) & 1 == 1 {
                    continue;
                }
                let is_own = steps[first].unit == step.unit;
                let may = is_own || touches[first].iter().any(|touched| touches[second].contains(touched));
                if may && steps[first].depends_on(step) {
                    if !is_own {
                        graph.races.push((first, second));
                    }
                    before[first / 64] |= 1 << (first % 64);
                    for (word, its) in before.iter_mut().zip(&graph.before[first]) {
                        *word |= its;
                    }
                }
            }
            graph.before.push(before);
        }
        graph
    }

    fn is_before(&self, first: usize, second: usize) -> bool {
        self.before[second][first / 64] >> (first % 64) & 1 == 1
    }
}

/// What each step touches, by number: quick to compare.
fn numbered(steps: &[Step]) -> Vec<Vec<usize>> {
    let mut numbers = BTreeMap::new();
    let mut all = Vec::with_capacity(steps.len());
    for step in steps {
        let touched = step.touches.iter().map(|(resource, _)| {
            let next = numbers.len();
            *numbers.entry(resource).or_insert(next)
        });
        all.push(touched.collect());
    }
    all
}

impl Strategy for Exhaustive {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        let depth = self.depth;
        self.depth += 1;
        if let Some(node) = self.path.get(depth) {
            return chosen_before(&node.chosen, enabled);
        }
        let sleep = self.sleep();
        let sleeps = |step: &Step| sleep.iter().any(|other| other.unit == step.unit);
        let last = self.path.last().map(|node| node.chosen.unit);
        let stays = enabled.iter().position(|step| Some(step.unit) == last && !sleeps(step));
        let Some(chosen) = stays.or_else(|| enabled.iter().position(|step| !sleeps(step))) else { return Ok(None) };
        let step = enabled[chosen].clone();
        let backtrack = BTreeSet::from([step.unit]);
        self.path.push(Node {
            enabled: enabled.into(),
            sleep: sleep.into(),
            backtrack,
            done: Vec::new(),
            chosen: step,
        });
        Ok(Some(chosen))
    }

    fn learn(&mut self, execution: &Execution) -> bool {
        self.depth = 0;
        match execution.end {
            End::Diverged { step, .. } => {
                self.progress.diverged += 1;
                self.retries += 1;
                if self.retries <= RETRIES {
                    // What came after the choice that is new is tried anew.
                    return true;
                }
                self.progress.lost += 1;
                self.path.truncate(step.max(1));
            }
            End::Limit(_) => self.progress.lost += 1,
            End::Abandoned => {
                self.progress.redundant += 1;
                self.reverse_races(&[]);
            }
            End::Done | End::Stuck(_) => {
                self.progress.complete += 1;
                self.reverse_races(&execution.blocked);
            }
        }
        self.retries = 0;
        self.advance()
    }
}

impl RunsAhead for Exhaustive {
    fn beginning(&self) -> Beginning {
        (0, self.path.iter().map(|node| node.chosen.unit).collect())
    }

    fn copy(&self) -> Box<dyn RunsAhead> {
        Box::new(self.clone())
    }

    fn pass(&mut self) -> bool {
        self.advance()
    }

    fn progress(&self) -> Option<Progress> {
        Some(self.progress)
    }
}

#[cfg(test)]
mod tests {
    use lockproof_model::op::Mode;

    use super::super::toy::Toy::{Lock, Read, Unlock, Write};
    use super::super::toy::{Toy, World, random_programs, run};
    use super::*;

    /// All orders, one by one: what came of each, and each in the form that all equivalent ones have in common.
    fn all(world: &World<'_>, ends: &mut BTreeSet<String>, traces: &mut Traces, steps: &mut Vec<Step>) {
        let enabled = world.enabled();
        if enabled.is_empty() {
            ends.insert(world.end());
            traces.insert(normal_form(steps, &world.taken));
        }
        for unit in enabled {
            let mut next = world.clone();
            steps.push(world.next(unit));
            next.take(unit);
            all(&next, ends, traces, steps);
            steps.pop();
        }
    }

    /// The least of all equivalent orders: the least step that nothing left has to come before, again and again.
    fn normal_form(steps: &[Step], taken: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let mut left: Vec<usize> = (0..steps.len()).collect();
        let mut form = Vec::new();
        while !left.is_empty() {
            let is_first =
                |at: &usize| !left.iter().any(|before| before < at && steps[*before].depends_on(&steps[*at]));
            let first = left.iter().copied().filter(is_first).min_by_key(|at| taken[*at]).unwrap();
            form.push(taken[first]);
            left.retain(|at| *at != first);
        }
        form
    }

    /// Orders, each in the form that all equivalent ones have in common.
    type Traces = BTreeSet<Vec<(usize, usize)>>;

    /// What the search finds, and how many executions came to an end and how many were given up.
    fn search(programs: &[Vec<Toy>]) -> (BTreeSet<String>, Traces, Progress) {
        let (mut ends, mut traces, mut strategy) = (BTreeSet::new(), BTreeSet::new(), Exhaustive::new());
        let note = |world: &World<'_>, steps: &[Step], end: &End| {
            if *end != End::Abandoned {
                ends.insert(world.end());
                traces.insert(normal_form(steps, &world.taken));
            }
        };
        let mut note = note;
        while run(programs, &mut strategy, &mut note) {}
        (ends, traces, strategy.progress())
    }

    fn agree(programs: &[Vec<Toy>]) -> (u64, u64) {
        let (mut ends, mut traces) = (BTreeSet::new(), BTreeSet::new());
        all(&World::new(programs), &mut ends, &mut traces, &mut Vec::new());
        let (found, seen, progress) = search(programs);
        assert!(progress.exhausted);
        assert_eq!(found, ends, "{programs:?}");
        assert_eq!(seen, traces, "{programs:?}");
        assert_eq!(progress.complete, traces.len() as u64, "none is run twice: {programs:?}");
        (progress.complete, progress.redundant)
    }

    #[test]
    fn what_has_nothing_in_common_has_one_order() {
        assert_eq!(agree(&[vec![Write('a'), Read('a')], vec![Write('b')], vec![Read('c'), Write('d')]]), (1, 0));
    }

    #[test]
    fn a_writer_and_two_readers() {
        // The example of the source sets' paper: four orders of a write and two reads.
        assert_eq!(agree(&[vec![Write('x')], vec![Read('y'), Read('x')], vec![Read('z'), Read('x')]]), (4, 0));
    }

    #[test]
    fn every_order_of_three_writers_is_another() {
        assert_eq!(agree(&[vec![Write('a')], vec![Write('a')], vec![Write('a')]]), (6, 0));
    }

    #[test]
    fn critical_sections_come_in_every_order_and_are_not_torn() {
        let section = || vec![Lock('l', Mode::Exclusive), Read('x'), Write('x'), Unlock('l')];
        assert_eq!(agree(&[section(), section()]), (2, 0));
        assert_eq!(agree(&[section(), section(), section()]), (6, 0));
    }

    #[test]
    fn readers_share_and_a_writer_comes_before_between_or_after() {
        let reader = || vec![Lock('l', Mode::Shared), Read('x'), Unlock('l')];
        let writer = || vec![Lock('l', Mode::Exclusive), Write('x'), Unlock('l')];
        assert_eq!(agree(&[reader(), reader()]), (1, 0));
        assert_eq!(agree(&[reader(), writer()]), (2, 0));
        assert_eq!(agree(&[reader(), reader(), writer()]), (4, 0));
    }

    #[test]
    fn a_deadlock_is_an_end_too() {
        let take = |first, second| {
            vec![Lock(first, Mode::Exclusive), Lock(second, Mode::Exclusive), Unlock(second), Unlock(first)]
        };
        let (complete, _) = agree(&[take('a', 'b'), take('b', 'a')]);
        assert_eq!(complete, 3);
    }

    #[test]
    fn random_programs_agree_with_every_order() {
        for (seed, programs) in random_programs() {
            println!("seed {seed}: {programs:?}");
            agree(&programs);
        }
    }
}
