//! Each step is drawn, all that are possible being equally likely.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::Strategy;
use crate::hunt::execution::Execution;
use crate::hunt::step::Step;

/// Draws who goes next.
#[derive(Debug)]
pub struct Random {
    draws: StdRng,
}

impl Random {
    /// The same seed gives the same draws.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { draws: StdRng::seed_from_u64(seed) }
    }
}

impl Strategy for Random {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        Ok(Some(self.draws.random_range(0..enabled.len())))
    }

    fn learn(&mut self, _: &Execution) -> bool {
        true
    }
}
