//! Linux record locks (fcntl(2), "Advisory record locking"; fs/locks.c), on whole files.
//!
//! A lock belongs to the *process*. A lock taken again replaces the mode of the first. Closing any descriptor of the
//! inode drops it, and so does the death of the process. Waiters are granted in no order: a waiter is woken and tries
//! again (`posix_lock_inode`), and a request that comes meanwhile is looked at against the locks that are *held*, not
//! against those that wait.

use crate::op::Mode;

/// How many blocked owners the kernel follows before it stops looking for a cycle (`MAX_DEADLK_ITERATIONS` in
/// fs/locks.c is 10, and the count is compared before it is raised): a ring of 12 is found, a ring of 13 is not.
pub const HOPS_MAX: usize = 11;

/// Who waits for whom: what the kernel's `posix_locks_deadlock` needs to know.
pub trait Waits {
    /// The processes that `process` waits for: of each request of it that waits, the holders that exclude it.
    fn blockers(&self, process: usize) -> Vec<usize>;
}

/// Whether a request of `owner`, which `holders` exclude, closes a cycle.
///
/// The kernel follows one blocker of each owner: the first holder in its list, of the first waiting request that it
/// finds. Which that is, is not part of the model. Where the answers differ, both are possible.
#[must_use]
pub fn closes_cycle(waits: &impl Waits, owner: usize, holders: &[usize]) -> Answer {
    let mut answer = Answer { possible: false, certain: !holders.is_empty() };
    for &holder in holders {
        let followed = follow(waits, owner, holder, HOPS_MAX);
        answer.possible |= followed.possible;
        answer.certain &= followed.certain;
    }
    answer
}

/// Whether the kernel answers `EDEADLK`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// On some choice of blockers.
    pub possible: bool,
    /// On every one.
    pub certain: bool,
}

fn follow(waits: &impl Waits, owner: usize, at: usize, hops: usize) -> Answer {
    let next = waits.blockers(at);
    let mut answer = Answer { possible: false, certain: hops > 0 && !next.is_empty() };
    if hops > 0 {
        for blocker in next {
            let followed = if blocker == owner {
                Answer { possible: true, certain: true }
            } else {
                follow(waits, owner, blocker, hops - 1)
            };
            answer.possible |= followed.possible;
            answer.certain &= followed.certain;
        }
    }
    answer
}

/// Whether a lock in `mode` may be granted, given the modes in which *other* processes hold it.
#[must_use]
pub fn grantable(mode: Mode, others: impl IntoIterator<Item = Mode>) -> bool {
    others.into_iter().all(|other| !mode.conflicts(other))
}
