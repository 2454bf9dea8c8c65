//! Verdicts of several engines as a table: a line for each protocol under each property of a scenario, a column for each
//! engine, so that who says otherwise is seen at once. Behind a verdict, how many states or schedules it rests on.

use std::fmt::Write as _;

use lockproof_model::property::Property;

use crate::agreement::{self, Question, Tally};
use crate::notes::REFUSED;
use crate::row::{AGAIN, Row, Verdicts, judges};
use crate::style::{Style, Tone};
use crate::table::{GAP, cell, symbol, tone};
use crate::text::{cells, clean, compact, counted, duration, pad, shorten, wrap};

/// What the protocols' names may fill at least.
const LABEL_MIN: usize = 10;
/// What is left of the name of an engine where there is no room for more.
const NAME_MIN: usize = 5;

/// How much a cell tells. The first that fits on the page is drawn.
#[derive(Clone, Copy, PartialEq)]
enum Telling {
    Figures,
    Words,
    Symbols,
}

/// A column: an engine, and its cells, for each question as many as it has verdicts.
struct Column {
    name: String,
    cells: Vec<Vec<(String, Tone)>>,
    width: usize,
}

/// The table alone.
pub(crate) fn draw(out: &mut String, verdicts: &Verdicts, style: Style) {
    let questions = agreement::questions(verdicts);
    let mut engines = agreement::engines(verdicts);
    engines.extend(AGAIN.iter().filter(|again| verdicts.rows.iter().any(|row| row.engine == **again)));
    let columns = |telling: Telling| -> Vec<Column> {
        engines.iter().map(|engine| Column::of(engine, &questions, telling)).collect()
    };
    let needed = |columns: &[Column]| columns.iter().map(|column| column.width + GAP).sum::<usize>();
    let longest = questions.iter().map(|question| cells(&clean(question.protocol)) + 2).max().unwrap_or(0);
    let fits = |columns: &Vec<Column>, label: usize| needed(columns) + label <= style.cells();
    let columns = [(Telling::Figures, longest), (Telling::Words, longest), (Telling::Words, LABEL_MIN)]
        .into_iter()
        .map(|(telling, label)| (columns(telling), label))
        .find(|(columns, label)| fits(columns, *label))
        .map_or_else(|| columns(Telling::Symbols), |(columns, _)| columns);
    let label_width = longest.min(style.cells().saturating_sub(needed(&columns)));
    let mut heading = " ".repeat(label_width);
    for column in &columns {
        heading.push_str(&" ".repeat(GAP));
        heading.push_str(&style.paint(Tone::Heading, &pad(&column.name, column.width)));
    }
    let _ = writeln!(out, "{}", heading.trim_end());
    let mut above: Option<(&str, Property)> = None;
    for (number, question) in questions.iter().enumerate() {
        if above.replace((question.scenario, question.property)) != Some((question.scenario, question.property)) {
            let title = format!("{}: {}", clean(question.scenario), question.property);
            let _ = writeln!(out, "{}", style.paint(Tone::Heading, &shorten(&title, style.cells())));
        }
        let label = shorten(&format!("  {}", clean(question.protocol)), label_width);
        line(out, &label, label_width, &columns, number, style);
    }
    out.push('\n');
}

