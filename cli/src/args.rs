//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use lockproof_harness::hunt::fault::Fault;
use lockproof_model::mutation::{Mutation, MutationError, Operator};
use lockproof_model::property::Property;
use lockproof_model::protocol;
use lockproof_model::schedule::Schedule;

use crate::engine::EngineArgs;
use crate::output::Color;
use crate::units;

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

const CHECK: &str = "\
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

const DIFF: &str = "\
Examples:
  lockproof diff v1_24 pr_473                          what the pull request does
  lockproof diff v1_24 one_way_upgrade --property fresh
  lockproof diff v1_24 pr_473 --format markdown        for a comment on it

All is checked anew by the explorer; nothing is taken from what the scenarios expect.
Exit status: 0 whatever turned, 1 a verdict is not as its scenario expects, 2 wrong use.";

const LIST: &str = "\
Examples:
  lockproof list
  lockproof list --by race
  lockproof list --by name | grep D14
  lockproof list --format json | jq -r '.scenarios[].name'";

const SHOW: &str = "\
Examples:
  lockproof show writer-starvation
  lockproof show writer-starvation --toml > mine.toml    begin a scenario of your own";

const REPLAY: &str = "\
Examples:
  lockproof replay abba-layer-locks -p per_layer_locks --schedule lk1:…
  lockproof replay writer-starvation -p v1_24 --schedule lk1:… --rounds 50   a lasso, 50 times

`lockproof check` prints the schedule below each trace. A schedule belongs to one scenario and one protocol.
Exit status: 0 model and reality agree, 1 they part, 2 wrong use: the schedule is damaged, or not possible.";

const STRESS: &str = "\
Examples:
  lockproof stress writer-starvation -p v1_24 --for 10s --again
  lockproof stress parallel-pulls -p per_layer_locks --for 1m --format json
  lockproof stress --daemon 8 --commands 2 --for 1h      the real library as a daemon, real commands beside it
  lockproof stress --daemon 8 --commands 2 --go-source ~/src/storage --race

What is measured differs from run to run, and proves nothing: that is what `check` is for.
Exit status: 0 it ran, 1 a process panicked, got stuck or could not be run, or an answer was wrong, 2 wrong use.";

const TRACE: &str = "\
Examples:
  lockproof trace -- containers-storage --graph /tmp/root --run /tmp/run layers
  lockproof trace -o protocol.txt -- sqlite3 my.db 'insert into t values (1)'
  lockproof trace --format json -o trace.json --below /var/lib/dpkg -- dpkg --configure -a

A lock that another traced process holds is waited for here, not in the kernel; nothing else is changed.
Exit status: that of the command, 128 + N if signal N ended it; 2 if it cannot be traced.";

const HUNT: &str = "\
Examples:
  lockproof hunt --start 'create-layer -i base' 'delete-layer base' 'create-layer -i a base'
  lockproof hunt --store 1.57.2 --strategy pct --time-max 10m 'create-layer -i a' 'create-layer -i b' layers
  lockproof hunt --crash --fail ENOSPC,EIO 'create-layer -i a'
  lockproof hunt --replay lockproof-hunt.json --times 20

Every interleaving is run on a copy of one store, as far as the order of calls makes a difference. It is a violation if no
order of the commands, one after the other, gives what came of it (serial); if a document is replaced without its exclusive
lock (exclusive); if processes wait for ever (no-deadlock).
Exit status: 0 none was found, 1 one was, or the search was lost or cut; 2 wrong use.";

const DOCTOR: &str = "\
Examples:
  lockproof doctor

Exit status: 0 all that `trace` needs works here, 1 something does not.";

const FUZZ: &str = "\
Examples:
  lockproof fuzz --for 30m --corpus corpus            go on with the random scenarios of seed 1
  lockproof fuzz --for 8h --seed 7 --corpus corpus    other scenarios, the same corpus
  lockproof fuzz abba-layer-locks                     one scenario: do all engines agree
  lockproof fuzz corpus/failures/random-….toml        see a failure again

