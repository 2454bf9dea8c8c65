//! What an engine without choices and kills runs instead: one model for each plan of them, until none is left.
//!
//! A [`Plan`] fixes, thread by thread, which outcome is taken where an operation has several, and after how many of its
//! own steps a process is killed; beyond it the first outcome is taken and nobody dies. An execution reports the choices
//! that it meets beyond its plan, and how far each thread gets; each gives further plans.
//!
//! That is complete. Take any run, and the choices and kills in it that no default makes, in the order in which they
//! happen. The plan of the first `k` of them lets the run go on until the next one, so that one is met, and the plan of
//! the first `k + 1` follows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::system::System;

/// A process and a thread of it, from 0.
pub(super) type Actor = (usize, usize);

/// Which outcomes are taken and who is killed when.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Plan {
    /// Of each thread, the outcome numbers of its first choices.
    branches: BTreeMap<Actor, Vec<u8>>,
    /// Of each process that is killed, after how many steps of each of its threads.
    kills: BTreeMap<usize, Vec<u32>>,
}

impl Plan {
    /// The outcome of choice `number` of a thread, from 0; `None` beyond the plan.
    pub(super) fn branch(&self, actor: Actor, number: usize) -> Option<u8> {
        self.branches.get(&actor)?.get(number).copied()
    }

    /// After how many of its steps a thread stops because its process is killed.
    pub(super) fn dies_after(&self, (process, thread): Actor) -> Option<u32> {
        // A thread that was not there in any run so far has made no step.
        self.kills.get(&process).map(|steps| steps.get(thread).copied().unwrap_or(0))
    }

    /// Whether a process is to be killed.
    pub(super) fn kills(&self, process: usize) -> bool {
        self.kills.contains_key(&process)
    }

    fn choosing(&self, actor: Actor, number: usize, branch: u8) -> Self {
        let mut plan = self.clone();
        let branches = plan.branches.entry(actor).or_default();
        branches.resize(number, 0);
        branches.push(branch);
        plan
    }

    fn killing(&self, process: usize, steps: Vec<u32>) -> Self {
        let mut plan = self.clone();
        plan.kills.insert(process, steps);
        plan
    }
}

/// What the executions of one plan met.
#[derive(Clone, Debug, Default)]
pub(super) struct Met {
    /// The choices beyond the plan: whose, its number, and the most outcomes that it had.
    choices: BTreeMap<(Actor, usize), u8>,
    /// The most steps that each thread made.
    steps: BTreeMap<Actor, u32>,
}

impl Met {
    /// A thread has made so many steps.
    pub(super) fn step(&mut self, actor: Actor, steps: u32) {
        let most = self.steps.entry(actor).or_default();
        *most = steps.max(*most);
    }

    /// A thread has a choice beyond the plan.
    pub(super) fn choice(&mut self, actor: Actor, number: usize, outcomes: u8) {
        let most = self.choices.entry((actor, number)).or_default();
        *most = outcomes.max(*most);
    }
}

/// A walk over all plans of a system.
#[derive(Debug)]
pub(super) struct Walk {
    open: VecDeque<Plan>,
    seen: BTreeSet<Plan>,
    /// How many kills there may be.
    crashes: usize,
    /// The processes that may be killed, and how many threads each has.
    may_crash: Vec<(usize, usize)>,
}

impl Walk {
    /// A walk over the plans of `system`.
    pub(super) fn of(system: &System) -> Self {
        let processes = system.processes.iter().enumerate().filter(|(_, process)| process.may_crash);
        Self::new(system.crashes, processes.map(|(index, process)| (index, process.threads.len())).collect())
    }

    /// Begins with the plan that leaves everything as it is.
    fn new(crashes: u32, may_crash: Vec<(usize, usize)>) -> Self {
        let first = Plan::default();
        let crashes = usize::try_from(crashes).unwrap_or(usize::MAX);
        Self { open: VecDeque::from([first.clone()]), seen: BTreeSet::from([first]), crashes, may_crash }
    }

    /// The next plan, shorter ones first.
    pub(super) fn next(&mut self) -> Option<Plan> {
        self.open.pop_front()
    }

    /// How many plans were found so far.
    pub(super) fn plans(&self) -> usize {
        self.seen.len()
    }

    /// Adds the plans that follow from what the executions of `plan` met.
    pub(super) fn extend(&mut self, plan: &Plan, met: &Met) {
        for ((actor, number), outcomes) in &met.choices {
            for branch in 1..*outcomes {
                self.add(plan.choosing(*actor, *number, branch));
            }
        }
        if plan.kills.len() >= self.crashes {
            return;
        }
        for (process, threads) in self.may_crash.clone() {
            if plan.kills(process) {
                continue;
            }
            let most = |thread| met.steps.get(&(process, thread)).copied().unwrap_or(0);
            let mut steps = vec![Vec::new()];
            for thread in 0..threads {
                let longer = |steps: Vec<u32>| {
                    (0..=most(thread)).map(move |count| [&steps[..], &[count]].concat()).collect::<Vec<_>>()
                };
                steps = steps.into_iter().flat_map(longer).collect();
            }
            for steps in steps {
                self.add(plan.killing(process, steps));
            }
        }
    }

    fn add(&mut self, plan: Plan) {
        if self.seen.insert(plan.clone()) {
            self.open.push_back(plan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks a tree in which thread 0 first chooses among 2, and thread 1 among 3 if that was 1.
    #[test]
    fn a_choice_that_another_thread_makes_possible_is_walked() {
        let mut walk = Walk::new(0, Vec::new());
        let mut outcomes = BTreeSet::new();
        while let Some(plan) = walk.next() {
            let mut met = Met::default();
            let mut choose = |actor, among| {
                plan.branch(actor, 0).unwrap_or_else(|| {
                    met.choice(actor, 0, among);
                    0
                })
            };
            let first = choose((0, 0), 2);
            let second = if first == 1 { choose((0, 1), 3) } else { 0 };
            assert!(outcomes.insert((first, second)), "each outcome is walked once");
            walk.extend(&plan, &met);
        }
        assert_eq!(outcomes, BTreeSet::from([(0, 0), (1, 0), (1, 1), (1, 2)]));
        assert_eq!(walk.plans(), 4);
    }

    #[test]
    fn a_process_dies_at_each_of_its_steps() {
        let mut walk = Walk::new(1, vec![(0, 1), (1, 2)]);
        let mut met = Met::default();
        for (actor, steps) in [((0, 0), 2), ((1, 0), 1), ((1, 1), 1)] {
            met.step(actor, steps);
        }
        let mut kills = Vec::new();
        while let Some(plan) = walk.next() {
            kills.push((plan.dies_after((0, 0)), plan.dies_after((1, 0)), plan.dies_after((1, 1))));
            walk.extend(&plan, &met);
        }
        // Nobody; process 0 at 0, 1 or 2; process 1 at each pair of counts.
        assert_eq!(kills.len(), 1 + 3 + 4);
        assert!(kills.contains(&(Some(2), None, None)) && kills.contains(&(None, Some(0), Some(1))));
    }
}
