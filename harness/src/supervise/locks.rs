//! Who holds which lock and who waits for one, of all supervised processes; by the rules of `fs/locks.c`.
//!
//! A call that would block is parked by the supervisor, so the kernel sees no waiter and finds no deadlock. It is found
//! here, with the rule of the model ([`lockproof_model::world::locks`]). The table keeps locks in the order of the
//! kernel's list, for where several processes exclude a request the kernel looks at the first.

use std::collections::{BTreeMap, BTreeSet};

use lockproof_model::op::Mode;
use lockproof_model::world::locks::{Waits, closes_cycle};

use super::event::{FileId, LockKind, Range, Wanted};

/// To whom a lock belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// To a process: `LockKind::Posix`.
    Process(u32),
    /// To an open file description, named after the process and the descriptor that first locked it.
    Description(u32, i32),
}

impl Owner {
    /// The process that it is named after.
    #[must_use]
    pub fn process(self) -> u32 {
        match self {
            Owner::Process(pid) | Owner::Description(pid, _) => pid,
        }
    }
}

/// A request, as the table knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// For whom.
    pub owner: Owner,
    /// Of which file.
    pub file: FileId,
    /// What.
    pub wanted: Wanted,
}

/// A lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// By whom.
    pub owner: Owner,
    /// Which lock.
    pub kind: LockKind,
    /// In which mode.
    pub mode: Mode,
    /// On which bytes.
    pub range: Range,
    /// A call that drops it was let go on, and it is not known yet to have run.
    pub leaving: bool,
}

/// The locks.
#[derive(Clone, Debug, Default)]
pub struct LockTable {
    held: BTreeMap<FileId, Vec<Held>>,
    /// Parked requests, by thread.
    waiting: BTreeMap<u32, Request>,
}

/// POSIX and open-file-description locks exclude each other; flock(2) is a world of its own.
fn same_world(a: LockKind, b: LockKind) -> bool {
    (a == LockKind::Flock) == (b == LockKind::Flock)
}

impl LockTable {
    /// What is held of a file, in the kernel's order.
    #[must_use]
    pub fn held(&self, file: FileId) -> &[Held] {
        self.held.get(&file).map_or(&[], Vec::as_slice)
    }

    /// Whether a process holds a lock on any file, or owns a description that does.
    #[must_use]
    pub fn holds_any(&self, process: u32) -> bool {
        self.held.values().flatten().any(|held| held.owner.process() == process)
    }

    /// The locks of a process on one file.
    pub fn of(&self, process: u32, file: FileId) -> impl Iterator<Item = &Held> {
        self.held(file).iter().filter(move |held| held.owner.process() == process)
    }

    /// The files on which a process holds locks.
    #[must_use]
    pub fn files_of(&self, process: u32) -> Vec<FileId> {
        let holds = |held: &&Held| held.owner.process() == process;
        self.held.iter().filter(|(_, held)| held.iter().any(|held| holds(&held))).map(|(file, _)| *file).collect()
    }

    /// Who is in the way of a request, in the kernel's order.
    #[must_use]
    pub fn in_the_way(&self, request: &Request) -> Vec<&Held> {
        let excludes = |held: &&Held| {
            held.owner != request.owner
                && same_world(held.kind, request.wanted.kind)
                && held.mode.conflicts(request.wanted.mode)
                && held.range.overlaps(request.wanted.range)
        };
        self.held(request.file).iter().filter(excludes).collect()
    }

    /// Whether the kernel would answer `EDEADLK` to a request that has to wait (`posix_locks_deadlock`). It looks at POSIX
    /// locks alone: the owner of another kind waits for nobody that it knows of.
    #[must_use]
    pub fn deadlocks(&self, request: &Request) -> bool {
        let Owner::Process(owner) = request.owner else { return false };
        let Some(first) = self.in_the_way(request).first().copied() else { return false };
        let Owner::Process(blocker) = first.owner else { return false };
        closes_cycle(self, index(owner), &[index(blocker)]).possible
    }