The explorer, with its reductions and without, the plain explorer and loom say whether each property holds. Where two of
them disagree, a mistake of ours is found: the scenario is made as small as it still shows it, and saved in
DIR/failures. It stays a failure until all agree. A run that was killed, at any moment, is gone on with by the next one.
Exit status: 0 nothing found, 1 engines disagree, 2 wrong use.";

const EXPORT: &str = "\
Examples:
  lockproof export abba-layer-locks -p per_layer_locks --to promela -o abba.pml
  spin -a -DNO_DEADLOCK abba.pml && gcc -DSAFETY -o pan pan.c && ./pan -E

The head of the text says how each property is judged, and which are not.
Exit status: 0 it is written, 2 the scenario has something that cannot be exported.";

const MUTANTS: &str = "\
Examples:
  lockproof mutants -p v1_24                          all of them, which takes minutes
  lockproof mutants -p one_way_upgrade --call set-names
  lockproof mutants -p v1_24 --list                   the names, nothing is tried
  lockproof mutants -p v1_24 --mutant set-names:drop-stamp:root/vfs-layers/layers.lock:1

A mutant is killed when a scenario says something else of it than of the protocol as it is. One that survives and is not
known to be equivalent is a hole in the scenarios.
Exit status: 0 all are killed or known to be equivalent, 1 one survives or a search was cut, 2 wrong use.";

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
    #[command(after_help = CHECK)]
    Check(CheckArgs),
    /// Show which verdicts a change of the protocol turns, for better and for worse.
    #[command(after_help = DIFF)]
    Diff(DiffArgs),
    /// List the scenarios that are built in.
    #[command(after_help = LIST)]
    List(ListArgs),
    /// Show a scenario: where it comes from, who does what, what is expected.
    #[command(after_help = SHOW)]
    Show(ShowArgs),
    /// Run a schedule again, in the model and by real processes.
    #[command(after_help = REPLAY)]
    Replay(ReplayArgs),
    /// Let the processes of a scenario run freely, and measure waits and overtakes.
    #[command(after_help = STRESS)]
    Stress(StressArgs),
    /// Run any program, and print its lock protocol: locks, stamps, documents, renames, who waits for whom.
    #[command(after_help = TRACE)]
    Trace(TraceArgs),
    /// Run commands of the real store against each other, one interleaving after the other, and look for violations.
    #[command(after_help = HUNT)]
    Hunt(HuntArgs),
    /// Say what works on this machine.
    #[command(after_help = DOCTOR)]
    Doctor(DoctorArgs),
    /// Let every engine check the others, on random scenarios or on those that are named.
    #[command(after_help = FUZZ)]
    Fuzz(FuzzArgs),
    /// Write a scenario in the language of another model checker, as a second opinion.
    #[command(after_help = EXPORT)]
    Export(ExportArgs),
    /// Change a protocol, one operation at a time, and see whether any scenario notices.
    #[command(after_help = MUTANTS)]
    Mutants(MutantsArgs),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Default for Command {
    fn default() -> Self {
        Command::Check(CheckArgs::default())
    }
}

fn protocols() -> PossibleValuesParser {
    PossibleValuesParser::new(protocol::all().into_iter().map(|entry| entry.name))
}

fn property(name: &str) -> Result<Property, lockproof_model::property::UnknownProperty> {
    name.parse()
}

fn properties() -> impl clap::builder::TypedValueParser<Value = Property> {
    use clap::builder::TypedValueParser as _;
    PossibleValuesParser::new(Property::ALL.map(Property::name)).try_map(|name| property(&name))
}

