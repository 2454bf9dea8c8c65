//! SPIN as an outside oracle: it gives the same verdicts as the explorer for what `lockproof export` writes, and with
//! every reduction off the same number of states.
//!
//! Needs `spin` and `gcc`. Without them these tests say so and pass; with `LOCKPROOF_REQUIRE_SPIN=1`, as in CI, they fail.
//! Here are the small scenarios; `scripts/compare-spin.sh` runs the ignored test, which is all of them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use lockproof_model::explore::{self, Options};
use lockproof_model::export::{ExportError, macro_of, promela};
use lockproof_model::property::Property;
use lockproof_model::protocol;
use lockproof_model::system::System;
use lockproof_model::verdict::Verdict;
use lockproof_scenarios::{Scenario, built_in};

/// The longest that a verifier may take, in seconds, and the most memory, in megabytes.
const SECONDS_MAX: &str = "600";
const MEMLIM: &str = "-DMEMLIM=6000";

/// What `pan` said.
#[derive(Debug)]
struct Found {
    states: u64,
    seconds: f64,
    violated: bool,
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).current_dir(directory).output();
    output.unwrap_or_else(|error| panic!("{program} {arguments:?}: {error}"))
}

/// Whether SPIN is there. Says it loudly if it is not.
fn is_there() -> bool {
    let there = |program: &str| Command::new(program).arg("-V").output().is_ok();
    if there("spin") && there("gcc") {
        return true;
    }
    let required = std::env::var_os("LOCKPROOF_REQUIRE_SPIN").is_some_and(|value| value == "1");
    assert!(!required, "LOCKPROOF_REQUIRE_SPIN=1, and there is no spin or no gcc: apt-get install spin gcc");
    eprintln!("NOT TESTED: there is no spin or no gcc (apt-get install spin gcc)");
    false
}

