//! Scenarios whose processes are the real library, as their user meets them.

mod common;

use common::{command, has_library_and, json, says, stderr, stdout};
use serde_json::{Value as Json, json};

const SCENARIOS: [&str; 3] =
    ["second-store-loses-an-image", "nested-rlock-after-a-shutdown", "incomplete-layer-visible"];

/// In which a kill comes when the contents of a layer have been applied, and before the mark is taken off
/// (harness/tests/library_scenarios.rs makes it).
const LATE_KILL: &str = "lk1:B141.A268.kA.B233-cdb13cd1";

#[test]
fn what_is_found_of_the_installed_release_is_done_again_by_its_code() {
    if !has_library_and(&[], "the library") {
        return;
    }
    let said = json(&[&["check"], &SCENARIOS[..], &["-p", "v1_43", "-p", "v1_24"]].concat(), 0);
    let rows = said["verdicts"].as_array().expect("a list");
    let of = |row: &Json| [&row["scenario"], &row["property"], &row["protocol"], &row["verdict"]].map(Json::clone);
    let by_library: Vec<[Json; 4]> = rows.iter().filter(|row| row["engine"] == "library").map(of).collect();
    let expected = |scenario: &str, property: &str| [scenario, property, "v1_43", "violated"].map(|text| json!(text));
    let [image, reader, layer] = SCENARIOS;
    assert_eq!(
        by_library,
        [
            expected(image, "fresh"),
            expected(image, "no-lost-update"),
            expected(reader, "no-deadlock"),
            expected(layer, "crash-safe")
        ]
    );
}

#[test]
fn a_schedule_is_run_again_by_the_library() {
    if !has_library_and(&[], "the library") {
        return;
    }
    let text = says(&["replay", SCENARIOS[2], "-p", "v1_43", "--schedule", LATE_KILL], 0);
    let (_, by_library) = text.split_once("By the library of 1.43.0").expect("the library");
    let words = by_library.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("through 100 of the model"), "{text}");
    assert!(words.contains("`put-layer child on new` returned child"), "{text}");
    assert!(words.contains("✗ crash-safe: pid ") && words.contains("half-made"), "{text}");
    let other = says(&["replay", SCENARIOS[2], "-p", "v1_24", "--schedule", &schedule_of_another_release()], 0);
    assert!(!other.contains("By the library"), "{other}");
}

fn schedule_of_another_release() -> String {
    common::schedule(SCENARIOS[2], "v1_24", "crash-safe")
}

#[test]
fn a_library_that_is_not_there_is_told_with_what_installs_it() {
    let nothing = tempfile::tempdir().expect("a folder");
    let check = |required: &str| {
        let mut check = command(&["check", SCENARIOS[0], "-p", "v1_43", "--format", "json"]);
        let check = check.env("PATH", nothing.path()).env("LOCKPROOF_REQUIRE_REAL", required);
        check.output().expect("our own command")
    };
    let install = "`apt-get install golang-go golang-github-containers-storage-dev golang-github-ulikunitz-xz-dev`";
    let told = check("0");
    assert_eq!(told.status.code(), Some(0));
    let said: Json = serde_json::from_str(&stdout(&told)).expect("JSON");
    let refused = said["refused"].as_array().expect("a list");
    assert_eq!(refused.len(), 2, "{said}");
    for refusal in refused {
        assert_eq!(refusal["engine"], "library");
        let why = refusal["why"].as_str().expect("words");
        assert!(why.starts_with("Go is not installed; ") && why.contains(install), "{why}");
    }
    let required = check("1");
    assert_eq!(required.status.code(), Some(2), "{}", stdout(&required));
    assert!(stderr(&required).contains("the real library cannot be run: Go is not installed"), "{}", stderr(&required));
}
