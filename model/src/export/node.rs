//! One control state as Promela: what its operation needs to be possible, what it does, and where each outcome leads.

use std::fmt::Write as _;

use super::layout::Layout;
use super::symbolic::{Automata, ByKind, Kind, Pattern, State, Step, leaves};
use crate::call::{Call, Reply};
use crate::monitor;
use crate::op::{CellName, LockResult, Mode, Note, Op, Outcome, Path};
use crate::system::System;
use crate::value::Value;

/// Effects that come last in a step. They have loops, so each is a `d_step` of its own; SPIN takes 2048 of those in a text.
const LAST: [&str; 4] = ["leave(", "leave_if(", "collect(", "normalise("];

/// Where a call stands in the script of its thread.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// The call.
    pub(super) call: &'a Call,
    /// Its control state at the beginning.
    pub(super) root: usize,
    /// What the thread notes before that.
    pub(super) root_notes: &'a [Note],
    /// The beginning of its labels.
    pub(super) prefix: String,
    /// What is done when it ends, and the label to go to.
    pub(super) after: (Vec<String>, String),
    /// Whether it waits for the preparation of its process.
    pub(super) waits_until_ready: bool,
    /// Whether its process has other threads.
    pub(super) shared_memory: bool,
    /// The number of the thread in its process.
    pub(super) thread: usize,
}

/// The text of control states.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) system: &'a System,
    pub(super) layout: &'a Layout,
    pub(super) automata: &'a Automata,
}

/// Where the text of one control state grows.
struct Options<'a> {
    place: &'a Place<'a>,
    number: usize,
    state: &'a State,
    text: String,
}

/// A place where a number is, as Promela.
pub(super) fn register(kind: Kind, place: usize) -> String {
    let name = ["STAMP", "OBJECT", "TIME"][kind as usize];
    format!("{}_register[t * {name}_REGISTERS + {place}]", name.to_lowercase())
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Shared => "SHARED",
        Mode::Exclusive => "EXCLUSIVE",
    }
}

/// The number of a path as a constant with a name.
pub(super) fn constant(prefix: &str, path: &str) -> String {
    let sign = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_uppercase() } else { '_' };
    format!("{prefix}_{}", path.chars().map(sign).collect::<String>())
}

