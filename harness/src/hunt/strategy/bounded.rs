//! Every order with few preemptions (Musuvathi, Qadeer: "Iterative context bounding for systematic testing of multithreaded
//! programs", PLDI 2007).
//!
//! A preemption is a switch away from a unit that could have gone on; to go on with another where one waits or has ended is
//! free. Most mistakes need two at most, and with a fixed number of them there are polynomially many orders, not
//! exponentially many. No preemption comes before a step that no other unit's steps depend on: the same order comes about if it
//! comes after. What others depend on is learned from their steps; if more of it is learned when part of the search is behind
//! us, it begins anew, knowing more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Beginning, Progress, RETRIES, RunsAhead, Strategy, chosen_before};
use crate::hunt::execution::{End, Execution};
use crate::hunt::step::{Access, Resource, Step, Unit, clash};

/// Where a choice was made.
#[derive(Clone, Debug)]
struct Node {
    enabled: Arc<[Step]>,
    /// Who went before.
    last: Option<Unit>,
    /// How many preemptions there were before.
    preemptions: u32,
    tried: BTreeSet<Unit>,
    chosen: Step,
}

impl Node {
    /// The step of the one who went before, if it can go on.
    fn own(&self) -> Option<&Step> {
        self.enabled.iter().find(|step| Some(step.unit) == self.last)
    }

    /// How many preemptions there are when `unit` goes.
    fn with(&self, unit: Unit) -> u32 {
        self.preemptions + u32::from(self.own().is_some_and(|own| own.unit != unit))
    }
}

/// Tries every order with at most so many preemptions.
#[derive(Clone, Debug)]
pub struct Bounded {
    preemptions: u32,
    path: Vec<Node>,
    depth: usize,
    retries: u32,
    progress: Progress,
    /// What each unit was seen to touch.
    touched: BTreeMap<Unit, BTreeSet<(Resource, Access)>>,
    /// Whether some choice was left behind, and whether more was learned since.
    left_behind: bool,
    learned: bool,
}

impl Bounded {
    /// With at most so many preemptions.
    #[must_use]
    pub fn new(preemptions: u32) -> Self {
        Self {
            preemptions,
            path: Vec::new(),
            depth: 0,
            retries: 0,
            progress: Progress::default(),
            touched: BTreeMap::new(),
            left_behind: false,
            learned: false,
        }
    }

    /// How far it is. Executions that are run again when the search begins anew count again.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Learns what units touch.
    fn note(&mut self, steps: &[Step]) {
        for step in steps {
            let touched = self.touched.entry(step.unit).or_default();
            for touch in step.touches.iter() {
                if !touched.contains(touch) {
                    touched.insert(touch.clone());
                    self.learned |= self.left_behind;
                }
            }
        }
    }

    /// Whether the order of a step and some other unit's step matters, as far as we know.
    fn is_shared(touched: &BTreeMap<Unit, BTreeSet<(Resource, Access)>>, step: &Step) -> bool {
        let others = touched.iter().filter(|(unit, _)| **unit != step.unit).flat_map(|(_, touched)| touched);
        let clashes = |(resource, access): &(Resource, Access)| {
            step.touches.iter().any(|(mine, how)| mine == resource && clash(*how, *access))
        };
        others.into_iter().any(clashes)
    }

    /// The next execution: from the deepest node where something is left to be tried.
    fn advance(&mut self) -> bool {
        while let Some(node) = self.path.last_mut() {
            node.tried.insert(node.chosen.unit);
            let may_be_preempted = node.own().is_none_or(|own| Self::is_shared(&self.touched, own));
            let is_left = |step: &&Step| {
                let is_preemption = node.with(step.unit) > node.preemptions;
                !node.tried.contains(&step.unit)
                    && node.with(step.unit) <= self.preemptions
                    && (may_be_preempted || !is_preemption)
            };
            if let Some(step) = node.enabled.iter().find(is_left).cloned() {
                node.chosen = step;
                return true;
            }
            self.path.pop();
            self.left_behind = true;
        }
        if !self.learned {
            self.progress.exhausted = self.progress.lost == 0;
            return false;
        }
        // Anew, from the first choice on.
        (self.learned, self.left_behind) = (false, false);
        true
    }
}

