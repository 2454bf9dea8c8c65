//! One execution: commands of a real store, one step at a time, in an order that a strategy decides.

mod daemons;
mod environment;
mod exclusive;
mod steps;

pub(super) use exclusive::lock_of;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::build::Build;
use super::daemon::line::{Line, Made};
use super::step::{Step, Unit};
use super::strategy::Strategy;
use super::workload::Workload;
use crate::error::HarnessError;
use crate::supervise::Program;
use crate::supervise::event::Event;
use crate::supervise::rest::Rest;
use crate::supervise::session::{Happening, Session, Stopped};
use crate::sys::process;

/// How long a process may do nothing that we see, while it does not wait for us. On a busy machine it may get no processor
/// for a while.
const SILENCE: Duration = Duration::from_secs(10);

/// How long a process may sleep for a time of its own choice, until we take it that nothing will come of it.
const DOZE: Duration = Duration::from_secs(1);

/// How long one that waits for a child or a pipe is left alone, for what it waits for may have come.
const NAP: Duration = Duration::from_millis(1);

/// How long a process of the library that seems to be stuck is watched, to be sure.
const PAUSE: Duration = Duration::from_millis(100);

/// How often we look whether a process has come to rest, of which a thread waits for us.
const LOOK: Duration = Duration::from_micros(30);

/// How often, one after the other, those of a cycle are refused with `EDEADLK` and ask again, until we take it that they do so
/// for ever: nobody else can go on, so nothing changes meanwhile.
const REFUSALS_MAX: u32 = 20;

/// How long the one that took the last step has, as a rule, until its next call.
const NEXT_CALL: Duration = Duration::from_millis(2);

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All commands have ended.
    Done,
    /// Some wait, and nobody is left who could let them go on: who, and for what.
    Stuck(Vec<String>),
    /// The strategy has no further use for it: whatever comes is like another execution.
    Abandoned,
    /// What a unit stood before is not what the strategy remembered of it.
    Diverged {
        /// At which step, from 0.
        step: usize,
        /// What was expected there.
        expected: String,
        /// What there was.
        found: String,
    },
    /// There were more steps than allowed, or it took too long: which.
    Limit(String),
}

/// What came of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// Its exit status; 128 + N if signal N ended it; `None` if it did not end.
    pub status: Option<i32>,
    /// What it printed on its standard output.
    pub output: String,
    /// What it printed on its standard error.
    pub errors: String,
}

/// An execution.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What was seen, each with the participant.
    pub events: Vec<(usize, Event)>,
    /// What came of each command.
    pub said: Vec<Said>,
    /// How it ended.
    pub end: End,
    /// The steps that could not be taken at the end, where it is stuck.
    pub blocked: Vec<Step>,
    /// The calls of processes of the library, in the order in which they were told.
    pub calls: Vec<Made>,
}

/// What bounds an execution.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many steps.
    pub steps: usize,
    /// How long.
    pub time: Duration,
}

/// Where an execution takes place, and what is run.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What runs the commands of each participant; the last is that of all further ones.
    pub programs: Vec<Build>,
    /// The driver of each participant that is told its calls; the last is that of all further ones.
    pub drivers: Vec<Build>,
    /// The directory of the store: `root` and `run` are below it.
    pub store: PathBuf,
    /// Where what the commands print is kept.
    pub output: PathBuf,
}

impl Stage {
    /// What runs the command of a participant.
    #[must_use]
    pub fn program(&self, participant: usize) -> Option<&Build> {
        self.programs.get(participant).or(self.programs.last())
    }

    /// What is told the calls of a process of the library, from 0.
    #[must_use]
    pub fn driver(&self, daemon: usize) -> Option<&Build> {
        self.drivers.get(daemon).or(self.drivers.last())
    }

    /// The words with which a command of the store begins.
    #[must_use]
    pub fn command(&self, participant: usize, words: &[String]) -> Vec<OsString> {
        let mut command = self.program(participant).map(Build::words).unwrap_or_default();
        command.extend(["--graph".into(), self.store.join("root").into()]);
        command.extend(["--run".into(), self.store.join("run").into()]);
        command.extend(["--storage-driver".into(), "vfs".into()]);
        command.extend(words.iter().map(Into::into));
        command
    }
}

