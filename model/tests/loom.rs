//! loom runs the scenario of discussion D14 on every protocol, and says what the explorer says.

mod common;

use std::time::Duration;

use common::{d14, layer, names, once, process, set_names, system};
use lockproof_model::engine::loom::{LoomOptions, check};
use lockproof_model::engine::{Error, Report};
use lockproof_model::explore;
use lockproof_model::property::Property;
use lockproof_model::system::{Repeat, System};
use lockproof_model::verdict::Verdict;

const JUDGED: [Property; 4] = [Property::Fresh, Property::NoLostUpdate, Property::NoPanic, Property::NoDeadlock];

/// What loom and the explorer say; they must agree wherever loom has seen everything.
fn both(system: &System, properties: &[Property], options: &LoomOptions) -> Report {
    let report = check(system, properties, options).unwrap();
    let explored = explore::check(system, properties, &explore::Options::default(), &|| false).unwrap();
    for (loom, explorer) in report.findings.iter().zip(&explored.findings) {
        match loom.verdict {
            Verdict::Bounded(_) => assert_eq!(explorer.verdict, Verdict::Proved),
            _ => assert_eq!(loom.verdict, explorer.verdict, "{}", loom.detail),
        }
    }
    report
}

fn d14_beside_a_writer(protocol: &str) -> System {
    let mut system = d14(protocol);
    let mut writer = process(protocol, vec![once(&[set_names("base", &["baz"])])]);
    writer.name = "P2".into();
    system.processes.push(writer);
    system
}

#[test]
fn d14_alone() {
    for (protocol, fresh) in [
        ("v1_24", Verdict::Proved),
        ("pr_473", Verdict::Violated),
        ("one_way_upgrade", Verdict::Proved),
        ("per_layer_locks", Verdict::Proved),
    ] {
        let report = both(&d14(protocol), &JUDGED, &LoomOptions::default());
        assert_eq!(report.findings[0].verdict, fresh, "{protocol}");
        assert_eq!(
            report.findings[0].trace.is_some(),
            fresh == Verdict::Violated,
            "{protocol}: the machine repeats it"
        );
        assert_eq!(report.extent.executions, 1, "one thread has one interleaving");
    }
}

#[test]
fn beside_a_writer_within_a_bound() {
    for (protocol, executions) in [("v1_24", 782), ("pr_473", 750), ("one_way_upgrade", 624)] {
        let options = LoomOptions { preemption_bound: Some(2), ..LoomOptions::default() };
        let report = both(&d14_beside_a_writer(protocol), &JUDGED, &options);
        let bounded = Verdict::Bounded("at most 2 preemptions".into());
        let fresh = if protocol == "pr_473" { Verdict::Violated } else { bounded.clone() };
        assert_eq!(report.findings[0].verdict, fresh, "{protocol}");
        assert!(report.findings[1..].iter().all(|finding| finding.verdict == bounded), "{protocol}");
        assert_eq!(report.extent.executions, executions, "{protocol}");
    }
}

/// A reader beside a writer, in two processes that have no store yet.
fn reader_and_writer(protocol: &str) -> System {
    let reader = process(protocol, vec![once(&[names("base")])]);
    let writer = process(protocol, vec![once(&[set_names("base", &["foo", "bar"])])]);
    let mut system = system(&[layer("base", &["foo"], "")], vec![reader, writer]);
    for process in &mut system.processes {
        process.before.clear();
    }
    system
}

#[test]
fn a_reader_and_a_writer() {
    for (protocol, executions) in [("pr_473", 6831), ("one_way_upgrade", 3549)] {
        let report = both(&reader_and_writer(protocol), &JUDGED, &LoomOptions::default());
        assert!(report.findings.iter().all(|finding| finding.verdict == Verdict::Proved), "{protocol}");
        assert_eq!(report.extent.executions, executions, "{protocol}");
    }
    // Of v1_24, 89 193 executions took 25 seconds and were not all of them.
    let options = LoomOptions { preemption_bound: Some(2), ..LoomOptions::default() };
    let report = both(&reader_and_writer("v1_24"), &JUDGED, &options);
    let bounded = Verdict::Bounded("at most 2 preemptions".into());
    assert!(report.findings.iter().all(|finding| finding.verdict == bounded));
}

#[test]
fn two_threads_race() {
    let threads = vec![once(&[names("base")]), once(&[names("base")])];
    let system = system(&[layer("base", &["foo"], "")], vec![process("pr_473", threads)]);
    let report = both(&system, &[Property::NoDataRace], &LoomOptions::default());
    assert_eq!(report.findings[0].verdict, Verdict::Violated);
}

#[test]
fn what_loom_cannot_do_is_refused() {
    let mut system = d14("v1_24");
    let starvation = check(&system, &[Property::NoStarvationWeak], &LoomOptions::default());
    assert_eq!(starvation.unwrap_err(), Error::Property { engine: "loom", property: Property::NoStarvationWeak });
    system.processes = vec![system.processes[0].clone(); 5];
    let crowded = check(&system, &JUDGED, &LoomOptions::default());
    let why = "loom cannot run this scenario: it has 5 threads, and loom has room for 4";
    assert_eq!(crowded.unwrap_err().to_string(), why);
}

#[test]
fn for_ever_is_bounded() {
    let mut system = d14("v1_24");
    system.processes[0].threads[0].repeat = Repeat::Forever;
    let report = both(&system, &JUDGED, &LoomOptions::default());
    assert_eq!(report.findings[0].verdict, Verdict::Bounded("`for ever` taken as 2 times".into()));
}

#[test]
fn a_limit_is_a_cut() {
    let system = reader_and_writer("one_way_upgrade");
    let cut = |options: LoomOptions| check(&system, &JUDGED, &options).unwrap().findings[0].verdict.clone();
    let executions = LoomOptions { max_permutations: Some(10), ..LoomOptions::default() };
    assert_eq!(cut(executions), Verdict::Cut("more than 10 executions".into()));
    let branches = LoomOptions { max_branches: 300, ..LoomOptions::default() };
    assert_eq!(cut(branches), Verdict::Cut("an execution has more than 300 branching points".into()));
    let time = LoomOptions { max_duration: Some(Duration::ZERO), ..LoomOptions::default() };
    assert_eq!(cut(time), Verdict::Cut("the time was up after 0 executions".into()));
}
