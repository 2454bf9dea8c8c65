//! The ways to hunt, and what each knows of the options. One that would change nothing is refused: who gives it expects
//! otherwise.

use lockproof_harness::hunt::daemon::script::Script;

use crate::args::{HuntArgs, StrategyName};
use crate::error::CliError;
use crate::faults;
use crate::hunt_daemon::{self, RANDOM};

/// A way to hunt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The interleavings of one workload.
    Workload,
    /// Every command against every other.
    Pairs,
    /// A fault at every event, without interleavings.
    FaultsInTurn,
    /// Workloads of daemons, drawn.
    Random,
    /// What was recorded, again.
    Replay,
}

/// What is about the store and the output goes with each.
const ALWAYS: [&str; 5] = ["store", "format", "color", "help", "version"];
const OF_DAEMONS: [&str; 3] = ["driver", "go-source", "race"];
const OF_FAULTS: [&str; 2] = ["crash", "fail"];
const OF_SEARCH: [&str; 5] = ["strategy", "depth", "seed", "preemptions-max", "lanes"];
const OF_BOUNDS: [&str; 3] = ["executions-max", "time-max", "record"];

impl Way {
    const ALL: [Self; 5] = [Self::Workload, Self::Pairs, Self::FaultsInTurn, Self::Random, Self::Replay];

    /// Whether an option, by its long name, means something to it.
    fn knows(self, option: &str) -> bool {
        let is_of = |groups: &[&[&str]]| groups.iter().any(|group| group.contains(&option));
        let own: &[&[&str]] = match self {
            Self::Workload => &[&["start", "daemon", "baseline"], &OF_DAEMONS, &OF_FAULTS, &OF_SEARCH, &OF_BOUNDS],
            Self::Pairs => &[&["pairs", "from", "triples", "for", "baseline"], &OF_SEARCH, &OF_BOUNDS],
            Self::FaultsInTurn => &[&["start"], &OF_FAULTS, &OF_BOUNDS],
            Self::Random => &[&["daemon", "seed", "baseline"], &OF_DAEMONS, &OF_BOUNDS],
            Self::Replay => &[&["replay", "times"], &OF_DAEMONS],
        };
        is_of(own) || is_of(&[&ALWAYS])
    }

    fn name(self) -> &'static str {
        match self {
            Self::Workload => "the interleavings of one workload",
            Self::Pairs => "`--pairs`",
            Self::FaultsInTurn => "faults at every event in turn",
            Self::Random => "`--daemon random`",
            Self::Replay => "`--replay`",
        }
    }

    /// What is asked for, of so many stores.
    pub(crate) fn of(args: &HuntArgs, stores: usize) -> Result<Self, CliError> {
        let way = if args.replay.is_some() {
            Self::Replay
        } else if args.pairs {
            Self::Pairs
        } else if args.daemon.iter().any(|calls| calls == RANDOM) {
            hunt_daemon::refuse_beside_random(args)?;
            Self::Random
        } else if faults::in_turn(args)? {
            Self::FaultsInTurn
        } else {
            Self::Workload
        };
        if let Some(option) = args.given.iter().find(|option| !way.knows(option)) {
            let others: Vec<&str> = Self::ALL.into_iter().filter(|way| way.knows(option)).map(Self::name).collect();
            return Err(CliError::Meaningless {
                option: format!("--{option}"),
                to: way.name(),
                help: format!("it goes with {}", others.join(", and with ")),
            });
        }
        if let Some((option, strategy)) = of_no_strategy(args, way) {
            return Err(CliError::OptionOfStrategy { option: option.into(), strategy });
        }
        let in_rows = matches!(way, Self::Workload | Self::Pairs) && faults::wanted(args).is_empty();
        if stores > 1 && !in_rows {
            let why = "--replay, --crash, --fail and --daemon random need one store, not all".to_owned();
            return Err(CliError::Nothing { why });
        }
        Ok(way)
    }

    /// The daemons that are told what to do.
    pub(crate) fn scripts(self, args: &HuntArgs) -> Result<Vec<Script>, CliError> {
        if self == Self::Random { Ok(Vec::new()) } else { hunt_daemon::scripts(args) }
    }
}

/// An option that the strategy has no use for, and the strategy.
fn of_no_strategy(args: &HuntArgs, way: Way) -> Option<(&'static str, &'static str)> {
    if !matches!(way, Way::Workload | Way::Pairs) || args.preemptions_max.is_some() {
        return None;
    }
    let strategy = args.strategy();
    let draws = strategy != StrategyName::Exhaustive || way == Way::Pairs;
    if args.depth.is_some() && strategy != StrategyName::Pct {
        Some(("--depth", strategy.name()))
    } else if args.seed.is_some() && !draws {
        Some(("--seed", strategy.name()))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn every_option_has_its_place() {
        let mut command = Cli::command();
        command.build();
        let hunt = command.find_subcommand("hunt").expect("the command");
        for option in hunt.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(Way::ALL.iter().any(|way| way.knows(option)), "no way to hunt knows --{option}");
        }
    }
}
