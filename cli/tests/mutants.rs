//! `lockproof mutants`: what it prints, for people and for programs, and its exit status.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use common::{command, json, lockproof, says, stderr, stdout};

/// The stamps of one call, and a scenario that is about them.
const SLICE: [&str; 13] = [
    "mutants",
    "-p",
    "one_way_upgrade",
    "--call",
    "set-names",
    "--operator",
    "drop-stamp",
    "--operator",
    "late-stamp",
    "--operator",
    "drop-lock",
    "--scenario",
    "layers-stamp-alone",
];

#[test]
fn the_table_has_the_figures_of_each_operator_and_names_what_survives() {
    let output = lockproof(&SLICE);
    insta::assert_snapshot!(stdout(&output));
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    let survives = |line: &str| line.starts_with("set-names:drop-lock:") && line.ends_with(": survives");
    assert!(told.lines().count() == 5 && told.lines().all(survives), "each survivor as it comes: {told}");
}

#[test]
fn a_signal_shows_what_is_known_so_far() {
    let arguments = ["mutants", "-p", "v1_24", "--scenario", "every-write-is-seen", "--jobs", "1"];
    let mut child = command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut told = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut first = String::new();
    told.read_line(&mut first).expect("a line");
    assert!(first.ends_with(": survives\n"), "{first}");
    let sent = Command::new("sh").args(["-c", &format!("kill -s INT {}", child.id())]).status().expect("a shell");
    assert!(sent.success());
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("text");
    let output = child.wait_with_output().expect("ends");
    let text = stdout(&output);
    assert_eq!(output.status.signal(), Some(2), "{text}{rest}");
    assert!(text.contains(" not tried\ncut by a signal"), "{text}");
}

#[test]
fn a_data_race_that_is_known_hides_no_other() {
    let scenario = "names-of-a-container-beside-containers";
    let races = json(&["check", scenario, "-p", "v1_24", "--no-real"], 1);
    assert!(races["verdicts"].as_array().is_some_and(|verdicts| {
        verdicts.iter().any(|one| {
            let detail = one["detail"].as_str().unwrap_or_default();
            one["property"] == "no-data-race" && one["verdict"] == "violated" && detail.contains("containers.lock:lw")
        })
    }));
    let mutant = "names:drop-mutex:root/vfs-containers/containers.lock:stateMutex:all";
    let found = json(&["mutants", "-p", "v1_24", "--mutant", mutant, "--scenario", scenario], 0);
    let one = &found["mutants"][0];
    assert_eq!((&one["fate"], &one["property"]), (&serde_json::json!("killed"), &serde_json::json!("no-data-race")));
    let detail = one["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("containers.lock:state") && !detail.contains(":lw"), "{detail}");
}

#[test]
fn one_mutant_is_shown_with_the_run_that_gives_it_away() {
    let mutant = "set-names:drop-stamp:root/vfs-layers/layers.lock:1";
    let text = says(&["mutants", "-p", "v1_24", "--mutant", mutant, "--scenario", "layers-stamp-alone"], 0);
    insta::assert_snapshot!(text);
}

#[test]
fn json_names_the_scenario_the_property_and_the_schedule() {
    let mutant = "set-names:drop-stamp:root/vfs-layers/layers.lock:1";
    let found = json(&["mutants", "-p", "v1_24", "--mutant", mutant, "--scenario", "layers-stamp-alone"], 0);
    assert_eq!((&found["version"], &found["protocol"]), (&serde_json::json!(1), &serde_json::json!("v1_24")));
    let one = &found["mutants"][0];
    assert_eq!(one["mutant"], mutant);
    assert_eq!(
        (&one["fate"], &one["scenario"]),
        (&serde_json::json!("killed"), &serde_json::json!("layers-stamp-alone"))
    );
    assert_eq!((&one["property"], &one["as_expected"]), (&serde_json::json!("fresh"), &serde_json::json!(true)));
    assert!(one["schedule"].as_str().is_some_and(|schedule| schedule.starts_with("lk1:")), "{one}");
    assert_eq!(found["summary"]["killed"], 1);
}

#[test]
fn a_search_that_is_cut_is_no_survivor_and_no_kill() {
    let mutant = "set-names:drop-stamp:root/vfs-layers/layers.lock:1";
    let cut =
        ["mutants", "-p", "v1_24", "--mutant", mutant, "--scenario", "layers-stamp-alone", "--states-max", "20000"];
    let output = lockproof(&cut);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("cut, so that nothing is") && text.contains("more than 20000 states"), "{text}");
}

#[test]
fn what_names_no_mutant_is_wrong_use() {
    for (arguments, says) in [
        (vec!["--mutant", "set-names"], "names no mutant"),
        (vec!["--mutant", "set-names:drop-all:f:1"], "there is no operator `drop-all`"),
        (
            vec!["--mutant", "set-names:drop-lock:no/such.lock:1", "-s", "layers-stamp-alone"],
            "--list shows the mutants",
        ),
        (vec!["--call", "no-such-call", "-s", "layers-stamp-alone"], "no-such-call"),
        (vec!["--verbose"], "--mutant"),
    ] {
        let output = lockproof(&[&["mutants", "-p", "v1_24"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn the_list_has_a_mutant_a_line() {
    let text = says(&[&SLICE[..], &["--list"]].concat(), 0);
    assert!(text.lines().all(|line| line.starts_with("set-names:")), "{text}");
    assert!(text.lines().any(|line| line == "set-names:drop-stamp:root/vfs-layers/layers.lock:1"), "{text}");
}
