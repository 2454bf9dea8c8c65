//! What is wrong with an execution of commands, by what is expected of them.

use lockproof_model::engine::counted;

use super::Wrong;
use super::execution::Execution;
use super::ground::{Expected, Remains};
use super::oracle::linear::Precedence;
use super::outcome::Outcome;
use super::step::Step;
use super::workload::Workload;

/// What Go's race detector says, of a driver that is built with it: the two accesses, each with the function that makes it.
pub(super) fn data_race(execution: &Execution) -> Option<String> {
    let said = execution.said.iter().find_map(|said| said.errors.split_once("WARNING: DATA RACE"))?.1;
    let mut lines = said.lines().take_while(|line| !line.starts_with("====")).map(str::trim);
    let mut accesses = Vec::new();
    while let Some(line) = lines.next() {
        let is_access =
            ["Read at", "Write at", "Previous read", "Previous write"].iter().any(|one| line.starts_with(one));
        if let Some((kind, by)) = line.split_once(" at ").filter(|_| is_access) {
            let by = by.split_once(' ').map_or("", |(_, by)| by.trim_end_matches(':'));
            accesses.push(format!("{} {by}, in {}", kind.to_lowercase(), lines.next().unwrap_or_default()));
        }
    }
    Some(accesses.join("; "))
}

/// What is wrong with commands that all came to their end: nothing, if an order of them gives the same.
pub(super) fn of_commands(
    outcome: &Outcome,
    remains: Remains,
    expected: &Expected,
    execution: &Execution,
) -> Option<Wrong> {
    let precedence = precedence(execution);
    if let Some(problem) = remains.not_whole.iter().find(|problem| !expected.not_whole.contains(*problem)) {
        return Some(Wrong { property: "whole", detail: format!("{problem}; no order of the commands leaves it so") });
    }
    let detail = outcome.unexplained(&expected.allowed, &precedence, execution)?;
    let Ok(model) = &expected.specification else { return Some(Wrong { property: "serial", detail }) };
    if !remains.store.is_ok_and(|store| model.explains(&outcome.said, &store, &precedence)) {
        return Some(Wrong { property: "linearizable", detail });
    }
    let fails = outcome.later.iter().position(|(status, _)| *status != Some(0));
    if fails.is_some_and(|at| expected.allowed.iter().all(|(_, allowed)| allowed.later[at].0 == Some(0))) {
        return Some(Wrong { property: "later", detail });
    }
    Some(Wrong { property: "atomic", detail: format!("{detail}; {}", explained(&model.sections())) })
}

/// Why the sequential model, in which commands have so many atomic sections each, allows what no order of them gives.
fn explained(sections: &[usize]) -> String {
    if sections.iter().all(|sections| *sections <= 1) {
        return "the sequential model, in which each is one atomic section, leaves open what they report".into();
    }
    let each = sections
        .iter()
        .enumerate()
        .map(|(at, sections)| format!("{} is {}", Workload::name(at), counted(*sections as u64, "atomic section")));
    format!("their sections explain it: {}", each.collect::<Vec<_>>().join(", "))
}

/// Who had taken its last step before who took its first.
fn precedence(execution: &Execution) -> Precedence {
    let of = |participant: usize| move |step: &Step| step.unit.participant == participant;
    let number = execution.said.len();
    let pairs =
        (0..number).flat_map(|one| (0..number).map(move |other| (one, other))).filter(|(one, other)| one != other);
    let is_before = |(one, other): &(usize, usize)| {
        let last = execution.steps.iter().rposition(of(*one));
        let first = execution.steps.iter().position(of(*other));
        last.zip(first).is_some_and(|(last, first)| last < first)
    };
    pairs.filter(is_before).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_explains_it_is_said() {
        assert_eq!(explained(&[1, 3]), "their sections explain it: A is 1 atomic section, B is 3 atomic sections");
        // `check`: the model does not know what it finds.
        assert!(explained(&[1, 1]).ends_with("leaves open what they report"));
    }
}
