//! `hunt`: the real store against itself, one interleaving after the other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lockproof_harness::Harness;
use lockproof_harness::HarnessError;
use lockproof_harness::hunt::baseline::Baseline;
use lockproof_harness::hunt::build::Build;
use lockproof_harness::hunt::execution::Limits;
use lockproof_harness::hunt::workload::Workload;
use lockproof_harness::hunt::{self, Ended, HuntOptions, HuntReport, Search};
use lockproof_model::protocol;
use serde::Serialize;

use crate::args::{Format, HuntArgs, StrategyName};
use crate::beside::installed;
use crate::error::CliError;
use crate::faults;
use crate::hunt_daemon::{self, Drivers};
use crate::hunt_pairs;
use crate::hunt_replay::{self, columns};
use crate::interrupt::Interrupt;
use crate::output::{self, Output};
use crate::progress::Executions;
use crate::record;
use crate::units;
use crate::way::Way;
use crate::work;

/// Where `scripts/fetch-releases.sh` puts releases.
const RELEASES: &str = "target/releases";

/// The name that stands for each of them in turn.
pub(crate) const ALL: &str = "all";

/// What is known of the releases.
const KNOWN: &str = include_str!("../../known.toml");

/// What bounds each execution: commands of a store take some hundred steps, and milliseconds.
pub(crate) const LIMITS: Limits = Limits { steps: 20_000, time: Duration::from_secs(60) };

/// What every way to hunt is told.
pub(crate) struct Hunt<'a> {
    pub(crate) args: &'a HuntArgs,
    pub(crate) harness: &'a Harness,
    pub(crate) output: &'a Output,
    /// What was asked for on the command line; nothing, where it is generated or recorded.
    pub(crate) workload: Workload,
    /// What the daemons are.
    pub(crate) drivers: &'a [Build],
    /// What is known already.
    baseline: Baseline,
    /// Until a signal comes.
    pub(crate) interrupt: Interrupt,
}

/// What a hunt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing was found, by all that was asked for.
    Passed,
    /// Nothing was found, by less than what was asked for.
    Cut,
    /// There is a violation.
    Violated,
}

impl Ending {
    /// That of one verdict.
    pub(crate) fn of(verdict: &str) -> Self {
        match verdict {
            "violated" => Self::Violated,
            // A sample that finds nothing is what was asked for; an exhaustive search that was cut is no pass.
            "cut" => Self::Cut,
            _ => Self::Passed,
        }
    }
}

/// Returns whether all is as expected.
pub(crate) fn run(args: &HuntArgs, output: &Output) -> Result<bool, CliError> {
    let harness = Harness::current().map_err(supervised)?;
    let stores = stores(args.store.as_deref())?;
    let Some(store) = stores.first() else { return Err(CliError::NoStore) };
    let way = Way::of(args, stores.len())?;
    let recording = args.replay.as_deref().map(hunt_replay::read).transpose()?;
    let words = |commands: &[String]| commands.iter().map(|command| Workload::words(command)).collect();
    let (start, commands) = (words(&args.start), words(&args.commands));
    let workload = Workload { start, commands, daemons: way.scripts(args)? };
    let baseline = baseline(args)?;
    if way != Way::Replay {
        record::check(&args.record)?;
    }
    let drivers = Drivers::of(args, recording.as_ref(), &harness)?;
    // Not before: a signal ends `go build` at once.
    let interrupt = Interrupt::catch();
    let hunt = Hunt { args, harness: &harness, output, workload, drivers: &drivers.builds, baseline, interrupt };
    let ending = match (way, &recording) {
        (Way::FaultsInTurn, _) => faults::run(&hunt, store),
        (Way::Random, _) => hunt_daemon::random(&hunt, store),
        (_, Some(recording)) => hunt_replay::run(&hunt, store, recording),
        (Way::Workload, None) if stores.len() == 1 => hunt.one(store),
        (_, None) => hunt_pairs::run(&hunt, &stores),
    };
    match ending {
        // An execution may have failed by the signal. What was found is said by the status, even so.
        Ok(Ending::Passed | Ending::Cut) | Err(CliError::Supervise(_) | CliError::Release(_)) => hunt.interrupt.obey(),
        Ok(Ending::Violated) | Err(_) => {}
    }
    Ok(ending? == Ending::Passed)
}

