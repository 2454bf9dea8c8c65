//! `store.go` at v1.45.0: the graph lock by its stamp, and each kind of store locked no longer than it is read.

#![allow(async_fn_in_trait, reason = "a call stays on its thread: no `Send` is wanted")]

use super::super::layers::{self, Layer};
use super::super::record_store::{self, Record, RecordStore};
use super::super::store::{graph_driver, graph_lock, layer_store_field, open_diff};
use super::super::{Go, LayerStore, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol, mounts};
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
        ctx.get(&graph_driver()).await; // graphDriver.Cleanup()
        self.record_write(ctx, &graph_lock()).await;
        Ok(())
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
        self.new_record_store(ctx, &RecordStore::containers()).await
    }

    /// `getLayerStore`.
    async fn layer_store(&self, ctx: &Ctx) -> Go<LayerStore> {
        self.start_using_graph_driver(ctx).await;
        let store = self.get_layer_store_locked(ctx).await;
        self.stop_using_graph_driver(ctx).await;
        store
    }

    /// The additional stores come with the primary one (`allLayerStores`), under one hold of the graph lock.
    async fn ro_layer_stores(&self, _ctx: &Ctx) {}

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
        let store = self.layer_store(ctx).await?;
        self.start_reading_layers(ctx, &store).await?;
        let layer = layers::lookup(&ctx.get(&store.cache).await.layers, id).cloned();
        self.stop_reading_layers(ctx, &store).await;
        if let Some(layer) = layer {
            return Ok((layer.id, layer.names));
        }
        for records in [RecordStore::images(), RecordStore::containers()] {
            self.start_reading_records(ctx, &records).await?;
            let found = record_store::lookup(&ctx.get(&records.cache).await.records, id).cloned();
            self.stop_reading_records(ctx, &records).await;
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
        if known.is_some() { set } else { self.set_names_of_record(ctx, id, names).await }
    }

    /// `CreateImage`: the layers under the read lock, then the images.
    async fn create_image(&self, ctx: &Ctx, image: Record) -> Go<String> {
        let id = image.id.clone();
        let mut reading = None;
        if !image.layer.is_empty() {
            let store = self.layer_store(ctx).await?;
            self.start_reading_layers(ctx, &store).await?;
            reading = Some(store);
        }
        let mut created = match &reading {
            Some(store) if layers::lookup(&ctx.get(&store.cache).await.layers, &image.layer).is_none() => {
                Err(Fail::layer_unknown())
            }
            _ => Ok(()),
        };
        let images = RecordStore::images();
        if created.is_ok() {
            created = self.start_writing_records(ctx, &images).await;
            if created.is_ok() {
                created = self.create_record(ctx, &images, image).await;
                self.stop_writing_records(ctx, &images).await;
            }
        }
        if let Some(store) = &reading {
            self.stop_reading_layers(ctx, store).await;
        }
        created.map(|()| id)
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
        let mut started = self.get_layer_store_locked(ctx).await;
        if let Ok(store) = &started
            && let Err(fail) = self.start_diff(ctx, store).await
        {
            started = Err(fail);
        }
        if let Ok(store) = &started
            && layers::lookup(&ctx.get(&store.cache).await.layers, id).is_none()
        {
            self.stop_diff(ctx, store).await;
            started = Err(Fail::layer_unknown());
        }
        if let Ok(store) = &started {
            ctx.set(&open_diff(id), &Some(store.clone())).await;
        }
        self.stop_using_graph_driver(ctx).await;
        started.map(drop)
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
