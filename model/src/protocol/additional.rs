//! Additional stores, as store.go at 9f889830f reads them: after the store's own layers or images those of each in turn.
//!
//! Each is a whole store of somebody else. Its lock files are opened for reading, and it has no mounts.

use super::record_store::{Record, RecordStore};
use super::store::{graph_driver, ro_layer_stores_field};
use super::{Go, Layer, LayerStore, Layers, Records, StoreProtocol};
use crate::ctx::{Cell, Ctx};

/// `s.roImageStores`: of how many additional stores there is an image store.
#[must_use]
pub fn ro_image_stores_field() -> Cell<u32> {
    Cell::global("s.roImageStores")
}

/// The loop of `ROLayerStores`. What it has made is in the field even if the next cannot be opened
/// (`ro-layer-stores-partial`).
pub async fn make_ro_layer_stores<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx) -> Go<Vec<LayerStore>> {
    let mut stores = Vec::new();
    for number in 1..=ctx.additional_stores() {
        stores.push(p.new_ro_layer_store(ctx, number).await?);
        ctx.set(&ro_layer_stores_field(), &stores).await;
    }
    Ok(stores)
}

/// The image stores of the additional stores, as the field has them.
#[must_use]
pub fn ro_image_stores(ctx: &Ctx) -> Vec<RecordStore> {
    (1..=ctx.additional_stores()).map(RecordStore::images_of_additional).collect()
}

/// The loop of `ROImageStores`.
pub async fn make_ro_image_stores<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx) -> Go<()> {
    for (made, store) in (1..).zip(ro_image_stores(ctx)) {
        p.new_record_store(ctx, &store).await?;
        ctx.set(&ro_image_stores_field(), &made).await;
    }
    Ok(())
}

/// `ROImageStores` at 9f889830f: made at the first call, and while there is none at each, without a lock
/// (`ro-image-stores-lazy`).
pub async fn lazy_ro_image_stores<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx) -> Go<Vec<RecordStore>> {
    if ctx.additional_stores() == 0 || ctx.get(&ro_image_stores_field()).await == 0 {
        p.get_graph_driver(ctx).await;
        make_ro_image_stores(p, ctx).await?;
    }
    Ok(ro_image_stores(ctx))
}

/// `for _, s := range append([]ROLayerStore{lstore}, lstores...) { s.RLock(); defer s.Unlock(); … }`: one store after the
/// other under its read lock, until `look` finds something in one. The stores that are locked then are the first of `stores`,
/// as many as returned. On error none is.
pub async fn read_layers<P: StoreProtocol + ?Sized, T>(
    p: &P,
    ctx: &Ctx,
    stores: &[LayerStore],
    mut look: impl FnMut(&Layers) -> Option<T>,
) -> Go<(Option<T>, usize)> {
    for (held, store) in stores.iter().enumerate() {
        if let Err(fail) = p.start_reading(ctx, store).await {
            stop_reading(p, ctx, &stores[..held]).await;
            return Err(fail);
        }
        let found = look(&ctx.get(&store.cache).await.layers);
        if found.is_some() {
            return Ok((found, held + 1));
        }
    }
    Ok((None, stores.len()))
}

/// The same of images.
pub async fn read_records<P: StoreProtocol + ?Sized, T>(
    p: &P,
    ctx: &Ctx,
    stores: &[RecordStore],
    mut look: impl FnMut(&Records) -> Option<T>,
) -> Go<(Option<T>, usize)> {
    for (held, store) in stores.iter().enumerate() {
        if let Err(fail) = p.start_reading_records(ctx, store).await {
            stop_reading_records(p, ctx, &stores[..held]).await;
            return Err(fail);
        }
        let found = look(&ctx.get(&store.cache).await.records);
        if found.is_some() {
            return Ok((found, held + 1));
        }
    }
    Ok((None, stores.len()))
}

/// Deferred calls run in the reverse order.
pub async fn stop_reading<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, held: &[LayerStore]) {
    for store in held.iter().rev() {
        p.stop_reading(ctx, store).await;
    }
}

/// The same of images.
pub async fn stop_reading_records<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, held: &[RecordStore]) {
    for store in held.iter().rev() {
        p.stop_reading_records(ctx, store).await;
    }
}

/// `storeLayers, err := store.Layers(); layers = append(layers, storeLayers...)` of the stores given.
pub async fn list_layers<P: StoreProtocol + ?Sized>(
    p: &P,
    ctx: &Ctx,
    stores: &[LayerStore],
    layers: &mut Vec<Layer>,
) -> Go<()> {
    let (_, held) = read_layers(p, ctx, stores, |found| {
        layers.extend(found.iter().cloned());
        None::<()>
    })
    .await?;
    stop_reading(p, ctx, &stores[..held]).await;
    Ok(())
}

/// The image of that id or name in one of the stores, as `CreateContainer` looks for it after the store's own: each that it
/// has looked at stays locked.
pub async fn find_image<P: StoreProtocol + ?Sized>(
    p: &P,
    ctx: &Ctx,
    stores: &[RecordStore],
    id: &str,
) -> Go<(Option<Record>, usize)> {
    read_records(p, ctx, stores, |records| super::record_store::lookup(records, id).cloned()).await
}

/// `s.graphDriver.SupportsShifting()`, which whoever makes a layer asks: a field that the graph lock guards, read without it
/// (`graphdriver-field-unlocked`).
pub async fn supports_shifting(ctx: &Ctx) {
    ctx.get(&graph_driver()).await;
}
