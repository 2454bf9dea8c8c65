//! Another Store object of a process: which names it shares with the first, and which are its own.
//!
//! Go's `s.graphLock` and `s.layerStore` are fields of the Store object, so a cell whose name begins with `s.` is one for each
//! object. The run root is another directory, and so is the graph root if the object is one of an additional store. All else is
//! the process's: package variables, and lock objects, which go by path.

use crate::call::StoreId;
use crate::op::{CellName, Document, Note, Op, Path};

/// Where the graph root of an additional store is.
#[must_use]
pub fn additional_root(number: u8) -> String {
    format!("additional{number}")
}

/// Where additional store `number` has the file that the first Store object has at `path`; `None` of one that only a run root has.
#[must_use]
pub fn in_additional(path: &str, number: u8) -> Option<String> {
    Some(format!("{}/{}", additional_root(number), path.strip_prefix("root/")?))
}

/// Whether the document at `path` is one that the Store object replaces.
#[must_use]
pub(crate) fn is_of(path: &str, store: Option<StoreId>) -> bool {
    let (graph, run) = match store {
        None | Some(StoreId::With(_)) => ("root".to_owned(), "run".to_owned()),
        Some(StoreId::Second(number)) => ("root".to_owned(), format!("run{number}")),
        Some(StoreId::Additional(number)) => (additional_root(number), format!("run-additional{number}")),
    };
    path.split('/').next().is_some_and(|top| top == graph || top == run)
}

/// The operation that `store` means by `op`.
pub(crate) fn located(mut op: Op, store: StoreId) -> Op {
    let store = match store {
        StoreId::With(_) => return op,
        StoreId::Second(number) => Names { of: number.to_string(), root: None },
        StoreId::Additional(number) => {
            Names { of: format!("-additional{number}"), root: Some(additional_root(number)) }
        }
    };
    match &mut op {
        Op::Lock { file, .. }
        | Op::Close { file }
        | Op::Probe { file, .. }
        | Op::ReadStamp { file }
        | Op::WriteStamp { file }
        | Op::Mtime { file }
        | Op::Note(Note::Acquire(file, _) | Note::Acquired(file, _) | Note::Release(file)) => store.move_path(file),
        Op::Read { document }
        | Op::WriteTemp { document, .. }
        | Op::Sync { document }
        | Op::Rename { document, .. } => {
            let Document { path: document, lock } = document;
            store.move_path(document);
            store.move_path(lock);
        }
        Op::MutexLock { mutex: name }
        | Op::MutexUnlock { mutex: name }
        | Op::RwLock { mutex: name, .. }
        | Op::RwUnlock { mutex: name, .. }
        | Op::Get { cell: name }
        | Op::Set { cell: name, .. } => store.rename(name),
        Op::Now
        | Op::New
        | Op::Spawn { .. }
        | Op::Join { .. }
        | Op::Choose { .. }
        | Op::Panic { .. }
        | Op::LoopHead { .. } => {}
    }
    op
}

/// What the names of a Store object have in place of the first one's.
struct Names {
    /// What follows `run` and `s`.
    of: String,
    /// The graph root, if it is another.
    root: Option<String>,
}

impl Names {
    /// A path of this Store object; `None` if it is the same as the first one's.
    fn path(&self, path: &str) -> Option<String> {
        if let Some(rest) = path.strip_prefix("run/") {
            return Some(format!("run{}/{rest}", self.of));
        }
        let rest = path.strip_prefix("root/")?;
        self.root.as_ref().map(|root| format!("{root}/{rest}"))
    }

    fn move_path(&self, path: &mut Path) {
        if let Some(own) = self.path(&path.0) {
            path.0 = own;
        }
    }

    fn rename(&self, name: &mut CellName) {
        if let Some(rest) = name.field.strip_prefix("s.").filter(|_| name.object.is_none()) {
            name.field = format!("s{}.{rest}", self.of).into();
        } else if let Some(own) = name.field.strip_prefix("lockfiles[").and_then(|path| self.path(path)) {
            name.field = format!("lockfiles[{own}").into();
        } else if let Some(own) = self.path(&name.field) {
            name.field = own.into();
        }
    }
}
