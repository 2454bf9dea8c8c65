//! The properties as monitors: what a step does to what they remember, and when it is wrong.
//!
//! All that a monitor remembers is part of the state. What was kept beside it would be lost where two paths meet.

use std::collections::BTreeSet;

use crate::call::{Call, Fail, Reply};
use crate::op::{Mode, Note, Path};
use crate::property::Property;
use crate::protocol::layers::{self, Layer, Layers};
use crate::state::{Local, Shared};
use crate::system::System;
use crate::value::{Datum, Value};

/// The document that answers are judged by.
pub const LAYERS: &str = "root/vfs-layers/layers.json";
/// Its lock file.
pub const LAYERS_LOCK: &str = "root/vfs-layers/layers.lock";
/// Where its lock file is, and those of single layers in a protocol that has them.
const LAYERS_DIR: &str = "root/vfs-layers/";

/// A property that is violated, and how.
pub type Wrong = (Property, String);

/// The layers that are on disk.
#[must_use]
pub fn layers_of(shared: &Shared) -> Layers {
    shared.documents.get(&Path::new(LAYERS)).and_then(Layers::from_value).unwrap_or_default()
}

/// `fresh`: what a query may answer while `shared` is true. An incomplete layer may be seen or not.
#[must_use]
pub fn answers(call: &Call, shared: &Shared) -> BTreeSet<Reply> {
    let all = layers_of(shared);
    let complete: Layers = all.iter().filter(|layer| !layer.incomplete).cloned().collect();
    [&all, &complete].into_iter().filter_map(|layers| answer(call, layers)).collect()
}

fn answer(call: &Call, layers: &[Layer]) -> Option<Reply> {
    let find = |id: &str| layers::lookup(layers, id).ok_or_else(Fail::layer_unknown);
    Some(match call {
        Call::Names { id } => find(id).map(|layer| layer.names.to_value()),
        Call::Lookup { name } => find(name).map(|layer| Value::Text(layer.id.clone())),
        Call::Exists { id } => Ok(Value::Bool(find(id).is_ok())),
        Call::Layers => Ok(Value::List(layers.iter().map(|layer| Value::Text(layer.id.clone())).collect())),
        _ => return None,
    })
}

/// `fresh`: whether `reply` was true at some moment of the call.
#[must_use]
pub fn judge_answer(call: &Call, reply: &Reply, answers: &BTreeSet<Reply>) -> Option<Wrong> {
    if answers.contains(reply) {
        return None;
    }
    let was: Vec<String> = answers.iter().map(show_reply).collect();
    let said = show_reply(reply);
    Some((Property::Fresh, format!("`{call}` returns {said}, but all the while the answer was {}", was.join(" or "))))
}

/// A reply as people read it.
#[must_use]
pub fn show_reply(reply: &Reply) -> String {
    match reply {
        Ok(value) => show(value),
        Err(fail) => fail.to_string(),
    }
}

/// A value as people read it.
#[must_use]
pub fn show(value: &Value) -> String {
    match value {
        Value::Nil => "nothing".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Stamp(stamp) => format!("s{}", stamp.0),
        Value::Mtime(time) => format!("t{}", time.0),
        Value::Instant(time) => format!("t{}", time.0),
        Value::Object(object) => format!("#{}", object.0),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
    }
}

/// `no-lost-update`: a document is replaced whose contents its writer did not know.
#[must_use]
pub fn judge_base(document: &Path, base: &Value, replaced: &Value) -> Option<Wrong> {
    let empty = |value: &Value| matches!(value, Value::Nil) || *value == Value::List(Vec::new());
    if base == replaced || (empty(base) && empty(replaced)) {
        return None;
    }
    let file = document.file_name();
    let (held, knew) = (show_document(replaced), show_document(base));
    Some((Property::NoLostUpdate, format!("{file} held {held} when a writer replaced it that knew only {knew}")))
}

