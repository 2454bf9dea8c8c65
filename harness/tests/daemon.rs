//! Hunts with a long-lived process of the real library among the participants.
//!
//! Where Go, Debian's package of the library's source or `containers-storage` are missing the tests say so loudly and check
//! nothing, unless `LOCKPROOF_REQUIRE_REAL=1`: then they fail.

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{LIMITS, command, commands_at_once, driver, driver_with_race_detector, harness, hunting};
use lockproof_harness::hunt::daemon::search::{REPEATS, Shown, search};
use lockproof_harness::hunt::recording::Recording;
use lockproof_harness::hunt::workload::Workload;
use lockproof_harness::hunt::{Ended, HuntOptions, HuntReport, Search, hunt, replay};

/// How often what was found is shown again.
const TIMES: usize = 5;

/// The command and the driver.
fn programs() -> Option<(PathBuf, &'static Path)> {
    Some((command()?, driver()?))
}

fn workload(start: &[&str], commands: &[&str], daemon: &str) -> Workload {
    Workload { daemons: vec![daemon.parse().unwrap()], ..commands_at_once(start, commands) }
}

fn options(command: &Path, driver: &Path, executions: u64) -> HuntOptions {
    HuntOptions { drivers: vec![driver.into()], search: Search::Random, executions, ..hunting(command, "1.43.0") }
}

fn hunted(workload: &Workload, executions: u64) -> Option<HuntReport> {
    Some(hunted_with(programs()?, workload, executions))
}

fn hunted_with((command, driver): (PathBuf, &Path), workload: &Workload, executions: u64) -> HuntReport {
    let options = HuntOptions { simplify: Duration::ZERO, ..options(&command, driver, executions) };
    hunt(&harness(), workload, &options, |_| true).unwrap()
}

/// What is found, which must be of this property, and is shown each time.
fn found(workload: &Workload, property: &str) -> Option<String> {
    Some(found_with(programs()?, workload, property))
}

fn found_with((command, driver): (PathBuf, &Path), workload: &Workload, property: &str) -> String {
    let report = hunted_with((command.clone(), driver), workload, 20);
    let Some(violation) = &report.violation else { panic!("nothing is found: {report:?}") };
    assert_eq!(violation.wrong.property, property, "{}", violation.wrong.detail);
    let again =
        replay(&harness(), &[command.into()], &[driver.into()], &violation.recording, LIMITS, |done| done < TIMES)
            .unwrap();
    let shown = again.found.iter().flatten().filter(|wrong| wrong.property == property).count();
    assert_eq!(shown, TIMES, "{:?}", again.found);
    violation.wrong.detail.clone()
}

/// `modified-edge-consumed`, by calls alone.
#[test]
fn two_stores_of_one_process_lose_an_image() {
    let calls = "open a; open b run2; b images; 1: a create-image i base; 2: b create-image j base";
    let Some(detail) = found(&workload(&["create-layer -i base"], &[], calls), "acknowledged") else { return };
    assert!(detail.contains("was acknowledged, and is gone: A "), "{detail}");
}

/// `nested-rlock-pending-writer`: nobody waits for a lock of the kernel, but the goroutines give no answer.
#[test]
fn a_reader_asks_again_behind_a_writer() {
    let calls = "open a; a diff base; a close-diff base; a names base; \
                 1: a diff base; 1: a names base; 1: a close-diff base; 2: a put-layer new base";
    let Some(detail) = found(&workload(&["create-layer -i base", "shutdown"], &[], calls), "no-deadlock") else {
        return;
    };
    let reader = "A (goroutine 1, in `a names base`) waits inside its process";
    let writer = "A (goroutine 2, in `a put-layer new base`) waits inside its process";
    assert_eq!(detail, format!("{reader}; {writer}"));
}

