//! `hunt --pairs`: every command against every other; `hunt --store all`: every release. One row a workload.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use lockproof_harness::hunt::catalogue::From;
use lockproof_harness::hunt::pairs::{PairsOptions, Plan};
use lockproof_harness::hunt::workload::Workload;
use lockproof_harness::hunt::{self, HuntReport};
use lockproof_model::engine::counted;
use serde::Serialize;

use crate::args::{Format, HuntArgs};
use crate::error::CliError;
use crate::hunt::{ALL, Ending, Hunt, Store, again_of, by_hand, supervised, verdict};
use crate::hunt_daemon;
use crate::output::{self, Output};
use crate::record;
use crate::units;

/// How wide the names of commands are, where they are beside each other.
const COMMANDS_WIDTH: usize = 64;

/// The verdict of what could not be run.
const NOT_RUN: &str = "not run";

/// What came of one workload in one release.
#[derive(Debug, Serialize)]
struct Cell {
    release: String,
    from: &'static str,
    commands: String,
    verdict: &'static str,
    #[serde(skip)]
    mark: &'static str,
    executions: u64,
    seconds: f64,
    /// Of what is new.
    property: Option<String>,
    detail: Option<String>,
    /// The command that shows it again.
    again: Option<String>,
    /// What is known, and in how many executions it was seen.
    known: BTreeMap<String, u64>,
    /// Why it was compared with whole commands only.
    not_modelled: Option<String>,
}

/// All that was done.
#[derive(Debug, Default)]
struct Table {
    cells: Vec<Cell>,
    not_reached: BTreeMap<String, usize>,
    left_out: Vec<String>,
    recorded: usize,
}

/// A row for each workload and release.
pub(crate) fn run(hunt: &Hunt<'_>, stores: &[Store]) -> Result<Ending, CliError> {
    let Hunt { args, harness, output, workload, interrupt, .. } = hunt;
    let began = Instant::now();
    let mut table = Table::default();
    for store in stores {
        if args.pairs {
            pairs(hunt, store, &mut table)?;
        } else if !interrupt.has_come() {
            let options = hunt.options(store);
            let report = hunt::hunt(harness, workload, &options, |_| !interrupt.has_come()).map_err(supervised)?;
            let cell = table.add(args, store, "", workload, &report)?;
            row(cell, args, output)?;
        }
    }
    output.print(&match args.format {
        Format::Table => table.summary(stores, began.elapsed(), output),
        Format::Json => table.json(args, stores),
    })?;
    let has = |is: &dyn Fn(&Cell) -> bool| table.cells.iter().any(is);
    Ok(if has(&|cell| cell.property.is_some()) {
        Ending::Violated
    } else if has(&|cell| cell.verdict == NOT_RUN) {
        Ending::Cut
    } else {
        Ending::Passed
    })
}

fn pairs(hunt: &Hunt<'_>, store: &Store, table: &mut Table) -> Result<(), CliError> {
    let Hunt { args, harness, output, interrupt, .. } = hunt;
    let options = PairsOptions {
        hunt: hunt.options(store),
        from: if args.from.is_empty() { From::ALL.to_vec() } else { args.from.clone() },
        triples: args.triples,
        time: args.duration,
    };
    let plan = Plan::new(harness, &options).map_err(supervised)?;
    if plan.is_empty() {
        return Err(CliError::Nothing { why: format!("{} knows none of the commands of a store", store.name) });
    }
    let release = store.releases.join(",");
    if let Some((_, catalogue)) = plan.catalogues().next() {
        for unknown in &catalogue.unknown {
            table.left_out.push(format!("{release}: {unknown} is not known there"));
        }
        for (command, why) in &catalogue.left_out {
            table.left_out.push(format!("{release}: {command} {why}"));
        }
    }
    let (number, mut done, mut problem) = (plan.len(), 0, None);
    let not_reached = plan.run(harness, &options, &|| !interrupt.has_come(), |done_row| {
        done += 1;
        progress(done, number, &release);
        let said = match done_row.result {
            Ok(report) => table
                .add(args, store, done_row.from.name(), &done_row.workload, &report)
                .and_then(|cell| row(cell, args, output)),
            Err(error) => {
                let cell = table.refused(store, done_row.from.name(), &done_row.workload, error.to_string());
                row(cell, args, output)
            }
        };
        said.map_err(|error| problem = Some(error)).is_ok()
    });
    progress(0, 0, "");
    if let Some(problem) = problem {
        return Err(problem);
    }
    table.not_reached.insert(release, not_reached.map_err(supervised)?);
    Ok(())
}

