//! The moves of a system, looked up in tables.
//!
//! Each part of a state (a process, or what all share) is kept once and has a number, so a state is a short vector of
//! numbers. What a move does to the part of its process depends on that part and at most on the shared part and on a few
//! facts about the others; it is worked out once and remembered.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::merge::{RUN_MAX, is_between_calls, is_silent};
use crate::machine::data_race;
use crate::monitor::{self, Wrong};
use crate::op::{LockResult, Mode, Op, Outcome, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::state::{Life, Local, Model, Shared};
use crate::step::{self, Around, ModelError};
use crate::times;
use crate::trace::Effect;
use crate::value::{Instant, Stamp};
use crate::world::locks::{Answer, Waits, closes_cycle};

/// The number of a part of a state.
pub type PartId = u32;

/// Parts that were met, each once.
#[derive(Debug)]
struct Parts<T> {
    all: Vec<Arc<T>>,
    ids: FxHashMap<Arc<T>, PartId>,
}

impl<T: Hash + Eq> Parts<T> {
    fn new() -> Self {
        Self { all: Vec::new(), ids: FxHashMap::default() }
    }

    /// The number of `part`, and whether it is new.
    fn intern(&mut self, part: T) -> (PartId, bool) {
        if let Some(id) = self.ids.get(&part) {
            return (*id, false);
        }
        let id = PartId::try_from(self.all.len()).unwrap_or(PartId::MAX);
        let part = Arc::new(part);
        self.all.push(Arc::clone(&part));
        self.ids.insert(part, id);
        (id, true)
    }

    fn get(&self, id: PartId) -> &Arc<T> {
        &self.all[id as usize]
    }
}

/// What one thread of a part can do next.
#[derive(Debug)]
pub struct Action {
    /// The thread; [`KILL`] if it is the kill of the process.
    pub thread: u8,
    /// The lock that it asks for or waits for: its bit and mode, and whether it waits already.
    pub lock: Option<(u8, Mode, bool)>,
    /// Whether it may be taken before everything else, if it turns out to be invisible: it reads what nobody can change
    /// while this process holds its lock.
    pub reads_under_lock: bool,
    uses_shared: bool,
    uses_stamp: bool,
    uses_readers: bool,
    uses_instant: bool,
    /// Results that depend on nothing but what the lock does: free, and the four answers of the kernel.
    known: [u32; 5],
}

/// The thread number of a kill.
pub const KILL: u8 = u8::MAX;
const UNKNOWN: u32 = u32::MAX;
const SAME: PartId = PartId::MAX;

/// What a part of a process means to the others.
#[derive(Debug, Default)]
pub struct Info {
    /// What its threads can do.
    pub actions: Vec<Action>,
    /// The locks held, by bit: shared, exclusive.
    pub held: [u64; 2],
    /// The locks that threads wait for: thread, bit, mode.
    pub waiting: Vec<(u8, u8, Mode)>,
    /// The threads that are done, or that a death has ended, by bit; all where the process is gone.
    pub done: u64,
    /// Whether it may be killed.
    pub alone: bool,
    stamps: u64,
    times: u64,
    readers: bool,
    in_query: bool,
    beside: bool,
}

/// Where a move leads.
#[derive(Clone, Copy, Debug)]
pub struct Successor {
    /// The part of the process.
    pub local: PartId,
    shared: PartId,
    /// Which outcome it is.
    pub branch: u8,
    /// The lock that is granted: its bit and one, or 0.
    pub granted: u8,
    flags: u8,
}

const PROGRESS: u8 = 1;
const REPLACED: u8 = 2;
const RELEASED: u8 = 4;
const VISIBLE: u8 = 8;

impl Successor {
    /// Whether it brings its thread on.
    #[must_use]
    pub fn progress(self) -> bool {
        self.flags & PROGRESS != 0
    }

    /// Whether a property or another process may see when it happens.
    #[must_use]
    pub fn visible(self) -> bool {
        self.flags & VISIBLE != 0
    }
}

/// Something that a move showed when it was worked out, which is the first time that it was taken.
#[derive(Debug)]
pub enum Shown {
    /// A property is violated.
    Wrong(Wrong),
    /// The second lock was taken while the first was held.
    Order(Path, Path),
    /// A document or a stamp was written without the lock that governs it.
    Undisciplined,
}

/// The tables.
#[derive(Debug)]
pub struct Moves<'s> {
    /// What is explored.
    pub model: Model<'s>,
    merge: bool,
    locals: Parts<Local>,
    infos: Vec<Info>,
    shareds: Parts<Shared>,
    shared_stamps: Vec<u64>,
    shared_times: Vec<u64>,
    /// The lock files, by bit.
    pub inodes: Vec<Path>,
    results: Vec<(u32, u8)>,
    successors: Vec<Successor>,
    memo: FxHashMap<(u64, u64), u32>,
    seen: FxHashMap<(PartId, PartId), PartId>,
    /// How to make ranks dense, by the ranks that are held; `None` if they are.
    dense: FxHashMap<u64, Option<times::Renaming>>,
    last_dense: u64,
    renamed: FxHashMap<(PartId, u64), PartId>,
    /// What the moves that were worked out have shown and the search has not looked at yet, each with the outcome number
    /// of its move: all outcomes of an operation are worked out at once.
    pub shown: Vec<(u8, Shown)>,
    /// The outcome that is being worked out.
    branch: u8,
    timed: bool,
}

