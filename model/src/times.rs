//! Times are ranks, and are made dense again after every step, so that endless scenarios stay finite.
//!
//! A coarse time is an even rank, a fine one the odd rank behind the tick in which it was taken. Coarse times that
//! nothing holds are left out; the fine times between two coarse ones that are left share a rank, for they are compared
//! with coarse times only. But when a protocol is learned for another tool ([`Model::instants_apart`]) they are kept apart:
//! there, what a call holds is in registers, and two of them do not become one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::automaton::{Automaton, LearnError};
use crate::call::Call;
use crate::state::{Local, Model, Shared, State};
use crate::value::{Instant, Mtime, Value};

/// The new rank of each rank that is held.
pub type Renaming = BTreeMap<u64, u64>;

/// Adds the ranks inside `value`.
pub fn ranks_in(value: &Value, into: &mut BTreeSet<u64>) {
    value.walk(&mut |leaf| match leaf {
        Value::Mtime(Mtime(rank)) | Value::Instant(Instant(rank)) => {
            into.insert(*rank);
        }
        _ => {}
    });
}

/// The ranks that a process holds.
#[must_use]
pub fn of_local(local: &Local, automaton: &Automaton) -> BTreeSet<u64> {
    let mut ranks = BTreeSet::new();
    for value in local.memory.cells.values() {
        ranks_in(value, &mut ranks);
    }
    for thread in &local.threads {
        match &thread.done {
            Some(value) => ranks_in(value, &mut ranks),
            None => ranks.extend(&automaton.node(thread.node).times),
        }
        if let Some(Call::Goroutine { arguments, .. }) = thread.goroutine.as_deref().map(Call::plain) {
            ranks_in(arguments, &mut ranks);
        }
    }
    ranks
}

/// The ranks that files and the clock hold.
#[must_use]
pub fn of_shared(shared: &Shared) -> BTreeSet<u64> {
    let mut ranks: BTreeSet<u64> = shared.mtimes.values().copied().collect();
    ranks.insert(shared.clock);
    for value in shared.documents.values() {
        ranks_in(value, &mut ranks);
    }
    ranks
}

/// How to make `ranks` dense, the fine times between two coarse ones `apart` or not; `None` if they are.
#[must_use]
pub fn renaming(ranks: &BTreeSet<u64>, apart: bool) -> Option<Renaming> {
    let mut coarse = 0;
    let mut renaming = Renaming::new();
    for &rank in ranks {
        let new = if rank == 0 {
            0
        } else if rank.is_multiple_of(2) {
            coarse += 2;
            coarse
        } else {
            if apart && renaming.last_key_value().is_some_and(|(_, last)| *last == coarse + 1) {
                coarse += 2;
            }
            coarse + 1
        };
        renaming.insert(rank, new);
    }
    renaming.iter().any(|(old, new)| old != new).then_some(renaming)
}

fn rename_leaf(renaming: &Renaming, leaf: &Value) -> Value {
    let new = |rank: u64| renaming.get(&rank).copied().unwrap_or(rank);
    match leaf {
        Value::Mtime(Mtime(rank)) => Value::Mtime(Mtime(new(*rank))),
        Value::Instant(Instant(rank)) => Value::Instant(Instant(new(*rank))),
        other => other.clone(),
    }
}

/// Renames the ranks of a process.
///
/// # Errors
/// A mistake of its protocol.
pub fn rename_local(model: &mut Model<'_>, local: &mut Local, renaming: &Renaming) -> Result<(), LearnError> {
    if of_local(local, &model.automaton).is_empty() {
        return Ok(());
    }
    let rename = |leaf: &Value| rename_leaf(renaming, leaf);
    for value in Arc::make_mut(&mut Arc::make_mut(&mut local.memory).cells).values_mut() {
        *value = Arc::new(value.map_leaves(&rename));
    }
    for thread in &mut local.threads {
        if let Some(Call::Goroutine { arguments, .. }) =
            thread.goroutine.as_mut().map(Arc::make_mut).map(Call::plain_mut)
        {
            *arguments = arguments.map_leaves(&rename);
        }
        match &mut thread.done {
            Some(value) => *value = value.map_leaves(&rename),
            None if model.automaton.node(thread.node).times.is_empty() => {}
            None => thread.node = model.automaton.renamed(thread.node, &rename)?,
        }
    }
    Ok(())
}

/// Renames the ranks of files and the clock.
pub fn rename_shared(shared: &mut Shared, renaming: &Renaming) {
    let new = |rank: u64| renaming.get(&rank).copied().unwrap_or(rank);
    shared.clock = new(shared.clock);
    for value in shared.documents.values_mut() {
        *value = value.map_leaves(&|leaf| rename_leaf(renaming, leaf));
    }
    for rank in shared.mtimes.values_mut() {
        *rank = new(*rank);
    }
}

/// Makes the times of a state dense.
///
/// # Errors
/// A mistake of a protocol.
pub fn normalise(model: &mut Model<'_>, state: &mut State) -> Result<(), LearnError> {
    if state.shared.mtimes.is_empty() {
        return Ok(());
    }
    let mut ranks = of_shared(&state.shared);
    for local in &state.locals {
        ranks.extend(of_local(local, &model.automaton));
    }
    if let Some(renaming) = renaming(&ranks, model.instants_apart) {
        for local in &mut state.locals {
            rename_local(model, local, &renaming)?;
        }
        rename_shared(&mut state.shared, &renaming);
    }
    Ok(())
}
