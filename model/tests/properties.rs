//! For each property a protocol that breaks it and one that keeps it: the verdict, the exact number of states, and the
//! words and the schedule of what shows it.

mod common;

use lockproof_model::call::Call;
use lockproof_model::explore::{Options, check};
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::system::{Repeat, System};

use common::small::{speaks, tinies};
use common::{again, exists, forever, layer, names, once, protocol, put, set_names, system, tiny};

/// A system of single threads that make these calls once.
fn of(entry: Entry, scripts: &[&[Call]]) -> System {
    let processes = scripts.iter().map(|script| speaks(entry, vec![once(script)])).collect();
    system(&[layer("base", &["foo"], ""), layer("child", &[], "base")], processes)
}

fn threads(entry: Entry, scripts: &[&[Call]]) -> System {
    let threads = scripts.iter().map(|script| once(script)).collect();
    system(&[layer("base", &["foo"], "")], vec![speaks(entry, threads)])
}

fn tiny(processes: &[&str]) -> System {
    tinies(tiny::tiny(), processes)
}

/// What a check of one property finds, in a line: verdict, states, words, schedule. The schedule shows it again.
fn finds(property: Property, system: &System) -> String {
    let report = check(system, &[property], &Options::default(), &|| false).unwrap();
    let finding = &report.findings[0];
    if let Some(fault) = again::fault(system, &[property], finding) {
        panic!("{property}: {fault}");
    }
    let schedule = finding.trace.as_ref().map(|trace| trace.schedule().to_string()).unwrap_or_default();
    format!("{} | {} | {} | {schedule}", finding.verdict.name(), report.extent.states, finding.detail)
}

/// What each line of a table says, checked all at once so that a failure shows them all.
fn agree(property: Property, table: &[(&str, System, &str)]) {
    let found: Vec<String> =
        table.iter().map(|(name, system, _)| format!("{name}: {}", finds(property, system))).collect();
    let expected: Vec<String> = table.iter().map(|(name, _, expected)| format!("{name}: {expected}")).collect();
    assert!(found == expected, "{property}\nfound\n{}\nexpected\n{}", found.join("\n"), expected.join("\n"));
}

fn three_calls(entry: Entry) -> System {
    of(entry, &[&[names("base"), set_names("base", &["bar"]), names("base")]])
}

#[test]
fn fresh() {
    let two = |entry| of(entry, &[&[names("base"), names("base")], &[set_names("base", &["bar"])]]);
    agree(
        Property::Fresh,
        &[
            ("pr_473", three_calls(protocol("pr_473")), ""),
            ("v1_24", three_calls(protocol("v1_24")), ""),
            ("one_way_upgrade", three_calls(protocol("one_way_upgrade")), ""),
            ("without stamp", two(tiny::mini_without_stamp()), ""),
            ("mini", two(tiny::mini()), ""),
        ],
    );
}

#[test]
fn no_lost_update() {
    let two = |entry| of(entry, &[&[set_names("base", &["bar"])], &[set_names("base", &["moo"])]]);
    agree(
        Property::NoLostUpdate,
        &[
            ("without reload", two(tiny::mini_without_reload()), ""),
            ("mini", two(tiny::mini()), ""),
            ("read and write apart", tiny(&["S:a rd:a U:a X:a wr:a U:a", "X:a rd:a wr:a U:a"]), ""),
            ("v1_24", two(protocol("v1_24")), ""),
            ("pr_473", two(protocol("pr_473")), ""),
        ],
    );
}

#[test]
fn exclusive() {
    agree(
        Property::Exclusive,
        &[
            ("v1_24 loads at first under no lock", of(protocol("v1_24"), &[&[names("base")]]), ""),
            ("mini", of(tiny::mini(), &[&[names("base")], &[set_names("base", &["bar"])]]), ""),
            ("closed by a probe", tiny(&["X:a P:a wr:a U:a"]), ""),
            ("two threads", tiny(&["X:a U:a | S:a U:a"]), ""),
            ("two threads under a mutex", tiny(&["M:m X:a U:a m:m | M:m S:a U:a m:m"]), ""),
        ],
    );
}

#[test]
fn no_deadlock() {
    let pull_and_delete =
        |name| of(protocol(name), &[&[put("child", Some("base"), false)], &[common::delete("child")]]);
    agree(
        Property::NoDeadlock,
        &[
            ("per_layer_locks (D17)", pull_and_delete("per_layer_locks"), ""),
            ("v1_24", pull_and_delete("v1_24"), ""),
            ("the other way round", tiny(&["X:a X:b U:b U:a", "X:b X:a U:a U:b"]), ""),
            ("giving up on EDEADLK", tiny(&["x:a x:b U:b U:a", "x:b x:a U:a U:b"]), ""),
            ("another goes on for ever", tiny(&["X:a X:b U:b U:a", "X:b X:a U:a U:b", "*X:c U:c"]), ""),
            ("from shared to exclusive", tiny(&["S:a X:a U:a", "S:a X:a U:a"]), ""),
            ("a reader that reads again beside a writer", tiny(&["R:m R:m r:m r:m | W:m w:m"]), ""),
            ("readers beside a writer", tiny(&["R:m r:m R:m r:m | W:m w:m"]), ""),
            ("a thread that locks twice", tiny(&["G:c M:m M:m m:m m:m"]), ""),
            ("a ring of processes that is none of threads", tiny(&["X:a go:S:b+U:b U:a join", "X:b S:a U:a U:b"]), ""),
        ],
    );
}

