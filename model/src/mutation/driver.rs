//! What stands between a mutated call and its driver: operations that the call asks for and that are not performed, are
//! performed otherwise, or later.

use std::collections::VecDeque;

use super::{Mutation, Operator, is_on_files};
use crate::call::Reply;
use crate::ctx::Request;
use crate::op::{CellName, LockResult, Mode, Op, Outcome};
use crate::value::{Stamp, Value};

/// Stands for a stamp that the call thinks was written. It never leaves this module: a cell that is to hold it is written
/// when the stamp is, and never if the stamp never is.
const UNWRITTEN: Value = Value::Stamp(Stamp(u32::MAX));

/// What happens next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The driver performs this.
    Ask(Op),
    /// The call goes on with this.
    GoOn(Option<Outcome>),
    /// The call has returned.
    Return(Reply),
}

/// How far the change has come.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// How many operations of the kind that is changed were asked for.
    met: u32,
    /// What is put off.
    held: Option<Op>,
    /// Cells that are to hold the stamp that is put off.
    cells: Vec<Op>,
    /// The stamp, once it is written.
    stamp: Option<Stamp>,
    /// The next write of a cell is left out.
    spares_cell: bool,
    /// The mutexes whose next unlock is left out, as often as they stand here.
    spares_unlock: Vec<CellName>,
}

/// Whose request the driver performs.
#[derive(Debug)]
enum Asked {
    Nothing,
    /// The call's own.
    Own(Op),
    /// One that was put off.
    Late(Op),
}

/// A mutation at work in one call.
#[derive(Debug)]
pub(crate) struct Driver {
    mutation: &'static Mutation,
    progress: Progress,
    /// The tops of loops that were passed, with how far the change had come at the first visit: a later round begins
    /// there, as in the automaton.
    tops: Vec<(String, Progress)>,
    asked: Asked,
    /// What is performed before the call goes on.
    late: VecDeque<Op>,
    /// How the call goes on then.
    then: Option<Turn>,
}

impl Driver {
    pub(crate) fn new(mutation: &'static Mutation) -> Self {
        Self {
            mutation,
            progress: Progress::default(),
            tops: Vec::new(),
            asked: Asked::Nothing,
            late: VecDeque::new(),
            then: None,
        }
    }

    /// The driver has performed what it was asked for.
    pub(crate) fn performed(&mut self, outcome: Option<Outcome>) -> Turn {
        match (std::mem::replace(&mut self.asked, Asked::Nothing), outcome) {
            (Asked::Own(op), Some(outcome)) if self.releases(&op, &outcome) => {
                self.then = Some(Turn::GoOn(Some(outcome)));
                self.release()
            }
            (Asked::Late(op @ Op::Lock { .. }), Some(outcome)) if outcome != Outcome::Locked(LockResult::Granted) => {
                self.late.push_front(op);
                self.ask_late(round())
            }
            (Asked::Late(Op::WriteStamp { .. }), Some(Outcome::Value(Value::Stamp(stamp)))) => {
                self.progress.stamp = Some(stamp);
                self.next_late()
            }
            (Asked::Late(_), _) => self.next_late(),
            (_, outcome) => Turn::GoOn(outcome),
        }
    }

    /// The call asks for something.
    pub(crate) fn requested(&mut self, request: Request) -> Turn {
        let op = match request {
            Request::Op(op) => op,
            Request::Done(reply) => {
                self.then = Some(Turn::Return(reply));
                return self.release();
            }
        };
        if let Op::LoopHead { label, .. } = &op {
            match self.tops.iter().find(|(other, _)| other == label) {
                Some((_, first)) => self.progress = first.clone(),
                None => self.tops.push((label.clone(), self.progress.clone())),
            }
        }
        if self.mutation.operator.target(&op) == Some(&self.mutation.target) {
            self.progress.met += 1;
            if self.mutation.number.is_none_or(|number| self.progress.met == number) {
                return self.change(op);
            }
        }
        match &op {
            Op::Set { value, .. } if mentions(value) && self.progress.stamp.is_none() => {
                self.progress.cells.push(op);
                return Turn::GoOn(Some(Outcome::Done));
            }
            Op::Set { .. } if std::mem::take(&mut self.progress.spares_cell) => {
                return Turn::GoOn(Some(Outcome::Done));
            }
            Op::MutexUnlock { mutex } | Op::RwUnlock { mutex, .. } => {
                let spared = self.progress.spares_unlock.iter().position(|other| other == mutex);
                if let Some(spared) = spared {
                    self.progress.spares_unlock.swap_remove(spared);
                    return Turn::GoOn(Some(Outcome::Done));
                }
            }
            _ => {}
        }
        self.ask(op)
    }

