//! The unmodified `containers-storage` against itself: its interleavings, one after the other, until one shows something
//! wrong or there are none left.
//!
//! | module | subject |
//! | --- | --- |
//! | [`workload`] | what is run against what |
//! | [`execution`] | one execution, step by step |
//! | [`step`] | what a step is, and which two steps depend on each other |
//! | [`strategy`] | who goes next |
//! | [`fault`] | what may happen in place of a call |
//! | [`faults`] | a crash or an error at every event |
//! | [`outcome`] | what came of it, and what may |
//! | [`recording`] | an execution written down, to be run again |
//!
//! What is not seen, and so not enumerated: the order of two calls of one process that wait at the same time (the first by
//! name goes first), symbolic links that are read, extended attributes, owners, and whatever the supervisor does not see.

pub mod execution;
pub mod fault;
pub mod faults;

pub mod outcome;
pub mod recording;
pub mod step;
pub mod strategy;
pub mod workload;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Harness;
use crate::error::HarnessError;
use crate::guardian::RunDirectory;
use crate::supervise::session::Session;
use crate::supervise::{Interest, Isolation};
use execution::{End, Execution, Limits, Stage, execute};
use faults::Explained;
use outcome::{Observer, Outcome, orders};
use recording::Recording;
use step::Unit;
use strategy::{Bounded, Exhaustive, Pct, Progress, Random, Recorded, Strategy};
use workload::Workload;

/// Where stores are quick, if it is there.
const MEMORY: &str = "/dev/shm";

/// How long a simpler execution is looked for.
const SIMPLIFY: Duration = Duration::from_secs(30);

/// More participants have more orders than are run.
pub const PARTICIPANTS_MAX: usize = 5;

/// How the schedules are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Every order that makes a difference.
    Exhaustive,
    /// [`Bounded`]: every order with few preemptions.
    Bounded {
        /// How many at most.
        preemptions: u32,
    },
    /// [`Pct`], for violations that need so many orderings.
    Pct {
        /// How many.
        depth: u32,
    },
    /// [`Random`].
    Random,
}

/// What a hunt is for, and what bounds it.
#[derive(Clone, Debug)]
pub struct HuntOptions {
    /// The unmodified `containers-storage`.
    pub program: PathBuf,
    /// How schedules are chosen.
    pub search: Search,
    /// Where random choices are drawn from.
    pub seed: u64,
    /// After how many executions it ends.
    pub executions: u64,
    /// After how long it ends.
    pub time: Duration,
    /// What bounds each execution.
    pub limits: Limits,
}

/// What is wrong with an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Of which property: `no-deadlock`, `exclusive`, `serial`.
    pub property: &'static str,
    /// In words.
    pub detail: String,
}

/// Something wrong, and how it comes about.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What.
    pub wrong: Wrong,
    /// The execution that shows it, the simplest that was found.
    pub execution: Execution,
    /// The same, to be run again.
    pub recording: Recording,
}

/// How a hunt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every order that makes a difference was tried.
    Exhausted,
    /// So many executions were allowed.
    Executions,
    /// So much time was allowed.
    Time,
    /// Something wrong was found.
    Violated,
    /// Everything that could be tried was tried, but some executions could not be repeated, or were cut.
    Lost,
}

/// What a hunt found.
#[derive(Clone, Debug)]
pub struct HuntReport {
    /// How it ended.
    pub ended: Ended,
    /// How many executions came to an end.
    pub executions: u64,
    /// How many steps they had.
    pub steps: u64,
    /// How many executions were cut by a limit, or did not go as they had before.
    pub cut: u64,
    /// Of the exhaustive search.
    pub progress: Option<Progress>,
    /// How many different outcomes there were, and in how many the commands give run one after the other.
    pub outcomes: (usize, usize),
    /// How long it took.
    pub lasted: Duration,
    /// What was found.
    pub violation: Option<Violation>,
}

/// A store to begin with, and the directory in which each execution has its copy.
struct Ground {
    observer: Observer,
    stage: Stage,
    original: PathBuf,
    limits: Limits,
    session: Session,
    /// Removed last.
    _directory: RunDirectory,
}

