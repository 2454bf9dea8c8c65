//! Local runs: what a process with one thread does to its own cells and mutexes is nobody else's business, and is one
//! step with the operation before it, or at the beginning of a call with the operation after it.
//!
//! A call begins as late and returns as early as it can: so the time in which an answer may have been true is as short
//! as any schedule can make it.

use crate::monitor;
use crate::op::{Mode, Op};
use crate::property::Property;
use crate::state::{Local, Model};

/// The most operations of one local run; more do not end.
pub(super) const RUN_MAX: usize = 20_000;

/// Whether the next operation of `thread` is nobody else's business.
#[must_use]
pub(super) fn is_silent(model: &Model<'_>, local: &Local, thread: usize) -> bool {
    let alone = local.threads.iter().enumerate().all(|(index, other)| index == thread || other.done.is_some());
    if !alone || local.threads.get(thread).is_none_or(|state| state.done.is_some()) {
        return false;
    }
    let memory = &local.memory;
    match model.automaton.node(local.threads[thread].node).op() {
        Some(op) if ends_drivers(model, op) => false,
        Some(Op::Get { .. } | Op::Set { .. } | Op::New | Op::WriteTemp { .. } | Op::Sync { .. }) => true,
        Some(Op::MutexLock { mutex }) => !memory.mutexes.contains_key(mutex),
        Some(Op::MutexUnlock { mutex }) => memory.mutexes.contains_key(mutex),
        Some(Op::RwLock { mutex, mode }) => {
            memory.rw_mutexes.get(mutex).is_none_or(|state| *mode == Mode::Shared && state.writer.is_none())
        }
        Some(Op::RwUnlock { mutex, .. }) => memory.rw_mutexes.contains_key(mutex),
        Some(Op::Probe { file, .. }) => !local.locks.contains_key(&model.system.inode(file)),
        _ => false,
    }
}

/// Whether the operation changes what `driver-alive` remembers of all processes.
#[must_use]
pub(super) fn ends_drivers(model: &Model<'_>, op: &Op) -> bool {
    monitor::is_cleanup(op) && model.watched.contains(&Property::DriverAlive)
}

/// Whether `thread` is between two calls: a local run does not go past that.
#[must_use]
pub(super) fn is_between_calls(local: &Local, thread: usize) -> bool {
    local.threads.get(thread).is_none_or(|state| !state.begun)
}
