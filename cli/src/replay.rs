//! `replay`: a schedule, run again in the model and by real processes.

use lockproof_reports::columns::{Detail, columns};

use crate::args::ReplayArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::{library, real, rerun, select};

/// Whether model and reality agree.
pub(crate) fn run(args: &ReplayArgs, output: &Output) -> Result<bool, CliError> {
    let scenario = select::scenario(&args.scenario)?;
    let protocol = select::protocol(&args.protocol)?;
    let system = scenario.system(protocol);
    let processes: Vec<String> = system.processes.iter().map(|process| process.name.clone()).collect();
    let model = rerun::run(&system, &args.schedule, &scenario.properties)
        .map_err(|error| CliError::Schedule(Box::new(error)))?;
    let detail = Detail { verbose: args.verbose, pending: &model.pending };
    output.print(&format!(
        "In the model: {} under {}\n\n{}",
        scenario.name,
        args.protocol,
        columns(&model.trace, &processes, detail, output.style())
    ))?;
    if args.model_only {
        return Ok(true);
    }
    let report = real::replay(&system, &args.schedule, args.rounds)?;
    output.print(&format!("\n{}", real::describe(&report, &system, &scenario.properties, output)))?;
    let Some((text, agrees)) = library::replay(&scenario, &system, &model.trace, output)? else {
        return Ok(report.parted.is_none());
    };
    output.print(&format!("\n{text}"))?;
    Ok(report.parted.is_none() && agrees)
}
