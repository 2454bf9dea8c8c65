//! The verdicts for another program: one JSON document, version 1.
//!
//! Fields may be added within a version; none is taken away or changes its meaning.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::agreement::{self, Question};
use crate::row::{Refusal, Row, Verdicts};
use crate::summary;

/// The version of the format.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    verdicts: Vec<Entry<'a>>,
    /// What an engine has no means to judge.
    refused: Vec<Refused<'a>>,
    agreement: Agreement<'a>,
    summary: Summary,
}

#[derive(Serialize)]
struct Refused<'a> {
    scenario: &'a str,
    protocol: &'a str,
    property: &'a str,
    engine: &'a str,
    why: &'a str,
}

#[derive(Serialize)]
struct Agreement<'a> {
    /// The questions to which two engines or more have an answer, `proved` or `violated`.
    compared: usize,
    contradictions: Vec<Contradiction<'a>>,
}

#[derive(Serialize)]
struct Contradiction<'a> {
    scenario: &'a str,
    protocol: &'a str,
    property: &'a str,
    /// The answer of each engine.
    answers: BTreeMap<&'a str, &'a str>,
    /// What asks them again.
    command: String,
}

#[derive(Serialize)]
struct Entry<'a> {
    scenario: &'a str,
    protocol: &'a str,
    property: &'a str,
    engine: &'a str,
    /// `proved`, `violated`, `bounded`, `sampled` or `cut`.
    verdict: &'a str,
    expected: Option<&'a str>,
    as_expected: bool,
    states: u64,
    schedules: u64,
    seconds: f64,
    strategy: Option<&'a str>,
    seed: Option<u64>,
    /// Of a sample: at most so probably a mistake of the depth that was looked for was missed.
    missed_max: Option<f64>,
    schedule: Option<&'a str>,
    /// The schedule in the engine's own writing, of an engine that has one.
    own_schedule: Option<&'a str>,
    /// Of real processes: the engine whose schedule they ran.
    found_by: Option<&'a str>,
    detail: &'a str,
    limit: Option<&'a str>,
    remarks: &'a [String],
}

#[derive(Serialize)]
struct Summary {
    as_expected: usize,
    unexpected: usize,
}

/// The report, indented, with a newline at its end.
///
/// # Panics
/// Never: no row can be written that is no JSON.
#[must_use]
pub fn report(verdicts: &Verdicts) -> String {
    let questions = agreement::questions(verdicts);
    let contradictions = questions.iter().filter(|question| question.is_contradicted());
    let summary::Count { as_expected, unexpected } = summary::count(&verdicts.rows);
    let report = Report {
        version: VERSION,
        verdicts: verdicts.rows.iter().map(Entry::of).collect(),
        refused: verdicts.refused.iter().map(Refused::of).collect(),
        agreement: Agreement {
            compared: questions.iter().filter(|question| question.is_compared()).count(),
            contradictions: contradictions.map(|question| Contradiction::of(question, &verdicts.options)).collect(),
        },
        summary: Summary { as_expected, unexpected },
    };
    let mut text = serde_json::to_string_pretty(&report).expect("strings and numbers can be written as JSON");
    text.push('\n');
    text
}

impl<'a> Entry<'a> {
    fn of(row: &'a Row) -> Self {
        Self {
            scenario: &row.scenario,
            protocol: &row.protocol,
            property: row.property.name(),
            engine: &row.engine,
            verdict: row.verdict.name(),
            expected: row.expected.as_deref(),
            as_expected: row.as_expected,
            states: row.states,
            schedules: row.schedules,
            seconds: row.seconds,
            strategy: row.strategy.as_deref(),
            seed: row.seed,
            missed_max: row.missed_max,
            schedule: row.schedule.as_deref(),
            own_schedule: row.own_schedule.as_deref(),
            found_by: row.found_by.as_deref(),
            detail: &row.detail,
            limit: row.limit(),
            remarks: &row.remarks,
        }
    }
}

impl<'a> Refused<'a> {
    fn of(refusal: &'a Refusal) -> Self {
        Self {
            scenario: &refusal.scenario,
            protocol: &refusal.protocol,
            property: refusal.property.name(),
            engine: &refusal.engine,
            why: &refusal.why,
        }
    }
}

