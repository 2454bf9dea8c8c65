//! `v1_57`: release 1.57.2, as its difference from `v1_48`.
//!
//! - `Diff` takes the write lock of the layers (1.55, #2036), for the overlay driver mounts what it compares: no two diffs at
//!   once, and nobody else reads a layer until the diff is closed;
//! - `MultiList` keeps the locks of the layers and the images until it has read the containers (1.56, #2061).

use super::layers::Layer;
use super::rework::{ReworkedLayerStore, ReworkedLockfile, ReworkedRecordStore, ReworkedStore};
use super::{Entry, Go, LayerStore, RecordStore, RecordStoreProtocol, StoreProtocol, images};
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

    async fn list_all(&self, ctx: &Ctx) -> Go<(Vec<Layer>, Vec<String>, Vec<String>)> {
        let store = self.layer_store(ctx).await?;
        self.start_reading_layers(ctx, &store).await?;
        let layers = ctx.get(&store.cache).await.layers;
        let listed = self.list_records(ctx).await;
        self.stop_reading_layers(ctx, &store).await;
        listed.map(|(images, containers)| (layers, images, containers))
    }
}

impl V1_57 {
    /// The part of `MultiList` under the lock of the layers.
    async fn list_records(&self, ctx: &Ctx) -> Go<(Vec<String>, Vec<String>)> {
        let images = RecordStore::images();
        self.start_reading_records(ctx, &images).await?;
        let listed = ctx.get(&images.cache).await.records.into_iter().map(|record| record.id).collect();
        let containers = images::list(self, ctx, &RecordStore::containers()).await;
        self.stop_reading_records(ctx, &images).await;
        containers.map(|containers| (listed, containers))
    }
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<V1_57>("v1_57", "release 1.57.2: diff takes the write lock")
}
