//! The automaton of a protocol, learned lazily.
//!
//! A future cannot be cloned or hashed. But inside a call a thread is a deterministic function of the outcomes since the
//! call began, and between two calls it keeps nothing that is not in a cell. So its control state is *(call, outcomes so
//! far)*: a [`Node`]. The first time a node meets an outcome, the call is run again from its start with those outcomes,
//! and what it asks for next is remembered; from then on that is a table look-up.
//!
//! Notes and [`Op::LoopHead`] are answered here: they are no steps of the system. At the top of a loop the outcomes are
//! cut back to the first such request of that loop in the call, which is answered with the newest values, so that a
//! finished round leaves no trace and the node of an earlier round comes back.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::call::{Call, Reply};
use crate::ctx::{ProtocolError, Request, Task};
use crate::op::{Note, Op, Outcome};
use crate::protocol::Entry;
use crate::value::{Object, Stamp, Value};
use crate::world::memory::objects_in;

/// A control state: a number for *(protocol, call, outcomes so far)*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// The most outcomes that a call may have between two visits of a loop's top.
const OUTCOMES_MAX: usize = 5_000;
/// So many calls stand where they were learned last, and can go on from there.
const STANDING_MAX: usize = 8;
/// One node in so many is learned twice, to notice a call that is no function of its outcomes.
const SAMPLE: usize = 16;

/// Why an automaton cannot be learned: a mistake of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LearnError {
    /// What the call did wrong.
    #[error("protocol {protocol}, call `{call}`: {error}")]
    Protocol {
        /// The protocol's name.
        protocol: &'static str,
        /// The call.
        call: String,
        /// The mistake.
        error: ProtocolError,
    },
    /// Run again with the same outcomes, the call asked for something else.
    #[error(
        "protocol {protocol}, call `{call}`: run again with the same outcomes it asked for {second} instead of {first}; \
         it keeps something outside its cells, or looks at a clock or a random number"
    )]
    HiddenState {
        /// The protocol's name.
        protocol: &'static str,
        /// The call.
        call: String,
        /// What it asked for at first.
        first: String,
        /// What it asked for then.
        second: String,
    },
    /// A loop without a `Loop::top`, or one that does nothing else.
    #[error("protocol {protocol}, call `{call}`: more than {OUTCOMES_MAX} operations; a loop needs a `Loop::top`")]
    Endless {
        /// The protocol's name.
        protocol: &'static str,
        /// The call.
        call: String,
    },
}

/// What a thread in a control state stands before.
#[derive(Clone, Debug)]
pub struct Node {
    /// The protocol.
    pub entry: Entry,
    /// The call.
    pub call: Arc<Call>,
    /// What it asks for: never a note and never the top of a loop.
    pub request: Request,
    /// The stamps among its outcomes.
    pub stamps: BTreeSet<Stamp>,
    /// The objects among its outcomes.
    pub objects: BTreeSet<Object>,
    /// The times among its outcomes, as ranks.
    pub times: BTreeSet<u64>,
    parent: Option<(NodeId, Outcome)>,
    /// How many outcomes there were.
    length: usize,
    /// The tops of loops that were passed, each with the node that asked for it first.
    loops: Arc<Vec<(String, NodeId)>>,
}

/// A step from one node to the next, with the notes on the way.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Where it leads.
    pub target: NodeId,
    /// What the thread noted on the way.
    pub notes: Arc<Vec<Note>>,
}

/// The nodes that were learned so far.
#[derive(Debug, Default)]
pub struct Automaton {
    nodes: Vec<Node>,
    roots: FxHashMap<(&'static str, Call), Edge>,
    raw: FxHashMap<(NodeId, Outcome), NodeId>,
    edges: FxHashMap<(NodeId, Outcome), Edge>,
    /// Calls that stand at a node: what comes after it is learned without running the call again from its start.
    standing: VecDeque<(NodeId, Task)>,
}

impl Clone for Automaton {
    /// All that was learned. A call under way cannot be cloned; where one stands is learned again when it is needed.
    fn clone(&self) -> Self {
        let Self { nodes, roots, raw, edges, standing: _ } = self;
        let (nodes, roots) = (nodes.clone(), roots.clone());
        Self { nodes, roots, raw: raw.clone(), edges: edges.clone(), standing: VecDeque::new() }
    }
}

impl Automaton {
    /// The node of that number.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing was learned yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The beginning of a call.
    ///
    /// # Errors
    /// A mistake of the protocol.
    pub fn root(&mut self, entry: Entry, call: &Call) -> Result<Edge, LearnError> {
        if let Some(edge) = self.roots.get(&(entry.name, call.clone())) {
            return Ok(edge.clone());
        }
        let call_ref = Arc::new(call.clone());
        let id = self.learn(entry, &call_ref, None, Arc::default())?;
        let edge = self.settle(id)?;
        self.roots.insert((entry.name, call.clone()), edge.clone());
        Ok(edge)
    }

