//! What can be seen when the last step is taken: who is stuck, what lies on disk, and what the kernel says.

use std::time::Duration;

use lockproof_model::call::Call;
use lockproof_model::op::{LockResult, Op, Outcome, Path};
use lockproof_model::schedule::Step;
use lockproof_model::trace::Effect;
use lockproof_model::value::Value;

use super::lockstep::{Lockstep, narrow, narrow_index};
use super::party::Blocked;
use super::{KernelAccount, Unfinished};
use crate::error::HarnessError;
use crate::wire::{Answer, Command, Did, Next};

impl Lockstep<'_> {
    /// Collects what can be seen at the end.
    pub(super) fn look_at_the_end(&mut self) -> Result<(), HarnessError> {
        self.report.times_set = self.ticks.set;
        self.begin_racing_calls()?;
        self.report.held = self.locks()?;
        self.try_once_more()?;
        if let Some(limit) = self.options.block_for
            && self.report.parted.is_none()
        {
            self.block(limit)?;
        }
        let mut documents: Vec<Path> = self.machine.state.shared.documents.keys().cloned().collect();
        documents.extend(self.report.initial.keys().cloned());
        for path in documents {
            match self.disk.read(&path)? {
                Value::Nil => {}
                value => {
                    self.report.documents.insert(path, value);
                }
            }
        }
        for process in 0..self.parties.len() {
            if let Some(worker) = &mut self.parties[process].worker {
                worker.kill();
            }
        }
        Ok(())
    }

    /// A thread whose call has not begun may stand before one side of a data race: its call begins, no operation is
    /// performed.
    fn begin_racing_calls(&mut self) -> Result<(), HarnessError> {
        if self.machine.data_race().is_none() || self.report.parted.is_some() {
            return Ok(());
        }
        for pending in self.machine.pending() {
            let (process, thread) = (usize::from(pending.process), usize::from(pending.thread));
            let state = &self.machine.state.locals[process].threads[thread];
            if !state.begun && matches!(pending.op, Some(Op::Get { .. } | Op::Set { .. })) {
                let call: Call = (*self.machine.model.automaton.node(state.node).call).clone();
                let thread = u32::from(pending.thread);
                self.ask(process, thread, &Command::Begin { thread, call })?;
            }
        }
        Ok(())
    }

    /// Whether those who stand before an operation that waits can really not go on: each is tried once more, as long
    /// as the model says that it cannot.
    fn try_once_more(&mut self) -> Result<(), HarnessError> {
        for process in 0..self.parties.len() {
            let standing: Vec<(u32, Op)> = (self.parties[process].next.iter())
                .filter_map(|(thread, next)| if let Next::Op(op) = next { Some((*thread, op.clone())) } else { None })
                .collect();
            for (thread, op) in standing {
                let waits = matches!(
                    op,
                    Op::Lock { wait: true, .. } | Op::MutexLock { .. } | Op::RwLock { .. } | Op::Join { .. }
                );
                let mut stuck = false;
                if waits && self.report.parted.is_none() && self.model_is_stuck(process, thread)? {
                    let said = self.ask(process, thread, &Command::Perform { thread, branch: 0, spawns: None })?;
                    stuck = matches!(said.did, Some(Did::Waits | Did::Blocked));
                    self.note_locks(process, thread, &op, said.did.as_ref())?;
                }
                let pid = self.worker(process)?.pid();
                let mut holders = Vec::new();
                if let Op::Lock { file, mode, .. } = &op {
                    let inode = self.report.system.inode(file);
                    holders = Blocked(&self.parties).holders(process, &inode, *mode);
                }
                let holders = holders.into_iter().map(narrow_index).collect();
                let (process, thread) = (narrow_index(process), narrow(thread));
                self.report.unfinished.push(Unfinished { process, thread, pid, op, stuck, holders });
            }
        }
        for pending in self.machine.pending() {
            let me = (pending.process, pending.thread);
            if !self.report.unfinished.iter().any(|thread| (thread.process, thread.thread) == me) {
                self.report.idle.push(me);
            }
        }
        Ok(())
    }

    /// Whether the thread can take no step in the model, or only one that `EDEADLK` ends.
    fn model_is_stuck(&mut self, process: usize, thread: u32) -> Result<bool, HarnessError> {
        let step = Step::Run { process: narrow_index(process), thread: narrow(thread), branch: 0 };
        let before = self.machine.state.clone();
        let performed = self.machine.try_step(step)?;
        self.machine.state = before;
        let refused = Effect::Done(Outcome::Locked(LockResult::Deadlock));
        Ok(performed
            .is_none_or(|performed| performed.event.effect == refused || performed.event.effect == Effect::Waits))
    }

    /// Lets those who wait for lock files wait in the kernel. Those that the model lets wait come first.
    fn block(&mut self, limit: Duration) -> Result<(), HarnessError> {
        let mut requests: Vec<(usize, u32)> = (self.report.unfinished.iter())
            .filter(|thread| thread.stuck && matches!(thread.op, Op::Lock { .. }))
            .map(|thread| (usize::from(thread.process), u32::from(thread.thread)))
            .collect();
        if requests.is_empty() {
            return Ok(());
        }
        let waits = |(process, thread): &(usize, u32)| {
            let local = &self.machine.state.locals[*process];
            local.threads.get(*thread as usize).is_some_and(|thread| thread.waiting.is_some())
        };
        requests.sort_by_key(|request| !waits(request));
        for (process, thread) in requests {
            let worker = self.worker(process)?;
            match worker.ask(&Command::Block { thread })? {
                Answer::Blocking => {}
                other => return Err(worker.unexpected(&other)),
            }
            // The one after it shall find it waiting.
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(limit);
        let mut account = KernelAccount { waited: limit, requests: Vec::new(), lines: self.locks()? };
        for process in 0..self.parties.len() {
            let Some(worker) = &mut self.parties[process].worker else { continue };
            match worker.ask(&Command::Account)? {
                Answer::Account { requests } => {
                    let pid = worker.pid();
                    account.requests.extend(requests.into_iter().map(|request| (narrow_index(process), pid, request)));
                }
                other => return Err(worker.unexpected(&other)),
            }
        }
        self.report.kernel = Some(account);
        Ok(())
    }
}
