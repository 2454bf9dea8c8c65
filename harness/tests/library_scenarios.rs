//! Scenarios whose processes are the real library: what the model finds of 1.43.0 is done again by 1.43.0's own code, under the
//! model's schedule.
//!
//! It needs Go and Debian's package of the library's source. Where they are missing the tests say so loudly and check
//! nothing, unless `LOCKPROOF_REQUIRE_REAL=1`: then they fail.

mod common;

use common::{driver, harness};
use lockproof_harness::HarnessError;
use lockproof_harness::hunt::build::Build;
use lockproof_harness::library::Enacted;
use lockproof_harness::library::release::{installed, protocol_of};
use lockproof_model::explore::{Options, check};
use lockproof_model::machine::Machine;
use lockproof_model::monitor::show_document;
use lockproof_model::op::{Op, Path};
use lockproof_model::property::Property;
use lockproof_model::protocol;
use lockproof_model::schedule::Step;
use lockproof_model::system::System;
use lockproof_model::trace::Trace;
use lockproof_scenarios::{Scenario, built_in, parse};

/// How often each race is shown.
const TIMES: usize = 20;

/// The protocol that is Debian 12's release.
const RELEASE: &str = "v1_43";

fn scenario(name: &str) -> &'static Scenario {
    let all = built_in().expect("good scenarios");
    all.iter().find(|scenario| scenario.name == name).expect("a built-in scenario")
}

fn system(scenario: &Scenario, protocol: &str) -> System {
    scenario.system(protocol::by_name(protocol).expect("a protocol"))
}

/// The run in which the model finds that the property is violated.
fn counterexample(system: &System, property: Property) -> Trace {
    let mut report = check(system, &[property], &Options::default(), &|| false).expect("no mistake of ours");
    report.findings.remove(0).trace.expect("a run that shows it")
}

/// The run in which each process makes its calls, one process after the other.
fn one_by_one(system: &System) -> Trace {
    let mut machine = Machine::new(system).expect("a model");
    let mut trace = Trace::default();
    for process in 0..u8::try_from(system.processes.len()).expect("a few") {
        while let Ok(event) = machine.step(Step::Run { process, thread: 0, branch: 0 }) {
            trace.events.push(event);
        }
    }
    trace
}

/// What the library does each time, which is what the model does.
fn enacted(name: &str, property: Property, times: usize) -> Vec<(Enacted, String)> {
    let system = system(scenario(name), RELEASE);
    let trace = counterexample(&system, property);
    shown(name, &system, &trace, property, times)
}

/// What the library does each time with a run of the model, in which the property is violated.
fn shown(name: &str, system: &System, trace: &Trace, property: Property, times: usize) -> Vec<(Enacted, String)> {
    let Some(driver) = driver() else { return Vec::new() };
    let enacted = (0..times).map(|_| {
        let enacted = harness().enact(&[driver.into()], system, trace).expect("the library comes to its end");
        assert_eq!(enacted.parted, None, "{enacted:#?}");
        let shown = enacted.shows(property).expect("it can be judged");
        assert!(shown.is_seen(), "{name}: {}: {enacted:#?}", shown.text());
        let text = shown.text().to_owned();
        (enacted, text)
    });
    enacted.collect()
}

/// `modified-edge-consumed`: two stores of one process over one directory.
#[test]
fn an_acknowledged_image_is_lost_by_two_stores() {
    for (enacted, text) in enacted("second-store-loses-an-image", Property::NoLostUpdate, TIMES) {
        let lost = "`create-image first` was acknowledged and is gone; images.json holds [second] at the end";
        assert!(text.ends_with(lost), "{text}");
        assert_eq!((enacted.marks, enacted.calls.len()), (43, 7));
    }
    for (_, text) in enacted("second-store-loses-an-image", Property::Fresh, TIMES) {
        assert!(text.ends_with("`@2 images` returns [], but all the while the answer was [first]"), "{text}");
    }
}

/// A reference process of a proposal beside one of the library, on one store and under one schedule.
#[test]
fn a_daemon_of_a_proposal_does_not_see_what_the_library_writes() {
    let Some(driver) = driver() else { return };
    let system = system(scenario("proposal-beside-a-library"), "layers_ro_lock");
    let trace = counterexample(&system, Property::Fresh);
    let reference = Build::Reference { program: harness().program, protocol: "layers_ro_lock".into() };
    for _ in 0..TIMES {
        let enacted =
            harness().enact(&[reference.clone(), driver.into()], &system, &trace).expect("they come to their end");
        assert_eq!((&enacted.parted, enacted.marks, enacted.calls.len()), (&None, 88, 6), "{enacted:#?}");
        let shown = enacted.shows(Property::Fresh).expect("it can be judged");
        let stale = "`names base` returns [foo], but all the while the answer was [bar]";
        assert!(shown.is_seen() && shown.text().ends_with(stale), "{}", shown.text());
    }
}

/// `nested-rlock-pending-writer`: a goroutine that holds a `diff` asks again, behind a writer that waits for it.
#[test]
fn a_reader_asks_again_behind_a_writer() {
    for (enacted, text) in enacted("nested-rlock-after-a-shutdown", Property::NoDeadlock, TIMES) {
        assert_eq!((enacted.marks, enacted.stuck.len()), (81, 2), "{text}");
        let waits = |call: &str| text.contains(&format!("`@1 {call}` of daemon (pid "));
        assert!(waits("exists base") && waits("set-names base foo bar"), "{text}");
        assert_eq!(text.matches(") waits inside its process").count(), 2, "{text}");
    }
}

