//! `hunt --daemon`: processes of the Go library among the participants.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use lockproof_harness::Harness;
use lockproof_harness::guardian::RunDirectory;
use lockproof_harness::hunt::HuntOptions;
use lockproof_harness::hunt::build::{Build, LIBRARY};
use lockproof_harness::hunt::daemon::script::Script;
use lockproof_harness::hunt::daemon::search::{REPEATS, SearchReport, Shown, search};
use lockproof_harness::hunt::recording::Recording;
use lockproof_harness::hunt::workload::Workload;
use lockproof_harness::library::{Source, build};
use serde::Serialize;

use crate::args::{Format, HuntArgs};
use crate::error::CliError;
use crate::hunt::{self, Ending, Hunt, Store, supervised};
use crate::output::{self, Output};
use crate::progress::Executions;
use crate::record;
use crate::units;

/// What has calls drawn.
pub(crate) const RANDOM: &str = "random";

/// How long, at most, a violation is made simpler.
const SIMPLIFY: Duration = Duration::from_secs(20);

/// What the daemons are. The driver of the library is built for this run, and removed after it.
#[derive(Default)]
pub(crate) struct Drivers {
    pub(crate) builds: Vec<Build>,
    _directory: Option<RunDirectory>,
}

impl Drivers {
    /// Those of what was recorded, or was asked for; none where there are no daemons.
    pub(crate) fn of(args: &HuntArgs, recording: Option<&Recording>, harness: &Harness) -> Result<Self, CliError> {
        let are_needed = recording.map_or(!args.daemon.is_empty(), |recording| !recording.workload.daemons.is_empty());
        if !are_needed {
            refuse_options(args)?;
            return Ok(Self::default());
        }
        Self::build(args, recording.map_or(&[], |recording| &recording.drivers), harness)
    }

    /// What was asked for; else what was `recorded`; else the library.
    fn build(args: &HuntArgs, recorded: &[String], harness: &Harness) -> Result<Self, CliError> {
        let library = [LIBRARY.to_owned()];
        let names = [&args.driver, recorded, &library].into_iter().find(|names| !names.is_empty()).unwrap_or_default();
        if !names.iter().any(|name| name == LIBRARY)
            && let Some(option) = of_the_library(args)
        {
            return Err(CliError::OptionOfDaemon { option, of: "daemons of the Go library", help: "--driver library" });
        }
        let mut drivers = Self::default();
        let mut library: Option<Build> = None;
        for name in names {
            if let Some(reference) = hunt::reference(name) {
                drivers.builds.push(reference);
            } else if name != LIBRARY {
                return Err(CliError::UnknownDriver { name: name.clone() });
            } else if let Some(library) = &library {
                drivers.builds.push(library.clone());
            } else {
                let source = args.go_source.clone().map_or(Source::Installed, Source::Tree);
                let directory = RunDirectory::new(harness).map_err(supervised)?;
                let built = build(&source, args.race, directory.path());
                let built: Build = built.map_err(|error| CliError::Driver(Box::new(error)))?.into();
                library = Some(built.clone());
                drivers.builds.push(built);
                drivers._directory = Some(directory);
            }
        }
        Ok(drivers)
    }
}

/// The first option that says which Go library, and was given.
fn of_the_library(args: &HuntArgs) -> Option<&'static str> {
    match (&args.go_source, args.race) {
        (Some(_), _) => Some("--go-source"),
        (None, true) => Some("--race"),
        (None, false) => None,
    }
}

/// Refuses what is about daemons where there are none.
fn refuse_options(args: &HuntArgs) -> Result<(), CliError> {
    let given = (!args.driver.is_empty()).then_some("--driver").or(of_the_library(args));
    given.map_or(Ok(()), |option| Err(CliError::OptionOfDaemon { option, of: "daemons", help: "--daemon" }))
}

/// What a recording does not say of its daemons, as options.
pub(crate) fn drivers(args: &HuntArgs) -> String {
    let mut text = String::new();
    if let Some(tree) = &args.go_source {
        let _ = write!(text, " --go-source {}", tree.display());
    }
    text.push_str(if args.race { " --race" } else { "" });
    text
}

/// What the processes of the library are told.
pub(crate) fn scripts(args: &HuntArgs) -> Result<Vec<Script>, CliError> {
    let script = |text: &String| text.parse().map_err(|problem| CliError::Daemon { problem });
    args.daemon.iter().map(script).collect()
}

/// Refuses what has no place beside workloads that are drawn.
pub(crate) fn refuse_beside_random(args: &HuntArgs) -> Result<(), CliError> {
    if args.daemon.len() > 1 || !args.commands.is_empty() || !args.start.is_empty() {
        let problem = "`random` draws the calls, the commands and the store to begin with: it stands alone".into();
        return Err(CliError::Daemon { problem });
    }
    Ok(())
}

