//! What happened in a run, step by step, for people and for comparison with real processes.

use serde::{Deserialize, Serialize};

use crate::call::{Call, Reply};
use crate::op::{Note, Op, Outcome};
use crate::schedule::{Schedule, Step};

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The operation is done, with this outcome.
    Done(Outcome),
    /// The thread has to wait: for a lock file, a mutex, a goroutine.
    Waits,
    /// The process is dead: a kill, or a panic.
    Died,
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Who.
    pub step: Step,
    /// The call that begins with this step.
    pub begins: Option<Call>,
    /// The call that it belongs to; `None` of a kill.
    pub call: Option<Call>,
    /// The operation; `None` of a kill.
    pub op: Option<Op>,
    /// What it did.
    pub effect: Effect,
    /// What the thread noted right after it.
    pub notes: Vec<Note>,
    /// What the call returned, if it ends with this step.
    pub ends: Option<Reply>,
    /// What is wrong from here on, in words, if a property is violated by this step.
    pub wrong: Option<String>,
}

/// A run: its events, and those of the cycle that may be repeated after them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The events.
    pub events: Vec<Event>,
    /// The cycle of a lasso; empty where there is none.
    pub cycle: Vec<Event>,
}

impl Trace {
    /// The schedule that repeats it.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let steps = |events: &[Event]| events.iter().map(|event| event.step).collect();
        Schedule { steps: steps(&self.events), cycle: steps(&self.cycle) }
    }
}
