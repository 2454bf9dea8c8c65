//! Waiting for several descriptors at once, for less than a millisecond where need be (epoll(7), `epoll_pwait2`).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::ptr;
use std::time::Duration;

use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

/// So many are told of at once; the others are the next time.
const TOLD_MAX: usize = 16;

/// Descriptors that are watched until they are closed, each with a number.
#[derive(Debug)]
pub struct Watch(Epoll);

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Watches a descriptor, which is ready when something can be read, or its other end is gone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        Ok(self.0.add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN, number))?)
    }

    /// The numbers of those that are ready, waiting up to `limit` for the first. A signal ends the wait.
    ///
    /// # Errors
    /// What the kernel says: `ENOSYS` before Linux 5.11.
    pub fn ready(&self, limit: Duration) -> io::Result<impl Iterator<Item = u64>> {
        let mut told = [libc::epoll_event { events: 0, u64: 0 }; TOLD_MAX];
        // Less than a billion fits either field.
        let seconds = libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX);
        let limit = libc::timespec { tv_sec: seconds, tv_nsec: limit.subsec_nanos().into() };
        // SAFETY: `told` has room for as many events as are asked for, and it and `limit` outlive the call.
        let number = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.0.0.as_raw_fd(),
                told.as_mut_ptr(),
                TOLD_MAX,
                &raw const limit,
                ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        let number = match usize::try_from(number) {
            Ok(number) => number,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => 0,
                error => return Err(error),
            },
        };
        Ok(told.into_iter().take(number).map(|event| event.u64))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_can_be_read_and_what_has_lost_its_other_end_is_ready() {
        let watch = Watch::new().unwrap();
        let ((first, mut into), (second, other)) = (io::pipe().unwrap(), io::pipe().unwrap());
        watch.add(&first, 7).unwrap();
        watch.add(&second, u64::MAX).unwrap();
        let ready = |limit| watch.ready(limit).unwrap().collect::<Vec<u64>>();
        assert!(ready(Duration::from_micros(30)).is_empty());
        into.write_all(b"x").unwrap();
        assert_eq!(ready(Duration::from_secs(10)), [7]);
        drop(other);
        assert_eq!(ready(Duration::ZERO), [7, u64::MAX]);
        drop(first);
        assert_eq!(ready(Duration::ZERO), [u64::MAX]);
    }
}
