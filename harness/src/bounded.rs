//! A program that is not ours and dies with us.
//!
//! `PR_SET_PDEATHSIG` survives execve(2), unless the program gains rights by it. So our own program is started, asks for the
//! signal, and becomes the other.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::sys;
use crate::{Harness, wire};

/// The exit status of a program that could not be started; sh(1) ends with it too.
const NOT_STARTED: i32 = 127;

impl Harness {
    /// A command that runs `program`, and is killed when the thread that starts it ends.
    #[must_use]
    pub fn bounded(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(wire::EXECUTE).arg(std::process::id().to_string()).arg(program);
        command
    }
}

/// Becomes the other program if this process was started for that.
pub(crate) fn execute_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|argument| argument != wire::EXECUTE) {
        return;
    }
    let parent = arguments.next().and_then(|pid| pid.to_str()?.parse().ok());
    let (Some(parent), Some(program)) = (parent, arguments.next()) else { std::process::exit(NOT_STARTED) };
    match sys::die_with_parent(parent) {
        Ok(true) => {
            let error = Command::new(&program).args(arguments).exec();
            eprintln!("failed to start {}: {error}", program.display());
        }
        Ok(false) => {}
        Err(error) => eprintln!("failed to ask for a signal at the parent's end: {error}"),
    }
    std::process::exit(NOT_STARTED);
}
