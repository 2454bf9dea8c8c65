//! The rework of release 1.45 (#1346, #1376, #1391, #1399, #1407, #1436, #1438, #1439), which every release since has.
//!
//! Until then the lock object remembered the last stamp, for all caches of a process at once: whoever asked first took the
//! change away from the others. Now each cache has the stamp that it was loaded under, next to an `inProcessLock` without
//! which no goroutine may touch it. A reader that finds something to repair lets its lock go, repairs under the write
//! lock, and starts again.
//!
//! The four traits stand beside those of [`protocol`](super) and have the functions that the rework touched; what it left
//! alone is theirs still. [`v1_45`](super::v1_45) is the text as it stands, and later releases say what they change.

pub mod layer_store;
pub mod lockfile;
pub mod record_store;
pub mod store;

pub use layer_store::ReworkedLayerStore;
pub use lockfile::{LastWrite, ReworkedLockfile};
pub use record_store::ReworkedRecordStore;
pub use store::ReworkedStore;

use crate::call::Fail;

/// Why a cache could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotLoaded {
    /// The error.
    pub fail: Fail,
    /// `tryLockedForWriting`: under the write lock it could be repaired.
    pub try_locked_for_writing: bool,
}
