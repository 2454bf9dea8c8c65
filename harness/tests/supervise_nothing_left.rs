//! Nothing that was supervised is left, whatever becomes of the supervisor: no process, and so none that tries a call again
//! for ever that fails with `ENOSYS` since the listener is gone.

mod common;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::harness;
use lockproof_harness::supervise::session::Session;
use lockproof_harness::supervise::{Interest, Isolation, Program, Wakes, trace};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_secs(20);

/// What tells this program that it is the supervisor that will be killed: how programs are kept.
const ROLE: &str = "LOCKPROOF_TEST_SUPERVISOR";

/// Where it works.
const DIRECTORY: &str = "LOCKPROOF_TEST_DIRECTORY";

/// One process holds the lock, its child waits for it, another child of it sleeps.
const WORDS: &str = "exclusive a beside exclusive,a beside write,asleep,sleep join";

fn program(directory: &Path) -> Program {
    let name = OsString::from(env!("CARGO_BIN_EXE_lockproof-locker"));
    let command = std::iter::once(name).chain(WORDS.split(' ').map(OsString::from)).collect();
    Program { command, directory: directory.to_path_buf(), environment: BTreeMap::new() }
}

/// Not a test of its own: what the supervisor does until it is killed.
#[test]
fn the_supervisor() {
    let (Ok(role), Some(directory)) = (std::env::var(ROLE), std::env::var_os(DIRECTORY)) else { return };
    let isolation = if role == "own" { Isolation::Own } else { Isolation::Shared };
    let mut session = Session::start(&harness(), isolation, Wakes::Seen, Interest::default()).unwrap();
    let nothing = File::options().read(true).write(true).open("/dev/null").unwrap();
    let standard = [nothing.as_fd(); 3];
    trace::trace(&mut session, &program(Path::new(&directory)), standard, |_| {}, || true).unwrap();
}

/// All that descend from a process, and run.
fn descendants(of: u32) -> Vec<u32> {
    let parents: BTreeMap<u32, u32> = (fs::read_dir("/proc").unwrap().flatten())
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, parent_of(pid)?)))
        .collect();
    let descends = |pid: &u32| {
        let mut at = *pid;
        while let Some(parent) = parents.get(&at) {
            if *parent == of {
                return true;
            }
            at = *parent;
        }
        false
    };
    parents.keys().copied().filter(descends).filter(|pid| runs(*pid)).collect()
}

/// A process that has ended has no command line any more, even if nobody has waited for it.
fn runs(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
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

/// Starts a supervisor in a process group of its own, and waits until all that it supervises is there. A shell makes its
/// background jobs ignore SIGINT, and all that they start: env(1) takes that back.
fn supervisor(role: &str, directory: &Path) -> (Child, Vec<u32>) {
    use std::os::unix::process::CommandExt as _;
    let child = Command::new("env")
        .arg("--default-signal=INT")
        .arg(std::env::current_exe().unwrap())
        .args(["the_supervisor", "--exact", "--nocapture"])
        .env(ROLE, role)
        .env(DIRECTORY, directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    until("one sleeps", || directory.join("asleep").exists());
    // The keeper, the launcher, and three of the program.
    until("five processes", || descendants(child.id()).len() == 5);
    let pids = descendants(child.id());
    (child, pids)
}

fn is_isolated() -> bool {
    Session::start(&harness(), Isolation::Own, Wakes::Seen, Interest::default()).unwrap().why_not_isolated().is_none()
}

#[test]
fn kill_9_of_the_supervisor_leaves_nothing() {
    for role in ["shared", "own"] {
        let directory = tempfile::tempdir().unwrap();
        let (mut child, pids) = supervisor(role, directory.path());
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGKILL).unwrap();
        let killed = Instant::now();
        child.wait().unwrap();
        until("no process is left", || !pids.iter().any(|pid| runs(*pid)));
        println!("{role}: {pids:?} are gone {:?} after kill -9 of the supervisor", killed.elapsed());
    }
}

/// Ctrl-C goes to the whole process group of the terminal: keeper and launcher are in it, but for those of namespaces of their
/// own.
#[test]
fn ctrl_c_leaves_nothing() {
    for role in ["shared", "own"] {
        let directory = tempfile::tempdir().unwrap();
        let (mut child, pids) = supervisor(role, directory.path());
        killpg(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
        child.wait().unwrap();
        until("no process is left", || !pids.iter().any(|pid| runs(*pid)));
    }
}

/// Whichever of the two between us and the program is killed, the rest goes, and we are told.
#[test]
fn kill_9_of_the_keeper_or_the_launcher_leaves_nothing() {
    let launcher =
        |pids: &[u32], parent: u32| *pids.iter().find(|pid| parent_of(**pid) == Some(parent)).expect("a child");
    for role in ["shared", "own"] {
        if role == "own" && !is_isolated() {
            println!("no namespaces here: NOTHING is checked of them");
            continue;
        }
        for of_keeper in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let (mut child, pids) = supervisor(role, directory.path());
            let keeper = launcher(&pids, child.id());
            let target = if of_keeper { keeper } else { launcher(&pids, keeper) };
            kill(Pid::from_raw(i32::try_from(target).unwrap()), Signal::SIGKILL).unwrap();
            assert!(!child.wait().unwrap().success(), "the supervisor says that the launcher is gone");
            until("no process is left", || !pids.iter().any(|pid| runs(*pid)));
        }
    }
}

#[test]
fn a_supervisor_that_ends_leaves_nothing() {
    for isolation in [Isolation::Shared, Isolation::Own] {
        let directory = tempfile::tempdir().unwrap();
        let mut session = Session::start(&harness(), isolation, Wakes::Seen, Interest::default()).unwrap();
        let nothing = File::options().read(true).write(true).open("/dev/null").unwrap();
        let mut pids = Vec::new();
        let goes_on = || {
            pids = descendants(std::process::id());
            false
        };
        let ended = trace::trace(&mut session, &program(directory.path()), [nothing.as_fd(); 3], |_| {}, goes_on);
        assert_eq!(ended.unwrap(), None);
        drop(session);
        assert!(pids.len() >= 5, "{pids:?}");
        // Other tests of this program have processes of their own.
        until("no process is left", || {
            !pids.iter().any(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == directory.path()))
        });
    }
}
