//! Every order that makes a difference, once: dynamic partial-order reduction with source sets and sleep sets (Abdulla,
//! Aronsson, Jonsson, Sagonas: "Optimal dynamic partial order reduction", POPL 2014, algorithm 1).
//!
//! Two executions are equivalent if they differ only in the order of steps that do not depend on each other. After each
//! execution its races are looked for: two dependent steps of two units, the order of which nothing else fixes. For each, the
//! other order is tried from where the first was taken, unless what is tried there already covers it. A lock that could not
//! be had before another unit had released it races with the request that the other was granted.

use std::collections::{BTreeMap, BTreeSet};

use super::Strategy;
use crate::hunt::execution::{End, Execution};
use crate::hunt::step::{LockStep, Step, Unit};

/// How often an execution that did not go as before is tried again.
const RETRIES: u32 = 5;

/// Where a choice was made.
#[derive(Debug)]
struct Node {
    enabled: Vec<Step>,
    /// What was tried before, here or higher up, and does not depend on what came in between.
    sleep: Vec<Step>,
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
#[derive(Debug, Default)]
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
            let is_left = |unit: &Unit| !node.done.iter().chain(&node.sleep).any(|step| step.unit == *unit);
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
            node.backtrack.contains(unit) || node.done.iter().chain(&node.sleep).any(|step| step.unit == *unit)
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
    let mut number = |step: &Step| {
        let touched = step.touches.iter().map(|(resource, _)| {
            let next = numbers.len();
            *numbers.entry(resource.clone()).or_insert(next)
        });
        touched.collect()
    };
    steps.iter().map(&mut number).collect()
}

impl Strategy for Exhaustive {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        let depth = self.depth;
        self.depth += 1;
        if let Some(node) = self.path.get(depth) {
            let expected = &node.chosen;
            let found = enabled.iter().position(|step| step.unit == expected.unit && step.what == expected.what);
            let possible = || enabled.iter().map(|step| step.what.clone()).collect::<Vec<_>>().join("; ");
            return found.map(Some).ok_or_else(|| (expected.what.clone(), possible()));
        }
        let sleep = self.sleep();
        let sleeps = |step: &Step| sleep.iter().any(|other| other.unit == step.unit);
        let last = self.path.last().map(|node| node.chosen.unit);
        let stays = enabled.iter().position(|step| Some(step.unit) == last && !sleeps(step));
        let Some(chosen) = stays.or_else(|| enabled.iter().position(|step| !sleeps(step))) else { return Ok(None) };
        let step = enabled[chosen].clone();
        let backtrack = BTreeSet::from([step.unit]);
        self.path.push(Node { enabled: enabled.to_vec(), sleep, backtrack, done: Vec::new(), chosen: step });
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lockproof_model::op::Mode;

    use super::*;
    use crate::supervise::event::{Action, FileId, FileRef, LockKind, Range, ReleasedBy, Wanted};

