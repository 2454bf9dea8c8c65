//! The same scenario in our explorer and in its peers: Stateright, which keeps every state of [`Machine`] and reduces
//! nothing, and loom, which runs every interleaving of the same futures.
//!
//! Stateright has the same state space as the explorer without reductions, so the numbers of states must be equal; what
//! it takes is for the most part what whole states cost that are cloned and hashed. Loom counts executions, not states.
//! Each ratio is of one run; criterion's figures come after it. SPIN: see `scripts/compare-spin.sh`.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use lockproof_model::call::Call;
use lockproof_model::engine::loom;
use lockproof_model::explore::{self, Options};
use lockproof_model::machine::Machine;
use lockproof_model::op::Path;
use lockproof_model::property::Property;
use lockproof_model::protocol::{Layer, by_name};
use lockproof_model::schedule::Step;
use lockproof_model::state::State;
use lockproof_model::system::{Process, Repeat, System, Thread};
use lockproof_model::value::Datum;
use stateright::{Checker, Model};

/// What is watched, so that all look for the same.
const WATCHED: [Property; 1] = [Property::NoPanic];

fn system(processes: &[&[&[Call]]]) -> &'static System {
    let base = Layer { id: "base".into(), names: vec!["foo".into()], ..Layer::default() };
    let process = |(index, threads): (usize, &&[&[Call]])| Process {
        name: format!("P{}", index + 1),
        protocol: by_name("v1_24").expect("a protocol of this crate"),
        before: vec![Call::Open],
        threads: threads.iter().map(|script| Thread { script: script.to_vec(), repeat: Repeat::Times(1) }).collect(),
        runs: Repeat::Times(1),
        may_crash: false,
    };
    Box::leak(Box::new(System {
        documents: vec![(Path::new("root/vfs-layers/layers.json"), vec![base].to_value())],
        stamped: ["root/vfs-layers/layers.lock", "run/vfs-layers/mountpoints.lock"].map(Path::new).to_vec(),
        aliases: Vec::new(),
        processes: processes.iter().enumerate().map(process).collect(),
        crashes: 0,
        fine_times: false,
    }))
}

/// Two threads of a process ask for the layer store at once (D13), as in `graphlock-scope-race`.
fn two_threads() -> &'static System {
    system(&[&[&[Call::Status], &[Call::Status]]])
}

/// A process reads and another writes, as in `unlocked-initial-load`.
fn two_processes() -> &'static System {
    let put = Call::PutLayer { id: "new".into(), parent: Some("base".into()), names: Vec::new(), diff: false };
    system(&[&[&[Call::Exists { id: "new".into() }]], &[&[put]]])
}

thread_local! {
    /// The machine of Stateright's one thread: what is learned of a protocol stays on its thread.
    static MACHINE: RefCell<Option<Machine<'static>>> = const { RefCell::new(None) };
}

/// A system as Stateright sees it: the machine is put into a state, and takes a step.
struct InStateright(&'static System);

impl InStateright {
    fn machine(&self) -> Machine<'static> {
        Machine::watching(self.0, WATCHED).expect("the scenario is right")
    }

    fn from<T>(&self, state: &State, work: impl FnOnce(&mut Machine<'static>) -> T) -> T {
        MACHINE.with_borrow_mut(|machine| {
            let machine = machine.get_or_insert_with(|| self.machine());
            machine.state = state.clone();
            work(machine)
        })
    }
}

impl Model for InStateright {
    type State = Arc<State>;
    type Action = Step;

    fn init_states(&self) -> Vec<Self::State> {
        vec![Arc::new(self.machine().state)]
    }

    fn actions(&self, state: &Self::State, actions: &mut Vec<Step>) {
        actions.extend(self.from(state, |machine| machine.enabled().expect("the scenario is right")));
    }

    fn next_state(&self, state: &Self::State, step: Step) -> Option<Self::State> {
        self.from(state, |machine| {
            machine.try_step(step).expect("the scenario is right")?;
            Some(Arc::new(machine.state.clone()))
        })
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        // It stops once every property is decided: one that always holds makes it visit all.
        vec![stateright::Property::always("true", |_, _| true)]
    }
}

/// Stateright forks a thread for each search, so what was learned is learned anew each time, as in the explorer.
fn in_stateright(system: &'static System) -> u64 {
    let checker = InStateright(system).checker().threads(1).spawn_bfs().join();
    u64::try_from(checker.unique_state_count()).expect("a count")
}

fn in_explorer(system: &System, reductions: bool) -> u64 {
    let options = Options {
        symmetry: reductions,
        partial_order: reductions,
        merge: reductions,
        visit_all: true,
        ..Options::default()
    };
    explore::check(system, &WATCHED, &options, &|| false).expect("the scenario is right").extent.states
}

/// The most executions of loom: it does not finish in time on anything larger, and then says so.
const EXECUTIONS_MAX: u64 = 20_000;

fn in_loom(system: &System) -> (u64, &'static str) {
    let options = loom::LoomOptions { max_permutations: Some(EXECUTIONS_MAX), ..loom::LoomOptions::default() };
    let report = loom::check(system, &WATCHED, &options).expect("loom can run it");
    (report.extent.executions, report.findings[0].verdict.name())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}

fn compare(criterion: &mut Criterion, name: &str, system: &'static System) {
    let (plain, ours) = timed(|| in_explorer(system, false));
    let (reduced, reduced_s) = timed(|| in_explorer(system, true));
    let (states, stateright_s) = timed(|| in_stateright(system));
    let ((executions, verdict), loom_s) = timed(|| in_loom(system));
    assert_eq!(states, plain, "Stateright and the explorer without reductions have the same states");
    println!("{name}, one run each; the ratio is to the explorer as it is");
    let row = |what: &str, count: u64, unit: &str, seconds: f64| {
        println!("  {what:26} {count:8} {unit:10} {seconds:9.4} s  ratio {:9.2}", seconds / reduced_s);
    };
    row("explorer", reduced, "states", reduced_s);
    row("explorer, nothing reduced", plain, "states", ours);
    row("Stateright", states, "states", stateright_s);
    row(&format!("loom ({verdict})"), executions, "executions", loom_s);

    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    group.bench_function("explorer", |bencher| bencher.iter(|| black_box(in_explorer(system, true))));
    group.bench_function("explorer, nothing reduced", |bencher| bencher.iter(|| black_box(in_explorer(system, false))));
    group.bench_function("Stateright", |bencher| bencher.iter(|| black_box(in_stateright(system))));
    if loom_s < 2.0 {
        group.bench_function("loom", |bencher| bencher.iter(|| black_box(in_loom(system))));
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    compare(&mut criterion, "two threads", two_threads());
    compare(&mut criterion, "two processes", two_processes());
    criterion.final_summary();
}
