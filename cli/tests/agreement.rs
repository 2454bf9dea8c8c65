//! The engines agree on every built-in scenario under every protocol, wherever two of them come to an answer within small
//! limits; and whatever an engine answers is what the scenario expects.

mod common;

use common::command;
use serde_json::Value;

#[test]
fn engines_that_both_have_an_answer_have_the_same() {
    let limits = ["--states-max", "5_000", "--permutations-max", "60", "--schedules", "30"];
    let check = [&["check", "--engine", "all", "--no-real", "--format", "json"], &limits[..]].concat();
    let output = command(&check).output().expect("our own command");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["agreement"]["contradictions"], serde_json::json!([]), "{}", report["agreement"]);
    let compared = report["agreement"]["compared"].as_u64().expect("a number");
    assert!(compared >= 500, "limits leave too little to compare: {compared}");
    let mut answered = std::collections::BTreeMap::new();
    for verdict in report["verdicts"].as_array().expect("an array") {
        let text = |key: &str| verdict[key].as_str().expect("a string");
        if ["proved", "violated"].contains(&text("verdict")) {
            assert_eq!(verdict["expected"], verdict["verdict"], "{verdict}");
            *answered.entry(text("engine").to_owned()).or_insert(0) += 1;
        }
    }
    assert!(answered["explore"] >= 1200 && answered["loom"] >= 500, "{answered:?}");
}
