//! What the engines say of one scenario, and where two of them cannot both be right.
//!
//! An engine that has seen everything says of each property whether it holds; one that found a violation has seen enough.
//! Whatever is said so must be said by all. What an engine has no room or no means for is counted, never passed over.

use std::collections::{BTreeMap, BTreeSet};

use lockproof_model::call::Call;
use lockproof_model::engine::{self, loom, shuttle};
use lockproof_model::explore::{self, Options, Report};
use lockproof_model::plain;
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::system::System;
use lockproof_model::verdict::{Finding, Verdict};
use lockproof_model::witness::{self, Fault};
use lockproof_scenarios::Scenario;

use crate::hash;

const PLAIN: &str = "the plain explorer";

/// How far each engine goes; none of them is a time, so that the same scenario is compared in the same way everywhere.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most states of the explorer, reductions on or off.
    pub states_max: u64,
    /// The same where a process has several threads: there nearly each state has to be worked out, not looked up.
    pub threads_states_max: u64,
    /// The most states of the plain explorer, and those that may follow where a run ends in which somebody is stuck.
    pub plain_states_max: usize,
    /// Up to so many states the explorer is tried in every mode, beyond that in a few.
    pub every_mode_max: u64,
    /// The most executions of loom, and of shuttle.
    pub executions_max: u64,
    /// The most steps of each of them. These two engines do not ask whether to stop.
    pub steps_max: usize,
}

impl Limits {
    /// For the night: a second or so of one core for a scenario, so that a night has many.
    pub const NIGHT: Limits = Limits {
        states_max: 50_000,
        threads_states_max: 5_000,
        plain_states_max: 10_000,
        every_mode_max: 300,
        executions_max: 500,
        steps_max: 2_000,
    };
}

/// What an engine made of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// It has seen everything.
    Finished,
    /// It came to a limit.
    TooLarge,
    /// It has no means for something in it.
    Unsupported,
}

/// What came of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Where two engines cannot both be right, or one of them failed; each a sentence. Nothing, as a rule.
    pub disagreements: Vec<String>,
    /// How far each engine came.
    pub reached: BTreeMap<&'static str, Reach>,
    /// What was seen, in words that two scenarios share if they show the same: a corpus keeps one scenario for each.
    pub seen: BTreeSet<String>,
    /// Of each protocol and property whether it holds, as far as an engine that is to be trusted says so: the plain explorer or, where
    /// it did not finish, the one with nothing reduced.
    pub holds: BTreeMap<(&'static str, Property), bool>,
}

/// A mode of the explorer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mode(u8);

impl Mode {
    const NOTHING_REDUCED: Mode = Mode(0);
    const MERGE: u8 = 1;
    const SYMMETRY: u8 = 2;
    const PARTIAL_ORDER: u8 = 4;
    const FINGERPRINT: u8 = 8;

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    fn name(self) -> String {
        let parts = [
            (Self::MERGE, "merging"),
            (Self::SYMMETRY, "symmetry"),
            (Self::PARTIAL_ORDER, "partial order"),
            (Self::FINGERPRINT, "fingerprints"),
        ];
        let on: Vec<&str> = parts.into_iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| name).collect();
        format!("the explorer with {}", if on.is_empty() { "nothing reduced".into() } else { on.join(", ") })
    }
}

/// What the engines say of `scenario` under each of `protocols` that it is for. `stop` is asked now and then whether to
/// give up: then no more is found, and what was found so far is still true.
#[must_use]
pub fn compare(scenario: &Scenario, protocols: &[Entry], limits: &Limits, stop: &dyn Fn() -> bool) -> Comparison {
    let mut comparison = Comparison::default();
    // Of a large scenario one mode more than those of all is tried, another one for each scenario.
    let one_mode = u8::try_from(1 + hash::of(&scenario.text) % 15).unwrap_or(Mode::MERGE);
    for protocol in protocols.iter().filter(|protocol| scenario.is_for(protocol.name)) {
        let system = scenario.system(*protocol);
        for properties in together(&scenario.properties) {
            let (to, said) = (&mut comparison, Vec::new());
            let name = protocol.name;
            Comparing { name, system: &system, properties: &properties, limits, stop, to, said, one_mode }.all();
        }
    }
    comparison
}

