//! Times in a replay: the schedule says whether the coarse clock ticks, and the real one is made to fit.
//!
//! A file's time is taken from a clock that ticks every few milliseconds (`current_time` in fs/inode.c). Where the
//! schedule says that it ticked, we wait until it has. Where it says that it did not, two writes of one tick cannot be
//! forced: the processes are slower than the clock, and since Linux 6.13 a file that was looked at gets a fine time
//! (multigrain timestamps). There we set the file's time to that of the last tick, as an older kernel would have, and
//! count how often we did.

use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::error::HarnessError;

/// The coarse clock of a run.
#[derive(Debug)]
pub(crate) struct Ticks {
    /// When it ticked last, in nanoseconds since the epoch.
    last: u64,
    /// How often a file's time was set.
    pub(crate) set: usize,
}

impl Ticks {
    /// Starts with the present tick.
    pub(crate) fn now() -> Result<Self, HarnessError> {
        Ok(Self { last: coarse_ns()?, set: 0 })
    }

    /// Waits for a tick that is later than every time that was read until now. The next one need not be: a tick that is
    /// handled late has the time at which it was due.
    pub(crate) fn tick(&mut self) -> Result<(), HarnessError> {
        let before = self.last.max(clock_ns(ClockId::CLOCK_REALTIME)?);
        while coarse_ns()? <= before {
            std::thread::sleep(Duration::from_micros(500));
        }
        self.last = coarse_ns()?;
        Ok(())
    }

    /// Sets the time of a file to that of the last tick.
    pub(crate) fn stamp(&mut self, path: &Path) -> Result<(), HarnessError> {
        self.set += 1;
        let modified = UNIX_EPOCH + Duration::from_nanos(self.last);
        File::open(path)
            .and_then(|file| file.set_times(FileTimes::new().set_modified(modified)))
            .map_err(HarnessError::io("set the time of", path))
    }
}

fn coarse_ns() -> Result<u64, HarnessError> {
    clock_ns(ClockId::CLOCK_REALTIME_COARSE)
}

fn clock_ns(clock: ClockId) -> Result<u64, HarnessError> {
    let time = clock_gettime(clock).map_err(|error| HarnessError::io("read", "the clock")(error.into()))?;
    Ok(u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX))
}
