//! A thread of a process on its way through a call.

use std::collections::BTreeSet;

use lockproof_model::call::{Call, Reply};
use lockproof_model::ctx::{ProtocolError, Request, Task};
use lockproof_model::op::{Note, Op, Outcome};
use lockproof_model::protocol::Entry;
use lockproof_model::value::Object;
use lockproof_model::world::memory::objects_in;

/// A call under way, and what it asks for.
#[derive(Debug)]
pub(crate) struct Running {
    task: Task,
    /// The operation that it asks for. Never a note, nor the top of a loop.
    pub(crate) op: Op,
    /// The objects that it may still point to.
    pub(crate) held: BTreeSet<Object>,
}

/// Where a call stands.
#[derive(Debug)]
pub(crate) enum At {
    /// Before an operation.
    Op(Running),
    /// At its end.
    End(Reply),
}

/// Where a call stands, and what it noted on its way there.
pub(crate) type Advanced = (Vec<Note>, At);

/// Starts a call, up to its first operation.
pub(crate) fn begin(protocol: &Entry, call: Call) -> Result<Advanced, ProtocolError> {
    let mut held = BTreeSet::new();
    if let Call::Goroutine { arguments, .. } = &call {
        objects_in(arguments, &mut held);
    }
    go_on(Task::new(*protocol, call), None, held)
}

impl Running {
    /// Goes on with the outcome of the operation, up to the next one.
    pub(crate) fn resume(mut self, outcome: Outcome) -> Result<Advanced, ProtocolError> {
        if let Outcome::Value(value) = &outcome {
            objects_in(value, &mut self.held);
        }
        go_on(self.task, Some(outcome), self.held)
    }
}

fn go_on(mut task: Task, mut outcome: Option<Outcome>, held: BTreeSet<Object>) -> Result<Advanced, ProtocolError> {
    let mut notes = Vec::new();
    loop {
        match task.resume(outcome)? {
            Request::Op(Op::Note(note)) => {
                notes.push(note);
                outcome = Some(Outcome::Done);
            }
            // The top of a loop is no step either (`automaton`): the round goes on with the values that it names.
            Request::Op(Op::LoopHead { values, .. }) => outcome = Some(Outcome::Value(values)),
            Request::Op(op) => return Ok((notes, At::Op(Running { task, op, held }))),
            Request::Done(reply) => return Ok((notes, At::End(reply))),
        }
    }
}

/// What `Join` returns of a goroutine that ended.
pub(crate) fn joined(reply: &Reply) -> Outcome {
    Outcome::Value(reply.clone().unwrap_or_default())
}