impl Hunt<'_> {
    /// One workload, of one store.
    fn one(&self, store: &Store) -> Result<Ending, CliError> {
        let Self { args, harness, output, workload, interrupt, .. } = self;
        let options = self.options(store);
        let line = Executions::start();
        let report = hunt::hunt(harness, workload, &options, |executions| {
            line.are(executions);
            !interrupt.has_come()
        });
        drop(line);
        let report = report.map_err(supervised)?;
        if let Some(violation) = &report.violation {
            record::write(&args.record, &violation.recording)?;
        }
        output.print(&match args.format {
            Format::Table => table(args, store, &report, output),
            Format::Json => json(args, store, &report),
        })?;
        Ok(Ending::of(verdict(args, &report).1))
    }

    /// How each workload of this store is hunted.
    pub(crate) fn options(&self, store: &Store) -> HuntOptions {
        let Self { args, drivers, .. } = self;
        HuntOptions {
            programs: store.programs.clone(),
            drivers: drivers.to_vec(),
            releases: store.releases.clone(),
            baseline: self.baseline.clone(),
            search: match (args.preemptions_max, args.strategy()) {
                (Some(preemptions), _) => Search::Bounded { preemptions },
                (None, StrategyName::Pct) => Search::Pct { depth: args.depth() },
                (None, StrategyName::Exhaustive) => Search::Exhaustive,
                (None, StrategyName::Random) => Search::Random,
            },
            faults: faults::wanted(args),
            seed: args.seed(),
            lanes: lanes(args),
            ahead: 2 * lanes(args) <= work::cores(),
            executions: args.executions_max,
            time: args.time_max,
            limits: LIMITS,
            simplify: args.time_max,
        }
    }
}

/// How many executions are run at once.
fn lanes(args: &HuntArgs) -> usize {
    let given = args.lanes.and_then(|lanes| usize::try_from(lanes).ok());
    given.unwrap_or_else(work::cores)
}

/// What is known: what a file says; else, of generated workloads, what we know.
fn baseline(args: &HuntArgs) -> Result<Baseline, CliError> {
    let (path, text) = match &args.baseline {
        Some(path) => (path.display().to_string(), fs::read_to_string(path).map_err(|error| error.to_string())),
        None if args.pairs => ("known.toml".to_owned(), Ok(KNOWN.to_owned())),
        None => return Ok(Baseline::default()),
    };
    text.and_then(|text| Baseline::read(&text)).map_err(|problem| CliError::Baseline { path, problem })
}

/// A build of the store, or several on one store.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// As it is named.
    pub(crate) name: String,
    /// What runs each command; the last is that of all further ones.
    pub(crate) programs: Vec<Build>,
    /// What they are called.
    pub(crate) releases: Vec<String>,
}

pub(crate) fn supervised(error: HarnessError) -> CliError {
    match &error {
        HarnessError::NotStarted { program, .. } if is_release(Path::new(program)) => {
            CliError::Release(Box::new(error))
        }
        _ => CliError::Supervise(Box::new(error)),
    }
}

/// Whether a program is there, and is one of the releases that were fetched.
fn is_release(program: &Path) -> bool {
    program.is_file() && Path::new(RELEASES).canonicalize().is_ok_and(|releases| program.starts_with(releases))
}

