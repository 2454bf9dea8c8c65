//! The JSON files of containers/storage, as far as protocols look at them.
//!
//! | file | value | fields (layers.go, images.go, containers.go at 9f889830f) |
//! | --- | --- | --- |
//! | `layers.json` | list of [`Layer`] | `id`, `names`, `parent`, `created`, `flags` |
//! | `mountpoints.json` | list of (id, count) | `id`, `path`, `count` |
//! | `images.json` | list of [`Record`] | `id`, `names`, `layer`, `created` |
//! | `containers.json` | list of [`Record`] | `id`, `names`, `image`, `layer`, `created` |
//! | any other | any [`Value`] | the value as serde writes it |
//!
//! A record may have fields that we know nothing of. [`Records`] keeps them, as the Go program keeps them in its
//! structs, so that a record of the real program survives being written by ours.

use std::collections::HashMap;
use std::path::PathBuf;

use lockproof_model::op::Path;
use lockproof_model::protocol::{Layer, Layers, Record};
use lockproof_model::value::{Datum, Value};
use serde_json::{Map, Value as Json, json};

use crate::sys;

/// What a document contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Layers,
    Mounts,
    Images,
    Containers,
    Plain,
}

impl Kind {
    fn of(path: &Path) -> Self {
        match path.file_name() {
            "layers.json" => Kind::Layers,
            "mountpoints.json" => Kind::Mounts,
            "images.json" => Kind::Images,
            "containers.json" => Kind::Containers,
            _ => Kind::Plain,
        }
    }
}

/// The records of each document by id, with all their fields, as they were last read or written.
#[derive(Debug, Default)]
pub struct Records {
    /// Where mounted layers are: in the vfs driver's directory below it.
    graph_root: PathBuf,
    seen: HashMap<(Path, String), Map<String, Json>>,
}

impl Records {
    /// No record was seen yet, of the store below `graph_root`.
    #[must_use]
    pub fn below(graph_root: PathBuf) -> Self {
        Self { graph_root, ..Self::default() }
    }

    /// The value of a document's text.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn decode(&mut self, path: &Path, text: &[u8]) -> Result<Value, String> {
        let kind = Kind::of(path);
        let json: Json = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if kind == Kind::Plain {
            return serde_json::from_value(json).map_err(|error| error.to_string());
        }
        let records = match json {
            Json::Null => Vec::new(),
            Json::Array(records) => records,
            _ => return Err("it is no list of records".into()),
        };
        let mut items = Vec::with_capacity(records.len());
        for record in records {
            let Json::Object(record) = record else {
                return Err("one of its items is no record".into());
            };
            let id = text_of(&record, "id").ok_or("one of its records has no id")?;
            items.push(match kind {
                Kind::Layers => layer_of(&id, &record)?.to_value(),
                Kind::Mounts => {
                    let count = record.get("count").and_then(Json::as_u64).unwrap_or(0);
                    (id.clone(), u32::try_from(count).map_err(|error| format!("count of {id}: {error}"))?).to_value()
                }
                Kind::Images | Kind::Containers => record_of(&id, &record)?.to_value(),
                Kind::Plain => Value::Text(id.clone()),
            });
            self.seen.insert((path.clone(), id), record);
        }
        Ok(Value::List(items))
    }

    /// The text of a document that holds `value`. Records that were seen before keep the fields that are not ours.
    ///
    /// # Errors
    /// If the value is not what this document holds.
    pub fn encode(&mut self, path: &Path, value: &Value) -> Result<Vec<u8>, String> {
        let unfit = || format!("{value:?} is not what {} holds", path.file_name());
        let records: Vec<(String, Map<String, Json>)> = match Kind::of(path) {
            Kind::Plain => return serde_json::to_vec(value).map_err(|error| error.to_string()),
            Kind::Layers => Layers::from_value(value)
                .ok_or_else(unfit)?
                .into_iter()
                .map(|layer| (layer.id.clone(), self.layer_record(path, &layer)))
                .collect(),
            Kind::Mounts => Vec::<(String, u32)>::from_value(value)
                .ok_or_else(unfit)?
                .into_iter()
                .map(|(id, count)| {
                    let mut record = self.record(path, &id);
                    // Go takes no notice of a mount without a path.
                    record.entry("path").or_insert_with(|| json!(self.graph_root.join("vfs/dir").join(&id)));
                    record.insert("count".into(), json!(count));
                    (id, record)
                })
                .collect(),
            kind => Vec::<Record>::from_value(value)
                .ok_or_else(unfit)?
                .into_iter()
                .map(|record| (record.id.clone(), self.image_or_container(path, kind, &record)))
                .collect(),
        };
        for (id, record) in &records {
            self.seen.insert((path.clone(), id.clone()), record.clone());
        }
        let records: Vec<Map<String, Json>> = records.into_iter().map(|(_, record)| record).collect();
        serde_json::to_vec(&records).map_err(|error| error.to_string())
    }

    /// The record of `id` as it was last seen, or a new one.
    fn record(&self, path: &Path, id: &str) -> Map<String, Json> {
        let seen = self.seen.get(&(path.clone(), id.to_owned())).cloned();
        seen.unwrap_or_else(|| Map::from_iter([("id".to_owned(), json!(id))]))
    }

    fn image_or_container(&self, path: &Path, kind: Kind, ours: &Record) -> Map<String, Json> {
        let mut record = self.record(path, &ours.id);
        set_or_remove(&mut record, "names", !ours.names.is_empty(), || json!(ours.names));
        set_or_remove(&mut record, "layer", kind == Kind::Containers || !ours.layer.is_empty(), || json!(ours.layer));
        if kind == Kind::Containers {
            record.insert("image".into(), json!(ours.image));
        }
        record.entry("created").or_insert_with(|| json!(rfc_3339(sys::now_ns())));
        record
    }

    fn layer_record(&self, path: &Path, layer: &Layer) -> Map<String, Json> {
        let mut record = self.record(path, &layer.id);
        set_or_remove(&mut record, "names", !layer.names.is_empty(), || json!(layer.names));
        set_or_remove(&mut record, "parent", !layer.parent.is_empty(), || json!(layer.parent));
        record.entry("created").or_insert_with(|| json!(rfc_3339(sys::now_ns())));
        let mut flags = record.get("flags").and_then(Json::as_object).cloned().unwrap_or_default();
        set_or_remove(&mut flags, "incomplete", layer.incomplete, || json!(true));
        set_or_remove(&mut record, "flags", !flags.is_empty(), || Json::Object(flags.clone()));
        record
    }
}

