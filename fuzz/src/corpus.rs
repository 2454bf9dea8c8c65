//! What a campaign keeps between its runs, in one folder:
//!
//! ```text
//! lock                  held while a campaign runs: two at once would take each other's work
//! position-SEED.toml    the number of the next scenario of that seed
//! scenarios/*.toml      scenarios that were the first to show something
//! failures/*.toml       scenarios on which two engines disagree
//! damaged/              files that could not be read, set aside
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use lockproof_model::protocol::Entry;
use lockproof_scenarios::{Scenario, ScenarioError, load};

use crate::compare::Comparison;
use crate::{files, hash};

/// Begins each line of a file that says what its scenario shows.
const SHOWS: &str = "# shows ";

/// Why a corpus cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// Another campaign uses it.
    #[error("another `lockproof fuzz` uses the corpus {}", .0.display())]
    InUse(PathBuf),
    /// A file could not be read or written.
    #[error("failed to use the corpus: {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// How long one that was killed has to let its corpus go: a process with much memory does not end at once.
const LET_GO: Duration = Duration::from_secs(2);

/// An open corpus; it is locked until it is dropped, or its process ends.
#[derive(Debug)]
pub struct Corpus {
    folder: PathBuf,
    seed: u64,
    position: u64,
    scenarios: Vec<Scenario>,
    failures: Vec<(PathBuf, Scenario)>,
    seen: BTreeSet<String>,
    damaged: Vec<String>,
    _lock: File,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CorpusError {
    let path = path.to_owned();
    |source| CorpusError::Io { path, source }
}

impl Corpus {
    /// Opens the corpus in `folder`, which is made if there is none, for the scenarios of `seed`. What makes no sense is set
    /// aside; a position that does begins again.
    ///
    /// # Errors
    /// Another campaign uses it, or a file cannot be read or written at all.
    pub fn open(folder: &Path, seed: u64, protocols: &[Entry]) -> Result<Self, CorpusError> {
        for part in ["scenarios", "failures", "damaged"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(at(&part))?;
        }
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(at(&path))?;
        let until = Instant::now() + LET_GO;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LET_GO / 100),
                Err(TryLockError::WouldBlock) => return Err(CorpusError::InUse(folder.to_owned())),
                Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
            }
        }
        let mut corpus = Self {
            folder: folder.to_owned(),
            seed,
            position: 0,
            scenarios: Vec::new(),
            failures: Vec::new(),
            seen: BTreeSet::new(),
            damaged: Vec::new(),
            _lock: lock,
        };
        corpus.position = corpus.read_position()?;
        corpus.failures = corpus.load("failures", protocols)?;
        for (_, scenario) in corpus.load("scenarios", protocols)? {
            let shown = scenario.text.lines().filter_map(|line| line.strip_prefix(SHOWS));
            corpus.seen.extend(shown.map(str::to_owned));
            corpus.scenarios.push(scenario);
        }
        Ok(corpus)
    }

    /// The scenarios in a folder of the corpus; what is none is set aside.
    fn load(&mut self, part: &str, protocols: &[Entry]) -> Result<Vec<(PathBuf, Scenario)>, CorpusError> {
        let folder = self.folder.join(part);
        let mut loaded = Vec::new();
        for path in files::scenarios(&folder).map_err(at(&folder))? {
            match load(&path, protocols) {
                Ok(scenario) => loaded.push((path, scenario)),
                Err(ScenarioError::Read { source, .. }) if source.kind() != io::ErrorKind::InvalidData => {
                    return Err(at(&path)(source));
                }
                Err(ScenarioError::Read { source, .. }) => self.set_aside(&path, &source.to_string())?,
                Err(ScenarioError::Refused(refused)) => {
                    let why = refused.mistakes.first().map_or_else(String::new, |mistake| mistake.what.clone());
                    self.set_aside(&path, &why)?;
                }
            }
        }
        Ok(loaded)
    }

    fn set_aside(&mut self, path: &Path, why: &str) -> Result<(), CorpusError> {
        let to = self.folder.join("damaged").join(path.file_name().unwrap_or_default());
        fs::rename(path, &to).map_err(at(path))?;
        self.damaged.push(format!("{} could not be read ({why}); it is now {}", path.display(), to.display()));
        Ok(())
    }

    /// What was set aside, a sentence for each file.
    #[must_use]
    pub fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// The scenarios, each the first to show something.
    #[must_use]
    pub fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    /// The failures of earlier campaigns, by file.
    #[must_use]
    pub fn failures(&self) -> &[(PathBuf, Scenario)] {
        &self.failures
    }

    /// The seed: with it, the number of a scenario and the corpus make the scenario.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The number of the next scenario of its seed.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The folder of the failures.
    #[must_use]
    pub fn failures_folder(&self) -> PathBuf {
        self.folder.join("failures")
    }

    /// Keeps `scenario` if it was the first to show something. Whether it was.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, scenario: &Scenario, comparison: &Comparison) -> Result<bool, CorpusError> {
        let new: Vec<&String> = comparison.seen.difference(&self.seen).collect();
        if new.is_empty() {
            return Ok(false);
        }
        let mut text = String::new();
        for shown in &new {
            let _ = writeln!(text, "{SHOWS}{shown}");
        }
        let scenario_text = scenario.to_toml();
        text.push_str(&scenario_text);
        let path = self.folder.join("scenarios").join(format!("{:016x}.toml", hash::of(&scenario_text)));
        files::replace(&path, &text).map_err(at(&path))?;
        self.seen.extend(comparison.seen.iter().cloned());
        self.scenarios.push(scenario.clone());
        Ok(true)
    }

    fn position_path(&self) -> PathBuf {
        self.folder.join(format!("position-{}.toml", self.seed))
    }

    fn read_position(&mut self) -> Result<u64, CorpusError> {
        let path = self.position_path();
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(at(&path)(error)),
        };
        let number = text.trim_end().strip_prefix("next = ").and_then(|number| number.parse().ok());
        if number.is_none() {
            self.set_aside(&path, "it holds no number")?;
        }
        Ok(number.unwrap_or_default())
    }

    /// Notes that the scenarios of its seed before number `next` are done.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_position(&mut self, next: u64) -> Result<(), CorpusError> {
        self.position = next;
        let path = self.position_path();
        files::replace(&path, &format!("next = {next}\n")).map_err(at(&path))
    }
}
