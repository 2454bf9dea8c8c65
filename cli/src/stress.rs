//! `stress`: the processes of a scenario, running freely.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use lockproof_harness::Harness;
use lockproof_harness::stress::{ProcessReport, StressOptions, StressReport, WaitReport};
use lockproof_model::op::{Mode, Path};
use lockproof_model::system::Repeat;
use serde::Serialize;

use crate::args::{Format, StressArgs};
use crate::beside;
use crate::error::CliError;
use crate::output::{self, Output};
use crate::select;
use crate::units::time;

/// Whether nobody panicked. That somebody waits, or a call fails, is what one wants to see.
pub(crate) fn run(args: &StressArgs, output: &Output) -> Result<bool, CliError> {
    let (Some(scenario), Some(protocol)) = (&args.scenario, &args.protocol) else { return beside::run(args, output) };
    let scenario = select::scenario(scenario)?;
    let mut system = scenario.system(select::protocol(protocol)?);
    if args.again {
        system.processes.iter_mut().for_each(|process| process.runs = Repeat::Forever);
    }
    let harness = Harness::current().map_err(|error| CliError::Real(Box::new(error)))?;
    let report = harness
        .stress(&system, &StressOptions::lasting(args.duration))
        .map_err(|error| CliError::Real(Box::new(error)))?;
    output.print(&match args.format {
        Format::Table => table(&report, &scenario.name, protocol),
        Format::Json => json(&report, &scenario.name, protocol),
    })?;
    Ok(report.processes.iter().all(|process| process.panics.is_empty()))
}

fn table(report: &StressReport, scenario: &str, protocol: &str) -> String {
    let mut text = format!("{scenario} under {protocol} ran freely for {}\n", time(report.lasted));
    let waits = || report.processes.iter().flat_map(|process| &process.waits);
    let files: BTreeSet<&Path> = waits().map(|wait| &wait.file).collect();
    let lock = |file: &Path, mode: Mode| {
        let is_alone = files.iter().filter(|other| other.file_name() == file.file_name()).count() <= 1;
        let letter = if mode == Mode::Shared { "R" } else { "W" };
        format!("{letter}({})", if is_alone { file.file_name() } else { file.0.as_str() })
    };
    let width = waits().map(|wait| lock(&wait.file, wait.mode).len()).max().unwrap_or(0);
    for process in &report.processes {
        let s = |number: u64| if number == 1 { "" } else { "s" };
        let (calls, runs) = (process.calls, process.runs);
        let rate = process.calls_per_second;
        let _ = writeln!(
            text,
            "\n{}: {calls} call{}, {rate:.0} a second, in {runs} run{}",
            process.name,
            s(calls),
            s(runs)
        );
        for (failure, times) in &process.failures {
            let _ = writeln!(text, "  failed {times}×: {failure}");
        }
        for panic in &process.panics {
            let _ = writeln!(text, "  panic: {panic}");
        }
        if !process.waits.is_empty() {
            let _ = writeln!(
                text,
                "  {:<width$} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8}",
                "lock", "grants", "p50", "p99", "max", "overtaken", "in all"
            );
        }
        for wait in &process.waits {
            let _ = writeln!(
                text,
                "  {:<width$} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8}",
                lock(&wait.file, wait.mode),
                wait.grants(),
                time(wait.wait_at(0.5)),
                time(wait.wait_at(0.99)),
                time(wait.wait_max()),
                wait.overtakes.max(),
                wait.passed()
            );
            if wait.deadlocks > 0 {
                let _ = writeln!(text, "  {:<width$} refused {} times with EDEADLK", "", wait.deadlocks);
            }
        }
        for waiting in &process.still_waiting {
            let _ = writeln!(
                text,
                "  still waits for {} after {}, passed by {} others",
                lock(&waiting.file, waiting.mode),
                time(Duration::from_nanos(waiting.wait_ns)),
                waiting.overtakes
            );
        }
    }
    text.push_str("\nwaits from request to grant; overtaken: grants to others in one wait, and in all\n");
    text
}

#[derive(Serialize)]
struct Measured<'a> {
    version: u32,
    scenario: &'a str,
    protocol: &'a str,
    seconds: f64,
    processes: Vec<MeasuredProcess<'a>>,
}

#[derive(Serialize)]
struct MeasuredProcess<'a> {
    name: &'a str,
    runs: u64,
    calls: u64,
    calls_per_second: f64,
    failures: &'a std::collections::BTreeMap<String, u64>,
    panics: &'a [String],
    waits: Vec<MeasuredWait<'a>>,
    still_waiting: Vec<Waiting<'a>>,
}

#[derive(Serialize)]
struct MeasuredWait<'a> {
    file: &'a str,
    mode: Mode,
    grants: u64,
    wait_p50_ns: u64,
    wait_p99_ns: u64,
    wait_max_ns: u64,
    overtakes_p50: u64,
    overtakes_max: u64,
    overtakes_all: u64,
    edeadlk: u64,
}

#[derive(Serialize)]
struct Waiting<'a> {
    file: &'a str,
    mode: Mode,
    wait_ns: u64,
    overtakes: u64,
}

fn json(report: &StressReport, scenario: &str, protocol: &str) -> String {
    let processes = report.processes.iter().map(MeasuredProcess::of).collect();
    let seconds = report.lasted.as_secs_f64();
    let measured = Measured { version: 1, scenario, protocol, seconds, processes };
    output::pretty_json(&measured)
}

impl<'a> MeasuredProcess<'a> {
    fn of(process: &'a ProcessReport) -> Self {
        let ProcessReport { name, runs, calls, calls_per_second, failures, panics, waits, still_waiting, .. } = process;
        let still_waiting = still_waiting.iter().map(|waiting| Waiting {
            file: &waiting.file.0,
            mode: waiting.mode,
            wait_ns: waiting.wait_ns,
            overtakes: waiting.overtakes,
        });
        Self {
            name,
            runs: *runs,
            calls: *calls,
            calls_per_second: *calls_per_second,
            failures,
            panics,
            waits: waits.iter().map(MeasuredWait::of).collect(),
            still_waiting: still_waiting.collect(),
        }
    }
}

impl<'a> MeasuredWait<'a> {
    fn of(wait: &'a WaitReport) -> Self {
        Self {
            file: &wait.file.0,
            mode: wait.mode,
            grants: wait.grants(),
            wait_p50_ns: wait.wait_ns.value_at_quantile(0.5),
            wait_p99_ns: wait.wait_ns.value_at_quantile(0.99),
            wait_max_ns: wait.wait_ns.max(),
            overtakes_p50: wait.overtakes.value_at_quantile(0.5),
            overtakes_max: wait.overtakes.max(),
            overtakes_all: wait.passed(),
            edeadlk: wait.deadlocks,
        }
    }
}
