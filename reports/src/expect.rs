//! The verdicts as the `[expect]` of scenario files: what was measured, to be understood and pasted.

use std::fmt::Write as _;

use crate::row::{self, Row};

/// For each scenario its name, as a comment, and its `[expect]`. Of several engines the first one's verdict stands.
///
/// Where protocols differ, the verdict that most of them have is that of the `"others"`.
#[must_use]
pub fn report(rows: &[Row]) -> String {
    let mut out = String::new();
    for scenario in row::distinct(rows, |row| &row.scenario) {
        let gap = if out.is_empty() { "" } else { "\n" };
        let _ = writeln!(out, "{gap}# {scenario}\n[expect]");
        let of: Vec<&Row> = rows.iter().filter(|row| row.scenario == scenario).collect();
        let mut properties = Vec::new();
        for row in &of {
            if !properties.contains(&row.property) {
                properties.push(row.property);
                let verdicts: Vec<&Row> = of.iter().copied().filter(|other| other.property == row.property).collect();
                let _ = writeln!(out, "{} = {}", row.property, verdicts_of(&verdicts));
            }
        }
    }
    out
}

/// `"proved"`, or a table of verdicts.
fn verdicts_of(rows: &[&Row]) -> String {
    let mut by_verdict: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut known: Vec<&str> = Vec::new();
    for row in rows {
        if known.contains(&row.protocol.as_str()) {
            continue;
        }
        known.push(&row.protocol);
        let verdict = row.verdict.name();
        match by_verdict.iter_mut().find(|(other, _)| *other == verdict) {
            Some((_, protocols)) => protocols.push(&row.protocol),
            None => by_verdict.push((verdict, vec![&row.protocol])),
        }
    }
    by_verdict.sort_by_key(|(_, protocols)| protocols.len());
    let Some((usual, _)) = by_verdict.pop() else { return "{}".into() };
    if by_verdict.is_empty() {
        return format!("{usual:?}");
    }
    let mut parts: Vec<String> =
        by_verdict.iter().map(|(verdict, protocols)| format!("{verdict} = {protocols:?}")).collect();
    parts.push(format!("{usual} = \"others\""));
    format!("{{ {} }}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use lockproof_model::property::Property;
    use lockproof_model::verdict::{Extent, Finding, Verdict};

    use super::*;

    fn row(scenario: &str, protocol: &str, engine: &str, property: Property, verdict: Verdict) -> Row {
        let finding = Finding { property, verdict, detail: String::new(), trace: None };
        Row::of_finding(scenario, protocol, engine, &finding, Extent::default(), 0.0)
    }

    #[test]
    fn protocols_that_agree_are_one_word_and_the_most_of_others_too() {
        let cut = || Verdict::Cut("20 states".into());
        let rows = [
            row("one", "v1_24", "explore", Property::Fresh, Verdict::Violated),
            row("one", "v1_24", "processes", Property::Fresh, Verdict::Proved),
            row("one", "v1_24", "explore", Property::Ordered, Verdict::Proved),
            row("one", "pr_473", "explore", Property::Fresh, Verdict::Proved),
            row("one", "pr_473", "explore", Property::Ordered, Verdict::Proved),
            row("one", "v1_43", "explore", Property::Fresh, Verdict::Proved),
            row("one", "v1_43", "explore", Property::Ordered, Verdict::Proved),
            row("two", "v1_24", "explore", Property::Fresh, cut()),
        ];
        insta::assert_snapshot!(report(&rows), @r#"
        # one
        [expect]
        fresh = { violated = ["v1_24"], proved = "others" }
        ordered = "proved"

        # two
        [expect]
        fresh = "cut"
        "#);
    }
}
