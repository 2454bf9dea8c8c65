//! What has which number in the Promela text: lock files, documents, cells, values, threads.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::ExportError;
use super::symbolic::{Automata, ByKind, Kind, leaves, renumber};
use crate::call::{Call, Reply};
use crate::ctx::Request;
use crate::monitor;
use crate::op::{CellName, Note, Op, Outcome, Path};
use crate::protocol::Layers;
use crate::state::Shared;
use crate::system::System;
use crate::value::{Datum, Value};

/// The numbers of a system.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Lock files, by inode.
    pub(super) locks: Vec<Path>,
    /// Documents, by inode; the layers are the first.
    pub(super) documents: Vec<Path>,
    /// Files whose time is kept, by inode.
    pub(super) timed: Vec<Path>,
    /// Cells.
    pub(super) cells: Names,
    /// How many stamps, objects and times a cell may hold: first the variables of a process, then those of an object.
    slots: [Vec<ByKind<usize>>; 2],
    /// Values without the numbers in them; the first is nothing.
    pub(super) values: Vec<Value>,
    /// `sync.Mutex`.
    pub(super) mutexes: Names,
    /// `sync.RWMutex`.
    pub(super) rw_mutexes: Names,
    /// How many objects there are at once at most.
    pub(super) objects: usize,
    /// How many registers of each kind a control state has at most.
    pub(super) registers: ByKind<usize>,
    /// What each document may hold; of those that no answer is judged by, nothing.
    pub(super) contents: Vec<BTreeSet<usize>>,
    /// The ids of layers.
    pub(super) ids: Vec<String>,
    /// The queries, each with the answers that are ever true or given.
    pub(super) queries: Vec<(Call, Vec<Reply>)>,
}

/// Names of one kind: those of a process, and those of each of its objects.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) globals: Vec<String>,
    pub(super) fields: Vec<String>,
}

impl Names {
    /// Whether it is a name of objects, and its number there; it is added if it is not there.
    fn intern(&mut self, name: &CellName) -> (bool, usize) {
        let of_object = name.object.is_some();
        (of_object, intern(if of_object { &mut self.fields } else { &mut self.globals }, &name.field.to_string()))
    }

    /// How many there are in a process with so many objects.
    fn count(&self, objects: usize) -> usize {
        self.globals.len() + objects * self.fields.len()
    }
}

/// The most stores whose answers are written out.
pub(super) const STORES_MAX: usize = 512;

/// The number of `item`, which is added if it is not there.
fn intern<T: PartialEq + Clone>(all: &mut Vec<T>, item: &T) -> usize {
    all.iter().position(|known| known == item).unwrap_or_else(|| {
        all.push(item.clone());
        all.len() - 1
    })
}

/// The constant for a name.
pub(super) fn constant(prefix: &str, name: &str) -> String {
    let sign = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_uppercase() } else { '_' };
    format!("{prefix}_{}", name.chars().map(sign).collect::<String>())
}

/// A value without the numbers in it.
fn shape(value: &Value) -> Value {
    renumber(value, &|_, _| 0)
}

impl Layout {
    /// # Errors
    /// What cannot be exported.
    pub(super) fn of(system: &System, automata: &Automata, objects: usize) -> Result<Self, ExportError> {
        let mut layout = Self { values: vec![Value::Nil], objects, ..Self::default() };
        layout.document(&Path::new(monitor::LAYERS), &Value::Nil, &mut BTreeSet::new());
        for path in system.timed() {
            intern(&mut layout.timed, &system.inode(&path));
        }
        for path in &system.stamped {
            intern(&mut layout.locks, &system.inode(path));
        }
        let mut features = BTreeSet::new();
        for (path, value) in &system.documents {
            layout.document(&system.inode(path), value, &mut features);
        }
        for note in automata.roots.values().flat_map(|root| root.notes.iter()) {
            layout.note(system, note);
        }
        for state in &automata.states {
            for kind in Kind::ALL {
                let most = layout.registers.get_mut(kind);
                *most = (*most).max(*state.registers.get(kind));
            }
            if let Request::Op(op) = &state.request {
                layout.operation(system, op, &mut features);
            }
            for (pattern, step) in &state.edges {
                if let Outcome::Value(value) = &pattern.outcome {
                    intern(&mut layout.values, &shape(value));
                }
                for note in step.notes.iter() {
                    layout.note(system, note);
                }
            }
        }
        features.extend(layout.alike());
        features.extend((system.additional_stores() > 0).then(|| "additional stores".to_owned()));
        if !features.is_empty() {
            return Err(ExportError::Features(features.into_iter().collect()));
        }
        layout.judge(automata);
        Ok(layout)
    }

    fn note(&mut self, system: &System, note: &Note) {
        if let Note::Acquired(path, _) | Note::Release(path) = note {
            intern(&mut self.locks, &system.inode(path));
        }
    }

