//! A trace in plain words of containers/storage: what is worth telling of each event, and who did it.
//!
//! What happens inside a process (mutexes, plain cells, probes, temporary files, clocks) is folded away unless it is
//! where something goes wrong, or everything is asked for.

use std::collections::{BTreeMap, BTreeSet};

use lockproof_model::call::Call;
use lockproof_model::machine::Pending;
use lockproof_model::op::{CellName, LockResult, Mode, Note, Op, Outcome, Path};
use lockproof_model::trace::{Effect, Event, Trace};
use lockproof_model::value::{Stamp, Value};

use crate::ledger::{Ledger, racing};
use crate::look::{Look, alike, changes, file_of};
use crate::names::{Lane, Names, cell_name, lane, letter, rw_mutex_of};
use crate::text::clean;
use crate::values;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call begins.
    Begins,
    /// A call returns.
    Ends,
    /// Something that others can see.
    Step,
    /// Something inside the process.
    Inner,
    /// The thread has to wait, or is refused.
    Waits,
    /// The process is dead.
    Died,
    /// What is wrong from here on.
    Wrong,
}

/// One thing that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Whose column it stands in: an index of [`Story::lanes`].
    pub(crate) lane: usize,
    /// The number of the step in the schedule, from 1.
    pub(crate) step: usize,
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// The lock file that it is an operation on, or that protects the document that it is one on.
    pub(crate) file: Option<Path>,
    /// Whether it gives a document other contents.
    pub(crate) changes: bool,
    /// Whether its event is where it goes wrong.
    pub(crate) wrong: bool,
    /// The lock that it is the grant of, so that a release right after it can join it.
    granted: Option<String>,
}

/// What a trace comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Story {
    /// The names of the threads that take part.
    pub(crate) lanes: Vec<String>,
    pub(crate) items: Vec<Item>,
    /// The cycle of a lasso.
    pub(crate) cycle: Vec<Item>,
    /// Whether there is a cycle, even one of which there is nothing to tell.
    pub(crate) is_lasso: bool,
    /// How many steps are not told.
    pub(crate) folded: usize,
    /// Who still waits at the end, or all through the cycle: `reader waits for W(layers), held by writer (R)`; and who
    /// stands before what is not possible, or races.
    pub(crate) waiting: Vec<String>,
    /// The lock files that those are kept from.
    pub(crate) contended: BTreeSet<Path>,
    /// Whether two threads of one process take part.
    pub(crate) shares_memory: bool,
}

/// Tells a trace; of steps inside a process only with `verbose`. `pending` is what each thread stands before at the end.
pub(crate) fn tell(trace: &Trace, pending: &[Pending], processes: &[String], verbose: bool) -> Story {
    let names = Names::new(trace, processes);
    let all: Vec<&Event> = trace.events.iter().chain(&trace.cycle).collect();
    let lanes = names.lanes();
    let mut teller = Teller {
        lanes: &lanes,
        racing: racing(&all),
        verbose,
        ledger: Ledger::default(),
        threads: BTreeMap::new(),
        items: Vec::new(),
        folded: 0,
        names: &names,
    };
    for (index, event) in trace.events.iter().enumerate() {
        teller.event(index, event);
    }
    let items = std::mem::take(&mut teller.items);
    for (index, event) in trace.cycle.iter().enumerate() {
        teller.event(trace.events.len() + index, event);
    }
    let busy: BTreeSet<Lane> = trace.cycle.iter().map(lane).collect();
    let stuck: Vec<_> = teller.ledger.waiting.iter().filter(|(lane, _)| !busy.contains(lane)).collect();
    let look = teller.look();
    let mut waiting: Vec<String> = Vec::new();
    for &(&lane, op) in &stuck {
        waiting.push(format!("{}{}", look.still_waiting(lane, op), passed(&trace.cycle, op)));
    }
    let mut contended: BTreeSet<Path> = stuck.iter().filter_map(|(_, op)| file_of(op)).cloned().collect();
    if trace.cycle.is_empty() {
        let blamed = trace.events.last().filter(|last| last.wrong.is_some()).map(lane);
        for one in pending {
            if let Some(text) = look.standing(one, pending, blamed) {
                contended.extend(one.op.as_ref().and_then(file_of).cloned());
                waiting.push(text);
            }
        }
    }
    let (mut cycle, mut folded) = (teller.items, teller.folded);
    if cycle.is_empty() && !trace.cycle.is_empty() {
        // All of the cycle is inside a process: that is what there is to tell.
        cycle = tell(trace, pending, processes, true).cycle;
        folded -= trace.cycle.len();
    }
    Story {
        items,
        cycle,
        is_lasso: !trace.cycle.is_empty(),
        folded,
        waiting,
        contended,
        shares_memory: lanes.windows(2).any(|pair| pair[0].0 == pair[1].0),
        lanes: lanes.iter().map(|&lane| names.lane(lane)).collect(),
    }
}

