//! What is about interleavings of real processes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, ValueEnum};
use lockproof_harness::hunt::catalogue::From;
use lockproof_harness::hunt::fault::Fault;

use super::Format;
use crate::units;

pub(super) const HUNT: &str = "\
Examples:
  lockproof hunt --start 'create-layer -i base' 'delete-layer base' 'create-layer -i a base'
  lockproof hunt --store 1.57.2 --strategy pct --time-max 10m 'create-layer -i a' 'create-layer -i b' layers
  lockproof hunt --crash --fail ENOSPC,EIO 'create-layer -i a'
  lockproof hunt --crash --strategy pct --time-max 10m 'create-layer -i a' 'create-layer -i b'
  lockproof hunt --pairs --store 1.57.2 --for 10m      every command against every other
  lockproof hunt --store all 'create-layer -i a' layers
  lockproof hunt --store 1.43.0,reference:v1_43 'create-layer -i a' 'create-layer -i b'
  lockproof hunt --replay lockproof-hunt.json --times 20
  lockproof hunt --daemon random --seed 7 --time-max 10m --go-source ~/src/storage
  lockproof hunt --daemon 'open a; open b run2; b images; 1: a create-image i; 2: b create-image j' images
  lockproof hunt --daemon 'open a; 1: a layers' --daemon 'open a; 1: a put-layer x' --driver library,reference:pr_473

Every interleaving is run on a copy of one store, as far as the order of calls makes a difference. It is a violation if the
answers and the store at the end are explained by no order of the commands that respects real time: by no order of their
atomic sections (linearizable), or only by those, so that a command is not one (atomic); serial, where a command is not
modelled. So it is if something half-made is left (whole); if later commands fail (later); if a document is replaced without
its exclusive lock (exclusive) or without a stamp (stamped); if processes wait for ever (no-deadlock), or locks are taken in
two orders (lock-order). Of a daemon's calls the sequential model alone says what may come of them; it is a violation, too,
if what was acknowledged is gone though nobody removes anything (acknowledged), or if something is built upon a layer that is
not complete (half-made). What goroutines wait for inside their process is not seen: a call without an answer, when nobody
can go on, is a deadlock. What known.toml or --baseline lists is counted, and fails nothing.
Exit status: 0 nothing new was found, 1 something was, or the search was lost or cut (of --pairs and --store all: only if
something was, or could not be run); 2 wrong use.";

fn from() -> impl clap::builder::TypedValueParser<Value = From> {
    use clap::builder::TypedValueParser as _;
    let find = |name: String| From::ALL.into_iter().find(|from| from.name() == name).ok_or("no store to begin with");
    PossibleValuesParser::new(From::ALL.map(From::name)).try_map(find)
}

fn times() -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser as _;
    clap::value_parser!(u32).range(1..).try_map(usize::try_from)
}

fn fault() -> impl clap::builder::TypedValueParser<Value = Fault> {
    use clap::builder::TypedValueParser as _;
    PossibleValuesParser::new(Fault::names()).try_map(|name| name.parse::<Fault>())
}

/// How the interleavings are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyName {
    /// Every order of calls that makes a difference.
    Exhaustive,
    /// Priorities at random, changed at a few steps: finds what needs few orderings quickly.
    Pct,
    /// Each step at random.
    Random,
}