/// A field that Go leaves out when it is empty (`omitempty`).
fn set_or_remove(record: &mut Map<String, Json>, field: &str, present: bool, value: impl FnOnce() -> Json) {
    if present {
        record.insert(field.into(), value());
    } else {
        record.remove(field);
    }
}

fn text_of(record: &Map<String, Json>, field: &str) -> Option<String> {
    record.get(field).and_then(Json::as_str).map(str::to_owned)
}

fn names_of(id: &str, record: &Map<String, Json>) -> Result<Vec<String>, String> {
    match record.get("names") {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(names) => serde_json::from_value(names.clone()).map_err(|error| format!("names of {id}: {error}")),
    }
}

fn record_of(id: &str, record: &Map<String, Json>) -> Result<Record, String> {
    let text = |field| text_of(record, field).unwrap_or_default();
    Ok(Record { id: id.into(), names: names_of(id, record)?, layer: text("layer"), image: text("image") })
}

fn layer_of(id: &str, record: &Map<String, Json>) -> Result<Layer, String> {
    let names = names_of(id, record)?;
    let incomplete = record.get("flags").and_then(|flags| flags.get("incomplete")).is_some_and(|flag| flag == true);
    Ok(Layer { id: id.into(), names, parent: text_of(record, "parent").unwrap_or_default(), incomplete })
}

/// The ids of a `layers.json`; empty if `value` is none.
#[must_use]
pub fn layer_ids(value: &Value) -> Vec<String> {
    Layers::from_value(value).unwrap_or_default().into_iter().map(|layer| layer.id).collect()
}

/// A time as Go's `time.Time` is written in JSON (RFC 3339, in UTC), of nanoseconds since the epoch.
fn rfc_3339(ns: u64) -> String {
    let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a date, with years that begin in March: H. Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}.{rest:09}Z", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Path {
        Path::new("root/vfs-layers/layers.json")
    }

    #[test]
    fn a_record_of_the_real_program_keeps_every_field() {
        let text = br#"[{"id":"a","names":["n"],"mountlabel":"l","created":"2020-01-01T00:00:00Z","diff-size":12,
            "flags":{"incomplete":true,"other":1},"uidset":[0,5]}]"#;
        let mut records = Records::default();
        let value = records.decode(&layers(), text).unwrap();
        let mut decoded = Layers::from_value(&value).unwrap();
        assert!(decoded[0].incomplete);
        decoded[0].incomplete = false;
        decoded[0].names = Vec::new();
        decoded.push(Layer { id: "b".into(), parent: "a".into(), ..Layer::default() });
        let written: Json = serde_json::from_slice(&records.encode(&layers(), &decoded.to_value()).unwrap()).unwrap();
        assert_eq!(
            written[0],
            json!({"id":"a","mountlabel":"l","created":"2020-01-01T00:00:00Z","diff-size":12,"flags":{"other":1},
                "uidset":[0,5]})
        );
        assert_eq!((&written[1]["id"], &written[1]["parent"]), (&json!("b"), &json!("a")));
    }

    fn record(id: &str, image: &str) -> Record {
        Record { id: id.into(), names: vec!["n".into()], layer: "top".into(), image: image.into() }
    }

    #[test]
    fn an_image_has_no_field_of_a_container() {
        let path = Path::new("root/vfs-images/images.json");
        let text = Records::default().encode(&path, &vec![record("i", "")].to_value()).unwrap();
        let mut written: Json = serde_json::from_slice(&text).unwrap();
        assert!(written[0]["created"].take().is_string());
        assert_eq!(written, json!([{"id":"i","names":["n"],"layer":"top","created":null}]));
    }

    #[test]
    fn every_kind_of_document_is_read_as_it_was_written() {
        for (path, value) in [
            ("root/vfs-layers/layers.json", vec![Layer { id: "a".into(), ..Layer::default() }].to_value()),
            ("run/vfs-layers/mountpoints.json", vec![("a".to_owned(), 2_u32)].to_value()),
            ("root/vfs-images/images.json", vec![record("i", "")].to_value()),
            ("root/vfs-containers/containers.json", vec![record("c", "i")].to_value()),
            ("root/other.json", Value::List(vec![Value::Int(1), Value::Nil])),
        ] {
            let (path, mut records) = (Path::new(path), Records::default());
            let text = records.encode(&path, &value).unwrap();
            assert_eq!(records.decode(&path, &text), Ok(value), "{path}");
        }
        assert!(Records::default().decode(&layers(), b"[{").is_err());
        assert!(Records::default().encode(&layers(), &Value::Int(3)).is_err());
    }

    #[test]
    fn dates_are_right() {
        assert_eq!(rfc_3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc_3339(1_582_934_400_000_000_001), "2020-02-29T00:00:00.000000001Z");
        assert_eq!(rfc_3339(1_767_225_599_999_999_999), "2025-12-31T23:59:59.999999999Z");
    }
}
