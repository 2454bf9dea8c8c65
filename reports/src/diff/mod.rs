//! What a change of the protocol does: the verdicts that it turns, for better and for worse.
//!
//! The verdicts of two protocols on the same scenarios are laid side by side. To be proved is better than to be violated,
//! for every property: of a [wish](Property::is_wish) too, whose proof is a run that there is now.

mod json;
mod markdown;
mod page;

use lockproof_model::property::Property;
use lockproof_model::verdict::Verdict;

use crate::row::{Row, Verdicts, judges};

pub use json::report as json;
pub use markdown::report as markdown;
pub use page::page;

/// Two protocols, and what a check of both came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Diff {
    /// The protocol before the change.
    pub before: String,
    /// The protocol after it.
    pub after: String,
    /// The verdicts under both.
    pub verdicts: Verdicts,
    /// What is known of each scenario.
    pub scenarios: Vec<About>,
}

/// What is known of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The remarks that it answers: `D14`, and who said what.
    pub remarks: Vec<(String, String)>,
}

/// A property of a scenario under both protocols.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) before: &'a Row,
    pub(crate) after: &'a Row,
}

impl<'a> Pair<'a> {
    pub(crate) fn property(self) -> Property {
        self.before.property
    }
}

/// What runs the run again that shows a verdict, if one does.
fn replay(row: &Row) -> Option<String> {
    let schedule = row.schedule.as_ref().filter(|_| row.verdict.is_shown_by_a_run(row.property))?;
    Some(format!("lockproof replay {} -p {} --schedule {schedule}", row.argument, row.protocol))
}

/// The verdicts of a diff, sorted.
#[derive(Debug, Default)]
pub(crate) struct Sorted<'a> {
    /// Violated before, and proved after.
    pub(crate) better: Vec<Pair<'a>>,
    /// Proved before, and violated after.
    pub(crate) worse: Vec<Pair<'a>>,
    /// Proved under both.
    pub(crate) proved: usize,
    /// Violated under both.
    pub(crate) violated: Vec<Pair<'a>>,
    /// At least one of the two is no answer.
    pub(crate) open: Vec<Pair<'a>>,
    /// The scenario makes sense for one of the two alone.
    pub(crate) alone: Vec<&'a Row>,
}

impl Diff {
    pub(crate) fn sorted(&self) -> Sorted<'_> {
        let mut sorted = Sorted::default();
        let rows = || self.verdicts.rows.iter().filter(|row| judges(&row.engine));
        let same = |row: &Row, other: &Row| (&row.scenario, row.property) == (&other.scenario, other.property);
        for row in rows().filter(|row| row.protocol == self.before) {
            let Some(after) = rows().find(|other| other.protocol == self.after && same(row, other)) else {
                sorted.alone.push(row);
                continue;
            };
            let pair = Pair { before: row, after };
            match (&row.verdict, &after.verdict) {
                (Verdict::Violated, Verdict::Proved) => sorted.better.push(pair),
                (Verdict::Proved, Verdict::Violated) => sorted.worse.push(pair),
                (Verdict::Proved, Verdict::Proved) => sorted.proved += 1,
                (Verdict::Violated, Verdict::Violated) => sorted.violated.push(pair),
                _ => sorted.open.push(pair),
            }
        }
        let is_before = |row: &Row| rows().any(|other| other.protocol == self.before && same(row, other));
        sorted.alone.extend(rows().filter(|row| row.protocol == self.after && !is_before(row)));
        sorted
    }

    pub(crate) fn about(&self, scenario: &str) -> Option<&About> {
        self.scenarios.iter().find(|about| about.name == scenario)
    }

    /// The verdicts that are not what their scenario's file expects.
    pub(crate) fn unexpected(&self) -> impl Iterator<Item = &Row> {
        self.verdicts.rows.iter().filter(|row| !row.as_expected)
    }
}

