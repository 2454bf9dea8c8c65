//! What a protocol may not do is reported as what it is, by name; and nothing panics.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use lockproof_model::automaton::LearnError;
use lockproof_model::call::{Call, LockMethod, Reply};
use lockproof_model::ctx::{Cell, Ctx, ProtocolError};
use lockproof_model::explore::{Options, check};
use lockproof_model::machine::Machine;
use lockproof_model::op::Path;
use lockproof_model::property::Property;
use lockproof_model::protocol::{Entry, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol};
use lockproof_model::step::ModelError;
use lockproof_model::system::System;
use lockproof_model::value::Value;

use common::small::speaks;
use common::{forever, on_lockfile, once, process, system};

/// A protocol with one mistake, which is told by the call that is made.
#[derive(Default)]
struct Mistaken;

static RUNS: AtomicU32 = AtomicU32::new(0);

impl LockfileProtocol for Mistaken {}
impl LayerStoreProtocol for Mistaken {}
impl RecordStoreProtocol for Mistaken {}
impl StoreProtocol for Mistaken {
    async fn call(&self, ctx: &Ctx, call: Call) -> Reply {
        let cell: Cell<Option<u32>> = Cell::global("c");
        match call {
            Call::Goroutine { name, .. } => match name.as_str() {
                "hidden state" => {
                    let run = RUNS.fetch_add(1, Ordering::Relaxed);
                    ctx.set(&cell, &Some(run)).await;
                }
                "two at once" => {
                    let mut one = Box::pin(ctx.get(&cell));
                    let mut two = Box::pin(ctx.set(&cell, &Some(1)));
                    std::future::poll_fn(|context| {
                        let first = one.as_mut().poll(context).is_ready();
                        let second = two.as_mut().poll(context).is_ready();
                        if first && second { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
                    })
                    .await;
                }
                "endless" => loop {
                    ctx.get(&cell).await;
                },
                "endless head" => {
                    let rounds = ctx.enter_loop("nothing else");
                    let mut round = 0u32;
                    loop {
                        round = rounds.top(round).await + 1;
                    }
                }
                "endless and growing" => {
                    let rounds = ctx.enter_loop("counts");
                    let mut round = 0u32;
                    loop {
                        round = rounds.top(round).await + 1;
                        ctx.get(&cell).await;
                    }
                }
                "endless alone" => {
                    let rounds = ctx.enter_loop("alone");
                    loop {
                        rounds.top(()).await;
                        ctx.get(&cell).await;
                    }
                }
                "foreign" => {
                    ctx.get(&cell).await;
                    std::future::pending::<()>().await;
                }
                "wrong type" => {
                    ctx.set(&cell, &Some(1)).await;
                    let text: Cell<String> = Cell::global("c");
                    ctx.get(&text).await;
                }
                "wrong document" => {
                    let document = lockproof_model::op::Document {
                        path: Path::new(lockproof_model::monitor::LAYERS),
                        lock: Path::new(lockproof_model::monitor::LAYERS_LOCK),
                    };
                    ctx.read::<u32>(&document).await;
                }
                "not timed" => drop(ctx.mtime(&Path::new("root/elsewhere.lock")).await),
                "join of nobody" => ctx.join(7).await,
                _ => {}
            },
            _ => return Ok(Value::Nil),
        }
        Ok(Value::Nil)
    }
}

fn mistaken(name: &str) -> System {
    let entry = Entry::of::<Mistaken>("mistaken", "one mistake a call");
    let call = Call::Goroutine { name: name.into(), arguments: Value::Nil };
    system(&[common::layer("base", &[], "")], vec![speaks(entry, vec![once(&[call])])])
}

/// The error of an exploration, which is the same one operation at a time.
fn error_of(name: &str) -> ModelError {
    let system = mistaken(name);
    let run = |merge| check(&system, &[Property::Fresh], &Options { merge, ..Options::default() }, &|| false);
    let error = run(true).expect_err(name);
    if !name.starts_with("endless") {
        assert_eq!(run(false).expect_err(name), error);
    }
    error
}

fn protocol_error(name: &str) -> ProtocolError {
    match error_of(name) {
        ModelError::Learn(LearnError::Protocol { protocol: "mistaken", call, error }) if call == name => error,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn hidden_state_is_noticed() {
    let system = mistaken("hidden state");
    let error = Machine::new(&system).map(|_| ()).unwrap_err();
    assert!(matches!(error, ModelError::Learn(LearnError::HiddenState { .. })), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("it keeps something outside its cells, or looks at a clock or a random number"), "{text}");
}

#[test]
fn two_operations_at_once_are_refused() {
    let ProtocolError::TwoAtOnce { first, second } = protocol_error("two at once") else { panic!("another mistake") };
    assert!(first.starts_with("Get") && second.starts_with("Set"), "{first} {second}");
}

#[test]
fn a_loop_that_is_not_entered_is_endless() {
    let endless = |name: &str| match error_of(name) {
        ModelError::Learn(LearnError::Endless { protocol: "mistaken", call }) => call == name,
        other => panic!("{name}: {other:?}"),
    };
    assert!(endless("endless"));
    assert!(endless("endless head"));
}

#[test]
fn a_process_that_computes_for_ever_on_its_own_is_reported() {
    let system = mistaken("endless alone");
    let run = |merge| check(&system, &[Property::Fresh], &Options { merge, ..Options::default() }, &|| false);
    assert_eq!(run(true).map(|_| ()), Err(ModelError::LocalRun { process: "P1".into() }));
    // One operation at a time it is a cycle of one state, and nobody waits.
    assert_eq!(run(false).map(|report| report.extent.states), Ok(2));
}

#[test]
fn locks_that_nobody_gives_back_are_too_many_for_the_model() {
    let locks = on_lockfile(LockMethod::Rlock, "a");
    let system = system(&[], vec![process("v1_43", vec![forever(&[locks])])]);
    for merge in [true, false] {
        let options = Options { merge, ..Options::default() };
        let error = check(&system, &[Property::NoError], &options, &|| false).map(|_| ()).unwrap_err();
        assert_eq!(error, ModelError::Holds { process: "P1".into() });
        assert!(error.is_limit());
    }
}

#[test]
fn waiting_for_what_is_no_operation_is_refused() {
    assert_eq!(protocol_error("foreign"), ProtocolError::Foreign);
}

#[test]
fn what_is_read_as_another_type_is_refused() {
    let wrong = |name: &str| match protocol_error(name) {
        ProtocolError::WrongType { what, value, wanted } => (what, value, wanted),
        other => panic!("{other:?}"),
    };
    let (what, value, wanted) = wrong("wrong type");
    assert!(
        what.starts_with("Get") && value.contains("Int(1)") && wanted.ends_with("String"),
        "{what} {value} {wanted}"
    );
    let (what, _, wanted) = wrong("wrong document");
    assert!(what.starts_with("Read") && wanted == "u32", "{what} {wanted}");
}

#[test]
fn the_time_of_a_file_that_is_not_named_is_refused() {
    assert_eq!(error_of("not timed"), ModelError::NotTimed(Path::new("root/elsewhere.lock")));
}

#[test]
fn a_join_of_nobody_is_a_panic_of_the_protocol() {
    let system = mistaken("join of nobody");
    let report = check(&system, &[Property::NoPanic], &Options::default(), &|| false).unwrap();
    assert_eq!(report.findings[0].detail, "panic: join of goroutine 7, which there is none");
}

#[test]
fn a_loop_whose_values_grow_is_cut() {
    let system = mistaken("endless and growing");
    let options = Options { merge: false, states_max: 3_000, ..Options::default() };
    let report = check(&system, &[Property::Fresh], &options, &|| false).unwrap();
    assert_eq!(report.findings[0].verdict.name(), "cut");
    assert_eq!(report.extent.states, 3_000);
}