impl Ground {
    fn new(harness: &Harness, program: &Path, workload: &Workload, limits: Limits) -> Result<Self, HarnessError> {
        if workload.commands.is_empty() || workload.commands.len() > PARTICIPANTS_MAX {
            return Err(HarnessError::Refused(format!(
                "1 to {PARTICIPANTS_MAX} commands can be run against each other"
            )));
        }
        let below = if Path::new(MEMORY).is_dir() { PathBuf::from(MEMORY) } else { std::env::temp_dir() };
        let directory = RunDirectory::below(harness, &below).or_else(|_| RunDirectory::new(harness))?;
        let (store, output) = (directory.path().join("store"), directory.path().join("output"));
        make(&store)?;
        make(&output)?;
        let session = Session::start(harness, Isolation::Own, Interest { below: vec![store.clone()] })?;
        let stage = Stage { program: program.to_path_buf(), store: store.clone(), output };
        let original = directory.path().join("original");
        let observer = Observer::default();
        let mut ground = Self { observer, stage, original, limits, session, _directory: directory };
        // Even the first store of all has been used: everybody makes its directories otherwise.
        for words in [vec!["layers".to_owned()]].iter().chain(&workload.start) {
            let said = ground.alone(words)?;
            if said.status != Some(0) {
                let (command, why) = (words.join(" "), said.errors.trim().to_owned());
                return Err(HarnessError::Refused(format!("`{command}` fails, before anything else is run: {why}")));
            }
        }
        fs::rename(&store, &ground.original).map_err(HarnessError::io("rename", store))?;
        Ok(ground)
    }

    /// Runs a command with nothing beside it.
    fn alone(&mut self, words: &[String]) -> Result<execution::Said, HarnessError> {
        alone(&mut self.session, &self.stage, words, self.limits)
    }

    /// A fresh copy of the store.
    fn renew(&self) -> Result<(), HarnessError> {
        let store = &self.stage.store;
        if store.exists() {
            fs::remove_dir_all(store).map_err(HarnessError::io("remove", store.clone()))?;
        }
        copy(&self.original, store).map_err(HarnessError::io("copy the store to", store.clone()))
    }

    /// What each order of the commands gives.
    fn allowed(&mut self, workload: &Workload) -> Result<Vec<(Vec<usize>, Outcome)>, HarnessError> {
        self.orders_of(workload, &(0..workload.commands.len()).collect::<Vec<usize>>())
    }

    /// What each order of some of the commands gives, without the others.
    fn orders_of(
        &mut self,
        workload: &Workload,
        participants: &[usize],
    ) -> Result<Vec<(Vec<usize>, Outcome)>, HarnessError> {
        let mut allowed = Vec::new();
        for order in orders(participants.len()) {
            let order: Vec<usize> = order.into_iter().map(|at| participants[at]).collect();
            self.renew()?;
            let mut said = vec![execution::Said::default(); workload.commands.len()];
            for participant in &order {
                said[*participant] = self.alone(&workload.commands[*participant])?;
            }
            let outcome = self.outcome(&said)?;
            allowed.push((order, outcome));
        }
        Ok(allowed)
    }

    fn outcome(&mut self, said: &[execution::Said]) -> Result<Outcome, HarnessError> {
        let Self { observer, stage, session, limits, .. } = self;
        observer.outcome(stage, said, |words| alone(session, stage, words, *limits))
    }

    fn execute(
        &mut self,
        workload: &Workload,
        strategy: &mut dyn Strategy,
        limits: Limits,
    ) -> Result<Execution, HarnessError> {
        self.renew()?;
        execute(&mut self.session, &self.stage, workload, strategy, limits)
    }

    /// What is wrong with an execution. What came of it is added to those that are new.
    fn judge(
        &mut self,
        execution: &Execution,
        allowed: &[(Vec<usize>, Outcome)],
        outcomes: &mut Vec<Outcome>,
    ) -> Result<Option<Wrong>, HarnessError> {
        if let Some(detail) = execution.replaced_without_lock().into_iter().next() {
            return Ok(Some(Wrong { property: "exclusive", detail }));
        }
        match &execution.end {
            End::Stuck(waiting) => Ok(Some(Wrong { property: "no-deadlock", detail: waiting.join("; ") })),
            End::Done => {
                let outcome = self.outcome(&execution.said)?;
                let unexplained = outcome.unexplained(allowed, execution);
                if !outcomes.contains(&outcome) {
                    outcomes.push(outcome);
                }
                Ok(unexplained.map(|detail| Wrong { property: "serial", detail }))
            }
            End::Abandoned | End::Diverged { .. } | End::Limit(_) => Ok(None),
        }
    }
}