impl<'a> Contradiction<'a> {
    fn of(question: &Question<'a>, options: &str) -> Self {
        Self {
            scenario: question.scenario,
            protocol: question.protocol,
            property: question.property.name(),
            answers: question.answers().map(|row| (row.engine.as_str(), row.verdict.name())).collect(),
            command: question.command(options),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn of(rows: &[Row]) -> Verdicts {
        Verdicts { rows: rows.to_vec(), ..Verdicts::default() }
    }

    #[test]
    fn a_report_has_the_fields_that_were_promised() {
        let rows = samples::surprising();
        insta::assert_snapshot!(report(&of(&rows[2..4])), @r#"
        {
          "version": 1,
          "verdicts": [
            {
              "scenario": "stale-ro-cache-after-rw-write",
              "protocol": "one_way_upgrade",
              "property": "fresh",
              "engine": "explore",
              "verdict": "violated",
              "expected": "proved",
              "as_expected": false,
              "states": 1234,
              "schedules": 0,
              "seconds": 0.125,
              "strategy": null,
              "seed": null,
              "missed_max": null,
              "schedule": "lk1:A41-5d0a7f11",
              "own_schedule": null,
              "found_by": null,
              "detail": "names returned [] and the document held [base, foo] all the while",
              "limit": null,
              "remarks": [
                "D8",
                "D14"
              ]
            },
            {
              "scenario": "stale-ro-cache-after-rw-write",
              "protocol": "per_layer_locks",
              "property": "fresh",
              "engine": "explore",
              "verdict": "proved",
              "expected": "proved",
              "as_expected": true,
              "states": 1234,
              "schedules": 0,
              "seconds": 0.125,
              "strategy": null,
              "seed": null,
              "missed_max": null,
              "schedule": null,
              "own_schedule": null,
              "found_by": null,
              "detail": "",
              "limit": null,
              "remarks": []
            }
          ],
          "refused": [],
          "agreement": {
            "compared": 0,
            "contradictions": []
          },
          "summary": {
            "as_expected": 1,
            "unexpected": 1
          }
        }
        "#);
    }

    #[test]
    fn it_can_be_read_back() {
        let mut rows = samples::surprising();
        rows[0].scenario = "a \"quoted\"\n\u{1b} name".into();
        rows[0].seconds = f64::NAN;
        let value: serde_json::Value = serde_json::from_str(&report(&of(&rows))).unwrap();
        assert_eq!(value["version"], 1);
        assert_eq!(value["verdicts"].as_array().unwrap().len(), rows.len());
        assert_eq!(value["verdicts"][0]["scenario"], "a \"quoted\"\n\u{1b} name");
        assert_eq!(value["verdicts"][0]["schedule"], serde_json::Value::Null);
        assert_eq!(value["summary"], serde_json::json!({"as_expected": 16, "unexpected": 2}));
    }

    #[test]
    fn who_contradicts_whom_and_who_refuses_is_said() {
        let mut verdicts = samples::by_three_engines();
        verdicts.options = "--seed 7".into();
        let value: serde_json::Value = serde_json::from_str(&report(&verdicts)).unwrap();
        assert_eq!(value["agreement"]["compared"], 3);
        insta::assert_snapshot!(serde_json::to_string_pretty(&value["agreement"]["contradictions"]).unwrap(), @r#"
        [
          {
            "answers": {
              "explore": "proved",
              "loom": "violated"
            },
            "command": "lockproof check stale-ro-cache-after-rw-write -p v1_24 --property exclusive --engine explore,loom --seed 7",
            "property": "exclusive",
            "protocol": "v1_24",
            "scenario": "stale-ro-cache-after-rw-write"
          }
        ]
        "#);
        let refused = value["refused"].as_array().unwrap();
        assert_eq!((refused.len(), &refused[0]["engine"]), (6, &"loom".into()));
        let by_shuttle =
            |verdict: &&serde_json::Value| verdict["engine"] == "shuttle" && verdict["verdict"] == "violated";
        let found = value["verdicts"].as_array().unwrap().iter().find(by_shuttle).unwrap();
        assert_eq!((&found["strategy"], &found["seed"]), (&"pct, depth 3".into(), &1.into()));
        assert_eq!(found["own_schedule"], "910108e9ba");
    }
}
