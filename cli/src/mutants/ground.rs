//! What mutants are measured by: what each scenario proves of the protocol as it is, and which operations its calls reach.

use std::collections::BTreeSet;

use lockproof_model::explore::{self, Options, Report};
use lockproof_model::machine::Pending;
use lockproof_model::mutation::{self, Mutation, Operator};
use lockproof_model::op::{CellName, Op};
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::system::System;
use lockproof_model::verdict::{Finding, Verdict};
use lockproof_scenarios::Scenario;

use crate::engine::groups;
use crate::error::CliError;
use crate::rerun;

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

    /// Searches until no data race is left that is not known.
    fn search(
        &mut self,
        system: &System,
        protocol: Entry,
        properties: &[Property],
        options: &Options,
    ) -> Result<Report, CliError> {
        let name = &self.scenario.name;
        let refused = |source| {
            let source = Box::new(source);
            CliError::Model { scenario: name.clone(), protocol: protocol.name.to_owned(), source }
        };
        loop {
            let options = Options { races_left_out: self.races.clone(), ..options.clone() };
            let report = explore::check(system, properties, &options, &|| false).map_err(refused)?;
            let is_race = |finding: &&Finding| finding.property == Property::NoDataRace;
            let trace = report.findings.iter().find(is_race).and_then(|finding| finding.trace.as_ref());
            let Some(trace) = trace else { return Ok(report) };
            let pending = rerun::run(system, &trace.schedule(), &[]).map_err(refused)?.pending;
            match racing(&pending, &self.races) {
                Some(field) => self.races.insert(field),
                None => return Ok(report),
            };
        }
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

/// The field that two threads of a process stand before, one of them to write it, and that is not known yet.
fn racing(pending: &[Pending], known: &BTreeSet<String>) -> Option<String> {
    let access = |pending: &Pending| match &pending.op {
        Some(Op::Get { cell }) => Some((pending.process, cell.clone(), false)),
        Some(Op::Set { cell, .. }) => Some((pending.process, cell.clone(), true)),
        _ => None,
    };
    let accesses: Vec<(u8, CellName, bool)> = pending.iter().filter_map(access).collect();
    let pairs = accesses.iter().enumerate().flat_map(|(at, one)| accesses[..at].iter().map(move |other| (one, other)));
    let races = |one: &(u8, CellName, bool), other: &(u8, CellName, bool)| {
        (one.0, &one.1) == (other.0, &other.1) && (one.2 || other.2) && !known.contains(&one.1.field)
    };
    pairs.filter(|(one, other)| races(one, other)).map(|((_, cell, _), _)| cell.field.clone()).next()
}
