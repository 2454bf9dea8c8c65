//! What mutants are measured by: what each scenario proves of the protocol as it is, and which operations its calls reach.

use std::collections::BTreeSet;

use lockproof_model::explore::{self, Options};
use lockproof_model::mutation::{self, Mutation, Operator};
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::verdict::Verdict;
use lockproof_scenarios::Scenario;

use crate::engine::groups;
use crate::error::CliError;

/// A scenario, and what it proves of the protocol as it is.
pub(super) struct Ground<'s> {
    pub(super) scenario: &'s Scenario,
    /// What is proved, in groups that one search judges.
    pub(super) proved: Vec<Vec<Property>>,
    /// The limit at which a search ended, so that it is not known what else is proved.
    pub(super) cut: Option<String>,
    /// The states of all its searches: what one mutant may cost here.
    pub(super) states: u64,
    /// What can be mutated in the calls that it makes.
    pub(super) sites: BTreeSet<Mutation>,
    /// Whether a process has several threads: to one thread a mutex is always free.
    has_threads: bool,
    /// Whether there are several processes at once, or the locks themselves are judged: to one process a lock file is
    /// always free.
    has_company: bool,
}

impl<'s> Ground<'s> {
    /// A property that is violated already is nothing that a mutant could violate, and is left out.
    pub(super) fn of(scenario: &'s Scenario, protocol: Entry, options: &Options) -> Result<Self, CliError> {
        let system = scenario.system(protocol);
        let has_threads = scenario.kinds.iter().any(|kind| kind.threads.len() > 1);
        let judges_locks = [Property::Exclusive, Property::MutualExclusion];
        let has_company =
            system.processes.len() > 1 || judges_locks.iter().any(|judge| scenario.properties.contains(judge));
        let (proved, sites) = (Vec::new(), BTreeSet::new());
        let mut ground = Self { scenario, proved, cut: None, states: 0, sites, has_threads, has_company };
        for properties in groups(&scenario.properties) {
            let report = explore::check(&system, &properties, options, &|| false).map_err(|source| {
                let source = Box::new(source);
                CliError::Model { scenario: scenario.name.clone(), protocol: protocol.name.to_owned(), source }
            })?;
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

    /// Whether a process does what `mutation` changes, something is proved, and anybody could tell.
    pub(super) fn reaches(&self, mutation: &Mutation) -> bool {
        let could_tell = match mutation.operator {
            Operator::DropMutex | Operator::DropRwMutex => self.has_threads,
            Operator::DropLock
            | Operator::DropUnlock
            | Operator::WeakenLock
            | Operator::SwapLock
            | Operator::SwapUnlock => self.has_company,
            Operator::DropStamp
            | Operator::DropReload
            | Operator::LateStamp
            | Operator::SwapStamp
            | Operator::SwapReplace => true,
        };
        could_tell && (self.cut.is_some() || !self.proved.is_empty()) && self.sites.contains(mutation)
    }
}
