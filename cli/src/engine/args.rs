//! The options that say which engines run a scenario, and how.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Engine;
use crate::error::CliError;
use crate::units;

/// How many preemptions an execution of loom may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PreemptionBound {
    /// At most so many.
    AtMost(usize),
    /// As many as there can be.
    None,
}

impl FromStr for PreemptionBound {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            number => {
                number.parse().map(Self::AtMost).map_err(|_| "a whole number, such as 2, or `none` is wanted here")
            }
        }
    }
}

impl fmt::Display for PreemptionBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => bound.fmt(f),
            Self::None => f.write_str("none"),
        }
    }
}

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// The explorer: every state once, and fair cycles.
    Explore,
    /// loom: every interleaving, execution by execution.
    Loom,
    /// shuttle: schedules drawn at random.
    Shuttle,
    /// All of them, side by side.
    All,
}

/// In which order shuttle lets threads step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyName {
    /// Each step by a thread drawn from those that can take one.
    Random,
    /// Random priorities that change at random points, which finds a mistake of `--depth` with a known probability.
    Pct,
    /// Every schedule, depth first.
    Dfs,
}

/// How scenarios are run. What an option does not say is as the engine has it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct EngineArgs {
    /// What runs the scenarios: `explore`, unless something else is said; several stand side by side.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ENGINE", help_heading = "Engines")]
    pub(crate) engine: Vec<Choice>,
    /// Give a search up after this time: 30s, 5m.
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Engines")]
    pub(crate) time_max: Option<Duration>,
    /// Keep whole states, so that a proof is no matter of probability; this is the default.
    #[arg(long, conflicts_with = "fingerprint", help_heading = "Explorer")]
    pub(crate) exact: bool,
    /// Keep fingerprints of states: less memory, and a bound on the chance of a collision is printed.
    #[arg(long, help_heading = "Explorer")]
    pub(crate) fingerprint: bool,
    /// Do not treat processes that run the same script alike.
    #[arg(long, help_heading = "Explorer")]
    pub(crate) no_symmetry: bool,
    /// Try all orders of steps that do not depend on each other.
    #[arg(long, help_heading = "Explorer")]
    pub(crate) no_partial_order: bool,
    /// Take the steps that concern one process alone one by one.
    #[arg(long, help_heading = "Explorer")]
    pub(crate) no_merge: bool,
    /// Give a search up after so many states.
    #[arg(long, value_name = "N", value_parser = units::count, help_heading = "Explorer")]
    pub(crate) states_max: Option<u64>,
    /// Give a search up when it needs more memory: 512M, 2G.
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = "Explorer")]
    pub(crate) memory_max: Option<u64>,
    /// Only executions with at most so many preemptions, or `none` for all [default: 1, all, then 2, 3, …, as far as
    /// --permutations-max reaches].
    #[arg(long, value_name = "N", help_heading = "Loom")]
    pub(crate) preemption_bound: Option<PreemptionBound>,
    /// Give a search up after so many executions [default: 500].
    #[arg(long, value_name = "N", value_parser = units::count, help_heading = "Loom")]
    pub(crate) permutations_max: Option<u64>,
    /// How schedules are chosen [default: pct].
    #[arg(long, value_enum, value_name = "STRATEGY", help_heading = "Shuttle")]
    pub(crate) strategy: Option<StrategyName>,
    /// How many ordering constraints a mistake may need that pct looks for [default: 3].
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u8).range(1..), help_heading = "Shuttle")]
    pub(crate) depth: Option<u8>,
    /// How many schedules are drawn; of dfs, the most [default: 100].
    #[arg(long, value_name = "N", value_parser = units::count, help_heading = "Shuttle")]
    pub(crate) schedules: Option<u64>,
    /// The seed that schedules are drawn from: the same one draws the same ones [default: 1].
    #[arg(long, value_name = "S", help_heading = "Shuttle")]
    pub(crate) seed: Option<u64>,
    /// How often loom and shuttle run what runs for ever [default: 2].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Engines")]
    pub(crate) rounds: Option<u32>,
}

impl EngineArgs {
    /// The engines that are asked for, each once, in their order.
    pub(crate) fn chosen(&self) -> Vec<Engine> {
        let is_chosen = |engine: &Engine| match engine {
            Engine::Explore => self.engine.is_empty() || self.engine.contains(&Choice::Explore),
            Engine::Loom => self.engine.contains(&Choice::Loom),
            Engine::Shuttle => self.engine.contains(&Choice::Shuttle),
        };
        let all = self.engine.contains(&Choice::All);
        Engine::ALL.into_iter().filter(|engine| all || is_chosen(engine)).collect()
    }

