//! The explorer: every reachable state of a system, once.
//!
//! Breadth-first, so that the first counterexample is a shortest one. Sound for safety and, without symmetry and
//! partial-order reduction, for liveness under a stated fairness.
//!
//! A state is stored whole, as one number for each process and one for what they share; that is no larger than a
//! fingerprint with what is needed to expand it, and leaves nothing to chance. [`Options::fingerprint`] stores 8 bytes
//! of each state instead, for the largest searches.

mod describe;
mod graph;
mod merge;
mod moves;
pub(crate) mod order;
mod parts;
mod retrace;
mod scc;
mod search;
mod starvation;
mod store;
mod work;

use std::collections::BTreeSet;

use crate::automaton::Automaton;
use crate::property::Property;
use crate::state::Model;
use crate::step::ModelError;
use crate::system::System;
use crate::value::Stamp;
use crate::verdict::{Extent, Finding};

/// How to explore.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most states that are stored.
    pub states_max: u64,
    /// The most memory that states and transitions may take, in bytes; the tables of parts are not counted.
    pub memory_max: u64,
    /// Whether processes that are described alike are exchanged.
    pub symmetry: bool,
    /// Whether moves that commute with all others are taken alone.
    pub partial_order: bool,
    /// Whether a process's own operations are merged into one step.
    pub merge: bool,
    /// Whether 8 bytes of each state are stored instead of the whole.
    pub fingerprint: bool,
    /// Whether to visit every state even when every property has its witness already.
    pub visit_all: bool,
    /// Whether to end at the first property that has a witness; those that have none then are
    /// [`Cut`](crate::verdict::Verdict::Cut).
    pub first_alone: bool,
    /// The order in which numbers are given to fresh stamps; `None` for ascending. Verdicts do not depend on it.
    pub stamp_order: Option<Vec<Stamp>>,
    /// The fields of memory whose data races are left out, by name: `s.graphDriver`. A data race that is known hides every
    /// other one.
    pub races_left_out: BTreeSet<String>,
    /// Whether each data race that is met is left out from then on, instead of violating anything. The report says which.
    pub leaves_races_out: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            states_max: 200_000_000,
            memory_max: 8 << 30,
            symmetry: true,
            partial_order: true,
            merge: true,
            fingerprint: false,
            visit_all: false,
            first_alone: false,
            stamp_order: None,
            races_left_out: BTreeSet::new(),
            leaves_races_out: false,
        }
    }
}

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Report {
    /// One for each property that was asked for, in that order.
    pub findings: Vec<Finding>,
    /// How far it went.
    pub extent: Extent,
    /// The bytes that states and transitions took.
    pub bytes: u64,
    /// Of a search with fingerprints: a bound on the probability that a state was missed.
    pub collision_max: Option<f64>,
    /// What was learned of the protocols on the way.
    pub automaton: Automaton,
    /// The fields of memory whose data races were left out.
    pub races_left_out: BTreeSet<String>,
}

/// Explores `system`, no property watched, and returns what was learned of its protocols on the way: every outcome that
/// any operation can come to in it, and no other. `None` if there are more than `states_max` states.
///
/// # Errors
/// A mistake of a protocol, or a limit of the model.
pub fn learn(system: &System, states_max: u64) -> Result<Option<Automaton>, ModelError> {
    let options = Options { states_max, partial_order: false, visit_all: true, ..Options::default() };
    let mut model = Model::new(system, []);
    model.instants_apart = true;
    search::learn(model, &options)
}

/// Explores `system` and judges `properties`. `stop` is asked now and then whether to give up, which makes every
/// property that has no answer yet [`Cut`](crate::verdict::Verdict::Cut).
///
/// # Errors
/// A mistake of a protocol, or a limit of the model.
pub fn check(
    system: &System,
    properties: &[Property],
    options: &Options,
    stop: &dyn Fn() -> bool,
) -> Result<Report, ModelError> {
    let model = |options: &Options| {
        let mut model = Model::new(system, properties.iter().copied());
        if let Some(order) = &options.stamp_order {
            model.stamp_order.clone_from(order);
        }
        model.races_left_out.clone_from(&options.races_left_out);
        model.leaves_races_out = options.leaves_races_out;
        model
    };
    let mut options = options.clone();
    if properties.iter().any(|property| property.is_liveness() || *property == Property::CrashSafe) {
        (options.symmetry, options.partial_order, options.fingerprint) = (false, false, false);
    }
    options.partial_order &= system.crashes == 0;
    match search::run(model(&options), properties, &options, stop)? {
        Some(report) => Ok(report),
        None => {
            // A file was written without its lock: what reads under that lock does not commute with it.
            options.partial_order = false;
            search::run(model(&options), properties, &options, stop)?.ok_or(ModelError::Stamps)
        }
    }
}
