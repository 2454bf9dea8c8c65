//! The processes of a system, running freely: how long they wait, who passes whom, how much they get done.
//!
//! Each thread is a thread of the system, each lock request waits in the kernel. The `RWMutex`es, mutexes and cells of a
//! process are the model's [`Memory`](lockproof_model::world::memory::Memory), behind one mutex and one condition
//! variable.

pub(crate) mod child;
mod counters;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use lockproof_model::call::{Call, Reply};
use lockproof_model::op::{Mode, Path};
use lockproof_model::system::{Process, Repeat, System};
use lockproof_model::value::Value;

use crate::Harness;
use crate::disk::Disk;
use crate::error::HarnessError;
use crate::guardian::RunDirectory;
use crate::process::Worker;
use crate::store;
use crate::wire::{Answer, FreeRun, Ran, Role, StillWaiting, Waits};

/// How a system is stressed.
#[derive(Clone, Debug)]
pub struct StressOptions {
    /// After how long no call begins any more.
    pub duration: Duration,
    /// How much longer the calls under way may take. Then their threads end with their process.
    pub grace: Duration,
    /// Where branches are drawn from.
    pub seed: u64,
    /// An existing directory whose `root` and `run` are the store, and which stays; `None` for a new one that is removed.
    pub directory: Option<PathBuf>,
}

impl StressOptions {
    /// Runs for `duration`, with two seconds of grace.
    #[must_use]
    pub fn lasting(duration: Duration) -> Self {
        Self { duration, grace: Duration::from_secs(2), seed: 1, directory: None }
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct StressReport {
    /// How long it lasted.
    pub lasted: Duration,
    /// One for each process of the system, in its order.
    pub processes: Vec<ProcessReport>,
    /// What each document that the system names, and the layers document, holds at the end.
    pub documents: BTreeMap<Path, Value>,
}

/// What one process of the system did, all its runs together.
#[derive(Clone, Debug)]
pub struct ProcessReport {
    /// Its name.
    pub name: String,
    /// How many processes of the system were run one after the other.
    pub runs: u64,
    /// How many calls returned.
    pub calls: u64,
    /// Calls a second of running time.
    pub calls_per_second: f64,
    /// How many calls failed, and how.
    pub failures: BTreeMap<String, u64>,
    /// What the calls of each thread returned in the last round of its script, in the last run.
    pub replies: Vec<Vec<(Call, Reply)>>,
    /// How long it waited for each lock file in each mode.
    pub waits: Vec<WaitReport>,
    /// The requests that were still waiting when it was stopped.
    pub still_waiting: Vec<StillWaiting>,
    /// How many threads had not ended when the grace was over, in all runs.
    pub unfinished: u64,
    /// Messages of panics.
    pub panics: Vec<String>,
}

/// The waits of one process for one lock file in one mode.
#[derive(Clone, Debug)]
pub struct WaitReport {
    /// The lock file.
    pub file: Path,
    /// The mode.
    pub mode: Mode,
    /// From request to grant, in nanoseconds.
    pub wait_ns: Histogram<u64>,
    /// Grants to others between request and grant.
    pub overtakes: Histogram<u64>,
    /// How often the kernel answered `EDEADLK`.
    pub deadlocks: u64,
}

impl WaitReport {
    /// The wait that this share of the grants (0 to 1) did not exceed.
    #[must_use]
    pub fn wait_at(&self, share: f64) -> Duration {
        Duration::from_nanos(self.wait_ns.value_at_quantile(share))
    }

    /// The longest wait.
    #[must_use]
    pub fn wait_max(&self) -> Duration {
        Duration::from_nanos(self.wait_ns.max())
    }

    /// How many grants to others there were between request and grant, in all, to three digits.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.overtakes.iter_recorded().map(|step| step.value_iterated_to() * step.count_at_value()).sum()
    }

    /// How often it was granted.
    #[must_use]
    pub fn grants(&self) -> u64 {
        self.wait_ns.len()
    }
}

impl Harness {
    /// Lets the processes of `system` run freely.
    ///
    /// # Errors
    /// If they cannot be run. What goes wrong between them is in the report.
    pub fn stress(&self, system: &System, options: &StressOptions) -> Result<StressReport, HarnessError> {
        let scratch = RunDirectory::new(self)?;
        let base = options.directory.clone().unwrap_or_else(|| scratch.path().to_path_buf());
        let counters = scratch.path().join("grants");
        std::fs::create_dir(&counters).map_err(HarnessError::io("make", counters.clone()))?;
        store::lay_out(system, &base)?;
        let stress = Stress { harness: self, options, base: base.clone(), counters };
        // All are started before the first may go.
        let first: Vec<Worker> = (system.processes.iter().enumerate())
            .map(|(index, process)| stress.start(process, index, options.duration))
            .collect::<Result<_, _>>()?;
        let started = Instant::now();
        let reports = std::thread::scope(|scope| {
            let threads: Vec<_> = (system.processes.iter().zip(first).enumerate())
                .map(|(index, (process, worker))| {
                    let stress = &stress;
                    scope.spawn(move || stress.run(process, index, worker, started))
                })
                .collect();
            let refused = || HarnessError::Refused("a thread of ours panicked".into());
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(refused()))).collect::<Vec<_>>()
        });
        let lasted = started.elapsed();
        let processes = reports.into_iter().collect::<Result<_, _>>()?;
        let disk = Disk::new(base)?;
        let layers = Path::new(lockproof_model::monitor::LAYERS);
        let mut documents = BTreeMap::new();
        for path in system.documents.iter().map(|(path, _)| path).chain([&layers]) {
            documents.insert(path.clone(), disk.read(path)?);
        }
        Ok(StressReport { lasted, processes, documents })
    }
}

