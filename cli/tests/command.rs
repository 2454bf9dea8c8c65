//! The command as its user meets it: what it prints, and its exit status.

mod common;

use std::process::{Command, Stdio};

use common::{lockproof, stderr, stdout};

#[test]
fn a_mistyped_scenario_is_wrong_use_and_the_right_one_is_named() {
    let output = lockproof(&["check", "writer-starvaton"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stdout(&output), "");
    insta::assert_snapshot!(stderr(&output));
}

#[test]
fn a_file_with_a_mistake_is_wrong_use_and_shows_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mine.toml");
    let mine = stdout(&lockproof(&["show", "abba-layer-locks", "--toml"]));
    std::fs::write(&path, mine.replace("put-layer b parent=a", "put-layer b perent=a")).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_lockproof"))
        .args(["check", "mine.toml"])
        .current_dir(folder.path())
        .output()
        .expect("our own command");
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output));
}

#[test]
fn an_unknown_protocol_property_or_option_is_wrong_use() {
    for arguments in [
        ["check", "--protocol", "v1_25"],
        ["check", "--property", "frsh"],
        ["check", "--memory-max", "lots"],
        ["check", "--exact", "--fingerprint"],
        ["check", "no/such/file.toml", "--quiet"],
        ["replay", "abba-layer-locks", "--schedule=lk1:A"],
    ] {
        let output = lockproof(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert_ne!(stderr(&output), "", "{arguments:?}");
    }
    assert!(stderr(&lockproof(&["check", "--property", "frsh"])).contains("fresh"));
}

#[test]
fn a_schedule_that_was_damaged_is_refused_before_anything_is_run() {
    let output = lockproof(&["replay", "abba-layer-locks", "-p", "v1_24", "--schedule", "lk1:A12.B3-00000000"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("the checksum does not fit"), "{}", stderr(&output));
}

#[test]
fn a_schedule_that_is_not_possible_says_at_which_step() {
    // Three processes, of which the scenario has two: `C` cannot take the second step.
    let schedule = "lk1:A.C-25147174";
    let output = lockproof(&["replay", "abba-layer-locks", "-p", "v1_24", "--model-only", "--schedule", schedule]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("step 2 of the schedule is not possible"), "{}", stderr(&output));
}

#[test]
fn the_help_has_examples_and_the_exit_status() {
    let output = lockproof(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn each_subcommand_has_examples_that_name_what_exists() {
    let names = stdout(&lockproof(&["list", "--by", "name"]));
    for subcommand in ["check", "diff", "list", "show", "replay", "stress", "fuzz", "trace", "hunt", "doctor"] {
        let output = lockproof(&[subcommand, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let help = stdout(&output);
        let (_, examples) = help.split_once("Examples:").expect("examples");
        for line in examples.lines().filter(|line| line.trim_start().starts_with("lockproof ")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words[1], subcommand, "{line}");
            let scenario = words.get(2).filter(|word| word.contains('-') && !word.starts_with('-'));
            let is_known = |name: &&&str| names.lines().any(|line| line.split(' ').next() == Some(**name));
            assert!(scenario.is_none_or(|name| name.ends_with(".toml") || is_known(&name)), "{line}");
        }
    }
}

#[test]
fn a_scenario_is_shown_for_people() {
    let output = lockproof(&["show", "stale-ro-cache-after-rw-write"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn the_list_names_every_scenario_once_in_both_formats() {
    let table = stdout(&lockproof(&["list", "--by", "name"]));
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&lockproof(&["list", "--format", "json"]))).expect("JSON");
    assert_eq!(json["version"], 1);
    let listed = json["scenarios"].as_array().expect("an array");
    assert_eq!(listed.len(), table.lines().count());
    for (line, entry) in table.lines().zip(listed) {
        assert_eq!(line.split_whitespace().next(), entry["name"].as_str());
    }
    let first = &listed[0];
    assert_eq!(first["name"], "stale-ro-cache-after-rw-write");
    assert_eq!(first["properties"], serde_json::json!(["fresh"]));
    let protocols: Vec<&str> = lockproof_model::protocol::all().iter().map(|entry| entry.name).collect();
    assert_eq!(first["protocols"], serde_json::json!(protocols));
}

#[test]
fn the_list_groups_by_remark_and_by_race_and_leaves_out_none() {
    let listed: serde_json::Value =
        serde_json::from_str(&stdout(&lockproof(&["list", "--format", "json"]))).expect("JSON");
    let (by_remark, by_race) = (stdout(&lockproof(&["list"])), stdout(&lockproof(&["list", "--by", "race"])));
    for scenario in listed["scenarios"].as_array().expect("an array") {
        let name = scenario["name"].as_str().expect("a string");
        let line = format!("\n  {name} ");
        for cite in scenario["cites"].as_array().expect("an array").iter().filter_map(serde_json::Value::as_str) {
            let (text, heading) = match listed["remarks"].as_array().expect("an array").iter().find(|r| r["id"] == cite)
            {
                Some(_) => (&by_remark, format!("\n{cite}, ")),
                None if cite.contains("://") => continue,
                None => (&by_race, format!("\n{cite}: ")),
            };
            let text = format!("\n{text}");
            let group = text.split_once(&heading).unwrap_or_else(|| panic!("{cite} of {name}")).1;
            let end = group.match_indices('\n').find(|(at, _)| !group[at + 1..].starts_with(' '));
            let group = format!("\n{}", end.map_or(group, |(at, _)| &group[..at]));
            assert!(group.contains(&line), "{name} under {cite}: {group}");
        }
    }
    assert_eq!(listed["remarks"].as_array().map(Vec::len), Some(22));
    let races = listed["races"].as_array().expect("an array");
    let without = races.iter().filter(|race| race["not_stated"].is_string()).count();
    assert_eq!((races.len(), without), (72, 24));
    assert!(by_race.ends_with("\n72 races; 48 with a scenario, 24 not stated here\n"), "{by_race}");
    assert_eq!(by_race.matches("\n  not stated here: ").count(), without);
    assert!(by_remark.starts_with("D1, commit message: listing images while an image is pushed"), "{by_remark}");
}

#[test]
fn nothing_is_coloured_in_a_pipe_unless_it_was_asked_for() {
    assert!(!stdout(&lockproof(&["--help"])).contains('\u{1b}'));
    assert!(!stderr(&lockproof(&["show", "nothing"])).contains('\u{1b}'));
    assert!(stderr(&lockproof(&["show", "nothing", "--color", "always"])).contains('\u{1b}'));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lockproof"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("our own command");
    drop(child.stdout.take());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().expect("piped"), &mut said).expect("UTF-8");
    assert_eq!((child.wait().expect("an end").code(), said.as_str()), (Some(0), ""));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = lockproof(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("lockproof"), "{shell}");
    }
}
