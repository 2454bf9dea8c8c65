//! `pkg/lockfile/lockfile_unix.go` at v1.45.0: stamps are handed out and compared, and nothing is remembered.

#![allow(async_fn_in_trait, reason = "a call stays on its thread: no `Send` is wanted")]

use super::super::{Lockfile, LockfileProtocol};
use crate::ctx::Ctx;
use crate::value::{Stamp, Value};

/// `type LastWrite struct`: the stamp of a lock file, `None` of one that was never written.
pub type LastWrite = Option<Stamp>;

/// The lock library since 1.45. Every method is the function of the same name.
pub trait ReworkedLockfile {
    /// Whether a document is replaced after the stamp is written; here it is before.
    fn stamp_comes_first(&self) -> bool {
        false
    }

    /// `AssertLocked`. It reads `locked` without `stateMutex`: who holds the lock, it says, need not fear a writer of
    /// the field. But `lock` writes it for every holder, so that two readers of a process race.
    async fn assert_locked(&self, ctx: &Ctx, lock: &Lockfile) {
        if !ctx.get(&lock.state).await.locked {
            ctx.panic::<()>("internal error: lock is not held by the expected owner").await;
        }
    }

    /// `AssertLockedForWriting`.
    async fn assert_locked_for_writing(&self, ctx: &Ctx, lock: &Lockfile) {
        let state = ctx.get(&lock.state).await;
        if !state.locked {
            ctx.panic::<()>("internal error: lock is not held by the expected owner").await;
        }
        if !state.exclusive {
            ctx.panic::<()>("internal error: lock is not held for writing").await;
        }
    }

    /// `GetLastWrite`.
    async fn get_last_write(&self, ctx: &Ctx, lock: &Lockfile) -> LastWrite {
        self.assert_locked(ctx, lock).await;
        ctx.read_stamp(&lock.path).await
    }

    /// `RecordWrite`.
    async fn record_write(&self, ctx: &Ctx, lock: &Lockfile) -> LastWrite {
        self.assert_locked_for_writing(ctx, lock).await;
        Some(ctx.write_stamp(&lock.path).await)
    }

    /// `ModifiedSince`: the stamp, and whether it is another than `previous`.
    async fn modified_since(&self, ctx: &Ctx, lock: &Lockfile, previous: LastWrite) -> (LastWrite, bool) {
        let current = self.get_last_write(ctx, lock).await;
        (current, current != previous)
    }
}

impl<T: ReworkedLockfile + ?Sized> LockfileProtocol for T {
    /// Removed in 1.44 (#1376).
    fn has_recursive_lock(&self) -> bool {
        false
    }

    /// `Touch`, deprecated: nothing in the library calls it any more.
    async fn touch(&self, ctx: &Ctx, lock: &Lockfile) {
        let stamp = self.record_write(ctx, lock).await;
        ctx.mutex_lock(&lock.state_mutex).await;
        ctx.set(&lock.lw, &stamp.map_or(Value::Nil, Value::Stamp)).await;
        ctx.mutex_unlock(&lock.state_mutex).await;
    }

    /// `Modified`, deprecated likewise. The first call of a process says yes.
    async fn modified(&self, ctx: &Ctx, lock: &Lockfile) -> bool {
        ctx.mutex_lock(&lock.state_mutex).await;
        let current = self.get_last_write(ctx, lock).await;
        // An empty file is a stamp as good as any other now, and has to differ from the random one at the start.
        let current = current.map_or(Value::Bool(false), Value::Stamp);
        let lw = ctx.get(&lock.lw).await;
        ctx.set(&lock.lw, &current).await;
        ctx.mutex_unlock(&lock.state_mutex).await;
        lw != current
    }
}