/// A state: the number of each process's part, then of the shared part.
pub type Ids = [PartId];

impl<'s> Moves<'s> {
    /// Tables for `model`, and the state that it starts in.
    ///
    /// # Errors
    /// A mistake of a protocol, or a limit of the model.
    pub fn new(mut model: Model<'s>, merge: bool) -> Result<(Self, Vec<PartId>), ModelError> {
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
    pub fn info(&self, id: PartId) -> &Info {
        &self.infos[id as usize]
    }

    /// The part of a process.
    #[must_use]
    pub fn local(&self, id: PartId) -> &Local {
        self.locals.get(id)
    }

    /// How many parts, control states and remembered moves there are: what the search needs besides its states.
    #[must_use]
    pub fn sizes(&self) -> [usize; 4] {
        [self.locals.all.len(), self.shareds.all.len(), self.model.automaton.len(), self.results.len()]
    }

    fn bit(&mut self, inode: &Path) -> Result<u8, ModelError> {
        let index = self.inodes.iter().position(|known| known == inode).unwrap_or_else(|| {
            self.inodes.push(inode.clone());
            self.inodes.len() - 1
        });
        u8::try_from(index).ok().filter(|bit| *bit < 64).ok_or(ModelError::Locks)
    }

    fn intern_shared(&mut self, shared: Shared) -> Result<PartId, ModelError> {
        let (id, new) = self.shareds.intern(shared);
        if new {
            let shared = Arc::clone(self.shareds.get(id));
            self.shared_stamps.push(stamp_mask(&shared.stamps_held())?);
            self.shared_times.push(time_mask(&times::of_shared(&shared))?);
        }
        Ok(id)
    }

    /// `shared` is any shared part with which `local` was met: what a thread does before its first visible operation
    /// does not depend on it, only what monitors remember does.
    fn intern_local(&mut self, local: Local, shared: PartId) -> Result<PartId, ModelError> {
        let (id, new) = self.locals.intern(local);
        if new {
            let info = self.describe(id, shared)?;
            self.infos.push(info);
        }
        Ok(id)
    }

    fn describe(&mut self, id: PartId, shared: PartId) -> Result<Info, ModelError> {
        let local = Arc::clone(self.locals.get(id));
        if let Some((wrong, _)) = data_race(&self.model, &local)
            && self.model.watched.contains(&Property::NoDataRace)
        {
            self.shown.push((self.branch, Shown::Wrong(wrong)));
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
            });
        }
        Ok(info)
    }

    fn action(&mut self, local: &Local, thread: usize, number: u8, shared: PartId) -> Result<Action, ModelError> {
        let begins = !local.threads[thread].begun;
        let query = self.model.automaton.node(local.threads[thread].node).call.is_query();
        let mut ahead = local.clone();
        let mut unused = (**self.shareds.get(shared)).clone();
        let shown = self.shown.len();
        let ended = self.run_silently(&mut ahead, &mut unused, &Facts::default(), thread, &mut Report::default())?;
        self.shown.truncate(shown);
        let watched = |property| self.model.watched.contains(&property);
        let judged = watched(Property::CrashSafe) || (begins && query && watched(Property::Fresh));
        let readers = begins && query && watched(Property::ParallelReads);
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
        Ok(Action {
            thread: number,
            lock,
            reads_under_lock,
            uses_shared: touches || judged,
            uses_stamp: matches!(op, Some(Op::WriteStamp { .. })),
            uses_readers: readers,
            uses_instant: matches!(op, Some(Op::Now)),
            known: [UNKNOWN; 5],
        })
    }

    /// The successors of process `at` by its action number `action` in the state `ids`: a range for [`Moves::successor`].
    ///
    /// # Errors
    /// A mistake of a protocol, or a limit of the model.
    pub fn successors(&mut self, ids: &Ids, at: usize, action: usize) -> Result<Range<u32>, ModelError> {
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
            let facts = Facts {
                excluded: situation > 0,
                cycle: Answer {
                    possible: situation > 0 && (situation - 1) & 1 != 0,
                    certain: situation > 0 && (situation - 1) & 2 != 0,
                },
                fresh: Some(fresh),
                readers,
                instant: instant_held.then_some(instant),
            };
            let worked_out = self.work_out(local, shared, action, &facts)?;
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
    pub fn successor(&self, number: u32) -> Successor {
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
    pub fn apply(&mut self, ids: &mut Ids, at: usize, successor: Successor) -> Result<(), ModelError> {
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
        let renaming = self.dense.entry(held).or_insert_with(|| times::renaming(&ranks(held))).clone();
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

    fn work_out(&mut self, local: PartId, shared: PartId, action: usize, facts: &Facts) -> Result<u32, ModelError> {
        let thread = self.info(local).actions[action].thread;
        let mut found = Vec::new();
        for branch in 0..=u8::MAX {
            self.branch = branch;
            let mut part = (**self.locals.get(local)).clone();
            let mut common = (**self.shareds.get(shared)).clone();
            let mut report = Report::default();
            let moved = if thread == KILL {
                branch == 0 && self.kill(&mut part, &mut common, &mut report)
            } else {
                self.run(&mut part, &mut common, facts, usize::from(thread), branch, &mut report)?
            };
            if !moved {
                break;
            }
            let common = self.intern_shared(common)?;
            let id = self.intern_local(part, common)?;
            let shared = if common == shared { SAME } else { common };
            found.push(Successor { local: id, shared, branch, granted: report.granted, flags: report.flags });
        }
        let start = u32::try_from(self.successors.len()).unwrap_or(u32::MAX);
        let result = u32::try_from(self.results.len()).unwrap_or(u32::MAX);
        self.results.push((start, u8::try_from(found.len()).unwrap_or(u8::MAX)));
        self.successors.extend(found);
        Ok(result)
    }

    fn kill(&mut self, local: &mut Local, shared: &mut Shared, report: &mut Report) -> bool {
        let killed = step::kill(&self.model, local, shared, Step::Kill { process: 0 });
        if let Some(performed) = &killed {
            report.flags |= PROGRESS | VISIBLE | if performed.released_read { RELEASED } else { 0 };
        }
        killed.is_some()
    }

    /// A move: what comes silently before the operation, the operation, what comes silently after it.
    fn run(
        &mut self,
        local: &mut Local,
        shared: &mut Shared,
        facts: &Facts,
        thread: usize,
        branch: u8,
        report: &mut Report,
    ) -> Result<bool, ModelError> {
        if self.run_silently(local, shared, facts, thread, report)? {
            return Ok(branch == 0);
        }
        let ran = report.flags & PROGRESS != 0;
        if !self.micro(local, shared, facts, thread, branch, report)? {
            // A thread that is alone and blocks itself: what it did before that is a move, and its last.
            return Ok(ran && branch == 0);
        }
        if !is_between_calls(local, thread) {
            self.run_silently(local, shared, facts, thread, report)?;
        }
        Ok(true)
    }

    /// Performs the silent operations that `thread` stands before. Whether a call ended with them.
    fn run_silently(
        &mut self,
        local: &mut Local,
        shared: &mut Shared,
        facts: &Facts,
        thread: usize,
        report: &mut Report,
    ) -> Result<bool, ModelError> {
        for _ in 0..RUN_MAX {
            if !(self.merge && is_silent(&self.model, local, thread)) {
                return Ok(false);
            }
            if !self.micro(local, shared, facts, thread, 0, report)? {
                return Ok(false);
            }
            if is_between_calls(local, thread) {
                return Ok(true);
            }
        }
        Err(ModelError::LocalRun { process: self.model.process(local.kind).name.clone() })
    }

    fn micro(
        &mut self,
        local: &mut Local,
        shared: &mut Shared,
        facts: &Facts,
        thread: usize,
        branch: u8,
        report: &mut Report,
    ) -> Result<bool, ModelError> {
        let step = Step::Run { process: 0, thread: u8::try_from(thread).unwrap_or(KILL), branch };
        let Some(performed) = step::perform(&mut self.model, local, shared, facts, thread, branch, step)? else {
            return Ok(false);
        };
        report.flags |= if performed.progress { PROGRESS } else { 0 };
        report.flags |= if performed.layers_replaced { REPLACED } else { 0 };
        report.flags |= if performed.released_read { RELEASED } else { 0 };
        let event = &performed.event;
        if event.begins.is_some() || event.ends.is_some() || !event.notes.is_empty() || !performed.wrong.is_empty() {
            report.flags |= VISIBLE;
        }
        if let (Some(Op::Lock { file, .. }), Effect::Done(Outcome::Locked(LockResult::Granted))) =
            (&event.op, &event.effect)
        {
            report.granted = self.bit(&self.model.system.inode(file))? + 1;
        }
        let written = match &event.op {
            Some(Op::WriteStamp { file }) => Some(file),
            Some(Op::Rename { document, .. }) => Some(&document.lock),
            _ => None,
        };
        if written.is_some_and(|lock| local.locks.get(&self.model.system.inode(lock)) != Some(&Mode::Exclusive)) {
            self.shown.push((self.branch, Shown::Undisciplined));
        }
        let wrong = performed.wrong.into_iter().map(Shown::Wrong);
        let orders = performed.orders.into_iter().map(|(first, second)| Shown::Order(first, second));
        let branch = self.branch;
        self.shown.extend(wrong.chain(orders).map(|shown| (branch, shown)));
        Ok(true)
    }
}

fn stamp_mask(stamps: &BTreeSet<Stamp>) -> Result<u64, ModelError> {
    let too_many = stamps.iter().any(|stamp| stamp.0 >= crate::state::STAMPS_MAX);
    if too_many { Err(ModelError::Stamps) } else { Ok(stamps.iter().fold(0, |mask, stamp| mask | 1 << stamp.0)) }
}

fn time_mask(ranks: &BTreeSet<u64>) -> Result<u64, ModelError> {
    let too_many = ranks.iter().any(|rank| *rank >= 64);
    if too_many { Err(ModelError::Times) } else { Ok(ranks.iter().fold(0, |mask, rank| mask | 1 << rank)) }
}

/// What happened in a move.
#[derive(Default)]
struct Report {
    flags: u8,
    granted: u8,
}

/// What a move is told of the others.
#[derive(Default)]
struct Facts {
    excluded: bool,
    cycle: Answer,
    fresh: Option<Stamp>,
    readers: bool,
    instant: Option<Instant>,
}

impl Around for Facts {
    fn excluded(&self, _inode: &Path, _mode: Mode) -> bool {
        self.excluded
    }
    fn closes_cycle(&self, _inode: &Path, _mode: Mode) -> Answer {
        self.cycle
    }
    fn fresh_stamp(&self) -> Option<Stamp> {
        self.fresh
    }
    fn others_read(&self) -> bool {
        self.readers
    }
    fn instant_held(&self, instant: Instant) -> bool {
        self.instant == Some(instant)
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
