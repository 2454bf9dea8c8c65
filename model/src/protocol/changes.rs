//! `PutLayer`, `DeleteLayer` and `SetNames` of store.go, under the lock of the layers.

use super::layers::{self, Layer};
use super::record_store::{self, Record, RecordStore};
use super::{Go, LayerStore, Layers, StoreProtocol, additional};
use crate::call::Fail;
use crate::ctx::Ctx;

/// The part of `PutLayer` under the lock of the layers: the containers, and then the additional stores that it looks for the
/// parent in (`putlayer-container-before-rolayers`).
pub async fn put_containers_first<P: StoreProtocol + ?Sized>(
    p: &P,
    ctx: &Ctx,
    store: &LayerStore,
    additional: &[LayerStore],
    layer: Layer,
    diff: bool,
) -> Go<()> {
    let containers = RecordStore::containers();
    p.start_writing_records(ctx, &containers).await?;
    let put = match find_parent(p, ctx, store, additional, &layer.parent).await {
        Err(fail) => Err(fail),
        Ok((parent, held)) => {
            let put = put_on(p, ctx, store, Layer { parent, ..layer }, diff).await;
            additional::stop_reading(p, ctx, &additional[..held]).await;
            put
        }
    };
    p.stop_writing_records(ctx, &containers).await;
    put
}

/// The id of the parent that `PutLayer` asks for, in its own layers, which are locked, or in an additional store. Those
/// that it has looked at stay locked, as many as returned; on error none.
pub async fn find_parent<P: StoreProtocol + ?Sized>(
    p: &P,
    ctx: &Ctx,
    store: &LayerStore,
    additional: &[LayerStore],
    parent: &str,
) -> Go<(String, usize)> {
    if parent.is_empty() {
        return Ok((String::new(), 0));
    }
    let look = |layers: &Layers| layers::lookup(layers, parent).map(|layer| layer.id.clone());
    if let Some(parent) = look(&ctx.get(&store.cache).await.layers) {
        return Ok((parent, 0));
    }
    let (found, held) = additional::read_layers(p, ctx, additional, look).await?;
    match found {
        Some(parent) => Ok((parent, held)),
        None => {
            additional::stop_reading(p, ctx, &additional[..held]).await;
            Err(Fail::layer_unknown())
        }
    }
}

/// The part of `PutLayer` under all locks.
pub async fn put_on<P: StoreProtocol + ?Sized>(
    p: &P,
    ctx: &Ctx,
    store: &LayerStore,
    layer: Layer,
    diff: bool,
) -> Go<()> {
    if !layer.parent.is_empty() {
        let containers = ctx.get(&RecordStore::containers().cache).await.records;
        if containers.iter().any(|container| container.layer == layer.parent) {
            return Err(Fail("ErrParentIsContainer".into()));
        }
    }
    p.supports_shifting(ctx).await;
    p.put(ctx, store, layer, diff).await
}

/// The part of `DeleteLayer` under the locks.
pub async fn delete_unused<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<()> {
    let layers = ctx.get(&store.cache).await.layers;
    let Some(Layer { id, .. }) = layers::lookup(&layers, id) else {
        return Err(Fail("ErrNotALayer".into()));
    };
    if layers.iter().any(|layer| layer.parent == *id) {
        return Err(Fail("ErrLayerHasChildren".into()));
    }
    let uses = |record: &Record| record.layer == *id;
    if ctx.get(&RecordStore::images().cache).await.records.iter().any(uses) {
        return Err(Fail("ErrLayerUsedByImage".into()));
    }
    if ctx.get(&RecordStore::containers().cache).await.records.iter().any(uses) {
        return Err(Fail("ErrLayerUsedByContainer".into()));
    }
    p.delete(ctx, store, id).await
}

/// The part of `SetNames` that asks the image store and then, while its lock is still held, the container store.
pub async fn set_names_of_record<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, id: &str, names: &[String]) -> Go<()> {
    let (images, containers) = (RecordStore::images(), RecordStore::containers());
    p.start_writing_records(ctx, &images).await?;
    let image = record_store::lookup(&ctx.get(&images.cache).await.records, id).cloned();
    let mut set = Err(Fail::layer_unknown());
    if let Some(image) = image {
        set = p.set_record_names(ctx, &images, &image.id, names).await;
    } else if let Err(fail) = p.start_writing_records(ctx, &containers).await {
        set = Err(fail);
    } else {
        let container = record_store::lookup(&ctx.get(&containers.cache).await.records, id).cloned();
        if let Some(container) = container {
            set = p.set_record_names(ctx, &containers, &container.id, names).await;
        }
        p.stop_writing_records(ctx, &containers).await;
    }
    p.stop_writing_records(ctx, &images).await;
    set
}
