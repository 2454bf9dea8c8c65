//! Many checks, several at a time.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::engine::{EngineArgs, Engines};
use crate::error::CliError;
use crate::job::{Job, Outcome};
use crate::progress::Progress;

/// Does the jobs, `jobs_max` at a time or one for each core, and returns what they found in their order.
pub(crate) fn through(
    jobs: &[Job<'_>],
    args: &EngineArgs,
    jobs_max: Option<u16>,
    with_processes: bool,
) -> Result<Outcome, CliError> {
    let engines = Engines::of(args, workers(jobs.len(), jobs_max))?;
    let mut all = Outcome::default();
    for outcome in side_by_side(jobs, jobs_max, |job| job.name(), |job| job.run(&engines, with_processes)) {
        let Outcome { checked, refused } = outcome?;
        all.checked.extend(checked);
        all.refused.extend(refused);
    }
    Ok(all)
}

pub(crate) fn workers(items: usize, jobs_max: Option<u16>) -> usize {
    jobs_max.map_or_else(cores, usize::from).min(items)
}

/// How many processors there are for us.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Does the same with each of `items`, `jobs_max` at a time or one for each core, and returns what came of it in their
/// order. What is under way is shown by its name.
pub(crate) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    jobs_max: Option<u16>,
    name: impl Fn(&T) -> String + Sync,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    one_by_one(items, jobs_max, name, |item| Some(work(item)), |_| None)
}

/// The same for as long as `work` returns anything: the first item that it returns nothing for is the last that is begun.
/// What `remark` says about a result is told on stderr at once.
pub(crate) fn one_by_one<T: Sync, R: Send>(
    items: &[T],
    jobs_max: Option<u16>,
    name: impl Fn(&T) -> String + Sync,
    work: impl Fn(&T) -> Option<R> + Sync,
    remark: impl Fn(&R) -> Option<String> + Sync,
) -> Vec<R> {
    let progress = Progress::start(items.len());
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers(items.len(), jobs_max) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    let name = name(item);
                    progress.begin(&name);
                    let result = work(item);
                    progress.end(&name);
                    let Some(result) = result else {
                        next.fetch_max(items.len(), Ordering::Relaxed);
                        break;
                    };
                    if let Some(remark) = remark(&result) {
                        progress.tell(&remark);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    drop(progress);
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
