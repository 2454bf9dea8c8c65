//! The calls of the store's API that a scenario is made of, and what they return.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// One call of the store, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "call")]
pub enum Call {
    /// `GetStore`. Returns `Nil`.
    Open,
    /// `Status`: obtains the layer store and asks its driver; takes no layers lock. Returns `Nil`.
    Status,
    /// `Names` of a layer. Returns the list of its names.
    Names {
        /// The layer's id or name.
        id: String,
    },
    /// `Lookup` of a name. Returns the layer's id.
    Lookup {
        /// The name.
        name: String,
    },
    /// `Exists`. Returns a truth value.
    Exists {
        /// The layer's id or name.
        id: String,
    },
    /// `Layers`. Returns the list of ids, in the order of the document.
    Layers,
    /// `PutLayer`. Returns the id.
    PutLayer {
        /// The new layer's id.
        id: String,
        /// The id of its parent.
        #[serde(default)]
        parent: Option<String>,
        /// Its names.
        #[serde(default)]
        names: Vec<String>,
        /// Whether contents are applied, which marks the layer incomplete while it lasts.
        #[serde(default)]
        diff: bool,
    },
    /// `DeleteLayer`. Returns `Nil`.
    DeleteLayer {
        /// The layer's id.
        id: String,
    },
    /// `SetNames`. Returns `Nil`.
    SetNames {
        /// The layer's id.
        id: String,
        /// Its names from now on; another layer that has one of them loses it.
        names: Vec<String>,
    },
    /// `Diff`: begins to read a layer's contents, and keeps its lock until [`Call::CloseDiff`]. Returns `Nil`.
    Diff {
        /// The layer's id.
        id: String,
    },
    /// `Close` of the reader that `Diff` returned. Returns `Nil`.
    CloseDiff {
        /// The layer's id.
        id: String,
    },
    /// `CreateImage`. Returns the id.
    CreateImage {
        /// The new image's id.
        id: String,
        /// The id or name of its top layer.
        #[serde(default)]
        layer: Option<String>,
        /// Its names.
        #[serde(default)]
        names: Vec<String>,
    },
    /// `DeleteImage`, which deletes the layers too that nothing else needs. Returns `Nil`.
    DeleteImage {
        /// The image's id or name.
        id: String,
    },
    /// `Images`. Returns the list of ids, in the order of the document.
    Images,
    /// `CreateContainer`, which makes the layer `ID-layer` for it. Returns the id.
    CreateContainer {
        /// The new container's id.
        id: String,
        /// The id or name of the image that it is made from.
        #[serde(default)]
        image: Option<String>,
        /// Its names.
        #[serde(default)]
        names: Vec<String>,
    },
    /// `DeleteContainer`, which deletes its layer too. Returns `Nil`.
    DeleteContainer {
        /// The container's id or name.
        id: String,
    },
    /// `Containers`. Returns the list of ids, in the order of the document.
    Containers,
    /// `Layers`, `Images` and `Containers`, one after the other; `MultiList` where there is one. Returns the three lists.
    MultiList,
    /// `Mount`. Returns `Nil`.
    Mount {
        /// The id or name of a layer or a container.
        id: String,
    },
    /// `Unmount(id, false)`. Returns whether it is still mounted.
    Unmount {
        /// The id or name of a layer or a container.
        id: String,
    },
    /// `Mounted`. Returns how often it is mounted.
    Mounted {
        /// The id or name of a layer or a container.
        id: String,
    },
    /// `Shutdown`. Returns `Nil`.
    Shutdown,
    /// `ShutdownRO` of the pull request. Returns `Nil`.
    #[serde(rename = "shutdown-ro")]
    ShutdownRo,
    /// A method of the lock library alone, on a lock file that no store uses. Returns a truth value or `Nil`.
    Lockfile {
        /// The method.
        method: LockMethod,
        /// The lock file is `root/FILE.lock`.
        file: String,
        /// Whether it is the object that `GetROLockfile` made, as for an additional store.
        #[serde(default)]
        ro: bool,
    },
    /// A call on a Store object of the process that is not simply the one of `root` and `run`.
    On {
        /// Which object.
        store: StoreId,
        /// The call, no `On` itself.
        of: Box<Call>,
    },
    /// What a goroutine runs, by a name that the protocol gave it; never part of a scenario.
    Goroutine {
        /// The protocol's name for it.
        name: String,
        /// Its arguments.
        arguments: Value,
    },
}

/// A Store object of a process, other than the one that has the graph root `root`, the run root `run` and no additional stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreId {
    /// Another one of the same graph root, from 2, with a run root of its own: `run2`. No release before 1.38 makes such an
    /// object (`getstore-ignores-runroot`); there it is the first.
    Second(u8),
    /// That one, opened with so many additional stores, which it only reads (`additionalimagestores` in storage.conf).
    With(u8),
    /// One whose graph root is that additional store, from 1: `additional1`. Its process may write there.
    Additional(u8),
}

/// The most additional stores of a Store object.
pub const ADDITIONAL_MAX: u8 = 2;

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreId::Second(number) => write!(f, "@{number} "),
            StoreId::With(_) => Ok(()),
            StoreId::Additional(number) => write!(f, "@additional{number} "),
        }
    }
}

/// A method of `type Locker interface` in `pkg/lockfile/lockfile.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockMethod {
    /// `GetLockfile`, or `GetROLockfile`: makes the object, which opens the file and closes it again. The other methods
    /// work on the object as if it had been made.
    GetLockfile,
    /// `Lock`.
    Lock,
    /// `RLock`.
    Rlock,
    /// `RecursiveLock`; `Lock` since release 1.44, which removed it.
    RecursiveLock,
    /// `Unlock`.
    Unlock,
    /// `Touch`.
    Touch,
    /// `Modified`. Returns a truth value.
    Modified,
    /// `Locked`. Returns a truth value.
    Locked,
}

