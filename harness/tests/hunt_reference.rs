//! Reference processes in a hunt: alone, of a protocol that is broken, and beside the unmodified program on one store.
//!
//! This program has a `main` of its own, because the processes are this program, executed again, with a protocol of its own.

mod common;

use common::{LIMITS, commands_at_once, hunting};
use lockproof_harness::hunt::build::Build;
use lockproof_harness::hunt::workload::Workload;
use lockproof_harness::hunt::{Ended, HuntOptions, HuntReport, Search, hunt, replay};
use lockproof_harness::{Harness, worker};
use lockproof_model::ctx::Ctx;
use lockproof_model::protocol::{
    Entry, Go, LayerStore, LayerStoreProtocol, LockfileProtocol, RecordStoreProtocol, StoreProtocol,
};

/// What was loaded when the store was opened is never loaded again.
#[derive(Default)]
struct Stale;

impl LockfileProtocol for Stale {}
impl LayerStoreProtocol for Stale {
    async fn reload_if_modified(&self, _ctx: &Ctx, _store: &LayerStore) -> Go<()> {
        Ok(())
    }
}
impl RecordStoreProtocol for Stale {}
impl StoreProtocol for Stale {}

fn reference(harness: &Harness, protocol: &str) -> Build {
    Build::Reference { program: harness.program.clone(), protocol: protocol.into() }
}

fn options(builds: &[Build]) -> HuntOptions {
    HuntOptions { programs: builds.to_vec(), ..hunting("".as_ref(), "reference") }
}

fn hunted(harness: &Harness, builds: &[Build], workload: &Workload) -> HuntReport {
    hunt(harness, workload, &options(builds), |_| true).unwrap()
}

fn every_order_of_a_sound_protocol_is_explained_by_the_model(harness: &Harness) {
    let figures = [("v1_24", ["create-layer -i a", "create-layer -i b"]), ("v1_43", ["create-layer -i a", "layers"])]
        .map(|(protocol, commands)| {
            let report = hunted(harness, &[reference(harness, protocol)], &commands_at_once(&[], &commands));
            assert_eq!((report.ended, report.not_modelled), (Ended::Exhausted, None), "{protocol}");
            (report.executions, report.cut, report.outcomes)
        });
    assert_eq!(figures, [(164, 0, (2, 2)), (210, 0, (2, 2))]);
}

/// D17. The kernel answers `EDEADLK` to the last who asks, who asks again and again, as containers/storage does.
fn locks_of_single_layers_are_a_deadlock_of_real_processes(harness: &Harness) {
    let builds = [reference(harness, "per_layer_locks")];
    let start = ["create-layer -i a", "create-layer -i b a"];
    let report = hunted(harness, &builds, &commands_at_once(&start, &["import-layer -i b a", "delete-layer b"]));
    let violation = report.violation.expect("they wait for each other");
    assert_eq!(violation.wrong.property, "no-deadlock");
    for waits in ["A waits for W(root/vfs-layers/b.lock)", "B waits for W(root/vfs-layers/a.lock)"] {
        assert!(violation.wrong.detail.contains(waits), "{}", violation.wrong.detail);
    }
    let cycle = report.lock_cycle.expect("a cycle").detail;
    assert!(cycle.contains("a.lock") && cycle.contains("b.lock"), "{cycle}");
    let again = replay(harness, &builds, &[], &violation.recording, LIMITS, |done| done < 20).unwrap();
    assert_eq!(again.found.iter().flatten().filter(|wrong| wrong.property == "no-deadlock").count(), 20);
}

fn a_protocol_that_never_loads_again_loses_a_layer(harness: &Harness) {
    let builds = [reference(harness, "stale")];
    let report = hunted(harness, &builds, &commands_at_once(&[], &["create-layer -i a", "create-layer -i b"]));
    let violation = report.violation.expect("a layer is lost");
    assert_eq!(violation.wrong.property, "whole");
    assert!(violation.wrong.detail.contains("has no layer"), "{}", violation.wrong.detail);
    let again = replay(harness, &builds, &[], &violation.recording, LIMITS, |done| done < 20).unwrap();
    assert_eq!(again.found.iter().flatten().filter(|wrong| wrong.property == "whole").count(), 20);
}