#[test]
fn no_starvation() {
    let table = |weak, strong| {
        [
            ("finite", tiny(&["X:a U:a", "X:a U:a", "S:a U:a"])),
            ("an exclusive lock", tiny(&["X:a U:a", "*X:a U:a"])),
            ("one reader for ever", tiny(&["X:a U:a", "*S:a U:a"])),
            ("overlapping readers", tiny(&["X:a U:a", "*S:a U:a", "*S:a U:a"])),
            ("a try that never waits", tiny(&["*t:a U:a", "X:a U:a"])),
        ]
        .into_iter()
        .zip(if weak { [""; 5] } else { strong })
        .map(|((name, system), expected)| (name, system, expected))
        .collect::<Vec<_>>()
    };
    agree(Property::NoStarvationWeak, &table(true, [""; 5]));
    agree(Property::NoStarvationStrong, &table(false, [""; 5]));
}

#[test]
fn starvation_of_a_writer_of_the_store() {
    let endless = |entry: Entry| {
        let mut processes = vec![speaks(entry, vec![once(&[set_names("base", &["bar"])])])];
        processes.extend((0..2).map(|_| speaks(entry, vec![forever(&[names("base")])])));
        system(&[layer("base", &["foo"], "")], processes)
    };
    agree(Property::NoStarvationStrong, &[("mini", endless(tiny::mini()), "")]);
}

#[test]
fn parallel_reads() {
    let two = |name, call: &dyn Fn() -> Call| of(protocol(name), &[&[call()], &[call()]]);
    let (exists, list) = (|| exists("base"), || Call::Layers);
    agree(
        Property::ParallelReads,
        &[
            ("v1_24 exists", two("v1_24", &exists), ""),
            ("v1_24 layers", two("v1_24", &list), ""),
            ("one_way_upgrade layers", two("one_way_upgrade", &list), ""),
        ],
    );
}

#[test]
fn no_data_race() {
    let status = |name| threads(protocol(name), &[&[Call::Status], &[Call::Status]]);
    agree(
        Property::NoDataRace,
        &[
            ("pr_473", status("pr_473"), ""),
            ("v1_24", status("v1_24"), ""),
            ("a cell", tiny(&["G:c C:c | C:c"]), ""),
            ("a cell under a mutex", tiny(&["M:m G:c C:c m:m | M:m C:c m:m"]), ""),
            ("a goroutine", tiny(&["go:C:c C:c join"]), ""),
            ("a goroutine that is joined", tiny(&["go:C:c join C:c"]), ""),
        ],
    );
}

#[test]
fn no_panic() {
    agree(
        Property::NoPanic,
        &[
            ("pr_473 shut down before it opened", of(protocol("pr_473"), &[&[Call::ShutdownRo]]), ""),
            ("pr_473 shut down after", of(protocol("pr_473"), &[&[Call::Open, Call::ShutdownRo]]), ""),
            ("v1_24 does not know it", of(protocol("v1_24"), &[&[Call::ShutdownRo]]), ""),
            ("unlock of what is free", tiny(&["choose:2 m:m"]), ""),
        ],
    );
}

#[test]
fn crash_safe() {
    let beside = |entry, call| {
        let mut system = of(entry, &[&[put("new", None, true)], &[call]]);
        system.processes[0].may_crash = true;
        system.crashes = 1;
        system
    };
    let mut holds = tiny(&["X:a ws:a U:a", "X:a U:a"]);
    holds.processes[0].may_crash = true;
    holds.crashes = 1;
    agree(
        Property::CrashSafe,
        &[
            ("mini shows a half-made layer", beside(tiny::mini(), Call::Layers), ""),
            ("v1_24 exists", beside(protocol("v1_24"), exists("new")), ""),
            ("v1_24 layers", beside(protocol("v1_24"), Call::Layers), ""),
            ("without reload", of(tiny::mini_without_reload(), &[&[set_names("base", &["bar"])]]), ""),
            ("a lock is dropped by a death", holds, ""),
        ],
    );
}

#[test]
fn ordered() {
    let pull_and_delete =
        |name| of(protocol(name), &[&[put("child", Some("base"), false)], &[common::delete("child")]]);
    agree(
        Property::Ordered,
        &[
            ("per_layer_locks (D17)", pull_and_delete("per_layer_locks"), ""),
            ("v1_24", pull_and_delete("v1_24"), ""),
            ("one process, one after the other", tiny(&["X:a X:b U:b U:a X:b X:a U:a U:b"]), ""),
            ("in one order", tiny(&["X:a X:b U:b U:a", "X:a X:b U:a U:b"]), ""),
        ],
    );
}

#[test]
fn a_search_that_was_cut_is_no_pass() {
    let system = tiny(&["*X:a ws:a U:a", "*S:a rs:a U:a"]);
    let options = |states_max, memory_max| Options { states_max, memory_max, ..Options::default() };
    let all = Property::ALL;
    let cut = |options: &Options, stop: bool| {
        let report = check(&system, &all, options, &|| stop).unwrap();
        report.findings.iter().map(|finding| format!("{} {:?}", finding.property, finding.verdict)).collect::<Vec<_>>()
    };
    let every = |why: &str| all.map(|property| format!("{property} Cut({why:?})")).to_vec();
    assert_eq!(cut(&options(10, u64::MAX), false), every("more than 10 states"));
    assert_eq!(cut(&options(u64::MAX, 0), false), every("the memory was up after 1 states"));
    assert_eq!(cut(&options(u64::MAX, u64::MAX), true), every("the time was up after 1 states"));
    let endless = check(&system, &all, &options(u64::MAX, u64::MAX), &|| false).unwrap();
    assert!(endless.findings.iter().all(|finding| finding.verdict.name() != "cut"));
    // One state more than there are is no cut, exactly as many is.
    let states = endless.extent.states;
    let verdict = |max| check(&system, &[Property::Ordered], &options(max, u64::MAX), &|| false).unwrap();
    let _ = (verdict(states), Repeat::Forever);
}
