//! Mounts, as store.go and layers.go at 9f889830f lock for them: a count for each layer in `mountpoints.json`.

use super::layers;
use super::record_store::{self, RecordStore};
use super::store::graph_lock;
use super::{Go, LayerStore, StoreProtocol};
use crate::call::Fail;
use crate::ctx::Ctx;

/// `Mount`: the graph lock is held until the layer is mounted, and the driver is made anew if another process has shut
/// it down. The layer store was obtained before (`stale-layerstore-handle`).
pub async fn mount<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, id: &str) -> Go<()> {
    let id = layer_of(p, ctx, id).await?;
    let store = p.layer_store(ctx).await?;
    let graph = graph_lock();
    p.lock(ctx, &graph).await;
    let mut mounted = p.start_writing(ctx, &store).await;
    if mounted.is_ok() {
        p.reset_if_shut_down(ctx).await;
        mounted = match known(ctx, &store, &id).await {
            Some(id) => p.mount_layer(ctx, &store, &id).await,
            None => Err(Fail::layer_unknown()),
        };
        p.stop_writing(ctx, &store).await;
    }
    p.unlock(ctx, &graph).await;
    mounted
}

/// `Unmount(id, false)`: under the layers lock, without the graph lock. Returns whether it is still mounted.
pub async fn unmount<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, id: &str) -> Go<bool> {
    let id = layer_of(p, ctx, id).await?;
    let store = p.layer_store(ctx).await?;
    p.start_writing(ctx, &store).await?;
    let unmounted = match known(ctx, &store, &id).await {
        Some(id) => p.unmount_layer(ctx, &store, &id).await,
        None => Err(Fail::layer_unknown()),
    };
    p.stop_writing(ctx, &store).await;
    unmounted
}

/// `Mounted`: how often it is mounted, under the *read* lock of the layers; but it may load the mounts into the cache
/// that all readers share (`mounts-reload-under-rlock`).
pub async fn mounted<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, id: &str) -> Go<u32> {
    let id = layer_of(p, ctx, id).await?;
    let store = p.layer_store(ctx).await?;
    p.start_reading(ctx, &store).await?;
    let cache = p.mounts(ctx, &store).await;
    p.stop_reading(ctx, &store).await;
    let id = layers::lookup(&cache.layers, &id).ok_or_else(Fail::layer_unknown)?.id.clone();
    Ok(cache.mount_count(&id))
}

/// The layer of container `id`, or `id` itself where there is no such container (`ContainerLayerID`).
pub async fn layer_of<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, id: &str) -> Go<String> {
    let containers = RecordStore::containers();
    p.start_reading_records(ctx, &containers).await?;
    let records = ctx.get(&containers.cache).await.records;
    p.stop_reading_records(ctx, &containers).await;
    Ok(record_store::lookup(&records, id).map_or_else(|| id.to_owned(), |container| container.layer.clone()))
}

/// The id of the layer of that id or name.
pub async fn known(ctx: &Ctx, store: &LayerStore, id: &str) -> Option<String> {
    layers::lookup(&ctx.get(&store.cache).await.layers, id).map(|layer| layer.id.clone())
}
