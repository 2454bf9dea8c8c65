//! SPIN as an outside oracle: it gives the same verdicts as the explorer for what `lockproof export` writes, and with
//! every reduction off the same number of states.
//!
//! Needs `spin`, `gcc`, which is SPIN's preprocessor, and `tcc`: a verifier is 2 to 8 MB of C, which gcc compiles for 4 to 27
//! seconds and tcc for 0.2 to 0.5, and what tcc makes of it is a fifth slower. Without them these tests say so and pass; with
//! `LOCKPROOF_REQUIRE_SPIN=1`, as in CI, they fail.
//! Here are the small scenarios; `scripts/compare-spin.sh` runs the ignored test, which is all of them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::Instant;

use lockproof_model::explore::{self, Options};
use lockproof_model::export::{ExportError, macro_of, promela};
use lockproof_model::property::Property;
use lockproof_model::protocol;
use lockproof_model::system::System;
use lockproof_model::verdict::Verdict;
use lockproof_scenarios::{Scenario, built_in};

/// The longest that a verifier may take, and its making, in seconds: `LOCKPROOF_SPIN_SECONDS`, or 30.
static SECONDS_MAX: LazyLock<String> =
    LazyLock::new(|| std::env::var("LOCKPROOF_SPIN_SECONDS").unwrap_or_else(|_| "30".into()));
/// The most memory that it may take, in megabytes.
const MEMORY_MAX: &str = "-DMEMLIM=6000";

const MISSING: &str = "there is no spin, no gcc or no tcc: apt-get install spin gcc tcc";

/// What `pan` found, or the explorer.
#[derive(Clone, Copy, Debug)]
struct Found {
    states: u64,
    seconds: f64,
    /// `None` if a limit stopped it.
    violated: Option<bool>,
    /// Whether it came to what the explorer never saw.
    unlearned: bool,
}

/// Before anything was searched.
const NOTHING: Found = Found { states: 0, seconds: 0.0, violated: Some(false), unlearned: false };

impl Found {
    /// What two searches found together.
    fn and(self, other: Found) -> Found {
        Found {
            states: self.states + other.states,
            seconds: self.seconds + other.seconds,
            violated: if other.violated == Some(true) { other.violated } else { self.violated.and(other.violated) },
            unlearned: self.unlearned || other.unlearned,
        }
    }
}

/// Why there is no answer of SPIN.
#[derive(Debug)]
enum NoAnswer {
    /// A limit, ours or its own, stopped it.
    Cut(String),
    /// It refuses what was exported.
    Refused(String),
}

fn run(directory: &Path, program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).current_dir(directory).output();
    output.unwrap_or_else(|error| panic!("{program} {arguments:?}: {error}"))
}

/// Whether SPIN is there. Says it loudly if it is not.
fn is_there() -> bool {
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if ["spin", "gcc", "tcc"].into_iter().all(there) {
        return true;
    }
    let required = std::env::var_os("LOCKPROOF_REQUIRE_SPIN").is_some_and(|value| value == "1");
    assert!(!required, "LOCKPROOF_REQUIRE_SPIN=1, and {MISSING}");
    eprintln!("NOT TESTED: {MISSING}");
    false
}

