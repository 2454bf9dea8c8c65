//! Each oracle of a hunt on a small store that is broken so that this oracle sees it, and no other does before.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{LIMITS, commands_at_once, harness, hunting};
use lockproof_harness::hunt::fault::Fault;
use lockproof_harness::hunt::faults::{FaultOptions, faults};
use lockproof_harness::hunt::workload::Workload;
use lockproof_harness::hunt::{Ended, HuntOptions, Search, hunt, replay};

/// Two marks that each command turns: the first sets it, the second takes it back; of two at once, both set it. `turn` leaves a
/// directory that is no layer's for as long, and after `images` the list of layers fails for as long.
const MARKS: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    --graph) mkdir -p "$2/vfs/dir"; cd "$2" || exit 1; shift;;
    --run|--storage-driver) shift;;
    turn) if [ -e set ]; then rm set; rmdir vfs/dir/lost; else mkdir -p vfs/dir/lost; : > set; fi; exit 0;;
    images) if [ -e hidden ]; then rm hidden; else : > hidden; fi; exit 0;;
    layers) [ ! -e hidden ]; exit;;
    *) exit 0;;
  esac
  shift
done
"#;

/// Hunts until something is wrong, which must be of this property, and is shown each time that it is run again.
fn finds(program: &Path, start: &[&str], commands: &[&str], property: &str) -> String {
    let workload = commands_at_once(start, commands);
    let options = HuntOptions { lanes: 2, simplify: Duration::ZERO, ..hunting(program, "broken") };
    let report = hunt(&harness(), &workload, &options, |_| true).unwrap();
    assert_eq!(report.ended, Ended::Violated, "{report:?}");
    let violation = report.violation.unwrap();
    assert_eq!(violation.wrong.property, property, "{}", violation.wrong.detail);
    let again = replay(&harness(), &[program.into()], &[], &violation.recording, LIMITS, |done| done < 3).unwrap();
    assert!(again.found.iter().all(|wrong| wrong.as_ref() == Some(&violation.wrong)), "{again:?}");
    violation.wrong.detail
}

fn marks(folder: &Path) -> PathBuf {
    script(folder, "store", MARKS)
}

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn locker() -> PathBuf {
    env!("CARGO_BIN_EXE_lockproof-locker").into()
}

#[test]
fn what_no_order_of_the_commands_leaves_half_made_is_not_whole() {
    let folder = tempfile::tempdir().unwrap();
    let detail = finds(&marks(folder.path()), &[], &["turn", "turn"], "whole");
    assert_eq!(detail, "directory lost has no layer; no order of the commands leaves it so");
}

/// The model of the store has nothing against what is there: only a command that comes later fails.
#[test]
fn a_later_command_that_fails_after_no_order_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let detail = finds(&marks(folder.path()), &[], &["images", "images"], "later");
    assert!(detail.contains("later, `layers` ends with 1"), "{detail}");
}

const DIRECTORY: [&str; 2] = ["directory vfs-layers write vfs-layers/new", "write vfs-layers/layers.lock"];

#[test]
fn a_document_that_is_replaced_without_its_lock_is_told_of() {
    let commands = ["rename vfs-layers/new vfs-layers/layers.json", "layers"];
    let detail = finds(&locker(), &DIRECTORY, &commands, "exclusive");
    assert_eq!(detail, "A replaces layers.json without its exclusive lock");
}

#[test]
fn a_document_that_is_replaced_and_not_stamped_is_told_of() {
    let replace = "exclusive vfs-layers/layers.lock rename vfs-layers/new vfs-layers/layers.json";
    finds(&locker(), &DIRECTORY, &[replace, "layers"], "stamped");
}

/// A store in which `half` leaves a layer that is not complete, and another one upon it; `whole` leaves both complete.
const HALF: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    --graph) mkdir -p "$2/vfs-layers" "$2/vfs/dir"; cd "$2" || exit 1; shift;;
    --run|--storage-driver) shift;;
    half|whole)
      mkdir vfs/dir/a vfs/dir/b
      mark=; [ "$1" = whole ] || mark=',"flags":{"incomplete":true}'
      printf '[{"id":"a"%s},{"id":"b","parent":"a"}]' "$mark" > vfs-layers/layers.json
      exit 0;;
    *) exit 0;;
  esac
  shift
done
"#;

