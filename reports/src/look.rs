//! Who keeps whom: what a thread waits for, or stands before, and who is in its way.

use lockproof_model::machine::Pending;
use lockproof_model::op::{CellName, Mode, Op, Path};
use lockproof_model::value::Value;

use crate::ledger::Ledger;
use crate::names::{Lane, Names, cell_name, letter, nth, rw_mutex_of};

/// A look at who holds what at a moment of the trace.
pub(crate) struct Look<'a> {
    pub(crate) names: &'a Names<'a>,
    pub(crate) ledger: &'a Ledger,
}

impl Look<'_> {
    /// `W(layers) waits for reader`.
    pub(crate) fn waits(&self, lane: Lane, op: &Op) -> String {
        let (what, whom) = self.wait(lane, op);
        if whom.is_empty() { format!("{what} waits") } else { format!("{what} waits for {}", whom.join(" and ")) }
    }

    /// `reader waits for W(layers), held by writer`.
    pub(crate) fn still_waiting(&self, lane: Lane, op: &Op) -> String {
        let (what, whom) = self.wait(lane, op);
        let held = if whom.is_empty() { String::new() } else { format!(", kept from it by {}", whom.join(" and ")) };
        format!("{} waits for {what}{held}", self.names.lane(lane))
    }

    /// What is waited for, and whom.
    fn wait(&self, lane: Lane, op: &Op) -> (String, Vec<String>) {
        let with_mode = |name: String, mode| format!("{name} ({})", letter(mode));
        match op {
            Op::Lock { file, mode, .. } => {
                let holders = self.ledger.holders(lane.0, file, *mode);
                let whom = holders.into_iter().map(|(process, held)| with_mode(self.names.process(process), held));
                (self.names.held(file, *mode), whom.collect())
            }
            Op::MutexLock { mutex } => {
                let holders = self.ledger.mutex_holders(lane, mutex, Mode::Exclusive);
                (cell_name(mutex), holders.into_iter().map(|(thread, _)| nth(thread)).collect())
            }
            Op::RwLock { mutex, mode } => {
                let holders = self.ledger.mutex_holders(lane, mutex, *mode);
                let what = rw_mutex_of(mutex).map(|path| self.names.held(&path, *mode));
                let whom = holders.into_iter().map(|(thread, held)| with_mode(nth(thread), held)).collect();
                (what.unwrap_or_else(|| format!("{}({})", letter(*mode), cell_name(mutex))), whom)
            }
            Op::Join { thread } => (format!("goroutine {thread}"), Vec::new()),
            _ => ("a step".to_owned(), Vec::new()),
        }
    }

    pub(crate) fn held_by(&self, process: u8, file: &Path, mode: Mode) -> String {
        let holders = self.ledger.holders(process, file, mode);
        let names: Vec<String> = holders.into_iter().map(|(other, _)| self.names.process(other)).collect();
        if names.is_empty() { String::new() } else { format!(", held by {}", names.join(" and ")) }
    }

    /// What a thread that does not wait yet stands before, if it cannot go on: `delete stands before W(a), kept from it
    /// by pull (R)`; or if it races with another of `all`: `daemon.T1 stands before a write of s.layerStore`. Of the
    /// thread that is `blamed`, also the lock that it could have.
    pub(crate) fn standing(&self, pending: &Pending, all: &[Pending], blamed: Option<Lane>) -> Option<String> {
        let lane = (pending.process, pending.thread);
        if self.ledger.waiting.contains_key(&lane) {
            return None;
        }
        let op = pending.op.as_ref()?;
        let name = self.names.lane(lane);
        if let Some((cell, writes)) = access(op) {
            let races = |other: &Pending| {
                (other.process == lane.0 && other.thread != lane.1)
                    && other.op.as_ref().and_then(access).is_some_and(|(its, also)| its == cell && (writes || also))
            };
            let what = if writes { "a write" } else { "a read" };
            return all.iter().any(races).then(|| format!("{name} stands before {what} of {}", cell_name(cell)));
        }
        let Op::Lock { .. } = op else { return None };
        let (what, whom) = self.wait(lane, op);
        match whom.is_empty() {
            true => (blamed == Some(lane)).then(|| format!("{name} stands before {what}")),
            false => Some(format!("{name} stands before {what}, kept from it by {}", whom.join(" and "))),
        }
    }
}

/// The plain cell that an operation is on, and whether it writes it.
fn access(op: &Op) -> Option<(&CellName, bool)> {
    match op {
        Op::Get { cell } => Some((cell, false)),
        Op::Set { cell, .. } => Some((cell, true)),
        _ => None,
    }
}

/// The lock file that an operation is on, or that protects the document that it is on.
pub(crate) fn file_of(op: &Op) -> Option<&Path> {
    match op {
        Op::Lock { file, .. }
        | Op::Close { file }
        | Op::Probe { file, .. }
        | Op::ReadStamp { file }
        | Op::WriteStamp { file }
        | Op::Mtime { file } => Some(file),
        Op::Read { document }
        | Op::WriteTemp { document, .. }
        | Op::Sync { document }
        | Op::Rename { document, .. } => Some(&document.lock),
        _ => None,
    }
}

/// Whether an operation gives a document other contents.
pub(crate) fn changes(op: &Op) -> bool {
    matches!(op, Op::Rename { base, value, .. } if !alike(base, value))
}

/// A document that does not exist and an empty one are alike to a writer.
pub(crate) fn alike(a: &Value, b: &Value) -> bool {
    a == b || [a, b].iter().all(|v| matches!(v, Value::Nil) || **v == Value::List(Vec::new()))
}
