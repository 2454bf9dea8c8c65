//! Who goes next.

mod bounded;
mod exhaustive;
mod pct;
mod random;
mod recorded;
#[cfg(test)]
mod toy;

pub use bounded::Bounded;
pub use exhaustive::{Exhaustive, Progress};
pub use pct::Pct;
pub use random::Random;
pub use recorded::Recorded;

use super::execution::Execution;
use super::fault::Fault;
use super::step::Step;

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
