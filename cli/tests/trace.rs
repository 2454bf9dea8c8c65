//! `lockproof trace` and `lockproof doctor` as their user meets them.

mod common;

use std::fs;

use common::{command, lockproof, stderr, stdout};

#[test]
fn the_exit_status_is_that_of_the_command() {
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let output = lockproof(&["trace", "--", "sh", "-c", script]);
        assert_eq!(output.status.code(), Some(status), "{script}: {}", stderr(&output));
    }
}

#[test]
fn the_command_keeps_its_input_and_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    fs::write(folder.path().join("in"), "what it reads\n").expect("a file");
    let output = command(&["trace", "-o", trace.to_str().expect("UTF-8"), "--", "sh", "-c", "cat; echo oh >&2"])
        .stdin(fs::File::open(folder.path().join("in")).expect("a file"))
        .output()
        .expect("our own command");
    assert_eq!((stdout(&output), stderr(&output)), ("what it reads\n".into(), "oh\n".into()));
    assert!(fs::read_to_string(trace).expect("a trace").contains("executes"));
}

#[test]
fn a_command_that_is_not_there_is_wrong_use() {
    let output = lockproof(&["trace", "--", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output));
    assert_eq!(lockproof(&["trace"]).status.code(), Some(2));
    assert_eq!(lockproof(&["trace", "-o", "/no/such/folder/file", "--", "true"]).status.code(), Some(2));
}

#[test]
fn files_below_a_directory_are_told_of_in_the_order_of_the_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let below = folder.path().canonicalize().expect("a path");
    let trace = folder.path().join("trace.json");
    let script = "mkdir a; echo 1 > a/b; mv a/b a/c; rm a/c; rmdir a";
    let output = command(&["trace", "--format", "json", "-o"])
        .arg(&trace)
        .arg("--below")
        .arg(below.join("a"))
        .args(["--", "sh", "-c", script])
        .current_dir(&below)
        .output()
        .expect("our own command");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let record: serde_json::Value = serde_json::from_str(&fs::read_to_string(&trace).expect("a file")).expect("JSON");
    assert_eq!((&record["version"], &record["command"][2]), (&1.into(), &script.into()));
    assert_eq!(record["ended"], serde_json::json!({"status": 0}));
    let events = record["events"].as_array().expect("an array");
    let done: Vec<&str> = (events.iter())
        .filter_map(|event| event["does"].as_str())
        .filter(|does| ["make-directory", "write", "rename", "unlink"].contains(does))
        .collect();
    assert_eq!(done, ["make-directory", "write", "rename", "unlink", "unlink"]);
    let times: Vec<u64> = events.iter().filter_map(|event| event["at_us"].as_u64()).collect();
    assert!(times.is_sorted() && times.len() == events.len());
}

/// Which of them hold depends on the machine; that they are told of does not.
#[test]
fn the_doctor_says_what_it_tried() {
    let output = lockproof(&["doctor", "--format", "json"]);
    let code = output.status.code();
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(report["version"], 1);
    let findings = report["findings"].as_array().expect("an array");
    let is_needed = |finding: &serde_json::Value| finding["works"] == "no";
    assert_eq!(code, Some(i32::from(findings.iter().any(is_needed))));
    let what: Vec<&str> = findings.iter().filter_map(|finding| finding["what"].as_str()).collect();
    for name in
        ["kernel", "/proc/locks", "file times", "tmpfs", "seccomp filter", "calls are seen", "containers-storage"]
    {
        assert!(what.contains(&name), "{name}: {what:?}");
    }
    let table = stdout(&lockproof(&["doctor"]));
    assert_eq!(table.lines().count(), findings.len());
}

/// A filter with a listener cannot be installed under another: a trace of a trace says so.
#[test]
fn under_another_supervisor_it_says_what_is_in_the_way() {
    let output = lockproof(&["trace", "-o", "/dev/null", "--", env!("CARGO_BIN_EXE_lockproof"), "trace", "--", "true"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let said = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("EBUSY") && said.contains("lockproof doctor"), "{said}");
}
