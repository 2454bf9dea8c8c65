//! `check`: every scenario under every protocol, in the model, then what was found on real processes.

use std::fmt::Write as _;

use lockproof_model::property::Property;
use lockproof_reports::{Refusal, Row, Verdicts, agreement, expect, json, junit, markdown, table};
use lockproof_scenarios::Scenario;

use crate::args::{CheckArgs, ReportFormat};
use crate::error::CliError;
use crate::job::{Job, Outcome};
use crate::output::Output;
use crate::{select, witness, work};

pub(crate) fn run(args: &CheckArgs, output: &Output) -> Result<bool, CliError> {
    let scenarios = select::scenarios(&args.scenarios)?;
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for scenario in &scenarios {
        jobs.extend(jobs_of(args, scenario)?);
    }
    if jobs.is_empty() {
        return Err(CliError::Nothing { why: why_nothing(args) });
    }
    let Outcome { checked, refused } = work::through(&jobs, &args.engines, args.jobs, !args.no_real)?;
    if checked.is_empty() {
        return Err(CliError::Refused { why: why_refused(&refused) });
    }
    let mut text = String::new();
    if args.format == ReportFormat::Table && !args.quiet {
        witness::write(&mut text, &checked, args.verbose, output);
    }
    let missed: Vec<f64> = checked.iter().filter_map(|checked| checked.missed_max).collect();
    let rows: Vec<Row> = checked.into_iter().map(|checked| checked.row).collect();
    let verdicts = Verdicts { rows, refused, options: args.engines.to_repeat() };
    text.push_str(&match args.format {
        ReportFormat::Table => table::table(&verdicts, output.style()),
        ReportFormat::Json => json::report(&verdicts),
        ReportFormat::Junit => junit::report(&verdicts),
        ReportFormat::Markdown => markdown::report(&verdicts),
        ReportFormat::Expect => expect::report(&verdicts.rows),
    });
    if args.format == ReportFormat::Table && !missed.is_empty() {
        let _ = writeln!(
            text,
            "fingerprints of states: one was missed with a probability of at most {:.1e}; --exact keeps whole states",
            missed.iter().sum::<f64>().min(1.0)
        );
    }
    output.print(&text)?;
    let contradicted = agreement::questions(&verdicts).iter().any(agreement::Question::is_contradicted);
    Ok(!contradicted && verdicts.rows.iter().all(|row| row.as_expected))
}

/// What there is to check of a scenario. A property that its file does not list is checked where both were asked for.
fn jobs_of<'s>(args: &CheckArgs, scenario: &'s Scenario) -> Result<Vec<Job<'s>>, CliError> {
    let properties: Vec<Property> = if args.property.is_empty() {
        scenario.properties.clone()
    } else if args.scenarios.is_empty() {
        scenario.properties.iter().copied().filter(|property| args.property.contains(property)).collect()
    } else {
        args.property.clone()
    };
    if properties.is_empty() {
        return Ok(Vec::new());
    }
    let argument = select::argument(scenario)?;
    let entries = select::protocols(&args.protocol, scenario);
    let job = |protocol| Job { scenario, argument: argument.clone(), protocol, properties: properties.clone() };
    Ok(entries.into_iter().map(job).collect())
}

fn why_nothing(args: &CheckArgs) -> String {
    let names: Vec<&str> = args.property.iter().map(|property| property.name()).collect();
    if names.is_empty() { "no protocol fits".into() } else { format!("no scenario is about {}", names.join(" or ")) }
}

/// `loom: more than 4 threads`, each reason once.
fn why_refused(refused: &[Refusal]) -> String {
    let mut reasons: Vec<String> = Vec::new();
    for refusal in refused {
        let reason = format!("{}: {}", refusal.engine, refusal.why);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons.join("; ")
}
