//! `[store]`: what there is at the start.

use lockproof_model::call::ADDITIONAL_MAX;
use lockproof_model::protocol::layer_store::Mounts;
use lockproof_model::protocol::record_store::layer_of_container;
use lockproof_model::protocol::{Layer, Record};

use crate::decode::{Item, Mistakes, Placed, Table};

const STORE_KEYS: [&str; 5] = ["layers", "images", "containers", "mounts", "additional"];
const ADDITIONAL_KEYS: [&str; 2] = ["layers", "images"];
const LAYER_KEYS: [&str; 4] = ["id", "names", "parent", "incomplete"];
const IMAGE_KEYS: [&str; 3] = ["id", "names", "layer"];
const CONTAINER_KEYS: [&str; 3] = ["id", "names", "image"];
const MOUNT_KEYS: [&str; 2] = ["layer", "count"];
/// More mounts of a layer than this are not asked for by any scenario.
const MOUNTS_MAX: u32 = 8;

/// What an additional store has at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additional {
    /// Its layers.
    pub layers: Vec<Layer>,
    /// Its images.
    pub images: Vec<Record>,
}

/// What there is at the start.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) layers: Vec<Layer>,
    pub(crate) images: Vec<Record>,
    pub(crate) containers: Vec<Record>,
    pub(crate) mounts: Mounts,
    pub(crate) additional: Vec<Additional>,
}

/// The store under `item`. `what` is what messages call it.
pub(crate) fn read(item: &Item<'_>, what: &'static str, mistakes: &mut Mistakes) -> Store {
    let mut store = Store::default();
    let Some(table) = item.table(what, &STORE_KEYS, mistakes) else { return store };
    let tables_of_additional = tables(&table, "additional", "an additional store", &ADDITIONAL_KEYS, mistakes);
    for table in &tables_of_additional {
        let (layers, images) = contents(table, &[], mistakes);
        store.additional.push(Additional { layers, images });
    }
    if tables_of_additional.len() > usize::from(ADDITIONAL_MAX) {
        let message = format!("{} additional stores are more than {ADDITIONAL_MAX}", tables_of_additional.len());
        mistakes.add(&tables_of_additional[usize::from(ADDITIONAL_MAX)].span, message, "one too many", None);
    }
    let shared: Vec<Layer> = store.additional.iter().flat_map(|additional| additional.layers.clone()).collect();
    (store.layers, store.images) = contents(&table, &shared, mistakes);
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

/// The layers and the images of `table`. A layer may also have a parent among those that are `shared`.
fn contents(table: &Table<'_>, shared: &[Layer], mistakes: &mut Mistakes) -> (Vec<Layer>, Vec<Record>) {
    let (mut layers, mut images) = (Vec::new(), Vec::new());
    for table in tables(table, "layers", "a layer", &LAYER_KEYS, mistakes) {
        let layer = layer(&table, &layers, shared, mistakes);
        layers.extend(layer);
    }
    for table in tables(table, "images", "an image", &IMAGE_KEYS, mistakes) {
        let known: Vec<&str> = layers.iter().chain(shared).map(|layer| layer.id.as_str()).collect();
        let layer = reference(&table, "layer", "layer", &known, mistakes);
        let Some((id, names)) = named(&table, "image", &ids(&images), mistakes) else { continue };
        images.push(Record { id, names, layer, image: String::new() });
    }
    (layers, images)
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

fn layer(table: &Table<'_>, before: &[Layer], shared: &[Layer], mistakes: &mut Mistakes) -> Option<Layer> {
    let known: Vec<&str> = before.iter().map(|layer| layer.id.as_str()).collect();
    let (id, names) = named(table, "layer", &known, mistakes)?;
    let parents: Vec<&str> = known.into_iter().chain(shared.iter().map(|layer| layer.id.as_str())).collect();
    let parent = reference(table, "parent", "layer", &parents, mistakes);
    let incomplete = table.optional("incomplete").and_then(|item| item.flag(mistakes));
    Some(Layer { id, names, parent, incomplete: incomplete.is_some_and(|flag| flag.value) })
}
