//! Whether real processes showed what the model says: judged from what they did, not from what the model thinks of it.
//!
//! The rules are the model's own monitors ([`monitor`]) where those can be fed with what was really seen: documents as
//! they were read from disk after each replacement, replies as the calls returned them, locks as the kernel lists them.

mod holds;
mod library;
mod readers;
mod seen;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use lockproof_model::call::Call;
use lockproof_model::monitor;
use lockproof_model::op::{Mode, Note, Op, Outcome, Path};
use lockproof_model::property::Property;
use lockproof_model::protocol::{Layers, Records};
use lockproof_model::schedule::Step;
use lockproof_model::trace::Effect;
use lockproof_model::value::{Datum, Value};

use crate::replay::{CallMade, ReplayReport, Taken};
use holds::Holds;
use seen::{Happened, Seen};

const STALE_NOT: &str = "every answer was true at some moment of its call";
const ERROR_NOT: &str = "no call returned an error";
const CRASH_NOT: &str = "the kill did no harm that shows";
const DEADLOCK_NOT: &str = "nobody waits without end";

/// What real processes showed of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The violation was seen (of `parallel-reads`: two readers at once), and this is how.
    Seen(String),
    /// It was not.
    NotSeen(String),
}

impl Shown {
    /// Whether it was seen.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        matches!(self, Shown::Seen(_))
    }

    /// How, or why not.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Shown::Seen(text) | Shown::NotSeen(text) => text,
        }
    }

    fn of(seen: Option<String>, otherwise: &str) -> Self {
        seen.map_or_else(|| Self::NotSeen(otherwise.to_owned()), Self::Seen)
    }
}

impl ReplayReport {
    /// What the real processes showed of `property`. A replay that parted from the model shows nothing.
    #[must_use]
    pub fn shows(&self, property: Property) -> Shown {
        if let Some(parted) = &self.parted {
            return Shown::NotSeen(format!("model and reality part at step {}, in the {}", parted.number, parted.what));
        }
        match property {
            Property::Fresh => Shown::of(self.seen().stale_answer(), STALE_NOT),
            Property::NoLostUpdate => Shown::of(self.lost_update(), "every writer knew what it replaced"),
            Property::Exclusive => Shown::of(self.unlocked(true), "every access was under its lock"),
            Property::MutualExclusion => Shown::of(self.unlocked(false), "whoever was inside a lock file had it"),
            Property::NoDeadlock => Shown::of(self.deadlock(), DEADLOCK_NOT),
            Property::NoStarvationWeak | Property::NoStarvationStrong => {
                Shown::of(self.starvation(), "nobody waited through every round while others were granted the lock")
            }
            Property::ParallelReads => Shown::of(self.parallel_readers(), "there were never two readers at once"),
            Property::NoDataRace => Shown::of(self.data_race(), "no two threads stand before accesses to one cell"),
            Property::NoPanic => {
                let first = self.panics.first();
                Shown::of(first.map(|(step, message)| format!("step {step}: panic: {message}")), "nobody panicked")
            }
            Property::NoError => Shown::of(self.seen().error(), ERROR_NOT),
            Property::CrashSafe => Shown::of(self.crash_damage(), CRASH_NOT),
            Property::ReadOnly => Shown::of(
                self.written_read_only().or_else(|| self.opened_to_write()),
                "no store replaced a document that was opened read-only",
            ),
            Property::NoNeedlessLoad => Shown::of(self.needless_load(), "each change was loaded once"),
            Property::DriverAlive => {
                Shown::of(self.dead_driver(), "every mount was by a driver made since the last Shutdown")
            }
            Property::Ordered => Shown::of(self.disorder(), "locks were taken in one order"),
        }
    }