/// One line, or more where an engine has more than one verdict.
fn line(out: &mut String, label: &str, label_width: usize, columns: &[Column], number: usize, style: Style) {
    let height = columns.iter().map(|column| column.cells[number].len()).max().unwrap_or(0).max(1);
    for index in 0..height {
        let mut text = pad(if index == 0 { label } else { "" }, label_width);
        for Column { cells, width, .. } in columns {
            text.push_str(&" ".repeat(GAP));
            text.push_str(&match cells[number].get(index) {
                Some((cell, tone)) => style.paint(*tone, &pad(cell, *width)),
                None if index == 0 => style.paint(Tone::Faint, &pad("·", *width)),
                None => " ".repeat(*width),
            });
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
}

impl Column {
    fn of(engine: &str, questions: &[Question<'_>], telling: Telling) -> Self {
        let name = if telling == Telling::Symbols { shorten(engine, NAME_MIN) } else { engine.to_owned() };
        let cells: Vec<_> = questions.iter().map(|question| said(question, engine, telling)).collect();
        let width = cells.iter().flatten().map(|(cell, _)| crate::text::cells(cell)).max().unwrap_or(1);
        Self { width: width.max(crate::text::cells(&name)), name, cells }
    }
}

/// What an engine says to a question. Real processes ran the schedule of each engine: what they say twice is told once.
fn said(question: &Question<'_>, engine: &str, telling: Telling) -> Vec<(String, Tone)> {
    let mut said: Vec<(String, Tone)> = Vec::new();
    for row in question.rows.iter().filter(|row| row.engine == engine) {
        let text = match telling {
            Telling::Symbols if row.as_expected => symbol(&row.verdict).to_owned(),
            Telling::Symbols => format!("{} !!", symbol(&row.verdict)),
            Telling::Figures if judges(&row.engine) => with_figure(row),
            Telling::Figures | Telling::Words => cell(row),
        };
        let told = (text, tone(row));
        if !said.contains(&told) {
            said.push(told);
        }
    }
    if question.refused.iter().any(|refusal| refusal.engine == engine) {
        said.push((REFUSED.into(), Tone::Faint));
    }
    said
}

fn with_figure(row: &Row) -> String {
    let mark = if row.as_expected { "" } else { " !!" };
    format!("{} {} {}{mark}", symbol(&row.verdict), row.verdict.name(), compact(row.states.max(row.schedules)))
}

/// What each engine came to, and whether they agree.
pub(crate) fn agreement(out: &mut String, verdicts: &Verdicts, style: Style) {
    let tallies = agreement::tallies(verdicts);
    let width = tallies.iter().map(|tally| cells(&tally.engine)).max().unwrap_or(0);
    for tally in &tallies {
        let text = format!("{}  {}", pad(&tally.engine, width), sum(tally));
        for line in wrap(&text, style.cells(), width + 2) {
            let _ = writeln!(out, "{line}");
        }
    }
    let (tone, text) = verdict(verdicts);
    for line in wrap(&text, style.cells(), 2) {
        let _ = writeln!(out, "{}", style.paint(tone, &line));
    }
}

/// `62 decided, 2 cut (1 of them missed what another found), 20 not judged; 5 212 schedules; 1.2 s`.
pub(crate) fn sum(tally: &Tally) -> String {
    let numbers = [
        (tally.decided, "decided"),
        (tally.bounded, "bounded"),
        (tally.sampled, "sampled"),
        (tally.cut, "cut"),
        (tally.refused, "not judged"),
    ];
    let mut verdicts: Vec<String> =
        numbers.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    if tally.missed > 0 {
        verdicts.push(format!("{} missed what another found", tally.missed));
    }
    let mut parts = vec![verdicts.join(", ")];
    if tally.states > 0 {
        parts.push(counted(tally.states, "state"));
    }
    if tally.schedules > 0 {
        parts.push(counted(tally.schedules, "schedule"));
    }
    parts.push(duration(tally.seconds));
    parts.join("; ")
}

/// `62 verdicts compared, all engines agree`, and how it is to be taken.
pub(crate) fn verdict(verdicts: &Verdicts) -> (Tone, String) {
    let questions = agreement::questions(verdicts);
    let compared = questions.iter().filter(|question| question.is_compared()).count();
    let contradicted = questions.iter().filter(|question| question.is_contradicted()).count();
    let of = counted(compared as u64, "verdict");
    match (compared, contradicted) {
        (0, _) => (Tone::Doubt, "no verdict compared: nowhere have two engines an answer".into()),
        (_, 0) => (Tone::Good, format!("{of} compared, all engines agree")),
        (_, wrong) => (Tone::Alarm, format!("{of} compared, the engines contradict each other in {wrong}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::table::table;

    fn plain(verdicts: &Verdicts, width: usize) -> String {
        table(verdicts, Style { color: false, width })
    }

    #[test]
    fn engines_stand_side_by_side() {
        insta::assert_snapshot!(plain(&samples::by_three_engines(), 80), @r#"
                           explore          loom             shuttle        processes
        stale-ro-cache-after-rw-write: fresh
          v1_24            ✓ proved 1.2k    ✓ proved 2.6k    ~ sampled 1k   ·
          pr_473           ✗ violated 1.2k  ✗ violated 2.6k  ✗ violated 1k  ✗ violated
        stale-ro-cache-after-rw-write: exclusive
          v1_24            ✓ proved 1.2k    ✗ violated 2.6k  –              ·
        abba-layer-locks: no-deadlock
          v1_24            ✓ proved 1.2k    ? cut 2.6k       ~ sampled 1k   ·
          per_layer_locks  ✗ violated 1.2k  –                ~ sampled 1k   ·
        writer-starvation: no-starvation-strong
          v1_24            ✗ violated 1.2k  –                –              ·
          pr_473           ✗ violated 1.2k  –                –              ·

        !! stale-ro-cache-after-rw-write · exclusive · v1_24: explore says proved, loom
           says violated
           lockproof check stale-ro-cache-after-rw-write -p v1_24 --property exclusive --engine explore,loom
        ~  shuttle, 3 verdicts: sampled, 1 000 schedules
        ?  abba-layer-locks · no-deadlock · v1_24 (loom): cut, more than 5 000
           executions
        –  loom, 1 verdict of abba-layer-locks: not judged, it has 6 threads, and loom
           has room for 5
        –  shuttle, 1 verdict of stale-ro-cache-after-rw-write: not judged, it does not
           judge exclusive
        –  loom and shuttle, 4 verdicts of writer-starvation: not judged, it judges
           finite runs, and no-starvation-strong is about endless ones

        explore  7 decided; 7 404 states; 0.8 s
        loom     3 decided, 1 cut, 3 not judged; 7 818 schedules; 0.4 s
        shuttle  1 decided, 3 sampled, 3 not judged, 1 missed what another found; 4 000
                 schedules; 0.5 s
        3 verdicts compared, the engines contradict each other in 1
        16 verdicts, none unexpected; 4 left open; 1 cut short; 7 404 states; 11 819
          schedules run one by one; 1.8 s of work
        "#);
    }

    #[test]
    fn engines_that_agree_are_told_in_a_line() {
        let mut verdicts = samples::by_three_engines();
        verdicts.rows.retain(|row| row.property == Property::Fresh);
        verdicts.refused.clear();
        insta::assert_snapshot!(plain(&verdicts, 100), @r#"
                  explore          loom             shuttle        processes
        stale-ro-cache-after-rw-write: fresh
          v1_24   ✓ proved 1.2k    ✓ proved 2.6k    ~ sampled 1k   ·
          pr_473  ✗ violated 1.2k  ✗ violated 2.6k  ✗ violated 1k  ✗ violated

        ~  stale-ro-cache-after-rw-write · fresh · v1_24 (shuttle): sampled, 1 000 schedules

        explore  2 decided; 2 468 states; 0.2 s
        loom     2 decided; 5 212 schedules; 0.2 s
        shuttle  1 decided, 1 sampled; 2 000 schedules; 0.2 s
        2 verdicts compared, all engines agree
        7 verdicts, none unexpected; 1 left open; 2 468 states; 7 213 schedules run one by one; 0.9 s of
          work
        "#);
    }

    #[test]
    fn figures_go_first_and_then_words() {
        let mut verdicts = samples::by_three_engines();
        verdicts.rows.truncate(7);
        verdicts.refused.truncate(1);
        insta::assert_snapshot!(plain(&verdicts, 66), @r#"
                           explore     loom        shuttle     processes
        stale-ro-cache-after-rw-write: fresh
          v1_24            ✓ proved    ✓ proved    ~ sampled   ·
          pr_473           ✗ violated  ✗ violated  ✗ violated  ✗ violated
        abba-layer-locks: no-deadlock
          per_layer_locks  ·           –           ·           ·

        ~  stale-ro-cache-after-rw-write · fresh · v1_24 (shuttle):
           sampled, 1 000 schedules
        –  loom, 1 verdict of abba-layer-locks: not judged, it has 6
           threads, and loom has room for 5

        explore  2 decided; 2 468 states; 0.2 s
        loom     2 decided, 1 not judged; 5 212 schedules; 0.2 s
        shuttle  1 decided, 1 sampled; 2 000 schedules; 0.2 s
        2 verdicts compared, all engines agree
        7 verdicts, none unexpected; 1 left open; 2 468 states; 7 213
          schedules run one by one; 0.9 s of work
        "#);
        insta::assert_snapshot!(plain(&verdicts, 0), @r#"
                       expl…  loom  shut…  proc…
        stale-ro-cache-after-rw-write: fresh
          v1_24        ✓      ✓     ~      ·
          pr_473       ✗      ✗     ✗      ✗
        abba-layer-locks: no-deadlock
          per_layer_…  ·      –     ·      ·

        ~  stale-ro-cache-after-rw-write · fresh
           · v1_24 (shuttle): sampled, 1 000
           schedules
        –  loom, 1 verdict of abba-layer-locks:
           not judged, it has 6 threads, and
           loom has room for 5

        explore  2 decided; 2 468 states; 0.2 s
        loom     2 decided, 1 not judged; 5 212
                 schedules; 0.2 s
        shuttle  1 decided, 1 sampled; 2 000
                 schedules; 0.2 s
        2 verdicts compared, all engines agree
        7 verdicts, none unexpected; 1 left
          open; 2 468 states; 7 213 schedules
          run one by one; 0.9 s of work
        "#);
    }

    #[test]
    fn no_line_is_too_wide_and_colour_changes_no_text() {
        let verdicts = samples::by_three_engines();
        for width in 0..120 {
            let text = crate::traces::without_color(&table(&verdicts, Style { color: true, width }));
            assert_eq!(text, plain(&verdicts, width));
            for line in text.lines().filter(|line| !line.contains("lockproof check")) {
                assert!(cells(line) <= width.max(Style::WIDTH_MIN), "{line:?} is wider than {width}");
            }
        }
    }
}
