//! `mutants`: a protocol with one operation changed, again and again. Does any scenario notice?

mod ground;
mod show;
mod trial;

use std::borrow::Cow;
use std::collections::BTreeSet;

use lockproof_model::explore::Options;
use lockproof_model::mutation::Mutation;
use lockproof_model::protocol::Entry;
use lockproof_scenarios::{Equivalent, Scenario, equivalents};

use self::ground::Ground;
use self::trial::Fate;
use crate::args::{Format, MutantsArgs};
use crate::error::CliError;
use crate::output::Output;
use crate::{select, work};

/// A mutant that is known to be equivalent is tried on so many scenarios, the cheapest that could notice it, unless all are
/// asked for: it would be the dearest of all, for nothing ends the search.
const SCENARIOS_OF_EQUIVALENT: usize = 6;

/// A mutant, and what became of it.
struct Tried {
    mutation: Mutation,
    fate: Fate,
    /// Why it is known to be equivalent, if it is.
    reason: Option<String>,
}

/// What a campaign found.
struct Campaign {
    protocol: Entry,
    tried: Vec<Tried>,
    /// Mutants that are listed as equivalent, and that there are none of.
    unknown: Vec<Mutation>,
    /// Whether those that are known to be equivalent were tried on all scenarios.
    thorough: bool,
}

impl Tried {
    /// Whether it is killed, or is known to be equivalent and survives.
    fn is_well(&self) -> bool {
        match self.fate {
            Fate::Killed(_) => self.reason.is_none(),
            Fate::Survives => self.reason.is_some(),
            Fate::Cut(_) => false,
        }
    }
}

/// Whether every mutant is killed, or is known to be equivalent and survives.
pub(crate) fn run(args: &MutantsArgs, output: &Output) -> Result<bool, CliError> {
    let protocol = select::protocol(&args.protocol)?;
    let scenarios = select::scenarios(&args.scenario)?;
    let options = Options { states_max: args.states_max, ..Options::default() };
    let grounds = grounds(&scenarios, protocol, args, &options)?;
    let reached: BTreeSet<&Mutation> = grounds.iter().flat_map(|ground| &ground.sites).collect();
    let is_asked_for = |mutation: &Mutation| {
        args.mutant.as_ref().is_none_or(|mutant| mutant == mutation)
            && (args.call.is_empty() || args.call.contains(&mutation.call))
            && (args.operator.is_empty() || args.operator.contains(&mutation.operator))
    };
    let mutations: Vec<Mutation> = reached.iter().copied().filter(|mutant| is_asked_for(mutant)).cloned().collect();
    if mutations.is_empty() {
        return Err(CliError::Nothing { why: why_nothing(args, protocol) });
    }
    if args.list {
        let names: Vec<String> = mutations.iter().map(|mutation| format!("{mutation}\n")).collect();
        output.print(&names.concat())?;
        return Ok(true);
    }
    let mut listed = equivalents().map_err(|refused| CliError::BuiltIn(Box::new(refused)))?;
    listed.retain(|equivalent| equivalent.protocol == protocol.name && is_asked_for(&equivalent.mutation));
    let reason = |mutation: &Mutation| {
        let equivalent = listed.iter().find(|equivalent| equivalent.mutation == *mutation);
        equivalent.map(|equivalent| equivalent.reason.clone())
    };
    let tried = work::side_by_side(&mutations, args.jobs, ToString::to_string, |mutation| {
        let reason = reason(mutation);
        let all = reason.is_none() || args.thorough || args.mutant.is_some();
        let scenarios_max = if all { usize::MAX } else { SCENARIOS_OF_EQUIVALENT };
        let fate = trial::run(mutation, protocol, &grounds, scenarios_max, &options);
        Tried { mutation: mutation.clone(), fate, reason }
    });
    // Fewer scenarios reach fewer operations.
    let unknown = |equivalent: &&Equivalent| args.scenario.is_empty() && !reached.contains(&equivalent.mutation);
    let unknown = listed.iter().filter(unknown).map(|equivalent| equivalent.mutation.clone()).collect();
    let campaign = Campaign { protocol, tried, unknown, thorough: args.thorough };
    let is_well = campaign.unknown.is_empty() && campaign.tried.iter().all(Tried::is_well);
    output.print(&match (args.format, &campaign.tried[..]) {
        (Format::Json, _) => show::json(&campaign),
        (Format::Table, [one]) if args.mutant.is_some() => show::one(one, protocol, &scenarios, args, output)?,
        (Format::Table, _) => show::table(&campaign, output),
    })?;
    Ok(is_well)
}

/// What there is to try mutants on, the cheapest first.
fn grounds<'s>(
    scenarios: &'s [Cow<'static, Scenario>],
    protocol: Entry,
    args: &MutantsArgs,
    options: &Options,
) -> Result<Vec<Ground<'s>>, CliError> {
    let fitting = scenarios.iter().map(Cow::as_ref).filter(|scenario| scenario.is_for(protocol.name));
    let fitting: Vec<&Scenario> = fitting.collect();
    let name = |scenario: &&Scenario| format!("{} ({})", scenario.name, protocol.name);
    let grounds = work::side_by_side(&fitting, args.jobs, name, |scenario| Ground::of(scenario, protocol, options));
    let mut grounds = grounds.into_iter().collect::<Result<Vec<_>, CliError>>()?;
    grounds.sort_by_key(|ground| ground.states);
    Ok(grounds)
}

fn why_nothing(args: &MutantsArgs, protocol: Entry) -> String {
    let name = protocol.name;
    if let Some(mutant) = &args.mutant {
        return format!("no scenario does under {name} what {mutant} changes; --list shows the mutants");
    }
    let operators: Vec<&str> = args.operator.iter().map(|operator| operator.name()).collect();
    match (&args.call[..], &operators[..]) {
        ([], []) => format!("no scenario makes a call under {name}"),
        (calls, []) => format!("no scenario makes the call {} under {name}", calls.join(" or ")),
        ([], operators) => format!("{} changes nothing under {name}", operators.join(" or ")),
        (calls, operators) => {
            format!("{} changes nothing in {} under {name}", operators.join(" or "), calls.join(" or "))
        }
    }
}
