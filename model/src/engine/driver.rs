//! What loom and shuttle share: one driver of the protocols, over the primitives of either.
//!
//! One thread of the engine for each thread of each process, all processes in one execution. Calls are run as futures from
//! their start. Nothing is shared with the explorer but the vocabulary, the memory of a process, the monitors and the rule
//! for `EDEADLK`: which thread steps when, what a step does to locks, files and clocks, and who waits, is done here again.
//!
//! - [`world`]: what the threads of an execution share; who sleeps and who is woken;
//! - [`actor`]: a thread and its calls;
//! - [`life`]: how a process begins, goes round, and ends or is killed;
//! - [`perform`]: what each operation does.

mod actor;
mod life;
mod lock;
mod perform;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) use self::actor::Actor;
pub(super) use self::world::World;
use super::plan::{Met, Plan, Walk};
use super::replay::{self, Witness};
use super::{Error, Report, counted};
use crate::automaton::LearnError;
use crate::op::{CellName, Path};
use crate::property::Property;
use crate::system::{Process, Repeat, System};
use crate::verdict::{Extent, Finding, Verdict};

/// What threads do steps on. Two steps on one object are in an order that counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    /// The documents that answers are judged by, of those that anybody writes.
    Contents,
    /// The contents of another file.
    Disk(Path),
    /// The clock, and the contents of every file whose time is asked for.
    Clock,
    /// The holders of a lock file and those who wait for it.
    File(Path),
    /// Who waits for whom.
    Waits,
    /// A Go mutex of a process.
    Go(usize, CellName),
    /// Which threads a process has, and which of them are done.
    Threads(usize),
    /// What the threads of a process hold, as far as the lock library knows.
    Holds(usize),
}

/// The primitives of an engine, as the threads of one execution use them.
pub(super) trait Primitives: Sized + Debug + Send + Sync + 'static {
    /// Whether the engine leaves out interleavings that differ in the order of steps on different objects only.
    const REDUCES: bool;
    /// An object of the engine.
    type Object: Clone;
    /// Held while several objects are used in one step.
    type Guard<'o>;

    /// Starts thread `at` of the execution.
    fn spawn(&self, at: usize, body: Box<dyn FnOnce() + Send>) -> Result<(), String>;
    /// Thread `at` is about to perform another operation.
    fn next_step(&self, at: usize);
    /// A point at which an engine that does not reduce may switch threads, before a call and what it does to its own memory:
    /// a call begins as late as it can, which makes the time short in which its answer may have been true.
    fn yields(world: &World<Self>, at: usize);
    /// What stands for an object on which several may be used in one step.
    fn object(&self, object: Object) -> Self::Object;
    /// Takes it: a point at which the engine may switch threads. `None` if nobody could see it, or the execution is over.
    fn enter<'o>(world: &World<Self>, at: usize, object: &'o Self::Object) -> Option<Self::Guard<'o>>;
    /// A step on an object that is the last one of its operation.
    fn touch(world: &World<Self>, at: usize, object: &Object);
    /// An access to a plain cell; whether the engine itself calls it a data race.
    fn access(world: &World<Self>, at: usize, cell: (usize, u32, &CellName), writes: bool) -> bool;
    /// Puts thread `at` to sleep until it is woken.
    fn sleep(world: &World<Self>, at: usize);
    /// Wakes thread `at`.
    fn wake(&self, at: usize);
    /// The engine's own text for the schedule up to now, if it has one.
    fn own_schedule(&self) -> Option<String>;
    /// A random number below `below`, of an engine that makes choices at random.
    fn draw(&self, below: u32) -> Option<u32>;
}

/// What outlives an execution.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) executions: u64,
    /// How many executions were ended because they had too many steps.
    pub(super) overlong: u64,
    pub(super) witnesses: BTreeMap<Property, Witness>,
    /// Data races whose two accesses no run was found to stand before at once: how many, and the first.
    races_apart: u32,
    race_apart: Option<Witness>,
    /// Pairs of locks that were taken, the second while the first was held.
    pub(super) orders: BTreeMap<Path, BTreeSet<Path>>,
    /// Why the search ended before its end.
    pub(super) cut: Option<String>,
    pub(super) error: Option<LearnError>,
    /// An execution learned what it would have had to know from the start: all executions of the plan begin again.
    pub(super) again: bool,
    /// The files whose contents are used, in the order of discovery.
    pub(super) disk: Vec<Object>,
    /// The cells of processes with several threads, likewise: process, run, name.
    pub(super) cells: Vec<(usize, u32, CellName)>,
    /// Whether a file is written whose time is asked for. If none is, it does not matter when the clock ticks.
    pub(super) times_matter: bool,
    /// The processes of which a thread may panic while others run. That ends these, so it is ordered with all that they do.
    pub(super) mortal: BTreeSet<usize>,
    /// What is fixed beforehand.
    pub(super) plan: Plan,
    /// What was met beyond it.
    pub(super) met: Met,
}

/// How many data races are looked at for one that stands before both accesses at once.
const RACES_APART_MAX: u32 = 50;

/// What bounds a check by either engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) executions_max: Option<u64>,
    pub(super) time_max: Option<Duration>,
    /// The most steps of an execution.
    pub(super) steps_max: usize,
    /// How often is run what runs for ever.
    pub(super) rounds: u32,
}

