//! Images, as store.go at 9f889830f locks for them: which stores a call takes, and in which order.

use super::layers::Layer;
use super::record_store::{self, Record, RecordStore};
use super::{Go, LayerStore, StoreProtocol, additional, changes};
use crate::call::Fail;
use crate::ctx::Ctx;

/// `CreateImage`: the layers under the *write* lock, though they are only looked at; then the images.
pub async fn create_image<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, image: Record) -> Go<String> {
    let layers = if image.layer.is_empty() {
        None
    } else {
        let (store, additional) = p.both_layer_store_kinds(ctx).await?;
        p.start_writing(ctx, &store).await?;
        Some((store, additional))
    };
    let mut held = Ok(0);
    if let Some((store, additional)) = &layers {
        held = changes::find_parent(p, ctx, store, additional, &image.layer).await.map(|(_, held)| held);
    }
    let created = match held {
        Ok(_) => create_record(p, ctx, image).await,
        Err(ref fail) => Err(fail.clone()),
    };
    if let Some((store, additional)) = &layers {
        additional::stop_reading(p, ctx, &additional[..held.unwrap_or(0)]).await;
        p.stop_writing(ctx, store).await;
    }
    created
}

/// The end of `CreateImage`, once the layer is known.
async fn create_record<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, image: Record) -> Go<String> {
    let images = RecordStore::images();
    p.start_writing_records(ctx, &images).await?;
    let id = image.id.clone();
    let created = p.create_record(ctx, &images, image).await;
    p.stop_writing_records(ctx, &images).await;
    created.map(|()| id)
}

/// `DeleteImage(id, true)`: the record, then each layer that nothing else needs, from the top.
pub async fn delete_image<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, id: &str) -> Go<()> {
    let store = p.layer_store(ctx).await?;
    start_writing_all(p, ctx, &store).await?;
    let deleted = delete_locked(p, ctx, &store, id).await;
    stop_writing_all(p, ctx, &store).await;
    deleted
}

/// The part of `DeleteImage` under the locks.
async fn delete_locked<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<()> {
    let (images, containers) = (RecordStore::images(), RecordStore::containers());
    let others = ctx.get(&images.cache).await.records;
    let Some(image) = record_store::lookup(&others, id).cloned() else {
        return Err(Fail("ErrNotAnImage".into()));
    };
    let containers = ctx.get(&containers.cache).await.records;
    if containers.iter().any(|container| container.image == image.id) {
        return Err(Fail("ErrImageUsedByContainer".into()));
    }
    let layers = ctx.get(&store.cache).await.layers;
    p.delete_record(ctx, &images, &image.id).await?;
    let needed = |layer: &str| {
        containers.iter().any(|container| container.layer == layer)
            || others.iter().any(|other| other.id != image.id && other.layer == layer)
    };
    for layer in unneeded(&layers, &image.layer, needed) {
        p.delete(ctx, store, &layer).await?;
    }
    Ok(())
}

/// The layer `top` and its parents, up to the first that is needed or has another child.
fn unneeded(layers: &[Layer], top: &str, needed: impl Fn(&str) -> bool) -> Vec<String> {
    let mut remove: Vec<String> = Vec::new();
    let mut next = top;
    while !next.is_empty() {
        let mut children = layers.iter().filter(|layer| layer.parent == next);
        if needed(next) || children.any(|child| remove.last() != Some(&child.id)) {
            break;
        }
        remove.push(next.to_owned());
        next = layers.iter().find(|layer| layer.id == next).map_or("", |layer| &layer.parent);
    }
    remove
}

/// `Images`. Returns the ids.
pub async fn images<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx) -> Go<Vec<String>> {
    let stores = p.all_image_stores(ctx).await?;
    list(p, ctx, &stores).await
}

/// What is in all of the stores. `Containers` lists like `Images`. Returns the ids.
pub async fn list<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, stores: &[RecordStore]) -> Go<Vec<String>> {
    let mut ids = Vec::new();
    let (_, held) = additional::read_records(p, ctx, stores, |records| {
        ids.extend(records.iter().map(|record| record.id.clone()));
        None::<()>
    })
    .await?;
    additional::stop_reading_records(p, ctx, &stores[..held]).await;
    Ok(ids)
}

/// The layers, the images and the containers under their write locks, as whatever deletes something begins. On error
/// all locks are free.
pub async fn start_writing_all<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, store: &LayerStore) -> Go<()> {
    let (images, containers) = (RecordStore::images(), RecordStore::containers());
    p.start_writing(ctx, store).await?;
    let mut started = p.start_writing_records(ctx, &images).await;
    if started.is_ok() {
        started = p.start_writing_records(ctx, &containers).await;
        if started.is_err() {
            p.stop_writing_records(ctx, &images).await;
        }
    }
    if started.is_err() {
        p.stop_writing(ctx, store).await;
    }
    started
}

/// The end of [`start_writing_all`]: deferred calls run in the reverse order.
pub async fn stop_writing_all<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, store: &LayerStore) {
    p.stop_writing_records(ctx, &RecordStore::containers()).await;
    p.stop_writing_records(ctx, &RecordStore::images()).await;
    p.stop_writing(ctx, store).await;
}