impl Writer<'_> {
    pub(super) fn lock(&self, path: &Path) -> String {
        constant("L", &self.system.inode(path).0)
    }

    fn document(&self, path: &Path) -> String {
        constant("D", &self.system.inode(path).0)
    }

    fn timed(&self, path: &Path) -> Option<usize> {
        let inode = self.system.inode(path);
        self.layout.timed.iter().position(|timed| *timed == inode)
    }

    /// The number of a cell in its process.
    fn cell(&self, cell: &CellName) -> String {
        let name = constant("C", &cell.field);
        match cell.object {
            None => name,
            Some(object) => {
                let object = register(Kind::Object, object.0 as usize);
                format!("GLOBALS + ({object} - 1) * FIELDS + {name}")
            }
        }
    }

    /// A slot of a cell.
    fn slot(&self, cell: &CellName, kind: Kind, place: usize) -> String {
        let name = ["STAMP", "OBJECT", "TIME"][kind as usize];
        let (_, first) = self.layout.slots(cell, kind);
        let at = first + place;
        let lower = name.to_lowercase();
        match cell.object {
            None => format!("{lower}_slot[me * {name}_SLOTS + {at}]"),
            Some(object) => {
                let object = register(Kind::Object, object.0 as usize);
                format!(
                    "{lower}_slot[me * {name}_SLOTS + GLOBAL_{name}_SLOTS + ({object} - 1) * FIELD_{name}_SLOTS + {at}]"
                )
            }
        }
    }

    /// All options of a control state.
    pub(super) fn state(&self, place: &Place<'_>, number: usize) -> String {
        let state = &self.automata.states[number];
        let Some(op) = state.op() else { return self.immediate(place, number) };
        let mut options = Options { place, number, state, text: String::new() };
        self.options(&mut options, op);
        let text = options.text;
        format!("{}{number}: /* {} */\n    if\n{text}    fi;\n", place.prefix, self.describe(op))
    }

    /// A call that returns without any operation: it begins and ends in one step.
    fn immediate(&self, place: &Place<'_>, number: usize) -> String {
        let state = &self.automata.states[number];
        let mut options = Options { place, number, state, text: String::new() };
        let mut effects = self.begin(&options);
        if let Some(reply) = state.reply() {
            effects.extend(self.reply(place, reply));
        }
        effects.extend(place.after.0.iter().cloned());
        effects.extend(self.tidy(false, &|_| true));
        options.add(&[], &effects, &place.after.1);
        format!("{}{number}: /* returns at once */\n    if\n{}    fi;\n", place.prefix, options.text)
    }

    fn describe(&self, op: &Op) -> String {
        match op {
            Op::Lock { file, mode, wait } => {
                format!("{} {mode:?} {file}", if *wait { "F_SETLKW" } else { "F_SETLK" })
            }
            Op::Close { file } => format!("close {file}"),
            Op::Probe { file } => format!("open and close {file}"),
            Op::ReadStamp { file } => format!("read the stamp of {file}"),
            Op::WriteStamp { file } => format!("write a stamp into {file}"),
            Op::Read { document } => format!("read {}", document.path),
            Op::WriteTemp { document, .. } => format!("write a temporary file beside {}", document.path),
            Op::Sync { document } => format!("fdatasync of the temporary file beside {}", document.path),
            Op::Rename { document, .. } => format!("replace {}", document.path),
            Op::Mtime { file } => format!("mtime of {file}"),
            Op::Now => "time.Now()".into(),
            Op::MutexLock { mutex } => format!("{mutex}.Lock()"),
            Op::MutexUnlock { mutex } => format!("{mutex}.Unlock()"),
            Op::RwLock { mutex, mode: Mode::Shared } => format!("{mutex}.RLock()"),
            Op::RwLock { mutex, .. } => format!("{mutex}.Lock()"),
            Op::RwUnlock { mutex, mode: Mode::Shared } => format!("{mutex}.RUnlock()"),
            Op::RwUnlock { mutex, .. } => format!("{mutex}.Unlock()"),
            Op::Get { cell } => format!("get {cell}"),
            Op::Set { cell, .. } => format!("set {cell}"),
            Op::New => "new object".into(),
            Op::Choose { among } => format!("choose one of {among}"),
            Op::Panic { message } => format!("panic: {message}"),
            Op::Spawn { .. } | Op::Join { .. } | Op::LoopHead { .. } | Op::Note(_) => String::new(),
        }
        .replace("*/", "* /")
    }

    fn options(&self, options: &mut Options<'_>, op: &Op) {
        let done = Outcome::Done;
        let all = |_: &Outcome| true;
        match op {
            Op::Lock { file, mode: wanted, wait } => self.lock_options(options, &self.lock(file), mode(*wanted), *wait),
            Op::Close { file } | Op::Probe { file } => {
                self.outcome(options, &done, &[], &[format!("drop(me, {})", self.lock(file))]);
            }
            Op::ReadStamp { file } => {
                let stamp = format!("stamp[{}]", self.lock(file));
                self.outcomes(
                    options,
                    &all,
                    &[],
                    &[],
                    &|value| nil_or(value, &stamp),
                    &ByKind([vec![stamp.clone()], vec![], vec![]]),
                );
            }
            Op::WriteStamp { file } => {
                let lock = self.lock(file);
                let write = format!("d_step {{ write_stamp({lock}) }}");
                let source = ByKind([vec![format!("stamp[{lock}]")], vec![], vec![]]);
                for tick in self.ticks(file) {
                    let effects: Vec<String> = [write.clone()].into_iter().chain(tick).collect();
                    let judge = format!("judge_write(me, t, {lock})");
                    self.unguarded(options, &[], &effects, &[judge], &source);
                }
            }
            Op::Read { document } => {
                let judge = format!("judge_read(me, t, {})", self.lock(&document.lock));
                let held = format!("document[{}]", self.document(&document.path));
                let is = |value: &Value| vec![format!("{held} == {}", self.layout.value(value))];
                self.outcomes(options, &all, &[], &[judge], &is, &ByKind::default());
            }
            Op::WriteTemp { .. } | Op::Sync { .. } => self.outcome(options, &done, &[], &[]),
            Op::Rename { document, base, value } => {
                let number = self.document(&document.path);
                let mut effects = vec![
                    format!("KNEW({number}, {})", self.layout.value(base)),
                    format!("document[{number}] = {}", self.layout.value(value)),
                ];
                if monitor::is_contents(&self.system.inode(&document.path)) {
                    effects.push("CONTENTS_REPLACED".into());
                }
                let judge = format!("judge_write(me, t, {})", self.lock(&document.lock));
                for tick in self.ticks(&document.path) {
                    let effects: Vec<String> = effects.iter().cloned().chain(tick).collect();
                    self.judged(options, &done, &[], &effects, &[judge.clone()]);
                }
            }
            Op::Mtime { file } => {
                let time = format!("mtime[{}]", self.timed(file).unwrap_or(usize::MAX));
                self.outcomes(options, &all, &[], &[], &|_| vec![], &ByKind([vec![], vec![], vec![time]]));
            }
            Op::Now => {
                let source = |time: &str| ByKind([vec![], vec![], vec![time.to_owned()]]);
                self.outcomes(options, &all, &[], &[], &|_| vec![], &source("(clock + 1)"));
                // A tick right before the clock is read shows only if another time was read since the last tick.
                let held = vec!["INSTANT_HELD".to_owned()];
                self.now_after_tick(options, &held, &source("(clock + 1)"), &source("(clock + 3)"));
            }
            Op::MutexLock { mutex } => {
                let mutex = format!("MUTEX(me, {})", constant("M", &mutex.field));
                let take = format!("{mutex} = {}", options.place.thread + 1);
                self.outcome(options, &done, &[format!("!{mutex}")], &[take]);
            }
            Op::MutexUnlock { mutex } => {
                let mutex = format!("MUTEX(me, {})", constant("M", &mutex.field));
                self.outcome(options, &done, &[mutex.clone()], &[format!("{mutex} = 0")]);
                self.fatal(options, &[format!("!{mutex}")]);
            }
            Op::RwLock { mutex, mode } => self.rw_lock_options(options, &constant("RW", &mutex.field), *mode),
            Op::RwUnlock { mutex, mode } => {
                let mutex = constant("RW", &mutex.field);
                let (held, unlock) = match mode {
                    Mode::Shared => {
                        (format!("READERS(me, {mutex})"), format!("READERS(me, {mutex}) = READERS(me, {mutex}) - 1"))
                    }
                    Mode::Exclusive => (format!("WRITING(me, {mutex})"), format!("rw_unlock(me, {mutex})")),
                };
                self.outcome(options, &done, &[held.clone()], &[unlock]);
                self.fatal(options, &[format!("!{held}")]);
            }
            Op::Get { cell } => {
                let at = format!("CELL(me, {})", self.cell(cell));
                let is = |value: &Value| vec![format!("{at} == {}", self.layout.value(value))];
                let slots = ByKind(Kind::ALL.map(|kind| {
                    (0..self.layout.slots(cell, kind).0).map(|place| self.slot(cell, kind, place)).collect()
                }));
                self.outcomes(options, &all, &[], &[], &is, &slots);
            }
            Op::Set { cell, value } => {
                let mut effects = vec![format!("CELL(me, {}) = {}", self.cell(cell), self.layout.value(value))];
                for kind in Kind::ALL {
                    let held: Vec<u64> =
                        leaves(value).into_iter().filter(|(other, _)| *other == kind).map(|(_, place)| place).collect();
                    for place in 0..self.layout.slots(cell, kind).0 {
                        let number =
                            held.get(place).map(|at| register(kind, usize::try_from(*at).unwrap_or(usize::MAX)));
                        let number = number.unwrap_or_else(|| "0".into());
                        effects.push(format!("{} = {number}", self.slot(cell, kind, place)));
                    }
                }
                self.outcome(options, &done, &[], &effects);
            }
            Op::New => {
                let source = ByKind([vec![], vec!["fresh".to_owned()], vec![]]);
                self.unguarded(options, &[], &["d_step { new_object(me) }".to_owned()], &[], &source);
            }
            Op::Choose { .. } => {
                let edges: Vec<_> = options.state.edges.keys().map(|pattern| pattern.outcome.clone()).collect();
                for outcome in edges {
                    self.outcome(options, &outcome, &[], &[]);
                }
            }
            Op::Panic { .. } => self.fatal(options, &[]),
            Op::Spawn { .. } | Op::Join { .. } | Op::LoopHead { .. } | Op::Note(_) => {}
        }
    }

    /// What a write does to the time of a file: its clock may have ticked since the last, or not.
    fn ticks(&self, path: &Path) -> Vec<Vec<String>> {
        match self.timed(path) {
            None => vec![vec![]],
            Some(at) => {
                let keep = format!("mtime[{at}] = clock");
                vec![vec!["clock = clock + 2".into(), keep.clone()], vec![keep]]
            }
        }
    }

    fn lock_options(&self, options: &mut Options<'_>, lock: &str, mode: &str, wait: bool) {
        let excluded = format!("EXCLUDED(me, {lock}, {mode})");
        let result = Outcome::Locked;
        let grant = format!("grant(me, t, {lock}, {mode})");
        self.outcome(options, &result(LockResult::Granted), &[format!("!{excluded}")], &[grant]);
        if !wait {
            self.outcome(options, &result(LockResult::WouldBlock), &[excluded], &[]);
            return;
        }
        let asks = ["!wants[t]".to_owned(), excluded];
        let waits: Vec<String> = asks.iter().cloned().chain([format!("!CERTAIN(me, {lock}, {mode})")]).collect();
        self.stay(options, &waits, &[format!("request(t, {lock}, {mode})")]);
        let refused = result(LockResult::Deadlock);
        let mut refusals: Vec<String> = asks.into_iter().chain([format!("POSSIBLE(me, {lock}, {mode})")]).collect();
        let again = options.state.edges.iter().any(|(pattern, step)| {
            pattern.outcome == refused && step.target == options.number && step.notes.is_empty()
        });
        if again {
            // Who asks again at once stands where it stood. That is left out, so that a standstill is one for SPIN too.
            if options.number != options.place.root {
                let _ = writeln!(options.text, "    /* EDEADLK: asks again, and stands where it stood */");
                return;
            }
            refusals.push("!begun[t]".into());
        }
        self.outcome(options, &refused, &refusals, &[]);
    }

    fn rw_lock_options(&self, options: &mut Options<'_>, mutex: &str, mode: Mode) {
        let done = Outcome::Done;
        let at = |name: &str| format!("{name}(me, {mutex})");
        let (readers, writer, writing) = (at("READERS"), at("WRITER"), at("WRITING"));
        let me = options.place.thread + 1;
        match mode {
            Mode::Shared => {
                let (late, admitted) = (at("LATE"), at("ADMITTED"));
                let bit = 1u32 << options.place.thread;
                self.outcome(
                    options,
                    &done,
                    &[format!("({admitted} & {bit})")],
                    &[format!("{admitted} = {admitted} & ~{bit}")],
                );
                let free = [format!("!({admitted} & {bit})"), format!("!{writer}")];
                self.outcome(options, &done, &free, &[format!("{readers} = {readers} + 1")]);
                let behind = [format!("!({admitted} & {bit})"), writer, format!("!({late} & {bit})")];
                self.stay(options, &behind, &[format!("{late} = {late} | {bit}")]);
            }
            Mode::Exclusive => {
                let enter = [format!("{writer} = {me}"), format!("{writing} = 1")];
                self.outcome(options, &done, &[format!("!{writer}"), format!("!{readers}")], &enter);
                self.stay(options, &[format!("!{writer}"), readers.clone()], &[format!("{writer} = {me}")]);
                let in_turn = [format!("{writer} == {me}"), format!("!{writing}"), format!("!{readers}")];
                self.outcome(options, &done, &in_turn, &[format!("{writing} = 1")]);
            }
        }
    }

    /// An option for the one outcome that needs no look at its value.
    fn outcome(&self, options: &mut Options<'_>, outcome: &Outcome, guards: &[String], effects: &[String]) {
        self.judged(options, outcome, guards, effects, &[]);
    }

    fn judged(
        &self,
        options: &mut Options<'_>,
        outcome: &Outcome,
        guards: &[String],
        effects: &[String],
        judge: &[String],
    ) {
        let found = options.state.edges.iter().find(|(pattern, _)| pattern.outcome == *outcome);
        match found.map(|(pattern, step)| (pattern.clone(), step.clone())) {
            Some((pattern, step)) => self.edge(options, &pattern, &step, guards, effects, judge, &ByKind::default()),
            None => options.never(guards),
        }
    }

    /// An option for an operation whose outcome is something new: it equals nothing that is held.
    fn unguarded(
        &self,
        options: &mut Options<'_>,
        guards: &[String],
        effects: &[String],
        judge: &[String],
        source: &ByKind<Vec<String>>,
    ) {
        let found = options.state.edges.first_key_value().map(|(pattern, step)| (pattern.clone(), step.clone()));
        match found {
            Some((pattern, step)) => self.edge(options, &pattern, &step, guards, effects, judge, source),
            None => options.never(guards),
        }
    }

    /// An option for each outcome that was learned, and one for all others, which says so. `is` is what a value asks of
    /// the world, beside what its stamps, objects and times do; those are in `source`.
    fn outcomes(
        &self,
        options: &mut Options<'_>,
        wanted: &dyn Fn(&Outcome) -> bool,
        guards: &[String],
        judge: &[String],
        is: &dyn Fn(&Value) -> Vec<String>,
        source: &ByKind<Vec<String>>,
    ) {
        let mut all = Vec::new();
        for (pattern, step) in &options.state.edges {
            let Outcome::Value(value) = &pattern.outcome else { continue };
            if !wanted(&pattern.outcome) {
                continue;
            }
            let mut conditions = guards.to_vec();
            conditions.extend(is(value));
            conditions.extend(matches(pattern, &options.state.registers, source));
            all.push(and(&conditions));
            self.edge(options, pattern, step, &conditions, &[], judge, source);
        }
        options.never(&[format!("!({})", if all.is_empty() { "false".into() } else { all.join(" || ") })]);
    }

    fn now_after_tick(
        &self,
        options: &mut Options<'_>,
        guards: &[String],
        now: &ByKind<Vec<String>>,
        later: &ByKind<Vec<String>>,
    ) {
        let tick = ["clock = clock + 2".to_owned()];
        let mut all = Vec::new();
        for (pattern, step) in &options.state.edges {
            let mut conditions = guards.to_vec();
            let matching = matches(pattern, &options.state.registers, later);
            all.push(and(&matching));
            conditions.extend(matching);
            self.edge(options, pattern, step, &conditions, &tick, &[], now);
        }
        let mut other = guards.to_vec();
        other.push(format!("!({})", if all.is_empty() { "false".into() } else { all.join(" || ") }));
        options.never(&other);
    }

    /// A step that leaves the thread where it is, in the queue of a lock.
    fn stay(&self, options: &mut Options<'_>, guards: &[String], effects: &[String]) {
        let mut effects = effects.to_vec();
        effects.extend(self.begin(options));
        if options.place.shared_memory {
            effects.push("JUDGE_RACE(me)".into());
        }
        let here = format!("{}{}", options.place.prefix, options.number);
        options.add(guards, &effects, &here);
    }

    /// The Go runtime or the protocol ends the process.
    fn fatal(&self, options: &mut Options<'_>, guards: &[String]) {
        let effects = if options.place.shared_memory { vec!["STANDS_BEFORE(t, 0)".to_owned()] } else { vec![] };
        options.add(guards, &effects, "panics");
    }

    /// The call begins with its first step.
    fn begin(&self, options: &Options<'_>) -> Vec<String> {
        let place = options.place;
        if options.number != place.root {
            return Vec::new();
        }
        let mut effects = vec!["begun[t] = 1".to_owned()];
        if let Some(query) = self.layout.queries.iter().position(|(call, _)| call == place.call) {
            effects.push(format!("ASK(t, {})", query + 1));
        }
        match place.call {
            Call::PutLayer { id, .. } => effects.push(format!("makes(t, {})", self.layout.layer(id).trailing_zeros())),
            Call::DeleteLayer { id } => effects.push(format!("begins_to_delete({})", self.layout.layer(id))),
            _ => {}
        }
        effects.extend(self.notes(place.root_notes));
        if matches!(options.state.op(), Some(Op::Lock { .. } | Op::RwLock { .. })) {
            // It may have begun when it joined the queue.
            let effects = effects.join("; ");
            return vec![format!("if :: !begun[t] -> {effects} :: else fi")];
        }
        effects
    }

    fn notes(&self, notes: &[Note]) -> Vec<String> {
        let one = |note: &Note| match note {
            Note::Acquire(..) => None,
            Note::Acquired(path, wanted) => Some(format!("ACQUIRED(me, t, {}, {})", self.lock(path), mode(*wanted))),
            Note::Release(path) => Some(format!("release(t, {})", self.lock(path))),
        };
        notes.iter().filter_map(one).collect()
    }

    /// An option that takes an edge.
    #[expect(clippy::too_many_arguments, reason = "an edge, and all that its operation does")]
    fn edge(
        &self,
        options: &mut Options<'_>,
        pattern: &Pattern,
        step: &Step,
        guards: &[String],
        effects: &[String],
        judge: &[String],
        source: &ByKind<Vec<String>>,
    ) {
        let place = options.place;
        let target = &self.automata.states[step.target];
        let mut all = effects.to_vec();
        all.extend(self.begin(options));
        all.extend(judge.iter().cloned());
        all.extend(self.notes(&step.notes));
        let lost = |kind| target.registers.get(kind) < options.state.registers.get(kind) || target.reply().is_some();
        let set = |kind| match options.state.op() {
            Some(Op::Set { cell, .. }) => self.layout.slots(cell, kind).0 > 0,
            _ => false,
        };
        let label = match target.reply() {
            Some(reply) => {
                all.extend(self.reply(place, reply));
                let held = Kind::ALL.into_iter().flat_map(|kind| {
                    (0..*options.state.registers.get(kind)).map(move |place| format!("{} = 0", register(kind, place)))
                });
                all.extend(held);
                all.extend(place.after.0.iter().cloned());
                place.after.1.clone()
            }
            None => {
                all.extend(moves(pattern, step, &options.state.registers, source));
                if place.shared_memory {
                    all.push(self.stands_before(target.op()));
                }
                format!("{}{}", place.prefix, step.target)
            }
        };
        let ticks = effects.iter().any(|effect| effect.contains("clock"));
        all.extend(self.tidy(ticks, &|kind| set(kind) || lost(kind)));
        if place.shared_memory {
            all.push("JUDGE_RACE(me)".into());
        }
        all.extend(self.turn(options, target));
        options.add(guards, &all, &label);
    }

    /// What is forgotten, and made dense, after a step that ticked, or after which fewer numbers of a kind may be held.
    fn tidy(&self, ticks: bool, fewer: &dyn Fn(Kind) -> bool) -> Vec<String> {
        let mut effects = Vec::new();
        if !self.layout.fields.is_empty() && fewer(Kind::Object) {
            effects.push("collect(me)".into());
        }
        if !self.layout.timed.is_empty() && (ticks || fewer(Kind::Time)) {
            effects.push("normalise()".into());
        }
        effects
    }

    /// The access to a cell that a thread stands before now.
    pub(super) fn stands_before(&self, op: Option<&Op>) -> String {
        match op {
            Some(Op::Get { cell }) => format!("STANDS_BEFORE(t, 2 * ({}) + 1)", self.cell(cell)),
            Some(Op::Set { cell, .. }) => format!("STANDS_BEFORE(t, 2 * ({}) + 2)", self.cell(cell)),
            _ => "STANDS_BEFORE(t, 0)".into(),
        }
    }

    /// Whether the thread goes on at once, with `-DMERGE`.
    fn turn(&self, options: &Options<'_>, target: &State) -> Option<String> {
        if options.place.shared_memory {
            return None;
        }
        let own = |op: &Op| match op {
            Op::Get { .. } | Op::Set { .. } | Op::New | Op::WriteTemp { .. } | Op::Sync { .. } => {
                Some("KEEP(t)".into())
            }
            Op::MutexLock { mutex } => Some(format!("KEEP_IF(!MUTEX(me, {}), t)", constant("M", &mutex.field))),
            Op::RwLock { mutex, mode } => {
                let mutex = constant("RW", &mutex.field);
                let also = if *mode == Mode::Exclusive { format!(" && !READERS(me, {mutex})") } else { String::new() };
                Some(format!("KEEP_IF(!WRITER(me, {mutex}){also}, t)"))
            }
            // Of a mutex that is locked; and if it is not, the process ends.
            Op::MutexUnlock { .. } | Op::RwUnlock { .. } => Some("KEEP(t)".into()),
            _ => None,
        };
        let keeps = target.op().and_then(own);
        let kept = options.state.op().and_then(own).is_some();
        keeps.or_else(|| kept.then(|| "YIELD".into()))
    }

    /// What properties make of a reply, and the end of the call.
    fn reply(&self, place: &Place<'_>, reply: &Reply) -> Vec<String> {
        let mut effects = Vec::new();
        if let Some((_, replies)) = self.layout.queries.iter().find(|(call, _)| call == place.call) {
            effects.push(match replies.iter().position(|known| known == reply) {
                Some(bit) => format!("ANSWERED(t, {bit})"),
                None => "ANSWERED_OTHERWISE".into(),
            });
        }
        if reply.is_err() {
            effects.push("FAILED".into());
        }
        let layer = |id: &String| self.layout.layer(id);
        let (seen, made) = match (place.call, reply) {
            (_, Err(_)) => (0, 0),
            (Call::Exists { id }, Ok(Value::Bool(true))) | (Call::Names { id }, Ok(_)) => (layer(id), 0),
            (Call::Lookup { .. }, Ok(Value::Text(id))) => (layer(id), 0),
            (Call::Layers, Ok(Value::List(ids))) => {
                let bit = |id: &Value| if let Value::Text(id) = id { layer(id) } else { 0 };
                (ids.iter().fold(0, |mask, id| mask | bit(id)), 0)
            }
            (Call::PutLayer { id, parent, .. }, Ok(_)) => (parent.as_ref().map_or(0, layer), layer(id)),
            _ => (0, 0),
        };
        if (seen, made) != (0, 0) {
            effects.push(format!("replied({seen}, {made})"));
        }
        effects.push("ends(t)".into());
        effects
    }
}

