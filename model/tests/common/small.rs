//! The small systems on which the explorer is compared with the plain one.

use lockproof_model::op::Path;
use lockproof_model::protocol::{Entry, Layer};
use lockproof_model::system::{Process, Repeat, System, Thread};

use lockproof_model::value::Value;

use super::tiny::{self, program};
use super::{delete, exists, forever, layer, names, once, put, set_names, system};
use lockproof_model::call::Call;

/// A process of `entry` with these threads, which opens nothing first.
pub fn speaks(entry: Entry, threads: Vec<Thread>) -> Process {
    Process {
        name: String::new(),
        protocol: entry,
        before: Vec::new(),
        threads,
        runs: Repeat::Times(1),
        may_crash: false,
    }
}

/// A system of tiny processes: each text is one process, `|` stands between its threads, `*` before a thread that
/// repeats its program for ever.
pub fn tinies(entry: Entry, processes: &[&str]) -> System {
    let thread = |text: &str| match text.trim().strip_prefix('*') {
        Some(endless) => forever(&[program(endless.trim())]),
        None => once(&[program(text.trim())]),
    };
    let processes = processes.iter().map(|text| speaks(entry, text.split('|').map(thread).collect())).collect();
    let documents = ["a", "b"].map(|name| (Path::new(format!("root/{name}.json")), Value::Int(0))).to_vec();
    System { documents, stamped: vec![tiny::lock_path("a")], ..system(&[], processes) }
}

fn base() -> Vec<Layer> {
    vec![layer("base", &["foo"], "")]
}

fn of(entry: Entry, scripts: &[&[Call]]) -> System {
    system(&base(), scripts.iter().map(|script| speaks(entry, vec![once(script)])).collect())
}

/// The systems of one protocol of the crate, with what they are about.
pub fn of_protocol(entry: Entry) -> Vec<(&'static str, System)> {
    let diff = || Call::Diff { id: "base".into() };
    let close = || Call::CloseDiff { id: "base".into() };
    let threads =
        |scripts: &[&[Call]]| system(&base(), vec![speaks(entry, scripts.iter().map(|script| once(script)).collect())]);
    let mut restarted = of(entry, &[&[names("base")]]);
    restarted.processes[0].runs = Repeat::Times(3);
    let mut crash = of(entry, &[&[put("new", None, true)]]);
    crash.processes[0].may_crash = true;
    crash.crashes = 1;
    let mut found = vec![
        ("three calls (D14)", of(entry, &[&[names("base"), set_names("base", &["foo", "bar"]), names("base")]])),
        ("opened", of(entry, &[&[Call::Open, exists("base"), Call::Layers]])),
        ("reader and writer", of(entry, &[&[exists("base")], &[set_names("base", &["bar"])]])),
        ("two readers", of(entry, &[&[exists("base")], &[Call::Status]])),
        ("two threads, status", threads(&[&[Call::Status], &[Call::Status]])),
        ("restarted", restarted),
        ("crash in a put", crash),
        ("diff held", of(entry, &[&[diff(), Call::Status, close()]])),
        ("shutdown", of(entry, &[&[Call::Shutdown], &[Call::Status]])),
        ("delete of the parent", of(entry, &[&[put("child", Some("base"), false), delete("base")]])),
    ];
    let mut aliased = of(entry, &[&[Call::Status], &[Call::Status]]);
    aliased.aliases.push((Path::new("elsewhere"), Path::new("root")));
    found.push(("aliased", aliased));
    found
}

/// Systems of processes that speak different protocols.
pub fn mixed() -> Vec<(&'static str, System)> {
    let process = |name: &str, calls: &[Call]| speaks(super::protocol(name), vec![once(calls)]);
    let reader_and_writer =
        vec![process("pr_473", &[exists("base")]), process("v1_24", &[set_names("base", &["bar"])])];
    let listing = vec![process("pr_473", &[Call::Layers]), process("one_way_upgrade", &[Call::Status])];
    vec![
        ("mixed: pr_473 reads, v1_24 writes", system(&base(), reader_and_writer)),
        ("mixed: pr_473 lists, one_way_upgrade", system(&base(), listing)),
    ]
}

