//! Who goes next.

mod bounded;
mod exhaustive;
mod pct;
mod random;
mod recorded;
mod struck;
#[cfg(test)]
mod toy;

pub use bounded::Bounded;
pub use exhaustive::{Exhaustive, Progress};
pub use pct::Pct;
pub use random::Random;
pub use recorded::Recorded;

pub(super) use struck::Struck;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::execution::Execution;
use super::fault::Fault;
use super::step::{Step, Unit};

/// How often an execution that did not go as before is tried again.
pub(crate) const RETRIES: u32 = 5;

/// Decides who goes next, when every process waits for us or for somebody else.
pub trait Strategy {
    /// Called when all processes of an execution rest: which of the steps that are possible is taken, by its index. There is
    /// at least one, and of each unit at most one, in the order of the units. `None` if the rest of the execution is not
    /// worth its time.
    ///
    /// # Errors
    /// If this is not where the strategy has been before: what it expected, and what there is.
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)>;

    /// Called after [`Strategy::choose`], with the step that was chosen: what happens in its place.
    fn fault(&mut self, _: &Step) -> Option<Fault> {
        None
    }

    /// Called after each execution. Returns whether there is another to try.
    fn learn(&mut self, execution: &Execution) -> bool;
}

/// Which execution is tried next: its number where each is drawn by itself, and whose steps it begins with where one leads to
/// the next. Two that begin alike are one execution.
pub(super) type Beginning = (u64, Vec<Unit>);

/// A strategy of which another can run ahead.
pub(super) trait RunsAhead: Strategy + Send {
    /// Which execution is next.
    fn beginning(&self) -> Beginning;

    /// The same again, as it is between two executions.
    fn copy(&self) -> Box<dyn RunsAhead>;

    /// Goes on as if nothing came of the next execution. Returns whether there is another then, as far as can be told.
    fn pass(&mut self) -> bool;

    /// How far it is, if it comes to an end by itself.
    fn progress(&self) -> Option<Progress>;
}

/// The generator of one execution, of all those that a seed gives: the first has the seed's own, each other one that is
/// seeded by it and the number.
fn draws(seed: u64, execution: u64) -> StdRng {
    let mut first = StdRng::seed_from_u64(seed);
    match execution {
        0 => first,
        number => StdRng::seed_from_u64(first.random::<u64>() ^ number),
    }
}

/// The index of the step that was chosen here before.
///
/// # Errors
/// If it is not possible now: what it is, and what there is.
fn chosen_before(chosen: &Step, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
    let found = enabled.iter().position(|step| step.unit == chosen.unit && step.what == chosen.what);
    let possible = || enabled.iter().map(|step| &*step.what).collect::<Vec<_>>().join("; ");
    found.map(Some).ok_or_else(|| (chosen.what.to_string(), possible()))
}
