//! Many checks, several at a time.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::engine::{EngineArgs, Engines};
use crate::error::CliError;
use crate::job::{Job, Outcome};
use crate::progress::Progress;

/// The number of a job, and what came of it.
type Done = (usize, Result<Outcome, CliError>);

/// Does the jobs, `side_by_side` at a time or one for each core, and returns what they found in their order.
pub(crate) fn through(
    jobs: &[Job<'_>],
    args: &EngineArgs,
    side_by_side: Option<u16>,
    with_processes: bool,
) -> Result<Outcome, CliError> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let workers = side_by_side.map_or(cores, usize::from).min(jobs.len());
    let engines = Engines::of(args, workers)?;
    let progress = Progress::start(jobs.len());
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Done>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { break };
                    let name = job.name();
                    progress.begin(&name);
                    let result = job.run(&engines, with_processes);
                    progress.end(&name);
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    drop(progress);
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(index, _)| *index);
    let mut all = Outcome::default();
    for (_, result) in found {
        let Outcome { checked, refused } = result?;
        all.checked.extend(checked);
        all.refused.extend(refused);
    }
    Ok(all)
}
