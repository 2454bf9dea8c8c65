//! The atomic sections of commands: what each does to the store while it has the locks that it needs.
//!
//! Shapes: a section gets the store and what its command remembers, and either changes both or ends the command with exit
//! status 1, as the functions of store.go return an error.

use super::store::{Container, Image, Layer, Store, layer_of};

/// What a command remembers from section to section.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Memory {
    /// What was found, and where.
    pub(super) found: Option<(Kind, String)>,
    /// Names that were read.
    pub(super) names: Vec<String>,
    /// Layers that were listed, each with its names.
    pub(super) layers: Vec<(String, Vec<String>)>,
    /// Images that were listed, each with its layer and its names.
    pub(super) images: Vec<(String, Option<String>, Vec<String>)>,
    /// What it prints.
    pub(super) lines: Vec<String>,
    /// The releases do not agree on its exit status.
    pub(super) any_status: bool,
}

/// Which store of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::hunt) enum Kind {
    Layer,
    Image,
    Container,
}

pub(super) use Kind::{Container as OfContainer, Image as OfImage, Layer as OfLayer};

/// The order in which store.go asks: layers, images, containers.
pub(super) const KINDS: [Kind; 3] = [OfLayer, OfImage, OfContainer];

/// The command ends with exit status 1.
#[derive(Debug)]
pub(super) struct Fails;

/// `Err` ends the command.
pub(super) type Result = std::result::Result<(), Fails>;

/// One section.
pub(super) type Section = Box<dyn Fn(&mut Store, &mut Memory) -> Result + Send + Sync>;

/// Finds something by id or name, in one of the three.
pub(super) fn lookup(store: &Store, kind: Kind, what: &str) -> Option<String> {
    macro_rules! find {
        ($all:expr) => {
            $all.contains_key(what)
                .then(|| what.to_owned())
                .or_else(|| $all.iter().find(|(_, thing)| thing.names.contains(what)).map(|(id, _)| id.clone()))
        };
    }
    match kind {
        OfLayer => find!(store.layers),
        OfImage => find!(store.images),
        OfContainer => find!(store.containers),
    }
}

macro_rules! field {
    ($store:expr, $kind:expr, $id:expr, $field:ident) => {
        match $kind {
            OfLayer => $store.layers.get_mut($id).map(|thing| &mut thing.$field),
            OfImage => $store.images.get_mut($id).map(|thing| &mut thing.$field),
            OfContainer => $store.containers.get_mut($id).map(|thing| &mut thing.$field),
        }
    };
}

/// Three sections, layers, images, containers (`Lookup`, `Exists` of store.go): what is found first is remembered.
pub(super) fn find(
    what: &str,
    then: impl Fn(&mut Store, &mut Memory, Kind, &str) + Clone + Send + Sync + 'static,
) -> Vec<Section> {
    let section = |kind: Kind| -> Section {
        let (what, then) = (what.to_owned(), then.clone());
        Box::new(move |store, memory| {
            if memory.found.is_none()
                && let Some(id) = lookup(store, kind, &what)
            {
                then(store, memory, kind, &id);
                memory.found = Some((kind, id));
            }
            if kind == OfContainer && memory.found.is_none() { Err(Fails) } else { Ok(()) }
        })
    };
    KINDS.map(section).into()
}

/// Forgets what was found: the next function of store.go looks again.
pub(super) fn again(mut sections: Vec<Section>) -> Vec<Section> {
    if let Some(first) = sections.first_mut() {
        let then = std::mem::replace(first, Box::new(|_, _| Ok(())));
        *first = Box::new(move |store, memory| {
            memory.found = None;
            then(store, memory)
        });
    }
    sections
}

/// One section: something of one kind is found, or the command fails.
pub(super) fn find_one(
    kind: Kind,
    what: &str,
    then: impl Fn(&mut Store, &mut Memory, &str) -> Result + Send + Sync + 'static,
) -> Section {
    let what = what.to_owned();
    Box::new(move |store, memory| {
        let id = lookup(store, kind, &what).ok_or(Fails)?;
        memory.found = Some((kind, id.clone()));
        then(store, memory, &id)
    })
}

/// The names of something.
pub(super) fn names_of(store: &mut Store, kind: Kind, id: &str) -> Vec<String> {
    field!(store, kind, id, names).map(|names| names.iter().cloned().collect()).unwrap_or_default()
}

/// The keys of the big data of something.
pub(super) fn data_of(store: &mut Store, kind: Kind, id: &str) -> Vec<String> {
    field!(store, kind, id, data).map(|data| data.iter().cloned().collect()).unwrap_or_default()
}

/// Adds big data.
pub(super) fn set_data(store: &mut Store, kind: Kind, id: &str, key: &str) -> Result {
    field!(store, kind, id, data).ok_or(Fails)?.insert(key.to_owned());
    Ok(())
}

/// The metadata of something.
pub(super) fn metadata_of(store: &mut Store, kind: Kind, id: &str) -> String {
    field!(store, kind, id, metadata).cloned().unwrap_or_default()
}

/// Sets metadata.
pub(super) fn set_metadata(store: &mut Store, kind: Kind, id: &str, metadata: &str) {
    if let Some(old) = field!(store, kind, id, metadata) {
        metadata.clone_into(old);
    }
}

