//! A second Store object of a process: which names it shares with the first, and which are its own.
//!
//! Go's `s.graphLock` and `s.layerStore` are fields of the Store object, so a cell whose name begins with `s.` is one for each
//! object. The run root is another directory. All else is the process's: package variables, and lock objects, which go by path.

use crate::op::{CellName, Document, Note, Op, Path};

/// The operation that Store object number `store` means by `op`.
pub(crate) fn located(mut op: Op, store: u8) -> Op {
    match &mut op {
        Op::Lock { file, .. }
        | Op::Close { file }
        | Op::Probe { file }
        | Op::ReadStamp { file }
        | Op::WriteStamp { file }
        | Op::Mtime { file }
        | Op::Note(Note::Acquire(file, _) | Note::Acquired(file, _) | Note::Release(file)) => path(file, store),
        Op::Read { document }
        | Op::WriteTemp { document, .. }
        | Op::Sync { document }
        | Op::Rename { document, .. } => {
            let Document { path: document, lock } = document;
            path(document, store);
            path(lock, store);
        }
        Op::MutexLock { mutex: name }
        | Op::MutexUnlock { mutex: name }
        | Op::RwLock { mutex: name, .. }
        | Op::RwUnlock { mutex: name, .. }
        | Op::Get { cell: name }
        | Op::Set { cell: name, .. } => cell(name, store),
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

fn path(path: &mut Path, store: u8) {
    if let Some(rest) = path.0.strip_prefix("run/") {
        path.0 = format!("run{store}/{rest}");
    }
}

fn cell(name: &mut CellName, store: u8) {
    if let Some(rest) = name.field.strip_prefix("s.").filter(|_| name.object.is_none()) {
        name.field = format!("s{store}.{rest}");
    } else if let Some(rest) = name.field.strip_prefix("run/") {
        name.field = format!("run{store}/{rest}");
    } else if let Some(rest) = name.field.strip_prefix("lockfiles[run/") {
        name.field = format!("lockfiles[run{store}/{rest}");
    }
}
