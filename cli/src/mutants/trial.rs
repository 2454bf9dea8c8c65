//! One mutant, tried on scenario after scenario until one of them no longer proves what it proves of the protocol as it is.

use lockproof_model::explore::{self, Options};
use lockproof_model::mutation::Mutation;
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::system::System;
use lockproof_model::trace::Trace;
use lockproof_model::verdict::Verdict;

use super::ground::Ground;

/// A search for a mutant is cut at so many times the states that the protocol as it is has there,
const STATES_FACTOR: u64 = 4;
/// and at so many more.
const STATES_MIN: u64 = 50_000;

/// What became of a mutant.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// A scenario noticed it.
    Killed(Box<Kill>),
    /// No scenario did.
    Survives,
    /// No scenario did, and a search came to this limit.
    Cut(String),
}

/// How a scenario noticed a mutant.
#[derive(Clone, Debug)]
pub(super) struct Kill {
    /// Its name.
    pub(super) scenario: String,
    /// The property that the mutant violates; `None` if the model refuses to run it.
    pub(super) property: Option<Property>,
    /// In a sentence, what is wrong.
    pub(super) detail: String,
    /// A shortest run of this scenario that shows it. `parallel-reads` is violated by no single run.
    pub(super) trace: Option<Trace>,
}

/// Tries `mutation` on at most `scenarios_max` scenarios that could notice it; `grounds` are the scenarios, in the order in
/// which they are tried.
pub(super) fn run(
    mutation: &Mutation,
    protocol: Entry,
    grounds: &[Ground<'_>],
    scenarios_max: usize,
    options: &Options,
    stop: &dyn Fn() -> bool,
) -> Fate {
    let mutant = mutation.clone().of(protocol);
    let mut cut = None;
    for ground in grounds.iter().filter(|ground| ground.reaches(mutation)).take(scenarios_max) {
        cut = cut.or_else(|| ground.cut.clone());
        // A mutant that has many times the states of the protocol as it is runs wild, and would take all the memory.
        let states_max = options.states_max.min(STATES_MIN + STATES_FACTOR * ground.states);
        let races_left_out = ground.races.clone();
        let options = Options { states_max, first_alone: true, races_left_out, ..options.clone() };
        let system = ground.scenario.system(mutant);
        for properties in &ground.proved {
            match search(&ground.scenario.name, &system, properties, &options, stop) {
                Fate::Killed(kill) => return Fate::Killed(kill),
                Fate::Cut(limit) => {
                    cut.get_or_insert(limit);
                }
                Fate::Survives => {}
            }
        }
    }
    cut.map_or(Fate::Survives, Fate::Cut)
}

fn search(
    scenario: &str,
    system: &System,
    properties: &[Property],
    options: &Options,
    stop: &dyn Fn() -> bool,
) -> Fate {
    let killed = |property, detail: &str, trace| {
        Fate::Killed(Box::new(Kill { scenario: scenario.into(), property, detail: detail.into(), trace }))
    };
    let report = match explore::check(system, properties, options, stop) {
        Ok(report) => report,
        // The model is too small for the mutant, which says nothing about it.
        Err(error) if error.is_limit() => return Fate::Cut(format!("{scenario}: {error}")),
        Err(error) => return killed(None, &format!("the model refuses it: {error}"), None),
    };
    if let Some(finding) = report.findings.iter().find(|finding| finding.verdict == Verdict::Violated) {
        return killed(Some(finding.property), &finding.detail, finding.trace.clone());
    }
    let limit = report.findings.iter().find_map(|finding| match &finding.verdict {
        Verdict::Cut(limit) => Some(format!("{scenario}, {}: {limit}", finding.property)),
        _ => None,
    });
    limit.map_or(Fate::Survives, Fate::Cut)
}
