//! Processes run freely, stop in time, and lose nothing that the protocol keeps.

mod common;

use std::time::Duration;

use common::{LAYERS_LOCK, exists, harness, process, put, set_names, system};
use lockproof_harness::documents;
use lockproof_harness::stress::{ProcessReport, StressOptions};
use lockproof_model::call::Call;
use lockproof_model::monitor;
use lockproof_model::op::{Mode, Path};
use lockproof_model::system::Repeat;

fn print(report: &ProcessReport) {
    println!("{}: {} runs, {} calls, {:.0} calls/s", report.name, report.runs, report.calls, report.calls_per_second);
    for wait in &report.waits {
        println!(
            "  {} {:?}: {} grants, p50 {:?}, p99 {:?}, max {:?}, overtaken p99 {}, max {}, in all {}, EDEADLK {}",
            wait.file,
            wait.mode,
            wait.grants(),
            wait.wait_at(0.5),
            wait.wait_at(0.99),
            wait.wait_max(),
            wait.overtakes.value_at_quantile(0.99),
            wait.overtakes.max(),
            wait.passed(),
            wait.deadlocks
        );
    }
    println!("  failures {:?}, still waiting {:?}", report.failures, report.still_waiting);
}

#[test]
fn writers_of_several_processes_and_threads_lose_nothing() {
    let writer = |name: &str, threads: usize| {
        let script = |thread: usize| (0..20).map(|number| put(&format!("{name}{thread}-{number}"), None)).collect();
        process(name, "v1_24", (0..threads).map(script).collect())
    };
    let system = system(&[], vec![writer("p", 2), writer("q", 1), writer("r", 1)]);
    let report = harness().stress(&system, &StressOptions::lasting(Duration::from_secs(120))).unwrap();
    report.processes.iter().for_each(print);
    let calls: Vec<u64> = report.processes.iter().map(|process| process.calls).collect();
    assert_eq!(calls, [40, 20, 20]);
    for process in &report.processes {
        assert!(process.failures.is_empty() && process.unfinished == 0 && process.panics.is_empty(), "{process:?}");
    }
    let mut ids = documents::layer_ids(&report.documents[&Path::new(monitor::LAYERS)]);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 80);
}

/// D6. How long the writer waits is measured, not asserted.
#[test]
fn a_writer_among_readers_is_overtaken() {
    let mut processes = Vec::new();
    for name in ["reader 1", "reader 2", "reader 3"] {
        let mut reader = process(name, "v1_24", vec![vec![exists("a")], vec![exists("a")]]);
        reader.threads.iter_mut().for_each(|thread| thread.repeat = Repeat::Forever);
        processes.push(reader);
    }
    let mut writer = process("writer", "v1_24", vec![vec![set_names("a", &["n"])]]);
    writer.threads[0].repeat = Repeat::Forever;
    processes.push(writer);
    let system = system(&["a"], processes);
    let report = harness().stress(&system, &StressOptions::lasting(Duration::from_millis(1500))).unwrap();
    report.processes.iter().for_each(print);
    let writer = &report.processes[3];
    let layers =
        |wait: &&lockproof_harness::stress::WaitReport| wait.file.0 == LAYERS_LOCK && wait.mode == Mode::Exclusive;
    let finished = writer.waits.iter().find(layers).map_or(0, |wait| wait.overtakes.max());
    let waiting = writer.still_waiting.iter().map(|request| request.overtakes).max().unwrap_or(0);
    assert!(finished + waiting > 0, "three readers never passed the writer");
}

#[test]
fn processes_that_end_and_start_again_are_counted() {
    let mut reader = process("reader", "one_way_upgrade", vec![vec![exists("a")]]);
    reader.runs = Repeat::Times(5);
    let report =
        harness().stress(&system(&["a"], vec![reader]), &StressOptions::lasting(Duration::from_secs(60))).unwrap();
    assert_eq!((report.processes[0].runs, report.processes[0].calls), (5, 5));
}

/// Threads that wait without end do not keep the stress from stopping.
#[test]
fn threads_that_wait_for_ever_end_with_their_process() {
    // A diff that is never closed: its own process waits in its `RWMutex`, the other one in the kernel.
    let mut reader = process("reader", "v1_24", vec![vec![put("never", None)]]);
    reader.before = vec![Call::Diff { id: "a".into() }];
    let mut writer = process("writer", "v1_24", vec![vec![exists("a"), set_names("a", &["n"])]]);
    writer.threads[0].repeat = Repeat::Forever;
    let mut options = StressOptions::lasting(Duration::from_secs(2));
    options.grace = Duration::from_millis(300);
    let report = harness().stress(&system(&["a"], vec![reader, writer]), &options).unwrap();
    report.processes.iter().for_each(print);
    assert_eq!((report.processes[0].calls, report.processes[0].unfinished), (1, 1));
    // Both end at the same time: the reader may be gone before the writer looks whether it still waits. It waits for
    // nothing else.
    let waiting = report.processes.iter().flat_map(|process| &process.still_waiting);
    assert!(waiting.clone().count() <= 1 && waiting.clone().all(|request| request.file.0 == LAYERS_LOCK));
}
