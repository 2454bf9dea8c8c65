//! `hunt`: the real store against itself, one interleaving after the other.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockproof_harness::Harness;
use lockproof_harness::HarnessError;
use lockproof_harness::hunt::execution::{Execution, Limits};
use lockproof_harness::hunt::recording::Recording;
use lockproof_harness::hunt::workload::Workload;
use lockproof_harness::hunt::{self, Ended, HuntOptions, HuntReport, Search};
use serde::Serialize;

use crate::args::{Format, HuntArgs, StrategyName};
use crate::beside::installed;
use crate::error::CliError;
use crate::faults;
use crate::output::Output;
use crate::units;

/// Where `scripts/fetch-releases.sh` puts releases.
const RELEASES: &str = "target/releases";

/// What bounds each execution: commands of a store take some hundred steps, and milliseconds.
pub(crate) const LIMITS: Limits = Limits { steps: 20_000, time: Duration::from_secs(60) };

/// After so many executions, the line that says how far it is, is drawn again.
const DRAWN_EVERY: u64 = 16;

pub(crate) fn run(args: &HuntArgs, output: &Output) -> Result<bool, CliError> {
    let harness = Harness::current().map_err(supervised)?;
    let program = store(args.store.as_deref())?;
    if let Some(path) = &args.replay {
        return replay(args, path, &harness, &program, output);
    }
    if args.crash || !args.fail.is_empty() {
        return faults::run(args, &harness, &program, output);
    }
    let words = |commands: &[String]| commands.iter().map(|command| Workload::words(command)).collect();
    let workload = Workload { start: words(&args.start), commands: words(&args.commands) };
    let options = HuntOptions {
        program: program.clone(),
        search: match (args.preemptions_max, args.strategy) {
            (Some(preemptions), _) => Search::Bounded { preemptions },
            (None, StrategyName::Exhaustive) => Search::Exhaustive,
            (None, StrategyName::Pct) => Search::Pct { depth: args.depth },
            (None, StrategyName::Random) => Search::Random,
        },
        seed: args.seed,
        executions: args.executions_max,
        time: args.time_max,
        limits: LIMITS,
    };
    let draws = io::stderr().is_terminal();
    let report = hunt::hunt(&harness, &workload, &options, |executions| {
        if draws && executions % DRAWN_EVERY == 0 {
            let _ = write!(io::stderr(), "\r{executions} executions");
        }
        true
    });
    if draws {
        let _ = write!(io::stderr(), "\r\u{1b}[K");
    }
    let report = report.map_err(supervised)?;
    if let Some(violation) = &report.violation {
        fs::write(&args.record, violation.recording.write())
            .map_err(|source| CliError::Create { path: args.record.display().to_string(), source })?;
    }
    output.print(&match args.format {
        Format::Table => table(args, &program, &report, output),
        Format::Json => json(args, &program, &report),
    })?;
    // A sample that finds nothing is what was asked for; an exhaustive search that was cut is no pass.
    Ok(!matches!(verdict(args, &report).1, "violated" | "cut"))
}

pub(crate) fn supervised(error: HarnessError) -> CliError {
    CliError::Supervise(Box::new(error))
}

/// The program that was named, or the one that is installed.
fn store(named: Option<&str>) -> Result<PathBuf, CliError> {
    let Some(named) = named else { return installed().ok_or(CliError::NoStore) };
    let release = Path::new(RELEASES).join(named).join("containers-storage");
    let found = [PathBuf::from(named), release].into_iter().find(|path| path.is_file());
    let found = found.and_then(|path| path.canonicalize().ok());
    found.ok_or_else(|| CliError::UnknownStore { name: named.into(), place: RELEASES.into() })
}

fn replay(args: &HuntArgs, path: &Path, harness: &Harness, program: &Path, output: &Output) -> Result<bool, CliError> {
    let refused = |problem: String| CliError::Recording { path: path.display().to_string(), problem };
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let recording = Recording::read(&text).map_err(refused)?;
    let replayed = hunt::replay(harness, program, &recording, args.times, LIMITS).map_err(supervised)?;
    let found = &replayed.found;
    let shown = found.iter().flatten().filter(|wrong| wrong.property == recording.property).count();
    let mut text = String::new();
    if let Some(last) = &replayed.last {
        text.push_str(&columns(&recording.workload, last));
    }
    let mark = if shown > 0 { "✗" } else { "✓" };
    let detail = found.iter().flatten().next().map_or("nothing is wrong", |wrong| wrong.detail.as_str());
    output.wrap(&mut text, "", &format!("{mark} {}: {detail}", recording.property));
    let _ = writeln!(text, "shown {shown} times out of {}", found.len());
    output.print(&text)?;
    Ok(shown == 0)
}