    /// Every kind of name, each with what its constants begin with.
    pub(super) fn names(&self) -> [(&'static str, Vec<&str>); 8] {
        fn paths(paths: &[Path]) -> Vec<&str> {
            paths.iter().map(|path| path.0.as_str()).collect()
        }
        fn texts(texts: &[String]) -> Vec<&str> {
            texts.iter().map(String::as_str).collect()
        }
        [
            ("LOCK", paths(&self.locks)),
            ("DOCUMENT", paths(&self.documents)),
            ("CELL", texts(&self.cells.globals)),
            ("OBJECT_CELL", texts(&self.cells.fields)),
            ("MUTEX", texts(&self.mutexes.globals)),
            ("OBJECT_MUTEX", texts(&self.mutexes.fields)),
            ("RWMUTEX", texts(&self.rw_mutexes.globals)),
            ("OBJECT_RWMUTEX", texts(&self.rw_mutexes.fields)),
        ]
    }

    /// Names that would be one constant.
    fn alike(&self) -> Vec<String> {
        let mut known = BTreeSet::new();
        let names = self.names();
        let all = names.iter().flat_map(|(prefix, names)| names.iter().map(move |name| (*prefix, *name)));
        let twice = all.filter(|(prefix, name)| !known.insert(constant(prefix, name)));
        twice.map(|(_, name)| format!("a name that differs from another in signs alone ({name})")).collect()
    }

    /// A document may hold a value.
    fn document(&mut self, inode: &Path, value: &Value, features: &mut BTreeSet<String>) {
        if !leaves(value).is_empty() {
            features.insert(format!("{inode} holds stamps, objects or times"));
        }
        let (document, value) = (intern(&mut self.documents, inode), intern(&mut self.values, value));
        self.contents.resize_with(self.documents.len(), || BTreeSet::from([0]));
        if monitor::is_contents(inode) {
            self.contents[document].insert(value);
        }
    }

    fn operation(&mut self, system: &System, op: &Op, features: &mut BTreeSet<String>) {
        match op {
            Op::Lock { file, .. }
            | Op::Close { file }
            | Op::Probe { file, .. }
            | Op::ReadStamp { file }
            | Op::WriteStamp { file } => {
                intern(&mut self.locks, &system.inode(file));
            }
            Op::Read { document } => {
                intern(&mut self.locks, &system.inode(&document.lock));
                self.document(&system.inode(&document.path), &Value::Nil, features);
            }
            Op::Rename { document, base, value } => {
                intern(&mut self.locks, &system.inode(&document.lock));
                intern(&mut self.values, base);
                self.document(&system.inode(&document.path), value, features);
            }
            Op::MutexLock { mutex } | Op::MutexUnlock { mutex } => {
                self.mutexes.intern(mutex);
            }
            Op::RwLock { mutex, .. } | Op::RwUnlock { mutex, .. } => {
                self.rw_mutexes.intern(mutex);
            }
            Op::Get { cell } => {
                self.cell(cell);
            }
            Op::Set { cell, value } => {
                intern(&mut self.values, &shape(value));
                let (of_object, number) = self.cell(cell);
                for kind in Kind::ALL {
                    let count = leaves(value).iter().filter(|(other, _)| *other == kind).count();
                    let most = self.slots[usize::from(of_object)][number].get_mut(kind);
                    *most = (*most).max(count);
                }
            }
            Op::Spawn { .. } | Op::Join { .. } => {
                features.insert(
                    "goroutines: Promela's processes end in the order in which they were started, the last first"
                        .into(),
                );
            }
            _ => {}
        }
    }

    fn cell(&mut self, cell: &CellName) -> (bool, usize) {
        let (of_object, number) = self.cells.intern(cell);
        let slots = &mut self.slots[usize::from(of_object)];
        if slots.len() <= number {
            slots.push(ByKind::default());
        }
        (of_object, number)
    }

    /// What properties need to know of documents and replies.
    fn judge(&mut self, automata: &Automata) {
        let mut ids = BTreeSet::new();
        for number in &self.contents[0] {
            ids.extend(self.layers(*number).into_iter().map(|layer| layer.id));
        }
        let stores = self.stores();
        for (_, call) in automata.roots.keys() {
            if let Call::PutLayer { id, .. } | Call::DeleteLayer { id } = call {
                ids.insert(id.clone());
            }
            if call.is_query() && !self.queries.iter().any(|(other, _)| other == call) {
                let answers: BTreeSet<Reply> = stores.iter().flat_map(|store| self.answers(call, store)).collect();
                self.queries.push((call.clone(), answers.into_iter().collect()));
            }
        }
        self.ids = ids.into_iter().collect();
    }

    /// How many different stores there may be, as far as answers are judged by them.
    pub(super) fn stores_count(&self) -> usize {
        self.contents.iter().map(BTreeSet::len).fold(1, usize::saturating_mul)
    }

    /// Those stores: of each document the number of what it holds. None where they are too many.
    pub(super) fn stores(&self) -> Vec<Vec<usize>> {
        if self.stores_count() > STORES_MAX {
            return Vec::new();
        }
        let longer = |stores: Vec<Vec<usize>>, contents: &BTreeSet<usize>| {
            let one = |store: Vec<usize>| contents.iter().map(move |number| [store.clone(), vec![*number]].concat());
            stores.into_iter().flat_map(one).collect()
        };
        self.contents.iter().fold(vec![Vec::new()], longer)
    }

    /// The layers in the document whose contents have that number.
    pub(super) fn layers(&self, number: usize) -> Layers {
        Layers::from_value(&self.values[number]).unwrap_or_default()
    }

    /// What `call` may answer in that store.
    pub(super) fn answers(&self, call: &Call, store: &[usize]) -> BTreeSet<Reply> {
        let held = self.documents.iter().zip(store).filter(|(_, number)| **number > 0);
        let documents = held.map(|(path, number)| (path.clone(), self.values[*number].clone())).collect();
        monitor::answers(call, &Shared { documents, ..Shared::default() })
    }

    /// The bit of a layer.
    pub(super) fn layer(&self, id: &str) -> u32 {
        let place = self.ids.iter().position(|other| other == id);
        place.and_then(|place| 1u32.checked_shl(u32::try_from(place).ok()?)).unwrap_or(0)
    }

    /// The number of a value.
    pub(super) fn value(&self, value: &Value) -> usize {
        let shape = shape(value);
        self.values.iter().position(|known| *known == shape).unwrap_or(usize::MAX)
    }

    /// How many slots of `kind` all variables of a process, or all of an object, have.
    pub(super) fn slots_of(&self, of_object: bool, kind: Kind) -> usize {
        self.slots[usize::from(of_object)].iter().map(|slots| slots.get(kind)).sum()
    }

    /// How many slots of `kind` a cell has, and the first of them.
    pub(super) fn slots(&self, cell: &CellName, kind: Kind) -> (usize, usize) {
        let of_object = cell.object.is_some();
        let names = if of_object { &self.cells.fields } else { &self.cells.globals };
        let number = names.iter().position(|name| **name == *cell.field).unwrap_or(usize::MAX);
        let slots = &self.slots[usize::from(of_object)];
        let first = slots[..number].iter().map(|slots| slots.get(kind)).sum();
        (*slots[number].get(kind), first)
    }

    /// The constants of the text.
    pub(super) fn constants(&self, system: &System, threads: usize) -> String {
        let mut text = String::new();
        let mut define = |name: &str, number: usize| {
            let _ = writeln!(text, "#define {name} {number}");
        };
        let total = |kind| self.slots_of(false, kind) + self.objects * self.slots_of(true, kind);
        let (processes, at_least_one) = (system.processes.len(), |number: usize| number.max(1));
        define("PROCESSES", processes);
        define("THREADS", threads);
        define("LOCKS", at_least_one(self.locks.len()));
        define("DOCUMENTS", self.documents.len());
        define("TIMED", at_least_one(self.timed.len()));
        define("OBJECTS", self.objects);
        for (kind, names) in [("CELLS", &self.cells), ("MUTEXES", &self.mutexes), ("RWMUTEXES", &self.rw_mutexes)] {
            define(&format!("{kind}_OF_PROCESS"), names.globals.len());
            define(&format!("{kind}_OF_OBJECT"), names.fields.len());
        }
        define("CELLS", at_least_one(self.cells.count(self.objects)));
        define("MUTEXES", at_least_one(self.mutexes.count(self.objects)));
        define("RWMUTEXES", at_least_one(self.rw_mutexes.count(self.objects)));
        let mut numbers = self.timed.len() + self.locks.len();
        for (kind, name) in Kind::ALL.into_iter().zip(["STAMP", "OBJECT", "TIME"]) {
            define(&format!("{name}_REGISTERS"), at_least_one(*self.registers.get(kind)));
            define(&format!("{name}_SLOTS_OF_PROCESS"), self.slots_of(false, kind));
            define(&format!("{name}_SLOTS_OF_OBJECT"), self.slots_of(true, kind));
            define(&format!("{name}_SLOTS"), at_least_one(total(kind)));
            numbers += threads * self.registers.get(kind) + processes * total(kind);
        }
        define("REGISTERS", at_least_one(Kind::ALL.map(|kind| *self.registers.get(kind)).into_iter().sum()));
        // Times are even and odd, and a clock may tick before they are made dense.
        define("NUMBERS", (2 * numbers + 8).max(self.objects + 2));
        define("LAYERS", 0);
        text
    }
}