    /// Where an outcome leads.
    ///
    /// # Errors
    /// A mistake of the protocol.
    pub fn after(&mut self, node: NodeId, outcome: &Outcome) -> Result<Edge, LearnError> {
        if let Some(edge) = self.edges.get(&(node, outcome.clone())) {
            return Ok(edge.clone());
        }
        let raw = self.child(node, outcome)?;
        let edge = self.settle(raw)?;
        self.edges.insert((node, outcome.clone()), edge.clone());
        Ok(edge)
    }

    /// The node that differs from `node` in that every value among its outcomes is renamed.
    ///
    /// # Errors
    /// A mistake of the protocol.
    pub fn renamed(&mut self, node: NodeId, rename: &impl Fn(&Value) -> Value) -> Result<NodeId, LearnError> {
        let outcomes = self.outcomes(node);
        let mut at = self.origin(node);
        for outcome in outcomes {
            let outcome = match outcome {
                Outcome::Value(value) => Outcome::Value(value.map_leaves(rename)),
                other => other,
            };
            at = self.child(at, &outcome)?;
        }
        Ok(at)
    }

    /// The calls whose beginning was learned, each with the step to what it asks for first.
    pub fn roots(&self) -> impl Iterator<Item = &Edge> {
        self.roots.values()
    }

    /// The steps that were learned: from which node, with which outcome, where to.
    pub fn edges(&self) -> impl Iterator<Item = (NodeId, &Outcome, &Edge)> {
        self.edges.iter().map(|((node, outcome), edge)| (*node, outcome, edge))
    }

    /// The objects that were met, some more than once.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        self.nodes.iter().flat_map(|node| node.objects.iter().copied())
    }

    /// What the call asked for on its way to `node`, the last first; of a loop, one round alone.
    pub fn requests_before(&self, node: NodeId) -> impl Iterator<Item = &Op> {
        let parent = |node: NodeId| self.node(node).parent.as_ref().map(|(parent, _)| *parent);
        std::iter::successors(parent(node), move |node| parent(*node)).filter_map(|node| self.node(node).op())
    }

    fn origin(&self, mut node: NodeId) -> NodeId {
        while let Some((parent, _)) = self.node(node).parent {
            node = parent;
        }
        node
    }

