//! What becomes of a call that has stopped: it goes on, fails, waits for its lock, or is granted it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use nix::libc;

use super::super::decode::Meaning;
use super::super::event::{Action, Event, Fate, LockKind, ReleasedBy};
use super::super::filter::{self, Place, Trap};
use super::super::locks::{Held, Request};
use super::super::memory;
use super::obstacles::probe;
use super::{Parked, Session, Stopped};
use crate::error::HarnessError;
use crate::proc::Fields;
use crate::sys::process;
use crate::sys::seccomp::{Answer, Notification};

/// `ERESTARTSYS` of the kernel's linux/errno.h: a signal is delivered, and then the call is made again or fails with
/// `EINTR`, as the signal's handler wants.
const RESTART: i32 = 512;

impl Session {
    /// Lets a call go on, if it would not block; returns what happened. A lock that would have to wait is parked, and
    /// granted by [`Session::grant`]; one that would close a cycle of those who wait fails with `EDEADLK`.
    ///
    /// # Errors
    /// If the kernel refuses what it should not.
    pub fn go(&mut self, stopped: Stopped) -> Result<Vec<Event>, HarnessError> {
        let Stopped { call: Notification { id, .. }, process, thread, meaning, drops } = stopped;
        let mut events = Vec::new();
        match &meaning {
            Meaning::Close(first, last) => self.descriptors.closes(process, *first, *last),
            Meaning::Execute(_) => self.descriptors.ends(process),
            Meaning::Plain(Action::Rename { .. } | Action::Unlink { .. } | Action::Link { .. }) => {
                self.descriptors.renames();
                // Until it has run, whoever else asks is told of the name that was.
                self.renaming.insert(thread);
            }
            _ => {}
        }
        match meaning {
            Meaning::Lock(request, descriptor) => return self.lock(id, process, thread, request, descriptor),
            Meaning::Plain(action) => events.push(self.event(process, thread, action, Fate::Goes)),
            Meaning::Execute(program) => {
                events.push(self.event(process, thread, Action::Execute { program }, Fate::Goes));
            }
            Meaning::Exit(status) => events.push(self.event(process, thread, Action::Exit { status }, Fate::Goes)),
            Meaning::Close(..) | Meaning::Unlock(..) => {}
            Meaning::Nothing | Meaning::ChangeRoot | Meaning::Fork | Meaning::Wake { .. } | Meaning::Sleep => {}
        }
        for (file, held, by) in drops {
            if let Some(id) = file.id {
                self.locks.leave(id, held.owner, held.range);
                self.dropping.insert(thread);
            }
            // Of an exec it is seen only later which descriptors it closed.
            if by != ReleasedBy::Exec {
                let action = Action::Release { file, kind: held.kind, range: held.range, by };
                events.push(self.event(process, thread, action, Fate::Goes));
            }
        }
        self.answer(id, Answer::Continue)?;
        Ok(events)
    }

    /// Lets a call fail.
    ///
    /// # Errors
    /// If the kernel refuses what it should not.
    pub fn fail(&mut self, stopped: Stopped, errno: i32) -> Result<Vec<Event>, HarnessError> {
        let Stopped { call: Notification { id, .. }, process, thread, meaning, drops } = stopped;
        let fate = || Fate::Failed { errno };
        let mut events = Vec::new();
        match meaning {
            Meaning::Plain(action) => events.push(self.event(process, thread, action, fate())),
            Meaning::Lock(request, _) => events.push(self.event(process, thread, Action::Lock(request.wanted), fate())),
            Meaning::Execute(program) => events.push(self.event(process, thread, Action::Execute { program }, fate())),
            Meaning::Exit(status) => events.push(self.event(process, thread, Action::Exit { status }, fate())),
            Meaning::Close(..)
            | Meaning::Unlock(..)
            | Meaning::Nothing
            | Meaning::ChangeRoot
            | Meaning::Fork
            | Meaning::Wake { .. }
            | Meaning::Sleep => {}
        }
        for (file, held, by) in drops {
            let action = Action::Release { file, kind: held.kind, range: held.range, by };
            events.push(self.event(process, thread, action, fate()));
        }
        self.answer(id, Answer::Fail(errno))?;
        Ok(events)
    }

    /// Has a call write only the first half of its bytes, and say so (write(2)). Another call goes on as it is.
    ///
    /// # Errors
    /// If the kernel refuses what it should not.
    pub fn shorten(&mut self, stopped: Stopped) -> Result<Vec<Event>, HarnessError> {
        let (Meaning::Plain(Action::Write { offset, bytes, .. }), Some(Trap::Write(place))) =
            (&stopped.meaning, filter::trap_of(stopped.call.number))
        else {
            return self.go(stopped);
        };
        let half = bytes / 2;
        let length = usize::try_from(half).unwrap_or(usize::MAX);
        let (thread, arguments) = (stopped.thread, stopped.call.arguments);
        let data = match place {
            Place::Scattered => memory::scattered(thread, arguments[1], arguments[2], length).map(|(data, _)| data),
            Place::Here | Place::Given => memory::bytes(thread, arguments[1], length),
        };
        let written = data.and_then(|data| {
            let held = self.processes.get(&stopped.process).ok_or(std::io::ErrorKind::NotFound)?;
            // The descriptor is of the same description, so that its position moves, too.
            let mut file = fs::File::from(process::descriptor_of(&held.held, stopped.call.word(0))?);
            match offset {
                Some(offset) => file.write_all_at(&data, *offset),
                None => file.write_all(&data),
            }
        });
        written.map_err(HarnessError::io("write half of what was to be written for", "another process"))?;
        let Stopped { call, process, thread, meaning, .. } = stopped;
        let Meaning::Plain(action) = meaning else { return Ok(Vec::new()) };
        let event = self.event(process, thread, action, Fate::Short { bytes: half });
        self.answer(call.id, Answer::Return(i64::try_from(half).unwrap_or(i64::MAX)))?;
        Ok(vec![event])
    }

