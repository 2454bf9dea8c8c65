//! `layers.go` at 9f889830f: the layers of one directory, their cache, and where they are mounted.

#![allow(async_fn_in_trait, reason = "a call stays on its thread: no `Send` is wanted")]

use super::layers::{self, Layer, Layers};
use super::{Go, Lockfile, LockfileProtocol};
use crate::call::{ADDITIONAL_MAX, Fail};
use crate::ctx::{Cell, Ctx};
use crate::op::{Document, Path};
use crate::record;
use crate::second_store;
use crate::value::{Datum, Object, Value};

/// Where layer `id` is mounted, and how often (`type layerMountPoint struct`).
pub type Mounts = Vec<(String, u32)>;

/// What a layer store has in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    /// `layers`, `byid`, `byname`, …: all of them are made from this list.
    pub layers: Layers,
    /// What `layers.json` held when `layers` was loaded or saved. Go has no such field; `no-lost-update` needs it.
    pub base: Layers,
    /// `MountCount` and `MountPoint` of each layer.
    pub mounts: Mounts,
    /// What `mountpoints.json` held, likewise.
    pub mounts_base: Mounts,
}
record!(Cache { layers, base, mounts, mounts_base });

impl Cache {
    /// How often layer `id` is mounted.
    #[must_use]
    pub fn mount_count(&self, id: &str) -> u32 {
        self.mounts.iter().find(|(layer, _)| layer == id).map_or(0, |(_, count)| *count)
    }

    /// Layer `id` is mounted that often now.
    pub fn mount(&mut self, id: &str, count: u32) {
        self.mounts.retain(|(other, _)| other != id);
        if count > 0 {
            self.mounts.push((id.to_owned(), count));
        }
    }
}

/// A handle on a layer store object (`type layerStore struct`).
#[derive(Clone, Debug)]
pub struct LayerStore {
    /// The object whose fields its cells are.
    pub object: Object,
    /// `lockfile`.
    pub lockfile: Lockfile,
    /// `mountsLockfile`; `None` for a store without one.
    pub mounts_lockfile: Option<Lockfile>,
    /// `layerspath()`.
    pub layers: Document,
    /// `mountspath()`.
    pub mounts: Document,
    /// Its memory.
    pub cache: Cell<Cache>,
}

impl LayerStore {
    /// The handle of `object` over additional store `number`: without mounts, and as a rule only to be read.
    #[must_use]
    pub fn additional(object: Object, number: u8, ro: bool) -> Self {
        let root = second_store::additional_root(number);
        let lock = Path::new(format!("{root}/vfs-layers/layers.lock"));
        let layers = Document { path: Path::new(format!("{root}/vfs-layers/layers.json")), lock: lock.clone() };
        Self { lockfile: Lockfile::at(&lock, ro), layers, ..Self::at(object, false) }
    }

    /// The number of the additional store that it is over.
    fn number(&self) -> Option<u8> {
        (1..=ADDITIONAL_MAX).find(|number| {
            let root = self.layers.path.0.split('/').next();
            root == Some(&second_store::additional_root(*number))
        })
    }

    /// The handle of `object`, with or without a mounts lock.
    #[must_use]
    pub fn at(object: Object, with_mounts: bool) -> Self {
        let lock = Path::new("root/vfs-layers/layers.lock");
        let mounts_lock = Path::new("run/vfs-layers/mountpoints.lock");
        Self {
            object,
            lockfile: Lockfile::at(&lock, false),
            mounts_lockfile: with_mounts.then(|| Lockfile::at(&mounts_lock, false)),
            layers: Document { path: Path::new("root/vfs-layers/layers.json"), lock },
            mounts: Document { path: Path::new("run/vfs-layers/mountpoints.json"), lock: mounts_lock },
            cache: Cell::field(object, "cache"),
        }
    }
}

/// A pointer to a layer store, as a field of the store holds it.
impl Datum for LayerStore {
    fn to_value(&self) -> Value {
        match self.number() {
            None => (self.object, self.mounts_lockfile.is_some()).to_value(),
            Some(number) => (self.object, (u32::from(number), self.lockfile.ro)).to_value(),
        }
    }
    fn from_value(value: &Value) -> Option<Self> {
        if let Some((object, with_mounts)) = <(Object, bool)>::from_value(value) {
            return Some(Self::at(object, with_mounts));
        }
        let (object, (number, ro)) = <(Object, (u32, bool))>::from_value(value)?;
        Some(Self::additional(object, u8::try_from(number).ok()?, ro))
    }
}

