//! A fuzzing campaign: one random scenario after the other, new ones and changed ones of the corpus, until it is told to
//! stop. It may be killed at any moment; the next one on the same corpus goes on where it was.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lockproof_model::protocol::Entry;
use lockproof_scenarios::Scenario;
use proptest::prelude::RngExt as _;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

use crate::compare::Comparison;
use crate::corpus::{Corpus, CorpusError};
use crate::failure::{Failure, is_shrunk};
use crate::random;
use crate::strategy::Shrinking;
use crate::tally::Tally;

/// The position is written at most so often; what was done since is done again after a kill.
const SAVED_EVERY: Duration = Duration::from_secs(1);
/// The most comparisons to make a failure smaller.
const SHRINK_MAX: usize = 1_000;

/// Compares what the engines say of a scenario; gives up when it is told to.
pub type Compare<'a> = dyn Fn(&Scenario, &dyn Fn() -> bool) -> Comparison + Sync + 'a;

/// What a campaign does.
pub struct Campaign<'a> {
    /// The protocols of its scenarios.
    pub protocols: &'a [Entry],
    /// How many scenarios are compared at once.
    pub jobs: usize,
    /// How one is compared.
    pub compare: &'a Compare<'a>,
    /// Whether it is to stop.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Is told how far it is, after each scenario.
    pub progress: &'a (dyn Fn(&Progress) + Sync),
}

/// How far a campaign is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The number of the scenario that it began with.
    pub first: u64,
    /// The scenarios before this one are done.
    pub next: u64,
    /// How far the engines came.
    pub tally: Tally,
    /// How many of the scenarios were changed ones of the corpus.
    pub mutations: u64,
    /// How many scenarios the corpus holds.
    pub corpus: usize,
    /// How many of them are new.
    pub new: usize,
    /// The files of the scenarios on which engines disagree, those of earlier runs that still do among them.
    pub failures: BTreeSet<PathBuf>,
    /// The files of earlier failures on which all agree now; they were removed.
    pub repaired: Vec<PathBuf>,
}

/// What the workers share.
struct Shared {
    corpus: Corpus,
    progress: Progress,
    /// The number that is given out next, and those that are not done.
    next: u64,
    in_work: BTreeSet<u64>,
    /// When the position was written last.
    saved: Option<Instant>,
    error: Option<CorpusError>,
}

