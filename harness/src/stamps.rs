//! Last-writer stamps: the 64 bytes at offset 0 of a lock file.
//!
//! Release 1.24.8 writes 64 lower-case hexadecimal letters (`Touch` in `pkg/lockfile/lockfile_unix.go`: a random id of
//! 32 bytes, `stringid.GenerateRandomID`). Since 1.42 the 64 bytes are binary: nanoseconds, a counter, the process id,
//! random bytes. Whoever reads compares bytes, so both kinds live side by side, and we accept any 64 bytes.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use lockproof_model::value::{Stamp, Value};

/// The length of a stamp, in bytes.
pub const STAMP_BYTES: usize = 64;

/// What stands in a lock file.
pub type Bytes = [u8; STAMP_BYTES];

/// Makes stamps that nobody else ever made: the process id, a counter, and 20 random bytes.
#[derive(Debug)]
pub struct Fresh {
    random: File,
    count: AtomicU64,
}

impl Fresh {
    /// Takes its random bytes from `/dev/urandom`.
    ///
    /// # Errors
    /// If that cannot be opened.
    pub fn new() -> io::Result<Self> {
        Ok(Self { random: File::open("/dev/urandom")?, count: AtomicU64::new(0) })
    }

    /// A stamp in the format of release 1.24.8.
    ///
    /// # Errors
    /// If no random bytes can be read.
    pub fn stamp(&self) -> io::Result<Bytes> {
        let mut raw = [0; STAMP_BYTES / 2];
        raw[..4].copy_from_slice(&std::process::id().to_le_bytes());
        raw[4..12].copy_from_slice(&self.count.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        (&self.random).read_exact(&mut raw[12..])?;
        let mut text = String::with_capacity(STAMP_BYTES);
        for byte in raw {
            let _ = write!(text, "{byte:02x}");
        }
        let mut stamp = [0; STAMP_BYTES];
        stamp.copy_from_slice(text.as_bytes());
        Ok(stamp)
    }
}

/// How many stamps a [`Table`] numbers before it forgets those that it did not meet meanwhile.
const GENERATION: usize = 1 << 16;

/// Numbers stamps by what they contain, so that a protocol sees an opaque [`Stamp`]. Endless runs write stamps without
/// end: one that was not met while 65 536 others were numbered is forgotten.
#[derive(Debug, Default)]
pub struct Table {
    young: HashMap<Bytes, Stamp>,
    old: HashMap<Bytes, Stamp>,
    next: u32,
}

impl Table {
    /// The number of these bytes, and whether it is new.
    pub fn number(&mut self, bytes: Bytes) -> (Stamp, bool) {
        if let Some(stamp) = self.young.get(&bytes) {
            return (*stamp, false);
        }
        let known = self.old.get(&bytes).copied();
        let stamp = known.unwrap_or_else(|| {
            self.next = self.next.wrapping_add(1);
            Stamp(self.next)
        });
        if self.young.len() == GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(bytes, stamp);
        (stamp, known.is_none())
    }
}

/// Reads the stamp of a lock file; `None` if fewer than 64 bytes stand there: it was never written.
///
/// # Errors
/// What the system says.
pub fn read(file: &File) -> io::Result<Option<Bytes>> {
    let mut bytes = [0; STAMP_BYTES];
    let mut have = 0;
    while have < STAMP_BYTES {
        match file.read_at(&mut bytes[have..], have as u64)? {
            0 => return Ok(None),
            more => have += more,
        }
    }
    Ok(Some(bytes))
}

/// Writes the stamp of a lock file.
///
/// # Errors
/// What the system says.
pub fn write(file: &File, stamp: &Bytes) -> io::Result<()> {
    file.write_all_at(stamp, 0)
}

/// A stamp as a value; `None` is `Nil`.
#[must_use]
pub fn to_value(stamp: Option<Stamp>) -> Value {
    stamp.map_or(Value::Nil, Value::Stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_stamp_is_64_lower_case_hexadecimal_letters_and_never_the_same() {
        let fresh = Fresh::new().unwrap();
        let stamps: std::collections::HashSet<Bytes> = (0..1000).map(|_| fresh.stamp().unwrap()).collect();
        assert_eq!(stamps.len(), 1000);
        assert!(stamps.iter().flatten().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    }

    #[test]
    fn any_64_bytes_are_a_stamp_and_fewer_are_none() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(read(&file).unwrap(), None);
        file.write_all_at(&[7; 63], 0).unwrap();
        assert_eq!(read(&file).unwrap(), None);
        file.write_all_at(&[7; 80], 0).unwrap();
        assert_eq!(read(&file).unwrap(), Some([7; 64]));
        let mut table = Table::default();
        let numbers = [7, 8, 7].map(|byte| table.number([byte; 64]));
        assert_eq!(numbers, [(Stamp(1), true), (Stamp(2), true), (Stamp(1), false)]);
    }
}