/// The properties that are checked at once: all of them, and by themselves those that every reduction keeps.
fn together(properties: &[Property]) -> Vec<Vec<Property>> {
    let reduced: Vec<Property> = properties.iter().copied().filter(|property| !is_of_whole_runs(*property)).collect();
    if reduced.len() == properties.len() || reduced.is_empty() {
        vec![properties.to_vec()]
    } else {
        vec![properties.to_vec(), reduced]
    }
}

fn is_of_whole_runs(property: Property) -> bool {
    property.is_liveness() || property == Property::CrashSafe
}

/// What is said, by whom.
struct Said {
    engine: String,
    property: Property,
    holds: bool,
}

struct Comparing<'a> {
    /// The protocol's name.
    name: &'static str,
    system: &'a System,
    properties: &'a [Property],
    limits: &'a Limits,
    stop: &'a dyn Fn() -> bool,
    to: &'a mut Comparison,
    said: Vec<Said>,
    one_mode: u8,
}

impl Comparing<'_> {
    fn all(&mut self) {
        let unreduced = self.explore(Mode::NOTHING_REDUCED, true);
        if let Some(unreduced) = &unreduced {
            self.plain(unreduced);
        }
        self.reductions(unreduced.as_ref().map(|report| report.extent.states));
        let judged: Vec<Property> = self.properties.iter().copied().filter(|one| engine::judges(*one)).collect();
        if judged.is_empty() {
            self.reach("loom", Reach::Unsupported);
            self.reach("shuttle", Reach::Unsupported);
        } else {
            self.loom(&judged);
            self.shuttle(&judged);
        }
        self.judge();
    }

    fn is_threaded(&self) -> bool {
        self.system.processes.iter().any(|process| process.threads.len() > 1)
    }

    fn reach(&mut self, engine: &'static str, reach: Reach) {
        let known = self.to.reached.entry(engine).or_insert(reach);
        *known = (*known).max(reach);
    }

    fn disagree(&mut self, what: String) {
        self.to.disagreements.push(format!("{}: {what}", self.name));
    }

    /// What a verdict says, if it says something: whether the property holds.
    fn hear(&mut self, engine: &str, finding: &Finding) {
        let holds = match finding.verdict {
            Verdict::Proved => true,
            Verdict::Violated => false,
            Verdict::Bounded(_) | Verdict::Sampled(_) | Verdict::Cut(_) => return,
        };
        self.said.push(Said { engine: engine.to_owned(), property: finding.property, holds });
    }

    /// The explorer's report if it has seen everything.
    fn explore(&mut self, mode: Mode, visit_all: bool) -> Option<Report> {
        let name = match mode {
            Mode::NOTHING_REDUCED => "the explorer, nothing reduced",
            _ => "the explorer, reduced",
        };
        let options = Options {
            states_max: if self.is_threaded() { self.limits.threads_states_max } else { self.limits.states_max },
            merge: mode.has(Mode::MERGE),
            symmetry: mode.has(Mode::SYMMETRY),
            partial_order: mode.has(Mode::PARTIAL_ORDER),
            fingerprint: mode.has(Mode::FINGERPRINT),
            visit_all,
            ..Options::default()
        };
        let report = match explore::check(self.system, self.properties, &options, self.stop) {
            Ok(report) => report,
            Err(error) if error.is_limit() => {
                self.reach(name, Reach::TooLarge);
                return None;
            }
            Err(error) => {
                self.disagree(format!("{} fails: {error}", mode.name()));
                return None;
            }
        };
        for finding in &report.findings {
            self.hear(&mode.name(), finding);
            self.see(finding);
            self.validate(&mode.name(), finding);
        }
        // Where every property has its counterexample, no verdict says that the search was cut.
        let cut = |finding: &Finding| matches!(finding.verdict, Verdict::Cut(_));
        let is_cut = report.extent.states >= options.states_max || report.findings.iter().any(cut);
        self.reach(name, if is_cut { Reach::TooLarge } else { Reach::Finished });
        (!is_cut).then_some(report)
    }

    /// A verdict on a property of these protocols and, where a run shows it, the call and the operation that it ends with.
    fn see(&mut self, finding: &Finding) {
        let protocols = BTreeSet::from_iter(self.system.processes.iter().map(|process| process.protocol.name));
        let protocols: Vec<&str> = protocols.into_iter().collect();
        let mut seen = format!("{}: {} {}", protocols.join("+"), finding.property, finding.verdict.name());
        if let Some(last) = finding.trace.as_ref().and_then(|trace| trace.cycle.last().or(trace.events.last())) {
            let call = last.call.as_ref().map_or("kill", Call::name);
            let op = last.op.as_ref().map(|op| format!("{op:?}")).unwrap_or_default();
            let op = op.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
            seen.push_str(&format!(" {call} {op}"));
        }
        self.to.seen.insert(seen);
    }

    /// Takes the run of a finding again.
    fn validate(&mut self, engine: &str, finding: &Finding) {
        let validated = witness::validate(self.system, self.properties, finding, self.limits.plain_states_max);
        match validated {
            Ok(()) if finding.trace.is_none() => {}
            Ok(()) => self.reach("counterexamples taken again", Reach::Finished),
            Err(Fault::TooMany(_)) => self.reach("counterexamples taken again", Reach::TooLarge),
            Err(fault) => self.disagree(format!("{engine}: the run that shows {} fails: {fault}", finding.property)),
        }
    }

    /// The plain explorer finds the same states and steps, the same verdicts, and no shorter run.
    fn plain(&mut self, unreduced: &Report) {
        if unreduced.extent.states > self.limits.plain_states_max as u64 {
            return self.reach(PLAIN, Reach::TooLarge);
        }
        let plain = match plain::explore(self.system, self.properties, self.limits.plain_states_max) {
            Ok(Some(plain)) => plain,
            Ok(None) => {
                let (states, max) = (unreduced.extent.states, self.limits.plain_states_max);
                return self.disagree(format!("the explorer finds {states} states, the plain one more than {max}"));
            }
            Err(error) => return self.disagree(format!("the plain explorer fails: {error}")),
        };
        self.reach(PLAIN, Reach::Finished);
        let found = (unreduced.extent.states, unreduced.extent.transitions);
        if found != (plain.states as u64, plain.transitions as u64) {
            let (states, transitions) = (plain.states, plain.transitions);
            self.disagree(format!("{} states and {} steps, plainly {states} and {transitions}", found.0, found.1));
        }
        for finding in &unreduced.findings {
            let property = finding.property;
            let holds = plain.shown.contains(&property) == property.is_wish();
            self.said.push(Said { engine: PLAIN.into(), property, holds });
            let taken = finding.trace.as_ref().map(|trace| trace.events.len());
            if let (Some(taken), Some(shortest)) = (taken, plain.shortest.get(&property))
                && taken != *shortest
            {
                self.disagree(format!("{property} is shown by a run of {taken} steps, the shortest has {shortest}"));
            }
        }
    }

    /// The explorer with its reductions on, as far as it allows them for these properties; and as its users run it.
    fn reductions(&mut self, states: Option<u64>) {
        let all = Mode::MERGE | Mode::SYMMETRY | Mode::PARTIAL_ORDER;
        let of_whole_runs = self.properties.iter().any(|property| is_of_whole_runs(*property));
        let modes: Vec<u8> = if of_whole_runs {
            vec![Mode::MERGE]
        } else if states.is_some_and(|states| states <= self.limits.every_mode_max) {
            (1..16).collect()
        } else {
            vec![self.one_mode]
        };
        for mode in modes {
            let found = self.explore(Mode(mode), true).map(|report| report.extent.states);
            // A merged move takes its fresh stamp before the cells that it overwrites let one go: then a state may come
            // twice, with other numbers of stamps.
            if let (Some(found), Some(states)) = (found, states)
                && found > states
                && mode & Mode::MERGE == 0
            {
                self.disagree(format!("{} finds {found} states of {states}", Mode(mode).name()));
            }
        }
        if !of_whole_runs {
            self.explore(Mode(all), false);
        }
    }

    /// loom in every interleaving or, if those are too many, in those with one preemption: a violation is one either way.
    fn loom(&mut self, properties: &[Property]) {
        for preemption_bound in [None, Some(1)] {
            let max_permutations = Some(self.limits.executions_max);
            let max_branches = self.limits.steps_max;
            let options =
                loom::LoomOptions { preemption_bound, max_permutations, max_branches, ..loom::LoomOptions::default() };
            let report = loom::check(self.system, properties, &options);
            if self.runs("loom", report, preemption_bound.is_none()) {
                return;
            }
        }
    }

    /// shuttle in every schedule or, if those are too many, in some.
    fn shuttle(&mut self, properties: &[Property]) {
        for strategy in [shuttle::Strategy::Dfs, shuttle::Strategy::Pct { depth: 3 }] {
            let schedules = match strategy {
                shuttle::Strategy::Dfs => self.limits.executions_max,
                _ => self.limits.executions_max / 4,
            };
            let max_steps = self.limits.steps_max;
            let options =
                shuttle::ShuttleOptions { strategy, schedules, max_steps, ..shuttle::ShuttleOptions::default() };
            let report = shuttle::check(self.system, properties, &options);
            if self.runs("shuttle", report, strategy == shuttle::Strategy::Dfs) {
                return;
            }
        }
    }

    /// Hears what an engine of executions says. Whether there is no more to be had from it: it has made all of them, or it
    /// has no means for the scenario.
    fn runs(&mut self, name: &'static str, report: Result<engine::Report, engine::Error>, all: bool) -> bool {
        let report = match report {
            Ok(report) => report,
            Err(engine::Error::Unsupported { .. } | engine::Error::Property { .. }) => {
                self.reach(name, Reach::Unsupported);
                return true;
            }
            Err(engine::Error::Model(error)) if error.is_limit() => {
                self.reach(name, Reach::TooLarge);
                return true;
            }
            Err(error) => {
                self.disagree(format!("{name} fails: {error}"));
                return true;
            }
        };
        for finding in &report.findings {
            self.hear(name, finding);
            // A race of these engines is two accesses that nothing orders; they need not be possible side by side, which
            // is how the machine knows one.
            if finding.property != Property::NoDataRace {
                self.validate(name, finding);
            }
        }
        let decided = |finding: &Finding| matches!(finding.verdict, Verdict::Proved | Verdict::Violated);
        let all = all && report.findings.iter().all(decided);
        self.reach(name, if all { Reach::Finished } else { Reach::TooLarge });
        all
    }

    /// Whatever is said of a property must be said by all.
    fn judge(&mut self) {
        for property in self.properties {
            let of = |holds: bool| {
                let said = self.said.iter().filter(|said| said.property == *property && said.holds == holds);
                BTreeSet::from_iter(said.map(|said| said.engine.as_str()))
            };
            let (holds, fails) = (of(true), of(false));
            if !holds.is_empty() && !fails.is_empty() {
                let list = |engines: BTreeSet<&str>| engines.into_iter().collect::<Vec<_>>().join("; ");
                let what =
                    format!("{property} holds according to {}, and not according to {}", list(holds), list(fails));
                self.to.disagreements.push(what);
            }
            let trusted = [PLAIN.to_owned(), Mode::NOTHING_REDUCED.name()];
            let said =
                |engine: &String| self.said.iter().find(|said| said.property == *property && said.engine == *engine);
            if let Some(said) = trusted.iter().find_map(said) {
                self.to.holds.insert((self.name, *property), said.holds);
            }
        }
    }
}
