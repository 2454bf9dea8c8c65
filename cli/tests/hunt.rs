//! `lockproof hunt` as its user meets it.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{command, lockproof, stderr, stdout, until};

/// A store of two files: `put NAME` adds a name in two steps that nothing protects; `spill NAME` adds one in place, where a
/// crash leaves half of it. The file that `RUNS` names says that it has run.
const STORE: &str = r#"#!/bin/sh
case $* in *nosuch) echo 'nosuch: unrecognized command.' >&2; exit 1;; *version) exit;; esac
[ -z "$RUNS" ] || : > "$RUNS"
while [ $# -gt 0 ]; do
  case $1 in
    --graph) mkdir -p "$2"; cd "$2" || exit 1; shift;;
    --run|--storage-driver) shift;;
    put) read -r names < names 2> /dev/null; echo "$names $2" > new."$2"; mv new."$2" names; exit;;
    spill) IFS= read -r names < names; echo "$names" > names; echo "$2" >> names; echo "$2, too" >> names; exit;;
    layers) cat names 2> /dev/null; exit 0;;
    fail) echo "no such layer" >&2; exit 3;;
    *) exit 0;;
  esac
  shift
done
"#;

fn store(folder: &Path) -> PathBuf {
    let path = folder.join("store");
    fs::write(&path, STORE).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    path
}

fn hunt(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let store = store(folder);
    command(&["hunt", "--store"]).arg(store).args(arguments).current_dir(folder).output().expect("our own command")
}

/// What an error says, however it is wrapped.
fn words(said: &str) -> String {
    let words = said.split_whitespace().filter(|word| !["×", "│", "╰─▶", "help:"].contains(word));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_lost_update_is_found_recorded_and_shown_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = hunt(folder.path(), &["--start", "put base", "put x", "put y"]);
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("✗ violated  put x ‖ put y"), "{said}");
    assert!(said.contains("renames root/new.x to root/names"), "{said}");
    assert!(said.contains("later commands answer as after no order"), "{said}");
    let few = hunt(folder.path(), &["--start", "put base", "--preemptions-max", "1", "put x", "put y"]);
    assert!(stdout(&few).contains("✗ violated  put x ‖ put y"), "{}{}", stdout(&few), stderr(&few));
    let again = hunt(folder.path(), &["--replay", "lockproof-hunt.json", "--times", "5"]);
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    assert!(stdout(&again).ends_with("shown 5 times out of 5\n"), "{}", stdout(&again));
    let json = hunt(folder.path(), &["--replay", "lockproof-hunt.json", "--format", "json"]);
    assert_eq!(json.status.code(), Some(1), "{}", stderr(&json));
    let said: serde_json::Value = serde_json::from_str(&stdout(&json)).expect("JSON");
    assert_eq!((&said["shown"], &said["found"][0]["property"]), (&1.into(), &said["property"]), "{said}");
    assert_eq!(said["participants"], serde_json::json!(["put x", "put y"]));
    let steps = said["steps"].as_array().expect("steps");
    assert!(
        steps.iter().any(|step| step["participant"] == 1 && step["what"] == "renames root/new.y to root/names"),
        "{said}"
    );
}

#[test]
fn what_is_exhausted_is_proved_and_what_is_not_is_cut_or_sampled() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, verdict) in [
        (&["layers", "layers"][..], "proved"),
        (&["--preemptions-max", "1", "layers", "layers"], "bounded"),
        (&["--executions-max", "1", "--start", "put base", "put x", "layers"], "cut"),
        (&["--executions-max", "3", "--strategy", "random", "--seed", "7", "layers", "layers"], "sampled"),
        (&["--executions-max", "3", "--strategy", "pct", "layers", "layers"], "sampled"),
    ] {
        let output = hunt(folder.path(), &[arguments, &["--format", "json"]].concat());
        let report: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert_eq!((&report["version"], &report["verdict"]), (&1.into(), &verdict.into()), "{report}");
        assert_eq!(output.status.code(), Some(i32::from(verdict == "cut")), "{report}");
    }
}

