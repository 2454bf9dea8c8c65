//! What is checked in the model, or about it.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use lockproof_model::mutation::{Mutation, MutationError, Operator};
use lockproof_model::property::Property;
use lockproof_model::schedule::Schedule;

use super::{Format, protocols};
use crate::engine::EngineArgs;
use crate::units;

pub(super) const CHECK: &str = "\
Examples:
  lockproof check                                     everything
  lockproof check abba-layer-locks -p per_layer_locks -v
  lockproof check my-race.toml --property fresh       a file of your own, one property
  lockproof check --quiet --format junit > checks.xml for a build server
  lockproof check writer-starvation --memory-max 2G --time-max 5m
  lockproof check graphlock-scope-race --engine all   by every engine, side by side

A search that reaches a limit is `cut`: it is never as expected, unless a file expects it, or another engine has the
expected answer. Two engines whose answers differ are unexpected, whatever was expected.
Exit status: 0 all as expected, 1 something unexpected, 2 wrong use.";

pub(super) const DIFF: &str = "\
Examples:
  lockproof diff v1_24 pr_473                          what the pull request does
  lockproof diff v1_24 one_way_upgrade --property fresh
  lockproof diff v1_24 pr_473 --format markdown        for a comment on it

All is checked anew by the explorer; nothing is taken from what the scenarios expect.
Exit status: 0 whatever turned, 1 a verdict is not as its scenario expects, 2 wrong use.";

pub(super) const LIST: &str = "\
Examples:
  lockproof list
  lockproof list --by race
  lockproof list --by name | grep D14
  lockproof list --format json | jq -r '.scenarios[].name'";

pub(super) const SHOW: &str = "\
Examples:
  lockproof show writer-starvation
  lockproof show writer-starvation --toml > mine.toml    begin a scenario of your own";

pub(super) const REPLAY: &str = "\
Examples:
  lockproof replay abba-layer-locks -p per_layer_locks --schedule lk1:…
  lockproof replay writer-starvation -p v1_24 --schedule lk1:… --rounds 50   a lasso, 50 times

`lockproof check` prints the schedule below each trace. A schedule belongs to one scenario and one protocol.
Exit status: 0 model and reality agree, 1 they part, 2 wrong use: the schedule is damaged, or not possible.";

pub(super) const FUZZ: &str = "\
Examples:
  lockproof fuzz --for 30m --corpus corpus            go on with the random scenarios of seed 1
  lockproof fuzz --for 8h --seed 7 --corpus corpus    other scenarios, the same corpus
  lockproof fuzz abba-layer-locks                     one scenario: do all engines agree
  lockproof fuzz corpus/failures/random-….toml        see a failure again

The explorer, with its reductions and without, the plain explorer and loom say whether each property holds. Where two of
them disagree, a mistake of ours is found: the scenario is made as small as it still shows it, and saved in
DIR/failures. It stays a failure until all agree. A run that was killed, at any moment, is gone on with by the next one.
Exit status: 0 nothing found, 1 engines disagree, 2 wrong use.";

pub(super) const EXPORT: &str = "\
Examples:
  lockproof export abba-layer-locks -p per_layer_locks --to promela -o abba.pml
  spin -a -DNO_DEADLOCK abba.pml && gcc -DSAFETY -o pan pan.c && ./pan -E

The head of the text says how each property is judged, and which are not.
Exit status: 0 it is written, 2 the scenario has something that cannot be exported.";

pub(super) const MUTANTS: &str = "\
Examples:
  lockproof mutants -p v1_24                          all of them, which takes minutes
  lockproof mutants -p one_way_upgrade --call set-names
  lockproof mutants -p v1_24 --list                   the names, nothing is tried
  lockproof mutants -p v1_24 --mutant set-names:drop-stamp:root/vfs-layers/layers.lock:1

A mutant is killed when a scenario says something else of it than of the protocol as it is. One that survives and is not
known to be equivalent is a hole in the scenarios.
Exit status: 0 all are killed or known to be equivalent, 1 one survives or a search was cut, 2 wrong use.";

fn property(name: &str) -> Result<Property, lockproof_model::property::UnknownProperty> {
    name.parse()
}

fn properties() -> impl clap::builder::TypedValueParser<Value = Property> {
    use clap::builder::TypedValueParser as _;
    PossibleValuesParser::new(Property::ALL.map(Property::name)).try_map(|name| property(&name))
}

fn operators() -> impl clap::builder::TypedValueParser<Value = Operator> {
    use clap::builder::TypedValueParser as _;
    PossibleValuesParser::new(Operator::ALL.map(Operator::name))
        .try_map(|name| -> Result<Operator, MutationError> { name.parse() })
}

/// How verdicts are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    #[default]
    Table,
    /// For another program.
    Json,
    /// For a build server.
    Junit,
    /// For a pull request.
    Markdown,
    /// For a scenario's file: its `[expect]` as it was measured.
    Expect,
}

#[derive(Args, Debug, Default)]
pub(crate) struct CheckArgs {
    /// Names of built-in scenarios, or files; without any, all that are built in.
    #[arg(value_name = "SCENARIO|FILE")]
    pub(crate) scenarios: Vec<String>,
    /// Only this protocol; may be repeated.
    #[arg(short, long, value_name = "PROTOCOL", value_parser = protocols())]
    pub(crate) protocol: Vec<String>,
    /// Only this property; may be repeated.
    #[arg(long, value_name = "PROPERTY", value_parser = properties())]
    pub(crate) property: Vec<Property>,
    /// How to show the verdicts.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,
    /// The table alone, no traces.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// In traces, also what happens inside a process (mutexes, cells, clocks), and locks that have no part in it.
    #[arg(short, long, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) engines: EngineArgs,
    /// Do not run counterexamples on real processes.
    #[arg(long)]
    pub(crate) no_real: bool,
    /// How many checks run side by side; as a rule one for each core.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
}