/// The contents of a document: the ids of layers where it has some.
#[must_use]
pub fn show_document(value: &Value) -> String {
    let Some(layers) = Layers::from_value(value).filter(|layers| !layers.is_empty()) else { return show(value) };
    let one = |layer: &Layer| {
        let names = if layer.names.is_empty() { String::new() } else { format!("={}", layer.names.join("+")) };
        format!("{}{names}{}", layer.id, if layer.incomplete { " (incomplete)" } else { "" })
    };
    format!("[{}]", layers.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// What a thread must hold to touch a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The lock, in either mode.
    Any,
    /// The lock for writing.
    Exclusive,
}

/// `exclusive`: whether the thread holds the lock of what it touches, as far as it knows and as far as the kernel knows.
#[must_use]
pub fn judge_access(local: &Local, thread: usize, lock: &Path, need: Need, what: &str) -> Option<Wrong> {
    let enough = |mode: Mode| need == Need::Any || mode == Mode::Exclusive;
    let in_library = local.threads[thread].holds.iter().any(|(path, mode)| path == lock && enough(*mode));
    let in_kernel = local.locks.get(lock).is_some_and(|mode| enough(*mode));
    if in_library && in_kernel {
        return None;
    }
    let wanted = if need == Need::Any { "a lock" } else { "the write lock" };
    let why = if in_library { "the kernel has dropped it" } else { "the thread does not hold it" };
    Some((Property::Exclusive, format!("{what} without {wanted} on {}: {why}", lock.file_name())))
}

/// What a note does to the locks that a thread holds, and what is wrong about it. Pairs of locks that were taken one
/// while the other was held are added to `orders`.
pub fn note(
    system: &System,
    local: &mut Local,
    thread: usize,
    note: &Note,
    orders: &mut Vec<(Path, Path)>,
) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    match note {
        Note::Acquire(path, _) => {
            let inode = system.inode(path);
            orders.extend(local.threads[thread].holds.iter().map(|(held, _)| (held.clone(), inode.clone())));
        }
        Note::Acquired(path, mode) => {
            let inode = system.inode(path);
            for (index, other) in local.threads.iter().enumerate() {
                let holds = other.holds.iter().any(|(held, theirs)| *held == inode && mode.conflicts(*theirs));
                if holds && index != thread {
                    let file = inode.file_name();
                    wrong.push((Property::Exclusive, format!("two threads of one process hold {file}, one to write")));
                }
            }
            let known = local.locks.get(&inode);
            if !known.is_some_and(|known| *known == Mode::Exclusive || *mode == Mode::Shared) {
                let file = inode.file_name();
                wrong.push((Property::Exclusive, format!("a thread holds {file}, but the kernel does not know of it")));
            }
            local.threads[thread].holds.push((inode, *mode));
        }
        Note::Release(path) => {
            let inode = system.inode(path);
            let holds = &mut local.threads[thread].holds;
            if let Some(last) = holds.iter().rposition(|(held, _)| *held == inode) {
                holds.remove(last);
            }
        }
    }
    wrong
}

/// `parallel-reads`: whether who holds `inode` for reading is inside: it is the lock of the layers or of one of them.
#[must_use]
pub fn guards_layers(inode: &Path) -> bool {
    inode.0.starts_with(LAYERS_DIR)
}

/// `parallel-reads`: how many read locks on layers the threads of a process hold.
#[must_use]
pub fn readers_inside(local: &Local) -> usize {
    let holds = local.threads.iter().flat_map(|thread| &thread.holds);
    holds.filter(|(path, mode)| guards_layers(path) && *mode == Mode::Shared).count()
}

/// `crash-safe`: what a killed process leaves half-made.
pub fn killed(local: &Local, call_of: impl Fn(usize) -> Option<Call>, shared: &mut Shared) {
    let layers = layers_of(shared);
    for thread in 0..local.threads.len() {
        if let Some(Call::PutLayer { id, .. }) = call_of(thread)
            && layers.iter().any(|layer| layer.id == id && layer.incomplete)
        {
            shared.half_made.insert(id);
        }
    }
}

/// `crash-safe`: the layers document was replaced.
pub fn layers_replaced(shared: &mut Shared) -> Option<Wrong> {
    let layers = layers_of(shared);
    shared.half_made.retain(|id| layers.iter().any(|layer| layer.id == *id && layer.incomplete));
    let lost: Vec<&str> = (shared.acknowledged.iter())
        .filter(|id| !layers.iter().any(|layer| layer.id == **id && !layer.incomplete))
        .map(String::as_str)
        .collect();
    (!lost.is_empty()).then(|| (Property::CrashSafe, format!("{} was acknowledged and is gone", lost.join(", "))))
}

/// `crash-safe`: a call begins.
pub fn call_begins(call: &Call, shared: &mut Shared) {
    if let Call::DeleteLayer { id } = call {
        shared.acknowledged.remove(id);
    }
}

/// `crash-safe`: a call ends.
pub fn call_ends(call: &Call, reply: &Reply, shared: &mut Shared) -> Option<Wrong> {
    let half = |id: &str| shared.half_made.contains(id);
    let value = reply.as_ref().ok()?;
    let seen = match (call, value) {
        (Call::Exists { id }, Value::Bool(true)) | (Call::Names { id }, _) => half(id),
        (Call::Lookup { .. }, Value::Text(id)) => half(id),
        (Call::Layers, Value::List(ids)) => ids.iter().any(|id| matches!(id, Value::Text(id) if half(id))),
        (Call::PutLayer { parent: Some(parent), .. }, _) => half(parent),
        _ => false,
    };
    if let Call::PutLayer { id, .. } = call {
        shared.acknowledged.insert(id.clone());
    }
    seen.then(|| (Property::CrashSafe, format!("`{call}` sees a layer that a killed process left half-made")))
}
