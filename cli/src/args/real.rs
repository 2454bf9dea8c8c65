//! What is about programs that run.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

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

pub(super) const DOCTOR: &str = "\
Examples:
  lockproof doctor

Exit status: 0 all that `trace` needs works here, 1 something does not.";

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

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// How to show it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}
