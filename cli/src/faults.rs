//! `hunt --crash`, `hunt --fail`: which faults are wanted; and a fault at every event of every command, where no strategy draws
//! them.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use lockproof_harness::Harness;
use lockproof_harness::hunt::fault::Fault;
use lockproof_harness::hunt::faults::{Broken, FaultOptions, FaultReport, faults};
use lockproof_harness::hunt::workload::Workload;
use serde::Serialize;

use crate::args::{Format, HuntArgs, StrategyName};
use crate::error::CliError;
use crate::hunt::{LIMITS, Store, again, supervised, workload};
use crate::interrupt::Interrupt;
use crate::output::{self, Output};
use crate::units;

/// After so many executions, the line that says how far it is, is drawn again.
const DRAWN_EVERY: u64 = 16;

/// What broke in one way: the first event at which it does, where that is recorded, and at how many more it does.
struct Way<'a> {
    first: &'a Broken,
    record: PathBuf,
    more: usize,
}

/// The faults that were asked for on the command line.
pub(crate) fn wanted(args: &HuntArgs) -> Vec<Fault> {
    args.crash.then_some(Fault::Crash).into_iter().chain(args.fail.iter().copied()).collect()
}

/// Whether they come at every event in turn, and not where a strategy draws them.
pub(crate) fn in_turn(args: &HuntArgs, stores: usize) -> Result<bool, CliError> {
    if wanted(args).is_empty() || matches!(args.strategy, Some(StrategyName::Pct | StrategyName::Random)) {
        return Ok(false);
    }
    let refused = [
        ("--strategy exhaustive", args.strategy.is_some()),
        ("--seed", args.seed.is_some()),
        ("--depth", args.depth.is_some()),
        ("--store all", stores > 1),
    ];
    match refused.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(CliError::FaultsInTurn { option }),
        None => Ok(true),
    }
}

/// Returns whether nothing broke and every event had its turn.
pub(crate) fn run(args: &HuntArgs, harness: &Harness, store: &Store, output: &Output) -> Result<bool, CliError> {
    let workload = workload(args);
    let options =
        FaultOptions { programs: store.programs.clone(), faults: wanted(args), time: args.time_max, limits: LIMITS };
    let (draws, interrupt) = (io::stderr().is_terminal(), Interrupt::catch());
    let report = faults(harness, &workload, &options, |executions| {
        if draws && executions % DRAWN_EVERY == 0 {
            let _ = write!(io::stderr(), "\r{executions} executions");
        }
        executions < args.executions_max && !interrupt.has_come()
    });
    if draws {
        let _ = write!(io::stderr(), "\r\u{1b}[K");
    }
    let report = report.map_err(|error| interrupt.or(supervised(error)))?;
    let ways = ways(&report, &args.record);
    for way in &ways {
        fs::write(&way.record, way.first.recording.write())
            .map_err(|source| CliError::Create { path: way.record.display().to_string(), source })?;
    }
    output.print(&match args.format {
        Format::Table => table(args, store, &report, &ways, output),
        Format::Json => json(args, store, &report, &ways),
    })?;
    if report.broken.is_empty() {
        interrupt.obey();
    }
    Ok(verdict(&report).1 == "proved")
}

/// The first is recorded in `record`, the second in `record-2`, and so on.
fn ways<'a>(report: &'a FaultReport, record: &Path) -> Vec<Way<'a>> {
    let mut ways: Vec<Way<'a>> = Vec::new();
    for broken in &report.broken {
        let is_alike = |way: &&mut Way<'_>| {
            let first = way.first;
            (first.participant, first.fault, &first.wrong) == (broken.participant, broken.fault, &broken.wrong)
        };
        if let Some(way) = ways.iter_mut().find(is_alike) {
            way.more += 1;
            continue;
        }
        let number = ways.len() + 1;
        let record = if number == 1 {
            record.to_path_buf()
        } else {
            let stem = record.file_stem().unwrap_or_default().to_string_lossy();
            let end = record.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
            record.with_file_name(format!("{stem}-{number}{end}"))
        };
        ways.push(Way { first: broken, record, more: 0 });
    }
    ways
}