/// Draws how far it is, on a terminal; nothing of nothing.
fn progress(done: usize, all: usize, release: &str) {
    if !io::stderr().is_terminal() {
        return;
    }
    let text = if all == 0 { String::new() } else { format!("{release}: {done} of {all}") };
    let _ = write!(io::stderr(), "\r\u{1b}[K{text}");
}

impl Table {
    fn add(
        &mut self,
        args: &HuntArgs,
        store: &Store,
        from: &'static str,
        workload: &Workload,
        report: &HuntReport,
    ) -> Result<&Cell, CliError> {
        let release = store.releases.join(",");
        let named = if args.store.as_deref() == Some(ALL) { Some(release.as_str()) } else { args.store.as_deref() };
        let mut again = None;
        if let Some(violation) = &report.violation {
            self.recorded += 1;
            let record = record::numbered(&args.record, self.recorded);
            record::write(&record, &violation.recording)?;
            again = Some(again_of(named, &record) + &hunt_daemon::drivers(args));
        } else if report.lock_cycle.is_some() {
            let start = quoted("--start ", workload.start.iter().map(|words| words.join(" ")));
            let commands = quoted("", workload.commands.iter().map(|words| words.join(" ")));
            let daemons = quoted("--daemon ", workload.daemons.iter().map(ToString::to_string));
            let driver = quoted("--driver ", args.driver.iter().cloned());
            let library = hunt_daemon::drivers(args);
            again = Some(format!("{}{start}{commands}{daemons}{driver}{library}", by_hand(named)));
        }
        let wrong = report.violation.as_ref().map(|violation| &violation.wrong).or(report.lock_cycle.as_ref());
        let (mark, verdict) = verdict(args, report);
        self.cells.push(Cell {
            release: store.releases.join(","),
            from,
            commands: commands(workload),
            verdict,
            mark,
            executions: report.executions,
            seconds: report.lasted.as_secs_f64(),
            property: wrong.map(|wrong| wrong.property.to_owned()),
            detail: wrong.map(|wrong| wrong.detail.clone()),
            again,
            known: report.known.clone(),
            not_modelled: report.not_modelled.clone(),
        });
        Ok(&self.cells[self.cells.len() - 1])
    }

    /// One that could not be run is no pass.
    fn refused(&mut self, store: &Store, from: &'static str, workload: &Workload, why: String) -> &Cell {
        self.cells.push(Cell {
            release: store.releases.join(","),
            from,
            commands: commands(workload),
            verdict: NOT_RUN,
            mark: "!",
            executions: 0,
            seconds: 0.0,
            property: None,
            detail: Some(why),
            again: None,
            known: BTreeMap::new(),
            not_modelled: None,
        });
        &self.cells[self.cells.len() - 1]
    }

    fn summary(&self, stores: &[Store], lasted: Duration, output: &Output) -> String {
        let mut text = String::new();
        if stores.len() > 1 {
            text.push_str(&self.releases(stores));
        }
        let count = |is: &dyn Fn(&Cell) -> bool| self.cells.iter().filter(|cell| is(cell)).count();
        let verdicts = ["proved", "bounded", "sampled", "cut", "violated", NOT_RUN].map(|verdict| {
            let number = count(&|cell| cell.verdict == verdict);
            (number > 0).then(|| format!("{number} {verdict}"))
        });
        let verdicts: Vec<String> = verdicts.into_iter().flatten().collect();
        let workloads = |number: usize| counted(number as u64, "workload");
        let executions = self.cells.iter().map(|cell| cell.executions).sum();
        let _ = writeln!(
            text,
            "\n{}: {}; {}, {}",
            workloads(self.cells.len()),
            verdicts.join(", "),
            counted(executions, "execution"),
            units::time(lasted)
        );
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.cells.iter().flat_map(|cell| cell.known.keys()) {
            *known.entry(name).or_insert(0) += 1;
        }
        let new = count(&|cell| cell.property.is_some());
        let (new, known_ones) = (counted(new as u64, "new finding"), counted(known.len() as u64, "known one"));
        let _ = writeln!(text, "{new}, {known_ones}");
        for (name, number) in known {
            let _ = writeln!(text, "  known: {name}, in {}", workloads(number));
        }
        let mut new: BTreeMap<&str, usize> = BTreeMap::new();
        for property in self.cells.iter().filter_map(|cell| cell.property.as_deref()) {
            *new.entry(property).or_insert(0) += 1;
        }
        for (property, number) in new {
            let _ = writeln!(text, "  new: {property}, in {}", workloads(number));
        }
        for (release, number) in self.not_reached.iter().filter(|(_, number)| **number > 0) {
            let _ = writeln!(text, "  {release}: not reached (--for, or an interrupt): {}", workloads(*number));
        }
        let whole = count(&|cell| cell.not_modelled.is_some());
        if whole > 0 {
            let _ = writeln!(text, "  compared with whole commands only: {}", workloads(whole));
        }
        for left_out in &self.left_out {
            output.wrap(&mut text, "  left out: ", left_out);
        }
        text
    }