    /// Takes a lock: what the owner held of these bytes is replaced. The kernel keeps an owner's locks together, and a new
    /// owner's at the end (`posix_lock_inode`).
    pub fn take(&mut self, request: &Request) {
        let Wanted { kind, mode, range, .. } = request.wanted;
        self.release(request.file, request.owner, kind, range);
        let list = self.held.entry(request.file).or_default();
        let new = Held { owner: request.owner, kind, mode, range, leaving: false };
        match list.iter().position(|held| held.owner == request.owner) {
            Some(at) => list.insert(at, new),
            None => list.push(new),
        }
    }

    /// Releases what an owner holds of these bytes.
    pub fn release(&mut self, file: FileId, owner: Owner, kind: LockKind, range: Range) {
        let Some(list) = self.held.get_mut(&file) else { return };
        let mut left = Vec::with_capacity(list.len() + 1);
        for held in list.drain(..) {
            if held.owner != owner || !same_world(held.kind, kind) || !held.range.overlaps(range) {
                left.push(held);
                continue;
            }
            if held.range.start < range.start {
                left.push(Held { range: Range { end: range.start - 1, ..held.range }, ..held.clone() });
            }
            if held.range.end > range.end {
                left.push(Held { range: Range { start: range.end + 1, ..held.range }, ..held });
            }
        }
        *list = left;
        if list.is_empty() {
            self.held.remove(&file);
        }
    }

    /// Marks what an owner holds of these bytes as about to go.
    pub fn leave(&mut self, file: FileId, owner: Owner, range: Range) {
        for held in self.held.entry(file).or_default() {
            held.leaving |= held.owner == owner && held.range.overlaps(range);
        }
    }

    /// Whether any lock is about to go.
    #[must_use]
    pub fn anything_leaves(&self) -> bool {
        self.held.values().flatten().any(|held| held.leaving)
    }

    /// Drops what was about to go of a process: the call has run.
    pub fn left(&mut self, process: u32) {
        self.keep(|held| !(held.leaving && held.owner.process() == process));
    }

    /// Drops the locks of a process that has ended. A description lives on where a child has it open.
    pub fn end(&mut self, process: u32) {
        self.keep(|held| held.owner != Owner::Process(process));
        for held in self.held.values_mut().flatten() {
            held.leaving |= held.owner.process() == process;
        }
        self.waiting.retain(|_, request| request.owner.process() != process);
    }

    /// Drops one lock.
    pub fn drop_lock(&mut self, file: FileId, gone: &Held) {
        self.keep_of(file, |held| held != gone);
    }

    /// A lock that was about to go is still there.
    pub fn stays(&mut self, file: FileId, kept: &Held) {
        for held in self.held.entry(file).or_default() {
            held.leaving &= held != kept;
        }
    }

    fn keep(&mut self, keeps: impl Fn(&Held) -> bool) {
        self.held.values_mut().for_each(|list| list.retain(&keeps));
        self.held.retain(|_, list| !list.is_empty());
    }

    fn keep_of(&mut self, file: FileId, keeps: impl Fn(&Held) -> bool) {
        if let Some(list) = self.held.get_mut(&file) {
            list.retain(keeps);
        }
        self.held.retain(|_, list| !list.is_empty());
    }

    /// A thread waits for a lock.
    pub fn wait(&mut self, thread: u32, request: Request) {
        self.waiting.insert(thread, request);
    }

    /// A thread waits no more.
    pub fn wait_ends(&mut self, thread: u32) -> Option<Request> {
        self.waiting.remove(&thread)
    }

    /// Who waits, and for what.
    pub fn waiting(&self) -> impl Iterator<Item = (u32, &Request)> {
        self.waiting.iter().map(|(thread, request)| (*thread, request))
    }
}

impl Waits for LockTable {
    fn blockers(&self, process: usize) -> Vec<usize> {
        let asks = |request: &&Request| request.owner == Owner::Process(pid(process));
        let first = |request: &Request| match self.in_the_way(request).first()?.owner {
            Owner::Process(pid) => Some(index(pid)),
            Owner::Description(..) => None,
        };
        let blockers: BTreeSet<usize> = self.waiting.values().filter(asks).filter_map(first).collect();
        blockers.into_iter().collect()
    }
}

fn index(pid: u32) -> usize {
    pid as usize
}

