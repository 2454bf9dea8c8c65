//! `images.go` and `containers.go` at 9f889830f, which lock alike: a lock file, a document, a cache.
//!
//! The calls of our scenarios only ask whether an image or a container uses a layer, so a record is its id.

use super::{Go, Lockfile, LockfileProtocol};
use crate::ctx::{Cell, Ctx};
use crate::op::{Document, Path};

/// An image store or a container store.
#[derive(Clone, Debug)]
pub struct RecordStore {
    /// `lockfile`.
    pub lockfile: Lockfile,
    /// `imagespath()` or `containerspath()`.
    pub document: Document,
    /// The ids that were loaded.
    pub cache: Cell<Vec<String>>,
}

impl RecordStore {
    fn named(kind: &str) -> Self {
        let lock = Path::new(format!("root/vfs-{kind}/{kind}.lock"));
        let document = Document { path: Path::new(format!("root/vfs-{kind}/{kind}.json")), lock: lock.clone() };
        Self { lockfile: Lockfile::at(&lock, false), document, cache: Cell::global(format!("{kind}.cache")) }
    }

    /// The image store.
    #[must_use]
    pub fn images() -> Self {
        Self::named("images")
    }

    /// The container store.
    #[must_use]
    pub fn containers() -> Self {
        Self::named("containers")
    }
}

/// `newImageStore`, `newContainerStore`: under the write lock.
pub async fn construct<P: LockfileProtocol + ?Sized>(p: &P, ctx: &Ctx, store: &RecordStore) -> Go<()> {
    p.get_lockfile(ctx, &store.lockfile.path, false).await?;
    p.lock(ctx, &store.lockfile).await;
    load(ctx, store).await;
    p.unlock(ctx, &store.lockfile).await;
    Ok(())
}

/// `Load`.
pub async fn load(ctx: &Ctx, store: &RecordStore) {
    let records = ctx.read(&store.document).await;
    ctx.set(&store.cache, &records).await;
}

/// `if modified, err := store.Modified(); modified || err != nil { store.Load() }`.
pub async fn reload_if_modified<P: LockfileProtocol + ?Sized>(p: &P, ctx: &Ctx, store: &RecordStore) {
    if p.modified(ctx, &store.lockfile).await {
        load(ctx, store).await;
    }
}
