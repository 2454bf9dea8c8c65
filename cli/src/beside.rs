//! `stress --daemon`: the real library as a daemon, real commands beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use lockproof_harness::Harness;
use lockproof_harness::beside::{BesideOptions, BesideReport, CallReport};
use lockproof_harness::guardian::RunDirectory;
use lockproof_harness::library::{Source, build};
use serde::Serialize;

use crate::args::{Format, StressArgs};
use crate::error::CliError;
use crate::output::{self, Output};
use crate::units::time;

/// How long a call may take before it counts as stuck.
const LIMIT: Duration = Duration::from_secs(60);
/// How many goroutines a daemon has, and how many commands run beside it, if only the other is said.
const GOROUTINES: u32 = 8;
const LANES: u32 = 2;
/// How much of what the daemon says is shown, in lines.
const SAID_LINES_MAX: usize = 40;

/// Whether nothing was lost, wrong or stuck. That somebody waits, or a call fails, is what one wants to see.
pub(crate) fn run(args: &StressArgs, output: &Output) -> Result<bool, CliError> {
    let real = |error| CliError::Real(Box::new(error));
    let harness = Harness::current().map_err(real)?;
    let command = match &args.store {
        Some(path) => path.clone(),
        None => installed().ok_or(CliError::NoStore)?,
    };
    let source = args.go_source.clone().map_or(Source::Installed, Source::Tree);
    let directory = RunDirectory::new(&harness).map_err(real)?;
    let driver = build(&source, args.race, directory.path()).map_err(|error| CliError::Driver(Box::new(error)))?;
    let options = BesideOptions {
        duration: args.duration,
        limit: LIMIT,
        seed: args.seed,
        driver,
        command,
        goroutines: args.daemon.unwrap_or(GOROUTINES),
        lanes: args.commands.unwrap_or(LANES),
    };
    let report = harness.beside(&options).map_err(real)?;
    output.print(&match args.format {
        Format::Table => table(&report, &options),
        Format::Json => json(&report, &options),
    })?;
    Ok(report.wrong.is_empty() && report.stuck.is_empty() && report.daemon_said.is_empty())
}

/// The program on the `PATH`.
pub(crate) fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("containers-storage")).find(|file| file.is_file())
}

fn wait(call: &CallReport, share: f64) -> Duration {
    Duration::from_nanos(call.took_ns.value_at_quantile(share))
}

fn table(report: &BesideReport, options: &BesideOptions) -> String {
    let BesideOptions { goroutines, lanes, seed, .. } = options;
    let mut text = format!(
        "a daemon with {goroutines} goroutines, {lanes} commands at a time, ran freely for {} (--seed {seed})\n",
        time(report.lasted)
    );
    let mut last = "";
    for ((party, call), measured) in &report.calls {
        if party != last {
            let of_party = report.calls.iter().filter(|((other, _), _)| other == party);
            let calls: u64 = of_party.map(|(_, measured)| measured.took_ns.len()).sum();
            #[allow(clippy::cast_precision_loss, reason = "a rate, for people")]
            let rate = calls as f64 / report.lasted.as_secs_f64().max(1e-9);
            let _ = writeln!(text, "\n{party}s: {calls} calls, {rate:.0} a second");
            let _ = writeln!(
                text,
                "  {:<12} {:>8} {:>8} {:>8} {:>8} {:>9} {:>7}",
                "call", "returned", "p50", "p99", "max", "overtaken", "failed"
            );
            last = party;
        }
        let _ = writeln!(
            text,
            "  {call:<12} {:>8} {:>8} {:>8} {:>8} {:>9} {:>7}",
            measured.took_ns.len(),
            time(wait(measured, 0.5)),
            time(wait(measured, 0.99)),
            time(wait(measured, 1.0)),
            measured.overtaken.max(),
            measured.failures.values().sum::<u64>()
        );
        for (failure, times) in &measured.failures {
            let _ = writeln!(text, "    {times}×: {failure}");
        }
    }
    let _ = writeln!(text, "\nfrom call to return; overtaken: calls that began later and returned earlier, at most");
    let _ = writeln!(text, "{} layers were acknowledged, and {}", report.kept, verdict(report));
    for wrong in report.wrong.iter().chain(&report.stuck) {
        let _ = writeln!(text, "  !! {wrong}");
    }
    if !report.picture.is_empty() {
        let _ = writeln!(text, "when a call had taken long:");
        for line in &report.picture {
            let _ = writeln!(text, "  {line}");
        }
    }
    if !report.daemon_said.is_empty() {
        let _ = writeln!(text, "the daemon said:");
        for line in report.daemon_said.lines().take(SAID_LINES_MAX) {
            let _ = writeln!(text, "  {line}");
        }
        let left = report.daemon_said.lines().count().saturating_sub(SAID_LINES_MAX);
        if left > 0 {
            let _ = writeln!(text, "  … and {left} lines more; --format json has them all");
        }
    }
    text
}

fn verdict(report: &BesideReport) -> String {
    if !report.stuck.is_empty() {
        return "somebody is stuck:".into();
    }
    match report.wrong.len() {
        0 => "all are there; no answer was wrong".into(),
        1 => "one thing is wrong:".into(),
        many => format!("{many} things are wrong:"),
    }
}

#[derive(Serialize)]
struct Measured<'a> {
    version: u32,
    goroutines: u32,
    commands: u32,
    seed: u64,
    seconds: f64,
    kept: u64,
    wrong: &'a [String],
    stuck: &'a [String],
    picture: &'a [String],
    daemon_said: &'a str,
    calls: Vec<MeasuredCall<'a>>,
}

#[derive(Serialize)]
struct MeasuredCall<'a> {
    party: &'a str,
    call: &'a str,
    returned: u64,
    took_p50_ns: u64,
    took_p99_ns: u64,
    took_max_ns: u64,
    overtaken_max: u64,
    failures: &'a BTreeMap<String, u64>,
}

fn json(report: &BesideReport, options: &BesideOptions) -> String {
    let calls = report.calls.iter().map(|((party, call), measured)| MeasuredCall {
        party,
        call,
        returned: measured.took_ns.len(),
        took_p50_ns: measured.took_ns.value_at_quantile(0.5),
        took_p99_ns: measured.took_ns.value_at_quantile(0.99),
        took_max_ns: measured.took_ns.max(),
        overtaken_max: measured.overtaken.max(),
        failures: &measured.failures,
    });
    let measured = Measured {
        version: 1,
        goroutines: options.goroutines,
        commands: options.lanes,
        seed: options.seed,
        seconds: report.lasted.as_secs_f64(),
        kept: report.kept,
        wrong: &report.wrong,
        stuck: &report.stuck,
        picture: &report.picture,
        daemon_said: &report.daemon_said,
        calls: calls.collect(),
    };
    output::pretty_json(&measured)
}
