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
    /// About how many bytes they take ([`Measured::bytes`]).
    bytes: usize,
}

/// The bytes that a value of a part takes, on the average, with its name and its place in a map.
const VALUE_BYTES: usize = 420;

/// The bytes that a place in a map takes, of which name and value are shared with another map.
const PLACE_BYTES: usize = 64;

/// A part whose size can be told.
pub(super) trait Measured {
    /// About how many bytes it takes that no other part takes: cells, mutexes, locks, entries of lists. There are few cells
    /// with much in them.
    fn bytes(&self) -> usize;
}

impl Measured for Local {
    fn bytes(&self) -> usize {
        let threads = self.threads.iter().map(|thread| 1 + thread.holds.len() + thread.answers.len()).sum::<usize>();
        let memory = if Arc::strong_count(&self.memory) > 1 { 0 } else { self.memory.bytes() };
        memory + VALUE_BYTES * (threads + self.locks.len() + self.known.len())
    }
}

impl Measured for Memory {
    fn bytes(&self) -> usize {
        let Self { cells, mutexes, rw_mutexes } = self;
        let mut own = VALUE_BYTES * (mutexes.len() + rw_mutexes.len());
        if Arc::strong_count(cells) == 1 {
            let values = cells.values().filter(|value| Arc::strong_count(value) == 1).count();
            own += PLACE_BYTES * cells.len() + VALUE_BYTES * values;
        }
        own
    }
}

impl Measured for Shared {
    fn bytes(&self) -> usize {
        VALUE_BYTES * (self.stamps.len() + self.documents.len() + self.mtimes.len())
    }
}

impl<T: Hash + Eq + Measured> Parts<T> {
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), ids: FxHashMap::default(), bytes: 0 }
    }

    /// The number of `part`, and whether it is new.
    pub(super) fn intern(&mut self, part: T) -> (PartId, bool) {
        let next = PartId::try_from(self.all.len()).unwrap_or(PartId::MAX);
        let part = Arc::new(part);
        let id = *self.ids.entry(Arc::clone(&part)).or_insert(next);
        if id == next {
            self.bytes += part.bytes();
            self.all.push(part);
        }
        (id, id == next)
    }

    /// About how many bytes they take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// The part of that number.
    pub(super) fn get(&self, id: PartId) -> &Arc<T> {
        &self.all[id as usize]
    }
}
