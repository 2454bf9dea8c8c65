//! `[store]`: what there is at the start.

use lockproof_model::protocol::layer_store::Mounts;
use lockproof_model::protocol::record_store::layer_of_container;
use lockproof_model::protocol::{Layer, Record};

use crate::decode::{Item, Mistakes, Placed, Table};

const STORE_KEYS: [&str; 4] = ["layers", "images", "containers", "mounts"];
const LAYER_KEYS: [&str; 4] = ["id", "names", "parent", "incomplete"];
const IMAGE_KEYS: [&str; 3] = ["id", "names", "layer"];
const CONTAINER_KEYS: [&str; 3] = ["id", "names", "image"];
const MOUNT_KEYS: [&str; 2] = ["layer", "count"];
/// More mounts of a layer than this are not asked for by any scenario.
const MOUNTS_MAX: u32 = 8;

/// What there is at the start.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) layers: Vec<Layer>,
    pub(crate) images: Vec<Record>,
    pub(crate) containers: Vec<Record>,
    pub(crate) mounts: Mounts,
}

/// The store under `item`. `what` is what messages call it.
pub(crate) fn read(item: &Item<'_>, what: &'static str, mistakes: &mut Mistakes) -> Store {
    let mut store = Store::default();
    let Some(table) = item.table(what, &STORE_KEYS, mistakes) else { return store };
    for table in tables(&table, "layers", "a layer", &LAYER_KEYS, mistakes) {
        let layer = layer(&table, &store.layers, mistakes);
        store.layers.extend(layer);
    }
    for table in tables(&table, "images", "an image", &IMAGE_KEYS, mistakes) {
        let known: Vec<&str> = store.layers.iter().map(|layer| layer.id.as_str()).collect();
        let layer = reference(&table, "layer", "layer", &known, mistakes);
        let Some((id, names)) = named(&table, "image", &ids(&store.images), mistakes) else { continue };
        store.images.push(Record { id, names, layer, image: String::new() });
    }
    for table in tables(&table, "containers", "a container", &CONTAINER_KEYS, mistakes) {
        let image = reference(&table, "image", "image", &ids(&store.images), mistakes);
        let Some((id, names)) = named(&table, "container", &ids(&store.containers), mistakes) else { continue };
        let layer = layer_of_container(&id);
        let parent = store.images.iter().find(|record| record.id == image).map(|image| image.layer.clone());
        store.layers.push(Layer { id: layer.clone(), parent: parent.unwrap_or_default(), ..Layer::default() });
        store.containers.push(Record { id, names, layer, image });
    }
    for table in tables(&table, "mounts", "a mount", &MOUNT_KEYS, mistakes) {
        let known: Vec<&str> = store.layers.iter().map(|layer| layer.id.as_str()).collect();
        let _ = table.required("layer", mistakes);
        let layer = reference(&table, "layer", "layer", &known, mistakes);
        let count = table.optional("count").and_then(|item| item.count(1..MOUNTS_MAX + 1, mistakes));
        store.mounts.push((layer, count.map_or(1, |count| count.value)));
    }
    store
}

fn tables<'t>(
    table: &Table<'t>,
    key: &str,
    what: &'static str,
    keys: &[&'static str],
    mistakes: &mut Mistakes,
) -> Vec<Table<'t>> {
    table.optional(key).and_then(|item| item.tables(what, keys, mistakes)).unwrap_or_default()
}

fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.id.as_str()).collect()
}

/// The id, which none of `before` has, and the names.
fn named(table: &Table<'_>, what: &str, before: &[&str], mistakes: &mut Mistakes) -> Option<(String, Vec<String>)> {
    let id = table.required("id", mistakes)?.text(mistakes)?;
    if before.contains(&id.value) {
        mistakes.add(&id.span, format!("two {what}s have the id `{}`", id.value), "again", None);
    }
    let names = table.optional("names").and_then(|item| item.texts(mistakes)).unwrap_or_default();
    Some((id.value.to_owned(), names.into_iter().map(|name| name.value.to_owned()).collect()))
}

/// The id under `key`, which must be one of `known`; empty where there is none.
fn reference(table: &Table<'_>, key: &str, kind: &str, known: &[&str], mistakes: &mut Mistakes) -> String {
    let Some(Placed { value, span }) = table.optional(key).and_then(|item| item.text(mistakes)) else {
        return String::new();
    };
    if !value.is_empty() && !known.contains(&value) {
        mistakes.unknown(&span, kind, value, known.iter().copied());
    }
    value.to_owned()
}

fn layer(table: &Table<'_>, before: &[Layer], mistakes: &mut Mistakes) -> Option<Layer> {
    let known: Vec<&str> = before.iter().map(|layer| layer.id.as_str()).collect();
    let (id, names) = named(table, "layer", &known, mistakes)?;
    let parent = reference(table, "parent", "layer", &known, mistakes);
    let incomplete = table.optional("incomplete").and_then(|item| item.flag(mistakes));
    Some(Layer { id, names, parent, incomplete: incomplete.is_some_and(|flag| flag.value) })
}
