//! Who replaces a document leaves a stamp in its lock file before the lock is released: otherwise nobody loads it anew
//! (`Touch` of pkg/lockfile; before the document since v1.47.0, after it until then).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::hunt::execution::{Execution, lock_of};
use crate::hunt::workload::Workload;
use crate::supervise::event::{Action, Event, Fate};

/// The documents that were replaced while the lock was held, and no stamp was left with them: which, by whom. A process that
/// was killed is none of them.
#[must_use]
pub fn without_stamp(execution: &Execution) -> Vec<String> {
    found(&execution.events)
}

fn found(events: &[(usize, Event)]) -> Vec<String> {
    let mut stamped: BTreeSet<(u32, PathBuf)> = BTreeSet::new();
    let mut replaced: BTreeMap<(u32, PathBuf), String> = BTreeMap::new();
    let mut found = Vec::new();
    for (participant, event) in events {
        let key = |path: PathBuf| (event.process, path);
        match (&event.action, &event.fate) {
            (Action::Write { file, .. }, Fate::Goes) => {
                stamped.insert(key(file.path.clone()));
            }
            (Action::Rename { to, .. }, Fate::Goes) => {
                if let Some(lock) = lock_of(&to.path) {
                    let name = to.path.file_name().unwrap_or_default().to_string_lossy();
                    let text = format!("{} replaces {name} and leaves no stamp", Workload::name(*participant));
                    replaced.insert(key(lock), text);
                }
            }
            (Action::Release { file, .. }, Fate::Goes) => {
                let key = key(file.path.clone());
                if let Some(text) = replaced.remove(&key).filter(|_| !stamped.contains(&key)) {
                    found.push(text);
                }
                stamped.remove(&key);
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::event::{FileRef, LockKind, Range, ReleasedBy};

    fn event(action: Action) -> (usize, Event) {
        (0, Event { at_us: 0, process: 7, thread: 7, action, fate: Fate::Goes })
    }

    fn file(name: &str) -> FileRef {
        FileRef { id: None, path: format!("/s/root/vfs-layers/{name}").into() }
    }

    fn replace() -> (usize, Event) {
        event(Action::Rename { from: file(".tmp-layers.json1"), to: file("layers.json") })
    }

    fn stamp() -> (usize, Event) {
        event(Action::Write { file: file("layers.lock"), offset: None, bytes: 64, content: None })
    }

    fn release() -> (usize, Event) {
        let (kind, range, by) = (LockKind::Posix, Range::ALL, ReleasedBy::Close);
        event(Action::Release { file: file("layers.lock"), kind, range, by })
    }

    #[test]
    fn a_stamp_may_come_before_or_after_the_document_but_must_come() {
        assert!(found(&[replace(), stamp(), release()]).is_empty());
        assert!(found(&[stamp(), replace(), release()]).is_empty());
        assert_eq!(found(&[replace(), release()]), ["A replaces layers.json and leaves no stamp"]);
        // One of an earlier section does not count.
        assert_eq!(found(&[stamp(), release(), replace(), release()]).len(), 1);
    }
}
