//! `images.go` and `containers.go` at v1.45.0, which follow the layers: a cache under `inProcessLock`, and its stamp.
//!
//! Go's container store assigns its cache even where it then fails for want of the write lock; the next load does it again,
//! so that nobody sees it.

#![allow(async_fn_in_trait, reason = "a call stays on its thread: no `Send` is wanted")]

use super::super::record_store::{self, RecordCache, Records};
use super::super::{Go, LockfileProtocol, RecordStore, RecordStoreProtocol};
use super::{LastWrite, NotLoaded, ReworkedLockfile};
use crate::call::Fail;
use crate::ctx::{Cell, Ctx};
use crate::op::{CellName, Mode};

/// `inProcessLock`.
fn in_process_lock(store: &RecordStore) -> CellName {
    CellName { object: None, field: format!("s.{}:inProcessLock", store.name()).into() }
}

/// `lastWrite`.
fn last_write(store: &RecordStore) -> Cell<LastWrite> {
    Cell::global(format!("s.{}:lastWrite", store.name()))
}

/// The image store and the container store since 1.45. Every method is the function of the same name.
pub trait ReworkedRecordStore: ReworkedLockfile {
    /// `reloadIfChanged`, under `inProcessLock` for writing.
    async fn reload_records_if_changed(
        &self,
        ctx: &Ctx,
        store: &RecordStore,
        locked_for_writing: bool,
    ) -> Result<(), NotLoaded> {
        let known = ctx.get(&last_write(store)).await;
        let (stamp, modified) = self.modified_since(ctx, &store.lockfile, known).await;
        if modified {
            self.load_and_repair(ctx, store, locked_for_writing).await?;
            ctx.set(&last_write(store), &stamp).await;
        }
        Ok(())
    }

    /// `inProcessLocked(func() { r.reloadIfChanged(lockedForWriting) })`.
    async fn reload_records_in_process(
        &self,
        ctx: &Ctx,
        store: &RecordStore,
        locked_for_writing: bool,
    ) -> Result<(), NotLoaded> {
        ctx.rw_lock(&in_process_lock(store), Mode::Exclusive).await;
        let reloaded = self.reload_records_if_changed(ctx, store, locked_for_writing).await;
        ctx.rw_unlock(&in_process_lock(store), Mode::Exclusive).await;
        reloaded
    }

    /// What `startReading` does where something changed: it repairs once, and no more. On error the lock is free.
    async fn reload_records_for_reading(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        let Err(not) = self.reload_records_in_process(ctx, store, false).await else { return Ok(()) };
        self.unlock(ctx, &store.lockfile).await;
        if !not.try_locked_for_writing {
            return Err(not.fail);
        }
        self.lock(ctx, &store.lockfile).await;
        let repaired = self.reload_records_in_process(ctx, store, true).await;
        self.unlock(ctx, &store.lockfile).await;
        repaired.map_err(|not| not.fail)?;
        self.rlock(ctx, &store.lockfile).await;
        let Err(not) = self.reload_records_in_process(ctx, store, false).await else { return Ok(()) };
        self.unlock(ctx, &store.lockfile).await;
        Err(Fail(format!("(even after successfully cleaning up once:) {}", not.fail)))
    }

    /// `load`.
    async fn load_and_repair(&self, ctx: &Ctx, store: &RecordStore, locked_for_writing: bool) -> Result<(), NotLoaded> {
        let base: Records = ctx.read(&store.document).await;
        let mut records = base.clone();
        let should_save = record_store::remove_duplicate_names(&mut records);
        if should_save && (store.lockfile.ro || !locked_for_writing) {
            let fail = Fail("ErrDuplicateImageNames".into());
            return Err(NotLoaded { fail, try_locked_for_writing: !store.lockfile.ro });
        }
        ctx.set(&store.cache, &RecordCache { records, base }).await;
        if should_save {
            self.save_with_stamp(ctx, store).await;
        }
        Ok(())
    }

    /// `Save`: the document and the stamp.
    async fn save_with_stamp(&self, ctx: &Ctx, store: &RecordStore) {
        self.assert_locked_for_writing(ctx, &store.lockfile).await;
        if self.stamp_comes_first() {
            let stamp = self.record_write(ctx, &store.lockfile).await;
            ctx.set(&last_write(store), &stamp).await;
        }
        let RecordCache { records, base } = ctx.get(&store.cache).await;
        ctx.replace(&store.document, &base, &records).await;
        ctx.set(&store.cache, &RecordCache { base: records.clone(), records }).await;
        if !self.stamp_comes_first() {
            let stamp = self.record_write(ctx, &store.lockfile).await;
            ctx.set(&last_write(store), &stamp).await;
        }
    }
}

impl<T: ReworkedRecordStore + ?Sized> RecordStoreProtocol for T {
    async fn new_record_store(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        self.get_lockfile(ctx, &store.lockfile.path, store.lockfile.ro).await?;
        if store.lockfile.ro {
            self.rlock(ctx, &store.lockfile).await;
        } else {
            self.lock(ctx, &store.lockfile).await;
        }
        ctx.rw_lock(&in_process_lock(store), Mode::Exclusive).await;
        let stamp = self.get_last_write(ctx, &store.lockfile).await;
        ctx.set(&last_write(store), &stamp).await;
        let loaded = self.load_and_repair(ctx, store, true).await;
        self.stop_writing_records(ctx, store).await;
        loaded.map_err(|not| not.fail)
    }

    async fn save_records(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        self.save_with_stamp(ctx, store).await;
        Ok(())
    }

    async fn start_reading_records(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        self.rlock(ctx, &store.lockfile).await;
        ctx.rw_lock(&in_process_lock(store), Mode::Shared).await;
        let known = ctx.get(&last_write(store)).await;
        let (_, modified) = self.modified_since(ctx, &store.lockfile, known).await;
        if !modified {
            return Ok(());
        }
        ctx.rw_unlock(&in_process_lock(store), Mode::Shared).await;
        self.reload_records_for_reading(ctx, store).await?;
        ctx.rw_lock(&in_process_lock(store), Mode::Shared).await;
        Ok(())
    }

    async fn stop_reading_records(&self, ctx: &Ctx, store: &RecordStore) {
        ctx.rw_unlock(&in_process_lock(store), Mode::Shared).await;
        self.unlock(ctx, &store.lockfile).await;
    }

    async fn start_writing_records(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        self.lock(ctx, &store.lockfile).await;
        ctx.rw_lock(&in_process_lock(store), Mode::Exclusive).await;
        let reloaded = self.reload_records_if_changed(ctx, store, true).await;
        if reloaded.is_err() {
            self.stop_writing_records(ctx, store).await;
        }
        reloaded.map_err(|not| not.fail)
    }

    async fn stop_writing_records(&self, ctx: &Ctx, store: &RecordStore) {
        ctx.rw_unlock(&in_process_lock(store), Mode::Exclusive).await;
        self.unlock(ctx, &store.lockfile).await;
    }
}
