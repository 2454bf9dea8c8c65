//! `check`: every scenario under every protocol, in the model, then what was found on real processes.

use std::fmt::Write as _;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use lockproof_model::machine::Pending;
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::step::ModelError;
use lockproof_model::trace::Trace;
use lockproof_model::verdict::{Extent, Finding, Verdict};
use lockproof_reports::columns::{Detail, columns};
use lockproof_reports::{Row, expect, json, junit, markdown, table};
use lockproof_scenarios::{Scenario, remark};

use crate::args::{CheckArgs, ReportFormat};
use crate::engine::{Limits, groups};
use crate::error::CliError;
use crate::output::Output;
use crate::progress::Progress;
use crate::{real, rerun, select};

/// A scenario under a protocol.
struct Job<'s> {
    scenario: &'s Scenario,
    protocol: Entry,
    properties: Vec<Property>,
}

impl Job<'_> {
    fn name(&self) -> String {
        format!("{} ({})", self.scenario.name, self.protocol.name)
    }

    /// A finding of the explorer, as reports show it.
    fn row(&self, finding: &Finding, extent: &Extent, seconds: f64, collision_max: Option<f64>) -> Row {
        let expected = self.scenario.expected(self.protocol.name, finding.property);
        let mut detail = finding.detail.clone();
        if let Some(bound) = collision_max.filter(|_| finding.verdict == Verdict::Proved) {
            let gap = if detail.is_empty() { "" } else { "; " };
            let _ = write!(detail, "{gap}a state was missed with a probability of at most {bound:.1e}");
        }
        Row {
            scenario: self.scenario.name.clone(),
            protocol: self.protocol.name.to_owned(),
            property: finding.property,
            engine: "explore".into(),
            as_expected: is_as_expected(expected, &finding.verdict),
            expected: expected.map(str::to_owned),
            states: extent.states,
            schedules: extent.executions,
            seconds,
            schedule: finding.trace.as_ref().map(|trace| trace.schedule().to_string()),
            detail,
            remarks: self.scenario.cites.iter().filter(|cite| remark(cite).is_some()).cloned().collect(),
            verdict: finding.verdict.clone(),
        }
    }
}

/// A verdict, and the run that shows it.
struct Checked {
    row: Row,
    trace: Option<Trace>,
    /// What each thread stands before at the end of the trace.
    pending: Vec<Pending>,
    processes: Vec<String>,
    /// At most so probably the search that this is the first verdict of missed a state.
    missed_max: Option<f64>,
}

pub(crate) fn run(args: &CheckArgs, output: &Output) -> Result<bool, CliError> {
    let scenarios = select::scenarios(&args.scenarios)?;
    let jobs: Vec<Job<'_>> = scenarios.iter().flat_map(|scenario| jobs(args, scenario)).collect();
    if jobs.is_empty() {
        return Err(CliError::Nothing { why: why_nothing(args) });
    }
    let checked = work_through(&jobs, args)?;
    let mut text = String::new();
    if args.format == ReportFormat::Table && !args.quiet {
        for checked in &checked {
            trace(&mut text, checked, args, output);
        }
    }
    let missed: Vec<f64> = checked.iter().filter_map(|checked| checked.missed_max).collect();
    let rows: Vec<Row> = checked.into_iter().map(|checked| checked.row).collect();
    text.push_str(&match args.format {
        ReportFormat::Table => table::table(&rows, output.style()),
        ReportFormat::Json => json::report(&rows),
        ReportFormat::Junit => junit::report(&rows),
        ReportFormat::Markdown => markdown::report(&rows),
        ReportFormat::Expect => expect::report(&rows),
    });
    if args.format == ReportFormat::Table && !missed.is_empty() {
        let _ = writeln!(
            text,
            "fingerprints of states: one was missed with a probability of at most {:.1e}; --exact keeps whole states",
            missed.iter().sum::<f64>().min(1.0)
        );
    }
    output.print(&text)?;
    Ok(rows.iter().all(|row| row.as_expected))
}

/// What there is to check of a scenario. A property that its file does not list is checked where both were asked for.
fn jobs<'s>(args: &CheckArgs, scenario: &'s Scenario) -> Vec<Job<'s>> {
    let properties: Vec<Property> = if args.property.is_empty() {
        scenario.properties.clone()
    } else if args.scenarios.is_empty() {
        scenario.properties.iter().copied().filter(|property| args.property.contains(property)).collect()
    } else {
        args.property.clone()
    };
    if properties.is_empty() {
        return Vec::new();
    }
    let entries = select::protocols(&args.protocol, scenario);
    let job = |protocol| Job { scenario, protocol, properties: properties.clone() };
    entries.into_iter().map(job).collect()
}

