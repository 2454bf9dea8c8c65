//! `store.go` at 9f889830f: which locks each call of the store takes, and in which order.

#![allow(async_fn_in_trait, reason = "a call stays on its thread: no `Send` is wanted")]

use super::layers::{self, Layer};
use super::record_store::{self, RecordStore};
use super::{Go, LayerStore, LayerStoreProtocol, Lockfile};
use crate::call::{Call, Fail, Reply};
use crate::ctx::{Cell, Ctx};
use crate::op::{CellName, Path};
use crate::value::{Datum, Instant, Object, Value};

/// `s.graphLock`.
#[must_use]
pub fn graph_lock() -> Lockfile {
    Lockfile::at(&Path::new("root/storage.lock"), false)
}

/// `s.graphDriver`.
#[must_use]
pub fn graph_driver() -> Cell<Option<Object>> {
    Cell::global("s.graphDriver")
}

/// `s.layerStore`.
#[must_use]
pub fn layer_store_field() -> Cell<Option<LayerStore>> {
    Cell::global("s.layerStore")
}

/// `s.lastLoaded`.
#[must_use]
pub fn last_loaded() -> Cell<Instant> {
    Cell::global("s.lastLoaded")
}

/// The store. Every method is the function of the same name in store.go.
///
/// The additional read-only stores of a driver are none here, so that `ROLayerStores` and `ROImageStores` come to the
/// locks they take and an empty list.
pub trait StoreProtocol: LayerStoreProtocol {
    /// The files whose `mtime` it asks for.
    const TIMED: &'static [&'static str] = &["root/storage.lock"];

    /// Performs a call.
    async fn call(&self, ctx: &Ctx, call: Call) -> Reply {
        match call {
            Call::Open => self.get_store(ctx).await.map(|()| Value::Nil),
            Call::Status => self.status(ctx).await.map(|()| Value::Nil),
            Call::Names { id } => self.names(ctx, &id).await.map(|names| names.to_value()),
            Call::Lookup { name } => self.lookup(ctx, &name).await.map(Value::Text),
            Call::Exists { id } => Ok(Value::Bool(self.exists(ctx, &id).await)),
            Call::Layers => self
                .layers(ctx)
                .await
                .map(|layers| Value::List(layers.into_iter().map(|layer| Value::Text(layer.id)).collect())),
            Call::PutLayer { id, parent, names, diff } => {
                let layer = Layer { id, names, parent: parent.unwrap_or_default(), incomplete: false };
                self.put_layer(ctx, layer, diff).await.map(Value::Text)
            }
            Call::DeleteLayer { id } => self.delete_layer(ctx, &id).await.map(|()| Value::Nil),
            Call::SetNames { id, names } => self.set_names(ctx, &id, &names).await.map(|()| Value::Nil),
            Call::Diff { id } => self.diff(ctx, &id).await.map(|()| Value::Nil),
            Call::CloseDiff { id } => self.close_diff(ctx, &id).await.map(|()| Value::Nil),
            Call::Shutdown => self.shutdown(ctx).await.map(|()| Value::Nil),
            Call::ShutdownRo => self.shutdown_ro(ctx).await.map(|()| Value::Nil),
            Call::Goroutine { name, arguments } => self.goroutine(ctx, &name, arguments).await,
        }
    }

    /// What a goroutine does that this protocol started with [`Ctx::spawn`].
    async fn goroutine(&self, _ctx: &Ctx, name: &str, _arguments: Value) -> Reply {
        Err(Fail(format!("no goroutine {name:?} in this protocol")))
    }

    /// `GetStore`: the store of this process, made at the first call (`load`).
    async fn get_store(&self, ctx: &Ctx) -> Go<()> {
        let stores_lock = CellName { object: None, field: "storesLock".into() };
        let stores: Cell<bool> = Cell::global("stores");
        ctx.mutex_lock(&stores_lock).await;
        let mut result = Ok(());
        if !ctx.get(&stores).await {
            result = self.load_store(ctx).await;
            if result.is_ok() {
                ctx.set(&stores, &true).await;
            }
        }
        ctx.mutex_unlock(&stores_lock).await;
        result
    }

    /// `GetStore`'s lock files and `load`: the graph driver, the image store, the container store.
    async fn load_store(&self, ctx: &Ctx) -> Go<()> {
        let graph = graph_lock();
        self.get_lockfile(ctx, &graph.path, false).await?;
        self.lock(ctx, &graph).await;
        self.reset_if_touched(ctx).await;
        self.get_graph_driver(ctx).await;
        self.unlock(ctx, &graph).await;
        record_store::construct(self, ctx, &RecordStore::images()).await?;
        record_store::construct(self, ctx, &RecordStore::containers()).await
    }

    /// `if s.graphLock.TouchedSince(s.lastLoaded) { … = nil; s.lastLoaded = time.Now() }`.
    async fn reset_if_touched(&self, ctx: &Ctx) {
        let since = ctx.get(&last_loaded()).await;
        if self.touched_since(ctx, &graph_lock(), since).await {
            ctx.set(&graph_driver(), &None).await;
            self.forget_layer_stores(ctx).await;
            let now = ctx.now().await;
            ctx.set(&last_loaded(), &now).await;
        }
    }

    /// `s.layerStore = nil`.
    async fn forget_layer_stores(&self, ctx: &Ctx) {
        ctx.set(&layer_store_field(), &None).await;
    }

    /// `getGraphDriver`.
    async fn get_graph_driver(&self, ctx: &Ctx) {
        if ctx.get(&graph_driver()).await.is_none() {
            let driver = ctx.new_object().await;
            ctx.set(&graph_driver(), &Some(driver)).await;
        }
    }

    /// `LayerStore`: all of it under the graph lock.
    async fn layer_store(&self, ctx: &Ctx) -> Go<LayerStore> {
        let graph = graph_lock();
        self.lock(ctx, &graph).await;
        self.reset_if_touched(ctx).await;
        let store = match ctx.get(&layer_store_field()).await {
            Some(store) => Ok(store),
            None => self.make_layer_store(ctx, &layer_store_field(), true).await,
        };
        self.unlock(ctx, &graph).await;
        store
    }

    /// The end of `LayerStore`: makes a layer store and stores it in `field`.
    async fn make_layer_store(&self, ctx: &Ctx, field: &Cell<Option<LayerStore>>, with_mounts: bool) -> Go<LayerStore> {
        self.get_graph_driver(ctx).await;
        let store = self.new_layer_store(ctx, with_mounts).await?;
        ctx.set(field, &Some(store.clone())).await;
        Ok(store)
    }

    /// The layer store that calls which only read use: here the only one there is.
    async fn reading_layer_store(&self, ctx: &Ctx) -> Go<LayerStore> {
        self.layer_store(ctx).await
    }

    /// `ROLayerStores`, of a driver without additional stores: the graph lock, the driver, and an empty list.
    async fn ro_layer_stores(&self, ctx: &Ctx) {
        let graph = graph_lock();
        self.lock(ctx, &graph).await;
        self.get_graph_driver(ctx).await;
        self.unlock(ctx, &graph).await;
    }

    /// `Status`.
    async fn status(&self, ctx: &Ctx) -> Go<()> {
        self.reading_layer_store(ctx).await.map(|_| ())
    }

    /// The beginning of a read: the layer store under its read lock, its cache up to date. On error the lock is free.
    async fn start_reading(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.rlock(ctx, &store.lockfile).await;
        self.reload_or(ctx, store).await
    }

    /// The beginning of a write: the same under the write lock.
    async fn start_writing(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.lock(ctx, &store.lockfile).await;
        self.reload_or(ctx, store).await
    }

    /// Reloads a store that is locked, and unlocks it if that fails (`defer store.Unlock()`).
    async fn reload_or(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        let reloaded = self.reload_if_modified(ctx, store).await;
        if reloaded.is_err() {
            self.unlock(ctx, &store.lockfile).await;
        }
        reloaded
    }

    /// The layer of that id or name, as `Names`, `Lookup` and `Exists` find it: among the layers and, while the layers
    /// lock is still held, the images and then the containers.
    async fn find(&self, ctx: &Ctx, id: &str) -> Go<Layer> {
        let store = self.reading_layer_store(ctx).await?;
        self.ro_layer_stores(ctx).await;
        self.start_reading(ctx, &store).await?;
        let mut found = layers::lookup(&ctx.get(&store.cache).await.layers, id).cloned();
        if found.is_none() {
            found = self.find_elsewhere(ctx).await;
        }
        self.unlock(ctx, &store.lockfile).await;
        found.ok_or_else(Fail::layer_unknown)
    }

    /// The part of `find` that asks the image store and the container store, of which no scenario expects anything.
    async fn find_elsewhere(&self, ctx: &Ctx) -> Option<Layer> {
        let (images, containers) = (RecordStore::images(), RecordStore::containers());
        self.rlock(ctx, &images.lockfile).await;
        record_store::reload_if_modified(self, ctx, &images).await;
        self.rlock(ctx, &containers.lockfile).await;
        record_store::reload_if_modified(self, ctx, &containers).await;
        // Deferred calls run in the reverse order.
        self.unlock(ctx, &containers.lockfile).await;
        self.unlock(ctx, &images.lockfile).await;
        None
    }

    /// `Names`.
    async fn names(&self, ctx: &Ctx, id: &str) -> Go<Vec<String>> {
        Ok(self.find(ctx, id).await?.names)
    }

    /// `Lookup`.
    async fn lookup(&self, ctx: &Ctx, name: &str) -> Go<String> {
        Ok(self.find(ctx, name).await?.id)
    }

    /// `Exists`: an error counts as "no".
    async fn exists(&self, ctx: &Ctx, id: &str) -> bool {
        self.find(ctx, id).await.is_ok()
    }

    /// `Layers`: loads under the *write* lock, and copies the cache after it is free.
    async fn layers(&self, ctx: &Ctx) -> Go<Vec<Layer>> {
        let store = self.layer_store(ctx).await?;
        self.load_locked(ctx, &store).await?;
        let layers = ctx.get(&store.cache).await.layers;
        self.ro_layer_stores(ctx).await;
        Ok(layers)
    }

    /// `PutLayer`.
    async fn put_layer(&self, ctx: &Ctx, layer: Layer, diff: bool) -> Go<String> {
        let store = self.layer_store(ctx).await?;
        self.ro_layer_stores(ctx).await;
        let containers = RecordStore::containers();
        self.start_writing(ctx, &store).await?;
        self.lock(ctx, &containers.lockfile).await;
        record_store::reload_if_modified(self, ctx, &containers).await;
        let id = layer.id.clone();
        let parent_known =
            layer.parent.is_empty() || layers::lookup(&ctx.get(&store.cache).await.layers, &layer.parent).is_some();
        let put = if parent_known { self.put(ctx, &store, layer, diff).await } else { Err(Fail::layer_unknown()) };
        self.unlock(ctx, &containers.lockfile).await;
        self.unlock(ctx, &store.lockfile).await;
        put.map(|()| id)
    }

    /// `DeleteLayer`.
    async fn delete_layer(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let store = self.layer_store(ctx).await?;
        let (images, containers) = (RecordStore::images(), RecordStore::containers());
        self.start_writing(ctx, &store).await?;
        for records in [&images, &containers] {
            self.lock(ctx, &records.lockfile).await;
            record_store::reload_if_modified(self, ctx, records).await;
        }
        let layers = ctx.get(&store.cache).await.layers;
        let deleted = match layers::lookup(&layers, id).map(|layer| layer.id.clone()) {
            None => Err(Fail("ErrNotALayer".into())),
            Some(id) if layers.iter().any(|layer| layer.parent == id) => Err(Fail("ErrLayerHasChildren".into())),
            Some(id) => self.delete(ctx, &store, &id).await,
        };
        self.unlock(ctx, &containers.lockfile).await;
        self.unlock(ctx, &images.lockfile).await;
        self.unlock(ctx, &store.lockfile).await;
        deleted
    }

    /// `SetNames` of a layer.
    async fn set_names(&self, ctx: &Ctx, id: &str, names: &[String]) -> Go<()> {
        let store = self.layer_store(ctx).await?;
        self.start_writing(ctx, &store).await?;
        let known = layers::lookup(&ctx.get(&store.cache).await.layers, id).map(|layer| layer.id.clone());
        let set = match known {
            Some(id) => self.set_layer_names(ctx, &store, &id, names).await,
            None => Err(Fail::layer_unknown()),
        };
        self.unlock(ctx, &store.lockfile).await;
        set
    }

    /// `Diff`: the read lock stays until the reader that it returns is closed.
    async fn diff(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let store = self.layer_store(ctx).await?;
        self.ro_layer_stores(ctx).await;
        // An error of `Load` returns with the lock held (`diff-leaks-lock-on-error`).
        self.rlock(ctx, &store.lockfile).await;
        self.reload_if_modified(ctx, &store).await?;
        if layers::lookup(&ctx.get(&store.cache).await.layers, id).is_none() {
            self.unlock(ctx, &store.lockfile).await;
            return Err(Fail::layer_unknown());
        }
        ctx.set(&Cell::global(format!("diff[{id}]")), &Some(store)).await;
        Ok(())
    }

    /// `Close` of the reader that `Diff` returned.
    async fn close_diff(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let open: Cell<Option<LayerStore>> = Cell::global(format!("diff[{id}]"));
        let Some(store) = ctx.get(&open).await else {
            return Err(Fail(format!("no diff of {id} is open")));
        };
        self.unlock(ctx, &store.lockfile).await;
        ctx.set(&open, &None).await;
        Ok(())
    }

    /// `Shutdown(false)`.
    async fn shutdown(&self, ctx: &Ctx) -> Go<()> {
        let store = self.layer_store(ctx).await?;
        let graph = graph_lock();
        self.lock(ctx, &graph).await;
        let result = self.shut_layers_down(ctx, &store, &graph).await;
        self.unlock(ctx, &graph).await;
        result
    }

    /// The part of `Shutdown` under both locks.
    async fn shut_layers_down(&self, ctx: &Ctx, store: &LayerStore, graph: &Lockfile) -> Go<()> {
        self.start_writing(ctx, store).await?;
        let mounted = ctx.get(&store.cache).await.mounts.iter().any(|(_, count)| *count > 0);
        if !mounted {
            ctx.get(&graph_driver()).await; // graphDriver.Cleanup()
            self.touch(ctx, graph).await;
            self.touch(ctx, &store.lockfile).await;
        }
        self.unlock(ctx, &store.lockfile).await;
        if mounted { Err(Fail("ErrLayerUsedByContainer".into())) } else { Ok(()) }
    }

    /// `ShutdownRO`, which only the pull request has.
    async fn shutdown_ro(&self, _ctx: &Ctx) -> Go<()> {
        Err(Fail("ShutdownRO is not a function of this version".into()))
    }
}
