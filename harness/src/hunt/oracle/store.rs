//! What is in a store, as its documents say: the state of the sequential model.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use serde::Deserialize;

/// An id that is drawn at random has so many hexadecimal digits.
const DRAWN_DIGITS: usize = 64;

/// Text that an id or a name stands for.
pub(super) type Names = BTreeSet<String>;

/// A layer (`Layer` of layers.go).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layer {
    /// The id of the layer below.
    pub parent: Option<String>,
    /// Its names.
    pub names: Names,
    /// The keys of its big data.
    pub data: Names,
    /// Its metadata.
    pub metadata: String,
    /// How often it is mounted, by `mountpoints.json`.
    pub mounts: u64,
    /// Whether it is flagged as not complete.
    pub incomplete: bool,
}

/// An image (`Image` of images.go).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image {
    /// The id of its top layer.
    pub layer: Option<String>,
    /// Its names.
    pub names: Names,
    /// The keys of its big data.
    pub data: Names,
    /// Its metadata.
    pub metadata: String,
}

/// A container (`Container` of containers.go).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Container {
    /// The id of its layer.
    pub layer: String,
    /// The id of its image.
    pub image: Option<String>,
    /// Its names.
    pub names: Names,
    /// The keys of its big data.
    pub data: Names,
    /// Its metadata.
    pub metadata: String,
}

/// A store: everything by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Store {
    /// Layers.
    pub layers: BTreeMap<String, Layer>,
    /// Images.
    pub images: BTreeMap<String, Image>,
    /// Containers.
    pub containers: BTreeMap<String, Container>,
}

/// A record of any of the documents.
#[derive(Deserialize)]
struct Record {
    id: String,
    names: Option<Vec<String>>,
    parent: Option<String>,
    layer: Option<String>,
    image: Option<String>,
    metadata: Option<String>,
    #[serde(rename = "big-data-names")]
    data: Option<Vec<String>>,
    flags: Option<BTreeMap<String, serde_json::Value>>,
    count: Option<u64>,
}

/// For people: what there is, and upon what.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |below: Option<&String>| below.map(|below| format!(" on {}", steady(below))).unwrap_or_default();
        let names = |names: &Names| names.iter().map(|name| format!(" called {name}")).collect::<String>();
        let mut parts = Vec::new();
        for (id, layer) in &self.layers {
            let mark = if layer.incomplete { ", not complete" } else { "" };
            parts.push(format!("layer {}{}{}{mark}", steady(id), on(layer.parent.as_ref()), names(&layer.names)));
        }
        for (id, image) in &self.images {
            parts.push(format!("image {}{}{}", steady(id), on(image.layer.as_ref()), names(&image.names)));
        }
        for (id, container) in &self.containers {
            parts.push(format!("container {}{}", steady(id), on(container.image.as_ref())));
        }
        if parts.is_empty() { f.write_str("there is nothing") } else { write!(f, "there is {}", parts.join(", ")) }
    }
}

impl Store {
    /// Reads the documents of a store; one that is not there is empty.
    ///
    /// # Errors
    /// Which document cannot be read as JSON, and why.
    pub fn read(store: &Path) -> Result<Store, String> {
        let mut read = Store::default();
        let all = |names: Option<Vec<String>>| names.unwrap_or_default().into_iter().collect();
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        for name in ["layers.json", "volatile-layers.json"] {
            for record in records(&store.join("root/vfs-layers").join(name))? {
                let incomplete = record.flags.is_some_and(|flags| flags.get("incomplete") == Some(&true.into()));
                let layer = Layer {
                    parent: some(record.parent),
                    names: all(record.names),
                    data: all(record.data),
                    metadata: record.metadata.unwrap_or_default(),
                    mounts: 0,
                    incomplete,
                };
                read.layers.insert(record.id, layer);
            }
        }
        for record in records(&store.join("run/vfs-layers/mountpoints.json"))? {
            if let Some(layer) = read.layers.get_mut(&record.id) {
                layer.mounts = record.count.unwrap_or_default();
            }
        }
        for record in records(&store.join("root/vfs-images/images.json"))? {
            let image = Image {
                layer: some(record.layer),
                names: all(record.names),
                data: all(record.data),
                metadata: record.metadata.unwrap_or_default(),
            };
            read.images.insert(record.id, image);
        }
        for name in ["root/vfs-containers/containers.json", "run/vfs-containers/volatile-containers.json"] {
            for record in records(&store.join(name))? {
                let container = Container {
                    layer: record.layer.unwrap_or_default(),
                    image: some(record.image),
                    names: all(record.names),
                    data: all(record.data),
                    metadata: record.metadata.unwrap_or_default(),
                };
                read.containers.insert(record.id, container);
            }
        }
        Ok(read.with_steady_ids())
    }

