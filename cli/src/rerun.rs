//! A schedule, run again in the model.

use lockproof_model::machine::{Machine, Pending};
use lockproof_model::property::Property;
use lockproof_model::schedule::Schedule;
use lockproof_model::step::ModelError;
use lockproof_model::system::System;
use lockproof_model::trace::Trace;

/// What came of it.
pub(crate) struct Rerun {
    pub(crate) trace: Trace,
    /// What each thread that is not done stands before at the end.
    pub(crate) pending: Vec<Pending>,
}

/// Runs a schedule, its cycle once, and marks what is wrong with these properties. A data race is two threads that stand
/// before accesses to one cell: it is marked at the last step.
///
/// # Errors
/// [`ModelError::Impossible`] with the number of the step that is not possible; a mistake of a protocol; a limit.
pub(crate) fn run(system: &System, schedule: &Schedule, properties: &[Property]) -> Result<Rerun, ModelError> {
    let mut machine = Machine::watching(system, properties.iter().copied())?;
    let mut trace = machine.run(schedule)?;
    if properties.contains(&Property::NoDataRace)
        && let (Some((_, text)), Some(last)) = (machine.data_race(), trace.events.last_mut())
    {
        last.wrong.get_or_insert(text);
    }
    Ok(Rerun { trace, pending: machine.pending() })
}
