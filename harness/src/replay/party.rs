//! What is known of the real processes: what each stands before, and who holds and awaits what.

use std::collections::BTreeMap;

use lockproof_model::op::{Mode, Path};
use lockproof_model::world::locks::Waits;

use super::rename::Names;
use crate::process::Worker;
use crate::wire::Next;

/// A process of the system: its worker, and what it is known to hold and to wait for.
#[derive(Debug, Default)]
pub(super) struct Party {
    pub(super) worker: Option<Worker>,
    pub(super) names: Names,
    /// What each of its threads stands before.
    pub(super) next: BTreeMap<u32, Next>,
    /// The locks that were really granted, by inode.
    pub(super) held: BTreeMap<Path, Mode>,
    /// The requests that really wait, by thread.
    pub(super) waiting: BTreeMap<u32, (Path, Mode)>,
}

/// Who really waits for whom.
pub(super) struct Blocked<'a>(pub(super) &'a [Party]);

impl Blocked<'_> {
    /// The other processes that really hold `inode` in a mode that excludes `mode`.
    pub(super) fn holders(&self, owner: usize, inode: &Path, mode: Mode) -> Vec<usize> {
        let excludes = |party: &Party| party.held.get(inode).is_some_and(|held| held.conflicts(mode));
        (0..self.0.len()).filter(|other| *other != owner && excludes(&self.0[*other])).collect()
    }
}

impl Waits for Blocked<'_> {
    fn blockers(&self, process: usize) -> Vec<usize> {
        let waiting = self.0[process].waiting.values();
        waiting.flat_map(|(inode, mode)| self.holders(process, inode, *mode)).collect()
    }
}
