//! Whether real processes showed what the model says: judged from what they did, not from what the model thinks of it.
//!
//! The rules are the model's own monitors ([`monitor`]) where those can be fed with what was really seen: documents as
//! they were read from disk after each replacement, replies as the calls returned them, locks as the kernel lists them.

mod holds;
mod readers;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use lockproof_model::call::Call;
use lockproof_model::monitor;
use lockproof_model::op::{Mode, Note, Op, Path};
use lockproof_model::property::Property;
use lockproof_model::protocol::{Layers, Records};
use lockproof_model::schedule::Step;
use lockproof_model::state::Shared;
use lockproof_model::value::{Datum, Value};

use crate::replay::{ReplayReport, Taken};
use holds::Holds;

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
            Property::Fresh => Shown::of(self.stale_answer(), "every answer was true at some moment of its call"),
            Property::NoLostUpdate => Shown::of(self.lost_update(), "every writer knew what it replaced"),
            Property::Exclusive => Shown::of(self.unlocked(true), "every access was under its lock"),
            Property::MutualExclusion => Shown::of(self.unlocked(false), "whoever was inside a lock file had it"),
            Property::NoDeadlock => Shown::of(self.deadlock(), "nobody waits without end"),
            Property::NoStarvationWeak | Property::NoStarvationStrong => {
                Shown::of(self.starvation(), "nobody waited through every round while others were granted the lock")
            }
            Property::ParallelReads => Shown::of(self.parallel_readers(), "there were never two readers at once"),
            Property::NoDataRace => Shown::of(self.data_race(), "no two threads stand before accesses to one cell"),
            Property::NoPanic => {
                let first = self.panics.first();
                Shown::of(first.map(|(step, message)| format!("step {step}: panic: {message}")), "nobody panicked")
            }
            Property::NoError => Shown::of(self.error(), "no call returned an error"),
            Property::CrashSafe => Shown::of(self.crash_damage(), "the kill did no harm that shows"),
            Property::ReadOnly => {
                Shown::of(self.written_read_only(), "no store replaced a document that was opened read-only")
            }
            Property::Ordered => Shown::of(self.disorder(), "locks were taken in one order"),
        }
    }

    /// What answers are judged by: as it was at the start, and after each step that replaced a part of it.
    fn contents_over_time(&self) -> Vec<(usize, Shared)> {
        let mut shared = Shared { documents: self.initial.clone(), ..Shared::default() };
        let mut over_time = vec![(0, shared.clone())];
        for taken in &self.steps {
            if let Some((inode, value)) = self.replaced(taken) {
                shared.documents.insert(inode, value.clone());
                over_time.push((taken.number, shared.clone()));
            }
        }
        over_time
    }

    /// The document that answers are judged by that a step replaced, and what it holds now.
    fn replaced<'t>(&self, taken: &'t Taken) -> Option<(Path, &'t Value)> {
        let (Some(Op::Rename { document, .. }), Some(value)) = (&taken.real.op, &taken.became) else { return None };
        let inode = self.system.inode(&document.path);
        monitor::is_contents(&inode).then_some((inode, value))
    }

    fn stale_answer(&self) -> Option<String> {
        let over_time = self.contents_over_time();
        self.calls.iter().find_map(|made| {
            let (ended, reply) = made.ended.as_ref().filter(|_| made.call.is_query())?;
            // What was there when it began, and everything that came until it ended.
            let first = over_time.iter().rposition(|(step, _)| *step < made.begun).unwrap_or(0);
            let meanwhile = over_time[first..].iter().take_while(|(step, _)| step <= ended);
            let answers = meanwhile.flat_map(|(_, shared)| monitor::answers(&made.call, shared)).collect();
            let (_, text) = monitor::judge_answer(&made.call, reply, &answers)?;
            Some(format!("pid {}, steps {} to {ended}: {text}", made.pid, made.begun))
        })
    }

    fn error(&self) -> Option<String> {
        self.calls.iter().find_map(|made| {
            let (ended, Err(fail)) = made.ended.as_ref()? else { return None };
            let (_, text) = monitor::failed(&made.call, fail);
            Some(format!("pid {}, step {ended}: {text}", made.pid))
        })
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

    /// What is wrong after a kill: something acknowledged is gone, something half-made is seen, or nobody goes on.
    fn crash_damage(&self) -> Option<String> {
        let mut shared = self.contents_over_time().swap_remove(0).1;
        monitor::acknowledge_all(&mut shared);
        for taken in &self.steps {
            if let Step::Kill { process } = taken.real.step {
                let begun = self.calls.iter().filter(|made| made.process == process && made.pid == taken.pid);
                let under_way = begun.filter(|made| made.ended.is_none() && made.begun < taken.number);
                monitor::killed(under_way.map(|made| made.call.clone()), &mut shared);
            }
            let mut wrong = None;
            if let Some((inode, value)) = self.replaced(taken) {
                let replaced = shared.documents.insert(inode.clone(), value.clone()).unwrap_or_default();
                let call = taken.real.call.as_ref();
                wrong = call.and_then(|call| monitor::contents_replaced(call, &inode, &replaced, &mut shared));
            }
            if let (Some(call), Some(reply)) = (&taken.real.call, &taken.real.ends) {
                wrong = wrong.or(monitor::call_ends(call, reply, &mut shared));
            }
            if let Some((_, text)) = wrong {
                return Some(format!("pid {}, step {}: {text}", taken.pid, taken.number));
            }
        }
        let killed = self.steps.iter().any(|taken| matches!(taken.real.step, Step::Kill { .. }));
        if killed { self.deadlock() } else { None }
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
