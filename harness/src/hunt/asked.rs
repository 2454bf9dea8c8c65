//! What a program says of itself.

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::Harness;
use crate::error::HarnessError;

/// How long a program may take to print its help.
const LIMIT: Duration = Duration::from_secs(10);

/// How often we look whether it has.
const LOOK: Duration = Duration::from_micros(500);

/// The commands that a program says it knows: lines of its `--help` that begin with two blanks and a word, before `Options:`.
/// None of a program that says nothing of the kind, or cannot be started.
///
/// # Errors
/// [`HarnessError::Deadline`] if it does not end; it is killed then.
pub(super) fn commands_of(harness: &Harness, program: &Path) -> Result<BTreeSet<String>, HarnessError> {
    let failed = |error| HarnessError::io("ask for its commands", program)(error);
    // A file, and not a pipe: what it says may be longer than a pipe holds.
    let mut said = tempfile::tempfile().map_err(failed)?;
    let (output, errors) = (said.try_clone().map_err(failed)?, said.try_clone().map_err(failed)?);
    let mut child = harness
        .bounded(program)
        .arg("--help")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(failed)?;
    let until = Instant::now() + LIMIT;
    while child.try_wait().map_err(failed)?.is_none() {
        if Instant::now() > until {
            // It fails only if it has just ended.
            let _ = child.kill();
            child.wait().map_err(failed)?;
            let at = format!("`{} --help` does not end", program.display());
            return Err(HarnessError::Deadline { limit: LIMIT, at });
        }
        std::thread::sleep(LOOK);
    }
    let mut text = Vec::new();
    said.rewind().and_then(|()| said.read_to_end(&mut text)).map_err(failed)?;
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().take_while(|line| !line.starts_with("Options:"));
    let word = |line: &str| line.strip_prefix("  ").and_then(|rest| rest.split_whitespace().next()).map(str::to_owned);
    Ok(lines.filter_map(word).collect())
}
