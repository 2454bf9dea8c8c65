//! loom runs the protocol: every interleaving, up to the order of operations that commute.
//!
//! One loom thread for each thread of each process, all processes in one loom execution. Nothing is shared with the
//! explorer but the vocabulary, the memory of a process and the monitors: calls are run as futures from their start, and
//! locks are made of loom's primitives.
//!
//! - a lock file is a loom `Mutex` around what its holders are, and a parked thread for each that waits; a second one
//!   stands for what the kernel looks at for `EDEADLK`, and is taken only where somebody waits;
//! - contents of documents and stamps are kept outside loom, each behind a relaxed read-modify-write of a loom atomic, so
//!   that loom sees their order and they order nothing else;
//! - a Go mutex is a loom `Mutex` around its state; a plain cell is loom's tracked cell, so an unordered access is
//!   loom's own finding, with a relaxed read-modify-write in front so that values of racy programs are explored too. Both
//!   only from the moment at which the process has a second thread.
//!
//! What is left out, and is refused or reported, never passed over: scripts for ever, kills, `Choose`, writes to files
//! whose time is asked for (the clock may or may not tick), and more than [`THREADS_MAX`] threads. The order that loom's
//! `Mutex` makes between two readers of one Go `RWMutex`, or between two threads of one process that use one lock file, is
//! stronger than Go's; so with several threads in a process the absence of data races is [`Verdict::Bounded`].

mod actor;
mod world;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use self::actor::Actor;
use self::world::World;
use super::{Error, Report};
use crate::automaton::LearnError;
use crate::machine::Machine;
use crate::op::{CellName, Path};
use crate::property::Property;
use crate::schedule::Step;
use crate::system::{Repeat, System};
use crate::trace::Trace;
use crate::verdict::{Extent, Finding, Verdict};

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
}

impl Default for LoomOptions {
    fn default() -> Self {
        Self { preemption_bound: None, max_permutations: None, max_duration: None, max_branches: 20_000 }
    }
}

/// A violation, and the steps up to it.
#[derive(Clone, Debug)]
struct Witness {
    text: String,
    steps: Vec<Step>,
}

/// What outlives an execution.
#[derive(Debug, Default)]
struct Found {
    executions: u64,
    witnesses: BTreeMap<Property, Witness>,
    /// Why the search ended before its end.
    cut: Option<String>,
    error: Option<LearnError>,
    /// An execution met more names than it had objects for: all begins again, with more of them.
    again: bool,
    /// Documents, stamps and their order of discovery: loom wants its atomics made before its threads.
    disk: Vec<Path>,
    /// The cells, likewise.
    cells: Vec<(usize, CellName)>,
}

/// What all executions of a check share.
#[derive(Debug)]
struct Search {
    system: System,
    watched: Vec<Property>,
    options: LoomOptions,
    started: Instant,
    found: Mutex<Found>,
}

/// The payload of the panic that ends loom's search between two executions.
struct Over;

