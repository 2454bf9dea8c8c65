//! `export`: a scenario in the language of another model checker.

use std::fs;

use lockproof_model::export;

use crate::args::{ExportArgs, Language};
use crate::error::CliError;
use crate::output::Output;
use crate::select;

pub(crate) fn run(args: &ExportArgs, output: &Output) -> Result<bool, CliError> {
    let scenario = select::scenario(&args.scenario)?;
    let protocol = select::protocol(&args.protocol)?;
    let Language::Promela = args.to;
    let title = format!("{} under {}: {}", scenario.name, protocol.name, scenario.title);
    let text = export::promela(&scenario.system(protocol), &title).map_err(|source| CliError::Export {
        scenario: scenario.name.clone(),
        protocol: protocol.name.to_owned(),
        source: Box::new(source),
    })?;
    match &args.output {
        Some(path) => fs::write(path, text).map_err(CliError::create(path))?,
        None => output.print(&text)?,
    }
    Ok(true)
}
