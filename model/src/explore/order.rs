//! The global order of locks: which were taken while which were held, in any run.

use std::collections::{BTreeMap, BTreeSet};

use crate::op::Path;

/// A cycle that the pair `first`, `second` closes among the pairs of locks taken one after the other.
pub(crate) fn cycle(orders: &BTreeMap<Path, BTreeSet<Path>>, first: &Path, second: &Path) -> Option<String> {
    let mut path = vec![second.clone()];
    let mut seen = BTreeSet::new();
    if !reaches(orders, second, first, &mut seen, &mut path) {
        return None;
    }
    let names: Vec<&str> = path.iter().map(|path| path.file_name()).collect();
    if first == second {
        return Some(format!("{} is taken by a thread that holds it already", first.file_name()));
    }
    Some(format!(
        "{} is taken while {} is held, and elsewhere the other way round ({})",
        second.file_name(),
        first.file_name(),
        names.join(", then ")
    ))
}

fn reaches(
    orders: &BTreeMap<Path, BTreeSet<Path>>,
    from: &Path,
    to: &Path,
    seen: &mut BTreeSet<Path>,
    path: &mut Vec<Path>,
) -> bool {
    if from == to {
        return true;
    }
    if !seen.insert(from.clone()) {
        return false;
    }
    for next in orders.get(from).into_iter().flatten() {
        path.push(next.clone());
        if reaches(orders, next, to, seen, path) {
            return true;
        }
        path.pop();
    }
    false
}
