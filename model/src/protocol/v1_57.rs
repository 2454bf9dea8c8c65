//! `v1_57`: release 1.57.2, as its difference from `v1_48`.
//!
//! - `Diff` takes the write lock of the layers (1.55, #2036), for the overlay driver mounts what it compares: no two diffs at
//!   once, and nobody else reads a layer until the diff is closed;
//! - `PutLayer` finds the parent, in an additional store too, before it locks the containers (1.55, #1927);
//! - `MultiList` keeps the locks of the layers and the images until it has read the containers (1.56, #2061).

use super::layers::Layer;
use super::rework::{ReworkedLayerStore, ReworkedLockfile, ReworkedRecordStore, ReworkedStore};
use super::{Entry, Go, LayerStore, RecordStore, RecordStoreProtocol, StoreProtocol, additional, changes, images};
use crate::ctx::Ctx;

/// Release 1.57.2.
#[derive(Clone, Copy, Debug, Default)]
pub struct V1_57;

impl ReworkedLockfile for V1_57 {
    fn stamp_comes_first(&self) -> bool {
        true
    }
}
impl ReworkedRecordStore for V1_57 {}
impl ReworkedLayerStore for V1_57 {}

impl ReworkedStore for V1_57 {
    async fn start_diff(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.start_writing_layers(ctx, store).await
    }

    async fn stop_diff(&self, ctx: &Ctx, store: &LayerStore) {
        self.stop_writing_layers(ctx, store).await;
    }

    fn shifts_by_graph_driver(&self) -> bool {
        true
    }

    async fn put_under_layers_lock(
        &self,
        ctx: &Ctx,
        store: &LayerStore,
        additional: &[LayerStore],
        layer: Layer,
        diff: bool,
    ) -> Go<()> {
        let (parent, held) = changes::find_parent(self, ctx, store, additional, &layer.parent).await?;
        let containers = RecordStore::containers();
        let mut put = self.start_writing_records(ctx, &containers).await;
        if put.is_ok() {
            put = changes::put_on(self, ctx, store, Layer { parent, ..layer }, diff).await;
            self.stop_writing_records(ctx, &containers).await;
        }
        additional::stop_reading(self, ctx, &additional[..held]).await;
        put
    }

    async fn list_all(&self, ctx: &Ctx) -> Go<(Vec<Layer>, Vec<String>, Vec<String>)> {
        let stores = self.all_layer_stores(ctx).await?;
        let mut layers = Vec::new();
        let (_, held) = additional::read_layers(self, ctx, &stores, |found| {
            layers.extend(found.iter().cloned());
            None::<()>
        })
        .await?;
        let listed = self.list_records(ctx).await;
        additional::stop_reading(self, ctx, &stores[..held]).await;
        listed.map(|(images, containers)| (layers, images, containers))
    }
}

impl V1_57 {
    /// The part of `MultiList` under the lock of the layers.
    async fn list_records(&self, ctx: &Ctx) -> Go<(Vec<String>, Vec<String>)> {
        let stores = self.all_image_stores(ctx).await?;
        let mut listed = Vec::new();
        let (_, held) = additional::read_records(self, ctx, &stores, |records| {
            listed.extend(records.iter().map(|record| record.id.clone()));
            None::<()>
        })
        .await?;
        let containers = images::list(self, ctx, &[RecordStore::containers()]).await;
        additional::stop_reading_records(self, ctx, &stores[..held]).await;
        containers.map(|containers| (listed, containers))
    }
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<V1_57>("v1_57", "release 1.57.2: diff takes the write lock")
}