    /// Each option that is given and is not for every engine, as it is typed, and the engines that it is for.
    fn options(&self) -> Vec<(&'static [Engine], String)> {
        const EXPLORE: &[Engine] = &[Engine::Explore];
        const LOOM: &[Engine] = &[Engine::Loom];
        const SHUTTLE: &[Engine] = &[Engine::Shuttle];
        const BOTH: &[Engine] = &[Engine::Loom, Engine::Shuttle];
        let flag = |option: &str, given: bool| given.then(|| option.to_owned());
        let with = |option: &str, value: Option<String>| value.map(|value| format!("{option} {value}"));
        let number = |option: &str, value: Option<u64>| with(option, value.map(|value| value.to_string()));
        let strategy = self.strategy.and_then(|strategy| Some(strategy.to_possible_value()?.get_name().to_owned()));
        let options = [
            (EXPLORE, flag("--exact", self.exact)),
            (EXPLORE, flag("--fingerprint", self.fingerprint)),
            (EXPLORE, flag("--no-symmetry", self.no_symmetry)),
            (EXPLORE, flag("--no-partial-order", self.no_partial_order)),
            (EXPLORE, flag("--no-merge", self.no_merge)),
            (EXPLORE, number("--states-max", self.states_max)),
            (EXPLORE, with("--memory-max", self.memory_max.map(|bytes| format!("{bytes}B")))),
            (LOOM, with("--preemption-bound", self.preemption_bound.map(|bound| bound.to_string()))),
            (LOOM, number("--permutations-max", self.permutations_max)),
            (SHUTTLE, with("--strategy", strategy)),
            (SHUTTLE, number("--depth", self.depth.map(u64::from))),
            (SHUTTLE, number("--schedules", self.schedules)),
            (SHUTTLE, number("--seed", self.seed)),
            (BOTH, number("--rounds", self.rounds.map(u64::from))),
        ];
        options.into_iter().filter_map(|(engines, option)| Some((engines, option?))).collect()
    }

    /// The options on which verdicts depend, as they are typed.
    pub(crate) fn to_repeat(&self) -> String {
        let mut options: Vec<String> = self.options().into_iter().map(|(_, option)| option).collect();
        options.extend(self.time_max.map(|time| format!("--time-max {}ms", time.as_millis())));
        options.join(" ")
    }

    /// # Errors
    /// An option that would be ignored: of an engine that was not asked for, or of another strategy.
    pub(crate) fn refuse_what_is_ignored(&self) -> Result<(), CliError> {
        let chosen = self.chosen();
        let is_ignored = |engines: &[Engine]| !engines.iter().any(|engine| chosen.contains(engine));
        if let Some((engines, option)) = self.options().into_iter().find(|(engines, _)| is_ignored(engines)) {
            return Err(CliError::OptionOfEngine { option, engine: engines[0].name() });
        }
        let ignored = match self.strategy {
            Some(StrategyName::Random) => self.depth.map(|depth| (format!("--depth {depth}"), "random")),
            Some(StrategyName::Dfs) => {
                let seed = self.seed.map(|seed| format!("--seed {seed}"));
                let depth = self.depth.map(|depth| format!("--depth {depth}"));
                seed.or(depth).map(|option| (option, "dfs"))
            }
            Some(StrategyName::Pct) | None => None,
        };
        match ignored {
            Some((option, strategy)) => Err(CliError::OptionOfStrategy { option, strategy }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_come_once_and_in_their_order() {
        let chosen = |engine: &[Choice]| EngineArgs { engine: engine.to_vec(), ..EngineArgs::default() }.chosen();
        assert_eq!(chosen(&[]), [Engine::Explore]);
        assert_eq!(chosen(&[Choice::Loom, Choice::Explore, Choice::Loom]), [Engine::Explore, Engine::Loom]);
        assert_eq!(chosen(&[Choice::All]), Engine::ALL);
    }

    #[test]
    fn options_are_repeated_as_they_are_typed() {
        let args = EngineArgs {
            no_merge: true,
            memory_max: Some(2 << 30),
            preemption_bound: "none".parse().ok(),
            time_max: Some(Duration::from_secs(3)),
            strategy: Some(StrategyName::Random),
            seed: Some(7),
            ..EngineArgs::default()
        };
        assert_eq!(
            args.to_repeat(),
            "--no-merge --memory-max 2147483648B --preemption-bound none --strategy random --seed 7 --time-max 3000ms"
        );
    }
}