impl Campaign<'_> {
    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// The corpus can no longer be read or written.
    pub fn run(&self, corpus: Corpus) -> Result<Progress, CorpusError> {
        let first = corpus.position();
        let progress = Progress { first, next: first, corpus: corpus.scenarios().len(), ..Progress::default() };
        let failures = corpus.failures().to_vec();
        let (in_work, saved, error) = (BTreeSet::new(), None, None);
        let shared = Mutex::new(Shared { corpus, progress, next: first, in_work, saved, error });
        for (path, scenario) in failures {
            self.again(&shared, path, scenario)?;
        }
        thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    if let Err(error) = self.work(&shared) {
                        lock(&shared, |shared| shared.error.get_or_insert(error).to_string());
                    }
                });
            }
        });
        let mut shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = shared.error {
            return Err(error);
        }
        shared.progress.next = shared.in_work.first().copied().unwrap_or(shared.next);
        shared.corpus.set_position(shared.progress.next)?;
        Ok(shared.progress)
    }

    /// A failure of an earlier run: it may be repaired, or still be too large.
    fn again(&self, shared: &Mutex<Shared>, path: PathBuf, scenario: Scenario) -> Result<(), CorpusError> {
        if (self.stop)() {
            lock(shared, |shared| shared.progress.failures.insert(path));
            return Ok(());
        }
        let comparison = self.compare(&scenario);
        if comparison.disagreements.is_empty() {
            if (self.stop)() {
                lock(shared, |shared| shared.progress.failures.insert(path));
                return Ok(());
            }
            remove(&path)?;
            lock(shared, |shared| shared.progress.repaired.push(path));
            return Ok(());
        }
        if is_shrunk(&scenario.text) {
            lock(shared, |shared| shared.progress.failures.insert(path));
            return Ok(());
        }
        self.fails(shared, scenario, &comparison, "found by an earlier run", Some(path))
    }

    /// One worker: a scenario after the other.
    fn work(&self, shared: &Mutex<Shared>) -> Result<(), CorpusError> {
        while !(self.stop)() && lock(shared, |shared| shared.error.is_none()) {
            let number = lock(shared, |shared| {
                shared.next += 1;
                shared.in_work.insert(shared.next - 1);
                shared.next - 1
            });
            let (scenario, is_mutation) = self.draw(shared, number);
            let comparison = self.compare(&scenario);
            if !comparison.disagreements.is_empty() {
                let seed = lock(shared, |shared| shared.corpus.seed());
                let origin = format!("seed {seed}, number {number}");
                self.fails(shared, scenario.clone(), &comparison, &origin, None)?;
            } else if (self.stop)() {
                break; // it was not compared to the end, and is the next one of the next run
            }
            lock(shared, |shared| {
                let progress = &mut shared.progress;
                progress.tally.add(&comparison);
                progress.mutations += u64::from(is_mutation);
                if comparison.disagreements.is_empty() && shared.corpus.add(&scenario, &comparison)? {
                    progress.new += 1;
                    progress.corpus += 1;
                }
                shared.in_work.remove(&number);
                progress.next = shared.in_work.first().copied().unwrap_or(shared.next);
                if shared.saved.is_none_or(|saved| saved.elapsed() >= SAVED_EVERY) {
                    shared.corpus.set_position(progress.next)?;
                    shared.saved = Some(Instant::now());
                }
                (self.progress)(progress);
                Ok::<(), CorpusError>(())
            })?;
        }
        Ok(())
    }

    /// The scenario of that number, and whether it is a changed one.
    fn draw(&self, shared: &Mutex<Shared>, number: u64) -> (Scenario, bool) {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&lock(shared, |shared| shared.corpus.seed()).to_le_bytes());
        seed[8..16].copy_from_slice(&number.to_le_bytes());
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let base = if rng.random_bool(0.5) {
            lock(shared, |shared| {
                let scenarios = shared.corpus.scenarios();
                (!scenarios.is_empty()).then(|| scenarios[rng.random_range(0..scenarios.len())].clone())
            })
        } else {
            None
        };
        match &base {
            Some(base) => (random::mutation(&mut rng, self.protocols, base), true),
            None => (random::scenario(&mut rng, self.protocols), false),
        }
    }

    /// Compares; that an engine panics is a finding like any other.
    fn compare(&self, scenario: &Scenario) -> Comparison {
        let compared = catch_unwind(AssertUnwindSafe(|| (self.compare)(scenario, &|| (self.stop)())));
        compared.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Comparison { disagreements: vec![format!("an engine panics: {text}")], ..Comparison::default() }
        })
    }

    /// Saves a failure at once, then makes it smaller as long as there is time, and keeps only the smallest.
    fn fails(
        &self,
        shared: &Mutex<Shared>,
        scenario: Scenario,
        comparison: &Comparison,
        origin: &str,
        saved: Option<PathBuf>,
    ) -> Result<(), CorpusError> {
        let folder = lock(shared, |shared| shared.corpus.failures_folder());
        let save = |failure: &Failure| {
            failure.save(&folder).map_err(|source| CorpusError::Io { path: folder.join(failure.file_name()), source })
        };
        let first = match saved {
            Some(path) => path,
            None => save(&Failure::new(scenario.clone(), comparison, origin, false))?,
        };
        let (mut smallest, mut why) = (scenario.clone(), comparison.clone());
        let mut tree = Shrinking::new(scenario, self.protocols.to_vec());
        let (mut goes_on, mut left) = (tree.simplify(), SHRINK_MAX);
        while goes_on && left > 0 && !(self.stop)() {
            left -= 1;
            let candidate = tree.current();
            let found = self.compare(&candidate);
            goes_on = if found.disagreements.is_empty() {
                tree.complicate()
            } else {
                (smallest, why) = (candidate, found);
                tree.simplify()
            };
        }
        let path = save(&Failure::new(smallest, &why, origin, !goes_on || left == 0))?;
        if path != first {
            remove(&first)?;
        }
        lock(shared, |shared| shared.progress.failures.insert(path));
        Ok(())
    }
}

fn remove(path: &PathBuf) -> Result<(), CorpusError> {
    match std::fs::remove_file(path) {
        // Two workers may have found the same.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| CorpusError::Io { path: path.clone(), source }),
    }
}

fn lock<T>(shared: &Mutex<Shared>, act: impl FnOnce(&mut Shared) -> T) -> T {
    act(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}