/// Lets SPIN judge `system`, exported as `text`, with these names defined; or why it cannot.
fn spin(system: &System, text: &str, names: &[&str]) -> Result<Found, NoAnswer> {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path();
    fs::write(at.join("m.pml"), text).expect("a file");
    let names: Vec<String> = names.iter().map(|name| format!("-D{name}")).collect();
    // Its own optimisations take most of its time, and gain nothing: all that they could merge is in a `d_step`.
    let options = ["-a", "-o1", "-o2", "-o3"].into_iter();
    let arguments: Vec<&str> = options.chain(names.iter().map(String::as_str)).chain(["m.pml"]).collect();
    let made = run(at, "timeout", &[&[SECONDS_MAX.as_str(), "spin"], &arguments[..]].concat());
    let said = String::from_utf8_lossy(&made.stdout);
    if made.status.code() == Some(124) {
        return Err(NoAnswer::Cut(format!("spin -a takes longer than {} s", *SECONDS_MAX)));
    }
    // `MAXDSTEP` of SPIN's dstep.c: it keeps where each of them ends.
    if said.contains("d_step sequence too long") {
        return Err(NoAnswer::Cut("spin -a: more than 2048 d_steps".into()));
    }
    if !made.status.success() || !at.join("pan.c").exists() || said.contains("Error") {
        return Err(NoAnswer::Refused(format!("spin {arguments:?}: {said}")));
    }
    let fair = names.iter().any(|name| name == "-DNO_STARVATION_WEAK");
    // Without -DSAFETY it can look for fair cycles; it does not where there are rendezvous and partial orders.
    let mut arguments = vec!["-w", MEMORY_MAX, "-DCOLLAPSE", "-o", "pan", "pan.c"];
    arguments.push(if fair { "-DNOREDUCE" } else { "-DSAFETY" });
    let made = run(at, "tcc", &arguments);
    if !made.status.success() {
        return Err(NoAnswer::Refused(format!("tcc: {}", String::from_utf8_lossy(&made.stderr))));
    }
    if !fair {
        return Ok(pan(at, &[]));
    }
    let threads: usize = system.processes.iter().map(|process| process.threads.len()).sum();
    let mut all = NOTHING;
    // One thread that starves is enough, whatever could not be said of others.
    for thread in 0..threads {
        all = all.and(pan(at, &["-a", "-f", "-N", &format!("waits_{thread}")]));
        if all.violated == Some(true) {
            break;
        }
    }
    Ok(all)
}

fn exported(system: &System) -> String {
    promela(system, "a test").expect("it can be exported")
}

fn pan(at: &Path, arguments: &[&str]) -> Found {
    let said_within = |depth: &str| {
        let all: Vec<&str> =
            [SECONDS_MAX.as_str(), "./pan", "-E", "-n", depth].iter().chain(arguments).copied().collect();
        let said = String::from_utf8_lossy(&run(at, "timeout", &all).stdout).into_owned();
        (!said.contains("max search depth too small")).then_some(said)
    };
    // To make room for twenty million steps takes a second.
    let said = ["-m500000", "-m20000000"].into_iter().find_map(said_within).expect("no run is that long");
    let word_after = |text: &str| said.split(text).nth(1).and_then(|rest| rest.split_whitespace().next());
    let errors = word_after("errors: ").and_then(|word| word.parse::<u64>().ok());
    let complete = !said.contains("Search not completed");
    let states =
        said.split(" states, stored").next().and_then(|before| before.split_whitespace().next_back()?.parse().ok());
    Found {
        states: states.unwrap_or(0),
        seconds: word_after("elapsed time ").and_then(|word| word.parse().ok()).unwrap_or(0.0),
        violated: match errors {
            Some(0) if complete => Some(false),
            Some(0) | None => None,
            Some(_) => Some(true),
        },
        unlearned: said.contains("unlearned"),
    }
}

fn system(scenario: &str, protocol: &str) -> System {
    let all = built_in().expect("the built-in scenarios");
    let scenario = all.iter().find(|other| other.name == scenario).expect("a built-in scenario");
    scenario.system(protocol::by_name(protocol).expect("a protocol"))
}

/// What the explorer says of a property.
fn explored(system: &System, property: Property) -> Found {
    let start = Instant::now();
    let report = explore::check(system, &[property], &Options::default(), &|| false).expect("no mistake of ours");
    let violated = match report.findings[0].verdict {
        Verdict::Violated => true,
        Verdict::Proved => false,
        ref other => panic!("{other:?}"),
    };
    let seconds = start.elapsed().as_secs_f64();
    Found { states: report.extent.states, seconds, violated: Some(violated), unlearned: false }
}

/// Checks every row, two at once.
fn two_at_once<T: Sync>(rows: &[T], check: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    check(row);
                }
            });
        }
    });
}

#[test]
fn spin_counts_the_same_states() {
    if !is_there() {
        return;
    }
    let compared = [
        ("stale-ro-cache-after-rw-write", "pr_473"),
        ("stale-ro-cache-after-rw-write", "v1_57"),
        ("graphlock-scope-race", "v1_24"),
        ("nested-rlock-pending-writer", "v1_24"),
        ("abba-layer-locks", "per_layer_locks"),
    ];
    two_at_once(&compared, |&(name, protocol)| {
        let system = system(name, protocol);
        let options =
            Options { symmetry: false, partial_order: false, merge: false, visit_all: true, ..Options::default() };
        let report = explore::check(&system, &[Property::NoPanic], &options, &|| false).expect("no mistake of ours");
        let found = spin(&system, &exported(&system), &[]).expect("a verifier");
        // SPIN has two states more: before and after `init` sets the store up.
        assert_eq!((found.states, found.violated), (report.extent.states + 2, Some(false)), "{name} under {protocol}");
        assert!(!found.unlearned, "{name} under {protocol}");
    });
}

