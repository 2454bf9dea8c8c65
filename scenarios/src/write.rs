//! A scenario as the text of a file: what [`parse`](crate::parse) reads, the other way round.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lockproof_model::call::Call;
use lockproof_model::property::Property;
use lockproof_model::protocol::{Layer, Record};
use lockproof_model::system::{Repeat, Thread};

use crate::calls;
use crate::scenario::{Expectation, Kind, Program, Scenario};
use crate::store::Additional;

pub(crate) fn scenario(scenario: &Scenario) -> String {
    // No field is left out in silence: one that is new has to be written here.
    let Scenario {
        name,
        title,
        cites,
        about,
        properties,
        protocols,
        crashes,
        fine_times,
        layers,
        images,
        containers,
        mounts,
        additional,
        aliases,
        kinds,
        expectations,
        origin: _,
        text: _,
    } = scenario;
    let mut text = String::new();
    line(&mut text, "name", &quoted(name));
    line(&mut text, "title", &quoted(title));
    if !cites.is_empty() {
        line(&mut text, "cites", &list(cites));
    }
    if !about.is_empty() {
        line(&mut text, "about", &quoted(about));
    }
    line(&mut text, "properties", &list(properties.iter().map(|property| property.name())));
    if let Some(protocols) = protocols {
        line(&mut text, "protocols", &list(protocols));
    }
    if *crashes > 0 {
        line(&mut text, "crashes", &crashes.to_string());
    }
    if *fine_times {
        line(&mut text, "fine_times", "true");
    }
    // A container's layer comes with it.
    let own = |layer: &&Layer| containers.iter().any(|container| container.layer == layer.id);
    let stored = [
        ("layers", layers.iter().filter(|layer| !own(layer)).map(self::layer).collect::<Vec<_>>()),
        ("images", images.iter().map(|image| record(image, "layer", &image.layer)).collect()),
        ("containers", containers.iter().map(|container| record(container, "image", &container.image)).collect()),
        ("mounts", mounts.iter().map(mount).collect()),
        ("additional", additional.iter().map(self::additional).collect()),
    ];
    if stored.iter().any(|(_, items)| !items.is_empty()) {
        text.push_str("\n[store]\n");
    }
    for (key, items) in stored.iter().filter(|(_, items)| !items.is_empty()) {
        line(&mut text, key, &format!("[{}]", items.join(", ")));
    }
    for (path, target) in aliases {
        line(&mut text, "\n[[alias]]\npath", &quoted(&path.0));
        line(&mut text, "target", &quoted(&target.0));
    }
    for one in kinds {
        kind(&mut text, one);
    }
    expected(&mut text, expectations);
    text
}

fn line(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {value}");
}

/// A string of TOML; one that has several lines stands on several.
fn quoted(text: &str) -> String {
    let lines = text.contains('\n');
    let mut quoted = String::from(if lines { "\"\"\"\n" } else { "\"" });
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' if lines => quoted.push('\n'),
            // TOML allows no other control character than a tab as it is.
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push_str(if lines { "\"\"\"" } else { "\"" });
    quoted
}

fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

fn layer(layer: &Layer) -> String {
    let Layer { id, names, parent, incomplete } = layer;
    let mut keys = vec![format!("id = {}", quoted(id))];
    keys.extend((!names.is_empty()).then(|| format!("names = {}", list(names))));
    keys.extend((!parent.is_empty()).then(|| format!("parent = {}", quoted(parent))));
    keys.extend(incomplete.then(|| "incomplete = true".to_owned()));
    format!("{{ {} }}", keys.join(", "))
}

fn record(record: &Record, key: &str, on: &str) -> String {
    let mut keys = vec![format!("id = {}", quoted(&record.id))];
    keys.extend((!record.names.is_empty()).then(|| format!("names = {}", list(&record.names))));
    keys.extend((!on.is_empty()).then(|| format!("{key} = {}", quoted(on))));
    format!("{{ {} }}", keys.join(", "))
}

fn additional(store: &Additional) -> String {
    let Additional { layers, images } = store;
    let layers: Vec<String> = layers.iter().map(layer).collect();
    let images: Vec<String> = images.iter().map(|image| record(image, "layer", &image.layer)).collect();
    let keys = [("layers", layers), ("images", images)];
    let keys = keys.iter().filter(|(_, items)| !items.is_empty());
    let keys: Vec<String> = keys.map(|(key, items)| format!("{key} = [{}]", items.join(", "))).collect();
    format!("{{ {} }}", keys.join(", "))
}

fn mount((layer, count): &(String, u32)) -> String {
    format!("{{ layer = {}, count = {count} }}", quoted(layer))
}

fn kind(text: &mut String, kind: &Kind) {
    let Kind { name, program, count, runs, protocol, may_crash, additional, before, threads } = kind;
    line(text, "\n[[process]]\nname", &quoted(name));
    if *program != Program::Reference {
        line(text, "kind", &quoted(program.name()));
    }
    if *count != 1 {
        line(text, "count", &count.to_string());
    }
    repeat(text, "runs", *runs);
    if let Some(protocol) = protocol {
        line(text, "protocol", &quoted(protocol.name));
    }
    if *additional > 0 {
        line(text, "additional", &additional.to_string());
    }
    if *may_crash {
        line(text, "crash", "true");
    }
    // What stands there if nothing is written: the store is opened if anything but the lock library is called.
    let needs_store = threads.iter().flat_map(|thread| &thread.script).any(|call| !call.is_on_lockfile());
    if *before != [Call::Open] || !needs_store {
        line(text, "before", &list(before.iter().map(calls::write)));
    }
    for Thread { script, repeat: times } in threads {
        line(text, "[[process.thread]]\ncalls", &list(script.iter().map(calls::write)));
        repeat(text, "repeat", *times);
    }
}

fn repeat(text: &mut String, key: &str, repeat: Repeat) {
    match repeat {
        Repeat::Times(1) => {}
        Repeat::Times(times) => line(text, key, &times.to_string()),
        Repeat::Forever => line(text, key, "\"forever\""),
    }
}

fn expected(text: &mut String, expectations: &[Expectation]) {
    let mut verdicts: BTreeMap<Property, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for Expectation { protocol, property, verdict } in expectations {
        verdicts.entry(*property).or_default().entry(verdict).or_default().push(protocol);
    }
    if !verdicts.is_empty() {
        text.push_str("\n[expect]\n");
    }
    for (property, verdicts) in verdicts {
        let of: Vec<String> =
            verdicts.iter().map(|(verdict, protocols)| format!("{verdict} = {}", list(protocols))).collect();
        line(text, property.name(), &format!("{{ {} }}", of.join(", ")));
    }
}
