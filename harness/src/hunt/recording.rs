//! An execution written down: the workload, and who does what in which order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Wrong;
use super::build::Build;
use super::execution::Execution;
use super::fault::Fault;
use super::step::Unit;
use super::workload::Workload;

/// The version of a recording.
pub const VERSION: u32 = 2;

/// An execution, to be run again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// [`VERSION`].
    pub version: u32,
    /// What was run against what.
    pub workload: Workload,
    /// What the daemons were, by their names; the last is that of all further ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drivers: Vec<String>,
    /// The property that it violates.
    pub property: String,
    /// How, in words.
    pub detail: String,
    /// Each step: the participant, its process, and what that does.
    pub schedule: Vec<(usize, usize, String)>,
    /// What happened in place of steps, by their numbers from 0.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub faults: BTreeMap<usize, Fault>,
}

impl Recording {
    pub(super) fn of(workload: &Workload, drivers: &[Build], wrong: &Wrong, execution: &Execution) -> Self {
        let step = |step: &super::step::Step| (step.unit.participant, step.unit.process, step.what.to_string());
        Self {
            version: VERSION,
            workload: workload.clone(),
            drivers: drivers.iter().map(Build::as_driver).collect(),
            property: wrong.property.into(),
            detail: wrong.detail.clone(),
            schedule: execution.steps.iter().map(step).collect(),
            faults: (execution.steps.iter().enumerate()).filter_map(|(at, step)| Some((at, step.fault?))).collect(),
        }
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let recording: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if recording.version != VERSION {
            return Err(format!("it has version {}, and version {VERSION} is known here", recording.version));
        }
        Ok(recording)
    }

    /// As JSON.
    #[must_use]
    pub fn write(&self) -> String {
        // Strings and numbers can be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    pub(super) fn steps(&self) -> Vec<(Unit, String)> {
        let step = |(participant, process, what): &(usize, usize, String)| {
            (Unit { participant: *participant, process: *process }, what.clone())
        };
        self.schedule.iter().map(step).collect()
    }
}
