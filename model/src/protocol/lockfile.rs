//! `pkg/lockfile` at 9f889830f: one lock object for each path in a process, a Go `RWMutex` in front of a POSIX record lock.
//!
//! Only the first holder in the process locks the file, and the last one closes it. The object remembers the stamp that
//! it last saw or wrote (`lw`); `Modified` compares it with the file's and *consumes* the difference.

#![allow(async_fn_in_trait, reason = "a call stays on its thread: no `Send` is wanted")]

use super::Go;
use crate::call::{Fail, LockMethod, Reply};
use crate::ctx::{Cell, Ctx};
use crate::op::{CellName, Mode, Note, Path};
use crate::record;
use crate::value::{Instant, Value};

/// The fields of `type lockfile struct` that `stateMutex` protects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockState {
    /// `counter`: how many hold it in this process.
    pub counter: u32,
    /// `locktype == F_WRLCK`.
    pub exclusive: bool,
    /// `locked`.
    pub locked: bool,
    /// `recursive`.
    pub recursive: bool,
}
record!(LockState { counter, exclusive, locked, recursive });

/// A handle on the lock object of one path (`type Locker interface`).
#[derive(Clone, Debug)]
pub struct Lockfile {
    /// `file`.
    pub path: Path,
    /// `ro`: opened for reading only.
    pub ro: bool,
    /// `rwMutex`.
    pub rw_mutex: CellName,
    /// `stateMutex`.
    pub state_mutex: CellName,
    /// The fields that `stateMutex` protects.
    pub state: Cell<LockState>,
    /// `lw`; `Nil` stands for the random id that it starts with, which no file holds.
    pub lw: Cell<Value>,
}

impl Lockfile {
    /// The handle of the object for `path`.
    #[must_use]
    pub fn at(path: &Path, ro: bool) -> Self {
        let field = |name: &str| format!("{path}:{name}");
        Self {
            path: path.clone(),
            ro,
            rw_mutex: CellName { object: None, field: field("rwMutex").into() },
            state_mutex: CellName { object: None, field: field("stateMutex").into() },
            state: Cell::global(field("state")),
            lw: Cell::global(field("lw")),
        }
    }
}

/// The lock library. Every method is the function of the same name in `pkg/lockfile/lockfile_unix.go`.
pub trait LockfileProtocol {
    /// Whether there is a `RecursiveLock`.
    fn has_recursive_lock(&self) -> bool {
        true
    }

    /// Whether the lock of an additional store is opened with `GetROLockfile` (`newROLayerStore`).
    fn opens_read_only(&self) -> bool {
        true
    }

    /// `getLockfile`: the object for `path`, made and probed at the first call in the process.
    async fn get_lockfile(&self, ctx: &Ctx, path: &Path, ro: bool) -> Go<Lockfile> {
        let lockfiles_lock = CellName { object: None, field: "lockfilesLock".into() };
        let known: Cell<Value> = Cell::global(format!("lockfiles[{path}]"));
        ctx.mutex_lock(&lockfiles_lock).await;
        let result = match ctx.get(&known).await {
            Value::Nil => {
                ctx.probe(path, if ro { Mode::Shared } else { Mode::Exclusive }).await;
                ctx.set(&known, &Value::Bool(ro)).await;
                Ok(Lockfile::at(path, ro))
            }
            Value::Bool(other) if other != ro => {
                let kind = if ro { "read-only" } else { "read-write" };
                Err(Fail(format!("lock {path} is not a {kind} lock")))
            }
            _ => Ok(Lockfile::at(path, ro)),
        };
        ctx.mutex_unlock(&lockfiles_lock).await;
        result
    }

    /// `lock(lType, recursive)`.
    async fn acquire(&self, ctx: &Ctx, lock: &Lockfile, mode: Mode, recursive: bool) {
        ctx.note(Note::Acquire(lock.path.clone(), mode)).await;
        ctx.rw_lock(&lock.rw_mutex, if recursive { Mode::Shared } else { mode }).await;
        ctx.mutex_lock(&lock.state_mutex).await;
        let mut state = ctx.get(&lock.state).await;
        if state.counter == 0 {
            // `for unix.FcntlFlock(…) != nil { time.Sleep(10 * time.Millisecond) }`: EDEADLK is tried again for ever.
            let attempts = ctx.enter_loop("F_SETLKW");
            loop {
                attempts.top(()).await;
                if ctx.set_lock_wait(&lock.path, mode).await.is_ok() {
                    break;
                }
            }
        }
        state.exclusive = mode == Mode::Exclusive;
        state.locked = true;
        state.recursive = recursive;
        state.counter += 1;
        ctx.set(&lock.state, &state).await;
        ctx.mutex_unlock(&lock.state_mutex).await;
        ctx.note(Note::Acquired(lock.path.clone(), mode)).await;
    }

    /// `Lock`.
    async fn lock(&self, ctx: &Ctx, lock: &Lockfile) {
        if lock.ro {
            ctx.panic::<()>("can't take write lock on read-only lock file").await;
        }
        self.acquire(ctx, lock, Mode::Exclusive, false).await;
    }