/// How the search ended, as a verdict.
fn verdict(args: &HuntArgs, report: &HuntReport) -> (&'static str, &'static str) {
    match report.ended {
        Ended::Violated => ("✗", "violated"),
        Ended::Exhausted if args.preemptions_max.is_some() => ("·", "bounded"),
        Ended::Exhausted => ("✓", "proved"),
        Ended::Executions | Ended::Time if report.progress.is_none() => ("·", "sampled"),
        Ended::Executions | Ended::Time | Ended::Lost => ("·", "cut"),
    }
}

fn table(args: &HuntArgs, program: &Path, report: &HuntReport, output: &Output) -> String {
    let mut text = String::new();
    let commands = args.commands.join(" ‖ ");
    if let Some(violation) = &report.violation {
        text.push_str(&columns(&violation.recording.workload, &violation.execution));
        output.wrap(&mut text, "", &format!("✗ {}: {}", violation.wrong.property, violation.wrong.detail));
        let _ = writeln!(text, "again: {}\n", again(args, &args.record));
    }
    let (mark, name) = verdict(args, report);
    let _ = writeln!(text, "{mark} {name}  {commands}  ({})", program.display());
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
        let _ = write!(figures, "; --seed {}", args.seed);
    }
    if report.cut > 0 {
        let _ = write!(figures, "; {} cut", report.cut);
    }
    let (outcomes, explained) = report.outcomes;
    let _ = write!(figures, "; {outcomes} different outcomes, {explained} of them serial");
    output.wrap(&mut text, "  ", &figures);
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
    let store = args.store.as_ref().map(|store| format!(" --store {store}")).unwrap_or_default();
    format!("lockproof hunt{store} --replay {} --times 20", record.display())
}

/// A column for each participant.
fn columns(workload: &Workload, execution: &Execution) -> String {
    let names: Vec<String> = (workload.commands.iter().enumerate())
        .map(|(at, words)| format!("{}: {}", Workload::name(at), words.join(" ")))
        .collect();
    let mut text = format!("{}\n", names.join("    "));
    for (number, step) in execution.steps.iter().enumerate() {
        let child = if step.unit.process > 0 { format!(" (child {})", step.unit.process) } else { String::new() };
        let indent = "  ".repeat(step.unit.participant * 4);
        let _ = writeln!(
            text,
            "{:>5}  {indent}{}{child}  {}{}",
            number + 1,
            Workload::name(step.unit.participant),
            step.fault.map(|fault| format!("{fault} in place of: ")).unwrap_or_default(),
            step.what
        );
    }
    text
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    store: String,
    commands: &'a [String],
    start: &'a [String],
    verdict: &'static str,
    property: Option<&'a str>,
    detail: Option<&'a str>,
    recording: Option<String>,
    executions: u64,
    steps: u64,
    cut: u64,
    seconds: f64,
    outcomes: usize,
    serial_outcomes: usize,
}

fn json(args: &HuntArgs, program: &Path, report: &HuntReport) -> String {
    let violation = report.violation.as_ref();
    let json = Json {
        version: 1,
        store: program.display().to_string(),
        commands: &args.commands,
        start: &args.start,
        verdict: verdict(args, report).1,
        property: violation.map(|violation| violation.wrong.property),
        detail: violation.map(|violation| violation.wrong.detail.as_str()),
        recording: violation.map(|_| args.record.display().to_string()),
        executions: report.executions,
        steps: report.steps,
        cut: report.cut,
        seconds: report.lasted.as_secs_f64(),
        outcomes: report.outcomes.0,
        serial_outcomes: report.outcomes.1,
    };
    let mut text = serde_json::to_string_pretty(&json).expect("strings and numbers can be written as JSON");
    text.push('\n');
    text
}
