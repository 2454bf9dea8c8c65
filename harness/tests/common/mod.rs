//! What the tests share: our worker program, small systems, and schedules found by driving the model.
#![allow(dead_code, reason = "each test program uses its part")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use lockproof_harness::Harness;
use lockproof_harness::hunt::baseline::Baseline;
use lockproof_harness::hunt::execution::Limits;
use lockproof_harness::hunt::workload::Workload;
use lockproof_harness::hunt::{HuntOptions, Search};
use lockproof_harness::library::{BuildError, Source, build};
use lockproof_model::call::Call;
use lockproof_model::machine::Machine;
use lockproof_model::op;
use lockproof_model::protocol::{self, Layer};
use lockproof_model::schedule::{Schedule, Step};
use lockproof_model::system::{Process, Repeat, System, Thread};
use lockproof_model::trace::Event;
use lockproof_model::value::Datum;

/// The lock file of all layers.
pub(crate) const LAYERS_LOCK: &str = "root/vfs-layers/layers.lock";

/// Processes are the worker program of this crate.
pub(crate) fn harness() -> Harness {
    Harness::new(env!("CARGO_BIN_EXE_lockproof-worker"))
}

/// What bounds an execution of a hunt.
pub(crate) const LIMITS: Limits = Limits { steps: 10_000, time: Duration::from_secs(60) };

/// A hunt of every order, in one lane, of `program`, which is called `release`.
pub(crate) fn hunting(program: &Path, release: &str) -> HuntOptions {
    // Executions are what bounds it: a busy machine is slow.
    let time = Duration::from_secs(600);
    HuntOptions {
        programs: vec![program.into()],
        drivers: Vec::new(),
        releases: vec![release.into()],
        baseline: Baseline::default(),
        search: Search::Exhaustive,
        faults: Vec::new(),
        seed: 1,
        lanes: 1,
        ahead: false,
        executions: 1000,
        time,
        limits: LIMITS,
        simplify: time,
    }
}

/// Commands that are run one after the other first, and commands that are run at once.
pub(crate) fn commands_at_once(start: &[&str], commands: &[&str]) -> Workload {
    let words = |commands: &[&str]| commands.iter().map(|command| Workload::words(command)).collect();
    Workload { start: words(start), commands: words(commands), ..Workload::default() }
}

pub(crate) fn exists(id: &str) -> Call {
    Call::Exists { id: id.into() }
}

pub(crate) fn names(id: &str) -> Call {
    Call::Names { id: id.into() }
}

pub(crate) fn put(id: &str, parent: Option<&str>) -> Call {
    Call::PutLayer { id: id.into(), parent: parent.map(Into::into), names: Vec::new(), diff: false }
}

pub(crate) fn delete(id: &str) -> Call {
    Call::DeleteLayer { id: id.into() }
}

pub(crate) fn set_names(id: &str, names: &[&str]) -> Call {
    Call::SetNames { id: id.into(), names: names.iter().map(|name| (*name).to_owned()).collect() }
}

/// A process of `protocol` with one thread for each script.
pub(crate) fn process(name: &str, protocol: &str, scripts: Vec<Vec<Call>>) -> Process {
    let threads = scripts.into_iter().map(|script| Thread { script, repeat: Repeat::Times(1) }).collect();
    Process {
        name: name.into(),
        protocol: protocol::by_name(protocol).expect("a protocol of the model"),
        before: Vec::new(),
        threads,
        runs: Repeat::Times(1),
        may_crash: false,
    }
}

/// A store with these layers, each on top of the one before, and these processes.
pub(crate) fn system(layers: &[&str], processes: Vec<Process>) -> System {
    let mut documents = Vec::new();
    let mut parent = String::new();
    let mut records = Vec::new();
    for id in layers {
        records.push(Layer { id: (*id).into(), names: Vec::new(), parent, incomplete: false });
        parent = (*id).into();
    }
    if !records.is_empty() {
        documents.push((op::Path::new("root/vfs-layers/layers.json"), records.to_value()));
    }
    System { documents, stamped: Vec::new(), aliases: Vec::new(), processes, crashes: 0, fine_times: false }
}

/// A thread's next step.
pub(crate) fn run(process: u8, thread: u8) -> Step {
    Step::Run { process, thread, branch: 0 }
}

/// The model on its way, writing down the schedule.
pub(crate) struct Driver<'s> {
    pub(crate) machine: Machine<'s>,
    pub(crate) steps: Vec<Step>,
}

impl<'s> Driver<'s> {
    pub(crate) fn new(system: &'s System) -> Self {
        Self { machine: Machine::new(system).expect("a model"), steps: Vec::new() }
    }

    /// Takes a step that must be possible.
    pub(crate) fn step(&mut self, step: Step) -> Event {
        let event = self.machine.step(step).unwrap_or_else(|error| panic!("{step:?} after {:?}: {error}", self.steps));
        self.steps.push(step);
        event
    }

    /// Lets a thread run up to and with the first event for which `stop` holds.
    pub(crate) fn until(&mut self, process: u8, thread: u8, stop: impl Fn(&Event) -> bool) -> Event {
        for _ in 0..10_000 {
            let event = self.step(run(process, thread));
            if stop(&event) {
                return event;
            }
        }
        panic!("thread {thread} of process {process} never gets there");
    }

    /// Lets a thread run until it has returned from `calls` calls.
    pub(crate) fn calls(&mut self, process: u8, thread: u8, calls: usize) {
        for _ in 0..calls {
            self.until(process, thread, |event| event.ends.is_some());
        }
    }

    pub(crate) fn schedule(&self) -> Schedule {
        Schedule { steps: self.steps.clone(), cycle: Vec::new() }
    }
}

/// Says loudly that something is not there, and so what is not checked; fails if it must be.
pub(crate) fn missing(what: &str, unchecked: &str) {
    let banner = format!("{what}: NOTHING is checked against {unchecked}");
    assert!(std::env::var("LOCKPROOF_REQUIRE_REAL").as_deref() != Ok("1"), "{banner}");
    eprintln!("\n{}\n{banner}\n{}\n", "!".repeat(80), "!".repeat(80));
}

/// The driver of the library, built once; `None` if there is nothing to build it with and that is allowed.
pub(crate) fn driver() -> Option<&'static Path> {
    static PROGRAM: LazyLock<Option<PathBuf>> = LazyLock::new(|| built("go-driver", false));
    PROGRAM.as_deref()
}

/// The same with Go's race detector.
pub(crate) fn driver_with_race_detector() -> Option<&'static Path> {
    static PROGRAM: LazyLock<Option<PathBuf>> = LazyLock::new(|| built("go-driver-race", true));
    PROGRAM.as_deref()
}

fn built(name: &str, race: bool) -> Option<PathBuf> {
    match build(&Source::Installed, race, &Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)) {
        Ok(program) => Some(program),
        Err(error @ BuildError::Missing { .. }) => {
            missing(&error.to_string(), "the real library");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The unmodified `containers-storage`; `None` if there is none and that is allowed.
pub(crate) fn command() -> Option<PathBuf> {
    let named = std::env::var_os("LOCKPROOF_CONTAINERS_STORAGE").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = || std::env::split_paths(&path).map(|dir| dir.join("containers-storage")).find(|file| file.is_file());
    let found = named.or_else(on_path);
    if found.is_none() {
        let what = "containers-storage is not installed (apt-get install containers-storage, or set \
                    LOCKPROOF_CONTAINERS_STORAGE)";
        missing(what, "the real program");
    }
    found
}