/// The layer store. Every method is the function of the same name in layers.go.
pub trait LayerStoreProtocol: LockfileProtocol {
    /// `IsReadWrite`: whether it may change anything.
    fn is_read_write(&self, store: &LayerStore) -> bool {
        !store.lockfile.ro
    }

    /// `newLayerStore`: loads at once.
    async fn new_layer_store(&self, ctx: &Ctx, with_mounts: bool) -> Go<LayerStore> {
        let store = LayerStore::at(ctx.new_object().await, with_mounts);
        self.get_lockfile(ctx, &store.lockfile.path, false).await?;
        if let Some(mounts) = &store.mounts_lockfile {
            self.get_lockfile(ctx, &mounts.path, false).await?;
        }
        self.first_load(ctx, &store).await?;
        Ok(store)
    }

    /// `newROLayerStore` of an additional store.
    async fn new_ro_layer_store(&self, ctx: &Ctx, number: u8) -> Go<LayerStore> {
        let store = LayerStore::additional(ctx.new_object().await, number, self.opens_read_only());
        self.get_lockfile(ctx, &store.lockfile.path, store.lockfile.ro).await?;
        self.first_load(ctx, &store).await?;
        Ok(store)
    }

    /// The `Load` at the end of `newLayerStore` and of `newROLayerStore`: under no lock.
    async fn first_load(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        self.load_layers(ctx, store).await
    }

    /// `ioutil.ReadFile(rpath)` in `Load`.
    async fn read_layers(&self, ctx: &Ctx, store: &LayerStore) -> Layers {
        ctx.read(&store.layers).await
    }

    /// `Load`: reads the documents, and repairs them where it may.
    async fn load_layers(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        let base = self.read_layers(ctx, store).await;
        let mut layers = base.clone();
        let mut should_save = layers::remove_duplicate_names(&mut layers);
        if should_save && !(self.is_read_write(store) && self.locked(ctx, &store.lockfile).await) {
            return Err(Fail("ErrDuplicateLayerNames".into()));
        }
        ctx.set(&store.cache, &Cache { layers, base, ..Cache::default() }).await;
        if let Some(mounts) = store.mounts_lockfile.as_ref().filter(|_| self.is_read_write(store)) {
            self.rlock(ctx, mounts).await;
            self.load_mounts(ctx, store).await;
            let mut saved = Ok(());
            if self.locked(ctx, &store.lockfile).await {
                should_save |= self.remove_incomplete(ctx, store).await;
            }
            if should_save {
                saved = self.save_layers(ctx, store).await;
            }
            self.unlock(ctx, mounts).await;
            saved?;
        }
        Ok(())
    }

    /// The last step of `Load`: removes the layers that a writer marked as incomplete and did not finish. Returns
    /// whether there was one.
    async fn remove_incomplete(&self, ctx: &Ctx, store: &LayerStore) -> bool {
        let mut cache = ctx.get(&store.cache).await;
        let mut complete = Vec::new();
        for layer in &cache.layers {
            if !(layer.incomplete && self.abandoned(ctx, layer).await) {
                complete.push(layer.clone());
            }
        }
        let found = complete.len() != cache.layers.len();
        if found {
            cache.layers = complete;
            ctx.set(&store.cache, &cache).await;
        }
        found
    }

    /// Whether the writer of an incomplete layer is gone: under the write lock of all layers there can be no other.
    async fn abandoned(&self, _ctx: &Ctx, _layer: &Layer) -> bool {
        true
    }

    /// `LoadLocked`: `Load` under the write lock. `newROLayerStore` does the same under the read lock, in releases in which it
    /// takes one.
    async fn load_locked(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        if store.lockfile.ro {
            self.rlock(ctx, &store.lockfile).await;
        } else {
            self.lock(ctx, &store.lockfile).await;
        }
        let loaded = self.load_layers(ctx, store).await;
        self.unlock(ctx, &store.lockfile).await;
        loaded
    }

