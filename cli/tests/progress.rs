//! The line of progress: on a terminal, after a second, on stderr, and gone at the end. `script` of util-linux makes the
//! terminal.

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::{command, stderr};

const WIPED: &str = "\r\u{1b}[2K";

/// What a terminal gets on stderr, and a file on stdout, of a check that is cut after `time`.
fn on_a_terminal(time: &str) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report");
    let line = format!(
        "'{}' check writer-starvation -p pr_473 --no-merge --no-real --quiet --time-max {time} > '{}'",
        env!("CARGO_BIN_EXE_lockproof"),
        report.display()
    );
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .expect("script, of util-linux");
    assert_eq!(output.status.code(), Some(1), "it is cut");
    (common::stdout(&output), fs::read_to_string(report).expect("a report"))
}

#[test]
fn progress_is_shown_after_a_second_and_wiped_away() {
    let (terminal, report) = on_a_terminal("3s");
    let drawn = terminal.find("0/1 checked, ").expect("progress");
    assert!(
        terminal.contains(" s; now writer-starvation (pr_473)") && !terminal.contains("checked, 0 s"),
        "{terminal:?}"
    );
    assert!(terminal[..drawn].ends_with(WIPED), "{terminal:?}");
    assert!(terminal.ends_with(WIPED), "{terminal:?}");
    assert!(terminal.matches(WIPED).count() <= 6, "the same picture is drawn once: {terminal:?}");
    assert!(report.contains("? cut !!") && !report.contains('\u{1b}') && !report.contains("checked,"), "{report}");
}

#[test]
fn nothing_is_shown_of_what_takes_less_than_a_second() {
    let (terminal, report) = on_a_terminal("100ms");
    assert_eq!(terminal, "");
    assert!(report.contains("? cut !!"), "{report}");
}

#[test]
fn nothing_is_shown_in_a_pipe() {
    let check =
        ["check", "writer-starvation", "-p", "pr_473", "--no-merge", "--no-real", "--quiet", "--time-max", "2s"];
    let output = command(&check).output().expect("our own command");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), ""));
}