/// `Diff` makes the driver anew under the graph's lock, and `PutLayer` asks it under none.
#[test]
fn the_race_detector_sees_two_goroutines_at_the_graph_driver() {
    let Some(programs) = command().zip(driver_with_race_detector()) else { return };
    let calls = "open a; 1: a diff base; 1: a close-diff base; 2: a put-layer x base";
    let detail = found_with(programs, &workload(&["create-layer -i base"], &[], calls), "no-data-race");
    assert!(detail.contains("containers/storage.(*store).canUseShifting()"), "{detail}");
    assert!(detail.contains("containers/storage.(*store).Diff()"), "{detail}");
}

/// One store, and a process of its own for each: every order is explained by the sequential model.
#[test]
fn a_daemon_and_commands_are_explained() {
    let calls = "open a; a layers; 1: a put-layer x base; 1: a names x; 2: a create-image i base; 2: a images";
    let workload = workload(&["create-layer -i base"], &["create-layer -i y base", "exists x"], calls);
    let Some(report) = hunted(&workload, 12) else { return };
    assert!(report.violation.is_none() && report.lock_cycle.is_none(), "{report:?}");
    assert_eq!((report.ended, report.executions, report.cut), (Ended::Executions, 12, 0));
    assert_eq!(report.not_modelled, None);
}

/// What is not modelled is said: mounts, where each run root counts its own.
#[test]
fn what_is_not_modelled_is_said() {
    let calls = "open a; open b run2; 1: a status; 2: b mounted base";
    let Some(report) = hunted(&workload(&["create-layer -i base"], &[], calls), 1) else { return };
    assert_eq!(report.not_modelled.as_deref(), Some("`b mounted base` is not modelled"));
    assert!(report.violation.is_none(), "{report:?}");
}

/// `modified-edge-consumed`, found without being told: two stores of a process, one image each.
#[test]
fn what_random_calls_show_is_made_simpler() {
    let Some((command, driver)) = programs() else { return };
    let options = HuntOptions { seed: 2, ..options(&command, driver, 1) };
    let report = search(&harness(), &options, |_, _| true).unwrap();
    assert_eq!((report.workloads, report.executions, report.cut), (1, 1, 0));
    let [shown] = &report.shown[..] else { panic!("{report:?}") };
    assert_eq!((shown.violation.wrong.property, shown.seed, shown.times), ("acknowledged", 2, 1));
    assert_eq!(shown.repeated, REPEATS);
    let recording = &shown.violation.recording;
    assert_eq!(Recording::read(&recording.write()), Ok(recording.clone()));
    let needed = "open a run; open b run2; 2: a create-image i2 o; 2: b create-image i3 o";
    assert_eq!(recording.workload.daemons.iter().map(ToString::to_string).collect::<Vec<_>>(), [needed]);
    // The layer that both images need.
    assert_eq!(recording.workload.commands, [Workload::words("create-layer -i o base")]);
}

/// `incomplete-layer-visible`, found without being told: a kill near a document, and what is built upon what it leaves.
#[test]
fn a_kill_near_a_document_leaves_what_others_build_upon() {
    let Some((command, driver)) = programs() else { return };
    // As a rule the third execution shows it; when goroutines run is not quite ours, so there are more.
    let options = HuntOptions { seed: 18, simplify: Duration::ZERO, ..options(&command, driver, 200) };
    let is_half = |shown: &Shown| shown.violation.wrong.property == "half-made";
    let report = search(&harness(), &options, |_, new| !new.is_some_and(|(_, shown)| is_half(shown))).unwrap();
    let shown = report.shown.iter().find(|shown| is_half(shown));
    let recording = &shown.unwrap_or_else(|| panic!("nothing half-made is found: {report:?}")).violation.recording;
    let (at, fault) = recording.faults.iter().next().expect("somebody is killed");
    assert_eq!((recording.schedule[*at].0, fault.to_string().as_str()), (0, "crash"));
    let again =
        replay(&harness(), &[command.into()], &[driver.into()], recording, LIMITS, |done| done < TIMES).unwrap();
    assert!(again.found.iter().flatten().filter(|wrong| wrong.property == "half-made").count() == TIMES);
}