    /// `loadMounts`.
    async fn load_mounts(&self, ctx: &Ctx, store: &LayerStore) {
        let mounts: Mounts = ctx.read(&store.mounts).await;
        let mut cache = ctx.get(&store.cache).await;
        cache.mounts_base = mounts.clone();
        cache.mounts = mounts;
        ctx.set(&store.cache, &cache).await;
    }

    /// `Modified`: the layers' stamp, and the mounts' stamp where there is one.
    async fn layers_modified(&self, ctx: &Ctx, store: &LayerStore) -> bool {
        let layers = self.modified(ctx, &store.lockfile).await;
        let Some(mounts) = store.mounts_lockfile.as_ref().filter(|_| self.is_read_write(store)) else {
            return layers;
        };
        self.rlock(ctx, mounts).await;
        let mounts_modified = self.modified(ctx, mounts).await;
        self.unlock(ctx, mounts).await;
        layers || mounts_modified
    }

    /// `if modified, err := store.Modified(); modified || err != nil { store.Load() }`, as every method of the store
    /// begins once it has its lock.
    async fn reload_if_modified(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        if self.layers_modified(ctx, store).await {
            self.load_layers(ctx, store).await?;
        }
        Ok(())
    }

    /// `Save`: the layers and the mounts, under the mounts lock.
    async fn save(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        let Some(mounts) = &store.mounts_lockfile else {
            return ctx.panic("invalid memory address or nil pointer dereference: mountsLockfile").await;
        };
        self.lock(ctx, mounts).await;
        let mut saved = self.save_layers(ctx, store).await;
        if saved.is_ok() {
            saved = self.save_mounts(ctx, store).await;
        }
        self.touch(ctx, mounts).await;
        self.unlock(ctx, mounts).await;
        saved
    }

    /// `saveLayers`: replaces `layers.json`, then writes the stamp (`defer r.Touch()`).
    async fn save_layers(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        if !self.is_read_write(store) {
            return Err(Fail("ErrStoreIsReadOnly".into()));
        }
        if !self.locked(ctx, &store.lockfile).await {
            return Err(Fail("layer store is not locked for writing".into()));
        }
        self.write_layers(ctx, store).await;
        self.touch(ctx, &store.lockfile).await;
        Ok(())
    }

    /// `ioutils.AtomicWriteFile(rpath, jldata, 0600)` in `saveLayers`: the document alone.
    async fn write_layers(&self, ctx: &Ctx, store: &LayerStore) {
        let mut cache = ctx.get(&store.cache).await;
        ctx.replace(&store.layers, &cache.base, &cache.layers).await;
        cache.base = cache.layers.clone();
        ctx.set(&store.cache, &cache).await;
    }

    /// `saveMounts`: replaces `mountpoints.json` and reads it again.
    async fn save_mounts(&self, ctx: &Ctx, store: &LayerStore) -> Go<()> {
        let cache = ctx.get(&store.cache).await;
        ctx.replace(&store.mounts, &cache.mounts_base, &cache.mounts).await;
        self.load_mounts(ctx, store).await;
        Ok(())
    }

    /// `Put`: with a diff, the layer is saved as incomplete, filled, and saved again.
    async fn put(&self, ctx: &Ctx, store: &LayerStore, layer: Layer, diff: bool) -> Go<()> {
        if !self.is_read_write(store) {
            return Err(Fail("ErrStoreIsReadOnly".into()));
        }
        let mut cache = ctx.get(&store.cache).await;
        if cache.layers.iter().any(|other| other.id == layer.id) {
            return Err(Fail("ErrDuplicateID".into()));
        }
        if cache.layers.iter().any(|other| other.names.iter().any(|name| layer.names.contains(name))) {
            return Err(Fail("ErrDuplicateName".into()));
        }
        let id = layer.id.clone();
        let incomplete = self.is_incomplete_at_first(diff);
        cache.layers.push(Layer { incomplete, ..layer });
        ctx.set(&store.cache, &cache).await;
        self.save(ctx, store).await?;
        if incomplete { self.complete(ctx, store, &id).await } else { Ok(()) }
    }