    /// What a unit of a toy system does.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Toy {
        Read(char),
        Write(char),
        Lock(char, Mode),
        Unlock(char),
    }
    use Toy::{Lock, Read, Unlock, Write};

    fn file(name: char) -> FileRef {
        FileRef { id: Some(FileId { device: 0, inode: u64::from(u32::from(name)) }), path: format!("/{name}").into() }
    }

    fn step(unit: usize, toy: Toy, held: Option<Mode>) -> Step {
        let (kind, range) = (LockKind::Posix, Range::ALL);
        let action = match toy {
            Read(name) => Action::Read { file: file(name), offset: None, bytes: 1, content: None },
            Write(name) => Action::Write { file: file(name), offset: None, bytes: 1, content: None },
            Lock(name, mode) => Action::Lock(Wanted { file: file(name), kind, mode, range, waits: true }),
            Unlock(name) => Action::Release { file: file(name), kind, range, by: ReleasedBy::Close },
        };
        Step::of(Unit { participant: unit, process: 0 }, Path::new("/"), &[(action, held)])
    }

    /// Units on their way.
    #[derive(Clone)]
    struct World<'p> {
        programs: &'p [Vec<Toy>],
        at: Vec<usize>,
        held: Vec<(usize, char, Mode)>,
        /// What each variable holds, and what each unit has read.
        memory: BTreeMap<char, usize>,
        read: Vec<Vec<usize>>,
        taken: Vec<(usize, usize)>,
    }

    impl<'p> World<'p> {
        fn new(programs: &'p [Vec<Toy>]) -> Self {
            let units = programs.len();
            let (at, read) = (vec![0; units], vec![Vec::new(); units]);
            Self { programs, at, held: Vec::new(), memory: BTreeMap::new(), read, taken: Vec::new() }
        }

        fn enabled(&self) -> Vec<usize> {
            let is_possible = |unit: &usize| match self.programs[*unit].get(self.at[*unit]) {
                None => false,
                Some(Lock(name, mode)) => {
                    !self.held.iter().any(|(other, held, its)| other != unit && held == name && its.conflicts(*mode))
                }
                Some(_) => true,
            };
            (0..self.programs.len()).filter(is_possible).collect()
        }

        fn next(&self, unit: usize) -> Step {
            let toy = self.programs[unit][self.at[unit]];
            let mode =
                |name| self.held.iter().find(|(holder, held, _)| *holder == unit && *held == name).map(|held| held.2);
            step(unit, toy, if let Unlock(name) = toy { mode(name) } else { None })
        }

        fn take(&mut self, unit: usize) {
            match self.programs[unit][self.at[unit]] {
                Read(name) => self.read[unit].push(self.memory.get(&name).copied().unwrap_or(0)),
                Write(name) => drop(self.memory.insert(name, 100 * (unit + 1) + self.at[unit])),
                Lock(name, mode) => self.held.push((unit, name, mode)),
                Unlock(name) => self.held.retain(|(holder, held, _)| (*holder, *held) != (unit, name)),
            }
            self.taken.push((unit, self.at[unit]));
            self.at[unit] += 1;
        }

        /// All orders, one by one: what came of each, and each in the form that all equivalent ones have in common.
        fn all(&self, ends: &mut BTreeSet<String>, traces: &mut Traces, steps: &mut Vec<Step>) {
            let enabled = self.enabled();
            if enabled.is_empty() {
                ends.insert(format!("{:?} {:?} {:?}", self.memory, self.read, self.at));
                traces.insert(normal_form(steps, &self.taken));
            }
            for unit in enabled {
                let mut next = self.clone();
                steps.push(self.next(unit));
                next.take(unit);
                next.all(ends, traces, steps);
                steps.pop();
            }
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
        loop {
            let (mut world, mut steps) = (World::new(programs), Vec::new());
            let end = loop {
                let enabled = world.enabled();
                if enabled.is_empty() {
                    break if world.at.iter().zip(programs).all(|(at, program)| *at == program.len()) {
                        End::Done
                    } else {
                        End::Stuck(Vec::new())
                    };
                }
                let possible: Vec<Step> = enabled.iter().map(|unit| world.next(*unit)).collect();
                match strategy.choose(&possible).unwrap() {
                    Some(chosen) => {
                        steps.push(possible[chosen].clone());
                        world.take(enabled[chosen]);
                    }
                    None => break End::Abandoned,
                }
            };
            if end != End::Abandoned {
                ends.insert(format!("{:?} {:?} {:?}", world.memory, world.read, world.at));
                traces.insert(normal_form(&steps, &world.taken));
            }
            let stuck = (0..programs.len()).filter(|unit| world.at[*unit] < programs[*unit].len());
            let blocked = if end == End::Abandoned { Vec::new() } else { stuck.map(|unit| world.next(unit)).collect() };
            let execution = Execution { steps, events: Vec::new(), said: Vec::new(), end, blocked };
            if !strategy.learn(&execution) {
                return (ends, traces, strategy.progress());
            }
        }
    }

    fn agree(programs: &[Vec<Toy>]) -> (u64, u64) {
        let (mut ends, mut traces) = (BTreeSet::new(), BTreeSet::new());
        World::new(programs).all(&mut ends, &mut traces, &mut Vec::new());
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

    /// Small programs drawn at random, of locks that may be nested in any order; the seed is that of the round.
    #[test]
    fn random_programs_agree_with_every_order() {
        use rand::rngs::StdRng;
        use rand::{RngExt as _, SeedableRng as _};
        const STEPS_MAX: usize = 10;
        let mut tried = 0;
        for seed in 0..600 {
            let mut draws = StdRng::seed_from_u64(seed);
            let units = draws.random_range(2..=3);
            let programs: Vec<Vec<Toy>> = (0..units).map(|_| program(&mut draws)).collect();
            if programs.iter().map(Vec::len).sum::<usize>() <= STEPS_MAX {
                println!("seed {seed}: {programs:?}");
                agree(&programs);
                tried += 1;
            }
        }
        assert!(tried > 200, "{tried}");

        fn program(draws: &mut StdRng) -> Vec<Toy> {
            let mut program = Vec::new();
            let mut held = Vec::new();
            for _ in 0..draws.random_range(1..=3) {
                let name = if draws.random_bool(0.5) { 'x' } else { 'y' };
                let lock = if draws.random_bool(0.5) { 'l' } else { 'm' };
                match draws.random_range(0..4) {
                    0 => program.push(Read(name)),
                    1 => program.push(Write(name)),
                    _ if held.contains(&lock) => {
                        held.retain(|held| *held != lock);
                        program.push(Unlock(lock));
                    }
                    _ => {
                        held.push(lock);
                        let mode = if draws.random_bool(0.5) { Mode::Shared } else { Mode::Exclusive };
                        program.push(Lock(lock, mode));
                    }
                }
            }
            program.extend(held.into_iter().map(Unlock));
            program
        }
    }
}
