//! What the kernel and the launcher say, taken in: calls, ends, programs that were started.

use std::fs;

use super::super::decode::{Caller, Decoder, Meaning};
use super::super::event::{Action, Fate, ReleasedBy};
use super::super::filter::{self, Trap};
use super::super::launch::Told;
use super::super::rest::Task;
use super::turns::Waker;
use super::{Happening, Process, Session, Stopped};
use crate::error::HarnessError;
use crate::proc::Fields;
use crate::sys::seccomp::{Answer, Notification};
use crate::sys::{process, seccomp};

impl Session {
    pub(super) fn take_call(&mut self) -> Result<(), HarnessError> {
        let received = seccomp::receive(self.launcher.listener()).map_err(HarnessError::io("receive", "a call"))?;
        let Some(call) = received else { return Ok(()) };
        self.calls += 1;
        self.asking.insert(call.id, call.thread);
        let Some(trap) = filter::trap_of(call.number) else { return self.answer(call.id, Answer::Continue).map(drop) };
        let Some(process) = self.process_of(call.thread) else {
            return self.answer(call.id, Answer::Continue).map(drop);
        };
        if let Some(process) = self.processes.get_mut(&process) {
            process.rests = None;
            process.tasks.iter_mut().filter(|task| task.is(call.thread)).for_each(Task::calls);
        }
        // It makes a call, so the last one has run.
        if self.dropping.remove(&call.thread) {
            self.locks.left(process);
        }
        if self.renaming.remove(&call.thread) {
            self.descriptors.renames();
        }
        if process == self.launcher.pid() {
            return self.answer(call.id, Answer::Continue).map(drop);
        }
        let known = self.processes.get_mut(&process).is_some_and(|known| {
            // It is still the launcher, on the way to being another program, which it looks for on the path; it ends where
            // there is none.
            let executes = matches!(trap, Trap::Execute(_));
            let is_launcher = known.unclaimed && (!known.executed || executes || trap == Trap::Exit);
            known.executed |= executes;
            !is_launcher
        });
        if !known {
            return self.answer(call.id, Answer::Continue).map(drop);
        }
        if self.processes.get(&process).is_some_and(|known| known.unclaimed) {
            self.held_back.push((call, trap));
            return Ok(());
        }
        self.understand(call, trap, process)
    }

    /// Tells of a call if it matters, and lets it go on if not.
    fn understand(&mut self, call: Notification, trap: Trap, process: u32) -> Result<(), HarnessError> {
        if trap == Trap::Close && !self.locks.holds_any(process) {
            let descriptor = call.word(0);
            self.goes_unnoticed(trap, process, &call);
            self.descriptors.closes(process, descriptor, descriptor);
            return self.answer(call.id, Answer::Continue).map(drop);
        }
        let elsewhere = self.processes.get(&process).is_some_and(|process| process.elsewhere);
        let caller = Caller { process, elsewhere };
        let decoder = Decoder {
            interest: &self.interest,
            descriptors: &self.descriptors,
            locked: &self.locked,
            caller,
            call: &call,
        };
        let mut meaning = decoder.meaning(trap);
        let mut drops = Vec::new();
        match &mut meaning {
            Meaning::Nothing => {
                self.goes_unnoticed(trap, process, &call);
                return self.answer(call.id, Answer::Continue).map(drop);
            }
            Meaning::Fork => {
                if let Some(process) = self.processes.get_mut(&process) {
                    process.forks = true;
                }
                return self.answer(call.id, Answer::Continue).map(drop);
            }
            Meaning::Wake { elsewhere } => {
                self.woken[0] += 1;
                let only = (!*elsewhere).then_some(process);
                return self.wakes(Waker { id: call.id, thread: call.thread, only }, process);
            }
            Meaning::Sleep => {
                // It comes to nothing by itself, so it is no sign that anything goes on.
                self.calls -= 1;
                self.sleepers.push((call.id, call.thread));
                return Ok(());
            }
            Meaning::ChangeRoot => {
                if let Some(process) = self.processes.get_mut(&process) {
                    process.elsewhere = true;
                }
                return self.answer(call.id, Answer::Continue).map(drop);
            }
            Meaning::Close(first, last) => {
                drops = self.dropped_by_close(process, *first, *last);
                if drops.is_empty() {
                    self.goes_unnoticed(trap, process, &call);
                    self.descriptors.closes(process, *first, *last);
                    return self.answer(call.id, Answer::Continue).map(drop);
                }
            }
            Meaning::Lock(request, descriptor) => self.identify(request, process, *descriptor),
            Meaning::Unlock(file, kind, range, descriptor) => {
                drops = self.dropped_by_unlock(process, file, *kind, *range, *descriptor);
                if drops.is_empty() {
                    return self.answer(call.id, Answer::Continue).map(drop);
                }
            }
            Meaning::Execute(_) => drops = self.all_of(process, ReleasedBy::Exec),
            Meaning::Exit(_) => drops = self.all_of(process, ReleasedBy::Exit),
            Meaning::Plain(_) => {}
        }
        let stopped = Stopped { call, process, thread: call.thread, meaning, drops };
        self.told.push_back(Happening::Call(stopped));
        Ok(())
    }

