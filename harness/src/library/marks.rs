//! The marks of a run of the model: what the library has to come to, in the same order. Between two marks it does what it
//! does.
//!
//! A mark is what both have words for: a call begins, a lock file is locked or let go, its stamp is read or written, a
//! document is read or replaced, a thread has to wait, a process is killed. What happens in the memory of a process is no
//! step of the library that we see, and so none that we order.

use std::collections::BTreeSet;

use lockproof_model::op::{LockResult, Mode, Op, Outcome, Path};
use lockproof_model::schedule::Step;
use lockproof_model::system::System;
use lockproof_model::trace::{Effect, Trace};

use crate::hunt::step::Unit;

/// Something that the library has to come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Who.
    pub(super) unit: Unit,
    /// The number of the model's step, from 1.
    pub(super) number: usize,
    /// What.
    pub(super) act: Act,
    /// Whether the coarse clock has to tick before it.
    pub(super) ticks: bool,
    /// The file that has the time of the last tick after it.
    pub(super) keeps_time: Option<Path>,
}

/// What the library has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It is told its next call.
    Begins,
    /// It takes a step that is called so.
    Takes(String),
    /// It replaces the document.
    Replaces(Path),
    /// It has to wait.
    Waits,
    /// Its process is killed.
    Dies,
}

/// The marks of a run, and the files that they are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) all: Vec<Mark>,
    files: BTreeSet<String>,
}

impl Marks {
    /// Of a run of the system.
    ///
    /// # Errors
    /// What of it the library cannot be brought to.
    pub(super) fn of(system: &System, trace: &Trace) -> Result<Self, String> {
        if !trace.cycle.is_empty() {
            return Err("a run without end is not followed by the library, which makes each call once".into());
        }
        let (mut marks, timed, mut ticks) = (Self::default(), system.timed(), false);
        let mut begun = vec![0; system.processes.len()];
        for (number, event) in (1..).zip(&trace.events) {
            let (process, thread, branch) = match event.step {
                Step::Kill { process } => {
                    let unit = Unit { participant: usize::from(process), process: 0 };
                    marks.all.push(Mark { unit, number, act: Act::Dies, ticks: false, keeps_time: None });
                    continue;
                }
                Step::Run { process, thread, branch } => (usize::from(process), usize::from(thread), branch),
            };
            let described = &system.processes[process];
            if thread >= described.threads.len() {
                return Err(
                    "the model starts a goroutine by itself; which one of the library that is, is not known".into()
                );
            }
            if event.begins.is_some() && thread == 0 {
                begun[process] += 1;
            }
            // What is called first has a goroutine of its own.
            let is_before = thread == 0 && begun[process] <= described.before.len();
            let unit = Unit { participant: process, process: if is_before { 0 } else { thread + 1 } };
            let mark = |act| Mark { unit, number, act, ticks: false, keeps_time: None };
            if event.begins.is_some() {
                marks.all.push(mark(Act::Begins));
            }
            let Some(op) = &event.op else { continue };
            if event.effect == Effect::Waits {
                marks.all.push(mark(Act::Waits));
                continue;
            }
            // Whether the coarse clock has ticked is a choice of the model, as where reference processes follow it.
            let written = match op {
                Op::WriteStamp { file } => Some(file),
                Op::Rename { document, .. } => Some(&document.path),
                _ => None,
            };
            let written = written.map(|file| system.inode(file)).filter(|file| timed.contains(file));
            ticks |= written.is_some() && branch == 0 || *op == Op::Now && branch == 1;
            let inode = |path: &Path| system.inode(path).0;
            let (act, file) = match op {
                Op::Lock { file, mode, wait } => {
                    if event.effect != Effect::Done(Outcome::Locked(LockResult::Granted)) {
                        return Err(format!("{file} is refused: the library is not brought to that"));
                    }
                    let (letter, file) = (if *mode == Mode::Shared { 'R' } else { 'W' }, inode(file));
                    let attempt = if *wait { "" } else { "try " };
                    (Act::Takes(format!("{attempt}{letter}({file})")), file)
                }
                Op::Close { file } => (Act::Takes(format!("U({})", inode(file))), inode(file)),
                Op::ReadStamp { file } => (Act::Takes(format!("reads {}", inode(file))), inode(file)),
                Op::WriteStamp { file } => (Act::Takes(format!("writes {}", inode(file))), inode(file)),
                // Whoever has opened it sees what it held then.
                Op::Read { document } => {
                    (Act::Takes(format!("opens {}", inode(&document.path))), inode(&document.path))
                }
                Op::Rename { document, .. } => (Act::Replaces(system.inode(&document.path)), inode(&document.path)),
                Op::Panic { message } => {
                    return Err(format!("the model panics ({message}): the library is not brought to that"));
                }
                _ => continue,
            };
            let ticks = std::mem::take(&mut ticks);
            marks.all.push(Mark { ticks, keeps_time: written.filter(|_| branch == 1), ..mark(act) });
            marks.files.insert(file);
        }
        Ok(marks)
    }

    /// Whether a step is about a lock, a stamp that is written, or a document that is replaced, of the files of the marks.
    pub(super) fn tells(&self, what: &str) -> bool {
        let within = |verb: &str| what.strip_prefix(verb).and_then(|rest| rest.strip_suffix(')'));
        let locked = ["R(", "W(", "U(", "try R(", "try W("].into_iter().find_map(within);
        let written = || what.strip_prefix("writes ").filter(|file| !Path::new(*file).is_document());
        locked.or_else(written).or_else(|| replaced(what)).is_some_and(|file| self.files.contains(file))
    }
}