impl Options<'_> {
    fn add(&mut self, guards: &[String], effects: &[String], label: &str) {
        let mut all = vec!["MAY(me, t)".to_owned()];
        if self.place.waits_until_ready && self.number == self.place.root {
            all.push("ready[me]".into());
        }
        all.extend(guards.iter().cloned());
        let (last, mut steps): (Vec<_>, Vec<_>) =
            effects.iter().cloned().partition(|effect| LAST.iter().any(|last| effect.starts_with(last)));
        steps.extend(last.iter().map(|effect| format!("d_step {{ {effect} }}")));
        let text =
            if steps.is_empty() { and(&all) } else { format!("atomic {{ {} -> {} }}", and(&all), steps.join("; ")) };
        let _ = writeln!(self.text, "    :: {text}; goto {label}");
    }

    /// An outcome that the explorer never saw is an error.
    fn never(&mut self, guards: &[String]) {
        let here = format!("{}{}", self.place.prefix, self.number);
        self.add(guards, &["assert(unlearned)".to_owned()], &here);
    }
}

fn and(conditions: &[String]) -> String {
    if conditions.is_empty() { "true".into() } else { conditions.join(" && ") }
}

fn nil_or(value: &Value, number: &str) -> Vec<String> {
    vec![if *value == Value::Nil { format!("!{number}") } else { number.to_owned() }]
}