/// Sets names: whoever of its kind had one of them, has it no more (`updateNames` of layers.go, images.go, containers.go).
pub(super) fn set_names(store: &mut Store, kind: Kind, id: &str, names: &[String]) {
    macro_rules! set {
        ($all:expr) => {
            for (other, thing) in &mut $all {
                if other == id {
                    thing.names = names.iter().cloned().collect();
                } else {
                    thing.names.retain(|name| !names.contains(name));
                }
            }
        };
    }
    match kind {
        OfLayer => set!(store.layers),
        OfImage => set!(store.images),
        OfContainer => set!(store.containers),
    }
}

fn is_taken(store: &Store, kind: Kind, id: &str, names: &[String]) -> bool {
    macro_rules! taken {
        ($all:expr) => {
            $all.contains_key(id) || $all.values().any(|thing| names.iter().any(|name| thing.names.contains(name)))
        };
    }
    match kind {
        OfLayer => taken!(store.layers),
        OfImage => taken!(store.images),
        OfContainer => taken!(store.containers),
    }
}

/// `PutLayer` of store.go.
pub(super) fn put_layer(store: &mut Store, id: &str, names: &[String], parent: Option<&str>) -> Result {
    let parent = match parent {
        Some(parent) => {
            let parent = lookup(store, OfLayer, parent).ok_or(Fails)?;
            if store.containers.values().any(|container| container.layer == parent) {
                return Err(Fails);
            }
            Some(parent)
        }
        None => None,
    };
    if is_taken(store, OfLayer, id, names) {
        return Err(Fails);
    }
    let layer = Layer { parent, names: names.iter().cloned().collect(), ..Layer::default() };
    store.layers.insert(id.to_owned(), layer);
    Ok(())
}

/// The end of `CreateImage` of store.go.
pub(super) fn put_image(
    store: &mut Store,
    id: &str,
    names: &[String],
    layer: Option<String>,
    metadata: &str,
) -> Result {
    if is_taken(store, OfImage, id, names) {
        return Err(Fails);
    }
    let image = Image { layer, names: names.iter().cloned().collect(), metadata: metadata.into(), ..Image::default() };
    store.images.insert(id.to_owned(), image);
    Ok(())
}

/// `CreateContainer` of store.go: under the locks of layers and images until that of containers is had, too.
pub(super) fn put_container(store: &mut Store, id: &str, names: &[String], image: &str, metadata: &str) -> Result {
    let image = lookup(store, OfImage, image).ok_or(Fails)?;
    let parent = store.images[&image].layer.clone();
    if parent.as_ref().is_some_and(|parent| !store.layers.contains_key(parent)) {
        return Err(Fails);
    }
    if is_taken(store, OfContainer, id, names) {
        return Err(Fails);
    }
    let layer = layer_of(id);
    store.layers.insert(layer.clone(), Layer { parent, ..Layer::default() });
    let names = names.iter().cloned().collect();
    let container = Container { layer, image: Some(image), names, metadata: metadata.into(), ..Container::default() };
    store.containers.insert(id.to_owned(), container);
    Ok(())
}

/// `DeleteLayer` of store.go.
pub(super) fn delete_layer(store: &mut Store, what: &str) -> Result {
    let id = lookup(store, OfLayer, what).ok_or(Fails)?;
    // The checks compare with what was said on the command line, which may be a name; that is what the Go code does.
    let is_used = store.layers.values().any(|layer| layer.parent.as_deref() == Some(what))
        || store.images.values().any(|image| image.layer.as_deref() == Some(what))
        || store.containers.values().any(|container| container.layer == what);
    if is_used {
        return Err(Fails);
    }
    store.layers.remove(&id);
    Ok(())
}

/// `DeleteImage` of store.go: the image, and its layers from the top until one is in use.
pub(super) fn delete_image(store: &mut Store, what: &str, commit: bool) -> Result {
    let id = lookup(store, OfImage, what).ok_or(Fails)?;
    if store.containers.values().any(|container| container.image.as_deref() == Some(&id)) {
        return Err(Fails);
    }
    if !commit {
        return Ok(());
    }
    let mut next = store.images.remove(&id).and_then(|image| image.layer);
    while let Some(layer) = next {
        let is_used = store.images.values().any(|image| image.layer.as_ref() == Some(&layer))
            || store.layers.values().any(|other| other.parent.as_ref() == Some(&layer))
            || store.containers.contains_key(&layer);
        if is_used {
            break;
        }
        next = match store.layers.remove(&layer) {
            Some(removed) => removed.parent,
            // It was to be removed, and is not there.
            None => return Err(Fails),
        };
    }
    Ok(())
}

/// `DeleteContainer` of store.go.
pub(super) fn delete_container(store: &mut Store, what: &str) -> Result {
    let id = lookup(store, OfContainer, what).ok_or(Fails)?;
    if let Some(container) = store.containers.remove(&id) {
        store.layers.remove(&container.layer);
    }
    Ok(())
}

/// `Delete` of store.go: no checks.
pub(super) fn delete(store: &mut Store, what: &str) -> Result {
    if let Some(id) = lookup(store, OfContainer, what) {
        let layer = store.containers[&id].layer.clone();
        store.layers.remove(&layer).ok_or(Fails)?;
        store.containers.remove(&id);
        return Ok(());
    }
    if let Some(id) = lookup(store, OfImage, what) {
        store.images.remove(&id);
        return Ok(());
    }
    let id = lookup(store, OfLayer, what).ok_or(Fails)?;
    store.layers.remove(&id);
    Ok(())
}

/// Everything is unmounted (`Shutdown` of store.go, by force).
pub(super) fn unmount_all(store: &mut Store) {
    store.layers.values_mut().for_each(|layer| layer.mounts = 0);
}
