//! Generated workloads: every command against every other, and some triples, each with its share of the time.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::catalogue::{Catalogue, From};
use super::ground::{Ground, commands_of};
use super::workload::Workload;
use super::{HuntOptions, HuntReport, hunt_on};
use crate::Harness;
use crate::error::HarnessError;

/// No workload gets less, so that one that is slow is not run without hope.
const SHARE_MIN: Duration = Duration::from_secs(1);

/// What is run, and how long.
#[derive(Clone, Debug)]
pub struct PairsOptions {
    /// How each workload is hunted; its time is the most that one gets.
    pub hunt: HuntOptions,
    /// The stores to begin with.
    pub from: Vec<From>,
    /// How many triples are drawn beside the pairs, for each store.
    pub triples: usize,
    /// After how long all ends.
    pub time: Duration,
}

/// A workload and what came of it.
#[derive(Debug)]
pub struct Row {
    /// The store to begin with.
    pub from: From,
    /// What was run.
    pub workload: Workload,
    /// What was found; or why it could not be run.
    pub result: Result<HuntReport, HarnessError>,
}

/// What is to be done, before it is.
#[derive(Debug)]
pub struct Plan {
    /// For each store: its commands, and the pairs and triples of them.
    stores: Vec<(From, Catalogue, Vec<Vec<usize>>)>,
}

impl Plan {
    /// Lists the workloads for a program.
    #[must_use]
    pub fn new(options: &PairsOptions) -> Self {
        let known: Vec<_> = options.hunt.programs.iter().map(|program| commands_of(program)).collect();
        // Whoever comes first or second may run any command.
        let common = known.iter().skip(1).fold(known.first().cloned().unwrap_or_default(), |common, known| {
            common.intersection(known).cloned().collect()
        });
        let mut draws = StdRng::seed_from_u64(options.hunt.seed);
        let stores = options.from.iter().map(|from| {
            let catalogue = Catalogue::new(*from, &common);
            let number = catalogue.commands.len();
            let pairs = catalogue.pairs().into_iter().map(Vec::from);
            // Participants may run different releases.
            let turned = |pair: Vec<usize>| {
                let other = (known.len() > 1 && pair[0] != pair[1]).then(|| vec![pair[1], pair[0]]);
                [Some(pair), other].into_iter().flatten()
            };
            let mut workloads: Vec<Vec<usize>> = pairs.flat_map(turned).collect();
            if number > 0 {
                // One that only reads shows little beside two others.
                let writers = catalogue.writers.max(1);
                let mut draw = || [draws.random_range(0..writers), draws.random_range(0..writers)];
                let mut triples: Vec<Vec<usize>> = (0..options.triples).map(|_| draw().to_vec()).collect();
                triples.iter_mut().for_each(|triple| triple.push(draws.random_range(0..number)));
                workloads.extend(triples);
            }
            (*from, catalogue, workloads)
        });
        Self { stores: stores.collect() }
    }

    /// How many workloads there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stores.iter().map(|(_, _, workloads)| workloads.len()).sum()
    }

    /// Whether there is nothing to run: the program says of no command that it knows it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The commands of each store, what the program does not know, and what is left out.
    pub fn catalogues(&self) -> impl Iterator<Item = (From, &Catalogue)> {
        self.stores.iter().map(|(from, catalogue, _)| (*from, catalogue))
    }

    /// Runs them, and hands each row to `each`, which says whether to go on. Returns how many were not reached.
    ///
    /// # Errors
    /// If a store to begin with cannot be made.
    pub fn run(
        &self,
        harness: &Harness,
        options: &PairsOptions,
        mut each: impl FnMut(Row) -> bool,
    ) -> Result<usize, HarnessError> {
        let until = Instant::now() + options.time;
        let mut left = self.len();
        for (from, catalogue, workloads) in &self.stores {
            let known = options.hunt.programs.first().map(|program| commands_of(program)).unwrap_or_default();
            let start = from.start(&known);
            let mut ground: Option<Ground> = None;
            for workload in workloads {
                let rest = until.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    return Ok(left);
                }
                let share = rest / u32::try_from(left).unwrap_or(u32::MAX).max(1);
                left -= 1;
                let time = share.max(SHARE_MIN).min(options.hunt.time);
                let hunt = HuntOptions { time, simplify: time.max(SIMPLIFY_MIN), ..options.hunt.clone() };
                let commands = workload.iter().map(|at| catalogue.commands[*at].clone()).collect();
                let workload = Workload { start: start.clone(), commands, ..Workload::default() };
                let mut there = match ground.take() {
                    Some(there) => there,
                    None => Ground::new(harness, &options.hunt.programs, None, &start, options.hunt.limits)?,
                };
                let result = hunt_on(&mut there, &workload, &hunt, |_| true);
                // After an error the session is not to be trusted.
                ground = result.is_ok().then_some(there);
                if !each(Row { from: *from, workload, result }) {
                    return Ok(left);
                }
            }
        }
        Ok(left)
    }
}

/// How long a violation is made simpler at least.
const SIMPLIFY_MIN: Duration = Duration::from_secs(5);
