//! The properties as monitors: what a step does to what they remember, and when it is wrong.
//!
//! All that a monitor remembers is part of the state. What was kept beside it would be lost where two paths meet.

use std::collections::BTreeSet;

use crate::call::{ADDITIONAL_MAX, Call, Fail, Reply, StoreId};
use crate::op::{CellName, Mode, Note, Op, Path};
use crate::property::Property;
use crate::protocol::layer_store::Mounts;
use crate::protocol::layers::{self, Layer, Layers};
use crate::protocol::record_store::{self, CONTAINER_LAYER, Record, Records, layer_of_container};
use crate::second_store;
use crate::state::{Local, Shared};
use crate::system::System;
use crate::value::{Datum, Value};

/// The layers, which most answers are judged by.
pub const LAYERS: &str = "root/vfs-layers/layers.json";
/// Their lock file.
pub const LAYERS_LOCK: &str = "root/vfs-layers/layers.lock";
/// The images.
pub const IMAGES: &str = "root/vfs-images/images.json";
/// The containers.
pub const CONTAINERS: &str = "root/vfs-containers/containers.json";
/// How often each layer is mounted.
pub const MOUNTS: &str = "run/vfs-layers/mountpoints.json";
/// The graph lock, whose stamp a Shutdown writes and nobody else.
pub const GRAPH_LOCK: &str = "root/storage.lock";
/// Where the lock file of the layers is, and those of single layers in a protocol that has them.
const LAYERS_DIR: &str = "root/vfs-layers/";

/// A property that is violated, and how.
pub type Wrong = (Property, String);

/// Whether answers are judged by this document.
#[must_use]
pub fn is_contents(inode: &Path) -> bool {
    [LAYERS, IMAGES, CONTAINERS, MOUNTS].contains(&inode.0.as_str())
        || (1..=ADDITIONAL_MAX).any(|number| of_additional(number).contains(&inode.0))
}

/// The layers and the images of an additional store.
fn of_additional(number: u8) -> [String; 2] {
    [LAYERS, IMAGES].map(|path| second_store::in_additional(path, number).unwrap_or_default())
}

/// Whether it is a file of an additional store.
fn is_in_additional(inode: &Path) -> bool {
    let top = inode.0.split('/').next();
    (1..=ADDITIONAL_MAX).any(|number| top == Some(&second_store::additional_root(number)))
}

/// The layers that are on disk.
#[must_use]
pub fn layers_of(shared: &Shared) -> Layers {
    document(shared, LAYERS)
}

fn document<T: Datum + Default>(shared: &Shared, path: &str) -> T {
    shared.documents.get(&Path::new(path)).and_then(T::from_value).unwrap_or_default()
}

/// What is on disk.
#[derive(Default)]
struct Contents {
    layers: Layers,
    images: Records,
    containers: Records,
    mounts: Mounts,
}

impl Contents {
    fn of(shared: &Shared) -> Self {
        Self {
            layers: layers_of(shared),
            images: document(shared, IMAGES),
            containers: document(shared, CONTAINERS),
            mounts: document(shared, MOUNTS),
        }
    }

    /// What a Store object sees: after its own layers and images those of its additional stores, in their order.
    fn seen_by(store: Option<StoreId>, shared: &Shared) -> Self {
        let mut seen = match store {
            Some(StoreId::Additional(_)) => Self::default(),
            _ => Self::of(shared),
        };
        let numbers = match store {
            Some(StoreId::With(number)) => 1..=number,
            Some(StoreId::Additional(number)) => number..=number,
            _ => return seen,
        };
        for [layers, images] in numbers.map(of_additional) {
            seen.layers.extend(document::<Layers>(shared, &layers));
            seen.images.extend(document::<Records>(shared, &images));
        }
        seen
    }

    /// The id and the names of the layer, image or container of that id or name.
    fn find(&self, id: &str) -> Result<(&String, &Vec<String>), Fail> {
        let layer = layers::lookup(&self.layers, id).map(|layer| (&layer.id, &layer.names));
        let record = |records| record_store::lookup(records, id).map(|record| (&record.id, &record.names));
        let found = layer.or_else(|| record(&self.images)).or_else(|| record(&self.containers));
        found.ok_or_else(Fail::layer_unknown)
    }

