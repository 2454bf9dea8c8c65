//! Schedules are replayed by real processes, and the same violation is seen.

mod common;

use common::{Driver, delete, exists, harness, names, process, put, run, set_names, system};
use lockproof_harness::replay::{ReplayOptions, ReplayReport};
use lockproof_model::call::{Call, LockMethod};
use lockproof_model::op::{LockResult, Note, Op, Outcome, Path};
use lockproof_model::property::Property;
use lockproof_model::schedule::{Schedule, Step};
use lockproof_model::system::{Repeat, System};
use lockproof_model::trace::{Effect, Event};

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
    let is_lock = |file: &'static str| move |event: &Event| matches!(&event.op, Some(Op::Lock { file: other, .. }) if *other == Path::new(file));
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
fn a_killed_process_holds_no_lock_and_the_others_go_on() {
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
    let inside = |event: &Event| {
        event.notes.iter().any(|note| matches!(note, Note::Acquired(file, _) if file.file_name() == "layers.lock"))
    };
    driver.until(0, 0, inside);
    driver.calls(1, 0, 1);
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

/// D6: two readers whose diffs overlap hold the lock between them for ever, and the writer waits.
#[test]
fn a_lasso_starves_the_writer_for_as_many_rounds_as_asked() {
    let reader = |name| {
        let mut reader =
            process(name, "v1_24", vec![vec![Call::Diff { id: "a".into() }, Call::CloseDiff { id: "a".into() }]]);
        reader.threads[0].repeat = Repeat::Forever;
        reader
    };
    let writer = process("writer", "v1_24", vec![vec![put("b", None)]]);
    let system = system(&["a"], vec![reader("one"), reader("two"), writer]);
    let mut driver = Driver::new(&system);
    // Each reader goes once through its script, so that its cache and its lock objects are there.
    for reader in [0, 1] {
        driver.calls(reader, 0, 2);
    }
    driver.calls(0, 0, 1);
    let waits = driver.until(2, 0, |event| event.effect == Effect::Waits);
    assert_eq!(waits.op.as_ref().map(|op| format!("{op:?}").contains("layers.lock")), Some(true), "{waits:?}");
    let steps = driver.steps.len();
    for reader in [1, 0, 0, 1] {
        driver.calls(reader, 0, 1);
    }
    let mut schedule = driver.schedule();
    schedule.cycle = schedule.steps.split_off(steps);
    assert_eq!(schedule.to_string().parse(), Ok(schedule.clone()));
    let options = ReplayOptions { rounds: 20, ..ReplayOptions::default() };
    let report = harness().replay(&system, &schedule, &options).unwrap();
    assert_eq!(report.parted, None);
    assert_eq!(report.steps.last().and_then(|taken| taken.round), Some(20));
    assert_shown(&report, Property::NoStarvationWeak);
    assert_shown(&report, Property::NoStarvationStrong);
    assert!(!report.shows(Property::NoDeadlock).is_seen());
    let kernel = report.kernel.as_ref().expect("the writer waits for a lock file");
    assert_eq!((kernel.blocked().count(), kernel.deadlocks()), (1, 0));
}

/// D13: the pull request looks at `s.roLayerStore` under no lock.
#[test]
fn the_two_accesses_of_a_data_race_are_shown() {
    let threads = vec![vec![exists("a")], vec![exists("a")]];
    let system = system(&["a"], vec![process("P", "pr_473", threads)]);
    let mut driver = Driver::new(&system);
    // One thread up to its write of the field, the other up to its read.
    let before_field = |driver: &Driver<'_>, thread: u8, writes: bool| {
        driver.machine.pending().iter().any(|pending| {
            let cell = match &pending.op {
                Some(Op::Get { cell }) if !writes => cell,
                Some(Op::Set { cell, .. }) if writes => cell,
                _ => return false,
            };
            pending.thread == thread && *cell.field == *"s.roLayerStore"
        })
    };
    let locks_released =
        |event: &Event| matches!(&event.op, Some(Op::Close { file }) if file.file_name() == "storage.lock");
    driver.until(0, 0, locks_released);
    while !before_field(&driver, 0, true) {
        driver.step(run(0, 0));
    }
    while !before_field(&driver, 1, false) {
        driver.step(run(0, 1));
    }
    assert!(driver.machine.data_race().is_some());
    assert_shown(&replay(&system, &driver.schedule()), Property::NoDataRace);
}

