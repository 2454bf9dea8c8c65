//! Containers, as store.go at 9f889830f locks for them.

use super::images::{start_writing_all, stop_writing_all};
use super::layers::{self, Layer};
use super::record_store::{self, Record, RecordStore};
use super::{Go, LayerStore, StoreProtocol, additional};
use crate::call::Fail;
use crate::ctx::Ctx;

/// `CreateContainer`: layers, images, and, once the container's layer is made, containers.
pub async fn create_container<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, container: Record) -> Go<String> {
    if container.image.is_empty() {
        let store = p.layer_store(ctx).await?;
        p.start_writing(ctx, &store).await?;
        let created = create_on(p, ctx, &store, String::new(), container).await;
        p.stop_writing(ctx, &store).await;
        return created;
    }
    let (store, additional) = p.both_layer_store_kinds(ctx).await?;
    let ro_images = p.ro_image_stores(ctx).await?;
    p.start_writing(ctx, &store).await?;
    let mut created = p.start_reading_for_container(ctx, &additional).await.map(|()| String::new());
    if created.is_ok() {
        let images = RecordStore::images();
        created = p.start_writing_records(ctx, &images).await.map(|()| String::new());
        if created.is_ok() {
            created = create_of_image(p, ctx, &store, &additional, &ro_images, container).await;
            p.stop_writing_records(ctx, &images).await;
        }
        p.stop_reading_for_container(ctx, &additional).await;
    }
    p.stop_writing(ctx, &store).await;
    created
}

/// The part under the locks of the layers and the images: the image may be in an additional store, too.
async fn create_of_image<P: StoreProtocol + ?Sized>(
    p: &P,
    ctx: &Ctx,
    store: &LayerStore,
    additional: &[LayerStore],
    ro_images: &[RecordStore],
    mut container: Record,
) -> Go<String> {
    let images = ctx.get(&RecordStore::images().cache).await.records;
    let (mut image, mut held) = (record_store::lookup(&images, &container.image).cloned(), 0);
    if image.is_none() {
        (image, held) = additional::find_image(p, ctx, ro_images, &container.image).await?;
    }
    let created = match image {
        None => Err(Fail("ErrImageUnknown".into())),
        Some(image) => {
            container.image.clone_from(&image.id);
            match p.image_top_layer(ctx, store, additional, &image.layer).await {
                Err(fail) => Err(fail),
                Ok((parent, layers_held)) => {
                    let created = create_on(p, ctx, store, parent, container).await;
                    additional::stop_reading(p, ctx, &additional[..layers_held]).await;
                    created
                }
            }
        }
    };
    additional::stop_reading_records(p, ctx, &ro_images[..held]).await;
    created
}

/// `imageTopLayerForMapping`: the top layer of an image in the layers, which are locked, or in an additional store, locked one
/// after the other as it looks; they stay so, as many as returned. Its parent is looked for in all of them, locked or not
/// (`createcontainer-ro-stores-unlocked`). An image without layers has the layer "".
pub async fn image_top_layer<P: StoreProtocol + ?Sized>(
    p: &P,
    ctx: &Ctx,
    store: &LayerStore,
    additional: &[LayerStore],
    top: &str,
) -> Go<(String, usize)> {
    if top.is_empty() {
        return Ok((String::new(), 0));
    }
    for held in 0..=additional.len() {
        let looked_at = if held == 0 { store } else { &additional[held - 1] };
        if held > 0
            && let Err(fail) = p.start_reading(ctx, looked_at).await
        {
            additional::stop_reading(p, ctx, &additional[..held - 1]).await;
            return Err(fail);
        }
        if let Some(layer) = known_with_parent(ctx, store, additional, looked_at, top).await {
            return Ok((layer, held));
        }
    }
    additional::stop_reading(p, ctx, additional).await;
    Err(Fail::layer_unknown())
}

/// The id of layer `top` in the cache of `looked_at`, if its parent is in the cache of one of the stores.
pub async fn known_with_parent(
    ctx: &Ctx,
    store: &LayerStore,
    additional: &[LayerStore],
    looked_at: &LayerStore,
    top: &str,
) -> Option<String> {
    let layers = ctx.get(&looked_at.cache).await.layers;
    let layer = layers::lookup(&layers, top)?;
    // Without additional stores a layer's parent is where it is.
    if layer.parent.is_empty() || additional.is_empty() {
        return Some(layer.id.clone());
    }
    for other in [store].into_iter().chain(additional) {
        if layers::lookup(&ctx.get(&other.cache).await.layers, &layer.parent).is_some() {
            return Some(layer.id.clone());
        }
    }
    None
}

/// The end of `CreateContainer`: the layer on `parent`, then the record.
async fn create_on<P: StoreProtocol + ?Sized>(
    p: &P,
    ctx: &Ctx,
    store: &LayerStore,
    parent: String,
    container: Record,
) -> Go<String> {
    p.supports_shifting(ctx).await;
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
