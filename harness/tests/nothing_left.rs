//! Nothing is left behind: no process, no directory, whatever becomes of the parent.

mod common;

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path as FsPath;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Driver, exists, harness, process, run, set_names, system};
use lockproof_harness::HarnessError;
use lockproof_harness::guardian::RunDirectory;
use lockproof_harness::replay::ReplayOptions;
use lockproof_harness::stress::StressOptions;
use lockproof_model::schedule::Schedule;
use lockproof_model::system::{Repeat, System};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_secs(20);

/// What tells this program that it is the parent that will be killed.
const ROLE: &str = "LOCKPROOF_TEST_PARENT";

fn endless() -> System {
    let mut processes = vec![
        process("reader", "v1_24", vec![vec![exists("a")]]),
        process("writer", "v1_24", vec![vec![set_names("a", &["n"])]]),
    ];
    processes.iter_mut().for_each(|process| process.threads[0].repeat = Repeat::Forever);
    system(&["a"], processes)
}

/// A cycle: the reader's call, again and again, once the writer has begun.
fn lasso(system: &System) -> Schedule {
    let mut driver = Driver::new(system);
    driver.calls(0, 0, 2);
    driver.step(run(1, 0));
    let steps = driver.steps.len();
    driver.calls(0, 0, 1);
    Schedule { cycle: driver.steps.split_off(steps), steps: driver.steps }
}

/// Not a test of its own: what the parent does until it is killed.
#[test]
fn the_parent() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let system = endless();
    match role.as_str() {
        "stress" => {
            let _ = harness().stress(&system, &StressOptions::lasting(3 * LIMIT));
        }
        _ => {
            let options = ReplayOptions { rounds: u32::MAX, deadline: 3 * LIMIT, ..ReplayOptions::default() };
            let _ = harness().replay(&system, &lasso(&system), &options);
        }
    }
}

/// The workers whose parent is `parent`, and that still run.
fn workers_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| is_worker(*pid) && parent_of(*pid) == Some(parent)).collect()
}

/// A process that has ended has no command line any more, even if nobody has waited for it.
fn is_worker(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.split(|byte| *byte == 0).any(|argument| argument == b"--lockproof-worker"))
}

fn parent_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn entries(directory: &FsPath) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Starts the parent in a process group of its own, with a directory for temporary files of its own, and waits until
/// its processes work.
fn parent(role: &str, temporary: &FsPath) -> (Child, Vec<u32>) {
    // A shell makes its background jobs ignore SIGINT, and all that they start: env(1) takes that back.
    let child = Command::new("env")
        .arg("--default-signal=INT")
        .arg(std::env::current_exe().unwrap())
        .args(["the_parent", "--exact", "--nocapture"])
        .env(ROLE, role)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    // The guardian and two workers.
    until("three processes", || workers_of(child.id()).len() == 3);
    until("a stamp of the writer", || {
        let lock = |dir: &String| temporary.join(dir).join("root/vfs-layers/layers.lock");
        entries(temporary).iter().any(|dir| fs::metadata(lock(dir)).is_ok())
    });
    let workers = workers_of(child.id());
    (child, workers)
}

#[test]
fn kill_9_of_the_parent_leaves_nothing() {
    for role in ["replay", "stress"] {
        let temporary = tempfile::tempdir().unwrap();
        let (mut child, workers) = parent(role, temporary.path());
        assert_eq!(entries(temporary.path()).len(), 1);
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        until("no process is left", || !workers.iter().any(|pid| is_worker(*pid)));
        until("no directory is left", || entries(temporary.path()).is_empty());
        println!("{role}: after kill -9 of pid {}, {workers:?} are gone and the directory is", child.id());
    }
}

/// Ctrl-C goes to the whole process group of the terminal.
#[test]
fn ctrl_c_leaves_nothing() {
    for role in ["replay", "stress"] {
        let temporary = tempfile::tempdir().unwrap();
        let (mut child, workers) = parent(role, temporary.path());
        killpg(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGINT as i32));
        until("no process is left", || !workers.iter().any(|pid| is_worker(*pid)));
        until("no directory is left", || entries(temporary.path()).is_empty());
    }
}

/// As `killall` does: everybody is asked to end, the guardian first.
#[test]
fn a_signal_to_each_process_leaves_nothing() {
    for role in ["replay", "stress"] {
        let temporary = tempfile::tempdir().unwrap();
        let (mut child, workers) = parent(role, temporary.path());
        for pid in workers.iter().chain([&child.id()]) {
            let _ = kill(Pid::from_raw(i32::try_from(*pid).unwrap()), Signal::SIGTERM);
        }
        child.wait().unwrap();
        until("no process is left", || !workers.iter().any(|pid| is_worker(*pid)));
        until("no directory is left", || entries(temporary.path()).is_empty());
    }
}

#[test]
fn success_and_failure_leave_nothing() {
    let harness = harness();
    let directory = RunDirectory::new(&harness).unwrap();
    let (path, guardian) = (directory.path().to_path_buf(), directory.guardian());
    assert!(path.is_dir() && is_worker(guardian));
    drop(directory);
    assert!(!path.exists() && !is_worker(guardian));

    let system = endless();
    let options = ReplayOptions { rounds: u32::MAX, deadline: Duration::from_millis(100), ..ReplayOptions::default() };
    let before = workers_of(std::process::id()).len();
    let refused = harness.replay(&system, &lasso(&system), &options).unwrap_err();
    assert!(matches!(refused, HarnessError::Deadline { .. }), "{refused}");
    assert!(workers_of(std::process::id()).len() <= before);
}

/// A program that is no worker is noticed, not waited for.
#[test]
fn a_program_that_serves_no_one_is_an_error() {
    let refused = RunDirectory::new(&lockproof_harness::Harness::new("/bin/true")).unwrap_err();
    println!("{refused}");
    assert!(matches!(refused, HarnessError::Worker { .. }), "{refused}");
    let refused = RunDirectory::new(&lockproof_harness::Harness::new("/no/such/program")).unwrap_err();
    println!("{refused}");
    assert!(matches!(refused, HarnessError::Io { .. }), "{refused}");
}