/// Between the emptying of the file and the writing there is nothing in it; between the last two lines half.
#[test]
fn a_crash_at_every_event_finds_what_is_lost_and_what_is_half_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let sound = hunt(folder.path(), &["--crash", "--start", "put base", "put x"]);
    assert_eq!(sound.status.code(), Some(0), "{}{}", stdout(&sound), stderr(&sound));
    assert!(stdout(&sound).starts_with("✓ proved  put x, crash"), "{}", stdout(&sound));
    let output = hunt(folder.path(), &["--crash", "--fail", "ENOSPC,short-write", "--start", "put base", "spill x"]);
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    let said = stdout(&output);
    for part in [
        "✗ acknowledged  crash before event",
        "✗ acknowledged  ENOSPC in place of event",
        "of `spill x`: writes root/names",
        "✗ half-made  crash before event",
        "✗ violated  spill x, crash, ENOSPC, short-write",
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    let again = hunt(folder.path(), &["--replay", "lockproof-hunt.json", "--times", "5"]);
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    assert!(stdout(&again).contains("crash in place of: writes root/names"), "{}", stdout(&again));
    assert!(stdout(&again).ends_with("shown 5 times out of 5\n"), "{}", stdout(&again));
    let format = ["--format", "json", "--executions-max", "1"];
    let cut = hunt(folder.path(), &[&["--crash", "--start", "put base", "put x"][..], &format].concat());
    let report: serde_json::Value = serde_json::from_str(&stdout(&cut)).expect("JSON");
    assert_eq!((&report["verdict"], &report["tried"]["crash"]), (&"cut".into(), &1.into()), "{report}");
    assert_eq!(cut.status.code(), Some(1));
    let unknown = hunt(folder.path(), &["--fail", "ENOENT", "put x"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn faults_are_drawn_within_interleavings_that_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let drawn = ["--crash", "--strategy", "random", "--executions-max", "3", "--format", "json", "layers", "layers"];
    let output = hunt(folder.path(), &drawn);
    let report: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    // The first tells how long they are.
    assert_eq!((&report["verdict"], &report["struck"]["crash"]), (&"sampled".into(), &2.into()), "{report}");
    assert_eq!(output.status.code(), Some(0), "{report}");
    for option in [["--strategy", "exhaustive"], ["--seed", "7"], ["--depth", "2"]] {
        let refused = hunt(folder.path(), &[&["--crash", "put x"][..], &option].concat());
        assert_eq!(refused.status.code(), Some(2));
        assert!(stderr(&refused).contains(option[0]), "{}", stderr(&refused));
    }
}

/// A terminal sends SIGINT to all of the process group: the commands that are hunted are not in it, for they would end otherwise
/// than they do. A shell makes its background jobs ignore the signal: env(1) takes that back.
#[test]
fn ctrl_c_tells_what_was_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, runs) = (store(folder.path()), folder.path().join("runs"));
    for (arguments, verdict) in [
        (&["--strategy", "random", "put x", "layers"][..], "· sampled  put x ‖ layers"),
        (&["put x", "layers", "layers"], "· cut  put x ‖ layers ‖ layers"),
    ] {
        let own = command(&["hunt", "--store"]);
        let child = Command::new("env")
            .arg("--default-signal=INT")
            .arg(own.get_program())
            .args(own.get_args())
            .arg(&store)
            .args(arguments)
            .envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("RUNS", &runs)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("our own command");
        until("it hunts", || runs.exists());
        let sent =
            Command::new("sh").args(["-c", &format!("kill -s INT -- -{}", child.id())]).status().expect("a shell");
        assert!(sent.success());
        let output = child.wait_with_output().expect("an end");
        assert!(stdout(&output).starts_with(verdict), "{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.signal(), Some(2), "a shell says 130");
        fs::remove_file(&runs).expect("a file");
    }
}

#[test]
fn wrong_use_says_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(lockproof(&["hunt"]).status.code(), Some(2));
    let output = lockproof(&["hunt", "--store", "9.9.9", "layers"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output));
    let output = hunt(folder.path(), &["--start", "fail", "layers"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(stderr(&output));
    // A command that is misspelt is no proof of anything.
    for arguments in [&["layers", "nosuch"][..], &["--crash", "nosuch"], &["--strategy", "random", "nosuch"]] {
        let output = hunt(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
        let said = words(&stderr(&output));
        assert!(
            said.contains("`nosuch` fails, and asks nothing of the store: nosuch: unrecognized command."),
            "{said}"
        );
    }
    let output = hunt(folder.path(), &["version", "version"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("there was nothing to be ordered"), "{}", stdout(&output));
    // Said at once, and not when there is something to record.
    let output = hunt(folder.path(), &["--record", "missing/found.json", "layers"]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    assert!(stderr(&output).contains("failed to create missing/found.json"), "{}", stderr(&output));
    assert!(!folder.path().join("lockproof-hunt.json").exists());
    fs::write(folder.path().join("not.json"), "{").expect("a file");
    let output = hunt(folder.path(), &["--replay", "not.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("failed to read the recording not.json"), "{}", stderr(&output));
}

/// The same store, which says which commands it knows. `wipe` is two steps that nothing protects, `create-layer` is one.
const NAMED: &str = r#"#!/bin/sh
for word; do
  if [ "$word" = --help ]; then
    printf 'Commands:\n\n  create-layer  makes\n  wipe  empties\n  version  says\n\nOptions:\n\n  --graph  where\n'
    exit 0
  fi
done
while [ $# -gt 0 ]; do
  case $1 in
    --graph) mkdir -p "$2"; cd "$2" || exit 1; shift;;
    --run|--storage-driver) shift;;
    layers) cat names 2> /dev/null; exit 0;;
    create-layer) echo "$3" > names; exit;;
    wipe) read -r names < names 2> /dev/null; echo "$names again" > new; mv new names; exit;;
    *) exit 0;;
  esac
  shift
done
"#;

/// `wipe` against itself loses one of two words; known.toml knows nothing of it, a file of ours does.
#[test]
fn pairs_fail_on_what_is_new_and_not_on_what_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("named");
    fs::write(&path, NAMED).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    let pairs = |more: &[&str]| {
        let arguments = ["hunt", "--pairs", "--from", "empty", "--for", "2m", "--store"];
        command(&arguments).arg(&path).args(more).current_dir(folder.path()).output().expect("our own command")
    };
    let output = pairs(&[]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}{}", stderr(&output));
    assert!(said.contains("3 workloads: "), "{said}");
    assert!(said.contains("left out: ") && said.contains("version takes no lock"), "{said}");
    assert!(said.contains("check is not known there"), "{said}");
    assert!(said.contains("--replay lockproof-hunt.json --times 20"), "{said}");
    let known = |property: &str| {
        format!(
            "[[known]]\nname = \"{property}\"\nproperty = \"{property}\"\ncommands = [\"wipe\"]\nkind = \"by-design\"\n\
             source = \"this test\"\nwhy = \"nothing protects it\"\n"
        )
    };
    // The model knows `wipe`, but not the `create-layer` of this store, which leaves no document.
    let known: String = ["serial", "linearizable", "atomic"].map(known).concat();
    fs::write(folder.path().join("mine.toml"), known).expect("a file");
    let output = pairs(&["--baseline", "mine.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(
        stdout(&output).contains("0 new findings, ") && !stdout(&output).contains(", 0 known ones"),
        "{}",
        stdout(&output)
    );
}

/// The program is gone after its first `wipe`: nothing is said of any order, which is no pass.
#[test]
fn what_could_not_be_run_is_no_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gone");
    let program = NAMED.replace("create-layer  makes\\n  ", "").replace("wipe) ", "wipe) rm -f \"$0\"; ");
    fs::write(&path, program).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    let mut pairs = command(&["hunt", "--pairs", "--from", "empty", "--store"]);
    let output = pairs.arg(&path).current_dir(folder.path()).output().expect("our own command");
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("\n1 workload: 1 not run; 0 executions, "), "{said}");
    assert!(said.contains("\n0 new findings, 0 known ones\n"), "{said}");
}