impl Strategy for Bounded {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        let depth = self.depth;
        self.depth += 1;
        self.note(enabled);
        if let Some(node) = self.path.get(depth) {
            return chosen_before(&node.chosen, enabled);
        }
        let before = self.path.last();
        let last = before.map(|node| node.chosen.unit);
        let preemptions = before.map_or(0, |node| node.with(node.chosen.unit));
        let chosen = enabled.iter().position(|step| Some(step.unit) == last).unwrap_or(0);
        let (step, enabled) = (enabled[chosen].clone(), enabled.into());
        self.path.push(Node { enabled, last, preemptions, tried: BTreeSet::new(), chosen: step });
        Ok(Some(chosen))
    }

    fn learn(&mut self, execution: &Execution) -> bool {
        self.depth = 0;
        match execution.end {
            End::Diverged { step, .. } => {
                self.progress.diverged += 1;
                self.retries += 1;
                if self.retries <= RETRIES {
                    return true;
                }
                self.progress.lost += 1;
                self.path.truncate(step.max(1));
            }
            End::Limit(_) => self.progress.lost += 1,
            End::Abandoned => self.progress.redundant += 1,
            End::Done | End::Stuck(_) => self.progress.complete += 1,
        }
        self.retries = 0;
        self.note(&execution.blocked);
        self.advance()
    }
}

impl RunsAhead for Bounded {
    fn beginning(&self) -> Beginning {
        (0, self.path.iter().map(|node| node.chosen.unit).collect())
    }

    fn copy(&self) -> Box<dyn RunsAhead> {
        Box::new(self.clone())
    }

    fn pass(&mut self) -> bool {
        self.advance() && !self.path.is_empty()
    }

    fn progress(&self) -> Option<Progress> {
        Some(self.progress)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lockproof_model::op::Mode;

    use super::super::toy::Toy::{Lock, Read, Unlock, Write};
    use super::super::toy::{Toy, World, random_programs, run};
    use super::*;

    /// What comes of every order with so many preemptions at most, and how many such orders there are.
    fn all(world: &World<'_>, last: Option<usize>, left: u32, ends: &mut BTreeSet<String>) -> u64 {
        let enabled = world.enabled();
        if enabled.is_empty() {
            ends.insert(world.end());
            return 1;
        }
        let mut orders = 0;
        for unit in enabled.iter().copied() {
            let is_preemption = last.is_some_and(|last| last != unit && enabled.contains(&last));
            if let Some(left) = left.checked_sub(u32::from(is_preemption)) {
                let mut next = world.clone();
                next.take(unit);
                orders += all(&next, Some(unit), left, ends);
            }
        }
        orders
    }

    fn search(programs: &[Vec<Toy>], preemptions: u32) -> (BTreeSet<String>, u64) {
        let (mut ends, mut strategy) = (BTreeSet::new(), Bounded::new(preemptions));
        while run(programs, &mut strategy, |world, _, _| {
            ends.insert(world.end());
        }) {}
        assert!(strategy.progress().exhausted);
        (ends, strategy.progress().complete)
    }

    /// The update is lost only if one is preempted between its reading and its writing.
    #[test]
    fn a_lost_update_needs_one_preemption() {
        let update = || vec![Read('x'), Write('x')];
        let programs = [update(), update()];
        assert_eq!(search(&programs, 0).1, 2);
        let (ends, orders) = search(&programs, 1);
        assert_eq!((ends.len(), orders), (4, 4));
        assert_eq!(search(&programs, 2).1, 6);
    }

    #[test]
    fn what_nobody_depends_on_is_not_preempted() {
        let programs = [vec![Write('a'), Write('a'), Write('x')], vec![Write('b'), Write('b'), Write('x')]];
        let mut ends = BTreeSet::new();
        assert_eq!(all(&World::new(&programs), None, 2, &mut ends), 2 + 4 + 8);
        let (found, orders) = search(&programs, 2);
        assert_eq!((found, orders), (ends, 6));
    }

    #[test]
    fn a_switch_away_from_one_who_waits_is_free() {
        let section = || vec![Lock('l', Mode::Exclusive), Write('x'), Unlock('l')];
        let mut ends = BTreeSet::new();
        assert_eq!(all(&World::new(&[section(), section()]), None, 0, &mut ends), 2);
        assert_eq!(search(&[section(), section()], 0), (ends, 2));
    }

    #[test]
    fn random_programs_end_as_in_every_order_with_so_few_preemptions() {
        for (seed, programs) in random_programs() {
            for preemptions in 0..3 {
                let mut ends = BTreeSet::new();
                let orders = all(&World::new(&programs), None, preemptions, &mut ends);
                let (found, _) = search(&programs, preemptions);
                assert_eq!(found, ends, "seed {seed}, {preemptions} preemptions, {orders} orders: {programs:?}");
            }
        }
    }
}
