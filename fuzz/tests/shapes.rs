//! What random scenarios are like: they are what a file can hold, everything comes up in them, and shrinking ends.

use std::collections::BTreeMap;

use lockproof_fuzz::random::{mutation, scenario};
use lockproof_fuzz::strategy::Shrinking;
use lockproof_model::call::Call;
use lockproof_model::protocol::{self, Entry};
use lockproof_model::system::Repeat;
use lockproof_scenarios::{Scenario, parse};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

fn rng(seed: u8) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32])
}

fn calls(scenario: &Scenario) -> impl Iterator<Item = &Call> {
    scenario
        .kinds
        .iter()
        .flat_map(|kind| kind.before.iter().chain(kind.threads.iter().flat_map(|thread| &thread.script)))
}

#[test]
fn they_are_read_as_they_were_written_and_so_are_their_mutations() {
    let (protocols, mut rng) = (protocol::all(), rng(1));
    for _ in 0..300 {
        let drawn = scenario(&mut rng, &protocols);
        let changed = mutation(&mut rng, &protocols, &drawn);
        for scenario in [drawn, changed] {
            let again = parse("random.toml", &scenario.to_toml(), &protocols).expect("a scenario");
            assert_eq!(again.to_toml(), scenario.to_toml());
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_scenarios() {
    let protocols = protocol::all();
    let draw = |seed| scenario(&mut rng(seed), &protocols).to_toml();
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn everything_comes_up() {
    let (protocols, mut rng) = (protocol::all(), rng(2));
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..8_000 {
        let scenario = scenario(&mut rng, &protocols);
        let mut see = |what: &str| *seen.entry(what.into()).or_default() += 1;
        let processes: u32 = scenario.kinds.iter().map(|kind| kind.count).sum();
        assert!((1..=3).contains(&processes));
        see(&format!("{processes} processes"));
        see(&scenario.protocols.as_ref().expect("one")[0]);
        let kinds = || scenario.kinds.iter();
        let threads = || kinds().flat_map(|kind| &kind.threads);
        for (what, is) in [
            ("crashes", scenario.crashes > 0),
            ("mixed versions", kinds().any(|kind| kind.protocol.is_some())),
            ("alike", kinds().any(|kind| kind.count > 1)),
            ("two threads", kinds().any(|kind| kind.threads.len() > 1)),
            ("started for ever", kinds().any(|kind| kind.runs == Repeat::Forever)),
            ("repeats for ever", threads().any(|thread| thread.repeat == Repeat::Forever)),
            ("four calls", threads().any(|thread| thread.script.len() == 4)),
            ("aliases", !scenario.aliases.is_empty()),
            ("the lock library alone", calls(&scenario).all(Call::is_on_lockfile)),
            ("an empty store", scenario.layers.is_empty()),
            ("stored images", !scenario.images.is_empty()),
            ("stored containers", !scenario.containers.is_empty()),
            ("stored mounts", !scenario.mounts.is_empty()),
        ] {
            if is {
                see(what);
            }
        }
        scenario.properties.iter().for_each(|property| see(property.name()));
        calls(&scenario).for_each(|call| see(call.name()));
    }
    println!("{seen:#?}");
    assert!(seen.values().all(|times| *times >= 10), "{seen:#?}");
    // All but three properties: see `Random::properties`.
    let (properties, words) = (lockproof_model::property::Property::ALL.len() - 3, 3 + 13 + protocols.len());
    // Every call of the format comes up, too: 31 of them.
    assert_eq!(seen.len(), words + properties + 31, "{:#?}", seen.keys());
}

/// Always the same, so that new protocols change no scenario.
fn two_protocols() -> Vec<Entry> {
    ["v1_24", "pr_473"].map(|name| protocol::by_name(name).expect("a protocol")).to_vec()
}

/// Shrinks as long as `fails` says so.
fn shrink(scenario: Scenario, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    let mut tree = Shrinking::new(scenario, two_protocols());
    let mut steps = 0;
    let mut goes_on = tree.simplify();
    while goes_on {
        steps += 1;
        assert!(steps < 2_000, "it does not end");
        goes_on = if fails(&tree.current()) { tree.simplify() } else { tree.complicate() };
    }
    tree.current()
}

#[test]
fn shrinking_leaves_what_is_needed_and_no_more() {
    let (protocols, mut rng) = (two_protocols(), rng(3));
    let deletes = |scenario: &Scenario| calls(scenario).any(|call| matches!(call, Call::DeleteLayer { .. }));
    let mut smallest = Vec::new();
    while smallest.len() < 20 {
        let drawn = scenario(&mut rng, &protocols);
        if deletes(&drawn) {
            smallest.push(shrink(drawn, deletes));
        }
    }
    for scenario in &smallest {
        // The process, `open`, the deletion, and what makes the layer that is deleted.
        assert_eq!(scenario.kinds.len(), 1, "{}", scenario.text);
        assert!(calls(scenario).count() <= 3, "{}", scenario.text);
        assert_eq!((scenario.crashes, scenario.properties.len(), scenario.aliases.len()), (0, 1, 0));
        assert_eq!(scenario.protocols.as_deref(), Some(&[protocols[0].name.to_owned()][..]));
    }
    insta::assert_snapshot!(smallest[0].text);
}