/// Stores in a few lines.
pub fn minis() -> Vec<(&'static str, System)> {
    let on = |entry: Entry, scripts: &[&[Call]]| of(entry, scripts);
    let names = || names("base");
    let write = |name: &str| set_names("base", &[name]);
    let endless = |entry: Entry, readers: usize| {
        let mut processes = vec![speaks(entry, vec![forever(&[write("bar")])])];
        processes.extend((0..readers).map(|_| speaks(entry, vec![forever(&[names()])])));
        system(&base(), processes)
    };
    let crash = |entry: Entry| {
        let mut system = on(entry, &[&[put("new", None, true)], &[Call::Layers]]);
        system.processes[0].may_crash = true;
        system.crashes = 1;
        system
    };
    let mut restarted = on(tiny::mini(), &[&[write("bar")], &[names()]]);
    restarted.processes[1].runs = Repeat::Forever;
    vec![
        ("mini: two writers, one reader", on(tiny::mini(), &[&[write("bar")], &[write("moo")], &[names()]])),
        ("mini: twice each", on(tiny::mini(), &[&[names(), write("bar")], &[write("moo"), names()]])),
        ("mini: for ever, one reader", endless(tiny::mini(), 1)),
        ("mini: restarted reader", restarted),
        ("mini: crash", crash(tiny::mini())),
        ("mini without repair: crash", crash(tiny::mini_without_repair())),
        ("mini without reload", on(tiny::mini_without_reload(), &[&[names(), write("bar")], &[write("moo")]])),
        ("mini without stamp", on(tiny::mini_without_stamp(), &[&[names(), names()], &[write("bar")]])),
        ("mini without lock", on(tiny::mini_without_lock(), &[&[names()], &[write("bar")]])),
        ("mini without lock, three alike", on(tiny::mini_without_lock(), &[&[names()], &[names()], &[write("bar")]])),
    ]
}

