//! The machine runs the three calls of discussion D14, step by step.

mod common;

use lockproof_model::machine::Machine;
use lockproof_model::schedule::Step;

fn run_alone(protocol: &str) -> (usize, Vec<String>) {
    let system = common::d14(protocol);
    let mut machine = Machine::new(&system).unwrap();
    let mut wrong = Vec::new();
    let mut steps = 0;
    while let Some(step) = machine.enabled().unwrap().first().copied() {
        assert_eq!(step, Step::Run { process: 0, thread: 0, branch: 0 });
        let event = machine.step(step).unwrap();
        steps += 1;
        wrong.extend(event.wrong.filter(|text| text.starts_with("`names")));
    }
    (steps, wrong)
}

#[test]
fn the_read_only_cache_of_the_pull_request_is_stale() {
    let stale = "`names base` returns [foo], but all the while the answer was [foo, bar]".to_string();
    assert_eq!(run_alone("v1_24"), (365, vec![]));
    assert_eq!(run_alone("pr_473"), (320, vec![stale]));
    assert_eq!(run_alone("one_way_upgrade"), (338, vec![]));
    assert_eq!(run_alone("per_layer_locks"), (365, vec![]));
}
