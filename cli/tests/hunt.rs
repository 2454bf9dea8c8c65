//! `lockproof hunt` as its user meets it.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use common::{command, lockproof, stderr, stdout};

/// A store of two files: `put NAME` adds a name in two steps that nothing protects.
const STORE: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    --graph) mkdir -p "$2"; cd "$2" || exit 1; shift;;
    --run|--storage-driver) shift;;
    put) read -r names < names 2> /dev/null; echo "$names $2" > new."$2"; mv new."$2" names; exit;;
    layers) cat names 2> /dev/null; exit 0;;
    fail) echo "no such layer" >&2; exit 3;;
    *) exit 0;;
  esac
  shift
done
"#;

fn store(folder: &Path) -> PathBuf {
    let path = folder.join("store");
    fs::write(&path, STORE).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    path
}

fn hunt(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let store = store(folder);
    command(&["hunt", "--store"]).arg(store).args(arguments).current_dir(folder).output().expect("our own command")
}

#[test]
fn a_lost_update_is_found_recorded_and_shown_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = hunt(folder.path(), &["--start", "put base", "put x", "put y"]);
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("✗ violated  put x ‖ put y"), "{said}");
    assert!(said.contains("renames root/new.x to root/names"), "{said}");
    assert!(said.contains("later commands answer as after no order"), "{said}");
    let again = hunt(folder.path(), &["--replay", "lockproof-hunt.json", "--times", "5"]);
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    assert!(stdout(&again).ends_with("shown 5 times out of 5\n"), "{}", stdout(&again));
}

#[test]
fn what_is_exhausted_is_proved_and_what_is_not_is_cut_or_sampled() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, verdict) in [
        (&["layers", "layers"][..], "proved"),
        (&["--executions-max", "1", "--start", "put base", "put x", "layers"], "cut"),
        (&["--executions-max", "3", "--strategy", "random", "--seed", "7", "layers", "layers"], "sampled"),
        (&["--executions-max", "3", "--strategy", "pct", "layers", "layers"], "sampled"),
    ] {
        let output = hunt(folder.path(), &[arguments, &["--format", "json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert_eq!((&report["version"], &report["verdict"]), (&1.into(), &verdict.into()), "{report}");
        assert_eq!(output.status.code(), Some(i32::from(verdict == "cut")), "{report}");
    }
}

#[test]
fn wrong_use_says_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(lockproof(&["hunt"]).status.code(), Some(2));
    let output = lockproof(&["hunt", "--store", "9.9.9", "layers"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output));
    let output = hunt(folder.path(), &["--start", "fail", "layers"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output));
    fs::write(folder.path().join("not.json"), "{").expect("a file");
    let output = hunt(folder.path(), &["--replay", "not.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("failed to read the recording not.json"), "{}", stderr(&output));
}
