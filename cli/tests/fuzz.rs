//! `lockproof fuzz` goes on where it was, whatever ended it.

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{command, lockproof, stderr, stdout, until};

/// Starts a campaign, and waits until it has compared a scenario.
fn start(corpus: &Path) -> Child {
    let corpus = corpus.to_str().expect("UTF-8");
    let child = command(&["fuzz", "--for", "10m", "--seed", "2", "--jobs", "1", "--corpus", corpus])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("our own command");
    until("a position is saved", || position(Path::new(corpus)) > 0);
    child
}

/// The number of the next scenario; there is never half of the file.
fn position(corpus: &Path) -> u64 {
    let Ok(text) = fs::read_to_string(corpus.join("position-2.toml")) else { return 0 };
    let number = text.strip_prefix("next = ").and_then(|text| text.strip_suffix('\n')).expect("a whole file");
    number.parse().expect("a number")
}

#[test]
fn after_a_kill_9_the_next_run_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let corpus = folder.path().join("corpus");
    let mut next = 0;
    for _ in 0..2 {
        let mut child = start(&corpus);
        child.kill().expect("it runs"); // SIGKILL
        assert_eq!(child.wait().expect("an end").signal(), Some(9));
        assert!(position(&corpus) >= next);
        next = position(&corpus);
    }
    let path = corpus.to_str().expect("UTF-8");
    let output = lockproof(&["fuzz", "--for", "100ms", "--seed", "2", "--jobs", "1", "--corpus", path]);
    let (said, told) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{said}{told}");
    assert!(told.starts_with(&format!("seed 2, from scenario {next} on, with ")), "{told}");
    assert!(said.contains(&format!("\nseed 2: from number {next} to before ")), "{said}");
    assert!(said.ends_with("✓ no two engines disagree\n"), "{said}");
    assert!(position(&corpus) >= next);
}

#[test]
fn ctrl_c_saves_and_tells_what_was_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = start(folder.path());
    let pid = child.id().to_string();
    let again = lockproof(&["fuzz", "--seed", "2", "--corpus", folder.path().to_str().expect("UTF-8")]);
    assert_eq!(again.status.code(), Some(2), "two campaigns on one corpus");
    assert!(stderr(&again).contains("another `lockproof fuzz` uses the corpus"), "{}", stderr(&again));
    let sent = Command::new("sh").args(["-c", &format!("kill -s INT {pid}")]).status().expect("a shell");
    assert!(sent.success());
    let output = child.wait_with_output().expect("an end");
    assert_eq!(output.status.signal(), Some(2), "a shell says 130");
    let next = position(folder.path());
    assert!(stdout(&output).contains(&format!("\nseed 2: from number 0 to before {next};")), "{}", stdout(&output));
}

#[test]
fn scenarios_that_are_named_are_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.toml");
    // For two protocols, whatever others there are.
    let scenario = r#"
        name = "mine"
        title = "Three calls"
        properties = ["fresh", "no-deadlock"]
        protocols = ["v1_24", "pr_473"]
        [store]
        layers = [{ id = "base", names = ["foo"] }]
        [[process]]
        [[process.thread]]
        calls = ["names base", "set-names base bar", "names base"]
    "#;
    fs::write(&file, scenario).expect("a file");
    let output = lockproof(&["fuzz", file.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn wrong_use_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let file = file.to_str().expect("UTF-8");
    for arguments in [
        &["fuzz"][..],
        &["fuzz", "no-such-scenario"],
        &["fuzz", "--corpus", file],
        &["fuzz", "abba-layer-locks", "--corpus", "corpus"],
        &["fuzz", "--corpus", "corpus", "--for", "ever"],
    ] {
        let output = lockproof(arguments);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{arguments:?}");
        assert_ne!(stderr(&output), "", "{arguments:?}");
    }
}
