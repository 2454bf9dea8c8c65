//! `copy_then_unlock`: containers/image #1167 (March 2021), which was merged instead of the pull request, as its difference
//! from `v1_24`. It is a change of the caller: `GetBlob` copies what `Diff` returns to a temporary file, closes it, and
//! uploads the copy. The lock is held as long as the disk takes, and no longer as long as the network does.
//!
//! So a `diff` of a scenario comes to `Diff` and `Close`, and its `close-diff` to the end of the upload. Between two layers
//! of an image no lock is held any more (D20).

use super::{Entry, Go, LayerStore, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol, v1_24};
use crate::ctx::Ctx;

/// A caller that copies.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyThenUnlock;

impl LockfileProtocol for CopyThenUnlock {}
impl RecordStoreProtocol for CopyThenUnlock {}
impl LayerStoreProtocol for CopyThenUnlock {}

impl StoreProtocol for CopyThenUnlock {
    /// `Diff`, the copy, `Close`.
    async fn diff(&self, ctx: &Ctx, id: &str) -> Go<()> {
        v1_24::V1_24.diff(ctx, id).await?;
        if let Some(store) = ctx.get(&super::store::open_diff(id)).await {
            self.stop_reading(ctx, &store).await;
        }
        Ok(())
    }

    /// The temporary file is removed.
    async fn end_diff(&self, _ctx: &Ctx, _store: &LayerStore) {}
}

/// Its entry.
#[must_use]
pub fn entry() -> Entry {
    Entry::of::<CopyThenUnlock>("copy_then_unlock", "a diff is copied and closed before it is sent (c/image #1167)")
}
