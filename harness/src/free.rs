//! A process whose threads go freely: each operation of a call is performed at once, a request for a lock file waits in the
//! kernel, and what waits for a mutex sleeps.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lockproof_model::call::{Call, Reply};
use lockproof_model::op::{LockResult, Op, Outcome};
use lockproof_model::protocol::Entry;
use lockproof_model::value::{Object, Value};
use lockproof_model::world::memory::{Memory, Progress, objects_in};

use crate::disk::{Attempt, Disk, RETRY_AFTER, Waiting};
use crate::thread::{self, At};

/// After how many allocations the memory is cleaned.
const COLLECT_AFTER: u32 = 256;

/// What Go's runtime says of a process in which nobody can go on (`checkdead` of runtime/proc.go).
const ALL_ASLEEP: &str = "all goroutines are asleep - deadlock!";

/// Why a thread stops in the middle of a call.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The process panics.
    Panic(String),
    /// It cannot go on, and the process does not panic: of a command, a call has failed, or it makes no sense.
    Trouble(String),
}

impl From<String> for Stop {
    fn from(problem: String) -> Self {
        Stop::Trouble(problem)
    }
}

pub(crate) fn trouble(error: impl std::fmt::Display) -> Stop {
    Stop::Trouble(error.to_string())
}

/// What a process does beside its operations.
pub(crate) trait Habits: Send + Sync + 'static {
    /// Performs a request that waits in the kernel. No lock of ours is held meanwhile.
    fn lock(&self, disk: &Disk, _thread: u32, op: &Op) -> Result<Outcome, Stop> {
        let outcome = lock(disk, op)?;
        pause(&outcome);
        Ok(outcome)
    }

    /// Which of several ways it goes, from 0.
    fn choose(&self, _thread: u32, _among: u32) -> u32 {
        0
    }

    /// An operation on the disk is done.
    fn did(&self, _op: &Op, _outcome: &Outcome) {}

    /// A thread starts.
    fn begins(&self) {}

    /// A thread has ended.
    fn ends(&self, stopped: Result<(), Stop>);

    /// Whether there is no thread that waits for what comes from outside, so that nothing happens any more when all sleep.
    fn can_be_dead(&self) -> bool {
        false
    }
}

/// Asks the kernel for a lock, and waits.
pub(crate) fn lock(disk: &Disk, op: &Op) -> Result<Outcome, Stop> {
    match disk.perform(op, Waiting::Kernel).map_err(trouble)? {
        Some(Attempt::Done(outcome)) => Ok(outcome),
        _ => Err(Stop::Trouble(format!("the kernel neither grants nor refuses {op:?}"))),
    }
}

/// Sleeps after `EDEADLK`, as containers/storage does before it asks again.
pub(crate) fn pause(outcome: &Outcome) {
    if *outcome == Outcome::Locked(LockResult::Deadlock) {
        std::thread::sleep(RETRY_AFTER);
    }
}

/// What all threads share.
pub(crate) struct Process<H> {
    protocol: Entry,
    disk: Disk,
    pub(crate) habits: H,
    memory: Mutex<Shared>,
    /// Something in `memory` has changed.
    changed: Condvar,
    /// The number of the next goroutine that a call starts.
    goroutines: AtomicU32,
}

/// The memory of the process.
#[derive(Default)]
struct Shared {
    memory: Memory,
    /// The objects that each thread may still point to, while it is in a call.
    held: HashMap<u32, BTreeSet<Object>>,
    objects: u32,
    collected_at: u32,
    /// What the goroutines returned that have ended.
    ended: HashMap<u32, Reply>,
    /// How many threads are in a call.
    calling: usize,
    /// Those that have found, since the last change, that they cannot go on.
    asleep: BTreeSet<u32>,
}

