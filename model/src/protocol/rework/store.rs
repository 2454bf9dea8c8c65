//! `store.go` at v1.45.0: the graph lock by its stamp, and each kind of store locked no longer than it is read.

#![allow(async_fn_in_trait, reason = "a call stays on its thread: no `Send` is wanted")]

use super::super::layers::{self, Layer, Layers};
use super::super::record_store::{self, Record, RecordStore, Records};
use super::super::store::{clean_up, graph_driver, graph_lock, layer_store_field, open_diff, ro_layer_stores_field};
use super::super::{
    Go, LayerStore, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol, additional, changes,
    containers, mounts,
};
use super::{LastWrite, ReworkedLayerStore, ReworkedRecordStore};
use crate::call::Fail;
use crate::ctx::{Cell, Ctx};

/// `s.graphLockLastWrite`.
#[must_use]
pub fn graph_lock_last_write() -> Cell<LastWrite> {
    Cell::global("s.graphLockLastWrite")
}

/// The store since 1.45. Every method is the function of the same name in store.go.
pub trait ReworkedStore: ReworkedLayerStore + ReworkedRecordStore {
    /// `startUsingGraphDriver`: the graph lock, and a new driver if another process has shut it down.
    async fn start_using_graph_driver(&self, ctx: &Ctx) {
        let graph = graph_lock();
        self.lock(ctx, &graph).await;
        let known = ctx.get(&graph_lock_last_write()).await;
        let (stamp, modified) = self.modified_since(ctx, &graph, known).await;
        if modified {
            let driver = ctx.new_object().await;
            ctx.set(&graph_driver(), &Some(driver)).await;
            ctx.set(&layer_store_field(), &None).await;
            ctx.set(&graph_lock_last_write(), &stamp).await;
        }
    }

    /// `stopUsingGraphDriver`.
    async fn stop_using_graph_driver(&self, ctx: &Ctx) {
        self.unlock(ctx, &graph_lock()).await;
    }

    /// `getLayerStoreLocked`: a new layer store waits for the layers lock while the graph lock is held
    /// (`graphlock-convoy`).
    async fn get_layer_store_locked(&self, ctx: &Ctx) -> Go<LayerStore> {
        if let Some(store) = ctx.get(&layer_store_field()).await {
            return Ok(store);
        }
        let store = self.new_layer_store(ctx, true).await?;
        ctx.set(&layer_store_field(), &Some(store.clone())).await;
        Ok(store)
    }

    /// `bothLayerStoreKindsLocked`: the additional stores too, which are kept for as long as the Store object lives.
    async fn both_layer_store_kinds_locked(&self, ctx: &Ctx) -> Go<(LayerStore, Vec<LayerStore>)> {
        let store = self.get_layer_store_locked(ctx).await?;
        let mut stores = Vec::new();
        if ctx.additional_stores() > 0 {
            stores = ctx.get(&ro_layer_stores_field()).await;
        }
        if stores.is_empty() {
            stores = additional::make_ro_layer_stores(self, ctx).await?;
        }
        Ok((store, stores))
    }

    /// Whether `canUseShifting` reads `s.graphDriver`, which it does not own; here it asks the layer store.
    fn shifts_by_graph_driver(&self) -> bool {
        false
    }

    /// The layer store under its write lock, with the graph lock held.
    async fn write_to_layers_locked(&self, ctx: &Ctx) -> Go<LayerStore> {
        let store = self.get_layer_store_locked(ctx).await?;
        self.start_writing_layers(ctx, &store).await?;
        Ok(store)
    }

    /// The lock of the layers that `Diff` keeps: a read lock.
    async fn start_diff(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.start_reading_layers(ctx, store).await
    }

    /// The loop of `Diff`: the first of the stores that has the layer stays locked.
    async fn start_diff_of(&self, ctx: &Ctx, stores: impl Iterator<Item = LayerStore>, id: &str) -> Go<()> {
        for store in stores {
            self.start_diff(ctx, &store).await?;
            if layers::lookup(&ctx.get(&store.cache).await.layers, id).is_some() {
                ctx.set(&open_diff(id), &Some(store)).await;
                return Ok(());
            }
            self.stop_diff(ctx, &store).await;
        }
        Err(Fail::layer_unknown())
    }

    /// The end of [`start_diff`](Self::start_diff).
    async fn stop_diff(&self, ctx: &Ctx, store: &LayerStore) {
        self.stop_reading_layers(ctx, store).await;
    }

    /// `Shutdown(false)` under the graph lock and the layers lock. The stamp is not remembered, so that this process too
    /// makes its driver anew.
    async fn shut_down_locked(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        if ctx.get(&store.cache).await.mounts.iter().any(|(_, count)| *count > 0) {
            return Err(Fail("ErrLayerUsedByContainer".into()));
        }
        clean_up(ctx).await;
        self.record_write(ctx, &graph_lock()).await;
        Ok(())
    }

