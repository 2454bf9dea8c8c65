//! shuttle runs the protocol: what is too big for exhaustion, by schedules drawn at random; and what is tiny, by all.
//!
//! The threads are shuttle's, and each operation that another thread might notice is one scheduling point, a shuttle
//! atomic. shuttle leaves out no interleaving that differs in nothing, so one atomic stands for all objects. A thread that
//! waits is hidden from shuttle's `chooser` until it can go on; so a schedule has as many points as steps.
//!
//! Choices, ticks of the clock and kills are drawn from shuttle's own random numbers and are part of the schedule; with
//! [`Strategy::Dfs`], which has no random numbers, they are made outside: one search for each `plan`.

mod chooser;
mod primitives;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use self::chooser::{Chooser, Inner, Measured, Run};
use self::primitives::Shuttle;
use super::driver::{Actor, Limits, Search, World};
use super::plan::{Plan, Walk};
use super::quiet::{message, quietly};
use super::{Error, Report, counted};
use crate::property::Property;
use crate::system::System;
use crate::verdict::Verdict;

/// In which order shuttle lets threads step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Each step by a thread drawn from those that can take one.
    Random,
    /// Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010): threads have random
    /// priorities, which change at `depth - 1` random points.
    Pct {
        /// How many ordering constraints a bug may need.
        depth: usize,
    },
    /// Every schedule, depth first.
    Dfs,
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Random => f.write_str("random"),
            Strategy::Pct { depth } => write!(f, "pct of depth {depth}"),
            Strategy::Dfs => f.write_str("dfs"),
        }
    }
}

/// How shuttle goes about it.
#[derive(Clone, Debug)]
pub struct ShuttleOptions {
    /// In which order threads step.
    pub strategy: Strategy,
    /// From which the schedules are drawn; the same seed draws the same ones.
    pub seed: u64,
    /// How many schedules are drawn; of [`Strategy::Dfs`], the most.
    pub schedules: u64,
    /// The most steps of a schedule; a longer one is ended there, and the verdict says so.
    pub max_steps: usize,
    /// How long it may take. `None` for as long as it takes.
    pub max_duration: Option<Duration>,
    /// How often is run what runs for ever; the verdict says so.
    pub rounds: u32,
}

impl Default for ShuttleOptions {
    fn default() -> Self {
        let strategy = Strategy::Pct { depth: 3 };
        Self { strategy, seed: 1, schedules: 1_000, max_steps: 20_000, max_duration: None, rounds: 2 }
    }
}

/// Why a schedule is not run again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The text is no schedule of shuttle's, or none of this system.
    #[error("that is no schedule of shuttle's for this scenario: {0}")]
    Text(String),
    /// As of [`check`].
    #[error(transparent)]
    Engine(#[from] Error),
}

/// The environment variable that shuttle's schedulers take in place of their seed.
const SEED_VARIABLE: &str = "SHUTTLE_RANDOM_SEED";

/// Draws schedules of `system` and judges `properties`.
///
/// # Errors
/// What this engine has no means for, mistakes of a protocol, and a violation that the machine does not repeat.
pub fn check(system: &System, properties: &[Property], options: &ShuttleOptions) -> Result<Report, Error> {
    if std::env::var_os(SEED_VARIABLE).is_some() {
        let why = format!("{SEED_VARIABLE} is set, which takes the place of the seed; unset it");
        return Err(Error::Unsupported { engine: "shuttle", why });
    }
    if options.strategy == (Strategy::Pct { depth: 0 }) {
        return Err(Error::Unsupported { engine: "shuttle", why: "the depth of PCT is at least 1".into() });
    }
    let search = Search::new("shuttle", system, properties, limits(options))?;
    match options.strategy {
        Strategy::Dfs => all(&search, system),
        Strategy::Random | Strategy::Pct { .. } => sample(&search, options),
    }
}

