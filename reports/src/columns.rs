//! A trace as columns, one for each thread that takes part: time goes down, and who does what stands in their column.
//!
//! ```text
//!  step  puller                      reader
//!     1  ▶ put-layer b               │
//!     2  W(layers) granted           │
//!     3  │                           ▶ names b
//!     4  │                           R(layers) waits for puller (W)
//! ```
//!
//! Where the columns would become too narrow to be read, each line begins with the name of its thread instead.

use std::fmt::Write as _;

use lockproof_model::machine::Pending;
use lockproof_model::trace::Trace;

use crate::fold::fold;
use crate::story::{Item, Kind, Story, tell};
use crate::style::{Style, Tone};
use crate::summary;
use crate::text::{cells, pad, shorten, wrap};

/// The narrowest column that can be read.
const COLUMN_MIN: usize = 22;
/// The widest column that is of use.
const COLUMN_MAX: usize = 72;
/// The gap between two columns.
const GAP: usize = 2;

/// What of a trace is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail<'a> {
    /// Also what happens inside a process (mutexes, plain cells, probes, temporary files, clocks), and locks and
    /// documents that have no part in what goes wrong.
    pub verbose: bool,
    /// What each thread stands before at the end, if that is known: it is told of those that cannot go on, and of those
    /// that race.
    pub pending: &'a [Pending],
}

/// The trace; `processes` are their names, in order. The last lines say who still waits and how much was left out.
#[must_use]
pub fn columns(trace: &Trace, processes: &[String], detail: Detail<'_>, style: Style) -> String {
    let mut story = tell(trace, detail.pending, processes, detail.verbose);
    let on_the_way = if detail.verbose { 0 } else { fold(&mut story) };
    let page = Page::new(&story, style);
    let mut out = String::new();
    page.heading(&mut out, &story);
    for item in &story.items {
        page.item(&mut out, item, "", Tone::Plain);
    }
    if story.is_lasso {
        page.rule(&mut out, "┌ repeats for ever");
        for item in &story.cycle {
            page.item(&mut out, item, "│", Tone::Doubt);
        }
        for waiting in &story.waiting {
            page.sentence(&mut out, "│ ", &format!("all the while {waiting}"), Tone::Doubt);
        }
        page.rule(&mut out, "└");
    } else {
        for waiting in &story.waiting {
            page.sentence(&mut out, "", &format!("at the end {waiting}"), Tone::Doubt);
        }
    }
    if story.folded + on_the_way > 0 {
        page.sentence(&mut out, "", &format!("({})", summary::folded(story.folded, on_the_way)), Tone::Faint);
    }
    out
}

/// Where things stand on the page.
struct Page {
    style: Style,
    /// Cells for the numbers of the steps.
    number: usize,
    lanes: Lanes,
    /// Cells left of the numbers: for the border of a cycle, and for the mark of what is wrong.
    margin: usize,
}

enum Lanes {
    /// Beside each other, each so wide.
    Beside(Vec<usize>),
    /// Below each other, each line after the name of its thread, shortened to a common width.
    Below(Vec<String>, usize),
}

impl Page {
    fn new(story: &Story, style: Style) -> Self {
        let all = || story.items.iter().chain(&story.cycle);
        let number = all().map(|item| item.step.to_string().len()).max().unwrap_or(1).max("step".len());
        let margin = if story.is_lasso { 4 } else { 2 };
        let room = style.cells() - margin - number;
        let natural: Vec<usize> = story
            .lanes
            .iter()
            .enumerate()
            .map(|(lane, name)| {
                let own = all().filter(|item| item.lane == lane && item.kind != Kind::Wrong);
                own.map(|item| cells(&item.text)).max().unwrap_or(0).max(cells(name)).min(COLUMN_MAX)
            })
            .collect();
        let lanes = match share(&natural, room) {
            Some(widths) => Lanes::Beside(widths),
            None => {
                let widest = story.lanes.iter().map(|name| cells(name)).max().unwrap_or(0).min(room / 3);
                Lanes::Below(story.lanes.iter().map(|name| shorten(name, widest)).collect(), widest)
            }
        };
        Self { style, number, lanes, margin }
    }

