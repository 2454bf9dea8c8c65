//! `hunt --daemon`: processes of the Go library among the participants.

use std::path::PathBuf;

use lockproof_harness::Harness;
use lockproof_harness::guardian::RunDirectory;
use lockproof_harness::hunt::daemon::script::Script;
use lockproof_harness::library::{Source, build};

use crate::args::HuntArgs;
use crate::error::CliError;
use crate::hunt::supervised;

/// The driver, built for this run, and removed after it.
pub(crate) struct Driver {
    path: PathBuf,
    _directory: RunDirectory,
}

impl Driver {
    pub(crate) fn build(args: &HuntArgs, harness: &Harness) -> Result<Self, CliError> {
        let source = args.go_source.clone().map_or(Source::Installed, Source::Tree);
        let directory = RunDirectory::new(harness).map_err(supervised)?;
        let path = build(&source, false, directory.path()).map_err(|error| CliError::Driver(Box::new(error)))?;
        Ok(Self { path, _directory: directory })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }
}

/// What the processes of the library are told.
pub(crate) fn scripts(args: &HuntArgs) -> Result<Vec<Script>, CliError> {
    let script = |text: &String| text.parse().map_err(|problem| CliError::Daemon { problem });
    args.daemon.iter().map(script).collect()
}