/// Hunts with calls that are drawn.
pub(crate) fn random(hunt: &Hunt<'_>, store: &Store) -> Result<Ending, CliError> {
    let Hunt { args, harness, output, interrupt, .. } = hunt;
    let options = HuntOptions { simplify: SIMPLIFY, ..hunt.options(store) };
    let (line, mut written) = (Executions::start(), Ok(()));
    let report = search(harness, &options, |executions, shown| {
        line.are(executions);
        // What was found is there, whatever becomes of us.
        if let Some((at, shown)) = shown {
            written = record::write(&record::numbered(&args.record, at + 1), &shown.violation.recording);
        }
        written.is_ok() && !interrupt.has_come()
    });
    drop(line);
    let report = report.map_err(supervised)?;
    written?;
    output.print(&match args.format {
        Format::Table => table(args, store, &report, output),
        Format::Json => json(args, store, &report),
    })?;
    Ok(if report.shown.is_empty() { Ending::Passed } else { Ending::Violated })
}

fn table(args: &HuntArgs, store: &Store, report: &SearchReport, output: &Output) -> String {
    let mut text = String::new();
    for (at, shown) in report.shown.iter().enumerate() {
        let Shown { violation, seed, executions, after, times, repeated } = shown;
        output.wrap(&mut text, "", &format!("✗ {}: {}", violation.wrong.property, violation.wrong.detail));
        let workload = &violation.recording.workload;
        for words in &workload.start {
            output.wrap(&mut text, "  ", &format!("first `{}`", words.join(" ")));
        }
        for participant in 0..workload.participants() {
            output.wrap(&mut text, "  ", &format!("{}: {}", Workload::name(participant), workload.text(participant)));
        }
        for (step, fault) in &violation.recording.faults {
            let (participant, _, what) = &violation.recording.schedule[*step];
            let line = format!("{fault} of {} in place of: {what}", Workload::name(*participant));
            output.wrap(&mut text, "  ", &line);
        }
        let when = format!(
            "seen {times} times; first by seed {seed}, in execution {executions}, after {}",
            units::time(*after)
        );
        output.wrap(&mut text, "  ", &when);
        let again = match repeated {
            0 => "the recording did not show it again: goroutines went otherwise inside their process".to_owned(),
            _ => format!("the recording showed it again {repeated} times of {REPEATS}"),
        };
        output.wrap(&mut text, "  ", &again);
        let _ = writeln!(text, "  again: {}\n", hunt::again(args, &record::numbered(&args.record, at + 1)));
    }
    let (mark, name) = if report.shown.is_empty() { ("·", "sampled") } else { ("✗", "violated") };
    let _ = writeln!(text, "{mark} {name}  random calls of a daemon, a command beside it  ({})", store.name);
    let per_second = report.executions as f64 / report.lasted.as_secs_f64().max(1e-9);
    let mut figures = format!(
        "{} workloads, {} executions, {} steps, {} ({per_second:.0} a second); --seed {}",
        report.workloads,
        report.executions,
        report.steps,
        units::time(report.lasted),
        args.seed()
    );
    if report.cut > 0 {
        let _ = write!(figures, "; {} cut", report.cut);
    }
    output.wrap(&mut text, "  ", &figures);
    for (known, times) in &report.known {
        let _ = writeln!(text, "  known: {known}, in {times} executions");
    }
    text
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    store: &'a str,
    seed: u64,
    verdict: &'static str,
    workloads: u64,
    executions: u64,
    steps: u64,
    cut: u64,
    seconds: f64,
    known: &'a BTreeMap<String, u64>,
    shown: Vec<ShownJson<'a>>,
}

#[derive(Serialize)]
struct ShownJson<'a> {
    property: &'a str,
    detail: &'a str,
    workload: &'a Workload,
    recording: String,
    seed: u64,
    executions: u64,
    seconds: f64,
    times: u64,
    /// How often the recording showed it again, of how many times.
    repeated: [u32; 2],
}

fn json(args: &HuntArgs, store: &Store, report: &SearchReport) -> String {
    let shown = report.shown.iter().enumerate().map(|(at, shown)| ShownJson {
        property: shown.violation.wrong.property,
        detail: &shown.violation.wrong.detail,
        workload: &shown.violation.recording.workload,
        recording: record::numbered(&args.record, at + 1).display().to_string(),
        seed: shown.seed,
        executions: shown.executions,
        seconds: shown.after.as_secs_f64(),
        times: shown.times,
        repeated: [shown.repeated, REPEATS],
    });
    output::pretty_json(&Json {
        version: 1,
        store: &store.name,
        seed: args.seed(),
        verdict: if report.shown.is_empty() { "sampled" } else { "violated" },
        workloads: report.workloads,
        executions: report.executions,
        steps: report.steps,
        cut: report.cut,
        seconds: report.lasted.as_secs_f64(),
        known: &report.known,
        shown: shown.collect(),
    })
}
