//! Values in plain words.

use lockproof_model::call::Reply;
use lockproof_model::op::Path;
use lockproof_model::protocol::layer_store::{Cache, Mounts};
use lockproof_model::protocol::{Layer, LayerStore, Layers};
use lockproof_model::value::{Datum, Instant, Mtime, Object, Stamp, Value};

use crate::text::clean;

/// A value, whatever it means.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Bool(truth) => if *truth { "yes" } else { "no" }.to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => clean(text).into_owned(),
        Value::Stamp(Stamp(number)) => format!("s{number}"),
        Value::Mtime(Mtime(rank)) | Value::Instant(Instant(rank)) => format!("t{rank}"),
        Value::Object(Object(number)) => format!("#{number}"),
        Value::List(items) => listed(items.iter().map(plain)),
    }
}

/// What a document holds: layers by their ids, their names and whether they are incomplete; mounts with their counts.
pub(crate) fn contents(document: &Path, value: &Value) -> String {
    let known = match document.file_name() {
        _ if *value == Value::Nil => return "nothing".to_owned(),
        "layers.json" => Layers::from_value(value).map(|layers| listed(layers.iter().map(layer))),
        "mountpoints.json" => Mounts::from_value(value)
            .map(|mounts| listed(mounts.iter().map(|(id, count)| format!("{} ×{count}", clean(id))))),
        _ => None,
    };
    known.unwrap_or_else(|| plain(value))
}

/// The layers that a layer store has in memory, if the value is such a memory.
pub(crate) fn cached(value: &Value) -> Option<String> {
    Cache::from_value(value).map(|cache| listed(cache.layers.iter().map(layer)))
}

/// A pointer to a layer store: `#2`, `nil`.
pub(crate) fn pointer(value: &Value) -> String {
    LayerStore::from_value(value).map_or_else(|| plain(value), |store| format!("#{}", store.object.0))
}

/// What a call returned.
pub(crate) fn reply(reply: &Reply) -> String {
    match reply {
        Ok(Value::Nil) => "done".to_owned(),
        Ok(value) => plain(value),
        Err(fail) => format!("error: {}", clean(&fail.0)),
    }
}

fn layer(layer: &Layer) -> String {
    let mut text = clean(&layer.id).into_owned();
    if !layer.names.is_empty() {
        text.push_str(" as ");
        text.push_str(&clean(&layer.names.join("+")));
    }
    if layer.incomplete {
        text.push_str(" (incomplete)");
    }
    text
}

fn listed(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
