//! Which locks a call drops, and whose they are.

use std::fs;
use std::path::PathBuf;

use super::super::event::{FileId, FileRef, LockKind, Range, ReleasedBy};
use super::super::locks::{Held, Owner, Request};
use super::super::memory;
use super::Session;
use crate::sys::process;

impl Session {
    /// The locks that go when descriptors are closed.
    pub(super) fn dropped_by_close(&self, process: u32, first: u32, last: u32) -> Vec<(FileRef, Held, ReleasedBy)> {
        let mut drops = Vec::new();
        for file in self.locks.files_of(process) {
            // Which of the descriptors are of this file? As a rule one is closed.
            let is_of = |descriptor: &i32| {
                let found = self.descriptors.file(process, *descriptor, |link| link.is_absolute());
                found.is_some_and(|found| found.id == Some(file))
            };
            let descriptors: Vec<i32> = if first == last {
                i32::try_from(first).into_iter().filter(is_of).collect()
            } else {
                open_descriptors(process).into_iter().filter(|fd| within(*fd, first, last)).filter(is_of).collect()
            };
            let Some(descriptor) = descriptors.first() else { continue };
            let path = memory::link_of(process, *descriptor).unwrap_or_default();
            // Of a description it is known only when the call has run: another descriptor may keep it.
            let held = self.locks.of(process, file).cloned();
            drops.extend(held.map(|held| (FileRef { id: Some(file), path: path.clone() }, held, ReleasedBy::Close)));
        }
        drops
    }

    pub(super) fn dropped_by_unlock(
        &self,
        process: u32,
        file: &FileRef,
        kind: LockKind,
        range: Range,
        descriptor: i32,
    ) -> Vec<(FileRef, Held, ReleasedBy)> {
        let Some(id) = file.id else { return Vec::new() };
        let owner = self.owner(process, id, kind, descriptor);
        let goes = |held: &&Held| held.owner == owner && held.kind == kind && held.range.overlaps(range);
        let cut = |held: &Held| {
            let (start, end) = (held.range.start.max(range.start), held.range.end.min(range.end));
            Held { range: Range { start, end }, ..held.clone() }
        };
        let held = self.locks.held(id).iter().filter(goes).map(cut);
        held.map(|held| (file.clone(), held, ReleasedBy::Unlock)).collect()
    }

    /// All that a process holds.
    pub(super) fn all_of(&self, process: u32, by: ReleasedBy) -> Vec<(FileRef, Held, ReleasedBy)> {
        let mut drops = Vec::new();
        for file in self.locks.files_of(process) {
            let path = self.path_of(process, file);
            let held = self.locks.of(process, file).cloned();
            drops.extend(held.map(|held| (FileRef { id: Some(file), path: path.clone() }, held, by)));
        }
        drops
    }

    /// The path under which a process has a file open.
    fn path_of(&self, process: u32, file: FileId) -> PathBuf {
        let mut open = open_descriptors(process).into_iter();
        let found = open.find(|fd| memory::id_of(process, *fd).is_ok_and(|id| id == file));
        found.and_then(|fd| memory::link_of(process, fd).ok()).unwrap_or_default()
    }

    /// Finds out whose a request is: a description may be known by another process's descriptor.
    pub(super) fn identify(&self, request: &mut Request, process: u32, descriptor: i32) {
        request.owner = self.owner(process, request.file, request.wanted.kind, descriptor);
    }

    fn owner(&self, process: u32, file: FileId, kind: LockKind, descriptor: i32) -> Owner {
        if kind == LockKind::Posix {
            return Owner::Process(process);
        }
        let is_same = |owner: &Owner| match owner {
            Owner::Description(pid, fd) => process::same_description((*pid, *fd), (process, descriptor)) == Some(true),
            Owner::Process(_) => false,
        };
        let known = self.locks.held(file).iter().map(|held| held.owner).find(is_same);
        known.unwrap_or(Owner::Description(process, descriptor))
    }
}

fn open_descriptors(process: u32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn within(descriptor: i32, first: u32, last: u32) -> bool {
    u32::try_from(descriptor).is_ok_and(|descriptor| (first..=last).contains(&descriptor))
}
