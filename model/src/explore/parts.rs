//! Parts of states, each kept once and known by a number.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::state::{Local, Shared};
use crate::world::memory::Memory;

/// The number of a part of a state.
pub(super) type PartId = u32;

/// Parts that were met, each once.
#[derive(Debug)]
pub(super) struct Parts<T> {
    pub(super) all: Vec<Arc<T>>,
    ids: FxHashMap<Arc<T>, PartId>,
    /// How many values they keep ([`Measured::values`]).
    values: usize,
}

/// The bytes that a value of a part takes, on the average, with its name and its place in a map.
const VALUE_BYTES: usize = 420;

/// A part whose size can be told.
pub(super) trait Measured {
    /// How many values it keeps: cells, mutexes, locks, entries of lists. There are few cells with much in them.
    fn values(&self) -> usize;
}

impl Measured for Local {
    fn values(&self) -> usize {
        let Memory { cells, mutexes, rw_mutexes } = &*self.memory;
        let threads = self.threads.iter().map(|thread| 1 + thread.holds.len() + thread.answers.len()).sum::<usize>();
        threads + cells.len() + mutexes.len() + rw_mutexes.len() + self.locks.len() + self.known.len()
    }
}

impl Measured for Shared {
    fn values(&self) -> usize {
        self.stamps.len() + self.documents.len() + self.mtimes.len()
    }
}

impl<T: Hash + Eq + Measured> Parts<T> {
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), ids: FxHashMap::default(), values: 0 }
    }

    /// The number of `part`, and whether it is new.
    pub(super) fn intern(&mut self, part: T) -> (PartId, bool) {
        let next = PartId::try_from(self.all.len()).unwrap_or(PartId::MAX);
        let part = Arc::new(part);
        let id = *self.ids.entry(Arc::clone(&part)).or_insert(next);
        if id == next {
            self.values += part.values();
            self.all.push(part);
        }
        (id, id == next)
    }

    /// About how many bytes they take.
    pub(super) fn bytes(&self) -> u64 {
        (self.values * VALUE_BYTES) as u64
    }

    /// The part of that number.
    pub(super) fn get(&self, id: PartId) -> &Arc<T> {
        &self.all[id as usize]
    }
}
