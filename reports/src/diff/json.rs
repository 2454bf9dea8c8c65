//! The diff for another program: one JSON document, version 1. Fields may be added within a version.

use serde::Serialize;

use super::{Diff, Pair};
use crate::row::Row;

/// The version of the format.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    before: &'a str,
    after: &'a str,
    /// Violated before, proved after.
    better: Vec<Turned<'a>>,
    /// Proved before, violated after.
    worse: Vec<Turned<'a>>,
    unchanged: Unchanged<'a>,
    /// Under one of the two, or both, there is no answer.
    open: Vec<Turned<'a>>,
    /// The scenario makes sense for one of the two alone.
    alone: Vec<Alone<'a>>,
    /// How many verdicts are not what the scenarios' files expect.
    unexpected: usize,
}

#[derive(Serialize)]
struct Unchanged<'a> {
    proved: usize,
    violated: usize,
    /// Those that are violated under both.
    still_violated: Vec<Named<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    scenario: &'a str,
    property: &'a str,
}

#[derive(Serialize)]
struct Turned<'a> {
    scenario: &'a str,
    title: &'a str,
    property: &'a str,
    before: Side<'a>,
    after: Side<'a>,
    remarks: Vec<&'a str>,
}

#[derive(Serialize)]
struct Side<'a> {
    verdict: &'a str,
    detail: &'a str,
    limit: Option<&'a str>,
    schedule: Option<&'a str>,
}

#[derive(Serialize)]
struct Alone<'a> {
    scenario: &'a str,
    property: &'a str,
    protocol: &'a str,
    #[serde(flatten)]
    side: Side<'a>,
}

/// The report, indented, with a newline at its end.
///
/// # Panics
/// Never: no diff can be written that is no JSON.
#[must_use]
pub fn report(diff: &Diff) -> String {
    let sorted = diff.sorted();
    let report = Report {
        version: VERSION,
        before: &diff.before,
        after: &diff.after,
        better: Turned::all(diff, &sorted.better),
        worse: Turned::all(diff, &sorted.worse),
        unchanged: Unchanged {
            proved: sorted.proved,
            violated: sorted.violated.len(),
            still_violated: sorted.violated.iter().map(|pair| Named::of(pair.before)).collect(),
        },
        open: Turned::all(diff, &sorted.open),
        alone: sorted.alone.iter().map(|row| Alone::of(row)).collect(),
        unexpected: diff.unexpected().count(),
    };
    let mut text = serde_json::to_string_pretty(&report).expect("strings and numbers can be written as JSON");
    text.push('\n');
    text
}

impl<'a> Named<'a> {
    fn of(row: &'a Row) -> Self {
        Self { scenario: &row.scenario, property: row.property.name() }
    }
}

impl<'a> Turned<'a> {
    fn all(diff: &'a Diff, pairs: &[Pair<'a>]) -> Vec<Self> {
        pairs.iter().map(|pair| Self::of(diff, *pair)).collect()
    }

    fn of(diff: &'a Diff, pair: Pair<'a>) -> Self {
        let about = diff.about(&pair.before.scenario);
        Self {
            scenario: &pair.before.scenario,
            title: about.map_or("", |about| &about.title),
            property: pair.property().name(),
            before: Side::of(pair.before),
            after: Side::of(pair.after),
            remarks: about.into_iter().flat_map(|about| &about.remarks).map(|(id, _)| id.as_str()).collect(),
        }
    }
}

impl<'a> Side<'a> {
    fn of(row: &'a Row) -> Self {
        Self { verdict: row.verdict.name(), detail: &row.detail, limit: row.limit(), schedule: row.schedule.as_deref() }
    }
}

impl<'a> Alone<'a> {
    fn of(row: &'a Row) -> Self {
        Self { scenario: &row.scenario, property: row.property.name(), protocol: &row.protocol, side: Side::of(row) }
    }
}
