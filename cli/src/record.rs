//! Recordings of violations, in files.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use lockproof_harness::hunt::recording::Recording;

use crate::error::CliError;

/// Where the violation of this number, from 1, is written: `lockproof-hunt.json`, `lockproof-hunt-2.json`.
pub(crate) fn numbered(record: &Path, number: usize) -> PathBuf {
    if number == 1 {
        return record.to_path_buf();
    }
    let stem = record.file_stem().unwrap_or_default().to_string_lossy();
    let end = record.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    record.with_file_name(format!("{stem}-{number}{end}"))
}

/// Whether one can be written there, before what is found would be lost.
///
/// # Errors
/// It cannot.
pub(crate) fn check(path: &Path) -> Result<(), CliError> {
    // The name itself is not made and removed: another hunt may write there meanwhile.
    let made = if path.exists() {
        OpenOptions::new().append(true).open(path)
    } else {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        tempfile::tempfile_in(folder.unwrap_or(Path::new(".")))
    };
    made.map(drop).map_err(CliError::create(path))
}

/// Writes one.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write(path: &Path, recording: &Recording) -> Result<(), CliError> {
    fs::write(path, recording.write()).map_err(CliError::create(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_violation_has_a_file_of_its_own() {
        assert_eq!(numbered(Path::new("a/found.json"), 1), Path::new("a/found.json"));
        assert_eq!(numbered(Path::new("a/found.json"), 2), Path::new("a/found-2.json"));
        assert_eq!(numbered(Path::new("found"), 3), Path::new("found-3"));
    }
}
