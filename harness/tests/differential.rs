//! Random schedules, in the model and by real processes: the two never part, and whatever the model finds wrong is seen
//! in reality.
//!
//! A failure prints the seed and the schedule. `LOCKPROOF_SEED=n` starts with another seed, `LOCKPROOF_RUNS=n` takes more
//! of them.

mod common;

use std::collections::BTreeSet;

use common::{Driver, delete, exists, harness, names, process, put, set_names, system};
use lockproof_harness::replay::ReplayOptions;
use lockproof_model::call::Call;
use lockproof_model::property::Property;
use lockproof_model::schedule::Step;
use lockproof_model::system::System;

/// The most steps of a schedule.
const STEPS_MAX: usize = 700;

struct Random(u64);

impl Random {
    /// xorshift64* (Vigna 2016).
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % bound
    }
}

fn systems(protocol: &str) -> Vec<(&'static str, System)> {
    let with_diff = |id: &str| Call::PutLayer { id: id.into(), parent: None, names: Vec::new(), diff: true };
    let mut crashing = process("crashing", protocol, vec![vec![with_diff("x")]]);
    crashing.may_crash = true;
    let mut crash = system(&["a"], vec![crashing, process("other", protocol, vec![vec![put("y", None), exists("x")]])]);
    crash.crashes = 1;
    let mut stamped = system(
        &["a"],
        vec![
            process("closer", protocol, vec![vec![names("a"), Call::Shutdown, names("a")]]),
            process("writer", protocol, vec![vec![set_names("a", &["n"])]]),
        ],
    );
    stamped.stamped = vec![
        lockproof_model::op::Path::new("root/vfs-layers/layers.lock"),
        lockproof_model::op::Path::new("root/storage.lock"),
    ];
    vec![
        (
            "two processes",
            system(
                &["a"],
                vec![
                    process("one", protocol, vec![vec![names("a"), put("b", None), names("a")]]),
                    process("two", protocol, vec![vec![Call::Layers, set_names("a", &["n"]), exists("b")]]),
                ],
            ),
        ),
        (
            "two threads and a process",
            system(
                &["a"],
                vec![
                    process("threads", protocol, vec![vec![names("a"), put("b", None)], vec![set_names("a", &["n"])]]),
                    process("deleter", protocol, vec![vec![delete("a")]]),
                ],
            ),
        ),
        ("a crash", crash),
        ("a shutdown", stamped),
    ]
}

/// Draws a schedule, and what the model finds wrong on its way. Threads take turns of random length, so that some calls
/// get far while others stand still.
fn draw<'s>(system: &'s System, random: &mut Random) -> (Driver<'s>, BTreeSet<Property>) {
    let mut driver = Driver::new(system);
    let mut wrong = BTreeSet::new();
    let mut turn = (0, None);
    while driver.steps.len() < STEPS_MAX {
        let enabled = driver.machine.enabled().unwrap();
        if enabled.is_empty() {
            break;
        }
        let who = |step: &Step| match step {
            Step::Run { process, thread, .. } => (*process, *thread),
            Step::Kill { process } => (*process, u8::MAX),
        };
        let same: Vec<Step> = enabled.iter().copied().filter(|step| Some(who(step)) == turn.1).collect();
        let step = if turn.0 > 0 && !same.is_empty() {
            same[random.below(same.len())]
        } else {
            turn.0 = 1 + random.below(60);
            enabled[random.below(enabled.len())]
        };
        turn = (turn.0 - 1, Some(who(&step)));
        let performed = driver.machine.try_step(step).unwrap().expect("an enabled step");
        wrong.extend(performed.wrong.iter().map(|(property, _)| *property));
        driver.steps.push(step);
        if driver.machine.data_race().is_some() && random.below(4) == 0 {
            wrong.insert(Property::NoDataRace);
            break;
        }
    }
    (driver, wrong)
}

#[test]
fn model_and_reality_never_part() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let (first, runs) = (number("LOCKPROOF_SEED", 1), number("LOCKPROOF_RUNS", 4));
    let options = ReplayOptions { block_for: None, ..ReplayOptions::default() };
    let mut total = 0;
    for protocol in lockproof_model::protocol::all() {
        for (name, system) in systems(protocol.name) {
            for seed in first..first + runs {
                let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                let (driver, wrong) = draw(&system, &mut random);
                let schedule = driver.schedule();
                let how = format!("{} with {name}, LOCKPROOF_SEED={seed}, schedule {schedule}", protocol.name);
                let report = harness().replay(&system, &schedule, &options).unwrap_or_else(|e| panic!("{e}; {how}"));
                assert_eq!(report.parted, None, "{how}");
                assert_eq!(report.steps.len(), schedule.steps.len(), "{how}");
                total += report.steps.len();
                for property in Property::ALL {
                    let shown = report.shows(property);
                    let both = matches!(property, Property::Fresh | Property::NoLostUpdate | Property::NoPanic);
                    let in_model = wrong.contains(&property);
                    assert!(!in_model || shown.is_seen(), "{property}: only the model sees it; {how}");
                    assert!(!both || in_model || !shown.is_seen(), "{property}: {}; {how}", shown.text());
                }
                println!("{} with {name}, seed {seed}: {} steps, wrong {wrong:?}", protocol.name, report.steps.len());
            }
        }
    }
    println!("{total} steps, in the model and by real processes");
}
