//! `lockproof check`: what it prints, for people and for programs, and its exit status.

mod common;

use std::fs;

use common::{command, json, says, stderr, stdout, steady};

#[test]
fn the_stale_read_of_the_discussion_is_shown() {
    let text = says(&["check", "stale-ro-cache-after-rw-write", "-p", "pr_473"], 0);
    assert!(!text.contains('\u{1b}'));
    insta::assert_snapshot!(steady(&text));
}

#[test]
fn a_deadlock_shows_who_keeps_whom() {
    let text = says(&["check", "abba-layer-locks", "-p", "per_layer_locks", "--no-real"], 0);
    insta::assert_snapshot!(steady(&text));
}

#[test]
fn a_data_race_shows_both_accesses() {
    let text = says(&["check", "graphlock-scope-race", "-p", "pr_473", "--no-real"], 0);
    assert!(text.contains("daemon.T1 stands before a write of s.roLayerStore"), "{text}");
    assert!(text.contains("daemon.T2 stands before a read of s.roLayerStore"), "{text}");
}

#[test]
fn everything_is_told_with_verbose_and_no_trace_with_quiet() {
    let check = ["check", "stale-ro-cache-after-rw-write", "-p", "pr_473", "--no-real"];
    let usual = says(&check, 0);
    let all = says(&[&check[..], &["--verbose"]].concat(), 0);
    let table = says(&[&check[..], &["--quiet"]].concat(), 0);
    assert!(all.lines().count() > 400 && !all.contains("not shown"), "{all}");
    assert!(usual.lines().count() < 45, "the essential is seen at once: {usual}");
    assert!(!table.contains("▶") && table.contains("✗ violated"), "{table}");
}

#[test]
fn no_color_and_a_pipe_are_respected_and_always_is_always() {
    let check = ["check", "stale-ro-cache-after-rw-write", "-p", "pr_473", "--no-real"];
    assert!(!says(&check, 0).contains('\u{1b}'));
    assert!(says(&[&check[..], &["--color", "always"]].concat(), 0).contains('\u{1b}'));
    let output = command(&check).env("NO_COLOR", "1").output().expect("our own command");
    assert!(!stdout(&output).contains('\u{1b}') && stderr(&output).is_empty());
}

#[test]
fn json_has_the_keys_that_were_promised() {
    let report = json(&["check", "abba-layer-locks", "-p", "per_layer_locks", "-p", "v1_24"], 0);
    assert_eq!(report["version"], 1);
    assert_eq!(report["summary"], serde_json::json!({ "as_expected": 5, "unexpected": 0 }));
    let verdicts = report["verdicts"].as_array().expect("an array");
    assert_eq!(verdicts.len(), 5);
    for verdict in verdicts {
        for key in ["scenario", "protocol", "property", "engine", "verdict"] {
            assert!(verdict[key].is_string(), "{key} of {verdict}");
        }
        assert_eq!(verdict["expected"], verdict["verdict"]);
        assert_eq!(verdict["as_expected"], true);
        assert!(verdict["states"].is_u64() && verdict["schedules"].is_u64() && verdict["seconds"].is_f64());
        let known = ["proved", "violated", "bounded", "sampled", "cut"];
        assert!(known.contains(&verdict["verdict"].as_str().expect("a string")));
        let schedule = verdict.as_object().expect("an object").get("schedule").expect("the key is there");
        let is_violated = verdict["verdict"] == "violated";
        assert_eq!(schedule.as_str().is_some_and(|text| text.starts_with("lk1:")), is_violated, "{verdict}");
    }
    let engines = verdicts.iter().filter(|verdict| verdict["engine"] == "processes").count();
    assert_eq!(engines, 1, "the deadlock, by real processes");
}

#[test]
fn without_real_processes_there_is_the_model_alone() {
    let report = json(&["check", "stale-ro-cache-after-rw-write", "-p", "pr_473", "--no-real"], 0);
    let verdicts = report["verdicts"].as_array().expect("an array");
    assert_eq!((verdicts.len(), &verdicts[0]["engine"]), (1, &serde_json::json!("explore")));
}

