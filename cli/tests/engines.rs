//! `lockproof check --engine`: engines side by side, what they leave open, and what they refuse.

mod common;

use common::{json, lockproof, says, stderr, stdout, steady};
use serde_json::Value;

/// Of the protocols, those that the discussion was about.
const DISCUSSED: [&str; 6] = ["-p", "v1_24", "-p", "pr_473", "-p", "one_way_upgrade"];

fn verdicts(report: &Value) -> impl Iterator<Item = &Value> {
    report["verdicts"].as_array().expect("an array").iter()
}

#[test]
fn the_stale_read_of_the_discussion_by_all_engines() {
    let check = ["check", "stale-ro-cache-after-rw-write", "--engine", "all", "--quiet"];
    let text = says(&[&check[..], &DISCUSSED].concat(), 0);
    insta::assert_snapshot!(steady(&text));
}

#[test]
fn the_data_race_of_the_discussion_by_all_engines() {
    let check = ["check", "graphlock-scope-race", "--engine", "all", "--quiet"];
    let text = says(&[&check[..], &DISCUSSED].concat(), 0);
    insta::assert_snapshot!(steady(&text));
}

/// Remark D13: the two accesses, by the explorer and by loom's own race detector.
#[test]
fn the_explorer_and_loom_name_the_same_two_accesses() {
    let check = ["check", "graphlock-scope-race", "-p", "pr_473", "--engine", "explore,loom", "--no-real"];
    let report = json(&check, 0);
    let details: Vec<&str> = verdicts(&report).map(|verdict| verdict["detail"].as_str().expect("a string")).collect();
    let both = "`status` writes s.roLayerStore while `status` reads it, in two threads of one process";
    assert_eq!(details, [both, both]);
    assert_eq!(report["agreement"]["compared"], 1);
    let text = says(&check, 0);
    assert!(text.contains("daemon.T1 stands before a write of s.roLayerStore"), "{text}");
    assert_eq!(text.matches("  lockproof replay graphlock-scope-race -p pr_473 --schedule lk1:").count(), 1, "{text}");
    assert!(text.contains("  loom finds the same schedule\n"), "{text}");
}

#[test]
fn a_counterexample_of_loom_is_told_replayed_and_can_be_run_again() {
    let check = ["check", "sibling-consumes-the-change", "-p", "pr_473", "--engine", "loom"];
    let text = says(&check, 0);
    assert!(text.contains("sibling-consumes-the-change under pr_473: fresh violated, found by loom\n"), "{text}");
    assert!(text.contains("✗ `exists new` returns no, but all the while the answer was yes"), "{text}");
    assert!(text.contains("    by processes  ✗ violated"), "{text}");
    let report = json(&check, 0);
    let found: Vec<_> = verdicts(&report).map(|verdict| (&verdict["engine"], &verdict["found_by"])).collect();
    assert_eq!(found, [(&"loom".into(), &Value::Null), (&"processes".into(), &"loom".into())]);
    let schedule = report["verdicts"][0]["schedule"].as_str().expect("a schedule");
    let again =
        says(&["replay", "sibling-consumes-the-change", "-p", "pr_473", "--model-only", "--schedule", schedule], 0);
    assert!(again.contains("✗ `exists new` returns no"), "{again}");
}

#[test]
fn what_loom_leaves_open_is_no_pass() {
    let check = ["check", "abba-layer-locks", "-p", "v1_24", "--property", "no-deadlock", "--preemption-bound", "1"];
    let alone = json(&[&check[..], &["--engine", "loom"]].concat(), 0);
    let verdict = &alone["verdicts"][0];
    assert_eq!((&verdict["verdict"], &verdict["expected"]), (&"bounded".into(), &"proved".into()));
    let text = says(&[&check[..], &["--engine", "loom"]].concat(), 0);
    assert!(text.contains("~ bounded") && !text.contains('✓') && text.contains("1 left open"), "{text}");
    let few = [&check[..6], &["--permutations-max", "3"]].concat();
    // Alone, a cut is no answer; beside the explorer's it is a limit that is shown.
    let text = says(&[&few[..], &["--engine", "loom"]].concat(), 1);
    assert!(text.contains("? cut !!") && text.contains("more than 3 executions"), "{text}");
    let text = says(&[&few[..], &["--engine", "explore,loom"]].concat(), 0);
    assert!(text.contains("? cut 3\n") && text.contains("no verdict compared"), "{text}");
}