/// Systems of a few operations.
pub fn tiny_systems() -> Vec<(&'static str, System)> {
    let tiny = |processes: &[&str]| tinies(tiny::tiny(), processes);
    let timed = |processes: &[&str]| tinies(tiny::timed(), processes);
    let crashing = |processes: &[&str], crashes: u32| {
        let mut system = tiny(processes);
        system.crashes = crashes;
        system.processes.iter_mut().for_each(|process| process.may_crash = true);
        system
    };
    let mut guess = tiny(&["X:b U:b", ""]);
    guess.processes[1].threads = vec![once(&[exists("a layer")])];
    let mut nonsense = tiny(&["X:b U:b", ""]);
    nonsense.processes[1].threads = vec![once(&[Call::Lookup { name: "a layer".into() }])];
    let mut aliased = tiny(&["X:a G:c X:alias/a U:a U:alias/a", "X:a U:a"]);
    aliased.aliases.push((Path::new("alias"), Path::new("root")));
    let mut restarted = tiny(&["X:a ws:a U:a", "S:a rs:a U:a"]);
    restarted.processes[0].runs = Repeat::Forever;
    vec![
        ("nothing", tiny(&["", "G:c"])),
        ("three ask for one lock", tiny(&["X:a U:a", "X:a U:a", "S:a U:a"])),
        ("alike three times", tiny(&["X:a ws:a U:a", "X:a ws:a U:a", "X:a ws:a U:a"])),
        ("the other way round", tiny(&["X:a X:b U:b U:a", "X:b X:a U:a U:b"])),
        ("the other way round, giving up", tiny(&["x:a x:b U:b U:a", "x:b x:a U:a U:b"])),
        ("the other way round, a third for ever", tiny(&["X:a X:b U:b U:a", "X:b X:a U:a U:b", "*X:c U:c"])),
        ("ring of three", tiny(&["X:a X:b U:b U:a", "X:b X:c U:c U:b", "X:c X:a U:a U:c"])),
        ("from shared to exclusive", tiny(&["S:a X:a U:a", "S:a X:a U:a"])),
        ("from shared to exclusive, giving up", tiny(&["s:a x:a U:a", "s:a x:a U:a"])),
        ("try", tiny(&["t:a ws:a U:a", "X:a U:a", "*t:a U:a"])),
        ("exclusive for ever", tiny(&["X:a U:a", "*X:a U:a"])),
        ("readers for ever", tiny(&["X:a U:a", "*S:a U:a", "*S:a U:a"])),
        ("readers for ever, alone", tiny(&["*X:a U:a", "*S:a U:a"])),
        ("hand over hand for ever", tiny(&["X:a U:a", "*S:a S:b U:a S:a U:b U:a"])),
        ("three exclusive for ever", tiny(&["*X:a U:a", "*X:a U:a", "*X:a U:a"])),
        ("stamps for ever", tiny(&["*X:a ws:a U:a", "*S:a rs:a U:a"])),
        ("documents for ever", tiny(&["*X:a rd:a wr:a U:a", "*X:a rd:a wr:a U:a"])),
        ("lost update", tiny(&["S:a rd:a U:a X:a wr:a U:a", "S:a rd:a U:a X:a wr:a U:a"])),
        ("written without the lock", tiny(&["wr:a ws:a", "S:a rd:a rs:a U:a"])),
        ("dropped by a probe", tiny(&["X:a P:a wr:a U:a", "X:a U:a"])),
        ("two threads, one cell", tiny(&["G:c C:c | C:c"])),
        ("two threads, one cell under a mutex", tiny(&["M:m G:c C:c m:m | M:m C:c m:m"])),
        ("two threads, one record lock", tiny(&["X:a C:c U:a | X:a C:c U:a", "X:a U:a"])),
        ("read locks with a writer that waits", tiny(&["R:m R:m r:m r:m | W:m w:m"])),
        ("many readers, a writer", tiny(&["R:m G:c r:m | R:m G:c r:m | W:m C:c w:m"])),
        ("two writers of an RWMutex", tiny(&["*R:m r:m | W:m w:m | W:m w:m"])),
        ("unlock of what is free", tiny(&["choose:2 m:m", "X:a U:a"])),
        ("a panic holding a lock", tiny(&["X:a choose:2 panic:oh", "X:a U:a"])),
        ("goroutine", tiny(&["C:c go:M:m+C:d+m:m M:m C:d m:m join G:d"])),
        ("goroutine that races", tiny(&["go:C:c C:c join"])),
        ("goroutine that waits for its parent", tiny(&["X:a go:M:m+X:b+m:m M:m m:m join U:a", "X:b X:a U:a U:b"])),
        ("goroutines for ever", tiny(&["*go:X:a+U:a go:S:a+U:a join join"])),
        ("a ring that is none", tiny(&["X:a go:S:b+U:b U:a join", "X:b S:a U:a U:b"])),
        ("a loop in a call", tiny(&["loop:X:a+U:a+choose:2", "X:a U:a"])),
        ("choices", tiny(&["choose:3 choose:2 C:c", "X:a choose:2 U:a"])),
        ("three threads and a ring", tiny(&["M:m X:a m:m U:a | X:b M:m m:m U:b", "X:a X:b U:b U:a"])),
        ("touched since", timed(&["now:t since:t since:t", "X:a ws:a U:a"])),
        ("touched since, for ever", timed(&["*now:t X:a since:t U:a", "*X:a ws:a U:a"])),
        ("times of two threads", timed(&["now:t since:t | now:u since:u", "ws:a"])),
        ("killed while it holds", crashing(&["X:a ws:a U:a", "X:a X:b U:b U:a"], 1)),
        ("killed twice", crashing(&["X:a U:a", "X:a U:a", "S:a U:a"], 2)),
        ("killed in a ring", crashing(&["X:a X:b U:b U:a", "X:b X:a U:a U:b"], 1)),
        ("readers for ever, and two take turns", tiny(&["X:a U:a", "*S:a U:a", "*S:a U:a", "*X:b U:b", "*X:b U:b"])),
        ("a guess", guess),
        ("nonsense under a lock", nonsense),
        ("two names of one lock", aliased),
        ("restarted for ever", restarted),
    ]
}
