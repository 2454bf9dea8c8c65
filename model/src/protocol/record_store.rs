//! `images.go` and `containers.go` at 9f889830f, which lock alike: a lock file, a document, a cache.

#![allow(async_fn_in_trait, reason = "a call stays on its thread: no `Send` is wanted")]

use super::{Go, Lockfile, LockfileProtocol};
use crate::call::Fail;
use crate::ctx::{Cell, Ctx};
use crate::op::{Document, Path};
use crate::record;
use crate::second_store;

/// An image or a container, as far as locking cares (`type Image struct`, `type Container struct`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `ID`.
    pub id: String,
    /// `Names`.
    pub names: Vec<String>,
    /// `TopLayer` of an image, empty for none; `LayerID` of a container.
    pub layer: String,
    /// `ImageID` of a container, empty for none; of an image always empty.
    pub image: String,
}
record!(Record { id, names, layer, image });

/// How the id of a container's layer ends; it begins with the container's id.
pub const CONTAINER_LAYER: &str = "-layer";

/// The id of the layer that is made for container `id`. Go takes any or makes one up; here it is always this one.
#[must_use]
pub fn layer_of_container(id: &str) -> String {
    format!("{id}{CONTAINER_LAYER}")
}

/// The records of a store, in the order of the document.
pub type Records = Vec<Record>;

/// `lookup`: by id, then by name.
#[must_use]
pub fn lookup<'a>(records: &'a [Record], id: &str) -> Option<&'a Record> {
    let by_name = || records.iter().find(|record| record.names.iter().any(|name| name == id));
    records.iter().find(|record| record.id == id).or_else(by_name)
}

/// Takes each name that two records have from the earlier one. Returns whether there was such a name.
#[must_use]
pub fn remove_duplicate_names(records: &mut [Record]) -> bool {
    let mut found = false;
    for later in 1..records.len() {
        let (before, rest) = records.split_at_mut(later);
        for earlier in before {
            let had = earlier.names.len();
            earlier.names.retain(|name| !rest[0].names.contains(name));
            found |= earlier.names.len() != had;
        }
    }
    found
}

/// What an image store or a container store has in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordCache {
    /// `images` or `containers`, `byid`, `byname`, …: all of them are made from this list.
    pub records: Records,
    /// What the document held when the list was loaded or saved. Go has no such field; `no-lost-update` needs it.
    pub base: Records,
}
record!(RecordCache { records, base });

/// An image store or a container store.
#[derive(Clone, Debug)]
pub struct RecordStore {
    /// `lockfile`.
    pub lockfile: Lockfile,
    /// `imagespath()` or `containerspath()`.
    pub document: Document,
    /// Its memory.
    pub cache: Cell<RecordCache>,
}

impl RecordStore {
    fn named(kind: &str) -> Self {
        let lock = Path::new(format!("root/vfs-{kind}/{kind}.lock"));
        let document = Document { path: Path::new(format!("root/vfs-{kind}/{kind}.json")), lock: lock.clone() };
        Self { lockfile: Lockfile::at(&lock, false), document, cache: Cell::global(format!("s.{kind}.cache")) }
    }

    /// The image store.
    #[must_use]
    pub fn images() -> Self {
        Self::named("images")
    }

    /// The image store of additional store `number`, only to be read.
    #[must_use]
    pub fn images_of_additional(number: u8) -> Self {
        let dir = format!("{}/vfs-images", second_store::additional_root(number));
        let lock = Path::new(format!("{dir}/images.lock"));
        Self {
            lockfile: Lockfile::at(&lock, true),
            document: Document { path: Path::new(format!("{dir}/images.json")), lock },
            cache: Cell::global(format!("s.images[{number}].cache")),
        }
    }

    /// How its variables are told from those of another: `images.json`, `additional1/vfs-images/images.json`.
    #[must_use]
    pub fn name(&self) -> &str {
        let path = &self.document.path;
        if path.0.starts_with("root/") { path.file_name() } else { &path.0 }
    }

    /// The container store.
    #[must_use]
    pub fn containers() -> Self {
        Self::named("containers")
    }
}

/// The image store and the container store. Every method is the function of the same name in images.go and in
/// containers.go.
pub trait RecordStoreProtocol: LockfileProtocol {
    /// `newImageStore`, `newContainerStore`: loads under the write lock; `newROImageStore` under the read lock.
    async fn new_record_store(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        self.get_lockfile(ctx, &store.lockfile.path, store.lockfile.ro).await?;
        if store.lockfile.ro {
            self.rlock(ctx, &store.lockfile).await;
        } else {
            self.lock(ctx, &store.lockfile).await;
        }
        let loaded = self.load_records(ctx, store).await;
        self.unlock(ctx, &store.lockfile).await;
        loaded
    }

