//! On random scenarios the engines agree: the explorer with reductions and without, the plain explorer, loom; and what
//! shows a violation shows it again.
//!
//! The seed is printed. `LOCKPROOF_SEED=n` takes other scenarios, `LOCKPROOF_RUNS=n` more or fewer of them. They come in two
//! halves, so that both of two processors have something to do.

use std::cell::{Cell, RefCell};
use std::path::Path;

use lockproof_fuzz::compare::{Limits, Reach, compare};
use lockproof_fuzz::failure::Failure;
use lockproof_fuzz::strategy::Scenarios;
use lockproof_fuzz::tally::Tally;
use lockproof_model::protocol;
use lockproof_scenarios::load;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

/// Of each half.
const RUNS: u32 = 1_000;
/// How far the seed of the second half is from that of the first.
const APART: u32 = 1_000_000;

/// So small that so many scenarios take a minute or two.
const SMALL: Limits = Limits {
    states_max: 4_000,
    threads_states_max: 1_000,
    plain_states_max: 1_000,
    every_mode_max: 100,
    executions_max: 30,
    steps_max: 2_000,
};

/// One scenario in so many goes further, so that some with two processes are within the plain explorer's reach.
const FURTHER_EVERY: u32 = 100;
const FURTHER: Limits = Limits { plain_states_max: 12_000, states_max: 20_000, executions_max: 500, ..SMALL };

fn number(variable: &str, otherwise: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn on_random_scenarios_all_agree() {
    all_agree(number("LOCKPROOF_SEED", 1));
}

#[test]
fn on_as_many_others_they_do_too() {
    all_agree(number("LOCKPROOF_SEED", 1).wrapping_add(APART));
}

fn all_agree(seed: u32) {
    let runs = number("LOCKPROOF_RUNS", RUNS);
    let config = Config {
        cases: runs,
        rng_seed: RngSeed::Fixed(seed.into()),
        failure_persistence: None, // what fails is a file, and those that did are in `regressions/`
        max_shrink_iters: 500,
        ..Config::default()
    };
    let tally: RefCell<Tally> = RefCell::default();
    let (number, has_failed) = (Cell::new(0), Cell::new(false));
    let result = TestRunner::new(config).run(&Scenarios { protocols: protocol::all() }, |scenario| {
        number.set(number.get() + 1);
        let limits = if has_failed.get() || number.get() % FURTHER_EVERY == 0 { &FURTHER } else { &SMALL };
        let comparison = compare(&scenario, &protocol::all(), limits, &|| false);
        if comparison.disagreements.is_empty() {
            tally.borrow_mut().add(&comparison);
            return Ok(());
        }
        has_failed.set(true);
        Err(TestCaseError::fail(comparison.disagreements.join("\n")))
    });
    println!("LOCKPROOF_SEED={seed} LOCKPROOF_RUNS={runs}\n{}", tally.borrow());
    if let Err(TestError::Fail(_, scenario)) = &result {
        let comparison = compare(scenario, &protocol::all(), &FURTHER, &|| false);
        let failure = Failure::new(scenario.clone(), &comparison, &format!("LOCKPROOF_SEED={seed} of the test"), true);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = failure.save(folder).expect("a file");
        panic!("{}\nsaved as {path}; lockproof fuzz {path}", failure.text(), path = path.display());
    }
    result.expect("no scenario is given up");
    // Nobody is idle.
    let tally = tally.borrow();
    for (engine, least) in [("the plain explorer", 45), ("loom", 20), ("the explorer, reduced", 60)] {
        let finished = tally.count(engine, Reach::Finished);
        assert!(finished * 100 >= u64::from(runs) * least, "{engine} finished {finished} scenarios of {runs}");
    }
}

/// What was found once, made small, and repaired.
#[test]
fn what_disagreed_once_agrees_now() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut paths: Vec<_> = folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let scenario = load(&path, &protocol::all()).expect("a scenario");
        let comparison = compare(&scenario, &protocol::all(), &FURTHER, &|| false);
        assert!(comparison.disagreements.is_empty(), "{}: {:?}", path.display(), comparison.disagreements);
    }
}
