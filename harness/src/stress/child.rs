//! A process that runs freely: a thread of the system for each of its threads, locks that really wait.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use lockproof_model::call::{Call, Reply};
use lockproof_model::op::{LockResult, Mode, Op, Outcome, Path};
use lockproof_model::protocol::Entry as Protocol;
use lockproof_model::value::{Object, Value};
use lockproof_model::world::memory::{Memory, Progress, objects_in};

use super::counters::Counters;
use crate::disk::{Attempt, Disk, RETRY_AFTER, Waiting};
use crate::thread::{self, At};
use crate::wire::{Answer, FreeRun, Ran, StillWaiting, Waits};
use crate::worker::{self, PANICKED};

/// After how many allocations the memory is cleaned.
const COLLECT_AFTER: u32 = 256;

/// The child's side.
pub(crate) fn serve(protocol: Protocol, run: FreeRun) -> Result<i32, String> {
    let disk = Disk::new(&run.base).map_err(|error| error.to_string())?;
    worker::say(&Answer::Ready { pid: std::process::id() })?;
    // The parent says when to go, so that all processes begin together.
    if worker::hear::<String>()?.is_none() {
        return Ok(0);
    }
    let started = Instant::now();
    let process = Arc::new(Process {
        protocol,
        disk,
        counters: Counters::new(run.counters.clone()),
        memory: Mutex::default(),
        changed: Condvar::new(),
        seen: Mutex::default(),
        ended: Condvar::new(),
        calls: AtomicU64::new(0),
        goroutines: AtomicU32::new(u32::try_from(run.threads.len()).unwrap_or(u32::MAX)),
        until: started + Duration::from_millis(run.milliseconds),
        started,
        seed: run.seed,
    });
    process.seen().replies = vec![Vec::new(); run.threads.len()];
    let end = process.until + Duration::from_millis(run.grace_ms);
    process.start_all(run);
    let mut seen = process.seen();
    while seen.running > 0 && seen.panic.is_none() && seen.trouble.is_none() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        seen = process.ended.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    if let Some(problem) = seen.trouble.take() {
        return Err(problem);
    }
    let panicked = seen.panic.is_some();
    let ran = process.account(&mut seen);
    drop(seen);
    worker::say(&Answer::Ran(Box::new(ran)))?;
    // Threads that still wait end with the process.
    Ok(if panicked { PANICKED } else { 0 })
}

/// What all threads share.
struct Process {
    protocol: Protocol,
    disk: Disk,
    counters: Counters,
    memory: Mutex<Shared>,
    /// Something in `memory` has changed.
    changed: Condvar,
    seen: Mutex<Seen>,
    /// A thread has ended.
    ended: Condvar,
    calls: AtomicU64,
    /// The number of the next goroutine.
    goroutines: AtomicU32,
    until: Instant,
    started: Instant,
    seed: u64,
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
}

/// What is reported in the end.
#[derive(Default)]
struct Seen {
    running: u32,
    panic: Option<String>,
    trouble: Option<String>,
    failures: std::collections::BTreeMap<String, u64>,
    waits: HashMap<(Path, Mode), Recorded>,
    waiting: HashMap<u32, Request>,
    replies: Vec<Vec<(Call, Reply)>>,
}

struct Recorded {
    wait_ns: Histogram<u64>,
    overtakes: Histogram<u64>,
    deadlocks: u64,
}

/// A request that waits.
struct Request {
    file: Path,
    mode: Mode,
    since: Instant,
    /// How many grants there were when it was made.
    count: u64,
}

/// Why a thread stops in the middle of a call.
enum Stop {
    Panic(String),
    Trouble(String),
}

fn trouble(error: impl std::fmt::Display) -> Stop {
    Stop::Trouble(error.to_string())
}

impl Process {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts every thread; the first makes the calls that come before the others.
    fn start_all(self: &Arc<Self>, run: FreeRun) {
        let ready = Arc::new((Mutex::new(false), Condvar::new()));
        for (number, (script, rounds)) in (0..).zip(run.threads) {
            let ready = Arc::clone(&ready);
            let before = if number == 0 { run.before.clone() } else { Vec::new() };
            self.start(move |process| {
                let mut replies = process.round(number, &before)?;
                if number == 0 {
                    *ready.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
                    ready.1.notify_all();
                } else {
                    let mut is_ready = ready.0.lock().unwrap_or_else(PoisonError::into_inner);
                    while !*is_ready {
                        is_ready = ready.1.wait(is_ready).unwrap_or_else(PoisonError::into_inner);
                    }
                }
                let first = replies.len();
                let mut round = 0;
                while rounds.is_none_or(|rounds| round < rounds) && Instant::now() < process.until && !script.is_empty()
                {
                    replies.truncate(first);
                    replies.extend(process.round(number, &script)?);
                    round += 1;
                }
                process.seen().replies[number as usize] = replies;
                Ok(())
            });
        }
    }

    fn start(self: &Arc<Self>, body: impl FnOnce(&Arc<Self>) -> Result<(), Stop> + Send + 'static) {
        self.seen().running += 1;
        let process = Arc::clone(self);
        std::thread::spawn(move || {
            let stopped = body(&process);
            let mut seen = process.seen();
            seen.running -= 1;
            match stopped {
                Ok(()) => {}
                Err(Stop::Panic(message)) => seen.panic = Some(message),
                Err(Stop::Trouble(problem)) => seen.trouble = Some(problem),
            }
            process.ended.notify_all();
        });
    }

