//! What works on this machine: tried, not guessed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use crate::Harness;
use crate::supervise::event::Action;
use crate::supervise::session::Session;
use crate::supervise::{Interest, Isolation, Program, Wakes, trace};
use crate::sys::{self, process};

/// How well something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Works {
    /// As it should.
    Yes,
    /// Not, and nothing fails for it: something is slower, or left out.
    Less,
    /// Not, and a command needs it.
    No,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How well it works.
    pub works: Works,
    /// What was seen; what to do where it does not work.
    pub detail: String,
}

impl Finding {
    fn new(what: &'static str, works: Works, detail: impl Into<String>) -> Self {
        Self { what, works, detail: detail.into() }
    }
}

/// Tries everything. Takes less than a second.
#[must_use]
pub fn examine(harness: &Harness) -> Vec<Finding> {
    let mut findings = vec![kernel(), locks(), times(), memory_file_system()];
    findings.extend(supervision(harness));
    findings.push(program(
        "containers-storage",
        // It says no version without opening a store.
        &[],
        "apt-get install containers-storage, or name one with --store PATH",
    ));
    findings.push(program("go", &["version"], "apt-get install golang-go, for the tests of the real library"));
    findings.push(program("spin", &["-V"], "apt-get install spin, to compare the explorer with SPIN"));
    findings
}

fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Finding::new("kernel", Works::Yes, format!("Linux {} on {}", release.trim(), std::env::consts::ARCH))
}

fn locks() -> Finding {
    match crate::kernel::anyones() {
        Ok(locks) => {
            Finding::new("/proc/locks", Works::Yes, format!("{} locks are held or waited for now", locks.len()))
        }
        Err(error) => Finding::new("/proc/locks", Works::No, error.to_string()),
    }
}

/// Whether a file that was looked at since its last write gets a fine time (multigrain timestamps).
fn times() -> Finding {
    const WRITES: usize = 100;
    let name = "file times";
    let distinct = || -> io::Result<usize> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("file");
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..WRITES {
            fs::write(&file, round.to_string())?;
            seen.insert(sys::mtime_ns(&fs::metadata(&file)?));
        }
        Ok(seen.len())
    };
    match distinct() {
        Ok(distinct) if distinct > WRITES / 2 => {
            Finding::new(name, Works::Yes, "fine where a file was looked at since its last write (multigrain)")
        }
        Ok(distinct) => Finding::new(
            name,
            Works::Yes,
            format!("coarse: {WRITES} writes gave {distinct} times, so a change within a tick has the old time"),
        ),
        Err(error) => {
            Finding::new(name, Works::No, format!("no file can be written in the temporary directory: {error}"))
        }
    }
}

fn memory_file_system() -> Finding {
    let name = "tmpfs";
    match statfs("/dev/shm") {
        Ok(found) if found.filesystem_type() == TMPFS_MAGIC => {
            let free = found.blocks_available().saturating_mul(u64::try_from(found.block_size()).unwrap_or(0)) >> 20;
            Finding::new(name, Works::Yes, format!("/dev/shm, {free} MiB free"))
        }
        _ => Finding::new(name, Works::Less, "/dev/shm is none: stores are on disk, and everything takes longer"),
    }
}

/// Starts the supervisor, and lets it watch a program of ours.
fn supervision(harness: &Harness) -> Vec<Finding> {
    const FILTER: &str = "seccomp filter";
    const SEEN: &str = "calls are seen";
    const APART: &str = "namespaces";
    let mut session = match Session::start(harness, Isolation::Own, Wakes::Seen, Interest::default()) {
        Ok(session) => session,
        Err(error) => {
            return vec![
                Finding::new(FILTER, Works::No, format!("{error}")),
                Finding::new(SEEN, Works::No, "there is no filter"),
            ];
        }
    };
    let mut findings = vec![Finding::new(FILTER, Works::Yes, "asks us, and only a signal that kills interrupts it")];
    findings.push(if session.wakes_synchronously() {
        Finding::new("quick answers", Works::Yes, "SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP")
    } else {
        Finding::new("quick answers", Works::Less, "Linux 6.6 and later have them: everything takes a third longer")
    });
    findings.push(match session.why_not_isolated() {
        None => Finding::new(APART, Works::Yes, "processes and mounts of a program that is hunted are its own"),
        Some(why) => Finding::new(
            APART,
            Works::Less,
            format!("not for us ({why}): a program's mounts stay if it does not unmount them; run as root"),
        ),
    });
    findings.push(match seen(&mut session) {
        Ok(true) => Finding::new(SEEN, Works::Yes, "with their paths"),
        Ok(false) => Finding::new(SEEN, Works::No, "a call was made that was not seen"),
        Err(problem) => Finding::new(SEEN, Works::No, problem),
    });
    findings
}

/// Whether the removal of a file by another program is seen.
fn seen(session: &mut Session) -> Result<bool, String> {
    let file = std::env::temp_dir().join(format!("lockproof-{}-not-there", std::process::id()));
    let command = vec!["rm".into(), "-f".into(), file.clone().into()];
    let directory = PathBuf::from("/");
    let program = Program { command, directory, environment: BTreeMap::new() };
    let mut removed = false;
    let look = |action: &Action| matches!(action, Action::Unlink { file: seen, .. } if seen.path == file);
    let ended = trace::trace(session, &program, process::standard(), |event| removed |= look(&event.action), || true);
    ended.map(|_| removed).map_err(|error| error.to_string())
}

/// A program that only some commands and tests want.
fn program(name: &'static str, arguments: &[&str], otherwise: &str) -> Finding {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(found) = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()) else {
        return Finding::new(name, Works::Less, format!("not installed: {otherwise}"));
    };
    let said = if arguments.is_empty() { String::new() } else { said(&found, arguments) };
    Finding::new(name, Works::Yes, format!("{}{said}", found.display()))
}

/// What a program says of its version, in one line.
fn said(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.map(|line| format!(": {line}")).unwrap_or_default()
}
