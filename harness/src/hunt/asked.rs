//! What a program says of itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::Harness;
use crate::error::HarnessError;
use crate::process::within;

/// How long a program may take to print its help.
const LIMIT: Duration = Duration::from_secs(10);

/// The commands that a program says it knows: lines of its `--help` that begin with two blanks and a word, before `Options:`.
/// None of a program that says nothing of the kind, or cannot be started.
///
/// # Errors
/// [`HarnessError::Deadline`] if it does not end; it is killed then.
pub(super) fn commands_of(harness: &Harness, program: &Path) -> Result<BTreeSet<String>, HarnessError> {
    let failed = |error| HarnessError::io("ask for its commands", program)(error);
    let mut command = harness.bounded(program);
    command.arg("--help").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Some(said) = within(command.spawn().map_err(failed)?, LIMIT).map_err(failed)? else {
        let at = format!("`{} --help` does not end", program.display());
        return Err(HarnessError::Deadline { limit: LIMIT, at });
    };
    // Some print it to standard error.
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().take_while(|line| !line.starts_with("Options:"));
    let word = |line: &str| line.strip_prefix("  ").and_then(|rest| rest.split_whitespace().next()).map(str::to_owned);
    Ok(lines.filter_map(word).collect())
}
