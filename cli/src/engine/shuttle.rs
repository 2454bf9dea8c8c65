//! shuttle: schedules drawn at random, for what is too big for the others.

use lockproof_model::engine::shuttle::{ShuttleOptions, Strategy, check};
use lockproof_model::engine::{Error, Report};
use lockproof_model::property::Property;
use lockproof_model::system::System;

use super::args::{EngineArgs, StrategyName};

/// How many schedules are drawn, unless the command line says otherwise: with it a check of everything takes minutes.
const SCHEDULES: u64 = 100;

/// How many ordering constraints a mistake may need, unless the command line says otherwise.
const DEPTH: usize = 3;

/// How shuttle is run.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    options: ShuttleOptions,
}

impl Limits {
    pub(super) fn of(args: &EngineArgs) -> Self {
        let defaults = ShuttleOptions::default();
        let strategy = match args.strategy.unwrap_or(StrategyName::Pct) {
            StrategyName::Random => Strategy::Random,
            StrategyName::Pct => Strategy::Pct { depth: args.depth.map_or(DEPTH, usize::from) },
            StrategyName::Dfs => Strategy::Dfs,
        };
        let options = ShuttleOptions {
            strategy,
            seed: args.seed.unwrap_or(defaults.seed),
            schedules: args.schedules.unwrap_or(SCHEDULES),
            max_duration: args.time_max,
            rounds: args.rounds.unwrap_or(defaults.rounds),
            ..defaults
        };
        Self { options }
    }

    /// Lets shuttle judge `properties`, all of which it judges.
    pub(super) fn run(&self, system: &System, properties: &[Property]) -> Result<Report, Error> {
        check(system, properties, &self.options)
    }

    /// How schedules are chosen, for people.
    pub(super) fn strategy(&self) -> String {
        self.options.strategy.to_string()
    }

    /// The seed that they come from; depth-first search has none.
    pub(super) fn seed(&self) -> Option<u64> {
        (self.options.strategy != Strategy::Dfs).then_some(self.options.seed)
    }
}
