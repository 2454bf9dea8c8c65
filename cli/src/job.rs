//! One scenario under one protocol: what each engine says of it, and what real processes make of what they found.

use std::fmt::Write as _;

use lockproof_model::machine::Pending;
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::step::ModelError;
use lockproof_model::trace::Trace;
use lockproof_model::verdict::Verdict;
use lockproof_reports::row::LIBRARY;
use lockproof_reports::{Refusal, Row};
use lockproof_scenarios::{Scenario, remark};

use crate::engine::{Engine, Engines, Judged, Said};
use crate::error::CliError;
use crate::{library, real, rerun};

/// A scenario under a protocol.
pub(crate) struct Job<'s> {
    pub(crate) scenario: &'s Scenario,
    /// What the command line calls the scenario.
    pub(crate) argument: String,
    pub(crate) protocol: Entry,
    pub(crate) properties: Vec<Property>,
}

/// A verdict, and the run that shows it.
pub(crate) struct Checked {
    pub(crate) row: Row,
    pub(crate) trace: Option<Trace>,
    /// What each thread stands before at the end of the trace.
    pub(crate) pending: Vec<Pending>,
    pub(crate) processes: Vec<String>,
    /// At most so probably the search that this is the first verdict of missed a state.
    pub(crate) missed_max: Option<f64>,
}

/// What a job came to.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) checked: Vec<Checked>,
    pub(crate) refused: Vec<Refusal>,
}

impl Job<'_> {
    pub(crate) fn name(&self) -> String {
        format!("{} ({})", self.scenario.name, self.protocol.name)
    }

    /// Asks each engine, and with `with_processes` does again what it found.
    pub(crate) fn run(&self, engines: &Engines, with_processes: bool) -> Result<Outcome, CliError> {
        let system = self.scenario.system(self.protocol);
        let names: Vec<String> = system.processes.iter().map(|process| process.name.clone()).collect();
        let failed = |source: ModelError| CliError::Model {
            scenario: self.scenario.name.clone(),
            protocol: self.protocol.name.to_owned(),
            source: Box::new(source),
        };
        let mut outcome = Outcome::default();
        let mut replayed: Vec<(Property, String)> = Vec::new();
        for engine in &engines.chosen {
            // A search that judged several properties missed a state but once.
            let mut last_search = None;
            for said in engines.run(*engine, &system, &self.properties).map_err(failed)? {
                let judged = match said {
                    Said::Judged(judged) => *judged,
                    Said::Refused(property, why) => {
                        outcome.refused.push(self.refusal(engine.name(), property, why));
                        continue;
                    }
                };
                let row = self.row(*engine, &judged);
                let search = (judged.extent, judged.seconds.to_bits());
                let missed_max = judged.missed_max.filter(|_| last_search.replace(search) != Some(search));
                let pending = match &judged.finding.trace {
                    Some(trace) => rerun::run(&system, &trace.schedule(), &[]).map_err(failed)?.pending,
                    None => Vec::new(),
                };
                let run = row.schedule.clone().map(|schedule| (row.property, schedule));
                let mut again = Vec::new();
                if let Some(run) = run.filter(|run| with_processes && !replayed.contains(run)) {
                    replayed.push(run);
                    again.extend(real::confirm(&system, &judged.finding, &row));
                    match library::confirm(self.scenario, &system, &judged.finding, &row)? {
                        Some(library::Said::Row(row)) => again.push(*row),
                        Some(library::Said::Refused(why)) => {
                            outcome.refused.push(self.refusal(LIBRARY, judged.finding.property, why));
                        }
                        None => {}
                    }
                }
                let trace = judged.finding.trace;
                outcome.checked.push(Checked { row, trace, pending, processes: names.clone(), missed_max });
                outcome.checked.extend(again.into_iter().map(Checked::again));
            }
        }
        // In the order of the scenario's file.
        let place = |property| self.properties.iter().position(|other| *other == property);
        outcome.checked.sort_by_key(|checked| place(checked.row.property));
        outcome.refused.sort_by_key(|refusal| place(refusal.property));
        settle(&mut outcome.checked, &engines.chosen);
        Ok(outcome)
    }

    /// What an engine found, as reports show it.
    fn row(&self, engine: Engine, judged: &Judged) -> Row {
        let Judged { finding, extent, seconds, .. } = judged;
        let expected = self.scenario.expected(self.protocol.name, finding.property);
        let mut row =
            Row::of_finding(&self.scenario.name, self.protocol.name, engine.name(), finding, *extent, *seconds);
        if let Some(bound) = judged.missed_max.filter(|_| finding.verdict == Verdict::Proved) {
            let gap = if row.detail.is_empty() { "" } else { "; " };
            let _ = write!(row.detail, "{gap}a state was missed with a probability of at most {bound:.1e}");
        }
        Row {
            argument: self.argument.clone(),
            expected: expected.map(str::to_owned),
            as_expected: is_as_expected(expected, &finding.verdict),
            strategy: judged.strategy.clone(),
            seed: judged.seed,
            missed_max: judged.bug_missed_max,
            own_schedule: judged.own_schedule.clone(),
            remarks: self.scenario.cites.iter().filter(|cite| remark(cite).is_some()).cloned().collect(),
            ..row
        }
    }

    fn refusal(&self, engine: &str, property: Property, why: String) -> Refusal {
        Refusal {
            scenario: self.scenario.name.clone(),
            protocol: self.protocol.name.to_owned(),
            property,
            engine: engine.to_owned(),
            why,
        }
    }
}

