//! The learned automata without the numbers in them.
//!
//! A node of the [`Automaton`] is *(call, outcomes so far)*, and outcomes hold stamps, objects and times. Which numbers
//! they have is chance: a protocol can only ask whether two are equal, and of two times which is later. So nodes that
//! differ in nothing but numbers are one control state here, with a *register* for each stamp, object and time that the
//! outcomes hold; an edge says which registers a new outcome equals (of times: lies between), and what moves where.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::ExportError;
use crate::automaton::{Automaton, NodeId};
use crate::call::{Call, Reply};
use crate::ctx::Request;
use crate::op::{CellName, Note, Op, Outcome};
use crate::value::{Instant, Mtime, Object, Stamp, Value};

/// What has a number that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A last-writer stamp.
    Stamp,
    /// A pointer.
    Object,
    /// A coarse or a fine time.
    Time,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Stamp, Kind::Object, Kind::Time];

    /// The kind and the number of a value that has one.
    pub(super) fn of(leaf: &Value) -> Option<(Kind, u64)> {
        match leaf {
            Value::Stamp(Stamp(number)) => Some((Kind::Stamp, u64::from(*number))),
            Value::Object(Object(number)) => Some((Kind::Object, u64::from(*number))),
            Value::Mtime(Mtime(rank)) | Value::Instant(Instant(rank)) => Some((Kind::Time, *rank)),
            _ => None,
        }
    }
}

/// A number of each kind, in three lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ByKind<T>(pub(super) [T; 3]);

impl<T> ByKind<T> {
    pub(super) fn get(&self, kind: Kind) -> &T {
        &self.0[kind as usize]
    }

    pub(super) fn get_mut(&mut self, kind: Kind) -> &mut T {
        &mut self.0[kind as usize]
    }
}

/// The numbers that a node holds, each once, in the order in which they came.
type Held = ByKind<Vec<u64>>;

/// Leaves of a value, in order.
pub(super) fn leaves(value: &Value) -> Vec<(Kind, u64)> {
    let mut found = Vec::new();
    value.walk(&mut |leaf| found.extend(Kind::of(leaf)));
    found
}

fn hold(held: &mut Held, value: &Value) {
    for (kind, number) in leaves(value) {
        if !held.get(kind).contains(&number) {
            held.get_mut(kind).push(number);
        }
    }
}

/// `value` with every number replaced by `new`.
pub(super) fn renumber(value: &Value, new: &impl Fn(Kind, u64) -> u64) -> Value {
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    value.map_leaves(&|leaf| match leaf {
        Value::Stamp(Stamp(number)) => Value::Stamp(Stamp(narrow(new(Kind::Stamp, u64::from(*number))))),
        Value::Object(Object(number)) => Value::Object(Object(narrow(new(Kind::Object, u64::from(*number))))),
        Value::Mtime(Mtime(rank)) => Value::Mtime(Mtime(new(Kind::Time, *rank))),
        Value::Instant(Instant(rank)) => Value::Instant(Instant(new(Kind::Time, *rank))),
        other => other.clone(),
    })
}

/// `value` with the place of each number among those held in its stead; `usize::MAX` where it is not held.
fn place(value: &Value, held: &Held) -> Value {
    let at = |kind, number: u64| held.get(kind).iter().position(|other| *other == number);
    renumber(value, &|kind, number| at(kind, number).map_or(u64::MAX, |place| place as u64))
}

fn place_outcome(outcome: &Outcome, held: &Held) -> Outcome {
    match outcome {
        Outcome::Value(value) => Outcome::Value(place(value, held)),
        other => other.clone(),
    }
}

/// The place of each time among all of them, from the earliest.
fn order(held: &Held) -> Vec<usize> {
    let times = held.get(Kind::Time);
    times.iter().map(|time| times.iter().filter(|other| *other < time).count()).collect()
}

/// An operation whose stamps, objects and times are places of registers.
fn place_op(op: &Op, held: &Held) -> Op {
    let cell = |cell: &CellName| {
        let object = cell.object.map(|object| match place(&Value::Object(object), held) {
            Value::Object(object) => object,
            _ => object,
        });
        CellName { object, field: cell.field.clone() }
    };
    match op {
        Op::Set { cell: name, value } => Op::Set { cell: cell(name), value: place(value, held) },
        Op::Get { cell: name } => Op::Get { cell: cell(name) },
        Op::MutexLock { mutex } => Op::MutexLock { mutex: cell(mutex) },
        Op::MutexUnlock { mutex } => Op::MutexUnlock { mutex: cell(mutex) },
        Op::RwLock { mutex, mode } => Op::RwLock { mutex: cell(mutex), mode: *mode },
        Op::RwUnlock { mutex, mode } => Op::RwUnlock { mutex: cell(mutex), mode: *mode },
        Op::Rename { document, base, value } => {
            Op::Rename { document: document.clone(), base: place(base, held), value: place(value, held) }
        }
        Op::WriteTemp { document, .. } => Op::WriteTemp { document: document.clone(), value: Value::Nil },
        other => other.clone(),
    }
}

