//! Mutation: a protocol of which one operation of one call is changed, to see whether any scenario notices.
//!
//! The change is made between the protocol and its driver ([`Task`](crate::ctx::Task)), so that every engine runs the
//! mutant, and it is a function of the call and its outcomes so far, like the call itself. Notes are left as they are:
//! they say what the mutant *believes* to hold. What the kernel holds is what the operations made it hold.
//!
//! An operation is named by what it works on and by how often the call has asked for such an operation before, so the
//! same number may mean another line of the protocol where the call has taken another branch. [`sites`] finds the numbers
//! that calls really reach.

mod driver;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::automaton::{Automaton, NodeId};
use crate::call::StoreId;
use crate::op::{Mode, Op};
use crate::protocol::Entry;

pub(crate) use driver::{Driver, Turn};

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// A lock file is not locked; the process goes on as if it were.
    DropLock,
    /// A lock file is not closed, so that the kernel keeps the lock until the process closes it another time, or ends.
    DropUnlock,
    /// A stamp is not written, and not remembered.
    DropStamp,
    /// A document is not read, and the cell that would have held it stays as it is.
    DropReload,
    /// An exclusive lock of the kernel is a shared one.
    WeakenLock,
    /// A stamp is written, and remembered, when its lock file has been closed.
    LateStamp,
    /// A lock file is locked after the next operation on a file.
    SwapLock,
    /// A lock file is closed after the next operation on a file.
    SwapUnlock,
    /// A stamp is written, and remembered, after the next operation on a file.
    SwapStamp,
    /// A document is replaced after the next operation on a file.
    SwapReplace,
    /// A Go `sync.Mutex` is never locked and never unlocked, in the whole call.
    DropMutex,
    /// A Go `sync.RWMutex` likewise.
    DropRwMutex,
}

impl Operator {
    /// All of them.
    pub const ALL: [Operator; 12] = [
        Operator::DropLock,
        Operator::DropUnlock,
        Operator::DropStamp,
        Operator::DropReload,
        Operator::WeakenLock,
        Operator::LateStamp,
        Operator::SwapLock,
        Operator::SwapUnlock,
        Operator::SwapStamp,
        Operator::SwapReplace,
        Operator::DropMutex,
        Operator::DropRwMutex,
    ];

    /// The name, as mutants are called by it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operator::DropLock => "drop-lock",
            Operator::DropUnlock => "drop-unlock",
            Operator::DropStamp => "drop-stamp",
            Operator::DropReload => "drop-reload",
            Operator::WeakenLock => "weaken-lock",
            Operator::LateStamp => "late-stamp",
            Operator::SwapLock => "swap-lock",
            Operator::SwapUnlock => "swap-unlock",
            Operator::SwapStamp => "swap-stamp",
            Operator::SwapReplace => "swap-replace",
            Operator::DropMutex => "drop-mutex",
            Operator::DropRwMutex => "drop-rwmutex",
        }
    }

    /// What `op` works on, if it is of the kind that this operator changes. Mutexes of two objects are not told apart.
    fn target(self, op: &Op) -> Option<&str> {
        match (self, op) {
            (Operator::DropLock | Operator::WeakenLock | Operator::SwapLock, Op::Lock { file, .. })
            | (Operator::DropUnlock | Operator::SwapUnlock, Op::Close { file })
            | (Operator::DropStamp | Operator::LateStamp | Operator::SwapStamp, Op::WriteStamp { file }) => {
                Some(&file.0)
            }
            (Operator::DropReload, Op::Read { document }) | (Operator::SwapReplace, Op::Rename { document, .. }) => {
                Some(&document.path.0)
            }
            (Operator::DropMutex, Op::MutexLock { mutex }) | (Operator::DropRwMutex, Op::RwLock { mutex, .. }) => {
                Some(&mutex.field)
            }
            _ => None,
        }
    }

    /// Whether it changes all operations on its target, and not one of them.
    fn is_on_all(self) -> bool {
        matches!(self, Operator::DropMutex | Operator::DropRwMutex)
    }

    fn is_swap(self) -> bool {
        matches!(self, Operator::SwapLock | Operator::SwapUnlock | Operator::SwapStamp | Operator::SwapReplace)
    }
}

/// Whether `op` is one that another process may see, or that sees what another did: those are what is swapped. The
/// temporary file of a document is nobody else's.
fn is_on_files(op: &Op) -> bool {
    matches!(
        op,
        Op::Lock { .. }
            | Op::Close { .. }
            | Op::Probe { .. }
            | Op::ReadStamp { .. }
            | Op::WriteStamp { .. }
            | Op::Read { .. }
            | Op::Rename { .. }
            | Op::Mtime { .. }
    )
}

/// One change of one call. As text, `put-layer:drop-lock:root/vfs-layers/layers.lock:1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mutation {
    /// The name of the call that is changed, whatever its arguments.
    pub call: String,
    /// What is changed about it.
    pub operator: Operator,
    /// The path of a file, or the name of a mutex.
    pub target: String,
    /// Which of the operations on it that the call asks for, from 1; `None` for all of them.
    pub number: Option<u32>,
}

impl Mutation {
    /// The mutant of `protocol`, under a name of its own. It is kept for the life of the program, as protocols are.
    #[must_use]
    pub fn of(self, protocol: Entry) -> Entry {
        let name = Box::leak(format!("{}+{self}", protocol.name).into_boxed_str());
        Entry { name, mutation: Some(Box::leak(Box::new(self))), ..protocol }
    }