/// The stores that were named, or the one that is installed.
fn stores(named: Option<&str>) -> Result<Vec<Store>, CliError> {
    let Some(named) = named else {
        let program = installed().ok_or(CliError::NoStore)?;
        let release = installed_release().unwrap_or_else(|| "installed".into());
        return Ok(vec![Store {
            name: program.display().to_string(),
            programs: vec![program.into()],
            releases: vec![release],
        }]);
    };
    let unknown = |name: &str| CliError::UnknownStore { name: name.into(), place: RELEASES.into() };
    if named == ALL {
        let entries = fs::read_dir(RELEASES).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().join("containers-storage").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let number = |name: &String| name.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u64>>();
        names.sort_by_key(number);
        if names.is_empty() {
            return Err(unknown(named));
        }
        return names.iter().map(|name| one_store(name).ok_or_else(|| unknown(name))).collect();
    }
    let parts: Vec<Store> =
        named.split(',').map(|name| one_store(name).ok_or_else(|| unknown(name))).collect::<Result<_, _>>()?;
    Ok(vec![Store {
        name: parts.iter().map(|store| store.name.clone()).collect::<Vec<_>>().join(", "),
        programs: parts.iter().flat_map(|store| store.programs.clone()).collect(),
        releases: parts.iter().flat_map(|store| store.releases.clone()).collect(),
    }])
}

/// The reference store is named by its protocol: `reference:v1_24`.
const REFERENCE: &str = "reference:";

/// The reference store, if it is named.
pub(crate) fn reference(named: &str) -> Option<Build> {
    let protocol = named.strip_prefix(REFERENCE).filter(|protocol| protocol::by_name(protocol).is_some())?;
    Some(Build::Reference { program: std::env::current_exe().ok()?, protocol: protocol.into() })
}

fn one_store(named: &str) -> Option<Store> {
    if let Some(build) = reference(named) {
        return Some(Store { name: named.into(), programs: vec![build], releases: vec![named.into()] });
    }
    let release = Path::new(RELEASES).join(named).join("containers-storage");
    let found = [PathBuf::from(named), release].into_iter().find(|path| path.is_file())?;
    let program = found.canonicalize().ok()?;
    Some(Store { name: program.display().to_string(), programs: vec![program.into()], releases: vec![named.into()] })
}

/// The version of Debian's package, without what Debian adds to it.
fn installed_release() -> Option<String> {
    let asked = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "containers-storage"]).output().ok()?;
    let version = String::from_utf8_lossy(&asked.stdout).into_owned();
    let release = version.split(['+', '-', '~']).next().unwrap_or_default();
    (!release.is_empty()).then(|| release.to_owned())
}

/// How the search ended, as a verdict.
pub(crate) fn verdict(args: &HuntArgs, report: &HuntReport) -> (&'static str, &'static str) {
    match report.ended {
        _ if report.is_violated() => ("✗", "violated"),
        // In what order goroutines go inside their process is not ours to choose.
        Ended::Exhausted if args.preemptions_max.is_some() || !args.daemon.is_empty() => ("·", "bounded"),
        Ended::Exhausted => ("✓", "proved"),
        Ended::Executions | Ended::Time if report.progress.is_none() => ("·", "sampled"),
        Ended::Executions | Ended::Time | Ended::Lost | Ended::Violated => ("·", "cut"),
    }
}

