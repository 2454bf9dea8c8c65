//! The real library as a daemon, and real commands beside it, on one store, for as long as one likes.
//!
//! A daemon is one long-lived process with many goroutines, as CRI-O is; commands are one process each, one after the other
//! in a few lanes, as Podman's are. Each of them (`party`) has layers of its own, which nobody else changes, so it knows
//! what its calls must say: what was acknowledged and is not there, or no longer, is told.

mod party;
mod picture;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::Value as Json;

use crate::Harness;
use crate::error::HarnessError;
use crate::guardian::RunDirectory;
use crate::library::{CallId, Library, LibraryError, Returned};
use party::{Act, Party};

/// The layer that is there from the start, and that nobody changes.
const BASE: &str = "base";
/// How often we look whether the time is over.
const TICK: Duration = Duration::from_millis(50);
/// How long the daemon may take to tell where its goroutines are.
const STACKS: Duration = Duration::from_secs(5);
/// What is longer counts as a day.
const LONGEST_NS: u64 = 86_400_000_000_000;

/// What runs beside what.
#[derive(Clone, Debug)]
pub struct BesideOptions {
    /// After how long no call begins any more.
    pub duration: Duration,
    /// How long a call may take before it counts as stuck, which ends the run.
    pub limit: Duration,
    /// Where everybody's choices are drawn from.
    pub seed: u64,
    /// The driver, which [`build`](crate::library::build) made.
    pub driver: PathBuf,
    /// The unmodified `containers-storage`.
    pub command: PathBuf,
    /// How many goroutines the daemon has; without any there is no daemon.
    pub goroutines: u32,
    /// How many commands run at a time.
    pub lanes: u32,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct BesideReport {
    /// How long it lasted.
    pub lasted: Duration,
    /// For each party and each call that it made, by their names.
    pub calls: BTreeMap<(String, &'static str), CallReport>,
    /// How many layers were acknowledged, and are there at the end.
    pub kept: u64,
    /// What an answer denied, or the end did: acknowledged and not there, or deleted and still there.
    pub wrong: Vec<String>,
    /// Calls that did not return in time.
    pub stuck: Vec<String>,
    /// Where a call took more than half the time that it had: who held and awaited which lock at that moment, by
    /// `/proc/locks`, and where the kernel had each thread of theirs. Of the last such call.
    pub picture: Vec<String>,
    /// The data races that Go's race detector told of, and panics: what the daemon said on standard error.
    pub daemon_said: String,
}

/// One kind of call of one party.
#[derive(Clone, Debug)]
pub struct CallReport {
    /// From the call to its return, in nanoseconds.
    pub took_ns: Histogram<u64>,
    /// Calls of anybody that began later and returned earlier.
    pub overtaken: Histogram<u64>,
    /// How many failed, and how.
    pub failures: BTreeMap<String, u64>,
}

/// A call that has not returned.
#[derive(Debug)]
struct Open {
    began: u64,
    at: Instant,
    overtaken: u64,
}

/// What all parties count together.
#[derive(Debug, Default)]
struct Ledger {
    open: BTreeMap<u64, Open>,
    begun: u64,
    report: BesideReport,
}

impl Ledger {
    fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.open.insert(self.begun, Open { began: self.begun, at: Instant::now(), overtaken: 0 });
        self.begun
    }

    fn end(&mut self, number: u64, party: &str, call: &'static str, took: Duration, returned: &Returned) {
        let Some(ended) = self.open.remove(&number) else { return };
        self.open.values_mut().filter(|other| other.began < number).for_each(|other| other.overtaken += 1);
        let empty = || Histogram::new_with_max(LONGEST_NS, 3).expect("three digits of a day are allowed");
        let entry = self.report.calls.entry((party.to_owned(), call));
        let sum =
            entry.or_insert_with(|| CallReport { took_ns: empty(), overtaken: empty(), failures: BTreeMap::new() });
        sum.took_ns.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        sum.overtaken.saturating_record(ended.overtaken);
        if let Err(failure) = returned {
            *sum.failures.entry(failure.clone()).or_default() += 1;
        }
    }
}

impl Harness {
    /// Lets a daemon and commands work on one new store.
    ///
    /// # Errors
    /// If they cannot be run. What goes wrong between them is in the report.
    pub fn beside(&self, options: &BesideOptions) -> Result<BesideReport, HarnessError> {
        let directory = RunDirectory::new(self)?;
        let run = Beside { harness: self, options, base: directory.path(), ledger: Mutex::default() };
        run.command(&Act::Put { id: BASE.into() }).map_err(|error| {
            HarnessError::Refused(format!("{} cannot make a layer: {error}", options.command.display()))
        })?;
        let started = Instant::now();
        let until = started + options.duration;
        let over = AtomicBool::new(false);
        let parties = std::thread::scope(|scope| {
            let _over = Over(&over);
            let run = &run;
            let daemon = (options.goroutines > 0).then(|| scope.spawn(move || run.daemon(until)));
            let lanes: Vec<_> = (0..options.lanes).map(|lane| scope.spawn(move || run.lane(lane, until))).collect();
            let over = &over;
            scope.spawn(move || run.watch(over));
            let mut parties = Vec::new();
            for lane in lanes {
                parties.push(lane.join().map_err(|_| HarnessError::Refused("a thread of ours panicked".into()))?);
            }
            if let Some(daemon) = daemon {
                parties.extend(daemon.join().map_err(|_| HarnessError::Refused("a thread of ours panicked".into()))??);
            }
            Ok::<_, HarnessError>(parties)
        })?;
        let lasted = started.elapsed();
        let at_the_end = if run.is_stuck() { None } else { Some(run.command(&Act::Layers)) };
        let mut report = run.ledger.into_inner().unwrap_or_else(PoisonError::into_inner).report;
        report.lasted = lasted;
        match at_the_end {
            None => {}
            Some(Err(error)) => report.wrong.push(format!("at the end, `layers` fails: {error}")),
            Some(Ok(layers)) => {
                for party in &parties {
                    report.kept += party.layers().count() as u64;
                    report.wrong.extend(party.judge_layers(&layers).map(|wrong| format!("at the end, {wrong}")));
                }
            }
        }
        let said = fs::read(directory.path().join("daemon.log")).unwrap_or_default();
        report.daemon_said = notable(&String::from_utf8_lossy(&said));
        Ok(report)
    }
}

/// The lines that are no ordinary warning of the library's.
fn notable(said: &str) -> String {
    said.lines().filter(|line| !line.starts_with("time=")).collect::<Vec<_>>().join("\n")
}

/// A run.
struct Beside<'a> {
    harness: &'a Harness,
    options: &'a BesideOptions,
    base: &'a Path,
    ledger: Mutex<Ledger>,
}

