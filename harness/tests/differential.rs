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
use lockproof_model::op::{LockResult, Op, Outcome, Path};
use lockproof_model::property::Property;
use lockproof_model::schedule::Step;
use lockproof_model::system::{Repeat, System};
use lockproof_model::trace::Effect;

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
    stamped.stamped = vec![Path::new("root/vfs-layers/layers.lock"), Path::new("root/storage.lock")];
    // Images and containers are one inode each: closing one drops the other's lock.
    let asks = |name| process(name, protocol, vec![vec![exists("none")]]);
    let mut aliased =
        system(&["a"], vec![asks("one"), process("two", protocol, vec![vec![delete("a")]]), asks("three")]);
    for file in ["lock", "json"] {
        let path = |kind: &str| Path::new(format!("root/vfs-{kind}/{kind}.{file}"));
        aliased.aliases.push((path("containers"), path("images")));
    }
    let mut short = process("short", protocol, vec![vec![exists("a")], vec![names("a")]]);
    short.before = vec![Call::Open];
    short.runs = Repeat::Times(3);
    short.threads[1].repeat = Repeat::Times(2);
    let short_lived = system(&["a"], vec![short, process("writer", protocol, vec![vec![set_names("a", &["n"])]])]);
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
        ("an alias", aliased),
        ("short-lived processes", short_lived),
        (
            "opposite orders",
            system(
                &["base", "top"],
                vec![
                    process("puller", protocol, vec![vec![put("new", Some("top"))]]),
                    process("remover", protocol, vec![vec![delete("top")]]),
                    process("puller 2", protocol, vec![vec![put("top", Some("base"))]]),
                ],
            ),
        ),
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
        // A turn often ends where a lock was asked for: that is where deadlocks begin.
        if matches!(performed.event.op, Some(Op::Lock { .. })) && random.below(3) == 0 {
            turn.0 = 0;
        }
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
    let (first, runs) = (number("LOCKPROOF_SEED", 1), number("LOCKPROOF_RUNS", 1));
    let options = ReplayOptions { block_for: None, ..ReplayOptions::default() };
    let (mut total, mut waits, mut deadlocks, mut kills, mut branches) = (0, 0, 0, 0, 0);
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
                for taken in &report.steps {
                    waits += usize::from(taken.real.effect == Effect::Waits);
                    deadlocks += usize::from(taken.real.effect == Effect::Done(Outcome::Locked(LockResult::Deadlock)));
                    kills += usize::from(matches!(taken.real.step, Step::Kill { .. }));
                    branches += usize::from(matches!(taken.real.step, Step::Run { branch: 1.., .. }));
                }
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
    println!(
        "{total} steps, in the model and by real processes: {waits} waits, {deadlocks} EDEADLK, {kills} kills, \
         {branches} other branches"
    );
}