impl Act {
    /// Whether a step of the library is this.
    pub(super) fn is(&self, what: &str) -> bool {
        match self {
            Act::Begins => is_told(what),
            Act::Takes(step) => step == what,
            Act::Replaces(document) => replaced(what) == Some(&document.0),
            Act::Waits | Act::Dies => false,
        }
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Act::Begins => "begins its next call".into(),
            Act::Takes(step) => step.clone(),
            Act::Replaces(document) => format!("replaces {document}"),
            Act::Waits => "has to wait".into(),
            Act::Dies => "is killed".into(),
        }
    }
}

/// Whether a step tells a goroutine something.
pub(super) fn is_told(what: &str) -> bool {
    what.starts_with("calls ") || what == "has nothing more to do"
}

/// The document that a step replaces.
pub(super) fn replaced(what: &str) -> Option<&str> {
    let (_, to) = what.strip_prefix("renames ")?.split_once(" to ")?;
    Path::new(to).is_document().then_some(to)
}

#[cfg(test)]
mod tests {
    use lockproof_model::op::Document;
    use lockproof_model::protocol;
    use lockproof_model::system::{Process, Repeat, Thread};
    use lockproof_model::trace::Event;
    use lockproof_model::value::Value;

    use super::*;

    const LOCK: &str = "root/vfs-images/images.lock";
    const IMAGES: &str = "root/vfs-images/images.json";

    fn system() -> System {
        let protocol = protocol::by_name("v1_43").unwrap();
        let threads = vec![Thread { script: Vec::new(), repeat: Repeat::Times(1) }];
        let runs = Repeat::Times(1);
        let process = Process { name: "p".into(), protocol, before: Vec::new(), threads, runs, may_crash: false };
        System {
            documents: vec![],
            stamped: vec![],
            aliases: vec![],
            processes: vec![process],
            crashes: 0,
            fine_times: false,
        }
    }

    fn event(op: Op, effect: Effect) -> Event {
        let step = Step::Run { process: 0, thread: 0, branch: 0 };
        let (begins, call, ends, wrong) = (None, None, None, None);
        Event { step, begins, call, op: Some(op), effect, notes: Vec::new(), ends, wrong }
    }

    fn document() -> Document {
        Document { path: Path::new(IMAGES), lock: Path::new(LOCK) }
    }

    fn lock(mode: Mode) -> Op {
        Op::Lock { file: Path::new(LOCK), mode, wait: true }
    }

    #[test]
    fn a_run_has_a_mark_for_each_thing_that_both_have_words_for() {
        let granted = || Effect::Done(Outcome::Locked(LockResult::Granted));
        let done = || Effect::Done(Outcome::Done);
        let rename = Op::Rename { document: document(), base: Value::Nil, value: Value::Nil };
        let mutex = lockproof_model::op::CellName { object: None, field: "m".into() };
        let mut events = vec![
            event(lock(Mode::Exclusive), granted()),
            event(Op::MutexLock { mutex: mutex.clone() }, done()),
            event(Op::Read { document: document() }, done()),
            event(rename, done()),
            event(Op::WriteStamp { file: Path::new(LOCK) }, done()),
            event(Op::Close { file: Path::new(LOCK) }, done()),
            event(Op::MutexLock { mutex }, Effect::Waits),
        ];
        events.push(Event { step: Step::Kill { process: 0 }, op: None, ..events[0].clone() });
        let marks = Marks::of(&system(), &Trace { events, cycle: Vec::new() }).unwrap();
        let texts: Vec<(usize, String)> = marks.all.iter().map(|mark| (mark.number, mark.act.text())).collect();
        let expected = [
            (1, format!("W({LOCK})")),
            (3, format!("opens {IMAGES}")),
            (4, format!("replaces {IMAGES}")),
            (5, format!("writes {LOCK}")),
            (6, format!("U({LOCK})")),
            (7, "has to wait".into()),
            (8, "is killed".into()),
        ];
        assert_eq!(texts, expected);
        let temporary = format!("{IMAGES}123456 to {IMAGES}");
        assert!(marks.all[2].act.is(&format!("renames root/vfs-images/.tmp-{temporary}")));
        assert!(!marks.all[2].act.is("renames a.json to b.json"));
        // What is done to other files, and a document that is written before it has its name, tells nothing.
        for (what, tells) in [
            (format!("R({LOCK})"), true),
            (format!("try W({LOCK})"), true),
            (format!("writes {LOCK}"), true),
            (format!("renames x to {IMAGES}"), true),
            ("W(root/userns.lock)".into(), false),
            (format!("writes root/vfs-images/.tmp-{IMAGES}*0.1"), false),
            (format!("opens {IMAGES}"), false),
        ] {
            assert_eq!(marks.tells(&what), tells, "{what}");
        }
    }

    #[test]
    fn what_the_library_is_not_brought_to_is_said() {
        let refused = |trace: Trace| Marks::of(&system(), &trace).unwrap_err();
        let one = |event: Event| Trace { events: vec![event], cycle: Vec::new() };
        let deadlock = Effect::Done(Outcome::Locked(LockResult::Deadlock));
        let refusal = format!("{LOCK} is refused: the library is not brought to that");
        assert_eq!(refused(one(event(lock(Mode::Shared), deadlock))), refusal);
        let panic = event(Op::Panic { message: "no".into() }, Effect::Died);
        assert_eq!(refused(one(panic.clone())), "the model panics (no): the library is not brought to that");
        let spawned = Event { step: Step::Run { process: 0, thread: 1, branch: 0 }, ..panic.clone() };
        assert!(refused(one(spawned)).starts_with("the model starts a goroutine by itself"));
        assert!(refused(Trace { events: Vec::new(), cycle: vec![panic] }).starts_with("a run without end"));
    }
}
