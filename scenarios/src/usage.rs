//! Whether the calls of a scenario make sense together: layers and images that nobody ever makes, diffs that nobody opened, kills of
//! nobody.

use std::collections::BTreeSet;
use std::ops::Range;

use lockproof_model::call::{Call, StoreId};
use lockproof_model::protocol::record_store::layer_of_container;
use lockproof_model::system::Repeat;

use crate::decode::{Mistakes, Placed};
use crate::file::{Draft, PlacedCall};
use crate::store::Store;

pub(crate) fn check(
    store: &Store,
    drafts: &[Draft],
    crashes: Option<&Placed<u32>>,
    file: &Range<usize>,
    mistakes: &mut Mistakes,
) {
    let known = Known::of(store, drafts);
    for draft in drafts {
        let scripts = draft.scripts.iter().flat_map(|(script, _)| script);
        for call in draft.before.iter().chain(scripts) {
            known.check(call, mistakes);
        }
        opened(draft, mistakes);
        diffs(draft, mistakes);
    }
    kills(drafts, crashes, mistakes);
    if !drafts.is_empty() && drafts.iter().all(|draft| draft.kind.protocol.is_some()) {
        let help = "leave `protocol` out where the protocol under check is meant".to_owned();
        mistakes.add(file, "every process is pinned to a protocol, so none is left to check", "in this file", help);
    }
}

/// What there may be at some time, by id and by name.
#[derive(Default)]
struct Known<'a> {
    layers: Named<'a>,
    images: Named<'a>,
    containers: Named<'a>,
    /// The layers of containers.
    owned: BTreeSet<String>,
}

/// Ids and names of one kind of thing.
#[derive(Default)]
struct Named<'a> {
    ids: BTreeSet<&'a str>,
    names: BTreeSet<&'a str>,
}

impl<'a> Named<'a> {
    fn add(&mut self, id: &'a str, names: &'a [String]) {
        self.ids.insert(id);
        self.names.extend(names.iter().map(String::as_str));
    }

    fn all(&self) -> impl Iterator<Item = &'a str> {
        self.ids.iter().chain(&self.names).copied()
    }
}

impl<'a> Known<'a> {
    fn of(store: &'a Store, drafts: &'a [Draft]) -> Self {
        let mut known = Self::default();
        for layer in &store.layers {
            known.layers.add(&layer.id, &layer.names);
        }
        for image in &store.images {
            known.images.add(&image.id, &image.names);
        }
        for additional in &store.additional {
            for layer in &additional.layers {
                known.layers.add(&layer.id, &layer.names);
            }
            for image in &additional.images {
                known.images.add(&image.id, &image.names);
            }
        }
        for container in &store.containers {
            known.containers.add(&container.id, &container.names);
        }
        let scripts = |draft: &'a Draft| draft.scripts.iter().flat_map(|(script, _)| script);
        let calls = drafts.iter().flat_map(|draft| draft.before.iter().chain(scripts(draft)));
        for call in calls.clone() {
            match call.value.plain() {
                Call::PutLayer { id, names, .. } => known.layers.add(id, names),
                Call::CreateImage { id, names, .. } => known.images.add(id, names),
                Call::CreateContainer { id, names, .. } => known.containers.add(id, names),
                _ => {}
            }
        }
        for call in calls {
            if let Call::SetNames { id, names } = call.value.plain() {
                let kinds = [&mut known.layers, &mut known.images, &mut known.containers];
                for kind in kinds.into_iter().filter(|kind| kind.all().any(|known| known == id)) {
                    kind.names.extend(names.iter().map(String::as_str));
                }
            }
        }
        known.owned = known.containers.ids.iter().map(|id| layer_of_container(id)).collect();
        known
    }

    fn check(&self, call: &PlacedCall, mistakes: &mut Mistakes) {
        let (layers, images, containers) = (&self.layers, &self.images, &self.containers);
        let owned = self.owned.iter().map(String::as_str);
        let (kind, asked, known): (_, _, Vec<&str>) = match call.value.plain() {
            Call::Names { id } | Call::Exists { id } | Call::SetNames { id, .. } => {
                ("layer", id, layers.all().chain(images.all()).chain(containers.all()).chain(owned).collect())
            }
            Call::Mount { id } | Call::Unmount { id } | Call::Mounted { id } => {
                ("layer", id, layers.all().chain(containers.all()).chain(owned).collect())
            }
            Call::DeleteLayer { id } | Call::CreateImage { layer: Some(id), .. } => {
                ("layer", id, layers.all().chain(owned).collect())
            }
            Call::Lookup { name } => {
                let names = layers.names.iter().chain(&images.names).chain(&containers.names);
                ("name", name, names.copied().collect())
            }
            Call::Diff { id } | Call::CloseDiff { id } | Call::PutLayer { parent: Some(id), .. } => {
                ("layer", id, layers.ids.iter().copied().chain(owned).collect())
            }
            Call::DeleteImage { id } | Call::CreateContainer { image: Some(id), .. } => {
                ("image", id, images.all().collect())
            }
            Call::DeleteContainer { id } => ("container", id, containers.all().collect()),
            _ => return,
        };
        if !known.contains(&asked.as_str()) {
            mistakes.unknown(&call.span, kind, asked, known);
        }
    }
}