#[test]
fn engines_that_have_no_means_are_named_with_the_reason() {
    let check = ["check", "writer-starvation", "-p", "v1_24", "--engine"];
    let output = lockproof(&[&check[..], &["loom"]].concat());
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("nothing was judged: loom: no-starvation-weak is about"), "{}", stderr(&output));
    let report = json(&[&check[..], &["explore,loom", "--no-real"]].concat(), 0);
    assert_eq!((verdicts(&report).count(), report["refused"].as_array().map(Vec::len)), (2, Some(2)));
    let junit = says(&[&check[..], &["explore,loom", "--no-real", "--format", "junit"]].concat(), 0);
    assert!(junit.contains("tests=\"4\" failures=\"0\" errors=\"0\" skipped=\"2\""), "{junit}");
}

#[test]
fn an_option_of_an_engine_that_was_not_asked_for_is_wrong_use() {
    for (options, named) in [
        (["--preemption-bound", "2"], "`--preemption-bound 2` is an option of loom"),
        (["--engine=loom,explore", "--seed=7"], "`--seed 7` is an option of shuttle"),
        (["--rounds", "3"], "`--rounds 3` is an option of loom"),
        (["--engine=loom", "--exact"], "`--exact` is an option of explore"),
        (["--preemption-bound", "two"], "a whole number, such as 2, or `none`"),
        (["--engine", "spin"], "possible values: explore, loom, shuttle, all"),
    ] {
        let output = lockproof(&[&["check", "abba-layer-locks"], &options[..]].concat());
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{options:?}");
        assert!(stderr(&output).contains(named), "{}", stderr(&output));
    }
}

/// The same seed draws the same schedules, another one others; what was found can be run again, and shuttle's own text of
/// it is kept.
#[test]
fn a_seed_of_shuttle_repeats_what_it_found() {
    let check = ["check", "sibling-consumes-the-change", "-p", "pr_473", "--engine", "shuttle", "--no-real"];
    let found = |seed: &str| json(&[&check[..], &["--strategy", "random", "--seed", seed]].concat(), 0);
    let (first, again, other) = (found("7"), found("7"), found("8"));
    let what = |report: &Value| {
        let row = &report["verdicts"][0];
        (row["verdict"].clone(), row["schedule"].clone(), row["own_schedule"].clone(), row["schedules"].clone())
    };
    assert_eq!(what(&first), what(&again));
    assert_ne!(what(&first), what(&other));
    let row = &first["verdicts"][0];
    assert_eq!((&row["verdict"], &row["strategy"], &row["seed"]), (&"violated".into(), &"random".into(), &7.into()));
    let own = row["own_schedule"].as_str().expect("shuttle's own text");
    let text = says(&[&check[..], &["--strategy", "random", "--seed", "7"]].concat(), 0);
    assert!(text.contains("fresh violated, found by shuttle (random, seed 7)\n"), "{text}");
    assert!(text.contains(&format!("  the schedule in the writing of shuttle: {own}\n")), "{text}");
    let schedule = row["schedule"].as_str().expect("a schedule");
    let replay = ["replay", "sibling-consumes-the-change", "-p", "pr_473", "--schedule", schedule];
    assert!(says(&replay, 0).contains("\n✗ fresh: "), "{}", says(&replay, 0));
}

#[test]
fn a_sample_says_what_it_rests_on() {
    let check = ["check", "stale-ro-cache-after-rw-write", "-p", "v1_24", "--engine", "shuttle", "--schedules", "20"];
    let text = says(&[&check[..], &["--depth", "2"]].concat(), 0).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("~ sampled") && text.contains("20 schedules, pct of depth 2, seed 1"), "{text}");
    assert!(text.contains("1 left open") && !text.contains('✓'), "{text}");
    let output = lockproof(&[&check[..], &["--strategy", "random", "--depth", "2"]].concat());
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("`--depth 2` means nothing to `--strategy random`"), "{}", stderr(&output));
}

/// A wrong expectation makes one engine's answer unexpected, not a contradiction: both give the same.
#[test]
fn two_engines_that_surprise_alike_do_not_contradict_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("my race.toml");
    let mine = says(&["show", "stale-ro-cache-after-rw-write", "--toml"], 0);
    std::fs::write(&path, mine.replace("name = \"stale-ro-cache-after-rw-write\"", "name = \"mine\"")).expect("a file");
    let path = path.to_str().expect("UTF-8");
    let text = says(&["check", path, "-p", "pr_473", "--engine", "explore,loom", "--no-real"], 0);
    assert!(text.contains(&format!("lockproof replay '{path}' -p pr_473 --schedule lk1:")), "{text}");
    let wrong = mine.replace("violated = [", "bounded = [");
    assert_ne!(wrong, mine);
    std::fs::write(path, wrong).expect("a file");
    let report = json(&["check", path, "-p", "pr_473", "--engine", "explore,loom", "--no-real"], 1);
    assert_eq!(report["agreement"], serde_json::json!({ "compared": 1, "contradictions": [] }));
    assert_eq!(report["summary"], serde_json::json!({ "as_expected": 0, "unexpected": 2 }));
}
