//! What stands below a table: what is not as expected, who contradicts whom, what rests on a limit, what was not judged.

use std::fmt::Write as _;

use crate::agreement;
use crate::row::{Refusal, Row, Verdicts};
use crate::style::{Style, Tone};
use crate::table::symbol;
use crate::text::{clean, counted, pad, wrap};

/// What the mark of a note fills.
const MARK: usize = 3;
/// What stands where a verdict would, of an engine that refuses.
pub(crate) const REFUSED: &str = "–";

/// Writes notes, each with its mark.
struct Notes<'o> {
    out: &'o mut String,
    style: Style,
}

impl Notes<'_> {
    fn note(&mut self, tone: Tone, mark: &str, text: &str) {
        for (index, line) in wrap(&clean(text), self.style.cells() - MARK, 0).iter().enumerate() {
            let mark = if index == 0 { mark } else { "" };
            let _ = writeln!(self.out, "{}", self.style.paint(tone, &format!("{}{line}", pad(mark, MARK))));
        }
    }

    /// What is to be copied is never broken.
    fn copy(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}{}", pad("", MARK), clean(text));
    }

    fn unexpected(&mut self, row: &Row) {
        self.note(Tone::Bad, "!!", &format!("{}: {}", subject(row), row.surprise()));
        if !row.reason().is_empty() {
            self.note(Tone::Plain, "", &row.reason());
        }
        if !row.remarks.is_empty() {
            self.note(Tone::Plain, "", &format!("answers {}", row.remarks.join(", ")));
        }
        if let Some(schedule) = &row.schedule {
            self.copy(schedule);
        }
    }
}

fn subject(row: &Row) -> String {
    format!("{} · {} · {} ({})", row.scenario, row.property, row.protocol, row.engine)
}

/// Notes, and an empty line after them if there are any.
pub(crate) fn write(out: &mut String, verdicts: &Verdicts, style: Style) {
    let begin = out.len();
    let mut notes = Notes { out, style };
    for question in agreement::questions(verdicts).iter().filter(|question| question.is_contradicted()) {
        let subject = format!("{} · {} · {}", question.scenario, question.property, question.protocol);
        notes.note(Tone::Alarm, "!!", &format!("{subject}: {}", question.contradiction()));
        notes.copy(&question.command(&verdicts.options));
    }
    for row in verdicts.rows.iter().filter(|row| !row.as_expected) {
        notes.unexpected(row);
    }
    let limited = verdicts.rows.iter().filter(|row| row.as_expected && row.limit().is_some());
    for group in groups(limited, |row| (&row.engine, row.verdict.name(), in_short(row))) {
        let first = group[0];
        let about = match group.len() {
            1 => subject(first),
            _ => about(&first.engine, &group, |row| &row.scenario),
        };
        let text = format!("{about}: {}, {}", first.verdict.name(), common_limit(&group));
        notes.note(Tone::Doubt, symbol(&first.verdict), &text);
    }
    for group in groups(verdicts.refused.iter(), |refusal: &Refusal| &refusal.why) {
        let mut engines: Vec<&str> = group.iter().map(|refusal| refusal.engine.as_str()).collect();
        engines.sort_unstable();
        engines.dedup();
        let about = about(&engines.join(" and "), &group, |refusal| &refusal.scenario);
        notes.note(Tone::Faint, REFUSED, &format!("{about}: not judged, {}", group[0].why));
    }
    if out.len() > begin {
        out.push('\n');
    }
}

/// The limit without what else is known of it.
fn in_short(row: &Row) -> &str {
    let limit = row.limit().unwrap_or_default();
    limit.split_once("; ").map_or(limit, |(short, _)| short)
}

/// The limit of all of them: in full where it is the same, else what it has in common; of samples also how good they are.
fn common_limit(group: &[&Row]) -> String {
    let full = group[0].limit().unwrap_or_default();
    if group.iter().all(|row| row.limit() == Some(full)) {
        return full.to_owned();
    }
    let short = in_short(group[0]);
    let missed = || group.iter().filter_map(|row| row.missed_max);
    match (missed().reduce(f64::min), missed().reduce(f64::max)) {
        (Some(least), Some(most)) => {
            format!("{short}; a mistake of that depth is missed with p ≤ {least:.3} to {most:.3}")
        }
        _ => format!("{short}; more in --format json"),
    }
}

/// `loom, 8 verdicts of writer-starvation`.
fn about<T>(engine: &str, group: &[&T], scenario: impl Fn(&T) -> &String) -> String {
    let name = scenario(group[0]);
    let of = if group.iter().all(|item| scenario(item) == name) { format!(" of {name}") } else { String::new() };
    format!("{engine}, {}{of}", counted(group.len() as u64, "verdict"))
}

/// Those of one key together, in the order in which the keys come.
fn groups<'a, T: 'a, K: PartialEq>(items: impl Iterator<Item = &'a T>, key: impl Fn(&'a T) -> K) -> Vec<Vec<&'a T>> {
    let mut groups: Vec<(K, Vec<&T>)> = Vec::new();
    for item in items {
        let key = key(item);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}