/// What all executions of a check share.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) engine: &'static str,
    pub(super) system: System,
    pub(super) watched: Vec<Property>,
    pub(super) limits: Limits,
    started: Instant,
    found: Mutex<Found>,
}

impl Search {
    pub(super) fn new(
        engine: &'static str,
        system: &System,
        properties: &[Property],
        limits: Limits,
    ) -> Result<Arc<Self>, Error> {
        if let Some(property) = properties.iter().find(|property| !super::judges(**property)) {
            return Err(Error::Property { engine, property: *property });
        }
        let (system, watched) = (system.clone(), properties.to_vec());
        let search = Self { engine, system, watched, limits, started: Instant::now(), found: Mutex::default() };
        Ok(Arc::new(search))
    }

    pub(super) fn found<T>(&self, act: impl FnOnce(&mut Found) -> T) -> T {
        act(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often to do what is to be done `repeat` times, and whether that is all.
    fn times(&self, repeat: Repeat) -> (u32, bool) {
        match repeat {
            Repeat::Times(times) => (times, true),
            Repeat::Forever => (self.limits.rounds, false),
        }
    }

    /// Whether there is nothing left to look for.
    pub(super) fn is_answered(&self) -> bool {
        self.found(|found| {
            let witnessed = |property: &Property| found.witnesses.contains_key(property);
            found.cut.is_some() || found.error.is_some() || self.watched.iter().all(witnessed)
        })
    }

    /// Whether another execution is wanted; counts it if so.
    pub(super) fn goes_on(&self) -> bool {
        if self.is_answered() || self.found(|found| found.again) {
            return false;
        }
        let elapsed = self.started.elapsed();
        self.found(|found| {
            if self.limits.executions_max.is_some_and(|max| found.executions >= max) {
                found.cut = Some(format!("more than {}", counted(found.executions, "execution")));
            } else if self.limits.time_max.is_some_and(|max| elapsed >= max) {
                found.cut = Some(format!("the time was up after {}", counted(found.executions, "execution")));
            } else {
                found.executions += 1;
            }
            found.cut.is_none()
        })
    }

    /// Explores the executions of one plan with `explore`, from their beginning each time that something was learned
    /// which all of them have to know.
    pub(super) fn run_plan(self: &Arc<Self>, plan: &Plan, explore: impl Fn(&Arc<Self>)) -> Met {
        let before = self.found(|found| found.executions);
        loop {
            self.found(|found| {
                (found.executions, found.again) = (before, false);
                (found.plan, found.met) = (plan.clone(), Met::default());
            });
            explore(self);
            if !self.found(|found| found.again) {
                return self.found(|found| std::mem::take(&mut found.met));
            }
        }
    }

    /// Whether no run was found yet that stands before the two accesses of a data race at once.
    pub(super) fn wants_race(&self) -> bool {
        self.found(|found| !found.witnesses.contains_key(&Property::NoDataRace) && found.races_apart < RACES_APART_MAX)
    }

    /// A data race, if possible one that stands before both accesses at once: that needs no knowledge of the past.
    pub(super) fn race(&self, witness: Witness) {
        let together = replay::stands_together(&self.system, &self.watched, &witness);
        self.found(|found| {
            if together {
                found.witnesses.insert(Property::NoDataRace, witness);
            } else {
                found.races_apart += 1;
                found.race_apart.get_or_insert(witness);
            }
        });
    }

    /// What the verdict is bounded by, if something runs for ever.
    pub(super) fn rounds_bound(&self) -> Option<String> {
        let endless = |process: &Process| {
            process.runs == Repeat::Forever || process.threads.iter().any(|thread| thread.repeat == Repeat::Forever)
        };
        let rounds = self.limits.rounds;
        self.system.processes.iter().any(endless).then(|| format!("`for ever` taken as {rounds} times"))
    }

    /// How many executions it took, in words.
    pub(super) fn over_executions(&self, walk: &Walk) -> String {
        let executions = counted(self.found(|found| found.executions), "execution");
        match walk.plans() {
            1 => format!("over {executions}"),
            plans => format!("over {executions}, in {plans} models of choices and kills"),
        }
    }

    /// The findings, `pass` being the verdict on what no execution violates.
    pub(super) fn report(&self, pass: &Verdict, detail: &str) -> Result<Report, Error> {
        let (witnesses, apart, cut, executions) = self.found(|found| {
            if let Some(error) = found.error.take() {
                return Err(error);
            }
            let witnesses = std::mem::take(&mut found.witnesses);
            Ok((witnesses, found.race_apart.take(), found.cut.clone(), found.executions))
        })?;
        let mut report = Report { extent: Extent { executions, ..Extent::default() }, ..Report::default() };
        for property in &self.watched {
            let apart = apart.as_ref().filter(|_| *property == Property::NoDataRace);
            let finding = match (witnesses.get(property).or(apart), &cut) {
                (Some(witness), _) => {
                    report.own_schedules.extend(witness.own.clone().map(|own| (*property, own)));
                    replay::confirm(self.engine, &self.system, &self.watched, *property, witness)?
                }
                (None, Some(cut)) => unseen(*property, Verdict::Cut(cut.clone()), detail),
                (None, None) => unseen(*property, pass.clone(), detail),
            };
            report.findings.push(finding);
        }
        Ok(report)
    }
}

fn unseen(property: Property, verdict: Verdict, detail: &str) -> Finding {
    Finding { property, verdict, detail: detail.into(), trace: None }
}
