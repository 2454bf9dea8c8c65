//! What the tests of the command share.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// How long anything may take that must happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Our own command, not started yet.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockproof"));
    command.args(arguments).env_remove("NO_COLOR").env("COLUMNS", "100");
    command
}

/// Whether the real library can be built here, and whatever else is named is there; says so loudly if not. `unchecked` is what
/// is not checked then.
pub(crate) fn has_library_and(others: &[&str], unchecked: &str) -> bool {
    let library = ["/usr/share/gocode/src/github.com/containers/storage", "/usr/bin/go"];
    let gone = library.iter().chain(others).find(|path| !Path::new(path).exists());
    let Some(gone) = gone else { return true };
    let banner = format!("{gone} is not there: NOTHING is checked of {unchecked}; .ci/run says what to install");
    assert!(std::env::var("LOCKPROOF_REQUIRE_REAL").as_deref() != Ok("1"), "{banner}");
    eprintln!("\n{}\n{banner}\n{}\n", "!".repeat(80), "!".repeat(80));
    false
}

/// Runs our own command to its end.
pub(crate) fn lockproof(arguments: &[&str]) -> Output {
    command(arguments).output().expect("our own command")
}

/// What it printed on stdout.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// What it printed on stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Runs it, asserts its exit status, and returns what it printed on stdout.
pub(crate) fn says(arguments: &[&str], code: i32) -> String {
    let output = lockproof(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// Runs it with `--format json`, and returns what it says.
pub(crate) fn json(arguments: &[&str], code: i32) -> serde_json::Value {
    let arguments = [arguments, &["--format", "json"]].concat();
    serde_json::from_str(&says(&arguments, code)).expect("JSON")
}

/// The schedule of the first violation of `property`.
pub(crate) fn schedule(scenario: &str, protocol: &str, property: &str) -> String {
    let found = json(&["check", scenario, "-p", protocol, "--property", property, "--no-real"], 0);
    found["verdicts"][0]["schedule"].as_str().expect("a schedule").to_owned()
}

/// `text` with `…` for what is another number in each run: process ids, seconds, the kernel's number of a lock and of an
/// inode, how often the kernel was asked.
pub(crate) fn steady(text: &str) -> String {
    let mut steady = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let is_number = |word: &str| word.parse::<f64>().is_ok();
        let mut kept: Vec<String> = Vec::new();
        let in_kernel = line.contains("POSIX");
        for (at, word) in words.iter().enumerate() {
            let bare = word.trim_end_matches([',', ')', ':', ';']);
            let before = at.checked_sub(1).map_or("", |at| words[at]);
            let after = words.get(at + 1).map_or("", |word| word.trim_end_matches(['.', ':', ';', ',', '*']));
            let varies = is_number(bare) && (before.ends_with("pid") || ["ms", "s", "times"].contains(&after))
                || in_kernel && (bare.contains(':') && bare != "EOF" || is_number(bare) && bare != "0")
                || bare.ends_with("ms") && is_number(bare.trim_end_matches("ms"));
            kept.push(if varies { word.replace(bare, "…") } else { (*word).to_owned() });
        }
        steady.push_str(kept.join(" ").trim_end());
        steady.push('\n');
    }
    steady
}

/// `text` with `lk1:…` for each schedule: whoever touches a protocol changes them all.
pub(crate) fn without_schedules(text: &str) -> String {
    let mut parts = text.split("lk1:");
    let mut without = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || c == '`').unwrap_or(part.len());
        without.push_str("lk1:…");
        without.push_str(&part[end..]);
    }
    without
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The workers whose parent is `parent`, and that still run: a process that has ended has no command line any more.
pub(crate) fn workers_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is_worker(*pid) && parent_of(*pid) == Some(parent)).collect()
}

/// Whether a process runs as one of our workers.
pub(crate) fn is_worker(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.split(|byte| *byte == 0).any(|argument| argument == b"--lockproof-worker"))
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

/// What is in a directory.
pub(crate) fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