    fn mounted(&self, id: &str) -> Result<u32, Fail> {
        let layer = record_store::lookup(&self.containers, id).map_or(id, |container| &container.layer);
        let layer = layers::lookup(&self.layers, layer).ok_or_else(Fail::layer_unknown)?;
        Ok(self.mounts.iter().find(|(id, _)| *id == layer.id).map_or(0, |(_, count)| *count))
    }

    fn answer(&self, call: &Call) -> Option<Reply> {
        let ids = |records: &Records| Value::List(records.iter().map(|record| record.id.to_value()).collect());
        let layers = || Value::List(self.layers.iter().map(|layer| layer.id.to_value()).collect());
        Some(match call {
            Call::Names { id } => self.find(id).map(|(_, names)| names.to_value()),
            Call::Lookup { name } => self.find(name).map(|(id, _)| id.to_value()),
            Call::Exists { id } => Ok(Value::Bool(self.find(id).is_ok())),
            Call::Layers => Ok(layers()),
            Call::Images => Ok(ids(&self.images)),
            Call::Containers => Ok(ids(&self.containers)),
            Call::MultiList => Ok(Value::List(vec![layers(), ids(&self.images), ids(&self.containers)])),
            Call::Mounted { id } => self.mounted(id).map(Value::Int),
            _ => return None,
        })
    }
}

