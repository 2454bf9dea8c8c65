//! What a part of a process means: what its threads can do next, and what the others have to know of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::merge::{ends_drivers, is_silent};
use super::moves::{Moves, Shown};
use super::parts::PartId;
use super::work::Report;
use crate::machine::data_race;
use crate::monitor;
use crate::op::{Mode, Op, Path};
use crate::property::Property;
use crate::state::{Life, Local};
use crate::step::{Around, ModelError};
use crate::times;
use crate::value::Stamp;

/// What one thread of a part can do next.
#[derive(Debug)]
pub(super) struct Action {
    /// The thread; [`KILL`] if it is the kill of the process.
    pub(super) thread: u8,
    /// The lock that it asks for or waits for: its bit and mode, and whether it waits already.
    pub(super) lock: Option<(u8, Mode, bool)>,
    /// Whether it may be taken before everything else, if it turns out to be invisible: it reads what nobody can change
    /// while this process holds its lock.
    pub(super) reads_under_lock: bool,
    pub(super) uses_shared: bool,
    pub(super) uses_stamp: bool,
    pub(super) uses_readers: bool,
    pub(super) uses_instant: bool,
    /// Results that depend on nothing but what the lock does: free, and the four answers of the kernel.
    pub(super) known: [u32; 5],
    /// Whether the operation may have several outcomes.
    pub(super) many: bool,
}

/// The thread number of a kill.
pub(super) const KILL: u8 = u8::MAX;
/// No result is known yet.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// What a part of a process means to the others.
#[derive(Debug, Default)]
pub(super) struct Info {
    /// What its threads can do.
    pub(super) actions: Vec<Action>,
    /// The locks held, by bit: shared, exclusive.
    pub(super) held: [u64; 2],
    /// The locks that threads wait for: thread, bit, mode.
    pub(super) waiting: Vec<(u8, u8, Mode)>,
    /// The threads that are done, or that a death has ended, by bit; all where the process is gone.
    pub(super) done: u64,
    /// Whether it may be killed.
    pub(super) alone: bool,
    pub(super) stamps: u64,
    pub(super) times: u64,
    pub(super) readers: bool,
    pub(super) in_query: bool,
    pub(super) beside: bool,
}

