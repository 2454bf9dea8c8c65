//! Starvation: a cycle, fair in a named sense, in which a thread waits for a lock file for ever.
//!
//! *Weak* fairness: a thread whose next step stays possible takes it. *Strong* fairness: besides, a waiter whose lock
//! becomes free again and again is granted it. A weakly fair cycle exists in a strongly connected component if every
//! thread takes a step in it or cannot somewhere in it. A strong condition is a Streett pair: where a component violates
//! one, the states in which the waiter could be granted are taken out and what is left is looked at again (Emerson and
//! Lei 1987).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

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

    /// The threads that wait for some lock somewhere.
    fn waiters(&self) -> Vec<Waiter> {
        let mut found: BTreeMap<(usize, usize, u8), ()> = BTreeMap::new();
        let mut parts: BTreeSet<(usize, u32)> = BTreeSet::new();
        for state in 0..self.store.len() {
            let ids = self.store.get(state);
            for (process, part) in ids[..ids.len() - 1].iter().enumerate() {
                if !self.moves.info(*part).waiting.is_empty() && parts.insert((process, *part)) {
                    for (thread, lock, _) in &self.moves.info(*part).waiting {
                        found.insert((process, usize::from(*thread), *lock), ());
                    }
                }
            }
        }
        found.into_keys().map(|(process, thread, lock)| Waiter { process, thread, lock }).collect()
    }

    /// The other threads that take or could take a step in the component.
    fn actors(&self, members: &[u32]) -> BTreeSet<usize> {
        members.iter().flat_map(|state| self.graph.out(*state)).filter_map(|edge| edge.actor()).collect()
    }
}

/// The first starvation there is, under strong fairness or under weak.
pub(super) fn find(graph: &Graph, store: &Store, moves: &Moves<'_>, strong: bool) -> Option<Lasso> {
    let view = View { graph, store, moves };
    let mut best: Option<(Waiter, Vec<u32>)> = None;
    for waiter in view.waiters() {
        let region: Vec<bool> = (0..store.len()).map(|state| view.waits(waiter, state)).collect();
        if let Some(members) = fair_component(&view, waiter, &region, strong)
            && best.as_ref().is_none_or(|(_, other)| members[0] < other[0])
        {
            best = Some((waiter, members));
        }
    }
    let (waiter, members) = best?;
    let name = name_of(moves, waiter.process, waiter.thread);
    let lock = moves.inodes[usize::from(waiter.lock)].file_name();
    let fairness = if strong { "strong" } else { "weak" };
    Some(Lasso {
        start: members[0],
        cycle: fair_cycle(&view, waiter, &members, strong),
        text: format!("{name} waits for {lock} for ever under {fairness} fairness"),
    })
}

/// The states of a component in which `waiter` waits for ever on a fair cycle, sorted; the one whose first state comes
/// first.
fn fair_component(view: &View<'_, '_>, waiter: Waiter, region: &[bool], strong: bool) -> Option<Vec<u32>> {
    let mut work = vec![region.to_vec()];
    let mut best: Option<Vec<u32>> = None;
    while let Some(region) = work.pop() {
        for members in cyclic_components(view, waiter, &region) {
            if best.as_ref().is_some_and(|best| best[0] <= members[0]) {
                continue;
            }
            match unfair(view, waiter, &members, strong) {
                Fairness::Fair => best = Some(members),
                Fairness::Never => {}
                Fairness::Without(bad) => {
                    let mut rest = vec![false; region.len()];
                    for state in members.into_iter().filter(|state| !bad.contains(state)) {
                        rest[state as usize] = true;
                    }
                    work.push(rest);
                }
            }
        }
    }
    best
}

/// The components of the region, without the waiter's own moves, that have an edge inside. Members are sorted.
fn cyclic_components(view: &View<'_, '_>, waiter: Waiter, region: &[bool]) -> Vec<Vec<u32>> {
    let inside = |edge: &Edge| edge.actor().is_some() && edge.actor() != Some(waiter.actor());
    let found = scc::components(
        view.store.len(),
        |state| region[state as usize],
        |state, n| view.graph.out(state).get(n).map(|edge| inside(edge).then(|| edge.target())),
    );
    let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut cyclic = BTreeSet::new();
    for state in (0..view.store.len()).filter(|state| region[*state as usize]) {
        let component = found.of[state as usize];
        members.entry(component).or_default().push(state);
        let stays = |edge: &Edge| {
            inside(edge) && region[edge.target() as usize] && found.of[edge.target() as usize] == component
        };
        if view.graph.out(state).iter().any(stays) {
            cyclic.insert(component);
        }
    }
    members.into_iter().filter(|(component, _)| cyclic.contains(component)).map(|(_, members)| members).collect()
}

enum Fairness {
    /// The cycle through the whole component is fair.
    Fair,
    /// No cycle in it is.
    Never,
    /// Perhaps one that avoids these states is.
    Without(BTreeSet<u32>),
}

fn unfair(view: &View<'_, '_>, waiter: Waiter, members: &[u32], strong: bool) -> Fairness {
    let inside = |state: &u32| members.binary_search(state).is_ok();
    let mut bad = BTreeSet::new();
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
    let mut parents: BTreeMap<u32, (u32, Edge)> = BTreeMap::new();
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

/// How often a waiter can be overtaken: grants of the lock to others between its request and its grant.
pub(super) fn overtaking(graph: &Graph, store: &Store, moves: &Moves<'_>) -> String {
    let view = View { graph, store, moves };
    let mut most: Option<(u32, Waiter)> = None;
    for waiter in view.waiters() {
        let region: Vec<bool> = (0..store.len()).map(|state| view.waits(waiter, state)).collect();
        let Some(count) = overtaken(&view, waiter, &region) else {
            let name = name_of(moves, waiter.process, waiter.thread);
            let lock = moves.inodes[usize::from(waiter.lock)].file_name();
            return format!("{name} is overtaken at {lock} without bound");
        };
        if most.is_none_or(|(best, _)| count > best) {
            most = Some((count, waiter));
        }
    }
    match most {
        None => "nobody ever waits".into(),
        Some((count, waiter)) => {
            let name = name_of(moves, waiter.process, waiter.thread);
            let lock = moves.inodes[usize::from(waiter.lock)].file_name();
            format!("a waiter is overtaken at most {count} times ({name} at {lock})")
        }
    }
}

/// The most grants to others on a path on which the waiter waits; `None` without bound.
fn overtaken(view: &View<'_, '_>, waiter: Waiter, region: &[bool]) -> Option<u32> {
    let inside = |edge: &Edge| edge.actor() != Some(waiter.actor()) && region[edge.target() as usize];
    let found = scc::components(
        view.store.len(),
        |state| region[state as usize],
        |state, n| view.graph.out(state).get(n).map(|edge| inside(edge).then(|| edge.target())),
    );
    let mut most = vec![0u32; found.count as usize];
    let mut order: Vec<u32> = (0..view.store.len()).filter(|state| region[*state as usize]).collect();
    order.sort_unstable_by_key(|state| found.of[*state as usize]);
    for state in order {
        let component = found.of[state as usize] as usize;
        for edge in view.graph.out(state).iter().filter(|edge| inside(edge)) {
            let target = found.of[edge.target() as usize] as usize;
            let grant = u32::from(edge.granted() == Some(waiter.lock));
            if target == component && grant > 0 {
                return None;
            }
            most[component] = most[component].max(most[target] + grant);
        }
    }
    most.into_iter().max()
}