impl StrategyName {
    /// As the command line has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exhaustive => "exhaustive",
            Self::Pct => "pct",
            Self::Random => "random",
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct HuntArgs {
    /// Commands of the store that are started at once, each with its options as one argument: 'create-layer -i a'.
    #[arg(value_name = "COMMAND", required_unless_present_any = ["replay", "pairs", "daemon"])]
    pub(crate) commands: Vec<String>,
    /// A process of the Go library beside the commands, and what it is told: `open a; a layers; 1: a put-layer x; 2: a images`.
    /// What has no goroutine before a `:` comes first; `open STORE [RUN]` opens a store, RUN being another run root. May be
    /// repeated. `random`: calls, a command and a crash are drawn by --seed, again and again, and each violation is shown once.
    #[arg(long, value_name = "CALLS|random", conflicts_with_all = ["pairs", "crash", "fail", "replay"])]
    pub(crate) daemon: Vec<String>,
    /// The source tree of containers/storage that the daemon is built from, if not the installed package.
    #[arg(long, value_name = "DIR")]
    pub(crate) go_source: Option<PathBuf>,
    /// Build the daemon with Go's race detector: a data race that it sees is a violation.
    #[arg(long)]
    pub(crate) race: bool,
    /// What the daemons are: the Go library, or our reference store under a protocol, which needs no Go. With several, each daemon
    /// has its own; the last is that of all further ones. Without it, the library, and what a recording was made with.
    #[arg(long, value_name = "library|reference:PROTOCOL,…", value_delimiter = ',')]
    pub(crate) driver: Vec<String>,
    /// Every command of the store that takes a lock against every other, from a few stores to begin with.
    #[arg(long, conflicts_with_all = ["commands", "start", "crash", "fail", "replay"])]
    pub(crate) pairs: bool,
    /// Of `--pairs`: only from these stores to begin with.
    #[arg(long, value_name = "STORE,…", value_delimiter = ',', value_parser = from())]
    pub(crate) from: Vec<From>,
    /// Of `--pairs`: so many triples, drawn at random by --seed, too.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) triples: usize,
    /// Of `--pairs`: after how long all ends, for each release. What one does not need, the others get.
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration, default_value = "10m")]
    pub(crate) duration: Duration,
    /// What is known already, and no reason to fail: a file like known.toml, which `--pairs` uses if none is named.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["crash", "fail", "replay"])]
    pub(crate) baseline: Option<PathBuf>,
    /// A command that is run before, to make the store; may be repeated. `kill-before 2 layers.json COMMAND…` kills it before
    /// it gives a file that name for the second time.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) start: Vec<String>,
    /// The `containers-storage`: a file, or a release that scripts/fetch-releases.sh has fetched; without it, the one that is
    /// installed. `1.24.8,1.43.0`: the first command by the first, all others by the second. `all`: each release in turn.
    /// `reference:PROTOCOL`: our reference store, for the commands that come to calls of a protocol.
    #[arg(long, value_name = "FILE|RELEASE|reference:PROTOCOL|all")]
    pub(crate) store: Option<String>,
    /// How interleavings are chosen; without it, exhaustive, and with a daemon, random.
    #[arg(long, value_enum)]
    pub(crate) strategy: Option<StrategyName>,
    /// Of `pct`: how many orderings a violation needs at most; without it, 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) depth: Option<u32>,
    /// Where random choices are drawn from; without it, 1.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Every order with at most so many switches away from a command that could go on, instead of all orders.
    #[arg(long, value_name = "N", conflicts_with_all = ["strategy", "depth", "seed", "replay"])]
    pub(crate) preemptions_max: Option<u32>,
    /// Kill a command before each of its events in turn, instead of interleaving commands; then the others go on, and the
    /// store is looked at and used. With `--strategy pct` or `random`: before an event that is drawn, within an interleaving.
    #[arg(long, conflicts_with_all = ["preemptions_max", "replay"])]
    pub(crate) crash: bool,
    /// The same with an error in place of each call that may fail so: ENOSPC, EIO, EDEADLK, ENOLCK, EINTR, short-write.
    #[arg(long, value_name = "ERROR,…", value_delimiter = ',', value_parser = fault(), conflicts_with_all = ["preemptions_max", "replay"])]
    pub(crate) fail: Vec<Fault>,
    /// So many executions at once, each with a store and a supervisor of its own; without it, one for each processor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) lanes: Option<u32>,
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
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = times())]
    pub(crate) times: usize,
    /// How to show what was found.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// The long names of the options that were given.
    #[arg(skip)]
    pub(crate) given: BTreeSet<String>,
}

impl HuntArgs {
    /// Notes which options were given: one that has a default does not tell.
    pub(crate) fn note(&mut self, hunt: &Command, matches: &ArgMatches) {
        let is_given = |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        let given = hunt.get_arguments().filter(is_given).filter_map(Arg::get_long);
        self.given = given.map(str::to_owned).collect();
    }

    /// How interleavings are chosen.
    pub(crate) fn strategy(&self) -> StrategyName {
        let otherwise = if self.daemon.is_empty() { StrategyName::Exhaustive } else { StrategyName::Random };
        self.strategy.unwrap_or(otherwise)
    }

    /// What was given as `--depth`.
    pub(crate) fn depth(&self) -> u32 {
        self.depth.unwrap_or(3)
    }

    /// What was given as `--seed`.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }
}
