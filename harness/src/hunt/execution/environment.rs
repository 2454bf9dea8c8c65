//! What is set in the environment of what is run, besides what we have there ourselves.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The settings of Go's runtime.
const GODEBUG: &str = "GODEBUG";

/// There is always a processor to spare for a goroutine that can go on, so that it runs at once and not when `sysmon` finds
/// one for it, and no garbage is collected: that comes when it likes.
///
/// The race detector does not wait for others to end when all is done: they rest.
const LIBRARY: [(&str, &str); 3] = [("GOMAXPROCS", "16"), ("GOGC", "off"), ("GORACE", "atexit_sleep_ms=0")];

/// Of a command.
pub(super) fn of_command() -> BTreeMap<OsString, OsString> {
    [(GODEBUG.into(), without_signals(std::env::var_os(GODEBUG).unwrap_or_default()))].into()
}

/// Of a process of the library.
pub(super) fn of_library() -> BTreeMap<OsString, OsString> {
    let mut set = of_command();
    set.extend(LIBRARY.map(|(name, value)| (name.into(), value.into())));
    set
}

/// These settings, and that no goroutine is interrupted by a signal: where one is pending, getdents(2) returns fewer names
/// than there are (`filldir64` in the kernel's fs/readdir.c), and a directory is listed by more calls than the last time.
fn without_signals(mut settings: OsString) -> OsString {
    if !settings.is_empty() {
        settings.push(",");
    }
    // Of one that is given twice, the last counts (`parsedebugvars`, runtime/runtime1.go).
    settings.push("asyncpreemptoff=1");
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_user_stay() {
        assert_eq!(without_signals(OsString::new()), "asyncpreemptoff=1");
        assert_eq!(without_signals("gctrace=1".into()), "gctrace=1,asyncpreemptoff=1");
    }

    #[test]
    fn a_process_of_the_library_has_the_signals_off_too() {
        let (command, library) = (of_command(), of_library());
        assert_eq!(command.keys().collect::<Vec<_>>(), ["GODEBUG"]);
        assert_eq!(library.keys().collect::<Vec<_>>(), ["GODEBUG", "GOGC", "GOMAXPROCS", "GORACE"]);
        assert_eq!(library.get(&OsString::from(GODEBUG)), command.get(&OsString::from(GODEBUG)));
    }
}
