//! The contents of `layers.json`, as far as locking cares.

use crate::record;

/// One layer's record (`type Layer struct` in layers.go).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// `ID`.
    pub id: String,
    /// `Names`.
    pub names: Vec<String>,
    /// `Parent`; empty for none.
    pub parent: String,
    /// `Flags["incomplete"]`.
    pub incomplete: bool,
}
record!(Layer { id, names, parent, incomplete });

/// The layers of a store, in the order of the document.
pub type Layers = Vec<Layer>;

/// `lookup`: by id, then by name.
#[must_use]
pub fn lookup<'a>(layers: &'a [Layer], id: &str) -> Option<&'a Layer> {
    layers
        .iter()
        .find(|layer| layer.id == id)
        .or_else(|| layers.iter().find(|layer| layer.names.iter().any(|n| n == id)))
}

/// Takes each name that two layers have from the earlier one. Returns whether there was such a name.
pub fn remove_duplicate_names(layers: &mut [Layer]) -> bool {
    let mut found = false;
    for later in 1..layers.len() {
        let (before, rest) = layers.split_at_mut(later);
        for name in &rest[0].names {
            for earlier in before.iter_mut() {
                let had = earlier.names.len();
                earlier.names.retain(|other| other != name);
                found |= earlier.names.len() != had;
            }
        }
    }
    found
}
