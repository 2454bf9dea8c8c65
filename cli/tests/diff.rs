//! `lockproof diff`: what a change of the protocol turns.

mod common;

use common::{json, lockproof, says, stderr, stdout, without_schedules};

/// Two gains, a loss, what is not for both, and what stays.
const SCENARIOS: [&str; 4] =
    ["stale-ro-cache-after-rw-write", "list-while-push", "shutdown-ro-after-write", "nested-rlock-pending-writer"];

fn diff<'a>(before: &'a str, after: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["diff", before, after], &SCENARIOS[..], more].concat()
}

#[test]
fn what_the_pull_request_turns_for_people() {
    insta::assert_snapshot!(without_schedules(&says(&diff("v1_24", "pr_473", &[]), 0)));
}

#[test]
fn what_the_pull_request_turns_for_a_comment_on_it() {
    insta::assert_snapshot!(without_schedules(&says(&diff("v1_24", "pr_473", &["--format", "markdown"]), 0)));
}

#[test]
fn the_way_back_turns_the_same_verdicts_the_other_way() {
    let names = |report: &serde_json::Value, key: &str| -> Vec<(String, String)> {
        let of = |entry: &serde_json::Value| {
            let text = |key: &str| entry[key].as_str().expect("a string").to_owned();
            (text("scenario"), text("property"))
        };
        report[key].as_array().expect("an array").iter().map(of).collect()
    };
    let there = json(&diff("v1_24", "pr_473", &[]), 0);
    let back = json(&diff("pr_473", "v1_24", &[]), 0);
    assert_eq!(names(&there, "better"), names(&back, "worse"));
    assert_eq!(names(&there, "worse"), names(&back, "better"));
    assert_eq!(names(&there, "better").len() + names(&there, "worse").len(), 3);
    assert_eq!(there["unchanged"], back["unchanged"]);
    let replay = there["worse"][0]["after"]["schedule"].as_str().expect("a schedule");
    let again = ["replay", SCENARIOS[0], "-p", "pr_473", "--model-only", "--schedule", replay];
    assert!(says(&again, 0).contains("✗ `names new` returns ErrLayerUnknown"));
}

#[test]
fn a_limit_is_said_and_is_no_verdict_that_turned() {
    let cut = ["diff", "v1_24", "pr_473", SCENARIOS[0], "--states-max", "10"];
    let text = says(&cut, 1);
    assert!(text.contains("Left open: 1") && text.contains("no verdict turned; none unchanged; 1 left open"), "{text}");
    let report = json(&cut, 1);
    assert!(report["open"][0]["before"]["limit"].as_str().is_some_and(|limit| limit.contains("10 states")), "{report}");
}

#[test]
fn a_protocol_is_not_compared_with_itself_or_with_what_is_none() {
    for (arguments, said) in [
        (["diff", "v1_24", "v1_24"], "`v1_24` is compared with itself"),
        (["diff", "v1_24", "v1_25"], "invalid value 'v1_25'"),
        (["diff", "v1_24", "--quiet"], "unexpected argument"),
    ] {
        let output = lockproof(&arguments);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}