fn verdict(report: &FaultReport) -> (&'static str, &'static str) {
    match report {
        FaultReport { broken, .. } if !broken.is_empty() => ("✗", "violated"),
        FaultReport { complete: false, .. } | FaultReport { cut: (1.., _), .. } => ("·", "cut"),
        _ => ("✓", "proved"),
    }
}

fn table(args: &HuntArgs, store: &Store, report: &FaultReport, ways: &[Way<'_>], output: &Output) -> String {
    let mut text = String::new();
    for way in ways {
        let Broken { participant, event, step, fault, wrong, .. } = way.first;
        let command = &args.commands[*participant];
        let place = if *fault == Fault::Crash { "before" } else { "in place of" };
        let head = format!("✗ {}  {fault} {place} event {} of `{command}`: {step}", wrong.property, event + 1);
        output.wrap(&mut text, "", &head);
        output.wrap(&mut text, "  ", &wrong.detail);
        if way.more > 0 {
            let _ = writeln!(text, "  the same at {} more of its events", way.more);
        }
        let _ = writeln!(text, "  again: {}\n", again(args, &way.record));
    }
    let (mark, name) = verdict(report);
    let faults: Vec<String> = report.tried.keys().map(Fault::to_string).collect();
    let commands = args.commands.join(" ‖ ");
    let _ = writeln!(text, "{mark} {name}  {commands}, {}  ({})", faults.join(", "), store.name);
    let events: Vec<String> = (report.events.iter().enumerate())
        .map(|(at, events)| format!("{events} events of {}", Workload::name(at)))
        .collect();
    let tried: Vec<String> = report.tried.iter().map(|(fault, tried)| format!("{tried} × {fault}")).collect();
    let (outcomes, whole) = report.outcomes;
    let mut figures = format!(
        "{}; {}; {} broke something; {outcomes} different outcomes, {whole} of them as after whole commands; {}",
        events.join(", "),
        tried.join(", "),
        report.broken.len(),
        units::time(report.lasted),
    );
    if let (cut @ 1.., Some(why)) = &report.cut {
        let _ = write!(figures, "; {cut} cut, the first: {why}");
    }
    if !report.complete {
        let _ =
            write!(figures, "; ended before every event had its turn (--time-max, --executions-max, or an interrupt)");
    }
    output.wrap(&mut text, "  ", &figures);
    if args.commands.len() > 1 {
        let reserve = "each command alone up to the event, then the others: not in every interleaving";
        output.wrap(&mut text, "  ", reserve);
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
    events: &'a [usize],
    tried: std::collections::BTreeMap<String, u64>,
    cut: u64,
    complete: bool,
    seconds: f64,
    broken: Vec<JsonBroken<'a>>,
}

#[derive(Serialize)]
struct JsonBroken<'a> {
    participant: usize,
    /// From 1.
    event: usize,
    step: &'a str,
    fault: String,
    property: &'static str,
    detail: &'a str,
    /// At how many more events the same comes of it.
    more: usize,
    recording: String,
}

fn json<'a>(args: &'a HuntArgs, store: &Store, report: &'a FaultReport, ways: &[Way<'a>]) -> String {
    let broken = |way: &Way<'a>| JsonBroken {
        participant: way.first.participant,
        event: way.first.event + 1,
        step: &way.first.step,
        fault: way.first.fault.to_string(),
        property: way.first.wrong.property,
        detail: &way.first.wrong.detail,
        more: way.more,
        recording: way.record.display().to_string(),
    };
    let json = Json {
        version: 1,
        store: store.name.clone(),
        commands: &args.commands,
        start: &args.start,
        verdict: verdict(report).1,
        events: &report.events,
        tried: report.tried.iter().map(|(fault, tried)| (fault.to_string(), *tried)).collect(),
        cut: report.cut.0,
        complete: report.complete,
        seconds: report.lasted.as_secs_f64(),
        broken: ways.iter().map(broken).collect(),
    };
    output::pretty_json(&json)
}