/// Whether every number in an operation is held.
fn knows(op: &Op, held: &Held) -> bool {
    let known = |value: &Value| leaves(value).iter().all(|(kind, number)| held.get(*kind).contains(number));
    let named = |name: &CellName| name.object.is_none_or(|object| known(&Value::Object(object)));
    match op {
        Op::Set { cell, value } => named(cell) && known(value),
        Op::Get { cell } => named(cell),
        Op::MutexLock { mutex } | Op::MutexUnlock { mutex } => named(mutex),
        Op::RwLock { mutex, .. } | Op::RwUnlock { mutex, .. } => named(mutex),
        Op::Rename { base, value, .. } => known(base) && known(value),
        _ => true,
    }
}

/// A control state, or the end of a call.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// What it asks for, its numbers being places of registers.
    pub(super) request: Request,
    /// How many registers of each kind it has.
    pub(super) registers: ByKind<usize>,
    /// The steps from it.
    pub(super) edges: BTreeMap<Pattern, Step>,
}

/// An outcome, as seen from a control state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    /// Its numbers are places of registers, and from there on of what is new, in order.
    pub(super) outcome: Outcome,
    /// The place of each register and then of each new time among all of them, from the earliest.
    pub(super) order: Vec<usize>,
}

/// Where a pattern leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The next control state.
    pub(super) target: usize,
    /// For each register of it, the place in the old registers or, from there on, among what is new.
    pub(super) moves: ByKind<Vec<usize>>,
    /// What the thread notes on the way.
    pub(super) notes: Arc<Vec<Note>>,
}

/// The beginning of a call.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) state: usize,
    pub(super) notes: Arc<Vec<Note>>,
}

type Key = (&'static str, Arc<Call>, Vec<Outcome>, Vec<usize>);

/// The automata of a system's calls.
#[derive(Debug, Default)]
pub(super) struct Automata {
    /// All control states.
    pub(super) states: Vec<State>,
    /// Where each call begins, by protocol and call.
    pub(super) roots: BTreeMap<(&'static str, Call), Root>,
    keys: FxHashMap<Key, usize>,
    known: FxHashMap<NodeId, (usize, Held)>,
}

impl Automata {
    /// What was learned, without the numbers.
    ///
    /// # Errors
    /// [`ExportError::Numbers`] if a protocol does what depends on them.
    pub(super) fn of(learned: &Automaton) -> Result<Self, ExportError> {
        let mut automata = Self::default();
        // In the order in which they were learned, so that two exports are one text.
        let mut roots: Vec<_> = learned.roots().collect();
        roots.sort_by_key(|edge| edge.target);
        for edge in roots {
            let (state, _) = automata.state(learned, edge.target)?;
            let node = learned.node(edge.target);
            let root = Root { state, notes: Arc::clone(&edge.notes) };
            automata.roots.insert((node.entry.name, (*node.call).clone()), root);
        }
        let mut edges: Vec<_> = learned.edges().collect();
        edges.sort_by_key(|(node, _, edge)| (*node, edge.target));
        for (node, outcome, edge) in edges {
            let (from, mut held) = automata.state(learned, node)?;
            let (target, after) = automata.state(learned, edge.target)?;
            if let Outcome::Value(value) = outcome {
                hold(&mut held, value);
            }
            let pattern = Pattern { outcome: place_outcome(outcome, &held), order: order(&held) };
            let moves = ByKind(Kind::ALL.map(|kind| {
                let places = after.get(kind).iter().map(|number| held.get(kind).iter().position(|old| old == number));
                places.map(|place| place.unwrap_or(usize::MAX)).collect()
            }));
            let step = Step { target, moves, notes: Arc::clone(&edge.notes) };
            if automata.states[from].edges.entry(pattern).or_insert_with(|| step.clone()) != &step {
                return Err(ExportError::Numbers { protocol: learned.node(node).entry.name });
            }
        }
        Ok(automata)
    }

    fn state(&mut self, learned: &Automaton, id: NodeId) -> Result<(usize, Held), ExportError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let node = learned.node(id);
        let outcomes = learned.outcomes(id);
        let mut held = Held::default();
        for outcome in &outcomes {
            if let Outcome::Value(value) = outcome {
                hold(&mut held, value);
            }
        }
        let placed = outcomes.iter().map(|outcome| place_outcome(outcome, &held)).collect();
        let key = (node.entry.name, Arc::clone(&node.call), placed, order(&held));
        let request = match &node.request {
            // What was not read cannot be known: a stamp, object or time of the protocol's own making.
            Request::Op(op) if !knows(op, &held) => return Err(ExportError::Numbers { protocol: node.entry.name }),
            Request::Op(op) => Request::Op(place_op(op, &held)),
            done => done.clone(),
        };
        let next = self.states.len();
        let number = *self.keys.entry(key).or_insert(next);
        if number == next {
            let registers = ByKind(Kind::ALL.map(|kind| held.get(kind).len()));
            self.states.push(State { request, registers, edges: BTreeMap::new() });
        } else if self.states[number].request != request {
            return Err(ExportError::Numbers { protocol: node.entry.name });
        }
        self.known.insert(id, (number, held.clone()));
        Ok((number, held))
    }
}

impl State {
    /// What the call returned, if this is its end.
    pub(super) fn reply(&self) -> Option<&Reply> {
        match &self.request {
            Request::Done(reply) => Some(reply),
            Request::Op(_) => None,
        }
    }

    /// The operation that it stands before.
    pub(super) fn op(&self) -> Option<&Op> {
        match &self.request {
            Request::Op(op) => Some(op),
            Request::Done(_) => None,
        }
    }
}
