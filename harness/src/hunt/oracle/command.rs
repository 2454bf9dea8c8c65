//! The commands of `containers-storage` as atomic sections (cmd/containers-storage/*.go of v1.43.0, unless it says otherwise).
//!
//! What takes all its locks before it gives one back is one section; what gives a lock back and takes another is several, by
//! design. Where releases differ, the larger number counts: it allows more.

use super::section::{
    self, Fails, Kind, Memory, OfContainer, OfImage, OfLayer, Section, again, data_of, find, find_one, lookup,
    metadata_of, names_of,
};
use super::store::Store;

/// A command, as its sections.
pub(super) struct Command {
    pub(super) sections: Vec<Section>,
    /// Whether what it prints is known.
    pub(super) prints: bool,
}

/// The words of a command: options with an argument, others, and what is left.
struct Words<'a> {
    id: Option<&'a str>,
    names: Vec<String>,
    metadata: &'a str,
    flags: Vec<&'a str>,
    rest: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn of(words: &'a [String]) -> Option<Self> {
        let mut parsed = Words { id: None, names: Vec::new(), metadata: "", flags: Vec::new(), rest: Vec::new() };
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "-i" => parsed.id = Some(words.next()?),
                "-n" => parsed.names.push(words.next()?.to_owned()),
                "-m" => parsed.metadata = words.next()?,
                "-f" => parsed.flags.push(words.next()?),
                "-r" | "-t" | "-u" | "--force" => parsed.flags.push(word),
                option if option.starts_with('-') => return None,
                other => parsed.rest.push(other),
            }
        }
        Some(parsed)
    }
}

fn nothing(_: &mut Store, _: &mut Memory, _: Kind, _: &str) {}

pub(super) fn one(
    section: impl Fn(&mut Store, &mut Memory) -> section::Result + Send + Sync + 'static,
) -> Vec<Section> {
    vec![Box::new(section)]
}

/// Looks names up, and remembers them (`Names` of store.go).
fn names(what: &str) -> Vec<Section> {
    again(find(what, |store, memory, kind, id| memory.names = names_of(store, kind, id)))
}

/// Prints an id and names, as the commands that create something do.
fn created(memory: &mut Memory, id: &str, names: &[String]) {
    memory.lines.push(id.to_owned());
    memory.lines.extend(names.iter().map(|name| format!("\t{name}")));
}