    /// `Load`: reads the document, and repairs it where it may.
    async fn load_records(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        let base: Records = ctx.read(&store.document).await;
        let mut records = base.clone();
        let should_save = remove_duplicate_names(&mut records);
        if should_save && (store.lockfile.ro || !self.locked(ctx, &store.lockfile).await) {
            return Err(Fail("ErrDuplicateImageNames".into()));
        }
        ctx.set(&store.cache, &RecordCache { records, base }).await;
        if should_save { self.save_records(ctx, store).await } else { Ok(()) }
    }

    /// `if modified, err := store.Modified(); modified || err != nil { store.Load() }`.
    async fn reload_records_if_modified(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        if self.modified(ctx, &store.lockfile).await { self.load_records(ctx, store).await } else { Ok(()) }
    }

    /// `Save`: replaces the document, then writes the stamp (`defer r.Touch()`).
    async fn save_records(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        if !self.locked(ctx, &store.lockfile).await {
            return Err(Fail("the store is not locked for writing".into()));
        }
        self.write_records(ctx, store).await;
        self.touch(ctx, &store.lockfile).await;
        Ok(())
    }

    /// `ioutils.AtomicWriteFile(rpath, jdata, 0600)` in `Save`: the document alone.
    async fn write_records(&self, ctx: &Ctx, store: &RecordStore) {
        let RecordCache { records, base } = ctx.get(&store.cache).await;
        ctx.replace(&store.document, &base, &records).await;
        ctx.set(&store.cache, &RecordCache { base: records.clone(), records }).await;
    }

    /// `Create`.
    async fn create_record(&self, ctx: &Ctx, store: &RecordStore, record: Record) -> Go<()> {
        let mut cache = ctx.get(&store.cache).await;
        if cache.records.iter().any(|other| other.id == record.id) {
            return Err(Fail("ErrDuplicateID".into()));
        }
        if cache.records.iter().any(|other| other.names.iter().any(|name| record.names.contains(name))) {
            return Err(Fail("ErrDuplicateName".into()));
        }
        cache.records.push(record);
        ctx.set(&store.cache, &cache).await;
        self.save_records(ctx, store).await
    }

    /// `Delete`.
    async fn delete_record(&self, ctx: &Ctx, store: &RecordStore, id: &str) -> Go<()> {
        let mut cache = ctx.get(&store.cache).await;
        cache.records.retain(|record| record.id != id);
        ctx.set(&store.cache, &cache).await;
        self.save_records(ctx, store).await
    }

    /// `SetNames`: another record that has one of the names loses it.
    async fn set_record_names(&self, ctx: &Ctx, store: &RecordStore, id: &str, names: &[String]) -> Go<()> {
        let mut cache = ctx.get(&store.cache).await;
        for record in &mut cache.records {
            if record.id == id {
                record.names = names.to_vec();
            } else {
                record.names.retain(|name| !names.contains(name));
            }
        }
        ctx.set(&store.cache, &cache).await;
        self.save_records(ctx, store).await
    }

    /// The beginning of a read: the store under its read lock, its cache up to date. On error the lock is free.
    async fn start_reading_records(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        self.rlock(ctx, &store.lockfile).await;
        let reloaded = self.reload_records_if_modified(ctx, store).await;
        if reloaded.is_err() {
            self.stop_reading_records(ctx, store).await;
        }
        reloaded
    }

    /// The end of a read.
    async fn stop_reading_records(&self, ctx: &Ctx, store: &RecordStore) {
        self.unlock(ctx, &store.lockfile).await;
    }

    /// The beginning of a write: the same as of a read, under the write lock.
    async fn start_writing_records(&self, ctx: &Ctx, store: &RecordStore) -> Go<()> {
        self.lock(ctx, &store.lockfile).await;
        let reloaded = self.reload_records_if_modified(ctx, store).await;
        if reloaded.is_err() {
            self.stop_writing_records(ctx, store).await;
        }
        reloaded
    }

    /// The end of a write.
    async fn stop_writing_records(&self, ctx: &Ctx, store: &RecordStore) {
        self.unlock(ctx, &store.lockfile).await;
    }
}
