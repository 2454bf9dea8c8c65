//! One verdict, as every report of verdicts takes it.

use lockproof_model::property::Property;
use lockproof_model::trace::Trace;
use lockproof_model::verdict::{Extent, Finding, Verdict};

/// What real processes are called among the engines. They judge nothing of their own: they do again what one has found.
pub const PROCESSES: &str = "processes";

/// What the real library is called among them. It does again, too.
pub const LIBRARY: &str = "library";

/// Whether an engine judges by itself, and does not only do again what another has found.
pub(crate) fn judges(engine: &str) -> bool {
    !AGAIN.contains(&engine)
}

/// Who does again what an engine has found, in the order in which they are shown.
pub(crate) const AGAIN: [&str; 2] = [PROCESSES, LIBRARY];

/// What a check came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdicts {
    /// The verdicts.
    pub rows: Vec<Row>,
    /// What was not judged.
    pub refused: Vec<Refusal>,
    /// The options of the command line on which the verdicts depend, as they are typed: `--seed 7`; may be empty.
    pub options: String,
}

/// A property of a scenario that an engine has no means to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The scenario's name.
    pub scenario: String,
    /// The protocol's name.
    pub protocol: String,
    /// The property.
    pub property: Property,
    /// The engine.
    pub engine: String,
    /// In a sentence, why.
    pub why: String,
}

/// A verdict on one property of one scenario under one protocol, by one engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The scenario's name.
    pub scenario: String,
    /// What the command line calls the scenario: its name, or its file.
    pub argument: String,
    /// The protocol's name.
    pub protocol: String,
    /// The property.
    pub property: Property,
    /// What found it: `explore`, `loom`, `processes`, ….
    pub engine: String,
    /// What was found.
    pub verdict: Verdict,
    /// The name of the verdict that was expected, if any was.
    pub expected: Option<String>,
    /// Whether the verdict is as it should be. The caller decides, as it knows which engines can prove what.
    pub as_expected: bool,
    /// Distinct states that were visited; 0 of an engine that knows none.
    pub states: u64,
    /// Schedules that were run one by one; 0 of an engine that does not.
    pub schedules: u64,
    /// How long it took.
    pub seconds: f64,
    /// How schedules were chosen, of an engine that may choose them in several ways: `pct, depth 3`.
    pub strategy: Option<String>,
    /// The seed that random schedules came from.
    pub seed: Option<u64>,
    /// Of a sample: at most so probably a mistake of the depth that was looked for was missed.
    pub missed_max: Option<f64>,
    /// The schedule that shows it, if there is one.
    pub schedule: Option<String>,
    /// The same in the engine's own writing, if it has one.
    pub own_schedule: Option<String>,
    /// Of real processes: the engine whose schedule they ran.
    pub found_by: Option<String>,
    /// In a sentence, what was found; may be empty.
    pub detail: String,
    /// The remarks of the discussion that it answers: `D14`.
    pub remarks: Vec<String>,
}

impl Row {
    /// The row of what an engine found, of which nothing is expected yet.
    #[must_use]
    pub fn of_finding(
        scenario: &str,
        protocol: &str,
        engine: &str,
        finding: &Finding,
        extent: Extent,
        seconds: f64,
    ) -> Self {
        Self {
            scenario: scenario.into(),
            argument: scenario.into(),
            protocol: protocol.into(),
            property: finding.property,
            engine: engine.into(),
            verdict: finding.verdict.clone(),
            expected: None,
            as_expected: true,
            states: extent.states,
            schedules: extent.executions,
            seconds,
            strategy: None,
            seed: None,
            missed_max: None,
            schedule: finding.trace.as_ref().map(Trace::schedule).map(|schedule| schedule.to_string()),
            own_schedule: None,
            found_by: None,
            detail: finding.detail.clone(),
            remarks: Vec::new(),
        }
    }

    /// The row with the verdict that is expected, which is as expected if it is that very one.
    #[must_use]
    pub fn expecting(self, verdict: &str) -> Self {
        Self { as_expected: self.verdict.name() == verdict, expected: Some(verdict.to_owned()), ..self }
    }

