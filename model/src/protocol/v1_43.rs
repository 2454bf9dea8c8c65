//! `v1_43`: release 1.43.0, as its difference from `v1_24`. What changed on the way, with the first release that has it:
//!
//! - `Touch` and `Modified` do all their work under `stateMutex` (1.27, 1.32.2);
//! - `ReloadIfChanged` orders the threads of a process that reload (1.31), and reloads too if `layers.json` is not of the
//!   time at which it was loaded, which a save of one's own does not note (1.32.3, `mtime-self-invalidation`);
//! - the image stores of additional stores are made when the store is opened (1.32.1);
//! - `Layers` copies the cache under the lock (1.36);
//! - `Diff` unlocks on every path (1.27), and takes the graph lock while it starts, as a mount does (1.38). Both look at the
//!   stamp of the graph lock, which `LayerStore` still does not: it compares times (1.32.1);
//! - a layer is marked incomplete before the driver makes or removes anything (1.39, 1.40);
//! - a new layer store loads under the write lock again (1.43).

use super::layer_store::Cache;
use super::layers::{self, Layer, Layers};
use super::store::{graph_driver, graph_lock, last_loaded, open_diff};
use super::{
    Entry, Go, LayerStore, LayerStoreProtocol, Lockfile, LockfileProtocol, RecordStore, RecordStoreProtocol,
    StoreProtocol, additional,
};
use crate::call::Fail;
use crate::ctx::{Cell, Ctx};
use crate::op::CellName;
use crate::value::{Mtime, Value};

/// Release 1.43.0.
#[derive(Clone, Copy, Debug, Default)]
pub struct V1_43;

/// `layerspathModified`: the time that `layers.json` had when it was loaded.
fn layerspath_modified(store: &LayerStore) -> Cell<Option<Mtime>> {
    Cell::field(store.object, "layerspathModified")
}

/// `loadMut`.
fn load_mut(store: &LayerStore) -> CellName {
    CellName { object: Some(store.object), field: "loadMut".into() }
}

