//! `one_way_upgrade`: what the reviewer proposed instead of two layer stores (D8), as its difference from `pr_473`.
//!
//! > "Wouldn't it make sense to only have an one-directional upgrade, where the store either has a read-only layer
//! > store, or replaces it with a read-write, but never creates a read-write one again?"
//!
//! There is one field, and one cache. A method that only reads takes whatever store is there; a method that writes
//! replaces a read-only one. Both under the graph lock, as before the pull request. Listing takes the read lock and
//! reloads like every other read, so that what the pull request wanted is still there.

use super::layers::Layer;
use super::store::{graph_lock, layer_store_field};
use super::{Entry, Go, LayerStore, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol, pr_473};
use crate::ctx::Ctx;

/// The reviewer's proposal.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneWayUpgrade;

impl OneWayUpgrade {
    /// The layer store, made if there is none, replaced if `write` and the one there only reads.
    async fn upgraded(&self, ctx: &Ctx, write: bool) -> Go<LayerStore> {
        let graph = graph_lock();
        self.lock(ctx, &graph).await;
        self.reset_if_touched(ctx).await;
        let store = match ctx.get(&layer_store_field()).await {
            Some(store) if !write || self.is_read_write(&store) => Ok(store),
            _ => self.make_layer_store(ctx, &layer_store_field(), write).await,
        };
        self.unlock(ctx, &graph).await;
        store
    }
}

impl LockfileProtocol for OneWayUpgrade {}
impl RecordStoreProtocol for OneWayUpgrade {}

impl LayerStoreProtocol for OneWayUpgrade {
    fn is_read_write(&self, store: &LayerStore) -> bool {
        pr_473::Pr473.is_read_write(store)
    }
}

impl StoreProtocol for OneWayUpgrade {
    async fn layer_store(&self, ctx: &Ctx) -> Go<LayerStore> {
        self.upgraded(ctx, true).await
    }

    async fn reading_layer_store(&self, ctx: &Ctx) -> Go<LayerStore> {
        self.upgraded(ctx, false).await
    }

    async fn layers(&self, ctx: &Ctx) -> Go<Vec<Layer>> {
        self.layers_for_reading(ctx).await
    }
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<OneWayUpgrade>("one_way_upgrade", "the reviewer's proposal: a read-only store is replaced, never kept")
}
