//! The states that were seen, numbered in the order of their discovery.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashSet, FxHasher};

use super::moves::PartId;

/// How states are kept.
#[derive(Debug)]
enum Kept {
    /// Whole, one after the other; the table finds a state's number by its hash.
    Whole { states: Vec<PartId>, table: HashTable<u32> },
    /// By fingerprint; those that are still to be expanded whole.
    Fingerprints { seen: FxHashSet<u64>, frontier: VecDeque<PartId> },
}

/// The states that were seen.
#[derive(Debug)]
pub(super) struct Store {
    width: usize,
    kept: Kept,
    count: u32,
}

fn hash(ids: &[PartId]) -> u64 {
    let mut hasher: FxHasher = FxBuildHasher.build_hasher();
    for id in ids {
        hasher.write_u32(*id);
    }
    hasher.finish()
}

/// A hash of which every bit depends on every bit of the state, for use without the state (the mix of SplitMix64).
fn fingerprint(ids: &[PartId]) -> u64 {
    ids.iter().fold(0x9e37_79b9_7f4a_7c15, |print, id| {
        let mut mixed = (print ^ u64::from(*id)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^= mixed >> 27;
        mixed = mixed.wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    })
}

impl Store {
    /// An empty store for states of `width` numbers.
    pub(super) fn new(width: usize, by_fingerprint: bool) -> Self {
        let kept = if by_fingerprint {
            Kept::Fingerprints { seen: FxHashSet::default(), frontier: VecDeque::new() }
        } else {
            Kept::Whole { states: Vec::new(), table: HashTable::new() }
        };
        Self { width, kept, count: 0 }
    }

    /// The number of `ids`, and whether it is new. By fingerprint, the number of a state seen before is not known and
    /// is `u32::MAX`.
    pub(super) fn insert(&mut self, ids: &[PartId]) -> (u32, bool) {
        let width = self.width;
        match &mut self.kept {
            Kept::Whole { states, table } => {
                let hash_of = |index: &u32| hash(&states[*index as usize * width..][..width]);
                let same = |index: &u32| states[*index as usize * width..][..width] == *ids;
                match table.entry(hash(ids), same, hash_of) {
                    hashbrown::hash_table::Entry::Occupied(entry) => return (*entry.get(), false),
                    hashbrown::hash_table::Entry::Vacant(entry) => {
                        entry.insert(self.count);
                        states.extend_from_slice(ids);
                    }
                }
            }
            Kept::Fingerprints { seen, frontier } => {
                if !seen.insert(fingerprint(ids)) {
                    return (u32::MAX, false);
                }
                frontier.extend(ids);
            }
        }
        self.count += 1;
        (self.count - 1, true)
    }

    /// Whether `ids` was seen.
    pub(super) fn contains(&self, ids: &[PartId]) -> bool {
        match &self.kept {
            Kept::Whole { states, table } => {
                let same = |index: &u32| states[*index as usize * self.width..][..self.width] == *ids;
                table.find(hash(ids), same).is_some()
            }
            Kept::Fingerprints { seen, .. } => seen.contains(&fingerprint(ids)),
        }
    }

    /// Copies the state to be expanded next, the one of that number, into `into`.
    pub(super) fn take(&mut self, number: u32, into: &mut [PartId]) {
        match &mut self.kept {
            Kept::Whole { states, .. } => {
                into.copy_from_slice(&states[number as usize * self.width..][..self.width]);
            }
            Kept::Fingerprints { frontier, .. } => {
                for (slot, id) in into.iter_mut().zip(frontier.drain(..self.width)) {
                    *slot = id;
                }
            }
        }
    }

    /// The state of that number; only of a store of whole states.
    pub(super) fn get(&self, number: u32) -> &[PartId] {
        match &self.kept {
            Kept::Whole { states, .. } => &states[number as usize * self.width..][..self.width],
            Kept::Fingerprints { .. } => &[],
        }
    }

    /// How many states there are.
    pub(super) fn len(&self) -> u32 {
        self.count
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = match &self.kept {
            Kept::Whole { states, table } => states.capacity() * 4 + table.capacity() * 5,
            Kept::Fingerprints { seen, frontier } => seen.capacity() * 9 + frontier.capacity() * 4,
        };
        bytes as u64
    }

    /// A bound on the probability that two of the states had one fingerprint: pairs of states by 2^64.
    pub(super) fn collision_max(&self) -> Option<f64> {
        let states = f64::from(self.count);
        matches!(self.kept, Kept::Fingerprints { .. }).then(|| states * states / 2.0 / 2f64.powi(64))
    }
}
