//! The way back from a state to the run that leads to it, one operation at a time.

use super::describe::KILL;
use super::graph::Edge;
use super::merge::{RUN_MAX, is_between_calls, is_silent};
use super::parts::PartId;
use super::search::Search;
use crate::machine::Machine;
use crate::schedule::Step;
use crate::step::ModelError;
use crate::trace::{Event, Trace};

impl Search<'_, '_> {
    /// The moves from the start to a state, and one more.
    pub(super) fn steps_to(&self, mut state: u32, last: Option<Edge>) -> Vec<Edge> {
        let mut edges: Vec<Edge> = last.into_iter().collect();
        while state != 0 {
            let parent = self.parents.get(state)[0];
            edges.push(Edge::labelled(parent.label));
            state = parent.state;
        }
        edges.reverse();
        edges
    }

    /// Runs moves again, one operation at a time. With symmetry a move names a place in a sorted state: the process in
    /// that place is found by sorting along.
    pub(super) fn retrace(&mut self, stem: &[Edge], cycle: &[Edge], wrong: Option<&str>) -> Result<Trace, ModelError> {
        let system = self.moves.model.system;
        let mut machine = Machine::watching(system, self.moves.model.watched.iter().copied())?;
        machine.model.stamp_order.clone_from(&self.moves.model.stamp_order);
        machine.state = machine.model.initial()?;
        let mut trace = Trace::default();
        let mut ids = self.initial.clone();
        let mut places: Vec<usize> = (0..ids.len() - 1).collect();
        let count = stem.len() + cycle.len();
        self.sort_places(&mut ids, &mut places);
        for (index, edge) in stem.iter().chain(cycle).enumerate() {
            let events = if index < stem.len() { &mut trace.events } else { &mut trace.cycle };
            let process = places[edge.process()];
            self.micro_steps(&mut machine, process, *edge, events)?;
            if index + 1 < count {
                self.follow(&mut ids, *edge)?;
                self.sort_places(&mut ids, &mut places);
            }
        }
        let noted = |text: &str| trace.events.iter().any(|event| event.wrong.as_deref() == Some(text));
        if let Some(text) = wrong.filter(|text| !noted(text))
            && let Some(last) = trace.events.last_mut()
        {
            last.wrong = Some(text.into());
        }
        Ok(trace)
    }

    fn sort_places(&self, ids: &mut [PartId], places: &mut [usize]) {
        if !self.options.symmetry {
            return;
        }
        let mut order: Vec<usize> = (0..places.len()).collect();
        let before = ids.to_vec();
        let mut sorted = ids.to_vec();
        self.canonical(&mut sorted);
        // Which old place each new one came from: the first unused one with that part.
        let mut used = vec![false; places.len()];
        for (new, slot) in order.iter_mut().enumerate() {
            let from = (0..places.len()).find(|old| !used[*old] && before[*old] == sorted[new]).unwrap_or(new);
            used[from] = true;
            *slot = from;
        }
        let old_places = places.to_vec();
        for (new, from) in order.into_iter().enumerate() {
            places[new] = old_places[from];
        }
        ids.copy_from_slice(&sorted);
    }

    fn follow(&mut self, ids: &mut [PartId], edge: Edge) -> Result<(), ModelError> {
        let at = edge.process();
        let action = self.moves.info(ids[at]).actions.iter().position(|action| action.thread == edge.thread());
        let Some(action) = action else { return Ok(()) };
        let mut successors = self.moves.successors(ids, at, action)?.map(|number| self.moves.successor(number));
        match successors.find(|successor| successor.branch == edge.branch()) {
            Some(successor) => self.moves.apply(ids, at, successor),
            None => Ok(()),
        }
    }

    /// The operations of one move.
    fn micro_steps(
        &self,
        machine: &mut Machine<'_>,
        process: usize,
        edge: Edge,
        events: &mut Vec<Event>,
    ) -> Result<(), ModelError> {
        let number = u8::try_from(process).unwrap_or(u8::MAX);
        if edge.thread() == KILL {
            events.push(machine.step(Step::Kill { process: number })?);
            return Ok(());
        }
        let thread = usize::from(edge.thread());
        let step = |branch| Step::Run { process: number, thread: edge.thread(), branch };
        let silent = |machine: &Machine<'_>| {
            self.options.merge && is_silent(&machine.model, &machine.state.locals[process], thread)
        };
        let between = |machine: &Machine<'_>| is_between_calls(&machine.state.locals[process], thread);
        let before = events.len();
        for _ in 0..RUN_MAX {
            if !silent(machine) {
                break;
            }
            events.push(machine.step(step(0))?);
            if between(machine) {
                return Ok(());
            }
        }
        match machine.try_step(step(edge.branch()))? {
            Some(performed) => events.push(performed.event),
            None if events.len() > before => return Ok(()), // it blocked itself
            None => events.push(machine.step(step(edge.branch()))?),
        }
        for _ in 0..RUN_MAX {
            if between(machine) || !silent(machine) {
                break;
            }
            events.push(machine.step(step(0))?);
        }
        Ok(())
    }
}
