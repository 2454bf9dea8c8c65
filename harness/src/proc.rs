//! Files of `/proc` with a field on each line: `Name:`, and its value (proc_pid_status(5), proc_pid_fdinfo(5)).

use std::fs::File;
use std::io::Read as _;

/// Most are shorter than so many bytes.
const BYTES: usize = 4096;

/// More of one is not read, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// The fields of one such file, as they were when it was read.
#[derive(Debug)]
pub(crate) struct Fields(String);

impl Fields {
    /// Reads a file; `None` if it is not there, as of a process that has ended.
    pub(crate) fn of(path: String) -> Option<Self> {
        // The kernel does not say how long it is; asking first, and small reads, would take longer than the file itself.
        let mut text = String::with_capacity(BYTES);
        File::open(path).ok()?.take(BYTES_MAX).read_to_string(&mut text).ok()?;
        Some(Self(text))
    }

    /// The value of a field, without the space around it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// The same, of a decimal number.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.get(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_are_there() {
        let status = Fields::of("/proc/thread-self/status".into()).unwrap();
        assert_eq!(status.number("Tgid"), Some(std::process::id()));
        assert_eq!(status.get("State").map(|state| &state[..1]), Some("R"));
        assert_eq!((status.get("Tgi"), status.number::<u32>("State")), (None, None));
        assert!(Fields::of("/proc/thread-self/none".into()).is_none());
    }
}