    fn lock(
        &mut self,
        id: u64,
        process: u32,
        thread: u32,
        request: Request,
        descriptor: i32,
    ) -> Result<Vec<Event>, HarnessError> {
        self.locked.insert(request.file);
        self.probes.entry(request.file).or_insert_with(|| probe(process, descriptor));
        let by = self.blockers(&request)?;
        let action = Action::Lock(request.wanted.clone());
        if by.is_empty() {
            self.locks.take(&request);
            let event = self.event(process, thread, action, Fate::Granted);
            self.answer(id, Answer::Continue)?;
            return Ok(vec![event]);
        }
        if !request.wanted.waits {
            let event = self.event(process, thread, action, Fate::Refused { by });
            self.answer(id, Answer::Continue)?;
            return Ok(vec![event]);
        }
        if self.locks.deadlocks(&request) {
            let event = self.event(process, thread, action, Fate::Deadlock { by });
            self.answer(id, Answer::Fail(libc::EDEADLK))?;
            return Ok(vec![event]);
        }
        let mut events = vec![self.event(process, thread, action, Fate::Waits { by })];
        if request.wanted.kind == LockKind::Flock {
            // flock(2): a lock that is converted is first let go.
            let own: Vec<Held> = self.locks.held(request.file).to_vec();
            for held in own.into_iter().filter(|held| held.owner == request.owner) {
                self.locks.release(request.file, held.owner, held.kind, held.range);
            }
        }
        let behind = self.locks.in_the_way(&request).first().map(|held| held.owner);
        self.locks.wait(thread, request.clone());
        self.parked.insert(thread, Parked { id, request, behind });
        events.extend(self.look_again()?);
        Ok(events)
    }

    /// Grants a parked request that nothing is in the way of; returns what happened, which is nothing where something is.
    ///
    /// # Errors
    /// If the kernel refuses what it should not.
    pub fn grant(&mut self, thread: u32) -> Result<Vec<Event>, HarnessError> {
        let Some(request) = self.parked.get(&thread).map(|parked| parked.request.clone()) else {
            return Ok(Vec::new());
        };
        if !self.blockers(&request)?.is_empty() {
            return Ok(Vec::new());
        }
        let Some(parked) = self.parked.remove(&thread) else { return Ok(Vec::new()) };
        self.locks.wait_ends(thread);
        let process = self.threads.get(&thread).copied().unwrap_or(thread);
        if !self.answer(parked.id, Answer::Continue)? {
            return Ok(Vec::new());
        }
        self.locks.take(&request);
        let mut events = vec![self.event(process, thread, Action::Grant(request.wanted), Fate::Granted)];
        events.extend(self.look_again()?);
        Ok(events)
    }

    /// A waiter that the kernel would have woken, and that still has to wait, looks for a cycle again.
    fn look_again(&mut self) -> Result<Vec<Event>, HarnessError> {
        let mut events = Vec::new();
        let threads: Vec<u32> = self.parked.keys().copied().collect();
        for thread in threads {
            let Some(parked) = self.parked.get_mut(&thread) else { continue };
            let behind = self.locks.in_the_way(&parked.request).first().map(|held| held.owner);
            let Some(first) = behind.filter(|first| Some(*first) != parked.behind) else { continue };
            parked.behind = Some(first);
            if !self.locks.deadlocks(&parked.request) {
                continue;
            }
            let Some(Parked { id, request, .. }) = self.parked.remove(&thread) else { continue };
            self.locks.wait_ends(thread);
            let process = self.threads.get(&thread).copied().unwrap_or(thread);
            let fate = Fate::Deadlock { by: vec![first.process()] };
            events.push(self.event(process, thread, Action::Lock(request.wanted), fate));
            self.answer(id, Answer::Fail(libc::EDEADLK))?;
        }
        Ok(events)
    }

    /// Lets waiters whose process has caught a signal see to it, as a call that sleeps in the kernel would be interrupted.
    ///
    /// # Errors
    /// If the kernel refuses what it should not.
    pub fn interrupt(&mut self) -> Result<(), HarnessError> {
        let waiting: Vec<u32> = self.parked.keys().copied().collect();
        for thread in waiting.into_iter().filter(|thread| has_signal(*thread)) {
            if let Some(parked) = self.parked.remove(&thread) {
                self.locks.wait_ends(thread);
                self.answer(parked.id, Answer::Fail(RESTART))?;
            }
        }
        Ok(())
    }
}

/// Whether a signal waits for a thread, which it does not block and has a handler for. Go's `SIGURG` does not count: it
/// says nothing to a call, and would only make it come again.
fn has_signal(thread: u32) -> bool {
    let Some(status) = Fields::of(format!("/proc/{thread}/status")) else { return false };
    let set = |name| status.get(name).and_then(|set| u64::from_str_radix(set, 16).ok()).unwrap_or(0);
    let urgent = 1_u64 << (libc::SIGURG - 1);
    (set("SigPnd") | set("ShdPnd")) & !set("SigBlk") & set("SigCgt") & !urgent != 0
}
