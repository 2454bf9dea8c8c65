//! The calls of `storage.Store` as atomic sections (store.go of v1.43.0), as the driver makes them.

use super::command::{self, Command, one};
use super::section::{self, Fails, OfLayer, Section, find, find_one, names_of};
use crate::hunt::daemon::script::Call;

impl Command {
    /// The sections of a call; `None` if it is not modelled. `mounts` says whether mounts are: each run root counts its own.
    pub(super) fn of_call(call: &Call, mounts: bool) -> Option<Command> {
        let mut args = call.args.iter().cloned();
        let what = args.next().unwrap_or_default();
        let second = args.next().filter(|arg| !arg.is_empty());
        let names: Vec<String> = args.collect();
        let mut prints = true;
        let sections = match call.call.as_str() {
            "layers" => one(|store, memory| {
                memory.lines.extend(store.layers.keys().cloned());
                Ok(())
            }),
            "images" => one(|store, memory| {
                memory.lines.extend(store.images.keys().cloned());
                Ok(())
            }),
            "containers" => one(|store, memory| {
                memory.lines.extend(store.containers.keys().cloned());
                Ok(())
            }),
            "names" => find(&what, |store, memory, kind, id| memory.lines = names_of(store, kind, id)),
            "lookup" => find(&what, |_, memory, _, id| memory.lines.push(id.to_owned())),
            "exists" => {
                let mut sections = find(&what, |_, _, _, _| {});
                // What is not there is no error.
                let last = sections.pop()?;
                sections.push(Box::new(move |store, memory| {
                    let found = last(store, memory).is_ok();
                    memory.lines.push(found.to_string());
                    Ok(())
                }));
                sections
            }
            "put-layer" | "create-layer" => put_layer(what, second, names),
            "pull-layer" => {
                put_layer(what, call.args.get(1).filter(|parent| !parent.is_empty()).cloned(), names.get(1..)?.into())
            }
            "create-image" => {
                let layer = second?;
                let put: Section = Box::new(move |store, memory| {
                    memory.lines.push(what.clone());
                    let layer = memory.found.as_ref().map(|(_, layer)| layer.clone());
                    section::put_image(store, &what, &names, layer, "")
                });
                vec![find_one(OfLayer, &layer, |_, _, _| Ok(())), put]
            }
            "create-container" => {
                let image = second?;
                one(move |store, memory| {
                    memory.lines.push(what.clone());
                    section::put_container(store, &what, &names, &image, "")
                })
            }
            "set-names" => {
                prints = false;
                let names: Vec<String> = call.args.get(1..)?.into();
                find(&what, move |store, _, kind, id| section::set_names(store, kind, id, &names))
            }
            "delete-layer" => {
                prints = false;
                one(move |store, _| section::delete_layer(store, &what))
            }
            "delete-image" => {
                prints = false;
                one(move |store, _| section::delete_image(store, &what, true))
            }
            "delete-container" => {
                prints = false;
                one(move |store, _| section::delete_container(store, &what))
            }
            "diff" => {
                prints = false;
                vec![find_one(OfLayer, &what, |_, _, _| Ok(()))]
            }
            "open" | "close-diff" | "status" => {
                prints = false;
                Vec::new()
            }
            "mount" if mounts => {
                prints = false;
                command::mount(&what).into()
            }
            "unmount" if mounts => {
                prints = false;
                command::unmount(&what).into()
            }
            "shutdown" if mounts => {
                prints = false;
                one(|store, _| if store.layers.values().any(|layer| layer.mounts > 0) { Err(Fails) } else { Ok(()) })
            }
            _ => return None,
        };
        Some(Command { sections, prints })
    }
}

fn put_layer(id: String, parent: Option<String>, names: Vec<String>) -> Vec<Section> {
    one(move |store, memory| {
        memory.lines.push(id.clone());
        section::put_layer(store, &id, &names, parent.as_deref())
    })
}