impl LockMethod {
    /// All of them.
    pub const ALL: [LockMethod; 8] = [
        LockMethod::GetLockfile,
        LockMethod::Lock,
        LockMethod::Rlock,
        LockMethod::RecursiveLock,
        LockMethod::Unlock,
        LockMethod::Touch,
        LockMethod::Modified,
        LockMethod::Locked,
    ];

    /// The name, as scenarios write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LockMethod::GetLockfile => "get-lockfile",
            LockMethod::Lock => "lock",
            LockMethod::Rlock => "rlock",
            LockMethod::RecursiveLock => "recursive-lock",
            LockMethod::Unlock => "unlock",
            LockMethod::Touch => "touch",
            LockMethod::Modified => "modified",
            LockMethod::Locked => "locked",
        }
    }
}

impl Call {
    /// The name, as scenarios write it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Call::Open => "open",
            Call::Status => "status",
            Call::Names { .. } => "names",
            Call::Lookup { .. } => "lookup",
            Call::Exists { .. } => "exists",
            Call::Layers => "layers",
            Call::PutLayer { .. } => "put-layer",
            Call::DeleteLayer { .. } => "delete-layer",
            Call::SetNames { .. } => "set-names",
            Call::Diff { .. } => "diff",
            Call::CloseDiff { .. } => "close-diff",
            Call::CreateImage { .. } => "create-image",
            Call::DeleteImage { .. } => "delete-image",
            Call::Images => "images",
            Call::CreateContainer { .. } => "create-container",
            Call::DeleteContainer { .. } => "delete-container",
            Call::Containers => "containers",
            Call::MultiList => "multi-list",
            Call::Mount { .. } => "mount",
            Call::Unmount { .. } => "unmount",
            Call::Mounted { .. } => "mounted",
            Call::Shutdown => "shutdown",
            Call::ShutdownRo => "shutdown-ro",
            Call::Lockfile { method, .. } => method.name(),
            Call::On { of, .. } => of.name(),
            Call::Goroutine { name, .. } => name,
        }
    }

    /// Whether it needs no store.
    #[must_use]
    pub fn is_on_lockfile(&self) -> bool {
        matches!(self, Call::Lockfile { .. })
    }

    /// Which Store object it is on; `None` of the first, without additional stores.
    #[must_use]
    pub fn store(&self) -> Option<StoreId> {
        match self {
            Call::On { store, .. } => Some(*store),
            _ => None,
        }
    }

    /// The call itself, on whichever Store object it is.
    #[must_use]
    pub fn plain(&self) -> &Call {
        match self {
            Call::On { of, .. } => of,
            call => call,
        }
    }

    /// The same, to be changed.
    pub fn plain_mut(&mut self) -> &mut Call {
        match self {
            Call::On { of, .. } => of,
            call => call,
        }
    }

    /// Whether it reads layers, images or containers for its caller: the property `parallel-reads` is about these.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.is_query() || matches!(self.plain(), Call::Diff { .. })
    }

    /// Whether it only asks: its answer is judged by the property `fresh`.
    #[must_use]
    pub fn is_query(&self) -> bool {
        matches!(
            self.plain(),
            Call::Names { .. }
                | Call::Lookup { .. }
                | Call::Exists { .. }
                | Call::Layers
                | Call::Images
                | Call::Containers
                | Call::MultiList
                | Call::Mounted { .. }
        )
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Call::On { store, of } = self {
            return write!(f, "{store}{of}");
        }
        f.write_str(self.name())?;
        match self {
            Call::Names { id }
            | Call::Exists { id }
            | Call::DeleteLayer { id }
            | Call::Diff { id }
            | Call::CloseDiff { id }
            | Call::DeleteImage { id }
            | Call::DeleteContainer { id }
            | Call::Mount { id }
            | Call::Unmount { id }
            | Call::Mounted { id } => write!(f, " {id}"),
            Call::Lookup { name } => write!(f, " {name}"),
            Call::PutLayer { id, parent, names, diff } => {
                made(f, id, parent.as_ref(), names)?;
                if *diff { f.write_str(" with contents") } else { Ok(()) }
            }
            Call::CreateImage { id, layer, names } => made(f, id, layer.as_ref(), names),
            Call::CreateContainer { id, image, names } => made(f, id, image.as_ref(), names),
            Call::SetNames { id, names } => write!(f, " {id} to [{}]", names.join(",")),
            Call::Lockfile { file, ro, .. } => write!(f, " {file}{}", if *ro { " (read-only)" } else { "" }),
            Call::Open
            | Call::Status
            | Call::Layers
            | Call::Images
            | Call::Containers
            | Call::MultiList
            | Call::Shutdown
            | Call::ShutdownRo
            | Call::On { .. }
            | Call::Goroutine { .. } => Ok(()),
        }
    }
}

/// What is made, on what, under which names.
fn made(f: &mut fmt::Formatter<'_>, id: &str, on: Option<&String>, names: &[String]) -> fmt::Result {
    write!(f, " {id}")?;
    if let Some(on) = on {
        write!(f, " on {on}")?;
    }
    if names.is_empty() { Ok(()) } else { write!(f, " as {}", names.join(",")) }
}

/// A call that ended without an answer: the name of the Go error (`ErrLayerUnknown`), or another text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(transparent)]
#[error("{0}")]
pub struct Fail(pub String);

impl Fail {
    /// `storage.ErrLayerUnknown`: no layer of that id or name.
    #[must_use]
    pub fn layer_unknown() -> Self {
        Self("ErrLayerUnknown".into())
    }
}

/// What a call returned.
pub type Reply = Result<Value, Fail>;
