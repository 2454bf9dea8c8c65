//! `layers.go` at v1.45.0: the cache of a layer store under `inProcessLock`, and the stamps that it was loaded under.
//!
//! The second document, `volatile-layers.json`, is left out: no scenario makes a layer for a volatile container.

#![allow(async_fn_in_trait, reason = "a call stays on its thread: no `Send` is wanted")]

use super::super::layer_store::Cache;
use super::super::layers::{self, Layers};
use super::super::{Go, LayerStore, LayerStoreProtocol, LockfileProtocol, v1_43};
use super::{LastWrite, NotLoaded, ReworkedLockfile};
use crate::call::Fail;
use crate::ctx::{Cell, Ctx};
use crate::op::{CellName, Mode};
use crate::value::Mtime;

/// `maxLayerStoreCleanupIterations`.
pub const CLEANUPS_MAX: u32 = 3;

/// `inProcessLock`: may be taken only while `lockfile` is held.
#[must_use]
pub fn in_process_lock(store: &LayerStore) -> CellName {
    CellName { object: Some(store.object), field: "inProcessLock".into() }
}

/// `lastWrite`: the stamp under which the layers were loaded or saved.
#[must_use]
pub fn last_write(store: &LayerStore) -> Cell<LastWrite> {
    Cell::field(store.object, "lastWrite")
}

/// `mountsLastWrite`, likewise of the mounts.
#[must_use]
pub fn mounts_last_write(store: &LayerStore) -> Cell<LastWrite> {
    Cell::field(store.object, "mountsLastWrite")
}

/// `layerspathsModified`: the time that `layers.json` had then.
#[must_use]
pub fn layerspaths_modified(store: &LayerStore) -> Cell<Option<Mtime>> {
    Cell::field(store.object, "layerspathsModified")
}

/// The layer store since 1.45. Every method is the function of the same name in layers.go.
pub trait ReworkedLayerStore: ReworkedLockfile {
    /// `startWriting`; on error both locks are free.
    async fn start_writing_layers(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.lock(ctx, &store.lockfile).await;
        ctx.rw_lock(&in_process_lock(store), Mode::Exclusive).await;
        let reloaded = self.reload_if_changed(ctx, store, true).await;
        if reloaded.is_err() {
            self.stop_writing_layers(ctx, store).await;
        }
        reloaded.map_err(|not| not.fail)
    }

    /// `stopWriting`.
    async fn stop_writing_layers(&self, ctx: &Ctx, store: &LayerStore) {
        ctx.rw_unlock(&in_process_lock(store), Mode::Exclusive).await;
        self.unlock(ctx, &store.lockfile).await;
    }

    /// `startReading`; on error both locks are free.
    async fn start_reading_layers(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.rlock(ctx, &store.lockfile).await;
        ctx.rw_lock(&in_process_lock(store), Mode::Shared).await;
        if !self.cache_modified(ctx, store).await {
            return Ok(());
        }
        ctx.rw_unlock(&in_process_lock(store), Mode::Shared).await;
        // Several threads can get here; the first of them loads, the others find nothing changed.
        self.reload_for_reading(ctx, store).await?;
        ctx.rw_lock(&in_process_lock(store), Mode::Shared).await;
        Ok(())
    }

    /// The loop of `startReading`: where the read lock is not enough it is given up, and whatever is wrong is repaired
    /// under the write lock. Others may write before the read lock is held again, so everything is looked at again. On
    /// error the lock is free.
    async fn reload_for_reading(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        let mut cleanups = 0;
        loop {
            let reloaded = self.reload_in_process(ctx, store, false).await;
            let Err(not) = reloaded else { return Ok(()) };
            self.unlock(ctx, &store.lockfile).await;
            if !not.try_locked_for_writing {
                return Err(not.fail);
            }
            if cleanups == CLEANUPS_MAX {
                return Err(Fail(format!("(even after {cleanups} cleanup attempts:) {}", not.fail)));
            }
            self.lock(ctx, &store.lockfile).await;
            let repaired = self.reload_in_process(ctx, store, true).await;
            self.unlock(ctx, &store.lockfile).await;
            repaired.map_err(|not| not.fail)?;
            self.rlock(ctx, &store.lockfile).await;
            cleanups += 1;
        }
    }

    /// `inProcessLocked(func() { r.reloadIfChanged(lockedForWriting) })`.
    async fn reload_in_process(
        &self,
        ctx: &Ctx,
        store: &LayerStore,
        locked_for_writing: bool,
    ) -> Result<(), NotLoaded> {
        ctx.rw_lock(&in_process_lock(store), Mode::Exclusive).await;
        let reloaded = self.reload_if_changed(ctx, store, locked_for_writing).await;
        ctx.rw_unlock(&in_process_lock(store), Mode::Exclusive).await;
        reloaded
    }