#[test]
fn spin_gives_the_same_verdicts() {
    if !is_there() {
        return;
    }
    let expected = [
        ("stale-ro-cache-after-rw-write", "pr_473", Property::Fresh, true),
        ("stale-ro-cache-after-rw-write", "one_way_upgrade", Property::Fresh, false),
        ("graphlock-scope-race", "pr_473", Property::NoDataRace, true),
        ("graphlock-scope-race", "v1_24", Property::NoDataRace, false),
        ("graphlock-scope-race", "v1_24", Property::NoStarvationWeak, false),
        ("nested-rlock-pending-writer", "v1_24", Property::NoDeadlock, true),
        ("nested-rlock-pending-writer", "per_layer_locks", Property::NoDeadlock, false),
        ("abba-layer-locks", "per_layer_locks", Property::NoDeadlock, true),
        ("readers-exclude-writer", "v1_24", Property::NoStarvationWeak, true),
        // Whoever was making a layer when it all begins is dead.
        ("incomplete-layer-at-the-start", "v1_24", Property::CrashSafe, true),
        ("incomplete-layer-at-the-start", "v1_43", Property::CrashSafe, false),
        // A document that is not there has no time.
        ("two-pulls-of-one-layer", "v1_43", Property::NoLostUpdate, false),
        // Three times are held, and two of them would be one rank for the explorer.
        ("sibling-consumes-the-change", "v1_43", Property::Fresh, false),
    ];
    two_at_once(&expected, |&(name, protocol, property, violated)| {
        let system = system(name, protocol);
        let found = spin(&system, &exported(&system), &names(&system, &[property])).expect("a verifier");
        let at = format!("{name} under {protocol}: {property}");
        assert!(!found.unlearned, "{at}: SPIN came to what the explorer did not");
        assert_eq!([found.violated, explored(&system, property).violated], [Some(violated); 2], "{at}");
    });
}

/// The names under which these properties are judged. With `MERGE` a thread that waits for its turn can go on again and
/// again, not for ever, so that weak fairness would not help it.
fn names(system: &System, properties: &[Property]) -> Vec<&'static str> {
    let mut names: Vec<&str> = properties.iter().filter_map(|property| macro_of(system, *property).ok()).collect();
    names.extend((!properties.contains(&Property::NoStarvationWeak)).then_some("MERGE"));
    names
}

/// All that can be exported, side by side.
#[test]
#[ignore = "takes long; scripts/compare-spin.sh runs it"]
fn spin_and_the_explorer_side_by_side() {
    assert!(is_there(), "{MISSING}");
    let given = |name: &str| std::env::var(name).unwrap_or_default();
    let (only, protocols) = (given("LOCKPROOF_SPIN_ONLY"), given("LOCKPROOF_SPIN_PROTOCOLS"));
    let wanted = |name: &str| protocols.is_empty() || protocols.split_whitespace().any(|protocol| protocol == name);
    println!(
        "{:36} {:16} {:40} {:8} | {:>9} {:>7} | {:>9} {:>7} | {:>6}",
        "scenario", "protocol", "properties", "verdict", "explorer", "s", "SPIN", "s", "ratio"
    );
    let scenarios = built_in().expect("the built-in scenarios");
    let mut pairs = Vec::new();
    for scenario in scenarios.iter().filter(|scenario| scenario.name.contains(&only)) {
        let is_for = |entry: &protocol::Entry| scenario.is_for(entry.name) && wanted(entry.name);
        pairs.extend(protocol::all().into_iter().filter(is_for).map(|entry| (scenario, entry)));
    }
    let table = Mutex::new(Table::default());
    two_at_once(&pairs, |(scenario, entry)| compare(&table, scenario, *entry));
    table.into_inner().expect("no panic").end();
}

