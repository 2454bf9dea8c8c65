//! The verdicts as JUnit XML, for a build server: a test suite for each scenario, a test case for each verdict, a failure
//! where a verdict is not as expected.

use std::fmt::Write as _;

use crate::row::{self, Row};
use crate::summary;

/// The document.
#[must_use]
pub fn report(rows: &[Row]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"lockproof\" {}>", totals(rows));
    for scenario in row::distinct(rows, |row| &row.scenario) {
        let cases: Vec<Row> = rows.iter().filter(|row| row.scenario == scenario).cloned().collect();
        let _ = writeln!(out, "  <testsuite name=\"{}\" {}>", escape(scenario), totals(&cases));
        for case in &cases {
            write_case(&mut out, case);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn totals(rows: &[Row]) -> String {
    let seconds: f64 = rows.iter().map(|row| row.seconds).sum();
    let failures = summary::count(rows).unexpected;
    format!("tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\" time=\"{seconds:.3}\"", rows.len())
}

fn write_case(out: &mut String, row: &Row) {
    let _ = writeln!(
        out,
        "    <testcase classname=\"{}\" name=\"{} ({})\" time=\"{:.3}\">",
        escape(&format!("{}.{}", row.scenario, row.protocol)),
        row.property,
        escape(&row.engine),
        row.seconds
    );
    if !row.as_expected {
        let message = escape(&row.surprise());
        let _ = writeln!(
            out,
            "      <failure type=\"{}\" message=\"{message}\">{}</failure>",
            row.verdict.name(),
            escape(&row.reason())
        );
    }
    let mut facts = vec![format!("verdict: {}", row.verdict.name())];
    facts.extend(row.limit().map(|limit| format!("limit: {limit}")));
    facts.extend((!row.detail.is_empty()).then(|| format!("found: {}", row.detail)));
    facts.extend((row.states > 0).then(|| format!("states: {}", row.states)));
    facts.extend((row.schedules > 0).then(|| format!("schedules: {}", row.schedules)));
    facts.extend((!row.remarks.is_empty()).then(|| format!("answers: {}", row.remarks.join(", "))));
    facts.extend(row.schedule.as_ref().map(|schedule| format!("schedule: {schedule}")));
    let facts: Vec<String> = facts.iter().map(|fact| escape(fact)).collect();
    let _ = writeln!(out, "      <system-out>{}</system-out>\n    </testcase>", facts.join("\n"));
}

/// `text` as XML 1.0 may hold it, in an attribute too; a character that XML cannot hold becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\r' | '\t' => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::samples;

    #[test]
    fn a_case_for_each_verdict() {
        let rows = samples::surprising();
        insta::assert_snapshot!(report(&rows[1..3]), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="lockproof" tests="2" failures="1" errors="0" skipped="0" time="0.250">
          <testsuite name="stale-ro-cache-after-rw-write" tests="2" failures="1" errors="0" skipped="0" time="0.250">
            <testcase classname="stale-ro-cache-after-rw-write.pr_473" name="fresh (explore)" time="0.125">
              <system-out>verdict: violated
        states: 1234
        schedule: lk1:A2.B.Ab.A_1.kB~B3-d30dbf84</system-out>
            </testcase>
            <testcase classname="stale-ro-cache-after-rw-write.one_way_upgrade" name="fresh (explore)" time="0.125">
              <failure type="violated" message="violated, expected proved">names returned [] and the document held [base, foo] all the while</failure>
              <system-out>verdict: violated
        found: names returned [] and the document held [base, foo] all the while
        states: 1234
        answers: D8, D14
        schedule: lk1:A41-5d0a7f11</system-out>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
        let all = report(&rows);
        assert_eq!(all.matches("<testcase ").count(), rows.len());
        assert_eq!(all.matches("<failure ").count(), 2);
        assert_eq!(all.matches("<testsuite ").count(), 4);
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(escape("<a & \"b\">\n\u{1b}\u{ffff}"), "&lt;a &amp; &quot;b&quot;&gt;&#10;\u{fffd}\u{fffd}");
    }
}
