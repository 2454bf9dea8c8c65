//! The moves of a system, looked up in tables.
//!
//! Each part of a state (a process, or what all share) is kept once and has a number, so a state is a short vector of
//! numbers. What a move does to the part of its process depends on that part and at most on the shared part and on a few
//! facts about the others; it is worked out once and remembered.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::describe::{Info, UNKNOWN, stamp_mask, time_mask};
use super::parts::{PartId, Parts};
use crate::monitor::Wrong;
use crate::op::{Mode, Path};
use crate::state::{Local, Model, Shared};
use crate::step::{self, Around, ModelError};
use crate::times;
use crate::value::{Instant, Stamp};
use crate::world::locks::{Answer, Waits, closes_cycle};

/// Where a move leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Successor {
    /// The part of the process.
    pub(super) local: PartId,
    pub(super) shared: PartId,
    /// Which outcome it is.
    pub(super) branch: u8,
    /// The lock that is granted: its bit and one, or 0.
    pub(super) granted: u8,
    pub(super) flags: u8,
}

pub(super) const PROGRESS: u8 = 1;
pub(super) const REPLACED: u8 = 2;
pub(super) const RELEASED: u8 = 4;
pub(super) const VISIBLE: u8 = 8;
/// In place of a shared part: the one that was there.
pub(super) const SAME: PartId = PartId::MAX;

impl Successor {
    /// Whether it brings its thread on.
    #[must_use]
    pub(super) fn progress(self) -> bool {
        self.flags & PROGRESS != 0
    }

    /// Whether a property or another process may see when it happens.
    #[must_use]
    pub(super) fn visible(self) -> bool {
        self.flags & VISIBLE != 0
    }
}

/// Something that a move showed when it was worked out, which is the first time that it was taken.
#[derive(Debug)]
pub(super) enum Shown {
    /// A property is violated.
    Wrong(Wrong),
    /// The second lock was taken while the first was held.
    Order(Path, Path),
    /// A document or a stamp was written without the lock that governs it.
    Undisciplined,
}

/// The tables.
#[derive(Debug)]
pub(super) struct Moves<'s> {
    /// What is explored.
    pub(super) model: Model<'s>,
    pub(super) merge: bool,
    pub(super) locals: Parts<Local>,
    pub(super) infos: Vec<Info>,
    pub(super) shareds: Parts<Shared>,
    pub(super) shared_stamps: Vec<u64>,
    pub(super) shared_times: Vec<u64>,
    /// The lock files, by bit.
    pub(super) inodes: Vec<Path>,
    pub(super) results: Vec<(u32, u8)>,
    pub(super) successors: Vec<Successor>,
    memo: FxHashMap<(u64, u64), u32>,
    seen: FxHashMap<(PartId, PartId), PartId>,
    /// How to make ranks dense, by the ranks that are held; `None` if they are.
    dense: FxHashMap<u64, Option<times::Renaming>>,
    last_dense: u64,
    renamed: FxHashMap<(PartId, u64), PartId>,
    /// What the moves that were worked out have shown and the search has not looked at yet, each with the outcome number
    /// of its move: all outcomes of an operation are worked out at once.
    pub(super) shown: Vec<(u8, Shown)>,
    /// The outcome that is being worked out.
    pub(super) branch: u8,
    timed: bool,
}

/// A state: the number of each process's part, then of the shared part.
pub(super) type Ids = [PartId];

impl<'s> Moves<'s> {
    /// Tables for `model`, and the state that it starts in.
    ///
    /// # Errors
    /// A mistake of a protocol, or a limit of the model.
    pub(super) fn new(mut model: Model<'s>, merge: bool) -> Result<(Self, Vec<PartId>), ModelError> {
        let state = model.initial()?;
        let mut moves = Self {
            model,
            merge,
            locals: Parts::new(),
            infos: Vec::new(),
            shareds: Parts::new(),
            shared_stamps: Vec::new(),
            shared_times: Vec::new(),
            inodes: Vec::new(),
            results: Vec::new(),
            successors: Vec::new(),
            memo: FxHashMap::default(),
            seen: FxHashMap::default(),
            dense: FxHashMap::default(),
            last_dense: 0,
            renamed: FxHashMap::default(),
            shown: Vec::new(),
            branch: 0,
            timed: !state.shared.mtimes.is_empty(),
        };
        let shared = moves.intern_shared(state.shared)?;
        let mut ids = Vec::new();
        for local in state.locals {
            ids.push(moves.intern_local(local, shared)?);
        }
        ids.push(shared);
        Ok((moves, ids))
    }

