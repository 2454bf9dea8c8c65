//! Programs under supervision: each of their calls that matters stops here, and goes on when it is told to.
//!
//! The session knows what the calls mean and keeps the table of locks; who goes on, and when, is for its user to say.
//!
//! | module | subject |
//! | --- | --- |
//! | `hear` | what the kernel and the launcher say, taken in |
//! | `answers` | what becomes of a call that has stopped |
//! | `drops` | which locks a call drops |
//! | `obstacles` | who is in the way of a request |
//! | `turns` | which threads of a process wait for others of it |

mod answers;
mod drops;
mod hear;
mod obstacles;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::decode::{Interest, Meaning};
use super::descriptors::Descriptors;
use super::event::{Action, Event, Fate, FileId, FileRef, ReleasedBy};
use super::filter::{Trap, Wakes};
use super::launch::{Isolation, Launcher, Program};
use super::locks::{Held, LockTable, Owner, Request};
use super::rest::{Rest, Task};
use crate::Harness;
use crate::error::HarnessError;
use crate::sys::seccomp::{Answer, Notification};
use crate::sys::watch::Watch;
use crate::sys::{process, seccomp};
use turns::Waker;

/// Under which number the listener of the filter is watched, and the launcher's socket. A process is under its own.
const LISTENER: u64 = u64::MAX;
const LAUNCHER: u64 = u64::MAX - 1;

/// A call that has stopped.
#[derive(Debug)]
pub struct Stopped {
    call: Notification,
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

