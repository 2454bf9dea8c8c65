//! What must hold where processes of the library make calls. It is what must hold of commands, but no order of the calls is
//! run beforehand: there are too many. The sequential model says what each may give.
//!
//! Who was killed may have taken effect or not. A layer of its that is marked incomplete is as good as not there, for
//! whoever writes next removes it (`Load` of layers.go), but nothing may be built upon it.

use std::collections::BTreeSet;

use super::line::{Made, lines};
use crate::hunt::Wrong;
use crate::hunt::execution::Execution;
use crate::hunt::fault::Fault;
use crate::hunt::ground::{Expected, Remains};
use crate::hunt::oracle::linear::{Answer, Precedence};
use crate::hunt::oracle::made::{is_there, makes};
use crate::hunt::oracle::store::Store;
use crate::hunt::outcome::{LATER, Outcome};
use crate::hunt::workload::Workload;

/// A command or a call of an execution: what it answered, and its first and last step; none if it never began.
struct Operation {
    words: Vec<String>,
    name: String,
    answer: Answer,
    lasted: Option<(usize, usize)>,
}

/// What is wrong with an execution that has come to its end.
pub(in crate::hunt) fn of_calls(
    outcome: &Outcome,
    remains: Remains,
    expected: &Expected,
    workload: &Workload,
    execution: &Execution,
) -> Option<Wrong> {
    let killed: BTreeSet<usize> = (execution.steps.iter())
        .filter(|step| step.fault == Some(Fault::Crash))
        .map(|step| step.unit.participant)
        .collect();
    let wrong = |property, detail| Some(Wrong { property, detail });
    let operations = operations(outcome, workload, execution, &killed);
    let store = match remains.store {
        Ok(store) => store,
        Err(problem) => return wrong("whole", problem),
    };
    if let Some(detail) = half_made(&store).into_iter().next() {
        return wrong("half-made", detail);
    }
    if let Some(detail) = lost(&operations, &store) {
        return wrong("acknowledged", detail);
    }
    let end = if killed.is_empty() { store } else { without_incomplete(store) };
    let explained = expected.specification.as_ref().map(|model| {
        let answers: Vec<Answer> = operations.iter().map(|operation| operation.answer.clone()).collect();
        model.explains(&answers, &end, &precedence(&operations))
    });
    // What the model leaves so is no fault. What somebody who was killed leaves in the driver's directory is removed later.
    let dangling = if explained == Ok(true) { Vec::new() } else { end.dangling() };
    let of_driver = remains.not_whole.into_iter().filter(|problem| killed.is_empty() && problem.contains("directory"));
    if let Some(problem) = dangling.into_iter().chain(of_driver).next() {
        return wrong("whole", problem);
    }
    if explained == Ok(false) {
        let said: Vec<String> = operations.iter().filter_map(Operation::text).collect();
        let text =
            format!("no order of these gives their answers and the store at the end: {}; {end}", said.join("; "));
        return wrong("linearizable", text);
    }
    let failed = LATER.iter().zip(&outcome.later).find(|(_, (status, _))| *status != Some(0));
    let (words, (status, said)) = failed?;
    let status = status.map_or("a signal".into(), |status| status.to_string());
    wrong("later", format!("later, `{words}` ends with {status} and says {said:?}"))
}

/// What is built upon a layer that is not complete.
fn half_made(store: &Store) -> Vec<String> {
    let is_half = |layer: &str| store.layers.get(layer).is_some_and(|layer| layer.incomplete);
    let on = |kind: &str, id: &str, layer: &str| format!("{kind} {id} is built upon {layer}, which is not complete");
    let mut found = Vec::new();
    for (id, layer) in &store.layers {
        found.extend(layer.parent.as_ref().filter(|parent| is_half(parent)).map(|parent| on("layer", id, parent)));
    }
    for (id, image) in &store.images {
        found.extend(image.layer.as_ref().filter(|layer| is_half(layer)).map(|layer| on("image", id, layer)));
    }
    let containers = store.containers.iter().filter(|(_, container)| is_half(&container.layer));
    found.extend(containers.map(|(id, container)| on("container", id, &container.layer)));
    found
}

/// What was acknowledged and is gone, though nobody removes anything.
fn lost(operations: &[Operation], store: &Store) -> Option<String> {
    let removes = |operation: &Operation| operation.words[0].starts_with("delete") || operation.words[0] == "wipe";
    if operations.iter().any(removes) {
        return None;
    }
    operations.iter().filter(|operation| operation.answer.0 == Some(0)).find_map(|operation| {
        let (kind, id) = makes(&operation.words)?;
        let text = format!("{} was acknowledged, and is gone: {}", operation.words.join(" "), operation.name);
        (!is_there(store, kind, id)).then_some(text)
    })
}