    /// Makes each call of a script, as long as there is time.
    fn round(self: &Arc<Self>, thread: u32, script: &[Call]) -> Result<Vec<(Call, Reply)>, Stop> {
        let mut replies = Vec::with_capacity(script.len());
        for call in script {
            if Instant::now() >= self.until {
                break;
            }
            let reply = self.call(thread, call)?;
            self.calls.fetch_add(1, Ordering::Relaxed);
            if let Err(fail) = &reply {
                *self.seen().failures.entry(fail.to_string()).or_default() += 1;
            }
            replies.push((call.clone(), reply));
        }
        Ok(replies)
    }

    fn call(self: &Arc<Self>, thread: u32, call: &Call) -> Result<Reply, Stop> {
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
        shared.held.remove(&thread);
        if shared.objects - shared.collected_at >= COLLECT_AFTER {
            shared.collected_at = shared.objects;
            let held = shared.held.values().flatten().copied().collect();
            shared.memory.collect(&held);
        }
        Ok(reply)
    }

    fn perform(self: &Arc<Self>, thread: u32, op: &Op) -> Result<Outcome, Stop> {
        if let Op::Lock { file, mode, wait: true } = op {
            return self.lock(thread, op, file, *mode);
        }
        if let Some(Attempt::Done(outcome)) = self.disk.perform(op, Waiting::Kernel).map_err(trouble)? {
            return Ok(outcome);
        }
        if let Op::Choose { among } = op {
            let count = self.calls.load(Ordering::Relaxed);
            let drawn = mix(self.seed ^ mix(u64::from(thread) << 32 ^ count)) % u64::from((*among).max(1));
            return Ok(Outcome::Value(Value::Int(u32::try_from(drawn).unwrap_or(0))));
        }
        let mut shared = self.shared();
        loop {
            match self.attempt(&mut shared, thread, op)? {
                Progress::Done(outcome) => {
                    if let Outcome::Value(value) = &outcome {
                        objects_in(value, shared.held.entry(thread).or_default());
                    }
                    drop(shared);
                    if !matches!(op, Op::Get { .. } | Op::Set { .. } | Op::New) {
                        self.changed.notify_all();
                    }
                    return Ok(outcome);
                }
                Progress::Waits | Progress::Blocked => {
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
                let call = call.clone();
                self.start(move |process| {
                    let reply = process.call(number, &call)?;
                    process.shared().ended.insert(number, reply);
                    process.changed.notify_all();
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

    /// A request that waits in the kernel. No lock of ours is held meanwhile.
    fn lock(&self, thread: u32, op: &Op, file: &Path, mode: Mode) -> Result<Outcome, Stop> {
        {
            let count = self.counters.count(file).map_err(trouble)?;
            let mut seen = self.seen();
            // A request that EDEADLK refused and that is made again has been waiting all the while.
            let request = seen.waiting.remove(&thread).filter(|request| request.file == *file && request.mode == mode);
            let fresh = || Request { file: file.clone(), mode, since: Instant::now(), count };
            seen.waiting.insert(thread, request.unwrap_or_else(fresh));
        }
        let Some(Attempt::Done(outcome)) = self.disk.perform(op, Waiting::Kernel).map_err(trouble)? else {
            return Err(Stop::Trouble(format!("the kernel neither grants nor refuses {op:?}")));
        };
        let granted = Instant::now();
        let is_granted = outcome == Outcome::Locked(LockResult::Granted);
        let before = if is_granted { self.counters.grant(file).map_err(trouble)? } else { 0 };
        let mut guard = self.seen();
        let seen = &mut *guard;
        let recorded = match seen.waits.entry((file.clone(), mode)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Recorded::new().map_err(trouble)?),
        };
        if is_granted && let Some(request) = seen.waiting.remove(&thread) {
            let waited = granted.saturating_duration_since(request.since).as_nanos();
            recorded.wait_ns.record(u64::try_from(waited).unwrap_or(u64::MAX)).map_err(trouble)?;
            recorded.overtakes.record(before.saturating_sub(request.count)).map_err(trouble)?;
        }
        if !is_granted {
            recorded.deadlocks += 1;
        }
        drop(guard);
        if !is_granted {
            std::thread::sleep(RETRY_AFTER);
        }
        Ok(outcome)
    }

    fn account(&self, seen: &mut Seen) -> Ran {
        let waits = seen.waits.iter().map(|((file, mode), recorded)| Waits {
            file: file.clone(),
            mode: *mode,
            wait_ns: pairs(&recorded.wait_ns),
            overtakes: pairs(&recorded.overtakes),
            deadlocks: recorded.deadlocks,
        });
        let waiting = seen.waiting.values().map(|request| StillWaiting {
            file: request.file.clone(),
            mode: request.mode,
            wait_ns: u64::try_from(request.since.elapsed().as_nanos()).unwrap_or(u64::MAX),
            overtakes: self.counters.count(&request.file).unwrap_or(0).saturating_sub(request.count),
        });
        Ran {
            calls: self.calls.load(Ordering::Relaxed),
            failures: seen.failures.clone(),
            ran_ns: u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            waits: waits.collect(),
            waiting: waiting.collect(),
            unfinished: seen.running,
            replies: seen.replies.clone(),
            panic: seen.panic.clone(),
        }
    }
}

impl Recorded {
    fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self { wait_ns: Histogram::new(3)?, overtakes: Histogram::new(3)?, deadlocks: 0 })
    }
}

/// What a histogram recorded: values, and how often.
fn pairs(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}
