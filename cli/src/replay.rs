//! `replay`: a schedule, run again in the model and by real processes.

use lockproof_model::machine;
use lockproof_reports::columns::{Detail, columns};

use crate::args::ReplayArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::{real, select};

/// Whether model and reality agree.
pub(crate) fn run(args: &ReplayArgs, output: &Output) -> Result<bool, CliError> {
    let scenario = select::scenario(&args.scenario)?;
    let system = scenario.system(select::protocol(&args.protocol)?);
    let processes: Vec<String> = system.processes.iter().map(|process| process.name.clone()).collect();
    let trace = machine::replay(&system, &args.schedule).map_err(|error| CliError::Schedule(Box::new(error)))?;
    let detail = Detail { verbose: args.verbose };
    output.print(&columns(&trace, &processes, detail, output.style()))?;
    if args.model_only {
        return Ok(true);
    }
    let report = real::replay(&system, &args.schedule, args.rounds)?;
    output.print(&format!("\n{}", real::describe(&report, &system)))?;
    Ok(report.parted.is_none())
}
