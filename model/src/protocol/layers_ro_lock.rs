//! `layers_ro_lock`: the second version of the pull request (February 2020), as its difference from `v1_24`. Its commits are
//! lost; this is what the thread says of it.
//!
//! There is a second lock file, `layers-ro.lock`. Methods that only read use a layer store of their own, which locks that
//! file alone; whoever writes locks both, `layers.lock` first. So a reader waits for no reader that holds `layers.lock`. The
//! stamp that a reader compares has to be in the file that it locks, so a writer stamps both.

use super::layers::Layer;
use super::pr_473::ro_layer_store_field;
use super::store::{graph_lock, layer_store_field};
use super::v1_24::V1_24;
use super::{
    Entry, Go, LayerStore, LayerStoreProtocol, Lockfile, LockfileProtocol, RecordStoreProtocol, StoreProtocol, pr_473,
};
use crate::ctx::Ctx;
use crate::op::Path;

/// Two lock files for the layers.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayersRoLock;

/// The lock of those who only read.
fn layers_ro_lock() -> Lockfile {
    Lockfile::at(&Path::new("root/vfs-layers/layers-ro.lock"), false)
}

/// The second lock of whoever takes `lock` for writing.
fn second(lock: &Lockfile) -> Option<Lockfile> {
    (lock.path.file_name() == "layers.lock").then(layers_ro_lock)
}

/// A store of those who only read: the same files under the other lock.
fn reading(mut store: LayerStore) -> LayerStore {
    store.lockfile = layers_ro_lock();
    store.layers.lock = store.lockfile.path.clone();
    store
}

impl LockfileProtocol for LayersRoLock {
    async fn lock(&self, ctx: &Ctx, lock: &Lockfile) {
        V1_24.lock(ctx, lock).await;
        if let Some(second) = second(lock) {
            V1_24.lock(ctx, &second).await;
        }
    }

    async fn unlock(&self, ctx: &Ctx, lock: &Lockfile) {
        // Who holds it for reading has not taken the second.
        if let Some(second) = second(lock)
            && self.locked(ctx, lock).await
        {
            V1_24.unlock(ctx, &second).await;
        }
        V1_24.unlock(ctx, lock).await;
    }

    async fn touch(&self, ctx: &Ctx, lock: &Lockfile) {
        V1_24.touch(ctx, lock).await;
        if let Some(second) = second(lock) {
            V1_24.touch(ctx, &second).await;
        }
    }
}

impl RecordStoreProtocol for LayersRoLock {}

impl LayerStoreProtocol for LayersRoLock {
    fn is_read_write(&self, store: &LayerStore) -> bool {
        pr_473::Pr473.is_read_write(store)
    }

    async fn new_layer_store(&self, ctx: &Ctx, with_mounts: bool) -> Go<LayerStore> {
        self.get_lockfile(ctx, &layers_ro_lock().path, false).await?;
        if with_mounts {
            return V1_24.new_layer_store(ctx, true).await;
        }
        let store = reading(LayerStore::at(ctx.new_object().await, false));
        self.first_load(ctx, &store).await?;
        Ok(store)
    }
}

impl StoreProtocol for LayersRoLock {
    async fn forget_layer_stores(&self, ctx: &Ctx) {
        ctx.set(&layer_store_field(), &None).await;
        ctx.set(&ro_layer_store_field(), &None).await;
    }

    async fn reading_layer_store(&self, ctx: &Ctx) -> Go<LayerStore> {
        let graph = graph_lock();
        self.lock(ctx, &graph).await;
        self.reset_if_touched(ctx).await;
        let store = match ctx.get(&ro_layer_store_field()).await {
            Some(store) => Ok(store),
            None => self.make_layer_store(ctx, &ro_layer_store_field(), false).await,
        };
        self.unlock(ctx, &graph).await;
        store.map(reading)
    }

    async fn layers(&self, ctx: &Ctx) -> Go<Vec<Layer>> {
        self.layers_for_reading(ctx).await
    }
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<LayersRoLock>("layers_ro_lock", "a second lock file for those who only read")
}
