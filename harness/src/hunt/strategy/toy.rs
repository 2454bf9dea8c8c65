//! Small systems in memory, on which the tests compare a strategy with every order there is.

use std::collections::BTreeMap;
use std::path::Path;

use lockproof_model::op::Mode;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::Strategy;
use crate::hunt::execution::{End, Execution, Said};
use crate::hunt::fault::Fault;
use crate::hunt::step::{Step, Unit};
use crate::supervise::event::{Action, FileId, FileRef, LockKind, Range, ReleasedBy, Wanted};
use Toy::{Lock, Read, Unlock, Write};

/// What a unit of a toy system does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Toy {
    Read(char),
    Write(char),
    Lock(char, Mode),
    Unlock(char),
}

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
pub(super) struct World<'p> {
    pub(super) programs: &'p [Vec<Toy>],
    pub(super) at: Vec<usize>,
    held: Vec<(usize, char, Mode)>,
    /// What each variable holds, and what each unit has read.
    memory: BTreeMap<char, usize>,
    read: Vec<Vec<usize>>,
    pub(super) taken: Vec<(usize, usize)>,
}

impl<'p> World<'p> {
    pub(super) fn new(programs: &'p [Vec<Toy>]) -> Self {
        let units = programs.len();
        let (at, read) = (vec![0; units], vec![Vec::new(); units]);
        Self { programs, at, held: Vec::new(), memory: BTreeMap::new(), read, taken: Vec::new() }
    }

    pub(super) fn enabled(&self) -> Vec<usize> {
        let is_possible = |unit: &usize| match self.programs[*unit].get(self.at[*unit]) {
            None => false,
            Some(Lock(name, mode)) => {
                !self.held.iter().any(|(other, held, its)| other != unit && held == name && its.conflicts(*mode))
            }
            Some(_) => true,
        };
        (0..self.programs.len()).filter(is_possible).collect()
    }

    pub(super) fn next(&self, unit: usize) -> Step {
        let toy = self.programs[unit][self.at[unit]];
        let mode =
            |name| self.held.iter().find(|(holder, held, _)| *holder == unit && *held == name).map(|held| held.2);
        step(unit, toy, if let Unlock(name) = toy { mode(name) } else { None })
    }

    pub(super) fn take(&mut self, unit: usize) {
        match self.programs[unit][self.at[unit]] {
            Read(name) => self.read[unit].push(self.memory.get(&name).copied().unwrap_or(0)),
            Write(name) => drop(self.memory.insert(name, 100 * (unit + 1) + self.at[unit])),
            Lock(name, mode) => self.held.push((unit, name, mode)),
            Unlock(name) => self.held.retain(|(holder, held, _)| (*holder, *held) != (unit, name)),
        }
        self.taken.push((unit, self.at[unit]));
        self.at[unit] += 1;
    }

    fn kill(&mut self, unit: usize) {
        self.at[unit] = self.programs[unit].len();
        self.held.retain(|(holder, ..)| *holder != unit);
    }

    /// What came of it, in words.
    pub(super) fn end(&self) -> String {
        format!("{:?} {:?} {:?}", self.memory, self.read, self.at)
    }
}

/// Runs the programs once, as the strategy says, and tells what came of it: the world, the steps, how it ended. Returns
/// whether there is another order to try.
pub(super) fn run(
    programs: &[Vec<Toy>],
    strategy: &mut dyn Strategy,
    mut tell: impl FnMut(&World<'_>, &[Step], &End),
) -> bool {
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
        match strategy.choose(&possible).expect("a toy does the same each time") {
            Some(chosen) => {
                let (mut step, unit) = (possible[chosen].clone(), enabled[chosen]);
                step.fault = strategy.fault(&step);
                match step.fault {
                    None => world.take(unit),
                    Some(Fault::Crash) => world.kill(unit),
                    Some(_) => world.at[unit] += 1,
                }
                steps.push(step);
            }
            None => break End::Abandoned,
        }
    };
    tell(&world, &steps, &end);
    let stuck = (0..programs.len()).filter(|unit| world.at[*unit] < programs[*unit].len());
    let blocked = if end == End::Abandoned { Vec::new() } else { stuck.map(|unit| world.next(unit)).collect() };
    let said = vec![Said::default(); programs.len()];
    strategy.learn(&Execution { steps, events: Vec::new(), said, end, blocked, calls: Vec::new() })
}

/// Small programs drawn at random, of locks that may be nested in any order; each with its seed.
pub(super) fn random_programs() -> Vec<(u64, Vec<Vec<Toy>>)> {
    const STEPS_MAX: usize = 10;
    let mut all = Vec::new();
    for seed in 0..600 {
        let mut draws = StdRng::seed_from_u64(seed);
        let units = draws.random_range(2..=3);
        let programs: Vec<Vec<Toy>> = (0..units).map(|_| program(&mut draws)).collect();
        if programs.iter().map(Vec::len).sum::<usize>() <= STEPS_MAX {
            all.push((seed, programs));
        }
    }
    assert!(all.len() > 200, "{}", all.len());
    all
}

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