    /// What a part means.
    #[must_use]
    pub(super) fn info(&self, id: PartId) -> &Info {
        &self.infos[id as usize]
    }

    /// The part of a process.
    #[must_use]
    pub(super) fn local(&self, id: PartId) -> &Local {
        self.locals.get(id)
    }

    pub(super) fn bit(&mut self, inode: &Path) -> Result<u8, ModelError> {
        let index = self.inodes.iter().position(|known| known == inode).unwrap_or_else(|| {
            self.inodes.push(inode.clone());
            self.inodes.len() - 1
        });
        u8::try_from(index).ok().filter(|bit| *bit < 64).ok_or(ModelError::Locks)
    }

    pub(super) fn intern_shared(&mut self, shared: Shared) -> Result<PartId, ModelError> {
        let (id, new) = self.shareds.intern(shared);
        if new {
            let shared = Arc::clone(self.shareds.get(id));
            self.shared_stamps.push(stamp_mask(&shared.stamps_held())?);
            self.shared_times.push(time_mask(&times::of_shared(&shared))?);
        }
        Ok(id)
    }

    /// The successors of process `at` by its action number `action` in the state `ids`: a range for [`Moves::successor`].
    ///
    /// # Errors
    /// A mistake of a protocol, or a limit of the model.
    pub(super) fn successors(&mut self, ids: &Ids, at: usize, action: usize) -> Result<Range<u32>, ModelError> {
        let local = ids[at];
        let shared = ids[ids.len() - 1];
        let act = &self.infos[local as usize].actions[action];
        let mut situation = 0;
        if let Some((bit, mode, waits)) = act.lock
            && self.excluded(ids, at, bit, mode)
        {
            if waits {
                return Ok(0..0);
            }
            let answer = self.closes_cycle(ids, at, bit, mode);
            situation = 1 + usize::from(answer.possible) + 2 * usize::from(answer.certain);
        }
        let simple = !(act.uses_shared || act.uses_readers);
        if simple && act.known[situation] != UNKNOWN {
            return Ok(self.range(act.known[situation]));
        }
        let fresh = if act.uses_stamp { self.fresh_stamp(ids)? } else { Stamp(0) };
        let readers = act.uses_readers && self.others(ids, at).any(|id| self.info(id).readers);
        let instant = Instant(self.shareds.get(shared).clock + 1);
        let instant_held =
            act.uses_instant && ids[..ids.len() - 1].iter().any(|id| self.info(*id).times >> instant.0 & 1 != 0);
        let key = (
            u64::from(local) << 32 | u64::from(shared),
            (action as u64) << 16
                | u64::from(fresh.0) << 8
                | (situation as u64) << 2
                | u64::from(readers) << 1
                | u64::from(instant_held),
        );
        let mut result = if simple { None } else { self.memo.get(&key).copied() };
        if result.is_none() {
            let around = Around {
                excluded: situation > 0,
                cycle: Answer {
                    possible: situation > 0 && (situation - 1) & 1 != 0,
                    certain: situation > 0 && (situation - 1) & 2 != 0,
                },
                fresh_stamp: Some(fresh),
                others_read: readers,
                instant_held,
            };
            let worked_out = self.work_out(local, shared, action, &around)?;
            if simple {
                self.infos[local as usize].actions[action].known[situation] = worked_out;
            } else {
                self.memo.insert(key, worked_out);
            }
            result = Some(worked_out);
        }
        Ok(self.range(result.unwrap_or_default()))
    }

    fn range(&self, result: u32) -> Range<u32> {
        let (start, count) = self.results[result as usize];
        start..start + u32::from(count)
    }

    /// The successor of that number.
    #[must_use]
    pub(super) fn successor(&self, number: u32) -> Successor {
        self.successors[number as usize]
    }

