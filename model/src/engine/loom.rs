//! loom runs the protocol: every interleaving, up to the order of operations that commute.
//!
//! - A lock file is a loom `Mutex` around what its holders are, and a parked thread for each that waits; a second one
//!   stands for what the kernel looks at for `EDEADLK`, and is taken only where somebody waits.
//! - Contents of documents and stamps are kept outside loom, each behind a relaxed read-modify-write of a loom atomic, so
//!   that loom sees their order and they order nothing else.
//! - A Go mutex is a loom `Mutex` around its state. A plain cell is loom's tracked cell, with a relaxed read-modify-write in
//!   front so that values of racy programs are explored too. Both only where a process has a second thread.
//! - loom's `Mutex` orders more than Go's `RWMutex` and a record lock do, and would hide races. So whether two accesses are a
//!   data race is decided by `happens_before`, in every execution that loom makes; loom's own cells
//!   stand beside it, and may find no race that is none in Go.
//! - Choices and kills, for which loom has no means, are made outside: one model for each `plan`.
//!
//! What it does not run: more than [`THREADS_MAX`] threads (the one that starts them has a stack of 32 KiB, which is too
//! little for a protocol), and a process that may be killed and starts goroutines.

mod primitives;

use std::sync::Arc;
use std::time::Duration;

use self::primitives::Loom;
use super::driver::{Actor, Limits, Search, World};
use super::plan::Walk;
use super::quiet::{message, quietly};
use super::{Error, Report, counted};
use crate::property::Property;
use crate::system::System;
use crate::verdict::Verdict;

/// The most threads of all processes together: loom has five, and its first one starts the others.
pub const THREADS_MAX: usize = 4;

/// How far loom goes.
#[derive(Clone, Debug)]
pub struct LoomOptions {
    /// The most preemptions of an execution; reported as [`Verdict::Bounded`]. `None` for all.
    pub preemption_bound: Option<usize>,
    /// The most executions. `None` for all.
    pub max_permutations: Option<u64>,
    /// How long it may take. `None` for as long as it takes.
    pub max_duration: Option<Duration>,
    /// The most branching points of an execution; loom reserves memory for them.
    pub max_branches: usize,
    /// How often is run what runs for ever; reported as [`Verdict::Bounded`].
    pub rounds: u32,
}

impl Default for LoomOptions {
    fn default() -> Self {
        Self { preemption_bound: None, max_permutations: None, max_duration: None, max_branches: 20_000, rounds: 2 }
    }
}

/// The payload of the panic that ends loom's search between two executions.
struct Over;

/// Runs every interleaving of `system` and judges `properties`.
///
/// # Errors
/// What this engine has no means for, mistakes of a protocol, and a violation that the machine does not repeat.
pub fn check(system: &System, properties: &[Property], options: &LoomOptions) -> Result<Report, Error> {
    let threads: usize = system.processes.iter().map(|process| process.threads.len()).sum();
    if threads > THREADS_MAX {
        let why = format!("it has {threads} threads, and loom has room for {THREADS_MAX}");
        return Err(Error::Unsupported { engine: "loom", why });
    }
    let limits = Limits {
        executions_max: options.max_permutations,
        time_max: options.max_duration,
        steps_max: options.max_branches,
        rounds: options.rounds,
    };
    let search = Search::new("loom", system, properties, limits)?;
    let mut walk = Walk::of(system);
    while !search.is_answered()
        && let Some(plan) = walk.next()
    {
        let met = search.run_plan(&plan, |search| explore(search, options));
        walk.extend(&plan, &met);
    }
    let mut bounds = Vec::new();
    bounds.extend(options.preemption_bound.map(|bound| format!("at most {}", counted(bound as u64, "preemption"))));
    bounds.extend(search.rounds_bound());
    let pass = if bounds.is_empty() { Verdict::Proved } else { Verdict::Bounded(bounds.join(", ")) };
    search.report(&pass, &search.over_executions(&walk))
}

/// Lets loom run until it has seen everything, or until something ends the search.
fn explore(search: &Arc<Search>, options: &LoomOptions) {
    let mut builder = ::loom::model::Builder::new();
    builder.max_threads = THREADS_MAX + 1;
    builder.max_branches = options.max_branches;
    builder.preemption_bound = options.preemption_bound;
    // The limits are kept here, for loom says nothing when it stops at one of its own.
    builder.max_permutations = None;
    builder.max_duration = None;
    builder.checkpoint_file = None;
    let (inside, max_branches) = (Arc::clone(search), options.max_branches);
    let run = move || {
        if !inside.goes_on() {
            std::panic::resume_unwind(Box::new(Over));
        }
        let world = Arc::new(World::new(&inside, Loom::new(&inside, max_branches)));
        for process in 0..inside.system.processes.len() {
            Actor::start(&world, process, 0);
        }
    };
    if let Err(payload) = quietly(|| builder.check(run))
        && !payload.is::<Over>()
    {
        let text = message(&*payload);
        search.found(|found| found.cut.get_or_insert_with(|| format!("loom gave up: {text}")).len());
    }
}