fn pid(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::event::FileRef;
    use super::*;

    fn request(process: u32, inode: u64, mode: Mode, start: u64, end: u64) -> Request {
        let file = FileId { device: 1, inode };
        let name = FileRef { id: Some(file), path: PathBuf::from("f") };
        let wanted = Wanted { file: name, kind: LockKind::Posix, mode, range: Range { start, end }, waits: true };
        Request { owner: Owner::Process(process), file, wanted }
    }

    fn ranges(table: &LockTable, inode: u64) -> Vec<(u32, u64, u64, Mode)> {
        let held = table.held(FileId { device: 1, inode });
        held.iter().map(|held| (held.owner.process(), held.range.start, held.range.end, held.mode)).collect()
    }

    #[test]
    fn a_lock_inside_another_of_the_same_owner_splits_it() {
        let mut table = LockTable::default();
        table.take(&request(7, 1, Mode::Exclusive, 0, 99));
        table.take(&request(7, 1, Mode::Shared, 10, 19));
        let mut now = ranges(&table, 1);
        now.sort_unstable();
        assert_eq!(now, [(7, 0, 9, Mode::Exclusive), (7, 10, 19, Mode::Shared), (7, 20, 99, Mode::Exclusive)]);
        table.release(FileId { device: 1, inode: 1 }, Owner::Process(7), LockKind::Posix, Range::ALL);
        assert_eq!(ranges(&table, 1), []);
    }

    #[test]
    fn locks_of_other_bytes_are_not_in_the_way() {
        let mut table = LockTable::default();
        table.take(&request(7, 1, Mode::Exclusive, 0, 9));
        assert!(table.in_the_way(&request(8, 1, Mode::Exclusive, 10, u64::MAX)).is_empty());
        assert_eq!(table.in_the_way(&request(8, 1, Mode::Shared, 9, 9)).len(), 1);
        assert!(table.in_the_way(&request(7, 1, Mode::Exclusive, 0, 9)).is_empty());
    }

    #[test]
    fn flock_knows_nothing_of_fcntl() {
        let mut table = LockTable::default();
        table.take(&request(7, 1, Mode::Exclusive, 0, u64::MAX));
        let mut other = request(8, 1, Mode::Exclusive, 0, u64::MAX);
        other.wanted.kind = LockKind::Flock;
        assert!(table.in_the_way(&other).is_empty());
        other.wanted.kind = LockKind::OpenFile;
        assert_eq!(table.in_the_way(&other).len(), 1);
    }

    #[test]
    fn two_who_wait_for_each_other_are_a_deadlock_and_the_end_of_one_frees_the_other() {
        let mut table = LockTable::default();
        table.take(&request(7, 1, Mode::Exclusive, 0, u64::MAX));
        table.take(&request(8, 2, Mode::Exclusive, 0, u64::MAX));
        assert!(!table.deadlocks(&request(8, 1, Mode::Shared, 0, 0)));
        table.wait(8, request(8, 1, Mode::Shared, 0, 0));
        assert!(table.deadlocks(&request(7, 2, Mode::Shared, 0, 0)));
        table.end(8);
        assert!(table.in_the_way(&request(7, 2, Mode::Shared, 0, 0)).is_empty());
        assert_eq!(table.waiting().count(), 0);
    }

    /// Of two readers in the way, only the first in the kernel's list waits for the one who asks, or only the second.
    #[test]
    fn of_several_in_the_way_the_first_decides() {
        for (first, second, found) in [(8, 9, true), (9, 8, false)] {
            let mut table = LockTable::default();
            table.take(&request(7, 1, Mode::Exclusive, 0, u64::MAX));
            table.take(&request(first, 2, Mode::Shared, 0, u64::MAX));
            table.take(&request(second, 2, Mode::Shared, 0, u64::MAX));
            table.wait(8, request(8, 1, Mode::Shared, 0, u64::MAX));
            assert_eq!(table.deadlocks(&request(7, 2, Mode::Exclusive, 0, u64::MAX)), found);
        }
    }

    #[test]
    fn what_leaves_is_in_the_way_until_it_has_left() {
        let mut table = LockTable::default();
        table.take(&request(7, 1, Mode::Exclusive, 0, u64::MAX));
        table.leave(FileId { device: 1, inode: 1 }, Owner::Process(7), Range::ALL);
        assert!(table.in_the_way(&request(8, 1, Mode::Shared, 0, 0))[0].leaving);
        table.left(7);
        assert!(table.in_the_way(&request(8, 1, Mode::Shared, 0, 0)).is_empty());
    }
}
