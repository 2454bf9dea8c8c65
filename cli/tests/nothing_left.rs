//! Whatever becomes of the command, nothing is left behind: no process, no directory.

mod common;

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::{LIMIT, command, entries, is_worker, schedule, until, workers_of};

/// Sends a signal to one process; `kill` is built into every shell, and a program of its own not everywhere.
fn signal(name: &str, pid: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -s {name} {pid}")]).status().expect("a shell");
    assert!(sent.success());
}

/// Starts the command with a directory for temporary files of its own, and waits until it has `workers` processes. It is asked
/// to end by SIGINT, which a shell makes its background jobs ignore, and all that they start: env(1) takes that back.
fn start(arguments: &[&str], temporary: &Path, workers: usize) -> (Child, Vec<u32>) {
    let own = command(arguments);
    let child = Command::new("env")
        .arg("--default-signal=INT")
        .arg(own.get_program())
        .args(own.get_args())
        .envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("our own command");
    until("its processes run", || workers_of(child.id()).len() >= workers);
    let workers = workers_of(child.id());
    (child, workers)
}

fn leaves_nothing(name: &str, arguments: &[&str], workers: usize) -> ExitStatus {
    let temporary = tempfile::tempdir().expect("a folder");
    let (mut child, mut pids) = start(arguments, temporary.path(), workers);
    std::thread::sleep(Duration::from_millis(300));
    pids.extend(workers_of(child.id()));
    assert!(!entries(temporary.path()).is_empty(), "it has a directory");
    signal(name, child.id());
    let killed = Instant::now();
    let status = child.wait().expect("an end");
    until("no process is left", || !pids.iter().any(|pid| is_worker(*pid)));
    until("no directory is left", || entries(temporary.path()).is_empty());
    println!("{arguments:?}: after SIG{name} nothing is left within {:?} ({status})", killed.elapsed());
    assert!(killed.elapsed() < LIMIT);
    status
}

#[test]
fn kill_9_of_a_stress_leaves_nothing() {
    leaves_nothing("KILL", &["stress", "writer-starvation", "-p", "v1_24", "--for", "30s", "--again"], 4);
}

#[test]
fn kill_9_of_a_replay_leaves_nothing() {
    let lasso = schedule("writer-starvation", "v1_24", "no-starvation-weak");
    let replay = ["replay", "writer-starvation", "-p", "v1_24", "--schedule", &lasso, "--rounds", "100000"];
    leaves_nothing("KILL", &replay, 4);
}

#[test]
fn ctrl_c_of_a_stress_and_a_replay_leaves_nothing() {
    use std::os::unix::process::ExitStatusExt as _;
    let lasso = schedule("writer-starvation", "v1_24", "no-starvation-weak");
    let stress = ["stress", "writer-starvation", "-p", "v1_24", "--for", "30s", "--again"];
    let replay = ["replay", "writer-starvation", "-p", "v1_24", "--schedule", &lasso, "--rounds", "100000"];
    for arguments in [&stress[..], &replay[..]] {
        let status = leaves_nothing("INT", arguments, 4);
        assert_eq!(status.signal(), Some(2), "{arguments:?}: a shell says 130");
    }
}

/// The kill comes at some moment of a check: while it explores, or while its processes run.
#[test]
fn kill_9_of_a_check_leaves_nothing() {
    for milliseconds in [50, 400, 900] {
        let temporary = tempfile::tempdir().expect("a folder");
        let (mut child, _) = start(&["check", "--quiet"], temporary.path(), 0);
        let moment = Instant::now() + Duration::from_millis(milliseconds);
        let mut pids = Vec::new();
        while Instant::now() < moment {
            pids.extend(workers_of(child.id()));
        }
        signal("KILL", child.id());
        child.wait().expect("an end");
        until("no process is left", || !pids.iter().any(|pid| is_worker(*pid)));
        until("no directory is left", || entries(temporary.path()).is_empty());
    }
}

/// While it explores, nothing asks for the signal: it ends at once.
#[test]
fn ctrl_c_of_a_check_ends_it_at_once() {
    use std::os::unix::process::ExitStatusExt as _;
    let temporary = tempfile::tempdir().expect("a folder");
    let check = ["check", "writer-starvation", "-p", "pr_473", "--no-merge", "--no-real", "--time-max", "30s"];
    let (mut child, _) = start(&check, temporary.path(), 0);
    std::thread::sleep(Duration::from_millis(500));
    signal("INT", child.id());
    let interrupted = Instant::now();
    assert_eq!(child.wait().expect("an end").signal(), Some(2), "a shell says 130");
    assert!(interrupted.elapsed() < Duration::from_secs(5));
    assert!(entries(temporary.path()).is_empty());
}
