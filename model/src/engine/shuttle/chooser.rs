//! Which thread steps next: shuttle's own strategies choose among those that can.

use std::mem::ManuallyDrop;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::shuttle::scheduler::{
    DfsScheduler, PctScheduler, RandomScheduler, ReplayScheduler, Schedule, Scheduler, Task, TaskId,
};

use super::primitives::Shuttle;
use super::{ShuttleOptions, Strategy};
use crate::engine::driver::{Search, World};

/// What PCT's bound is worked out from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// The most threads of an execution.
    pub(super) threads: usize,
    /// The most steps of an execution at which there was a choice of threads.
    pub(super) choices: u32,
    /// How many executions there were after that one.
    since: i32,
    /// Whether outcomes or kills were drawn too.
    pub(super) draws: bool,
}

impl Measured {
    /// A bound on the probability that a bug of `depth` was missed (Burckhardt et al. 2010): each execution finds it with at
    /// least 1 / (n · k^(depth-1)), n threads and k choices. shuttle learns k on the way, so those executions count that
    /// come after the longest. Choices of values and kills are not counted.
    pub(super) fn miss_max(self, depth: usize) -> f64 {
        let others = i32::try_from(depth - 1).unwrap_or(i32::MAX);
        let threads = f64::from(u32::try_from(self.threads.max(1)).unwrap_or(u32::MAX));
        let found_min = 1.0 / (threads * f64::from(self.choices.max(1)).powi(others));
        (1.0 - found_min).powi(self.since)
    }
}

/// What the chooser and the threads of all executions share.
#[derive(Debug, Default)]
pub(super) struct Run {
    world: Mutex<Option<Arc<World<Shuttle>>>>,
    spawning: AtomicBool,
    measured: Mutex<Measured>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Run {
    /// An execution begins.
    pub(super) fn begin(&self, world: &Arc<World<Shuttle>>) {
        *locked(&self.world) = Some(Arc::clone(world));
    }

    /// All executions are over.
    pub(super) fn end(&self) {
        *locked(&self.world) = None;
    }

    pub(super) fn spawning(&self, spawning: bool) {
        self.spawning.store(spawning, Relaxed);
    }

    pub(super) fn measured(&self) -> Measured {
        *locked(&self.measured)
    }
}

/// shuttle's PCT. It panics where the execution before had no choice of threads, as it has nothing to draw from then. That
/// may be so by chance, if the only thread beside another is killed; so it begins anew until one has a choice.
#[derive(Debug)]
pub(super) struct Pct {
    scheduler: PctScheduler,
    seed: u64,
    depth: usize,
    schedules: usize,
}

impl Pct {
    fn new(seed: u64, depth: usize, schedules: usize) -> Self {
        Self { scheduler: PctScheduler::new_from_seed(seed, depth, schedules), seed, depth, schedules }
    }

    /// No execution has had a choice of threads.
    fn begin_anew(&mut self) {
        *self = Self::new(self.seed.wrapping_add(1), self.depth, self.schedules.saturating_sub(1));
    }
}

/// A strategy of shuttle's.
#[derive(Debug)]
pub(super) enum Inner {
    /// Not dropped: it prints its seed then, unless it has drawn its last schedule.
    Random(ManuallyDrop<RandomScheduler>),
    Pct(Pct),
    Dfs(DfsScheduler),
    Replay(ReplayScheduler),
}

impl Inner {
    pub(super) fn of(options: &ShuttleOptions) -> Self {
        let schedules = usize::try_from(options.schedules).unwrap_or(usize::MAX);
        match options.strategy {
            Strategy::Pct { depth } => Self::Pct(Pct::new(options.seed, depth, schedules)),
            _ => Self::Random(ManuallyDrop::new(RandomScheduler::new_from_seed(options.seed, schedules))),
        }
    }

    pub(super) fn dfs() -> Self {
        Self::Dfs(DfsScheduler::new(None, false))
    }

    /// Panics if the text is no schedule.
    pub(super) fn replay(own: &str) -> Self {
        let mut scheduler = ReplayScheduler::new_from_encoded(own);
        scheduler.set_allow_incomplete();
        Self::Replay(scheduler)
    }

    fn scheduler(&mut self) -> &mut dyn Scheduler {
        match self {
            Self::Random(scheduler) => &mut **scheduler,
            Self::Pct(pct) => &mut pct.scheduler,
            Self::Dfs(scheduler) => scheduler,
            Self::Replay(scheduler) => scheduler,
        }
    }
}

/// A scheduler that shows a strategy those threads only that can step.
#[derive(Debug)]
pub(super) struct Chooser {
    search: Arc<Search>,
    run: Arc<Run>,
    inner: Inner,
    choices: u32,
}

impl Chooser {
    pub(super) fn new(search: &Arc<Search>, run: &Arc<Run>, inner: Inner) -> Self {
        Self { search: Arc::clone(search), run: Arc::clone(run), inner, choices: 0 }
    }

    /// The execution is over: how long it was.
    fn measure(&mut self) {
        let measured = &mut *locked(&self.run.measured);
        if self.choices > measured.choices {
            (measured.choices, measured.since) = (self.choices, 0);
        } else {
            measured.since += 1;
        }
        self.choices = 0;
    }
}

impl Scheduler for Chooser {
    fn new_execution(&mut self) -> Option<Schedule> {
        if locked(&self.run.world).take().is_some() {
            self.measure();
            if let (Inner::Pct(pct), 0) = (&mut self.inner, self.run.measured().choices) {
                pct.begin_anew();
            }
        }
        let schedule = self.inner.scheduler().new_execution()?;
        self.search.goes_on().then_some(schedule)
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, _is_yielding: bool) -> Option<TaskId> {
        if matches!(self.inner, Inner::Replay(_)) {
            return self.inner.scheduler().next_task(runnable, current, false);
        }
        if self.run.spawning.load(Relaxed) {
            return current;
        }
        let first = runnable.first().map(|task| task.id());
        // The first task starts the others, and is gone before they step.
        let world = locked(&self.run.world).clone();
        let Some(world) = world.filter(|world| first != Some(TaskId::from(0)) && !world.is_over()) else {
            return first;
        };
        let number = |task: &&Task| usize::from(task.id()) - 1;
        let able: Vec<&Task> = runnable.iter().copied().filter(|task| world.is_able(number(task))).collect();
        if able.is_empty() {
            // Those that were woken in vain go back to sleep.
            return runnable.iter().find(|task| !world.is_asleep(number(task))).map(|task| task.id());
        }
        self.choices += u32::from(able.len() > 1);
        let measured = &mut *locked(&self.run.measured);
        measured.threads = measured.threads.max(runnable.len());
        self.inner.scheduler().next_task(&able, current, false)
    }

    fn next_u64(&mut self) -> u64 {
        locked(&self.run.measured).draws = true;
        self.inner.scheduler().next_u64()
    }
}