    fn heading(&self, out: &mut String, story: &Story) {
        let Lanes::Beside(widths) = &self.lanes else { return };
        let mut text = " ".repeat(self.margin);
        text.push_str(&self.style.paint(Tone::Faint, &pad("step", self.number)));
        for (name, width) in story.lanes.iter().zip(widths) {
            text.push_str(&" ".repeat(GAP));
            text.push_str(&self.style.paint(Tone::Heading, &pad(&shorten(name, *width), *width)));
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }

    fn item(&self, out: &mut String, item: &Item, border: &str, border_tone: Tone) {
        if item.kind == Kind::Wrong {
            let border = if border.is_empty() { String::new() } else { format!("{border} ") };
            self.sentence(out, &format!("{border}✗ "), &item.text, Tone::Alarm);
            return;
        }
        let tone = tone(item);
        let lines = match &self.lanes {
            Lanes::Beside(widths) => wrap(&item.text, widths[item.lane], 2),
            Lanes::Below(_, widest) => {
                wrap(&item.text, self.style.cells() - self.margin - self.number - 2 * GAP - widest, 2)
            }
        };
        for (index, line) in lines.iter().enumerate() {
            let number = if index == 0 { item.step.to_string() } else { String::new() };
            let mark = if item.wrong && index == 0 { "✗ " } else { "  " };
            let mut text = self.style.paint(border_tone, &pad(border, self.margin - 2));
            text.push_str(&self.style.paint(Tone::Alarm, mark));
            text.push_str(&self.style.paint(Tone::Faint, &format!("{number:>width$}", width = self.number)));
            match &self.lanes {
                Lanes::Beside(widths) => {
                    for (lane, width) in widths.iter().enumerate() {
                        text.push_str(&" ".repeat(GAP));
                        text.push_str(&if lane == item.lane {
                            self.style.paint(tone, &pad(line, *width))
                        } else {
                            self.style.paint(Tone::Faint, &pad("│", *width))
                        });
                    }
                }
                Lanes::Below(names, widest) => {
                    let name = if index == 0 { names[item.lane].as_str() } else { "" };
                    text.push_str(&" ".repeat(GAP));
                    text.push_str(&self.style.paint(Tone::Heading, &pad(name, *widest)));
                    text.push_str(&" ".repeat(GAP));
                    text.push_str(&self.style.paint(tone, line));
                }
            }
            let _ = writeln!(out, "{}", text.trim_end());
        }
    }

    /// A line across the page.
    fn rule(&self, out: &mut String, beginning: &str) {
        let width = match &self.lanes {
            Lanes::Beside(widths) => self.margin + self.number + widths.iter().map(|width| width + GAP).sum::<usize>(),
            Lanes::Below(..) => self.style.cells(),
        };
        let gap = if cells(beginning) > 1 { " " } else { "" };
        let used = cells(beginning) + gap.len();
        let rule = format!("{beginning}{gap}{}", "─".repeat(width.saturating_sub(used)));
        let _ = writeln!(out, "{}", self.style.paint(Tone::Doubt, &rule));
    }

    /// A sentence across the page, `beginning` before each of its lines.
    fn sentence(&self, out: &mut String, beginning: &str, text: &str, tone: Tone) {
        let rest = beginning.replace('✗', " ");
        for (index, line) in wrap(text, self.style.cells() - cells(beginning), 2).iter().enumerate() {
            let beginning = if index == 0 { beginning } else { &rest };
            let _ = writeln!(out, "{}", self.style.paint(tone, &format!("{beginning}{line}")));
        }
    }
}

fn tone(item: &Item) -> Tone {
    match item.kind {
        _ if item.wrong => Tone::Bad,
        Kind::Begins | Kind::Ends => Tone::Call,
        Kind::Step => Tone::Plain,
        Kind::Inner => Tone::Faint,
        Kind::Waits => Tone::Doubt,
        Kind::Died | Kind::Wrong => Tone::Bad,
    }
}

/// How wide each column becomes: what it needs, where there is room; else those that need less than an equal share get
/// what they need, and the others share the rest. `None` if a column would become too narrow to be read.
fn share(natural: &[usize], room: usize) -> Option<Vec<usize>> {
    let mut left = room.checked_sub(natural.len() * GAP)?;
    let mut order: Vec<usize> = (0..natural.len()).collect();
    order.sort_by_key(|&lane| natural[lane]);
    let mut widths = vec![0; natural.len()];
    for (done, &lane) in order.iter().enumerate() {
        let equal = left / (natural.len() - done);
        if equal < natural[lane] && equal < COLUMN_MIN {
            return None;
        }
        widths[lane] = natural[lane].min(equal);
        left -= widths[lane];
    }
    Some(widths)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::traces;

    fn plain(trace: &Trace, processes: &[&str], width: usize) -> String {
        let processes: Vec<String> = processes.iter().map(|&name| name.into()).collect();
        columns(trace, &processes, Detail::default(), Style { color: false, width })
    }

    #[test]
    fn the_stale_read_of_the_discussion() {
        insta::assert_snapshot!(plain(&traces::stale_read(), &["podman"], 100), @r#"
          step  podman
             1  ▶ open … ◀ done
            73  ▶ names foo
            96  reads layers.json: [base]
            98  s.roLayerStore := #2
           117  R(layers) granted
           124  Modified? yes: stamp(layers) is s1, seen for the first time
           127  reads layers.json: [base]
           129  finds [base] in #2.cache
           175  U(layers)
           178  ◀ error: ErrLayerUnknown
           179  ▶ put-layer foo on base
           205  reads layers.json: [base]
           226  s.layerStore := #3
           245  W(layers) granted
           252  Modified? unchanged: stamp(layers) is s1
           273  reads layers.json: [base]
           327  layers.json := [base, foo]
           332  stamp(layers) → s2
           360  U(layers)
           363  ◀ foo
           364  ▶ names foo
           398  R(layers) granted
           405  Modified? unchanged: stamp(layers) is s2
           408  finds [base] in #2.cache
           454  U(layers)
        ✗  457  ◀ error: ErrLayerUnknown
        ✗ names foo failed with ErrLayerUnknown, but foo was there from before the call to its end
        (not shown: 384 steps inside the processes, 47 on locks that have no part in this; -v shows all)
        "#);
    }

    #[test]
    fn everything_is_told_where_it_is_asked_for() {
        let trace = traces::stale_read();
        let detail = Detail { verbose: true, ..Detail::default() };
        let text = columns(&trace, &["podman".into()], detail, Style::PLAIN);
        let steps = tell(&trace, &[], &[], true).items.into_iter().map(|item| item.step);
        assert_eq!(steps.collect::<BTreeSet<usize>>().len(), trace.events.len());
        assert!(!text.contains("not shown"));
        let first: String = text.lines().take(24).map(|line| format!("{line}\n")).collect();
        insta::assert_snapshot!(first, @r#"
        step  podman
           1  ▶ open
           1  locks storesLock
           2  gets s.isInStores: nil
           3  locks lockfilesLock
           4  gets lockfiles[storage.lock]: nil
           5  opens and closes storage.lock
           6  lockfiles[storage.lock] := no
           7  unlocks lockfilesLock
           8  W-locks storage.lock:rwMutex
           9  locks storage.lock:stateMutex
          10  gets storage.lock:state: nil
          11  begins a round of F_SETLKW (1)
          12  W(graph) granted
          13  storage.lock:state := [1, yes, yes, no]
          14  unlocks storage.lock:stateMutex
          15  gets s.lastLoaded: nil
          16  storage.lock was written at t2
          17  s.graphDriver := nil
          18  s.layerStore := nil
          19  s.roLayerStore := nil
          20  it is t3
          21  s.lastLoaded := t3
          22  gets s.graphDriver: nil
        "#);
    }

    #[test]
    fn a_deadlock_of_two_processes() {
        insta::assert_snapshot!(plain(&traces::deadlock(), &["pull", "delete"], 100), @r#"
          step  pull                              delete
             1  ▶ put-layer b on a with contents  │
             1  R(a) granted                      │
             2  │                                 ▶ delete-layer b
             3  │                                 W(b) granted
             4  W(b) waits for delete (W)         │
        ✗    6  │                                 W(a) refused (EDEADLK), held by pull
        ✗ pull and delete wait for each other for ever
        at the end pull waits for W(b), kept from it by delete (W)
        (not shown: 2 steps inside the processes; -v shows all)
        "#);
    }

    #[test]
    fn a_writer_that_starves() {
        insta::assert_snapshot!(plain(&traces::lasso(), &["writer", "reader", "other reader"], 100), @r#"
            step  writer                          reader             other reader
               1  │                               ▶ names base       │
               1  │                               R(layers) granted  │
               2  ▶ put-layer b                   │                  │
               2  W(layers) waits for reader (R)  │                  │
        ┌ repeats for ever ───────────────────────────────────────────────────────────
        │      3  │                               │                  ▶ names base
        │      3  │                               │                  R(layers) granted
        │      4  │                               U(layers)          │
        │      4  │                               ◀ [base]           │
        │      5  │                               ▶ names base       │
        │      5  │                               R(layers) granted  │
        │ ✗    6  │                               │                  U(layers)
        │ ✗    6  │                               │                  ◀ [base]
        │ ✗ writer waits for W(layers) for ever, though it is fair
        │ all the while writer waits for W(layers), kept from it by reader (R); in each round it is granted
        │   to others 2 times
        └─────────────────────────────────────────────────────────────────────────────
        "#);
    }

    #[test]
    fn a_lost_update_a_kill_and_a_panic() {
        insta::assert_snapshot!(plain(&traces::lost_update(), &["a", "b"], 100), @r#"
          step  a                                                                 b
             1  ▶ put-layer x as n                                                │
             1  reads layers.json: [base]                                         │
             2  │                                                                 ▶ put-layer y as n
             2  │                                                                 W(layers) granted
             3  │                                                                 reads layers.json: [base]
             4  │                                                                 layers.json := [base, y]
             5  │                                                                 stamp(layers) → s2
             6  │                                                                 ☠ b is killed
        ✗    7  layers.json := [base, x], made from [base] but it held [base, y]  │
        ✗ the layer y of b is lost
             8  ◀ error: ErrLayerUnknown                                          │
             9  ☠ panics: calling Unlock on\nunlocked lock                        │
        (not shown: 1 step inside the process; -v shows all)
        "#);
    }

    #[test]
    fn threads_race_for_a_cell() {
        insta::assert_snapshot!(plain(&traces::race(), &["podman"], 100), @r#"
          step  podman.T1                      podman.T2                       podman.T3
             1  ▶ names base                   │                               │
             2  R(layers) granted              │                               │
             3  │                              ▶ names base                    │
             3  │                              R(layers) granted, the process  │
                │                                has it                        │
             4  │                              │                               ▶ delete-layer base
             4  │                              │                               W(layers) waits for T1 (R)
                │                              │                                 and T2 (R)
             6  Modified? yes: stamp(layers)   │                               │
                  is s3, seen for the first    │                               │
                  time                         │                               │
             7  │                              Modified? yes: stamp(layers)    │
                │                                is s3, seen for the first     │
                │                                time                          │
             8  layers.lock:lw := s3           │                               │
        ✗    9  │                              layers.lock:lw := s3            │
        ✗ two threads write layers.lock:lw, and nothing orders them
            10  │                              U(layers), the process keeps    │
                │                                it                            │
        at the end podman.T3 waits for W(layers), kept from it by T1 (R)
        (not shown: 3 steps inside the processes; -v shows all)
        "#);
    }

    #[test]
    fn narrow_pages_name_the_thread_on_each_line() {
        insta::assert_snapshot!(plain(&traces::lasso(), &["writer", "reader", "other reader"], 60), @r#"
               1  reader        ▶ names base
               1  reader        R(layers) granted
               2  writer        ▶ put-layer b
               2  writer        W(layers) waits for reader (R)
        ┌ repeats for ever ─────────────────────────────────────────
        │      3  other reader  ▶ names base
        │      3  other reader  R(layers) granted
        │      4  reader        U(layers)
        │      4  reader        ◀ [base]
        │      5  reader        ▶ names base
        │      5  reader        R(layers) granted
        │ ✗    6  other reader  U(layers)
        │ ✗    6  other reader  ◀ [base]
        │ ✗ writer waits for W(layers) for ever, though it is fair
        │ all the while writer waits for W(layers), kept from it by
        │   reader (R); in each round it is granted to others 2
        │   times
        └───────────────────────────────────────────────────────────
        "#);
    }

    #[test]
    fn narrow_columns_wrap() {
        insta::assert_snapshot!(plain(&traces::deadlock(), &["pull", "delete"], 60), @r#"
          step  pull                       delete
             1  ▶ put-layer b on a with    │
                  contents                 │
             1  R(a) granted               │
             2  │                          ▶ delete-layer b
             3  │                          W(b) granted
             4  W(b) waits for delete (W)  │
        ✗    6  │                          W(a) refused (EDEADLK),
                │                            held by pull
        ✗ pull and delete wait for each other for ever
        at the end pull waits for W(b), kept from it by delete (W)
        (not shown: 2 steps inside the processes; -v shows all)
        "#);
    }

    #[test]
    fn an_empty_trace_has_a_heading_alone() {
        assert_eq!(plain(&Trace::default(), &[], 80), "  step\n");
    }

    #[test]
    fn no_line_is_too_wide_and_none_is_coloured_unasked() {
        let names = ["a process with a rather long name".to_owned(), "層層層\u{1b}[31m".to_owned()];
        for trace in traces::all() {
            for width in 0..140 {
                for verbose in [false, true] {
                    let draw = |color| {
                        columns(&trace, &names, Detail { verbose, ..Detail::default() }, Style { color, width })
                    };
                    let text = draw(false);
                    assert!(!text.contains('\u{1b}'));
                    for line in text.lines() {
                        assert!(cells(line) <= width.max(Style::WIDTH_MIN), "{line:?} is wider than {width}");
                        assert_eq!(line.trim_end(), line);
                    }
                    assert_eq!(trimmed(&traces::without_color(&draw(true))), text, "colour changes no text");
                }
            }
        }
    }

    fn trimmed(text: &str) -> String {
        text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}