fn fault() -> impl clap::builder::TypedValueParser<Value = Fault> {
    use clap::builder::TypedValueParser as _;
    PossibleValuesParser::new(Fault::names()).try_map(|name| name.parse::<Fault>())
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

/// How anything else is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For another program.
    Json,
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
pub(crate) struct StressArgs {
    /// The name of a built-in scenario, or a file.
    #[arg(value_name = "SCENARIO|FILE", required_unless_present_any = ["daemon", "commands"])]
    pub(crate) scenario: Option<String>,
    /// The protocol that the processes speak.
    #[arg(short, long, value_name = "PROTOCOL", value_parser = protocols(), requires = "scenario",
          required_unless_present_any = ["daemon", "commands"])]
    pub(crate) protocol: Option<String>,
    /// How long: 10s, 1m.
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = units::duration)]
    pub(crate) duration: Duration,
    /// Start a process that has ended again, until the time is over; without it each runs as often as the scenario says.
    #[arg(long, requires = "scenario")]
    pub(crate) again: bool,
    /// Instead of a scenario: the real library as a daemon with so many goroutines, with real commands beside it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=256), conflicts_with_all = ["scenario", "protocol", "again"])]
    pub(crate) daemon: Option<u32>,
    /// How many real commands run at a time, each a process of its own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64), conflicts_with_all = ["scenario", "protocol", "again"])]
    pub(crate) commands: Option<u32>,
    /// The `containers-storage` that is run, if not the one that is installed.
    #[arg(long, value_name = "PATH", conflicts_with = "scenario")]
    pub(crate) store: Option<PathBuf>,
    /// The source tree of containers/storage that the daemon is built from, if not the installed package.
    #[arg(long, value_name = "DIR", conflicts_with = "scenario")]
    pub(crate) go_source: Option<PathBuf>,
    /// Build the daemon with Go's race detector.
    #[arg(long, conflicts_with = "scenario")]
    pub(crate) race: bool,
    /// Where the choices of daemon and commands are drawn from; each party has a sequence of its own.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "scenario")]
    pub(crate) seed: u64,
    /// How to show what was measured.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct TraceArgs {
    /// Where to write the trace; without it, to stderr.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Only files below this directory, whatever their names; may be repeated. Locks are shown of all files. Without it, all
    /// files but those of the system (/usr, /etc, /proc and the like).
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) below: Vec<PathBuf>,
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Also what is asked about files, whole paths, and whole stamps.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// The program and its arguments.
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<OsString>,
}

/// How the interleavings are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyName {
    /// Every order of calls that makes a difference.
    #[default]
    Exhaustive,
    /// Priorities at random, changed at a few steps: finds what needs few orderings quickly.
    Pct,
    /// Each step at random.
    Random,
}

#[derive(Args, Debug)]
pub(crate) struct HuntArgs {
    /// Commands of the store that are started at once, each with its options as one argument: 'create-layer -i a'.
    #[arg(value_name = "COMMAND", required_unless_present = "replay")]
    pub(crate) commands: Vec<String>,
    /// A command that is run before, to make the store; may be repeated.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) start: Vec<String>,
    /// The `containers-storage`: a file, or a release that scripts/fetch-releases.sh has fetched; without it, the one that is
    /// installed.
    #[arg(long, value_name = "FILE|RELEASE")]
    pub(crate) store: Option<String>,
    /// How interleavings are chosen.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) strategy: StrategyName,
    /// Of `pct`: how many orderings a violation needs at most.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) depth: u32,
    /// Where random choices are drawn from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Kill a command before each of its events in turn, instead of interleaving commands; then the others go on, and the
    /// store is looked at and used.
    #[arg(long, conflicts_with_all = ["strategy", "depth", "seed", "replay"])]
    pub(crate) crash: bool,
    /// The same with an error in place of each call that may fail so: ENOSPC, EIO, EDEADLK, ENOLCK, EINTR, short-write.
    #[arg(long, value_name = "ERROR,…", value_delimiter = ',', value_parser = fault(), conflicts_with_all = ["strategy", "depth", "seed", "replay"])]
    pub(crate) fail: Vec<Fault>,
    /// End after so many executions.
    #[arg(long, value_name = "N", value_parser = units::count, default_value = "100_000")]
    pub(crate) executions_max: u64,
    /// End after this time: 30s, 5m.
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "10m")]
    pub(crate) time_max: Duration,
    /// Where an execution that shows a violation is written, to be run again.
    #[arg(long, value_name = "FILE", default_value = "lockproof-hunt.json")]
    pub(crate) record: PathBuf,
    /// Run a recorded execution again.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["commands", "start"])]
    pub(crate) replay: Option<PathBuf>,
    /// How often it is run again.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "replay", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) times: u32,
    /// How to show what was found.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use clap::CommandFactory;

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
