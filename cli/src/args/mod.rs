//! The command line.

mod hunt;
mod model;
mod real;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use lockproof_model::protocol;

pub(crate) use self::hunt::{HuntArgs, StrategyName};
pub(crate) use self::model::{
    CheckArgs, DiffArgs, DiffFormat, ExportArgs, FuzzArgs, Grouping, Language, ListArgs, MutantsArgs, ReplayArgs,
    ReportFormat, ShowArgs,
};
pub(crate) use self::real::{DoctorArgs, StressArgs, TraceArgs};
use crate::output::Color;

const EXAMPLES: &str = "\
Examples:
  lockproof                                       every scenario, every protocol
  lockproof check writer-starvation -p v1_24      one scenario, one protocol
  lockproof check my-race.toml --format json      a scenario of your own, for another program
  lockproof show stale-ro-cache-after-rw-write    what a scenario is about
  lockproof replay abba-layer-locks -p per_layer_locks --schedule lk1:…
  lockproof stress writer-starvation -p v1_24 --for 10s --again
  lockproof fuzz --for 30m --corpus corpus        random scenarios, on which every engine checks the others

Exit status: 0 all as expected, 1 something unexpected, 2 wrong use.";

/// Checks the locking protocol of containers/storage: in a model, exhaustively, and with real processes.
#[derive(Debug, Parser)]
#[command(name = "lockproof", version, after_help = EXAMPLES, propagate_version = true)]
pub(crate) struct Cli {
    /// What to do; nothing at all is `check`, of everything.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// When to use colours; `auto` respects `NO_COLOR` and uses none in a pipe.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check scenarios in the model, and show what was found on real processes.
    #[command(after_help = model::CHECK)]
    Check(CheckArgs),
    /// Show which verdicts a change of the protocol turns, for better and for worse.
    #[command(after_help = model::DIFF)]
    Diff(DiffArgs),
    /// List the scenarios that are built in.
    #[command(after_help = model::LIST)]
    List(ListArgs),
    /// Show a scenario: where it comes from, who does what, what is expected.
    #[command(after_help = model::SHOW)]
    Show(ShowArgs),
    /// Run a schedule again, in the model and by real processes.
    #[command(after_help = model::REPLAY)]
    Replay(ReplayArgs),
    /// Let the processes of a scenario run freely, and measure waits and overtakes.
    #[command(after_help = real::STRESS)]
    Stress(StressArgs),
    /// Run any program, and print its lock protocol: locks, stamps, documents, renames, who waits for whom.
    #[command(after_help = real::TRACE)]
    Trace(TraceArgs),
    /// Run commands of the real store against each other, one interleaving after the other, and look for violations.
    #[command(after_help = hunt::HUNT)]
    Hunt(HuntArgs),
    /// Say what works on this machine.
    #[command(after_help = real::DOCTOR)]
    Doctor(DoctorArgs),
    /// Let every engine check the others, on random scenarios or on those that are named.
    #[command(after_help = model::FUZZ)]
    Fuzz(FuzzArgs),
    /// Write a scenario in the language of another model checker, as a second opinion.
    #[command(after_help = model::EXPORT)]
    Export(ExportArgs),
    /// Change a protocol, one operation at a time, and see whether any scenario notices.
    #[command(after_help = model::MUTANTS)]
    Mutants(MutantsArgs),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// What the command line says; ends the process if that makes no sense.
    pub(crate) fn read() -> Self {
        let mut command = Self::command();
        let matches = command.get_matches_mut();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if let (Some(Command::Hunt(args)), Some((name, matches))) = (&mut cli.command, matches.subcommand())
            && let Some(hunt) = command.find_subcommand(name)
        {
            args.note(hunt, matches);
        }
        cli
    }
}

impl Default for Command {
    fn default() -> Self {
        Command::Check(CheckArgs::default())
    }
}

fn protocols() -> PossibleValuesParser {
    PossibleValuesParser::new(protocol::all().into_iter().map(|entry| entry.name))
}

/// How anything else is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For another program.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_at_all_is_a_check_of_everything() {
        let cli = Cli::try_parse_from(["lockproof"]).expect("no arguments are fine");
        let Command::Check(args) = cli.command.unwrap_or_default() else { panic!("not a check") };
        assert!(args.scenarios.is_empty() && args.protocol.is_empty() && args.property.is_empty());
        assert!(!args.no_real && args.engines.chosen() == [Engine::Explore]);
    }
}
