//! `list` and `show`: what scenarios there are, and what one is about.

use std::fmt::Write as _;

use lockproof_model::call::Call;
use lockproof_model::system::Repeat;
use lockproof_reports::Style;
use lockproof_scenarios::{Kind, RACES, REMARKS, Race, Remark, Scenario, remark};
use serde::Serialize;

use crate::args::{Format, Grouping, ListArgs, ShowArgs};
use crate::error::CliError;
use crate::output::{self, Output};
use crate::select;

#[derive(Serialize)]
struct Listing<'a> {
    version: u32,
    scenarios: Vec<Entry<'a>>,
    remarks: Vec<OfRemark<'a>>,
    races: Vec<OfRace<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    title: &'a str,
    cites: &'a [String],
    properties: Vec<&'static str>,
    protocols: Vec<&'static str>,
}

#[derive(Serialize)]
struct OfRemark<'a> {
    id: &'static str,
    who: &'static str,
    said: &'static str,
    scenarios: Vec<&'a str>,
}

#[derive(Serialize)]
struct OfRace<'a> {
    id: &'static str,
    what: &'static str,
    scenarios: Vec<&'a str>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_stated: Option<&'static str>,
}

pub(crate) fn list(args: &ListArgs, output: &Output) -> Result<bool, CliError> {
    let scenarios = select::all()?;
    let text = match (args.format, args.by) {
        (Format::Json, _) => json(scenarios),
        (Format::Table, Grouping::Name) => by_name(scenarios, output),
        (Format::Table, Grouping::Remark) => by_remark(scenarios, output),
        (Format::Table, Grouping::Race) => by_race(scenarios, output),
    };
    output.print(&text)?;
    Ok(true)
}

/// Each remark, and the scenarios that answer it.
fn by_remark(scenarios: &[Scenario], output: &Output) -> String {
    let width = width(scenarios);
    let mut text = String::new();
    for Remark { id, who, said } in &REMARKS {
        output.wrap(&mut text, "", &format!("{id}, {who}: {said}"));
        let of_it: Vec<&Scenario> = citing(scenarios, id).collect();
        entries(&mut text, &of_it, width, output);
        if of_it.is_empty() {
            text.push_str("  no scenario\n");
        }
    }
    let others: Vec<&Scenario> =
        scenarios.iter().filter(|scenario| scenario.cites.iter().all(|cite| remark(cite).is_none())).collect();
    if !others.is_empty() {
        text.push_str("not from the discussion\n");
        entries(&mut text, &others, width, output);
    }
    text
}

/// Each race that is known, and the scenarios that show it or why none does.
fn by_race(scenarios: &[Scenario], output: &Output) -> String {
    let width = width(scenarios);
    let mut text = String::new();
    for Race { id, what, not_stated } in &RACES {
        output.wrap(&mut text, "", &format!("{id}: {what}"));
        let of_it: Vec<&Scenario> = citing(scenarios, id).collect();
        entries(&mut text, &of_it, width, output);
        if let Some(why) = not_stated {
            output.wrap(&mut text, "  ", &format!("not stated here: {why}"));
        } else if of_it.is_empty() {
            text.push_str("  no scenario\n");
        }
    }
    let stated = RACES.iter().filter(|race| race.not_stated.is_none()).count();
    let _ =
        writeln!(text, "\n{} races; {stated} with a scenario, {} not stated here", RACES.len(), RACES.len() - stated);
    text
}

/// A line for each; on a terminal, as many as it needs.
fn by_name(scenarios: &[Scenario], output: &Output) -> String {
    let mut text = String::new();
    for scenario in scenarios {
        let cites = if scenario.cites.is_empty() { String::new() } else { format!(" ({})", scenario.cites.join(", ")) };
        entry(&mut text, "", &scenario.name, width(scenarios), &format!("{}{cites}", scenario.title), output);
    }
    text
}

fn width(scenarios: &[Scenario]) -> usize {
    scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0)
}

fn entries(text: &mut String, scenarios: &[&Scenario], width: usize, output: &Output) {
    for scenario in scenarios {
        entry(text, "  ", &scenario.name, width, &scenario.title, output);
    }
}

fn entry(text: &mut String, indent: &str, name: &str, width: usize, about: &str, output: &Output) {
    let room = match output.is_for_people() {
        true => output.style().width.saturating_sub(indent.len() + width + 2).max(20),
        false => usize::MAX,
    };
    for (index, line) in lockproof_reports::wrap(about, room, 0).iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        let _ = writeln!(text, "{indent}{name:width$}  {line}");
    }
}

fn citing<'a>(scenarios: &'a [Scenario], id: &str) -> impl Iterator<Item = &'a Scenario> {
    scenarios.iter().filter(move |scenario| scenario.cites.iter().any(|cite| cite == id))
}

