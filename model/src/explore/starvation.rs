//! Starvation: a cycle, fair in a named sense, in which a thread waits for a lock file for ever.
//!
//! *Weak* fairness: a thread whose next step stays possible takes it. *Strong* fairness: besides, a waiter whose lock
//! becomes free again and again is granted it. A weakly fair cycle exists in a strongly connected component if every
//! thread takes a step in it or cannot somewhere in it. A strong condition is a Streett pair: where a component violates
//! one, the states in which the waiter could be granted are taken out and what is left is looked at again (Emerson and
//! Lei 1987).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustc_hash::{FxHashMap, FxHashSet};

use super::graph::{ACTORS_PER_PROCESS, Edge, Graph, name_of};
use super::moves::Moves;
use super::scc;
use super::store::Store;

/// A stem's end and the cycle behind it.
#[derive(Debug)]
pub(super) struct Lasso {
    pub(super) start: u32,
    pub(super) cycle: Vec<Edge>,
    pub(super) text: String,
}

/// A thread that waits for a lock file somewhere.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    process: usize,
    thread: usize,
    lock: u8,
}

impl Waiter {
    fn actor(self) -> usize {
        self.process * ACTORS_PER_PROCESS + self.thread
    }
}

/// Everything that is looked at again and again.
struct View<'a, 's> {
    graph: &'a Graph,
    store: &'a Store,
    moves: &'a Moves<'s>,
}

/// The threads that wait for a lock file somewhere, each with the states in which it does, ascending.
type Waiters = Vec<(Waiter, Vec<u32>)>;

impl View<'_, '_> {
    /// Whether the thread waits for that lock in the kernel.
    fn waits(&self, waiter: Waiter, state: u32) -> bool {
        let part = self.store.get(state)[waiter.process];
        let waiting = &self.moves.info(part).waiting;
        waiting.iter().any(|(thread, lock, _)| usize::from(*thread) == waiter.thread && *lock == waiter.lock)
    }

    fn can_move(&self, actor: usize, state: u32) -> bool {
        self.graph.out(state).iter().any(|edge| edge.actor() == Some(actor))
    }

    fn waiters(&self) -> Waiters {
        let mut found: BTreeMap<(usize, u8, u8), Vec<u32>> = BTreeMap::new();
        for state in 0..self.store.len() {
            let ids = self.store.get(state);
            for (process, part) in ids[..ids.len() - 1].iter().enumerate() {
                for (thread, lock, _) in &self.moves.info(*part).waiting {
                    found.entry((process, *thread, *lock)).or_default().push(state);
                }
            }
        }
        let waiter = |(process, thread, lock)| Waiter { process, thread: usize::from(thread), lock };
        found.into_iter().map(|(key, states)| (waiter(key), states)).collect()
    }

    /// The other threads that take or could take a step in the component.
    fn actors(&self, members: &[u32]) -> BTreeSet<usize> {
        members.iter().flat_map(|state| self.graph.out(*state)).filter_map(|edge| edge.actor()).collect()
    }

    /// The components of a region, by the place of a state in it. `inside` says which moves count.
    fn components(&self, region: &Region<'_>, inside: impl Fn(&Edge) -> bool) -> scc::Components {
        let target = |edge: &Edge| if inside(edge) { region.place(edge.target()) } else { None };
        let successors = |at: u32, n: usize| self.graph.out(region.states[at as usize]).get(n).map(target);
        let count = u32::try_from(region.states.len()).unwrap_or(u32::MAX);
        scc::components(count, |_| true, successors)
    }
}

/// A set of states, ascending, and the place of each in it.
struct Region<'r> {
    states: &'r [u32],
    places: &'r mut Vec<u32>,
}

impl<'r> Region<'r> {
    /// `places` is as long as there are states, and free of places; it is again when the region is dropped.
    fn new(states: &'r [u32], places: &'r mut Vec<u32>) -> Self {
        for (place, state) in (0..).zip(states) {
            places[*state as usize] = place;
        }
        Self { states, places }
    }

    fn place(&self, state: u32) -> Option<u32> {
        Some(self.places[state as usize]).filter(|place| *place != u32::MAX)
    }
}

impl Drop for Region<'_> {
    fn drop(&mut self) {
        for state in self.states {
            self.places[*state as usize] = u32::MAX;
        }
    }
}

/// What starvation there is, and how often waiters are overtaken.
pub(super) struct Starvation<'a, 's> {
    view: View<'a, 's>,
    waiters: Waiters,
    places: Vec<u32>,
}

impl<'a, 's> Starvation<'a, 's> {
    /// Looks for those who wait.
    pub(super) fn of(graph: &'a Graph, store: &'a Store, moves: &'a Moves<'s>) -> Self {
        let view = View { graph, store, moves };
        let waiters = view.waiters();
        Self { view, waiters, places: vec![u32::MAX; store.len() as usize] }
    }

