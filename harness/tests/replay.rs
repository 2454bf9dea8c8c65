//! Schedules are replayed by real processes, and the same violation is seen.

mod common;

use common::{Driver, delete, exists, harness, names, process, put, set_names, system};
use lockproof_harness::replay::{ReplayOptions, ReplayReport};
use lockproof_model::op::{LockResult, Op, Outcome, Path};
use lockproof_model::property::Property;
use lockproof_model::schedule::{Schedule, Step};
use lockproof_model::system::{Repeat, System};
use lockproof_model::trace::Effect;

fn replay(system: &System, schedule: &Schedule) -> ReplayReport {
    let report = harness()
        .replay(system, schedule, &ReplayOptions::default())
        .unwrap_or_else(|error| panic!("{error}; schedule {schedule}"));
    assert_eq!(report.parted, None, "model and reality part; schedule {schedule}");
    report
}

fn assert_shown(report: &ReplayReport, property: Property) {
    let shown = report.shows(property);
    println!("{property}: {}", shown.text());
    assert!(shown.is_seen(), "{property}: {}; schedule {}", shown.text(), report.schedule);
}

/// D14: one process, one thread, three calls.
#[test]
fn a_stale_cache_is_seen_in_what_a_real_call_returns() {
    let calls = vec![names("a"), set_names("a", &["new"]), names("a")];
    for (protocol, violated) in [("pr_473", true), ("one_way_upgrade", false), ("v1_24", false)] {
        let system = system(&["a"], vec![process("P", protocol, vec![calls.clone()])]);
        let mut driver = Driver::new(&system);
        driver.calls(0, 0, 3);
        let report = replay(&system, &driver.schedule());
        assert_eq!(report.steps.len(), driver.steps.len());
        assert_eq!(report.shows(Property::Fresh).is_seen(), violated, "{protocol}");
        println!("{protocol}: {} steps: {}", report.steps.len(), report.shows(Property::Fresh).text());
    }
}

/// D17: a pull takes parent, then child; a delete takes child, then parent.
#[test]
fn a_deadlock_really_blocks_by_the_kernels_account() {
    let system = system(
        &["base", "top"],
        vec![
            process("puller", "per_layer_locks", vec![vec![put("top", Some("base"))]]),
            process("remover", "per_layer_locks", vec![vec![delete("top")]]),
        ],
    );
    let is_lock = |file: &'static str| move |event: &lockproof_model::trace::Event| matches!(&event.op, Some(Op::Lock { file: other, .. }) if *other == Path::new(file));
    let mut driver = Driver::new(&system);
    driver.until(0, 0, is_lock("root/vfs-layers/base.lock"));
    driver.until(1, 0, is_lock("root/vfs-layers/top.lock"));
    let waits = driver.until(0, 0, is_lock("root/vfs-layers/top.lock"));
    assert_eq!(waits.effect, Effect::Waits);
    let refused = driver.until(1, 0, is_lock("root/vfs-layers/base.lock"));
    assert_eq!(refused.effect, Effect::Done(Outcome::Locked(LockResult::Deadlock)));
    let report = replay(&system, &driver.schedule());
    let kernel = report.kernel.as_ref().expect("threads wait for lock files");
    for line in &kernel.lines {
        println!("{}", line.line);
    }
    assert_eq!(kernel.blocked().count(), 1, "{kernel:?}");
    assert!(kernel.deadlocks() > 5, "{kernel:?}");
    assert_shown(&report, Property::NoDeadlock);
    assert_shown(&report, Property::Ordered);
}

#[test]
fn a_killed_process_leaves_its_file_and_no_lock() {
    let mut writer = process("writer", "v1_24", vec![vec![put("x", None)]]);
    writer.may_crash = true;
    let mut system = system(&["a"], vec![writer, process("reader", "v1_24", vec![vec![exists("x")]])]);
    system.crashes = 1;
    let mut driver = Driver::new(&system);
    driver.until(0, 0, |event| matches!(event.op, Some(Op::WriteTemp { .. })));
    driver.step(Step::Kill { process: 0 });
    driver.calls(1, 0, 1);
    let report = replay(&system, &driver.schedule());
    assert!(!report.shows(Property::CrashSafe).is_seen());
    assert!(report.unfinished.is_empty());
}

#[test]
fn readers_are_seen_side_by_side_in_proc_locks() {
    let reader = |name| process(name, "v1_24", vec![vec![exists("a"), exists("a")]]);
    let system = system(&["a"], vec![reader("one"), reader("two")]);
    let mut driver = Driver::new(&system);
    driver.calls(0, 0, 1);
    driver.calls(1, 0, 1);
    let layers = |event: &lockproof_model::trace::Event| matches!(&event.op, Some(Op::Lock { file, .. }) if file.file_name() == "layers.lock");
    driver.until(0, 0, layers);
    driver.until(1, 0, layers);
    let report = replay(&system, &driver.schedule());
    assert_shown(&report, Property::ParallelReads);
}

/// A process of which each run is a new one.
#[test]
fn every_run_of_a_process_is_a_new_process_of_the_system() {
    let mut reader = process("reader", "v1_24", vec![vec![exists("a")]]);
    reader.runs = Repeat::Forever;
    let system = system(&["a"], vec![reader]);
    let mut driver = Driver::new(&system);
    driver.calls(0, 0, 3);
    let report = replay(&system, &driver.schedule());
    let pids: std::collections::BTreeSet<u32> = report.calls.iter().map(|call| call.pid).collect();
    assert_eq!((report.calls.len(), pids.len()), (3, 3));
}