/// Each release meets the daemon, too.
#[test]
fn a_table_of_releases_has_the_daemons() {
    let folder = tempfile::tempdir().expect("a folder");
    for release in ["1.0", "2.0"] {
        let place = folder.path().join("target/releases").join(release);
        fs::create_dir_all(&place).expect("a folder");
        fs::rename(store(folder.path()), place.join("containers-storage")).expect("a program");
    }
    let all = |arguments: &[&str]| {
        let begin = ["hunt", "--store", "all", "--driver", "reference:v1_43", "--executions-max", "5", "--daemon"];
        command(&begin).args(arguments).current_dir(folder.path()).output().expect("our own command")
    };
    let output = all(&["open a; a images", "put x"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let said = stdout(&output);
    for release in ["1.0", "2.0"] {
        let row = format!("· sampled   {release}            put x ‖ open a; a images  5 executions\n");
        assert!(said.contains(&row), "{said}");
    }
    let refused = all(&["random"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stdout(&refused));
    assert!(stderr(&refused).contains("--daemon random"), "{}", stderr(&refused));
}

#[test]
fn a_baseline_that_cannot_be_read_is_wrong_use() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("mine.toml"), "[[known]]\nname = 1").expect("a file");
    let output = hunt(folder.path(), &["--baseline", "mine.toml", "layers"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("failed to read what is known from mine.toml"), "{}", stderr(&output));
}

#[test]
fn what_a_daemon_is_told_must_make_sense() {
    let folder = tempfile::tempdir().expect("a folder");
    for (calls, problem) in [
        (&["open a; 1: a image"][..], "there is no call image"),
        (&["1: a images"], "write `open a`"),
        (&["random", "open a; a images"], "it stands alone"),
    ] {
        let arguments: Vec<&str> = calls.iter().flat_map(|calls| ["--daemon", calls]).collect();
        let output = hunt(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
        let said = words(&stderr(&output));
        assert!(said.contains(problem), "{said}");
    }
}

/// A lost image (D14), by daemons of our own, which need no Go: the recording says what they were.
#[test]
fn a_recording_knows_what_its_daemons_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let begin = ["hunt", "--store", "reference:v1_43"];
        command(&begin).args(arguments).current_dir(folder.path()).output().expect("our own command")
    };
    let calls = "open a; open b run2; b images; 1: a create-image i base; 2: b create-image j base";
    let output = run(&[
        "--start",
        "create-layer -i base",
        "--driver",
        "reference:v1_43",
        "--daemon",
        calls,
        "--record",
        "lost.json",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("again: lockproof hunt --store reference:v1_43 --replay lost.json --times 20\n"));
    let again = run(&["--replay", "lost.json", "--times", "5"]);
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    assert!(stdout(&again).ends_with("shown 5 times out of 5\n"), "{}", stdout(&again));
    let sound = run(&["--replay", "lost.json", "--driver", "reference:v1_48"]);
    assert!(stdout(&sound).contains("shown 0 times out of 1"), "{}{}", stdout(&sound), stderr(&sound));
    let race = run(&["--replay", "lost.json", "--race"]);
    assert_eq!(race.status.code(), Some(2), "{}", stdout(&race));
    assert!(
        stderr(&race).contains("`--race` is about daemons of the Go library, and there are none"),
        "{}",
        stderr(&race)
    );
}

#[test]
fn options_of_daemons_are_refused_where_there_are_none() {
    let folder = tempfile::tempdir().expect("a folder");
    for (options, refused) in [
        (&["--race", "layers"][..], "`--race` is about daemons"),
        (&["--go-source", ".", "layers"], "`--go-source` is about daemons"),
        (&["--driver", "library", "layers", "images"], "`--driver` is about daemons"),
        (
            &["--driver", "reference:v1_43", "--go-source", ".", "--daemon", "open a"],
            "`--go-source` is about daemons of the Go library",
        ),
        (
            &["--driver", "reference:v1_43", "--daemon", "open a; a pull-layer x base f"],
            "`a pull-layer x base f`: no call of a reference process is named",
        ),
    ] {
        let output = hunt(folder.path(), options);
        assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
        let said = words(&stderr(&output));
        assert!(said.contains(refused), "{said}");
    }
}

/// Who gives an option expects that it changes something.
#[test]
fn options_that_would_change_nothing_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for (options, refused) in [
        (
            &["layers", "--times", "3"][..],
            "`--times` means nothing to the interleavings of one workload it goes with `--replay`",
        ),
        (
            &["layers", "--from", "empty"],
            "`--from` means nothing to the interleavings of one workload it goes with `--pairs`",
        ),
        (&["layers", "--for", "10m"], "`--for` means nothing"),
        (&["layers", "--seed", "1"], "`--seed` means nothing to `--strategy exhaustive`"),
        (&["layers", "--strategy", "random", "--depth", "2"], "`--depth` means nothing to `--strategy random`"),
        (&["--pairs", "--times", "1"], "`--times` means nothing to `--pairs`"),
        (&["--pairs", "--race"], "`--race` means nothing to `--pairs`"),
        (&["--crash", "layers", "--lanes", "1"], "`--lanes` means nothing to faults at every event in turn"),
        (&["--daemon", "random", "--strategy", "pct"], "`--strategy` means nothing to `--daemon random`"),
        (&["--replay", "not.json", "--time-max", "1s"], "`--time-max` means nothing to `--replay`"),
        (&["--replay", "not.json", "--record", "other.json"], "`--record` means nothing to `--replay`"),
    ] {
        let output = hunt(folder.path(), options);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {}", stdout(&output));
        let said = words(&stderr(&output));
        assert!(said.contains(refused), "{options:?}: {said}");
    }
}
