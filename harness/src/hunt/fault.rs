//! What may happen in place of a call.

use std::fmt;
use std::str::FromStr;

use nix::libc;
use serde::{Deserialize, Serialize};

use super::step::Step;
use crate::supervise::event::{Action, LockKind};

/// What happens in place of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Fault {
    /// The process is killed with `SIGKILL` before it.
    Crash,
    /// The call does not happen, and fails with this `errno`.
    Error(i32),
    /// Half of the bytes are written, and the call says so (write(2): "may be less than count").
    ShortWrite,
}

/// The errors that can be answered, by name.
const ERRORS: [(&str, i32); 5] = [
    ("ENOSPC", libc::ENOSPC),
    ("EIO", libc::EIO),
    ("EDEADLK", libc::EDEADLK),
    ("ENOLCK", libc::ENOLCK),
    ("EINTR", libc::EINTR),
];

const CRASH: &str = "crash";

const SHORT_WRITE: &str = "short-write";

const NOSPC: Fault = Fault::Error(libc::ENOSPC);
const IO: Fault = Fault::Error(libc::EIO);
const DEADLK: Fault = Fault::Error(libc::EDEADLK);
const NOLCK: Fault = Fault::Error(libc::ENOLCK);
const INTR: Fault = Fault::Error(libc::EINTR);

impl Fault {
    /// The faults of a call, but for the crash, by name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ERRORS.iter().map(|(name, _)| *name).chain([SHORT_WRITE])
    }
}

/// A fault at one of the steps of a participant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strike {
    participant: usize,
    /// How many steps it takes before, from now on.
    left: usize,
    fault: Fault,
}

impl Strike {
    /// After `before` steps of `participant`.
    pub(super) fn new(participant: usize, before: usize, fault: Fault) -> Self {
        Self { participant, left: before, fault }
    }

    /// The first fault of an execution, at the same step of the same participant.
    pub(super) fn first_of(steps: &[Step]) -> Option<Self> {
        let (at, step) = steps.iter().enumerate().find(|(_, step)| step.fault.is_some())?;
        let participant = step.unit.participant;
        let before = steps[..at].iter().filter(|step| step.unit.participant == participant).count();
        Some(Self::new(participant, before, step.fault?))
    }

    /// Takes a step that was chosen: what happens in its place, if it is the one. Where that cannot happen in place of it, it
    /// waits for the next.
    pub(super) fn at(strike: &mut Option<Self>, step: &Step) -> Option<Fault> {
        let this = strike.as_mut().filter(|strike| strike.participant == step.unit.participant)?;
        match this.left.checked_sub(1) {
            Some(left) => {
                this.left = left;
                None
            }
            None if this.fault == Fault::Crash || step.possible.contains(&this.fault) => {
                strike.take().map(|strike| strike.fault)
            }
            None => None,
        }
    }
}

/// What may come in place of a call: the errors that its manual page in section 2 lists, as far as we know them.
pub(super) fn possible(action: &Action) -> &'static [Fault] {
    match action {
        Action::Lock(wanted) if wanted.waits && wanted.kind == LockKind::Posix => &[DEADLK, NOLCK, INTR],
        Action::Lock(wanted) if wanted.waits => &[NOLCK, INTR],
        Action::Lock(_) => &[NOLCK],
        Action::Write { bytes: 0 | 1, .. } => &[NOSPC, IO, INTR],
        Action::Write { .. } => &[NOSPC, IO, INTR, Fault::ShortWrite],
        Action::Read { .. } => &[IO, INTR],
        Action::Open { file, mode } if mode.create && file.id.is_none() => &[NOSPC, INTR],
        Action::Open { .. } => &[INTR],
        Action::MakeDirectory { .. } | Action::Rename { .. } => &[NOSPC],
        Action::Link { .. } => &[NOSPC, IO],
        Action::Truncate { .. } => &[IO, INTR],
        Action::Sync { .. } => &[NOSPC, IO, INTR],
        Action::Unlink { .. } => &[IO],
        Action::Grant(_)
        | Action::Release { .. }
        | Action::Status { .. }
        | Action::Change { .. }
        | Action::List { .. }
        | Action::Mount { .. }
        | Action::Execute { .. }
        | Action::Exit { .. }
        | Action::Ended => &[],
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Crash => f.write_str(CRASH),
            Fault::ShortWrite => f.write_str(SHORT_WRITE),
            Fault::Error(errno) => match ERRORS.iter().find(|(_, known)| known == errno) {
                Some((name, _)) => f.write_str(name),
                None => write!(f, "errno {errno}"),
            },
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let error = ERRORS.iter().find(|(known, _)| *known == name).map(|(_, errno)| Fault::Error(*errno));
        match (name, error) {
            (CRASH, _) => Ok(Fault::Crash),
            (SHORT_WRITE, _) => Ok(Fault::ShortWrite),
            (_, Some(error)) => Ok(error),
            (_, None) => {
                let known: Vec<&str> = Self::names().collect();
                Err(format!("there is no fault {name}: there are {}", known.join(", ")))
            }
        }
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> String {
        fault.to_string()
    }
}

impl TryFrom<String> for Fault {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}
