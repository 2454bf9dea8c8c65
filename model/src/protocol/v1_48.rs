//! `v1_48`: release 1.48.1, as its difference from `v1_45`. Since 1.47 the stamp is written before the document, so that a
//! writer that dies in between leaves no change that nobody notices. `canUseShifting` reads
//! `s.graphDriver` again, which 1.45 had put an end to: an accident of 1.47 (79b8f9401, `graphdriver-field-unlocked`).

use super::Entry;
use super::rework::{ReworkedLayerStore, ReworkedLockfile, ReworkedRecordStore, ReworkedStore};

/// Release 1.48.1.
#[derive(Clone, Copy, Debug, Default)]
pub struct V1_48;

impl ReworkedLockfile for V1_48 {
    fn stamp_comes_first(&self) -> bool {
        true
    }
}
impl ReworkedRecordStore for V1_48 {}
impl ReworkedLayerStore for V1_48 {}
impl ReworkedStore for V1_48 {
    fn shifts_by_graph_driver(&self) -> bool {
        true
    }
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<V1_48>("v1_48", "release 1.48.1: the stamp is written before the document")
}
