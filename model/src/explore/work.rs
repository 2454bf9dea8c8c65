//! What a move does, worked out the first time that it is taken.

use super::describe::{Action, KILL};
use super::merge::{RUN_MAX, is_between_calls, is_silent};
use super::moves::{Moves, PROGRESS, RELEASED, REPLACED, SAME, Shown, Successor, VISIBLE};
use super::parts::PartId;
use crate::op::{LockResult, Mode, Op, Outcome};
use crate::schedule::Step;
use crate::state::{Local, Shared};
use crate::step::{self, Around, ModelError};
use crate::trace::Effect;

impl Moves<'_> {
    pub(super) fn work_out(
        &mut self,
        local: PartId,
        shared: PartId,
        action: usize,
        around: &Around,
    ) -> Result<u32, ModelError> {
        let Action { thread, uses_shared, many, .. } = self.info(local).actions[action];
        let mut found = Vec::new();
        for branch in 0..=if many { u8::MAX } else { 0 } {
            self.branch = branch;
            let mut part = (**self.locals.get(local)).clone();
            let mut common = (**self.shareds.get(shared)).clone();
            let mut report = Report::default();
            let moved = if thread == KILL {
                self.kill(&mut part, &mut common, &mut report)
            } else {
                self.run(&mut part, &mut common, around, usize::from(thread), branch, &mut report)?
            };
            if !moved {
                break;
            }
            let common = if uses_shared { self.intern_shared(common)? } else { shared };
            let id = self.intern_local(part, common)?;
            let shared = if common == shared { SAME } else { common };
            found.push(Successor { local: id, shared, branch, granted: report.granted, flags: report.flags });
        }
        let start = u32::try_from(self.successors.len()).unwrap_or(u32::MAX);
        let result = u32::try_from(self.results.len()).unwrap_or(u32::MAX);
        self.results.push((start, u8::try_from(found.len()).unwrap_or(u8::MAX)));
        self.successors.extend(found);
        Ok(result)
    }

    fn kill(&mut self, local: &mut Local, shared: &mut Shared, report: &mut Report) -> bool {
        let killed = step::kill(&self.model, local, shared, Step::Kill { process: 0 });
        if let Some(performed) = &killed {
            report.flags |= PROGRESS | VISIBLE | if performed.released_read { RELEASED } else { 0 };
        }
        killed.is_some()
    }

    /// A move: what comes silently before the operation, the operation, what comes silently after it.
    fn run(
        &mut self,
        local: &mut Local,
        shared: &mut Shared,
        around: &Around,
        thread: usize,
        branch: u8,
        report: &mut Report,
    ) -> Result<bool, ModelError> {
        if self.run_silently(local, shared, around, thread, report)? {
            return Ok(branch == 0);
        }
        let ran = report.flags & PROGRESS != 0;
        if !self.micro(local, shared, around, thread, branch, report)? {
            // A thread that is alone and blocks itself: what it did before that is a move, and its last.
            return Ok(ran && branch == 0);
        }
        if !is_between_calls(local, thread) {
            self.run_silently(local, shared, around, thread, report)?;
        }
        Ok(true)
    }

    /// Performs the silent operations that `thread` stands before. Whether a call ended with them.
    pub(super) fn run_silently(
        &mut self,
        local: &mut Local,
        shared: &mut Shared,
        around: &Around,
        thread: usize,
        report: &mut Report,
    ) -> Result<bool, ModelError> {
        for _ in 0..RUN_MAX {
            if !(self.merge && is_silent(&self.model, local, thread)) {
                return Ok(false);
            }
            if !self.micro(local, shared, around, thread, 0, report)? {
                return Ok(false);
            }
            if is_between_calls(local, thread) {
                return Ok(true);
            }
        }
        Err(ModelError::LocalRun { process: self.model.process(local.kind).name.clone() })
    }

    fn micro(
        &mut self,
        local: &mut Local,
        shared: &mut Shared,
        around: &Around,
        thread: usize,
        branch: u8,
        report: &mut Report,
    ) -> Result<bool, ModelError> {
        let step = Step::Run { process: 0, thread: u8::try_from(thread).unwrap_or(KILL), branch };
        let Some(performed) = step::perform(&mut self.model, local, shared, around, thread, branch, step)? else {
            return Ok(false);
        };
        report.flags |= if performed.progress { PROGRESS } else { 0 };
        report.flags |= if performed.contents_replaced { REPLACED } else { 0 };
        report.flags |= if performed.released_read { RELEASED } else { 0 };
        let event = &performed.event;
        if event.begins.is_some() || event.ends.is_some() || !event.notes.is_empty() || !performed.wrong.is_empty() {
            report.flags |= VISIBLE;
        }
        if let (Some(Op::Lock { file, .. }), Effect::Done(Outcome::Locked(LockResult::Granted))) =
            (&event.op, &event.effect)
        {
            report.granted = self.bit(&self.model.system.inode(file))? + 1;
        }
        let written = match &event.op {
            Some(Op::WriteStamp { file }) => Some(file),
            Some(Op::Rename { document, .. }) => Some(&document.lock),
            _ => None,
        };
        if written.is_some_and(|lock| local.locks.get(&self.model.system.inode(lock)) != Some(&Mode::Exclusive)) {
            self.shown.push((self.branch, Shown::Undisciplined));
        }
        let wrong = performed.wrong.into_iter().map(Shown::Wrong);
        let orders = performed.orders.into_iter().map(|(first, second)| Shown::Order(first, second));
        let branch = self.branch;
        self.shown.extend(wrong.chain(orders).map(|shown| (branch, shown)));
        Ok(true)
    }
}

/// What happened in a move.
#[derive(Default)]
pub(super) struct Report {
    flags: u8,
    granted: u8,
}
