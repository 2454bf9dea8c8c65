//! Another strategy's orders, each with a fault at one step, all drawn from one seed.
//!
//! Whose step it is, which of its steps, and which fault, are drawn anew for each execution. The first has none: it tells how
//! many steps each participant has.

use std::sync::Arc;

use rand::RngExt as _;

use super::{Beginning, Progress, RunsAhead, Strategy, draws};
use crate::hunt::execution::Execution;
use crate::hunt::fault::{Fault, Strike};
use crate::hunt::step::Step;

/// Draws a fault for each execution of another strategy.
pub(in crate::hunt) struct Struck {
    inner: Box<dyn RunsAhead>,
    seed: u64,
    /// Of the next execution, from 0.
    number: u64,
    faults: Arc<[Fault]>,
    /// How many steps each participant had in the first execution.
    lengths: Option<Arc<[usize]>>,
    strike: Option<Strike>,
}

impl Struck {
    /// One of `faults`, at least one, comes in each execution of `inner`.
    pub(in crate::hunt) fn new(inner: Box<dyn RunsAhead>, seed: u64, faults: &[Fault]) -> Self {
        Self::at(inner, seed, 0, faults.into(), None)
    }

    fn at(
        inner: Box<dyn RunsAhead>,
        seed: u64,
        number: u64,
        faults: Arc<[Fault]>,
        lengths: Option<Arc<[usize]>>,
    ) -> Self {
        let strike = lengths.as_ref().map(|lengths| {
            // Not what the orders are drawn from.
            let mut draws = draws(!seed, number);
            let participant = draws.random_range(0..lengths.len());
            let before = draws.random_range(0..lengths[participant].max(1));
            Strike::new(participant, before, faults[draws.random_range(0..faults.len())])
        });
        Self { inner, seed, number, faults, lengths, strike }
    }

    /// As it is before the execution of this number.
    fn before(&self, inner: Box<dyn RunsAhead>, number: u64) -> Self {
        Self::at(inner, self.seed, number, self.faults.clone(), self.lengths.clone())
    }
}

impl Strategy for Struck {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        self.inner.choose(enabled)
    }

    fn fault(&mut self, step: &Step) -> Option<Fault> {
        Strike::at(&mut self.strike, step)
    }

    fn learn(&mut self, execution: &Execution) -> bool {
        let is_left = self.inner.learn(execution);
        let of = |participant| execution.steps.iter().filter(|step| step.unit.participant == participant).count();
        self.lengths.get_or_insert_with(|| (0..execution.said.len()).map(of).collect());
        *self = self.before(self.inner.copy(), self.number + 1);
        is_left
    }
}

impl RunsAhead for Struck {
    fn beginning(&self) -> Beginning {
        self.inner.beginning()
    }

    fn copy(&self) -> Box<dyn RunsAhead> {
        Box::new(self.before(self.inner.copy(), self.number))
    }

    fn pass(&mut self) -> bool {
        let is_left = self.lengths.is_some() && self.inner.pass();
        if is_left {
            *self = self.before(self.inner.copy(), self.number + 1);
        }
        is_left
    }

    fn progress(&self) -> Option<Progress> {
        self.inner.progress()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lockproof_model::op::Mode;
    use nix::libc::EDEADLK;

    use super::super::Random;
    use super::super::toy::Toy::{Lock, Read, Unlock, Write};
    use super::super::toy::{Toy, run};
    use super::*;

    /// The next execution: who goes, and the faults, each with whose it is and before which of its steps.
    type Ran = (Vec<usize>, Vec<(usize, usize, Fault)>);

    fn next(programs: &[Vec<Toy>], strategy: &mut dyn Strategy) -> Ran {
        let mut ran = Ran::default();
        run(programs, strategy, |_, steps, _| {
            let mut taken = vec![0; programs.len()];
            for step in steps {
                let participant = step.unit.participant;
                ran.0.push(participant);
                ran.1.extend(step.fault.map(|fault| (participant, taken[participant], fault)));
                taken[participant] += 1;
            }
        });
        ran
    }

    fn struck(faults: &[Fault]) -> Struck {
        Struck::new(Box::new(Random::new(7)), 7, faults)
    }

    #[test]
    fn each_execution_but_the_first_has_one_fault_at_any_step_of_anybody() {
        let programs = [vec![Write('x'), Read('x'), Write('y')], vec![Read('x'), Write('y')]];
        let mut strategy = struck(&[Fault::Crash]);
        assert_eq!(next(&programs, &mut strategy).1, []);
        let mut seen = BTreeSet::new();
        for _ in 0..100 {
            let faults = next(&programs, &mut strategy).1;
            assert_eq!(faults.len(), 1);
            seen.extend(faults);
        }
        let everywhere = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)].map(|(who, before)| (who, before, Fault::Crash));
        assert_eq!(seen, everywhere.into());
    }

    #[test]
    fn an_error_waits_for_a_call_that_may_fail_so() {
        let programs = [vec![Read('x'), Lock('l', Mode::Exclusive), Unlock('l')]];
        let deadlock = Fault::Error(EDEADLK);
        let mut strategy = struck(&[deadlock]);
        next(&programs, &mut strategy);
        let all: BTreeSet<Vec<(usize, usize, Fault)>> = (0..100).map(|_| next(&programs, &mut strategy).1).collect();
        // None is left after the last.
        assert_eq!(all, [vec![], vec![(0, 1, deadlock)]].into());
    }

    #[test]
    fn what_runs_ahead_is_what_comes() {
        let programs = [vec![Write('x'), Read('x'), Write('y')], vec![Read('x'), Write('y')]];
        let mut strategy = struck(&[Fault::Crash]);
        // How long executions are is not known before the first.
        assert!(!strategy.copy().pass());
        next(&programs, &mut strategy);
        let mut ahead = strategy.copy();
        for _ in 0..20 {
            assert_eq!(next(&programs, &mut *ahead.copy()), next(&programs, &mut strategy));
            assert!(ahead.pass());
        }
    }
}
