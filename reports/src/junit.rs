//! The verdicts as JUnit XML, for a build server: a test suite for each scenario, a test case for each verdict, a failure
//! where a verdict is not as expected, and where engines contradict each other; what an engine refuses is skipped.

use std::fmt::Write as _;

use lockproof_model::property::Property;

use crate::agreement::{self, Question};
use crate::row::{Refusal, Row, Verdicts};

/// The document.
#[must_use]
pub fn report(verdicts: &Verdicts) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let questions = agreement::questions(verdicts);
    let contradicted: Vec<&Question<'_>> = questions.iter().filter(|question| question.is_contradicted()).collect();
    let mut suites: Vec<Suite<'_>> = Vec::new();
    for name in questions.iter().map(|question| question.scenario) {
        if !suites.iter().any(|suite| suite.name == name) {
            suites.push(Suite {
                name,
                rows: verdicts.rows.iter().filter(|row| row.scenario == name).collect(),
                refused: verdicts.refused.iter().filter(|refusal| refusal.scenario == name).collect(),
                contradicted: contradicted.iter().copied().filter(|question| question.scenario == name).collect(),
            });
        }
    }
    let _ = writeln!(out, "<testsuites name=\"lockproof\" {}>", totals(&suites));
    for suite in &suites {
        let _ = writeln!(out, "  <testsuite name=\"{}\" {}>", escape(suite.name), totals(std::slice::from_ref(suite)));
        for case in &suite.rows {
            write_case(&mut out, case);
        }
        for refusal in &suite.refused {
            let _ = writeln!(
                out,
                "    <testcase {} time=\"0.000\">\n      <skipped message=\"{}\"/>\n    </testcase>",
                names(&refusal.scenario, &refusal.protocol, refusal.property, &refusal.engine),
                escape(&refusal.why)
            );
        }
        for question in &suite.contradicted {
            let _ = writeln!(
                out,
                "    <testcase {} time=\"0.000\">\n      <failure type=\"contradiction\" message=\"{}\">{}</failure>\n    \
                 </testcase>",
                names(question.scenario, question.protocol, question.property, "the engines agree"),
                escape(&question.contradiction()),
                escape(&question.command(&verdicts.options))
            );
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// What a scenario came to.
struct Suite<'a> {
    name: &'a str,
    rows: Vec<&'a Row>,
    refused: Vec<&'a Refusal>,
    contradicted: Vec<&'a Question<'a>>,
}

fn totals(suites: &[Suite<'_>]) -> String {
    let sum = |count: fn(&Suite<'_>) -> usize| suites.iter().map(count).sum::<usize>();
    let seconds: f64 = suites.iter().flat_map(|suite| &suite.rows).map(|row| row.seconds).sum();
    let tests = sum(|suite| suite.rows.len() + suite.refused.len() + suite.contradicted.len());
    let failures = sum(|suite| suite.rows.iter().filter(|row| !row.as_expected).count() + suite.contradicted.len());
    let skipped = sum(|suite| suite.refused.len());
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\"")
}

fn names(scenario: &str, protocol: &str, property: Property, engine: &str) -> String {
    let class = escape(&format!("{scenario}.{protocol}"));
    format!("classname=\"{class}\" name=\"{property} ({})\"", escape(engine))
}

fn write_case(out: &mut String, row: &Row) {
    let _ = writeln!(
        out,
        "    <testcase {} time=\"{:.3}\">",
        names(&row.scenario, &row.protocol, row.property, &row.engine),
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
    facts.extend(row.strategy.as_ref().map(|strategy| format!("strategy: {strategy}")));
    facts.extend(row.seed.map(|seed| format!("seed: {seed}")));
    facts.extend((!row.remarks.is_empty()).then(|| format!("answers: {}", row.remarks.join(", "))));
    facts.extend(row.schedule.as_ref().map(|schedule| format!("schedule: {schedule}")));
    facts.extend(row.own_schedule.as_ref().map(|schedule| format!("schedule of {}: {schedule}", row.engine)));
    facts.extend(row.found_by.as_ref().map(|engine| format!("found by: {engine}")));
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
    use crate::samples;

    fn of(rows: &[Row]) -> Verdicts {
        Verdicts { rows: rows.to_vec(), ..Verdicts::default() }
    }

    #[test]
    fn a_case_for_each_verdict() {
        let rows = samples::surprising();
        insta::assert_snapshot!(report(&of(&rows[1..3])), @r#"
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
        let all = report(&of(&rows));
        assert_eq!(all.matches("<testcase ").count(), rows.len());
        assert_eq!(all.matches("<failure ").count(), 2);
        assert_eq!(all.matches("<testsuite ").count(), 4);
    }

    #[test]
    fn engines_that_contradict_each_other_fail_and_what_is_not_judged_is_skipped() {
        let verdicts = samples::by_three_engines();
        let text = report(&verdicts);
        let cases = verdicts.rows.len() + verdicts.refused.len() + 1;
        assert_eq!(text.matches("<testcase ").count(), cases);
        assert!(text.contains(&format!("tests=\"{cases}\" failures=\"1\" errors=\"0\" skipped=\"6\"")), "{text}");
        assert_eq!((text.matches("<failure ").count(), text.matches("<skipped ").count()), (1, 6));
        let case = text.split("the engines agree").nth(1).expect("a contradiction");
        insta::assert_snapshot!(case.lines().take(3).collect::<Vec<_>>().join("\n"), @r#"
        )" time="0.000">
              <failure type="contradiction" message="explore says proved, loom says violated">lockproof check stale-ro-cache-after-rw-write -p v1_24 --property exclusive --engine explore,loom</failure>
            </testcase>
        "#);
        assert!(text.contains("strategy: pct, depth 3\nseed: 1\n"), "{text}");
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(escape("<a & \"b\">\n\u{1b}\u{ffff}"), "&lt;a &amp; &quot;b&quot;&gt;&#10;\u{fffd}\u{fffd}");
    }
}
