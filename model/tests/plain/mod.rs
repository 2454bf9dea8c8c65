//! The plain explorer: every state whole, in an ordered set, one operation at a time; no reduction, no merging, no
//! fingerprints, no tables. It shares nothing with `explore` but the machine.
#![allow(unreachable_pub, reason = "a module of several tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use lockproof_model::machine::Machine;
use lockproof_model::op::{LockResult, Outcome, Path};
use lockproof_model::property::Property;
use lockproof_model::schedule::Step;
use lockproof_model::state::{Life, State};
use lockproof_model::system::System;
use lockproof_model::trace::Effect;

mod runs;

/// A process and a thread of it.
pub type Actor = (usize, usize);

struct Edge {
    target: usize,
    actor: Option<Actor>,
    progress: bool,
    /// Whether a thread that waits for a lock file gets it.
    grant: bool,
}

/// What the plain explorer found.
pub struct Plain<'s> {
    pub machine: Machine<'s>,
    pub numbers: BTreeMap<Rc<State>, usize>,
    pub transitions: usize,
    /// Each property that a step or a state violates (or, of `parallel-reads`, shows), and the length of a shortest run.
    pub wrong: BTreeMap<Property, usize>,
    /// Those, and those that are judged on whole runs.
    pub shown: BTreeSet<Property>,
    /// The threads that are stuck in each state.
    pub stuck: Vec<BTreeSet<Actor>>,
    states: Vec<Rc<State>>,
    edges: Vec<Vec<Edge>>,
}

/// Explores `system`; `None` if there are more than `states_max` states.
pub fn explore<'s>(system: &'s System, properties: &[Property], states_max: usize) -> Option<Plain<'s>> {
    let machine = Machine::watching(system, properties.iter().copied()).unwrap();
    let first = Rc::new(machine.state.clone());
    let (numbers, states) = (BTreeMap::from([(Rc::clone(&first), 0)]), vec![first]);
    let (wrong, shown, edges, stuck) = (BTreeMap::new(), BTreeSet::new(), Vec::new(), Vec::new());
    let mut plain = Plain { machine, numbers, transitions: 0, wrong, shown, stuck, states, edges };
    let (mut depths, mut orders) = (vec![0], BTreeSet::new());
    while plain.edges.len() < plain.states.len() {
        let (at, mut edges) = (plain.edges.len(), Vec::new());
        let state = Rc::clone(&plain.states[at]);
        plain.machine.state = (*state).clone();
        if let Some((property, _)) = plain.machine.data_race() {
            plain.wrong.entry(property).or_insert(depths[at]);
        }
        for step in plain.machine.enabled().unwrap() {
            plain.machine.state = (*state).clone();
            let performed = plain.machine.try_step(step).unwrap().expect("it is enabled");
            for (property, _) in performed.wrong {
                plain.wrong.entry(property).or_insert(depths[at] + 1);
            }
            for (before, after) in performed.orders {
                if orders.insert((before, after)) && cyclic(&orders) {
                    plain.wrong.entry(Property::Ordered).or_insert(depths[at] + 1);
                }
            }
            let after = Rc::new(plain.machine.state.clone());
            let next = plain.states.len();
            let target = *plain.numbers.entry(Rc::clone(&after)).or_insert(next);
            if target == next {
                plain.states.push(after);
                depths.push(depths[at] + 1);
            }
            let actor = match step {
                Step::Run { process, thread, .. } => Some((usize::from(process), usize::from(thread))),
                Step::Kill { .. } => None,
            };
            let waited = |(process, thread): Actor| state.locals[process].threads[thread].waiting.is_some();
            let granted = performed.event.effect == Effect::Done(Outcome::Locked(LockResult::Granted));
            edges.push(Edge {
                target,
                actor,
                progress: performed.progress,
                grant: granted && actor.is_some_and(waited),
            });
        }
        plain.transitions += edges.len();
        plain.edges.push(edges);
        if plain.states.len() > states_max {
            return None;
        }
    }
    plain.wrong.retain(|property, _| properties.contains(property));
    plain.shown = plain.wrong.keys().copied().collect();
    plain.stuck = plain.find_stuck();
    let dead = |state: &State| state.locals.iter().any(|local| local.life == Life::Dead);
    let mut stuck = plain.states.iter().zip(&plain.stuck).filter(|(_, stuck)| !stuck.is_empty());
    let found = [
        (Property::NoDeadlock, stuck.clone().next().is_some()),
        (Property::CrashSafe, stuck.any(|(state, _)| dead(state))),
        (Property::NoStarvationWeak, plain.starves(false)),
        (Property::NoStarvationStrong, plain.starves(true)),
    ];
    let found = found.into_iter().filter(|(property, found)| *found && properties.contains(property));
    plain.shown.extend(found.map(|(property, _)| property));
    Some(plain)
}

fn cyclic(orders: &BTreeSet<(Path, Path)>) -> bool {
    let next =
        |from: &Path| orders.iter().filter(|(before, _)| before == from).map(|(_, after)| after.clone()).collect();
    orders.iter().any(|(before, after)| reach(vec![after.clone()], next).contains(before))
}

/// What can be reached from `open`, these included.
fn reach<T: Ord + Clone>(mut open: Vec<T>, next: impl Fn(&T) -> Vec<T>) -> BTreeSet<T> {
    let mut seen: BTreeSet<T> = open.iter().cloned().collect();
    while let Some(at) = open.pop() {
        open.extend(next(&at).into_iter().filter(|target| seen.insert(target.clone())));
    }
    seen
}

impl Plain<'_> {
    /// How many states there are.
    pub fn states(&self) -> usize {
        self.states.len()
    }
}

/// The threads that are not done.
pub fn not_done(state: &State) -> Vec<Actor> {
    let threads =
        state.locals.iter().enumerate().flat_map(|(p, local)| local.threads.iter().enumerate().map(move |t| (p, t)));
    threads.filter(|(_, (_, thread))| thread.done.is_none()).map(|(p, (t, _))| (p, t)).collect()
}