fn json(scenarios: &[Scenario]) -> String {
    let names = |id: &str| citing(scenarios, id).map(|scenario| scenario.name.as_str()).collect();
    let of_remark = |&Remark { id, who, said }: &Remark| OfRemark { id, who, said, scenarios: names(id) };
    let of_race = |&Race { id, what, not_stated }: &Race| OfRace { id, what, scenarios: names(id), not_stated };
    let listing = Listing {
        version: 1,
        scenarios: scenarios.iter().map(Entry::of).collect(),
        remarks: REMARKS.iter().map(of_remark).collect(),
        races: RACES.iter().map(of_race).collect(),
    };
    output::pretty_json(&listing)
}

impl<'a> Entry<'a> {
    fn of(scenario: &'a Scenario) -> Self {
        Self {
            name: &scenario.name,
            title: &scenario.title,
            cites: &scenario.cites,
            properties: scenario.properties.iter().map(|property| property.name()).collect(),
            protocols: select::protocols(&[], scenario).iter().map(|entry| entry.name).collect(),
        }
    }
}

pub(crate) fn show(args: &ShowArgs, output: &Output) -> Result<bool, CliError> {
    let scenario = select::scenario(&args.scenario)?;
    output.print(&if args.toml { scenario.text.clone() } else { describe(&scenario, output) })?;
    Ok(true)
}

fn describe(scenario: &Scenario, output: &Output) -> String {
    let mut text = format!("{}: {}\n", scenario.name, scenario.title);
    let room = output.style().width.clamp(Style::WIDTH_MIN, Style::PLAIN.width);
    for paragraph in scenario.about.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        text.push('\n');
        for line in lockproof_reports::wrap(&paragraph.split_whitespace().collect::<Vec<_>>().join(" "), room, 0) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text.push('\n');
    for cite in &scenario.cites {
        match remark(cite) {
            Some(remark) => {
                output.wrap(&mut text, "  ", &format!("{} ({}): {}", remark.id, remark.who, remark.said));
            }
            None => {
                let _ = writeln!(text, "  {cite}");
            }
        }
    }
    text.push_str("\nThe store at the start:\n");
    for layer in &scenario.layers {
        let names = if layer.names.is_empty() { String::new() } else { format!(" as {}", layer.names.join(",")) };
        let parent = if layer.parent.is_empty() { String::new() } else { format!(" on {}", layer.parent) };
        let incomplete = if layer.incomplete { ", incomplete" } else { "" };
        let _ = writeln!(text, "  {}{parent}{names}{incomplete}", layer.id);
    }
    if scenario.layers.is_empty() {
        text.push_str("  empty\n");
    }
    for (number, additional) in (1..).zip(&scenario.additional) {
        let layers = additional.layers.iter().map(|layer| layer.id.as_str());
        let ids: Vec<&str> = layers.chain(additional.images.iter().map(|image| image.id.as_str())).collect();
        let _ = writeln!(text, "  additional store {number}: {}", ids.join(", "));
    }
    for (path, target) in &scenario.aliases {
        let _ = writeln!(text, "  {path} is a symbolic link to {target}");
    }
    for kind in &scenario.kinds {
        process(&mut text, kind);
    }
    if scenario.crashes > 0 {
        let _ = writeln!(text, "\nKills, in all: {}", scenario.crashes);
    }
    if scenario.fine_times {
        text.push_str("\nFiles have fine-grained times.\n");
    }
    text.push_str("\nExpected:\n");
    for property in &scenario.properties {
        let _ = writeln!(text, "  {property}");
        for protocol in select::protocols(&[], scenario) {
            let verdict = scenario.expected(protocol.name, *property).unwrap_or("nothing");
            let _ = writeln!(text, "    {:16} {verdict}", protocol.name);
        }
    }
    text
}

fn process(text: &mut String, kind: &Kind) {
    let _ = write!(text, "\nProcess {}", kind.name);
    if kind.count > 1 {
        let _ = write!(text, ", {} of them", kind.count);
    }
    match kind.runs {
        Repeat::Times(1) => {}
        Repeat::Times(runs) => {
            let _ = write!(text, ", started {runs} times");
        }
        Repeat::Forever => text.push_str(", started again for ever"),
    }
    if let Some(protocol) = kind.protocol {
        let _ = write!(text, ", always {}", protocol.name);
    }
    if kind.additional > 0 {
        let _ = write!(text, ", with {} of the additional stores", kind.additional);
    }
    if kind.may_crash {
        text.push_str(", may be killed");
    }
    text.push('\n');
    if !kind.before.is_empty() {
        let _ = writeln!(text, "  first: {}", calls(&kind.before));
    }
    for (number, thread) in kind.threads.iter().enumerate() {
        let name = if kind.threads.len() > 1 { format!("thread {}: ", number + 1) } else { String::new() };
        let times = match thread.repeat {
            Repeat::Times(1) => String::new(),
            Repeat::Times(times) => format!(", {times} times"),
            Repeat::Forever => ", for ever".into(),
        };
        let _ = writeln!(text, "  {name}{}{times}", calls(&thread.script));
    }
}

fn calls(calls: &[Call]) -> String {
    calls.iter().map(Call::to_string).collect::<Vec<_>>().join("; ")
}