/// How often others are granted in a cycle what `op` waits for.
fn passed(cycle: &[Event], op: &Op) -> String {
    let Op::Lock { file: wanted, .. } = op else { return String::new() };
    let granted = cycle.iter().filter(|event| {
        matches!(&event.op, Some(Op::Lock { file, .. }) if file == wanted)
            && event.effect == Effect::Done(Outcome::Locked(LockResult::Granted))
    });
    match granted.count() {
        0 => String::new(),
        1 => "; in each round it is granted to others once".to_owned(),
        times => format!("; in each round it is granted to others {times} times"),
    }
}

/// What is remembered of a thread.
#[derive(Default)]
struct Thread {
    /// Lock files that the kernel granted since the lock library last said that it has them.
    granted: BTreeSet<Path>,
    /// Lock files that were closed since the lock library last unlocked them.
    closed: BTreeSet<Path>,
    /// What the call saw in a cache last.
    looked: Option<String>,
}

struct Teller<'a> {
    names: &'a Names<'a>,
    lanes: &'a [Lane],
    /// Events of plain cells that are told although they are inside a process.
    racing: BTreeSet<usize>,
    verbose: bool,
    ledger: Ledger,
    threads: BTreeMap<Lane, Thread>,
    items: Vec<Item>,
    folded: usize,
}

