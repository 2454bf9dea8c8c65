//! `before_493`: the parent of #493 (dd3bd89fc^; the last release without it is 1.15.7), as its difference from `v1_24`.
//!
//! A new layer store loads under the write lock of the layers, and may repair what it finds: so a process that only reads
//! waits for every reader at its first call (issue #420, `startup-write-lock`). Listing takes the read lock, as every
//! other read.

use super::layers::Layer;
use super::{Entry, Go, LayerStore, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol};
use crate::ctx::Ctx;

/// Before #493.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before493;

impl LockfileProtocol for Before493 {}
impl RecordStoreProtocol for Before493 {}

impl LayerStoreProtocol for Before493 {
    async fn first_load(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.load_locked(ctx, store).await
    }
}

impl StoreProtocol for Before493 {
    async fn layers(&self, ctx: &Ctx) -> Go<Vec<Layer>> {
        self.layers_for_reading(ctx).await
    }
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<Before493>("before_493", "release 1.15.7: a new layer store loads under the write lock")
}
