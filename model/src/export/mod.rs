//! A system in the language of another tool, as a second opinion on the explorer: Promela, for SPIN.
//!
//! What is exported is the *learned automata* of the calls ([`automaton`](crate::automaton)), without the numbers of
//! stamps, objects and times, and the *world*, which is Promela's own text (`world.pml`): SPIN itself decides which step
//! is possible, what it does and in which orders the threads take them, and judges the properties (`monitors.pml`). An
//! outcome that our explorer did not see while it learned is a failing assertion, so a state that it missed is one that
//! SPIN stops at.

mod edge;
mod judges;
mod layout;
mod node;
mod promela;
mod registers;
mod relations;
mod script;
mod symbolic;

pub use promela::{macro_of, promela};

use crate::step::ModelError;

/// Why a system cannot be exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// It has what the text has no words for.
    #[error("Promela is not written for: {}", .0.join("; "))]
    Features(Vec<String>),
    /// There is no end to what would have to be learned.
    #[error("not everything that operations can come to was learned: more than {0} states")]
    States(u64),
    /// A protocol that looks at what means nothing.
    #[error("protocol {protocol} does what depends on the number of a stamp or an object, which means nothing")]
    Numbers {
        /// Its name.
        protocol: &'static str,
    },
    /// The automata cannot be learned.
    #[error(transparent)]
    Model(#[from] ModelError),
}
