//! Mutation: what each operator makes of a call, and that nothing else changes.

mod common;

use common::{layer, protocol, set_names};
use lockproof_model::call::Call;
use lockproof_model::explore::{Options, check};
use lockproof_model::machine::Machine;
use lockproof_model::mutation::{Mutation, MutationError, Operator, sites};
use lockproof_model::op::{Mode, Op, Path};
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::schedule::Step;
use lockproof_model::system::System;
use lockproof_model::verdict::Verdict;

/// A process that makes `calls` on a store with one layer.
fn alone(entry: Entry, calls: &[Call]) -> System {
    let process = common::process_of(entry, vec![common::once(calls)]);
    let mut system = common::system(&[layer("base", &["foo"], "")], vec![process]);
    system.stamped.push(Path::new("run/vfs-layers/mountpoints.lock"));
    system
}

/// What it performs, each operation with the name of its call.
fn events(entry: Entry, calls: &[Call]) -> Vec<(String, Op)> {
    let system = alone(entry, calls);
    let mut machine = Machine::new(&system).unwrap();
    let mut events = Vec::new();
    loop {
        let step = Step::Run { process: 0, thread: 0, branch: 0 };
        let Some(performed) = machine.try_step(step).unwrap() else { return events };
        if let (Some(call), Some(op)) = (performed.event.call, performed.event.op) {
            events.push((call.name().to_owned(), op));
        }
    }
}

/// What it does to files, in short, to its caches, and to the mutexes in front of lock files. `open` is left out.
fn story(entry: Entry, calls: &[Call]) -> Vec<String> {
    events(entry, calls).iter().filter(|(call, _)| call != "open").filter_map(|(_, op)| tell(op)).collect()
}

fn tell(op: &Op) -> Option<String> {
    Some(match op {
        Op::Lock { file, mode: Mode::Shared, .. } => format!("R({})", file.file_name()),
        Op::Lock { file, mode: Mode::Exclusive, .. } => format!("W({})", file.file_name()),
        Op::Close { file } => format!("U({})", file.file_name()),
        Op::Mtime { file } => format!("mtime? {}", file.file_name()),
        Op::ReadStamp { file } => format!("stamp? {}", file.file_name()),
        Op::WriteStamp { file } => format!("stamp! {}", file.file_name()),
        Op::Read { document } => format!("read {}", document.path.file_name()),
        Op::Rename { document, .. } => format!("replace {}", document.path.file_name()),
        Op::Set { cell, .. } if cell.field.ends_with("cache") || cell.field.ends_with(":lw") => {
            format!("set {}", cell.field.rsplit('/').next().unwrap_or_default())
        }
        Op::RwLock { mutex, .. } => format!("lock {}", mutex.field.rsplit('/').next().unwrap_or_default()),
        Op::RwUnlock { mutex, .. } => format!("unlock {}", mutex.field.rsplit('/').next().unwrap_or_default()),
        _ => return None,
    })
}

/// A mutant of `set-names`.
fn mutation(text: &str) -> Mutation {
    format!("set-names:{text}").parse().unwrap()
}

/// The lines that a mutant adds (`+`), each with the line before it, and leaves out (`-`).
fn difference(mutation: Mutation) -> Vec<String> {
    let calls = [set_names("base", &["bar"])];
    let usual = story(protocol("one_way_upgrade"), &calls);
    let mutated = story(mutation.of(protocol("one_way_upgrade")), &calls);
    // The longest common subsequence, by its length from each pair of places to the ends.
    let (rows, columns) = (usual.len(), mutated.len());
    let mut common = vec![vec![0; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row][column] = if usual[row] == mutated[column] {
                common[row + 1][column + 1] + 1
            } else {
                common[row + 1][column].max(common[row][column + 1])
            };
        }
    }
    let (mut row, mut column, mut difference) = (0, 0, Vec::new());
    while row < rows || column < columns {
        if row < rows && column < columns && usual[row] == mutated[column] {
            (row, column) = (row + 1, column + 1);
        } else if row < rows && (column == columns || common[row + 1][column] >= common[row][column + 1]) {
            difference.push(format!("- {}", usual[row]));
            row += 1;
        } else {
            let before = column.checked_sub(1).map_or("", |before| &mutated[before]);
            difference.push(format!("+ {} after {before}", mutated[column]));
            column += 1;
        }
    }
    difference
}

const EACH: [(&str, &[&str]); 12] = [
    ("drop-lock:root/vfs-layers/layers.lock:1", &["- W(layers.lock)"]),
    ("drop-unlock:root/vfs-layers/layers.lock:1", &["- U(layers.lock)"]),
    ("drop-stamp:root/vfs-layers/layers.lock:1", &["- stamp! layers.lock", "- set layers.lock:lw"]),
    ("drop-reload:root/vfs-layers/layers.json:2", &["- read layers.json", "- set cache"]),
    (
        "weaken-lock:root/vfs-layers/layers.lock:1",
        &["- W(layers.lock)", "+ R(layers.lock) after lock layers.lock:rwMutex"],
    ),
    (
        "late-stamp:root/vfs-layers/layers.lock:1",
        &[
            "- stamp! layers.lock",
            "- set layers.lock:lw",
            "+ stamp! layers.lock after U(layers.lock)",
            "+ set layers.lock:lw after stamp! layers.lock",
        ],
    ),
    ("swap-lock:root/vfs-layers/layers.lock:1", &["- W(layers.lock)", "+ W(layers.lock) after stamp? layers.lock"]),
    ("swap-unlock:root/storage.lock:1", &["- U(storage.lock)", "+ U(storage.lock) after W(layers.lock)"]),
    (
        "swap-stamp:root/vfs-layers/layers.lock:1",
        &["+ replace mountpoints.json after set cache", "- replace mountpoints.json"],
    ),
    (
        "swap-replace:root/vfs-layers/layers.json:1",
        &["- replace layers.json", "+ replace layers.json after stamp! layers.lock"],
    ),
    ("drop-mutex:root/vfs-layers/layers.lock:stateMutex:all", &[]),
    (
        "drop-rwmutex:root/vfs-layers/layers.lock:rwMutex:all",
        &["- lock layers.lock:rwMutex", "- unlock layers.lock:rwMutex"],
    ),
];

