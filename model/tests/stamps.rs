//! A fresh stamp is the smallest number that nothing holds; which number is the smallest must not matter. The numbers are
//! put in random orders (the seed is printed, `LOCKPROOF_SEED` repeats it): verdicts and counts stay the same.

mod common;

use lockproof_model::explore::{Options, Report, check};
use lockproof_model::property::Property;
use lockproof_model::step::ModelError;
use lockproof_model::system::System;
use lockproof_model::value::Stamp;

use common::{protocol, random, set_names, small, tiny};

/// What must not depend on the order: counts, verdicts, and the length of each counterexample; or which limit it comes to.
type Summary = Result<(u64, u64, Vec<String>), ModelError>;

fn summary(report: &Report) -> (u64, u64, Vec<String>) {
    let one = |finding: &lockproof_model::verdict::Finding| {
        let steps = finding.trace.as_ref().map(|trace| (trace.events.len(), trace.cycle.len()));
        format!("{} {:?} {} {steps:?}", finding.property, finding.verdict, finding.detail)
    };
    (report.extent.states, report.extent.transitions, report.findings.iter().map(one).collect())
}

fn with_order(system: &System, properties: &[Property], merge: bool, order: Option<Vec<Stamp>>) -> Summary {
    let options = Options { merge, stamp_order: order, states_max: 200_000, ..Options::default() };
    check(system, properties, &options, &|| false).map(|report| summary(&report))
}

fn stays_the_same(name: &str, system: &System, rng: &mut rand::rngs::StdRng) {
    let safety = [Property::Fresh, Property::NoLostUpdate, Property::Exclusive, Property::ParallelReads];
    for properties in [&Property::ALL[..], &safety] {
        for merge in [true, false] {
            let ascending = with_order(system, properties, merge, None);
            let order = random::stamps(rng);
            let renamed = with_order(system, properties, merge, Some(order.clone()));
            assert_eq!(ascending, renamed, "{name}, merge {merge}, {order:?}");
        }
    }
}

#[test]
fn renaming_stamps_changes_nothing() {
    let mut rng = random::rng(random::seed());
    let writers = |entry, count: usize| {
        let names = ["one", "two", "three"];
        let mut system = small::tinies(tiny::tiny(), &vec![""; count]);
        system.documents.clear();
        for (process, name) in system.processes.iter_mut().zip(names) {
            process.protocol = entry;
            process.threads = vec![common::once(&[set_names("base", &[name])])];
        }
        system
    };
    let mut systems = small::minis();
    systems.extend(
        small::tiny_systems().into_iter().filter(|(name, _)| name.contains("stamps") || name.contains("alike")),
    );
    systems.push(("three writers of mini", writers(tiny::mini(), 3)));
    for name in ["v1_24", "pr_473", "one_way_upgrade", "per_layer_locks"] {
        systems.push((name, writers(protocol(name), 2)));
    }
    for (name, system) in systems {
        stays_the_same(name, &system, &mut rng);
    }
}

#[test]
fn so_it_does_in_random_systems() {
    let mut rng = random::rng(random::seed());
    for _ in 0..60 {
        let (name, mut system) = random::system(&mut rng);
        system.stamped.clear();
        if check(&system, &[Property::NoPanic], &Options { states_max: 2_000, ..Options::default() }, &|| false)
            .is_ok_and(|report| report.findings[0].verdict.name() != "cut")
        {
            stays_the_same(&name, &system, &mut rng);
        }
    }
}
