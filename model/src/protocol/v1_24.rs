//! `v1_24`: the code at 9f889830f, on which the pull request is based; release 1.24.8 has the same lock and store code.
//!
//! It is the text of the four traits as it stands.

use super::{Entry, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol};

/// Release 1.24.8.
#[derive(Clone, Copy, Debug, Default)]
pub struct V1_24;

impl LockfileProtocol for V1_24 {}
impl RecordStoreProtocol for V1_24 {}
impl LayerStoreProtocol for V1_24 {}
impl StoreProtocol for V1_24 {}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<V1_24>("v1_24", "release 1.24.8, before the pull request")
}
