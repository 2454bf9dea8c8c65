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
    /// All of them, side by side.
    All,
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
}

impl EngineArgs {
    /// The engines that are asked for, each once, in their order.
    pub(crate) fn chosen(&self) -> Vec<Engine> {
        let is_chosen = |engine: &Engine| match engine {
            Engine::Explore => self.engine.is_empty() || self.engine.contains(&Choice::Explore),
            Engine::Loom => self.engine.contains(&Choice::Loom),
        };
        let all = self.engine.contains(&Choice::All);
        Engine::ALL.into_iter().filter(|engine| all || is_chosen(engine)).collect()
    }

    /// Each option that is given and of use to one engine alone, with its value as it is typed.
    fn options(&self) -> Vec<(Engine, String)> {
        use Engine::{Explore, Loom};
        let flag = |option: &str, given: bool| given.then(|| option.to_owned());
        let with = |option: &str, value: Option<String>| value.map(|value| format!("{option} {value}"));
        let number = |option: &str, value: Option<u64>| with(option, value.map(|value| value.to_string()));
        let options = [
            (Explore, flag("--exact", self.exact)),
            (Explore, flag("--fingerprint", self.fingerprint)),
            (Explore, flag("--no-symmetry", self.no_symmetry)),
            (Explore, flag("--no-partial-order", self.no_partial_order)),
            (Explore, flag("--no-merge", self.no_merge)),
            (Explore, number("--states-max", self.states_max)),
            (Explore, with("--memory-max", self.memory_max.map(|bytes| format!("{bytes}B")))),
            (Loom, with("--preemption-bound", self.preemption_bound.map(|bound| bound.to_string()))),
            (Loom, number("--permutations-max", self.permutations_max)),
        ];
        options.into_iter().filter_map(|(engine, option)| Some((engine, option?))).collect()
    }

    /// The options on which verdicts depend, as they are typed.
    pub(crate) fn to_repeat(&self) -> String {
        let mut options: Vec<String> = self.options().into_iter().map(|(_, option)| option).collect();
        options.extend(self.time_max.map(|time| format!("--time-max {}ms", time.as_millis())));
        options.join(" ")
    }

    /// # Errors
    /// An option of an engine that was not asked for: it would be ignored.
    pub(crate) fn refuse_what_is_ignored(&self) -> Result<(), CliError> {
        let chosen = self.chosen();
        match self.options().into_iter().find(|(engine, _)| !chosen.contains(engine)) {
            Some((engine, option)) => Err(CliError::OptionOfEngine { option, engine: engine.name() }),
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
            ..EngineArgs::default()
        };
        assert_eq!(args.to_repeat(), "--no-merge --memory-max 2147483648B --preemption-bound none --time-max 3000ms");
    }
}