fn without_incomplete(mut store: Store) -> Store {
    store.layers.retain(|_, layer| !layer.incomplete);
    store
}

fn operations(
    outcome: &Outcome,
    workload: &Workload,
    execution: &Execution,
    killed: &BTreeSet<usize>,
) -> Vec<Operation> {
    let mut all = Vec::new();
    for (participant, words) in workload.commands.iter().enumerate() {
        let mut mine = execution.steps.iter().enumerate().filter(|(_, step)| step.unit.participant == participant);
        let first = mine.next().map(|(at, _)| at);
        let last = mine.next_back().map(|(at, _)| at).or(first);
        let (status, output) = outcome.said[participant].clone();
        let answer = if killed.contains(&participant) { (None, String::new()) } else { (status, output) };
        all.push(Operation {
            words: words.clone(),
            name: Workload::name(participant),
            answer,
            lasted: first.zip(last),
        });
    }
    for (at, script) in workload.daemons.iter().enumerate() {
        let participant = workload.commands.len() + at;
        let lanes = [&script.before].into_iter().chain(script.goroutines.iter().map(|(_, calls)| calls));
        for (goroutine, calls) in lanes.enumerate() {
            let mut made =
                (execution.calls.iter()).filter(|made| (made.participant, made.goroutine) == (participant, goroutine));
            for call in calls {
                let words = [&call.call].into_iter().chain(&call.args).cloned().collect();
                let unit = crate::hunt::step::Unit { participant, process: goroutine };
                let name = format!("{} `{call}`", workload.unit(unit));
                let made = made.next();
                let lasted = made.map(|made| (made.begun, made.ended.as_ref().map_or(usize::MAX, |(step, _)| *step)));
                all.push(Operation { words, name, answer: made.map_or((None, String::new()), answer), lasted });
            }
        }
    }
    all
}

fn answer(made: &Made) -> Answer {
    match &made.ended {
        Some((_, Ok(value))) => (Some(0), lines(value).join("\n")),
        Some((_, Err(_))) => (Some(1), String::new()),
        None => (None, String::new()),
    }
}

/// Which had ended before which began.
fn precedence(operations: &[Operation]) -> Precedence {
    let mut all = Vec::new();
    for (one, earlier) in operations.iter().enumerate() {
        // One that was cut short need never take effect, so nothing waits for it.
        let is_over = earlier.answer.0.is_some();
        for (other, later) in operations.iter().enumerate().filter(|(other, _)| is_over && *other != one) {
            if let (Some((_, end)), Some((begin, _))) = (earlier.lasted, later.lasted)
                && (end < begin || end == begin && !earlier.is_command())
            {
                all.push((one, other));
            }
        }
    }
    all
}

impl Operation {
    /// A command's end is its last step; the end of a call is the step before which its answer was there.
    fn is_command(&self) -> bool {
        !self.name.contains('`')
    }

    /// What it answered, for people.
    fn text(&self) -> Option<String> {
        self.lasted?;
        let (status, said) = &self.answer;
        let said = said.replace('\n', " ");
        Some(match status {
            Some(0) if said.is_empty() => format!("{} succeeds", self.name),
            Some(0) => format!("{} says {said}", self.name),
            Some(status) => format!("{} fails ({status})", self.name),
            None => format!("{} was cut short", self.name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hunt::oracle::store::{Container, Image, Layer};

    #[test]
    fn what_is_built_upon_a_layer_that_is_not_complete_is_told_of() {
        let on = |parent: &str| Layer { parent: Some(parent.into()), ..Layer::default() };
        let half = |incomplete| Layer { incomplete, ..Layer::default() };
        let image = Image { layer: Some("half".into()), ..Image::default() };
        let container = Container { layer: "half".into(), ..Container::default() };
        let store = |incomplete| Store {
            layers: [("base", half(false)), ("half", half(incomplete)), ("child", on("half")), ("other", on("base"))]
                .map(|(id, layer)| (id.into(), layer))
                .into(),
            images: [("i".into(), image.clone())].into(),
            containers: [("c".into(), container.clone())].into(),
        };
        let told = ["layer child", "image i", "container c"];
        assert_eq!(
            half_made(&store(true)),
            told.map(|what| format!("{what} is built upon half, which is not complete"))
        );
        assert_eq!(half_made(&store(false)), Vec::<String>::new());
    }
}
