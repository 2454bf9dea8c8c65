//! Verdicts as a table: a line for each property of each scenario, a column for each protocol.
//!
//! A verdict that was not expected is marked with `!!` and named again below the table, with what is known of it. Where
//! the protocols do not fit beside each other, the headings are broken at `_`; where that is not enough, the table is
//! drawn in several blocks. No line is wider than the page but that of a schedule, which is never broken, so that it can be
//! copied.

use std::fmt::Write as _;

use lockproof_model::verdict::Verdict;

use crate::agreement;
use crate::notes;
use crate::row::{self, Line, Row, Verdicts};
use crate::side_by_side;
use crate::style::{Style, Tone};
use crate::summary;
use crate::text::{cells, clean, pad, shorten, wrap};

/// The gap between two columns.
pub(crate) const GAP: usize = 2;

/// The table, its notes, and the line that sums up. Where several engines judged, they stand side by side.
#[must_use]
pub fn table(verdicts: &Verdicts, style: Style) -> String {
    let mut out = String::new();
    let rows = &verdicts.rows;
    let several = agreement::engines(verdicts).len() > 1;
    if several {
        side_by_side::draw(&mut out, verdicts, style);
    } else if !rows.is_empty() {
        let lines = row::lines(rows);
        let labels = labels(&lines);
        let label_width = labels.iter().map(|label| cells(label)).max().unwrap_or(0).min(style.cells() / 2);
        for block in blocks(&row::protocols(rows), &lines, style.cells() - label_width) {
            // A property that none of these protocols was checked for needs no line here.
            let checked = |line: &Line<'_>| block.iter().any(|column| line.under(column.protocol).next().is_some());
            let of_one =
                |line: &Line<'_>, other: &Line<'_>| (line.scenario, line.property) == (other.scenario, other.property);
            let told = lines.iter().zip(&labels);
            let told: Vec<(&Line<'_>, &str)> = told
                .filter(|(line, _)| lines.iter().any(|other| of_one(line, other) && checked(other)))
                .map(|(line, label)| (line, label.as_str()))
                .collect();
            draw(&mut out, &block, &told, label_width, style);
            out.push('\n');
        }
    }
    notes::write(&mut out, verdicts, style);
    if several {
        side_by_side::agreement(&mut out, verdicts, style);
    }
    let tone = match (summary::count(rows).unexpected, rows.is_empty()) {
        (_, true) => Tone::Doubt,
        (0, _) => Tone::Good,
        _ => Tone::Alarm,
    };
    for line in wrap(&summary::line(rows), style.cells(), 2) {
        let _ = writeln!(out, "{}", style.paint(tone, &line));
    }
    out
}

/// A symbol for those who skim.
pub(crate) fn symbol(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Proved => "✓",
        Verdict::Violated => "✗",
        Verdict::Bounded(_) | Verdict::Sampled(_) => "~",
        Verdict::Cut(_) => "?",
    }
}

pub(crate) fn cell(row: &Row) -> String {
    let mark = if row.as_expected { "" } else { " !!" };
    format!("{} {}{mark}", symbol(&row.verdict), row.verdict.name())
}

pub(crate) fn tone(row: &Row) -> Tone {
    match &row.verdict {
        _ if !row.as_expected => Tone::Alarm,
        Verdict::Proved => Tone::Good,
        Verdict::Violated => Tone::Bad,
        Verdict::Bounded(_) | Verdict::Sampled(_) | Verdict::Cut(_) => Tone::Doubt,
    }
}

/// What stands left of each line: the property, and the engine where it is not the first line's. Where the line above
/// is about the same property, the engine alone.
fn labels(lines: &[Line<'_>]) -> Vec<String> {
    let usual = lines.first().map_or("", |line| line.engine);
    let mut labels = Vec::new();
    let mut above = None;
    for line in lines {
        let again = above == Some((line.scenario, line.property));
        above = Some((line.scenario, line.property));
        labels.push(match (again, line.engine == usual) {
            (true, _) => format!("    by {}", clean(line.engine)),
            (false, true) => format!("  {}", line.property),
            (false, false) => format!("  {}, by {}", line.property, clean(line.engine)),
        });
    }
    labels
}

/// A column: a protocol, its heading in lines, and how wide it is.
struct Column<'a> {
    protocol: &'a str,
    heading: Vec<String>,
    width: usize,
}