    /// `PutLayer` once the layers are locked: here the containers are locked before the additional stores.
    async fn put_under_layers_lock(
        &self,
        ctx: &Ctx,
        store: &LayerStore,
        additional: &[LayerStore],
        layer: Layer,
        diff: bool,
    ) -> Go<()> {
        changes::put_containers_first(self, ctx, store, additional, layer, diff).await
    }

    /// `MultiList` of everything.
    async fn list_all(&self, ctx: &Ctx) -> Go<(Vec<Layer>, Vec<String>, Vec<String>)> {
        Ok((self.layers(ctx).await?, self.images(ctx).await?, self.containers(ctx).await?))
    }
}

impl<T: ReworkedStore + ?Sized> StoreProtocol for T {
    const TIMED: &'static [&'static str] = &["root/vfs-layers/layers.json"];
    const STORES_BY_RUN_ROOT: bool = true;

    async fn load_store(&self, ctx: &Ctx) -> Go<()> {
        let graph = graph_lock();
        self.get_lockfile(ctx, &graph.path, false).await?;
        self.lock(ctx, &graph).await;
        let stamp = self.get_last_write(ctx, &graph).await;
        ctx.set(&graph_lock_last_write(), &stamp).await;
        let driver = ctx.new_object().await;
        ctx.set(&graph_driver(), &Some(driver)).await;
        self.unlock(ctx, &graph).await;
        self.new_record_store(ctx, &RecordStore::images()).await?;
        self.new_record_store(ctx, &RecordStore::containers()).await?;
        additional::make_ro_image_stores(self, ctx).await
    }

    /// `getLayerStore`.
    async fn layer_store(&self, ctx: &Ctx) -> Go<LayerStore> {
        self.start_using_graph_driver(ctx).await;
        let store = self.get_layer_store_locked(ctx).await;
        self.stop_using_graph_driver(ctx).await;
        store
    }

    /// `bothLayerStoreKinds`: under one hold of the graph lock.
    async fn both_layer_store_kinds(&self, ctx: &Ctx) -> Go<(LayerStore, Vec<LayerStore>)> {
        self.start_using_graph_driver(ctx).await;
        let stores = self.both_layer_store_kinds_locked(ctx).await;
        self.stop_using_graph_driver(ctx).await;
        stores
    }

    /// `allLayerStores`.
    async fn all_layer_stores(&self, ctx: &Ctx) -> Go<Vec<LayerStore>> {
        let (store, additional) = self.both_layer_store_kinds(ctx).await?;
        Ok([store].into_iter().chain(additional).collect())
    }

    async fn ro_image_stores(&self, ctx: &Ctx) -> Go<Vec<RecordStore>> {
        Ok(additional::ro_image_stores(ctx))
    }

    async fn supports_shifting(&self, ctx: &Ctx) {
        if self.shifts_by_graph_driver() {
            additional::supports_shifting(ctx).await;
        }
    }

    async fn start_reading(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.start_reading_layers(ctx, store).await
    }

    async fn stop_reading(&self, ctx: &Ctx, store: &LayerStore) {
        self.stop_reading_layers(ctx, store).await;
    }

    async fn start_writing(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.start_writing_layers(ctx, store).await
    }

    async fn stop_writing(&self, ctx: &Ctx, store: &LayerStore) {
        self.stop_writing_layers(ctx, store).await;
    }

    /// The layers are unlocked before the images are locked, and those before the containers.
    async fn find(&self, ctx: &Ctx, id: &str) -> Go<(String, Vec<String>)> {
        let stores = self.all_layer_stores(ctx).await?;
        let (layer, held) =
            additional::read_layers(self, ctx, &stores, |layers| layers::lookup(layers, id).cloned()).await?;
        additional::stop_reading(self, ctx, &stores[..held]).await;
        if let Some(layer) = layer {
            return Ok((layer.id, layer.names));
        }
        for stores in [self.all_image_stores(ctx).await?, vec![RecordStore::containers()]] {
            let look = |records: &Records| record_store::lookup(records, id).cloned();
            let (found, held) = additional::read_records(self, ctx, &stores, look).await?;
            additional::stop_reading_records(self, ctx, &stores[..held]).await;
            if let Some(record) = found {
                return Ok((record.id, record.names));
            }
        }
        Err(Fail::layer_unknown())
    }

    async fn layers(&self, ctx: &Ctx) -> Go<Vec<Layer>> {
        self.layers_for_reading(ctx).await
    }

    /// `updateNames`: the layers are unlocked before the images are locked.
    async fn set_names(&self, ctx: &Ctx, id: &str, names: &[String]) -> Go<()> {
        let store = self.layer_store(ctx).await?;
        self.start_writing_layers(ctx, &store).await?;
        let known = layers::lookup(&ctx.get(&store.cache).await.layers, id).map(|layer| layer.id.clone());
        let mut set = Ok(());
        if let Some(id) = &known {
            set = self.set_layer_names(ctx, &store, id, names).await;
        }
        self.stop_writing_layers(ctx, &store).await;
        if known.is_some() { set } else { changes::set_names_of_record(self, ctx, id, names).await }
    }

    /// `CreateImage`: the layers under the read lock, then the images.
    async fn create_image(&self, ctx: &Ctx, image: Record) -> Go<String> {
        let id = image.id.clone();
        let mut reading = Vec::new();
        let mut created = Ok(());
        if !image.layer.is_empty() {
            reading = self.all_layer_stores(ctx).await?;
            let look = |layers: &Layers| layers::lookup(layers, &image.layer).map(|_| ());
            let (found, held) = additional::read_layers(self, ctx, &reading, look).await?;
            reading.truncate(held);
            created = found.ok_or_else(Fail::layer_unknown);
        }
        let images = RecordStore::images();
        if created.is_ok() {
            created = self.start_writing_records(ctx, &images).await;
            if created.is_ok() {
                created = self.create_record(ctx, &images, image).await;
                self.stop_writing_records(ctx, &images).await;
            }
        }
        additional::stop_reading(self, ctx, &reading).await;
        created.map(|()| id)
    }

    async fn put_locked(
        &self,
        ctx: &Ctx,
        store: &LayerStore,
        additional: &[LayerStore],
        layer: Layer,
        diff: bool,
    ) -> Go<()> {
        self.put_under_layers_lock(ctx, store, additional, layer, diff).await
    }

    /// The additional stores are locked before the images, all of them, and stay so.
    async fn start_reading_for_container(&self, ctx: &Ctx, additional: &[LayerStore]) -> Go<()> {
        additional::read_layers(self, ctx, additional, |_| None::<()>).await.map(drop)
    }

    async fn stop_reading_for_container(&self, ctx: &Ctx, additional: &[LayerStore]) {
        additional::stop_reading(self, ctx, additional).await;
    }

    async fn image_top_layer(
        &self,
        ctx: &Ctx,
        store: &LayerStore,
        additional: &[LayerStore],
        top: &str,
    ) -> Go<(String, usize)> {
        if top.is_empty() {
            return Ok((String::new(), 0));
        }
        for looked_at in [store].into_iter().chain(additional) {
            if let Some(layer) = containers::known_with_parent(ctx, store, additional, looked_at, top).await {
                return Ok((layer, 0));
            }
        }
        Err(Fail::layer_unknown())
    }

    async fn multi_list(&self, ctx: &Ctx) -> Go<(Vec<Layer>, Vec<String>, Vec<String>)> {
        self.list_all(ctx).await
    }

    /// `Mount`: everything under the graph lock, and the layer store that belongs to the driver.
    async fn mount(&self, ctx: &Ctx, id: &str) -> Go<()> {
        let id = mounts::layer_of(self, ctx, id).await?;
        self.start_using_graph_driver(ctx).await;
        let mounted = match self.write_to_layers_locked(ctx).await {
            Err(fail) => Err(fail),
            Ok(store) => {
                let mounted = match mounts::known(ctx, &store, &id).await {
                    Some(id) => self.mount_layer(ctx, &store, &id).await,
                    None => Err(Fail::layer_unknown()),
                };
                self.stop_writing_layers(ctx, &store).await;
                mounted
            }
        };
        self.stop_using_graph_driver(ctx).await;
        mounted
    }

    /// `Diff`: the graph lock is held while it starts.
    async fn diff(&self, ctx: &Ctx, id: &str) -> Go<()> {
        self.start_using_graph_driver(ctx).await;
        let started = match self.both_layer_store_kinds_locked(ctx).await {
            Err(fail) => Err(fail),
            Ok((store, additional)) => self.start_diff_of(ctx, [store].into_iter().chain(additional), id).await,
        };
        self.stop_using_graph_driver(ctx).await;
        started
    }

    async fn end_diff(&self, ctx: &Ctx, store: &LayerStore) {
        self.stop_diff(ctx, store).await;
    }

    async fn shutdown(&self, ctx: &Ctx) -> Go<()> {
        self.start_using_graph_driver(ctx).await;
        let result = match self.write_to_layers_locked(ctx).await {
            Err(fail) => Err(fail),
            Ok(store) => {
                let result = self.shut_down_locked(ctx, &store).await;
                self.stop_writing_layers(ctx, &store).await;
                result
            }
        };
        self.stop_using_graph_driver(ctx).await;
        result
    }
}