/// Runs a command with nothing beside it, to its end.
fn alone(
    session: &mut Session,
    stage: &Stage,
    words: &[String],
    limits: Limits,
) -> Result<execution::Said, HarnessError> {
    let workload = Workload { start: Vec::new(), commands: vec![words.to_vec()] };
    let mut execution = execute(session, stage, &workload, &mut First, limits)?;
    match execution.end {
        End::Done => Ok(execution.said.remove(0)),
        other => Err(HarnessError::Refused(format!(
            "`{}` does not come to its end with nothing beside it: {other:?}",
            words.join(" ")
        ))),
    }
}

/// Lets the first go that can.
struct First;

impl Strategy for First {
    fn choose(&mut self, _: &[step::Step]) -> Result<Option<usize>, (String, String)> {
        Ok(Some(0))
    }

    fn learn(&mut self, _: &Execution) -> bool {
        false
    }
}

/// Runs the commands against each other until something is wrong, nothing is left to be tried, or a bound is reached.
/// `goes_on` is asked after each execution.
///
/// # Errors
/// If the store to begin with cannot be made, or the supervisor cannot go on.
pub fn hunt(
    harness: &Harness,
    workload: &Workload,
    options: &HuntOptions,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Result<HuntReport, HarnessError> {
    let began = Instant::now();
    let mut ground = Ground::new(harness, &options.program, workload, options.limits)?;
    let allowed = ground.allowed(workload)?;
    let mut exhaustive = Exhaustive::new();
    let mut bounded = Bounded::new(if let Search::Bounded { preemptions } = options.search { preemptions } else { 0 });
    let mut random = Random::new(options.seed);
    let mut pct = Pct::new(options.seed, if let Search::Pct { depth } = options.search { depth } else { 1 });
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut report = HuntReport {
        ended: Ended::Exhausted,
        executions: 0,
        steps: 0,
        cut: 0,
        progress: None,
        outcomes: (0, 0),
        lasted: Duration::ZERO,
        violation: None,
    };
    loop {
        let strategy: &mut dyn Strategy = match options.search {
            Search::Exhaustive => &mut exhaustive,
            Search::Bounded { .. } => &mut bounded,
            Search::Pct { .. } => &mut pct,
            Search::Random => &mut random,
        };
        let left = options.time.saturating_sub(began.elapsed());
        let limits = Limits { time: options.limits.time.min(left), ..options.limits };
        let execution = ground.execute(workload, strategy, limits)?;
        if matches!(execution.end, End::Limit(_)) && began.elapsed() >= options.time {
            report.ended = Ended::Time;
            break;
        }
        report.executions += 1;
        report.steps += execution.steps.len() as u64;
        report.cut += u64::from(matches!(execution.end, End::Limit(_) | End::Diverged { .. }));
        let wrong = ground.judge(&execution, &allowed, &mut outcomes)?;
        let is_left = strategy.learn(&execution);
        if let Some(wrong) = wrong {
            report.ended = Ended::Violated;
            report.violation = Some(simplest(&mut ground, workload, options.limits, &allowed, wrong, execution)?);
            break;
        }
        if !is_left {
            let progress =
                if options.search == Search::Exhaustive { exhaustive.progress() } else { bounded.progress() };
            let exhausted = progress.exhausted && report.cut == progress.diverged;
            report.ended = if exhausted { Ended::Exhausted } else { Ended::Lost };
            break;
        }
        if report.executions >= options.executions {
            report.ended = Ended::Executions;
            break;
        }
        if began.elapsed() >= options.time || !goes_on(report.executions) {
            report.ended = Ended::Time;
            break;
        }
    }
    report.progress = match options.search {
        Search::Exhaustive => Some(exhaustive.progress()),
        Search::Bounded { .. } => Some(bounded.progress()),
        Search::Pct { .. } | Search::Random => None,
    };
    let explained = |outcome: &&Outcome| allowed.iter().any(|(_, allowed)| allowed == *outcome);
    report.outcomes = (outcomes.len(), outcomes.iter().filter(explained).count());
    report.lasted = began.elapsed();
    Ok(report)
}

/// Looks for an execution with fewer switches that shows the same, by leaving out turns (delta debugging, Zeller and
/// Hildebrandt 2002).
fn simplest(
    ground: &mut Ground,
    workload: &Workload,
    limits: Limits,
    allowed: &[(Vec<usize>, Outcome)],
    wrong: Wrong,
    execution: Execution,
) -> Result<Violation, HarnessError> {
    let (mut best, mut wrong) = (execution, wrong);
    let until = Instant::now() + SIMPLIFY;
    // Half of them at a time, then a quarter, and so on.
    let mut size = turns(&best).len().div_ceil(2);
    'smaller: while size > 0 {
        let mut from = 0;
        while from < turns(&best).len() {
            if Instant::now() > until {
                break 'smaller;
            }
            let mut left = turns(&best);
            left.drain(from..(from + size).min(left.len()));
            let mut strategy = Turns { turns: left, at: 0, taken: 0 };
            let tried = ground.execute(workload, &mut strategy, limits)?;
            match ground.judge(&tried, allowed, &mut Vec::new())? {
                Some(same) if same.property == wrong.property && turns(&tried).len() < turns(&best).len() => {
                    (best, wrong) = (tried, same);
                }
                _ => from += size,
            }
        }
        size /= 2;
    }
    let recording = Recording::of(workload, wrong.property, &wrong.detail, &best);
    Ok(Violation { wrong, execution: best, recording })
}