#[test]
fn a_wrong_expectation_of_a_file_is_unexpected() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.toml");
    let built_in = says(&["show", "stale-ro-cache-after-rw-write", "--toml"], 0);
    let mine = built_in.replace("violated = [\"layers_ro_lock\", \"pr_473\"], ", "");
    assert_ne!(mine, built_in);
    fs::write(&path, mine).expect("a file");
    let path = path.to_str().expect("UTF-8");
    let report = json(&["check", path, "-p", "pr_473", "--no-real"], 1);
    assert_eq!(report["summary"], serde_json::json!({ "as_expected": 0, "unexpected": 1 }));
    assert_eq!(report["verdicts"][0]["as_expected"], false);
    let text = says(&["check", path, "-p", "pr_473", "--no-real", "--quiet"], 1);
    insta::assert_snapshot!(steady(&text));
}

#[test]
fn what_was_measured_can_be_pasted_into_the_file() {
    let measured = says(&["check", "stale-ro-cache-after-rw-write", "--format", "expect"], 0);
    let file = says(&["show", "stale-ro-cache-after-rw-write", "--toml"], 0);
    let (_, block) = measured.split_once("# stale-ro-cache-after-rw-write\n").expect("the scenario's name");
    assert!(block.starts_with("[expect]\n") && file.ends_with(block), "{measured}");
}

#[test]
fn a_search_that_is_cut_never_looks_like_a_pass() {
    let check = ["check", "stale-ro-cache-after-rw-write", "-p", "v1_24", "--states-max", "10"];
    let report = json(&check, 1);
    assert_eq!(report["verdicts"][0]["verdict"], "cut");
    assert_eq!(report["verdicts"][0]["as_expected"], false);
    assert!(report["verdicts"][0]["limit"].as_str().is_some_and(|limit| limit.contains("10 states")), "{report}");
    let text = says(&check, 1);
    assert!(!text.contains('✓') && !text.contains("all as expected"), "{text}");
    insta::assert_snapshot!(steady(&text));
    let junit = says(&[&check[..], &["--format", "junit"]].concat(), 1);
    assert!(junit.contains("<failure") && junit.contains("failures=\"1\""), "{junit}");
    let markdown = says(&[&check[..], &["--format", "markdown"]].concat(), 1);
    assert!(!markdown.contains('✓') && markdown.contains("cut"), "{markdown}");
}

#[test]
fn fingerprints_tell_the_chance_of_a_collision() {
    let check = ["check", "stale-ro-cache-after-rw-write", "-p", "v1_24"];
    let detail = |option: &str| {
        let report = json(&[&check[..], &[option]].concat(), 0);
        report["verdicts"][0]["detail"].as_str().expect("a string").to_owned()
    };
    assert!(detail("--fingerprint").contains("a state was missed with a probability of at most"));
    assert_eq!(detail("--exact"), "");
    let text = says(&[&check[..], &["--fingerprint"]].concat(), 0);
    assert!(text.contains("with a probability of at most"), "{text}");
}

#[test]
fn exact_and_fingerprints_exclude_each_other() {
    let output = common::lockproof(&["check", "stale-ro-cache-after-rw-write", "--exact", "--fingerprint"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot be used with"), "{}", stderr(&output));
}

#[test]
fn junit_and_markdown_are_what_their_readers_expect() {
    let check = ["check", "stale-ro-cache-after-rw-write", "-p", "pr_473", "-p", "v1_24", "--no-real", "--format"];
    let of = |format: &str| steady(&says(&[&check[..], &[format]].concat(), 0));
    let junit = of("junit");
    assert!(junit.starts_with("<?xml") && junit.contains("tests=\"2\"") && !junit.contains("<failure"), "{junit}");
    insta::assert_snapshot!(of("markdown"));
}
