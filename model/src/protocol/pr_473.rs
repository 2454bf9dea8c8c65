//! `pr_473`: the pull request as proposed (38955d22f on 9f889830f), as its difference from `v1_24`.
//!
//! Methods that only read use a second layer store over the same lock object, one without a mounts lock. The graph lock
//! covers only the check whether to forget both stores, no longer their construction.

use super::layers::Layer;
use super::store::{graph_driver, graph_lock, layer_store_field};
use super::{Entry, Go, LayerStore, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol};
use crate::ctx::{Cell, Ctx};

/// The pull request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pr473;

/// `s.roLayerStore`.
#[must_use]
pub fn ro_layer_store_field() -> Cell<Option<LayerStore>> {
    Cell::global("s.roLayerStore")
}

/// `RWLayerStore` and `ROLayerStore` are alike: the store in `field`, made if there is none. What they do with `field`
/// is under no lock.
pub async fn memoized<P: StoreProtocol>(
    p: &P,
    ctx: &Ctx,
    field: &Cell<Option<LayerStore>>,
    with_mounts: bool,
) -> Go<LayerStore> {
    reset_if_needed(p, ctx).await;
    match ctx.get(field).await {
        Some(store) => Ok(store),
        None => p.make_layer_store(ctx, field, with_mounts).await,
    }
}

/// `resetIfNeeded`.
pub async fn reset_if_needed<P: StoreProtocol>(p: &P, ctx: &Ctx) {
    let graph = graph_lock();
    p.lock(ctx, &graph).await;
    p.reset_if_touched(ctx).await;
    p.unlock(ctx, &graph).await;
}

impl LockfileProtocol for Pr473 {
    /// `newLayerStore` opens additional stores too, with `GetLockfile`; `newROLayerStore` is gone.
    fn opens_read_only(&self) -> bool {
        false
    }
}
impl RecordStoreProtocol for Pr473 {}

impl LayerStoreProtocol for Pr473 {
    /// "the mountsLockfile is only set for read-write enabled stores"
    fn is_read_write(&self, store: &LayerStore) -> bool {
        !store.lockfile.ro && store.mounts_lockfile.is_some()
    }
}

impl StoreProtocol for Pr473 {
    async fn forget_layer_stores(&self, ctx: &Ctx) {
        ctx.set(&layer_store_field(), &None).await;
        ctx.set(&ro_layer_store_field(), &None).await;
    }

    /// `RWLayerStore`.
    async fn layer_store(&self, ctx: &Ctx) -> Go<LayerStore> {
        memoized(self, ctx, &layer_store_field(), true).await
    }

    /// `ROLayerStore`.
    async fn reading_layer_store(&self, ctx: &Ctx) -> Go<LayerStore> {
        memoized(self, ctx, &ro_layer_store_field(), false).await
    }

    /// `Layers`: no lock and no reload.
    async fn layers(&self, ctx: &Ctx) -> Go<Vec<Layer>> {
        let store = self.layer_store(ctx).await?;
        let layers = ctx.get(&store.cache).await.layers;
        self.with_additional_layers(ctx, layers).await
    }

    /// `ShutdownRO`: cleans the driver up under the graph lock alone.
    async fn shutdown_ro(&self, ctx: &Ctx) -> Go<()> {
        let graph = graph_lock();
        self.lock(ctx, &graph).await;
        if ctx.get(&graph_driver()).await.is_none() {
            return ctx.panic("invalid memory address or nil pointer dereference: s.graphDriver.Cleanup()").await;
        }
        self.touch(ctx, &graph).await;
        self.unlock(ctx, &graph).await;
        Ok(())
    }
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<Pr473>("pr_473", "the pull request as proposed: a read-only and a read-write layer store")
}
