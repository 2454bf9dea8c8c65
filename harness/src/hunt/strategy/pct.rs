//! Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte: "A randomized scheduler with probabilistic
//! guarantees of finding bugs", ASPLOS 2010).
//!
//! Units get priorities at random, and the highest that can go on does. At `depth - 1` steps, drawn from all, the one that goes
//! is put below all others. With n units and k steps, a violation that needs `depth` orderings is found in one execution with
//! a probability of at least 1 / (n · k^(depth - 1)).

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::{Beginning, Progress, RunsAhead, Strategy, draws};
use crate::hunt::execution::Execution;
use crate::hunt::step::{Step, Unit};

/// Lets the unit with the highest priority go, and changes priorities at a few steps.
#[derive(Debug)]
pub struct Pct {
    seed: u64,
    /// Of the next execution, from 0.
    number: u64,
    draws: StdRng,
    depth: u32,
    /// How many steps the first execution had.
    length: Option<usize>,
    at: usize,
    changes: Vec<usize>,
    /// Higher goes first. Those that are put down get ever lower ones.
    priorities: BTreeMap<Unit, i64>,
    lowest: i64,
}

impl Pct {
    /// For violations that need `depth` orderings, at least 1.
    #[must_use]
    pub fn new(seed: u64, depth: u32) -> Self {
        Self::at(seed, 0, depth, None)
    }

    fn at(seed: u64, number: u64, depth: u32, length: Option<usize>) -> Self {
        let mut draws = draws(seed, number);
        let changes = (1..depth).map(|_| draws.random_range(0..length.unwrap_or(1).max(1))).collect();
        Self { seed, number, draws, depth, length, at: 0, changes, priorities: BTreeMap::new(), lowest: 0 }
    }
}

impl Strategy for Pct {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        for step in enabled {
            let drawn = self.draws.random_range(1..=i64::from(u32::MAX));
            self.priorities.entry(step.unit).or_insert(drawn);
        }
        let highest = |priorities: &BTreeMap<Unit, i64>| {
            (0..enabled.len())
                .max_by_key(|index| priorities.get(&enabled[*index].unit).copied().unwrap_or(0))
                .unwrap_or(0)
        };
        if self.changes.contains(&self.at) {
            self.lowest -= 1;
            let first = enabled[highest(&self.priorities)].unit;
            self.priorities.insert(first, self.lowest);
        }
        self.at += 1;
        Ok(Some(highest(&self.priorities)))
    }

    fn learn(&mut self, execution: &Execution) -> bool {
        let length = self.length.unwrap_or(execution.steps.len());
        *self = Self::at(self.seed, self.number + 1, self.depth, Some(length));
        true
    }
}

impl RunsAhead for Pct {
    fn beginning(&self) -> Beginning {
        (self.number, Vec::new())
    }

    fn copy(&self) -> Box<dyn RunsAhead> {
        Box::new(Self::at(self.seed, self.number, self.depth, self.length))
    }

    fn pass(&mut self) -> bool {
        // The first tells how long executions are.
        if self.length.is_some() {
            *self = Self::at(self.seed, self.number + 1, self.depth, self.length);
        }
        self.length.is_some()
    }

    fn progress(&self) -> Option<Progress> {
        None
    }
}
