//! What is written for SPIN. That SPIN makes of it what the explorer does is tested in `cli/tests/spin.rs`.

mod common;

use lockproof_model::export::{ExportError, macro_of, promela};
use lockproof_model::property::Property;
use lockproof_model::system::{Process, Repeat, System};

use common::tiny::{program, tiny};
use common::{d14, forever, once};

fn programs(programs: &[&str]) -> System {
    let process = |words: &&str| Process {
        name: "P".into(),
        protocol: tiny(),
        before: vec![],
        threads: vec![once(&[program(words)])],
        runs: Repeat::Times(1),
        may_crash: false,
    };
    common::system(&[], programs.iter().map(process).collect())
}

/// The text of the threads alone: the world and the monitors are files of their own.
fn threads(text: &str) -> &str {
    let start = text.find("/* P1").expect("a first thread");
    &text[start..text.find("#if defined(NO_DEADLOCK)").expect("what comes after the threads")]
}

#[test]
fn a_thread_is_its_learned_automaton() {
    let text = promela(&programs(&["X:a ws:a U:a", "S:a rs:a U:a"]), "one stamp").expect("it can be exported");
    insta::assert_snapshot!(threads(&text));
}

#[test]
fn two_exports_are_one_text() {
    let text = || promela(&d14("pr_473"), "D14").expect("it can be exported");
    assert_eq!(text(), text());
}

#[test]
fn what_cannot_be_exported_is_listed() {
    let system = programs(&["go:X:a+U:a join", "X:a U:a", "X:a U:a", "X:a U:a", "X:a U:a"]);
    let Err(ExportError::Features(features)) = promela(&system, "too much") else { panic!("not refused") };
    assert_eq!(features, ["more than 4 processes"]);
    let Err(ExportError::Features(features)) = promela(&programs(&["go:X:a+U:a join"]), "a goroutine") else {
        panic!("not refused")
    };
    assert_eq!(
        features,
        ["goroutines: Promela's processes end in the order in which they were started, the last first"]
    );
}

#[test]
fn that_a_thread_can_always_go_on_is_no_property_of_one_endless_run() {
    let mut system = programs(&["X:a U:a"]);
    assert_eq!(macro_of(&system, Property::NoDeadlock), Ok("NO_DEADLOCK"));
    system.processes[0].threads = vec![forever(&[program("X:a U:a")])];
    assert!(macro_of(&system, Property::NoDeadlock).is_err());
    assert_eq!(macro_of(&system, Property::NoPanic), Ok("NO_PANIC"));
}
