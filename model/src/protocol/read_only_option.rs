//! `read_only_option`: the first version of the pull request (November 2019, `ReadOnlyLayers`, later
//! `ForceReadOnlyLayers`), as its difference from `before_493`, for which it was written.
//!
//! A store that is opened with the option loads its layers under the read lock, and so does not wait for other readers. That
//! is all: nothing keeps its caller from writing (D3), and what is to be repaired stays as it is.

use super::layers::Layer;
use super::{Entry, Go, LayerStore, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol};
use crate::ctx::Ctx;

/// A store that is opened with `ReadOnlyLayers`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnlyOption;

impl LockfileProtocol for ReadOnlyOption {}
impl RecordStoreProtocol for ReadOnlyOption {}

impl LayerStoreProtocol for ReadOnlyOption {
    /// `if s.readOnlyLayers { lockfile.RLock() } else { lockfile.Lock() }`.
    async fn first_load(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.rlock(ctx, &store.lockfile).await;
        let loaded = self.load_layers(ctx, store).await;
        self.unlock(ctx, &store.lockfile).await;
        loaded
    }
}

impl StoreProtocol for ReadOnlyOption {
    const READ_ONLY: bool = true;

    async fn layers(&self, ctx: &Ctx) -> Go<Vec<Layer>> {
        self.layers_for_reading(ctx).await
    }
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<ReadOnlyOption>("read_only_option", "an option to load the layers under the read lock")
}
