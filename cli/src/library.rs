//! The real library, as `check` and `replay` ask for it: what was found of the release that is installed is done again by its
//! own code.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use lockproof_harness::guardian::RunDirectory;
use lockproof_harness::hunt::build::Build;
use lockproof_harness::library::release::{installed, protocol_of};
use lockproof_harness::library::{BuildError, Enacted, PACKAGES, Source, build};
use lockproof_harness::{Harness, HarnessError};
use lockproof_model::property::Property;
use lockproof_model::protocol::Entry;
use lockproof_model::system::{Process, System};
use lockproof_model::trace::Trace;
use lockproof_model::verdict::{Finding, Verdict};
use lockproof_reports::Row;
use lockproof_reports::row::LIBRARY;
use lockproof_scenarios::{Program, Scenario};

use crate::error::CliError;
use crate::output::Output;
use crate::real::{again, call_made};

/// The protocol of the release that Debian 12 has: what is missing is told where it would have been done again.
const USUAL: &str = "v1_43";

/// Set to 1 where the library must be there.
const REQUIRED: &str = "LOCKPROOF_REQUIRE_REAL";

/// The library that is installed.
struct Installed {
    driver: PathBuf,
    version: String,
    protocol: Entry,
    /// Gone when this process ends.
    _directory: RunDirectory,
}

/// Why there is none.
enum Absent {
    /// Nothing to build it of, or no protocol is that release.
    Missing(String),
    /// It is there, and cannot be built.
    Broken(String),
}

/// What came of an attempt.
pub(crate) enum Said {
    /// A verdict.
    Row(Box<Row>),
    /// Why it is not judged.
    Refused(String),
}

/// The driver of the library, built once.
fn library() -> Result<&'static Installed, &'static Absent> {
    static LIBRARY: OnceLock<Result<Installed, Absent>> = OnceLock::new();
    let make = || {
        let broken = |error: &dyn std::fmt::Display| Absent::Broken(error.to_string());
        let harness = Harness::current().map_err(|error| broken(&error))?;
        let directory = RunDirectory::new(&harness).map_err(|error| broken(&error))?;
        let driver = build(&Source::Installed, false, directory.path()).map_err(|error| match error {
            BuildError::Missing { .. } => Absent::Missing(error.to_string()),
            error => broken(&error),
        })?;
        let version = installed().ok_or_else(|| {
            Absent::Missing(format!("dpkg-query does not know {}: its release is not known", PACKAGES[1]))
        })?;
        let no_protocol =
            || Absent::Missing(format!("release {version} is installed, and no protocol here is that release"));
        let protocol = protocol_of(&version).ok_or_else(no_protocol)?;
        Ok(Installed { driver, version, protocol, _directory: directory })
    };
    LIBRARY.get_or_init(make).as_ref()
}

/// What cannot be done here is told, or is an error where it must be.
fn cannot(why: String) -> Result<Option<Said>, CliError> {
    if std::env::var(REQUIRED).as_deref() == Ok("1") {
        return Err(CliError::Library { problem: why });
    }
    Ok(Some(Said::Refused(why)))
}

/// The library, for a scenario with processes of it, if its protocol is what they speak.
fn of(scenario: &Scenario, system: &System) -> Option<Result<&'static Installed, &'static Absent>> {
    let programs = scenario.programs();
    let of_library = || programs.iter().zip(&system.processes).filter(|(program, _)| **program == Program::RealLibrary);
    let speak = |name: &str| of_library().all(|(_, process)| process.protocol.name == name);
    of_library().next()?;
    match library() {
        Ok(library) => speak(library.protocol.name).then_some(Ok(library)),
        Err(absent) => speak(USUAL).then_some(Err(absent)),
    }
}

impl Installed {
    /// Has the library do what the model did in `trace`, and reference processes beside it where the scenario has some.
    fn enact(&self, scenario: &Scenario, system: &System, trace: &Trace) -> Result<Enacted, HarnessError> {
        let harness = Harness::current()?;
        let driver = |(program, process): (Program, &Process)| match program {
            Program::RealLibrary => Build::Program(self.driver.clone()),
            Program::Reference => {
                Build::Reference { program: harness.program.clone(), protocol: process.protocol.name.into() }
            }
        };
        let drivers: Vec<Build> = scenario.programs().into_iter().zip(&system.processes).map(driver).collect();
        harness.enact(&drivers, system, trace)
    }
}

