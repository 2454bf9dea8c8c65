//! Who holds what while a trace is told: lock files, mutexes, cells, documents.
//!
//! It follows the events and decides nothing; what an event did is in the event.

use std::collections::{BTreeMap, BTreeSet};

use lockproof_model::op::{CellName, LockResult, Mode, Op, Outcome, Path};
use lockproof_model::trace::{Effect, Event};
use lockproof_model::value::Value;

use crate::names::{Lane, lane};

/// What is known after the events so far.
#[derive(Default)]
pub(crate) struct Ledger {
    files: BTreeMap<Path, BTreeMap<u8, Mode>>,
    mutexes: BTreeMap<(u8, CellName), Vec<(u8, Mode)>>,
    cells: BTreeMap<(u8, CellName), Value>,
    documents: BTreeMap<Path, Value>,
    /// What a thread waits for, of those that wait.
    pub(crate) waiting: BTreeMap<Lane, Op>,
}

impl Ledger {
    /// The mode in which a process holds a lock file.
    pub(crate) fn holds(&self, process: u8, file: &Path) -> Option<Mode> {
        self.files.get(file)?.get(&process).copied()
    }

    /// The other processes that keep `process` from locking `file`.
    pub(crate) fn holders(&self, process: u8, file: &Path, mode: Mode) -> Vec<(u8, Mode)> {
        let holders = self.files.get(file).into_iter().flatten();
        holders.filter(|(other, held)| **other != process && held.conflicts(mode)).map(|(p, m)| (*p, *m)).collect()
    }

    /// The threads that keep another from locking a mutex: its holders, else the writers that wait for it.
    pub(crate) fn mutex_holders(&self, lane: Lane, mutex: &CellName, mode: Mode) -> Vec<(u8, Mode)> {
        let holders = self.mutexes.get(&(lane.0, mutex.clone())).into_iter().flatten();
        let holders: Vec<_> = holders.copied().filter(|(_, held)| held.conflicts(mode)).collect();
        if !holders.is_empty() {
            return holders;
        }
        let writers = self.waiting.iter().filter(|((process, thread), op)| {
            let waits_to_write = matches!(op, Op::RwLock { mutex: other, mode: Mode::Exclusive } if other == mutex);
            *process == lane.0 && *thread != lane.1 && waits_to_write
        });
        writers.map(|((_, thread), _)| (*thread, Mode::Exclusive)).collect()
    }

    /// What a cell holds, as far as the trace has shown it.
    pub(crate) fn cell(&self, process: u8, cell: &CellName) -> Option<&Value> {
        self.cells.get(&(process, cell.clone()))
    }

    /// What a document holds, as far as the trace has shown it.
    pub(crate) fn document(&self, path: &Path) -> Option<&Value> {
        self.documents.get(path)
    }

    /// Takes note of an event.
    pub(crate) fn follow(&mut self, event: &Event) {
        let lane = lane(event);
        self.waiting.remove(&lane);
        match (&event.effect, &event.op) {
            (Effect::Died, _) => self.forget(lane.0),
            (Effect::Waits, Some(op)) => {
                self.waiting.insert(lane, op.clone());
            }
            (Effect::Done(outcome), Some(op)) => self.done(lane, op, outcome),
            (_, None) => {}
        }
    }

    /// The end of a process: its locks and its memory are gone.
    fn forget(&mut self, process: u8) {
        for holders in self.files.values_mut() {
            holders.remove(&process);
        }
        self.mutexes.retain(|(other, _), _| *other != process);
        self.cells.retain(|(other, _), _| *other != process);
        self.waiting.retain(|(other, _), _| *other != process);
    }

    fn done(&mut self, (process, thread): Lane, op: &Op, outcome: &Outcome) {
        match (op, outcome) {
            (Op::Lock { file, mode, .. }, Outcome::Locked(LockResult::Granted)) => {
                self.files.entry(file.clone()).or_default().insert(process, *mode);
            }
            (Op::Close { file } | Op::Probe { file, .. }, _) => {
                if let Some(holders) = self.files.get_mut(file) {
                    holders.remove(&process);
                }
            }
            (Op::Read { document }, Outcome::Value(value)) => {
                self.documents.insert(document.path.clone(), value.clone());
            }
            (Op::Rename { document, value, .. }, _) => {
                self.documents.insert(document.path.clone(), value.clone());
            }
            (Op::Get { cell }, Outcome::Value(value)) | (Op::Set { cell, value }, _) => {
                self.cells.insert((process, cell.clone()), value.clone());
            }
            (Op::MutexLock { mutex }, _) => self.hold(process, thread, mutex, Mode::Exclusive),
            (Op::RwLock { mutex, mode }, _) => self.hold(process, thread, mutex, *mode),
            (Op::MutexUnlock { mutex } | Op::RwUnlock { mutex, .. }, _) => {
                // Go lets any thread unlock; what this one did not lock is taken from another.
                let holders = self.mutexes.entry((process, mutex.clone())).or_default();
                let own = holders.iter().position(|(holder, _)| *holder == thread).unwrap_or(0);
                if own < holders.len() {
                    holders.remove(own);
                }
            }
            _ => {}
        }
    }

    fn hold(&mut self, process: u8, thread: u8, mutex: &CellName, mode: Mode) {
        self.mutexes.entry((process, mutex.clone())).or_default().push((thread, mode));
    }
}

/// Which events of plain cells a data race is about: those that are wrong, and the last access of each thread before
/// them to the same cell of the same process.
pub(crate) fn racing(events: &[&Event]) -> BTreeSet<usize> {
    let access = |event: &Event| match &event.op {
        Some(Op::Get { cell } | Op::Set { cell, .. }) => Some((event.step.process(), cell.clone())),
        _ => None,
    };
    let mut racing = BTreeSet::new();
    for (index, event) in events.iter().enumerate().filter(|(_, event)| event.wrong.is_some()) {
        let Some(cell) = access(event) else { continue };
        let mut threads = BTreeSet::from([lane(event)]);
        let earlier = (0..index).rev().filter(|&other| access(events[other]).as_ref() == Some(&cell));
        racing.extend(earlier.filter(|&other| threads.insert(lane(events[other]))));
        racing.insert(index);
    }
    racing
}
