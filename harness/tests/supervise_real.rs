//! The unmodified `containers-storage` under supervision.
//!
//! It is looked for, and insisted on, as in `real_store.rs`.

mod common;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use common::harness;
use lockproof_harness::supervise::event::{Action, Content, Event};
use lockproof_harness::supervise::session::Session;
use lockproof_harness::supervise::{Interest, Isolation, Program, Wakes, trace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

struct Store {
    program: PathBuf,
    directory: TempDir,
}

impl Store {
    fn new() -> Option<Self> {
        let program = common::command()?;
        Some(Self { program, directory: tempfile::Builder::new().prefix("lockproof-real-").tempdir().unwrap() })
    }

    /// Runs a command and returns what was seen of the store. `meanwhile` is told each event.
    fn traced(&self, words: &[&str], mut meanwhile: impl FnMut(&Event)) -> Vec<Event> {
        let base = self.directory.path();
        let mut command: Vec<OsString> = vec![self.program.clone().into()];
        command.extend(["--graph".into(), base.join("root").into(), "--run".into(), base.join("run").into()]);
        command.extend(["--storage-driver", "vfs"].iter().chain(words).map(OsString::from));
        let program = Program { command, directory: base.to_path_buf(), environment: BTreeMap::new() };
        let interest = Interest { below: vec![base.join("root"), base.join("run")] };
        let mut session = Session::start(&harness(), Isolation::Shared, Wakes::Seen, interest).unwrap();
        let (nothing, out) = (File::open("/dev/null").unwrap(), File::create(base.join("said")).unwrap());
        let mut events = Vec::new();
        let standard = [nothing.as_fd(), out.as_fd(), out.as_fd()];
        let status = trace::trace(
            &mut session,
            &program,
            standard,
            |event| {
                meanwhile(&event);
                events.push(event);
            },
            || true,
        );
        let said = std::fs::read_to_string(base.join("said")).unwrap();
        assert!(status.unwrap().is_some_and(|status| status.success()), "{words:?}: {said}");
        events
    }
}

fn name(path: &Path) -> String {
    let mut names: Vec<String> = path.iter().rev().take(2).map(|name| name.to_string_lossy().into_owned()).collect();
    names.reverse();
    // Go's names of temporary files end with a random number.
    names.join("/").trim_end_matches(|digit: char| digit.is_ascii_digit()).to_owned()
}

/// What was done, without what differs from run to run.
fn steps(events: &[Event]) -> Vec<String> {
    let step = |event: &Event| {
        let file = event.action.file().map(|file| name(&file.path)).unwrap_or_default();
        match &event.action {
            Action::Lock(wanted) => Some(format!("{:?}({file})", wanted.mode)),
            Action::Grant(..) => Some(format!("granted({file})")),
            Action::Release { .. } => Some(format!("U({file})")),
            Action::Read { content: Some(_), .. } => Some(format!("reads {file}")),
            Action::Write { content: Some(_), .. } => Some(format!("writes {file}")),
            Action::Rename { .. } => Some(format!("renames to {file}")),
            _ => None,
        }
    };
    events.iter().filter_map(step).collect()
}

fn count(events: &[Event], is_it: impl Fn(&Action) -> bool) -> usize {
    events.iter().filter(|event| is_it(&event.action)).count()
}

#[test]
fn there_are_as_many_unlocks_as_locks_and_each_document_is_replaced_under_its_exclusive_lock() {
    let Some(store) = Store::new() else { return };
    for _ in 0..3 {
        let events = store.traced(&["create-layer"], |_| {});
        let locks = count(&events, |action| matches!(action, Action::Lock(..)));
        let unlocks = count(&events, |action| matches!(action, Action::Release { .. }));
        assert_eq!(locks, unlocks, "{:#?}", steps(&events));
        assert!(locks >= 8, "{:#?}", steps(&events));
        // Two documents, each twice: the record is incomplete at first.
        let is_document =
            |action: &Action| matches!(action, Action::Rename { to, .. } if to.path.extension().is_some());
        assert!(count(&events, is_document) >= 2, "{:#?}", steps(&events));
        let mut held: Vec<String> = Vec::new();
        for event in &events {
            let Some(file) = event.action.file().map(|file| name(&file.path)) else { continue };
            match &event.action {
                Action::Lock(wanted) if wanted.mode == lockproof_model::op::Mode::Exclusive => held.push(file),
                Action::Release { .. } => held.retain(|lock| *lock != file),
                Action::Rename { .. } => {
                    let lock = file.replace("volatile-", "").replace(".json", ".lock");
                    assert!(held.contains(&lock), "{file} without {lock}: {:#?}", steps(&events));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn stamps_and_documents_are_read_as_they_are() {
    let Some(store) = Store::new() else { return };
    store.traced(&["create-layer", "-i", "below"], |_| {});
    let events = store.traced(&["create-layer", "-i", "above", "below"], |_| {});
    let written: Vec<(String, Content)> = (events.iter())
        .filter_map(|event| match &event.action {
            Action::Write { file, content: Some(content), .. } => Some((name(&file.path), content.clone())),
            _ => None,
        })
        .collect();
    let ids = |content: &Content| match content {
        Content::Json(records) => {
            let records = records.as_array().cloned().unwrap_or_default();
            records.iter().filter_map(|record| Some(record["id"].as_str()?.to_owned())).collect()
        }
        _ => Vec::new(),
    };
    let documents: Vec<Vec<String>> =
        written.iter().filter(|(file, _)| file.ends_with("layers.json")).map(|(_, content)| ids(content)).collect();
    assert_eq!(documents.last().unwrap(), &["below", "above"]);
    let stamps: Vec<&Content> =
        written.iter().filter(|(file, _)| file.ends_with("layers.lock")).map(|(_, content)| content).collect();
    assert!(!stamps.is_empty());
    for stamp in stamps {
        let Content::Bytes(bytes) = stamp else { panic!("{stamp:?}") };
        assert_eq!(bytes.len(), 2 * 64);
    }
}

/// A signal that a handler takes must not make the kernel ask again: `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`. Go uses
/// SIGURG to stop goroutines.
#[test]
fn signals_make_no_call_twice() {
    const SIGNALS: u32 = 200;
    const ROUNDS_MAX: usize = 200;
    let Some(store) = Store::new() else { return };
    store.traced(&["create-layer", "-i", "below"], |_| {});
    let quiet = steps(&store.traced(&["exists", "below"], |_| {}));
    let (target, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let (sent, mut disturbed) = (AtomicU32::new(0), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let pid = i32::try_from(target.load(Ordering::Relaxed)).unwrap();
                if pid != 0 && kill(Pid::from_raw(pid), Signal::SIGURG).is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::yield_now();
            }
        });
        while sent.load(Ordering::Relaxed) < SIGNALS && disturbed.len() < ROUNDS_MAX {
            let events = store.traced(&["exists", "below"], |event| match event.action {
                Action::Ended => target.store(0, Ordering::Relaxed),
                _ => target.store(event.process, Ordering::Relaxed),
            });
            disturbed.push(steps(&events));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(sent.into_inner() >= SIGNALS, "hardly a signal was sent in {ROUNDS_MAX} rounds");
    for steps in disturbed {
        assert_eq!(steps, quiet);
    }
}
