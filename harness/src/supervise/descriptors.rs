//! Which file a descriptor of another process is of, remembered: most descriptors are used many times, and the kernel's
//! word for one is two system calls of ours.
//!
//! What is remembered is true until the descriptor is closed or replaced, each of which is a call that we see before it
//! happens, or until a file gets another name: then all is forgotten, but for whether there is a name.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;

use super::event::{FileId, FileRef};
use super::memory;

#[derive(Clone, Debug)]
struct Open {
    /// A path, or `pipe:[…]` and the like.
    link: PathBuf,
    id: Option<FileId>,
    /// Whether the path may be another by now.
    is_old: bool,
}

/// The descriptors of all supervised processes that have been asked for.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    open: RefCell<HashMap<u32, HashMap<i32, Open>>>,
}

impl Descriptors {
    /// The file of a descriptor, if it is one with a path that is `wanted`.
    pub(super) fn file(&self, process: u32, descriptor: i32, wanted: impl Fn(&PathBuf) -> bool) -> Option<FileRef> {
        let mut open = self.open.borrow_mut();
        let known = open.entry(process).or_default();
        if let Some(one) = known.get_mut(&descriptor).filter(|one| !one.is_old) {
            if !wanted(&one.link) {
                return None;
            }
            if one.id.is_none() {
                one.id = memory::id_of(process, descriptor).ok();
            }
            return Some(FileRef { id: one.id, path: one.link.clone() });
        }
        let link = memory::link_of(process, descriptor).ok()?;
        let is_wanted = wanted(&link);
        let id = is_wanted.then(|| memory::id_of(process, descriptor).ok()).flatten();
        known.insert(descriptor, Open { link: link.clone(), id, is_old: false });
        is_wanted.then_some(FileRef { id, path: link })
    }

    /// Whether a descriptor is of a path, and so of no pipe, socket or the like.
    pub(super) fn has_path(&self, process: u32, descriptor: i32) -> bool {
        let open = self.open.borrow();
        match open.get(&process).and_then(|known| known.get(&descriptor)) {
            Some(one) => one.link.is_absolute(),
            None => memory::link_of(process, descriptor).is_ok_and(|link| link.is_absolute()),
        }
    }

    /// These descriptors of a process are about to be closed.
    pub(super) fn closes(&self, process: u32, first: u32, last: u32) {
        if let Some(known) = self.open.borrow_mut().get_mut(&process) {
            if first == last {
                i32::try_from(first).ok().and_then(|descriptor| known.remove(&descriptor));
            } else {
                known.retain(|descriptor, _| !u32::try_from(*descriptor).is_ok_and(|fd| (first..=last).contains(&fd)));
            }
        }
    }

    /// A process executes another program, or has ended.
    pub(super) fn ends(&self, process: u32) {
        self.open.borrow_mut().remove(&process);
    }

    /// All have ended.
    pub(super) fn forget(&self) {
        self.open.borrow_mut().clear();
    }

    /// A file gets another name, or none.
    pub(super) fn renames(&self) {
        let mut open = self.open.borrow_mut();
        open.values_mut().flat_map(HashMap::values_mut).for_each(|one| one.is_old = true);
    }
}
