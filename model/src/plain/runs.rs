//! What is judged on whole runs: threads that are stuck, and starvation. Written apart from `explore`, and naive.

use std::collections::{BTreeMap, BTreeSet};

use super::{Actor, Edge, Plain, not_done, reach};
use crate::state::Life;

impl Plain<'_> {
    /// Backwards from each thread's steps: where it is not done and no step of it can be reached, it is stuck.
    pub(super) fn find_stuck(&self) -> Vec<BTreeSet<Actor>> {
        let mut before = vec![Vec::new(); self.states.len()];
        let mut steps: BTreeMap<Actor, Vec<usize>> = BTreeMap::new();
        for (from, edge) in self.edges.iter().enumerate().flat_map(|(from, edges)| edges.iter().map(move |e| (from, e)))
        {
            before[edge.target].push(from);
            if let Some(actor) = edge.actor.filter(|_| edge.progress) {
                steps.entry(actor).or_default().push(from);
            }
            // Who panics ends those who wait in its process.
            let ends = |process: usize| self.states[edge.target].locals[process].life != Life::Alive;
            if let Some((process, _)) = edge.actor.filter(|(process, _)| ends(*process)) {
                let threads = 0..self.states[from].locals[process].threads.len();
                threads.for_each(|thread| steps.entry((process, thread)).or_default().push(from));
            }
        }
        let alive = steps.into_iter().map(|(actor, from)| (actor, reach(from, |state| before[*state].clone())));
        let alive: BTreeMap<Actor, BTreeSet<usize>> = alive.collect();
        let is_stuck = |at: usize, actor: &Actor| !alive.get(actor).is_some_and(|states| states.contains(&at));
        let threads = self.states.iter().map(|state| not_done(state)).enumerate();
        threads.map(|(at, threads)| threads.into_iter().filter(|actor| is_stuck(at, actor)).collect()).collect()
    }

    /// Whether a thread waits for a lock file for ever in a fair run. Under strong fairness it is guessed which waiting
    /// threads are never granted their lock: the run avoids the states in which they could be.
    pub(super) fn starves(&self, strong: bool) -> bool {
        let waiting = |at: usize, (p, t): Actor| self.states[at].locals[p].threads.get(t)?.waiting.clone();
        let grants = |at: &usize, actor: Actor| self.edges[*at].iter().any(|e| e.grant && e.actor == Some(actor));
        let all = 0..self.states.len();
        let waiters = all.clone().flat_map(|at| not_done(&self.states[at]).into_iter().map(move |actor| (at, actor)));
        let waiters: BTreeSet<_> = waiters.filter_map(|(at, actor)| Some((actor, waiting(at, actor)?.0))).collect();
        waiters.iter().any(|(waiter, lock)| {
            let waits = |at: &usize| waiting(*at, *waiter).is_some_and(|(path, _)| path == *lock);
            let region: BTreeSet<usize> = all.clone().filter(waits).collect();
            let others: BTreeSet<Actor> = waiters.iter().map(|(actor, _)| *actor).filter(|a| a != waiter).collect();
            (0..if strong { 1u32 << others.len() } else { 1 }).any(|guess| {
                let chosen =
                    others.iter().enumerate().filter(|(bit, _)| guess >> bit & 1 != 0).map(|(_, actor)| *actor);
                let never: Vec<Actor> = chosen.chain([*waiter]).collect();
                let avoided = |at: &usize| strong && never.iter().any(|actor| grants(at, *actor));
                let rest = region.iter().copied().filter(|at| !avoided(at)).collect();
                self.components(rest, *waiter).iter().any(|component| self.is_fair(component, *waiter, strong))
            })
        })
    }

    fn is_fair(&self, component: &BTreeSet<usize>, waiter: Actor, strong: bool) -> bool {
        let out = |at: &usize| self.edges[*at].iter();
        let actors: BTreeSet<Actor> = component.iter().flat_map(out).filter_map(|edge| edge.actor).collect();
        actors.into_iter().all(|actor| {
            let of = |edge: &&Edge| edge.actor == Some(actor);
            let taken = |at: &usize| actor != waiter && out(at).filter(of).any(|e| component.contains(&e.target));
            let always = component.iter().all(|at| out(at).any(|edge| of(&edge)));
            let granted = component.iter().any(|at| out(at).filter(of).any(|edge| edge.grant));
            component.iter().any(taken) || !(always || strong && granted)
        })
    }

    /// The strongly connected components with an edge inside, `waiter`'s steps and kills left out.
    fn components(&self, mut inside: BTreeSet<usize>, waiter: Actor) -> Vec<BTreeSet<usize>> {
        let next = |at: &usize, inside: &BTreeSet<usize>| -> Vec<usize> {
            let edges = self.edges[*at].iter().filter(|e| e.actor.is_some_and(|actor| actor != waiter));
            edges.map(|edge| edge.target).filter(|target| inside.contains(target)).collect()
        };
        let mut found = Vec::new();
        loop {
            // What has no way on inside is on no cycle.
            let on: BTreeSet<usize> = inside.iter().copied().filter(|at| !next(at, &inside).is_empty()).collect();
            if on.len() < inside.len() {
                inside = on;
                continue;
            }
            let Some(first) = inside.first().copied() else { return found };
            let after = reach(vec![first], |at| next(at, &inside));
            let mut before: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for at in &after {
                next(at, &inside).into_iter().for_each(|target| before.entry(target).or_default().push(*at));
            }
            let back = reach(vec![first], |at| before.get(at).cloned().unwrap_or_default());
            let component: BTreeSet<usize> = after.intersection(&back).copied().collect();
            inside.retain(|at| !component.contains(at));
            if component.iter().any(|at| !next(at, &component).is_empty()) {
                found.push(component);
            }
        }
    }
}
