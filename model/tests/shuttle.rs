//! shuttle draws schedules of what is too big for exhaustion, says what chance of a miss is left, and what it finds is run
//! again: by the machine, and from shuttle's own text.

mod common;

use std::time::Duration;

use common::small::tinies;
use common::{d14, exists, layer, names, once, process, put, set_names, system, tiny};
use lockproof_model::call::Call;
use lockproof_model::engine::shuttle::{ReplayError, ShuttleOptions, Strategy, check, replay};
use lockproof_model::engine::{Error, Report};
use lockproof_model::property::Property;
use lockproof_model::system::{Repeat, System};
use lockproof_model::verdict::Verdict;
use lockproof_model::witness::validate;

const STRATEGIES: [Strategy; 3] = [Strategy::Random, Strategy::Pct { depth: 3 }, Strategy::Dfs];

fn options(strategy: Strategy, schedules: u64) -> ShuttleOptions {
    ShuttleOptions { strategy, schedules, ..ShuttleOptions::default() }
}

/// What is violated, with every sign that it is: the machine repeats it, and so does shuttle from its own text.
fn violated(system: &System, property: Property, options: &ShuttleOptions) -> Report {
    let report = check(system, &[property], options).unwrap();
    let finding = &report.findings[0];
    assert_eq!(finding.verdict, Verdict::Violated, "{:?}", options.strategy);
    validate(system, &[property], finding, 1_000).unwrap();
    let own = &report.own_schedules[&property];
    let again = replay(system, &[property], own, options).unwrap();
    assert_eq!((&again.findings[0].verdict, &again.findings[0].detail), (&Verdict::Violated, &finding.detail));
    assert_eq!(again.findings[0].trace, finding.trace, "the same run");
    report
}

#[test]
fn the_stale_read_of_d14() {
    for strategy in STRATEGIES {
        let report = violated(&d14("pr_473"), Property::Fresh, &options(strategy, 10));
        assert_eq!(report.extent.executions, 1, "one thread has one schedule");
    }
    // A reader that has the store already, beside a writer of the other version.
    let mut mixed = d14("pr_473");
    mixed.processes.push(process("v1_24", vec![once(&[set_names("base", &["baz"])])]));
    for strategy in [Strategy::Random, Strategy::Pct { depth: 3 }] {
        violated(&mixed, Property::Fresh, &options(strategy, 100));
    }
}

#[test]
fn the_data_race_of_d13() {
    let threads = vec![once(&[Call::Status]), once(&[Call::Status])];
    let racing = |protocol: &str| system(&[layer("base", &["foo"], "")], vec![process(protocol, threads.clone())]);
    for strategy in STRATEGIES {
        let report = violated(&racing("pr_473"), Property::NoDataRace, &options(strategy, 100));
        assert!(report.findings[0].detail.contains("s.roLayerStore"), "{}", report.findings[0].detail);
    }
    let report = check(&racing("v1_24"), &[Property::NoDataRace], &options(Strategy::Pct { depth: 2 }, 100)).unwrap();
    assert!(matches!(report.findings[0].verdict, Verdict::Sampled(_)));
}

/// Eight processes with three calls each; one process in two writes.
fn crowd(protocol: &str) -> System {
    let reader = || process(protocol, vec![once(&[names("base"), exists("base"), names("base")])]);
    let writer = |id: &str| {
        let script = [put(id, Some("base"), false), names("base"), set_names("base", &["foo", id])];
        process(protocol, vec![once(&script)])
    };
    let processes = ["a", "b", "c", "d"].into_iter().flat_map(|id| [reader(), writer(id)]).collect();
    system(&[layer("base", &["foo"], "")], processes)
}

#[test]
fn eight_processes_and_three_calls() {
    let report = check(&crowd("v1_24"), &[Property::Fresh, Property::NoLostUpdate], &options(Strategy::Random, 50));
    let report = report.unwrap();
    for finding in &report.findings {
        assert_eq!(finding.verdict, Verdict::Sampled("50 schedules, random, seed 1".into()), "{}", finding.detail);
    }
    assert_eq!(report.extent.executions, 50);
}

#[test]
fn pct_says_what_it_may_have_missed() {
    let system = tinies(tiny::tiny(), &["X:a U:a", "X:a U:a"]);
    let report = check(&system, &[Property::NoPanic], &options(Strategy::Pct { depth: 1 }, 20)).unwrap();
    // Depth 1: each schedule is right with a chance of one in two threads, whatever the number of choices.
    let miss = report.miss_max.unwrap();
    assert!((miss - 0.5_f64.powi(19)).abs() < 1e-9, "{miss}");
    let text = "20 schedules, pct of depth 1, seed 1; misses a bug of that depth with p ≤ 0.001 (2 threads, 2 choices)";
    assert_eq!(report.findings[0].verdict, Verdict::Sampled(text.into()));
    let random = check(&system, &[Property::NoPanic], &options(Strategy::Random, 20)).unwrap();
    assert_eq!(random.miss_max, None);
}

