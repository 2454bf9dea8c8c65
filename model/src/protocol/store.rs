//! `store.go` at 9f889830f: which locks each call of the store takes, and in which order.

#![allow(async_fn_in_trait, reason = "a call stays on its thread: no `Send` is wanted")]

use super::layers::{self, Layer};
use super::record_store::RecordStore;
use super::{
    Go, LayerStore, LayerStoreProtocol, Lockfile, Record, RecordStoreProtocol, additional, calls, changes, containers,
    images, lookups, mounts,
};
use crate::call::{Call, Fail, Reply};
use crate::ctx::{Cell, Ctx};
use crate::op::{CellName, Path};
use crate::value::{Instant, Object, Value};

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

/// What `s.graphDriver` keeps of its home: whether it is mounted.
#[must_use]
pub fn driver_home() -> Cell<Value> {
    Cell::global("s.graphDriver.home")
}

/// `s.graphDriver.Cleanup()`: the home is unmounted, for every process. Who has a driver has to make it anew.
pub(super) async fn clean_up(ctx: &Ctx) {
    ctx.get(&graph_driver()).await;
    ctx.get(&driver_home()).await;
}

/// `s.layerStore`.
#[must_use]
pub fn layer_store_field() -> Cell<Option<LayerStore>> {
    Cell::global("s.layerStore")
}

/// `s.roLayerStores`.
#[must_use]
pub fn ro_layer_stores_field() -> Cell<Vec<LayerStore>> {
    Cell::global("s.roLayerStores")
}

/// `s.lastLoaded`.
#[must_use]
pub fn last_loaded() -> Cell<Instant> {
    Cell::global("s.lastLoaded")
}

/// The reader that `Diff` of layer `id` returned, in the hands of its caller: the layer store that it keeps locked.
#[must_use]
pub fn open_diff(id: &str) -> Cell<Option<LayerStore>> {
    Cell::global(format!("s.diff[{id}]"))
}

