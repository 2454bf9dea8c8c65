//! A run of the model, by the real library: its processes stand under the supervisor, and are led along the model's marks
//! (`marks`).
//!
//! The store to begin with is laid out as for reference processes, with a directory of the driver for each layer. Where the
//! library does something else than the model, on a file that both know, the two part, and that is said. Which of two
//! goroutines gets what both wait for inside their process is Go's choice, so a run that parts is tried again.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path as FsPath;
use std::time::Duration;

use lockproof_model::call::Call;
use lockproof_model::op::Path;
use lockproof_model::protocol::Layer;
use lockproof_model::system::System;
use lockproof_model::trace::Trace;
use lockproof_model::value::{Datum, Value};

use super::guide::{Guide, Replaced};
use super::marks::Marks;
use super::told;
use crate::Harness;
use crate::disk::Disk;
use crate::error::HarnessError;
use crate::guardian::RunDirectory;
use crate::hunt::build::Build;
use crate::hunt::execution::{End, Execution, Limits, Stage, execute};
use crate::hunt::step::Unit;
use crate::hunt::strategy::RETRIES;
use crate::hunt::workload::Workload;
use crate::replay::{CallMade, Parting};
use crate::supervise::session::Session;
use crate::supervise::{Interest, Isolation, Wakes};

/// What bounds a run.
const LIMITS: Limits = Limits { steps: 20_000, time: Duration::from_secs(60) };

/// What the library did.
#[derive(Clone, Debug)]
pub struct Enacted {
    /// What was enacted.
    pub system: System,
    /// How many steps the library took.
    pub steps: usize,
    /// How many marks the model's run has, all of which the library came to unless they parted.
    pub marks: usize,
    /// How often it was tried again, because the two parted.
    pub again: u32,
    /// Where model and library part, if they do.
    pub parted: Option<Parting>,
    /// The calls, in the order in which they began.
    pub calls: Vec<CallMade>,
    /// What each document held at the start.
    pub initial: BTreeMap<Path, Value>,
    /// What each document holds at the end; one that does not exist is not listed.
    pub documents: BTreeMap<Path, Value>,
    /// Each replacement of a document: the number of the step, the process id, the call if it was in one, which document,
    /// and what it holds since.
    pub replaced: Vec<(usize, u32, Option<Call>, Path, Value)>,
    /// Each process that was killed: the number of the step, the process id, the process from 0.
    pub killed: Vec<(usize, u32, u8)>,
    /// Who waits, and for what, where nobody can go on.
    pub stuck: Vec<String>,
    /// What processes said on their standard error before they ended by themselves with a Go panic.
    pub panics: Vec<String>,
}

impl Harness {
    /// Has the library do what the model did in `trace`. `drivers` has what each process of the system is: a driver that is
    /// built of the library, or a reference process.
    ///
    /// # Errors
    /// [`HarnessError::Refused`] with what of it the library cannot be brought to; if the supervisor cannot go on.
    pub fn enact(&self, drivers: &[Build], system: &System, trace: &Trace) -> Result<Enacted, HarnessError> {
        if !system.aliases.is_empty() {
            return Err(HarnessError::Refused("the library is not led along two paths of one file".into()));
        }
        let marks = Marks::of(system, trace).map_err(HarnessError::Refused)?;
        let scripts: Result<Vec<_>, String> = system.processes.iter().map(told::script).collect();
        let workload = Workload { daemons: scripts.map_err(HarnessError::Refused)?, ..Workload::default() };
        let directory = RunDirectory::new(self)?;
        let run = Run { drivers, system, trace, marks: &marks, workload: &workload, directory: directory.path() };
        let store = run.directory.join("store");
        let mut session = Session::start(self, Isolation::Own, Wakes::Unseen, Interest { below: vec![store] })?;
        let mut again = 0;
        loop {
            let enacted = run.once(&mut session)?;
            if enacted.parted.is_none() || again == RETRIES {
                return Ok(Enacted { again, ..enacted });
            }
            again += 1;
        }
    }
}

struct Run<'r> {
    drivers: &'r [Build],
    system: &'r System,
    trace: &'r Trace,
    marks: &'r Marks,
    workload: &'r Workload,
    directory: &'r FsPath,
}

