//! Each step is drawn, all that are possible being equally likely.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::{Beginning, Progress, RunsAhead, Strategy, draws};
use crate::hunt::execution::Execution;
use crate::hunt::step::Step;

/// Draws who goes next.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    /// Of the next execution, from 0.
    number: u64,
    draws: StdRng,
}

impl Random {
    /// The same seed gives the same draws, in each execution by its number.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::at(seed, 0)
    }

    fn at(seed: u64, number: u64) -> Self {
        Self { seed, number, draws: draws(seed, number) }
    }
}

impl Strategy for Random {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        Ok(Some(self.draws.random_range(0..enabled.len())))
    }

    fn learn(&mut self, _: &Execution) -> bool {
        *self = Self::at(self.seed, self.number + 1);
        true
    }
}

impl RunsAhead for Random {
    fn beginning(&self) -> Beginning {
        (self.number, Vec::new())
    }

    fn copy(&self) -> Box<dyn RunsAhead> {
        Box::new(Self::at(self.seed, self.number))
    }

    fn pass(&mut self) -> bool {
        *self = Self::at(self.seed, self.number + 1);
        true
    }

    fn progress(&self) -> Option<Progress> {
        None
    }
}