#[test]
fn each_operator_changes_what_it_says_and_nothing_else() {
    let tried: Vec<Operator> = EACH.iter().map(|(mutant, _)| mutation(mutant).operator).collect();
    assert!(Operator::ALL.iter().all(|operator| tried.contains(operator)));
    for (mutant, expected) in EACH {
        assert_eq!(difference(mutation(mutant)), expected, "{mutant}");
    }
}

#[test]
fn a_mutex_that_is_dropped_is_neither_locked_nor_unlocked_in_that_call_alone() {
    let mutex = "root/vfs-layers/layers.lock:stateMutex";
    let of_it = |entry: Entry, call: &str| {
        let told = |op: &Op| match op {
            Op::MutexLock { mutex: other } | Op::MutexUnlock { mutex: other } if *other.field == *mutex => Some(()),
            _ => None,
        };
        let calls = [common::names("base"), set_names("base", &["bar"])];
        let events = events(entry, &calls);
        events.iter().filter(|(name, op)| name == call && told(op).is_some()).count()
    };
    let usual = protocol("one_way_upgrade");
    let mutant = mutation(&format!("drop-mutex:{mutex}:all")).of(usual);
    assert_eq!((of_it(usual, "set-names"), of_it(mutant, "set-names")), (14, 0));
    assert_eq!((of_it(usual, "names"), of_it(mutant, "names")), (6, 6));
}

/// EDEADLK is answered by another try: the lock that was put off is asked for until it is granted, and the loop leaves no
/// trace, so that the search ends.
#[test]
fn a_lock_that_is_put_off_and_refused_is_asked_for_again() {
    let usual = protocol("per_layer_locks");
    let mutant: Mutation = "delete-layer:swap-lock:root/vfs-layers/a.lock:1".parse().unwrap();
    let delete = |id: &str| common::process_of(mutant.clone().of(usual), vec![common::once(&[common::delete(id)])]);
    let put = common::put("b", Some("a"), false);
    let put = common::process_of(usual, vec![common::once(&[put])]);
    let layers = [layer("a", &[], ""), layer("b", &[], "a")];
    let system = common::system(&layers, vec![put, delete("b")]);
    let report = check(&system, &[Property::NoDeadlock], &Options::default(), &|| false).unwrap();
    assert!(!matches!(report.findings[0].verdict, Verdict::Cut(_)));
    assert!(report.extent.states < 20_000, "{}", report.extent.states);
}

#[test]
fn the_sites_of_a_call_are_those_that_it_reaches() {
    let usual = protocol("one_way_upgrade");
    let system = alone(usual, &[set_names("base", &["bar"])]);
    let report = check(&system, &[Property::Fresh], &Options::default(), &|| false).unwrap();
    let sites = sites(&report.automaton, usual.name);
    let of = |operator: Operator| {
        let sites = sites.iter().filter(|site| site.call == "set-names" && site.operator == operator);
        sites.map(|site| site.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        of(Operator::DropStamp),
        [
            "set-names:drop-stamp:root/vfs-layers/layers.lock:1",
            "set-names:drop-stamp:run/vfs-layers/mountpoints.lock:1",
        ]
    );
    assert_eq!(
        of(Operator::WeakenLock),
        [
            "set-names:weaken-lock:root/storage.lock:1",
            "set-names:weaken-lock:root/vfs-layers/layers.lock:1",
            "set-names:weaken-lock:run/vfs-layers/mountpoints.lock:4",
        ]
    );
    assert_eq!(
        of(Operator::SwapReplace),
        [
            "set-names:swap-replace:root/vfs-layers/layers.json:1",
            "set-names:swap-replace:run/vfs-layers/mountpoints.json:1",
        ]
    );
    for site in &sites {
        assert_eq!(site.to_string().parse::<Mutation>().as_ref(), Ok(site));
    }
    let changes = |site: &Mutation| difference(site.clone()) != Vec::<String>::new();
    let quiet = sites.iter().filter(|site| site.call == "set-names" && !changes(site));
    let quiet: Vec<String> = quiet.map(ToString::to_string).collect();
    assert!(quiet.iter().all(|name| name.contains(":drop-mutex:")), "{quiet:?}");
}

#[test]
fn a_text_that_names_no_mutant_is_refused() {
    let error = |text: &str| text.parse::<Mutation>().unwrap_err();
    for text in ["", "names", "names:drop-lock", "names:drop-lock:f:0", "names:drop-lock:f:all", "names:drop-mutex:f:1"]
    {
        assert_eq!(error(text), MutationError::Form(text.into()));
    }
    assert_eq!(error("names:drop-all:f:1"), MutationError::Operator { name: "drop-all".into() });
}
