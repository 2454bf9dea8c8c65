//! What has an id or a name, in store.go: `Names`, `Lookup` and `Exists` look in the same way.

use super::record_store::{self, RecordStore};
use super::{Go, StoreProtocol, additional, layers};
use crate::call::Fail;
use crate::ctx::Ctx;

/// What has that id or name, as `Names`, `Lookup` and `Exists` find it: a layer, or, while the layers lock is still
/// held, an image or a container. Returns its id and its names.
pub async fn find<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, id: &str) -> Go<(String, Vec<String>)> {
    let stores = p.all_layer_stores(ctx).await?;
    let (layer, held) = additional::read_layers(p, ctx, &stores, |layers| layers::lookup(layers, id).cloned()).await?;
    let found = match layer {
        Some(layer) => Ok((layer.id, layer.names)),
        None => find_record(p, ctx, id).await,
    };
    additional::stop_reading(p, ctx, &stores[..held]).await;
    found
}

/// The part of `find` that asks the image store and then, while its lock is still held, the container store.
async fn find_record<P: StoreProtocol + ?Sized>(p: &P, ctx: &Ctx, id: &str) -> Go<(String, Vec<String>)> {
    let (images, containers) = (p.all_image_stores(ctx).await?, RecordStore::containers());
    let (mut found, held) =
        additional::read_records(p, ctx, &images, |records| record_store::lookup(records, id).cloned()).await?;
    let mut started = Ok(());
    if found.is_none() {
        started = p.start_reading_records(ctx, &containers).await;
        if started.is_ok() {
            found = record_store::lookup(&ctx.get(&containers.cache).await.records, id).cloned();
            // Deferred calls run in the reverse order.
            p.stop_reading_records(ctx, &containers).await;
        }
    }
    additional::stop_reading_records(p, ctx, &images[..held]).await;
    started?;
    found.map(|record| (record.id, record.names)).ok_or_else(Fail::layer_unknown)
}
