//! A schedule, in the model and by real processes, one step at a time.
//!
//! The model's [`Machine`](lockproof_model::machine::Machine) takes a step, then the real process takes the same step,
//! and the two are compared: the operation, what it came to, what the thread noted, what the call returned. They are the
//! same but for the names of stamps and objects, and times. Where they part, the run ends and the report says how.
//!
//! A request that has to wait is *parked*: the process asks with `F_SETLK`, is refused, and asks again when the
//! schedule grants it. Who is granted is thus the schedule's choice, and there are never two waiters in the kernel.
//! `EDEADLK`, which only a waiting request can get, is answered by the parent with the rules of
//! [`world::locks`](lockproof_model::world::locks), applied to the locks that are really held. At the very end, on
//! request, the waiters really wait, and the kernel says what it thinks of it ([`KernelAccount`]).

pub(crate) mod clock;
mod ending;
mod lockstep;
mod party;
mod rename;

use std::collections::BTreeMap;
use std::time::Duration;

use lockproof_model::call::{Call, Reply};
use lockproof_model::op::{Op, Path};
use lockproof_model::property::Property;
use lockproof_model::schedule::Schedule;
use lockproof_model::system::System;
use lockproof_model::trace::Event;
use lockproof_model::value::Value;

use crate::Harness;
use crate::error::HarnessError;
use crate::kernel::KernelLock;
use crate::wire::BlockedRequest;

/// How a schedule is replayed.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// How often the cycle of a lasso is gone round.
    pub rounds: u32,
    /// How many more steps are taken after the schedule, if it has no cycle: each thread in turn, for as long as anybody
    /// can go on. A trace may end as soon as nothing can help any more; only this shows that nothing does.
    pub settle_steps: usize,
    /// How long the threads that wait for lock files at the end really wait in the kernel; `None` for not at all.
    pub block_for: Option<Duration>,
    /// How long one process may take for one step.
    pub step_limit: Duration,
    /// How long the whole replay may take.
    pub deadline: Duration,
}

impl Default for ReplayOptions {
    /// Three rounds, no more steps than the schedule's, a third of a second in the kernel, 10 s a step, a minute in all.
    fn default() -> Self {
        Self {
            rounds: 3,
            settle_steps: 0,
            block_for: Some(Duration::from_millis(330)),
            step_limit: Duration::from_secs(10),
            deadline: Duration::from_secs(60),
        }
    }
}

impl ReplayOptions {
    /// What it takes to see a violation of `property`: of `no-deadlock` and `ordered`, what the threads do after the
    /// trace; of `no-deadlock`, what the kernel says to those who wait.
    #[must_use]
    pub fn to_see(property: Property) -> Self {
        let default = Self::default();
        match property {
            Property::NoDeadlock | Property::CrashSafe => Self { settle_steps: 3_000, ..default },
            Property::Ordered => Self { settle_steps: 3_000, block_for: None, ..default },
            _ => Self { block_for: None, ..default },
        }
    }
}

/// One step, in the model and in reality.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its number, from 1.
    pub number: usize,
    /// Which round of the cycle it belongs to, from 1; `None` before the cycle.
    pub round: Option<u32>,
    /// What the model did.
    pub model: Event,
    /// What the real process did, in the model's names of stamps and objects. Never `wrong`: that is for
    /// [`shows`](ReplayReport::shows) to say.
    pub real: Event,
    /// Its process id.
    pub pid: u32,
    /// What the document really held right before a [`Op::Rename`].
    pub replaced: Option<Value>,
    /// What it holds right after.
    pub became: Option<Value>,
    /// The kernel's account of the locks right after a step that locks, or touches a document or a stamp.
    pub locks: Vec<KernelLock>,
}

/// Where model and reality part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// The number of the step, from 1.
    pub number: usize,
    /// In which respect: `operation`, `effect`, `notes`, `reply`.
    pub what: &'static str,
    /// What the model does.
    pub model: String,
    /// What the real process does.
    pub real: String,
}

/// A call of a real process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallMade {
    /// The process, from 0.
    pub process: u8,
    /// Its thread, from 0.
    pub thread: u8,
    /// Its process id.
    pub pid: u32,
    /// The call.
    pub call: Call,
    /// The step with which it began.
    pub begun: usize,
    /// The step with which it ended, and what it returned.
    pub ended: Option<(usize, Reply)>,
}

/// A thread that is not done at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The process, from 0.
    pub process: u8,
    /// Its thread, from 0.
    pub thread: u8,
    /// Its process id.
    pub pid: u32,
    /// What it really stands before.
    pub op: Op,
    /// Whether it was tried once more at the very end, and could not go on. Only operations that wait are tried.
    pub stuck: bool,
    /// The processes that really hold the lock that it waits for, from 0.
    pub holders: Vec<u8>,
}

/// What the kernel says when those who wait really wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelAccount {
    /// For how long.
    pub waited: Duration,
    /// The requests: process, process id, and what became of each.
    pub requests: Vec<(u8, u32, BlockedRequest)>,
    /// The lines of `/proc/locks` about our processes, as they stood at the end of that time.
    pub lines: Vec<KernelLock>,
}

impl KernelAccount {
    /// The lines of requests that wait in the kernel.
    pub fn blocked(&self) -> impl Iterator<Item = &KernelLock> {
        self.lines.iter().filter(|lock| lock.waits)
    }

    /// How often the kernel answered `EDEADLK`, in all.
    #[must_use]
    pub fn deadlocks(&self) -> u64 {
        self.requests.iter().map(|(_, _, request)| request.deadlocks).sum()
    }
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    /// What was replayed.
    pub system: System,
    /// The schedule.
    pub schedule: Schedule,
    /// The steps that both took.
    pub steps: Vec<Taken>,
    /// How many of the steps are the schedule's own; those after them were taken to see what becomes of it.
    pub scheduled: usize,
    /// Where they parted, if they did. The last of `steps` is then the one before.
    pub parted: Option<Parting>,
    /// The calls, in the order in which they began.
    pub calls: Vec<CallMade>,
    /// What each document held at the start.
    pub initial: BTreeMap<Path, Value>,
    /// What each document holds at the end; one that does not exist is not listed.
    pub documents: BTreeMap<Path, Value>,
    /// The locks that are held at the end, by the kernel's account.
    pub held: Vec<KernelLock>,
    /// The threads that are in a call.
    pub unfinished: Vec<Unfinished>,
    /// The threads that still have calls to make, and are in none: process and thread, from 0.
    pub idle: Vec<(u8, u8)>,
    /// What the kernel said when those who wait really waited.
    pub kernel: Option<KernelAccount>,
    /// Messages of panics, with the number of the step.
    pub panics: Vec<(usize, String)>,
    /// How often the time of a file was set to that of the last tick of the clock, where the schedule says that the
    /// clock did not tick.
    pub times_set: usize,
}

impl Harness {
    /// Replays `schedule` on `system`, in the model and by real processes.
    ///
    /// # Errors
    /// If the schedule is not possible in the model, or the processes cannot be run. That model and reality part is no
    /// error: it is in the report.
    pub fn replay(
        &self,
        system: &System,
        schedule: &Schedule,
        options: &ReplayOptions,
    ) -> Result<ReplayReport, HarnessError> {
        lockstep::Lockstep::start(self, system, schedule, options)?.run()
    }
}
