//! loom, with as many preemptions as its limits let it finish.
//!
//! The interleavings of a scenario are mostly too many. So loom runs those with at most one preemption first, where most
//! mistakes show (Musuvathi and Qadeer, "Iterative context bounding for systematic testing of multithreaded programs",
//! PLDI 2007), then all, and if these are too many those with two, three and so on. What is reported is the last that it
//! finished.

use lockproof_model::engine::loom::{LoomOptions, check};
use lockproof_model::engine::{Error, Report, counted};
use lockproof_model::property::Property;
use lockproof_model::system::System;
use lockproof_model::verdict::{Finding, Verdict};

use super::args::{EngineArgs, PreemptionBound};

/// The most executions of one search, unless the command line says otherwise: with it a check of everything takes
/// minutes. A number and no time, for then loom says the same on every machine.
pub(super) const PERMUTATIONS_MAX: u64 = 500;

/// How loom is run.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    options: LoomOptions,
    /// As many preemptions as can be finished.
    deepens: bool,
}

impl Limits {
    pub(super) fn of(args: &EngineArgs) -> Self {
        let options = LoomOptions {
            preemption_bound: match args.preemption_bound {
                Some(PreemptionBound::AtMost(bound)) => Some(bound),
                Some(PreemptionBound::None) | None => None,
            },
            max_permutations: Some(args.permutations_max.unwrap_or(PERMUTATIONS_MAX)),
            max_duration: args.time_max,
            rounds: args.rounds.unwrap_or(LoomOptions::default().rounds),
            ..LoomOptions::default()
        };
        Self { options, deepens: args.preemption_bound.is_none() }
    }

    /// Lets loom judge `properties`, all of which it judges.
    pub(super) fn run(&self, system: &System, properties: &[Property]) -> Result<Report, Error> {
        if !self.deepens {
            return check(system, properties, &self.options);
        }
        deepen(properties, |open, preemption_bound| {
            check(system, open, &LoomOptions { preemption_bound, ..self.options.clone() })
        })
    }
}

/// Runs `search` for those properties that have no answer yet, with 1 preemption, without a bound, then with 2, 3, …, until
/// it is cut.
fn deepen(
    properties: &[Property],
    mut search: impl FnMut(&[Property], Option<usize>) -> Result<Report, Error>,
) -> Result<Report, Error> {
    let mut whole = Report::default();
    let mut best: Vec<Finding> = Vec::new();
    for bound in [Some(1), None].into_iter().chain((2..).map(Some)) {
        let open = |property: &Property| {
            !best.iter().any(|finding| finding.property == *property && finding.verdict.is_decided())
        };
        let open: Vec<Property> = properties.iter().copied().filter(open).collect();
        if open.is_empty() {
            break;
        }
        let report = search(&open, bound)?;
        whole.extent.executions += report.extent.executions;
        whole.own_schedules.extend(report.own_schedules);
        let mut is_cut = false;
        for finding in report.findings {
            let known = best.iter_mut().find(|known| known.property == finding.property);
            match (known, &finding.verdict) {
                (None, _) => best.push(finding),
                (Some(known), Verdict::Cut(why)) => {
                    is_cut = true;
                    if let (Verdict::Bounded(within), Some(bound)) = (&known.verdict, bound) {
                        known.verdict = Verdict::Bounded(format!("{within}; with {bound}, {why}"));
                    }
                }
                (Some(known), _) => *known = finding,
            }
        }
        let is_all = bound.is_none() && !is_cut;
        let is_cut_at_once = best.iter().any(|finding| matches!(finding.verdict, Verdict::Cut(_)));
        if is_all || is_cut_at_once || is_cut && bound.is_some() {
            break;
        }
    }
    let executions = whole.extent.executions;
    let place = |finding: &Finding| properties.iter().position(|property| *property == finding.property);
    best.sort_by_key(place);
    for finding in best.iter_mut().filter(|finding| finding.trace.is_none()) {
        finding.detail = format!("over {}", counted(executions, "execution"));
    }
    whole.findings = best;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use lockproof_model::verdict::Extent;

    use super::*;

    /// A search with these executions, and these verdicts on two properties.
    fn report(open: &[Property], executions: u64, verdict: Verdict) -> Result<Report, Error> {
        let finding = |property: &Property| Finding {
            property: *property,
            verdict: verdict.clone(),
            detail: String::new(),
            trace: None,
        };
        let extent = Extent { executions, ..Extent::default() };
        Ok(Report { findings: open.iter().map(finding).collect(), extent, ..Report::default() })
    }

    fn bounded(bound: usize) -> Verdict {
        Verdict::Bounded(format!("at most {bound} preemptions"))
    }

    fn cut() -> Verdict {
        Verdict::Cut("more than 500 executions".into())
    }

    /// The verdict on one property, the bounds that were tried and the executions in all, where `verdict` says what each
    /// search finds.
    fn deepened(verdict: impl Fn(Option<usize>) -> Verdict) -> (Verdict, Vec<Option<usize>>, u64) {
        let mut tried = Vec::new();
        let report = deepen(&[Property::Fresh], |open, bound| {
            tried.push(bound);
            report(open, 10, verdict(bound))
        });
        let report = report.expect("no mistake of ours");
        (report.findings[0].verdict.clone(), tried, report.extent.executions)
    }

    #[test]
    fn what_fits_is_proved() {
        let said = deepened(|bound| bound.map_or(Verdict::Proved, bounded));
        assert_eq!(said, (Verdict::Proved, vec![Some(1), None], 20));
    }

    #[test]
    fn what_does_not_fit_is_bounded_by_what_did() {
        let said =
            deepened(|bound| if bound.is_some_and(|bound| bound < 4) { bounded(bound.unwrap_or(0)) } else { cut() });
        let within = Verdict::Bounded("at most 3 preemptions; with 4, more than 500 executions".into());
        assert_eq!(said, (within, vec![Some(1), None, Some(2), Some(3), Some(4)], 50));
    }

    #[test]
    fn what_is_cut_at_once_stays_so_and_a_violation_ends_it() {
        assert_eq!(deepened(|_| cut()), (cut(), vec![Some(1)], 10));
        assert_eq!(deepened(|_| Verdict::Violated), (Verdict::Violated, vec![Some(1)], 10));
        let said = deepened(|bound| {
            if bound == Some(2) {
                Verdict::Violated
            } else if bound.is_none() {
                cut()
            } else {
                bounded(1)
            }
        });
        assert_eq!(said, (Verdict::Violated, vec![Some(1), None, Some(2)], 30));
    }

    #[test]
    fn what_has_an_answer_is_not_asked_again() {
        let both = [Property::Fresh, Property::NoPanic];
        let mut asked = Vec::new();
        let found = deepen(&both, |open, bound| {
            asked.push(open.to_vec());
            let mut report = report(open, 1, bound.map_or(Verdict::Proved, bounded))?;
            if bound == Some(1) {
                report.findings[0].verdict = Verdict::Violated;
            }
            Ok(report)
        });
        let verdicts: Vec<Verdict> =
            found.expect("no mistake of ours").findings.into_iter().map(|finding| finding.verdict).collect();
        assert_eq!(
            (asked, verdicts),
            (vec![both.to_vec(), vec![Property::NoPanic]], vec![Verdict::Violated, Verdict::Proved])
        );
    }
}
