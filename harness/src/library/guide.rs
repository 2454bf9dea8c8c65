//! Leads the library along the marks of a run of the model.

use std::collections::BTreeMap;

use lockproof_model::monitor;
use lockproof_model::op::Path;
use lockproof_model::value::Value;

use super::marks::{Act, Marks, is_told, replaced};
use crate::disk::Disk;
use crate::error::HarnessError;
use crate::hunt::execution::Execution;
use crate::hunt::fault::Fault;
use crate::hunt::step::{Step, Unit};
use crate::hunt::strategy::Strategy;
use crate::replay::clock::Ticks;

/// A document that was replaced.
pub(super) struct Replaced {
    /// The number of the step, from 1.
    pub(super) number: usize,
    /// By whom.
    pub(super) unit: Unit,
    /// Which of its calls it was, from 0; `None` of what belongs to no call.
    pub(super) call: Option<usize>,
    /// Which.
    pub(super) document: Path,
    /// What it holds since.
    pub(super) value: Value,
}

/// Chooses the steps of the library: those of whoever has the next mark, until it has come there.
pub(super) struct Guide<'r> {
    marks: &'r Marks,
    disk: &'r Disk,
    /// How many marks the library has come to.
    pub(super) at: usize,
    taken: usize,
    last: Option<Unit>,
    kills: bool,
    /// How many calls each has begun.
    begun: BTreeMap<Unit, usize>,
    /// The step that was chosen last, if it replaces a document.
    replaces: Option<(usize, Unit, Path)>,
    ticks: Ticks,
    /// The file that is given the time of the last tick, when the step that was chosen last is done.
    keeps_time: Option<Path>,
    pub(super) replaced: Vec<Replaced>,
    /// Who was killed, each with the number of the step.
    pub(super) killed: Vec<(usize, usize)>,
    pub(super) problem: Option<HarnessError>,
}

impl<'r> Guide<'r> {
    pub(super) fn new(marks: &'r Marks, disk: &'r Disk) -> Result<Self, HarnessError> {
        Ok(Self {
            marks,
            disk,
            at: 0,
            taken: 0,
            last: None,
            kills: false,
            begun: BTreeMap::new(),
            replaces: None,
            ticks: Ticks::now()?,
            keeps_time: None,
            replaced: Vec::new(),
            killed: Vec::new(),
            problem: None,
        })
    }

    fn note(&mut self, done: Result<(), HarnessError>) {
        self.problem = self.problem.take().or(done.err());
    }

    /// Looks at a document that was replaced by the last step, and sets the time of a file that it wrote.
    pub(super) fn look(&mut self) {
        if let Some(file) = self.keeps_time.take() {
            let done = self.ticks.stamp(&self.disk.at(&file));
            self.note(done);
        }
        let Some((number, unit, document)) = self.replaces.take() else { return };
        let call = self.begun.get(&unit).and_then(|begun| begun.checked_sub(1));
        match self.disk.read(&document) {
            Ok(value) => self.replaced.push(Replaced { number, unit, call, document, value }),
            Err(error) => self.note(Err(error)),
        }
    }

    /// The number of the model's step that the library has not come to.
    pub(super) fn awaited(&self) -> Option<usize> {
        self.marks.all.get(self.at).map(|mark| mark.number)
    }

    /// The index of the next step.
    fn next(&mut self, enabled: &[Step]) -> Result<usize, (String, String)> {
        while let Some(mark) = self.marks.all.get(self.at) {
            let unit = mark.unit;
            let mine = enabled.iter().position(|step| step.unit == unit);
            let parted = |found: &str| Err((mark.act.text(), found.to_owned()));
            if mark.act == Act::Dies {
                let is_its = |step: &Step| step.unit.participant == unit.participant && !self.is_child(step.unit);
                let its = enabled.iter().position(is_its);
                let Some(its) = its else { return parted("it rests, and nothing of it can be killed") };
                self.at += 1;
                self.kills = true;
                return Ok(its);
            }
            let Some(at) = mine else {
                // A child of the process, or a goroutine that the library has started, may have to go first.
                let helps = |step: &Step| step.unit.participant == unit.participant && !is_told(&step.what);
                let of_whole = |step: &&Step| step.unit.process == 0 && unit.process > 0 || self.is_child(step.unit);
                if let Some(help) = enabled.iter().position(|step| helps(step) && of_whole(&step)) {
                    return Ok(help);
                }
                if mark.act == Act::Waits {
                    self.at += 1;
                    continue;
                }
                return parted("it waits, or has ended");
            };
            let what = &*enabled[at].what;
            if mark.act.is(what) {
                self.at += 1;
                self.keeps_time = mark.keeps_time.clone();
                if mark.ticks {
                    let done = self.ticks.tick();
                    self.note(done);
                }
            } else if is_told(what) {
                return parted("its call returns before that");
            } else if self.marks.tells(what) {
                return parted(what);
            }
            return Ok(at);
        }
        // The model has said all. Whoever went last goes on.
        Ok(enabled.iter().position(|step| Some(step.unit) == self.last).unwrap_or(0))
    }

    /// Whether it is none of the goroutines that the marks are about.
    fn is_child(&self, unit: Unit) -> bool {
        unit.process > 0 && !self.marks.all.iter().any(|mark| mark.unit == unit)
    }
}

impl Strategy for Guide<'_> {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        self.look();
        let chosen = self.next(enabled)?;
        let Step { unit, what, .. } = &enabled[chosen];
        self.taken += 1;
        self.last = Some(*unit);
        if what.starts_with("calls ") && !self.kills {
            *self.begun.entry(*unit).or_default() += 1;
        }
        let document = replaced(what).map(Path::new).filter(monitor::is_contents);
        self.replaces = document.filter(|_| !self.kills).map(|document| (self.taken, *unit, document));
        Ok(Some(chosen))
    }

    fn fault(&mut self, step: &Step) -> Option<Fault> {
        std::mem::take(&mut self.kills).then(|| {
            self.killed.push((self.taken, step.unit.participant));
            Fault::Crash
        })
    }

    fn learn(&mut self, _: &Execution) -> bool {
        false
    }
}
