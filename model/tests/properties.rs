//! For each property a protocol that breaks it and one that keeps it: the verdict, the exact number of states, and the
//! words and the schedule of what shows it.

mod common;

use lockproof_model::call::Call;
use lockproof_model::explore::{Options, check};
use lockproof_model::mutation::Mutation;
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::system::System;
use lockproof_model::verdict::Verdict;
use lockproof_model::witness;

use common::small::{speaks, tinies};
use common::{exists, forever, layer, names, once, process, protocol, put, set_names, system, tiny};

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
    let report = check(system, &[property], &Options { visit_all: true, ..Options::default() }, &|| false).unwrap();
    let finding = &report.findings[0];
    if let Err(fault) = witness::validate(system, &[property], finding, 100_000) {
        panic!("{property}: {fault}");
    }
    let schedule = finding.trace.as_ref().map(|trace| trace.schedule().to_string()).unwrap_or_default();
    let found = format!("{} | {} | {} | {schedule}", finding.verdict.name(), report.extent.states, finding.detail);
    found.trim_end_matches([' ', '|']).into()
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

/// A writer, and two readers that read for ever.
fn endless_readers(entry: Entry) -> System {
    let mut processes = vec![speaks(entry, vec![once(&[set_names("base", &["bar"])])])];
    processes.extend((0..2).map(|_| speaks(entry, vec![forever(&[names("base")])])));
    system(&[layer("base", &["foo"], "")], processes)
}

#[test]
fn fresh() {
    let two = |entry| of(entry, &[&[names("base"), names("base")], &[set_names("base", &["bar"])]]);
    agree(
        Property::Fresh,
        &[
            (
                "pr_473",
                three_calls(protocol("pr_473")),
                "violated | 44 | `names base` returns [foo], but all the while the answer was [bar] | lk1:A258-c1147223",
            ),
            ("v1_24", three_calls(protocol("v1_24")), "proved | 52"),
            ("one_way_upgrade", three_calls(protocol("one_way_upgrade")), "proved | 47"),
            (
                "without stamp",
                two(tiny::mini_without_stamp()),
                "violated | 52 | `names base` returns [foo], but all the while the answer was [bar] | lk1:A9.B15.A5-0c079590",
            ),
            ("mini", two(tiny::mini()), "proved | 61"),
        ],
    );
}

#[test]
fn no_lost_update() {
    let two = |entry| of(entry, &[&[set_names("base", &["bar"])], &[set_names("base", &["moo"])]]);
    agree(
        Property::NoLostUpdate,
        &[
            (
                "without reload",
                two(tiny::mini_without_reload()),
                "violated | 24 | layers.json held [base=foo, child] when a writer replaced it that knew only [] | lk1:A8-801d1186",
            ),
            ("mini", two(tiny::mini()), "proved | 33"),
            (
                "read and write apart",
                tiny(&["S:a rd:a U:a X:a wr:a U:a", "X:a rd:a wr:a U:a"]),
                "violated | 37 | a.json held 1 when a writer replaced it that knew only 0 | lk1:A4.B.A.B7.A5-8683737c",
            ),
            ("v1_24", two(protocol("v1_24")), "proved | 1058"),
            ("pr_473", two(protocol("pr_473")), "proved | 1345"),
        ],
    );
}

#[test]
fn mutual_exclusion() {
    agree(
        Property::MutualExclusion,
        &[
            ("v1_24 loads at first under no lock", of(protocol("v1_24"), &[&[names("base")]]), "proved | 21"),
            (
                "two processes",
                of(protocol("v1_24"), &[&[set_names("base", &["a"])], &[set_names("base", &["b"])]]),
                "proved | 1058",
            ),
            ("closed by a probe", tiny(&["X:a P:a wr:a U:a"]), "proved | 5"),
            (
                "a lock that is not taken",
                of(unlocked(), &[&[set_names("base", &["a"])]]),
                "violated | 25 | a thread holds layers.lock, but the kernel does not know of it | lk1:A63-f70a9811",
            ),
            (
                "a lock that is shared",
                of(weakened(), &[&[set_names("base", &["a"])]]),
                "violated | 26 | a thread holds layers.lock, but the kernel does not know of it | lk1:A64-696e0db2",
            ),
        ],
    );
}

