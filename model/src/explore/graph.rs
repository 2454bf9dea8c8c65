//! The graph of states and moves, kept for what is judged on whole runs; and what can never go on in it.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::describe::KILL;
use super::moves::{Moves, Successor};
use super::parts::PartId;
use super::scc;
use super::store::Store;

/// A move in the graph, packed into 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edge {
    target: u32,
    label: u32,
}

impl Edge {
    /// The move of `thread` of process `at` to `successor`; its target is not known yet.
    pub(super) fn new(at: usize, thread: u8, successor: Successor) -> Self {
        let process = u32::try_from(at).unwrap_or(31) & 31;
        // A kill is thread 31; scenarios have at most 26 threads a process, goroutines counted.
        let thread = u32::from(thread).min(31);
        let branch = u32::from(successor.branch) & 0xff;
        let granted = u32::from(successor.granted) & 0x7f;
        let label = process | thread << 5 | branch << 10 | granted << 18 | u32::from(successor.progress()) << 25;
        Self { target: u32::MAX, label }
    }

    /// All but its target.
    pub(super) fn label(self) -> u32 {
        self.label
    }

    /// The move of that label; its target is not known.
    pub(super) fn labelled(label: u32) -> Self {
        Self { target: u32::MAX, label }
    }

    /// The same move, with its target.
    pub(super) fn to(self, target: u32) -> Self {
        Self { target, ..self }
    }

    /// Where it leads.
    pub(super) fn target(self) -> u32 {
        self.target
    }

    /// The process.
    pub(super) fn process(self) -> usize {
        (self.label & 31) as usize
    }

    /// The thread, or [`KILL`].
    pub(super) fn thread(self) -> u8 {
        match self.label >> 5 & 31 {
            31 => KILL,
            thread => u8::try_from(thread).unwrap_or(KILL),
        }
    }

    /// Which outcome.
    pub(super) fn branch(self) -> u8 {
        (self.label >> 10 & 0xff) as u8
    }

    /// The bit of the lock that it grants, if it grants one.
    pub(super) fn granted(self) -> Option<u8> {
        ((self.label >> 18 & 0x7f) as u8).checked_sub(1)
    }

    /// Whether it brings its thread on.
    pub(super) fn progress(self) -> bool {
        self.label >> 25 & 1 != 0
    }

    /// A number for its thread in the whole system; `None` of a kill.
    pub(super) fn actor(self) -> Option<usize> {
        (self.thread() != KILL).then(|| self.process() * ACTORS_PER_PROCESS + usize::from(self.thread()))
    }
}

/// How many actor numbers a process has.
pub(super) const ACTORS_PER_PROCESS: usize = 31;

/// The moves out of each state, in the order of the states.
#[derive(Debug)]
pub(super) struct Graph {
    edges: Vec<Edge>,
    ends: Vec<usize>,
}

impl Graph {
    pub(super) fn new() -> Self {
        Self { edges: Vec::new(), ends: Vec::new() }
    }

    /// Adds a move out of the state that is being expanded.
    pub(super) fn add(&mut self, edge: Edge) {
        self.edges.push(edge);
    }

    /// The state that was being expanded has no more moves.
    pub(super) fn close_state(&mut self) {
        self.ends.push(self.edges.len());
    }