    /// What answers and documents show, in order.
    fn seen(&self) -> Seen<'_> {
        let mut happened = Vec::new();
        for taken in &self.steps {
            let mut add = |what| happened.push((taken.number, taken.pid, what));
            if let Step::Kill { process } = taken.real.step {
                add(Happened::Killed { process });
            }
            if let Some((document, value)) = self.replaced(taken) {
                add(Happened::Replaced { document, value, call: taken.real.call.as_ref() });
            }
            if let (Some(call), Some(reply)) = (&taken.real.call, &taken.real.ends) {
                add(Happened::Returned { call, reply });
            }
        }
        Seen { initial: &self.initial, calls: &self.calls, happened }
    }

    /// The document that answers are judged by that a step replaced, and what it holds now.
    fn replaced<'t>(&self, taken: &'t Taken) -> Option<(Path, &'t Value)> {
        let (Some(Op::Rename { document, .. }), Some(value)) = (&taken.real.op, &taken.became) else { return None };
        let inode = self.system.inode(&document.path);
        monitor::is_contents(&inode).then_some((inode, value))
    }

    fn lost_update(&self) -> Option<String> {
        self.steps.iter().find_map(|taken| {
            let (Some(Op::Rename { document, base, .. }), Some(replaced)) = (&taken.real.op, &taken.replaced) else {
                return None;
            };
            let (_, text) = monitor::judge_base(&document.path, base, replaced)?;
            let after = taken.became.as_ref().map(ids).unwrap_or_default();
            let gone: Vec<String> = (self.calls.iter())
                .filter(|made| made.ended.as_ref().is_some_and(|(step, reply)| *step < taken.number && reply.is_ok()))
                .filter_map(|made| made_in(&document.path, &made.call))
                .filter(|id| !after.contains(id))
                .collect();
            let lost =
                if gone.is_empty() { String::new() } else { format!("; acknowledged and gone: {}", gone.join(", ")) };
            Some(format!("pid {}, step {}: {text}{lost}", taken.pid, taken.number))
        })
    }

    /// Who was inside a lock file that it had not locked; with `accesses`, also who touched a file without its lock.
    fn unlocked(&self, accesses: bool) -> Option<String> {
        let mut holds = Holds::default();
        for taken in &self.steps {
            let access = match &taken.real.op {
                Some(Op::Read { document }) => Some((&document.lock, Mode::Shared, "reads", &document.path)),
                Some(Op::Rename { document, .. }) => {
                    Some((&document.lock, Mode::Exclusive, "replaces", &document.path))
                }
                Some(Op::WriteStamp { file }) => Some((file, Mode::Exclusive, "writes the stamp of", file)),
                _ => None,
            };
            if let Some((lock, need, verb, file)) = access.filter(|_| accesses) {
                let lock = self.system.inode(lock);
                let enough = |mode: Mode| need == Mode::Shared || mode == Mode::Exclusive;
                let in_kernel = taken.locks.iter().any(|held| {
                    !held.waits
                        && held.pid == i64::from(taken.pid)
                        && held.file.as_ref() == Some(&lock)
                        && enough(held.mode)
                });
                let in_library = holds.of(taken).any(|(path, mode)| *path == lock && enough(*mode));
                if !(in_kernel && in_library) {
                    let who = if in_kernel { "another thread holds it" } else { "the kernel knows of no such lock" };
                    let (lock, file) = (lock.file_name(), file.file_name());
                    return Some(format!(
                        "pid {}, step {}: {verb} {file} without the lock {lock}: {who}",
                        taken.pid, taken.number
                    ));
                }
            }
            for note in &taken.real.notes {
                if let Note::Acquired(path, mode) = note {
                    let inode = self.system.inode(path);
                    let known = taken.locks.is_empty()
                        || taken.locks.iter().any(|held| {
                            held.pid == i64::from(taken.pid) && held.file.as_ref() == Some(&inode) && !held.waits
                        });
                    let clash =
                        holds.others_in_process(taken).any(|(held, other)| *held == inode && mode.conflicts(*other));
                    if clash || !known {
                        let why = if clash { "so does another thread of it" } else { "the kernel does not know of it" };
                        return Some(format!(
                            "pid {}, step {}: a thread holds {} and {why}",
                            taken.pid,
                            taken.number,
                            inode.file_name()
                        ));
                    }
                }
            }
            holds.follow(taken, &self.system);
        }
        None
    }

    fn data_race(&self) -> Option<String> {
        let access = |op: &Op| match op {
            Op::Get { cell } => Some((cell.clone(), false)),
            Op::Set { cell, .. } => Some((cell.clone(), true)),
            _ => None,
        };
        for (index, first) in self.unfinished.iter().enumerate() {
            for second in &self.unfinished[index + 1..] {
                if first.pid == second.pid
                    && let (Some((cell, writes)), Some((other, other_writes))) = (access(&first.op), access(&second.op))
                    && cell == other
                    && (writes || other_writes)
                {
                    let verb = |writes: bool| if writes { "writes" } else { "reads" };
                    return Some(format!(
                        "pid {}: thread {} {} {cell} and thread {} {} it, with nothing between them",
                        first.pid,
                        first.thread + 1,
                        verb(writes),
                        second.thread + 1,
                        verb(other_writes)
                    ));
                }
            }
        }
        None
    }

    /// A document that a process replaced whose protocol opens the store read-only.
    fn written_read_only(&self) -> Option<String> {
        self.steps.iter().find_map(|taken| {
            let (document, _) = self.replaced(taken)?;
            let process = self.system.processes.get(usize::from(taken.real.step.process()))?;
            let (_, text) = process.protocol.read_only.then(|| monitor::judge_read_only(&document))?;
            Some(format!("pid {}, step {}: {text}", taken.pid, taken.number))
        })
    }

    /// A lock file of an additional store that whoever only reads there opened for writing.
    fn opened_to_write(&self) -> Option<String> {
        self.steps.iter().find_map(|taken| {
            let (Some(Op::Probe { file, mode }), Some(call)) = (&taken.real.op, &taken.real.call) else { return None };
            let (_, text) = monitor::judge_open(call, &self.system.inode(file), *mode)?;
            Some(format!("pid {}, step {}: {text}", taken.pid, taken.number))
        })
    }

    /// A document that a process loads though it holds what the process knew of it. How many loads there were is said too.
    fn needless_load(&self) -> Option<String> {
        let mut known: BTreeMap<(u32, Path), Value> = BTreeMap::new();
        let (mut needless, mut loads) = (None, 0);
        for taken in &self.steps {
            let (document, holds) = match (&taken.real.op, &taken.real.effect) {
                (Some(Op::Read { document }), Effect::Done(Outcome::Value(value))) => (document, value),
                (Some(Op::Rename { document, value, .. }), _) => (document, value),
                _ => continue,
            };
            let inode = self.system.inode(&document.path);
            if !monitor::is_counted(&inode) {
                continue;
            }
            let knew = known.insert((taken.pid, inode.clone()), holds.clone());
            if !matches!(taken.real.op, Some(Op::Read { .. })) {
                continue;
            }
            loads += 1;
            let judged = taken.real.call.as_ref().is_some_and(|call| !self.is_preparation(taken, call));
            if judged && knew.as_ref() == Some(holds) && needless.is_none() {
                let (_, text) = monitor::judge_load(&inode, holds);
                needless = Some(format!("pid {}, step {}: {text}", taken.pid, taken.number));
            }
        }
        needless.map(|text| format!("{text} ({loads} loads in all)"))
    }

    /// Whether a step belongs to the calls before a process's threads start: as many as there are of them, by its first thread.
    fn is_preparation(&self, taken: &Taken, call: &Call) -> bool {
        let Some(process) = self.system.processes.get(usize::from(taken.real.step.process())) else { return false };
        let begun = |made: &&CallMade| made.pid == taken.pid && made.begun <= taken.number;
        let before = self.calls.iter().filter(begun).count();
        before <= process.before.len() && process.before.contains(call)
    }

    /// A layer that was mounted by a driver that had been shut down.
    fn dead_driver(&self) -> Option<String> {
        let mut shutdowns = 0;
        let mut seen: BTreeMap<u32, [u32; 2]> = BTreeMap::new();
        for taken in &self.steps {
            let seen = seen.entry(taken.pid).or_default();
            match &taken.real.op {
                Some(Op::Mtime { file } | Op::ReadStamp { file }) if file.0 == monitor::GRAPH_LOCK => {
                    seen[0] = shutdowns;
                }
                Some(op) if monitor::is_cleanup(op) => shutdowns += 1,
                Some(Op::Set { cell, value }) if monitor::is_graph_driver(cell) && *value != Value::Nil => {
                    seen[1] = seen[0];
                }
                Some(Op::Rename { document, .. }) if seen[1] != shutdowns => {
                    let call = taken.real.call.as_ref()?;
                    if let Some((_, text)) = monitor::judge_mount(call, &self.system.inode(&document.path)) {
                        return Some(format!("pid {}, step {}: {text}", taken.pid, taken.number));
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// What is wrong after a kill: something acknowledged is gone, something half-made is seen, or nobody goes on.
    fn crash_damage(&self) -> Option<String> {
        let killed = self.steps.iter().any(|taken| matches!(taken.real.step, Step::Kill { .. }));
        self.seen().crash_damage().or_else(|| self.deadlock().filter(|_| killed))
    }

    /// The pairs of locks that were really taken, the second while the same thread held the first: with the step at
    /// which the second was asked for.
    #[must_use]
    pub fn lock_orders(&self) -> BTreeMap<(Path, Path), usize> {
        let mut holds = Holds::default();
        let mut orders = BTreeMap::new();
        for taken in &self.steps {
            for note in &taken.real.notes {
                if let Note::Acquire(path, _) = note {
                    let wanted = self.system.inode(path);
                    for (held, _) in holds.of(taken) {
                        orders.entry((held.clone(), wanted.clone())).or_insert(taken.number);
                    }
                }
            }
            holds.follow(taken, &self.system);
        }
        orders
    }

    fn disorder(&self) -> Option<String> {
        let mut after: BTreeMap<Path, BTreeSet<Path>> = BTreeMap::new();
        for (held, wanted) in self.lock_orders().into_keys() {
            after.entry(held).or_default().insert(wanted);
        }
        let cycle = after.keys().find_map(|start| cycle_from(&after, start))?;
        let names: Vec<&str> = cycle.iter().map(Path::file_name).collect();
        Some(format!("each was taken while the one before it was held: {}", names.join(", ")))
    }
}

/// The shortest way from a lock back to itself.
fn cycle_from(after: &BTreeMap<Path, BTreeSet<Path>>, start: &Path) -> Option<Vec<Path>> {
    let mut ways = std::collections::VecDeque::from([vec![start.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in way.last().and_then(|last| after.get(last)).into_iter().flatten() {
            let mut longer = way.clone();
            longer.push(next.clone());
            if next == start {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// The id of what a call makes in `document`.
fn made_in(document: &Path, call: &Call) -> Option<String> {
    match (document.file_name(), call.plain()) {
        ("layers.json", Call::PutLayer { id, .. })
        | ("images.json", Call::CreateImage { id, .. })
        | ("containers.json", Call::CreateContainer { id, .. }) => Some(id.clone()),
        _ => None,
    }
}

fn ids(value: &Value) -> Vec<String> {
    let layers = || Layers::from_value(value).map(|layers| layers.into_iter().map(|layer| layer.id).collect());
    let records = || Records::from_value(value).map(|records| records.into_iter().map(|record| record.id).collect());
    layers().or_else(records).unwrap_or_default()
}
