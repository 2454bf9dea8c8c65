//! A campaign as people and programs read it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lockproof_model::mutation::Operator;
use lockproof_model::protocol::Entry;
use lockproof_reports::columns::{Detail, columns};
use lockproof_scenarios::Scenario;
use serde::Serialize;

use super::trial::{Fate, Kill};
use super::{Campaign, Tried};
use crate::args::MutantsArgs;
use crate::error::CliError;
use crate::output::{self, Output};
use crate::rerun;

/// How many mutants came to what.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Count {
    mutants: usize,
    killed: usize,
    equivalent: usize,
    survive: usize,
    cut: usize,
}

fn count<'a>(tried: impl Iterator<Item = &'a Tried>) -> Count {
    let mut count = Count::default();
    for one in tried {
        count.mutants += 1;
        *match (&one.fate, &one.reason) {
            (Fate::Killed(_), _) => &mut count.killed,
            (Fate::Survives, Some(_)) => &mut count.equivalent,
            (Fate::Survives, None) => &mut count.survive,
            (Fate::Cut(_), _) => &mut count.cut,
        } += 1;
    }
    count
}

/// The numbers for each operator, who killed how many, then everything that was not killed.
pub(super) fn table(campaign: &Campaign, output: &Output) -> String {
    let Campaign { protocol, tried, untried, unknown, thorough } = campaign;
    let mut text = String::new();
    let _ = writeln!(text, "operator      mutants  killed  equivalent  survive  cut");
    let mut line = |name: &str, count: Count| {
        let Count { mutants, killed, equivalent, survive, cut } = count;
        let _ = writeln!(text, "{name:<12}  {mutants:>7}  {killed:>6}  {equivalent:>10}  {survive:>7}  {cut:>3}");
    };
    for operator in Operator::ALL {
        let count = count(tried.iter().filter(|one| one.mutation.operator == operator));
        if count.mutants > 0 {
            line(operator.name(), count);
        }
    }
    let total = count(tried.iter());
    line("all", total);
    killers(&mut text, tried);
    reasons(&mut text, tried, output);
    wrong(&mut text, campaign, output);
    let Count { mutants, killed, equivalent, survive, cut } = total;
    let _ = write!(text, "\n{}: {killed} of {mutants} mutants killed, {equivalent} equivalent", protocol.name);
    for (number, what) in
        [(survive, "survive"), (cut, "cut"), (unknown.len(), "listed that there are not"), (*untried, "not tried")]
    {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    text.push('\n');
    if *untried > 0 {
        let _ = writeln!(text, "cut by a signal: of those that were not tried nothing is known");
    }
    if equivalent > 0 && !thorough {
        let few = super::SCENARIOS_OF_EQUIVALENT;
        let sentence = format!("the equivalent were tried on at most {few} scenarios each; --thorough tries all");
        output.wrap(&mut text, "", &sentence);
    }
    text
}

/// What is not as it should be.
fn wrong(text: &mut String, Campaign { protocol, tried, unknown, .. }: &Campaign, output: &Output) {
    let mut listed = tried.iter().filter(|one| !one.is_well()).peekable();
    let is_well = listed.peek().is_none() && unknown.is_empty();
    for one in listed {
        let _ = writeln!(text, "\n!! {}", one.mutation);
        output.wrap(text, "   ", &format!("{}: {}", one.mutation.describe(), what(one)));
    }
    for pattern in unknown {
        let _ = writeln!(text, "\n!! {pattern}");
        output.wrap(text, "   ", "is listed as equivalent, and there is no such mutant that is not listed before");
    }
    if !is_well {
        let _ = writeln!(text, "\nto try one: lockproof mutants -p {} --mutant MUTANT", protocol.name);
    }
}

fn killers(text: &mut String, tried: &[Tried]) {
    let mut killers: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for one in tried {
        if let Fate::Killed(kill) = &one.fate {
            *killers.entry((&kill.scenario, verdict(kill))).or_default() += 1;
        }
    }
    if !killers.is_empty() {
        text.push_str("\nkilled by\n");
    }
    for ((scenario, property), number) in killers {
        let _ = writeln!(text, "{number:>5}  {scenario}, {property}");
    }
}

/// The equivalent ones, those of one reason together.
fn reasons(text: &mut String, tried: &[Tried], output: &Output) {
    let mut reasons: Vec<&str> = Vec::new();
    let survivors = || tried.iter().filter(|one| matches!(one.fate, Fate::Survives));
    for reason in survivors().filter_map(|one| one.reason.as_deref()) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    for reason in reasons {
        text.push('\n');
        output.wrap(text, "", &format!("equivalent: {reason}"));
        for one in survivors().filter(|one| one.reason.as_deref() == Some(reason)) {
            let _ = writeln!(text, "  {}", one.mutation);
        }
    }
}

fn verdict(kill: &Kill) -> &'static str {
    kill.property.map_or("refused", |property| property.name())
}