impl Teller<'_> {
    fn look(&self) -> Look<'_> {
        Look { names: self.names, ledger: &self.ledger }
    }

    fn event(&mut self, index: usize, event: &Event) {
        let lane = lane(event);
        let wrong = event.wrong.is_some();
        let item = |kind, text| Item {
            lane: self.lanes.binary_search(&lane).unwrap_or(0),
            step: index + 1,
            kind,
            text,
            file: None,
            changes: false,
            wrong,
            granted: None,
        };
        let mut items = Vec::new();
        if let Some(call) = &event.begins {
            self.threads.entry(lane).or_default().looked = None;
            items.push(Item { wrong: false, ..item(Kind::Begins, format!("▶ {}", clean(&call.to_string()))) });
        }
        let (kind, text) = self.act(lane, event);
        if kind != Kind::Inner || self.verbose || self.racing.contains(&index) || wrong && event.ends.is_none() {
            let granted = match (&event.op, &event.effect) {
                (Some(Op::Lock { file, .. }), Effect::Done(Outcome::Locked(LockResult::Granted))) => {
                    Some(self.names.lock(file))
                }
                _ => None,
            };
            let file = event.op.as_ref().and_then(file_of).cloned();
            let changes = event.op.as_ref().is_some_and(changes);
            items.push(Item { file, changes, granted, ..item(kind, text) });
        } else {
            self.folded += 1;
        }
        self.ledger.follow(event);
        for text in self.notes(lane, event) {
            items.push(item(Kind::Step, text));
        }
        if let Some(reply) = &event.ends {
            items.push(item(Kind::Ends, format!("◀ {}", values::reply(reply))));
        }
        if let Some(message) = &event.wrong {
            items.push(item(Kind::Wrong, clean(message).into_owned()));
        }
        for item in items {
            self.push(item);
        }
    }

    /// Adds an item; a release joins the grant right before it, for nothing happened in between.
    fn push(&mut self, item: Item) {
        if let Some(last) = self.items.last_mut().filter(|_| !self.verbose)
            && let Some(lock) = &last.granted
            && (last.lane, last.wrong, item.wrong) == (item.lane, false, false)
            && item.text == format!("U({lock})")
        {
            last.text = format!("{}, {}", last.text, item.text);
            last.granted = None;
            return;
        }
        self.items.push(item);
    }

    /// What the step of an event did.
    fn act(&mut self, lane: Lane, event: &Event) -> (Kind, String) {
        match (&event.op, &event.effect) {
            (None, _) => (Kind::Died, format!("☠ {} is killed", self.names.process(lane.0))),
            (Some(Op::Panic { message }), _) => (Kind::Died, format!("☠ panics: {}", clean(message))),
            (Some(_), Effect::Died) => (Kind::Died, format!("☠ {} is dead", self.names.process(lane.0))),
            (Some(op), Effect::Waits) => (Kind::Waits, self.look().waits(lane, op)),
            (Some(op), Effect::Done(outcome)) => self.done(lane, op, outcome, event.call.as_ref()),
        }
    }

    fn done(&mut self, lane: Lane, op: &Op, outcome: &Outcome, call: Option<&Call>) -> (Kind, String) {
        let value = match outcome {
            Outcome::Value(value) => value,
            Outcome::Done | Outcome::Locked(_) => &Value::Nil,
        };
        match op {
            Op::Lock { file, mode, .. } => self.locked(lane, file, *mode, outcome),
            Op::Close { file } => self.closed(lane, file),
            Op::Probe { file, .. } => match self.ledger.holds(lane.0, file) {
                Some(mode) => (
                    Kind::Step,
                    format!("opens and closes {}, which drops {}", file.file_name(), self.names.held(file, mode)),
                ),
                None => (Kind::Inner, format!("opens and closes {}", clean(file.file_name()))),
            },
            Op::ReadStamp { file } => (Kind::Step, self.stamp(lane.0, file, value)),
            Op::WriteStamp { file } => {
                (Kind::Step, format!("stamp({}) → {}", self.names.lock(file), values::plain(value)))
            }
            Op::Read { document } => {
                let path = &document.path;
                (Kind::Step, format!("reads {}: {}", clean(path.file_name()), values::contents(path, value)))
            }
            Op::WriteTemp { document, value } => {
                let path = &document.path;
                let contents = values::contents(path, value);
                (Kind::Inner, format!("writes {contents} to a temporary file for {}", clean(path.file_name())))
            }
            Op::Sync { document } => (Kind::Inner, format!("syncs the new {}", clean(document.path.file_name()))),
            Op::Rename { document, base, value } => (Kind::Step, self.replaced(&document.path, base, value)),
            Op::Mtime { file } => {
                (Kind::Inner, format!("{} was written at {}", clean(file.file_name()), values::plain(value)))
            }
            Op::Now => (Kind::Inner, format!("it is {}", values::plain(value))),
            Op::MutexLock { mutex } => (Kind::Inner, format!("locks {}", cell_name(mutex))),
            Op::MutexUnlock { mutex } => (Kind::Inner, format!("unlocks {}", cell_name(mutex))),
            Op::RwLock { mutex, mode } => (Kind::Inner, format!("{}-locks {}", letter(*mode), cell_name(mutex))),
            Op::RwUnlock { mutex, mode } => self.rw_unlocked(lane, mutex, *mode),
            Op::Get { cell } => self.got(lane, cell, value, call),
            Op::Set { cell, value } => self.set(lane, cell, value),
            Op::New => (Kind::Inner, format!("allocates {}", values::plain(value))),
            Op::Spawn { call } => {
                (Kind::Step, format!("starts goroutine {}: {}", values::plain(value), clean(&call.to_string())))
            }
            Op::Join { thread } => (Kind::Step, format!("goroutine {thread} has ended")),
            Op::Choose { among: 0..=1 } => (Kind::Inner, "has no choice".to_owned()),
            Op::Choose { among } => (Kind::Step, format!("chooses {} of 0 to {}", values::plain(value), among - 1)),
            Op::Panic { message } => (Kind::Died, format!("☠ panics: {}", clean(message))),
            Op::LoopHead { label, .. } => (Kind::Inner, format!("begins a round of {}", clean(label))),
            Op::Note(_) => (Kind::Inner, "takes note".to_owned()),
        }
    }

    fn locked(&mut self, lane: Lane, file: &Path, mode: Mode, outcome: &Outcome) -> (Kind, String) {
        let lock = self.names.held(file, mode);
        match outcome {
            Outcome::Locked(LockResult::WouldBlock) => {
                (Kind::Waits, format!("{lock} refused (EAGAIN){}", self.look().held_by(lane.0, file, mode)))
            }
            Outcome::Locked(LockResult::Deadlock) => {
                (Kind::Waits, format!("{lock} refused (EDEADLK){}", self.look().held_by(lane.0, file, mode)))
            }
            _ => {
                self.threads.entry(lane).or_default().granted.insert(file.clone());
                let before = self.ledger.holds(lane.0, file).filter(|before| *before != mode);
                let before = before.map_or_else(String::new, |before| format!(", was {}", letter(before)));
                (Kind::Step, format!("{lock} granted{before}"))
            }
        }
    }

    fn closed(&mut self, lane: Lane, file: &Path) -> (Kind, String) {
        self.threads.entry(lane).or_default().closed.insert(file.clone());
        match self.ledger.holds(lane.0, file) {
            Some(_) => (Kind::Step, format!("U({})", self.names.lock(file))),
            None => (Kind::Inner, format!("closes {}", clean(file.file_name()))),
        }
    }

    /// `Modified?`, where it is known what the process remembers; else the stamp alone.
    fn stamp(&self, process: u8, file: &Path, read: &Value) -> String {
        let lock = self.names.lock(file);
        let remembered = self.ledger.cell(process, &CellName { object: None, field: format!("{file}:lw").into() });
        match (read, remembered) {
            (Value::Nil, _) => format!("Modified? stamp({lock}) was never written"),
            (Value::Stamp(Stamp(new)), Some(Value::Stamp(Stamp(old)))) if new == old => {
                format!("Modified? unchanged: stamp({lock}) is s{new}")
            }
            (Value::Stamp(Stamp(new)), Some(Value::Stamp(Stamp(old)))) => {
                format!("Modified? yes: stamp({lock}) was s{old}, is s{new}")
            }
            (Value::Stamp(Stamp(new)), Some(Value::Nil)) => {
                format!("Modified? yes: stamp({lock}) is s{new}, seen for the first time")
            }
            (read, _) => format!("stamp({lock}) is {}", values::plain(read)),
        }
    }

    fn replaced(&self, path: &Path, base: &Value, value: &Value) -> String {
        let contents = |value| values::contents(path, value);
        let mut text = format!("{} := {}", clean(path.file_name()), contents(value));
        if let Some(before) = self.ledger.document(path).filter(|before| !alike(before, base)) {
            text = format!("{text}, made from {} but it held {}", contents(base), contents(before));
        }
        text
    }

    fn rw_unlocked(&mut self, lane: Lane, mutex: &CellName, mode: Mode) -> (Kind, String) {
        let thread = self.threads.entry(lane).or_default();
        if let Some(path) = rw_mutex_of(mutex)
            && !thread.closed.remove(&path)
            && self.ledger.holds(lane.0, &path).is_some()
        {
            return (Kind::Step, format!("U({}), the process keeps it", self.names.lock(&path)));
        }
        (Kind::Inner, format!("{}-unlocks {}", letter(mode), cell_name(mutex)))
    }

    fn got(&mut self, lane: Lane, cell: &CellName, value: &Value, call: Option<&Call>) -> (Kind, String) {
        if &*cell.field == "cache"
            && call.is_some_and(Call::is_query)
            && let Some(layers) = values::cached(value)
        {
            let text = format!("finds {layers} in {}", cell_name(cell));
            let looked = &mut self.threads.entry(lane).or_default().looked;
            let kind = if looked.as_ref() == Some(&text) { Kind::Inner } else { Kind::Step };
            *looked = Some(text.clone());
            return (kind, text);
        }
        (Kind::Inner, format!("gets {}: {}", cell_name(cell), values::plain(value)))
    }

    fn set(&self, lane: Lane, cell: &CellName, value: &Value) -> (Kind, String) {
        let is_store = cell.object.is_none() && cell.field.to_lowercase().ends_with("layerstore");
        let before = self.ledger.cell(lane.0, cell).unwrap_or(&Value::Nil);
        if is_store {
            let kind = if before == value { Kind::Inner } else { Kind::Step };
            return (kind, format!("{} := {}", cell_name(cell), values::pointer(value)));
        }
        (Kind::Inner, format!("{} := {}", cell_name(cell), values::plain(value)))
    }

    /// What the notes of an event tell that its operation does not: that the lock library hands out a lock that the
    /// process has already.
    fn notes(&mut self, lane: Lane, event: &Event) -> Vec<String> {
        let thread = self.threads.entry(lane).or_default();
        let mut texts = Vec::new();
        for note in &event.notes {
            match note {
                Note::Acquired(path, mode) if !thread.granted.remove(path) => {
                    texts.push(format!("{} granted, the process has it", self.names.held(path, *mode)));
                }
                Note::Release(path) => {
                    thread.closed.remove(path);
                }
                Note::Acquire(..) | Note::Acquired(..) => {}
            }
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::{close, done, granted, lock, value};

    fn texts(events: Vec<Event>) -> Vec<String> {
        let story = tell(&Trace { events, cycle: Vec::new() }, &[], &[], false);
        story.items.into_iter().map(|item| item.text).collect()
    }

    #[test]
    fn a_probe_that_drops_a_lock_is_told() {
        let file = Path::new("root/storage.lock");
        let probe = || done(0, Op::Probe { file: file.clone(), mode: Mode::Exclusive });
        assert_eq!(
            texts(vec![probe(), lock(0, &file, Mode::Shared, granted()), probe(), close(0, &file)]),
            ["R(graph) granted", "opens and closes storage.lock, which drops R(graph)"]
        );
    }

    #[test]
    fn a_refused_lock_says_who_has_it_and_a_converted_one_what_it_was() {
        let file = Path::new("run/mountpoints.lock");
        let refused = Effect::Done(Outcome::Locked(LockResult::WouldBlock));
        assert_eq!(
            texts(vec![
                lock(0, &file, Mode::Shared, granted()),
                lock(1, &file, Mode::Exclusive, refused),
                lock(0, &file, Mode::Exclusive, granted()),
            ]),
            ["R(mounts) granted", "W(mounts) refused (EAGAIN), held by P1", "W(mounts) granted, was R"]
        );
    }

    #[test]
    fn two_lock_files_of_one_short_name_are_called_by_their_paths() {
        let (file, alias) = (Path::new("root/layers.lock"), Path::new("link/layers.lock"));
        assert_eq!(
            texts(vec![lock(0, &file, Mode::Shared, granted()), lock(1, &alias, Mode::Shared, granted())]),
            ["R(root/layers.lock) granted", "R(link/layers.lock) granted"]
        );
    }

    #[test]
    fn a_lock_and_its_release_are_one_item_if_nothing_comes_between() {
        let file = Path::new("root/userns.lock");
        let pair = || [lock(0, &file, Mode::Shared, granted()), close(0, &file)];
        let [first, second] = pair();
        let stamp = value(1, Op::ReadStamp { file: file.clone() }, Value::Nil);
        assert_eq!(texts(pair().into()), ["R(userns) granted, U(userns)"]);
        assert_eq!(
            texts(vec![first, stamp, second]),
            ["R(userns) granted", "Modified? stamp(userns) was never written", "U(userns)"]
        );
    }

    #[test]
    fn a_cycle_inside_a_process_is_told() {
        let round = Op::LoopHead { label: "retry".into(), values: Value::Nil };
        let trace = Trace { events: vec![done(0, round.clone())], cycle: vec![done(0, round)] };
        let story = tell(&trace, &[], &[], false);
        assert_eq!((story.items.len(), story.folded), (0, 1));
        assert_eq!(story.cycle[0].text, "begins a round of retry");
    }
}