fn table(args: &HuntArgs, store: &Store, report: &HuntReport, output: &Output) -> String {
    let mut text = String::new();
    let commands = args.commands.iter().chain(&args.daemon).cloned().collect::<Vec<_>>().join(" ‖ ");
    if let Some(violation) = &report.violation {
        text.push_str(&columns(&violation.recording.workload, &violation.execution));
        output.wrap(&mut text, "", &format!("✗ {}: {}", violation.wrong.property, violation.wrong.detail));
        let _ = writeln!(text, "again: {}\n", again(args, &args.record));
    }
    if let Some(cycle) = &report.lock_cycle {
        output.wrap(&mut text, "", &format!("✗ {}: {}", cycle.property, cycle.detail));
    }
    let (mark, name) = verdict(args, report);
    let _ = writeln!(text, "{mark} {name}  {commands}  ({})", store.name);
    let per_second = report.executions as f64 / report.lasted.as_secs_f64();
    let mut figures = format!(
        "{} executions, {} steps, {} ({per_second:.0} a second)",
        report.executions,
        report.steps,
        units::time(report.lasted)
    );
    if let Some(progress) = report.progress {
        let _ = write!(
            figures,
            "; {} complete, {} redundant, {} did not go as before",
            progress.complete, progress.redundant, progress.diverged
        );
    } else {
        let _ = write!(figures, "; --seed {}", args.seed());
    }
    if report.cut > 0 {
        let _ = write!(figures, "; {} cut", report.cut);
    }
    for (fault, times) in &report.struck {
        let _ = write!(figures, "; {times} × {fault}");
    }
    let (outcomes, explained) = report.outcomes;
    let _ = write!(figures, "; {outcomes} different outcomes, {explained} of them serial");
    output.wrap(&mut text, "  ", &figures);
    if report.steps == 0 {
        text.push_str("  nothing was asked of the store: there was nothing to be ordered\n");
    }
    for (known, times) in &report.known {
        let _ = writeln!(text, "  known: {known}, in {times} executions");
    }
    if let Some(why) = &report.not_modelled {
        let _ = writeln!(text, "  compared with whole commands only: {why}");
    }
    if let (Some(preemptions), "bounded") = (args.preemptions_max, name) {
        let bound = format!("every order of the calls that are seen with at most {preemptions} preemptions was tried");
        output.wrap(&mut text, "  ", &bound);
    }
    if name == "proved" {
        let reserve = "every order of the calls that are seen was tried, up to those that make no difference; not seen: files \
                       mapped into memory, the order of two calls that one process makes at the same time";
        output.wrap(&mut text, "  ", reserve);
    }
    text
}

/// The command that repeats what was recorded.
pub(crate) fn again(args: &HuntArgs, record: &Path) -> String {
    format!("{}{}", again_of(args.store.as_deref(), record), hunt_daemon::drivers(args))
}

/// The same, of the store that is named so.
pub(crate) fn again_of(store: Option<&str>, record: &Path) -> String {
    format!("{} --replay {} --times 20", by_hand(store), record.display())
}

/// The beginning of a command on this store.
pub(crate) fn by_hand(store: Option<&str>) -> String {
    let store = store.map(|store| format!(" --store {store}")).unwrap_or_default();
    format!("lockproof hunt{store}")
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    store: String,
    commands: &'a [String],
    daemons: &'a [String],
    start: &'a [String],
    verdict: &'static str,
    property: Option<&'a str>,
    detail: Option<&'a str>,
    recording: Option<String>,
    executions: u64,
    steps: u64,
    struck: BTreeMap<String, u64>,
    cut: u64,
    seconds: f64,
    outcomes: usize,
    serial_outcomes: usize,
    known: &'a BTreeMap<String, u64>,
    not_modelled: Option<&'a str>,
}

fn json(args: &HuntArgs, store: &Store, report: &HuntReport) -> String {
    let violation = report.violation.as_ref();
    let wrong = violation.map(|violation| &violation.wrong).or(report.lock_cycle.as_ref());
    let json = Json {
        version: 1,
        store: store.name.clone(),
        commands: &args.commands,
        daemons: &args.daemon,
        start: &args.start,
        verdict: verdict(args, report).1,
        property: wrong.map(|wrong| wrong.property),
        detail: wrong.map(|wrong| wrong.detail.as_str()),
        recording: violation.map(|_| args.record.display().to_string()),
        executions: report.executions,
        steps: report.steps,
        struck: report.struck.iter().map(|(fault, times)| (fault.to_string(), *times)).collect(),
        cut: report.cut,
        seconds: report.lasted.as_secs_f64(),
        outcomes: report.outcomes.0,
        serial_outcomes: report.outcomes.1,
        known: &report.known,
        not_modelled: report.not_modelled.as_deref(),
    };
    output::pretty_json(&json)
}