impl Checked {
    /// What real processes did again.
    fn again(row: Row) -> Self {
        Self { row, trace: None, pending: Vec::new(), processes: Vec::new(), missed_max: None }
    }
}

/// Of a protocol of which nothing is expected, a proof is what one hopes for.
fn is_as_expected(expected: Option<&str>, verdict: &Verdict) -> bool {
    expected.unwrap_or(Verdict::Proved.name()) == verdict.name()
}

/// What an engine leaves open surprises nobody who has an answer: that of another engine, where it is the expected one; or,
/// where no run was expected, that it met none within its bound or sample. The explorer's limits always surprise.
fn settle(checked: &mut [Checked], chosen: &[Engine]) {
    let answers: Vec<(Property, bool)> = checked
        .iter()
        .filter(|checked| checked.row.verdict.is_decided())
        .map(|checked| (checked.row.property, checked.row.as_expected))
        .collect();
    for engine in chosen.iter().filter(|engine| engine.is_often_cut()) {
        for Checked { row, .. } in checked.iter_mut().filter(|checked| checked.row.engine == engine.name()) {
            let within = match &row.verdict {
                Verdict::Proved | Verdict::Violated => continue,
                Verdict::Bounded(_) | Verdict::Sampled(_) => true,
                Verdict::Cut(_) => false,
            };
            let no_run = if row.property.is_wish() { Verdict::Violated } else { Verdict::Proved };
            let met_none = within && is_as_expected(row.expected.as_deref(), &no_run);
            row.as_expected |= met_none || answers.contains(&(row.property, true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(engine: &str, property: Property, expected: Option<&str>, verdict: Verdict) -> Checked {
        let finding = lockproof_model::verdict::Finding { property, verdict, detail: String::new(), trace: None };
        let row = Row::of_finding("s", "p", engine, &finding, Default::default(), 0.0);
        let as_expected = is_as_expected(expected, &finding.verdict);
        Checked::again(Row { expected: expected.map(str::to_owned), as_expected, ..row })
    }

    /// Whether each of these verdicts is as expected.
    fn settled(property: Property, expected: Option<&str>, said: &[(Engine, Verdict)]) -> Vec<bool> {
        let of = |(engine, verdict): &(Engine, Verdict)| checked(engine.name(), property, expected, verdict.clone());
        let mut all: Vec<Checked> = said.iter().map(of).collect();
        let chosen: Vec<Engine> = said.iter().map(|(engine, _)| *engine).collect();
        settle(&mut all, &chosen);
        all.iter().map(|checked| checked.row.as_expected).collect()
    }

    #[test]
    fn what_nobody_expects_should_be_proved() {
        assert!(is_as_expected(None, &Verdict::Proved));
        assert!(!is_as_expected(None, &Verdict::Violated));
        assert!(is_as_expected(Some("violated"), &Verdict::Violated));
        assert!(!is_as_expected(Some("violated"), &Verdict::Proved));
        assert!(!is_as_expected(Some("proved"), &Verdict::Cut("20 states".into())));
    }

    #[test]
    fn what_one_engine_leaves_open_another_may_settle() {
        use Engine::{Explore, Loom};
        use Property::{Fresh, ParallelReads};
        use Verdict::{Proved, Violated};
        let (cut, bounded) = (|| Verdict::Cut("5 000 executions".into()), || Verdict::Bounded("2 preemptions".into()));
        let proved = Some("proved");
        assert_eq!(settled(Fresh, proved, &[(Loom, cut())]), [false]);
        assert_eq!(settled(Fresh, proved, &[(Explore, Proved), (Loom, cut())]), [true, true]);
        assert_eq!(settled(Fresh, proved, &[(Explore, cut()), (Loom, Proved)]), [false, true]);
        assert_eq!(settled(Fresh, proved, &[(Loom, bounded())]), [true]);
        assert_eq!(settled(Fresh, None, &[(Loom, bounded())]), [true]);
        assert_eq!(settled(Fresh, Some("violated"), &[(Loom, bounded())]), [false]);
        assert_eq!(settled(Fresh, Some("violated"), &[(Explore, Violated), (Loom, bounded())]), [true, true]);
        assert_eq!(settled(ParallelReads, proved, &[(Loom, bounded())]), [false], "a run was expected");
        assert_eq!(settled(ParallelReads, Some("violated"), &[(Loom, bounded())]), [true]);
        assert_eq!(settled(Fresh, proved, &[(Explore, Proved), (Loom, Violated)]), [true, false]);
    }
}
