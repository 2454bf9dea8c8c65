//! Engines that run the futures of a protocol themselves, beside the explorer: a second opinion on the same text.
//!
//! They judge safety, on finite runs: [`judges`] says which properties. What an engine has no means for is an
//! [`Error`], and every limit that it meets is in the verdict.

mod driver;
mod happens_before;
pub mod loom;
mod plan;
mod quiet;
mod replay;
pub mod shuttle;

use std::collections::BTreeMap;

use crate::automaton::LearnError;
use crate::property::Property;
use crate::step::ModelError;
use crate::verdict::{Extent, Finding};

/// What an engine found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// One for each property that was asked for, in that order.
    pub findings: Vec<Finding>,
    /// How many executions it took.
    pub extent: Extent,
    /// Of each violated property, the engine's own text for the schedule that shows it, if it has one: shuttle's is what
    /// `shuttle::replay` takes.
    pub own_schedules: BTreeMap<Property, String>,
    /// Of a search by PCT: a bound on the probability that a bug of the depth asked for was missed.
    pub miss_max: Option<f64>,
}

/// Why an engine does not run a system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The system has something that the engine has no means for.
    #[error("{engine} cannot run this scenario: {why}")]
    Unsupported {
        /// The engine's name.
        engine: &'static str,
        /// What it has no means for.
        why: String,
    },
    /// The engine does not judge that property.
    #[error("{engine} does not judge {property}")]
    Property {
        /// The engine's name.
        engine: &'static str,
        /// The property.
        property: Property,
    },
    /// A mistake of a protocol.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// A limit of the model, or [`ModelError::Unrepeated`]: each violation is run again by the machine.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Whether loom and shuttle judge `property`: not what is judged on endless runs, not the wish `parallel-reads`, for which
/// it counts at which moment within a step a reader leaves, and not what only the explorer's monitors remember. `no-deadlock` they judge where a finite run gets stuck.
#[must_use]
pub fn judges(property: Property) -> bool {
    let endless = matches!(property, Property::NoStarvationWeak | Property::NoStarvationStrong);
    let explored = matches!(property, Property::ReadOnly | Property::NoNeedlessLoad | Property::DriverAlive);
    !endless && !explored && property != Property::ParallelReads
}

/// `1 execution`, `2 executions`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