    /// `RecursiveLock`: of a read-only object, `RLock`.
    async fn recursive_lock(&self, ctx: &Ctx, lock: &Lockfile) {
        if lock.ro {
            self.rlock(ctx, lock).await;
        } else {
            self.acquire(ctx, lock, Mode::Exclusive, true).await;
        }
    }

    /// `RLock`.
    async fn rlock(&self, ctx: &Ctx, lock: &Lockfile) {
        self.acquire(ctx, lock, Mode::Shared, false).await;
    }

    /// `Unlock`.
    async fn unlock(&self, ctx: &Ctx, lock: &Lockfile) {
        ctx.note(Note::Release(lock.path.clone())).await;
        ctx.mutex_lock(&lock.state_mutex).await;
        let mut state = ctx.get(&lock.state).await;
        if !state.locked {
            ctx.panic::<()>("calling Unlock on unlocked lock").await;
        }
        // The Go counter is signed and is checked for `< 0` here; `locked` is false whenever it is 0, so it never is.
        state.counter -= 1;
        if state.counter == 0 {
            state.locked = false;
            ctx.close(&lock.path).await;
        }
        ctx.set(&lock.state, &state).await;
        let shared = !state.exclusive || state.recursive;
        ctx.rw_unlock(&lock.rw_mutex, if shared { Mode::Shared } else { Mode::Exclusive }).await;
        ctx.mutex_unlock(&lock.state_mutex).await;
    }

    /// `Locked`: whether *some* thread of this process holds it for writing.
    async fn locked(&self, ctx: &Ctx, lock: &Lockfile) -> bool {
        ctx.mutex_lock(&lock.state_mutex).await;
        let state = ctx.get(&lock.state).await;
        ctx.mutex_unlock(&lock.state_mutex).await;
        state.locked && state.exclusive
    }

    /// `Touch`: writes a fresh stamp, and remembers it.
    async fn touch(&self, ctx: &Ctx, lock: &Lockfile) {
        if !self.locked(ctx, lock).await {
            ctx.panic::<()>("attempted to update last-writer in lockfile without the write lock").await;
        }
        // Go stores `lw` first and then writes it to the file; the stamp is known to us only once it is written.
        let stamp = ctx.write_stamp(&lock.path).await;
        ctx.set(&lock.lw, &Value::Stamp(stamp)).await;
    }

    /// `Modified`: whether the file's stamp differs from the one remembered, which becomes the file's.
    async fn modified(&self, ctx: &Ctx, lock: &Lockfile) -> bool {
        ctx.get(&lock.lw).await; // `id := []byte(l.lw)`, before `stateMutex`
        ctx.mutex_lock(&lock.state_mutex).await;
        let state = ctx.get(&lock.state).await;
        if !state.locked {
            ctx.panic::<()>("attempted to check last-writer in lockfile without locking it first").await;
        }
        ctx.mutex_unlock(&lock.state_mutex).await;
        match ctx.read_stamp(&lock.path).await {
            None => true, // a short read: `lw` stays as it is
            Some(stamp) => {
                let lw = ctx.get(&lock.lw).await;
                let id = Value::Stamp(stamp);
                ctx.set(&lock.lw, &id).await;
                lw != id
            }
        }
    }

    /// `TouchedSince`: whether the file was written after `when`, by its `mtime`.
    async fn touched_since(&self, ctx: &Ctx, lock: &Lockfile, when: Instant) -> bool {
        ctx.mtime(&lock.path).await.is_some_and(|touched| touched.is_after(when))
    }
}

/// A call on a lock file alone, `root/FILE.lock`; with `ro`, on that of an additional store.
///
/// # Errors
/// What `GetLockfile` returns.
pub async fn call<P: LockfileProtocol + ?Sized>(p: &P, ctx: &Ctx, method: LockMethod, file: &str, ro: bool) -> Reply {
    let ro = ro && p.opens_read_only();
    let lock = Lockfile::at(&Path::new(format!("root/{file}.lock")), ro);
    match method {
        LockMethod::GetLockfile => p.get_lockfile(ctx, &lock.path, ro).await.map(|_| ())?,
        LockMethod::Lock => p.lock(ctx, &lock).await,
        LockMethod::Rlock => p.rlock(ctx, &lock).await,
        // Who called it takes `Lock` since it is gone.
        LockMethod::RecursiveLock if p.has_recursive_lock() => p.recursive_lock(ctx, &lock).await,
        LockMethod::RecursiveLock => p.lock(ctx, &lock).await,
        LockMethod::Unlock => p.unlock(ctx, &lock).await,
        LockMethod::Touch => p.touch(ctx, &lock).await,
        LockMethod::Modified => return Ok(Value::Bool(p.modified(ctx, &lock).await)),
        LockMethod::Locked => return Ok(Value::Bool(p.locked(ctx, &lock).await)),
    }
    Ok(Value::Nil)
}