/// The store. Every method is the function of the same name in store.go.
///
/// Additional stores there are as many as the Store object was opened with; without any, `ROLayerStores` and `ROImageStores`
/// come to the locks they take and an empty list.
pub trait StoreProtocol: LayerStoreProtocol + RecordStoreProtocol {
    /// The files whose `mtime` it asks for.
    const TIMED: &'static [&'static str] = &["root/storage.lock"];

    /// Whether its stores are opened with an option that is to keep them from writing; the property `read-only` holds them
    /// to that.
    const READ_ONLY: bool = false;

    /// Whether `GetStore` makes an object for each pair of roots. Until 1.38 it looked at the graph root alone
    /// (`getstore-ignores-runroot`).
    const STORES_BY_RUN_ROOT: bool = false;

    /// Performs a call.
    async fn call(&self, ctx: &Ctx, call: Call) -> Reply {
        calls::perform(self, ctx, call).await
    }

    /// What a goroutine does that this protocol started with [`Ctx::spawn`].
    async fn goroutine(&self, _ctx: &Ctx, name: &str, _arguments: Value) -> Reply {
        Err(Fail(format!("no goroutine {name:?} in this protocol")))
    }

    /// `GetStore`: the store of this process, made at the first call (`load`).
    async fn get_store(&self, ctx: &Ctx) -> Go<()> {
        let stores_lock = CellName { object: None, field: "storesLock".into() };
        let stores: Cell<bool> = Cell::global("s.isInStores");
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
        self.new_record_store(ctx, &RecordStore::images()).await?;
        additional::make_ro_image_stores(self, ctx).await?;
        self.new_record_store(ctx, &RecordStore::containers()).await
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

    /// Before a mount: the driver is made anew if another process has shut it down.
    async fn reset_if_shut_down(&self, ctx: &Ctx) {
        self.reset_if_touched(ctx).await;
        self.get_graph_driver(ctx).await;
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

    /// `ROLayerStores`: under the graph lock, and kept for as long as the Store object lives.
    async fn ro_layer_stores(&self, ctx: &Ctx) -> Go<Vec<LayerStore>> {
        let graph = graph_lock();
        self.lock(ctx, &graph).await;
        let mut stores = Ok(Vec::new());
        if ctx.additional_stores() > 0 {
            stores = Ok(ctx.get(&ro_layer_stores_field()).await);
        }
        if stores.as_ref().is_ok_and(Vec::is_empty) {
            self.get_graph_driver(ctx).await;
            stores = additional::make_ro_layer_stores(self, ctx).await;
        }
        self.unlock(ctx, &graph).await;
        stores
    }

    /// `ROImageStores`.
    async fn ro_image_stores(&self, ctx: &Ctx) -> Go<Vec<RecordStore>> {
        additional::lazy_ro_image_stores(self, ctx).await
    }

    /// The layer store and the additional ones, as whoever looks for a layer begins.
    async fn both_layer_store_kinds(&self, ctx: &Ctx) -> Go<(LayerStore, Vec<LayerStore>)> {
        let store = self.layer_store(ctx).await?;
        Ok((store, self.ro_layer_stores(ctx).await?))
    }

    /// `append([]ROLayerStore{lstore}, lstores...)`, as a read begins.
    async fn all_layer_stores(&self, ctx: &Ctx) -> Go<Vec<LayerStore>> {
        let mut stores = vec![self.reading_layer_store(ctx).await?];
        stores.extend(self.ro_layer_stores(ctx).await?);
        Ok(stores)
    }

    /// `append([]ROImageStore{istore}, istores...)`, likewise.
    async fn all_image_stores(&self, ctx: &Ctx) -> Go<Vec<RecordStore>> {
        let mut stores = vec![RecordStore::images()];
        stores.extend(self.ro_image_stores(ctx).await?);
        Ok(stores)
    }

    /// What whoever makes a layer asks the driver.
    async fn supports_shifting(&self, ctx: &Ctx) {
        additional::supports_shifting(ctx).await;
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

    /// The end of a read.
    async fn stop_reading(&self, ctx: &Ctx, store: &LayerStore) {
        self.unlock(ctx, &store.lockfile).await;
    }

    /// The end of a write.
    async fn stop_writing(&self, ctx: &Ctx, store: &LayerStore) {
        self.unlock(ctx, &store.lockfile).await;
    }

    /// What has that id or name. Returns its id and its names.
    async fn find(&self, ctx: &Ctx, id: &str) -> Go<(String, Vec<String>)> {
        lookups::find(self, ctx, id).await
    }

    /// `Names`.
    async fn names(&self, ctx: &Ctx, id: &str) -> Go<Vec<String>> {
        Ok(self.find(ctx, id).await?.1)
    }

    /// `Lookup`.
    async fn lookup(&self, ctx: &Ctx, name: &str) -> Go<String> {
        Ok(self.find(ctx, name).await?.0)
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
        self.with_additional_layers(ctx, layers).await
    }

    /// The end of `Layers`: those of the additional stores follow.
    async fn with_additional_layers(&self, ctx: &Ctx, mut layers: Vec<Layer>) -> Go<Vec<Layer>> {
        let stores = self.ro_layer_stores(ctx).await?;
        additional::list_layers(self, ctx, &stores, &mut layers).await?;
        Ok(layers)
    }

    /// `Layers`, of versions in which it is a read like any other.
    async fn layers_for_reading(&self, ctx: &Ctx) -> Go<Vec<Layer>> {
        let mut layers = Vec::new();
        let stores = self.all_layer_stores(ctx).await?;
        additional::list_layers(self, ctx, &stores, &mut layers).await?;
        Ok(layers)
    }

    /// `PutLayer`.
    async fn put_layer(&self, ctx: &Ctx, layer: Layer, diff: bool) -> Go<String> {
        let (store, additional) = self.both_layer_store_kinds(ctx).await?;
        let id = layer.id.clone();
        self.start_writing(ctx, &store).await?;
        let put = self.put_locked(ctx, &store, &additional, layer, diff).await;
        self.stop_writing(ctx, &store).await;
        put.map(|()| id)
    }

    /// The part of `PutLayer` under the lock of the layers.
    async fn put_locked(
        &self,
        ctx: &Ctx,
        store: &LayerStore,
        additional: &[LayerStore],
        layer: Layer,
        diff: bool,
    ) -> Go<()> {
        changes::put_containers_first(self, ctx, store, additional, layer, diff).await
    }

    /// `DeleteLayer`.
    async fn delete_layer(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let store = self.layer_store(ctx).await?;
        images::start_writing_all(self, ctx, &store).await?;
        let deleted = changes::delete_unused(self, ctx, &store, id).await;
        images::stop_writing_all(self, ctx, &store).await;
        deleted
    }

    /// `SetNames` of a layer, an image or a container, each asked under one more lock.
    async fn set_names(&self, ctx: &Ctx, id: &str, names: &[String]) -> Go<()> {
        let store = self.layer_store(ctx).await?;
        self.start_writing(ctx, &store).await?;
        let known = layers::lookup(&ctx.get(&store.cache).await.layers, id).map(|layer| layer.id.clone());
        let set = match known {
            Some(id) => self.set_layer_names(ctx, &store, &id, names).await,
            None => changes::set_names_of_record(self, ctx, id, names).await,
        };
        self.stop_writing(ctx, &store).await;
        set
    }

    /// `CreateImage`. Returns the id.
    async fn create_image(&self, ctx: &Ctx, image: Record) -> Go<String> {
        images::create_image(self, ctx, image).await
    }

    /// `DeleteImage(id, true)`.
    async fn delete_image(&self, ctx: &Ctx, id: &str) -> Go<()> {
        images::delete_image(self, ctx, id).await
    }

    /// `Images`. Returns the ids.
    async fn images(&self, ctx: &Ctx) -> Go<Vec<String>> {
        images::images(self, ctx).await
    }

    /// `CreateContainer`. Returns the id.
    async fn create_container(&self, ctx: &Ctx, container: Record) -> Go<String> {
        containers::create_container(self, ctx, container).await
    }

    /// The read locks of the additional stores that `CreateContainer` takes before it looks at anything: none.
    async fn start_reading_for_container(&self, _ctx: &Ctx, _additional: &[LayerStore]) -> Go<()> {
        Ok(())
    }

    /// The end of that.
    async fn stop_reading_for_container(&self, _ctx: &Ctx, _additional: &[LayerStore]) {}

    /// `imageTopLayerForMapping`. Returns the id of the layer, and how many additional stores it keeps locked.
    async fn image_top_layer(
        &self,
        ctx: &Ctx,
        store: &LayerStore,
        additional: &[LayerStore],
        top: &str,
    ) -> Go<(String, usize)> {
        containers::image_top_layer(self, ctx, store, additional, top).await
    }

    /// `DeleteContainer`.
    async fn delete_container(&self, ctx: &Ctx, id: &str) -> Go<()> {
        containers::delete_container(self, ctx, id).await
    }

    /// `Containers`. Returns the ids.
    async fn containers(&self, ctx: &Ctx) -> Go<Vec<String>> {
        images::list(self, ctx, &[RecordStore::containers()]).await
    }

    /// All that there is, as a caller asks for it: `Layers`, then `Images`, then `Containers`, each under its own lock.
    /// Release 1.56 has one function for it, `MultiList`.
    async fn multi_list(&self, ctx: &Ctx) -> Go<(Vec<Layer>, Vec<String>, Vec<String>)> {
        Ok((self.layers(ctx).await?, self.images(ctx).await?, self.containers(ctx).await?))
    }

    /// `Mount`.
    async fn mount(&self, ctx: &Ctx, id: &str) -> Go<()> {
        mounts::mount(self, ctx, id).await
    }

    /// `Unmount(id, false)`. Returns whether it is still mounted.
    async fn unmount(&self, ctx: &Ctx, id: &str) -> Go<bool> {
        mounts::unmount(self, ctx, id).await
    }

    /// `Mounted`. Returns how often it is mounted.
    async fn mounted(&self, ctx: &Ctx, id: &str) -> Go<u32> {
        mounts::mounted(self, ctx, id).await
    }

    /// `Diff`: the read lock stays until the reader that it returns is closed.
    async fn diff(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let (store, additional) = self.both_layer_store_kinds(ctx).await?;
        for store in [store].into_iter().chain(additional) {
            // An error of `Load` returns with the lock held (`diff-leaks-lock-on-error`).
            self.rlock(ctx, &store.lockfile).await;
            self.reload_if_modified(ctx, &store).await?;
            if layers::lookup(&ctx.get(&store.cache).await.layers, id).is_some() {
                ctx.set(&open_diff(id), &Some(store)).await;
                return Ok(());
            }
            self.unlock(ctx, &store.lockfile).await;
        }
        Err(Fail::layer_unknown())
    }

    /// `Close` of the reader that `Diff` returned.
    async fn close_diff(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let open = open_diff(id);
        let Some(store) = ctx.get(&open).await else {
            return Err(Fail(format!("no diff of {id} is open")));
        };
        self.end_diff(ctx, &store).await;
        ctx.set(&open, &None).await;
        Ok(())
    }

    /// The lock that `Diff` kept is given back.
    async fn end_diff(&self, ctx: &Ctx, store: &LayerStore) {
        self.stop_reading(ctx, store).await;
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
            clean_up(ctx).await;
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