/// A driver that has an answer to every call.
const DRIVER: &str = r#"#!/bin/sh
while read -r line; do
  id=${line#*'"id":'}
  id=${id%%,*}
  case $line in
    *'"call":"thread"'*) echo "{\"id\":$id,\"value\":$$}";;
    *) echo "{\"id\":$id}";;
  esac
done
"#;

/// Where processes of the library make calls, nothing may be built upon what is half-made.
#[test]
fn what_is_built_upon_something_half_made_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let (program, driver) = (script(folder.path(), "store", HALF), script(folder.path(), "driver", DRIVER));
    let hunted = |command: &str| {
        let daemons = vec!["open a".parse().unwrap()];
        let workload = Workload { daemons, ..commands_at_once(&[], &[command]) };
        let search = Search::Random;
        let options =
            HuntOptions { drivers: vec![driver.clone().into()], search, executions: 3, ..hunting(&program, "broken") };
        hunt(&harness(), &workload, &options, |_| true).unwrap()
    };
    let report = hunted("half");
    let wrong = report.violation.expect("something is wrong").wrong;
    assert_eq!(
        (wrong.property, wrong.detail.as_str()),
        ("half-made", "layer b is built upon a, which is not complete")
    );
    let report = hunted("whole");
    assert!(report.violation.is_none() && report.executions == 3, "{report:?}");
}

/// `hold` makes a directory and takes it away, with whatever is in it. `note` takes away what a `hold` that was killed has left,
/// and then makes something in it, if somebody has made it again; that stays only if its `hold` is killed after that. Then
/// `layers` cannot take it away.
const HOLDS: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    --graph) mkdir -p "$2"; cd "$2" || exit 1; shift;;
    --run|--storage-driver) shift;;
    hold) mkdir held; mv held gone && rm -r gone; exit 0;;
    note) rmdir held; mkdir held/note; exit 0;;
    layers) [ ! -e held ] || rmdir held; exit;;
    *) exit 0;;
  esac
  shift
done
"#;

/// Nothing is wrong without the crash in any order, nor with a crash at any event of one command that is alone up to it.
#[test]
fn a_crash_that_breaks_something_only_within_an_interleaving_is_found_there() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(folder.path(), "store", HOLDS);
    let workload = commands_at_once(&[], &["hold", "note"]);
    let sound = hunt(&harness(), &workload, &hunting(&program, "broken"), |_| true).unwrap();
    assert_eq!((sound.ended, sound.struck), (Ended::Exhausted, [].into()));
    let (programs, time) = (vec![program.clone().into()], Duration::from_secs(600));
    let options = FaultOptions { programs, faults: vec![Fault::Crash], time, limits: LIMITS };
    let alone = faults(&harness(), &workload, &options, |_| true).unwrap();
    assert!(alone.complete && alone.broken.is_empty(), "{:?}", alone.broken);
    for search in [Search::Random, Search::Pct { depth: 3 }] {
        let [(recording, wrong), three] = [1, 3].map(|lanes| {
            let (faults, seed, executions) = (vec![Fault::Crash], 10, 100);
            let options = HuntOptions { lanes, search, faults, seed, executions, ..hunting(&program, "broken") };
            let report = hunt(&harness(), &workload, &options, |_| true).unwrap();
            assert_eq!(report.ended, Ended::Violated, "{search:?}: {report:?}");
            let violation = report.violation.unwrap();
            let struck = violation.execution.steps.iter().filter(|step| step.fault.is_some()).count();
            assert_eq!(struck, 1, "{search:?}, {lanes} lanes: {violation:?}");
            (violation.recording, violation.wrong)
        });
        assert_eq!((&recording, &wrong), (&three.0, &three.1));
        assert_eq!((wrong.property, &*wrong.detail), ("recovery", "later, `layers` ends with 1"));
        assert_eq!(recording.faults.values().collect::<Vec<_>>(), [&Fault::Crash]);
        let again = replay(&harness(), &[program.clone().into()], &[], &recording, LIMITS, |done| done < 20).unwrap();
        assert_eq!(again.found, vec![Some(wrong); 20]);
    }
}

#[test]
fn faults_are_drawn_only_where_orders_are() {
    let options = HuntOptions { faults: vec![Fault::Crash], ..hunting(&locker(), "broken") };
    let refused = hunt(&harness(), &commands_at_once(&[], &["layers"]), &options, |_| true).unwrap_err();
    assert!(refused.to_string().contains("faults are drawn, for commands whose orders are drawn, too"), "{refused}");
}
