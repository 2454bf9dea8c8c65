//! Random systems of tiny processes.

use lockproof_model::op::Path;
use lockproof_model::system::{Repeat, System};
use lockproof_model::value::Stamp;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use super::small::tinies;
use super::tiny;

/// The seed of this run: that of `LOCKPROOF_SEED`, or 1. It is printed; the same seed makes the same systems.
pub fn seed() -> u64 {
    let seed = std::env::var("LOCKPROOF_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("LOCKPROOF_SEED={seed}");
    seed
}

pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// What a random program is made of: words that belong together, so that most locks are given back.
const PHRASES: [&str; 28] = [
    "X:a _ U:a",
    "S:a _ U:a",
    "X:b _ U:b",
    "S:b _ U:b",
    "x:a _ U:a",
    "s:b _ U:b",
    "t:a _ U:a",
    "S:a _ X:a _ U:a",
    "X:a _ S:a _ U:a",
    "P:a",
    "rs:a",
    "X:a ws:a U:a",
    "X:a rd:a wr:a U:a",
    "S:a rd:a _ U:a",
    "wr:a",
    "M:m _ m:m",
    "R:m _ r:m",
    "W:m _ w:m",
    "G:c",
    "C:c",
    "Z:c",
    "choose:2",
    "choose:3",
    "go:X:a+C:c+U:a _ join",
    "go:M:m+m:m _ join",
    "go:S:b+U:b _ join",
    "X:alias/a _ U:alias/a",
    "panic:oh",
];
const TIMED: [&str; 3] = ["now:t", "since:t", "X:a ws:a U:a"];

fn phrase(rng: &mut StdRng, timed: bool, depth: u32) -> String {
    let among: &[&str] = if timed && rng.random_bool(0.5) { &TIMED } else { &PHRASES };
    let phrase = among.choose(rng).copied().unwrap_or_default();
    let mut words = Vec::new();
    for word in phrase.split(' ') {
        match word {
            "_" if depth > 0 && rng.random_bool(0.6) => words.push(self::phrase(rng, timed, depth - 1)),
            "_" => {}
            word => words.push(word.into()),
        }
    }
    words.join(" ")
}

fn thread(rng: &mut StdRng, timed: bool) -> String {
    let count = rng.random_range(1..=2);
    let program: Vec<String> = (0..count).map(|_| phrase(rng, timed, 1)).collect();
    format!("{}{}", if rng.random_bool(0.3) { "*" } else { "" }, program.join(" "))
}

/// A random system, and the texts that it was made from.
pub fn system(rng: &mut StdRng) -> (String, System) {
    let timed = rng.random_bool(0.15);
    let mut processes: Vec<String> = Vec::new();
    for _ in 0..rng.random_range(2..=3) {
        if rng.random_bool(0.3) && !processes.is_empty() {
            processes.push(processes[0].clone());
        } else {
            let threads = if rng.random_bool(0.25) { 2 } else { 1 };
            processes.push((0..threads).map(|_| thread(rng, timed)).collect::<Vec<_>>().join(" | "));
        }
    }
    let texts: Vec<&str> = processes.iter().map(String::as_str).collect();
    let mut system = tinies(if timed { tiny::timed() } else { tiny::tiny() }, &texts);
    system.aliases.push((Path::new("alias"), Path::new("root")));
    let restarted = rng.random_bool(0.1);
    if restarted {
        system.processes[0].runs = if rng.random_bool(0.5) { Repeat::Forever } else { Repeat::Times(2) };
    }
    if rng.random_bool(0.15) {
        system.crashes = rng.random_range(1..=2);
        system.processes.iter_mut().for_each(|process| process.may_crash = true);
    }
    let name = format!("{texts:?}, timed {timed}, restarted {restarted}, crashes {}", system.crashes);
    (name, system)
}

/// The numbers of stamps in a random order.
pub fn stamps(rng: &mut StdRng) -> Vec<Stamp> {
    let mut stamps: Vec<Stamp> = (0..lockproof_model::state::STAMPS_MAX).map(Stamp).collect();
    stamps.shuffle(rng);
    stamps
}