impl Execution {
    /// Who has a fault.
    pub(super) fn faulty(&self) -> BTreeSet<usize> {
        self.steps.iter().filter(|step| step.fault.is_some()).map(|step| step.unit.participant).collect()
    }
}

/// An execution that is under way.
pub(super) struct Running<'a> {
    session: &'a mut Session,
    stage: &'a Stage,
    stopped: BTreeMap<Unit, Vec<Stopped>>,
    /// What units with one stopped call stand before, until their participant does something.
    described: BTreeMap<Unit, Step>,
    units: BTreeMap<u32, Unit>,
    /// The processes of the library, which are the last participants.
    lines: Vec<Line>,
    /// How many processes each participant has had.
    born: Vec<usize>,
    started: usize,
    said: Vec<Said>,
    statuses: usize,
    steps: Vec<Step>,
    /// How many of the last steps were refused with `EDEADLK`.
    refusals: u32,
    events: Vec<(usize, Event)>,
}

/// Runs the commands of a workload against each other.
///
/// # Errors
/// If a program cannot be started, or the supervisor cannot go on. Everything is killed then, when the session ends.
pub fn execute(
    session: &mut Session,
    stage: &Stage,
    workload: &Workload,
    strategy: &mut dyn Strategy,
    limits: Limits,
) -> Result<Execution, HarnessError> {
    start(session, stage, workload)?.run(strategy, limits)
}

/// Starts the commands of a workload, and waits until they rest before their first steps.
///
/// # Errors
/// As of [`execute`].
pub(super) fn start<'a>(
    session: &'a mut Session,
    stage: &'a Stage,
    workload: &Workload,
) -> Result<Running<'a>, HarnessError> {
    let participants = workload.participants();
    // If it is refused, we are slower.
    let _ = process::wait_exactly();
    let mut running = Running {
        session,
        stage,
        stopped: BTreeMap::new(),
        described: BTreeMap::new(),
        units: BTreeMap::new(),
        lines: Vec::new(),
        born: vec![0; participants],
        started: 0,
        said: vec![Said::default(); participants],
        statuses: 0,
        steps: Vec::new(),
        refusals: 0,
        events: Vec::new(),
    };
    running.start(workload)?;
    // If they do not come to rest, they do not do so either when the first step is to be chosen.
    running.settle(None)?;
    Ok(running)
}