    /// Commands × releases.
    fn releases(&self, stores: &[Store]) -> String {
        let mut rows: Vec<(&str, &str)> = Vec::new();
        for cell in &self.cells {
            if !rows.contains(&(cell.from, cell.commands.as_str())) {
                rows.push((cell.from, &cell.commands));
            }
        }
        let names: Vec<String> = stores.iter().map(|store| store.releases.join(",")).collect();
        let mut text = format!("\n{:<9} {:<COMMANDS_WIDTH$}", "from", "commands");
        for name in &names {
            let _ = write!(text, "  {name:<14}");
        }
        text.push('\n');
        for (from, commands) in rows {
            let _ = write!(text, "{from:<9} {commands:<COMMANDS_WIDTH$}");
            for name in &names {
                let of = |cell: &&Cell| cell.release == *name && cell.from == from && cell.commands == commands;
                let shown = self.cells.iter().find(of).map_or_else(
                    || NOT_RUN.to_owned(),
                    |cell| {
                        let what = cell.property.as_deref().unwrap_or(cell.verdict);
                        let known = if cell.known.is_empty() { "" } else { " k" };
                        format!("{} {what}{known}", cell.mark)
                    },
                );
                let _ = write!(text, "  {shown:<14}");
            }
            let trimmed = text.trim_end().len();
            text.truncate(trimmed);
            text.push('\n');
        }
        text.push_str("k: with findings that are known\n");
        text
    }

    fn json(&self, args: &HuntArgs, stores: &[Store]) -> String {
        #[derive(Serialize)]
        struct Json<'a> {
            version: u32,
            stores: Vec<&'a str>,
            seed: u64,
            workloads: &'a [Cell],
            not_reached: &'a BTreeMap<String, usize>,
            left_out: &'a [String],
        }
        let json = Json {
            version: 1,
            stores: stores.iter().map(|store| store.name.as_str()).collect(),
            seed: args.seed(),
            workloads: &self.cells,
            not_reached: &self.not_reached,
            left_out: &self.left_out,
        };
        output::pretty_json(&json)
    }
}

fn commands(workload: &Workload) -> String {
    (0..workload.participants()).map(|participant| workload.text(participant)).collect::<Vec<_>>().join(" ‖ ")
}

/// An option, or an argument where it is empty, as often as there are texts for it.
fn quoted(option: &str, texts: impl Iterator<Item = String>) -> String {
    texts.map(|text| format!(" {option}'{text}'")).collect()
}

/// Prints a row as soon as it is there.
fn row(cell: &Cell, args: &HuntArgs, output: &Output) -> Result<(), CliError> {
    if args.format != Format::Table {
        return Ok(());
    }
    progress(0, 0, "");
    let Cell { release, from, commands, mark, verdict, executions, .. } = cell;
    let executions = counted(*executions, "execution");
    let mut text = format!("{mark} {verdict:<8}  {release}  {from:<9} {commands}  {executions}");
    for (known, times) in &cell.known {
        let _ = write!(text, "; known: {known} × {times}");
    }
    text.push('\n');
    if let Some(detail) = &cell.detail {
        let property = cell.property.as_deref().unwrap_or(NOT_RUN);
        output.wrap(&mut text, "    ", &format!("{property}: {detail}"));
    }
    if let Some(why) = cell.not_modelled.as_ref().filter(|_| cell.property.is_some()) {
        let _ = writeln!(text, "    compared with whole commands only: {why}");
    }
    if let Some(again) = &cell.again {
        let _ = writeln!(text, "    again: {again}");
    }
    output.print(&text)
}