/// `v1_24`, of which `set-names` does not take the lock of the layers.
fn unlocked() -> Entry {
    mutant("set-names:drop-lock:root/vfs-layers/layers.lock:1")
}

/// `v1_24`, of which `set-names` takes that lock shared.
fn weakened() -> Entry {
    mutant("set-names:weaken-lock:root/vfs-layers/layers.lock:1")
}

fn mutant(text: &str) -> Entry {
    text.parse::<Mutation>().expect("a mutant").of(protocol("v1_24"))
}

#[test]
fn exclusive() {
    agree(
        Property::Exclusive,
        &[
            (
                "v1_24 loads at first under no lock",
                of(protocol("v1_24"), &[&[names("base")]]),
                "violated | 21 | reads layers.json without a lock on layers.lock: the thread does not hold it | lk1:A32-fd7a5cc2",
            ),
            ("mini", of(tiny::mini(), &[&[names("base")], &[set_names("base", &["bar"])]]), "proved | 27"),
            (
                "closed by a probe",
                tiny(&["X:a P:a wr:a U:a"]),
                "violated | 5 | replaces a.json without the write lock on a.lock: the kernel has dropped it | lk1:A6-67a53c81",
            ),
            (
                "two threads",
                tiny(&["X:a G:c U:a | S:a G:c U:a"]),
                "violated | 22 | two threads of one process hold a.lock, one to write | lk1:A.Ab-14c52c2f",
            ),
            ("two threads under a mutex", tiny(&["M:m X:a G:c U:a m:m | M:m S:a G:c U:a m:m"]), "proved | 14"),
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
            (
                "per_layer_locks (D17)",
                pull_and_delete("per_layer_locks"),
                "violated | 1611 | P1 waits for child.lock for ever in `put-layer child on base`; P2 waits for base.lock for ever in `delete-layer child` | lk1:A73.B130.A-66f04cb3",
            ),
            ("v1_24", pull_and_delete("v1_24"), "proved | 1558"),
            (
                "the other way round",
                tiny(&["X:a X:b U:b U:a", "X:b X:a U:a U:b"]),
                "violated | 31 | P1 waits for b.lock for ever in `X:a X:b U:b U:a`; P2 waits for a.lock for ever in `X:b X:a U:a U:b` | lk1:A.B.A-2696d8ae",
            ),
            ("giving up on EDEADLK", tiny(&["x:a x:b U:b U:a", "x:b x:a U:a U:b"]), "proved | 31"),
            (
                "another goes on for ever",
                tiny(&["X:a X:b U:b U:a", "X:b X:a U:a U:b", "*X:c U:c"]),
                "violated | 62 | P1 waits for b.lock for ever in `X:a X:b U:b U:a`; P2 waits for a.lock for ever in `X:b X:a U:a U:b` | lk1:A.B.A-2696d8ae",
            ),
            (
                "from shared to exclusive",
                tiny(&["S:a X:a U:a", "S:a X:a U:a"]),
                "violated | 19 | P1 waits for a.lock for ever in `S:a X:a U:a`; P2 waits for a.lock for ever in `S:a X:a U:a` | lk1:A.B.A-2696d8ae",
            ),
            (
                "a reader that reads again beside a writer",
                tiny(&["R:m R:m r:m r:m | W:m w:m"]),
                "violated | 15 | P1 thread 1 waits for m.mutex for ever in `R:m R:m r:m r:m`; P1 thread 2 waits for m.mutex for ever \
                 in `W:m w:m` | lk1:A.Ab.A-6bc12a9e",
            ),
            ("readers beside a writer", tiny(&["R:m r:m R:m r:m | W:m w:m"]), "proved | 19"),
            (
                "a thread that locks twice",
                tiny(&["G:c M:m M:m m:m m:m"]),
                "violated | 2 | P1 waits for m.mutex for ever in `G:c M:m M:m m:m m:m` | lk1:A2-60c8f898",
            ),
            ("a thread that locks twice beside one that panics", tiny(&["M:m M:m m:m m:m | panic:oh"]), "proved | 3"),
            (
                "a ring of processes that is none of threads",
                tiny(&["X:a go:S:b+U:b U:a join", "X:b S:a U:a U:b"]),
                "proved | 62",
            ),
        ],
    );
}