/// `ShutdownRO` of a process whose driver another process has just forgotten: a nil pointer, and the process ends as a
/// Go program does.
#[test]
fn a_panic_really_ends_the_process() {
    let system = system(&["a"], vec![process("P", "pr_473", vec![vec![Call::ShutdownRo]])]);
    let mut driver = Driver::new(&system);
    let died = driver.until(0, 0, |event| event.effect == Effect::Died || event.ends.is_some());
    assert_eq!(died.effect, Effect::Died);
    let report = replay(&system, &driver.schedule());
    assert_shown(&report, Property::NoPanic);
    assert!(report.unfinished.is_empty());
}

/// A second name of the lock file: probing it drops the lock that the process holds under the first.
#[test]
fn an_alias_of_a_directory_is_the_same_lock() {
    let mut system = system(
        &["a"],
        vec![process("one", "v1_24", vec![vec![exists("a")]]), process("two", "v1_24", vec![vec![put("b", None)]])],
    );
    system.aliases = vec![(Path::new("root/vfs-containers"), Path::new("root/vfs-images"))];
    let mut driver = Driver::new(&system);
    driver.calls(0, 0, 1);
    driver.calls(1, 0, 1);
    replay(&system, &driver.schedule());
}

/// A schedule of another system is refused with the number of the step.
#[test]
fn an_impossible_schedule_is_refused() {
    let system = system(&["a"], vec![process("P", "v1_24", vec![vec![exists("a")]])]);
    let schedule = Schedule { steps: vec![run(0, 0), run(3, 0)], cycle: Vec::new() };
    let refused = harness().replay(&system, &schedule, &ReplayOptions::default()).unwrap_err();
    println!("{refused}");
    assert!(refused.to_string().contains("step 2 of the schedule is not possible"), "{refused}");
}

/// A process whose threads wait for each other, while another process goes on for ever.
#[test]
fn a_deadlock_of_some_is_seen_while_others_go_on() {
    // A writer that waits in the `RWMutex` for an open diff holds off the reader that would close it.
    let mut stuck =
        process("stuck", "v1_24", vec![vec![exists("a"), Call::CloseDiff { id: "a".into() }], vec![put("b", None)]]);
    stuck.before = vec![Call::Diff { id: "a".into() }];
    let mut other = process("other", "v1_24", vec![vec![Call::Status]]);
    other.threads[0].repeat = Repeat::Forever;
    let system = system(&["a"], vec![stuck, other]);
    let mut driver = Driver::new(&system);
    driver.calls(1, 0, 2);
    driver.calls(0, 0, 1);
    driver.until(0, 1, |event| event.effect == Effect::Waits);
    // From here on nothing can help; the explorer's shortest trace ends here, and only what follows shows it.
    let options = ReplayOptions { settle_steps: 3000, ..ReplayOptions::default() };
    let settled = harness().replay(&system, &driver.schedule(), &options).unwrap();
    assert_eq!(settled.parted, None);
    assert_shown(&settled, Property::NoDeadlock);
    driver.until(0, 0, |event| event.effect == Effect::Waits);
    let steps = driver.steps.len();
    driver.calls(1, 0, 1);
    let mut schedule = driver.schedule();
    schedule.cycle = schedule.steps.split_off(steps);
    let report = replay(&system, &schedule);
    assert_shown(&report, Property::NoDeadlock);
    assert!(report.kernel.is_none(), "nobody waits for a lock file");
    assert_eq!((report.unfinished.len(), report.idle.as_slice()), (2, [(1, 0)].as_slice()));
}

/// The schedule ends before the thread asks for the mutex; its own way there is no sign that it goes on.
#[test]
fn who_waits_for_a_go_mutex_is_seen_while_the_process_goes_on() {
    let on_lockfile = |method| Call::Lockfile { method, file: "a".into(), ro: false };
    let threads = vec![vec![on_lockfile(LockMethod::Locked)], vec![on_lockfile(LockMethod::Lock)]];
    let mut daemon = process("daemon", "v1_24", threads);
    daemon.before = vec![on_lockfile(LockMethod::Rlock)];
    daemon.threads[0].repeat = Repeat::Forever;
    let system = system(&[], vec![daemon]);
    let mut driver = Driver::new(&system);
    driver.calls(0, 0, 1);
    let options = ReplayOptions::to_see(Property::NoDeadlock);
    let report = harness().replay(&system, &driver.schedule(), &options).unwrap();
    assert_eq!(report.parted, None);
    let shown = report.shows(Property::NoDeadlock);
    assert!(
        shown.is_seen() && shown.text().contains("the RWMutex root/a.lock:rwMutex (exclusive)"),
        "{}",
        shown.text()
    );
}
