//! What each release and each proposal does, on scenarios so small that every figure can be stated.

use std::fmt::Write as _;

use lockproof_model::explore::{Options, check};
use lockproof_model::protocol;
use lockproof_scenarios::built_in;

/// For each scenario and protocol, how many states there are, and what was found.
fn figures(names: &[&str]) -> String {
    let scenarios = built_in().expect("the built-in scenarios");
    let mut text = String::new();
    for name in names {
        let scenario = scenarios.iter().find(|scenario| scenario.name == *name).expect("a built-in scenario");
        let _ = writeln!(text, "{name}");
        for entry in protocol::all().into_iter().filter(|entry| scenario.is_for(entry.name)) {
            let system = scenario.system(entry);
            let report =
                check(&system, &scenario.properties, &Options::default(), &|| false).expect("no mistake of ours");
            let _ = write!(text, "  {:16} {:5} states:", entry.name, report.extent.states);
            for finding in &report.findings {
                assert_eq!(scenario.expected(entry.name, finding.property), Some(finding.verdict.name()), "{text}");
                let _ = write!(text, " {} {}", finding.property, finding.verdict.name());
            }
            text.push('\n');
        }
    }
    text
}

#[test]
fn one_thread_and_the_question_of_the_review() {
    insta::assert_snapshot!(figures(&["stale-ro-cache-after-rw-write"]));
}

#[test]
fn one_thread_and_a_diff_that_it_keeps_open() {
    insta::assert_snapshot!(figures(&["call-during-a-diff", "call-during-a-diff-after-a-shutdown"]));
}

#[test]
fn a_store_with_something_to_repair() {
    insta::assert_snapshot!(figures(&["incomplete-layer-at-the-start", "duplicate-names-are-repaired"]));
}

#[test]
fn two_store_objects_in_one_process() {
    insta::assert_snapshot!(figures(&["second-store-goes-stale", "second-store-loses-an-image"]));
}

#[test]
fn a_reader_beside_a_reader() {
    insta::assert_snapshot!(figures(&["startup-write-lock", "two-diffs-at-once"]));
}

#[test]
fn additional_stores_of_one_process() {
    insta::assert_snapshot!(figures(&["additional-store-on-read-only-media", "ro-layer-stores-partial"]));
}

#[test]
fn loads_and_drivers_of_one_process() {
    insta::assert_snapshot!(figures(&[
        "one-load-for-each-change",
        "empty-lock-is-always-loaded",
        "own-shutdown-unnoticed",
        "touched-since-clock",
    ]));
}
