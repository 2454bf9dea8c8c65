//! What is about programs that run.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use lockproof_harness::hunt::catalogue::From;
use lockproof_harness::hunt::fault::Fault;

use super::{Format, protocols};
use crate::units;

pub(super) const STRESS: &str = "\
Examples:
  lockproof stress writer-starvation -p v1_24 --for 10s --again
  lockproof stress parallel-pulls -p per_layer_locks --for 1m --format json
  lockproof stress --daemon 8 --commands 2 --for 1h      the real library as a daemon, real commands beside it
  lockproof stress --daemon 8 --commands 2 --go-source ~/src/storage --race

What is measured differs from run to run, and proves nothing: that is what `check` is for.
Exit status: 0 it ran, 1 a process panicked, got stuck or could not be run, or an answer was wrong, 2 wrong use.";

pub(super) const TRACE: &str = "\
Examples:
  lockproof trace -- containers-storage --graph /tmp/root --run /tmp/run layers
  lockproof trace -o protocol.txt -- sqlite3 my.db 'insert into t values (1)'
  lockproof trace --format json -o trace.json --below /var/lib/dpkg -- dpkg --configure -a

A lock that another traced process holds is waited for here, not in the kernel; nothing else is changed.
Exit status: that of the command, 128 + N if signal N ended it; 2 if it cannot be traced.";

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
Exit status: 0 nothing new was found, 1 something was, or the search was lost or cut (of --pairs: only if something was); 2
wrong use.";

pub(super) const DOCTOR: &str = "\
Examples:
  lockproof doctor

Exit status: 0 all that `trace` needs works here, 1 something does not.";

fn from() -> impl clap::builder::TypedValueParser<Value = From> {
    use clap::builder::TypedValueParser as _;
    let find = |name: String| From::ALL.into_iter().find(|from| from.name() == name).ok_or("no store to begin with");
    PossibleValuesParser::new(From::ALL.map(From::name)).try_map(find)
}

fn fault() -> impl clap::builder::TypedValueParser<Value = Fault> {
    use clap::builder::TypedValueParser as _;
    PossibleValuesParser::new(Fault::names()).try_map(|name| name.parse::<Fault>())
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyName {
    /// Every order of calls that makes a difference.
    Exhaustive,
    /// Priorities at random, changed at a few steps: finds what needs few orderings quickly.
    Pct,
    /// Each step at random.
    Random,
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
    #[arg(long, value_name = "STORE,…", value_delimiter = ',', requires = "pairs", value_parser = from())]
    pub(crate) from: Vec<From>,
    /// Of `--pairs`: so many triples, drawn at random by --seed, too.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "pairs")]
    pub(crate) triples: usize,
    /// Of `--pairs`: after how long all ends, for each release. What one does not need, the others get.
    #[arg(long = "for", value_name = "TIME", requires = "pairs", value_parser = units::duration, default_value = "10m")]
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
    #[arg(long, value_name = "N", default_value_t = 1, requires = "replay", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) times: u32,
    /// How to show what was found.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

impl HuntArgs {
    /// What was given as `--depth`.
    pub(crate) fn depth(&self) -> u32 {
        self.depth.unwrap_or(3)
    }

    /// What was given as `--seed`.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