    /// The first starvation there is, under strong fairness or under weak. `None` if it was stopped.
    pub(super) fn find(&mut self, strong: bool, stop: &dyn Fn() -> bool) -> Option<Option<Lasso>> {
        let mut best: Option<(Waiter, Vec<u32>)> = None;
        for (waiter, states) in &self.waiters {
            if stop() {
                return None;
            }
            if let Some(members) = fair_component(&self.view, *waiter, states, &mut self.places, strong)
                && best.as_ref().is_none_or(|(_, other)| members[0] < other[0])
            {
                best = Some((*waiter, members));
            }
        }
        let Some((waiter, members)) = best else { return Some(None) };
        let moves = self.view.moves;
        let name = name_of(moves, waiter.process, waiter.thread);
        let lock = moves.inodes[usize::from(waiter.lock)].file_name();
        let fairness = if strong { "strong" } else { "weak" };
        let states =
            self.waiters.iter().find(|(other, _)| other.actor() == waiter.actor() && other.lock == waiter.lock);
        let states = states.map_or(&[][..], |(_, states)| states);
        let overtaken = match overtaken(&self.view, waiter, states, &mut self.places) {
            None => "overtaken without bound".into(),
            Some(count) => format!("overtaken at most {count} times"),
        };
        Some(Some(Lasso {
            start: members[0],
            cycle: fair_cycle(&self.view, waiter, &members, strong),
            text: format!("{name} waits for {lock} for ever under {fairness} fairness, {overtaken}"),
        }))
    }

    /// How often a waiter can be overtaken: grants of the lock to others between its request and its grant.
    /// `None` if it was stopped.
    pub(super) fn overtaking(&mut self, stop: &dyn Fn() -> bool) -> Option<String> {
        let mut most: Option<(u32, Waiter)> = None;
        let moves = self.view.moves;
        let at = |waiter: &Waiter| {
            let name = name_of(moves, waiter.process, waiter.thread);
            (name, moves.inodes[usize::from(waiter.lock)].file_name())
        };
        for (waiter, states) in &self.waiters {
            if stop() {
                return None;
            }
            let Some(count) = overtaken(&self.view, *waiter, states, &mut self.places) else {
                let (name, lock) = at(waiter);
                return Some(format!("{name} is overtaken at {lock} without bound"));
            };
            if most.is_none_or(|(best, _)| count > best) {
                most = Some((count, *waiter));
            }
        }
        Some(match most {
            None => "nobody ever waits".into(),
            Some((count, waiter)) => {
                let (name, lock) = at(&waiter);
                format!("a waiter is overtaken at most {count} times ({name} at {lock})")
            }
        })
    }
}

/// The states of a component in which `waiter` waits for ever on a fair cycle, ascending; the component whose first
/// state comes first.
fn fair_component(
    view: &View<'_, '_>,
    waiter: Waiter,
    states: &[u32],
    places: &mut Vec<u32>,
    strong: bool,
) -> Option<Vec<u32>> {
    let mut work = vec![states.to_vec()];
    let mut best: Option<Vec<u32>> = None;
    while let Some(states) = work.pop() {
        for members in cyclic_components(view, waiter, &states, places) {
            if best.as_ref().is_some_and(|best| best[0] <= members[0]) {
                continue;
            }
            match fairness(view, waiter, &members, strong) {
                Fairness::Fair => best = Some(members),
                Fairness::Never => {}
                Fairness::Without(bad) => {
                    work.push(members.into_iter().filter(|state| !bad.contains(state)).collect());
                }
            }
        }
    }
    best
}

/// The components of the states, without the waiter's own moves, that have an edge inside.
fn cyclic_components(view: &View<'_, '_>, waiter: Waiter, states: &[u32], places: &mut Vec<u32>) -> Vec<Vec<u32>> {
    let inside = |edge: &Edge| edge.actor().is_some_and(|actor| actor != waiter.actor());
    let region = Region::new(states, places);
    let found = view.components(&region, inside);
    let mut members: BTreeMap<u32, (bool, Vec<u32>)> = BTreeMap::new();
    for (place, state) in states.iter().enumerate() {
        let component = found.of[place];
        let stays = |edge: &Edge| {
            inside(edge) && region.place(edge.target()).is_some_and(|to| found.of[to as usize] == component)
        };
        let entry = members.entry(component).or_default();
        entry.0 |= view.graph.out(*state).iter().any(stays);
        entry.1.push(*state);
    }
    members.into_values().filter(|(cyclic, _)| *cyclic).map(|(_, members)| members).collect()
}

enum Fairness {
    /// The cycle through the whole component is fair.
    Fair,
    /// No cycle in it is.
    Never,
    /// Perhaps one that avoids these states is.
    Without(FxHashSet<u32>),
}

/// Whether a cycle through all of the component is fair.
fn fairness(view: &View<'_, '_>, waiter: Waiter, members: &[u32], strong: bool) -> Fairness {
    let inside = |state: &u32| members.binary_search(state).is_ok();
    let mut bad = FxHashSet::default();
    let taken: BTreeSet<usize> = (members.iter())
        .flat_map(|state| view.graph.out(*state))
        .filter(|edge| inside(&edge.target()))
        .filter_map(|edge| edge.actor())
        .filter(|actor| *actor != waiter.actor())
        .collect();
    for actor in view.actors(members) {
        if taken.contains(&actor) {
            continue;
        }
        let possible: Vec<u32> = members.iter().copied().filter(|state| view.can_move(actor, *state)).collect();
        if possible.len() == members.len() {
            return Fairness::Never;
        }
        let is_grant = |state: &u32| {
            let edges = view.graph.out(*state).iter();
            edges.filter(|edge| edge.actor() == Some(actor)).any(|edge| is_granted_waiter(view, actor, *state, *edge))
        };
        if strong {
            bad.extend(possible.into_iter().filter(is_grant));
        }
    }
    if bad.is_empty() { Fairness::Fair } else { Fairness::Without(bad) }
}

