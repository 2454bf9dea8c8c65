//! Breadth-first search over the moves, and the way back from a state to the run that leads to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::graph::{Edge, Graph};
use super::moves::{Moves, Shown};
use super::parts::PartId;
use super::starvation::Starvation;
use super::store::{BATCH, Chunks, Store};
use super::{Options, Report, graph, order};
use crate::automaton::Automaton;
use crate::op::Path;
use crate::property::Property;
use crate::state::Model;
use crate::step::ModelError;
use crate::verdict::{Extent, Finding, Verdict};

/// How a state was reached first: from which state, and the label of the move.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent {
    pub(super) state: u32,
    pub(super) label: u32,
}

/// Moves that were made and whose targets were not looked up yet.
#[derive(Debug, Default)]
struct Made {
    /// The states that they lead to, one after the other.
    targets: Vec<PartId>,
    /// From which state, and the move; `None` where a state has no more of them.
    moves: Vec<(u32, Option<Edge>)>,
}

/// A violation, and the move that shows it.
#[derive(Clone, Debug)]
struct Witness {
    state: u32,
    edge: Option<Edge>,
    text: String,
}

/// Why a search ended before it had seen everything.
type Limit = Option<String>;

/// A search under way.
pub(super) struct Search<'s, 'o> {
    pub(super) moves: Moves<'s>,
    pub(super) initial: Vec<PartId>,
    pub(super) options: &'o Options,
    store: Store,
    pub(super) parents: Chunks<Parent>,
    made: Made,
    graph: Option<Graph>,
    witnesses: BTreeMap<Property, Witness>,
    orders: BTreeMap<Path, BTreeSet<Path>>,
    transitions: u64,
    undisciplined: bool,
}