#[test]
fn the_same_seed_draws_the_same_schedules() {
    let system = tinies(tiny::tiny(), &["X:a choose:3 U:a panic:oh", "X:a wr:a U:a", "t:a ws:a U:a"]);
    for strategy in [Strategy::Random, Strategy::Pct { depth: 3 }] {
        let of = |seed: u64| {
            let options = ShuttleOptions { seed, ..options(strategy, 200) };
            let report = check(&system, &[Property::NoPanic], &options).unwrap();
            (report.extent.executions, report.own_schedules)
        };
        assert_eq!(of(7), of(7));
        assert_ne!(of(7).1, of(8).1);
    }
}

/// Kills and choices are drawn too, and are part of shuttle's own text.
#[test]
fn kills_and_choices_are_drawn() {
    let mut dies = system(
        &[layer("base", &["foo"], "")],
        vec![
            process("v1_24", vec![once(&[put("new", Some("base"), true)])]),
            process("v1_24", vec![once(&[exists("new")])]),
        ],
    );
    (dies.crashes, dies.processes[0].may_crash) = (1, true);
    violated(&dies, Property::CrashSafe, &options(Strategy::Random, 2_000));
    let chooses = tinies(tiny::tiny(), &["X:a choose:2 panic:oh", "X:a U:a"]);
    let report = violated(&chooses, Property::NoPanic, &options(Strategy::Random, 50));
    assert!(report.findings[0].trace.is_some());
}

/// Two processes may be killed, but one kill is all there is: the other goes on.
#[test]
fn no_more_are_killed_than_may_be() {
    let one = || process("v1_24", vec![once(&[exists("base")])]);
    let mut dies = system(&[layer("base", &["foo"], "")], vec![one(), one()]);
    dies.crashes = 1;
    dies.processes.iter_mut().for_each(|process| process.may_crash = true);
    let report = check(&dies, &[Property::Fresh], &options(Strategy::Random, 200)).unwrap();
    assert_eq!(report.findings[0].verdict, Verdict::Sampled("200 schedules, random, seed 1".into()));
}

/// shuttle's PCT panics after an execution without a choice of threads. Here the first one is killed at its first step in
/// one schedule of 64, and the other has none to make.
#[test]
fn a_schedule_without_a_choice_does_not_end_pct() {
    let mut dies = tinies(tiny::tiny(), &["choose:2"]);
    dies.processes[0].threads.push(once(&[]));
    let report = check(&dies, &[Property::NoPanic], &options(Strategy::Pct { depth: 2 }, 20)).unwrap();
    let Verdict::Sampled(text) = &report.findings[0].verdict else { panic!("{:?}", report.findings[0].verdict) };
    assert!(text.starts_with("20 schedules, pct of depth 2, seed 1"), "{text}");
}

#[test]
fn what_ends_a_search_is_said() {
    let system = tinies(tiny::tiny(), &["X:a ws:a U:a", "X:a ws:a U:a", "X:a ws:a U:a"]);
    let verdict = |options: &ShuttleOptions| check(&system, &[Property::Fresh], options).unwrap().findings[0].clone();
    let few = options(Strategy::Dfs, 10);
    assert_eq!(verdict(&few).verdict, Verdict::Cut("more than 10 executions".into()));
    let late = ShuttleOptions { max_duration: Some(Duration::ZERO), ..options(Strategy::Random, 10) };
    assert_eq!(verdict(&late).verdict, Verdict::Cut("the time was up after 0 executions".into()));
    let short = ShuttleOptions { max_steps: 5, ..options(Strategy::Random, 10) };
    let text = "10 schedules, random, seed 1; 10 of them ended after 5 steps";
    assert_eq!(verdict(&short).verdict, Verdict::Sampled(text.into()));
    let short = ShuttleOptions { max_steps: 5, ..options(Strategy::Dfs, 1_000) };
    assert!(matches!(verdict(&short).verdict, Verdict::Bounded(_)));
    let all = verdict(&options(Strategy::Dfs, 1_000));
    assert_eq!((all.verdict, all.detail.as_str()), (Verdict::Proved, "over 102 executions"));
}

#[test]
fn what_shuttle_cannot_do_is_refused() {
    let mut system = d14("v1_24");
    let starvation = check(&system, &[Property::NoStarvationWeak], &ShuttleOptions::default());
    let refused = Error::Property { engine: "shuttle", property: Property::NoStarvationWeak };
    assert_eq!(starvation.unwrap_err(), refused);
    let shallow = check(&system, &[Property::Fresh], &options(Strategy::Pct { depth: 0 }, 1));
    assert_eq!(shallow.unwrap_err().to_string(), "shuttle cannot run this scenario: the depth of PCT is at least 1");
    let nonsense = replay(&system, &[Property::Fresh], "9101", &ShuttleOptions::default());
    assert!(matches!(nonsense.unwrap_err(), ReplayError::Text(_)));
    system.processes[0].threads[0].repeat = Repeat::Forever;
    let report = check(&system, &[Property::Fresh], &options(Strategy::Dfs, 10)).unwrap();
    assert_eq!(report.findings[0].verdict, Verdict::Bounded("`for ever` taken as 2 times".into()));
}
