//! What a check found. A search that was cut is never a pass.

use crate::property::Property;
use crate::trace::Trace;

/// What is known of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds in all states (of `parallel-reads`: a run shows it).
    Proved,
    /// It does not.
    Violated,
    /// It holds within a bound, which was reached.
    Bounded(String),
    /// No violation in a number of schedules.
    Sampled(String),
    /// A limit stopped the search before there was an answer.
    Cut(String),
}

impl Verdict {
    /// The name, as scenarios and reports write it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Proved => "proved",
            Verdict::Violated => "violated",
            Verdict::Bounded(_) => "bounded",
            Verdict::Sampled(_) => "sampled",
            Verdict::Cut(_) => "cut",
        }
    }

    /// Whether it is an answer; two engines whose answers differ contradict each other.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        matches!(self, Verdict::Proved | Verdict::Violated)
    }

    /// Whether a single run shows it: a counterexample, or the run that a [wish](Property::is_wish) asks for.
    #[must_use]
    pub fn is_shown_by_a_run(&self, property: Property) -> bool {
        *self == if property.is_wish() { Verdict::Proved } else { Verdict::Violated }
    }
}

/// The verdict on one property, and what it rests on.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The property.
    pub property: Property,
    /// The verdict.
    pub verdict: Verdict,
    /// In a sentence, what was found: which lock starves, what was lost, how often a waiter is overtaken.
    pub detail: String,
    /// The run that shows it: a counterexample, or the witness of `parallel-reads`.
    pub trace: Option<Trace>,
}

/// How far a search went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Distinct states that were reached.
    pub states: u64,
    /// Transitions between them that were taken.
    pub transitions: u64,
    /// Executions that were run, of an engine that runs them one by one.
    pub executions: u64,
}