impl Beside<'_> {
    fn ledger<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_stuck(&self) -> bool {
        self.ledger(|ledger| !ledger.report.stuck.is_empty())
    }

    fn end(&self, number: u64, party: &mut Party, act: &Act, took: Duration, returned: &Returned) {
        self.ledger(|ledger| {
            ledger.end(number, party.kind, act.name(), took, returned);
            let who = party.name.clone();
            ledger.report.wrong.extend(party.returned(act, returned).map(|wrong| format!("{who}: {wrong}")));
        });
    }

    /// Looks at the locks when a call takes long, before anybody is killed for it.
    fn watch(&self, over: &AtomicBool) {
        let mut seen = 0;
        while !over.load(Relaxed) {
            std::thread::sleep(TICK);
            let first = self.ledger(|ledger| ledger.open.values().next().map(|open| (open.began, open.at)));
            if let Some((call, at)) = first
                && call != seen
                && at.elapsed() >= self.options.limit / 2
            {
                seen = call;
                let picture = picture::of(self.base);
                self.ledger(|ledger| ledger.report.picture = picture);
            }
        }
    }

    fn stuck(&self, party: &Party, act: &Act) {
        let text = format!("{}: `{act}` has not returned within {:?}", party.name, self.options.limit);
        self.ledger(|ledger| ledger.report.stuck.push(text));
    }

    /// One command after the other.
    fn lane(&self, lane: u32, until: Instant) -> Party {
        let mut party = Party::new("command", lane, self.options.seed, false);
        while Instant::now() < until && !self.is_stuck() {
            let act = party.choose();
            let number = self.ledger(Ledger::begin);
            let began = Instant::now();
            let returned = self.command(&act);
            let took = began.elapsed();
            if took >= self.options.limit {
                self.stuck(&party, &act);
                break;
            }
            self.end(number, &mut party, &act, took, &returned);
        }
        party
    }

    /// Runs a command to its end, or kills it when it has taken too long.
    fn command(&self, act: &Act) -> Returned {
        let text = |error: &dyn std::fmt::Display| format!("failed to run the command: {error}");
        let mut command: Command = self.harness.bounded(&self.options.command);
        command.arg("--graph").arg(self.base.join("root")).arg("--run").arg(self.base.join("run"));
        command.args(["--storage-driver", "vfs"]).args(act.words());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| text(&error))?;
        let output = crate::process::within(child, self.options.limit).map_err(|error| text(&error))?;
        let Some(output) = output else { return Err("it is killed, for it took too long".into()) };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            return Err(if last.is_empty() { output.status.to_string() } else { last.into() });
        }
        Ok(act.read(&String::from_utf8_lossy(&output.stdout)))
    }

    /// All goroutines of the daemon, each with one call under way.
    fn daemon(&self, until: Instant) -> Result<Vec<Party>, HarnessError> {
        let path = self.base.join("daemon.log");
        let log = fs::File::create(&path).map_err(HarnessError::io("make", &path))?;
        let start = |error| HarnessError::io("start", &self.options.driver)(error);
        let mut library = Library::start(self.harness, &self.options.driver, Some(log)).map_err(start)?;
        let refused = |why: String| HarnessError::Refused(format!("the daemon cannot open its store: {why}"));
        let opened = library.open("daemon", self.base, "run", self.options.limit);
        opened.map_err(|error| refused(error.to_string()))?.map_err(refused)?;
        let new = |number| Party::new("goroutine", number, self.options.seed, true);
        let mut parties: Vec<Party> = (0..self.options.goroutines).map(new).collect();
        let mut under_way: BTreeMap<CallId, UnderWay> = BTreeMap::new();
        let mut idle: Vec<usize> = (0..parties.len()).collect();
        loop {
            let over = Instant::now() >= until || self.is_stuck();
            // Who holds a diff open gives it back before the end.
            for index in std::mem::take(&mut idle) {
                let party = &mut parties[index];
                if over && !party.must_go_on() {
                    continue;
                }
                let act = party.choose();
                let words = act.arguments();
                let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
                let number = self.ledger(Ledger::begin);
                match library.begin("daemon", &party.name, act.name(), &arguments) {
                    Ok(id) => drop(under_way.insert(id, UnderWay { index, act, number, began: Instant::now() })),
                    Err(error) => return Ok(self.daemon_died(parties, &error)),
                }
            }
            if under_way.is_empty() {
                return Ok(parties);
            }
            match library.next(TICK) {
                Ok(Some((id, returned))) => {
                    let Some(UnderWay { index, act, number, began }) = under_way.remove(&id) else { continue };
                    self.end(number, &mut parties[index], &act, began.elapsed(), &returned);
                    idle.push(index);
                }
                Ok(None) => {}
                Err(error) => return Ok(self.daemon_died(parties, &error)),
            }
            let late: Vec<_> = under_way.values().filter(|call| call.began.elapsed() >= self.options.limit).collect();
            if !late.is_empty() {
                late.iter().for_each(|call| self.stuck(&parties[call.index], &call.act));
                library.tell_stacks(STACKS);
                return Ok(parties);
            }
        }
    }

    fn daemon_died(&self, parties: Vec<Party>, error: &LibraryError) -> Vec<Party> {
        self.ledger(|ledger| ledger.report.stuck.push(format!("{error}: see what it said")));
        parties
    }
}

/// Tells the watcher that all is over, also where something went wrong.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A call of a goroutine.
struct UnderWay {
    index: usize,
    act: Act,
    number: u64,
    began: Instant,
}

/// The ids of a list of layers, as the library or the command's JSON has them.
fn ids(layers: &Json) -> Vec<&str> {
    let items = layers.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().or_else(|| item["id"].as_str())).collect()
}