impl Sorted<'_> {
    /// `2 verdicts for better, 7 for worse; 60 unchanged (40 proved, 20 violated); 1 left open; 4 not for both`.
    pub(crate) fn headline(&self) -> String {
        let verdicts = |number: usize| if number == 1 { "1 verdict".to_owned() } else { format!("{number} verdicts") };
        let unchanged = self.proved + self.violated.len();
        let mut parts = vec![match (self.better.len(), self.worse.len()) {
            (0, 0) => "no verdict turned".to_owned(),
            (0, worse) => format!("{} for worse, none for better", verdicts(worse)),
            (better, 0) => format!("{} for better, none for worse", verdicts(better)),
            (better, worse) => format!("{} for better, {worse} for worse", verdicts(better)),
        }];
        parts.push(match unchanged {
            0 => "none unchanged".to_owned(),
            _ => format!("{unchanged} unchanged ({} proved, {} violated)", self.proved, self.violated.len()),
        });
        if !self.open.is_empty() {
            parts.push(format!("{} left open", self.open.len()));
        }
        if !self.alone.is_empty() {
            parts.push(format!("{} not for both", self.alone.len()));
        }
        parts.join("; ")
    }

    /// The properties of the verdicts that turned, each once.
    pub(crate) fn properties(&self) -> Vec<Property> {
        let mut properties: Vec<Property> = self.better.iter().chain(&self.worse).map(|pair| pair.property()).collect();
        properties.sort_unstable();
        properties.dedup();
        properties
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Style;
    use crate::samples::row;

    /// A change that frees readers, and pays for it: one verdict of each kind.
    fn diff() -> Diff {
        use Property::{Exclusive, Fresh, NoPanic, NoStarvationStrong, ParallelReads};
        use Verdict::{Cut, Proved, Violated};
        let mut rows = Vec::new();
        let mut add = |scenario: &str, property: Property, before: Option<Verdict>, after: Option<Verdict>| {
            for (protocol, verdict) in [("v1_24", before), ("pr_473", after)] {
                let Some(verdict) = verdict else { continue };
                let shown = verdict.is_shown_by_a_run(property);
                let mut row = row(scenario, property, protocol, verdict);
                row.schedule = shown.then(|| format!("lk1:A2.B-{}", if protocol == "v1_24" { "0b1" } else { "0a1" }));
                row.detail = if shown { format!("{property} is seen in a run") } else { String::new() };
                rows.push(row);
            }
        };
        add("list-while-push", NoStarvationStrong, Some(Violated), Some(Proved));
        add("list-while-push", ParallelReads, Some(Violated), Some(Proved));
        add("stale-ro-cache", Fresh, Some(Proved), Some(Violated));
        add("stale-ro-cache", ParallelReads, Some(Proved), Some(Violated));
        add("stale-ro-cache", Exclusive, Some(Violated), Some(Violated));
        add("stale-ro-cache", NoPanic, Some(Proved), Some(Proved));
        add("large", Fresh, Some(Proved), Some(Cut("20 000 000 states".into())));
        add("shutdown-ro", NoPanic, None, Some(Violated));
        add("recursive-lock", NoPanic, Some(Proved), None);
        let about = |name: &str, title: &str, remarks: &[(&str, &str)]| About {
            name: name.into(),
            title: title.into(),
            remarks: remarks.iter().map(|(id, said)| ((*id).to_owned(), (*said).to_owned())).collect(),
        };
        Diff {
            before: "v1_24".into(),
            after: "pr_473".into(),
            verdicts: Verdicts { rows, ..Verdicts::default() },
            scenarios: vec![
                about("list-while-push", "Does a listing get in", &[("D1", "commit message: in parallel")]),
                about("stale-ro-cache", "A read-only cache goes stale", &[("D14", "mtrmac: what happens now?")]),
                about("shutdown-ro", "ShutdownRO after a write", &[("D10", "mtrmac: the caller must know")]),
                about("large", "Too large", &[]),
                about("recursive-lock", "A lock taken twice", &[]),
            ],
        }
    }

    #[test]
    fn a_page_says_what_turned_and_what_is_seen() {
        insta::assert_snapshot!(page(&diff(), Style { color: false, width: 80 }), @r#"
        For better: 2 ──────────────────────────────────────────────────────────────────

        Does a listing get in
        list-while-push
          no-starvation-strong: ✗ violated → ✓ proved
            v1_24: no-starvation-strong is seen in a run
            lockproof replay list-while-push -p v1_24 --schedule lk1:A2.B-0b1
          parallel-reads: ✗ violated → ✓ proved
            pr_473: parallel-reads is seen in a run
            lockproof replay list-while-push -p pr_473 --schedule lk1:A2.B-0a1
          D1, commit message: in parallel

        For worse: 2 ───────────────────────────────────────────────────────────────────

        A read-only cache goes stale
        stale-ro-cache
          fresh: ✓ proved → ✗ violated
            pr_473: fresh is seen in a run
            lockproof replay stale-ro-cache -p pr_473 --schedule lk1:A2.B-0a1
          parallel-reads: ✓ proved → ✗ violated
            v1_24: parallel-reads is seen in a run
            lockproof replay stale-ro-cache -p v1_24 --schedule lk1:A2.B-0b1
          D14, mtrmac: what happens now?

        Not for both: 2 ────────────────────────────────────────────────────────────────

        A lock taken twice
        recursive-lock
          no-panic: ✓ proved under v1_24, and not for pr_473

        ShutdownRO after a write
        shutdown-ro
          no-panic: ✗ violated under pr_473, and not for v1_24
            pr_473: no-panic is seen in a run
            lockproof replay shutdown-ro -p pr_473 --schedule lk1:A2.B-0a1
          D10, mtrmac: the caller must know

        Left open: 1 ───────────────────────────────────────────────────────────────────

        Too large
        large
          fresh: ✓ proved → ? cut
            pr_473: 20 000 000 states

        fresh: every read returns what was true of the store at some moment between call
          and return
        no-starvation-strong: nobody waits for a lock file for ever, if whoever can go
          on again and again does
        parallel-reads: two readers are inside at once in some run

        v1_24 → pr_473: 2 verdicts for better, 2 for worse; 2 unchanged (1 proved, 1
          violated); 1 left open; 2 not for both
        "#);
    }

    #[test]
    fn readers_that_are_parallel_now_are_a_gain_and_the_run_is_the_new_protocols() {
        let diff = diff();
        let sorted = diff.sorted();
        let of = |pairs: &[Pair<'_>]| -> Vec<(Property, Option<String>, Option<String>)> {
            pairs.iter().map(|pair| (pair.property(), replay(pair.before), replay(pair.after))).collect()
        };
        let gained = Some("lockproof replay list-while-push -p pr_473 --schedule lk1:A2.B-0a1".to_owned());
        assert_eq!(of(&sorted.better)[1], (Property::ParallelReads, None, gained));
        let lost = Some("lockproof replay stale-ro-cache -p v1_24 --schedule lk1:A2.B-0b1".to_owned());
        assert_eq!(of(&sorted.worse)[1], (Property::ParallelReads, lost, None));
    }

    #[test]
    fn the_other_way_round_what_was_better_is_worse() {
        let (there, mut back) = (diff(), diff());
        std::mem::swap(&mut back.before, &mut back.after);
        let (there, back) = (there.sorted(), back.sorted());
        assert_eq!((there.better.len(), there.worse.len()), (back.worse.len(), back.better.len()));
        assert_eq!((there.proved, there.violated.len()), (back.proved, back.violated.len()));
        assert_eq!((there.open.len(), there.alone.len()), (back.open.len(), back.alone.len()));
        assert_eq!(
            there.headline(),
            "2 verdicts for better, 2 for worse; 2 unchanged (1 proved, 1 violated); 1 left open; 2 not for both"
        );
    }

    #[test]
    fn a_comment_says_the_same() {
        insta::assert_snapshot!(markdown(&diff()), @r#"
        **v1\_24 → pr\_473: 2 verdicts for better, 2 for worse; 2 unchanged (1 proved, 1 violated); 1 left open; 2 not for both**

        ### For better

        | scenario | property | v1\_24 | pr\_473 | answers |
        | --- | --- | --- | --- | --- |
        | Does a listing get in | no-starvation-strong | ✗ violated | ✓ proved | D1 |
        | Does a listing get in | parallel-reads | ✗ violated | ✓ proved | D1 |

        <details><summary>What is seen, and whose remark that answers</summary>

        - `list-while-push`
          - no-starvation-strong under v1\_24: no-starvation-strong is seen in a run
            `lockproof replay list-while-push -p v1_24 --schedule lk1:A2.B-0b1`
          - parallel-reads under pr\_473: parallel-reads is seen in a run
            `lockproof replay list-while-push -p pr_473 --schedule lk1:A2.B-0a1`
          - D1, commit message: in parallel

        </details>

        ### For worse

        | scenario | property | v1\_24 | pr\_473 | answers |
        | --- | --- | --- | --- | --- |
        | A read-only cache goes stale | fresh | ✓ proved | ✗ violated | D14 |
        | A read-only cache goes stale | parallel-reads | ✓ proved | ✗ violated | D14 |

        <details><summary>What is seen, and whose remark that answers</summary>

        - `stale-ro-cache`
          - fresh under pr\_473: fresh is seen in a run
            `lockproof replay stale-ro-cache -p pr_473 --schedule lk1:A2.B-0a1`
          - parallel-reads under v1\_24: parallel-reads is seen in a run
            `lockproof replay stale-ro-cache -p v1_24 --schedule lk1:A2.B-0b1`
          - D14, mtrmac: what happens now?

        </details>

        ### Not compared

        - large · fresh: ✓ proved under v1\_24, ? cut under pr\_473
        - recursive-lock · no-panic: ✓ proved under v1\_24, and not for pr\_473
        - shutdown-ro · no-panic: ✗ violated under pr\_473, and not for v1\_24

        ### What the properties demand

        - *fresh*: every read returns what was true of the store at some moment between call and return
        - *no-starvation-strong*: nobody waits for a lock file for ever, if whoever can go on again and again does
        - *parallel-reads*: two readers are inside at once in some run
        "#);
    }

    #[test]
    fn another_program_gets_it_all() {
        let value: serde_json::Value = serde_json::from_str(&json(&diff())).unwrap();
        assert_eq!(
            (&value["version"], &value["before"], &value["after"]),
            (&1.into(), &"v1_24".into(), &"pr_473".into())
        );
        let count = |key: &str| value[key].as_array().map(Vec::len);
        assert_eq!(["better", "worse", "open", "alone"].map(count), [Some(2), Some(2), Some(1), Some(2)]);
        assert_eq!(value["worse"][0]["remarks"], serde_json::json!(["D14"]));
        assert_eq!(value["worse"][0]["after"]["schedule"], "lk1:A2.B-0a1");
        assert_eq!(value["open"][0]["after"]["limit"], "20 000 000 states");
        let still = serde_json::json!([{ "scenario": "stale-ro-cache", "property": "exclusive" }]);
        assert_eq!(value["unchanged"], serde_json::json!({ "proved": 1, "violated": 1, "still_violated": still }));
    }

    #[test]
    fn what_its_file_does_not_expect_is_marked() {
        let mut diff = diff();
        diff.verdicts.rows[1].as_expected = false;
        let text = page(&diff, Style::PLAIN);
        assert!(text.contains("→ ✓ proved !!"), "{text}");
        assert!(text.contains("!! list-while-push · no-starvation-strong · pr_473: proved, expected proved"), "{text}");
        assert!(markdown(&diff).contains("Not as the scenarios' files expect"));
    }

    #[test]
    fn no_line_is_too_wide() {
        for width in 56..120 {
            let text = page(&diff(), Style { color: false, width });
            for line in text.lines().filter(|line| !line.contains("lockproof replay")) {
                assert!(crate::text::cells(line) <= width, "{line:?} is wider than {width}");
            }
        }
    }
}
