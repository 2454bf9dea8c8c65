//! Parts of states, each kept once and known by a number.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// The number of a part of a state.
pub(super) type PartId = u32;

/// Parts that were met, each once.
#[derive(Debug)]
pub(super) struct Parts<T> {
    pub(super) all: Vec<Arc<T>>,
    ids: FxHashMap<Arc<T>, PartId>,
}

impl<T: Hash + Eq> Parts<T> {
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), ids: FxHashMap::default() }
    }

    /// The number of `part`, and whether it is new.
    pub(super) fn intern(&mut self, part: T) -> (PartId, bool) {
        let next = PartId::try_from(self.all.len()).unwrap_or(PartId::MAX);
        let part = Arc::new(part);
        let id = *self.ids.entry(Arc::clone(&part)).or_insert(next);
        if id == next {
            self.all.push(part);
        }
        (id, id == next)
    }

    /// The part of that number.
    pub(super) fn get(&self, id: PartId) -> &Arc<T> {
        &self.all[id as usize]
    }
}