/// What is told of a mutant as soon as it is known that something is wrong with it.
pub(super) fn remark(one: &Tried) -> String {
    let fate = match &one.fate {
        Fate::Killed(kill) => format!("killed, though listed as equivalent, by {}, {}", kill.scenario, verdict(kill)),
        Fate::Survives => "survives".into(),
        Fate::Cut(limit) => format!("cut: {limit}"),
    };
    format!("{}: {fate}", one.mutation)
}

/// In a sentence, what became of it.
fn what(one: &Tried) -> String {
    match (&one.fate, &one.reason) {
        (Fate::Killed(kill), reason) => {
            let listed = if reason.is_some() { "listed as equivalent, and " } else { "" };
            let detail = if kill.detail.is_empty() { String::new() } else { format!(": {}", kill.detail) };
            format!("{listed}killed by {}, {}{detail}", kill.scenario, verdict(kill))
        }
        (Fate::Survives, None) => "survives: no scenario notices".into(),
        (Fate::Survives, Some(reason)) => format!("equivalent: {reason}"),
        (Fate::Cut(limit), _) => format!("cut, so that nothing is known: {limit}"),
    }
}

/// One mutant, with the run that gives it away.
pub(super) fn one<'a>(
    one: &Tried,
    protocol: Entry,
    mut scenarios: impl Iterator<Item = &'a Scenario>,
    args: &MutantsArgs,
    output: &Output,
) -> Result<String, CliError> {
    let mut text = String::new();
    output.wrap(&mut text, "", &format!("{}: {}", one.mutation.describe(), what(one)));
    if let Fate::Killed(kill) = &one.fate
        && let Some(trace) = &kill.trace
        && let Some(scenario) = scenarios.find(|scenario| scenario.name == kill.scenario)
    {
        let system = scenario.system(one.mutation.clone().of(protocol));
        let processes: Vec<String> = system.processes.iter().map(|process| process.name.clone()).collect();
        let pending = rerun::run(&system, &trace.schedule(), &[]).map_err(|source| {
            let source = Box::new(source);
            CliError::Model { scenario: scenario.name.clone(), protocol: protocol.name.to_owned(), source }
        })?;
        let detail = Detail { verbose: args.verbose, pending: &pending.pending };
        let _ = write!(text, "\n{}", columns(trace, &processes, detail, output.style()));
    }
    let _ = writeln!(text, "\n  lockproof mutants -p {} --mutant {}", protocol.name, one.mutation);
    Ok(text)
}

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    protocol: &'a str,
    /// Whether the equivalent ones were tried on all scenarios.
    thorough: bool,
    mutants: Vec<Row<'a>>,
    /// How many were not tried, because of a signal.
    untried: usize,
    /// Listed as equivalent, and not among the mutants.
    unknown: Vec<String>,
    summary: Count,
}

#[derive(Serialize)]
struct Row<'a> {
    mutant: String,
    operator: &'a str,
    what: String,
    /// `killed`, `survives` or `cut`.
    fate: &'a str,
    as_expected: bool,
    scenario: Option<&'a str>,
    property: Option<&'a str>,
    detail: Option<&'a str>,
    /// Of the mutant under the scenario that killed it.
    schedule: Option<String>,
    equivalent: Option<&'a str>,
}

/// One JSON document, version 1. Fields may be added within a version.
pub(super) fn json(campaign: &Campaign) -> String {
    let rows = campaign.tried.iter().map(|one| {
        let kill = if let Fate::Killed(kill) = &one.fate { Some(kill) } else { None };
        let (fate, limit) = match &one.fate {
            Fate::Killed(_) => ("killed", None),
            Fate::Survives => ("survives", None),
            Fate::Cut(limit) => ("cut", Some(limit.as_str())),
        };
        Row {
            mutant: one.mutation.to_string(),
            operator: one.mutation.operator.name(),
            what: one.mutation.describe(),
            fate,
            as_expected: one.is_well(),
            scenario: kill.map(|kill| kill.scenario.as_str()),
            property: kill.and_then(|kill| kill.property).map(|property| property.name()),
            detail: kill.map(|kill| kill.detail.as_str()).or(limit),
            schedule: kill.and_then(|kill| kill.trace.as_ref()).map(|trace| trace.schedule().to_string()),
            equivalent: one.reason.as_deref(),
        }
    });
    let report = Report {
        version: 1,
        protocol: campaign.protocol.name,
        thorough: campaign.thorough,
        mutants: rows.collect(),
        untried: campaign.untried,
        unknown: campaign.unknown.iter().map(ToString::to_string).collect(),
        summary: count(campaign.tried.iter()),
    };
    output::pretty_json(&report)
}
