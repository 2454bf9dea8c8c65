//! The states that were seen, numbered in the order of their discovery.

use std::collections::VecDeque;
use std::hint::black_box;

use rustc_hash::FxHashSet;

use super::parts::PartId;

/// Things that are only ever added, in chunks that are never moved: no copying when there are more of them, and no more
/// memory than one chunk unused.
#[derive(Debug)]
pub(super) struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    /// How many belong together and are never torn apart.
    width: usize,
    count: usize,
}

/// A chunk holds `1 << CHUNK` groups.
const CHUNK: u32 = 14;

impl<T: Copy> Chunks<T> {
    /// None, in groups of `width`.
    pub(super) fn new(width: usize) -> Self {
        Self { chunks: Vec::new(), width, count: 0 }
    }

    /// Adds a group.
    pub(super) fn push(&mut self, group: &[T]) {
        if self.count & ((1 << CHUNK) - 1) == 0 {
            self.chunks.push(Vec::with_capacity(self.width << CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.extend_from_slice(group);
        }
        self.count += 1;
    }

    /// The group of that number.
    #[inline]
    pub(super) fn get(&self, number: u32) -> &[T] {
        let start = (number as usize & ((1 << CHUNK) - 1)) * self.width;
        &self.chunks[(number >> CHUNK) as usize][start..start + self.width]
    }

    /// The bytes that they take.
    pub(super) fn bytes(&self) -> u64 {
        (self.chunks.len() * (self.width << CHUNK) * size_of::<T>()) as u64
    }
}

/// How states are kept.
#[derive(Debug)]
enum Kept {
    /// Whole, one after the other; the table finds a state's number by its hash.
    Whole { states: Chunks<PartId>, table: Table },
    /// By fingerprint; those that are still to be expanded whole.
    Fingerprints { seen: FxHashSet<u64>, frontier: VecDeque<PartId> },
}

/// The numbers of states by their hashes. A slot is the upper half of the hash and the number: a look-up reads one line
/// of memory to learn that a state is new, and growing reads no state.
#[derive(Debug)]
struct Table {
    slots: Vec<u64>,
    /// How far a hash is shifted to be the index of a slot.
    shift: u32,
    count: usize,
}

const FREE: u64 = u64::MAX;

impl Table {
    fn new() -> Self {
        let bits = 12;
        Self { slots: vec![FREE; 1 << bits], shift: 64 - bits, count: 0 }
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    /// The number of the state with that hash of which `same` is true; where there is none, the slot for it.
    #[inline]
    fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Result<u32, usize> {
        let mask = self.slots.len() - 1;
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at & mask];
            if slot == FREE {
                return Err(at & mask);
            }
            let number = slot as u32;
            if slot >> 32 == hash >> 32 && same(number) {
                return Ok(number);
            }
            at += 1;
        }
    }

    /// Puts a number into the slot that [`Table::find`] found free.
    fn fill(&mut self, slot: usize, hash: u64, number: u32) {
        self.slots[slot] = hash >> 32 << 32 | u64::from(number);
        self.count += 1;
        // At most three quarters are full.
        if self.count * 4 > self.slots.len() * 3 {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let mut larger = vec![FREE; self.slots.len() * 2];
        let (mask, shift) = (larger.len() - 1, self.shift - 1);
        // In the order of their hashes, so that memory is read and written from its one end to the other.
        for slot in std::mem::take(&mut self.slots).into_iter().filter(|slot| *slot != FREE) {
            let mut at = (slot >> shift) as usize;
            while larger[at & mask] != FREE {
                at += 1;
            }
            larger[at & mask] = slot;
        }
        (self.slots, self.shift) = (larger, shift);
    }
}

/// How many states are best looked up together.
pub(super) const BATCH: usize = 64;

/// The states that were seen.
#[derive(Debug)]
pub(super) struct Store {
    width: usize,
    kept: Kept,
    count: u32,
}

/// A hash whose upper half depends on every number.
#[inline]
fn hash(ids: &[PartId]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(MULTIPLIER);
        (product as u64) ^ (product >> 64) as u64
    };
    let (pairs, rest) = ids.as_chunks::<2>();
    let hash = pairs.iter().fold(MULTIPLIER, |hash, [one, other]| mix(hash, u64::from(*one) << 32 | u64::from(*other)));
    let hash = rest.iter().fold(hash, |hash, id| mix(hash, u64::from(*id)));
    // A hash of the last word alone has gone through one multiplication: its upper half is good, and is what is used.
    hash.wrapping_mul(MULTIPLIER)
}

#[inline]
fn equal(one: &[PartId], other: &[PartId]) -> bool {
    one.iter().zip(other).all(|(one, other)| one == other)
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
            Kept::Whole { states: Chunks::new(width), table: Table::new() }
        };
        Self { width, kept, count: 0 }
    }

    /// The number of `ids`, and whether it is new. By fingerprint, the number of a state seen before is not known and
    /// is `u32::MAX`.
    pub(super) fn insert(&mut self, ids: &[PartId]) -> (u32, bool) {
        match &mut self.kept {
            Kept::Whole { states, table } => {
                let hash = hash(ids);
                match table.find(hash, |number| equal(states.get(number), ids)) {
                    Ok(number) => return (number, false),
                    Err(slot) => {
                        table.fill(slot, hash, self.count);
                        states.push(ids);
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

    /// Brings the memory that [`Store::insert`] will read for each of `states` closer, for many of them at once.
    pub(super) fn warm(&self, states: &[PartId]) {
        let Kept::Whole { states: known, table } = &self.kept else { return };
        let mask = table.slots.len() - 1;
        // The reads of one pass do not wait for each other.
        let mut likely = [0; BATCH];
        for batch in states.chunks(BATCH * self.width) {
            let batch = batch.chunks_exact(self.width);
            let mut count = 0;
            for ids in batch {
                let hash = hash(ids);
                let home = table.home(hash);
                let slot = table.slots[home & mask];
                let next = table.slots[(home + 1) & mask];
                let found = if slot >> 32 == hash >> 32 { slot } else { next };
                likely[count] = if found == FREE || found >> 32 != hash >> 32 { 0 } else { found as u32 };
                count += 1;
            }
            for number in &likely[..count] {
                black_box(known.get(*number)[0]);
            }
        }
    }

    /// Whether `ids` was seen.
    pub(super) fn contains(&self, ids: &[PartId]) -> bool {
        match &self.kept {
            Kept::Whole { states, table } => table.find(hash(ids), |number| equal(states.get(number), ids)).is_ok(),
            Kept::Fingerprints { seen, .. } => seen.contains(&fingerprint(ids)),
        }
    }

    /// Copies the state to be expanded next, the one of that number, into `into`.
    pub(super) fn take(&mut self, number: u32, into: &mut [PartId]) {
        match &mut self.kept {
            Kept::Whole { states, .. } => into.copy_from_slice(states.get(number)),
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
            Kept::Whole { states, .. } => states.get(number),
            Kept::Fingerprints { .. } => &[],
        }
    }

    /// How many states there are.
    pub(super) fn len(&self) -> u32 {
        self.count
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        match &self.kept {
            Kept::Whole { states, table } => states.bytes() + (table.slots.len() * size_of::<u64>()) as u64,
            Kept::Fingerprints { seen, frontier } => (seen.capacity() * 9 + frontier.capacity() * 4) as u64,
        }
    }

    /// A bound on the probability that two of the states had one fingerprint: pairs of states by 2^64.
    pub(super) fn collision_max(&self) -> Option<f64> {
        let states = f64::from(self.count);
        matches!(self.kept, Kept::Fingerprints { .. }).then(|| states * states / 2.0 / 2f64.powi(64))
    }
}