    /// `stopReading`.
    async fn stop_reading_layers(&self, ctx: &Ctx, store: &LayerStore) {
        ctx.rw_unlock(&in_process_lock(store), Mode::Shared).await;
        self.unlock(ctx, &store.lockfile).await;
    }

    /// `modified`: the layers' stamp, the time of the document, the mounts' stamp.
    async fn cache_modified(&self, ctx: &Ctx, store: &LayerStore) -> bool {
        if self.stamp_or_time_modified(ctx, store).await.is_some() {
            return true;
        }
        let Some(mounts) = &store.mounts_lockfile else { return false };
        self.rlock(ctx, mounts).await;
        let known = ctx.get(&mounts_last_write(store)).await;
        let (_, modified) = self.modified_since(ctx, mounts, known).await;
        self.unlock(ctx, mounts).await;
        modified
    }

    /// `layersModified`: the stamp to remember if the layers are to be loaded. A document of another time counts too: somebody
    /// wrote it without a stamp.
    async fn stamp_or_time_modified(&self, ctx: &Ctx, store: &LayerStore) -> Option<LastWrite> {
        let known = ctx.get(&last_write(store)).await;
        let (current, modified) = self.modified_since(ctx, &store.lockfile, known).await;
        if modified {
            return Some(current);
        }
        let time = ctx.mtime(&store.layers.path).await?;
        (ctx.get(&layerspaths_modified(store)).await != Some(time)).then_some(current)
    }

    /// `reloadIfChanged`, under `inProcessLock` for writing.
    async fn reload_if_changed(
        &self,
        ctx: &Ctx,
        store: &LayerStore,
        locked_for_writing: bool,
    ) -> Result<(), NotLoaded> {
        if let Some(stamp) = self.stamp_or_time_modified(ctx, store).await {
            // On error the stamp stays as it was, so that the next one loads again.
            self.load(ctx, store, locked_for_writing).await?;
            // A `load` that repaired something has remembered a newer stamp (`lastwrite-rollback-after-cleanup`).
            ctx.set(&last_write(store), &stamp).await;
        } else if let Some(mounts) = &store.mounts_lockfile {
            self.rlock(ctx, mounts).await;
            self.reload_mounts_if_changed(ctx, store).await;
            self.unlock(ctx, mounts).await;
        }
        Ok(())
    }

    /// `reloadMountsIfChanged`, under the mounts lock.
    async fn reload_mounts_if_changed(&self, ctx: &Ctx, store: &LayerStore) {
        let Some(mounts) = &store.mounts_lockfile else { return };
        let known = ctx.get(&mounts_last_write(store)).await;
        let (stamp, modified) = self.modified_since(ctx, mounts, known).await;
        if modified {
            self.load_mounts(ctx, store).await;
            ctx.set(&mounts_last_write(store), &stamp).await;
        }
    }

    /// `load`: incomplete layers and duplicate names are something to repair, which only the write lock allows.
    async fn load(&self, ctx: &Ctx, store: &LayerStore, locked_for_writing: bool) -> Result<(), NotLoaded> {
        if let Some(time) = ctx.mtime(&store.layers.path).await {
            ctx.set(&layerspaths_modified(store), &Some(time)).await;
        }
        let base: Layers = ctx.read(&store.layers).await;
        let mut layers = base.clone();
        let is_read_write = self.is_read_write(store);
        let mut wrong = layers::remove_duplicate_names(&mut layers).then(|| Fail("ErrDuplicateLayerNames".into()));
        if is_read_write && layers.iter().any(|layer| layer.incomplete) {
            wrong = Some(Fail("an incomplete layer exists and can't be cleaned up".into()));
        }
        let should_save = wrong.is_some();
        if let Some(fail) = wrong.filter(|_| !is_read_write || !locked_for_writing) {
            return Err(NotLoaded { fail, try_locked_for_writing: is_read_write });
        }
        ctx.set(&store.cache, &Cache { layers, base, ..Cache::default() }).await;
        let Some(mounts) = store.mounts_lockfile.as_ref().filter(|_| is_read_write) else { return Ok(()) };
        self.rlock(ctx, mounts).await;
        let stamp = self.get_last_write(ctx, mounts).await;
        self.load_mounts(ctx, store).await;
        ctx.set(&mounts_last_write(store), &stamp).await;
        if should_save {
            self.remove_incomplete(ctx, store).await;
            self.save_layers_with_stamp(ctx, store).await;
        }
        self.unlock(ctx, mounts).await;
        Ok(())
    }

