//! `lockproof replay` and `lockproof stress`: the same violation, seen on real processes.

mod common;

use common::{command, json, lockproof, says, schedule, stderr, steady};

fn replay(scenario: &str, protocol: &str, property: &str, more: &[&str]) -> String {
    let schedule = schedule(scenario, protocol, property);
    let arguments = ["replay", scenario, "-p", protocol, "--schedule", &schedule];
    says(&[&arguments[..], more].concat(), 0)
}

/// `text` with its lines joined, for sentences that may be broken between any two words.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_stale_read_is_seen_again() {
    let text = replay("stale-ro-cache-after-rw-write", "pr_473", "fresh", &[]);
    let real = text.split("By real processes").nth(1).expect("real processes");
    // Joined: where a line is broken depends on the length of a process id.
    insta::assert_snapshot!(steady(&joined(real)));
}

/// Both ask at the end of the trace: which of them the kernel lets wait, and which it refuses, is the kernel's choice.
#[test]
fn a_deadlock_is_seen_by_the_kernels_account() {
    let text = replay("abba-layer-locks", "per_layer_locks", "no-deadlock", &[]);
    let account = text.split("The kernel's own account").nth(1).expect("an account");
    assert_eq!(account.matches("->").count(), 1, "one blocked entry: {text}");
    let asked: Vec<&str> = account.lines().filter(|line| line.contains("asked for")).collect();
    let refused: Vec<&&str> = asked.iter().filter(|line| line.contains("EDEADLK")).collect();
    assert_eq!((asked.len(), refused.len()), (2, 1), "one is refused, the other waits: {text}");
    assert!(asked.iter().all(|line| line.contains(": not granted")), "{text}");
    let times = refused[0].split(' ').rev().nth(1).and_then(|times| times.parse::<u32>().ok());
    assert!(times.is_some_and(|times| times > 1), "an unbroken series: {text}");
    assert!(text.contains("at the end pull waits for W(b), kept from it by delete (W)"), "{text}");
    assert!(text.contains("at the end delete stands before W(a), kept from it by pull (R)"), "{text}");
}

#[test]
fn a_lasso_is_gone_round_as_often_as_asked() {
    let steps = |rounds: &str| {
        let text = replay("writer-starvation", "v1_24", "no-starvation-weak", &["--rounds", rounds]);
        assert!(joined(&text).contains(&format!("{rounds} rounds")), "{text}");
        let real = text.split("By real processes: ").nth(1).expect("real processes");
        assert!(real.contains("each as in the model") && real.contains("✗ no-starvation-weak"), "{text}");
        real.split(' ').next().expect("a number").parse::<usize>().expect("a number")
    };
    let (three, five) = (steps("3"), steps("5"));
    let (round, rest) = ((five - three) / 2, (five - three) % 2);
    assert!(round > 10 && rest == 0 && three > 3 * round, "{three} and {five} steps");
}

#[test]
fn a_data_race_shows_the_two_accesses() {
    let text = replay("graphlock-scope-race", "pr_473", "no-data-race", &[]);
    assert!(text.contains("daemon.T1 stands before a write of s.roLayerStore"), "{text}");
    assert!(joined(&text).contains("thread 1 writes s.roLayerStore and thread 2 reads it"), "{text}");
}

#[test]
fn the_model_alone_starts_no_process() {
    let text = replay("stale-ro-cache-after-rw-write", "pr_473", "fresh", &["--model-only"]);
    assert!(text.contains("✗") && !text.contains("real processes"), "{text}");
}

#[test]
fn a_damaged_schedule_and_an_impossible_one_are_wrong_use() {
    let refused = |schedule: &str| {
        let output = lockproof(&["replay", "abba-layer-locks", "-p", "v1_24", "--schedule", schedule]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{}", stderr(&output));
        stderr(&output)
    };
    let whole = schedule("abba-layer-locks", "per_layer_locks", "no-deadlock");
    let damaged = whole.replacen('A', "B", 1);
    assert_ne!(whole, damaged);
    assert!(refused(&damaged).contains("checksum"));
    // It belongs to another protocol: there is a step that this one cannot take.
    let text = refused(&schedule("stale-ro-cache-after-rw-write", "pr_473", "fresh"));
    assert!(text.contains("of the schedule is not possible"), "{text}");
    let number = text.split("step ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a number");
    assert!(number.parse::<usize>().is_ok_and(|number| number > 1), "{text}");
}

#[test]
fn a_stress_measures_waits() {
    let measured = json(&["stress", "writer-starvation", "-p", "v1_24", "--for", "2s", "--again"], 0);
    assert_eq!((&measured["version"], &measured["protocol"]), (&1.into(), &"v1_24".into()));
    assert!(measured["seconds"].as_f64().is_some_and(|seconds| (1.9..10.0).contains(&seconds)), "{measured}");
    let processes = measured["processes"].as_array().expect("an array");
    let names: Vec<_> = processes.iter().map(|process| process["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["reader-1", "reader-2", "writer"]);
    for process in processes {
        assert!(process["calls"].as_u64().is_some_and(|calls| calls > 0), "{process}");
        for wait in process["waits"].as_array().expect("an array") {
            let number = |key: &str| wait[key].as_u64().unwrap_or_else(|| panic!("{key} of {wait}"));
            assert!(number("grants") > 0, "{wait}");
            assert!(number("wait_p50_ns") <= number("wait_p99_ns") && number("wait_p99_ns") <= number("wait_max_ns"));
            assert!(number("overtakes_p50") <= number("overtakes_max") && number("edeadlk") < u64::MAX);
        }
    }
}

#[test]
fn a_stress_for_people_fits_in_80_columns() {
    let output = command(&["stress", "abba-layer-locks", "-p", "pr_473", "--for", "1s"]).output().expect("our command");
    assert_eq!(output.status.code(), Some(0));
    let text = common::stdout(&output);
    let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest <= 80 && text.contains("p99"), "{widest}: {text}");
}