/// `fresh`: what a query may answer while `shared` is true. An incomplete layer may be seen or not.
#[must_use]
pub fn answers(call: &Call, shared: &Shared) -> BTreeSet<Reply> {
    let all = Contents::seen_by(call.store(), shared);
    let call = call.plain();
    let complete = all.layers.iter().filter(|layer| !layer.incomplete).cloned().collect();
    let seen = all.answer(call);
    seen.into_iter().chain(Contents { layers: complete, ..all }.answer(call)).collect()
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

/// The contents of a document: the ids and names of layers, images or containers where it has some.
#[must_use]
pub fn show_document(value: &Value) -> String {
    let one = |id: &str, names: &[String], incomplete: bool| {
        let names = if names.is_empty() { String::new() } else { format!("={}", names.join("+")) };
        format!("{id}{names}{}", if incomplete { " (incomplete)" } else { "" })
    };
    let shown: Vec<String> = if let Some(layers) = Layers::from_value(value) {
        layers.iter().map(|layer| one(&layer.id, &layer.names, layer.incomplete)).collect()
    } else if let Some(records) = Records::from_value(value) {
        records.iter().map(|record| one(&record.id, &record.names, false)).collect()
    } else {
        Vec::new()
    };
    if shown.is_empty() { show(value) } else { format!("[{}]", shown.join(", ")) }
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

/// `read-only`: a store replaces a document that was opened so that it should not.
#[must_use]
pub fn judge_read_only(document: &Path) -> Wrong {
    let file = document.file_name();
    (Property::ReadOnly, format!("a store that was opened read-only replaces {file}"))
}

/// `read-only`: a lock file of an additional store is opened in a way that read-only media refuse (open(2), `EROFS`). `call` is
/// that in which it is.
#[must_use]
pub fn judge_open(call: &Call, file: &Path, mode: Mode) -> Option<Wrong> {
    let only_reads = matches!(call.store(), Some(StoreId::With(_)));
    if !only_reads || mode == Mode::Shared || !is_in_additional(file) {
        return None;
    }
    Some((Property::ReadOnly, format!("{file} of an additional store is opened for writing")))
}

/// `no-needless-load`: whether loads of this document are counted. The mounts are small, and read again after each save.
#[must_use]
pub fn is_counted(inode: &Path) -> bool {
    is_contents(inode) && inode.0 != MOUNTS
}

/// `no-needless-load`: a process loads what it knows.
#[must_use]
pub fn judge_load(inode: &Path, holds: &Value) -> Wrong {
    let (file, holds) = (inode.file_name(), show_document(holds));
    (Property::NoNeedlessLoad, format!("{file} is loaded, which holds {holds} as when the process knew it last"))
}

/// `driver-alive`: whether the cell is `s.graphDriver`.
#[must_use]
pub fn is_graph_driver(cell: &CellName) -> bool {
    cell.object.is_none() && &*cell.field == "s.graphDriver"
}

/// `driver-alive`: whether the operation is `s.graphDriver.Cleanup()`, after which no driver that was made before is alive.
#[must_use]
pub fn is_cleanup(op: &Op) -> bool {
    matches!(op, Op::Get { cell } if cell.object.is_none() && &*cell.field == "s.graphDriver.home")
}

/// `driver-alive`: a document is replaced by a process whose driver was made before the last Shutdown, in this call. A new
/// driver would have mounted its home again; without it the layer is mounted below, and hidden once somebody makes one.
#[must_use]
pub fn judge_mount(call: &Call, inode: &Path) -> Option<Wrong> {
    let mounts = matches!(call.plain(), Call::Mount { .. }) && inode.0 == MOUNTS;
    mounts.then(|| (Property::DriverAlive, format!("`{call}` uses a driver that was shut down since it was made")))
}

/// What is judged where a lock is taken; `exclusive` demands more, where a file is touched.
const BY_THE_LOCKS: [Property; 2] = [Property::Exclusive, Property::MutualExclusion];

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
                    let text = format!("two threads of one process hold {file}, one to write");
                    wrong.extend(BY_THE_LOCKS.map(|property| (property, text.clone())));
                }
            }
            let known = local.locks.get(&inode);
            if !known.is_some_and(|known| *known == Mode::Exclusive || *mode == Mode::Shared) {
                let text = format!("a thread holds {}, but the kernel does not know of it", inode.file_name());
                wrong.extend(BY_THE_LOCKS.map(|property| (property, text.clone())));
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

/// `no-error`: a call returns an error.
#[must_use]
pub fn failed(call: &Call, fail: &Fail) -> Wrong {
    (Property::NoError, format!("`{call}` returns {fail}"))
}

/// How `crash-safe` calls an image.
fn image(id: &str) -> String {
    format!("image {id}")
}

/// How `crash-safe` calls a container.
fn container(id: &str) -> String {
    format!("container {id}")
}

/// `crash-safe`: everything whole that is on disk at the start was acknowledged, and whoever left the rest is dead.
pub fn acknowledge_all(shared: &mut Shared) {
    let contents = Contents::of(shared);
    shared.acknowledged = whole(&contents);
    shared.half_made = broken(&contents);
}

/// What is there and complete, as `crash-safe` calls it.
fn whole(contents: &Contents) -> BTreeSet<String> {
    let layers = contents.layers.iter().filter(|layer| !layer.incomplete).map(|layer| layer.id.clone());
    let images = contents.images.iter().map(|record| image(&record.id));
    layers.chain(images).chain(contents.containers.iter().map(|record| container(&record.id))).collect()
}

/// What is there and makes no sense: a layer that is incomplete, or was made for a container that is not there; a
/// container without its layer.
fn broken(contents: &Contents) -> BTreeSet<String> {
    let unfit = |layer: &&Layer| {
        let owner = layer.id.strip_suffix(CONTAINER_LAYER);
        layer.incomplete || owner.is_some_and(|id| !contents.containers.iter().any(|record| record.id == id))
    };
    let dangles = |record: &&Record| !contents.layers.iter().any(|layer| layer.id == record.layer);
    let layers = contents.layers.iter().filter(unfit).map(|layer| layer.id.clone());
    layers.chain(contents.containers.iter().filter(dangles).map(|record| container(&record.id))).collect()
}

/// `crash-safe`: what a process leaves half-made that is killed in these calls.
pub fn killed(calls: impl Iterator<Item = Call>, shared: &mut Shared) {
    let broken = broken(&Contents::of(shared));
    for call in calls.filter(|call| !is_on_additional(call)) {
        let touched = match call.plain().clone() {
            Call::PutLayer { id, .. } => vec![id],
            Call::CreateContainer { id, .. } | Call::DeleteContainer { id } => {
                vec![container(&id), layer_of_container(&id)]
            }
            _ => continue,
        };
        shared.half_made.extend(touched.into_iter().filter(|name| broken.contains(name)));
    }
}

/// `crash-safe`: `call` replaced a document that held `replaced`.
pub fn contents_replaced(call: &Call, document: &Path, replaced: &Value, shared: &mut Shared) -> Option<Wrong> {
    let contents = Contents::of(shared);
    let (whole, broken) = (whole(&contents), broken(&contents));
    shared.half_made.retain(|name| broken.contains(name));
    // Only now: what it takes may have been made, and acknowledged, since it began.
    let deleted = deletes(call, document, replaced, shared);
    shared.deleted.extend(deleted);
    shared.deleted.retain(|name| !whole.contains(name));
    shared.acknowledged.retain(|name| !shared.deleted.contains(name));
    let lost: Vec<&str> = shared.acknowledged.difference(&whole).map(String::as_str).collect();
    (!lost.is_empty()).then(|| (Property::CrashSafe, format!("{} was acknowledged and is gone", lost.join(", "))))
}

/// `crash-safe` is about the store itself: whoever fills an additional one is not judged.
fn is_on_additional(call: &Call) -> bool {
    matches!(call.store(), Some(StoreId::Additional(_)))
}

/// `crash-safe`: what a deletion may take away when it replaces a document that held `replaced`.
fn deletes(call: &Call, document: &Path, replaced: &Value, shared: &Shared) -> Vec<String> {
    if is_on_additional(call) {
        return Vec::new();
    }
    let mut documents = shared.documents.clone();
    documents.insert(document.clone(), replaced.clone());
    let before = Contents::of(&Shared { documents, ..Shared::default() });
    match call.plain() {
        Call::DeleteLayer { id } => {
            vec![layers::lookup(&before.layers, id).map_or_else(|| id.clone(), |layer| layer.id.clone())]
        }
        // Its image may be gone by now, and with it what it says of its layers: of them, all that go with this step.
        Call::DeleteImage { id } => {
            let known = record_store::lookup(&before.images, id).map_or(id, |image| &image.id);
            whole(&before).into_iter().filter(|name| !name.contains(' ')).chain([image(known)]).collect()
        }
        Call::DeleteContainer { id } => {
            let known = record_store::lookup(&before.containers, id).map_or(id, |container| &container.id);
            vec![container(known), layer_of_container(known)]
        }
        _ => Vec::new(),
    }
}

/// `crash-safe`: a call ends.
pub fn call_ends(call: &Call, reply: &Reply, shared: &mut Shared) -> Option<Wrong> {
    let value = reply.as_ref().ok().filter(|_| !is_on_additional(call))?;
    let half = |id: &str| shared.half_made.contains(id).then_some("a layer");
    let dangling = |id: &str| shared.half_made.contains(&container(id)).then_some("a container");
    let listed = |ids: &Value| Vec::<String>::from_value(ids).unwrap_or_default();
    let seen = match (call.plain(), value) {
        (Call::Exists { id }, Value::Bool(true)) | (Call::Names { id }, _) | (Call::Lookup { .. }, Value::Text(id)) => {
            half(id).or(dangling(id))
        }
        (Call::Layers, ids) => listed(ids).iter().find_map(|id| half(id)),
        (Call::Containers, ids) => listed(ids).iter().find_map(|id| dangling(id)),
        (Call::MultiList, Value::List(lists)) => {
            let layer = lists.first().and_then(|ids| listed(ids).iter().find_map(|id| half(id)));
            layer.or(lists.last().and_then(|ids| listed(ids).iter().find_map(|id| dangling(id))))
        }
        (Call::PutLayer { parent: Some(parent), .. }, _) => half(parent),
        _ => None,
    };
    let made = match call.plain() {
        Call::PutLayer { id, .. } => vec![id.clone()],
        Call::CreateImage { id, .. } => vec![image(id)],
        Call::CreateContainer { id, .. } => vec![container(id), layer_of_container(id)],
        _ => Vec::new(),
    };
    // Another call may have deleted it before this one returns.
    shared.acknowledged.extend(made.into_iter().filter(|name| !shared.deleted.contains(name)));
    seen.map(|what| (Property::CrashSafe, format!("`{call}` sees {what} that a killed process left half-made")))
}
