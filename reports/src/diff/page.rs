//! The diff for a terminal: each verdict that turned, what is seen on which side, and whose remark that answers.

use std::fmt::Write as _;

use super::{Diff, Pair, Sorted};
use crate::row::Row;
use crate::style::{Style, Tone};
use crate::table::{cell, tone};
use crate::text::{clean, shorten, wrap};

/// The page.
#[must_use]
pub fn page(diff: &Diff, style: Style) -> String {
    let sorted = diff.sorted();
    let mut page = Page { out: String::new(), diff, style };
    page.turned("For better", Tone::Good, &sorted.better);
    page.turned("For worse", Tone::Bad, &sorted.worse);
    page.not_compared(&sorted);
    page.demands(&sorted);
    page.unexpected();
    let headline = format!("{} → {}: {}", diff.before, diff.after, sorted.headline());
    page.sentence("", if sorted.worse.is_empty() { Tone::Good } else { Tone::Doubt }, &headline);
    page.out
}

struct Page<'a> {
    out: String,
    diff: &'a Diff,
    style: Style,
}

impl Page<'_> {
    fn sentence(&mut self, indent: &str, tone: Tone, text: &str) {
        for line in wrap(&clean(text), self.style.cells() - indent.len(), 2) {
            let _ = writeln!(self.out, "{indent}{}", self.style.paint(tone, &line));
        }
    }

    /// What is to be copied is never broken.
    fn copy(&mut self, indent: &str, text: &str) {
        let _ = writeln!(self.out, "{indent}{}", clean(text));
    }

    fn heading(&mut self, text: &str, tone: Tone) {
        let rule = "─".repeat(self.style.cells().saturating_sub(text.chars().count() + 1));
        let _ = writeln!(self.out, "{} {}\n", self.style.paint(tone, text), self.style.paint(Tone::Faint, &rule));
    }

    /// Verdicts that turned, scenario by scenario.
    fn turned(&mut self, heading: &str, tone: Tone, pairs: &[Pair<'_>]) {
        if pairs.is_empty() {
            return;
        }
        self.heading(&format!("{heading}: {}", pairs.len()), tone);
        for of_one in pairs.chunk_by(|pair, other| pair.before.scenario == other.before.scenario) {
            let scenario = &of_one[0].before.scenario;
            self.title(scenario);
            for pair in of_one {
                self.pair(*pair);
            }
            self.remarks(scenario);
            self.out.push('\n');
        }
    }

    fn title(&mut self, scenario: &str) {
        let title = self.diff.about(scenario).map_or("", |about| &about.title);
        let _ = writeln!(self.out, "{}", self.style.paint(Tone::Heading, &shorten(&clean(title), self.style.cells())));
        self.sentence("", Tone::Faint, scenario);
    }

    fn pair(&mut self, pair: Pair<'_>) {
        let Pair { before, after } = pair;
        let property = pair.property();
        let _ = writeln!(
            self.out,
            "  {property}: {} → {}",
            self.style.paint(tone(before), &cell(before)),
            self.style.paint(tone(after), &cell(after))
        );
        self.told(before);
        self.told(after);
    }

    /// What was found under one protocol, and how to see it.
    fn told(&mut self, row: &Row) {
        if !row.reason().is_empty() {
            self.sentence("    ", Tone::Plain, &format!("{}: {}", row.protocol, row.reason()));
        }
        if let Some(command) = super::replay(row) {
            self.copy("    ", &command);
        }
    }

    fn remarks(&mut self, scenario: &str) {
        let diff = self.diff;
        for (id, said) in diff.about(scenario).map(|about| &about.remarks).into_iter().flatten() {
            self.sentence("  ", Tone::Call, &format!("{id}, {said}"));
        }
    }

    /// What is for one of the two alone, and what has no answer.
    fn not_compared(&mut self, sorted: &Sorted<'_>) {
        if !sorted.alone.is_empty() {
            self.heading(&format!("Not for both: {}", sorted.alone.len()), Tone::Plain);
        }
        for of_one in sorted.alone.chunk_by(|row, other| row.scenario == other.scenario) {
            let scenario = &of_one[0].scenario;
            self.title(scenario);
            for row in of_one {
                let other = if row.protocol == self.diff.before { &self.diff.after } else { &self.diff.before };
                let said = self.style.paint(tone(row), &cell(row));
                let _ = writeln!(self.out, "  {}: {said} under {}, and not for {other}", row.property, row.protocol);
                self.told(row);
            }
            self.remarks(scenario);
            self.out.push('\n');
        }
        if !sorted.open.is_empty() {
            self.heading(&format!("Left open: {}", sorted.open.len()), Tone::Doubt);
        }
        for of_one in sorted.open.chunk_by(|pair, other| pair.before.scenario == other.before.scenario) {
            self.title(&of_one[0].before.scenario);
            for pair in of_one {
                self.pair(*pair);
            }
            self.out.push('\n');
        }
    }

    /// What the properties that turned demand.
    fn demands(&mut self, sorted: &Sorted<'_>) {
        for property in sorted.properties() {
            self.sentence("", Tone::Faint, &format!("{property}: {}", property.demand()));
        }
        if !sorted.properties().is_empty() {
            self.out.push('\n');
        }
    }

    fn unexpected(&mut self) {
        let diff = self.diff;
        let rows: Vec<&Row> = diff.unexpected().collect();
        for row in &rows {
            let subject = format!("{} · {} · {}", row.scenario, row.property, row.protocol);
            self.sentence("", Tone::Alarm, &format!("!! {subject}: {}", row.surprise()));
        }
        if !rows.is_empty() {
            self.out.push('\n');
        }
    }
}