/// Who goes how many steps in a row.
fn turns(execution: &Execution) -> Vec<(Unit, usize)> {
    let mut turns: Vec<(Unit, usize)> = Vec::new();
    for step in &execution.steps {
        match turns.last_mut().filter(|(unit, _)| *unit == step.unit) {
            Some((_, steps)) => *steps += 1,
            None => turns.push((step.unit, 1)),
        }
    }
    turns
}

/// Gives turns, as far as they are possible; after them, whoever went last goes on.
struct Turns {
    turns: Vec<(Unit, usize)>,
    at: usize,
    taken: usize,
}

impl Strategy for Turns {
    fn choose(&mut self, enabled: &[step::Step]) -> Result<Option<usize>, (String, String)> {
        loop {
            let Some((unit, steps)) = self.turns.get(self.at).copied() else {
                let last = self.turns.last().map(|(unit, _)| *unit);
                return Ok(Some(enabled.iter().position(|step| Some(step.unit) == last).unwrap_or(0)));
            };
            let possible = enabled.iter().position(|step| step.unit == unit).filter(|_| self.taken < steps);
            if let Some(possible) = possible {
                self.taken += 1;
                return Ok(Some(possible));
            }
            (self.at, self.taken) = (self.at + 1, 0);
        }
    }

    fn learn(&mut self, _: &Execution) -> bool {
        false
    }
}

/// A recording that was run again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Each time, what was wrong; `None` where nothing was.
    pub found: Vec<Option<Wrong>>,
    /// How the last one went.
    pub last: Option<Execution>,
}

/// Runs a recording again, `times` times.
///
/// # Errors
/// As of [`hunt`].
pub fn replay(
    harness: &Harness,
    program: &Path,
    recording: &Recording,
    times: u32,
    limits: Limits,
) -> Result<Replayed, HarnessError> {
    let mut ground = Ground::new(harness, program, &recording.workload, limits)?;
    let faulty: BTreeSet<usize> = recording
        .faults
        .keys()
        .filter_map(|at| recording.schedule.get(*at))
        .map(|(participant, ..)| *participant)
        .collect();
    let allowed = ground.allowed(&recording.workload)?;
    let explained = Explained::new(&mut ground, &recording.workload, &faulty)?;
    let mut replayed = Replayed { found: Vec::new(), last: None };
    for _ in 0..times {
        let mut strategy = Recorded::new(recording.steps(), recording.faults.clone());
        let execution = ground.execute(&recording.workload, &mut strategy, limits)?;
        replayed.found.push(match faulty.is_empty() {
            true => ground.judge(&execution, &allowed, &mut Vec::new())?,
            false => explained.judge(&mut ground, &execution, &mut Vec::new())?,
        });
        replayed.last = Some(execution);
    }
    Ok(replayed)
}

fn make(directory: &Path) -> Result<(), HarnessError> {
    fs::create_dir_all(directory).map_err(HarnessError::io("make", directory))
}

/// Copies a directory: files, directories, symbolic links, and who may do what with them.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    // Last, for it may say that nothing can be made there.
    fs::set_permissions(to, fs::Permissions::from_mode(fs::metadata(from)?.permissions().mode()))
}
