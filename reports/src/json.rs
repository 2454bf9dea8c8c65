//! The verdicts for another program: one JSON document, version 1.
//!
//! Fields may be added within a version; none is taken away or changes its meaning.

use serde::Serialize;

use crate::row::Row;
use crate::summary;

/// The version of the format.
pub const VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    verdicts: Vec<Entry<'a>>,
    summary: Summary,
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
    schedule: Option<&'a str>,
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
pub fn report(rows: &[Row]) -> String {
    let verdicts = rows
        .iter()
        .map(|row| Entry {
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
            schedule: row.schedule.as_deref(),
            detail: &row.detail,
            limit: row.limit(),
            remarks: &row.remarks,
        })
        .collect();
    let summary::Count { as_expected, unexpected } = summary::count(rows);
    let report = Report { version: VERSION, verdicts, summary: Summary { as_expected, unexpected } };
    let mut text = serde_json::to_string_pretty(&report).expect("strings and numbers can be written as JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::samples;

    #[test]
    fn a_report_has_the_fields_that_were_promised() {
        let rows = samples::surprising();
        insta::assert_snapshot!(report(&rows[2..4]), @r#"
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
              "schedule": "lk1:A41-5d0a7f11",
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
              "schedule": null,
              "detail": "",
              "limit": null,
              "remarks": []
            }
          ],
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
        let value: serde_json::Value = serde_json::from_str(&report(&rows)).unwrap();
        assert_eq!(value["version"], 1);
        assert_eq!(value["verdicts"].as_array().unwrap().len(), rows.len());
        assert_eq!(value["verdicts"][0]["scenario"], "a \"quoted\"\n\u{1b} name");
        assert_eq!(value["verdicts"][0]["schedule"], serde_json::Value::Null);
        assert_eq!(value["summary"], serde_json::json!({"as_expected": 16, "unexpected": 2}));
    }
}