/// Has the library do what was found, and says whether it shows the same. `None` where there is nothing to show, or another
/// release is installed. `model` is the model's verdict.
pub(crate) fn confirm(
    scenario: &Scenario,
    system: &System,
    finding: &Finding,
    model: &Row,
) -> Result<Option<Said>, CliError> {
    let Some(trace) = finding.trace.as_ref().filter(|_| finding.verdict.is_shown_by_a_run(finding.property)) else {
        return Ok(None);
    };
    let library = match of(scenario, system) {
        None => return Ok(None),
        Some(Ok(library)) => library,
        Some(Err(Absent::Missing(why))) => return cannot(why.clone()),
        Some(Err(Absent::Broken(problem))) => return Err(CliError::Library { problem: problem.clone() }),
    };
    let started = Instant::now();
    let enacted = library.enact(scenario, system, trace);
    let (verdict, detail) = match enacted {
        Ok(enacted) => match enacted.shows(finding.property) {
            None => return Ok(Some(Said::Refused(not_judged(finding.property)))),
            Some(shown) if shown.is_seen() => {
                (finding.verdict.clone(), format!("{}: {}", library.version, shown.text()))
            }
            Some(shown) => (Verdict::Sampled("1 schedule".into()), format!("not seen: {}", shown.text())),
        },
        Err(HarnessError::Refused(why)) => return Ok(Some(Said::Refused(why))),
        Err(error @ HarnessError::NoFilter(_)) => return cannot(error.to_string()),
        Err(error) => (Verdict::Cut("the library did not come to the end".into()), error.to_string()),
    };
    let seconds = started.elapsed().as_secs_f64();
    Ok(Some(Said::Row(Box::new(again(LIBRARY, finding, model, verdict, detail, seconds)))))
}

fn not_judged(property: Property) -> String {
    format!("whether {property} holds is not seen of the library")
}

/// What the library does with a run of the model, for people, and whether it goes the same way; `None` of a scenario without
/// processes of it, or of another release.
pub(crate) fn replay(
    scenario: &Scenario,
    system: &System,
    trace: &Trace,
    output: &Output,
) -> Result<Option<(String, bool)>, CliError> {
    let library = match of(scenario, system) {
        None => return Ok(None),
        Some(Ok(library)) => library,
        Some(Err(Absent::Missing(why))) => {
            let told = cannot(why.clone())?.map(|_| format!("By the library: not done, {why}\n"));
            return Ok(told.map(|text| (text, true)));
        }
        Some(Err(Absent::Broken(problem))) => return Err(CliError::Library { problem: problem.clone() }),
    };
    match library.enact(scenario, system, trace) {
        Ok(enacted) => Ok(Some((describe(&enacted, library, scenario, output), enacted.parted.is_none()))),
        Err(HarnessError::Refused(why)) => Ok(Some((format!("By the library: not done, {why}\n"), true))),
        Err(error) => Err(CliError::Real(Box::new(error))),
    }
}

fn describe(enacted: &Enacted, library: &Installed, scenario: &Scenario, output: &Output) -> String {
    let Enacted { system, steps, marks, again, .. } = enacted;
    let mut text = format!("By the library of {}: {steps} steps", library.version);
    match &enacted.parted {
        None => {
            let _ = writeln!(text, ", through {marks} of the model");
        }
        Some(parted) => {
            let _ = writeln!(text, "; model and library part at step {}, in the {}:", parted.number, parted.what);
            let _ = writeln!(text, "  the model:   {}\n  the library: {}", parted.model, parted.real);
        }
    }
    if *again > 0 {
        let _ = writeln!(text, "  {again} times it went otherwise, and was run again");
    }
    for made in &enacted.calls {
        output.wrap(&mut text, "  ", &call_made(system, made));
    }
    for property in &scenario.properties {
        match enacted.shows(*property) {
            None => output.wrap(&mut text, "", &format!("– {property}: {}", not_judged(*property))),
            Some(shown) if shown.is_seen() => output.wrap(&mut text, "", &format!("✗ {property}: {}", shown.text())),
            Some(shown) => output.wrap(&mut text, "", &format!("✓ {property}: no violation: {}", shown.text())),
        }
    }
    text
}
