//! loom and shuttle say of small systems what the explorer says.

mod common;

use common::small::tinies;
use common::{delete, layer, lockfile_system, names, once, process, put, random, small, system, tiny};
use lockproof_model::call::{Call, LockMethod};
use lockproof_model::engine::loom::LoomOptions;
use lockproof_model::engine::shuttle::{ShuttleOptions, Strategy};
use lockproof_model::engine::{self, Error, Report};
use lockproof_model::explore;
use lockproof_model::op::Path;
use lockproof_model::property::Property;
use lockproof_model::protocol::Layer;
use lockproof_model::system::System;
use lockproof_model::verdict::{Finding, Verdict};
use lockproof_model::witness::validate;

fn judged() -> Vec<Property> {
    Property::ALL.into_iter().filter(|property| engine::judges(*property)).collect()
}

/// Says where an engine and the explorer disagree.
fn disagreements(
    name: &str,
    engine: &str,
    system: &System,
    found: &Result<Report, Error>,
    explored: &[Finding],
) -> Vec<String> {
    let report = match found {
        Ok(report) => report,
        Err(Error::Unsupported { .. }) => return Vec::new(),
        Err(error) => return vec![format!("{name}, {engine}: {error}")],
    };
    let mut faults = Vec::new();
    for (finding, explorer) in report.findings.iter().zip(explored) {
        let disagree = match finding.verdict {
            Verdict::Bounded(_) | Verdict::Sampled(_) | Verdict::Cut(_) => false,
            _ => finding.verdict != explorer.verdict,
        };
        let detail = &finding.detail;
        if disagree {
            faults.push(format!(
                "{name}, {engine}: {} is {:?}: {detail}; explorer: {:?} {}",
                finding.property, finding.verdict, explorer.verdict, explorer.detail
            ));
        }
        if let Err(fault) = validate(system, &judged(), finding, 10_000) {
            faults.push(format!("{name}, {engine}: {}: {fault}", finding.property));
        }
    }
    faults
}

/// What loom and shuttle's DFS make of a system, within a number of executions.
fn both(system: &System, executions_max: u64) -> [Result<Report, Error>; 2] {
    let loom =
        LoomOptions { max_permutations: Some(executions_max), rounds: 1, max_branches: 3_000, ..Default::default() };
    let strategy = Strategy::Dfs;
    let dfs = ShuttleOptions { strategy, schedules: executions_max, rounds: 1, max_steps: 300, ..Default::default() };
    [engine::loom::check(system, &judged(), &loom), engine::shuttle::check(system, &judged(), &dfs)]
}

/// Compares both with the explorer, and returns of each how many executions it took if it saw everything.
fn compare(name: &str, system: &System, executions_max: u64, faults: &mut Vec<String>) -> [Option<u64>; 2] {
    let options = explore::Options { states_max: 5_000, ..explore::Options::default() };
    let explored = match explore::check(system, &judged(), &options, &|| false) {
        Err(error) if error.is_limit() => return [None, None],
        explored => explored.unwrap().findings,
    };
    if explored.iter().any(|finding| !finding.verdict.is_decided()) {
        return [None, None];
    }
    let reports = both(system, executions_max);
    for (engine, report) in ["loom", "shuttle"].into_iter().zip(&reports) {
        faults.extend(disagreements(name, engine, system, report, &explored));
    }
    reports.map(|report| {
        let report = report.ok()?;
        let decided = report.findings.iter().all(|finding| finding.verdict.is_decided());
        decided.then_some(report.extent.executions)
    })
}

/// Both say that `property` is violated, and why, after so many executions.
fn say_the_same(name: &str, system: &System, property: Property, text: &str, executions: [u64; 2]) {
    let mut faults = Vec::new();
    assert_eq!(compare(name, system, 1_000, &mut faults), executions.map(Some));
    assert_eq!(faults, Vec::<String>::new());
    for report in both(system, 1_000) {
        let report = report.unwrap();
        let finding = report.findings.iter().find(|finding| finding.property == property).unwrap();
        assert_eq!((&finding.verdict, finding.detail.as_str()), (&Verdict::Violated, text));
    }
}

/// How many systems each engine saw all of, and how many executions it took for these.
fn sums(seen: &[[Option<u64>; 2]]) -> [(usize, u64); 2] {
    [0, 1].map(|engine| {
        let seen = seen.iter().filter_map(|executions| executions[engine]);
        (seen.clone().count(), seen.sum())
    })
}

