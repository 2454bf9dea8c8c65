//! The values that operations carry, that cells and documents hold, and that calls return.
//!
//! A [`Value`] is a small tree. Protocol code works with ordinary Rust types; [`Datum`] says how each is written as a
//! `Value`, so that an engine can compare, store and rename what a protocol holds without knowing what it means.

use serde::{Deserialize, Serialize};

/// The last-writer stamp of a lock file, opaque: a protocol can compare two stamps for equality and do nothing else.
///
/// In containers/storage it is the 64 bytes at offset 0 of the lock file (`Touch` in `pkg/lockfile/lockfile_unix.go` at
/// 9f889830f). Here it is a number that stands for such bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp(pub u32);

/// A time taken from the coarse clock of the filesystem: the `mtime` of a file.
///
/// In the model it is an even rank, on real files nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mtime(pub u64);

/// A time taken from the fine clock: Go's `time.Now()`. The default is Go's zero time, before every other.
///
/// In the model it is an odd rank (between two ticks of the coarse clock), on real files nanoseconds since the epoch.
/// Two of them are never compared with each other, so those of one tick may share a rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instant(pub u64);

impl Mtime {
    /// Whether the file was touched after `when`, as `TouchedSince` asks it.
    #[must_use]
    pub fn is_after(self, when: Instant) -> bool {
        self.0 > when.0
    }
}

/// A pointer to an object of the process's memory (a layer store, say). Its cells are named by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object(pub u32);

/// What an operation carries or returns, a cell or a document holds, a call returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// Nothing: Go's `nil`, a cell never written, a file that does not exist or is empty.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// A count.
    Int(u32),
    /// A string: an id, a name, the name of an error.
    Text(String),
    /// A last-writer stamp.
    Stamp(Stamp),
    /// A file's time.
    Mtime(Mtime),
    /// A clock's time.
    Instant(Instant),
    /// A pointer.
    Object(Object),
    /// A sequence.
    List(Vec<Value>),
}

impl Value {
    /// Calls `visit` on this value and every value inside it.
    pub fn walk(&self, visit: &mut impl FnMut(&Value)) {
        visit(self);
        if let Value::List(items) = self {
            for item in items {
                item.walk(visit);
            }
        }
    }

    /// The same tree with every leaf replaced by what `rename` returns for it.
    #[must_use]
    pub fn map_leaves(&self, rename: &impl Fn(&Value) -> Value) -> Value {
        match self {
            Value::List(items) => Value::List(items.iter().map(|item| item.map_leaves(rename)).collect()),
            leaf => rename(leaf),
        }
    }
}

/// A Rust type that can be written as a [`Value`] and read back.
pub trait Datum: Sized {
    /// The value that stands for `self`.
    fn to_value(&self) -> Value;
    /// The datum that `value` stands for, or `None` if it stands for none of this type.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! leaf {
    ($($rust:ty => $variant:ident),* $(,)?) => {$(
        impl Datum for $rust {
            fn to_value(&self) -> Value {
                Value::$variant(self.clone())
            }
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::$variant(inner) => Some(inner.clone()),
                    _ => None,
                }
            }
        }
    )*};
}
leaf!(u32 => Int, String => Text, Stamp => Stamp, Mtime => Mtime, Object => Object);

impl Datum for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

/// `Nil` reads as `false`, Go's zero value.
impl Datum for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Nil => Some(false),
            Value::Bool(inner) => Some(*inner),
            _ => None,
        }
    }
}

/// `Nil` reads as the zero time.
impl Datum for Instant {
    fn to_value(&self) -> Value {
        Value::Instant(*self)
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Nil => Some(Instant::default()),
            Value::Instant(inner) => Some(*inner),
            _ => None,
        }
    }
}

impl Datum for () {
    fn to_value(&self) -> Value {
        Value::Nil
    }
    fn from_value(value: &Value) -> Option<Self> {
        (*value == Value::Nil).then_some(())
    }
}

/// `None` is `Nil`.
impl<T: Datum> Datum for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Nil, Datum::to_value)
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Nil => Some(None),
            some => T::from_value(some).map(Some),
        }
    }
}

/// `Nil` reads as the empty sequence: a document that was never written.
impl<T: Datum> Datum for Vec<T> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(Datum::to_value).collect())
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Nil => Some(Vec::new()),
            Value::List(items) => items.iter().map(T::from_value).collect(),
            _ => None,
        }
    }
}

impl<A: Datum, B: Datum> Datum for (A, B) {
    fn to_value(&self) -> Value {
        Value::List(vec![self.0.to_value(), self.1.to_value()])
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::List(items) if items.len() == 2 => Some((A::from_value(&items[0])?, B::from_value(&items[1])?)),
            _ => None,
        }
    }
}

/// Implements [`Datum`] for a struct as the list of its fields; `Nil` reads as the struct's default.
#[macro_export]
macro_rules! record {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::value::Datum for $name {
            fn to_value(&self) -> $crate::value::Value {
                $crate::value::Value::List(vec![$($crate::value::Datum::to_value(&self.$field)),*])
            }
            fn from_value(value: &$crate::value::Value) -> Option<Self> {
                match value {
                    $crate::value::Value::Nil => Some(Self::default()),
                    $crate::value::Value::List(items) => {
                        let mut items = items.iter();
                        Some(Self { $($field: $crate::value::Datum::from_value(items.next()?)?),* })
                    }
                    _ => None,
                }
            }
        }
    };
}
