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