#[test]
fn on_tiny_systems() {
    let (mut faults, mut seen) = (Vec::new(), Vec::new());
    for (name, system) in small::tiny_systems().into_iter().chain(small::minis()) {
        let executions = compare(name, &system, 1_000, &mut faults);
        println!("{executions:?} {name}");
        seen.push(executions);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(sums(&seen), [(23, 3_071), (35, 4_556)], "of {} systems", seen.len());
}

/// Choices, kills, restarts, times, goroutines: whatever the phrases of the random programs come to.
#[test]
fn on_random_systems() {
    let mut rng = random::rng(random::seed());
    let (mut faults, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..150 {
        let (name, system) = random::system(&mut rng);
        seen.push(compare(&name, &system, 200, &mut faults));
    }
    let [loom, shuttle] = sums(&seen);
    println!("loom saw all of {loom:?}, shuttle of {shuttle:?} systems and executions");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(loom.0 > 8 && shuttle.0 > 20, "most systems were too large to be compared");
}

/// A thread that panics ends the others, and need not come first.
#[test]
fn a_panic_may_come_last() {
    let call = |method| Call::Lockfile { method, file: "a".into(), ro: false };
    let threads = vec![once(&[call(LockMethod::Touch)]), once(&[call(LockMethod::Lock)])];
    let mut process = process("v1_24", threads);
    process.before.clear();
    let system = system(&[], vec![process]);
    let mut faults = Vec::new();
    compare("touch and lock", &system, 1_000, &mut faults);
    assert_eq!(faults, Vec::<String>::new());
    for report in both(&system, 1_000) {
        let report = report.unwrap();
        let exclusive = report.findings.iter().find(|finding| finding.property == Property::Exclusive).unwrap();
        assert_eq!(exclusive.verdict, Verdict::Violated, "by a stamp that the thread without the lock writes");
    }
}

/// The first operation of a thread may be a panic, and the other thread may be done by then.
#[test]
fn a_panic_may_be_all_that_a_thread_does() {
    let panics = Call::Lockfile { method: LockMethod::Lock, file: "b".into(), ro: true };
    let twice = common::on_lockfile(LockMethod::Rlock, "a");
    let mut process = process("v1_24", vec![once(&[panics]), once(&[twice.clone(), twice])]);
    process.before.clear();
    let system = system(&[], vec![process]);
    let text = "a.lock is taken by a thread that holds it already";
    say_the_same("a panic beside a lock twice", &system, Property::Ordered, text, [37, 12]);
}

/// One inode under two names has one stamp at the start, and what is written there next is another one: v1_45 has a stamp
/// of each name to compare with, and finds the repair of an incomplete layer by that alone.
#[test]
fn a_stamp_is_fresh_where_two_lock_files_are_one() {
    let base = Layer { incomplete: true, ..layer("base", &[], "") };
    let mut reader = process("v1_45", vec![once(&[Call::Open, names("base")])]);
    reader.before.clear();
    let mut system = system(&[base], vec![reader]);
    system.stamped.push(Path::new("run/vfs-layers/mountpoints.lock"));
    system.aliases.push((system.stamped[0].clone(), system.stamped[1].clone()));
    say_the_same("one inode", &system, Property::NoError, "`names base` returns ErrLayerUnknown", [2, 2]);
}

/// What a call notes before its first operation belongs to that: a run that ends between the two does not show it.
#[test]
fn what_is_noted_first_comes_with_the_first_step() {
    let twice = [(LockMethod::Rlock, "a"), (LockMethod::Rlock, "a")];
    let system = lockfile_system("v1_24", &[&[&twice]]);
    let text = "a.lock is taken by a thread that holds it already";
    say_the_same("a lock twice", &system, Property::Ordered, text, [1, 1]);
}

/// So does what is noted before a panic that is all there is.
#[test]
fn what_is_noted_before_a_panic_comes_with_it() {
    let system = tinies(tiny::tiny(), &["took:a panic:oh"]);
    let text = "a thread holds a.lock, but the kernel does not know of it";
    say_the_same("a lock that is not there", &system, Property::MutualExclusion, text, [1, 1]);
}

/// A deletion may begin before what it deletes is acknowledged, and then take it: nothing is lost by that.
#[test]
fn a_deletion_beside_what_it_deletes_loses_nothing() {
    let one = |call| process("v1_24", vec![once(&[call])]);
    let system = system(&[], vec![one(put("new", None, false)), one(delete("new"))]);
    let explored = explore::check(&system, &[Property::CrashSafe], &explore::Options::default(), &|| false).unwrap();
    assert_eq!((&explored.findings[0].verdict, explored.extent.states), (&Verdict::Proved, 3_871));
    let loom = LoomOptions { preemption_bound: Some(2), ..LoomOptions::default() };
    let report = engine::loom::check(&system, &[Property::CrashSafe], &loom).unwrap();
    let bounded = Verdict::Bounded("at most 2 preemptions".into());
    assert_eq!((&report.findings[0].verdict, report.extent.executions), (&bounded, 334));
}
