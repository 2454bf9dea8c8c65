//! `doctor`: what works on this machine.

use std::fmt::Write as _;

use lockproof_harness::Harness;
use lockproof_harness::doctor::{Finding, Works, examine};
use serde::Serialize;

use crate::args::{DoctorArgs, Format};
use crate::error::CliError;
use crate::output::{self, Output};

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    findings: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    what: &'a str,
    works: &'static str,
    detail: &'a str,
}

pub(crate) fn run(args: &DoctorArgs, output: &Output) -> Result<bool, CliError> {
    let harness = Harness::current().map_err(|error| CliError::Supervise(Box::new(error)))?;
    let findings = examine(&harness);
    output.print(&match args.format {
        Format::Table => table(&findings, output),
        Format::Json => json(&findings),
    })?;
    Ok(findings.iter().all(|finding| finding.works != Works::No))
}

fn table(findings: &[Finding], output: &Output) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let mark = match finding.works {
            Works::Yes => "✓",
            Works::Less => "·",
            Works::No => "✗",
        };
        let room =
            if output.is_for_people() { output.style().width.saturating_sub(width + 4).max(20) } else { usize::MAX };
        for (index, line) in lockproof_reports::wrap(&finding.detail, room, 0).iter().enumerate() {
            let (mark, what) = if index == 0 { (mark, finding.what) } else { (" ", "") };
            let _ = writeln!(text, "{mark} {what:width$}  {line}");
        }
    }
    text
}

fn json(findings: &[Finding]) -> String {
    let report = Report { version: 1, findings: findings.iter().map(Entry::of).collect() };
    output::pretty_json(&report)
}

impl<'a> Entry<'a> {
    fn of(finding: &'a Finding) -> Self {
        let works = match finding.works {
            Works::Yes => "yes",
            Works::Less => "less",
            Works::No => "no",
        };
        Self { what: finding.what, works, detail: &finding.detail }
    }
}
