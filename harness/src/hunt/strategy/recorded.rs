//! The steps of another execution, again.

use std::collections::BTreeMap;

use super::Strategy;
use crate::hunt::execution::Execution;
use crate::hunt::fault::Fault;
use crate::hunt::step::{Step, Unit};

/// Takes the steps of a recording, each of which says who does what. After its end, whoever comes first goes to its end.
#[derive(Clone, Debug)]
pub struct Recorded {
    steps: Vec<(Unit, String)>,
    /// By the number of the step.
    faults: BTreeMap<usize, Fault>,
    at: usize,
}

impl Recorded {
    /// Takes these steps, with faults in place of some, by their numbers from 0.
    #[must_use]
    pub fn new(steps: Vec<(Unit, String)>, faults: BTreeMap<usize, Fault>) -> Self {
        Self { steps, faults, at: 0 }
    }
}

impl Strategy for Recorded {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        let next = self.steps.get(self.at);
        self.at += 1;
        let Some((unit, what)) = next else { return Ok(Some(0)) };
        let found = enabled.iter().position(|step| step.unit == *unit && *step.what == **what);
        let name = |unit: &Unit, what: &str| format!("{}.{}: {what}", unit.participant, unit.process);
        let possible = || enabled.iter().map(|step| name(&step.unit, &step.what)).collect::<Vec<_>>().join("; ");
        found.map(Some).ok_or_else(|| (name(unit, what), possible()))
    }

    fn fault(&mut self, _: &Step) -> Option<Fault> {
        // The step that was chosen is the one before.
        self.at.checked_sub(1).and_then(|at| self.faults.get(&at)).copied()
    }

    fn learn(&mut self, _: &Execution) -> bool {
        self.at = 0;
        false
    }
}