impl Command {
    /// The sections of a command; `None` if it is not modelled. `adds_at_once` says whether `add-names` is one section
    /// (since v1.46.0, 0f2bccfa5 and before) or reads the names, and then sets them.
    pub(super) fn of(words: &[String], adds_at_once: bool) -> Option<Command> {
        let (verb, words) = words.split_first()?;
        let words = Words::of(words)?;
        let first = words.rest.first().map(|word| (*word).to_owned());
        let what = first.clone().unwrap_or_default();
        let mut prints = false;
        let sections = match (verb.as_str(), words.rest.len()) {
            ("create-layer" | "import-layer", 0 | 1) => {
                prints = true;
                let (id, names) = (words.id?.to_owned(), words.names);
                one(move |store, memory| {
                    created(memory, &id, &names);
                    section::put_layer(store, &id, &names, first.as_deref())
                })
            }
            ("create-image", 0 | 1) => {
                prints = true;
                let (id, names, metadata) = (words.id?.to_owned(), words.names, words.metadata.to_owned());
                let find = first.map(|layer| find_one(OfLayer, &layer, |_, _, _| Ok(())));
                let put: Section = Box::new(move |store, memory| {
                    created(memory, &id, &names);
                    let layer = memory.found.as_ref().map(|(_, layer)| layer.clone());
                    section::put_image(store, &id, &names, layer, &metadata)
                });
                find.into_iter().chain([put]).collect()
            }
            ("create-container", 1) => {
                prints = true;
                let (id, names, metadata) = (words.id?.to_owned(), words.names, words.metadata.to_owned());
                one(move |store, memory| {
                    created(memory, &id, &names);
                    section::put_container(store, &id, &names, &what, &metadata)
                })
            }
            ("delete-layer", 1) => one(move |store, _| section::delete_layer(store, &what)),
            ("delete-image", 1) => {
                let commit = !words.flags.contains(&"-t");
                one(move |store, _| section::delete_image(store, &what, commit))
            }
            ("delete-container", 1) => one(move |store, _| section::delete_container(store, &what)),
            ("delete", 1) => one(move |store, _| section::delete(store, &what)),
            ("wipe", 0) => one(|store, _| {
                *store = Store::default();
                Ok(())
            }),
            ("get-names", 1) => {
                prints = true;
                let mut sections = find(&what, nothing);
                sections.extend(names(&what));
                sections.extend(one(|_, memory| {
                    memory.lines.clone_from(&memory.names);
                    Ok(())
                }));
                sections
            }
            (verb @ ("add-names" | "set-names" | "remove-names"), 1) => {
                prints = true;
                renamed(verb, &what, words.names, adds_at_once)
            }
            ("metadata", 1) => {
                prints = true;
                let shown = what.clone();
                find(&what, move |store, memory, kind, id| {
                    memory.lines.push(format!("{shown}: {}", metadata_of(store, kind, id)));
                })
            }
            ("set-metadata", 1) => {
                let metadata = words.metadata.to_owned();
                find(&what, move |store, _, kind, id| section::set_metadata(store, kind, id, &metadata))
            }
            ("exists", 1) => {
                prints = true;
                let mut sections = find(&what, nothing);
                // It says so, too, if there is none.
                let (last, shown) = (sections.pop()?, what.clone());
                sections.push(Box::new(move |store, memory| {
                    let found = last(store, memory);
                    memory.lines.push(format!("{shown}: {}", found.is_ok()));
                    found
                }));
                sections
            }
            ("layer", 1) => vec![find_one(OfLayer, &what, |_, _, _| Ok(()))],
            ("image", 1) => vec![find_one(OfImage, &what, |_, _, _| Ok(()))],
            ("container", 1) => vec![find_one(OfContainer, &what, |_, _, _| Ok(()))],
            ("layers", 0) => {
                prints = true;
                listed_layers()
            }
            ("images", 0) => {
                prints = true;
                one(|store, memory| {
                    for (id, image) in &store.images {
                        memory.lines.push(id.clone());
                        memory.lines.extend(image.names.iter().map(|name| format!("\tname: {name}")));
                        memory.lines.extend(image.data.iter().map(|key| format!("\tdata: {key}")));
                    }
                    Ok(())
                })
            }
            ("containers", 0) => {
                prints = true;
                one(|store, memory| {
                    for (id, container) in &store.containers {
                        memory.lines.push(id.clone());
                        memory.lines.extend(container.names.iter().map(|name| format!("\tname: {name}")));
                        memory.lines.extend(container.data.iter().map(|key| format!("\tdata: {key}")));
                    }
                    Ok(())
                })
            }
            (verb, 1 | 2) if of_data(verb).is_some() => {
                let (act, kind) = of_data(verb)?;
                prints = act == "list";
                data(act, kind, &what, words.rest.get(1).copied())?
            }
            ("mount", 1) if !words.flags.contains(&"-r") => mount(&what).into(),
            ("unmount", 1) => unmount(&what).into(),
            ("mounted", 1) => {
                prints = true;
                let shown = what.clone();
                let count: Section = Box::new(move |store, memory| {
                    let id = memory.found.as_ref().map(|(_, id)| id.clone()).unwrap_or_default();
                    let layer = lookup(store, OfLayer, &id).ok_or(Fails)?;
                    if store.layers[&layer].mounts > 0 {
                        memory.lines.push(format!("{shown} mounted"));
                    }
                    Ok(())
                });
                vec![container_layer(&what), count]
            }
            ("shutdown", 0) => {
                let by_force = words.flags.contains(&"--force");
                one(move |store, _| {
                    if by_force {
                        section::unmount_all(store);
                    }
                    if store.layers.values().any(|layer| layer.mounts > 0) { Err(Fails) } else { Ok(()) }
                })
            }
            ("diff" | "changes" | "diffsize" | "applydiff", 1) => vec![find_one(OfLayer, &what, |_, _, _| Ok(()))],
            ("status" | "version" | "config", 0) => Vec::new(),
            // Both look at layers, images and containers, and shut the store down by force at the end.
            ("check" | "gc", 0) => one(|store, memory| {
                memory.any_status = true;
                section::unmount_all(store);
                Ok(())
            }),
            _ => return None,
        };
        Some(Command { sections, prints })
    }
}

/// `add-names` and its like: they look up, change, and look up again.
fn renamed(verb: &str, what: &str, new: Vec<String>, adds_at_once: bool) -> Vec<Section> {
    let mut sections = find(what, nothing);
    let reads = verb == "add-names" && !adds_at_once;
    if reads {
        sections.extend(names(what));
    }
    let verb = verb.to_owned();
    sections.extend(again(find(what, move |store, memory, kind, id| {
        let mut names = match verb.as_str() {
            "set-names" => Vec::new(),
            _ if reads => memory.names.clone(),
            _ => names_of(store, kind, id),
        };
        if verb == "remove-names" {
            names.retain(|name| !new.contains(name));
        } else {
            names.extend(new.iter().cloned());
        }
        section::set_names(store, kind, id, &names);
    })));
    sections.extend(names(what));
    sections
}

