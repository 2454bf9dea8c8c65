//! Scenarios: who does what to a store, which properties must hold, and which verdict is expected of each protocol.
//!
//! A scenario is a TOML file. Those of the discussion are built in ([`built_in`]); a user's own is read with [`load`].
//! Either way a mistake is refused with its place in the file and with what is allowed there ([`ScenarioError`]).
//! `scenarios/README.md` is the reference of the format; [`parse`] shows a complete file.
//!
//! Nothing here runs a scenario: [`Scenario::system`] makes the closed system that the engines take.
#![forbid(unsafe_code)]

mod built_in;
mod calls;
mod decode;
mod discussion;
mod equivalent;
mod error;
mod expect;
mod families;
mod file;
mod near;
mod races;
mod scenario;
mod store;
mod usage;
mod write;

pub use built_in::{BUILT_IN, built_in};
pub use discussion::{REMARKS, Remark, remark};
pub use equivalent::{Equivalent, Pattern, equivalents};
pub use error::{Mistake, Refused, ScenarioError};
pub use families::{Relative, families};
pub use near::nearest;
pub use races::{RACES, Race, race};
pub use scenario::{Expectation, Kind, Program, Scenario};
pub use store::Additional;

use std::path::Path;

use lockproof_model::protocol::Entry;

/// Reads a scenario from `text`. `origin` is what messages call the file; `protocols` are those that it may name, as a
/// rule [`lockproof_model::protocol::all`] and whatever the caller adds.
///
/// ```
/// let text = r#"
///     name = "readers-exclude-writer"
///     title = "While somebody reads, nobody writes"
///     properties = ["exclusive"]
///
///     [store]
///     layers = [{ id = "base", names = ["foo"] }]
///
///     [[process]]
///     name = "reader"
///     count = 2
///     [[process.thread]]
///     calls = ["diff base", "close-diff base"]
///
///     [[process]]
///     name = "writer"
///     [[process.thread]]
///     calls = ["set-names base foo,bar"]
///
///     [expect]
///     exclusive = { violated = ["v1_24"] }
/// "#;
/// let protocols = lockproof_model::protocol::all();
/// let scenario = lockproof_scenarios::parse("example.toml", text, &protocols)?;
/// let system = scenario.system(protocols[0]);
/// let names: Vec<&str> = system.processes.iter().map(|process| process.name.as_str()).collect();
/// assert_eq!(names, ["reader-1", "reader-2", "writer"]);
/// # Ok::<(), lockproof_scenarios::Refused>(())
/// ```
///
/// # Errors
/// Every mistake that was found, each with its place.
pub fn parse(origin: &str, text: &str, protocols: &[Entry]) -> Result<Scenario, Refused> {
    file::parse(origin, text, protocols)
}

/// Reads a scenario from the file at `path`.
///
/// # Errors
/// Why the file could not be read, or the mistakes in it.
pub fn load(path: &Path, protocols: &[Entry]) -> Result<Scenario, ScenarioError> {
    let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Read { path: path.into(), source })?;
    Ok(parse(&path.display().to_string(), &text, protocols)?)
}
