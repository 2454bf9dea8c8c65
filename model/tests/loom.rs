//! loom runs the scenario of discussion D14 on every protocol, and says what the explorer says.

mod common;

use std::time::Instant;

use common::{d14, layer, names, once, process, set_names, system};
use lockproof_model::engine::loom::{LoomOptions, Report, check};
use lockproof_model::explore;
use lockproof_model::property::Property;
use lockproof_model::system::System;
use lockproof_model::verdict::Verdict;

const JUDGED: [Property; 4] = [Property::Fresh, Property::NoLostUpdate, Property::NoPanic, Property::NoDeadlock];

/// What loom and the explorer say; they must agree wherever loom has seen everything.
fn both(system: &System, properties: &[Property], options: &LoomOptions) -> Report {
    let start = Instant::now();
    let report = check(system, properties, options).unwrap();
    let explored = explore::check(system, properties, &explore::Options::default(), &|| false).unwrap();
    for (loom, explorer) in report.findings.iter().zip(&explored.findings) {
        println!(
            "{} {}: {:?} in {} executions, {:?} {}; explorer {:?}",
            system.processes[0].protocol.name,
            loom.property,
            loom.verdict,
            report.extent.executions,
            start.elapsed(),
            loom.detail,
            explorer.verdict,
        );
        match loom.verdict {
            Verdict::Bounded(_) => assert_eq!(explorer.verdict, Verdict::Proved),
            Verdict::Cut(_) => {}
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

#[test]
fn small() {
    for protocol in ["one_way_upgrade", "v1_24", "pr_473"] {
        let options =
            LoomOptions { max_duration: Some(std::time::Duration::from_secs(40)), ..LoomOptions::default() };
        let mut s = system(
            &[layer("base", &["foo"], "")],
            vec![
                process(protocol, vec![once(&[names("base")])]),
                process(protocol, vec![once(&[set_names("base", &["foo", "bar"])])]),
            ],
        );
        for p in &mut s.processes {
            p.before = Vec::new();
        }
        both(&s, &JUDGED, &options);
        let mut s = d14_beside_a_writer(protocol);
        for p in &mut s.processes {
            p.before = Vec::new();
        }
        both(&s, &JUDGED, &options);
    }
}
