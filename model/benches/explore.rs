//! How fast the explorer is: three processes that read and write one store for ever.
//!
//! The whole space has 7 725 184 states and 20 616 806 transitions without reductions. An iteration stops at a bound, so
//! that a run stays short; `LOCKPROOF_BENCH_WHOLE=1` explores all of it, once, and prints how long that took.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use lockproof_model::call::Call;
use lockproof_model::explore::{Options, Report, check};
use lockproof_model::op::Path;
use lockproof_model::property::Property;
use lockproof_model::protocol::{Layer, by_name};
use lockproof_model::system::{Process, Repeat, System, Thread};
use lockproof_model::value::Datum;

/// How many states one iteration visits.
const STATES: u64 = 1_500_000;

fn readers_and_writer() -> System {
    let protocol = by_name("v1_24").expect("a protocol of this crate");
    let base = Layer { id: "base".into(), names: vec!["foo".into()], parent: String::new(), incomplete: false };
    let read = Call::Exists { id: "base".into() };
    let write = Call::SetNames { id: "base".into(), names: vec!["foo".into()] };
    let process = |(index, call): (usize, Call)| Process {
        name: format!("P{}", index + 1),
        protocol,
        before: vec![Call::Open],
        threads: vec![Thread { script: vec![call], repeat: Repeat::Forever }],
        runs: Repeat::Times(1),
        may_crash: false,
    };
    System {
        documents: vec![(Path::new("root/vfs-layers/layers.json"), vec![base].to_value())],
        stamped: vec![Path::new("root/vfs-layers/layers.lock")],
        aliases: Vec::new(),
        processes: [read.clone(), read, write].into_iter().enumerate().map(process).collect(),
        crashes: 0,
        fine_times: false,
    }
}

fn explore(system: &System, states_max: u64) -> Report {
    let options = Options { states_max, symmetry: false, partial_order: false, ..Options::default() };
    check(system, &[Property::NoPanic], &options, &|| false).expect("the scenario is right")
}

fn print(what: &str, report: &Report, took: Duration) {
    let (states, transitions) = (report.extent.states, report.extent.transitions);
    println!(
        "{what}: {states} states, {transitions} transitions in {:.2} s: {:.2} and {:.2} million a second; {:.1} bytes a state",
        took.as_secs_f64(),
        states as f64 / took.as_secs_f64() / 1e6,
        transitions as f64 / took.as_secs_f64() / 1e6,
        report.bytes as f64 / states as f64,
    );
}

fn bench(criterion: &mut Criterion) {
    let system = readers_and_writer();
    let start = Instant::now();
    let report = explore(&system, STATES);
    print("readers and a writer, one iteration", &report, start.elapsed());
    let mut group = criterion.benchmark_group("readers-and-writer");
    group.sample_size(10).measurement_time(Duration::from_secs(10)).warm_up_time(Duration::from_secs(1));
    for (unit, elements) in [("states", report.extent.states), ("transitions", report.extent.transitions)] {
        group.throughput(Throughput::Elements(elements));
        let id = BenchmarkId::new(unit, elements);
        group.bench_with_input(id, &system, |bencher, system| bencher.iter(|| black_box(explore(system, STATES))));
    }
    group.finish();
}

fn main() {
    if std::env::var_os("LOCKPROOF_BENCH_WHOLE").is_some() {
        let start = Instant::now();
        let report = explore(&readers_and_writer(), u64::MAX);
        print("readers and a writer, the whole space", &report, start.elapsed());
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    bench(&mut criterion);
    criterion.final_summary();
}