/// `deleteInternal`: the layer is saved as incomplete, the driver removes it, and it is gone from the cache.
pub async fn delete_marked<P: LayerStoreProtocol + ?Sized>(p: &P, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<()> {
    let mut cache: Cache = ctx.get(&store.cache).await;
    for layer in cache.layers.iter_mut().filter(|layer| layer.id == id) {
        layer.incomplete = true;
    }
    ctx.set(&store.cache, &cache).await;
    p.save(ctx, store).await?;
    let mut cache = ctx.get(&store.cache).await;
    cache.layers.retain(|layer| layer.id != id);
    ctx.set(&store.cache, &cache).await;
    Ok(())
}

impl LockfileProtocol for V1_43 {
    async fn touch(&self, ctx: &Ctx, lock: &Lockfile) {
        ctx.mutex_lock(&lock.state_mutex).await;
        let state = ctx.get(&lock.state).await;
        if !(state.locked && state.exclusive) {
            ctx.panic::<()>("attempted to update last-writer in lockfile without the write lock").await;
        }
        let stamp = ctx.write_stamp(&lock.path).await;
        ctx.set(&lock.lw, &Value::Stamp(stamp)).await;
        ctx.mutex_unlock(&lock.state_mutex).await;
    }

    async fn modified(&self, ctx: &Ctx, lock: &Lockfile) -> bool {
        ctx.mutex_lock(&lock.state_mutex).await;
        if !ctx.get(&lock.state).await.locked {
            ctx.panic::<()>("attempted to check last-writer in lockfile without locking it first").await;
        }
        let mut modified = true; // a short read: `lw` stays as it is
        if let Some(stamp) = ctx.read_stamp(&lock.path).await {
            let lw = ctx.get(&lock.lw).await;
            ctx.set(&lock.lw, &Value::Stamp(stamp)).await;
            modified = lw != Value::Stamp(stamp);
        }
        ctx.mutex_unlock(&lock.state_mutex).await;
        modified
    }
}

impl RecordStoreProtocol for V1_43 {
    /// `ReloadIfChanged`.
    async fn reload_records_if_modified(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        let load_mut = CellName { object: None, field: format!("s.{}:loadMut", store.name()).into() };
        ctx.mutex_lock(&load_mut).await;
        let mut reloaded = Ok(());
        if self.modified(ctx, &store.lockfile).await {
            reloaded = self.load_records(ctx, store).await;
        }
        ctx.mutex_unlock(&load_mut).await;
        reloaded
    }
}

impl LayerStoreProtocol for V1_43 {
    async fn first_load(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.load_locked(ctx, store).await
    }

    /// The time is noted *before* the document is read.
    async fn read_layers(&self, ctx: &Ctx, store: &LayerStore) -> Layers {
        if let Some(time) = ctx.mtime(&store.layers.path).await {
            ctx.set(&layerspath_modified(store), &Some(time)).await;
        }
        ctx.read(&store.layers).await
    }

    async fn layers_modified(&self, ctx: &Ctx, store: &LayerStore) -> bool {
        let mut modified = self.modified(ctx, &store.lockfile).await;
        let mounts = store.mounts_lockfile.as_ref().filter(|_| self.is_read_write(store));
        if let Some(mounts) = mounts {
            self.rlock(ctx, mounts).await;
            modified |= self.modified(ctx, mounts).await;
        }
        // `if info != nil { tmodified = info.ModTime() != r.layerspathModified }`, the mounts still locked.
        if !modified && let Some(time) = ctx.mtime(&store.layers.path).await {
            modified = ctx.get(&layerspath_modified(store)).await != Some(time);
        }
        if let Some(mounts) = mounts {
            self.unlock(ctx, mounts).await;
        }
        modified
    }

    async fn reload_if_modified(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        ctx.mutex_lock(&load_mut(store)).await;
        let mut loaded = Ok(());
        if self.layers_modified(ctx, store).await {
            loaded = self.load_layers(ctx, store).await;
        }
        ctx.mutex_unlock(&load_mut(store)).await;
        loaded
    }

    /// Every layer is saved as incomplete before the driver's `Create`, and again once it is complete.
    fn is_incomplete_at_first(&self, _diff: bool) -> bool {
        true
    }

    /// A layer is saved as incomplete before the driver's `Remove`.
    async fn delete_internal(&self, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<()> {
        delete_marked(self, ctx, store, id).await
    }
}

impl StoreProtocol for V1_43 {
    const TIMED: &'static [&'static str] = &["root/storage.lock", "root/vfs-layers/layers.json"];
    const STORES_BY_RUN_ROOT: bool = true;

    /// `if s.graphLock.Modified() { … = nil; … = s.getGraphDriver(); s.lastLoaded = time.Now() }`. Of a graph lock without
    /// a stamp, as it is until the first `Shutdown`, this says yes every time.
    async fn reset_if_shut_down(&self, ctx: &Ctx) {
        if self.modified(ctx, &graph_lock()).await {
            ctx.set(&graph_driver(), &None).await;
            self.forget_layer_stores(ctx).await;
            self.get_graph_driver(ctx).await;
            let now = ctx.now().await;
            ctx.set(&last_loaded(), &now).await;
        }
    }

    /// They are made when the store is opened, and not looked at again (1.32.1).
    async fn ro_image_stores(&self, ctx: &Ctx) -> Go<Vec<RecordStore>> {
        Ok(additional::ro_image_stores(ctx))
    }

    async fn layers(&self, ctx: &Ctx) -> Go<Vec<Layer>> {
        let store = self.layer_store(ctx).await?;
        self.lock(ctx, &store.lockfile).await;
        let loaded = self.load_layers(ctx, &store).await;
        let layers = ctx.get(&store.cache).await.layers;
        self.unlock(ctx, &store.lockfile).await;
        loaded?;
        self.with_additional_layers(ctx, layers).await
    }

    async fn diff(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let (store, additional) = self.both_layer_store_kinds(ctx).await?;
        let graph = graph_lock();
        self.lock(ctx, &graph).await;
        self.reset_if_shut_down(ctx).await;
        let mut started = Err(Fail::layer_unknown());
        for store in [store].into_iter().chain(additional) {
            if let Err(fail) = self.start_reading(ctx, &store).await {
                started = Err(fail);
                break;
            }
            if layers::lookup(&ctx.get(&store.cache).await.layers, id).is_some() {
                ctx.set(&open_diff(id), &Some(store)).await;
                started = Ok(());
                break;
            }
            self.stop_reading(ctx, &store).await;
        }
        self.unlock(ctx, &graph).await;
        started
    }
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<V1_43>("v1_43", "release 1.43.0: reloads are ordered, and start under the write lock again")
}