impl Moves<'_> {
    /// `shared` is any shared part with which `local` was met: what a thread does before its first visible operation
    /// does not depend on it, only what monitors remember does.
    pub(super) fn intern_local(&mut self, local: Local, shared: PartId) -> Result<PartId, ModelError> {
        let (id, new) = self.locals.intern(local);
        if new {
            let info = self.describe(id, shared)?;
            self.infos.push(info);
        }
        Ok(id)
    }

    fn describe(&mut self, id: PartId, shared: PartId) -> Result<Info, ModelError> {
        let local = Arc::clone(self.locals.get(id));
        if self.model.watched.contains(&Property::NoDataRace) {
            self.race(&local);
        }
        let mut info = Info {
            stamps: stamp_mask(&local.stamps_held(&self.model.automaton))?,
            times: time_mask(&times::of_local(&local, &self.model.automaton))?,
            readers: monitor::readers_inside(&local) > 0,
            alone: local.threads.iter().filter(|thread| thread.done.is_none()).count() == 1
                && !self.model.process(local.kind).may_crash,
            ..Info::default()
        };
        for (inode, mode) in &local.locks {
            info.held[usize::from(*mode == Mode::Exclusive)] |= 1 << self.bit(inode)?;
        }
        for (index, thread) in local.threads.iter().enumerate() {
            let number = u8::try_from(index).unwrap_or(KILL);
            if thread.done.is_some() {
                info.done |= 1 << (index & 63);
            }
            info.in_query |= thread.begun && !thread.answers.is_empty();
            info.beside |= thread.beside;
            if let Some((inode, mode)) = &thread.waiting {
                info.waiting.push((number, self.bit(inode)?, *mode));
            }
            if local.may_run(self.model.process(local.kind), index) {
                let action = self.action(&local, index, number, shared)?;
                info.actions.push(action);
            }
        }
        if local.life != Life::Alive {
            info.done = u64::MAX;
        } else if self.model.process(local.kind).may_crash {
            info.actions.push(Action {
                thread: KILL,
                lock: None,
                reads_under_lock: false,
                uses_shared: true,
                uses_stamp: false,
                uses_readers: false,
                uses_instant: false,
                known: [UNKNOWN; 5],
                many: false,
            });
        }
        Ok(info)
    }

    fn race(&mut self, local: &Local) {
        while let Some((field, wrong)) = data_race(&self.model, local) {
            if !self.model.leaves_races_out {
                self.shown.push((self.branch, Shown::Wrong(wrong)));
                return;
            }
            self.model.races_left_out.insert(field.to_string());
        }
    }

    fn action(&mut self, local: &Local, thread: usize, number: u8, shared: PartId) -> Result<Action, ModelError> {
        let begins = !local.threads[thread].begun;
        let (query, read) = {
            let call = &self.model.automaton.node(local.threads[thread].node).call;
            (call.is_query(), call.is_read())
        };
        let mut moved = None;
        let mut ended = false;
        if self.merge && is_silent(&self.model, local, thread) {
            let mut common = (**self.shareds.get(shared)).clone();
            let ahead = moved.insert(local.clone());
            let shown = self.shown.len();
            ended = self.run_silently(ahead, &mut common, &Around::default(), thread, &mut Report::default())?;
            self.shown.truncate(shown);
        }
        let ahead = moved.as_ref().unwrap_or(local);
        let watched = |property| self.model.watched.contains(&property);
        let judged = watched(Property::CrashSafe) || (begins && query && watched(Property::Fresh));
        let readers = begins && read && watched(Property::ParallelReads);
        let op = if ended { None } else { self.model.automaton.node(ahead.threads[thread].node).op().cloned() };
        let holds = |file: &Path| ahead.locks.contains_key(&self.model.system.inode(file));
        let reads_under_lock = match &op {
            Some(Op::ReadStamp { file }) => holds(file),
            Some(Op::Read { document }) => holds(&document.lock),
            _ => false,
        };
        let lock = match &op {
            Some(Op::Lock { file, mode, .. }) => {
                let waits = ahead.threads[thread].waiting.is_some();
                Some((self.bit(&self.model.system.inode(file))?, *mode, waits))
            }
            _ => None,
        };
        let touches = matches!(
            op,
            Some(
                Op::ReadStamp { .. }
                    | Op::WriteStamp { .. }
                    | Op::Read { .. }
                    | Op::Rename { .. }
                    | Op::Mtime { .. }
                    | Op::Now
            )
        );
        let touches = touches || op.as_ref().is_some_and(|op| ends_drivers(&self.model, op));
        Ok(Action {
            thread: number,
            lock,
            reads_under_lock,
            uses_shared: touches || judged,
            uses_stamp: matches!(op, Some(Op::WriteStamp { .. })),
            uses_readers: readers,
            uses_instant: matches!(op, Some(Op::Now)),
            known: [UNKNOWN; 5],
            many: lock.is_some()
                || matches!(op, Some(Op::Choose { .. } | Op::WriteStamp { .. } | Op::Rename { .. } | Op::Now)),
        })
    }
}

pub(super) fn stamp_mask(stamps: &BTreeSet<Stamp>) -> Result<u64, ModelError> {
    let too_many = stamps.iter().any(|stamp| stamp.0 >= crate::state::STAMPS_MAX);
    if too_many { Err(ModelError::Stamps) } else { Ok(stamps.iter().fold(0, |mask, stamp| mask | 1 << stamp.0)) }
}

pub(super) fn time_mask(ranks: &BTreeSet<u64>) -> Result<u64, ModelError> {
    let too_many = ranks.iter().any(|rank| *rank >= 64);
    if too_many { Err(ModelError::Times) } else { Ok(ranks.iter().fold(0, |mask, rank| mask | 1 << rank)) }
}
