//! What mutants are measured by: what each scenario proves of the protocol as it is, and which operations its calls reach.

use std::collections::BTreeSet;

use lockproof_model::explore::{self, Options, Report};
use lockproof_model::mutation::{self, Mutation, Operator};
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::system::System;
use lockproof_model::verdict::Verdict;
use lockproof_scenarios::Scenario;

use crate::engine::groups;
use crate::error::CliError;

/// Properties of what is locked and of who touches which variable, whatever it holds.
const BY_LOCKS_AND_MEMORY: [Property; 4] =
    [Property::MutualExclusion, Property::NoDataRace, Property::NoPanic, Property::NoDeadlock];

/// A scenario, and what it proves of the protocol as it is.
pub(super) struct Ground<'s> {
    pub(super) scenario: &'s Scenario,
    /// The calls whose mutants are tried on it; `None`: all that it makes.
    pub(super) of: Option<&'s [&'static str]>,
    /// What is proved, in groups that one search judges.
    pub(super) proved: Vec<Vec<Property>>,
    /// The fields on which the protocol as it is has data races here: what is proved is that there are no others.
    pub(super) races: BTreeSet<String>,
    /// The limit at which a search ended, so that it is not known what else is proved.
    pub(super) cut: Option<String>,
    /// The states of all its searches: what one mutant may cost here.
    pub(super) states: u64,
    /// What can be mutated in the calls that it makes.
    sites: BTreeSet<Mutation>,
    /// Whether a process has several threads: to one thread a mutex is always free.
    has_threads: bool,
    /// Whether there are several processes at once: to one process a lock file is always free.
    has_others: bool,
    /// Whether the locks themselves are judged, which one process is enough for.
    judges_locks: bool,
    /// Whether it is judged what documents hold and what calls return: who holds a lock depends on neither.
    judges_contents: bool,
}

impl<'s> Ground<'s> {
    /// A property that is violated already is nothing that a mutant could violate, and is left out.
    pub(super) fn of(
        scenario: &'s Scenario,
        of: Option<&'s [&'static str]>,
        protocol: Entry,
        options: &Options,
    ) -> Result<Self, CliError> {
        let system = scenario.system(protocol);
        let has_threads = scenario.kinds.iter().any(|kind| kind.threads.len() > 1);
        let judges = |properties: &[Property]| properties.iter().any(|one| scenario.properties.contains(one));
        let mut ground = Self {
            scenario,
            of,
            proved: Vec::new(),
            races: BTreeSet::new(),
            cut: None,
            states: 0,
            sites: BTreeSet::new(),
            has_threads,
            has_others: system.processes.len() > 1,
            judges_locks: judges(&[Property::Exclusive, Property::MutualExclusion]),
            judges_contents: scenario.properties.iter().any(|property| !BY_LOCKS_AND_MEMORY.contains(property)),
        };
        for properties in groups(&scenario.properties) {
            let report = ground.search(&system, protocol, &properties, options)?;
            let proved = report.findings.iter().filter(|finding| finding.verdict == Verdict::Proved);
            // What `parallel-reads` finds is a proof, and must not end a search that looks for violations.
            let (reads, proved): (Vec<Property>, Vec<Property>) =
                proved.map(|finding| finding.property).partition(|property| *property == Property::ParallelReads);
            ground.cut = report.findings.iter().fold(ground.cut, |cut, finding| match &finding.verdict {
                Verdict::Cut(limit) => Some(format!("{}, {}: {limit}", scenario.name, finding.property)),
                _ => cut,
            });
            ground.proved.extend([proved, reads].into_iter().filter(|group| !group.is_empty()));
            ground.states += report.extent.states;
            ground.sites.append(&mut mutation::sites(&report.automaton, protocol.name));
        }
        Ok(ground)
    }

    /// What can be mutated in the calls that it is about.
    pub(super) fn mutants(&self) -> impl Iterator<Item = &Mutation> {
        self.sites.iter().filter(|mutation| self.is_of(&mutation.call))
    }

    fn is_of(&self, call: &str) -> bool {
        self.of.is_none_or(|calls| calls.contains(&call))
    }

    /// What is proved; data races are left out, whichever there are.
    fn search(
        &mut self,
        system: &System,
        protocol: Entry,
        properties: &[Property],
        options: &Options,
    ) -> Result<Report, CliError> {
        let options = Options { leaves_races_out: true, ..options.clone() };
        let report = explore::check(system, properties, &options, &|| false).map_err(|source| CliError::Model {
            scenario: self.scenario.name.clone(),
            protocol: protocol.name.to_owned(),
            source: Box::new(source),
        })?;
        self.races.extend(report.races_left_out.iter().cloned());
        Ok(report)
    }

    /// Whether a process does what `mutation` changes, something is proved, and anybody could tell.
    pub(super) fn reaches(&self, mutation: &Mutation) -> bool {
        let could_tell = match mutation.operator {
            Operator::DropMutex | Operator::DropRwMutex => self.has_threads,
            // Who forgets to give a lock back harms others alone.
            Operator::DropUnlock => self.has_others,
            Operator::DropLock | Operator::WeakenLock | Operator::SwapLock | Operator::SwapUnlock => {
                self.has_others || self.judges_locks
            }
            Operator::DropStamp
            | Operator::DropReload
            | Operator::LateStamp
            | Operator::SwapStamp
            | Operator::SwapReplace => self.judges_contents,
        };
        self.is_of(&mutation.call)
            && could_tell
            && (self.cut.is_some() || !self.proved.is_empty())
            && self.sites.contains(mutation)
    }
}