    /// Whether `Put` marks a new layer as incomplete and saves it twice: if there are contents to apply. The driver's
    /// `Create` comes before the first `Save` (`driver-before-record`).
    fn is_incomplete_at_first(&self, diff: bool) -> bool {
        diff
    }

    /// The end of `Put` with a diff, once it is applied: the layer is no longer incomplete.
    async fn complete(&self, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<()> {
        let mut cache = ctx.get(&store.cache).await;
        for layer in cache.layers.iter_mut().filter(|layer| layer.id == id) {
            layer.incomplete = false;
        }
        ctx.set(&store.cache, &cache).await;
        self.save(ctx, store).await
    }

    /// `Delete`: unmounts the layer as often as it is mounted, between two looks at the mounts under their lock.
    async fn delete(&self, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<()> {
        let mut cache = self.mounts(ctx, store).await;
        while cache.mount_count(id) > 0 {
            self.unmount_layer(ctx, store, id).await?;
            cache = self.mounts(ctx, store).await;
        }
        self.delete_internal(ctx, store, id).await?;
        self.save(ctx, store).await
    }

    /// `deleteInternal`: the driver's `Remove`, and the layer is gone from the cache.
    async fn delete_internal(&self, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<()> {
        let mut cache = ctx.get(&store.cache).await;
        cache.layers.retain(|layer| layer.id != id);
        ctx.set(&store.cache, &cache).await;
        Ok(())
    }

    /// `Mounted`: the cache, its mounts up to date.
    async fn mounts(&self, ctx: &Ctx, store: &LayerStore) -> Cache {
        let Some(mounts) = &store.mounts_lockfile else { return ctx.get(&store.cache).await };
        self.rlock(ctx, mounts).await;
        if self.modified(ctx, mounts).await {
            self.load_mounts(ctx, store).await;
        }
        let cache = ctx.get(&store.cache).await;
        self.unlock(ctx, mounts).await;
        cache
    }

    /// `Mount`: one more in the count of layer `id`, which exists.
    async fn mount_layer(&self, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<()> {
        self.change_mounts(ctx, store, |cache| {
            let count = cache.mount_count(id) + 1;
            cache.mounts.retain(|(other, _)| other != id);
            cache.mounts.push((id.to_owned(), count));
        })
        .await
        .map(|_| ())
    }

    /// `Unmount(id, false)`: one less. Returns whether it is still mounted.
    async fn unmount_layer(&self, ctx: &Ctx, store: &LayerStore, id: &str) -> Go<bool> {
        let cache = self.change_mounts(ctx, store, |cache| {
            for (_, count) in cache.mounts.iter_mut().filter(|(other, _)| other == id) {
                *count -= 1;
            }
            cache.mounts.retain(|(_, count)| *count > 0);
        });
        Ok(cache.await?.mount_count(id) > 0)
    }

    /// What `Mount` and `Unmount` have in common: the mounts under their write lock, reloaded, changed, saved, stamped.
    async fn change_mounts(&self, ctx: &Ctx, store: &LayerStore, change: impl FnOnce(&mut Cache)) -> Go<Cache> {
        let Some(mounts) = store.mounts_lockfile.as_ref().filter(|_| self.is_read_write(store)) else {
            return Err(Fail("ErrStoreIsReadOnly".into()));
        };
        self.lock(ctx, mounts).await;
        if self.modified(ctx, mounts).await {
            self.load_mounts(ctx, store).await;
        }
        let mut cache = ctx.get(&store.cache).await;
        change(&mut cache);
        ctx.set(&store.cache, &cache).await;
        let saved = self.save_mounts(ctx, store).await;
        self.touch(ctx, mounts).await;
        self.unlock(ctx, mounts).await;
        saved.map(|()| cache)
    }

    /// `SetNames`: another layer that has one of the names loses it.
    async fn set_layer_names(&self, ctx: &Ctx, store: &LayerStore, id: &str, names: &[String]) -> Go<()> {
        let mut cache = ctx.get(&store.cache).await;
        for layer in &mut cache.layers {
            if layer.id == id {
                layer.names = names.to_vec();
            } else {
                layer.names.retain(|name| !names.contains(name));
            }
        }
        ctx.set(&store.cache, &cache).await;
        self.save(ctx, store).await
    }
}