/// What a pattern asks of the numbers in an outcome.
fn matches(pattern: &Pattern, old: &ByKind<usize>, source: &ByKind<Vec<String>>) -> Vec<String> {
    let Outcome::Value(value) = &pattern.outcome else { return Vec::new() };
    let mut conditions = Vec::new();
    let mut seen: ByKind<usize> = ByKind::default();
    let mut new: ByKind<Vec<&String>> = ByKind::default();
    for (kind, place) in leaves(value) {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let number = &source.get(kind)[*seen.get(kind)];
        *seen.get_mut(kind) += 1;
        let old = *old.get(kind);
        if place < old {
            conditions.push(format!("{number} == {}", register(kind, place)));
        } else if let Some(first) = new.get(kind).get(place - old) {
            conditions.push(format!("{number} == {first}"));
        } else {
            let others = (0..old).map(|other| register(kind, other)).chain(new.get(kind).iter().map(|n| (*n).clone()));
            for (other, known) in others.enumerate() {
                let relation = match kind {
                    Kind::Time if pattern.order[place] > pattern.order[other] => ">",
                    Kind::Time => "<",
                    _ => "!=",
                };
                conditions.push(format!("{number} {relation} {known}"));
            }
            new.get_mut(kind).push(number);
        }
    }
    conditions
}

