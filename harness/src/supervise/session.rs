//! Programs under supervision: each of their calls that matters stops here, and goes on when it is told to.
//!
//! The session knows what the calls mean and keeps the table of locks; who goes on, and when, is for its user to say.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::decode::{Caller, Decoder, Interest, Meaning};
use super::event::{Action, Event, Fate, FileId, FileRef, LockKind, Range, ReleasedBy};
use super::filter::{self, Trap};
use super::launch::{Isolation, Launcher, Program, Told};
use super::locks::{Held, LockTable, Owner, Request};
use super::rest::Task;
use crate::Harness;
use crate::error::HarnessError;
use crate::kernel;
use crate::sys::seccomp::{Answer, Notification};
use crate::sys::{process, seccomp};

/// `ERESTARTSYS` of the kernel's linux/errno.h: a signal is delivered, and then the call is made again or fails with
/// `EINTR`, as the signal's handler wants.
const RESTART: i32 = 512;

/// How long the kernel may take to run a call that was let go on and drops a lock.
const LEAVING_LIMIT: Duration = Duration::from_secs(5);

/// A call that has stopped.
#[derive(Debug)]
pub struct Stopped {
    id: u64,
    /// Whose it is.
    pub process: u32,
    /// The thread.
    pub thread: u32,
    meaning: Meaning,
    /// What it drops: files, each with whose locks, of which kind, on which bytes.
    drops: Vec<(FileRef, Held, ReleasedBy)>,
}

impl Stopped {
    /// The lock that it asks for.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        match &self.meaning {
            Meaning::Lock(request, _) => Some(request),
            _ => None,
        }
    }

    /// What it is about to do: nothing, one thing, or for each lock that it drops, a release.
    #[must_use]
    pub fn actions(&self) -> Vec<Action> {
        let own = match &self.meaning {
            Meaning::Lock(request, _) => Some(Action::Lock(request.wanted.clone())),
            Meaning::Plain(action) => Some(action.clone()),
            Meaning::Execute(program) => Some(Action::Execute { program: program.clone() }),
            Meaning::Exit(status) => Some(Action::Exit { status: *status }),
            _ => None,
        };
        let release = |(file, held, by): &(FileRef, Held, ReleasedBy)| {
            let (file, kind, range, by) = (file.clone(), held.kind, held.range, *by);
            Action::Release { file, kind, range, by }
        };
        own.into_iter().chain(self.drops.iter().map(release)).collect()
    }
}

/// Something that the user of a session is told.
#[derive(Debug)]
pub enum Happening {
    /// A call has stopped.
    Call(Stopped),
    /// A program that was started runs: it has executed what it is.
    Started {
        /// By its number.
        number: u32,
        /// That it did.
        event: Event,
    },
    /// A program could not be started.
    NotStarted {
        /// By its number.
        number: u32,
        /// Why.
        problem: String,
    },
    /// A process has ended, and its locks are gone.
    Ended(Event),
    /// A program that was started has ended so.
    Status {
        /// By its number.
        number: u32,
        /// How.
        status: ExitStatus,
    },
    /// Nothing has happened in time.
    Nothing,
}

/// A process that is supervised.
#[derive(Debug)]
pub(super) struct Process {
    held: OwnedFd,
    pub(super) parent: u32,
    elsewhere: bool,
    /// The number of the program, if it is one that was started here.
    pub(super) number: Option<u32>,
    /// Whether it is the launcher's child, of which the launcher has not spoken yet.
    unclaimed: bool,
    executed: bool,
    /// Its threads, until it makes a new one.
    pub(super) tasks: Option<Vec<Task>>,
}

/// Programs under supervision.
#[derive(Debug)]
pub struct Session {
    launcher: Launcher,
    began: Instant,
    interest: Interest,
    pub(super) processes: BTreeMap<u32, Process>,
    /// To which process each thread belongs.
    threads: HashMap<u32, u32>,
    /// The calls that wait for an answer of ours, each with its thread.
    pub(super) asking: HashMap<u64, u32>,
    /// Threads that were let go on with a call that drops a lock: it has run when they are heard of again.
    dropping: HashSet<u32>,
    pub(super) locks: LockTable,
    /// The files that have been locked, and a descriptor of ours to ask the kernel with.
    locked: HashSet<FileId>,
    probes: HashMap<FileId, Option<File>>,
    /// Requests that are parked.
    parked: BTreeMap<u32, Parked>,
    /// Calls of processes that the launcher has not spoken of yet.
    held_back: Vec<(Notification, Trap)>,
    /// How many programs the launcher was told to start, and has not spoken of yet.
    ordered: u32,
    told: VecDeque<Happening>,
}