    /// `saveLayers`: the document, the time that it has then, and the stamp.
    async fn save_layers_with_stamp(&self, ctx: &Ctx, store: &LayerStore) {
        self.assert_locked_for_writing(ctx, &store.lockfile).await;
        if self.stamp_comes_first() {
            let stamp = self.record_write(ctx, &store.lockfile).await;
            ctx.set(&last_write(store), &stamp).await;
        }
        self.write_layers(ctx, store).await;
        // Go asks for the time of the temporary file, which the rename does not change.
        let time = ctx.mtime(&store.layers.path).await;
        ctx.set(&layerspaths_modified(store), &time).await;
        if !self.stamp_comes_first() {
            let stamp = self.record_write(ctx, &store.lockfile).await;
            ctx.set(&last_write(store), &stamp).await;
        }
    }

    /// `saveMounts`: the document, the stamp, and the document is read again.
    async fn save_mounts_with_stamp(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        let Some(mounts) = store.mounts_lockfile.as_ref().filter(|_| self.is_read_write(store)) else {
            return Err(Fail("ErrStoreIsReadOnly".into()));
        };
        self.assert_locked_for_writing(ctx, mounts).await;
        if self.stamp_comes_first() {
            let stamp = self.record_write(ctx, mounts).await;
            ctx.set(&mounts_last_write(store), &stamp).await;
        }
        let cache = ctx.get(&store.cache).await;
        ctx.replace(&store.mounts, &cache.mounts_base, &cache.mounts).await;
        if !self.stamp_comes_first() {
            let stamp = self.record_write(ctx, mounts).await;
            ctx.set(&mounts_last_write(store), &stamp).await;
        }
        self.load_mounts(ctx, store).await;
        Ok(())
    }
}

impl<T: ReworkedLayerStore + ?Sized> LayerStoreProtocol for T {
    /// The `load` at the end of `newLayerStore`, under the write lock, and of `newROLayerStore`, under the read lock.
    async fn first_load(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        if store.lockfile.ro {
            self.rlock(ctx, &store.lockfile).await;
        } else {
            self.lock(ctx, &store.lockfile).await;
        }
        ctx.rw_lock(&in_process_lock(store), Mode::Exclusive).await;
        let stamp = self.get_last_write(ctx, &store.lockfile).await;
        ctx.set(&last_write(store), &stamp).await;
        let loaded = self.load(ctx, store, true).await;
        self.stop_writing_layers(ctx, store).await;
        loaded.map_err(|not| not.fail)
    }

    async fn layers_modified(&self, ctx: &Ctx, store: &LayerStore) -> bool {
        self.cache_modified(ctx, store).await
    }

    async fn reload_if_modified(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.reload_in_process(ctx, store, false).await.map_err(|not| not.fail)
    }

    /// `save`: there is no `Touch` at the end.
    async fn save(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        let Some(mounts) = &store.mounts_lockfile else { return Err(Fail("ErrStoreIsReadOnly".into())) };
        self.lock(ctx, mounts).await;
        self.save_layers_with_stamp(ctx, store).await;
        let saved = self.save_mounts_with_stamp(ctx, store).await;
        self.unlock(ctx, mounts).await;
        saved
    }

    fn is_incomplete_at_first(&self, _diff: bool) -> bool {
        true
    }

    /// `Delete`: each `unmount` looks again whether the layer is mounted, under the lock that it changes the count under.
    async fn delete(&self, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<()> {
        let Some(mounts) = &store.mounts_lockfile else { return Err(Fail("ErrStoreIsReadOnly".into())) };
        loop {
            self.lock(ctx, mounts).await;
            self.reload_mounts_if_changed(ctx, store).await;
            let mut cache = ctx.get(&store.cache).await;
            let count = cache.mount_count(id);
            let mut saved = Ok(());
            if count > 0 {
                cache.mount(id, count - 1);
                ctx.set(&store.cache, &cache).await;
                saved = self.save_mounts_with_stamp(ctx, store).await;
            }
            self.unlock(ctx, mounts).await;
            saved?;
            if count == 0 {
                break;
            }
        }
        self.delete_internal(ctx, store, id).await?;
        self.save(ctx, store).await
    }

    async fn delete_internal(&self, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<()> {
        v1_43::delete_marked(self, ctx, store, id).await
    }

    /// `Mounted`: what the cache says, without another look at the mounts.
    async fn mounts(&self, ctx: &Ctx, store: &LayerStore) -> Cache {
        ctx.get(&store.cache).await
    }

    async fn change_mounts(&self, ctx: &Ctx, store: &LayerStore, change: impl FnOnce(&mut Cache)) -> Go<Cache> {
        let Some(mounts) = store.mounts_lockfile.as_ref().filter(|_| self.is_read_write(store)) else {
            return Err(Fail("ErrStoreIsReadOnly".into()));
        };
        self.lock(ctx, mounts).await;
        self.reload_mounts_if_changed(ctx, store).await;
        let mut cache = ctx.get(&store.cache).await;
        change(&mut cache);
        ctx.set(&store.cache, &cache).await;
        let saved = self.save_mounts_with_stamp(ctx, store).await;
        self.unlock(ctx, mounts).await;
        saved.map(|()| cache)
    }
}