/// `incomplete-layer-visible`: what a killed process left half-made is seen by another, which builds upon it.
#[test]
fn a_layer_that_a_kill_left_incomplete_is_seen() {
    for (enacted, text) in enacted("incomplete-layer-visible", Property::CrashSafe, TIMES) {
        assert!(text.ends_with("`exists new` sees a layer that a killed process left half-made"), "{text}");
        assert_eq!((enacted.marks, enacted.killed.len()), (65, 1));
    }
}

/// The same, where the kill comes when the contents have been applied, and before the mark is taken off: then the driver has a
/// directory, and a child is built upon the layer.
#[test]
fn a_child_is_built_upon_a_layer_that_a_kill_left_incomplete() {
    let name = "incomplete-layer-visible";
    let system = system(scenario(name), RELEASE);
    let mut machine = Machine::new(&system).expect("a model");
    let mut trace = Trace::default();
    let run = |process| Step::Run { process, thread: 0, branch: 0 };
    let mut until = |process, times, is_it: &dyn Fn(&Op) -> bool| {
        let mut left = times;
        while left > 0 {
            let event = machine.step(run(process)).expect("nobody is in its way");
            left -= usize::from(event.op.as_ref().is_some_and(is_it));
            trace.events.push(event);
        }
    };
    // The other one has loaded the layers, and is about to look at them.
    until(1, 3, &|op| matches!(op, Op::Close { file } if file.file_name() == "storage.lock"));
    // Its second new layers.json is written, and does not have its name yet.
    until(0, 2, &|op| matches!(op, Op::WriteTemp { document, .. } if document.path.file_name() == "layers.json"));
    trace.events.push(machine.step(Step::Kill { process: 0 }).expect("it may be killed"));
    while let Ok(event) = machine.step(run(1)) {
        trace.events.push(event);
    }
    for (enacted, text) in shown(name, &system, &trace, Property::CrashSafe, TIMES) {
        assert!(text.ends_with("`exists new` sees a layer that a killed process left half-made"), "{text}");
        let child = enacted.calls.last().expect("calls");
        let is_made = child.ended.as_ref().map(|(_, reply)| reply.is_ok());
        assert_eq!((child.call.to_string().as_str(), is_made), ("put-layer child on new", Some(true)));
        let layers = &enacted.documents[&Path::new("root/vfs-layers/layers.json")];
        assert_eq!(show_document(layers), "[base=foo, new (incomplete), child]");
    }
}

/// The model of another release is not followed.
#[test]
fn the_run_of_another_release_is_not_followed() {
    let Some(driver) = driver() else { return };
    let system = system(scenario("incomplete-layer-visible"), "v1_24");
    let trace = counterexample(&system, Property::CrashSafe);
    let enacted = harness().enact(&[driver.into()], &system, &trace).expect("the library comes to its end");
    let parted = enacted.parted.as_ref().expect("they part");
    assert_eq!(
        (parted.what, parted.model.as_str(), parted.real.as_str()),
        ("lock-file events", "opens root/vfs-layers/layers.json", "W(root/vfs-layers/layers.lock)")
    );
    assert!(!enacted.shows(Property::CrashSafe).expect("it can be judged").is_seen());
}

const HARMLESS: &str = r#"
name = "harmless"
title = "One store, one call after the other"
properties = ["fresh"]
[store]
layers = [{ id = "base", names = ["foo"] }]
[[process]]
kind = "real-library"
[[process.thread]]
calls = ["create-image first layer=base", "images", "put-layer new parent=base names=bar", "layers", "names new"]
"#;

/// Where nothing is wrong, nothing is seen.
#[test]
fn nothing_is_shown_where_nothing_is_wrong() {
    let Some(driver) = driver() else { return };
    let scenario = parse("harmless.toml", HARMLESS, &protocol::all()).expect("a scenario");
    let system = system(&scenario, RELEASE);
    let enacted =
        harness().enact(&[driver.into()], &system, &one_by_one(&system)).expect("the library comes to its end");
    assert_eq!(enacted.parted, None, "{enacted:#?}");
    let judged = Property::ALL.into_iter().filter_map(|property| Some((property, enacted.shows(property)?)));
    let seen: Vec<(Property, bool)> = judged.map(|(property, shown)| (property, shown.is_seen())).collect();
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|(_, is_seen)| !is_seen), "{seen:?}");
}

/// What the library is not brought to is said.
#[test]
fn what_the_library_cannot_do_is_said() {
    let cannot = |calls: &str, extra: &str| {
        let text = HARMLESS.replace("kind =", &format!("{extra}\nkind =")).replace("\"images\"", calls);
        let scenario = parse("other.toml", &text, &protocol::all()).expect("a scenario");
        let system = system(&scenario, RELEASE);
        match harness().enact(&[], &system, &Trace::default()) {
            Err(HarnessError::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let driver = "P1: `multi-list` is no call of the driver of the library";
    assert_eq!(cannot("\"multi-list\"", ""), driver);
    assert_eq!(
        cannot("\"images\"", "runs = 2"),
        "P1: a process of the library is started once, and makes each call once"
    );
}

/// The release that is installed is the one that these tests are about.
#[test]
fn the_release_has_a_protocol() {
    if driver().is_none() {
        return;
    }
    let version = installed().expect("Debian's package");
    assert_eq!(protocol_of(&version).map(|entry| entry.name), Some(RELEASE), "{version}");
}
