//! The diff as Markdown, for a comment on a pull request: GitHub's dialect, as in [`markdown`](crate::markdown).

use std::fmt::Write as _;

use super::{Diff, Pair, Sorted};
use crate::markdown::{cell, code, escape};
use crate::row::Row;

/// The comment.
#[must_use]
pub fn report(diff: &Diff) -> String {
    let sorted = diff.sorted();
    let mut out = String::new();
    let _ = writeln!(out, "**{} → {}: {}**", escape(&diff.before), escape(&diff.after), escape(&sorted.headline()));
    turned(&mut out, diff, "For better", &sorted.better);
    turned(&mut out, diff, "For worse", &sorted.worse);
    not_compared(&mut out, diff, &sorted);
    let mut unexpected = diff.unexpected().peekable();
    if unexpected.peek().is_some() {
        out.push_str("\nNot as the scenarios' files expect:\n\n");
    }
    for row in unexpected {
        let _ = writeln!(
            out,
            "- {} · {} · {}: {}",
            escape(&row.scenario),
            row.property,
            escape(&row.protocol),
            escape(&row.surprise())
        );
    }
    if !sorted.properties().is_empty() {
        out.push_str("\n### What the properties demand\n\n");
    }
    for property in sorted.properties() {
        let _ = writeln!(out, "- *{property}*: {}", escape(property.demand()));
    }
    out
}

/// A table of verdicts that turned, and folded below it what is seen on which side.
fn turned(out: &mut String, diff: &Diff, heading: &str, pairs: &[Pair<'_>]) {
    if pairs.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n### {heading}\n");
    let (before, after) = (escape(&diff.before), escape(&diff.after));
    let _ = writeln!(out, "| scenario | property | {before} | {after} | answers |\n| --- | --- | --- | --- | --- |");
    for pair in pairs {
        let Pair { before, after } = pair;
        let about = diff.about(&before.scenario);
        let title = about.map_or(before.scenario.as_str(), |about| &about.title);
        let remarks: Vec<&str> =
            about.into_iter().flat_map(|about| &about.remarks).map(|(id, _)| id.as_str()).collect();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            escape(title),
            pair.property(),
            cell(before),
            cell(after),
            escape(&remarks.join(", "))
        );
    }
    let _ = writeln!(out, "\n<details><summary>What is seen, and whose remark that answers</summary>\n");
    for of_one in pairs.chunk_by(|pair, other| pair.before.scenario == other.before.scenario) {
        let scenario = &of_one[0].before.scenario;
        let _ = writeln!(out, "- {}", code(scenario));
        for pair in of_one {
            for row in [pair.before, pair.after] {
                seen(out, row);
            }
        }
        for (id, said) in diff.about(scenario).map(|about| &about.remarks).into_iter().flatten() {
            let _ = writeln!(out, "  - {}, {}", escape(id), escape(said));
        }
    }
    out.push_str("\n</details>\n");
}

fn seen(out: &mut String, row: &Row) {
    if !row.reason().is_empty() {
        let _ = writeln!(out, "  - {} under {}: {}", row.property, escape(&row.protocol), escape(&row.reason()));
    }
    if let Some(command) = super::replay(row) {
        let _ = writeln!(out, "    {}", code(&command));
    }
}

fn not_compared(out: &mut String, diff: &Diff, sorted: &Sorted<'_>) {
    if sorted.open.is_empty() && sorted.alone.is_empty() {
        return;
    }
    out.push_str("\n### Not compared\n\n");
    for Pair { before, after } in &sorted.open {
        let _ = writeln!(
            out,
            "- {} · {}: {} under {}, {} under {}",
            escape(&before.scenario),
            before.property,
            cell(before),
            escape(&diff.before),
            cell(after),
            escape(&diff.after)
        );
    }
    for row in &sorted.alone {
        let _ = writeln!(
            out,
            "- {} · {}: {} under {}, and not for {}",
            escape(&row.scenario),
            row.property,
            cell(row),
            escape(&row.protocol),
            escape(if row.protocol == diff.before { &diff.after } else { &diff.before })
        );
    }
}