impl<H: Habits> Process<H> {
    /// A process with threads 0 to `threads` - 1, and those that its calls start.
    pub(crate) fn new(protocol: Entry, disk: Disk, threads: u32, habits: H) -> Arc<Self> {
        Arc::new(Self {
            protocol,
            disk,
            habits,
            memory: Mutex::default(),
            changed: Condvar::new(),
            goroutines: AtomicU32::new(threads),
        })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has changed: whoever sleeps looks again.
    fn wake(&self, mut shared: MutexGuard<'_, Shared>) {
        shared.asleep.clear();
        drop(shared);
        self.changed.notify_all();
    }

    /// Starts a thread.
    pub(crate) fn start(self: &Arc<Self>, body: impl FnOnce(&Arc<Self>) -> Result<(), Stop> + Send + 'static) {
        self.habits.begins();
        let process = Arc::clone(self);
        std::thread::spawn(move || {
            let stopped = body(&process);
            process.habits.ends(stopped);
        });
    }

    /// Makes a call, in a thread of this number.
    pub(crate) fn call(self: &Arc<Self>, thread: u32, call: &Call) -> Result<Reply, Stop> {
        self.shared().calling += 1;
        self.called(thread, call)
    }

    /// Makes a call that is counted already.
    fn called(self: &Arc<Self>, thread: u32, call: &Call) -> Result<Reply, Stop> {
        let (_, mut at) = thread::begin(&self.protocol, call.clone()).map_err(trouble)?;
        let reply = loop {
            match at {
                At::End(reply) => break reply,
                At::Op(running) => {
                    let outcome = self.perform(thread, &running.op)?;
                    at = running.resume(outcome).map_err(trouble)?.1;
                }
            }
        };
        let mut shared = self.shared();
        shared.calling -= 1;
        shared.held.remove(&thread);
        if shared.objects - shared.collected_at >= COLLECT_AFTER {
            shared.collected_at = shared.objects;
            let held = shared.held.values().flatten().copied().collect();
            shared.memory.collect(&held);
        }
        Ok(reply)
    }

    fn perform(self: &Arc<Self>, thread: u32, op: &Op) -> Result<Outcome, Stop> {
        if let Op::Lock { wait: true, .. } = op {
            return self.habits.lock(&self.disk, thread, op);
        }
        if let Some(Attempt::Done(outcome)) = self.disk.perform(op, Waiting::Kernel).map_err(trouble)? {
            self.habits.did(op, &outcome);
            return Ok(outcome);
        }
        if let Op::Choose { among } = op {
            return Ok(Outcome::Value(Value::Int(self.habits.choose(thread, *among))));
        }
        let mut shared = self.shared();
        loop {
            match self.attempt(&mut shared, thread, op)? {
                Progress::Done(outcome) => {
                    if let Outcome::Value(value) = &outcome {
                        objects_in(value, shared.held.entry(thread).or_default());
                    }
                    if !matches!(op, Op::Get { .. } | Op::Set { .. } | Op::New) {
                        self.wake(shared);
                    }
                    return Ok(outcome);
                }
                Progress::Waits | Progress::Blocked => {
                    shared.asleep.insert(thread);
                    if self.habits.can_be_dead() && shared.asleep.len() == shared.calling {
                        return Err(Stop::Panic(ALL_ASLEEP.into()));
                    }
                    shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
                }
                Progress::Fatal(message) => return Err(Stop::Panic(message)),
            }
        }
    }

    fn attempt(self: &Arc<Self>, shared: &mut Shared, thread: u32, op: &Op) -> Result<Progress, Stop> {
        if let Some(progress) = shared.memory.attempt(thread, op) {
            return Ok(progress);
        }
        Ok(match op {
            Op::New => {
                shared.objects += 1;
                Progress::Done(Outcome::Value(Value::Object(Object(shared.objects))))
            }
            Op::Spawn { call } => {
                let number = self.goroutines.fetch_add(1, Ordering::Relaxed);
                if let Call::Goroutine { arguments, .. } = call {
                    objects_in(arguments, shared.held.entry(number).or_default());
                }
                shared.calling += 1;
                let call = call.clone();
                self.start(move |process| {
                    let reply = process.called(number, &call)?;
                    let mut shared = process.shared();
                    shared.ended.insert(number, reply);
                    process.wake(shared);
                    Ok(())
                });
                Progress::Done(Outcome::Value(Value::Int(number)))
            }
            Op::Join { thread } => match shared.ended.remove(thread) {
                Some(reply) => Progress::Done(thread::joined(&reply)),
                None => Progress::Blocked,
            },
            Op::Panic { message } => Progress::Fatal(message.clone()),
            other => return Err(Stop::Trouble(format!("it cannot perform {other:?}"))),
        })
    }
}