/// What holds is shown by one search, each violation by one of its own.
fn compare(table: &Mutex<Table>, scenario: &Scenario, entry: protocol::Entry) {
    let system = scenario.system(entry);
    let name = format!("{:36} {:16}", scenario.name, entry.name);
    let text = match promela(&system, &scenario.name) {
        Ok(text) => text,
        Err(error @ (ExportError::Features(_) | ExportError::States(_))) => {
            return table.lock().expect("no panic").not_exported(&format!("{name} {error}"));
        }
        Err(error) => return table.lock().expect("no panic").failed(&name, &error.to_string()),
    };
    let can = scenario.properties.iter().copied().filter(|property| macro_of(&system, *property).is_ok());
    if can.clone().next().is_none() {
        let why = scenario.properties.iter().filter_map(|property| macro_of(&system, *property).err());
        return table.lock().expect("no panic").not_exported(&format!("{name} {}", why.collect::<Vec<_>>().join("; ")));
    }
    let judged = can.map(|property| (property, explored(&system, property)));
    let (apart, together): (Vec<_>, Vec<_>) =
        judged.partition(|(property, ours)| *property == Property::NoStarvationWeak || ours.violated == Some(true));
    let groups = [together].into_iter().chain(apart.into_iter().map(|one| vec![one]));
    for group in groups.filter(|group| !group.is_empty()) {
        let (group, ours): (Vec<Property>, Vec<Found>) = group.into_iter().unzip();
        let ours = ours.into_iter().fold(NOTHING, Found::and);
        let found = spin(&system, &text, &names(&system, &group));
        let title: Vec<&str> = group.iter().map(|property| property.name()).collect();
        table.lock().expect("no panic").row(&format!("{name} {:40}", title.join(" ")), ours, found);
    }
}

/// What was compared so far.
#[derive(Default)]
struct Table {
    /// The explorer's states and SPIN's, of rows that both finished.
    states: [u64; 2],
    seconds: [f64; 2],
    rows: usize,
    cut: usize,
    not_exported: usize,
    wrong: Vec<String>,
}

impl Table {
    fn not_exported(&mut self, row: &str) {
        self.not_exported += 1;
        println!("{row}");
    }

    fn failed(&mut self, title: &str, why: &str) {
        println!("{title} FAILED: {why}");
        self.wrong.push(title.to_owned());
    }

    fn row(&mut self, title: &str, ours: Found, found: Result<Found, NoAnswer>) {
        let verdict = if ours.violated == Some(true) { "violated" } else { "proved" };
        let row = format!("{title} {verdict:8} | {:9} {:7.3} |", ours.states, ours.seconds);
        let found = found.and_then(|found| match found.violated {
            None => Err(NoAnswer::Cut("pan was out of time or memory".into())),
            Some(_) => Ok(found),
        });
        let found = match found {
            Err(NoAnswer::Cut(why)) => {
                self.cut += 1;
                return println!("{row} cut: {why}");
            }
            Err(NoAnswer::Refused(why)) => return self.failed(title, &why),
            Ok(found) => found,
        };
        let told = match (found.unlearned, found.violated == ours.violated) {
            (true, _) => " UNLEARNED",
            (false, true) => "",
            (false, false) => " DIFFERS",
        };
        println!("{row} {:9} {:7.3} | {:6.1}{told}", found.states, found.seconds, found.seconds / ours.seconds);
        self.wrong.extend((!told.is_empty()).then(|| title.to_owned()));
        self.rows += 1;
        self.states = [self.states[0] + ours.states, self.states[1] + found.states];
        self.seconds = [self.seconds[0] + ours.seconds, self.seconds[1] + found.seconds];
    }

    fn end(self) {
        let ([ours, theirs], [our_s, their_s]) = (self.states, self.seconds);
        println!(
            "{} rows: explorer {ours} states, {our_s:.1} s; SPIN {theirs} states, {their_s:.1} s; ratio {:.1}; {} cut; {} not exported",
            self.rows,
            their_s / our_s,
            self.cut,
            self.not_exported
        );
        assert!(self.wrong.is_empty(), "verdicts differ, or there is none:\n{}", self.wrong.join("\n"));
        assert!(self.rows + self.not_exported > 0, "nothing was compared");
    }
}
