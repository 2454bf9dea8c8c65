//! What of a story can be left out: locks and documents that have no part in what goes wrong.
//!
//! Each call of containers/storage also locks and reads the store's other documents. Where nobody waits for one of those
//! locks and the document does not change, they are told only where everything is asked for. A call of which nothing
//! is left becomes one line.

use std::collections::BTreeSet;

use lockproof_model::op::Path;

use crate::story::{Item, Kind, Story};

/// Lock files that every call takes on its way.
const ON_THE_WAY: [&str; 3] = ["images.lock", "containers.lock", "mountpoints.lock"];
/// The lock of `graphLock`: it is on the way too, unless threads of one process share what it protects.
const GRAPH: &str = "storage.lock";

/// Leaves out what has no part; returns how many items that were.
pub(crate) fn fold(story: &mut Story) -> usize {
    let before = story.items.len() + story.cycle.len();
    let loud = loud(story);
    let shares_memory = story.shares_memory;
    let has_part = |item: &Item| {
        let Some(file) = item.file.as_ref().filter(|_| item.kind == Kind::Step && !item.wrong) else { return true };
        let on_the_way = ON_THE_WAY.contains(&file.file_name()) || file.file_name() == GRAPH && !shares_memory;
        !on_the_way || loud.contains(file)
    };
    let is_told = !story.cycle.is_empty();
    story.items.retain(has_part);
    let cycle: Vec<Item> = story.cycle.iter().filter(|item| has_part(item)).cloned().collect();
    if is_told && !cycle.is_empty() {
        story.cycle = cycle;
    }
    let after = story.items.len() + story.cycle.len();
    join(&mut story.items);
    join(&mut story.cycle);
    before - after
}

/// The files of which somebody is kept, those that are where it goes wrong, and those whose document changes.
fn loud(story: &Story) -> BTreeSet<Path> {
    let all = story.items.iter().chain(&story.cycle);
    let loud = all.filter(|item| item.kind == Kind::Waits || item.wrong || item.changes);
    loud.filter_map(|item| item.file.clone()).chain(story.contended.iter().cloned()).collect()
}

/// A call that begins and ends with nothing between becomes one item.
fn join(items: &mut Vec<Item>) {
    let mut joined: Vec<Item> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        match joined.last_mut() {
            Some(last)
                if (last.kind, item.kind) == (Kind::Begins, Kind::Ends) && last.lane == item.lane && !item.wrong =>
            {
                last.text = format!("{} … {}", last.text, item.text);
                last.kind = Kind::Ends;
            }
            _ => joined.push(item),
        }
    }
    *items = joined;
}

#[cfg(test)]
mod tests {
    use lockproof_model::op::{Mode, Op};
    use lockproof_model::trace::{Event, Trace};
    use lockproof_model::value::Value;

    use super::*;
    use crate::story::tell;
    use crate::traces::{close, granted, lock, value};

    fn texts(events: Vec<Event>) -> (usize, Vec<String>) {
        let mut story = tell(&Trace { events, cycle: Vec::new() }, &[], &[], false);
        let folded = fold(&mut story);
        (folded, story.items.into_iter().map(|item| item.text).collect())
    }

    fn pair(process: u8, name: &str) -> Vec<Event> {
        let file = Path::new(name);
        let stamp = value(process, Op::ReadStamp { file: file.clone() }, Value::Nil);
        vec![lock(process, &file, Mode::Shared, granted()), stamp, close(process, &file)]
    }

    #[test]
    fn a_lock_on_the_way_is_left_out_and_the_layers_are_not() {
        let events = [pair(0, "root/vfs-images/images.lock"), pair(0, "root/vfs-layers/layers.lock")].concat();
        let layers = ["R(layers) granted", "Modified? stamp(layers) was never written", "U(layers)"];
        assert_eq!(texts(events), (3, layers.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_lock_that_somebody_waits_for_is_told() {
        let file = Path::new("root/vfs-images/images.lock");
        let waits = lock(1, &file, Mode::Exclusive, lockproof_model::trace::Effect::Waits);
        let mut events = pair(0, "root/vfs-images/images.lock");
        events.insert(1, waits);
        assert_eq!(texts(events).0, 0);
    }

    #[test]
    fn the_graph_lock_is_told_where_threads_share_what_it_protects() {
        let mut events = pair(0, "root/storage.lock");
        assert_eq!(texts(events.clone()).0, 3);
        events.extend(pair(0, "root/storage.lock").into_iter().map(|event| crate::traces::thread(1, event)));
        assert_eq!(texts(events).0, 0);
    }
}