    /// In words, what is changed.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { call, target, .. } = self;
        let number = self.number.unwrap_or_default();
        let th = match (number % 10, number % 100) {
            (1, tens) if tens != 11 => "st",
            (2, tens) if tens != 12 => "nd",
            (3, tens) if tens != 13 => "rd",
            _ => "th",
        };
        let nth = format!("{number}{th}");
        let what = match self.operator {
            Operator::DropLock => format!("the {nth} lock of {target} is not taken"),
            Operator::DropUnlock => format!("the {nth} close of {target} is left out"),
            Operator::DropStamp => format!("the {nth} stamp of {target} is not written"),
            Operator::DropReload => format!("the {nth} read of {target} is left out"),
            Operator::WeakenLock => format!("the {nth} lock of {target} is shared"),
            Operator::LateStamp => format!("the {nth} stamp of {target} is written when its lock is free"),
            Operator::SwapLock => format!("the {nth} lock of {target} is taken one operation later"),
            Operator::SwapUnlock => format!("the {nth} close of {target} is one operation later"),
            Operator::SwapStamp => format!("the {nth} stamp of {target} is written one operation later"),
            Operator::SwapReplace => format!("the {nth} replacement of {target} is one operation later"),
            Operator::DropMutex | Operator::DropRwMutex => format!("{target} is never locked"),
        };
        format!("in {call}, {what}")
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:", self.call, self.operator.name(), self.target)?;
        match self.number {
            Some(number) => write!(f, "{number}"),
            None => f.write_str("all"),
        }
    }
}

impl FromStr for Operator {
    type Err = MutationError;

    fn from_str(name: &str) -> Result<Self, MutationError> {
        let operator = Self::ALL.into_iter().find(|operator| operator.name() == name);
        operator.ok_or_else(|| MutationError::Operator { name: name.into() })
    }
}

/// A text that names no mutant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MutationError {
    /// It has not the four parts.
    #[error("`{0}` names no mutant; one is written CALL:OPERATOR:FILE:NUMBER, the number from 1, or `all` of a mutex")]
    Form(String),
    /// There is no such operator.
    #[error("there is no operator `{name}`; there are {}", Operator::ALL.map(Operator::name).join(", "))]
    Operator {
        /// The name.
        name: String,
    },
}

impl FromStr for Mutation {
    type Err = MutationError;

    /// The name of a mutex has a `:` in it; that of a call or of an operator has none.
    fn from_str(text: &str) -> Result<Self, MutationError> {
        let form = || MutationError::Form(text.into());
        let (call, rest) = text.split_once(':').ok_or_else(form)?;
        let (name, rest) = rest.split_once(':').ok_or_else(form)?;
        let (target, number) = rest.rsplit_once(':').ok_or_else(form)?;
        let operator: Operator = name.parse()?;
        let number = match number {
            "all" if operator.is_on_all() => None,
            number if !operator.is_on_all() => Some(number.parse().ok().filter(|number| *number > 0).ok_or_else(form)?),
            _ => return Err(form()),
        };
        Ok(Self { call: call.into(), operator, target: target.into(), number })
    }
}

/// The mutations of the protocol called `protocol` that change something in a call that `automaton` has seen: an
/// exploration has to have learned it ([`explore::Report::automaton`](crate::explore::Report::automaton)).
///
/// On another Store object a call does the same with files of another path: that is the same mutation, and is named by the
/// files of the first one.
#[must_use]
pub fn sites(automaton: &Automaton, protocol: &str) -> BTreeSet<Mutation> {
    let mut found = BTreeSet::new();
    let ids = (0..u32::try_from(automaton.len()).unwrap_or(u32::MAX)).map(NodeId);
    for id in ids.filter(|id| automaton.node(*id).entry.name == protocol) {
        let node = automaton.node(id);
        let Some(op) = node.op() else { continue };
        let is_elsewhere = matches!(node.call.store(), Some(StoreId::Second(_) | StoreId::Additional(_)));
        let before: Vec<&Op> = automaton.requests_before(id).collect();
        // The operation on files before this one, which is what a swap puts behind it.
        let last = before.iter().position(|op| is_on_files(op));
        for operator in Operator::ALL {
            let mut add = |op: &Op, before: &[&Op]| {
                if let Some(target) = operator.target(op).filter(|target| !(is_elsewhere && target.contains('/'))) {
                    let same = before.iter().filter(|other| operator.target(other) == Some(target)).count();
                    let number = (!operator.is_on_all()).then(|| u32::try_from(same + 1).unwrap_or(u32::MAX));
                    let call = node.call.name().to_owned();
                    found.insert(Mutation { call, operator, target: target.to_owned(), number });
                }
            };
            if operator.is_swap() {
                if let Some(last) = last.filter(|_| is_on_files(op)) {
                    add(before[last], &before[last + 1..]);
                }
            } else if operator == Operator::LateStamp {
                if let Op::Close { file } = op {
                    let written = |op: &&Op| matches!(op, Op::WriteStamp { file: other } if other == file);
                    for at in before.iter().enumerate().filter(|(_, op)| written(op)).map(|(at, _)| at) {
                        add(before[at], &before[at + 1..]);
                    }
                }
            } else if operator != Operator::WeakenLock || matches!(op, Op::Lock { mode: Mode::Exclusive, .. }) {
                add(op, &before);
            }
        }
    }
    found
}