/// `GetStore` comes first: without it there is no store to call. The lock library alone needs none.
fn opened(draft: &Draft, mistakes: &mut Mistakes) {
    let mut open = BTreeSet::new();
    walk_opens(&draft.before, &mut open, mistakes);
    for (script, _) in &draft.scripts {
        walk_opens(script, &mut open.clone(), mistakes);
    }
}

fn walk_opens(script: &[PlacedCall], open: &mut BTreeSet<Option<StoreId>>, mistakes: &mut Mistakes) {
    for call in script {
        if call.value.is_on_lockfile() {
            continue;
        }
        let store = call.value.store();
        if !open.insert(store) || *call.value.plain() == Call::Open {
            continue;
        }
        let at = store.map(|store| store.to_string()).unwrap_or_default();
        let message = format!("`{at}{}` comes before `{at}open`", call.value.name());
        let help = if store.is_none() {
            "a process opens the store first; without a `before` of its own it does so by itself".to_owned()
        } else {
            format!("a process opens each Store object first, best in `before = [\"open\", \"{at}open\"]`")
        };
        mistakes.add(&call.span, message, "the store is not open yet", help);
    }
}

/// Each `close-diff` closes a diff that its thread, or `before`, has opened; none is opened twice.
fn diffs(draft: &Draft, mistakes: &mut Mistakes) {
    let mut open_before: Vec<(Option<StoreId>, &str)> = Vec::new();
    walk_diffs(&draft.before, &mut open_before, mistakes);
    for ((script, span), thread) in draft.scripts.iter().zip(&draft.kind.threads) {
        let mut open = open_before.clone();
        walk_diffs(script, &mut open, mistakes);
        if let Some((_, id)) = open.iter().find(|diff| !open_before.contains(diff))
            && thread.repeat != Repeat::Times(1)
        {
            let message = format!("`diff {id}` is still open when the thread repeats its calls");
            let help = format!("close it with `close-diff {id}`");
            mistakes.add(span, message, "in this thread", help);
        }
    }
}

fn walk_diffs<'a>(script: &'a [PlacedCall], open: &mut Vec<(Option<StoreId>, &'a str)>, mistakes: &mut Mistakes) {
    for call in script {
        let store = call.value.store();
        match call.value.plain() {
            Call::Diff { id } if open.contains(&(store, id.as_str())) => {
                let help = format!("close it first with `close-diff {id}`");
                mistakes.add(&call.span, format!("`diff {id}` is open already"), "opened again", help);
            }
            Call::Diff { id } => open.push((store, id)),
            Call::CloseDiff { id } => match open.iter().position(|other| *other == (store, id.as_str())) {
                Some(at) => {
                    open.remove(at);
                }
                None => {
                    let help = format!("`diff {id}` comes before it, in the same thread or in `before`");
                    mistakes.add(
                        &call.span,
                        format!("`close-diff {id}` without `diff {id}`"),
                        "nothing to close",
                        help,
                    );
                }
            },
            _ => {}
        }
    }
}

fn kills(drafts: &[Draft], crashes: Option<&Placed<u32>>, mistakes: &mut Mistakes) {
    let may = drafts.iter().find(|draft| draft.kind.may_crash);
    match (may, crashes.filter(|crashes| crashes.value > 0)) {
        (Some(draft), None) => {
            let help = "add `crashes = 1` at the top of the file".to_owned();
            mistakes.add(&draft.span, "`crash = true`, but there are no `crashes`", "it may never be killed", help);
        }
        (None, Some(crashes)) => {
            let help = "add `crash = true` to a process".to_owned();
            mistakes.add(&crashes.span, "there are `crashes`, but no process may be killed", "kills of nobody", help);
        }
        _ => {}
    }
}
