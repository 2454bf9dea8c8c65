//! The registers of a thread as Promela: what an outcome asks of them, and what moves into them.

use super::symbolic::{ByKind, Kind, Pattern, Step, leaves};
use crate::op::Outcome;

/// A place where a number is, as Promela.
pub(super) fn register(kind: Kind, place: usize) -> String {
    let name = ["STAMP", "OBJECT", "TIME"][kind as usize];
    format!("{}_register[t * {name}_REGISTERS + {place}]", name.to_lowercase())
}

/// What a pattern asks of the numbers in an outcome.
pub(super) fn matches(pattern: &Pattern, old: &ByKind<usize>, source: &ByKind<Vec<String>>) -> Vec<String> {
    let Outcome::Value(value) = &pattern.outcome else { return Vec::new() };
    let mut conditions = Vec::new();
    let mut seen: ByKind<usize> = ByKind::default();
    let mut new: ByKind<Vec<&String>> = ByKind::default();
    for (kind, place) in leaves(value) {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let number = &source.get(kind)[*seen.get(kind)];
        *seen.get_mut(kind) += 1;
        let old = *old.get(kind);
        if place < old {
            conditions.push(format!("{number} == {}", register(kind, place)));
        } else if let Some(first) = new.get(kind).get(place - old) {
            conditions.push(format!("{number} == {first}"));
        } else {
            let others = (0..old).map(|other| register(kind, other)).chain(new.get(kind).iter().map(|n| (*n).clone()));
            for (other, known) in others.enumerate() {
                let relation = match kind {
                    Kind::Time if pattern.order[place] > pattern.order[other] => ">",
                    Kind::Time => "<",
                    _ => "!=",
                };
                conditions.push(format!("{number} {relation} {known}"));
            }
            new.get_mut(kind).push(number);
        }
    }
    conditions
}

/// What moves into the registers of the next control state.
pub(super) fn moves(pattern: &Pattern, step: &Step, old: &ByKind<usize>, source: &ByKind<Vec<String>>) -> Vec<String> {
    let mut effects = Vec::new();
    for kind in Kind::ALL {
        let old = *old.get(kind);
        // Where in the outcome each new number is met first.
        let mut firsts = Vec::new();
        if let Outcome::Value(value) = &pattern.outcome {
            for (at, (_, place)) in leaves(value).into_iter().filter(|(other, _)| *other == kind).enumerate() {
                if place >= (old + firsts.len()) as u64 {
                    firsts.push(at);
                }
            }
        }
        let from = |place: usize| match place.checked_sub(old) {
            None => register(kind, place),
            Some(new) => source.get(kind)[firsts[new]].clone(),
        };
        let wanted = step.moves.get(kind);
        let changed: Vec<(usize, usize)> =
            wanted.iter().copied().enumerate().filter(|(place, from)| place != from || *from >= old).collect();
        if changed.iter().any(|(_, from)| *from < old) {
            effects.extend(changed.iter().map(|(place, at)| format!("moved[{place}] = {}", from(*at))));
            effects.extend(changed.iter().map(|(place, _)| format!("{} = moved[{place}]", register(kind, *place))));
        } else {
            effects.extend(changed.iter().map(|(place, at)| format!("{} = {}", register(kind, *place), from(*at))));
        }
        effects.extend((wanted.len()..old).map(|place| format!("{} = 0", register(kind, place))));
    }
    effects
}
