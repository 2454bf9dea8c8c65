//! What commands and calls make, and whether it is there.

use super::section::{Kind, OfContainer, OfImage, OfLayer, lookup};
use super::store::Store;

/// What is made by a command or a call, given as words: which kind, and the id that it is to have.
pub(in crate::hunt) fn makes(words: &[String]) -> Option<(Kind, &str)> {
    let (verb, rest) = words.split_first()?;
    let kind = match verb.as_str() {
        "put-layer" | "pull-layer" | "create-layer" | "import-layer" => OfLayer,
        "create-image" => OfImage,
        "create-container" => OfContainer,
        _ => return None,
    };
    // Commands have it as an option, calls as the first argument.
    let option = rest.iter().position(|word| word == "-i");
    let id = option.map_or(rest.first(), |at| rest.get(at + 1))?;
    Some((kind, id.as_str()))
}

/// Whether something of that kind is in the store.
pub(in crate::hunt) fn is_there(store: &Store, kind: Kind, id: &str) -> bool {
    lookup(store, kind, id).is_some()
}