    /// Layers whose ids were drawn for a container are called after it.
    fn with_steady_ids(mut self) -> Store {
        for (id, container) in &mut self.containers {
            if is_drawn(&container.layer) {
                let steady = layer_of(id);
                if let Some(layer) = self.layers.remove(&container.layer) {
                    self.layers.insert(steady.clone(), layer);
                }
                container.layer = steady;
            }
        }
        self
    }

    /// What does not fit together, in words: references to what is not there, and layers that are not complete.
    #[must_use]
    pub fn dangling(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (id, layer) in &self.layers {
            if let Some(parent) = layer.parent.as_ref().filter(|parent| !self.layers.contains_key(*parent)) {
                found.push(format!("layer {} has the parent {}, which is not there", steady(id), steady(parent)));
            }
            if layer.incomplete {
                found.push(format!("layer {} is not complete", steady(id)));
            }
        }
        for (id, image) in &self.images {
            if let Some(layer) = image.layer.as_ref().filter(|layer| !self.layers.contains_key(*layer)) {
                found.push(format!("image {} has the layer {}, which is not there", steady(id), steady(layer)));
            }
        }
        for (id, container) in &self.containers {
            if !self.layers.contains_key(&container.layer) {
                found.push(format!("container {}: its layer is not there", steady(id)));
            }
            if let Some(image) = container.image.as_ref().filter(|image| !self.images.contains_key(*image)) {
                found.push(format!("container {} has the image {}, which is not there", steady(id), steady(image)));
            }
        }
        found
    }
}

/// The layer that was made for a container.
pub(super) fn layer_of(container: &str) -> String {
    format!("*{container}")
}

/// Whether an id was drawn at random.
pub(super) fn is_drawn(id: &str) -> bool {
    id.len() == DRAWN_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn steady(id: &str) -> &str {
    if is_drawn(id) { "*" } else { id }
}

fn records(path: &Path) -> Result<Vec<Record>, String> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(Vec::new()) };
    let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let records: Option<Vec<Record>> = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", name()))?;
    Ok(records.unwrap_or_default())
}

/// What is not whole on disk, in words: a document that is no JSON, references to what is not there, layers without their
/// directory, and directories without their layer.
#[must_use]
pub fn not_whole(store: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut layers = BTreeSet::new();
    match Store::read(store) {
        Err(problem) => return vec![problem],
        Ok(read) => found.extend(read.dangling()),
    }
    for name in ["layers.json", "volatile-layers.json"] {
        let read = records(&store.join("root/vfs-layers").join(name)).unwrap_or_default();
        layers.extend(read.into_iter().map(|record| record.id));
    }
    let entries = fs::read_dir(store.join("root/vfs/dir")).into_iter().flatten().flatten();
    let directories: BTreeSet<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    found.extend(layers.difference(&directories).map(|id| format!("layer {} has no directory", steady(id))));
    found.extend(directories.difference(&layers).map(|id| format!("directory {} has no layer", steady(id))));
    found.sort();
    found
}