    /// How many states were expanded.
    pub(super) fn expanded(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// The moves out of a state; none if it was not expanded.
    pub(super) fn out(&self, state: u32) -> &[Edge] {
        let index = state as usize;
        let Some(end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.edges[start..*end]
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        (self.edges.capacity() * size_of::<Edge>() + self.ends.capacity() * size_of::<usize>()) as u64
    }
}

/// A state from which some thread will never take a step again.
#[derive(Debug)]
pub(super) struct Stuck {
    pub(super) state: u32,
    pub(super) text: String,
    /// The numbers of the threads.
    actors: Vec<usize>,
}

/// The first state in which a thread that is not done takes no step in any continuation, even if others go on for ever. One
/// whose process panics waits no longer.
/// With `after_kill`, only among states in which a process was killed.
///
/// Which threads can still get on is the union over a component and all that it leads to.
pub(super) fn first_stuck(graph: &Graph, store: &Store, moves: &Moves<'_>, after_kill: bool) -> Option<Stuck> {
    let states = store.len();
    let found = scc::components(states, |_| true, |state, n| graph.out(state).get(n).map(|edge| Some(edge.target())));
    // One bit for each thread of each process, 64 of them a word.
    let processes = store.get(0).len() - 1;
    let words = (processes * ACTORS_PER_PROCESS).div_ceil(64);
    let mut alive = vec![0u64; found.count as usize * words];
    let mut order: Vec<u32> = (0..states).collect();
    order.sort_unstable_by_key(|state| found.of[*state as usize]);
    for state in order {
        let at = found.of[state as usize] as usize * words;
        for edge in graph.out(state) {
            if let Some(actor) = edge.actor().filter(|_| edge.progress()) {
                alive[at + actor / 64] |= 1 << (actor % 64);
            }
            if panics(edge, store, moves) {
                let first = edge.process() * ACTORS_PER_PROCESS;
                (first..first + ACTORS_PER_PROCESS).for_each(|actor| alive[at + actor / 64] |= 1 << (actor % 64));
            }
            let to = found.of[edge.target() as usize] as usize * words;
            for word in 0..words {
                alive[at + word] |= alive[to + word];
            }
        }
        if state >= graph.expanded() {
            // The search was cut before this state: what follows is not known.
            alive[at..at + words].fill(u64::MAX);
        }
    }
    (0..states).find_map(|state| {
        let ids = store.get(state);
        if after_kill && !someone_died(moves, ids) {
            return None;
        }
        let at = found.of[state as usize] as usize * words;
        let stuck = threads(moves, ids).filter(|(_, _, actor)| alive[at + actor / 64] >> (actor % 64) & 1 == 0);
        let stuck: Vec<(usize, usize, usize)> = stuck.collect();
        let actors = stuck.iter().map(|(_, _, actor)| *actor).collect();
        (!stuck.is_empty()).then(|| Stuck { state, text: describe(moves, ids, &stuck), actors })
    })
}

/// A shortest way from where threads are stuck to where nothing can go on and they still are; empty if there is none,
/// or if they are there already. A panic may end them with their process on the way.
pub(super) fn to_standstill(graph: &Graph, store: &Store, moves: &Moves<'_>, stuck: &Stuck) -> Vec<Edge> {
    let from = stuck.state;
    let stands = |state: u32| {
        let still = |actor: &usize| threads(moves, store.get(state)).any(|(_, _, other)| other == *actor);
        state < graph.expanded()
            && !graph.out(state).iter().any(|edge| edge.progress())
            && stuck.actors.iter().all(still)
    };
    let mut reached: FxHashMap<u32, (u32, Edge)> = FxHashMap::default();
    let mut queue = VecDeque::from([from]);
    while let Some(state) = queue.pop_front() {
        if stands(state) {
            let mut path = Vec::new();
            let mut at = state;
            while at != from {
                let (before, edge) = reached[&at];
                path.push(edge);
                at = before;
            }
            path.reverse();
            return path;
        }
        for edge in graph.out(state).iter().filter(|edge| edge.actor().is_some()) {
            if edge.target() != from && !reached.contains_key(&edge.target()) {
                reached.insert(edge.target(), (state, *edge));
                queue.push_back(edge.target());
            }
        }
    }
    Vec::new()
}

/// What each thread that is not done stands before, in a state in which nothing can go on.
pub(super) fn standstill(moves: &Moves<'_>, ids: &[PartId]) -> String {
    describe(moves, ids, &threads(moves, ids).collect::<Vec<_>>())
}

/// Whether the step of a thread ends its process, and with it whoever waits there.
fn panics(edge: &Edge, store: &Store, moves: &Moves<'_>) -> bool {
    edge.actor().is_some() && moves.info(store.get(edge.target())[edge.process()]).done == u64::MAX
}

fn someone_died(moves: &Moves<'_>, ids: &[PartId]) -> bool {
    let dead = |id: &PartId| moves.local(*id).life == crate::state::Life::Dead;
    ids[..ids.len() - 1].iter().any(dead)
}

/// The threads that are not done: process, thread, actor number.
fn threads(moves: &Moves<'_>, ids: &[PartId]) -> impl Iterator<Item = (usize, usize, usize)> {
    let processes = ids[..ids.len() - 1].iter().enumerate();
    processes.flat_map(move |(process, id)| {
        let count = moves.local(*id).threads.len();
        let done = moves.info(*id).done;
        (0..count)
            .filter(move |thread| done >> (thread & 63) & 1 == 0)
            .map(move |thread| (process, thread, process * ACTORS_PER_PROCESS + thread))
    })
}

/// What each thread that is stuck stands before.
fn describe(moves: &Moves<'_>, ids: &[PartId], stuck: &[(usize, usize, usize)]) -> String {
    let one = |(process, thread, _): &(usize, usize, usize)| {
        let local = moves.local(ids[*process]);
        let name = name_of(moves, *process, *thread);
        let state = &local.threads[*thread];
        let node = moves.model.automaton.node(state.node);
        let waits = match (node.op(), &state.waiting) {
            (Some(crate::op::Op::Lock { file, .. }), _) => format!("waits for {}", file.file_name()),
            (Some(crate::op::Op::RwLock { mutex, .. } | crate::op::Op::MutexLock { mutex }), _) => {
                format!("waits for {mutex}")
            }
            (Some(op), _) => format!("stands before {op:?}"),
            (None, _) => "stands before its return".into(),
        };
        format!("{name} {waits} for ever in `{}`", node.call)
    };
    stuck.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The name of a thread: its process's, and its number where there are several.
pub(super) fn name_of(moves: &Moves<'_>, process: usize, thread: usize) -> String {
    let description = &moves.model.system.processes[process];
    if description.threads.len() > 1 {
        format!("{} thread {}", description.name, thread + 1)
    } else {
        description.name.clone()
    }
}
