//! The runs that show verdicts: counterexamples, and the witnesses of what a scenario wishes for.

use std::fmt::Write as _;

use lockproof_model::property::Property;
use lockproof_reports::Row;
use lockproof_reports::columns::{Detail, columns};
use lockproof_scenarios::remark;

use crate::engine::Engine;
use crate::job::Checked;
use crate::output::Output;

/// Writes for each question the run that shows its verdict, how to see it again, and whose remark it answers. Where several
/// engines have a run, the first one's is drawn, and the others' are named.
pub(crate) fn write(text: &mut String, checked: &[Checked], verbose: bool, output: &Output) {
    for of_one in checked.chunk_by(|one, other| question(&one.row) == question(&other.row)) {
        let mut shown =
            of_one.iter().filter(|one| one.trace.is_some() && one.row.verdict.is_shown_by_a_run(one.row.property));
        let Some(first) = shown.next() else { continue };
        drawn(text, first, verbose, output);
        for other in shown {
            named(text, other, first, output);
        }
        for remark in first.row.remarks.iter().filter_map(|id| remark(id)) {
            output.wrap(text, "  ", &format!("{} ({}): {}", remark.id, remark.who, remark.said));
        }
        text.push('\n');
    }
}

fn question(row: &Row) -> (&str, &str, Property) {
    (&row.scenario, &row.protocol, row.property)
}

fn drawn(text: &mut String, checked: &Checked, verbose: bool, output: &Output) {
    let row = &checked.row;
    let Some(trace) = &checked.trace else { return };
    let by = if row.engine == Engine::Explore.name() { String::new() } else { format!(", found by {}", engine(row)) };
    let _ = writeln!(text, "{} under {}: {} {}{by}", row.scenario, row.protocol, row.property, row.verdict.name());
    if !row.detail.is_empty() {
        output.wrap(text, "", &row.detail);
    }
    let detail = Detail { verbose, pending: &checked.pending };
    let _ = write!(text, "\n{}\n", columns(trace, &checked.processes, detail, output.style()));
    commands(text, checked);
}

/// Another engine's run.
fn named(text: &mut String, checked: &Checked, first: &Checked, output: &Output) {
    let (row, same) = (&checked.row, &first.row);
    if row.schedule == same.schedule {
        let _ = writeln!(text, "  {} finds the same schedule", row.engine);
        return own(text, checked);
    }
    let what = if row.detail == same.detail || row.detail.is_empty() { "" } else { &row.detail };
    let gap = if what.is_empty() { "" } else { ": " };
    output.wrap(text, "  ", &format!("{} finds it in another schedule{gap}{what}", engine(row)));
    commands(text, checked);
}

/// The engine, and how it chose its schedules: `shuttle (pct of depth 3, seed 1)`.
fn engine(row: &Row) -> String {
    let seed = row.seed.map(|seed| format!("seed {seed}"));
    let how: Vec<String> = row.strategy.clone().into_iter().chain(seed).collect();
    if how.is_empty() { row.engine.clone() } else { format!("{} ({})", row.engine, how.join(", ")) }
}

/// What runs it again.
fn commands(text: &mut String, checked: &Checked) {
    let row = &checked.row;
    if let Some(schedule) = &row.schedule {
        let _ = writeln!(text, "  lockproof replay {} -p {} --schedule {schedule}", row.argument, row.protocol);
    }
    own(text, checked);
}

/// The engine's own writing of it, never broken.
fn own(text: &mut String, Checked { row, .. }: &Checked) {
    if let Some(own) = &row.own_schedule {
        let _ = writeln!(text, "  the schedule in the writing of {}: {own}", row.engine);
    }
}