#[derive(Debug)]
struct Parked {
    id: u64,
    request: Request,
    /// Who was first in its way when it last looked, as the kernel would look again only when that one is gone.
    behind: Option<Owner>,
}

impl Session {
    /// Starts the launcher.
    ///
    /// # Errors
    /// [`HarnessError::NoFilter`] where calls of other programs cannot be seen; [`HarnessError::Io`] if the launcher does
    /// not start.
    pub fn start(harness: &Harness, isolation: Isolation, interest: Interest) -> Result<Self, HarnessError> {
        Ok(Self {
            launcher: Launcher::start(harness, isolation)?,
            began: Instant::now(),
            interest,
            processes: BTreeMap::new(),
            threads: HashMap::new(),
            asking: HashMap::new(),
            dropping: HashSet::new(),
            locks: LockTable::default(),
            locked: HashSet::new(),
            probes: HashMap::new(),
            parked: BTreeMap::new(),
            held_back: Vec::new(),
            ordered: 0,
            told: VecDeque::new(),
        })
    }

    /// Why programs are not in namespaces of their own, though that was asked for.
    #[must_use]
    pub fn why_not_isolated(&self) -> Option<&str> {
        self.launcher.why_not_isolated()
    }

    /// Whether the kernel knows `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`, which makes each answer a third quicker.
    #[must_use]
    pub fn wakes_synchronously(&self) -> bool {
        self.launcher.wakes_synchronously()
    }

    /// Has a program started. That it runs is told by [`Happening::Started`].
    ///
    /// # Errors
    /// If the launcher is gone.
    pub fn run(&mut self, number: u32, program: &Program, standard: [BorrowedFd<'_>; 3]) -> Result<(), HarnessError> {
        self.launcher.order(number, program, standard)?;
        self.ordered += 1;
        Ok(())
    }

    /// What happens next, within `limit`.
    ///
    /// # Errors
    /// If the launcher is gone, or the kernel refuses what it should not.
    pub fn next(&mut self, limit: Duration) -> Result<Happening, HarnessError> {
        let until = Instant::now() + limit;
        loop {
            if let Some(mut told) = self.told.pop_front() {
                // Those before it may have been told of later than this was noticed.
                if let Happening::Started { event, .. } | Happening::Ended(event) = &mut told {
                    event.at_us = self.now_us();
                }
                return Ok(told);
            }
            self.listen(until.saturating_duration_since(Instant::now()))?;
            if self.told.is_empty() && Instant::now() >= until {
                return Ok(Happening::Nothing);
            }
        }
    }

    /// Waits for the kernel or the launcher to say something, and takes it in.
    fn listen(&mut self, limit: Duration) -> Result<(), HarnessError> {
        let limit = TimeSpec::from(limit.min(Duration::from_secs(3600)));
        let (calls, tells, ended) = {
            let mut watched = vec![PollFd::new(self.launcher.listener(), PollFlags::POLLIN)];
            watched.extend(self.launcher.socket().map(|socket| PollFd::new(socket, PollFlags::POLLIN)));
            watched.extend(self.processes.values().map(|one| PollFd::new(one.held.as_fd(), PollFlags::POLLIN)));
            match ppoll(&mut watched, Some(limit), None) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(HarnessError::io("wait for", "a call")(error.into())),
            }
            let is_ready = |watched: &PollFd<'_>| watched.any().unwrap_or(false);
            let ended: Vec<u32> = (self.processes.keys().zip(&watched[2..]))
                .filter(|(_, watched)| is_ready(watched))
                .map(|(pid, _)| *pid)
                .collect();
            (is_ready(&watched[0]), is_ready(&watched[1]), ended)
        };
        if calls {
            self.take_call()?;
        }
        for pid in ended {
            self.take_end(pid);
        }
        if tells {
            self.take_report()?;
        }
        Ok(())
    }

