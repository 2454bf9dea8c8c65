//! A step of an execution: who does what, and which steps the order of two matters for.

use std::path::Path;
use std::sync::Arc;

use lockproof_model::op::Mode;
use serde::{Deserialize, Serialize};

use super::fault::{self, Fault};
use crate::supervise::event::{Action, FileRef, LockKind};

/// A name of at least so many digits at the end is drawn at random (Go's `os.CreateTemp`).
const RANDOM_DIGITS: usize = 6;

/// The length of an id that a store draws at random, in hexadecimal digits.
const RANDOM_ID: usize = 64;

/// Who takes a step: a process of a participant, or a goroutine of a process of the library. Children are numbered in the
/// order in which they are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Unit {
    /// The participant, from 0.
    pub participant: usize,
    /// The process of it, from 0, which is the command itself. In a process of the library, 1 is the first goroutine that
    /// was named, 0 whatever else the process does; its children come after the goroutines.
    pub process: usize,
}

/// What a step touches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resource {
    /// The locks of a file.
    Lock(String),
    /// A name in a directory.
    Name(String),
    /// What a file contains, its length and times included.
    Content(String),
    /// Which names are in a directory.
    Names(String),
}

/// What it is touched for. `Read` goes with `Read`, `Change` with `Change`, and releases with releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Read; a shared lock.
    Read,
    /// Written; an exclusive lock.
    Write,
    /// One of many names changes.
    Change,
    /// A lock that was shared is released.
    ReleaseShared,
    /// A lock that was exclusive is released.
    ReleaseExclusive,
}

/// A step that a unit takes, or stands before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whose.
    pub unit: Unit,
    /// What, in words that are the same in each execution. Shared by its copies, of which a search keeps many.
    pub what: Arc<str>,
    /// Shared, too.
    pub(super) touches: Arc<Vec<(Resource, Access)>>,
    pub(super) lock: LockStep,
    /// What may happen in its place, but for a crash.
    pub(super) possible: &'static [Fault],
    /// What happened in its place.
    pub fault: Option<Fault>,
}

/// What a step is to a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockStep {
    /// Nothing.
    No,
    /// A lock is taken, waiting if need be: only when it is free.
    Takes,
    /// A lock is tried.
    Tries,
    /// Locks are dropped.
    Drops,
}

/// Two accesses to one resource whose order matters.
pub(super) fn clash(one: Access, other: Access) -> bool {
    use Access::{Change, Read, ReleaseExclusive, ReleaseShared};
    !matches!(
        (one, other),
        (Read, Read | ReleaseShared)
            | (ReleaseShared, Read)
            | (Change, Change)
            | (ReleaseShared | ReleaseExclusive, ReleaseShared | ReleaseExclusive)
    )
}

impl Step {
    /// Whether the order of two steps matters. Steps of one process keep their order.
    #[must_use]
    pub fn depends_on(&self, other: &Step) -> bool {
        self.unit == other.unit
            || self.touches.iter().any(|(resource, access)| {
                other.touches.iter().any(|(another, its)| resource == another && clash(*access, *its))
            })
    }

    /// Whether it takes a lock that `drop` has dropped, and so could not have come before it.
    pub(super) fn was_let_by(&self, drop: &Step) -> bool {
        self.lock == LockStep::Takes && drop.lock == LockStep::Drops && self.shares_lock(drop)
    }

    /// Whether both are about the locks of one file.
    pub(super) fn shares_lock(&self, other: &Step) -> bool {
        other.locks().any(|file| self.locks().any(|mine| mine == file))
    }

    /// The files whose locks it is about.
    fn locks(&self) -> impl Iterator<Item = &str> {
        self.touches.iter().filter_map(|(resource, _)| match resource {
            Resource::Lock(file) => Some(file.as_str()),
            _ => None,
        })
    }

    /// A goroutine is told something. That concerns nobody else, until it does what it is told.
    pub(super) fn tells(unit: Unit, what: String) -> Step {
        Step { unit, what: what.into(), touches: Arc::default(), lock: LockStep::No, possible: &[], fault: None }
    }

    /// It is of a process of the library, whose goroutines may have something to do with each other that is not seen.
    pub(super) fn in_memory_of(mut self, participant: usize) -> Step {
        self.touch(Resource::Content(format!("the memory of {participant}")), Access::Write);
        self
    }

    /// What a unit is about to do. `base` is the directory in which this execution's files are; `released` says in which
    /// mode the locks are that are dropped.
    pub(super) fn of(unit: Unit, base: &Path, actions: &[(Action, Option<Mode>)]) -> Step {
        let possible = if let [(action, _)] = actions { fault::possible(action) } else { &[] };
        let (what, touches, lock) = (Arc::default(), Arc::default(), LockStep::No);
        let mut step = Step { unit, what, touches, lock, possible, fault: None };
        let mut words = Vec::new();
        for (action, released) in actions {
            words.push(step.add(base, action, *released));
        }
        step.what = words.join(", ").into();
        let touches = Arc::make_mut(&mut step.touches);
        touches.sort();
        touches.dedup();
        step
    }

