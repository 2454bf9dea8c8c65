//! The unmodified `containers-storage` and our reference processes on one store.
//!
//! The program is looked for in `LOCKPROOF_CONTAINERS_STORAGE` and then on the `PATH`. Where there is none, the tests say
//! so loudly and check nothing, unless `LOCKPROOF_REQUIRE_REAL=1`: then they fail.

mod common;

use std::collections::BTreeSet;
use std::path::{Path as FsPath, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{LAYERS_LOCK, command, delete, exists, harness, names, process, put, set_names, system};
use lockproof_harness::disk::Disk;
use lockproof_harness::documents;
use lockproof_harness::stress::{StressOptions, StressReport};
use lockproof_model::call::{Call, Reply};
use lockproof_model::monitor;
use lockproof_model::op::{Document, Op, Outcome, Path};
use lockproof_model::protocol::Layers;
use lockproof_model::system::{Process, Repeat};
use lockproof_model::value::{Datum, Value};
use serde_json::Value as Json;

const ROUNDS: usize = 200;

/// The real program on one store.
struct Real {
    program: PathBuf,
    directory: tempfile::TempDir,
}

impl Real {
    fn new() -> Option<Self> {
        let program = command()?;
        let directory = tempfile::Builder::new().prefix("lockproof-real-").tempdir().unwrap();
        Some(Self { program, directory })
    }

    fn base(&self) -> &FsPath {
        self.directory.path()
    }

    /// Runs a command. A command that takes too long is killed by `timeout`.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60"]).arg(&self.program);
        command.arg("--graph").arg(self.base().join("root")).arg("--run").arg(self.base().join("run"));
        command.args(["--storage-driver", "vfs"]).args(words).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> (bool, String) {
        let output = self.command(words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    fn must(&self, words: &[&str]) -> String {
        let (success, text) = self.run(words);
        assert!(success, "containers-storage {}: {text}", words.join(" "));
        text
    }

    /// The ids that it lists.
    fn layers(&self) -> Vec<String> {
        let listed: Json = serde_json::from_str(&self.must(&["layers", "--json"])).unwrap();
        let layers = listed.as_array().cloned().unwrap_or_default();
        layers.iter().map(|layer| layer["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Reference processes on this store.
    fn reference(&self, processes: Vec<Process>, duration: Duration) -> StressReport {
        let mut options = StressOptions::lasting(duration);
        options.directory = Some(self.base().to_path_buf());
        harness().stress(&system(&[], processes), &options).unwrap()
    }

    /// The calls of one reference process, one after the other.
    fn calls(&self, protocol: &str, calls: Vec<Call>) -> Vec<Reply> {
        let report = self.reference(vec![process("reference", protocol, vec![calls])], Duration::from_secs(60));
        assert!(report.processes[0].panics.is_empty() && report.processes[0].unfinished == 0, "{report:?}");
        report.processes[0].replies[0].iter().map(|(_, reply)| reply.clone()).collect()
    }

    /// `layers.json` as it stands.
    fn json(&self) -> Json {
        serde_json::from_slice(&std::fs::read(self.base().join(monitor::LAYERS)).unwrap()).unwrap()
    }
}

fn texts(ids: &[&str]) -> Reply {
    Ok(Value::List(ids.iter().map(|id| Value::Text((*id).into())).collect()))
}

#[test]
fn the_real_program_reads_and_changes_what_reference_processes_wrote() {
    let Some(real) = Real::new() else { return };
    for protocol in ["v1_24", "one_way_upgrade"] {
        let id = |name: &str| format!("{protocol}-{name}").replace('_', "-");
        let (base, top) = (id("base"), id("top"));
        let written = vec![put(&base, None), put(&top, Some(&base)), set_names(&top, &[&id("name")])];
        let replies = real.calls(protocol, written);
        assert!(replies.iter().all(Result::is_ok), "{replies:?}");
        let layers = real.layers();
        assert!(layers.contains(&base) && layers.contains(&top), "{layers:?}");
        real.must(&["exists", "--layer", &id("name")]);
        assert!(real.must(&["get-names", &top]).contains(&id("name")));
        // It has children, so the real program refuses, as ours does.
        assert!(!real.run(&["delete-layer", &base]).0);
        real.must(&["diff", "--file", "/dev/null", &top]);
        real.must(&["delete-layer", &top]);
        real.must(&["delete-layer", &base]);
        assert!(!real.base().join("root/vfs/dir").join(&top).exists());
        assert_eq!(real.calls(protocol, vec![Call::Layers]), [texts(&[])]);
    }
}

#[test]
fn reference_processes_read_and_change_what_the_real_program_wrote() {
    let Some(real) = Real::new() else { return };
    real.must(&["create-layer", "--id", "base", "--name", "first"]);
    real.must(&["create-layer", "--id", "top", "--label", "kept", "base"]);
    let before = real.json();
    let calls = vec![
        Call::Layers,
        names("base"),
        Call::Lookup { name: "first".into() },
        exists("none"),
        delete("base"),
        set_names("top", &["second"]),
        put("ours", Some("top")),
    ];
    let replies = real.calls("v1_24", calls);
    println!("{replies:?}");
    assert_eq!(replies[0], texts(&["base", "top"]));
    assert_eq!(replies[1], texts(&["first"]));
    assert_eq!(replies[2], Ok(Value::Text("base".into())));
    assert_eq!(replies[3], Ok(Value::Bool(false)));
    assert_eq!(replies[4], Err(lockproof_model::call::Fail("ErrLayerHasChildren".into())));
    assert_eq!(replies[6], Ok(Value::Text("ours".into())));
    // Every field of the real program's records is still there.
    let after = real.json();
    assert_eq!(after[0], before[0]);
    for (field, value) in before[1].as_object().unwrap() {
        assert_eq!(&after[1][field], value, "{field}");
    }
    assert_eq!(real.layers(), ["base", "top", "ours"]);
    assert!(real.must(&["get-names", "top"]).contains("second"));
    // Stamps of both kinds live side by side: the real program notices ours, and we notice its.
    real.must(&["delete-layer", "ours"]);
    assert_eq!(real.calls("v1_24", vec![exists("ours")]), [Ok(Value::Bool(false))]);
}

/// Each round, the real program and a reference process write at the same time, while another reference process, which
/// lives all the while and has a cache, reads and writes as fast as it can.
#[test]
fn both_write_one_store_at_once_and_nothing_is_lost() {
    let Some(real) = Real::new() else { return };
    real.must(&["create-layer", "--id", "pinned"]);
    let mut busy = process("busy", "v1_24", vec![vec![set_names("pinned", &["a"]), exists("pinned"), Call::Layers]]);
    busy.threads[0].repeat = Repeat::Forever;
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let mut acknowledged = BTreeSet::from(["pinned".to_owned()]);
    let report = std::thread::scope(|scope| {
        let (real, busy) = (&real, &busy);
        let background = scope.spawn(move || {
            let mut calls = 0;
            let mut failures = Vec::new();
            while stopped.try_recv().is_err() {
                let report = real.reference(vec![busy.clone()], Duration::from_millis(500));
                calls += report.processes[0].calls;
                failures.extend(report.processes[0].failures.keys().cloned());
            }
            (calls, failures)
        });
        for round in 0..ROUNDS {
            let (theirs, ours) = (format!("theirs-{round}"), format!("ours-{round}"));
            let mut command = real.command(&["create-layer", "--id", &theirs]);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut calls = vec![put(&ours, None)];
            if round > 0 {
                calls.push(delete(&format!("theirs-{}", round - 1)));
            }
            let replies = real.calls("v1_24", calls);
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(replies.iter().all(Result::is_ok), "round {round}: {replies:?}");
            acknowledged.insert(theirs);
            acknowledged.insert(ours);
            if round > 0 {
                acknowledged.remove(&format!("theirs-{}", round - 1));
            }
        }
        stop.send(()).unwrap();
        background.join().unwrap()
    });
    println!("{ROUNDS} rounds, {} calls of the busy process, failures {:?}", report.0, report.1);
    assert!(report.1.is_empty() && report.0 > 0);
    assert_eq!(real.layers().into_iter().collect::<BTreeSet<_>>(), acknowledged);
    let disk = Disk::new(real.base()).unwrap();
    let document = Document { path: Path::new(monitor::LAYERS), lock: Path::new(LAYERS_LOCK) };
    let read = disk.perform(&Op::Read { document }, lockproof_harness::disk::Waiting::Park).unwrap();
    let Some(lockproof_harness::disk::Attempt::Done(Outcome::Value(value))) = read else { panic!("{read:?}") };
    assert_eq!(documents::layer_ids(&value).into_iter().collect::<BTreeSet<_>>(), acknowledged);
    assert!(Layers::from_value(&value).unwrap().iter().any(|layer| layer.names == ["a"]));
    for id in &acknowledged {
        assert!(real.base().join("root/vfs/dir").join(id).is_dir(), "{id} has no contents");
    }
}

#[test]
fn both_read_and_change_images_containers_and_mounts() {
    let Some(real) = Real::new() else { return };
    let image = |id: &str, layer: &str| Call::CreateImage {
        id: id.into(),
        layer: Some(layer.into()),
        names: vec![format!("{id}-name")],
    };
    let container =
        |id: &str, image: &str| Call::CreateContainer { id: id.into(), image: Some(image.into()), names: vec![] };
    let mount = || Call::Mount { id: "ours".into() };
    let calls = vec![put("base", None), image("img", "base"), container("ours", "img"), mount(), mount()];
    let replies = real.calls("v1_24", calls);
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");
    // The real program knows the image by its name, what uses what, and what is mounted.
    assert!(real.must(&["image", "img-name"]).contains("base"));
    assert!(real.must(&["container", "ours"]).contains("ours-layer"));
    assert!(!real.run(&["delete-image", "img"]).0, "a container uses it");
    assert_eq!(real.must(&["mounted", "ours"]).trim(), "ours mounted");
    // It makes its own, which the reference process reads and deletes.
    real.must(&["create-container", "--id", "theirs", "img"]);
    real.must(&["create-image", "--id", "second", "--name", "second-name", "base"]);
    let calls = vec![
        Call::Containers,
        Call::Images,
        Call::Lookup { name: "second-name".into() },
        Call::Mounted { id: "ours".into() },
        Call::DeleteImage { id: "img".into() },
        Call::DeleteContainer { id: "theirs".into() },
        Call::DeleteContainer { id: "ours".into() },
        Call::DeleteImage { id: "img".into() },
    ];
    let replies = real.calls("v1_24", calls);
    assert_eq!(replies[0], texts(&["ours", "theirs"]));
    assert_eq!(replies[1], texts(&["img", "second"]));
    assert_eq!(replies[2], Ok(Value::Text("second".into())));
    assert_eq!(replies[3], Ok(Value::Int(2)));
    assert_eq!(replies[4], Err(lockproof_model::call::Fail("ErrImageUsedByContainer".into())));
    assert!(replies[5..].iter().all(Result::is_ok), "{replies:?}");
    // The layer that the other image needs is still there, and no other.
    assert_eq!(real.layers(), ["base"]);
    real.must(&["delete-image", "second"]);
    assert!(real.layers().is_empty());
}
