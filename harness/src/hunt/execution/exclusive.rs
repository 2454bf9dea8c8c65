//! Documents that are replaced by one who has not their lock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockproof_model::op::Mode;

use super::super::workload::Workload;
use super::Execution;
use crate::supervise::event::{Action, Fate};

impl Execution {
    /// The documents that were replaced while the process had not their exclusive lock: which, by whom.
    #[must_use]
    pub fn replaced_without_lock(&self) -> Vec<String> {
        let mut held: BTreeMap<u32, Vec<PathBuf>> = BTreeMap::new();
        let mut found = Vec::new();
        for (participant, event) in &self.events {
            let locks = held.entry(event.process).or_default();
            match (&event.action, &event.fate) {
                (Action::Lock(wanted) | Action::Grant(wanted), Fate::Granted) if wanted.mode == Mode::Exclusive => {
                    locks.push(wanted.file.path.clone());
                }
                (Action::Release { file, .. }, Fate::Goes) => locks.retain(|lock| *lock != file.path),
                (Action::Ended, _) => locks.clear(),
                (Action::Rename { to, .. }, Fate::Goes) => {
                    let Some(lock) = lock_of(&to.path) else { continue };
                    if !locks.contains(&lock) {
                        let (who, what) = (Workload::name(*participant), to.path.file_name().unwrap_or_default());
                        found.push(format!("{who} replaces {} without its exclusive lock", what.to_string_lossy()));
                    }
                }
                _ => {}
            }
        }
        found
    }
}

/// The lock file of a document of a store: `layers.lock` of `layers.json` and `volatile-layers.json`. `None` of what is no
/// such document.
pub(in crate::hunt) fn lock_of(document: &Path) -> Option<PathBuf> {
    let name = document.file_name()?.to_str()?;
    let stem = name.strip_suffix(".json")?;
    let stem = stem.strip_prefix("volatile-").unwrap_or(stem);
    ["layers", "mountpoints", "images", "containers"]
        .contains(&stem)
        .then(|| document.with_file_name(format!("{stem}.lock")))
}
