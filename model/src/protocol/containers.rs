//! Containers, as store.go at 9f889830f locks for them.

use super::images::{start_writing_all, stop_writing_all};
use super::layers::{self, Layer};
use super::record_store::{self, Record, RecordStore};
use super::{Go, LayerStore, StoreProtocol};
use crate::call::Fail;
use crate::ctx::Ctx;

/// `CreateContainer`: layers, images, and, once the container's layer is made, containers.
pub async fn create_container<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, container: Record) -> Go<String> {
    let store = p.layer_store(ctx).await?;
    let images = RecordStore::images();
    let with_image = !container.image.is_empty();
    if with_image {
        p.ro_layer_stores(ctx).await;
    }
    p.start_writing(ctx, &store).await?;
    let mut created = Ok(String::new());
    if with_image {
        created = p.start_writing_records(ctx, &images).await.map(|()| String::new());
    }
    if created.is_ok() {
        created = create_locked(p, ctx, &store, container).await;
        if with_image {
            p.stop_writing_records(ctx, &images).await;
        }
    }
    p.stop_writing(ctx, &store).await;
    created
}

/// The part of `CreateContainer` under the locks of the layers and the images.
async fn create_locked<P: StoreProtocol + ?Sized>(
    p: &P,
    ctx: &Ctx,
    store: &LayerStore,
    mut container: Record,
) -> Go<String> {
    let mut parent = String::new();
    if !container.image.is_empty() {
        let images = ctx.get(&RecordStore::images().cache).await.records;
        let image = record_store::lookup(&images, &container.image).ok_or_else(|| Fail("ErrImageUnknown".into()))?;
        container.image.clone_from(&image.id);
        if !image.layer.is_empty() {
            let layers = ctx.get(&store.cache).await.layers;
            parent = layers::lookup(&layers, &image.layer).ok_or_else(Fail::layer_unknown)?.id.clone();
        }
    }
    let layer = Layer { id: container.layer.clone(), parent, ..Layer::default() };
    p.put(ctx, store, layer, false).await?;
    let (id, layer) = (container.id.clone(), container.layer.clone());
    let containers = RecordStore::containers();
    p.start_writing_records(ctx, &containers).await?;
    let created = p.create_record(ctx, &containers, container).await;
    if created.is_err() {
        p.delete(ctx, store, &layer).await.ok(); // `rlstore.Delete(layer)`, its error not looked at
    }
    p.stop_writing_records(ctx, &containers).await;
    created.map(|()| id)
}

/// `DeleteContainer`. Go deletes the layer and the record in two goroutines and waits for both; here one comes after the
/// other, in either order.
pub async fn delete_container<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, id: &str) -> Go<()> {
    let store = p.layer_store(ctx).await?;
    start_writing_all(p, ctx, &store).await?;
    let containers = RecordStore::containers();
    let records = ctx.get(&containers.cache).await.records;
    let deleted = match record_store::lookup(&records, id).cloned() {
        None => Err(Fail("ErrNotAContainer".into())),
        Some(container) => {
            let layers = ctx.get(&store.cache).await.layers;
            let has_layer = layers.iter().any(|layer| layer.id == container.layer);
            let record_first = has_layer && ctx.choose(2).await == 1;
            let mut deleted = Ok(());
            if record_first {
                deleted = p.delete_record(ctx, &containers, &container.id).await;
            }
            if has_layer {
                deleted = p.delete(ctx, &store, &container.layer).await.and(deleted);
            }
            if !record_first {
                deleted = p.delete_record(ctx, &containers, &container.id).await.and(deleted);
            }
            deleted
        }
    };
    stop_writing_all(p, ctx, &store).await;
    deleted
}