impl Running<'_> {
    /// Lets them go, one step after the other.
    ///
    /// # Errors
    /// As of [`execute`].
    pub(super) fn run(mut self, strategy: &mut dyn Strategy, limits: Limits) -> Result<Execution, HarnessError> {
        let end = self.steps(strategy, limits)?;
        let blocked = if matches!(end, End::Stuck(_)) { self.blocked() } else { Vec::new() };
        self.clear()?;
        for (participant, said) in self.said.iter_mut().enumerate() {
            let read = |kind| fs::read(self.stage.output.join(format!("{participant}.{kind}"))).unwrap_or_default();
            said.output = String::from_utf8_lossy(&read("out")).into_owned();
            said.errors = String::from_utf8_lossy(&read("err")).into_owned();
        }
        let calls = self.calls_made();
        let Running { steps, events, said, .. } = self;
        Ok(Execution { steps, events, said, end, blocked, calls })
    }

    fn start(&mut self, workload: &Workload) -> Result<(), HarnessError> {
        let create = |path: PathBuf| File::create(&path).map_err(HarnessError::io("create", path));
        let nothing = File::open("/dev/null").map_err(HarnessError::io("open", "/dev/null"))?;
        for (participant, words) in workload.commands.iter().enumerate() {
            if let Some(why) = self.stage.program(participant).and_then(|build| build.refuses(words)) {
                return Err(HarnessError::Refused(why));
            }
            let command = self.stage.command(participant, words);
            let directory = self.stage.output.clone();
            let environment = environment::of_command();
            let program = Program { command, directory: directory.clone(), environment };
            let (out, err) = (
                create(directory.join(format!("{participant}.out")))?,
                create(directory.join(format!("{participant}.err")))?,
            );
            let number = u32::try_from(participant).unwrap_or(u32::MAX);
            self.session.run(number, &program, [nothing.as_fd(), out.as_fd(), err.as_fd()])?;
        }
        for (at, script) in workload.daemons.iter().enumerate() {
            self.start_daemon(workload.commands.len() + at, script)?;
        }
        let until = Instant::now() + SILENCE;
        while self.started < self.said.len() {
            if !self.hear(SILENCE)? && Instant::now() > until {
                let at = format!("{} of {} commands were started", self.started, self.said.len());
                return Err(HarnessError::Deadline { limit: SILENCE, at });
            }
        }
        self.meet_goroutines()
    }

    fn steps(&mut self, strategy: &mut dyn Strategy, limits: Limits) -> Result<End, HarnessError> {
        let until = Instant::now() + limits.time;
        let mut last = None;
        loop {
            if !self.settle(last)? {
                return Ok(End::Limit(format!("it did not come to rest within {SILENCE:?}")));
            }
            self.listen();
            let mut enabled = self.enabled()?;
            if enabled.is_empty() && !self.session.is_over() {
                // Before we say that somebody waits for ever: Go's runtime may still find a goroutine something to do.
                let until = Instant::now() + PAUSE;
                while Instant::now() < until {
                    self.session.let_sleep(None)?;
                    if self.hear(NAP)? {
                        break;
                    }
                }
                if !self.settle(last)? {
                    return Ok(End::Limit(format!("it did not come to rest within {SILENCE:?}")));
                }
                self.listen();
                enabled = self.enabled()?;
            }
            if enabled.is_empty() {
                return Ok(if self.session.is_over() { End::Done } else { End::Stuck(self.waiting()) });
            }
            if self.refusals >= REFUSALS_MAX && enabled.iter().all(|step| self.closes_cycle(step.unit)) {
                return Ok(End::Stuck(self.waiting()));
            }
            if self.steps.len() >= limits.steps {
                return Ok(End::Limit(format!("more than {} steps", limits.steps)));
            }
            if Instant::now() > until {
                return Ok(End::Limit(format!("longer than {:?}", limits.time)));
            }
            let chosen = match strategy.choose(&enabled) {
                Ok(Some(chosen)) => chosen,
                Ok(None) => return Ok(End::Abandoned),
                Err((expected, found)) => {
                    return Ok(End::Diverged { step: self.steps.len(), expected, found });
                }
            };
            let mut step = enabled[chosen].clone();
            step.fault = strategy.fault(&step);
            last = Some(step.unit);
            self.take(step)?;
        }
    }

    /// Waits until each process waits for us, or for somebody else; `false` if one does not in time. As a rule only the one
    /// that took the last step runs. Whom it wakes inside its process comes after it.
    fn settle(&mut self, last: Option<Unit>) -> Result<bool, HarnessError> {
        let mut told = if last.is_some() { self.hear(NEXT_CALL)? } else { false };
        while self.come_to_rest(told)? {
            if !self.session.let_one_wake()? {
                return Ok(true);
            }
            told = false;
        }
        Ok(false)
    }

    fn come_to_rest(&mut self, mut told: bool) -> Result<bool, HarnessError> {
        let mut quiet_since = Instant::now();
        loop {
            let calls = self.session.calls();
            if told {
                quiet_since = Instant::now();
            }
            let pids: Vec<u32> = self.session.processes().collect();
            let mut rests = self.statuses + self.alive() >= self.said.len();
            let (mut is_sure, mut lingers) = (self.session.has_told_all(), false);
            for pid in pids {
                let rest = self.session.rest(pid);
                if matches!(rest, Rest::Sleeps | Rest::Dozes) {
                    self.session.let_sleep(Some(pid))?;
                }
                is_sure &= rest == Rest::Asks;
                lingers |= rest == Rest::Lingers;
                match rest {
                    Rest::Asks | Rest::SeemsToAsk | Rest::Gone => {}
                    // One whose lock request is parked asks, too; what sleeps may be woken by whom we answered last.
                    Rest::Sleeps => rests &= quiet_since.elapsed() > NAP,
                    Rest::Dozes => rests &= quiet_since.elapsed() > DOZE,
                    Rest::Runs | Rest::Lingers => rests = false,
                }
            }
            if rests && is_sure {
                return Ok(true);
            }
            told = self.hear(match rests {
                true => Duration::ZERO,
                false if lingers => LOOK,
                false => NAP,
            })?;
            // A thread whose call waits to be taken in looks as if it slept in it.
            let is_quiet = !told && self.session.calls() == calls;
            if rests && is_quiet {
                return Ok(true);
            }
            if !is_quiet {
                quiet_since = Instant::now();
            }
            if quiet_since.elapsed() > SILENCE {
                return Ok(false);
            }
        }
    }

    /// How many commands have not ended.
    fn alive(&self) -> usize {
        self.session.processes().filter(|pid| self.units.get(pid).is_some_and(|unit| unit.process == 0)).count()
    }

    /// Takes in what happens next, within `limit`. Returns whether something did.
    fn hear(&mut self, limit: Duration) -> Result<bool, HarnessError> {
        match self.session.next(limit)? {
            Happening::Call(stopped) => {
                if stopped.concerns_nobody_else() {
                    let participant = self.unit(stopped.process, stopped.thread).participant;
                    self.acts(participant);
                    let events = self.session.go(stopped)?;
                    self.events.extend(events.into_iter().map(|event| (participant, event)));
                } else {
                    let unit = self.unit(stopped.process, stopped.thread);
                    self.acts(unit.participant);
                    self.stopped.entry(unit).or_default().push(stopped);
                }
            }
            Happening::Started { number, event } => {
                let participant = usize::try_from(number).unwrap_or(0);
                self.units.insert(event.process, Unit { participant, process: 0 });
                self.born[participant] += 1;
                self.started += 1;
            }
            Happening::NotStarted { number, problem } => {
                let participant = usize::try_from(number).unwrap_or(0);
                let build = match self.daemon(participant) {
                    Some(daemon) => self.stage.driver(daemon),
                    None => self.stage.program(participant),
                };
                let program = build.map(Build::to_string).unwrap_or_default();
                return Err(HarnessError::NotStarted { program, problem });
            }
            Happening::Ended(event) => {
                let unit = self.unit(event.process, event.thread);
                self.has_ended(unit);
                self.events.push((unit.participant, event));
            }
            Happening::Status { number, status } => {
                let participant = usize::try_from(number).unwrap_or(0);
                self.said[participant].status = Some(exit_status(status));
                self.statuses += 1;
            }
            Happening::Nothing => return Ok(false),
        }
        Ok(true)
    }

    /// A participant does something: what its units stand before may be something else now.
    fn acts(&mut self, participant: usize) {
        self.described.retain(|unit, _| unit.participant != participant);
    }

    fn unit(&mut self, pid: u32, thread: u32) -> Unit {
        if let Some(unit) = self.unit_of(pid, thread) {
            return unit;
        }
        let participant = self.session.program_of(pid).and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        let unit = Unit { participant, process: self.born[participant] };
        self.born[participant] += 1;
        self.units.insert(pid, unit);
        unit
    }

    /// Kills whatever is left, and waits until it is gone.
    pub(super) fn clear(&mut self) -> Result<(), HarnessError> {
        if !self.session.is_over() {
            self.session.sweep()?;
        }
        let until = Instant::now() + SILENCE;
        while !self.session.is_over() || self.statuses < self.said.len() {
            match self.session.next(SILENCE)? {
                Happening::Ended(event) => {
                    let participant = self.unit(event.process, event.thread).participant;
                    self.events.push((participant, event));
                }
                Happening::Status { .. } => self.statuses += 1,
                // One that was not known when the others were killed.
                Happening::Call(stopped) => self.session.kill(stopped.process)?,
                _ => {}
            }
            if Instant::now() > until {
                return Err(HarnessError::Deadline {
                    limit: SILENCE,
                    at: "processes that were killed do not end".into(),
                });
            }
        }
        self.session.forget();
        Ok(())
    }
}

fn exit_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}