#[test]
fn no_starvation_weak() {
    agree(
        Property::NoStarvationWeak,
        &[
            (
                "finite",
                tiny(&["X:a U:a", "X:a U:a", "S:a U:a"]),
                "proved | 47 | a waiter is overtaken at most 1 times (P1 at a.lock)",
            ),
            (
                "an exclusive lock",
                tiny(&["X:a U:a", "*X:a U:a"]),
                "violated | 9 | P1 waits for a.lock for ever under weak fairness, overtaken without bound | lk1:B.A~B2-f82d0609",
            ),
            (
                "one reader for ever",
                tiny(&["X:a U:a", "*S:a U:a"]),
                "violated | 9 | P1 waits for a.lock for ever under weak fairness, overtaken without bound | lk1:B.A~B2-f82d0609",
            ),
            (
                "overlapping readers",
                tiny(&["X:a U:a", "*S:a U:a", "*S:a U:a"]),
                "violated | 21 | P1 waits for a.lock for ever under weak fairness, overtaken without bound | lk1:B.A~B.C.B.C-becf0c6a",
            ),
        ],
    );
}

#[test]
fn no_starvation_strong() {
    agree(
        Property::NoStarvationStrong,
        &[
            (
                "finite",
                tiny(&["X:a U:a", "X:a U:a", "S:a U:a"]),
                "proved | 47 | a waiter is overtaken at most 1 times (P1 at a.lock)",
            ),
            (
                "an exclusive lock",
                tiny(&["X:a U:a", "*X:a U:a"]),
                "proved | 9 | P1 is overtaken at a.lock without bound",
            ),
            (
                "one reader for ever",
                tiny(&["X:a U:a", "*S:a U:a"]),
                "proved | 9 | P1 is overtaken at a.lock without bound",
            ),
            (
                "overlapping readers",
                tiny(&["X:a U:a", "*S:a U:a", "*S:a U:a"]),
                "violated | 21 | P1 waits for a.lock for ever under strong fairness, overtaken without bound | lk1:B.A~C.B2.C-57e1dd8d",
            ),
            (
                "a writer of mini beside two readers",
                endless_readers(tiny::mini()),
                "violated | 346 | P1 waits for layers.lock for ever under strong fairness, overtaken without bound | lk1:B.A.B9.C9~B3.C.B2.C4-44711299",
            ),
        ],
    );
}

#[test]
fn parallel_reads() {
    let two = |name, call: &dyn Fn() -> Call| of(protocol(name), &[&[call()], &[call()]]);
    let (exists, list) = (|| exists("base"), || Call::Layers);
    agree(
        Property::ParallelReads,
        &[
            (
                "v1_24 exists",
                two("v1_24", &exists),
                "proved | 756 | `exists base` begins and returns while another reader is inside | lk1:A77.B124-2e5b15da",
            ),
            (
                "v1_24 layers",
                two("v1_24", &list),
                "violated | 257 | in no run does a read begin and return while another reader is inside",
            ),
            (
                "one_way_upgrade layers",
                two("one_way_upgrade", &list),
                "proved | 164 | `layers` begins and returns while another reader is inside | lk1:A57.B66-e596d8ba",
            ),
        ],
    );
}

