//! A process that runs freely: a thread of the system for each of its threads, locks that really wait.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use lockproof_model::call::{Call, Reply};
use lockproof_model::op::{LockResult, Mode, Op, Outcome, Path};
use lockproof_model::protocol::Entry as Protocol;

use super::counters::Counters;
use crate::disk::Disk;
use crate::free::{self, Habits, Stop, trouble};
use crate::wire::{Answer, FreeRun, Ran, StillWaiting, Waits};
use crate::worker::{self, PANICKED};

/// The child's side.
pub(crate) fn serve(protocol: Protocol, run: FreeRun) -> Result<i32, String> {
    let disk = Disk::new(&run.base).map_err(|error| error.to_string())?;
    worker::say(&Answer::Ready { pid: std::process::id() })?;
    // The parent says when to go, so that all processes begin together.
    if worker::hear::<String>()?.is_none() {
        return Ok(0);
    }
    let started = Instant::now();
    let threads = u32::try_from(run.threads.len()).unwrap_or(u32::MAX);
    let load = Load {
        counters: Counters::new(run.counters.clone()),
        seen: Mutex::new(Seen { replies: vec![Vec::new(); run.threads.len()], ..Seen::default() }),
        ended: Condvar::new(),
        calls: AtomicU64::new(0),
        until: started + Duration::from_millis(run.milliseconds),
        started,
        seed: run.seed,
    };
    let process = Process::new(protocol, disk, threads, load);
    let load = &process.habits;
    let end = load.until + Duration::from_millis(run.grace_ms);
    process.start_all(run);
    let mut seen = load.seen();
    while seen.running > 0 && seen.panic.is_none() && seen.trouble.is_none() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        seen = load.ended.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    if let Some(problem) = seen.trouble.take() {
        return Err(problem);
    }
    let panicked = seen.panic.is_some();
    let ran = load.account(&mut seen);
    drop(seen);
    worker::say(&Answer::Ran(Box::new(ran)))?;
    // Threads that still wait end with the process.
    Ok(if panicked { PANICKED } else { 0 })
}

/// A process under load.
type Process = free::Process<Load>;

/// What all threads share, beside their memory.
struct Load {
    counters: Counters,
    seen: Mutex<Seen>,
    /// A thread has ended.
    ended: Condvar,
    calls: AtomicU64,
    until: Instant,
    started: Instant,
    seed: u64,
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

impl Process {
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
                let (first, until) = (replies.len(), process.habits.until);
                let mut round = 0;
                while rounds.is_none_or(|rounds| round < rounds) && Instant::now() < until && !script.is_empty() {
                    replies.truncate(first);
                    replies.extend(process.round(number, &script)?);
                    round += 1;
                }
                process.habits.seen().replies[number as usize] = replies;
                Ok(())
            });
        }
    }

    /// Makes each call of a script, as long as there is time.
    fn round(self: &Arc<Self>, thread: u32, script: &[Call]) -> Result<Vec<(Call, Reply)>, Stop> {
        let load = &self.habits;
        let mut replies = Vec::with_capacity(script.len());
        for call in script {
            if Instant::now() >= load.until {
                break;
            }
            let reply = self.call(thread, call)?;
            load.calls.fetch_add(1, Ordering::Relaxed);
            if let Err(fail) = &reply {
                *load.seen().failures.entry(fail.to_string()).or_default() += 1;
            }
            replies.push((call.clone(), reply));
        }
        Ok(replies)
    }
}

impl Habits for Load {
    fn begins(&self) {
        self.seen().running += 1;
    }

    fn ends(&self, stopped: Result<(), Stop>) {
        let mut seen = self.seen();
        seen.running -= 1;
        match stopped {
            Ok(()) => {}
            Err(Stop::Panic(message)) => seen.panic = Some(message),
            Err(Stop::Trouble(problem)) => seen.trouble = Some(problem),
        }
        self.ended.notify_all();
    }

    fn choose(&self, thread: u32, among: u32) -> u32 {
        let count = self.calls.load(Ordering::Relaxed);
        let drawn = mix(self.seed ^ mix(u64::from(thread) << 32 ^ count)) % u64::from(among.max(1));
        u32::try_from(drawn).unwrap_or(0)
    }

    fn lock(&self, disk: &Disk, thread: u32, op: &Op) -> Result<Outcome, Stop> {
        let Op::Lock { file, mode, .. } = op else { return free::lock(disk, op) };
        {
            let count = self.counters.count(file).map_err(trouble)?;
            let mut seen = self.seen();
            // A request that EDEADLK refused and that is made again has been waiting all the while.
            let request = seen.waiting.remove(&thread).filter(|request| request.file == *file && request.mode == *mode);
            let fresh = || Request { file: file.clone(), mode: *mode, since: Instant::now(), count };
            seen.waiting.insert(thread, request.unwrap_or_else(fresh));
        }
        let outcome = free::lock(disk, op)?;
        let granted = Instant::now();
        let is_granted = outcome == Outcome::Locked(LockResult::Granted);
        let before = if is_granted { self.counters.grant(file).map_err(trouble)? } else { 0 };
        let mut guard = self.seen();
        let seen = &mut *guard;
        let recorded = match seen.waits.entry((file.clone(), *mode)) {
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
        free::pause(&outcome);
        Ok(outcome)
    }
}

impl Load {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
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