/// Explores `model`. `None` if partial-order reduction was asked for and turned out not to be sound for it.
pub(super) fn run(
    model: Model<'_>,
    properties: &[Property],
    options: &Options,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Report>, ModelError> {
    let mut search = Search::new(model, properties, options)?;
    let limit = search.explore(search.initial.clone(), properties, stop)?;
    if search.undisciplined && options.partial_order {
        return Ok(None);
    }
    let mut findings = Vec::new();
    for property in properties {
        findings.push(search.judge(*property, &limit, stop)?);
    }
    let bytes = search.bytes();
    let automaton = std::mem::take(&mut search.moves.model.automaton);
    Ok(Some(Report {
        findings,
        extent: Extent { states: u64::from(search.store.len()), transitions: search.transitions, executions: 0 },
        bytes,
        collision_max: search.store.collision_max(),
        automaton,
        races_left_out: std::mem::take(&mut search.moves.model.races_left_out),
    }))
}

/// Explores `model` for what is learned of its protocols on the way. `None` if a limit stopped it.
pub(super) fn learn(model: Model<'_>, options: &Options) -> Result<Option<Automaton>, ModelError> {
    let mut search = Search::new(model, &[], options)?;
    let limit = search.explore(search.initial.clone(), &[], &|| false)?;
    Ok(limit.is_none().then_some(search.moves.model.automaton))
}

impl<'s, 'o> Search<'s, 'o> {
    fn new(model: Model<'s>, properties: &[Property], options: &'o Options) -> Result<Self, ModelError> {
        let (moves, initial) = Moves::new(model, options.merge)?;
        let graph_wanted = properties.iter().any(|property| property.is_liveness() || *property == Property::CrashSafe);
        Ok(Self {
            moves,
            store: Store::new(initial.len(), options.fingerprint),
            initial,
            options,
            parents: Chunks::new(1),
            made: Made::default(),
            graph: graph_wanted.then(Graph::new),
            witnesses: BTreeMap::new(),
            orders: BTreeMap::new(),
            transitions: 0,
            undisciplined: false,
        })
    }
}

impl Search<'_, '_> {
    fn bytes(&self) -> u64 {
        let parts = self.moves.locals.bytes() + self.moves.shareds.bytes();
        parts + self.store.bytes() + self.parents.bytes() + self.graph.as_ref().map_or(0, Graph::bytes)
    }

    /// Visits every state. What stopped it, if something did.
    fn explore(
        &mut self,
        mut initial: Vec<PartId>,
        properties: &[Property],
        stop: &dyn Fn() -> bool,
    ) -> Result<Limit, ModelError> {
        let width = initial.len();
        self.canonical(&mut initial);
        self.store.insert(&initial);
        self.parents.push(&[Parent { state: u32::MAX, label: 0 }]);
        self.note_shown(0, None);
        let mut ids = vec![0; width];
        let mut next = vec![0; width];
        let states_max = self.options.states_max.min(u64::from(u32::MAX) - 1);
        let mut number = 0;
        loop {
            // What was made is looked up many at a time; one at a time near the limit, and where a move is judged by
            // what was seen before it.
            let made = self.made.moves.len();
            let full = made >= BATCH || (self.options.partial_order && made > 0);
            let near = u64::from(self.store.len()) + made as u64 >= states_max;
            if full || near || number >= self.store.len() {
                self.look_up();
            }
            let decided = |property| self.witnesses.contains_key(property);
            if number >= self.store.len() || (!self.options.visit_all && properties.iter().all(decided)) {
                self.look_up();
                return Ok(None);
            }
            if self.options.first_alone && properties.iter().any(decided) {
                self.look_up();
                return Ok(Some("another property was decided first".into()));
            }
            if u64::from(self.store.len()) >= states_max {
                return Ok(Some(format!("more than {} states", self.store.len())));
            }
            if number.is_multiple_of(4096) {
                let limit = if stop() {
                    Some("time was up")
                } else if self.bytes() > self.options.memory_max {
                    Some("memory was up")
                } else {
                    None
                };
                if let Some(limit) = limit {
                    self.look_up();
                    return Ok(Some(format!("the {limit} after {} states", self.store.len())));
                }
            }
            self.store.take(number, &mut ids);
            if !(self.options.partial_order && self.expand_alone(number, &ids, &mut next)?) {
                self.expand(number, &ids, &mut next)?;
            }
            if self.undisciplined && self.options.partial_order {
                return Ok(None);
            }
            self.made.moves.push((number, None));
            number += 1;
        }
    }

    /// Looks up where the moves lead that were made.
    fn look_up(&mut self) {
        let width = self.initial.len();
        self.store.warm(&self.made.targets);
        let mut targets = self.made.targets.chunks_exact(width);
        for (state, edge) in &self.made.moves {
            let Some(edge) = edge else {
                if let Some(graph) = &mut self.graph {
                    graph.close_state();
                }
                continue;
            };
            let Some(next) = targets.next() else { break };
            let (target, new) = self.store.insert(next);
            self.transitions += 1;
            if new {
                self.parents.push(&[Parent { state: *state, label: edge.label() }]);
            }
            if let Some(graph) = &mut self.graph {
                graph.add(edge.to(target));
            }
        }
        self.made.targets.clear();
        self.made.moves.clear();
    }

    fn expand(&mut self, number: u32, ids: &[PartId], next: &mut [PartId]) -> Result<(), ModelError> {
        for at in 0..ids.len() - 1 {
            if self.options.symmetry && ids[..at].contains(&ids[at]) {
                continue; // the same part of the same kind: the same moves
            }
            for action in 0..self.moves.info(ids[at]).actions.len() {
                self.take(number, ids, next, at, action)?;
            }
        }
        Ok(())
    }

    /// Takes the moves of one action from a state.
    fn take(
        &mut self,
        state: u32,
        ids: &[PartId],
        next: &mut [PartId],
        at: usize,
        action: usize,
    ) -> Result<(), ModelError> {
        let thread = self.moves.info(ids[at]).actions[action].thread;
        let successors = self.moves.successors(ids, at, action)?;
        self.note_outcomes(state, at, thread, successors.clone());
        for number in successors {
            let successor = self.moves.successor(number);
            let edge = Edge::new(at, thread, successor);
            next.copy_from_slice(ids);
            self.moves.apply(next, at, successor)?;
            if !self.moves.shown.is_empty() {
                self.note_shown(state, Some(edge));
            }
            self.canonical(next);
            self.made.targets.extend_from_slice(next);
            self.made.moves.push((state, Some(edge)));
        }
        Ok(())
    }

    /// Expands a state by one move alone, if there is one that commutes with all that the others may do before it, that
    /// nothing sees, and that leads to new states only (else it might be put off for ever).
    fn expand_alone(&mut self, number: u32, ids: &[PartId], next: &mut [PartId]) -> Result<bool, ModelError> {
        for at in 0..ids.len() - 1 {
            let info = self.moves.info(ids[at]);
            if !info.alone || info.actions.len() != 1 {
                continue;
            }
            let requests = info.actions[0].lock.is_some_and(|(_, _, waits)| !waits) && info.held == [0, 0];
            if !(info.actions[0].reads_under_lock || requests) {
                continue;
            }
            let thread = info.actions[0].thread;
            let successors = self.moves.successors(ids, at, 0)?;
            self.note_outcomes(number, at, thread, successors.clone());
            let seen = |number: u32| {
                let successor = self.moves.successor(number);
                successor.granted > 0 || successor.visible()
            };
            if successors.is_empty() || successors.clone().any(seen) {
                continue;
            }
            let mut ahead = next.to_vec();
            let mut new = true;
            for successor in successors.map(|number| self.moves.successor(number)).collect::<Vec<_>>() {
                ahead.copy_from_slice(ids);
                self.moves.apply(&mut ahead, at, successor)?;
                if !self.moves.shown.is_empty() {
                    self.note_shown(number, Some(Edge::new(at, thread, successor)));
                }
                self.canonical(&mut ahead);
                new &= !self.store.contains(&ahead);
            }
            if new {
                self.take(number, ids, next, at, 0)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sorts the parts of processes that are described alike.
    pub(super) fn canonical(&self, ids: &mut [PartId]) {
        if !self.options.symmetry {
            return;
        }
        let last = ids.len() - 1;
        for index in 1..last {
            let mut at = index;
            while let Some(before) = (0..at).rev().find(|other| self.same_kind(ids[*other], ids[at])) {
                if ids[before] <= ids[at] {
                    break;
                }
                ids.swap(before, at);
                at = before;
            }
        }
    }

    fn same_kind(&self, one: PartId, other: PartId) -> bool {
        self.moves.local(one).kind == self.moves.local(other).kind
    }

    /// Notes what the moves to `successors` have shown, if they were worked out just now.
    fn note_outcomes(&mut self, state: u32, at: usize, thread: u8, successors: Range<u32>) {
        if self.moves.shown.is_empty() {
            return;
        }
        for (branch, shown) in std::mem::take(&mut self.moves.shown) {
            let mut outcomes = successors.clone().map(|number| self.moves.successor(number));
            let edge = outcomes.find(|successor| successor.branch == branch);
            self.note(shown, state, edge.map(|successor| Edge::new(at, thread, successor)));
        }
    }

    fn note_shown(&mut self, state: u32, edge: Option<Edge>) {
        for (_, shown) in std::mem::take(&mut self.moves.shown) {
            self.note(shown, state, edge);
        }
    }

    fn note(&mut self, shown: Shown, state: u32, edge: Option<Edge>) {
        match shown {
            Shown::Wrong((property, text)) => {
                self.witnesses.entry(property).or_insert(Witness { state, edge, text });
            }
            Shown::Order(first, second) => {
                let new = self.orders.entry(first.clone()).or_default().insert(second.clone());
                if new
                    && !self.witnesses.contains_key(&Property::Ordered)
                    && let Some(text) = order::cycle(&self.orders, &first, &second)
                {
                    self.witnesses.insert(Property::Ordered, Witness { state, edge, text });
                }
            }
            Shown::Undisciplined => self.undisciplined = true,
        }
    }

    fn judge(&mut self, property: Property, limit: &Limit, stop: &dyn Fn() -> bool) -> Result<Finding, ModelError> {
        let pass = |detail: String| match limit {
            Some(limit) => Finding { property, verdict: Verdict::Cut(limit.clone()), detail, trace: None },
            None => Finding { property, verdict: Verdict::Proved, detail, trace: None },
        };
        if let Some(witness) = self.witnesses.get(&property).cloned() {
            let steps = self.steps_to(witness.state, witness.edge);
            let trace = self.retrace(&steps, &[], Some(&witness.text))?;
            let verdict = if property == Property::ParallelReads { Verdict::Proved } else { Verdict::Violated };
            return Ok(Finding { property, verdict, detail: witness.text, trace: Some(trace) });
        }
        match property {
            Property::ParallelReads if limit.is_none() => {
                let detail = "in no run does a read begin and return while another reader is inside".into();
                Ok(Finding { property, verdict: Verdict::Violated, detail, trace: None })
            }
            Property::NoDeadlock | Property::CrashSafe => {
                let Some(graph) = &self.graph else { return Ok(pass(String::new())) };
                let after_kill = property == Property::CrashSafe;
                let Some(stuck) = graph::first_stuck(graph, &self.store, &self.moves, after_kill) else {
                    return Ok(pass(String::new()));
                };
                let mut steps = self.steps_to(stuck.state, None);
                let rest = graph::to_standstill(graph, &self.store, &self.moves, &stuck);
                let text = match rest.last() {
                    Some(edge) => graph::standstill(&self.moves, self.store.get(edge.target())),
                    None => stuck.text,
                };
                steps.extend(rest);
                let mut trace = self.retrace(&steps, &[], None)?;
                if let Some(last) = trace.events.last_mut() {
                    last.wrong = Some(text.clone());
                }
                Ok(Finding { property, verdict: Verdict::Violated, detail: text, trace: Some(trace) })
            }
            Property::NoStarvationWeak | Property::NoStarvationStrong => {
                let Some(graph) = &self.graph else { return Ok(pass(String::new())) };
                let strong = property == Property::NoStarvationStrong;
                let mut starvation = Starvation::of(graph, &self.store, &self.moves);
                let stopped = || {
                    let limit = format!("the time was up after {} states, in the search for cycles", self.store.len());
                    Finding { property, verdict: Verdict::Cut(limit), detail: String::new(), trace: None }
                };
                let Some(found) = starvation.find(strong, stop) else { return Ok(stopped()) };
                let Some(lasso) = found else {
                    return Ok(starvation.overtaking(stop).map_or_else(stopped, pass));
                };
                let steps = self.steps_to(lasso.start, None);
                let trace = self.retrace(&steps, &lasso.cycle, None)?;
                Ok(Finding { property, verdict: Verdict::Violated, detail: lasso.text, trace: Some(trace) })
            }
            _ => Ok(pass(String::new())),
        }
    }
}
