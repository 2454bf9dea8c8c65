//! Races of release 1.43.0, shown on its own code: the Go library in long-lived processes, driven from here.
//!
//! It needs Go and Debian's package of the library's source. Where they are missing the tests say so loudly and check
//! nothing, unless `LOCKPROOF_REQUIRE_REAL=1`: then they fail.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{command, driver, harness};
use lockproof_harness::beside::BesideOptions;
use lockproof_harness::guardian::RunDirectory;
use lockproof_harness::library::{BuildError, Library, LibraryError, Returned, Source, build};
use serde_json::{Value as Json, json};

/// How often each race is shown.
const TIMES: usize = 20;

/// How long a call may take that must return.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a goroutine is given to get to where it waits.
const SETTLE: Duration = Duration::from_millis(100);

/// Some processes of the real library on one directory.
struct Run {
    program: &'static Path,
    directory: RunDirectory,
}

impl Run {
    fn new() -> Option<Self> {
        let program = driver()?;
        Some(Self { program, directory: RunDirectory::new(&harness()).unwrap() })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A process with a store of each name, each with a run root of its own over the one graph root.
    fn process(&self, stores: &[&str]) -> Library {
        let mut library = Library::start(&harness(), self.program, None).unwrap();
        for store in stores {
            library.open(store, self.path(), &format!("run-{store}"), LIMIT).unwrap().unwrap();
        }
        library
    }

    /// The ids in a JSON document of the store.
    fn ids(&self, document: &str) -> Vec<String> {
        let text = fs::read(self.path().join("root").join(document)).unwrap_or_else(|_| b"[]".to_vec());
        let records: Vec<Json> = serde_json::from_slice(&text).unwrap();
        records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn now(library: &mut Library, store: &str, call: &str, args: &[&str]) -> Returned {
    library.call(store, "main", call, args, LIMIT).unwrap()
}

/// `modified-edge-consumed`, what remark D14 feared: two stores over one directory share one lock object, so what one
/// writes the other is never told, and writes over it.
#[test]
fn an_acknowledged_image_is_lost_by_two_stores_in_one_process() {
    for _ in 0..TIMES {
        let Some(run) = Run::new() else { return };
        let mut daemon = run.process(&["a", "b"]);
        now(&mut daemon, "a", "put-layer", &["base"]).unwrap();
        assert_eq!(now(&mut daemon, "b", "images", &[]), Ok(json!([])));
        assert_eq!(now(&mut daemon, "a", "create-image", &["first", "base"]), Ok(json!("first")));
        assert_eq!(now(&mut daemon, "b", "images", &[]), Ok(json!([])), "stale: `first` was acknowledged");
        assert_eq!(now(&mut daemon, "b", "create-image", &["second", "base"]), Ok(json!("second")));
        assert_eq!(run.ids("vfs-images/images.json"), ["second"], "`first` is lost");
        // In two processes nothing goes stale and nothing is lost.
        let mut other = run.process(&["a"]);
        assert_eq!(now(&mut other, "a", "create-image", &["third", "base"]), Ok(json!("third")));
        assert_eq!(now(&mut daemon, "b", "images", &[]), Ok(json!(["second", "third"])));
    }
}

/// `nested-rlock-pending-writer`: a goroutine that holds a `diff` asks again, behind a writer that waits for it.
#[test]
fn a_reader_that_asks_again_behind_a_waiting_writer_never_returns() {
    for _ in 0..TIMES {
        let Some(run) = Run::new() else { return };
        let mut daemon = run.process(&["a"]);
        now(&mut daemon, "a", "put-layer", &["base"]).unwrap();
        // So that the graph lock is not what it is stuck on, as below: it has a stamp, and this process knows it.
        now(&mut daemon, "a", "shutdown", &[]).unwrap();
        now(&mut daemon, "a", "diff", &["base"]).unwrap();
        now(&mut daemon, "a", "close-diff", &["base"]).unwrap();
        now(&mut daemon, "a", "names", &["base"]).unwrap();
        now(&mut daemon, "a", "diff", &["base"]).unwrap();
        // While nobody waits to write, it may ask again.
        now(&mut daemon, "a", "names", &["base"]).unwrap();
        let writer = daemon.begin("a", "writer", "put-layer", &["new"]).unwrap();
        assert!(matches!(daemon.returned(writer, SETTLE), Err(LibraryError::StillRunning { .. })));
        let reader = daemon.begin("a", "main", "names", &["base"]).unwrap();
        let close = daemon.begin("a", "main", "close-diff", &["base"]).unwrap();
        for call in [reader, close, writer] {
            let stuck = daemon.returned(call, SETTLE);
            assert!(matches!(stuck, Err(LibraryError::StillRunning { .. })), "{stuck:?}");
        }
        daemon.kill();
        // The kernel took the lock from the dead process: another one goes on.
        let mut other = run.process(&["b"]);
        now(&mut other, "b", "put-layer", &["new"]).unwrap();
    }
}

/// While nobody ever wrote the graph lock's stamp (`Shutdown` does), its `Modified` is always true, and each `Diff` forgets
/// the layer store (store.go). So the next call makes a new one, under the write lock, and waits for the read lock that
/// the diff holds: its own. One goroutine, nobody else.
#[test]
fn a_call_during_a_diff_waits_for_its_own_process() {
    for _ in 0..TIMES {
        let Some(run) = Run::new() else { return };
        let mut daemon = run.process(&["a"]);
        now(&mut daemon, "a", "put-layer", &["base"]).unwrap();
        for _ in 0..2 {
            now(&mut daemon, "a", "diff", &["base"]).unwrap();
            now(&mut daemon, "a", "close-diff", &["base"]).unwrap();
        }
        now(&mut daemon, "a", "names", &["base"]).unwrap();
        now(&mut daemon, "a", "diff", &["base"]).unwrap();
        let stuck = daemon.call("a", "main", "names", &["base"], SETTLE);
        assert!(matches!(stuck, Err(LibraryError::StillRunning { .. })), "{stuck:?}");
    }
}

/// `incomplete-layer-visible`, scenario C: a pull is killed half-way; a process that has looked since then builds upon
/// what is left of it.
#[test]
fn a_child_is_built_on_a_layer_that_a_killed_pull_left_incomplete() {
    for _ in 0..TIMES {
        let Some(run) = Run::new() else { return };
        let mut daemon = run.process(&["a"]);
        now(&mut daemon, "a", "put-layer", &["base"]).unwrap();
        let pipe = run.path().join("contents");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut puller = run.process(&["b"]);
        puller.begin("b", "main", "pull-layer", &["half", "base", &pipe.to_string_lossy()]).unwrap();
        // Opening it waits for the puller; nothing is ever written, so the pull goes on until the puller is killed.
        let contents = fs::File::options().write(true).open(&pipe).unwrap();
        let until = Instant::now() + LIMIT;
        // The record, marked incomplete, then the driver's directory.
        while !run.path().join("root/vfs/dir/half").is_dir() {
            assert!(Instant::now() < until, "the pull has not begun");
            std::thread::sleep(Duration::from_millis(1));
        }
        puller.kill();
        drop(contents);
        // A read loads what is there, under the shared lock, and may not repair it. So the write does not load again.
        now(&mut daemon, "a", "names", &["base"]).unwrap();
        assert_eq!(now(&mut daemon, "a", "exists", &["half"]), Ok(json!(true)));
        assert_eq!(now(&mut daemon, "a", "put-layer", &["child", "half"]), Ok(json!("child")));
        assert_eq!(run.ids("vfs-layers/layers.json"), ["base", "half", "child"]);
        // The next process takes the incomplete layer away, from under its child.
        let mut next = run.process(&["c"]);
        assert_eq!(now(&mut next, "c", "exists", &["half"]), Ok(json!(false)));
        assert_eq!(run.ids("vfs-layers/layers.json"), ["base", "child"]);
    }
}

/// A daemon and commands, each with layers of its own: nothing is lost, no answer is wrong, nobody is stuck.
#[test]
fn a_daemon_and_commands_lose_nothing_of_each_other() {
    let (Some(driver), Some(command)) = (driver(), command()) else { return };
    let options = BesideOptions {
        duration: Duration::from_secs(3),
        limit: LIMIT,
        seed: 1,
        driver: driver.into(),
        command,
        goroutines: 4,
        lanes: 1,
    };
    let report = harness().beside(&options).unwrap();
    assert!(report.wrong.is_empty() && report.stuck.is_empty(), "{report:?}");
    assert_eq!(report.daemon_said, "");
    let returned = |kind: &str, call: &'static str| report.calls.get(&(kind.into(), call)).map(|c| c.took_ns.len());
    for kind in ["command", "goroutine"] {
        assert!(returned(kind, "put-layer").is_some() && returned(kind, "exists").is_some(), "{report:?}");
    }
    let opened: u64 = returned("goroutine", "diff").unwrap_or_default();
    assert_eq!(returned("goroutine", "close-diff").unwrap_or_default(), opened, "each diff was given back");
    assert!(report.kept > 0);
}

/// A command that takes the layers lock and never ends: it is named, with what it holds, and so is who waits for it.
#[test]
fn who_is_stuck_and_on_what_is_told() {
    let (Some(driver), Some(command)) = (driver(), command()) else { return };
    let directory = RunDirectory::new(&harness()).unwrap();
    let script = directory.path().join("containers-storage");
    let locker = env!("CARGO_BIN_EXE_lockproof-locker");
    let real = command.display();
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in\n*images*) exec {locker} exclusive \"$2\"/vfs-layers/layers.lock sleep;;\nesac\nexec {real} \"$@\"\n"
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let options = BesideOptions {
        duration: LIMIT,
        limit: Duration::from_secs(2),
        seed: 1,
        driver: driver.into(),
        command: script,
        goroutines: 1,
        lanes: 1,
    };
    let report = harness().beside(&options).unwrap();
    let stuck = "command-1: `images` has not returned within 2s";
    assert!(report.stuck.iter().any(|line| line == stuck), "{:?}", report.stuck);
    let says = |what: &str| report.picture.iter().any(|line| line.contains(what));
    assert!(says(" (lockproof-locke) holds root/vfs-layers/layers.lock, exclusive"), "{:?}", report.picture);
    assert!(says(": S, futex_do_wait, system call "), "{:?}", report.picture);
}

/// What the driver cannot do is an answer, and a driver whose parent is gone ends by itself.
#[test]
fn mistakes_are_answers() {
    let Some(run) = Run::new() else { return };
    let mut daemon = run.process(&["a"]);
    for (store, call, args, error) in [
        ("z", "layers", &[][..], "no store \"z\" is open"),
        ("a", "layer", &[], "no call is named \"layer\""),
        ("a", "names", &[], "names needs 1 arguments, and has 0"),
        ("a", "close-diff", &["base"], "goroutine \"main\" has no diff of \"base\" open"),
        ("a", "names", &["none"], "layer not known"),
    ] {
        let Err(said) = now(&mut daemon, store, call, args) else { panic!("{call} is accepted") };
        assert!(said.contains(error), "{said}");
    }
}

#[test]
fn what_is_no_source_tree_is_refused() {
    let directory = RunDirectory::new(&harness()).unwrap();
    let error = build(&Source::Tree(directory.path().into()), false, &directory.path().join("out")).unwrap_err();
    assert!(matches!(error, BuildError::NoTree { .. }), "{error}");
}
