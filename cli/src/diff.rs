//! `diff`: the verdicts that one protocol turns where another stood before.

use lockproof_reports::diff::{self, About, Diff};
use lockproof_reports::{Row, Verdicts};
use lockproof_scenarios::{Scenario, remark};

use crate::args::{DiffArgs, DiffFormat};
use crate::engine::EngineArgs;
use crate::error::CliError;
use crate::job::{Job, Outcome};
use crate::output::Output;
use crate::{select, work};

/// Whether every verdict is as its scenario expects. That some turn is what one wants to see.
pub(crate) fn run(args: &DiffArgs, output: &Output) -> Result<bool, CliError> {
    if args.before == args.after {
        return Err(CliError::Nothing { why: format!("`{}` is compared with itself", args.before) });
    }
    let (before, after) = (select::protocol(&args.before)?, select::protocol(&args.after)?);
    let scenarios = select::scenarios(&args.scenarios)?;
    let mut jobs = Vec::new();
    for scenario in &scenarios {
        let properties: Vec<_> =
            scenario.properties.iter().copied().filter(|property| args.is_about(*property)).collect();
        for protocol in [before, after].into_iter().filter(|protocol| scenario.is_for(protocol.name)) {
            if !properties.is_empty() {
                let argument = select::argument(scenario)?;
                jobs.push(Job { scenario, argument, protocol, properties: properties.clone() });
            }
        }
    }
    if jobs.is_empty() {
        return Err(CliError::Nothing { why: "no scenario is for these protocols, or about these properties".into() });
    }
    let engines = EngineArgs { time_max: args.time_max, states_max: args.states_max, ..EngineArgs::default() };
    let Outcome { checked, refused } = work::through(&jobs, &engines, args.jobs, false)?;
    let rows: Vec<Row> = checked.into_iter().map(|checked| checked.row).collect();
    let as_expected = rows.iter().all(|row| row.as_expected);
    let diff = Diff {
        before: args.before.clone(),
        after: args.after.clone(),
        verdicts: Verdicts { rows, refused, options: engines.to_repeat() },
        scenarios: scenarios.iter().map(|scenario| about(scenario)).collect(),
    };
    output.print(&match args.format {
        DiffFormat::Table => diff::page(&diff, output.style()),
        DiffFormat::Json => diff::json(&diff),
        DiffFormat::Markdown => diff::markdown(&diff),
    })?;
    Ok(as_expected)
}

fn about(scenario: &Scenario) -> About {
    let said = |id: &String| remark(id).map(|remark| (id.clone(), format!("{}: {}", remark.who, remark.said)));
    About {
        name: scenario.name.clone(),
        title: scenario.title.clone(),
        remarks: scenario.cites.iter().filter_map(said).collect(),
    }
}
