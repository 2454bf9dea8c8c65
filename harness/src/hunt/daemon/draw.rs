//! Scripts drawn at random: two stores of one process over one directory, two goroutines, and a command beside them, which
//! may be killed on its way.
//!
//! Everything has an id of its own, is made upon whatever anybody makes, and may be looked up by everybody. A process has as
//! a rule been used for a while before the goroutines go.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::script::{Call, OPEN, RUN, Script};
use crate::hunt::workload::Workload;

/// The layer that each store begins with.
const BASE: &str = "base";

/// The layer that a command makes, and how it says so.
const OTHER: &str = "o";
const OTHER_LAYER: &str = "layer -i o ";

/// The process's stores, each with its run root.
const STORES: [(&str, &str); 2] = [("a", RUN), ("b", "run2")];

const GOROUTINES: usize = 2;

/// How many calls a goroutine makes, at least and at most; a `diff` that is held open counts with what is called meanwhile.
const CALLS: std::ops::RangeInclusive<usize> = 1..=3;

/// What a process that has been used for a while has called.
const USED: [&str; 4] = ["diff", "close-diff", "names", "images"];

/// What is run, and who may be killed on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The workload: a command, and a process of the library.
    pub workload: Workload,
    /// The participant that is killed at a step drawn at random.
    pub killed: Option<usize>,
}

/// Draws a workload.
pub fn draw(draws: &mut StdRng) -> Drawn {
    let mut drawing =
        Drawing { draws, layers: vec![BASE.into(), OTHER.into()], images: vec!["p".into()], made: 0, half: false };
    let (command, makes) = drawing.command();
    let killed = (makes && drawing.draws.random_bool(0.5)).then_some(0);
    drawing.half = killed.is_some() && command.contains(OTHER_LAYER);
    let mut start = vec!["create-layer -i base"];
    if drawing.draws.random_bool(0.5) {
        start.push("shutdown");
    }
    let mut script = Script::default();
    for (store, run) in STORES {
        script.before.push(Call { store: store.into(), call: OPEN.into(), args: vec![run.into()] });
    }
    for (store, _) in STORES {
        if drawing.draws.random_bool(0.75) {
            let args = |call: &str| if call == "images" { Vec::new() } else { vec![BASE.into()] };
            let used = USED.map(|call| Call { store: store.into(), call: call.into(), args: args(call) });
            script.before.extend(used);
        }
    }
    for goroutine in 1..=GOROUTINES {
        script.goroutines.push((goroutine.to_string(), drawing.goroutine()));
    }
    let workload = Workload {
        start: start.into_iter().map(Workload::words).collect(),
        commands: vec![Workload::words(&command)],
        daemons: vec![script],
    };
    Drawn { workload, killed }
}

struct Drawing<'a> {
    draws: &'a mut StdRng,
    /// All ids, those that somebody will make included.
    layers: Vec<String>,
    images: Vec<String>,
    made: usize,
    /// Whether somebody who is killed makes [`OTHER`].
    half: bool,
}

impl Drawing<'_> {
    fn one_of(&mut self, all: &[String]) -> String {
        all[self.draws.random_range(0..all.len())].clone()
    }

    /// A layer that is asked for or built upon. What a crash may have left half-made is half of them.
    fn layer(&mut self) -> String {
        if self.half && self.draws.random_bool(0.5) { OTHER.into() } else { self.one_of(&self.layers.clone()) }
    }

    /// A command, and whether it makes something.
    fn command(&mut self) -> (String, bool) {
        let commands = [
            ("create-layer -i o base", true),
            ("import-layer -i o -f diff.tar base", true),
            ("create-image -i p base", true),
            ("layers", false),
            ("images", false),
        ];
        let (command, makes) = commands[self.draws.random_range(0..commands.len())];
        (command.to_owned(), makes)
    }

    fn goroutine(&mut self) -> Vec<Call> {
        let number = self.draws.random_range(CALLS);
        let mut calls = Vec::new();
        for _ in 0..number {
            let store = STORES[self.draws.random_range(0..STORES.len())].0;
            let mut add = |call: &str, args: Vec<String>| {
                calls.push(Call { store: store.into(), call: call.into(), args });
            };
            let layer = self.layer();
            match self.draws.random_range(0..10) {
                0 | 1 => {
                    self.made += 1;
                    let id = format!("l{}", self.made);
                    self.layers.push(id.clone());
                    add("put-layer", vec![id, layer]);
                }
                2 | 3 => {
                    self.made += 1;
                    let id = format!("i{}", self.made);
                    self.images.push(id.clone());
                    add("create-image", vec![id, layer]);
                }
                4 => add("images", Vec::new()),
                5 => add("layers", Vec::new()),
                6 => add("names", vec![layer]),
                7 => {
                    let image = self.one_of(&self.images.clone());
                    add("exists", vec![image]);
                }
                8 => {
                    let asked = self.layer();
                    add("diff", vec![BASE.into()]);
                    add("names", vec![asked]);
                    add("close-diff", vec![BASE.into()]);
                }
                _ => {
                    let image = self.one_of(&self.images.clone());
                    add("delete-image", vec![image]);
                }
            }
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn a_seed_says_what_is_drawn_and_everything_is_drawn_by_some() {
        let drawn = |seed| draw(&mut StdRng::seed_from_u64(seed));
        assert_eq!(drawn(1), drawn(1));
        let (mut verbs, mut killed) = (BTreeSet::new(), 0);
        for seed in 0..100 {
            let Drawn { workload, killed: dies } = drawn(seed);
            assert_eq!((workload.participants(), workload.daemons[0].goroutines.len()), (2, GOROUTINES));
            // What is drawn can be written and read.
            assert_eq!(workload.daemons[0].to_string().parse(), Ok(workload.daemons[0].clone()));
            verbs.extend(workload.operations().into_iter().map(|words| words[0].clone()));
            killed += usize::from(dies.is_some());
        }
        assert_eq!((verbs.len(), killed), (12, 29));
    }
}
