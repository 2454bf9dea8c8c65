//! `hunt --crash`, `hunt --fail`: which faults are wanted; and a fault at every event of every command, where no strategy draws
//! them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lockproof_harness::hunt::fault::Fault;
use lockproof_harness::hunt::faults::{Broken, FaultOptions, FaultReport, faults};
use lockproof_harness::hunt::workload::Workload;
use serde::Serialize;

use crate::args::{Format, HuntArgs, StrategyName};
use crate::error::CliError;
use crate::hunt::{Ending, Hunt, LIMITS, Store, again, supervised};
use crate::output::{self, Output};
use crate::progress::Executions;
use crate::record;
use crate::units;

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
pub(crate) fn in_turn(args: &HuntArgs) -> Result<bool, CliError> {
    if wanted(args).is_empty() || matches!(args.strategy, Some(StrategyName::Pct | StrategyName::Random)) {
        return Ok(false);
    }
    let refused = [
        ("--strategy exhaustive", args.strategy.is_some()),
        ("--seed", args.seed.is_some()),
        ("--depth", args.depth.is_some()),
    ];
    match refused.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(CliError::FaultsInTurn { option }),
        None => Ok(true),
    }
}

/// Every event of every command has its turn.
pub(crate) fn run(hunt: &Hunt<'_>, store: &Store) -> Result<Ending, CliError> {
    let Hunt { args, harness, output, workload, interrupt, .. } = hunt;
    let options =
        FaultOptions { programs: store.programs.clone(), faults: wanted(args), time: args.time_max, limits: LIMITS };
    let line = Executions::start();
    let report = faults(harness, workload, &options, |executions| {
        line.are(executions);
        executions < args.executions_max && !interrupt.has_come()
    });
    drop(line);
    let report = report.map_err(supervised)?;
    let ways = ways(&report, &args.record);
    for way in &ways {
        record::write(&way.record, &way.first.recording)?;
    }
    output.print(&match args.format {
        Format::Table => table(args, store, &report, &ways, output),
        Format::Json => json(args, store, &report, &ways),
    })?;
    Ok(Ending::of(verdict(&report).1))
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
        let record = record::numbered(record, ways.len() + 1);
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