    /// What bound, sample or limit the verdict rests on, of those that rest on one.
    #[must_use]
    pub fn limit(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Bounded(limit) | Verdict::Sampled(limit) | Verdict::Cut(limit) => Some(limit),
            Verdict::Proved | Verdict::Violated => None,
        }
    }

    /// Whether an answer was expected, and that there is none surprises nobody.
    pub(crate) fn is_left_open(&self) -> bool {
        let expected = self.expected.as_deref().unwrap_or(Verdict::Proved.name());
        self.as_expected && self.verdict.name() != expected
    }

    /// In a few words, what is not as expected: `proved, expected violated`.
    #[must_use]
    pub(crate) fn surprise(&self) -> String {
        match &self.expected {
            Some(expected) => format!("{}, expected {expected}", self.verdict.name()),
            None => format!("{}, nothing expected", self.verdict.name()),
        }
    }

    /// The detail and the limit, whichever there are.
    #[must_use]
    pub(crate) fn reason(&self) -> String {
        let parts = [self.limit().unwrap_or_default(), &self.detail];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

/// The names that `name` returns for the rows, each once, in the order in which they come.
pub(crate) fn distinct<'a>(rows: &'a [Row], name: impl Fn(&'a Row) -> &'a str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for row in rows {
        let name = name(row);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The protocols of the rows: ours first, oldest first, then others in the order in which they come.
pub(crate) fn protocols(rows: &[Row]) -> Vec<&str> {
    let ours = lockproof_model::protocol::all();
    let mut names = distinct(rows, |row| &row.protocol);
    names.sort_by_key(|name| ours.iter().position(|entry| entry.name == *name).unwrap_or(ours.len()));
    names
}

/// A line of a table: the verdicts of one engine on one property of one scenario.
pub(crate) struct Line<'a> {
    pub(crate) scenario: &'a str,
    pub(crate) property: Property,
    pub(crate) engine: &'a str,
    pub(crate) rows: Vec<&'a Row>,
}

impl<'a> Line<'a> {
    /// The verdicts under `protocol`: mostly one, none where it was not checked.
    pub(crate) fn under(&self, protocol: &str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().copied().filter(move |row| row.protocol == protocol)
    }
}

/// The lines of a table, scenario by scenario, property by property, engine by engine, in the order of the rows.
pub(crate) fn lines(rows: &[Row]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for row in rows {
        let same = |line: &&mut Line<'_>| {
            (line.scenario, line.property, line.engine) == (&*row.scenario, row.property, &*row.engine)
        };
        if let Some(line) = lines.iter_mut().find(same) {
            line.rows.push(row);
            continue;
        }
        let line = Line { scenario: &row.scenario, property: row.property, engine: &row.engine, rows: vec![row] };
        let near = |other: &Line<'_>| (other.scenario == line.scenario, other.property == line.property);
        let place = lines
            .iter()
            .rposition(|other| near(other) == (true, true))
            .or_else(|| lines.iter().rposition(|other| near(other).0))
            .map_or(lines.len(), |before| before + 1);
        lines.insert(place, line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_finding_becomes_a_row() {
        let trace = Some(crate::traces::lasso());
        let detail = "W(layers)".to_owned();
        let property = Property::NoStarvationWeak;
        let finding = Finding { property, verdict: Verdict::Violated, detail, trace };
        let extent = Extent { states: 12, transitions: 30, executions: 0 };
        let row = Row::of_finding("writer-starvation", "v1_24", "explore", &finding, extent, 0.5);
        assert_eq!(row.schedule.as_deref(), Some("lk1:B.A~C.B2.C-57e1dd8d"));
        assert_eq!((row.states, row.as_expected, row.expected.as_deref()), (12, true, None));
        assert!(row.clone().expecting("violated").as_expected);
        assert_eq!(row.expecting("proved").surprise(), "violated, expected proved");
    }

    #[test]
    fn lines_are_grouped_by_scenario_and_property() {
        let rows = samples::surprising();
        let labels: Vec<String> =
            lines(&rows).iter().map(|line| format!("{} {} {}", line.scenario, line.property, line.engine)).collect();
        assert_eq!(
            labels,
            [
                "stale-ro-cache-after-rw-write fresh explore",
                "stale-ro-cache-after-rw-write fresh processes",
                "stale-ro-cache-after-rw-write exclusive explore",
                "writer-starvation no-starvation-strong explore",
                "abba-layer-locks no-deadlock explore",
                "other no-panic explore",
            ]
        );
    }

    #[test]
    fn our_protocols_come_first_in_the_order_of_their_age() {
        let mut rows = samples::surprising();
        rows.reverse();
        assert_eq!(protocols(&rows), ["v1_24", "pr_473", "one_way_upgrade", "per_layer_locks", "copy_then_unlock"]);
    }
}
