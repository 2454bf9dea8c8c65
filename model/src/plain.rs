//! The plain explorer: every state whole, in an ordered set, one operation at a time; no reduction, no merging, no
//! fingerprints, no tables. It shares nothing with [`explore`](crate::explore) but the machine, and is too slow for anything
//! but to say whether the explorer is right.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::machine::Machine;
use crate::op::{LockResult, Outcome, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::{Life, State};
use crate::step::ModelError;
use crate::system::System;
use crate::trace::Effect;

mod runs;

/// A process and a thread of it.
type Actor = (usize, usize);

struct Edge {
    target: usize,
    actor: Option<Actor>,
    progress: bool,
    /// Whether a thread that waits for a lock file gets it.
    grant: bool,
}

/// What the plain explorer found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many states there are.
    pub states: usize,
    /// How many steps lead from one of them to another.
    pub transitions: usize,
    /// The properties for which there is a run that the explorer would print: one that violates it or, of
    /// `parallel-reads`, shows it.
    pub shown: BTreeSet<Property>,
    /// Of those that a single step or state shows, how many steps the shortest such run has.
    pub shortest: BTreeMap<Property, usize>,
}

/// Explores the whole of `system` and judges `properties`; `None` if there are more than `states_max` states.
///
/// # Errors
/// A mistake of a protocol, or a limit of the model.
pub fn explore(system: &System, properties: &[Property], states_max: usize) -> Result<Option<Report>, ModelError> {
    let mut plain = Plain::new(Machine::watching(system, properties.iter().copied())?);
    while plain.edges.len() < plain.states.len() {
        plain.expand()?;
        if plain.states.len() > states_max {
            return Ok(None);
        }
    }
    plain.shortest.retain(|property, _| properties.contains(property));
    let mut shown: BTreeSet<Property> = plain.shortest.keys().copied().collect();
    let dead = |state: &State| state.locals.iter().any(|local| local.life == Life::Dead);
    let all_stuck = plain.find_stuck();
    let mut stuck = plain.states.iter().zip(&all_stuck).filter(|(_, stuck)| !stuck.is_empty());
    let wanted = |property: Property| properties.contains(&property);
    let found = [
        (Property::NoDeadlock, stuck.clone().next().is_some()),
        (Property::CrashSafe, stuck.any(|(state, _)| dead(state))),
        (Property::NoStarvationWeak, wanted(Property::NoStarvationWeak) && plain.starves(false)),
        (Property::NoStarvationStrong, wanted(Property::NoStarvationStrong) && plain.starves(true)),
    ];
    shown.extend(
        found.into_iter().filter(|(property, found)| *found && wanted(*property)).map(|(property, _)| property),
    );
    Ok(Some(Report { states: plain.states.len(), transitions: plain.transitions, shown, shortest: plain.shortest }))
}

/// An exploration under way.
struct Plain<'s> {
    machine: Machine<'s>,
    numbers: BTreeMap<Rc<State>, usize>,
    states: Vec<Rc<State>>,
    depths: Vec<usize>,
    /// Of each state that was expanded.
    edges: Vec<Vec<Edge>>,
    transitions: usize,
    orders: BTreeSet<(Path, Path)>,
    shortest: BTreeMap<Property, usize>,
}

impl<'s> Plain<'s> {
    fn new(machine: Machine<'s>) -> Self {
        let first = Rc::new(machine.state.clone());
        Self {
            machine,
            numbers: BTreeMap::from([(Rc::clone(&first), 0)]),
            states: vec![first],
            depths: vec![0],
            edges: Vec::new(),
            transitions: 0,
            orders: BTreeSet::new(),
            shortest: BTreeMap::new(),
        }
    }

    /// Takes every step from the next state.
    fn expand(&mut self) -> Result<(), ModelError> {
        let (at, mut edges) = (self.edges.len(), Vec::new());
        let state = Rc::clone(&self.states[at]);
        let depth = self.depths[at];
        self.machine.state = (*state).clone();
        if let Some((property, _)) = self.machine.data_race() {
            self.shortest.entry(property).or_insert(depth);
        }
        for step in self.machine.enabled()? {
            self.machine.state = (*state).clone();
            let Some(performed) = self.machine.try_step(step)? else { continue };
            for (property, _) in performed.wrong {
                self.shortest.entry(property).or_insert(depth + 1);
            }
            for order in performed.orders {
                if self.orders.insert(order) && cyclic(&self.orders) {
                    self.shortest.entry(Property::Ordered).or_insert(depth + 1);
                }
            }
            let after = Rc::new(self.machine.state.clone());
            let next = self.states.len();
            let target = *self.numbers.entry(Rc::clone(&after)).or_insert(next);
            if target == next {
                self.states.push(after);
                self.depths.push(depth + 1);
            }
            let actor = match step {
                Step::Run { process, thread, .. } => Some((usize::from(process), usize::from(thread))),
                Step::Kill { .. } => None,
            };
            let waited = |(process, thread): Actor| state.locals[process].threads[thread].waiting.is_some();
            let granted = performed.event.effect == Effect::Done(Outcome::Locked(LockResult::Granted));
            let grant = granted && actor.is_some_and(waited);
            edges.push(Edge { target, actor, progress: performed.progress, grant });
        }
        self.transitions += edges.len();
        self.edges.push(edges);
        Ok(())
    }
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

/// The threads that are not done.
fn not_done(state: &State) -> Vec<Actor> {
    let threads =
        state.locals.iter().enumerate().flat_map(|(p, local)| local.threads.iter().enumerate().map(move |t| (p, t)));
    threads.filter(|(_, (_, thread))| thread.done.is_none()).map(|(p, (t, _))| (p, t)).collect()
}
