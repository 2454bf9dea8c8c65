//! Linux record locks (fcntl(2), "Advisory record locking"; fs/locks.c), on whole files.
//!
//! A lock belongs to the *process*. A lock taken again replaces the mode of the first. Closing any descriptor of the
//! inode drops it, and so does the death of the process. Waiters are granted in no order: a waiter is woken and tries
//! again (`posix_lock_inode`), and a request that comes meanwhile is looked at against the locks that are *held*, not
//! against those that wait.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Mode;

    /// Whom each process waits for.
    struct Waiting(Vec<Vec<usize>>);

    impl Waits for Waiting {
        fn blockers(&self, process: usize) -> Vec<usize> {
            self.0[process].clone()
        }
    }

    /// Process 0 asks for what process 1 holds, and each but 0 waits for the next, the last for 0.
    fn ring(processes: usize) -> Answer {
        let waits = |process| if process == 0 { vec![] } else { vec![(process + 1) % processes] };
        closes_cycle(&Waiting((0..processes).map(waits).collect()), 0, &[1])
    }

    #[test]
    fn a_ring_of_12_is_found_and_a_ring_of_13_is_not() {
        for processes in 2..=12 {
            assert_eq!(ring(processes), Answer { possible: true, certain: true }, "{processes}");
        }
        for processes in 13..=26 {
            assert_eq!(ring(processes), Answer { possible: false, certain: false }, "{processes}");
        }
    }

    #[test]
    fn of_several_holders_the_kernel_follows_one() {
        // 1 waits for 0, 2 waits for nobody: it depends on who stands first in the list.
        let one_of_two = Waiting(vec![vec![], vec![0], vec![]]);
        assert_eq!(closes_cycle(&one_of_two, 0, &[1, 2]), Answer { possible: true, certain: false });
        assert_eq!(closes_cycle(&one_of_two, 0, &[1]), Answer { possible: true, certain: true });
        assert_eq!(closes_cycle(&one_of_two, 0, &[2]), Answer { possible: false, certain: false });
        // Both wait for 0, one of them by way of the other.
        let both = Waiting(vec![vec![], vec![0], vec![1]]);
        assert_eq!(closes_cycle(&both, 0, &[1, 2]), Answer { possible: true, certain: true });
    }

    #[test]
    fn a_process_is_followed_by_any_thread_of_it_that_waits() {
        // One thread of 1 waits for 0 and another for 2, which runs: what is followed first decides.
        let two_requests = Waiting(vec![vec![], vec![0, 2], vec![]]);
        assert_eq!(closes_cycle(&two_requests, 0, &[1]), Answer { possible: true, certain: false });
        // One thread of 1 waits for 0, another runs and could release what 0 asks for. The kernel does not know
        // (fcntl(2), BUGS), and answers EDEADLK.
        let one_request = Waiting(vec![vec![], vec![0]]);
        assert_eq!(closes_cycle(&one_request, 0, &[1]), Answer { possible: true, certain: true });
    }

    #[test]
    fn a_cycle_of_others_is_no_cycle_of_the_owner() {
        let others = Waiting(vec![vec![], vec![2], vec![1]]);
        assert_eq!(closes_cycle(&others, 0, &[1]), Answer { possible: false, certain: false });
        assert_eq!(closes_cycle(&others, 0, &[]), Answer { possible: false, certain: false });
    }

    #[test]
    fn only_readers_go_together() {
        assert!(!Mode::Shared.conflicts(Mode::Shared));
        assert!(Mode::Shared.conflicts(Mode::Exclusive));
        assert!(Mode::Exclusive.conflicts(Mode::Shared));
        assert!(Mode::Exclusive.conflicts(Mode::Exclusive));
    }
}
