//! A protocol that is none of the model's, in a program that is its own worker: goroutines, choices, panics.
//!
//! This program has a `main` of its own, because the workers are this program, executed again.

mod common;

use std::time::Duration;

use common::{Driver, exists, system};
use lockproof_harness::replay::ReplayOptions;
use lockproof_harness::stress::StressOptions;
use lockproof_harness::{Harness, worker};
use lockproof_model::call::{Call, Reply};
use lockproof_model::ctx::{Cell, Ctx};
use lockproof_model::property::Property;
use lockproof_model::protocol::{Entry, Go, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol};
use lockproof_model::schedule::Step;
use lockproof_model::system::{Process, Repeat, Thread};
use lockproof_model::value::{Datum, Value};

#[derive(Default)]
struct Own;

impl LockfileProtocol for Own {}
impl LayerStoreProtocol for Own {}
impl RecordStoreProtocol for Own {}

impl StoreProtocol for Own {
    /// Starts two goroutines, chooses, and waits for both.
    async fn status(&self, ctx: &Ctx) -> Go<()> {
        let first = ctx.spawn("write", Value::Text("one".into())).await;
        let second = ctx.spawn("write", Value::Text("two".into())).await;
        let chosen = ctx.choose(3).await;
        ctx.set(&Cell::global("chosen"), &chosen).await;
        ctx.join(first).await;
        ctx.join(second).await;
        Ok(())
    }

    async fn goroutine(&self, ctx: &Ctx, _name: &str, arguments: Value) -> Reply {
        let object = ctx.new_object().await;
        ctx.set(&Cell::field(object, "text"), &arguments).await;
        ctx.set(&Cell::global(format!("last of {arguments:?}")), &Some(object)).await;
        Ok(arguments)
    }

    async fn shutdown(&self, ctx: &Ctx) -> Go<()> {
        ctx.panic("as it was asked to").await
    }
}

fn own() -> Entry {
    Entry::of::<Own>("own", "a protocol of this test")
}

fn process(scripts: Vec<Vec<Call>>) -> Process {
    let threads = scripts.into_iter().map(|script| Thread { script, repeat: Repeat::Times(1) }).collect();
    Process {
        name: "P".into(),
        protocol: own(),
        before: vec![Call::Open],
        threads,
        runs: Repeat::Times(1),
        may_crash: false,
    }
}

fn goroutines_and_choices_are_replayed(harness: &Harness) {
    let system = system(&["a"], vec![process(vec![vec![Call::Status, exists("a")]])]);
    let mut driver = Driver::new(&system);
    driver.calls(0, 0, 1);
    // The last of the steps that are possible: the goroutines first, and the highest branch.
    while let Some(step) = driver.machine.enabled().unwrap().last().copied() {
        driver.step(step);
    }
    let is_choice = |step: &Step| matches!(step, Step::Run { branch: 2, .. });
    let is_goroutine = |step: &Step| matches!(step, Step::Run { thread: 1.., .. });
    assert!(driver.steps.iter().any(is_choice) && driver.steps.iter().any(is_goroutine));
    let report = harness.replay(&system, &driver.schedule(), &ReplayOptions::default()).unwrap();
    assert_eq!(report.parted, None);
    assert_eq!(report.calls.last().unwrap().ended.as_ref().unwrap().1, Ok(true.to_value()));
}

fn a_panic_ends_the_process(harness: &Harness) {
    let system = system(&["a"], vec![process(vec![vec![Call::Shutdown]])]);
    let mut driver = Driver::new(&system);
    while let Some(step) = driver.machine.enabled().unwrap().first().copied() {
        driver.step(step);
    }
    let report = harness.replay(&system, &driver.schedule(), &ReplayOptions::default()).unwrap();
    assert!(report.shows(Property::NoPanic).text().contains("as it was asked to"));
}

fn it_can_be_stressed(harness: &Harness) {
    let mut process = process(vec![vec![Call::Status; 300], vec![Call::Status; 300]]);
    process.runs = Repeat::Times(2);
    let options = StressOptions::lasting(Duration::from_secs(60));
    let report = harness.stress(&system(&["a"], vec![process]), &options).unwrap();
    assert_eq!((report.processes[0].calls, report.processes[0].unfinished), (1202, 0), "{report:?}");
    let panics = vec![self::process(vec![vec![Call::Shutdown]])];
    let report = harness.stress(&system(&["a"], panics), &options).unwrap();
    assert_eq!(report.processes[0].panics, ["as it was asked to"]);
}

fn an_unknown_protocol_is_an_error() {
    let harness = Harness::new(env!("CARGO_BIN_EXE_lockproof-worker"));
    let system = system(&["a"], vec![process(vec![vec![exists("a")]])]);
    let mut driver = Driver::new(&system);
    driver.calls(0, 0, 1);
    let refused = harness.replay(&system, &driver.schedule(), &ReplayOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("no protocol called \"own\""), "{refused}");
    println!("{refused}");
}

fn main() {
    worker::run_if_asked_with(&[own()]);
    let harness = Harness::current().unwrap();
    goroutines_and_choices_are_replayed(&harness);
    a_panic_ends_the_process(&harness);
    it_can_be_stressed(&harness);
    an_unknown_protocol_is_an_error();
    println!("own_protocol: 4 passed");
}