/// The columns of each block, so that no block is wider than `room`.
fn blocks<'a>(protocols: &[&'a str], lines: &[Line<'_>], room: usize) -> Vec<Vec<Column<'a>>> {
    let column = |protocol: &'a str, broken: bool| {
        let widest = lines.iter().flat_map(|line| line.under(protocol)).map(|row| cells(&cell(row))).max().unwrap_or(1);
        let name = clean(protocol).into_owned();
        let heading = if broken { broken_heading(&name, widest.max(room / 5)) } else { vec![name] };
        let heading: Vec<String> = heading.iter().map(|part| shorten(part, room - GAP)).collect();
        let width = heading.iter().map(|part| cells(part)).fold(widest, usize::max);
        Column { protocol, heading, width }
    };
    let total = |columns: &[Column<'_>]| columns.iter().map(|column| column.width + GAP).sum::<usize>();
    let whole: Vec<Column<'a>> = protocols.iter().map(|protocol| column(protocol, false)).collect();
    if total(&whole) <= room {
        return vec![whole];
    }
    let mut blocks: Vec<Vec<Column<'a>>> = vec![Vec::new()];
    for protocol in protocols {
        let next = column(protocol, true);
        match blocks.last_mut() {
            Some(block) if block.is_empty() || total(block) + next.width + GAP <= room => block.push(next),
            _ => blocks.push(vec![next]),
        }
    }
    blocks
}

/// A name in lines of at most `width` where it can be broken behind `_` or `-`.
fn broken_heading(name: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in name.split_inclusive(['_', '-']) {
        match lines.last_mut() {
            Some(line) if line.is_empty() || cells(line) + cells(part) <= width => line.push_str(part),
            _ => lines.push(part.to_owned()),
        }
    }
    lines
}

fn draw(out: &mut String, columns: &[Column<'_>], lines: &[(&Line<'_>, &str)], label_width: usize, style: Style) {
    let height = columns.iter().map(|column| column.heading.len()).max().unwrap_or(0);
    for index in 0..height {
        let mut text = " ".repeat(label_width);
        for column in columns {
            // The last lines of the headings stand on one level.
            let part = (index + column.heading.len()).checked_sub(height).map_or("", |at| &column.heading[at]);
            text.push_str(&" ".repeat(GAP));
            text.push_str(&style.paint(Tone::Heading, &pad(part, column.width)));
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
    let mut scenario = None;
    for (line, label) in lines {
        if scenario != Some(line.scenario) {
            scenario = Some(line.scenario);
            let heading = shorten(&clean(line.scenario), style.cells());
            let _ = writeln!(out, "{}", style.paint(Tone::Heading, &heading));
        }
        let cells: Vec<Vec<&Row>> = columns.iter().map(|column| line.under(column.protocol).collect()).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
        for index in 0..height {
            let label = if index == 0 { shorten(label, label_width) } else { String::new() };
            let mut text = pad(&label, label_width);
            for (column, rows) in columns.iter().zip(&cells) {
                text.push_str(&" ".repeat(GAP));
                text.push_str(&match rows.get(index) {
                    Some(row) => style.paint(tone(row), &pad(&cell(row), column.width)),
                    None if index == 0 => style.paint(Tone::Faint, &pad("·", column.width)),
                    None => " ".repeat(column.width),
                });
            }
            let _ = writeln!(out, "{}", text.trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use lockproof_model::property::Property;

    use super::*;
    use crate::samples;

    fn of(rows: &[Row]) -> Verdicts {
        Verdicts { rows: rows.to_vec(), ..Verdicts::default() }
    }

    fn plain(rows: &[Row], width: usize) -> String {
        table(&of(rows), Style { color: false, width })
    }

    #[test]
    fn all_as_expected() {
        insta::assert_snapshot!(plain(&samples::expected(), 100), @r#"
                                v1_24       pr_473      one_way_upgrade  per_layer_locks
        stale-ro-cache-after-rw-write
          fresh                 ✓ proved    ✗ violated  ✓ proved         ✓ proved
          exclusive             ✗ violated  ✗ violated  ✓ proved         ✗ violated
        writer-starvation
          no-starvation-strong  ✗ violated  ✗ violated  ✗ violated       ✗ violated
        abba-layer-locks
          no-deadlock           ✓ proved    ✓ proved    ✓ proved         ✗ violated

        16 verdicts, all as expected; 14 808 states; 1.5 s of work
        "#);
    }

    #[test]
    fn surprises_are_marked_and_explained() {
        insta::assert_snapshot!(plain(&samples::surprising(), 100), @r#"
                                v1_24       pr_473      one_way_upgrade  per_layer_locks  copy_then_unlock
        stale-ro-cache-after-rw-write
          fresh                 ✓ proved    ✗ violated  ✗ violated !!    ✓ proved         ·
            by processes        ·           ✗ violated  ·                ·                ·
          exclusive             ✗ violated  ✗ violated  ✓ proved         ✗ violated       ·
        writer-starvation
          no-starvation-strong  ✗ violated  ✗ violated  ✗ violated       ✗ violated       ·
        abba-layer-locks
          no-deadlock           ✓ proved    ✓ proved    ✓ proved         ? cut !!         ·
        other
          no-panic              ·           ·           ·                ·                ~ bounded

        !! stale-ro-cache-after-rw-write · fresh · one_way_upgrade (explore): violated, expected proved
           names returned [] and the document held [base, foo] all the while
           answers D8, D14
           lk1:A41-5d0a7f11
        !! abba-layer-locks · no-deadlock · per_layer_locks (explore): cut, expected violated
           20 000 000 states
        ~  other · no-panic · copy_then_unlock (explore): bounded, 2 preemptions

        2 unexpected of 18 verdicts; 1 left open; 1 cut short; 16 042 states; 1 schedule run one by one; 1.8
          s of work
        "#);
    }

    #[test]
    fn it_degrades_well() {
        insta::assert_snapshot!(plain(&samples::surprising(), 80), @r#"
                                                        one_way_       per_layer_
                                v1_24       pr_473      upgrade        locks
        stale-ro-cache-after-rw-write
          fresh                 ✓ proved    ✗ violated  ✗ violated !!  ✓ proved
            by processes        ·           ✗ violated  ·              ·
          exclusive             ✗ violated  ✗ violated  ✓ proved       ✗ violated
        writer-starvation
          no-starvation-strong  ✗ violated  ✗ violated  ✗ violated     ✗ violated
        abba-layer-locks
          no-deadlock           ✓ proved    ✓ proved    ✓ proved       ? cut !!

                                copy_then_
                                unlock
        other
          no-panic              ~ bounded

        !! stale-ro-cache-after-rw-write · fresh · one_way_upgrade (explore): violated,
           expected proved
           names returned [] and the document held [base, foo] all the while
           answers D8, D14
           lk1:A41-5d0a7f11
        !! abba-layer-locks · no-deadlock · per_layer_locks (explore): cut, expected
           violated
           20 000 000 states
        ~  other · no-panic · copy_then_unlock (explore): bounded, 2 preemptions

        2 unexpected of 18 verdicts; 1 left open; 1 cut short; 16 042 states; 1 schedule
          run one by one; 1.8 s of work
        "#);
        insta::assert_snapshot!(plain(&samples::expected(), 56), @r#"
                                v1_24       pr_473
        stale-ro-cache-after-rw-write
          fresh                 ✓ proved    ✗ violated
          exclusive             ✗ violated  ✗ violated
        writer-starvation
          no-starvation-strong  ✗ violated  ✗ violated
        abba-layer-locks
          no-deadlock           ✓ proved    ✓ proved

                                one_way_    per_layer_
                                upgrade     locks
        stale-ro-cache-after-rw-write
          fresh                 ✓ proved    ✓ proved
          exclusive             ✓ proved    ✗ violated
        writer-starvation
          no-starvation-strong  ✗ violated  ✗ violated
        abba-layer-locks
          no-deadlock           ✓ proved    ✗ violated

        16 verdicts, all as expected; 14 808 states; 1.5 s of
          work
        "#);
    }

    #[test]
    fn nothing_checked_is_no_pass() {
        insta::assert_snapshot!(plain(&[], 80), @"nothing was checked");
    }

    #[test]
    fn four_protocols_fit_in_100_columns_in_one_block() {
        let mut rows = samples::surprising();
        rows.truncate(16);
        for row in &mut rows {
            row.as_expected = false;
        }
        let text = plain(&rows, 100);
        assert_eq!(text.matches("writer-starvation\n").count(), 1);
        assert_eq!(text.matches("violated !!").count(), 9);
    }

    #[test]
    fn no_line_is_too_wide_and_none_is_coloured_unasked() {
        let mut rows = samples::surprising();
        let name = "a-scenario-with-a-name-that-is-longer-than-any-terminal-should-have-to-bear-in-one-line";
        rows.push(samples::row(name, Property::ParallelReads, "層の鍵_層の鍵_層の鍵_\u{1b}[31m", Verdict::Proved));
        rows.push(samples::row(name, Property::ParallelReads, "a_rather_long_protocol_name_too", Verdict::Violated));
        for width in 0..160 {
            for color in [false, true] {
                let text = table(&of(&rows), Style { color, width });
                assert_eq!(text.contains('\u{1b}'), color);
                let text_alone = crate::traces::without_color(&text);
                for line in text_alone.lines().filter(|line| !line.contains("lk1:")) {
                    assert!(cells(line) <= width.max(Style::WIDTH_MIN), "{line:?} is wider than {width}");
                }
                assert_eq!(text_alone, plain(&rows, width), "colour changes no text");
            }
        }
    }
}
