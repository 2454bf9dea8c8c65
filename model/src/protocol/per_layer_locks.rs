//! `per_layer_locks`: the idea of issue #421 (D16), as its difference from `v1_24`.
//!
//! Each layer has a lock file of its own. Whoever fills a layer holds its lock for writing and its parent's for reading;
//! whoever deletes one holds both for writing; whoever reads its contents holds it for reading. The lock of all layers is
//! held only while `layers.json` is read or replaced, so two pulls of different layers run side by side. Nothing
//! orders the locks of two layers: a pull takes parent, then child; a delete takes child, then parent (D17).

use super::layers::{self, Layer};
use super::{Entry, Go, LayerStoreProtocol, Lockfile, LockfileProtocol, RecordStoreProtocol, StoreProtocol};
use crate::call::Fail;
use crate::ctx::{Cell, Ctx};
use crate::op::{Mode, Path};

/// A lock for each layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerLayerLocks;

impl PerLayerLocks {
    /// The lock file of layer `id`.
    #[must_use]
    pub fn path(id: &str) -> Path {
        Path::new(format!("root/vfs-layers/{id}.lock"))
    }

    async fn layer_lock(&self, ctx: &Ctx, id: &str) -> Go<Lockfile> {
        self.get_lockfile(ctx, &Self::path(id), false).await
    }

    /// The locks of `first` and then `second`, in the modes given; an empty id has no lock.
    async fn lock_two(&self, ctx: &Ctx, first: (&str, Mode), second: (&str, Mode)) -> Go<Vec<Lockfile>> {
        let mut held = Vec::new();
        for (id, mode) in [first, second].into_iter().filter(|(id, _)| !id.is_empty()) {
            let lock = self.layer_lock(ctx, id).await?;
            self.acquire(ctx, &lock, mode, false).await;
            held.push(lock);
        }
        Ok(held)
    }

    async fn unlock_all(&self, ctx: &Ctx, held: &[Lockfile]) {
        for lock in held.iter().rev() {
            self.unlock(ctx, lock).await;
        }
    }
}

impl LockfileProtocol for PerLayerLocks {}
impl RecordStoreProtocol for PerLayerLocks {}

impl LayerStoreProtocol for PerLayerLocks {
    /// The lock of all layers no longer says that nobody is filling this one; its own lock does.
    async fn abandoned(&self, ctx: &Ctx, layer: &Layer) -> bool {
        let lock = Lockfile::at(&Self::path(&layer.id), false);
        ctx.mutex_lock(&lock.state_mutex).await;
        let mut free = ctx.get(&lock.state).await.counter == 0;
        if free {
            free = ctx.set_lock(&lock.path, Mode::Exclusive).await.is_ok();
            ctx.close(&lock.path).await;
        }
        ctx.mutex_unlock(&lock.state_mutex).await;
        free
    }

    /// With a diff, only the record is saved here; `put_layer` completes it.
    async fn complete(&self, _ctx: &Ctx, _store: &super::LayerStore, _id: &str) -> Go<()> {
        Ok(())
    }
}

impl StoreProtocol for PerLayerLocks {
    /// `PutLayer`: the contents are applied under the layer's own lock.
    async fn put_layer(&self, ctx: &Ctx, layer: Layer, diff: bool) -> Go<String> {
        let store = self.layer_store(ctx).await?;
        let (id, parent) = (layer.id.clone(), layer.parent.clone());
        let held = self.lock_two(ctx, (&parent, Mode::Shared), (&id, Mode::Exclusive)).await?;
        let mut put = self.start_writing(ctx, &store).await;
        if put.is_ok() {
            let layers = ctx.get(&store.cache).await.layers;
            self.supports_shifting(ctx).await;
            put = if parent.is_empty() || layers::lookup(&layers, &parent).is_some() {
                self.put(ctx, &store, layer, diff).await
            } else {
                Err(Fail::layer_unknown())
            };
            self.unlock(ctx, &store.lockfile).await;
        }
        if put.is_ok() && diff {
            put = self.start_writing(ctx, &store).await;
            if put.is_ok() {
                put = LayerStoreProtocol::complete(&super::v1_24::V1_24, ctx, &store, &id).await;
                self.unlock(ctx, &store.lockfile).await;
            }
        }
        self.unlock_all(ctx, &held).await;
        put.map(|()| id)
    }

    /// `DeleteLayer`: the layer, then its parent, which loses a child.
    async fn delete_layer(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let store = self.layer_store(ctx).await?;
        self.start_reading(ctx, &store).await?;
        let layer = layers::lookup(&ctx.get(&store.cache).await.layers, id).cloned();
        self.unlock(ctx, &store.lockfile).await;
        let Some(layer) = layer else {
            return Err(Fail("ErrNotALayer".into()));
        };
        let held = self.lock_two(ctx, (&layer.id, Mode::Exclusive), (&layer.parent, Mode::Exclusive)).await?;
        let mut deleted = self.start_writing(ctx, &store).await;
        if deleted.is_ok() {
            let layers = ctx.get(&store.cache).await.layers;
            deleted = if !layers.iter().any(|other| other.id == layer.id) {
                Err(Fail("ErrNotALayer".into()))
            } else if layers.iter().any(|other| other.parent == layer.id) {
                Err(Fail("ErrLayerHasChildren".into()))
            } else {
                self.delete(ctx, &store, &layer.id).await
            };
            self.unlock(ctx, &store.lockfile).await;
        }
        self.unlock_all(ctx, &held).await;
        deleted
    }

    /// `Diff`: keeps the layer's own lock, not the lock of all layers.
    async fn diff(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let store = self.layer_store(ctx).await?;
        let lock = self.layer_lock(ctx, id).await?;
        self.rlock(ctx, &lock).await;
        let mut known = self.start_reading(ctx, &store).await;
        if known.is_ok() {
            if layers::lookup(&ctx.get(&store.cache).await.layers, id).is_none() {
                known = Err(Fail::layer_unknown());
            }
            self.unlock(ctx, &store.lockfile).await;
        }
        if known.is_err() {
            self.unlock(ctx, &lock).await;
        } else {
            ctx.set(&Cell::global(format!("diff[{id}]")), &true).await;
        }
        known
    }

    async fn close_diff(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let open: Cell<bool> = Cell::global(format!("diff[{id}]"));
        if !ctx.get(&open).await {
            return Err(Fail(format!("no diff of {id} is open")));
        }
        let lock = self.layer_lock(ctx, id).await?;
        self.unlock(ctx, &lock).await;
        ctx.set(&open, &false).await;
        Ok(())
    }
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<PerLayerLocks>("per_layer_locks", "a lock file for each layer, as issue #421 proposed")
}