/// `Layers`, `Images` and `Containers` of store.go, each a section: the list is of no one moment.
fn listed_layers() -> Vec<Section> {
    let layers: Section = Box::new(|store, memory| {
        let all = store.layers.iter().map(|(id, layer)| (id.clone(), layer.names.iter().cloned().collect()));
        memory.layers = all.collect();
        Ok(())
    });
    let images: Section = Box::new(|store, memory| {
        let all = store.images.iter();
        memory.images =
            all.map(|(id, image)| (id.clone(), image.layer.clone(), image.names.iter().cloned().collect())).collect();
        Ok(())
    });
    let containers: Section = Box::new(|store, memory| {
        let (layers, images) = (std::mem::take(&mut memory.layers), std::mem::take(&mut memory.images));
        for (layer, names) in layers {
            memory.lines.extend(names.iter().map(|name| format!("\tname: {name}")));
            for (image, _, names) in images.iter().filter(|(_, top, _)| top.as_ref() == Some(&layer)) {
                memory.lines.push(format!("\timage: {image}"));
                memory.lines.extend(names.iter().map(|name| format!("\t\tname: {name}")));
            }
            for (id, container) in store.containers.iter().filter(|(_, container)| container.layer == layer) {
                memory.lines.push(format!("\tcontainer: {id}"));
                memory.lines.extend(container.names.iter().map(|name| format!("\t\tname: {name}")));
            }
            memory.lines.push(layer);
        }
        Ok(())
    });
    vec![layers, images, containers]
}

/// `list-image-data` and its like: what it does, of what.
fn of_data(verb: &str) -> Option<(&str, Kind)> {
    let (act, rest) = verb.split_once('-')?;
    let kind = match rest {
        "layer-data" => OfLayer,
        "image-data" | "image-data-size" | "image-data-digest" => OfImage,
        "container-data" | "container-data-size" | "container-data-digest" => OfContainer,
        _ => return None,
    };
    ["list", "get", "set"].contains(&act).then_some((act, kind))
}

fn data(act: &str, kind: Kind, what: &str, key: Option<&str>) -> Option<Vec<Section>> {
    let found = find_one(kind, what, |_, _, _| Ok(()));
    let id = |memory: &Memory| memory.found.as_ref().map(|(_, id)| id.clone()).unwrap_or_default();
    let then: Section = match (act, key.map(str::to_owned)) {
        ("list", None) => Box::new(move |store, memory| {
            let id = lookup(store, kind, &id(memory)).ok_or(Fails)?;
            memory.lines = data_of(store, kind, &id);
            Ok(())
        }),
        ("get", Some(key)) => {
            Box::new(
                move |store, memory| {
                    if data_of(store, kind, &id(memory)).contains(&key) { Ok(()) } else { Err(Fails) }
                },
            )
        }
        ("set", Some(key)) => Box::new(move |store, memory| section::set_data(store, kind, &id(memory), &key)),
        _ => return None,
    };
    Some(vec![found, then])
}

/// Whether it is a container, whose layer is meant then (`Container` of store.go).
fn container_layer(what: &str) -> Section {
    let what = what.to_owned();
    Box::new(move |store, memory| {
        let layer = lookup(store, OfContainer, &what).map(|id| store.containers[&id].layer.clone());
        memory.found = Some((OfLayer, layer.unwrap_or_else(|| what.clone())));
        Ok(())
    })
}

pub(super) fn mount(what: &str) -> [Section; 2] {
    let mount = |store: &mut Store, memory: &mut Memory| {
        let what = memory.found.as_ref().map(|(_, id)| id.clone()).unwrap_or_default();
        let id = lookup(store, OfLayer, &what).ok_or(Fails)?;
        store.layers.entry(id).and_modify(|layer| layer.mounts += 1);
        Ok(())
    };
    [container_layer(what), Box::new(mount)]
}

pub(super) fn unmount(what: &str) -> [Section; 3] {
    let unmount = |store: &mut Store, memory: &mut Memory| {
        let what = memory.found.take().map(|(_, id)| id).unwrap_or_default();
        if let Some(layer) = lookup(store, OfLayer, &what).and_then(|id| store.layers.get_mut(&id)) {
            memory.found = Some((OfLayer, what));
            // Some releases refuse what is not mounted.
            memory.any_status = layer.mounts == 0;
            layer.mounts = layer.mounts.saturating_sub(1);
        }
        Ok(())
    };
    // What is neither may be an image (`UnmountImage` of store.go), whose layer is unmounted.
    let named = what.to_owned();
    let image = move |store: &mut Store, memory: &mut Memory| {
        if memory.found.is_some() {
            return Ok(());
        }
        let image = lookup(store, OfImage, &named).ok_or(Fails)?;
        let layer = store.images[&image].layer.clone().ok_or(Fails)?;
        let layer = store.layers.get_mut(&layer).ok_or(Fails)?;
        memory.any_status = layer.mounts == 0;
        layer.mounts = layer.mounts.saturating_sub(1);
        Ok(())
    };
    [container_layer(what), Box::new(unmount), Box::new(image)]
}
