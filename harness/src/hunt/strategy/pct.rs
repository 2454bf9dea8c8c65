//! Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte: "A randomized scheduler with probabilistic
//! guarantees of finding bugs", ASPLOS 2010).
//!
//! Units get priorities at random, and the highest that can go on does. At `depth - 1` steps, drawn from all, the one that goes
//! is put below all others. With n units and k steps, a violation that needs `depth` orderings is found in one execution with
//! a probability of at least 1 / (n · k^(depth - 1)).

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::Strategy;
use crate::hunt::execution::Execution;
use crate::hunt::step::{Step, Unit};

/// Lets the unit with the highest priority go, and changes priorities at a few steps.
#[derive(Debug)]
pub struct Pct {
    draws: StdRng,
    depth: u32,
    /// The most steps that an execution has had.
    length: usize,
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
        let (draws, priorities) = (StdRng::seed_from_u64(seed), BTreeMap::new());
        let mut new = Self { draws, depth, length: 1, at: 0, changes: Vec::new(), priorities, lowest: 0 };
        new.begin();
        new
    }

    fn begin(&mut self) {
        let length = self.length;
        self.changes = (1..self.depth).map(|_| self.draws.random_range(0..length)).collect();
        self.priorities.clear();
        (self.at, self.lowest) = (0, 0);
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
        self.length = self.length.max(execution.steps.len());
        self.begin();
        true
    }
}
