//! What can go wrong, and what the exit status says of it.

use std::io;
use std::path::Path;

use lockproof_fuzz::corpus::CorpusError;
use lockproof_harness::HarnessError;
use lockproof_harness::library::BuildError;
use lockproof_model::export::ExportError;
use lockproof_model::step::ModelError;
use lockproof_scenarios::{Refused, ScenarioError};
use miette::{Diagnostic, MietteHandlerOpts};

use crate::{UNEXPECTED, WRONG_USE};

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum CliError {
    /// Neither a name nor a file.
    #[error("there is no scenario and no file called `{name}`")]
    UnknownScenario {
        /// What was asked for.
        name: String,
        /// Which name was meant, or where the names are.
        #[help]
        help: String,
    },
    /// A file that is no scenario.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Scenario(Box<ScenarioError>),
    /// A built-in file that is no scenario.
    #[error(transparent)]
    #[diagnostic(transparent)]
    BuiltIn(Box<Refused>),
    /// Two scenarios of one name.
    #[error("two scenarios are called `{name}`: {first} and {second}")]
    SameName {
        /// The name.
        name: String,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// Nothing is left of what was asked for.
    #[error("nothing to check: {why}")]
    Nothing {
        /// Why.
        why: String,
    },
    /// An option that none of the engines that were asked for knows.
    #[error("`{option}` is an option of {engine}, which was not asked for")]
    #[diagnostic(help("`--engine {engine}` asks for it, `--engine all` for all"))]
    OptionOfEngine {
        /// The option.
        option: String,
        /// The engine that knows it.
        engine: &'static str,
    },
    /// An option that the strategy has no use for.
    #[error("`{option}` means nothing to `--strategy {strategy}`")]
    OptionOfStrategy {
        /// The option.
        option: String,
        /// The strategy.
        strategy: &'static str,
    },
    /// An option that is about something that is not there.
    #[error("`{option}` is about {of}, and there are none")]
    #[diagnostic(help("`{help}` asks for one"))]
    OptionOfDaemon {
        /// The option.
        option: &'static str,
        /// What it is about.
        of: &'static str,
        /// What asks for that.
        help: &'static str,
    },
    /// An option that would change nothing.
    #[error("`{option}` means nothing to {to}")]
    #[diagnostic(help("{help}"))]
    Meaningless {
        /// The option.
        option: String,
        /// What was asked for.
        to: &'static str,
        /// What it goes with.
        help: String,
    },
    /// An option that means nothing to faults that come at every event in turn.
    #[error("`{option}` goes with --crash and --fail only where a strategy draws the faults")]
    #[diagnostic(help(
        "`--strategy pct` and `random` draw them within interleavings; without, they come at every event in turn"
    ))]
    FaultsInTurn {
        /// The option.
        option: &'static str,
    },
    /// The engines that were asked for judge nothing of what was asked.
    #[error("nothing was judged: {why}")]
    #[diagnostic(help("`--engine explore` judges every property of every scenario"))]
    Refused {
        /// Why not.
        why: String,
    },
    /// A schedule that does not belong to the scenario.
    #[error("failed to run the schedule in the model")]
    #[diagnostic(help("a schedule belongs to one scenario, one protocol and one version of both"))]
    Schedule(#[source] Box<ModelError>),
    /// A protocol made a mistake, or the model is too small for it.
    #[error("failed to check {scenario} under {protocol}")]
    Model {
        /// The scenario.
        scenario: String,
        /// The protocol.
        protocol: String,
        /// The mistake.
        source: Box<ModelError>,
    },
    /// Real processes could not be run to the end.
    #[error("failed to run real processes")]
    Real(#[source] Box<HarnessError>),
    /// The driver for the real library could not be built.
    #[error("failed to build the driver for the real library")]
    Driver(#[source] Box<BuildError>),
    /// The real library is needed, and not there, or not whole.
    #[error("the real library cannot be run: {problem}")]
    Library {
        /// Why.
        problem: String,
    },
    /// What a daemon is to be told makes no sense.
    #[error("--daemon: {problem}")]
    #[diagnostic(help("open a; 1: a put-layer x; 2: a images: goroutine 1 makes a layer, goroutine 2 lists images"))]
    Daemon {
        /// What is wrong, and what to write.
        problem: String,
    },
    /// What daemons are said to be is nothing that we know.
    #[error("--driver: there is no `{name}`")]
    #[diagnostic(help(
        "library, or reference:PROTOCOL, with one of the protocols in `lockproof check --help`; --go-source says which library"
    ))]
    UnknownDriver {
        /// What was asked for.
        name: String,
    },
    /// There is no `containers-storage`.
    #[error("containers-storage is not installed")]
    #[diagnostic(help("apt-get install containers-storage, or name one with --store PATH"))]
    NoStore,
    /// A store that was named is not there.
    #[error("there is no containers-storage called `{name}`")]
    #[diagnostic(help(
        "a file, one of the releases that scripts/fetch-releases.sh puts into {place}, or reference:PROTOCOL, with one of the protocols in `lockproof check --help`"
    ))]
    UnknownStore {
        /// What was asked for.
        name: String,
        /// Where releases are looked for.
        place: String,
    },
    /// A list of what is known that cannot be read.
    #[error("failed to read what is known from {path}: {problem}")]
    #[diagnostic(help(
        "known.toml of lockproof is an example, harness/src/hunt/baseline.rs says what the fields mean"
    ))]
    Baseline {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A recording that cannot be read.
    #[error("failed to read the recording {path}: {problem}")]
    Recording {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A release that was fetched does not start.
    #[error("a fetched release does not start")]
    #[diagnostic(help(
        "scripts/fetch-releases.sh, run again, mends it: what it needs beside it is named by its absolute path"
    ))]
    Release(#[source] Box<HarnessError>),
    /// A program could not be supervised.
    #[error("failed to supervise the command")]
    Supervise(#[source] Box<HarnessError>),
    /// A file that cannot be made.
    #[error("failed to create {path}")]
    Create {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A folder that is no corpus of a fuzzing campaign, or the one of another campaign that runs.
    #[error("failed to open the corpus")]
    CorpusOpen(#[source] CorpusError),
    /// A corpus that could be opened, and can no longer be read or written.
    #[error("failed to go on with the corpus")]
    Corpus(#[source] CorpusError),
    /// A scenario that another language has no words for, or a protocol that made a mistake.
    #[error("failed to export {scenario} under {protocol}")]
    Export {
        /// The scenario.
        scenario: String,
        /// The protocol.
        protocol: String,
        /// Why.
        source: Box<ExportError>,
    },
    /// Stdout is gone.
    #[error("failed to write to stdout")]
    Write(#[source] io::Error),
}

impl From<ScenarioError> for CliError {
    fn from(error: ScenarioError) -> Self {
        Self::Scenario(Box::new(error))
    }
}

impl CliError {
    /// Makes a [`CliError::Create`] of a system's error, for `map_err`.
    pub(crate) fn create(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Create { path: path.display().to_string(), source }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            CliError::UnknownScenario { .. }
            | CliError::CorpusOpen(_)
            | CliError::NoStore
            | CliError::Driver(_)
            | CliError::Library { .. }
            | CliError::Daemon { .. }
            | CliError::Scenario(_)
            | CliError::SameName { .. }
            | CliError::Nothing { .. }
            | CliError::OptionOfEngine { .. }
            | CliError::OptionOfStrategy { .. }
            | CliError::OptionOfDaemon { .. }
            | CliError::FaultsInTurn { .. }
            | CliError::Meaningless { .. }
            | CliError::UnknownStore { .. }
            | CliError::UnknownDriver { .. }
            | CliError::Baseline { .. }
            | CliError::Recording { .. }
            | CliError::Release(_)
            | CliError::Supervise(_)
            | CliError::Create { .. }
            | CliError::Refused { .. } => WRONG_USE,
            CliError::Export { source, .. }
                if matches!(**source, ExportError::Features(_) | ExportError::States(_)) =>
            {
                WRONG_USE
            }
            CliError::Schedule(error) if matches!(**error, ModelError::Impossible { .. }) => WRONG_USE,
            CliError::BuiltIn(_)
            | CliError::Schedule(_)
            | CliError::Model { .. }
            | CliError::Export { .. }
            | CliError::Real(_)
            | CliError::Corpus(_)
            | CliError::Write(_) => UNEXPECTED,
        }
    }
}

/// How errors are drawn from now on.
pub(crate) fn show_with(color: bool) {
    // Fails only if it was called before; then that call's choice stands.
    let _ = miette::set_hook(Box::new(move |_| {
        Box::new(MietteHandlerOpts::new().color(color).unicode(true).terminal_links(false).build())
    }));
}