/// How a diff is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    /// For people.
    #[default]
    Table,
    /// For another program.
    Json,
    /// For a pull request.
    Markdown,
}

#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// The protocol before the change.
    #[arg(value_name = "BEFORE", value_parser = protocols())]
    pub(crate) before: String,
    /// The protocol after it.
    #[arg(value_name = "AFTER", value_parser = protocols())]
    pub(crate) after: String,
    /// Names of built-in scenarios, or files; without any, all that are built in.
    #[arg(value_name = "SCENARIO|FILE")]
    pub(crate) scenarios: Vec<String>,
    /// Only this property; may be repeated.
    #[arg(long, value_name = "PROPERTY", value_parser = properties())]
    pub(crate) property: Vec<Property>,
    /// How to show the diff.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: DiffFormat,
    /// Give a search up after so many states.
    #[arg(long, value_name = "N", value_parser = units::count)]
    pub(crate) states_max: Option<u64>,
    /// Give a search up after this time: 30s, 5m.
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(crate) time_max: Option<Duration>,
    /// How many checks run side by side; as a rule one for each core.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
}

impl DiffArgs {
    /// Whether a property is asked about.
    pub(crate) fn is_about(&self, property: Property) -> bool {
        self.property.is_empty() || self.property.contains(&property)
    }
}

/// How scenarios are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Grouping {
    /// Under each remark of the discussion, those that answer it.
    #[default]
    Remark,
    /// Under each known race, those that show it.
    Race,
    /// Each once, a line for each in a pipe.
    Name,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// How to group them.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) by: Grouping,
    /// How to show the list.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The name of a built-in scenario, or a file.
    #[arg(value_name = "SCENARIO|FILE")]
    pub(crate) scenario: String,
    /// Print the scenario's file as it is, to begin one of your own with.
    #[arg(long)]
    pub(crate) toml: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// The name of a built-in scenario, or a file.
    #[arg(value_name = "SCENARIO|FILE")]
    pub(crate) scenario: String,
    /// The protocol under which the schedule was found.
    #[arg(short, long, value_name = "PROTOCOL", value_parser = protocols())]
    pub(crate) protocol: String,
    /// The schedule, as `check` printed it.
    #[arg(long, value_name = "lk1:…")]
    pub(crate) schedule: Schedule,
    /// Only in the model, not by real processes.
    #[arg(long)]
    pub(crate) model_only: bool,
    /// How often real processes go round the cycle of a lasso.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Also what happens inside a process (mutexes, cells, clocks), and locks that have no part in it.
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Args, Debug)]
pub(crate) struct FuzzArgs {
    /// Names of built-in scenarios, or files, instead of random ones.
    #[arg(value_name = "SCENARIO|FILE", conflicts_with_all = ["duration", "seed", "corpus", "jobs"])]
    pub(crate) scenarios: Vec<String>,
    /// How long: 10m, 8h.
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = units::duration)]
    pub(crate) duration: Duration,
    /// Where the scenarios are drawn from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// The folder that keeps what was found, and how far each seed is; it is made if there is none.
    #[arg(long, value_name = "DIR", required_unless_present = "scenarios")]
    pub(crate) corpus: Option<PathBuf>,
    /// How many scenarios are compared side by side; as a rule one for each core.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
}

#[derive(Args, Debug)]
pub(crate) struct MutantsArgs {
    /// The protocol that is changed.
    #[arg(short, long, value_name = "PROTOCOL", value_parser = protocols())]
    pub(crate) protocol: String,
    /// Only this scenario may notice, built-in or a file; may be repeated.
    #[arg(short, long, value_name = "SCENARIO|FILE")]
    pub(crate) scenario: Vec<String>,
    /// Only mutants of this call; may be repeated.
    #[arg(long, value_name = "CALL")]
    pub(crate) call: Vec<String>,
    /// Only mutants of this operator; may be repeated.
    #[arg(long, value_name = "OPERATOR", value_parser = operators())]
    pub(crate) operator: Vec<Operator>,
    /// One mutant, and the run that gives it away.
    #[arg(long, value_name = "MUTANT", conflicts_with_all = ["call", "operator", "list"])]
    pub(crate) mutant: Option<Mutation>,
    /// Try also those that are known to be equivalent on all scenarios.
    #[arg(long)]
    pub(crate) thorough: bool,
    /// The names of the mutants, without trying any.
    #[arg(long)]
    pub(crate) list: bool,
    /// How to show what was found.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Give a search up after so many states.
    #[arg(long, value_name = "N", default_value = "2_000_000", value_parser = units::count)]
    pub(crate) states_max: u64,
    /// In the run of one mutant, also what happens inside a process.
    #[arg(short, long, requires = "mutant")]
    pub(crate) verbose: bool,
    /// How many mutants are tried side by side; as a rule one for each core.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
}

/// The languages of other tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// For SPIN.
    Promela,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The name of a built-in scenario, or a file.
    #[arg(value_name = "SCENARIO|FILE")]
    pub(crate) scenario: String,
    /// The protocol that the processes speak.
    #[arg(short, long, value_name = "PROTOCOL", value_parser = protocols())]
    pub(crate) protocol: String,
    /// The language.
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub(crate) to: Language,
    /// Write into this file instead of stdout.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