    /// The call asks for the operation that is changed.
    fn change(&mut self, op: Op) -> Turn {
        let answer = match &op {
            Op::Lock { .. } => Outcome::Locked(LockResult::Granted),
            Op::WriteStamp { .. } => Outcome::Value(UNWRITTEN),
            Op::Read { .. } => Outcome::Value(Value::Nil),
            _ => Outcome::Done,
        };
        match self.mutation.operator {
            Operator::DropLock | Operator::DropUnlock | Operator::DropStamp => {}
            Operator::DropReload => self.progress.spares_cell = true,
            Operator::WeakenLock => return self.ask(weaker(op)),
            Operator::LateStamp
            | Operator::SwapLock
            | Operator::SwapUnlock
            | Operator::SwapStamp
            | Operator::SwapReplace => self.progress.held = Some(op),
            Operator::DropMutex | Operator::DropRwMutex => {
                if let Op::MutexLock { mutex } | Op::RwLock { mutex, .. } = op {
                    self.progress.spares_unlock.push(mutex);
                }
            }
        }
        Turn::GoOn(Some(answer))
    }

    /// Whether what is put off is performed now that `op` is. A lock that was refused is asked for again.
    fn releases(&self, op: &Op, outcome: &Outcome) -> bool {
        let Some(held) = &self.progress.held else { return false };
        match (held, op) {
            (Op::WriteStamp { file }, _) if self.mutation.operator == Operator::LateStamp => {
                matches!(op, Op::Close { file: closed } if closed == file)
            }
            (_, Op::Lock { .. }) => *outcome == Outcome::Locked(LockResult::Granted),
            _ => is_on_files(op),
        }
    }

    /// What is put off is performed, if anything is.
    fn release(&mut self) -> Turn {
        if let Some(held) = self.progress.held.take() {
            if matches!(held, Op::Lock { .. }) {
                self.late.push_back(round());
            }
            self.late.push_back(held);
            self.late.extend(std::mem::take(&mut self.progress.cells));
        }
        self.next_late()
    }

    fn next_late(&mut self) -> Turn {
        match self.late.pop_front() {
            Some(op) => self.ask_late(op),
            None => self.then.take().unwrap_or(Turn::GoOn(None)),
        }
    }

    fn ask_late(&mut self, op: Op) -> Turn {
        let op = self.settled(op);
        self.asked = Asked::Late(op.clone());
        Turn::Ask(op)
    }

    fn ask(&mut self, op: Op) -> Turn {
        let op = self.settled(op);
        self.asked = Asked::Own(op.clone());
        Turn::Ask(op)
    }

    /// `op` with the stamp itself in place of what stands for it.
    fn settled(&self, op: Op) -> Op {
        let stamp = self.progress.stamp.map_or(Value::Nil, Value::Stamp);
        let settle =
            |value: Value| value.map_leaves(&|leaf| if *leaf == UNWRITTEN { stamp.clone() } else { leaf.clone() });
        match op {
            Op::Set { cell, value } => Op::Set { cell, value: settle(value) },
            Op::LoopHead { label, values } => Op::LoopHead { label, values: settle(values) },
            Op::WriteTemp { document, value } => Op::WriteTemp { document, value: settle(value) },
            Op::Rename { document, base, value } => Op::Rename { document, base: settle(base), value: settle(value) },
            other => other,
        }
    }
}

/// A round of the loop in which a lock that was put off is asked for until it is granted.
fn round() -> Op {
    Op::LoopHead { label: "F_SETLKW (put off)".into(), values: Value::Nil }
}

fn weaker(op: Op) -> Op {
    match op {
        Op::Lock { file, wait, .. } => Op::Lock { file, mode: Mode::Shared, wait },
        other => other,
    }
}

fn mentions(value: &Value) -> bool {
    let mut found = false;
    value.walk(&mut |leaf| found |= *leaf == UNWRITTEN);
    found
}
