//! One control state as Promela: what its operation needs to be possible, and what it does to the world.

use std::fmt::Write as _;

use super::edge::Options;
use super::layout::{Layout, constant};
use super::registers::register;
use super::symbolic::{Automata, ByKind, Kind, leaves};
use crate::call::Call;
use crate::monitor;
use crate::op::{CellName, LockResult, Mode, Note, Op, Outcome, Path};
use crate::system::System;
use crate::value::Value;

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

impl Place<'_> {
    /// Of a control state of the call.
    pub(super) fn label(&self, state: usize) -> String {
        format!("{}{state}", self.prefix)
    }
}

/// A control state as text.
#[derive(Debug)]
pub(super) struct Block {
    /// Its label, which the text has not: most are only ever come to from above.
    pub(super) label: String,
    pub(super) text: String,
    /// The labels that it jumps to.
    pub(super) jumps: Vec<String>,
}

/// The text of control states.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    pub(super) system: &'a System,
    pub(super) layout: &'a Layout,
    pub(super) automata: &'a Automata,
}

pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Shared => "SHARED",
        Mode::Exclusive => "EXCLUSIVE",
    }
}

impl Writer<'_> {
    pub(super) fn lock(&self, path: &Path) -> String {
        constant("LOCK", &self.system.inode(path).0)
    }

    fn document(&self, path: &Path) -> String {
        constant("DOCUMENT", &self.system.inode(path).0)
    }

    fn timed(&self, path: &Path) -> Option<usize> {
        let inode = self.system.inode(path);
        self.layout.timed.iter().position(|timed| *timed == inode)
    }

    /// The number of a cell in its process.
    pub(super) fn cell(&self, cell: &CellName) -> String {
        named(cell, "CELL", "CELLS")
    }

    /// The number of a `sync.Mutex` in its process.
    pub(super) fn mutex(&self, mutex: &CellName) -> String {
        named(mutex, "MUTEX", "MUTEXES")
    }

    /// The number of a `sync.RWMutex` in its process.
    pub(super) fn rw_mutex(&self, mutex: &CellName) -> String {
        named(mutex, "RWMUTEX", "RWMUTEXES")
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
                    "{lower}_slot[me * {name}_SLOTS + {name}_SLOTS_OF_PROCESS + ({object} - 1) * {name}_SLOTS_OF_OBJECT + {at}]"
                )
            }
        }
    }

    /// All options of a control state, with another one `below` it.
    pub(super) fn state(&self, place: &Place<'_>, number: usize, below: Option<usize>) -> Block {
        let state = &self.automata.states[number];
        let mut options = Options { place, number, state, below, text: String::new(), jumps: Vec::new() };
        let what = match state.op() {
            Some(op) => {
                self.options(&mut options, op);
                self.describe(op)
            }
            None => {
                self.immediate(&mut options);
                "returns at once".into()
            }
        };
        let text = format!("/* {what} */\n    if\n{}    fi;\n", options.text);
        Block { label: place.label(number), text, jumps: options.jumps }
    }

    /// A call that returns without any operation: it begins and ends in one step.
    fn immediate(&self, options: &mut Options<'_>) {
        let place = options.place;
        let mut effects = self.begin(options);
        if let Some(reply) = options.state.reply() {
            effects.extend(self.reply(place, reply));
        }
        effects.extend(place.after.0.iter().cloned());
        effects.extend(self.tidy(false, &|_| true));
        options.add(&[], &effects, &place.after.1);
    }

    fn describe(&self, op: &Op) -> String {
        match op {
            Op::Lock { file, mode, wait } => {
                format!("{} {mode:?} {file}", if *wait { "F_SETLKW" } else { "F_SETLK" })
            }
            Op::Close { file } => format!("close {file}"),
            Op::Probe { file, .. } => format!("open and close {file}"),
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
        match op {
            Op::Lock { file, mode: wanted, wait } => self.lock_options(options, &self.lock(file), mode(*wanted), *wait),
            Op::Close { file } | Op::Probe { file, .. } => {
                self.outcome(options, &done, &[], &[format!("drop(me, {})", self.lock(file))]);
            }
            Op::ReadStamp { file } => {
                let stamp = format!("stamp[{}]", self.lock(file));
                self.outcomes(
                    options,
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
                self.outcomes(options, &[judge], &is, &ByKind::default());
            }
            Op::WriteTemp { .. } | Op::Sync { .. } => self.outcome(options, &done, &[], &[]),
            Op::Rename { document, base, value } => {
                let number = self.document(&document.path);
                let mut effects = vec![
                    format!("KNEW({number}, {})", self.layout.value(base)),
                    format!("document[{number}] = {}", self.layout.value(value)),
                ];
                if monitor::is_contents(&self.system.inode(&document.path)) {
                    let deleted = match options.place.call {
                        Call::DeleteLayer { id } => self.layout.layer(id),
                        _ => 0,
                    };
                    effects.push(format!("CONTENTS_REPLACED({deleted})"));
                }
                let judge = format!("judge_write(me, t, {})", self.lock(&document.lock));
                for tick in self.ticks(&document.path) {
                    let effects: Vec<String> = effects.iter().cloned().chain(tick).collect();
                    self.judged(options, &done, &[], &effects, std::slice::from_ref(&judge));
                }
            }
            Op::Mtime { file } => {
                let time = format!("mtime[{}]", self.timed(file).unwrap_or(usize::MAX));
                let source = ByKind([vec![], vec![], vec![time.clone()]]);
                self.outcomes(options, &[], &|value| nil_or(value, &time), &source);
            }
            Op::Now => {
                let source = |time: &str| ByKind([vec![], vec![], vec![time.to_owned()]]);
                self.outcomes(options, &[], &|_| vec![], &source("(clock + 1)"));
                // A tick right before the clock is read shows only if another time was read since the last tick.
                let held = vec!["INSTANT_HELD".to_owned()];
                self.now_after_tick(options, &held, &source("(clock + 1)"), &source("(clock + 3)"));
            }
            Op::MutexLock { mutex } => {
                let mutex = format!("MUTEX(me, {})", self.mutex(mutex));
                let take = format!("{mutex} = {}", options.place.thread + 1);
                self.outcome(options, &done, &[format!("!{mutex}")], &[take]);
            }
            Op::MutexUnlock { mutex } => {
                let mutex = format!("MUTEX(me, {})", self.mutex(mutex));
                self.outcome(options, &done, std::slice::from_ref(&mutex), &[format!("{mutex} = 0")]);
                self.fatal(options, &[format!("!{mutex}")]);
            }
            Op::RwLock { mutex, mode } => self.rw_lock_options(options, &self.rw_mutex(mutex), *mode),
            Op::RwUnlock { mutex, mode } => {
                let mutex = self.rw_mutex(mutex);
                let (held, unlock) = match mode {
                    Mode::Shared => {
                        (format!("READERS(me, {mutex})"), format!("READERS(me, {mutex}) = READERS(me, {mutex}) - 1"))
                    }
                    Mode::Exclusive => (format!("WRITING(me, {mutex})"), format!("rw_unlock(me, {mutex})")),
                };
                self.outcome(options, &done, std::slice::from_ref(&held), &[unlock]);
                self.fatal(options, &[format!("!{held}")]);
            }
            Op::Get { cell } => {
                let at = format!("CELL(me, {})", self.cell(cell));
                let is = |value: &Value| vec![format!("{at} == {}", self.layout.value(value))];
                let slots = ByKind(Kind::ALL.map(|kind| {
                    (0..self.layout.slots(cell, kind).0).map(|place| self.slot(cell, kind, place)).collect()
                }));
                self.outcomes(options, &[], &is, &slots);
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
                let mut outcomes = vec![vec!["clock = clock + 2".into(), keep.clone()]];
                outcomes.extend((!self.system.fine_times).then(|| vec![keep]));
                outcomes
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
}

fn nil_or(value: &Value, number: &str) -> Vec<String> {
    vec![if *value == Value::Nil { format!("!{number}") } else { number.to_owned() }]
}

/// The number of a variable in its process: those of the process come first, then those of each object.
fn named(name: &CellName, one: &str, all: &str) -> String {
    match name.object {
        None => constant(one, &name.field),
        Some(object) => {
            let object = register(Kind::Object, object.0 as usize);
            let field = constant(&format!("OBJECT_{one}"), &name.field);
            format!("{all}_OF_PROCESS + ({object} - 1) * {all}_OF_OBJECT + {field}")
        }
    }
}
