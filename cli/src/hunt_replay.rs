//! `hunt --replay`: a recorded execution, again.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lockproof_harness::Harness;
use lockproof_harness::hunt::execution::Execution;
use lockproof_harness::hunt::recording::Recording;
use lockproof_harness::hunt::workload::Workload;
use lockproof_harness::hunt::{self, Replayed};
use serde::Serialize;

use crate::args::{Format, HuntArgs};
use crate::error::CliError;
use crate::hunt::{LIMITS, Store, supervised};
use crate::hunt_daemon::{self, Drivers};
use crate::output::{self, Output};

/// Returns whether what was recorded is not there any more.
pub(crate) fn run(
    args: &HuntArgs,
    path: &Path,
    harness: &Harness,
    store: &Store,
    output: &Output,
) -> Result<bool, CliError> {
    let refused = |problem: String| CliError::Recording { path: path.display().to_string(), problem };
    let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let recording = Recording::read(&text).map_err(refused)?;
    let drivers = if recording.workload.daemons.is_empty() {
        hunt_daemon::refuse_options(args)?;
        Drivers::default()
    } else {
        Drivers::build(args, &recording.drivers, harness)?
    };
    let replayed = hunt::replay(harness, &store.programs, &drivers.builds, &recording, args.times, LIMITS);
    let replayed = replayed.map_err(supervised)?;
    let shown = replayed.found.iter().flatten().filter(|wrong| wrong.property == recording.property).count();
    output.print(&match args.format {
        Format::Table => table(&recording, &replayed, shown, output),
        Format::Json => json(store, &recording, &replayed, shown),
    })?;
    Ok(shown == 0)
}

fn table(recording: &Recording, replayed: &Replayed, shown: usize, output: &Output) -> String {
    let found = &replayed.found;
    let mut text = String::new();
    if let Some(last) = &replayed.last {
        text.push_str(&columns(&recording.workload, last));
    }
    let mark = if shown > 0 { "✗" } else { "✓" };
    let detail = found.iter().flatten().next().map_or("nothing is wrong", |wrong| wrong.detail.as_str());
    output.wrap(&mut text, "", &format!("{mark} {}: {detail}", recording.property));
    let again = match replayed.again {
        0 => String::new(),
        again => format!("; {again} went otherwise inside the daemon, and were run again"),
    };
    let _ = writeln!(text, "shown {shown} times out of {}{again}", found.len());
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

fn json(store: &Store, recording: &Recording, replayed: &Replayed, shown: usize) -> String {
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
        shown,
        found: found.collect(),
        run_again: replayed.again,
        participants: (0..workload.participants()).map(|at| workload.text(at)).collect(),
        steps: steps.collect(),
    })
}