    /// A call that nobody is told of goes on. If something is written, or closed, or taken out of a pipe, whoever waits for a
    /// descriptor may be woken. (Nobody waits for a file, as those are that others are told of: epoll_ctl(2), `EPERM`.)
    fn goes_unnoticed(&mut self, trap: Trap, process: u32, call: &Notification) {
        let descriptor = call.word(0);
        let is_file =
            || i32::try_from(descriptor).is_ok_and(|descriptor| self.descriptors.has_path(process, descriptor));
        let wakes = match trap {
            Trap::Write(_) | Trap::CloseRange | Trap::Replace => true,
            Trap::Read(_) | Trap::Close => !is_file(),
            _ => false,
        };
        if wakes {
            self.may_wake(None, Task::may_be_ready);
        }
    }

    /// Threads of a process, or of any, may be woken: those that `stirs` says.
    pub(super) fn may_wake(&mut self, only: Option<u32>, stirs: fn(&mut Task)) {
        for (_, process) in self.processes.iter_mut().filter(|(pid, _)| only.is_none_or(|only| only == **pid)) {
            process.wakes = true;
            process.tasks.iter_mut().for_each(stirs);
        }
    }

    pub(super) fn take_end(&mut self, pid: u32) {
        let gone = self.processes.remove(&pid);
        // Its parent is told by a signal; its share of what several processes wait for is given up.
        self.may_wake(None, Task::stirs);
        self.descriptors.ends(pid);
        let threads = &mut self.threads;
        threads.retain(|_, process| *process != pid);
        self.asking.retain(|_, thread| threads.contains_key(thread));
        self.parked.retain(|_, parked| parked.request.owner.process() != pid);
        self.held_back.retain(|(call, _)| self.threads.contains_key(&call.thread));
        self.wakers.retain(|waker| self.threads.contains_key(&waker.thread));
        self.sleepers.retain(|(_, thread)| self.threads.contains_key(thread));
        self.locks.end(pid);
        // The launcher's child that became no program is told of by the launcher.
        if gone.is_some_and(|process| !process.unclaimed) {
            let event = self.event(pid, pid, Action::Ended, Fate::Goes);
            self.told.push_back(Happening::Ended(event));
        }
    }

    pub(super) fn take_report(&mut self) -> Result<(), HarnessError> {
        match self.launcher.hear()? {
            Told::Started { number, pid } => {
                // It may not have made a call yet.
                if let Some(process) = self.know(pid).and_then(|pid| self.processes.get_mut(&pid)) {
                    (process.number, process.unclaimed) = (Some(number), false);
                }
                let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                let event = self.event(pid, pid, Action::Execute { program }, Fate::Goes);
                self.told.push_back(Happening::Started { number, event });
                self.spoken_of()?;
            }
            Told::NotStarted { number, problem } => {
                self.told.push_back(Happening::NotStarted { number, problem });
                self.spoken_of()?;
            }
            Told::Ended { number, status } => self.told.push_back(Happening::Status { number, status }),
            Told::Swept => {}
            Told::Gone => return Err(HarnessError::Refused("the launcher has ended; what it ran is killed".into())),
        }
        Ok(())
    }

    /// The launcher has spoken of a program: calls that were held back for its sake are told of. When it owes nothing, its
    /// other children are orphans that it has adopted.
    fn spoken_of(&mut self) -> Result<(), HarnessError> {
        self.ordered = self.ordered.saturating_sub(1);
        if self.ordered == 0 {
            self.processes.values_mut().for_each(|process| process.unclaimed = false);
        }
        for (call, trap) in std::mem::take(&mut self.held_back) {
            let process = self.threads.get(&call.thread).copied();
            match process.filter(|pid| self.processes.get(pid).is_some_and(|process| !process.unclaimed)) {
                Some(process) => self.understand(call, trap, process)?,
                None => self.held_back.push((call, trap)),
            }
        }
        Ok(())
    }

    /// The process of a thread, which becomes known if it is new; `None` if it is gone.
    fn process_of(&mut self, thread: u32) -> Option<u32> {
        if let Some(process) = self.threads.get(&thread) {
            return Some(*process);
        }
        // As a rule it is a new thread of one that is known.
        let is_of = |pid: &u32| fs::exists(format!("/proc/{pid}/task/{thread}")).unwrap_or(false);
        let process = self.processes.keys().copied().find(is_of).or_else(|| field(thread, "Tgid"))?;
        self.threads.insert(thread, process);
        self.know(process)
    }

    /// A process becomes known, if it is not; `None` if it is gone.
    pub(in crate::supervise) fn know(&mut self, pid: u32) -> Option<u32> {
        if pid == self.launcher.pid() || self.processes.contains_key(&pid) {
            return Some(pid);
        }
        let parent = field(pid, "PPid")?;
        let held = process::hold(pid).ok()?;
        self.watch.add(&held, pid.into()).ok()?;
        let elsewhere = self.processes.get(&parent).is_some_and(|parent| parent.elsewhere);
        let unclaimed = parent == self.launcher.pid() && self.ordered > 0;
        let process = Process {
            held,
            parent,
            elsewhere,
            number: None,
            unclaimed,
            executed: false,
            forks: true,
            wakes: false,
            tasks: Vec::new(),
            rests: None,
            turn: None,
        };
        self.processes.insert(pid, process);
        self.threads.insert(pid, pid);
        Some(pid)
    }
}

/// A number of `/proc/<thread>/status`.
fn field(thread: u32, name: &str) -> Option<u32> {
    Fields::of(format!("/proc/{thread}/status"))?.number(name)
}