    /// Whether its process executes a program or ends, and drops no lock: nobody else is concerned.
    #[must_use]
    pub fn concerns_nobody_else(&self) -> bool {
        self.drops.is_empty() && matches!(self.meaning, Meaning::Execute(_) | Meaning::Exit(_))
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
    /// Nothing has happened in time, or a thread waits that would wake another or sleep ([`Session::let_one_wake`],
    /// [`Session::let_sleep`]).
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
    /// Whether it was let go on to make a new thread, and has not been seen to rest since.
    pub(super) forks: bool,
    /// Whether a thread was let go on to wake others, and it has not been seen to rest since.
    pub(super) wakes: bool,
    /// Its threads, but for one that it is just making.
    pub(super) tasks: Vec<Task>,
    /// How it was seen to wait for our answer, and it has got none since.
    pub(super) rests: Option<Rest>,
    /// The thread whose turn it is, where one has it: others wake nobody yet.
    turn: Option<u32>,
}

/// Programs under supervision.
#[derive(Debug)]
pub struct Session {
    launcher: Launcher,
    watch: Watch,
    pub(super) wakes: Wakes,
    /// How many calls there have been that wake threads, in this run and in the last.
    woken: [u64; 2],
    began: Instant,
    interest: Interest,
    descriptors: Descriptors,
    pub(super) processes: BTreeMap<u32, Process>,
    /// To which process each thread belongs.
    pub(super) threads: BTreeMap<u32, u32>,
    /// The calls that wait for an answer of ours, each with its thread.
    pub(super) asking: BTreeMap<u64, u32>,
    /// Threads that were let go on with a call that drops a lock: it has run when they are heard of again.
    dropping: BTreeSet<u32>,
    /// Threads that were let go on with a call that renames or removes a file, and have not been heard of since.
    renaming: BTreeSet<u32>,
    pub(super) locks: LockTable,
    /// The files that have been locked, and a descriptor of ours to ask the kernel with.
    locked: HashSet<FileId>,
    probes: HashMap<FileId, Option<File>>,
    /// Requests that are parked.
    parked: BTreeMap<u32, Parked>,
    /// Calls of processes that the launcher has not spoken of yet.
    held_back: Vec<(Notification, Trap)>,
    /// Calls that wake threads, by threads whose turn it is not.
    wakers: VecDeque<Waker>,
    /// The calls of threads that sleep for a time, each with the thread.
    pub(super) sleepers: Vec<(u64, u32)>,
    /// How many programs the launcher was told to start, and has not spoken of yet.
    ordered: u32,
    told: VecDeque<Happening>,
    /// How many calls there have been, those included that mean nothing.
    calls: u64,
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
    pub fn start(
        harness: &Harness,
        isolation: Isolation,
        wakes: Wakes,
        interest: Interest,
    ) -> Result<Self, HarnessError> {
        let launcher = Launcher::start(harness, isolation, wakes)?;
        let watch = Watch::new().and_then(|watch| {
            watch.add(launcher.listener(), LISTENER)?;
            launcher.socket().map_or(Ok(()), |socket| watch.add(socket, LAUNCHER))?;
            Ok(watch)
        });
        let watch = watch.map_err(HarnessError::io("watch", "the launcher"))?;
        Ok(Self {
            launcher,
            watch,
            wakes,
            woken: [0, 0],
            began: Instant::now(),
            interest,
            descriptors: Descriptors::default(),
            processes: BTreeMap::new(),
            threads: BTreeMap::new(),
            asking: BTreeMap::new(),
            dropping: BTreeSet::new(),
            renaming: BTreeSet::new(),
            locks: LockTable::default(),
            locked: HashSet::new(),
            probes: HashMap::new(),
            parked: BTreeMap::new(),
            held_back: Vec::new(),
            wakers: VecDeque::new(),
            sleepers: Vec::new(),
            ordered: 0,
            told: VecDeque::new(),
            calls: 0,
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
            let waiting = self.waiting();
            self.listen(until.saturating_duration_since(Instant::now()))?;
            // A thread that has to wait may be the last one that ran.
            if self.told.is_empty() && (self.waiting() > waiting || Instant::now() >= until) {
                return Ok(Happening::Nothing);
            }
        }
    }

    /// Waits for the kernel or the launcher to say something, and takes it in.
    fn listen(&mut self, limit: Duration) -> Result<(), HarnessError> {
        let (mut calls, mut tells, mut ended) = (false, false, Vec::new());
        let limit = limit.min(Duration::from_secs(3600));
        for number in self.watch.ready(limit).map_err(HarnessError::io("wait for", "a call"))? {
            match number {
                LISTENER => calls = true,
                LAUNCHER => tells = true,
                pid => ended.extend(u32::try_from(pid)),
            }
        }
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

    fn answer(&mut self, id: u64, answer: Answer) -> Result<bool, HarnessError> {
        let process = self.asking.remove(&id).and_then(|thread| self.threads.get(&thread));
        if let Some(process) = process.and_then(|pid| self.processes.get_mut(pid)) {
            process.rests = None;
        }
        seccomp::answer(self.launcher.listener(), id, answer).map_err(HarnessError::io("answer", "a call"))
    }

    fn event(&self, process: u32, thread: u32, action: Action, fate: Fate) -> Event {
        Event { at_us: self.now_us(), process, thread, action, fate }
    }

    /// Microseconds since the beginning.
    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Kills a process. That it has ended is told by [`Session::next`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn kill(&mut self, pid: u32) -> Result<(), HarnessError> {
        let Some(process) = self.processes.get_mut(&pid) else { return Ok(()) };
        process.rests = None;
        process::kill(&process.held).map_err(HarnessError::io("kill", format!("process {pid}")))
    }

    /// Kills all, whatever they have started included, and waits for their end.
    ///
    /// # Errors
    /// If the launcher is gone.
    pub fn sweep(&mut self) -> Result<(), HarnessError> {
        self.launcher.sweep()
    }

    /// Something was given to a process other than an answer: it may run, though it rested.
    pub fn stirs(&mut self, pid: u32) {
        if let Some(process) = self.processes.get_mut(&pid) {
            process.rests = None;
        }
        self.may_wake(Some(pid), Task::stirs);
    }

    /// Forgets the files of the last run, when all processes have ended: their numbers may come again.
    pub fn forget(&mut self) {
        self.locks = LockTable::default();
        self.locked.clear();
        self.probes.clear();
        self.dropping.clear();
        self.renaming.clear();
        self.descriptors.forget();
        self.threads.clear();
        self.woken = [0, self.woken[0]];
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

    /// How many calls there have been, those included that nobody is told of, but for those of threads that would sleep for a
    /// time. A thread whose call has not been taken in looks as if it slept in it ([`super::rest`]), until this has grown.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// How many calls that wake threads there were in the last run, where they are seen.
    #[must_use]
    pub fn woken(&self) -> u64 {
        self.woken[1]
    }

    /// Whether [`Session::next`] has told all that was taken in.
    #[must_use]
    pub fn has_told_all(&self) -> bool {
        self.told.is_empty()
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