/// Runs the one schedule of shuttle's own text again (see [`Report::own_schedules`]), with shuttle's own means.
///
/// # Errors
/// As [`check`]; and [`ReplayError::Text`].
pub fn replay(
    system: &System,
    properties: &[Property],
    own: &str,
    options: &ShuttleOptions,
) -> Result<Report, ReplayError> {
    let search = Search::new("shuttle", system, properties, limits(options))?;
    let inner = quietly(|| Inner::replay(own)).map_err(|payload| ReplayError::Text(message(&*payload)))?;
    let inner = std::cell::Cell::new(Some(inner));
    let draws = options.strategy != Strategy::Dfs;
    search.found(|found| found.times_matter = draws);
    search.run_plan(&Plan::default(), |search| {
        let inner = inner.take().or_else(|| quietly(|| Inner::replay(own)).ok());
        inner.map(|inner| explore(search, inner, draws));
    });
    if let Some(fault) = search.found(|found| found.cut.clone()) {
        return Err(ReplayError::Text(fault));
    }
    Ok(search.report(&Verdict::Sampled("1 schedule, given".into()), "")?)
}

fn limits(options: &ShuttleOptions) -> Limits {
    Limits {
        executions_max: (options.strategy == Strategy::Dfs).then_some(options.schedules),
        time_max: options.max_duration,
        steps_max: options.max_steps,
        rounds: options.rounds,
    }
}

/// Every schedule of every plan.
fn all(search: &Arc<Search>, system: &System) -> Result<Report, Error> {
    let mut walk = Walk::of(system);
    while !search.is_answered()
        && let Some(plan) = walk.next()
    {
        let met = search.run_plan(&plan, |search| {
            explore(search, Inner::dfs(), false);
        });
        walk.extend(&plan, &met);
    }
    let (overlong, steps) = (search.found(|found| found.overlong), search.limits.steps_max);
    let mut bounds: Vec<String> = search.rounds_bound().into_iter().collect();
    bounds.extend((overlong > 0).then(|| format!("{} ended after {steps} steps", counted(overlong, "schedule"))));
    let pass = if bounds.is_empty() { Verdict::Proved } else { Verdict::Bounded(bounds.join(", ")) };
    search.report(&pass, &search.over_executions(&walk))
}

/// As many schedules as were asked for.
fn sample(search: &Arc<Search>, options: &ShuttleOptions) -> Result<Report, Error> {
    let measured = std::cell::RefCell::new(Measured::default());
    // A schedule is run again without knowing what others have met.
    search.found(|found| found.times_matter = true);
    search.run_plan(&Plan::default(), |search| {
        measured.replace(explore(search, Inner::of(options), true));
    });
    let measured = measured.into_inner();
    let (schedules, overlong) = search.found(|found| (found.executions, found.overlong));
    let mut text = format!("{}, {}, seed {}", counted(schedules, "schedule"), options.strategy, options.seed);
    let miss = match options.strategy {
        Strategy::Pct { depth } => Some(measured.miss_max(depth)),
        _ => None,
    };
    if let Some(miss) = miss {
        let Measured { threads, choices, draws, .. } = measured;
        let uncounted = if draws { "; what was drawn but schedules is not counted" } else { "" };
        let miss = (miss * 1000.0).ceil() / 1000.0;
        text += &format!(
            "; misses a bug of that depth with p ≤ {miss:.3} ({threads} threads, {choices} choices{uncounted})"
        );
    }
    if overlong > 0 {
        text += &format!("; {overlong} of them ended after {} steps", options.max_steps);
    }
    text.extend(search.rounds_bound().map(|bound| format!("; {bound}")));
    let mut report = search.report(&Verdict::Sampled(text), "")?;
    report.miss_max = miss;
    Ok(report)
}

/// Lets shuttle run until its strategy has no other schedule, or until something ends the search.
fn explore(search: &Arc<Search>, inner: Inner, draws: bool) -> Measured {
    let run = Arc::new(Run::default());
    let mut config = Config::default();
    config.stack_size = STACK;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::None;
    config.silence_warnings = true;
    let runner = Runner::new(Chooser::new(search, &run, inner), config);
    let (inside, inside_run) = (Arc::clone(search), Arc::clone(&run));
    let body = move || {
        let planned = inside.found(|found| found.times_matter || found.plan != Plan::default());
        let world = Arc::new(World::new(&inside, Shuttle::new(&inside_run, draws, draws || !planned)));
        inside_run.begin(&world);
        for process in 0..inside.system.processes.len() {
            Actor::start(&world, process, 0);
        }
    };
    if let Err(payload) = quietly(|| runner.run(body)) {
        let text = message(&*payload);
        search.found(|found| found.cut.get_or_insert_with(|| format!("shuttle gave up: {text}")).len());
    }
    run.end();
    run.measured()
}

/// The bytes that a thread has for its stack.
const STACK: usize = 256 << 10;