impl Search {
    fn found<T>(&self, act: impl FnOnce(&mut Found) -> T) -> T {
        act(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether another execution is wanted; counts it if so.
    fn goes_on(&self) -> bool {
        let elapsed = self.started.elapsed();
        self.found(|found| {
            if found.cut.is_some() || found.error.is_some() || found.again {
                return false;
            }
            if self.watched.iter().all(|property| found.witnesses.contains_key(property)) {
                return false;
            }
            if self.options.max_permutations.is_some_and(|max| found.executions >= max) {
                found.cut = Some(format!("more than {} executions", found.executions));
                return false;
            }
            if self.options.max_duration.is_some_and(|max| elapsed >= max) {
                found.cut = Some(format!("the time was up after {} executions", found.executions));
                return false;
            }
            found.executions += 1;
            true
        })
    }
}

/// Runs every interleaving of `system` and judges `properties`.
///
/// # Errors
/// What this engine has no means for, and mistakes of a protocol.
pub fn check(system: &System, properties: &[Property], options: &LoomOptions) -> Result<Report, Error> {
    refuse(system, properties)?;
    let search = Arc::new(Search {
        system: system.clone(),
        watched: properties.to_vec(),
        options: options.clone(),
        started: Instant::now(),
        found: Mutex::default(),
    });
    loop {
        search.found(|found| {
            let (disk, cells) = (std::mem::take(&mut found.disk), std::mem::take(&mut found.cells));
            *found = Found { disk, cells, ..Found::default() };
        });
        explore(&search);
        if !search.found(|found| found.again) {
            break;
        }
    }
    search.found(|found| {
        if let Some(error) = found.error.take() {
            return Err(Error::Learn(error));
        }
        let findings = properties.iter().map(|property| judge(&search, found, *property)).collect();
        Ok(Report {
            findings,
            extent: Extent { executions: found.executions, ..Extent::default() },
            ..Report::default()
        })
    })
}

fn refuse(system: &System, properties: &[Property]) -> Result<(), Error> {
    let unsupported = |why: &str| Err(Error::Unsupported { engine: "loom", why: why.into() });
    let threads: usize = system.processes.iter().map(|process| process.threads.len()).sum();
    if threads > THREADS_MAX {
        return unsupported(&format!("it has {threads} threads, and loom has room for {THREADS_MAX}"));
    }
    if system.crashes > 0 {
        return unsupported("a process may be killed");
    }
    for process in &system.processes {
        if process.threads.iter().any(|thread| thread.repeat == Repeat::Forever) || process.runs == Repeat::Forever {
            return unsupported(&format!("{} runs for ever", process.name));
        }
        if process.threads.len() > 1 && process.runs != Repeat::Times(1) {
            return unsupported(&format!("{} has several threads and is started again", process.name));
        }
    }
    let alone = system.processes.iter().all(|process| process.threads.len() == 1);
    for property in properties {
        if !super::judges(*property) {
            return Err(Error::Property { engine: "loom", property: *property });
        }
        if *property == Property::Exclusive && !alone {
            return unsupported("`exclusive` is judged in processes with one thread only");
        }
    }
    Ok(())
}

/// Lets loom run until it has seen everything, or until something ends the search.
fn explore(search: &Arc<Search>) {
    let mut builder = ::loom::model::Builder::new();
    builder.max_threads = THREADS_MAX + 1;
    builder.max_branches = search.options.max_branches;
    builder.preemption_bound = search.options.preemption_bound;
    // The limits are kept here, for loom says nothing when it stops at one of its own.
    builder.max_permutations = None;
    builder.max_duration = None;
    builder.checkpoint_file = None;
    let inside = Arc::clone(search);
    let run = move || {
        if !inside.goes_on() {
            resume_unwind(Box::new(Over));
        }
        let world = Arc::new(World::new(&inside));
        for process in 0..inside.system.processes.len() {
            Actor::start(&world, process, 0);
        }
    };
    let ended = quietly(|| catch_unwind(AssertUnwindSafe(|| builder.check(run))));
    if let Err(payload) = ended
        && !payload.is::<Over>()
    {
        let text = message(&*payload);
        search.found(|found| found.cut.get_or_insert_with(|| format!("loom gave up: {text}")).len());
    }
}

fn message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "for an unknown reason".into())
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `act` without a word on standard error about panics of this thread: loom tells what it finds by panicking.
fn quietly<T>(act: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = act();
    QUIET.set(outer);
    result
}

fn judge(search: &Search, found: &Found, property: Property) -> Finding {
    if let Some(witness) = found.witnesses.get(&property) {
        let trace = retrace(search, witness);
        return Finding { property, verdict: Verdict::Violated, detail: witness.text.clone(), trace };
    }
    let threads = search.system.processes.iter().any(|process| process.threads.len() > 1);
    let verdict = if let Some(cut) = &found.cut {
        Verdict::Cut(cut.clone())
    } else if let Some(bound) = search.options.preemption_bound {
        Verdict::Bounded(format!("at most {bound} preemptions"))
    } else if property == Property::NoDataRace && threads {
        Verdict::Bounded("read locks order what they do not order in Go".into())
    } else {
        Verdict::Proved
    };
    let detail = format!("over {} executions", found.executions);
    Finding { property, verdict, detail, trace: None }
}

/// The steps of a violation, taken again by the machine. `None` where its clock or its kernel would need another word.
fn retrace(search: &Search, witness: &Witness) -> Option<Trace> {
    let mut machine = Machine::watching(&search.system, search.watched.iter().copied()).ok()?;
    let mut trace = Trace::default();
    for step in &witness.steps {
        trace.events.push(machine.step(*step).ok()?);
    }
    if let Some(last) = trace.events.last_mut() {
        last.wrong.get_or_insert_with(|| witness.text.clone());
    }
    Some(trace)
}
