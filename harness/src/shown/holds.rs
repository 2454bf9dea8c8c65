//! Which thread holds what, as the threads noted it.

use std::collections::BTreeMap;

use lockproof_model::op::{Mode, Note, Path};
use lockproof_model::schedule::Step;
use lockproof_model::system::System;

use crate::replay::Taken;

/// The locks of the lock library that each thread holds, as it noted.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<(u32, u8), Vec<(Path, Mode)>>);

impl Holds {
    /// The thread that took a step: its process id, and its number.
    pub(super) fn key(taken: &Taken) -> (u32, u8) {
        let thread = if let Step::Run { thread, .. } = taken.real.step { thread } else { 0 };
        (taken.pid, thread)
    }

    /// Of the thread that took a step.
    pub(super) fn of(&self, taken: &Taken) -> impl Iterator<Item = &(Path, Mode)> {
        self.0.get(&Self::key(taken)).into_iter().flatten()
    }

    /// Of the other threads of its process.
    pub(super) fn others_in_process(&self, taken: &Taken) -> impl Iterator<Item = &(Path, Mode)> {
        let me = Self::key(taken);
        self.0.iter().filter(move |((pid, thread), _)| *pid == me.0 && *thread != me.1).flat_map(|(_, held)| held)
    }

    /// Whether a thread other than `me` holds a lock for which `wanted` holds, for reading.
    pub(super) fn another_reads(&self, me: (u32, u8), wanted: impl Fn(&Path) -> bool) -> bool {
        let others = self.0.iter().filter(|(thread, _)| **thread != me).flat_map(|(_, held)| held);
        others.into_iter().any(|(path, mode)| *mode == Mode::Shared && wanted(path))
    }

    /// A process is gone.
    pub(super) fn forget(&mut self, pid: u32) {
        self.0.retain(|(other, _), _| *other != pid);
    }

    /// Follows what a step notes.
    pub(super) fn follow(&mut self, taken: &Taken, system: &System) {
        let held = self.0.entry(Self::key(taken)).or_default();
        for note in &taken.real.notes {
            match note {
                Note::Acquire(..) => {}
                Note::Acquired(path, mode) => held.push((system.inode(path), *mode)),
                Note::Release(path) => {
                    let inode = system.inode(path);
                    if let Some(last) = held.iter().rposition(|(path, _)| *path == inode) {
                        held.remove(last);
                    }
                }
            }
        }
    }
}