impl Run<'_> {
    fn once(&self, session: &mut Session) -> Result<Enacted, HarnessError> {
        let stage = self.stage()?;
        let disk = Disk::new(&stage.store)?;
        let mut guide = Guide::new(self.marks, &disk)?;
        let execution = execute(session, &stage, self.workload, &mut guide, LIMITS)?;
        guide.look();
        if let Some(problem) = guide.problem.take() {
            return Err(problem);
        }
        let mut pids: HashMap<usize, u32> = HashMap::new();
        for (participant, event) in &execution.events {
            pids.entry(*participant).or_insert(event.process);
        }
        let pid = |participant: usize| pids.get(&participant).copied().unwrap_or_default();
        let calls = self.calls(&execution, &pid);
        let mut documents = BTreeMap::new();
        let known = self.system.documents.iter().map(|(path, _)| path);
        for path in known.chain(guide.replaced.iter().map(|replaced| &replaced.document)) {
            let value = disk.read(path)?;
            (value != Value::Nil).then(|| documents.insert(path.clone(), value));
        }
        let parted = self.parted(&execution, &guide, &calls);
        if let (None, End::Limit(limit)) = (&parted, &execution.end) {
            let at = format!("the library has taken {} steps: {limit}", execution.steps.len());
            return Err(HarnessError::Deadline { limit: LIMITS.time, at });
        }
        let replaced = guide.replaced.iter().map(|replaced| {
            let Replaced { number, unit, document, value, .. } = replaced;
            (*number, pid(unit.participant), self.call_of(replaced), document.clone(), value.clone())
        });
        let panics = execution.said.iter().filter(|said| said.errors.contains("panic: "));
        Ok(Enacted {
            system: self.system.clone(),
            steps: execution.steps.len(),
            marks: self.marks.all.len(),
            again: 0,
            parted,
            stuck: self.stuck(&execution, &pid),
            initial: self.system.documents.iter().cloned().collect(),
            documents,
            replaced: replaced.collect(),
            killed: guide.killed.iter().map(|(at, process)| (*at, pid(*process), narrow(*process))).collect(),
            panics: panics.map(|said| said.errors.trim().to_owned()).collect(),
            calls,
        })
    }

    /// The store to begin with, made anew.
    fn stage(&self) -> Result<Stage, HarnessError> {
        let (store, output) = (self.directory.join("store"), self.directory.join("output"));
        for folder in [&store, &output] {
            if folder.exists() {
                fs::remove_dir_all(folder).map_err(HarnessError::io("remove", folder))?;
            }
            fs::create_dir_all(folder).map_err(HarnessError::io("make", folder))?;
        }
        crate::store::lay_out(self.system, &store)?;
        let layers = self.system.documents.iter().filter(|(path, _)| path.file_name() == "layers.json");
        for layer in layers.flat_map(|(_, value)| Vec::<Layer>::from_value(value).unwrap_or_default()) {
            let folder = store.join("root/vfs/dir").join(&layer.id);
            fs::create_dir_all(&folder).map_err(HarnessError::io("make", folder))?;
        }
        Ok(Stage { programs: Vec::new(), drivers: self.drivers.to_vec(), store, output })
    }

    /// The calls that were made, as of reference processes. A call is told with one step, and its answer is there before
    /// another.
    fn calls(&self, execution: &Execution, pid: &impl Fn(usize) -> u32) -> Vec<CallMade> {
        let mut number: BTreeMap<Unit, usize> = BTreeMap::new();
        let made = execution.calls.iter().filter_map(|made| {
            let unit = Unit { participant: made.participant, process: made.goroutine };
            let at = number.entry(unit).or_default();
            let call = self.script(unit)?.get(*at)?.clone();
            *at += 1;
            let ended = made.ended.as_ref().map(|(step, returned)| (*step, told::reply(&call, returned)));
            let thread = narrow(made.goroutine.saturating_sub(1));
            let begun = made.begun + 1;
            Some(CallMade { process: narrow(made.participant), thread, pid: pid(made.participant), call, begun, ended })
        });
        made.collect()
    }

    fn script(&self, unit: Unit) -> Option<&[Call]> {
        let process = self.system.processes.get(unit.participant)?;
        match unit.process.checked_sub(1) {
            None => Some(&process.before),
            Some(thread) => Some(&process.threads.get(thread)?.script),
        }
    }

    fn call_of(&self, replaced: &Replaced) -> Option<Call> {
        self.script(replaced.unit)?.get(replaced.call?).cloned()
    }

    /// Where the two part: the library did not come to a mark, or a call that has ended in the model has another answer.
    fn parted(&self, execution: &Execution, guide: &Guide<'_>, calls: &[CallMade]) -> Option<Parting> {
        if let End::Diverged { expected, found, .. } = &execution.end {
            let number = guide.awaited().unwrap_or(self.trace.events.len());
            return Some(Parting { number, what: "lock-file events", model: expected.clone(), real: found.clone() });
        }
        let mut place: BTreeMap<(u8, u8), usize> = BTreeMap::new();
        for (number, event) in (1..).zip(&self.trace.events) {
            let lockproof_model::schedule::Step::Run { process, thread, .. } = event.step else { continue };
            let Some(reply) = &event.ends else { continue };
            let at = place.entry((process, thread)).or_default();
            let mine = calls.iter().filter(|made| (made.process, made.thread) == (process, thread));
            let made = mine.clone().nth(*at);
            *at += 1;
            let is_same = |real: &lockproof_model::call::Reply, call: &Call| {
                if call.is_query() { real == reply } else { real.is_ok() == reply.is_ok() }
            };
            let ended = made.and_then(|made| Some((&made.call, &made.ended.as_ref()?.1)));
            if !ended.is_some_and(|(call, real)| is_same(real, call)) {
                let show = lockproof_model::monitor::show_reply;
                let name = event.call.as_ref().map(ToString::to_string).unwrap_or_default();
                let real = ended.map_or("no answer".into(), |(_, real)| show(real));
                let (model, real) = (format!("`{name}` returns {}", show(reply)), format!("`{name}`: {real}"));
                return Some(Parting { number, what: "reply", model, real });
            }
        }
        None
    }

    /// Who waits, and for what.
    fn stuck(&self, execution: &Execution, pid: &impl Fn(usize) -> u32) -> Vec<String> {
        if !matches!(execution.end, End::Stuck(_)) {
            return Vec::new();
        }
        let open = execution.calls.iter().filter(|made| made.ended.is_none());
        let waits = open.map(|made| {
            let unit = Unit { participant: made.participant, process: made.goroutine };
            let step = execution.blocked.iter().find(|step| step.unit == unit);
            let on = step.map_or("inside its process".into(), |step| format!("for {}", step.what));
            let (name, pid) = (&self.system.processes[made.participant].name, pid(made.participant));
            format!("`{}` of {name} (pid {pid}) waits {on}", made.call)
        });
        waits.collect()
    }
}

fn narrow(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