#[test]
fn no_data_race() {
    let status = |name| threads(protocol(name), &[&[Call::Status], &[Call::Status]]);
    agree(
        Property::NoDataRace,
        &[
            (
                "pr_473",
                status("pr_473"),
                "violated | 2730 | `status` writes s.graphDriver while `status` reads it, in two threads of one process | lk1:A22.Ab15-0ccbf79c",
            ),
            ("v1_24", status("v1_24"), "proved | 118"),
            (
                "a cell",
                tiny(&["G:c C:c | C:c"]),
                "violated | 6 | `G:c C:c` reads c while `C:c` writes it, in two threads of one process | lk1:-14676d66",
            ),
            ("a cell under a mutex", tiny(&["M:m G:c C:c m:m | M:m C:c m:m"]), "proved | 9"),
            (
                "a goroutine",
                tiny(&["go:C:c C:c join"]),
                "violated | 6 | `go:C:c C:c join` writes c while `C:c` writes it, in two threads of one process | lk1:A-771c3d8b",
            ),
            ("a goroutine that is joined", tiny(&["go:C:c join C:c"]), "proved | 4"),
        ],
    );
}

#[test]
fn no_panic() {
    agree(
        Property::NoPanic,
        &[
            (
                "pr_473 shut down before it opened",
                of(protocol("pr_473"), &[&[Call::ShutdownRo]]),
                "violated | 3 | panic: invalid memory address or nil pointer dereference: s.graphDriver.Cleanup() | lk1:A8-801d1186",
            ),
            ("pr_473 shut down after", of(protocol("pr_473"), &[&[Call::Open, Call::ShutdownRo]]), "proved | 15"),
            ("v1_24 does not know it", of(protocol("v1_24"), &[&[Call::ShutdownRo]]), "proved | 2"),
            (
                "unlock of what is free",
                tiny(&["choose:2 m:m"]),
                "violated | 4 | panic: sync: unlock of unlocked mutex m.mutex | lk1:A2-60c8f898",
            ),
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
            (
                "mini shows a half-made layer",
                beside(tiny::mini(), Call::Layers),
                "violated | 66 | `layers` sees a layer that a killed process left half-made | lk1:A14.kA.B9-d71f7dcd",
            ),
            (
                "v1_24 exists",
                beside(protocol("v1_24"), exists("new")),
                "violated | 3019 | `exists new` sees a layer that a killed process left half-made | lk1:A151.kA.B124-1797b560",
            ),
            ("v1_24 layers", beside(protocol("v1_24"), Call::Layers), "proved | 2400"),
            (
                "without reload",
                of(tiny::mini_without_reload(), &[&[set_names("base", &["bar"])]]),
                "violated | 5 | base, child was acknowledged and is gone | lk1:A8-801d1186",
            ),
            ("a lock is dropped by a death", holds, "proved | 23"),
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
            (
                "per_layer_locks (D17)",
                pull_and_delete("per_layer_locks"),
                "violated | 1550 | base.lock is taken while child.lock is held, and elsewhere the other way round (base.lock, then child.lock) | lk1:B130-89664c20",
            ),
            ("v1_24", pull_and_delete("v1_24"), "proved | 1504"),
            (
                "one process, one after the other",
                tiny(&["X:a X:b U:b U:a X:b X:a U:a U:b"]),
                "violated | 9 | a.lock is taken while b.lock is held, and elsewhere the other way round (a.lock, then b.lock) | lk1:A5-feac6d3b",
            ),
            ("in one order", tiny(&["X:a X:b U:b U:a", "X:a X:b U:a U:b"]), "proved | 27"),
        ],
    );
}

/// What a process keeps counts as memory, not only the numbers of its states: two threads of a store have thousands, of 2 KiB
/// each.
#[test]
fn what_processes_keep_counts_as_memory() {
    let mut reader = process("v1_24", vec![once(&[names("base")]), once(&[names("base")])]);
    reader.before = vec![Call::Open];
    let system = system(&[layer("base", &["foo"], "")], vec![reader]);
    let options = Options { memory_max: 16 << 20, ..Options::default() };
    let report = check(&system, &[Property::NoPanic], &options, &|| false).unwrap();
    assert_eq!(report.findings[0].verdict, Verdict::Cut("the memory was up after 8749 states".into()));
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
    assert_eq!(endless.extent.states, 119);
}
