//! Random scenarios as a proptest [`Strategy`], with shrinking of our own: a scenario is only worth something whole, so it
//! is not put together from parts that shrink each by itself.

use std::vec::IntoIter;

use lockproof_model::protocol::Entry;
use lockproof_scenarios::Scenario;
use proptest::strategy::{NewTree, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::random;
use crate::smaller::smaller;

/// The random scenarios for some protocols.
#[derive(Clone, Debug)]
pub struct Scenarios {
    /// The protocols.
    pub protocols: Vec<Entry>,
}

impl Strategy for Scenarios {
    type Tree = Shrinking;
    type Value = Scenario;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let scenario = random::scenario(runner.rng(), &self.protocols);
        Ok(Shrinking::new(scenario, self.protocols.clone()))
    }
}

/// A scenario that fails, and the smaller ones that are yet to be tried.
#[derive(Clone, Debug)]
pub struct Shrinking {
    protocols: Vec<Entry>,
    /// The smallest that is known to fail.
    failing: Scenario,
    /// What is smaller than that by one step, and was not tried.
    untried: IntoIter<Scenario>,
    current: Scenario,
}

impl Shrinking {
    /// Begins with `scenario`.
    #[must_use]
    pub fn new(scenario: Scenario, protocols: Vec<Entry>) -> Self {
        Self { protocols, failing: scenario.clone(), untried: Vec::new().into_iter(), current: scenario }
    }

    fn try_next(&mut self) -> bool {
        let next = self.untried.next();
        let is_one = next.is_some();
        self.current = next.unwrap_or_else(|| self.failing.clone());
        is_one
    }
}

impl ValueTree for Shrinking {
    type Value = Scenario;

    fn current(&self) -> Scenario {
        self.current.clone()
    }

    /// The current one fails: on to what is smaller.
    fn simplify(&mut self) -> bool {
        self.failing = self.current.clone();
        self.untried = smaller(&self.failing, &self.protocols).into_iter();
        self.try_next()
    }

    /// The current one does not fail: on to the next that is smaller than the last that did.
    fn complicate(&mut self) -> bool {
        self.try_next()
    }
}