/// What moves into the registers of the next control state.
fn moves(pattern: &Pattern, step: &Step, old: &ByKind<usize>, source: &ByKind<Vec<String>>) -> Vec<String> {
    let mut effects = Vec::new();
    for kind in Kind::ALL {
        let old = *old.get(kind);
        // Where in the outcome each new number is met first.
        let mut firsts = Vec::new();
        if let Outcome::Value(value) = &pattern.outcome {
            for (at, (_, place)) in leaves(value).into_iter().filter(|(other, _)| *other == kind).enumerate() {
                if place >= (old + firsts.len()) as u64 {
                    firsts.push(at);
                }
            }
        }
        let from = |place: usize| match place.checked_sub(old) {
            None => register(kind, place),
            Some(new) => source.get(kind)[firsts[new]].clone(),
        };
        let wanted = step.moves.get(kind);
        let changed: Vec<(usize, usize)> =
            wanted.iter().copied().enumerate().filter(|(place, from)| place != from || *from >= old).collect();
        if changed.iter().any(|(_, from)| *from < old) {
            effects.extend(changed.iter().map(|(place, at)| format!("moved[{place}] = {}", from(*at))));
            effects.extend(changed.iter().map(|(place, _)| format!("{} = moved[{place}]", register(kind, *place))));
        } else {
            effects.extend(changed.iter().map(|(place, at)| format!("{} = {}", register(kind, *place), from(*at))));
        }
        effects.extend((wanted.len()..old).map(|place| format!("{} = 0", register(kind, place))));
    }
    effects
}

impl State {
    /// The operation that it stands before.
    pub(super) fn op(&self) -> Option<&Op> {
        match &self.request {
            crate::ctx::Request::Op(op) => Some(op),
            crate::ctx::Request::Done(_) => None,
        }
    }
}