fn what_a_reference_process_does_not_know_is_refused(harness: &Harness) {
    for (command, why) in [("wipe", "`wipe` is no command of a reference process"), ("layers all", "takes no argument")]
    {
        let workload = commands_at_once(&[], &[command]);
        let refused = hunt(harness, &workload, &options(&[reference(harness, "v1_24")]), |_| true).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    let unknown = [reference(harness, "v1_99")];
    let refused = hunt(harness, &commands_at_once(&[], &["layers"]), &options(&unknown), |_| true).unwrap_err();
    assert!(refused.to_string().contains("no protocol called \"v1_99\""), "{refused}");
}

/// One store, one schedule, the two of them. What the real command prints tells what the reference process wrote.
fn it_stands_beside_the_unmodified_program(harness: &Harness) {
    let Some(program) = common::command() else { return };
    let builds = [program.into(), reference(harness, "v1_57")];
    let commands = ["set-names -n x base", "create-layer -i a base"];
    let options = HuntOptions { executions: 40, ..options(&builds) };
    let report = hunt(harness, &commands_at_once(&["create-layer -i base"], &commands), &options, |_| true).unwrap();
    assert!(!report.is_violated() && report.cut == 0, "{report:?}");
    assert_eq!((report.executions, report.not_modelled), (40, None));
}

/// `modified-edge-consumed`, as the library of 1.43.0 has it (`daemon.rs`): two Store objects of one process. Later releases
/// compare what they have seen themselves.
fn two_stores_of_a_daemon_lose_an_image_under_v1_43_and_not_under_v1_48(harness: &Harness) {
    let script = "open a; open b run2; b images; 1: a create-image i base; 2: b create-image j base";
    let workload = Workload {
        daemons: vec![script.parse().expect("a script")],
        ..commands_at_once(&["create-layer -i base"], &["images"])
    };
    let hunted = |protocol: &str| {
        let drivers = vec![reference(harness, protocol)];
        let options = HuntOptions {
            drivers: drivers.clone(),
            search: Search::Random,
            executions: 60,
            ..options(&[reference(harness, protocol)])
        };
        (hunt(harness, &workload, &options, |_| true).unwrap(), options)
    };
    let (report, options) = hunted("v1_43");
    let violation = report.violation.expect("an image is lost");
    assert_eq!(violation.wrong.property, "acknowledged", "{}", violation.wrong.detail);
    let (programs, drivers) = (&options.programs, &options.drivers);
    let again = replay(harness, programs, drivers, &violation.recording, LIMITS, |done| done < 20).unwrap();
    assert_eq!(again.found.iter().flatten().filter(|wrong| wrong.property == "acknowledged").count(), 20);
    let (report, _) = hunted("v1_48");
    assert!(!report.is_violated(), "{:?}", report.violation.map(|violation| violation.wrong));
    assert_eq!((report.executions, report.cut), (60, 0));
}

fn main() {
    worker::run_if_asked_with(&[Entry::of::<Stale>("stale", "loads once")]);
    let harness = Harness::current().unwrap();
    every_order_of_a_sound_protocol_is_explained_by_the_model(&harness);
    locks_of_single_layers_are_a_deadlock_of_real_processes(&harness);
    a_protocol_that_never_loads_again_loses_a_layer(&harness);
    what_a_reference_process_does_not_know_is_refused(&harness);
    it_stands_beside_the_unmodified_program(&harness);
    two_stores_of_a_daemon_lose_an_image_under_v1_43_and_not_under_v1_48(&harness);
    println!("hunt_reference: 6 passed");
}