/// A stress under way.
struct Stress<'a> {
    harness: &'a Harness,
    options: &'a StressOptions,
    base: PathBuf,
    counters: PathBuf,
}

impl Stress<'_> {
    fn start(&self, process: &Process, index: usize, duration: Duration) -> Result<Worker, HarnessError> {
        let times = |repeat: Repeat| match repeat {
            Repeat::Times(times) => Some(times),
            Repeat::Forever => None,
        };
        let run = FreeRun {
            base: self.base.clone(),
            counters: self.counters.clone(),
            protocol: process.protocol.name.to_owned(),
            before: process.before.clone(),
            threads: process.threads.iter().map(|thread| (thread.script.clone(), times(thread.repeat))).collect(),
            milliseconds: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            grace_ms: u64::try_from(self.options.grace.as_millis()).unwrap_or(u64::MAX),
            seed: self.options.seed ^ (index as u64) << 48,
        };
        // It answers at its end; beyond that, a worker that says nothing is killed.
        let limit = duration + self.options.grace + Duration::from_secs(10);
        Worker::start(self.harness, &process.name, Role::Free(run), limit)?.ready()
    }

    /// Runs one process of the system after the other.
    fn run(
        &self,
        process: &Process,
        index: usize,
        first: Worker,
        started: Instant,
    ) -> Result<ProcessReport, HarnessError> {
        let mut report = Adding::default();
        let mut worker = Some(first);
        loop {
            let left = self.options.duration.saturating_sub(started.elapsed());
            let mut running = match worker.take() {
                Some(first) => first,
                None => self.start(process, index, left)?,
            };
            match running.ask(&"go")? {
                Answer::Ran(ran) => report.add(*ran)?,
                other => return Err(running.unexpected(&other)),
            }
            running.finish();
            let more = match process.runs {
                Repeat::Times(times) => report.runs < u64::from(times),
                Repeat::Forever => true,
            };
            if !more || started.elapsed() >= self.options.duration {
                return Ok(report.of(&process.name));
            }
        }
    }
}

/// The sum of several runs.
#[derive(Default)]
struct Adding {
    runs: u64,
    calls: u64,
    ran: Duration,
    failures: BTreeMap<String, u64>,
    replies: Vec<Vec<(Call, Reply)>>,
    waits: BTreeMap<(Path, Mode), WaitReport>,
    still_waiting: Vec<StillWaiting>,
    unfinished: u64,
    panics: Vec<String>,
}

impl Adding {
    fn add(&mut self, ran: Ran) -> Result<(), HarnessError> {
        self.runs += 1;
        self.calls += ran.calls;
        self.ran += Duration::from_nanos(ran.ran_ns);
        self.replies = ran.replies;
        self.still_waiting.extend(ran.waiting);
        self.unfinished += u64::from(ran.unfinished);
        self.panics.extend(ran.panic);
        for (failure, times) in ran.failures {
            *self.failures.entry(failure).or_default() += times;
        }
        let refused = |error: &dyn std::fmt::Display| HarnessError::Refused(format!("a histogram: {error}"));
        for Waits { file, mode, wait_ns, overtakes, deadlocks } in ran.waits {
            let histogram = || Histogram::new(3).map_err(|error| refused(&error));
            let (new_waits, new_overtakes) = (histogram()?, histogram()?);
            let sum = self.waits.entry((file.clone(), mode)).or_insert_with(|| WaitReport {
                file,
                mode,
                wait_ns: new_waits,
                overtakes: new_overtakes,
                deadlocks: 0,
            });
            sum.deadlocks += deadlocks;
            for (into, pairs) in [(&mut sum.wait_ns, wait_ns), (&mut sum.overtakes, overtakes)] {
                for (value, times) in pairs {
                    into.record_n(value, times).map_err(|error| refused(&error))?;
                }
            }
        }
        Ok(())
    }

    fn of(self, name: &str) -> ProcessReport {
        #[allow(clippy::cast_precision_loss, reason = "a rate, for people")]
        let calls_per_second = self.calls as f64 / self.ran.as_secs_f64().max(1e-9);
        ProcessReport {
            name: name.to_owned(),
            runs: self.runs,
            calls: self.calls,
            calls_per_second,
            failures: self.failures,
            replies: self.replies,
            waits: self.waits.into_values().collect(),
            still_waiting: self.still_waiting,
            unfinished: self.unfinished,
            panics: self.panics,
        }
    }
}
