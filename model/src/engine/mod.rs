//! Engines that run the futures of a protocol themselves, beside the explorer: a second opinion on the same text.
//!
//! They judge safety, on finite runs: [`judges`] says which properties. What an engine has no means for is an
//! [`Error`], and every limit that it meets is in the verdict.

pub mod loom;

use std::collections::BTreeMap;

use crate::automaton::LearnError;
use crate::property::Property;
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
}

/// Whether loom and shuttle judge `property` at all. Whether they can in a given system, `check` says.
#[must_use]
pub fn judges(property: Property) -> bool {
    match property {
        Property::Fresh
        | Property::NoLostUpdate
        | Property::NoPanic
        | Property::NoDeadlock
        | Property::NoDataRace
        | Property::NoError
        | Property::Exclusive => true,
        Property::NoStarvationWeak
        | Property::NoStarvationStrong
        | Property::ParallelReads
        | Property::CrashSafe
        | Property::ReadOnly
        | Property::Ordered => false,
    }
}