/// Lets SPIN judge `text` with these names defined; `claim` is an LTL formula of it, under weak fairness.
fn spin(text: &str, names: &[&str], optimise: &str, claim: Option<&str>) -> Found {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    fs::write(at.join("m.pml"), text).expect("a file");
    let defines: Vec<String> = names.iter().map(|name| format!("-D{name}")).collect();
    let mut arguments: Vec<&str> = vec!["-a"];
    arguments.extend(defines.iter().map(String::as_str));
    arguments.push("m.pml");
    let made = run(at, "spin", &arguments);
    let said = String::from_utf8_lossy(&made.stdout);
    assert!(
        made.status.success() && at.join("pan.c").exists() && !said.contains("Error"),
        "spin {arguments:?}: {said}"
    );
    let mut compile = vec![optimise, "-w", MEMLIM, "-DCOLLAPSE", "-o", "pan", "pan.c"];
    if claim.is_none() {
        compile.push("-DSAFETY");
    }
    let made = run(at, "gcc", &compile);
    assert!(made.status.success(), "gcc: {}", String::from_utf8_lossy(&made.stderr));
    let mut arguments = vec![SECONDS_MAX, "./pan", "-E", "-m20000000"];
    if let Some(claim) = claim {
        arguments.extend(["-a", "-f", "-N", claim]);
    }
    let ran = run(at, "timeout", &arguments);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let number = |before: &str| {
        let at = said.find(before).unwrap_or_else(|| panic!("no {before:?} in what pan said: {said}"));
        said[..at].split_whitespace().next_back().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
    };
    let errors = said.split("errors: ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("none");
    let violated = errors != "0";
    assert!(!said.contains("unlearned"), "the explorer missed what SPIN came to: {said}");
    assert!(violated || !said.contains("Search not completed"), "pan did not finish: {said}");
    assert!(!said.contains("max search depth too small"), "{said}");
    let seconds = said.split("elapsed time ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Found { states: number(" states, stored"), seconds: seconds.unwrap_or(0.0), violated }
}

fn scenario(name: &str) -> &'static Scenario {
    let all = built_in().expect("the built-in scenarios");
    all.iter().find(|scenario| scenario.name == name).expect("a built-in scenario")
}

fn system(scenario_name: &str, protocol_name: &str) -> System {
    scenario(scenario_name).system(protocol::by_name(protocol_name).expect("a protocol"))
}

fn is_violated(system: &System, property: Property) -> bool {
    let report = explore::check(system, &[property], &Options::default(), &|| false).expect("no mistake of ours");
    match report.findings[0].verdict {
        Verdict::Violated => true,
        Verdict::Proved => false,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn spin_counts_the_same_states() {
    if !is_there() {
        return;
    }
    for (name, protocol) in [
        ("stale-ro-cache-after-rw-write", "pr_473"),
        ("graphlock-scope-race", "v1_24"),
        ("nested-rlock-pending-writer", "v1_24"),
        ("abba-layer-locks", "per_layer_locks"),
    ] {
        let system = system(name, protocol);
        let options =
            Options { symmetry: false, partial_order: false, merge: false, visit_all: true, ..Options::default() };
        let report = explore::check(&system, &[Property::NoPanic], &options, &|| false).expect("no mistake of ours");
        let text = promela(&system, name).expect("it can be exported");
        // SPIN has two states more: before and after `init` sets the store up.
        let found = spin(&text, &[], "-O0", None);
        assert_eq!((found.states, found.violated), (report.extent.states + 2, false), "{name}");
    }
}

#[test]
fn spin_gives_the_same_verdicts() {
    if !is_there() {
        return;
    }
    let wrong = [
        ("stale-ro-cache-after-rw-write", "pr_473", Property::Fresh, true),
        ("stale-ro-cache-after-rw-write", "one_way_upgrade", Property::Fresh, false),
        ("graphlock-scope-race", "pr_473", Property::NoDataRace, true),
        ("graphlock-scope-race", "v1_24", Property::NoDataRace, false),
        ("nested-rlock-pending-writer", "v1_24", Property::NoDeadlock, true),
        ("nested-rlock-pending-writer", "per_layer_locks", Property::NoDeadlock, false),
        ("abba-layer-locks", "per_layer_locks", Property::NoDeadlock, true),
    ];
    for (name, protocol, property, violated) in wrong {
        let system = system(name, protocol);
        let text = promela(&system, name).expect("it can be exported");
        let name_of = macro_of(&system, property).expect("SPIN can judge it");
        let found = spin(&text, &["MERGE", name_of], "-O0", None);
        let at = format!("{name} under {protocol}: {property}");
        assert_eq!((found.violated, is_violated(&system, property)), (violated, violated), "{at}");
    }
}

/// All that can be exported, side by side.
#[test]
#[ignore = "takes long; scripts/compare-spin.sh runs it"]
fn spin_and_the_explorer_side_by_side() {
    assert!(is_there(), "there is no spin or no gcc: apt-get install spin gcc");
    let only = std::env::var("LOCKPROOF_SPIN_ONLY").unwrap_or_default();
    let (mut differ, mut total) = (String::new(), [0.0, 0.0]);
    let mut counts = [0u64, 0];
    println!(
        "{:32} {:16} {:45} {:8} | {:>9} {:>7} | {:>9} {:>7} | {:>6}",
        "scenario", "protocol", "properties", "verdict", "explorer", "s", "SPIN", "s", "ratio"
    );
    for scenario in built_in().expect("the built-in scenarios").iter().filter(|scenario| scenario.name.contains(&only))
    {
        for entry in protocol::all().into_iter().filter(|entry| scenario.is_for(entry.name)) {
            let system = scenario.system(entry);
            let text = match promela(&system, &scenario.name) {
                Ok(text) => text,
                Err(ExportError::Features(features)) => {
                    println!("{:32} {:16} not exported: {}", scenario.name, entry.name, features.join("; "));
                    continue;
                }
                Err(error) => panic!("{}: {error}", scenario.name),
            };
            let can =
                |property: &Property| macro_of(&system, *property).is_ok() && *property != Property::NoStarvationWeak;
            let (wrong, right): (Vec<Property>, Vec<Property>) =
                scenario.properties.iter().copied().filter(can).partition(|property| is_violated(&system, *property));
            // What holds is shown by one search, each violation by one of its own.
            let groups = [right].into_iter().chain(wrong.iter().map(|property| vec![*property]));
            for group in groups.filter(|group| !group.is_empty()) {
                let violated = wrong.contains(&group[0]);
                let start = Instant::now();
                let (mut states, properties) = (0, &group);
                let apart = |property: &Property| property.is_liveness() || *property == Property::CrashSafe;
                let (all, reduced): (Vec<Property>, Vec<Property>) = properties.iter().copied().partition(apart);
                for part in [reduced, all].into_iter().filter(|part| !part.is_empty()) {
                    let report = explore::check(&system, &part, &Options::default(), &|| false);
                    states += report.expect("no mistake of ours").extent.states;
                }
                let ours = start.elapsed().as_secs_f64();
                let mut names: Vec<&str> =
                    group.iter().filter_map(|property| macro_of(&system, *property).ok()).collect();
                names.push("MERGE");
                let found = spin(&text, &names, "-O0", None);
                let title: Vec<&str> = group.iter().map(|property| property.name()).collect();
                println!(
                    "{:32} {:16} {:45} {:8} | {states:9} {ours:7.3} | {:9} {:7.3} | {:6.1}",
                    scenario.name,
                    entry.name,
                    title.join(" "),
                    if violated { "violated" } else { "proved" },
                    found.states,
                    found.seconds,
                    found.seconds / ours
                );
                if found.violated != violated {
                    let _ = writeln!(differ, "{} under {}: {}", scenario.name, entry.name, title.join(" "));
                }
                total = [total[0] + ours, total[1] + found.seconds];
                counts = [counts[0] + states, counts[1] + found.states];
            }
        }
    }
    println!(
        "in all: explorer {} states, {:.1} s; SPIN {} states, {:.1} s; ratio {:.1}",
        counts[0],
        total[0],
        counts[1],
        total[1],
        total[1] / total[0]
    );
    assert!(differ.is_empty(), "verdicts differ:\n{differ}");
}
