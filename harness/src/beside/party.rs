//! Who makes calls: what it does next, what it was acknowledged, and whether an answer fits that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value as Json;

use super::{BASE, ids};
use crate::library::Returned;

/// The most layers of its own that a party has at a time.
const LAYERS_MAX: usize = 4;

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Put { id: String },
    SetNames { id: String, name: String },
    Delete { id: String },
    Names { id: String },
    Exists { id: String },
    Layers,
    Images,
    Diff,
    CloseDiff,
}

impl Act {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Act::Put { .. } => "put-layer",
            Act::SetNames { .. } => "set-names",
            Act::Delete { .. } => "delete-layer",
            Act::Names { .. } => "names",
            Act::Exists { .. } => "exists",
            Act::Layers => "layers",
            Act::Images => "images",
            Act::Diff => "diff",
            Act::CloseDiff => "close-diff",
        }
    }

    /// The arguments that the driver takes.
    pub(super) fn arguments(&self) -> Vec<String> {
        match self {
            Act::Put { id } if id == BASE => vec![id.clone()],
            Act::Put { id } => vec![id.clone(), BASE.into()],
            Act::SetNames { id, name } => vec![id.clone(), name.clone()],
            Act::Delete { id } | Act::Names { id } | Act::Exists { id } => vec![id.clone()],
            Act::Diff | Act::CloseDiff => vec![BASE.into()],
            Act::Layers | Act::Images => Vec::new(),
        }
    }

    /// The words of the command.
    pub(super) fn words(&self) -> Vec<&str> {
        match self {
            Act::Put { id } if id == BASE => vec!["create-layer", "--id", id],
            Act::Put { id } => vec!["create-layer", "--id", id, BASE],
            Act::SetNames { id, name } => vec!["set-names", "--name", name, id],
            Act::Delete { id } => vec!["delete-layer", id],
            Act::Names { id } => vec!["get-names", "--json", id],
            Act::Exists { id } => vec!["exists", "--layer", "--json", id],
            Act::Layers => vec!["layers", "--json"],
            Act::Images => vec!["images", "--json"],
            Act::Diff | Act::CloseDiff => vec!["diff", "--file", "/dev/null", BASE],
        }
    }

    /// What a command that succeeded says: JSON, or nothing that matters.
    pub(super) fn read(&self, said: &str) -> Json {
        let said: Json = serde_json::from_str(said).unwrap_or_default();
        match (self, said) {
            (Act::Exists { id }, said) => said.get(id).cloned().unwrap_or_default(),
            // A null is an empty list of Go's.
            (Act::Layers | Act::Images | Act::Names { .. }, Json::Null) => Json::Array(Vec::new()),
            (_, said) => said,
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.arguments().iter().try_for_each(|argument| write!(f, " {argument}"))
    }
}

/// A goroutine of the daemon, or a lane of commands.
pub(super) struct Party {
    pub(super) kind: &'static str,
    pub(super) name: String,
    rng: StdRng,
    /// Its layers that were acknowledged, each with the name that was acknowledged last.
    own: BTreeMap<String, Option<String>>,
    /// Its layers that are gone: their deletion was acknowledged.
    gone: BTreeSet<String>,
    /// How many it has made, so that no two have one id.
    made: u64,
    /// Whether it holds a diff open between two calls.
    keeps_diffs: bool,
    open_diff: bool,
}

impl Party {
    pub(super) fn new(kind: &'static str, number: u32, seed: u64, keeps_diffs: bool) -> Self {
        let name = format!("{kind}-{}", number + 1);
        // Each has a sequence of its own, whatever the others do.
        let salt = name.bytes().fold(seed, |salt, byte| salt.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
        let rng = StdRng::seed_from_u64(salt);
        let (own, gone) = (BTreeMap::new(), BTreeSet::new());
        Self { kind, name, rng, own, gone, made: 0, keeps_diffs, open_diff: false }
    }

    pub(super) fn layers(&self) -> impl Iterator<Item = &String> {
        self.own.keys()
    }

    /// Whether its next call undoes its last.
    pub(super) fn must_go_on(&self) -> bool {
        self.open_diff
    }

    /// Its next call: one in three changes something.
    pub(super) fn choose(&mut self) -> Act {
        if self.open_diff {
            return Act::CloseDiff;
        }
        let count = self.own.len();
        let mine = (count > 0).then(|| self.rng.random_range(0..count)).and_then(|at| self.own.keys().nth(at).cloned());
        let id = mine.clone().unwrap_or_else(|| BASE.into());
        match (self.rng.random_range(0..15), mine) {
            (0..=1, _) if count < LAYERS_MAX => {
                self.made += 1;
                Act::Put { id: format!("{}-{}", self.name, self.made) }
            }
            (0..=2, Some(id)) => Act::Delete { id },
            (3..=4, Some(id)) => {
                self.made += 1;
                Act::SetNames { id, name: format!("{}-name-{}", self.name, self.made) }
            }
            (0..=6, _) => Act::Names { id },
            (7..=9, _) => Act::Exists { id },
            (10..=11, _) => Act::Layers,
            (12..=13, _) => Act::Images,
            _ => Act::Diff,
        }
    }

    /// Takes note of what a call returned, and says what is wrong with it.
    pub(super) fn returned(&mut self, act: &Act, returned: &Returned) -> Option<String> {
        let Ok(value) = returned else {
            // What a failed change has left is anybody's guess.
            if let Act::Put { id } | Act::Delete { id } | Act::SetNames { id, .. } = act {
                self.own.remove(id);
            }
            if matches!(act, Act::CloseDiff) {
                self.open_diff = false;
            }
            let known = matches!(act, Act::Names { id } if id == BASE || self.own.contains_key(id));
            return known.then(|| format!("`{act}` fails, though the layer was acknowledged: {returned:?}"));
        };
        match act {
            Act::Put { id } => drop(self.own.insert(id.clone(), None)),
            Act::Delete { id } => {
                self.own.remove(id);
                self.gone.insert(id.clone());
            }
            Act::SetNames { id, name } => drop(self.own.insert(id.clone(), Some(name.clone()))),
            Act::Names { id } => {
                let name = self.own.get(id)?.as_deref()?;
                let names: Vec<&str> = ids(value);
                return (names != [name]).then(|| format!("`{act}` returns {value}, acknowledged was {name}"));
            }
            Act::Exists { .. } => {
                return (*value == Json::Bool(false)).then(|| format!("`{act}` returns false, acknowledged it was"));
            }
            Act::Layers => return self.judge_layers(value).next(),
            Act::Images => {}
            Act::Diff => self.open_diff = self.keeps_diffs,
            Act::CloseDiff => self.open_diff = false,
        }
        None
    }

    /// What is wrong with a list of layers.
    pub(super) fn judge_layers<'a>(&'a self, layers: &'a Json) -> impl Iterator<Item = String> + 'a {
        let listed: BTreeSet<&str> = ids(layers).into_iter().collect();
        let back: Vec<String> = (self.gone.iter().filter(|id| listed.contains(id.as_str())))
            .map(|id| format!("{id} is listed, and its deletion was acknowledged"))
            .collect();
        let lost = self.own.keys().filter(move |id| !listed.contains(id.as_str()));
        lost.map(|id| format!("{id} was acknowledged and is not listed")).chain(back)
    }
}
