//! `hunt --replay`: a recorded execution, again.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lockproof_harness::hunt::execution::Execution;
use lockproof_harness::hunt::recording::Recording;
use lockproof_harness::hunt::workload::Workload;
use lockproof_harness::hunt::{Replayed, replay};
use serde::Serialize;

use crate::args::Format;
use crate::error::CliError;
use crate::hunt::{Ending, Hunt, LIMITS, Store, supervised};
use crate::output;
use crate::progress::Executions;

/// Reads a recording.
pub(crate) fn read(path: &Path) -> Result<Recording, CliError> {
    let refused = |problem: String| CliError::Recording { path: path.display().to_string(), problem };
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    Recording::read(&text).map_err(refused)
}

/// As often as was asked for, or until a signal comes.
pub(crate) fn run(hunt: &Hunt<'_>, store: &Store, recording: &Recording) -> Result<Ending, CliError> {
    let Hunt { args, harness, output, drivers, interrupt, .. } = hunt;
    let line = Executions::start();
    let replayed = replay(harness, &store.programs, drivers, recording, LIMITS, |done| {
        line.are(done as u64);
        done < args.times && !interrupt.has_come()
    });
    drop(line);
    let replayed = replayed.map_err(supervised)?;
    let shown = replayed.found.iter().flatten().filter(|wrong| wrong.property == recording.property).count();
    output.print(&match args.format {
        Format::Table => table(hunt, recording, &replayed, shown),
        Format::Json => json(hunt, store, recording, &replayed, shown),
    })?;
    Ok(if shown > 0 { Ending::Violated } else { Ending::Passed })
}

fn table(hunt: &Hunt<'_>, recording: &Recording, replayed: &Replayed, shown: usize) -> String {
    let found = &replayed.found;
    let mut text = String::new();
    if let Some(last) = &replayed.last {
        text.push_str(&columns(&recording.workload, last));
    }
    let mark = if shown > 0 { "✗" } else { "✓" };
    let detail = found.iter().flatten().next().map_or("nothing is wrong", |wrong| wrong.detail.as_str());
    hunt.output.wrap(&mut text, "", &format!("{mark} {}: {detail}", recording.property));
    let again = match replayed.again {
        0 => String::new(),
        again => format!("; {again} went otherwise inside the daemon, and were run again"),
    };
    let wanted = hunt.args.times;
    let cut = if found.len() < wanted { format!("; interrupted before all {wanted}") } else { String::new() };
    let _ = writeln!(text, "shown {shown} times out of {}{again}{cut}", found.len());
    text
}

/// A column for each participant.
pub(crate) fn columns(workload: &Workload, execution: &Execution) -> String {
    let names: Vec<String> =
        (0..workload.participants()).map(|at| format!("{}: {}", Workload::name(at), workload.text(at))).collect();
    let mut text = format!("{}\n", names.join("    "));
    for (number, step) in execution.steps.iter().enumerate() {
        let indent = "  ".repeat(step.unit.participant * 4);
        let _ = writeln!(
            text,
            "{:>5}  {indent}{}  {}{}",
            number + 1,
            workload.unit(step.unit),
            step.fault.map(|fault| format!("{fault} in place of: ")).unwrap_or_default(),
            step.what
        );
    }
    text
}

#[derive(Serialize)]
struct Json<'a> {
    version: u32,
    store: &'a str,
    /// What was recorded.
    property: &'a str,
    /// How often it was to be run; it was as often as there is something in `found`.
    times: usize,
    shown: usize,
    /// Each time, what was wrong.
    found: Vec<Option<JsonWrong<'a>>>,
    run_again: u32,
    participants: Vec<String>,
    /// How the last one went.
    steps: Vec<JsonStep<'a>>,
}

#[derive(Serialize)]
struct JsonWrong<'a> {
    property: &'a str,
    detail: &'a str,
}

#[derive(Serialize)]
struct JsonStep<'a> {
    participant: usize,
    unit: String,
    what: &'a str,
    fault: Option<String>,
}

fn json(hunt: &Hunt<'_>, store: &Store, recording: &Recording, replayed: &Replayed, shown: usize) -> String {
    let workload = &recording.workload;
    let found = replayed
        .found
        .iter()
        .map(|found| found.as_ref().map(|wrong| JsonWrong { property: wrong.property, detail: &wrong.detail }));
    let steps = replayed.last.iter().flat_map(|last| &last.steps).map(|step| JsonStep {
        participant: step.unit.participant,
        unit: workload.unit(step.unit),
        what: &step.what,
        fault: step.fault.map(|fault| fault.to_string()),
    });
    output::pretty_json(&Json {
        version: 1,
        store: &store.name,
        property: &recording.property,
        times: hunt.args.times,
        shown,
        found: found.collect(),
        run_again: replayed.again,
        participants: (0..workload.participants()).map(|at| workload.text(at)).collect(),
        steps: steps.collect(),
    })
}