fn why_nothing(args: &CheckArgs) -> String {
    let names: Vec<&str> = args.property.iter().map(|property| property.name()).collect();
    if names.is_empty() { "no protocol fits".into() } else { format!("no scenario is about {}", names.join(" or ")) }
}

/// The number of a job, and what came of it.
type Done = (usize, Result<Vec<Checked>, CliError>);

/// Does the jobs, several at a time, and returns what they found in their order.
fn work_through(jobs: &[Job<'_>], args: &CheckArgs) -> Result<Vec<Checked>, CliError> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let workers = args.jobs.map_or(cores, usize::from).min(jobs.len());
    let limits = Limits::of(args, workers);
    let progress = Progress::start(jobs.len());
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Done>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { break };
                    let name = job.name();
                    progress.begin(&name);
                    let result = check(job, &limits, args);
                    progress.end(&name);
                    found.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    drop(progress);
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(index, _)| *index);
    let mut all = Vec::new();
    for (_, result) in found {
        all.extend(result?);
    }
    Ok(all)
}

fn check(job: &Job<'_>, limits: &Limits, args: &CheckArgs) -> Result<Vec<Checked>, CliError> {
    let system = job.scenario.system(job.protocol);
    let processes: Vec<String> = system.processes.iter().map(|process| process.name.clone()).collect();
    let failed = |source: ModelError| CliError::Model {
        scenario: job.scenario.name.clone(),
        protocol: job.protocol.name.to_owned(),
        source: Box::new(source),
    };
    let mut checked = Vec::new();
    for properties in groups(&job.properties) {
        let started = Instant::now();
        let report = limits.check(&system, &properties).map_err(failed)?;
        let seconds = started.elapsed().as_secs_f64();
        let mut missed_max = report.collision_max;
        for finding in report.findings {
            let row = job.row(&finding, &report.extent, seconds, report.collision_max);
            let real = if args.no_real { None } else { real::confirm(&system, &finding, &row) };
            let pending = match &finding.trace {
                Some(trace) => rerun::run(&system, &trace.schedule(), &[]).map_err(failed)?.pending,
                None => Vec::new(),
            };
            let missed_max = missed_max.take();
            checked.push(Checked { row, trace: finding.trace, pending, processes: processes.clone(), missed_max });
            checked.extend(real.map(|row| Checked {
                row,
                trace: None,
                pending: Vec::new(),
                processes: Vec::new(),
                missed_max: None,
            }));
        }
    }
    // In the order of the scenario's file.
    let place = |checked: &Checked| job.properties.iter().position(|property| *property == checked.row.property);
    checked.sort_by_key(place);
    Ok(checked)
}

/// Of a protocol of which nothing is expected, a proof is what one hopes for.
fn is_as_expected(expected: Option<&str>, verdict: &Verdict) -> bool {
    expected.unwrap_or(Verdict::Proved.name()) == verdict.name()
}

/// Writes the run that shows a verdict, how to see it again, and whose remark it answers.
fn trace(text: &mut String, checked: &Checked, args: &CheckArgs, output: &Output) {
    let row = &checked.row;
    let Some(trace) = checked.trace.as_ref().filter(|_| real::is_a_showing(row.property, &row.verdict)) else { return };
    let _ = writeln!(text, "{} under {}: {} {}", row.scenario, row.protocol, row.property, row.verdict.name());
    if !row.detail.is_empty() {
        output.wrap(text, "", &row.detail);
    }
    let detail = Detail { verbose: args.verbose, pending: &checked.pending };
    let _ = write!(text, "\n{}\n", columns(trace, &checked.processes, detail, output.style()));
    if let Some(schedule) = &row.schedule {
        let _ = writeln!(text, "  lockproof replay {} -p {} --schedule {schedule}", row.scenario, row.protocol);
    }
    for remark in row.remarks.iter().filter_map(|id| remark(id)) {
        output.wrap(text, "  ", &format!("{} ({}): {}", remark.id, remark.who, remark.said));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_expects_should_be_proved() {
        assert!(is_as_expected(None, &Verdict::Proved));
        assert!(!is_as_expected(None, &Verdict::Violated));
        assert!(is_as_expected(Some("violated"), &Verdict::Violated));
        assert!(!is_as_expected(Some("violated"), &Verdict::Proved));
        assert!(!is_as_expected(Some("proved"), &Verdict::Cut("20 states".into())));
    }
}
