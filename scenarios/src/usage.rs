//! Whether the calls of a scenario make sense together: layers that nobody ever makes, diffs that nobody opened, kills of
//! nobody.

use std::collections::BTreeSet;
use std::ops::Range;

use lockproof_model::call::Call;
use lockproof_model::protocol::Layer;
use lockproof_model::system::Repeat;

use crate::decode::{Mistakes, Placed};
use crate::file::{Draft, PlacedCall};

pub(crate) fn check(
    layers: &[Placed<Layer>],
    drafts: &[Draft],
    crashes: Option<&Placed<u32>>,
    file: &Range<usize>,
    mistakes: &mut Mistakes,
) {
    let known = Known::of(layers, drafts);
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

/// What layers there may be at some time, by id and by name.
struct Known<'a> {
    ids: BTreeSet<&'a str>,
    names: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn of(layers: &'a [Placed<Layer>], drafts: &'a [Draft]) -> Self {
        let mut known = Self { ids: BTreeSet::new(), names: BTreeSet::new() };
        for Placed { value: layer, .. } in layers {
            known.ids.insert(&layer.id);
            known.names.extend(layer.names.iter().map(String::as_str));
        }
        for draft in drafts {
            let scripts = draft.scripts.iter().flat_map(|(script, _)| script);
            for call in draft.before.iter().chain(scripts) {
                match &call.value {
                    Call::PutLayer { id, names, .. } => {
                        known.ids.insert(id);
                        known.names.extend(names.iter().map(String::as_str));
                    }
                    Call::SetNames { names, .. } => known.names.extend(names.iter().map(String::as_str)),
                    _ => {}
                }
            }
        }
        known
    }

    fn check(&self, call: &PlacedCall, mistakes: &mut Mistakes) {
        let (ids, names) = (self.ids.iter().copied(), self.names.iter().copied());
        let is_named = |id: &str| self.ids.contains(id) || self.names.contains(id);
        match &call.value {
            Call::Names { id } | Call::Exists { id } | Call::DeleteLayer { id } | Call::SetNames { id, .. }
                if !is_named(id) =>
            {
                mistakes.unknown(&call.span, "layer", id, ids.chain(names));
            }
            Call::Lookup { name } if !is_named(name) => mistakes.unknown(&call.span, "name", name, names),
            Call::Diff { id } | Call::CloseDiff { id } | Call::PutLayer { parent: Some(id), .. }
                if !self.ids.contains(id.as_str()) =>
            {
                mistakes.unknown(&call.span, "layer", id, ids);
            }
            _ => {}
        }
    }
}

/// `GetStore` comes first: without it there is no store to call.
fn opened(draft: &Draft, mistakes: &mut Mistakes) {
    let firsts: Vec<&PlacedCall> = match draft.before.first() {
        Some(first) => vec![first],
        None => draft.scripts.iter().filter_map(|(script, _)| script.first()).collect(),
    };
    for first in firsts.into_iter().filter(|first| first.value != Call::Open) {
        let message = format!("`{}` comes before `open`", first.value.name());
        let help = "a process opens the store first; without a `before` of its own it does so by itself".to_owned();
        mistakes.add(&first.span, message, "the store is not open yet", help);
    }
}

/// Each `close-diff` closes a diff that its thread, or `before`, has opened; none is opened twice.
fn diffs(draft: &Draft, mistakes: &mut Mistakes) {
    let mut open_before: Vec<&str> = Vec::new();
    walk_diffs(&draft.before, &mut open_before, mistakes);
    for ((script, span), thread) in draft.scripts.iter().zip(&draft.kind.threads) {
        let mut open = open_before.clone();
        walk_diffs(script, &mut open, mistakes);
        if let Some(id) = open.iter().find(|id| !open_before.contains(id))
            && thread.repeat != Repeat::Times(1)
        {
            let message = format!("`diff {id}` is still open when the thread repeats its calls");
            let help = format!("close it with `close-diff {id}`");
            mistakes.add(span, message, "in this thread", help);
        }
    }
}

fn walk_diffs<'a>(script: &'a [PlacedCall], open: &mut Vec<&'a str>, mistakes: &mut Mistakes) {
    for call in script {
        match &call.value {
            Call::Diff { id } if open.contains(&id.as_str()) => {
                let help = format!("close it first with `close-diff {id}`");
                mistakes.add(&call.span, format!("`diff {id}` is open already"), "opened again", help);
            }
            Call::Diff { id } => open.push(id),
            Call::CloseDiff { id } => match open.iter().position(|other| other == id) {
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
