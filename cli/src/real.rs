//! Real processes, as the command line asks for them.

use std::fmt::Write as _;
use std::time::Instant;

use lockproof_harness::Harness;
use lockproof_harness::replay::{CallMade, ReplayOptions, ReplayReport};
use lockproof_model::property::Property;
use lockproof_model::system::System;
use lockproof_model::value::Value;
use lockproof_model::verdict::{Finding, Verdict};
use lockproof_reports::Row;
use lockproof_reports::row::PROCESSES;

use crate::error::CliError;
use crate::output::Output;
use crate::units;

/// Runs what was found on real processes, and says whether they show the same. `None` where there is nothing to show.
/// `model` is the model's verdict.
pub(crate) fn confirm(system: &System, finding: &Finding, model: &Row) -> Option<Row> {
    if finding.property == Property::Ordered {
        // Two orders are taken in two runs; one schedule shows one of them, and nothing wrong with it.
        return None;
    }
    let trace = finding.trace.as_ref().filter(|_| finding.verdict.is_shown_by_a_run(finding.property))?;
    let started = Instant::now();
    let replayed = Harness::current()
        .and_then(|harness| harness.replay(system, &trace.schedule(), &ReplayOptions::default()))
        .map(|report| report.shows(finding.property));
    let (verdict, detail) = match replayed {
        Ok(shown) if shown.is_seen() => (finding.verdict.clone(), shown.text().to_owned()),
        Ok(shown) => (Verdict::Sampled("1 schedule".into()), format!("not seen: {}", shown.text())),
        // The other verdicts are worth having all the same.
        Err(error) => (Verdict::Cut("the processes did not come to the end".into()), error.to_string()),
    };
    Some(again(PROCESSES, finding, model, verdict, detail, started.elapsed().as_secs_f64()))
}

/// The row of what was done again, by `engine`.
pub(crate) fn again(
    engine: &str,
    finding: &Finding,
    model: &Row,
    verdict: Verdict,
    detail: String,
    seconds: f64,
) -> Row {
    Row {
        engine: engine.into(),
        found_by: Some(model.engine.clone()),
        expected: Some(finding.verdict.name().to_owned()),
        as_expected: verdict == finding.verdict,
        verdict,
        states: 0,
        schedules: 1,
        strategy: None,
        seed: None,
        missed_max: None,
        own_schedule: None,
        seconds,
        detail,
        ..model.clone()
    }
}

/// Replays a schedule on real processes.
pub(crate) fn replay(
    system: &System,
    schedule: &lockproof_model::schedule::Schedule,
    rounds: u32,
) -> Result<ReplayReport, CliError> {
    let options = ReplayOptions { rounds, ..ReplayOptions::default() };
    let harness = Harness::current().map_err(|error| CliError::Real(Box::new(error)))?;
    harness.replay(system, schedule, &options).map_err(|error| CliError::Real(Box::new(error)))
}

/// What real processes did with a schedule, for people: where they parted from the model, what each call returned,
/// what shows of each of these properties, what the kernel says of those who wait.
pub(crate) fn describe(report: &ReplayReport, system: &System, properties: &[Property], output: &Output) -> String {
    let name = |process: u8| system.processes.get(usize::from(process)).map_or("?", |process| process.name.as_str());
    let mut text = format!("By real processes: {} steps", report.steps.len());
    match &report.parted {
        None => text.push_str(", each as in the model\n"),
        Some(parted) => {
            let _ = writeln!(text, "; model and reality part at step {}, in the {}:", parted.number, parted.what);
            let _ = writeln!(text, "  the model: {}\n  reality:   {}", parted.model, parted.real);
        }
    }
    for (line, times) in in_a_row(report.calls.iter().map(|made| call_made(system, made))) {
        let times = if times > 1 { format!(", {times} times in a row") } else { String::new() };
        output.wrap(&mut text, "  ", &format!("{line}{times}"));
    }
    for property in properties {
        let shown = report.shows(*property);
        let (mark, not) = if shown.is_seen() == (*property == Property::ParallelReads) {
            ("✓", if shown.is_seen() { "" } else { "no violation: " })
        } else {
            ("✗", "")
        };
        output.wrap(&mut text, "", &format!("{mark} {property}: {not}{}", shown.text()));
    }
    if let Some(kernel) = &report.kernel {
        let _ = writeln!(
            text,
            "Those who wait really waited, for {}. The kernel's own account:",
            units::time(kernel.waited)
        );
        for lock in &kernel.lines {
            let _ = writeln!(text, "  {}", lock.line);
        }
        for (process, pid, request) in &kernel.requests {
            let end = if request.granted { "granted" } else { "not granted" };
            let refused = match request.deadlocks {
                0 => String::new(),
                1 => "; answered EDEADLK once".to_owned(),
                times => format!("; answered EDEADLK {times} times"),
            };
            let _ = writeln!(text, "  {} (pid {pid}) asked for {}: {end}{refused}", name(*process), request.file);
        }
    }
    text
}

/// A call of a real process, and what it returned.
pub(crate) fn call_made(system: &System, made: &CallMade) -> String {
    let returned = match &made.ended {
        Some((_, Ok(Value::Nil))) => "returned".to_owned(),
        Some((_, Ok(value))) => format!("returned {}", lockproof_model::monitor::show(value)),
        Some((_, Err(fail))) => format!("failed: {fail}"),
        None => "did not return".into(),
    };
    let name = system.processes.get(usize::from(made.process)).map_or("?", |process| process.name.as_str());
    format!("{name} (pid {}): `{}` {returned}", made.pid, made.call)
}

/// Lines, each with how often it comes in a row.
fn in_a_row(lines: impl Iterator<Item = String>) -> Vec<(String, usize)> {
    let mut counted: Vec<(String, usize)> = Vec::new();
    for line in lines {
        match counted.last_mut().filter(|(last, _)| *last == line) {
            Some((_, times)) => *times += 1,
            None => counted.push((line, 1)),
        }
    }
    counted
}
