//! Model and reality call the same stamp and the same object by different names. [`Names`] knows which is which.
//!
//! The model gives a number that nothing holds any more to the next stamp or object, so a pair is made anew whenever a
//! stamp is written or an object allocated. Times are not compared: what they do is seen in what the protocol asks
//! for next.

use std::collections::HashMap;

use lockproof_model::call::Reply;
use lockproof_model::op::{CellName, Op, Outcome};
use lockproof_model::value::{Instant, Mtime, Object, Stamp, Value};

/// A stamp that the model does not know; real ones that it knows are below 64.
const STRANGE: u32 = 1 << 30;

/// Real names of stamps, for all processes.
#[derive(Debug, Default)]
pub(super) struct StampNames {
    /// The model's number of each stamp, by its bytes in hexadecimal.
    model: HashMap<String, Stamp>,
}

impl StampNames {
    /// From now on the model calls these bytes `stamp`, and no others.
    pub(super) fn bind(&mut self, bytes: &str, stamp: Stamp) {
        self.model.retain(|_, other| *other != stamp);
        self.model.insert(bytes.to_owned(), stamp);
    }
}

/// Real names of one process.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The bytes of the stamps that the process numbered, in hexadecimal.
    bytes: HashMap<u32, String>,
    /// The model's number of each object.
    objects: HashMap<Object, Object>,
}

impl Names {
    /// The process has numbered a stamp.
    pub(super) fn numbered(&mut self, number: u32, bytes: String) {
        self.bytes.insert(number, bytes);
    }

    /// The bytes of a stamp.
    pub(super) fn bytes(&self, stamp: Stamp) -> Option<&str> {
        self.bytes.get(&stamp.0).map(String::as_str)
    }

    /// From now on the model calls this object `model`, and no other.
    pub(super) fn bind(&mut self, real: Object, model: Object) {
        self.objects.retain(|_, other| *other != model);
        self.objects.insert(real, model);
    }

    fn leaf(&self, stamps: &StampNames, leaf: &Value) -> Value {
        match leaf {
            Value::Stamp(stamp) => {
                let known = self.bytes(*stamp).and_then(|bytes| stamps.model.get(bytes));
                Value::Stamp(known.copied().unwrap_or(Stamp(STRANGE + stamp.0)))
            }
            Value::Object(object) => Value::Object(self.object(*object)),
            other => other.clone(),
        }
    }

    fn object(&self, real: Object) -> Object {
        self.objects.get(&real).copied().unwrap_or(Object(STRANGE + real.0))
    }

    /// A real value in the model's names.
    pub(super) fn value(&self, stamps: &StampNames, value: &Value) -> Value {
        value.map_leaves(&|leaf| self.leaf(stamps, leaf))
    }

    /// A real outcome in the model's names.
    pub(super) fn outcome(&self, stamps: &StampNames, outcome: &Outcome) -> Outcome {
        match outcome {
            Outcome::Value(value) => Outcome::Value(self.value(stamps, value)),
            other => other.clone(),
        }
    }

    /// What a call really returned, in the model's names.
    pub(super) fn reply(&self, stamps: &StampNames, reply: &Reply) -> Reply {
        reply.clone().map(|value| self.value(stamps, &value))
    }

    /// A real operation in the model's names.
    pub(super) fn op(&self, stamps: &StampNames, op: &Op) -> Op {
        let mut op = op.clone();
        match &mut op {
            Op::WriteTemp { value, .. } => *value = self.value(stamps, value),
            Op::Rename { base, value, .. } => {
                *base = self.value(stamps, base);
                *value = self.value(stamps, value);
            }
            Op::Set { cell, value } => {
                self.cell(cell);
                *value = self.value(stamps, value);
            }
            Op::Get { cell } => self.cell(cell),
            Op::MutexLock { mutex }
            | Op::MutexUnlock { mutex }
            | Op::RwLock { mutex, .. }
            | Op::RwUnlock { mutex, .. } => self.cell(mutex),
            Op::Spawn { call: lockproof_model::call::Call::Goroutine { arguments, .. } } => {
                *arguments = self.value(stamps, arguments);
            }
            _ => {}
        }
        op
    }

    fn cell(&self, cell: &mut CellName) {
        cell.object = cell.object.map(|object| self.object(object));
    }
}

/// A value without its times.
fn timeless(value: &Value) -> Value {
    value.map_leaves(&|leaf| match leaf {
        Value::Mtime(_) => Value::Mtime(Mtime(0)),
        Value::Instant(_) => Value::Instant(Instant(0)),
        other => other.clone(),
    })
}

/// Whether two operations are the same, but for times.
pub(super) fn same_op(model: &Op, real: &Op) -> bool {
    match (model, real) {
        (Op::Set { cell, value }, Op::Set { cell: other_cell, value: other }) => {
            cell == other_cell && timeless(value) == timeless(other)
        }
        _ => model == real,
    }
}

/// Whether two outcomes are the same, but for times.
pub(super) fn same_outcome(model: &Outcome, real: &Outcome) -> bool {
    match (model, real) {
        (Outcome::Value(model), Outcome::Value(real)) => timeless(model) == timeless(real),
        _ => model == real,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_model_stands_for_the_newest_stamp_that_got_it() {
        let (mut stamps, mut names) = (StampNames::default(), Names::default());
        names.numbered(1, "aa".into());
        names.numbered(2, "bb".into());
        stamps.bind("aa", Stamp(0));
        assert_eq!(names.value(&stamps, &Value::Stamp(Stamp(1))), Value::Stamp(Stamp(0)));
        stamps.bind("bb", Stamp(0));
        assert_eq!(names.value(&stamps, &Value::Stamp(Stamp(2))), Value::Stamp(Stamp(0)));
        assert_eq!(names.value(&stamps, &Value::Stamp(Stamp(1))), Value::Stamp(Stamp(STRANGE + 1)));
    }

    #[test]
    fn operations_are_the_same_but_for_times_and_names() {
        let (stamps, mut names) = (StampNames::default(), Names::default());
        names.bind(Object(7), Object(0));
        let set = |object, ns| Op::Set {
            cell: CellName { object: Some(Object(object)), field: "f".into() },
            value: Value::List(vec![Value::Instant(Instant(ns)), Value::Object(Object(object))]),
        };
        assert!(same_op(&set(0, 3), &names.op(&stamps, &set(7, 1_000_000))));
        assert!(!same_op(&set(1, 3), &names.op(&stamps, &set(7, 1_000_000))));
    }
}