    fn take_call(&mut self) -> Result<(), HarnessError> {
        let received = seccomp::receive(self.launcher.listener()).map_err(HarnessError::io("receive", "a call"))?;
        let Some(call) = received else { return Ok(()) };
        self.asking.insert(call.id, call.thread);
        let Some(trap) = filter::trap_of(call.number) else { return self.answer(call.id, Answer::Continue).map(drop) };
        let Some(process) = self.process_of(call.thread) else {
            return self.answer(call.id, Answer::Continue).map(drop);
        };
        // It makes a call, so the last one has run.
        if self.dropping.remove(&call.thread) {
            self.locks.left(process);
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
            return self.answer(call.id, Answer::Continue).map(drop);
        }
        let elsewhere = self.processes.get(&process).is_some_and(|process| process.elsewhere);
        let caller = Caller { process, elsewhere };
        let decoder = Decoder { interest: &self.interest, locked: &self.locked, caller, call: &call };
        let mut meaning = decoder.meaning(trap);
        let mut drops = Vec::new();
        match &mut meaning {
            Meaning::Nothing => return self.answer(call.id, Answer::Continue).map(drop),
            Meaning::Fork => {
                if let Some(process) = self.processes.get_mut(&process) {
                    process.tasks = None;
                }
                return self.answer(call.id, Answer::Continue).map(drop);
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
        let stopped = Stopped { id: call.id, process, thread: call.thread, meaning, drops };
        self.told.push_back(Happening::Call(stopped));
        Ok(())
    }

    fn take_end(&mut self, pid: u32) {
        let gone = self.processes.remove(&pid);
        let threads = &mut self.threads;
        threads.retain(|_, process| *process != pid);
        self.asking.retain(|_, thread| threads.contains_key(thread));
        self.parked.retain(|_, parked| parked.request.owner.process() != pid);
        self.held_back.retain(|(call, _)| self.threads.contains_key(&call.thread));
        self.locks.end(pid);
        // The launcher's child that became no program is told of by the launcher.
        if gone.is_some_and(|process| !process.unclaimed) {
            let event = self.event(pid, pid, Action::Ended, Fate::Goes);
            self.told.push_back(Happening::Ended(event));
        }
    }

    fn take_report(&mut self) -> Result<(), HarnessError> {
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
        let process = field(thread, "Tgid:")?;
        self.threads.insert(thread, process);
        self.know(process)
    }

    /// A process becomes known, if it is not; `None` if it is gone.
    pub(super) fn know(&mut self, pid: u32) -> Option<u32> {
        if pid == self.launcher.pid() || self.processes.contains_key(&pid) {
            return Some(pid);
        }
        let parent = field(pid, "PPid:")?;
        let held = process::hold(pid).ok()?;
        let elsewhere = self.processes.get(&parent).is_some_and(|parent| parent.elsewhere);
        let unclaimed = parent == self.launcher.pid() && self.ordered > 0;
        let process = Process { held, parent, elsewhere, number: None, unclaimed, executed: false, tasks: None };
        self.processes.insert(pid, process);
        self.threads.insert(pid, pid);
        Some(pid)
    }

    fn answer(&mut self, id: u64, answer: Answer) -> Result<bool, HarnessError> {
        self.asking.remove(&id);
        seccomp::answer(self.launcher.listener(), id, answer).map_err(HarnessError::io("answer", "a call"))
    }

    fn event(&self, process: u32, thread: u32, action: Action, fate: Fate) -> Event {
        Event { at_us: self.now_us(), process, thread, action, fate }
    }

    /// Microseconds since the beginning.
    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The locks that go when descriptors are closed.
    fn dropped_by_close(&self, process: u32, first: u32, last: u32) -> Vec<(FileRef, Held, ReleasedBy)> {
        let mut drops = Vec::new();
        for file in self.locks.files_of(process) {
            // Which of the descriptors are of this file? As a rule one is closed.
            let is_of = |descriptor: &i32| super::memory::id_of(process, *descriptor).is_ok_and(|id| id == file);
            let descriptors: Vec<i32> = if first == last {
                i32::try_from(first).into_iter().filter(is_of).collect()
            } else {
                open_descriptors(process).into_iter().filter(|fd| within(*fd, first, last)).filter(is_of).collect()
            };
            let Some(descriptor) = descriptors.first() else { continue };
            let path = super::memory::link_of(process, *descriptor).unwrap_or_default();
            // Of a description it is known only when the call has run: another descriptor may keep it.
            let held = self.locks.of(process, file).cloned();
            drops.extend(held.map(|held| (FileRef { id: Some(file), path: path.clone() }, held, ReleasedBy::Close)));
        }
        drops
    }

    fn dropped_by_unlock(
        &self,
        process: u32,
        file: &FileRef,
        kind: LockKind,
        range: Range,
        descriptor: i32,
    ) -> Vec<(FileRef, Held, ReleasedBy)> {
        let Some(id) = file.id else { return Vec::new() };
        let owner = self.owner(process, id, kind, descriptor);
        let goes = |held: &&Held| held.owner == owner && held.kind == kind && held.range.overlaps(range);
        let cut = |held: &Held| {
            let (start, end) = (held.range.start.max(range.start), held.range.end.min(range.end));
            Held { range: Range { start, end }, ..held.clone() }
        };
        let held = self.locks.held(id).iter().filter(goes).map(cut);
        held.map(|held| (file.clone(), held, ReleasedBy::Unlock)).collect()
    }

    /// All that a process holds.
    fn all_of(&self, process: u32, by: ReleasedBy) -> Vec<(FileRef, Held, ReleasedBy)> {
        let mut drops = Vec::new();
        for file in self.locks.files_of(process) {
            let path = self.path_of(process, file);
            let held = self.locks.of(process, file).cloned();
            drops.extend(held.map(|held| (FileRef { id: Some(file), path: path.clone() }, held, by)));
        }
        drops
    }

    /// The path under which a process has a file open.
    fn path_of(&self, process: u32, file: FileId) -> std::path::PathBuf {
        let mut open = open_descriptors(process).into_iter();
        let found = open.find(|fd| super::memory::id_of(process, *fd).is_ok_and(|id| id == file));
        found.and_then(|fd| super::memory::link_of(process, fd).ok()).unwrap_or_default()
    }

    /// Finds out whose a request is: a description may be known by another process's descriptor.
    fn identify(&self, request: &mut Request, process: u32, descriptor: i32) {
        request.owner = self.owner(process, request.file, request.wanted.kind, descriptor);
    }

    fn owner(&self, process: u32, file: FileId, kind: LockKind, descriptor: i32) -> Owner {
        if kind == LockKind::Posix {
            return Owner::Process(process);
        }
        let is_same = |owner: &Owner| match owner {
            Owner::Description(pid, fd) => process::same_description((*pid, *fd), (process, descriptor)) == Some(true),
            Owner::Process(_) => false,
        };
        let known = self.locks.held(file).iter().map(|held| held.owner).find(is_same);
        known.unwrap_or(Owner::Description(process, descriptor))
    }

    /// Lets a call go on, if it would not block; returns what happened. A lock that would have to wait is parked, and
    /// granted by [`Session::grant`]; one that would close a cycle of those who wait fails with `EDEADLK`.
    ///
    /// # Errors
    /// If the kernel refuses what it should not.
    pub fn go(&mut self, stopped: Stopped) -> Result<Vec<Event>, HarnessError> {
        let Stopped { id, process, thread, meaning, drops } = stopped;
        let mut events = Vec::new();
        match meaning {
            Meaning::Lock(request, descriptor) => return self.lock(id, process, thread, request, descriptor),
            Meaning::Plain(action) => events.push(self.event(process, thread, action, Fate::Goes)),
            Meaning::Execute(program) => {
                events.push(self.event(process, thread, Action::Execute { program }, Fate::Goes));
            }
            Meaning::Exit(status) => events.push(self.event(process, thread, Action::Exit { status }, Fate::Goes)),
            Meaning::Close(..) | Meaning::Unlock(..) => {}
            Meaning::Nothing | Meaning::ChangeRoot | Meaning::Fork => {}
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
        let Stopped { id, process, thread, meaning, drops } = stopped;
        let fate = || Fate::Failed { errno };
        let mut events = Vec::new();
        match meaning {
            Meaning::Plain(action) => events.push(self.event(process, thread, action, fate())),
            Meaning::Lock(request, _) => events.push(self.event(process, thread, Action::Lock(request.wanted), fate())),
            Meaning::Execute(program) => events.push(self.event(process, thread, Action::Execute { program }, fate())),
            Meaning::Exit(status) => events.push(self.event(process, thread, Action::Exit { status }, fate())),
            Meaning::Close(..) | Meaning::Unlock(..) | Meaning::Nothing | Meaning::ChangeRoot | Meaning::Fork => {}
        }
        for (file, held, by) in drops {
            let action = Action::Release { file, kind: held.kind, range: held.range, by };
            events.push(self.event(process, thread, action, fate()));
        }
        self.answer(id, Answer::Fail(errno))?;
        Ok(events)
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

    /// Who is in the way of a request: processes, and 0 for one that is not supervised. What is about to be dropped is
    /// waited for, as the kernel knows when it is.
    fn blockers(&mut self, request: &Request) -> Result<Vec<u32>, HarnessError> {
        let until = Instant::now() + LEAVING_LIMIT;
        loop {
            let in_the_way = self.locks.in_the_way(request);
            let leaving: Vec<Held> =
                in_the_way.iter().filter(|held| held.leaving).map(|held| (*held).clone()).collect();
            let mut by: Vec<u32> =
                in_the_way.iter().filter(|held| !held.leaving).map(|held| held.owner.process()).collect();
            by.dedup();
            if leaving.is_empty() {
                if by.is_empty() && self.is_kept_by_others(request) {
                    by.push(0);
                }
                return Ok(by);
            }
            for held in leaving {
                self.settle(request.file, &held)?;
            }
            if Instant::now() > until {
                return Err(HarnessError::Deadline {
                    limit: LEAVING_LIMIT,
                    at: "a call that unlocks has not run".into(),
                });
            }
            std::thread::yield_now();
        }
    }

    /// Asks the kernel whether a lock that is about to go is gone. One that a thread is no longer in the course of dropping,
    /// and that is still there, stays.
    fn settle(&mut self, file: FileId, held: &Held) -> Result<(), HarnessError> {
        let process = held.owner.process();
        let is_it =
            |lock: &kernel::KernelLock| lock.inode == file.inode && !lock.waits && lock.kind == kernel_name(held.kind);
        let there = match held.owner {
            Owner::Process(pid) => kernel::locks_of(&[pid])?.iter().any(is_it),
            Owner::Description(pid, _) if held.kind == LockKind::Flock => kernel::locks_of(&[pid])?.iter().any(is_it),
            Owner::Description(..) => kernel::anyones()?.iter().any(is_it),
        };
        let is_dropping = self.dropping.iter().any(|thread| self.threads.get(thread) == Some(&process));
        if !there {
            self.locks.drop_lock(file, held);
        } else if !is_dropping {
            self.locks.stays(file, held);
        }
        Ok(())
    }

    /// Whether somebody who is not supervised is in the way.
    fn is_kept_by_others(&self, request: &Request) -> bool {
        let Some(Some(probe)) = self.probes.get(&request.file) else { return false };
        let is_ours = |pid: u32| self.processes.contains_key(&pid);
        if request.wanted.kind == LockKind::Flock {
            let locks = kernel::anyones().unwrap_or_default();
            return locks.iter().any(|lock| {
                let of_file = lock.kind == "FLOCK" && lock.inode == request.file.inode && !lock.waits;
                of_file && lock.mode.conflicts(request.wanted.mode) && !u32::try_from(lock.pid).is_ok_and(is_ours)
            });
        }
        let Range { start, end } = request.wanted.range;
        // Our own question is answered with the asker's own lock, too, and with one at most.
        match process::keeper(probe, request.wanted.mode, start, end) {
            Ok(Some(keeper)) => match keeper.pid {
                Some(pid) => !is_ours(pid),
                None => !self.locks.held(request.file).iter().any(|held| held.kind == LockKind::OpenFile),
            },
            Ok(None) | Err(_) => false,
        }
    }

    /// The threads whose parked request could be granted now, in the order of their numbers.
    ///
    /// # Errors
    /// If the kernel does not say who holds what.
    pub fn grantable(&mut self) -> Result<Vec<u32>, HarnessError> {
        let parked: Vec<(u32, Request)> =
            self.parked.iter().map(|(thread, parked)| (*thread, parked.request.clone())).collect();
        let mut free = Vec::new();
        for (thread, request) in parked {
            if self.blockers(&request)?.is_empty() {
                free.push(thread);
            }
        }
        Ok(free)
    }

    /// The threads whose requests are parked, in the order of their numbers.
    pub fn parked(&self) -> impl Iterator<Item = (u32, &Request)> {
        self.parked.iter().map(|(thread, parked)| (*thread, &parked.request))
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

    /// Kills a process. That it has ended is told by [`Session::next`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kill(&mut self, pid: u32) -> Result<(), HarnessError> {
        let Some(process) = self.processes.get(&pid) else { return Ok(()) };
        process::kill(&process.held).map_err(HarnessError::io("kill", format!("process {pid}")))
    }

    /// Kills all, whatever they have started included, and waits for their end.
    ///
    /// # Errors
    /// If the launcher is gone.
    pub fn sweep(&mut self) -> Result<(), HarnessError> {
        self.launcher.sweep()
    }

    /// Forgets the files of the last run, when all processes have ended: their numbers may come again.
    pub fn forget(&mut self) {
        self.locks = LockTable::default();
        self.locked.clear();
        self.probes.clear();
        self.dropping.clear();
        self.threads.clear();
        self.began = Instant::now();
    }

    /// Who holds what, and who waits.
    #[must_use]
    pub fn locks(&self) -> &LockTable {
        &self.locks
    }

    /// The supervised processes.
    pub fn processes(&self) -> impl Iterator<Item = u32> {
        self.processes.keys().copied()
    }

    /// Whether a parked or a stopped request could be granted now.
    ///
    /// # Errors
    /// If the kernel does not say who holds what.
    pub fn is_free(&mut self, request: &Request) -> Result<bool, HarnessError> {
        Ok(self.blockers(request)?.is_empty())
    }

    /// Whether any supervised process is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.processes.is_empty()
    }

    /// The program of a process, or of the nearest ancestor that was started here.
    #[must_use]
    pub fn program_of(&self, process: u32) -> Option<u32> {
        let mut at = process;
        for _ in 0..self.processes.len() {
            let known = self.processes.get(&at)?;
            if known.number.is_some() {
                return known.number;
            }
            at = known.parent;
        }
        None
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The keeper kills whatever is left, these too; but if it was killed itself, nobody else does.
        for process in self.processes.values() {
            // It fails only where the process is not ours to kill: it has gained rights, and the kernel has taken ours.
            let _ = process::kill(&process.held);
        }
    }
}

/// How `/proc/locks` calls it.
fn kernel_name(kind: LockKind) -> &'static str {
    match kind {
        LockKind::Posix => "POSIX",
        LockKind::OpenFile => "OFDLCK",
        LockKind::Flock => "FLOCK",
    }
}

/// A descriptor of ours for a file, to ask with. Closing it drops no lock but ours, and we have none.
fn probe(process: u32, descriptor: i32) -> Option<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(format!("/proc/{process}/fd/{descriptor}")).ok()
}

fn open_descriptors(process: u32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn within(descriptor: i32, first: u32, last: u32) -> bool {
    u32::try_from(descriptor).is_ok_and(|descriptor| (first..=last).contains(&descriptor))
}

/// A number of `/proc/<thread>/status`.
fn field(thread: u32, name: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Whether a signal waits for a thread, which it does not block and has a handler for. Go's `SIGURG` does not count: it
/// says nothing to a call, and would only make it come again.
fn has_signal(thread: u32) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{thread}/status")) else { return false };
    let set = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
    };
    let urgent = 1_u64 << (libc::SIGURG - 1);
    (set("SigPnd:") | set("ShdPnd:")) & !set("SigBlk:") & set("SigCgt:") & !urgent != 0
}
