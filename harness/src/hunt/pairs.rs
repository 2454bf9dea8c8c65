//! Generated workloads: every command against every other, and some triples, each with its share of the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::catalogue::{Catalogue, From};
use super::ground::Ground;
use super::workload::Workload;
use super::{HuntOptions, HuntReport, hunt_on};
use crate::Harness;
use crate::error::HarnessError;

/// No workload gets less, so that one that is slow is not run without hope.
const SHARE_MIN: Duration = Duration::from_secs(1);

/// So often is a triple drawn, for each that is wanted, until there are as many different ones.
const DRAWS_MAX: usize = 20;

/// What is run, and how long.
#[derive(Clone, Debug)]
pub struct PairsOptions {
    /// How each workload is hunted; its time is the most that one gets.
    pub hunt: HuntOptions,
    /// The stores to begin with.
    pub from: Vec<From>,
    /// How many triples are drawn beside the pairs, for each store, each once.
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
    /// The commands that the first program knows: it makes the stores.
    known: BTreeSet<String>,
}

impl Plan {
    /// Lists the workloads for a program.
    ///
    /// # Errors
    /// If it does not say which commands it knows, and does not end either.
    pub fn new(harness: &Harness, options: &PairsOptions) -> Result<Self, HarnessError> {
        let asked = options.hunt.programs.iter().map(|program| program.commands(harness));
        let known: Vec<BTreeSet<String>> = asked.collect::<Result<_, _>>()?;
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
                // By one program they are the same in whatever order.
                let ends = [catalogue.writers.max(1), catalogue.writers.max(1), number];
                workloads.extend(triples(&mut draws, options.triples, ends, known.len() == 1));
            }
            (*from, catalogue, workloads)
        });
        let stores = stores.collect();
        Ok(Self { stores, known: known.into_iter().next().unwrap_or_default() })
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

    /// Runs them, as many at once as there are lanes, and hands each row to `each`, in their order, which says whether to go
    /// on. So does `goes_on`, after each execution. Returns how many were not reached.
    ///
    /// # Errors
    /// If a store to begin with cannot be made.
    pub fn run(
        &self,
        harness: &Harness,
        options: &PairsOptions,
        goes_on: &(dyn Fn() -> bool + Sync),
        mut each: impl FnMut(Row) -> bool,
    ) -> Result<usize, HarnessError> {
        let all: Vec<(From, Workload)> = self.workloads();
        let queue = Queue { next: AtomicUsize::new(0), until: Instant::now() + options.time, goes_on };
        thread::scope(|scope| {
            let (done, rows) = channel();
            for _ in 0..options.hunt.lanes.max(1) {
                let (all, queue, done) = (&all, &queue, done.clone());
                scope.spawn(move || serve(harness, options, all, queue, &done));
            }
            drop(done);
            let (mut waiting, mut shown) = (BTreeMap::new(), 0);
            for (at, row) in rows {
                waiting.insert(at, row?);
                while let Some(row) = waiting.remove(&shown) {
                    shown += 1;
                    if !each(row) {
                        queue.next.store(all.len(), Ordering::Relaxed);
                        return Ok(all.len() - shown);
                    }
                }
            }
            Ok(all.len() - shown)
        })
    }

    /// All of them: what is likely to collide comes first, from whichever store, so that each gets its share of a short time.
    fn workloads(&self) -> Vec<(From, Workload)> {
        let all = self.stores.iter().flat_map(|(from, catalogue, workloads)| {
            workloads.iter().map(move |workload| (catalogue.rank(workload), *from, catalogue, workload))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(rank, ..)| *rank);
        let workload = |(_, from, catalogue, workload): (_, From, &Catalogue, &Vec<usize>)| {
            let commands = workload.iter().map(|at| catalogue.commands[*at].clone()).collect();
            (from, Workload { start: from.start(&self.known), commands, ..Workload::default() })
        };
        all.into_iter().map(workload).collect()
    }
}

/// Draws different triples, the first two from what writes: one that only reads shows little beside two others.
fn triples(draws: &mut StdRng, wanted: usize, ends: [usize; 3], in_any_order: bool) -> Vec<Vec<usize>> {
    let (mut triples, mut classes) = (Vec::new(), BTreeSet::new());
    let wanted = wanted.min(ends.iter().product());
    for _ in 0..wanted * DRAWS_MAX {
        let triple = ends.map(|end| draws.random_range(0..end));
        let mut class = triple;
        if in_any_order {
            class.sort_unstable();
        }
        if triples.len() < wanted && classes.insert(class) {
            triples.push(triple.to_vec());
        }
    }
    triples
}

/// What the lanes take their workloads from.
struct Queue<'a> {
    next: AtomicUsize,
    until: Instant,
    goes_on: &'a (dyn Fn() -> bool + Sync),
}

/// A lane: one workload after the other, until there are none left or the time is over. It keeps a ground for each store to
/// begin with.
fn serve(
    harness: &Harness,
    options: &PairsOptions,
    all: &[(From, Workload)],
    queue: &Queue<'_>,
    done: &Sender<(usize, Result<Row, HarnessError>)>,
) {
    let mut grounds: BTreeMap<From, Vec<Ground>> = BTreeMap::new();
    loop {
        let rest = queue.until.saturating_duration_since(Instant::now());
        let at = queue.next.fetch_add(1, Ordering::Relaxed);
        let Some((from, workload)) = all.get(at).filter(|_| !rest.is_zero() && (queue.goes_on)()) else { return };
        let lanes = u32::try_from(options.hunt.lanes).unwrap_or(1).max(1);
        let share = rest * lanes / u32::try_from(all.len() - at).unwrap_or(u32::MAX).max(1);
        let time = share.max(SHARE_MIN).min(options.hunt.time);
        let hunt = HuntOptions { lanes: 1, time, simplify: time.max(SIMPLIFY_MIN), ..options.hunt.clone() };
        let new = || Ground::new(harness, &hunt.programs, &[], &workload.start, hunt.limits);
        let there = grounds.remove(from).map_or_else(|| (0..hunt.grounds()).map(|_| new()).collect(), Ok);
        let row = there.map(|mut there| {
            let result = hunt_on(&mut there, workload, &hunt, |_| (queue.goes_on)());
            // After an error the sessions are not to be trusted.
            if result.is_ok() {
                grounds.insert(*from, there);
            }
            Row { from: *from, workload: workload.clone(), result }
        });
        let failed = row.is_err();
        if done.send((at, row)).is_err() || failed {
            return;
        }
    }
}

/// How long a violation is made simpler at least.
const SIMPLIFY_MIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_triple_is_drawn_twice() {
        let mut draws = StdRng::seed_from_u64(1);
        // Two that write and one that reads: seven sets of three, twelve orders.
        for (in_any_order, all) in [(true, 7), (false, 12)] {
            let triples = triples(&mut draws, 12, [2, 2, 3], in_any_order);
            assert_eq!(triples.len(), all);
            let classes = triples.iter().map(|triple| {
                let mut class = triple.clone();
                class.sort_unstable();
                class
            });
            assert_eq!(classes.collect::<BTreeSet<_>>().len(), 7);
        }
        assert_eq!(triples(&mut draws, 5, [10, 10, 20], true).len(), 5);
    }
}