    fn others<'a>(&self, ids: &'a Ids, at: usize) -> impl Iterator<Item = PartId> + use<'a> {
        ids[..ids.len() - 1].iter().enumerate().filter(move |(index, _)| *index != at).map(|(_, id)| *id)
    }

    fn excluded(&self, ids: &Ids, at: usize, bit: u8, mode: Mode) -> bool {
        self.others(ids, at).any(|id| self.holds_against(id, bit, mode))
    }

    fn holds_against(&self, id: PartId, bit: u8, mode: Mode) -> bool {
        let [shared, exclusive] = self.info(id).held;
        let against = if mode == Mode::Exclusive { shared | exclusive } else { exclusive };
        against >> bit & 1 != 0
    }

    fn closes_cycle(&self, ids: &Ids, at: usize, bit: u8, mode: Mode) -> Answer {
        if self.info(ids[at]).held == [0, 0] {
            return Answer { possible: false, certain: false };
        }
        let waits = WaitsIn { moves: self, ids };
        closes_cycle(&waits, at, &waits.holders(at, bit, mode))
    }

    fn fresh_stamp(&self, ids: &Ids) -> Result<Stamp, ModelError> {
        let locals = &ids[..ids.len() - 1];
        let held = locals
            .iter()
            .fold(self.shared_stamps[ids[ids.len() - 1] as usize], |held, id| held | self.info(*id).stamps);
        self.model.stamp_order.iter().copied().find(|stamp| held >> stamp.0 & 1 == 0).ok_or(ModelError::Stamps)
    }

    /// Puts the state that `successor` of process `at` leads to in place of `ids`.
    ///
    /// # Errors
    /// A mistake of a protocol, or a limit of the model.
    pub(super) fn apply(&mut self, ids: &mut Ids, at: usize, successor: Successor) -> Result<(), ModelError> {
        let last = ids.len() - 1;
        ids[at] = successor.local;
        if successor.shared != SAME {
            ids[last] = successor.shared;
        }
        if successor.flags & (REPLACED | RELEASED) != 0 {
            for other in (0..last).filter(|other| *other != at) {
                let info = self.info(ids[other]);
                let replaced = successor.flags & REPLACED != 0 && info.in_query;
                if replaced || (successor.flags & RELEASED != 0 && info.beside) {
                    let shared = if replaced { ids[last] } else { SAME };
                    ids[other] = self.sees(ids[other], shared, ids[last])?;
                }
            }
        }
        if self.timed { self.normalise_times(ids) } else { Ok(()) }
    }

    /// The part of a process that saw the layers document replaced, or (`replaced` is [`SAME`]) a reader leave.
    fn sees(&mut self, local: PartId, replaced: PartId, shared: PartId) -> Result<PartId, ModelError> {
        if let Some(id) = self.seen.get(&(local, replaced)) {
            return Ok(*id);
        }
        let mut part = (**self.locals.get(local)).clone();
        if replaced == SAME {
            step::see_released(&mut part, None);
        } else {
            step::see_replaced(&self.model, &mut part, self.shareds.get(replaced));
        }
        let id = self.intern_local(part, shared)?;
        self.seen.insert((local, replaced), id);
        Ok(id)
    }

    fn normalise_times(&mut self, ids: &mut Ids) -> Result<(), ModelError> {
        let last = ids.len() - 1;
        let held =
            ids[..last].iter().fold(self.shared_times[ids[last] as usize], |held, id| held | self.info(*id).times);
        if held == self.last_dense {
            return Ok(());
        }
        let ranks = |held: u64| (0..64).filter(move |rank| held >> rank & 1 != 0).collect();
        let apart = self.model.instants_apart;
        let renaming = self.dense.entry(held).or_insert_with(|| times::renaming(&ranks(held), apart)).clone();
        let Some(renaming) = renaming else {
            self.last_dense = held;
            return Ok(());
        };
        let mut shared = (**self.shareds.get(ids[last])).clone();
        times::rename_shared(&mut shared, &renaming);
        ids[last] = self.intern_shared(shared)?;
        for index in 0..last {
            if self.info(ids[index]).times == 0 {
                continue;
            }
            let key = (ids[index], held);
            ids[index] = match self.renamed.get(&key) {
                Some(id) => *id,
                None => {
                    let mut local = (**self.locals.get(ids[index])).clone();
                    times::rename_local(&mut self.model, &mut local, &renaming)?;
                    let id = self.intern_local(local, ids[last])?;
                    self.renamed.insert(key, id);
                    id
                }
            };
        }
        Ok(())
    }
}

struct WaitsIn<'a, 's> {
    moves: &'a Moves<'s>,
    ids: &'a Ids,
}

impl WaitsIn<'_, '_> {
    fn holders(&self, owner: usize, bit: u8, mode: Mode) -> Vec<usize> {
        let processes = 0..self.ids.len() - 1;
        let against = |index: &usize| *index != owner && self.moves.holds_against(self.ids[*index], bit, mode);
        processes.filter(against).collect()
    }
}

impl Waits for WaitsIn<'_, '_> {
    fn blockers(&self, process: usize) -> Vec<usize> {
        let waiting = &self.moves.info(self.ids[process]).waiting;
        waiting.iter().flat_map(|(_, bit, mode)| self.holders(process, *bit, *mode)).collect()
    }
}
