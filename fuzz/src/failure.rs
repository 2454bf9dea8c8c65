//! A scenario on which two engines disagree, as a file that shows it again.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use lockproof_scenarios::{Expectation, Scenario};

use crate::compare::Comparison;
use crate::{files, hash};

/// The line of a file that was saved before it was made as small as it gets.
const NOT_SHRUNK: &str = "# It was not made smaller to the end.";

/// A scenario that fails, and why.
#[derive(Clone, Debug)]
pub struct Failure {
    scenario: Scenario,
    disagreements: Vec<String>,
    /// Where it comes from: the seed, the number.
    origin: String,
    is_shrunk: bool,
}

impl Failure {
    /// `scenario`, of which `comparison` says that two engines disagree, found as `origin` says. The file expects the
    /// verdicts of the engine that is to be trusted, where it has one for each property.
    #[must_use]
    pub fn new(mut scenario: Scenario, comparison: &Comparison, origin: &str, is_shrunk: bool) -> Self {
        scenario.name = "random".into();
        scenario.expectations.clear();
        let number = hash::of(&scenario.to_toml());
        scenario.name = format!("random-{number:016x}");
        let protocols = scenario.protocols.clone().unwrap_or_default();
        for (protocol, property) in protocols.iter().flat_map(|name| scenario.properties.iter().map(move |p| (name, p)))
        {
            let holds = comparison.holds.iter().find(|((name, of), _)| name == protocol && of == property);
            let Some((_, holds)) = holds else {
                scenario.expectations.clear();
                break;
            };
            let verdict = if *holds { "proved" } else { "violated" }.to_owned();
            let (protocol, property) = (protocol.clone(), *property);
            scenario.expectations.push(Expectation { protocol, property, verdict });
        }
        Self { scenario, disagreements: comparison.disagreements.clone(), origin: origin.to_owned(), is_shrunk }
    }

    /// What its file is called.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.toml", self.scenario.name)
    }

    /// The text of its file.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("# Two engines disagree about this scenario ({}).\n", self.origin);
        for what in self.disagreements.iter().flat_map(|what| what.lines()) {
            let _ = writeln!(text, "# - {what}");
        }
        if !self.is_shrunk {
            let _ = writeln!(text, "{NOT_SHRUNK}");
        }
        let file = self.file_name();
        let _ = writeln!(text, "# See it again: `lockproof fuzz {file}` asks all engines.");
        if !self.scenario.expectations.is_empty() {
            let _ = writeln!(
                text,
                "# `lockproof check {file}` asks the explorer; [expect] holds what the plainest engine says."
            );
        }
        text.push_str(&self.scenario.to_toml());
        text
    }

    /// Writes its file into `folder`; at no time there is half of it.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, folder: &Path) -> io::Result<PathBuf> {
        let path = folder.join(self.file_name());
        files::replace(&path, &self.text())?;
        Ok(path)
    }
}

/// Whether the text of a failure's file is that of the smallest scenario.
pub(crate) fn is_shrunk(text: &str) -> bool {
    !text.lines().any(|line| line == NOT_SHRUNK)
}
