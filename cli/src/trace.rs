//! `trace`: the lock protocol of any program, as it runs.

mod text;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use lockproof_harness::supervise::event::Event;
use lockproof_harness::supervise::session::Session;
use lockproof_harness::supervise::{Interest, Isolation, Program, Wakes, trace};
use lockproof_harness::sys::process;
use lockproof_harness::{Harness, HarnessError};
use nix::sys::signal::Signal;
use serde::Serialize;

use crate::args::{Format, TraceArgs};
use crate::error::CliError;
use text::Text;

/// The version of what `--format json` writes.
const VERSION: u32 = 1;

/// A shell adds the number of the signal that ended a program to this.
const SIGNALLED: i32 = 128;

/// Runs the program, and returns the exit status: the program's own.
pub(crate) fn run(args: &TraceArgs) -> Result<u8, CliError> {
    let supervised = |error: HarnessError| CliError::Supervise(Box::new(error));
    let mut out = open(args)?;
    let harness = Harness::current().map_err(supervised)?;
    let below = args.below.iter().map(|directory| directory.canonicalize().unwrap_or_else(|_| directory.clone()));
    let mut session = Session::start(&harness, Isolation::Shared, Wakes::Unseen, Interest { below: below.collect() })
        .map_err(supervised)?;
    let directory = std::env::current_dir().map_err(CliError::Write)?;
    let program = Program { command: args.command.clone(), directory, environment: BTreeMap::new() };
    // Keys go to the program, which ends or does not; we end when it does.
    process::outlive(&[Signal::SIGINT, Signal::SIGQUIT]).map_err(CliError::Write)?;
    let mut record = Record::begin(args, &mut *out)?;
    let mut written = Ok(());
    let ended = trace::trace(
        &mut session,
        &program,
        process::standard(),
        |event| {
            if written.is_ok() {
                written = record.event(&event);
            }
        },
        || true,
    )
    .map_err(supervised)?;
    written.and_then(|()| record.end(ended)).map_err(CliError::Write)?;
    Ok(exit_status(ended))
}

/// Where the trace goes.
fn open(args: &TraceArgs) -> Result<Box<dyn Write>, CliError> {
    match &args.output {
        None => Ok(Box::new(io::stderr())),
        Some(path) => {
            let file = File::create(path).map_err(CliError::create(path))?;
            Ok(Box::new(BufWriter::new(file)))
        }
    }
}

fn exit_status(ended: Option<ExitStatus>) -> u8 {
    let status =
        ended.map_or(0, |ended| ended.code().unwrap_or_else(|| SIGNALLED + ended.signal().unwrap_or_default()));
    u8::try_from(status & 0xff).unwrap_or(u8::MAX)
}

/// What is written, as it happens.
enum Record<'o> {
    Text(Box<Text>, &'o mut dyn Write),
    Json { out: &'o mut dyn Write, is_first: bool },
}

/// How the program ended, in JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum End {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

impl<'o> Record<'o> {
    fn begin(args: &TraceArgs, out: &'o mut dyn Write) -> Result<Self, CliError> {
        match args.format {
            Format::Table => Ok(Record::Text(Box::new(Text::new(args.verbose)), out)),
            Format::Json => {
                let command: Vec<String> =
                    args.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
                let command = serde_json::to_string(&command).map_err(|error| CliError::Write(error.into()))?;
                write!(out, "{{\"version\":{VERSION},\"command\":{command},\"events\":[").map_err(CliError::Write)?;
                Ok(Record::Json { out, is_first: true })
            }
        }
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match self {
            Record::Text(text, out) => {
                let lines = text.event(event);
                out.write_all(lines.as_bytes())
            }
            Record::Json { out, is_first } => {
                let separator = if std::mem::take(is_first) { "\n" } else { ",\n" };
                out.write_all(separator.as_bytes())?;
                out.write_all(serde_json::to_string(event)?.as_bytes())
            }
        }
    }

    fn end(self, ended: Option<ExitStatus>) -> io::Result<()> {
        match self {
            Record::Text(mut text, out) => {
                out.write_all(text.end().as_bytes())?;
                out.flush()
            }
            Record::Json { out, .. } => {
                let end =
                    ended.and_then(|ended| ended.code().map(End::Status).or_else(|| ended.signal().map(End::Signal)));
                writeln!(out, "\n],\"ended\":{}}}", serde_json::to_string(&end)?)?;
                out.flush()
            }
        }
    }
}