    fn add(&mut self, base: &Path, action: &Action, released: Option<Mode>) -> String {
        let unit = self.unit;
        let name = |file: &FileRef| steady(unit, base, &file.path);
        let access = |mode| if mode == Mode::Shared { Access::Read } else { Access::Write };
        match action {
            Action::Lock(wanted) | Action::Grant(wanted) => {
                let file = name(&wanted.file);
                self.lock = if wanted.waits { LockStep::Takes } else { LockStep::Tries };
                let letter = if wanted.mode == Mode::Shared { 'R' } else { 'W' };
                let text = format!("{}{letter}({file})", if wanted.waits { "" } else { "try " });
                self.touch(Resource::Lock(world(wanted.kind, file)), access(wanted.mode));
                text
            }
            Action::Release { file, kind, .. } => {
                let file = name(file);
                self.lock = LockStep::Drops;
                let access =
                    if released == Some(Mode::Shared) { Access::ReleaseShared } else { Access::ReleaseExclusive };
                let text = format!("U({file})");
                self.touch(Resource::Lock(world(*kind, file)), access);
                text
            }
            Action::Open { file, mode } => {
                let path = name(file);
                let makes = mode.create && file.id.is_none();
                if makes {
                    self.made(&path);
                } else {
                    self.looked_up(&path);
                }
                if mode.truncate && mode.write {
                    self.touch(Resource::Content(path.clone()), Access::Write);
                }
                format!("{} {path}", if makes { "creates" } else { "opens" })
            }
            Action::Read { file, .. } => self.content("reads", name(file), Access::Read),
            Action::Write { file, .. } => self.content("writes", name(file), Access::Write),
            Action::Truncate { file, .. } => self.content("cuts", name(file), Access::Write),
            Action::Change { file } => {
                let path = name(file);
                self.looked_up(&path);
                self.content("changes", path, Access::Write)
            }
            Action::Status { file } => {
                let path = name(file);
                self.looked_up(&path);
                self.content("asks about", path, Access::Read)
            }
            Action::Sync { file } => format!("syncs {}", name(file)),
            Action::Rename { from, to } => {
                let (from, to) = (name(from), name(to));
                self.made(&from);
                self.made(&to);
                format!("renames {from} to {to}")
            }
            Action::Unlink { file, .. } => {
                let path = name(file);
                self.made(&path);
                format!("removes {path}")
            }
            Action::MakeDirectory { file } => {
                let path = name(file);
                if file.id.is_some() {
                    self.looked_up(&path);
                } else {
                    self.made(&path);
                }
                format!("makes directory {path}")
            }
            Action::Link { file, .. } => {
                let path = name(file);
                self.made(&path);
                format!("links {path}")
            }
            Action::List { file } => {
                let path = name(file);
                self.looked_up(&path);
                self.touch(Resource::Names(path.clone()), Access::Read);
                format!("lists {path}")
            }
            Action::Mount { file, unmount } => {
                let path = name(file);
                self.made(&path);
                format!("{} {path}", if *unmount { "unmounts" } else { "mounts" })
            }
            Action::Execute { program } => {
                format!("executes {}", program.file_name().unwrap_or_default().to_string_lossy())
            }
            Action::Exit { status } => format!("exits with {status}"),
            Action::Ended => "ends".into(),
        }
    }

    fn touch(&mut self, resource: Resource, access: Access) {
        Arc::make_mut(&mut self.touches).push((resource, access));
    }

    fn content(&mut self, verb: &str, path: String, access: Access) -> String {
        let text = format!("{verb} {path}");
        self.touch(Resource::Content(path), access);
        text
    }

    /// A name is looked up, and those of the directories on the way to it.
    fn looked_up(&mut self, path: &str) {
        let on_the_way = path.match_indices('/').map(|(at, _)| &path[..at.max(1)]);
        for name in on_the_way.chain([path]).filter(|name| !name.is_empty()) {
            self.touch(Resource::Name(name.to_owned()), Access::Read);
        }
    }

    /// A name is made, removed, or stands for another file.
    fn made(&mut self, path: &str) {
        if let Some(parent) = Path::new(path).parent() {
            let parent = parent.to_string_lossy().into_owned();
            self.looked_up(&parent);
            self.touch(Resource::Names(parent), Access::Change);
        }
        self.touch(Resource::Name(path.to_owned()), Access::Write);
        self.touch(Resource::Content(path.to_owned()), Access::Write);
    }
}

/// flock(2) knows nothing of fcntl(2).
fn world(kind: LockKind, file: String) -> String {
    if kind == LockKind::Flock { format!("flock {file}") } else { file }
}

/// A path as it is in every execution: below the execution's own directory, without what is drawn at random.
fn steady(unit: Unit, base: &Path, path: &Path) -> String {
    let mut text = String::new();
    for part in path.strip_prefix(base).unwrap_or(path) {
        if !text.is_empty() && text != "/" {
            text.push('/');
        }
        let name = part.to_string_lossy();
        let is_id = name.len() >= RANDOM_ID && name.bytes().take(RANDOM_ID).all(|byte| byte.is_ascii_hexdigit());
        // An id may end with digits, too.
        let (id, rest) = if is_id { ("*", &name[RANDOM_ID..]) } else { ("", &*name) };
        text.push_str(id);
        let kept = rest.trim_end_matches(|digit: char| digit.is_ascii_digit());
        if rest.len() - kept.len() >= RANDOM_DIGITS {
            // Drawn by this unit, so it is nobody else's.
            text.extend([kept, "*", &format!("{}.{}", unit.participant, unit.process)]);
        } else {
            text.push_str(rest);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_at_random_is_the_same_in_each_execution() {
        let is = |path: &str, expected: &str| {
            let unit = Unit { participant: 1, process: 0 };
            assert_eq!(steady(unit, Path::new("/store"), &Path::new("/store/root").join(path)), expected);
        };
        is(&"5a".repeat(32), "root/*");
        // One id in seventeen ends so.
        is(&format!("{}123456/merged", "5a".repeat(29)), "root/*/merged");
        is(&format!("{}.lock", "17".repeat(32)), "root/*.lock");
        is(".tmp-layers.json2129768325", "root/.tmp-layers.json*1.0");
        is("layer-12345", "root/layer-12345");
        is("/elsewhere/tmp1234567", "/elsewhere/tmp*1.0");
    }
}
