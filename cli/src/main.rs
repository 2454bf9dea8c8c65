//! The `lockproof` command: what to check is chosen here, and what was found is shown here. All else is in the libraries.
//!
//! Exit status: 0 if all is as expected, 1 if something is not, 2 if the command was used wrongly.
#![forbid(unsafe_code)]

mod args;
mod beside;
mod check;
mod diff;
mod doctor;
mod engine;
mod error;
mod export;
mod faults;
mod fuzz;
mod hunt;
mod hunt_daemon;
mod hunt_pairs;
mod hunt_replay;
mod interrupt;
mod job;
mod library;
mod list;
mod mutants;
mod output;
mod progress;
mod real;
mod record;
mod replay;
mod rerun;
mod select;
mod stress;
mod ticker;
mod trace;
mod units;
mod way;
mod witness;
mod work;

use std::process::ExitCode;

use clap::CommandFactory;

use args::{Cli, Command};
use error::CliError;
use output::Output;

/// Something is not as expected.
const UNEXPECTED: u8 = 1;
/// The command was used wrongly.
const WRONG_USE: u8 = 2;

fn main() -> ExitCode {
    lockproof_harness::worker::run_if_asked();
    let cli = Cli::read();
    let output = Output::new(cli.color);
    error::show_with(output.errors_in_color());
    match run(cli, &output) {
        Ok(code) => code,
        Err(error) => {
            let code = error.exit_code();
            output.error(error);
            ExitCode::from(code)
        }
    }
}

/// The exit status: whether all is as expected, or that of the command that was traced.
fn run(cli: Cli, output: &Output) -> Result<ExitCode, CliError> {
    let as_expected = match cli.command.unwrap_or_default() {
        Command::Trace(args) => return trace::run(&args).map(ExitCode::from),
        Command::Hunt(args) => hunt::run(&args, output),
        Command::Doctor(args) => doctor::run(&args, output),
        Command::Check(args) => check::run(&args, output),
        Command::Diff(args) => diff::run(&args, output),
        Command::List(args) => list::list(&args, output),
        Command::Show(args) => list::show(&args, output),
        Command::Replay(args) => replay::run(&args, output),
        Command::Stress(args) => stress::run(&args, output),
        Command::Fuzz(args) => fuzz::run(&args, output),
        Command::Export(args) => export::run(&args, output),
        Command::Mutants(args) => mutants::run(&args, output),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lockproof", &mut text);
            output.print(&String::from_utf8_lossy(&text))?;
            Ok(true)
        }
    };
    Ok(if as_expected? { ExitCode::SUCCESS } else { ExitCode::from(UNEXPECTED) })
}
