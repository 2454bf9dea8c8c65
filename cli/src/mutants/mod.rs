//! `mutants`: a protocol with one operation changed, again and again. Does any scenario notice?

mod ground;
mod show;
mod trial;

use std::borrow::Cow;
use std::collections::BTreeSet;

use lockproof_model::explore::Options;
use lockproof_model::mutation::Mutation;
use lockproof_model::protocol::Entry;
use lockproof_scenarios::{Equivalent, Pattern, Scenario, equivalents};

use self::ground::Ground;
use self::trial::Fate;
use crate::args::{Format, MutantsArgs};
use crate::error::CliError;
use crate::interrupt::Interrupt;
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
    /// How many were not tried, because of a signal.
    untried: usize,
    /// What is listed as equivalent, and that there is none of which is not listed before.
    unknown: Vec<Pattern>,
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
    let memory_max = Options::default().memory_max / work::workers(usize::MAX, args.jobs) as u64;
    let options = Options { states_max: args.states_max, memory_max, ..Options::default() };
    let grounds = grounds(&scenarios, protocol, args, &options)?;
    let reached: BTreeSet<&Mutation> = grounds.iter().flat_map(Ground::mutants).collect();
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
    listed.retain(|equivalent| equivalent.protocol == protocol.name);
    let entry = |mutation: &Mutation| listed.iter().find(|equivalent| equivalent.pattern.matches(mutation));
    let interrupt = Interrupt::catch();
    let stop = || interrupt.has_come();
    let work = |mutation: &Mutation| {
        let reason = entry(mutation).map(|equivalent| equivalent.reason.clone());
        let all = reason.is_none() || args.thorough || args.mutant.is_some();
        let scenarios_max = if all { usize::MAX } else { SCENARIOS_OF_EQUIVALENT };
        let fate = trial::run(mutation, protocol, &grounds, scenarios_max, &options, &stop);
        (!stop()).then(|| Tried { mutation: mutation.clone(), fate, reason })
    };
    let remark = |tried: &Tried| (!tried.is_well() && args.mutant.is_none()).then(|| show::remark(tried));
    let tried = work::one_by_one(&mutations, args.jobs, ToString::to_string, work, remark);
    // Fewer scenarios reach fewer operations.
    let is_whole =
        args.scenario.is_empty() && args.mutant.is_none() && args.call.is_empty() && args.operator.is_empty();
    let has_none = |listed: &&Equivalent| {
        let is_first = |mutant: &&Mutation| entry(mutant).is_some_and(|first| std::ptr::eq(first, *listed));
        is_whole && !reached.iter().copied().any(|mutant| is_first(&mutant))
    };
    let unknown = listed.iter().filter(has_none).map(|equivalent| equivalent.pattern.clone()).collect();
    let untried = mutations.len() - tried.len();
    let campaign = Campaign { protocol, tried, untried, unknown, thorough: args.thorough };
    let is_well = campaign.unknown.is_empty() && campaign.tried.iter().all(Tried::is_well);
    output.print(&match (args.format, &campaign.tried[..]) {
        (Format::Json, _) => show::json(&campaign),
        (Format::Table, [one]) if args.mutant.is_some() => {
            let scenarios = grounds.iter().map(|ground| ground.scenario);
            show::one(one, protocol, scenarios, args, output)?
        }
        (Format::Table, _) => show::table(&campaign, output),
    })?;
    interrupt.obey();
    Ok(is_well)
}

/// What there is to try mutants on, the cheapest first.
fn grounds<'s>(
    scenarios: &'s [Cow<'static, Scenario>],
    protocol: Entry,
    args: &MutantsArgs,
    options: &Options,
) -> Result<Vec<Ground<'s>>, CliError> {
    let built_in = scenarios.iter().map(|scenario| (scenario.as_ref(), None));
    // Whoever names scenarios means those alone.
    let families = if args.scenario.is_empty() { select::families()? } else { &[] };
    let is_asked_for = |call: &str| {
        (args.call.is_empty() || args.call.iter().any(|asked| asked == call))
            && args.mutant.as_ref().is_none_or(|mutant| mutant.call == call)
    };
    let families = families.iter().filter(|relative| relative.calls.iter().any(|call| is_asked_for(call)));
    let families = families.map(|relative| (&relative.scenario, Some(&relative.calls[..])));
    let fitting: Vec<(&Scenario, Option<&[&'static str]>)> =
        built_in.chain(families).filter(|(scenario, _)| scenario.is_for(protocol.name)).collect();
    let name = |(scenario, _): &(&Scenario, _)| format!("{} ({})", scenario.name, protocol.name);
    let ground = |(scenario, of): &(&'s Scenario, _)| Ground::of(scenario, *of, protocol, options);
    let grounds = work::side_by_side(&fitting, args.jobs, name, ground);
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

#[cfg(test)]
mod tests {
    use super::trial::Kill;
    use super::*;

    #[test]
    fn one_that_is_listed_and_killed_is_as_wrong_as_one_that_survives_and_is_not_listed() {
        let kill = Kill { scenario: "alone".into(), property: None, detail: String::new(), trace: None };
        let mutation: Mutation = "names:drop-lock:a.lock:1".parse().expect("a mutant");
        let is_well = |fate: &Fate, reason: Option<&str>| {
            let (mutation, fate, reason) = (mutation.clone(), fate.clone(), reason.map(Into::into));
            Tried { mutation, fate, reason }.is_well()
        };
        let listed = Some("nobody can tell");
        let killed = Fate::Killed(Box::new(kill));
        assert!(is_well(&killed, None) && !is_well(&killed, listed));
        assert!(!is_well(&Fate::Survives, None) && is_well(&Fate::Survives, listed));
        let cut = Fate::Cut("time".into());
        assert!(!is_well(&cut, None) && !is_well(&cut, listed));
    }
}
