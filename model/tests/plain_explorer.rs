//! The explorer agrees with a plain one: on the exact number of states and moves with every reduction off, on verdicts in
//! every mode, on the length of the shortest counterexample; and every counterexample, run again, shows what it says.

mod common;

use lockproof_model::explore::{Options, check};
use lockproof_model::plain;
use lockproof_model::property::Property;
use lockproof_model::protocol;
use lockproof_model::system::System;
use lockproof_model::verdict::{Finding, Verdict};
use lockproof_model::witness;

use common::{random, small};

/// More states than that are too many for a test.
const STATES_MAX: usize = 60_000;

/// Systems smaller than that are explored again with the properties alone that every reduction keeps.
const COUNTED_TWICE_MAX: usize = 5_000;

/// How many random systems are compared, and how large one may be.
const RANDOM_SYSTEMS: usize = 300;
const RANDOM_STATES_MAX: usize = 3_000;

fn options(mode: u8) -> Options {
    Options {
        merge: mode & 1 != 0,
        symmetry: mode & 2 != 0,
        partial_order: mode & 4 != 0,
        fingerprint: mode & 8 != 0,
        visit_all: true,
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

/// Returns the plain explorer's states and moves with every property watched, and the states that are left of them with
/// merging.
fn agree(name: &str, system: &System, states_max: usize, faults: &mut Vec<String>) -> Option<[usize; 3]> {
    let mut plain = match plain::explore(system, &Property::ALL, states_max) {
        Err(error) if error.is_limit() => return None,
        plain => plain.unwrap()?,
    };
    let mut extent = [plain.states, plain.transitions, 0];
    for properties in [Property::ALL.to_vec(), safety()] {
        let all = properties.len() == Property::ALL.len();
        // What is watched is part of the state. Of a large system the states are counted once.
        let counted = all || extent[0] < COUNTED_TWICE_MAX;
        if !all && counted {
            plain = plain::explore(system, &properties, states_max).unwrap()?;
        }
        for mode in 0..if all { 2 } else { 16 } {
            let report = check(system, &properties, &options(mode), &|| false).unwrap();
            let at = format!("{name}, mode {mode:04b}, {}", if all { "all properties" } else { "safety" });
            if mode & 7 == 0 && counted {
                let found = (report.extent.states as usize, report.extent.transitions as usize);
                let plain = (plain.states, plain.transitions);
                faults.extend((found != plain).then(|| format!("{at}: {found:?} states and moves, plainly {plain:?}")));
            }
            // A merged move takes its fresh stamp before the cells that it overwrites let one go. So a state may come twice,
            // with other numbers of stamps: of one system there may be more with merging, of all there are far fewer.
            if all && mode == 1 {
                extent[2] = report.extent.states as usize;
            }
            let too_many = mode & 1 == 0 && report.extent.states as usize > plain.states;
            faults.extend(too_many.then(|| format!("{at}: more states than there are")));
            for finding in &report.findings {
                let property = finding.property;
                if is_shown(finding) != plain.shown.contains(&property) {
                    faults.push(format!("{at}: {property} is {:?}: {}", finding.verdict, finding.detail));
                }
                if let Err(fault) = witness::validate(system, &properties, finding, STATES_MAX) {
                    faults.push(format!("{at}: {property}: {fault}"));
                }
                if mode & 7 == 0
                    && let Some(depth) = plain.shortest.get(&property)
                {
                    let trace = finding.trace.as_ref().map(|trace| trace.events.len());
                    let longer = trace != Some(*depth);
                    faults.extend(
                        longer.then(|| format!("{at}: {property}: a run of {trace:?}, the shortest is {depth}")),
                    );
                }
            }
        }
    }
    Some(extent)
}

/// Returns the sums of states, moves, and states with merging.
fn agree_on_all(systems: Vec<(&'static str, System)>) -> [usize; 3] {
    let (mut faults, mut sums) = (Vec::new(), [0; 3]);
    for (name, system) in systems {
        let extent = agree(name, &system, STATES_MAX, &mut faults).unwrap_or_else(|| panic!("{name}: too many states"));
        println!("{extent:6?} {name}");
        sums = [0, 1, 2].map(|at| sums[at] + extent[at]);
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    sums
}

#[test]
fn on_tiny_systems() {
    assert_eq!(agree_on_all(small::tiny_systems()), [3_538, 6_909, 2_533]);
}

#[test]
fn on_small_stores() {
    assert_eq!(agree_on_all(small::minis()), [6_162, 13_510, 1_067]);
    agree_on_all(small::mixed());
}

#[test]
fn on_every_protocol() {
    // Each of the others is one of these but for a function that asks for no operation that these do not.
    for name in ["v1_24", "pr_473", "one_way_upgrade", "per_layer_locks", "v1_43", "v1_57"] {
        let entry = protocol::by_name(name).expect("a protocol");
        println!("{}", entry.name);
        let mut systems = small::of_protocol(entry);
        if entry.name == "per_layer_locks" {
            // Calls that are those of v1_24, and many states.
            systems.retain(|(name, _)| *name != "reader and writer" && *name != "two readers");
        }
        agree_on_all(systems);
    }
}

#[test]
fn on_random_systems() {
    let mut rng = random::rng(random::seed());
    let (mut faults, mut compared, mut states, mut merged) = (Vec::new(), 0, 0, 0);
    for _ in 0..RANDOM_SYSTEMS {
        let (name, system) = random::system(&mut rng);
        if let Some(extent) = agree(&name, &system, RANDOM_STATES_MAX, &mut faults) {
            compared += 1;
            (states, merged) = (states + extent[0], merged + extent[2]);
        }
    }
    println!("{compared} systems of {RANDOM_SYSTEMS} with {states} states in all, {merged} with merging");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(merged < states, "merging leaves nothing out");
    assert!(compared > RANDOM_SYSTEMS / 2, "most systems were too large to be compared");
}
