//! `v1_45`: release 1.45.0, the first with the rework of 2022. It is the text of [`rework`](super::rework) as it stands.

use super::Entry;
use super::rework::{ReworkedLayerStore, ReworkedLockfile, ReworkedRecordStore, ReworkedStore};

/// Release 1.45.0.
#[derive(Clone, Copy, Debug, Default)]
pub struct V1_45;

impl ReworkedLockfile for V1_45 {}
impl ReworkedRecordStore for V1_45 {}
impl ReworkedLayerStore for V1_45 {}
impl ReworkedStore for V1_45 {}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<V1_45>("v1_45", "release 1.45.0: each cache remembers the stamp that it was loaded under")
}