    /// The outcomes that lead to a node from the beginning of its call, those of notes and of tops of loops among them.
    #[must_use]
    pub fn outcomes(&self, mut node: NodeId) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some((parent, outcome)) = &self.node(node).parent {
            outcomes.push(outcome.clone());
            node = *parent;
        }
        outcomes.reverse();
        outcomes
    }

    /// Passes notes and tops of loops until the thread stands before a step or has returned.
    fn settle(&mut self, mut id: NodeId) -> Result<Edge, LearnError> {
        let mut notes = Vec::new();
        for _ in 0..OUTCOMES_MAX {
            let node = self.node(id);
            match &node.request {
                Request::Op(Op::Note(note)) => {
                    notes.push(note.clone());
                    id = self.child(id, &Outcome::Done)?;
                }
                Request::Op(Op::LoopHead { label, values }) => {
                    let first = node.loops.iter().find(|(other, _)| other == label).map_or(id, |(_, first)| *first);
                    let outcome = Outcome::Value(values.clone());
                    id = self.child(first, &outcome)?;
                }
                _ => return Ok(Edge { target: id, notes: Arc::new(notes) }),
            }
        }
        let node = self.node(id);
        Err(LearnError::Endless { protocol: node.entry.name, call: node.call.to_string() })
    }

    /// The node after one outcome, be it of a note or of the top of a loop.
    fn child(&mut self, id: NodeId, outcome: &Outcome) -> Result<NodeId, LearnError> {
        if let Some(&child) = self.raw.get(&(id, outcome.clone())) {
            return Ok(child);
        }
        let node = self.node(id);
        let mut loops = Arc::clone(&node.loops);
        if let Request::Op(Op::LoopHead { label, .. }) = &node.request
            && !loops.iter().any(|(other, _)| other == label)
        {
            Arc::make_mut(&mut loops).push((label.clone(), id));
        }
        let (entry, call) = (node.entry, Arc::clone(&node.call));
        let child = self.learn(entry, &call, Some((id, outcome.clone())), loops)?;
        self.raw.insert((id, outcome.clone()), child);
        Ok(child)
    }

    fn learn(
        &mut self,
        entry: Entry,
        call: &Arc<Call>,
        parent: Option<(NodeId, Outcome)>,
        loops: Arc<Vec<(String, NodeId)>>,
    ) -> Result<NodeId, LearnError> {
        let length = parent.as_ref().map_or(0, |(parent, _)| self.node(*parent).length + 1);
        if length > OUTCOMES_MAX {
            return Err(LearnError::Endless { protocol: entry.name, call: call.to_string() });
        }
        let outcomes = |this: &Self| -> Vec<Outcome> {
            let Some((parent, outcome)) = &parent else { return Vec::new() };
            let mut outcomes = this.outcomes(*parent);
            outcomes.push(outcome.clone());
            outcomes
        };
        let stands = |at: &(NodeId, Task)| parent.as_ref().is_some_and(|(parent, _)| at.0 == *parent);
        let standing = self.standing.iter().position(stands).and_then(|at| self.standing.remove(at));
        let (task, request) = match (standing, &parent) {
            (Some((_, mut task)), Some((_, outcome))) => {
                let request = task.resume(Some(outcome.clone())).map_err(|error| failed(entry, call, error))?;
                (task, request)
            }
            _ => run(entry, call, &outcomes(self))?,
        };
        if self.nodes.len().is_multiple_of(SAMPLE) {
            let (_, again) = run(entry, call, &outcomes(self))?;
            if again != request {
                return Err(LearnError::HiddenState {
                    protocol: entry.name,
                    call: call.to_string(),
                    first: format!("{request:?}"),
                    second: format!("{again:?}"),
                });
            }
        }
        let (mut stamps, mut objects, mut times) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        if let Some((parent, outcome)) = &parent {
            stamps.clone_from(&self.node(*parent).stamps);
            objects.clone_from(&self.node(*parent).objects);
            times.clone_from(&self.node(*parent).times);
            if let Outcome::Value(value) = outcome {
                stamps_in(value, &mut stamps);
                objects_in(value, &mut objects);
                crate::times::ranks_in(value, &mut times);
            }
        }
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        if matches!(request, Request::Op(_)) {
            self.standing.truncate(STANDING_MAX - 1);
            self.standing.push_front((id, task));
        }
        self.nodes.push(Node { entry, call: Arc::clone(call), request, stamps, objects, times, parent, length, loops });
        Ok(id)
    }
}

impl Node {
    /// What the call returned, once it has.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        match &self.request {
            Request::Done(reply) => Some(reply),
            Request::Op(_) => None,
        }
    }

    /// The operation that it stands before, unless it has returned.
    #[must_use]
    pub fn op(&self) -> Option<&Op> {
        match &self.request {
            Request::Op(op) => Some(op),
            Request::Done(_) => None,
        }
    }
}

/// Adds the stamps inside `value`.
pub fn stamps_in(value: &Value, into: &mut BTreeSet<Stamp>) {
    value.walk(&mut |leaf| {
        if let Value::Stamp(stamp) = leaf {
            into.insert(*stamp);
        }
    });
}

fn failed(entry: Entry, call: &Call, error: ProtocolError) -> LearnError {
    LearnError::Protocol { protocol: entry.name, call: call.to_string(), error }
}

/// Runs a call from its start with these outcomes, and returns what it asks for then.
fn run(entry: Entry, call: &Arc<Call>, outcomes: &[Outcome]) -> Result<(Task, Request), LearnError> {
    let failed = |error| failed(entry, call, error);
    let mut task = Task::new(entry, (**call).clone());
    let mut request = task.resume(None).map_err(failed)?;
    for outcome in outcomes {
        request = task.resume(Some(outcome.clone())).map_err(failed)?;
    }
    Ok((task, request))
}
