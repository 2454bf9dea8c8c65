//! The steps of another execution, again.

use super::Strategy;
use crate::hunt::execution::Execution;
use crate::hunt::step::{Step, Unit};

/// Takes the steps of a recording, each of which says who does what. After its end, whoever comes first goes to its end.
#[derive(Clone, Debug)]
pub struct Recorded {
    steps: Vec<(Unit, String)>,
    at: usize,
}

impl Recorded {
    /// Takes these steps.
    #[must_use]
    pub fn new(steps: Vec<(Unit, String)>) -> Self {
        Self { steps, at: 0 }
    }
}

impl Strategy for Recorded {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        let Some((unit, what)) = self.steps.get(self.at) else { return Ok(Some(0)) };
        self.at += 1;
        let found = enabled.iter().position(|step| step.unit == *unit && step.what == *what);
        let name = |unit: &Unit, what: &str| format!("{}.{}: {what}", unit.participant, unit.process);
        let possible = || enabled.iter().map(|step| name(&step.unit, &step.what)).collect::<Vec<_>>().join("; ");
        found.map(Some).ok_or_else(|| (name(unit, what), possible()))
    }

    fn learn(&mut self, _: &Execution) -> bool {
        self.at = 0;
        false
    }
}
