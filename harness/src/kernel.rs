//! The kernel's own account of locks: `/proc/locks` (proc_locks(5)).
//!
//! A lock that is held is a line; requests that wait for it follow, marked `->`.

use std::fs;

use lockproof_model::op::{Mode, Path};

use crate::error::HarnessError;

/// One line of `/proc/locks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLock {
    /// Whether it waits (`->`), or is held.
    pub waits: bool,
    /// `POSIX`, `FLOCK`, `OFDLCK`, …
    pub kind: String,
    /// Shared (`READ`) or exclusive (`WRITE`).
    pub mode: Mode,
    /// Whose it is; -1 of a lock of an open file description.
    pub pid: i64,
    /// The number of the inode, on whatever file system.
    pub inode: u64,
    /// The lock file, where it is known.
    pub file: Option<Path>,
    /// The line as the kernel wrote it.
    pub line: String,
}

/// The lines of `/proc/locks` about `pids`.
///
/// # Errors
/// If it cannot be read.
pub fn locks_of(pids: &[u32]) -> Result<Vec<KernelLock>, HarnessError> {
    let is_of_them = |lock: &KernelLock| pids.iter().any(|pid| i64::from(*pid) == lock.pid);
    Ok(anyones()?.into_iter().filter(is_of_them).collect())
}

/// Every line of `/proc/locks`.
///
/// # Errors
/// If it cannot be read.
pub fn anyones() -> Result<Vec<KernelLock>, HarnessError> {
    let text = fs::read_to_string("/proc/locks").map_err(HarnessError::io("read", "/proc/locks"))?;
    Ok(text.lines().filter_map(parse).collect())
}

/// `1: -> POSIX  ADVISORY  WRITE 1234 08:01:5678 0 EOF`.
fn parse(line: &str) -> Option<KernelLock> {
    let mut words = line.split_whitespace().skip(1).peekable();
    let waits = words.next_if_eq(&"->").is_some();
    let kind = words.next()?.to_owned();
    let _advisory = words.next()?;
    let mode = match words.next()? {
        "READ" => Mode::Shared,
        "WRITE" => Mode::Exclusive,
        _ => return None,
    };
    let pid = words.next()?.parse().ok()?;
    let inode = words.next()?.rsplit(':').next()?.parse().ok()?;
    Some(KernelLock { waits, kind, mode, pid, inode, file: None, line: line.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let held = parse("3: POSIX  ADVISORY  READ 77 08:01:1234 0 EOF").unwrap();
        assert_eq!((held.waits, held.mode, held.pid, held.inode), (false, Mode::Shared, 77, 1234));
        let waits = parse("3: -> POSIX  ADVISORY  WRITE 78 00:2f:9 0 EOF").unwrap();
        assert_eq!((waits.waits, waits.mode, waits.pid, waits.inode), (true, Mode::Exclusive, 78, 9));
        assert_eq!(parse("4: OFDLCK ADVISORY  WRITE -1 08:01:1 0 EOF").map(|lock| lock.pid), Some(-1));
        assert_eq!(parse("nonsense"), None);
    }
}