/// Whether the move is the grant of a lock to a thread that waits for it.
fn is_granted_waiter(view: &View<'_, '_>, actor: usize, state: u32, edge: Edge) -> bool {
    edge.granted().is_some_and(|lock| {
        let waiter = Waiter { process: actor / ACTORS_PER_PROCESS, thread: actor % ACTORS_PER_PROCESS, lock };
        view.waits(waiter, state)
    })
}

/// A cycle in the component that starts and ends in its first state and is fair: it passes, for each thread, a step of
/// it or a state in which it cannot take one; under strong fairness a step of each that could be granted what it awaits.
fn fair_cycle(view: &View<'_, '_>, waiter: Waiter, members: &[u32], strong: bool) -> Vec<Edge> {
    let start = members[0];
    let granted = |state: &u32| {
        let edges = view.graph.out(*state).iter().filter_map(|edge| Some((edge.actor()?, *edge)));
        let grants = edges.filter(|(actor, edge)| is_granted_waiter(view, *actor, *state, *edge));
        grants.map(|(actor, _)| actor).collect::<Vec<_>>()
    };
    let must_step: BTreeSet<usize> = if strong { members.iter().flat_map(granted).collect() } else { BTreeSet::new() };
    let may_rest = |actor: usize, state: u32| !must_step.contains(&actor) && !view.can_move(actor, state);
    let mut open: BTreeSet<usize> = view.actors(members);
    let mut cycle: Vec<Edge> = Vec::new();
    let mut at = start;
    let settle = |open: &mut BTreeSet<usize>, state: u32, edge: Option<Edge>| {
        open.retain(|actor| !may_rest(*actor, state) && edge.and_then(|edge| edge.actor()) != Some(*actor));
    };
    settle(&mut open, at, None);
    while let Some(path) = walk(view, waiter, members, at, |state, edge| {
        open.iter().any(|actor| may_rest(*actor, state) || edge.actor() == Some(*actor))
    })
    .filter(|_| !open.is_empty())
    {
        for edge in path {
            at = edge.target();
            settle(&mut open, at, Some(edge));
            cycle.push(edge);
        }
    }
    if (at != start || cycle.is_empty())
        && let Some(back) = walk(view, waiter, members, at, |state, _| state == start)
    {
        cycle.extend(back);
    }
    cycle
}

/// A shortest walk of at least one move inside the component to where `arrived`, which is asked of each move's target.
fn walk(
    view: &View<'_, '_>,
    waiter: Waiter,
    members: &[u32],
    from: u32,
    arrived: impl Fn(u32, Edge) -> bool,
) -> Option<Vec<Edge>> {
    let mut parents: FxHashMap<u32, (u32, Edge)> = FxHashMap::default();
    let mut queue = VecDeque::from([from]);
    while let Some(state) = queue.pop_front() {
        let edges = view.graph.out(state).iter().copied();
        let inside = |edge: &Edge| {
            edge.actor().is_some_and(|actor| actor != waiter.actor()) && members.binary_search(&edge.target()).is_ok()
        };
        for edge in edges.filter(inside) {
            let new = edge.target() != from && !parents.contains_key(&edge.target());
            if arrived(edge.target(), edge) {
                let mut path = vec![edge];
                let mut at = state;
                while at != from {
                    let (parent, edge) = parents[&at];
                    path.push(edge);
                    at = parent;
                }
                path.reverse();
                return Some(path);
            }
            if new {
                parents.insert(edge.target(), (state, edge));
                queue.push_back(edge.target());
            }
        }
    }
    None
}

/// The most grants to others on a path on which the waiter waits; `None` without bound.
fn overtaken(view: &View<'_, '_>, waiter: Waiter, states: &[u32], places: &mut Vec<u32>) -> Option<u32> {
    let inside = |edge: &Edge| edge.actor() != Some(waiter.actor());
    let region = Region::new(states, places);
    let found = view.components(&region, inside);
    let mut most = vec![0u32; found.count as usize];
    let mut order: Vec<usize> = (0..states.len()).collect();
    order.sort_unstable_by_key(|place| found.of[*place]);
    for place in order {
        let component = found.of[place] as usize;
        for edge in view.graph.out(states[place]).iter().filter(|edge| inside(edge)) {
            let Some(to) = region.place(edge.target()) else { continue };
            let target = found.of[to as usize] as usize;
            let grant = u32::from(edge.granted() == Some(waiter.lock));
            if target == component && grant > 0 {
                return None;
            }
            most[component] = most[component].max(most[target] + grant);
        }
    }
    most.into_iter().max()
}
