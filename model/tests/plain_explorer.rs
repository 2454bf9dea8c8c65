//! The explorer agrees with a plain one: on the exact number of states and moves with every reduction off, on verdicts in
//! every mode, on the length of the shortest counterexample; and every counterexample, run again, shows what it says.

mod common;
mod plain;

use lockproof_model::explore::{Options, check};
use lockproof_model::property::Property;
use lockproof_model::protocol;
use lockproof_model::system::System;
use lockproof_model::verdict::{Finding, Verdict};

use common::{again, small};

/// More states than that are too many for a test.
const STATES_MAX: usize = 60_000;

fn options(mode: u8) -> Options {
    Options {
        merge: mode & 1 != 0,
        symmetry: mode & 2 != 0,
        partial_order: mode & 4 != 0,
        fingerprint: mode & 8 != 0,
        ..Options::default()
    }
}

fn is_shown(finding: &Finding) -> bool {
    match finding.verdict {
        Verdict::Violated => finding.property != Property::ParallelReads,
        Verdict::Proved => finding.property == Property::ParallelReads,
        _ => panic!("{}: {:?}", finding.property, finding.verdict),
    }
}

/// Judged on steps and states alone, so that every reduction is allowed.
fn safety() -> Vec<Property> {
    Property::ALL.into_iter().filter(|property| !property.is_liveness() && *property != Property::CrashSafe).collect()
}

/// Returns the plain explorer's states and moves with every property watched.
fn agree(name: &str, system: &System, faults: &mut Vec<String>) -> (usize, usize) {
    let mut extent = (0, 0);
    for properties in [Property::ALL.to_vec(), safety()] {
        let all = properties.len() == Property::ALL.len();
        let plain =
            plain::explore(system, &properties, STATES_MAX).unwrap_or_else(|| panic!("{name}: too many states"));
        if all {
            extent = (plain.states(), plain.transitions);
        }
        for mode in 0..if all { 2 } else { 16 } {
            let report = check(system, &properties, &options(mode), &|| false).unwrap();
            let at = format!("{name}, mode {mode:04b}, {}", if all { "all properties" } else { "safety" });
            if mode & 7 == 0 {
                let found = (report.extent.states as usize, report.extent.transitions as usize);
                assert_eq!(found, (plain.states(), plain.transitions), "{at}: states and moves");
            }
            assert!(report.extent.states as usize <= plain.states(), "{at}: more states than there are");
            for finding in &report.findings {
                let property = finding.property;
                assert_eq!(is_shown(finding), plain.shown.contains(&property), "{at}: {property}: {}", finding.detail);
                if let Some(fault) = again::fault(system, &properties, finding) {
                    faults.push(format!("{at}: {property}: {fault}"));
                }
                if mode & 7 == 0
                    && let Some(depth) = plain.wrong.get(&property)
                {
                    let trace = finding.trace.as_ref().map(|trace| trace.events.len());
                    assert_eq!(trace, Some(*depth), "{at}: {property}: the shortest run");
                }
            }
        }
    }
    extent
}

fn agree_on_all(systems: Vec<(&'static str, System)>) {
    let mut faults = Vec::new();
    for (name, system) in systems {
        let (states, moves) = agree(name, &system, &mut faults);
        println!("{states:6} {moves:6} {name}");
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn on_tiny_systems() {
    agree_on_all(small::tiny_systems());
}

#[test]
fn on_small_stores() {
    agree_on_all(small::minis());
    agree_on_all(small::mixed());
}

#[test]
fn on_every_protocol() {
    for entry in protocol::all() {
        println!("{}", entry.name);
        agree_on_all(small::of_protocol(entry));
    }
}
