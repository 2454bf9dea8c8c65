//! Which threads of a process wait for others of it, where calls that wake threads are seen.
//!
//! **Whose turn it is.** Which of two goroutines gets a mutex is decided inside their process: one unlocks it and asks for it
//! again, and the other has just been woken. A goroutine that is locked to its thread runs when another thread wakes that one:
//! `semrelease1` (Go's runtime/sema.go) makes the waiter ready and has the scheduler start a thread, which finds it and wakes
//! its own (`startlockedm`, runtime/proc.go). So the calls that wake threads wait, but for those of the thread that has its
//! turn, until all has come to rest; then they go on, one at a time. Who runs goes on first, each time.
//!
//! **Who sleeps.** A thread that sleeps for a time (nanosleep(2)) comes back when it likes. In a Go program it is `sysmon`,
//! every 20 µs to 10 ms: it interrupts goroutines that seem to run for long, and gives their processors to others. A
//! call that waits for our answer seems to run for long. So such a thread does not go on before its process has nothing else
//! to do. It costs less, too: it was a third of all that a supervised command did.

use super::super::rest::Task;
use super::Session;
use crate::error::HarnessError;
use crate::sys::seccomp::Answer;

/// A call that may wake threads.
#[derive(Debug)]
pub(super) struct Waker {
    pub(super) id: u64,
    pub(super) thread: u32,
    /// The process whose threads they are; `None` for any.
    pub(super) only: Option<u32>,
}

impl Session {
    /// From now on it is a thread's turn: no other of its process wakes one before [`Session::let_one_wake`]. Where calls that
    /// wake threads are not seen, it means nothing.
    pub fn give_turn(&mut self, process: u32, thread: u32) {
        if let Some(process) = self.processes.get_mut(&process) {
            process.turn = Some(thread);
        }
    }

    /// When all has come to rest, lets the first thread that waits to wake others do so. Returns whether there was one:
    /// something runs again, then.
    ///
    /// # Errors
    /// If the kernel refuses what it should not.
    pub fn let_one_wake(&mut self) -> Result<bool, HarnessError> {
        let Some(waker) = self.wakers.pop_front() else { return Ok(false) };
        self.goes_on(&waker).map(|()| true)
    }

    /// Lets the threads of a process, or of all, that would sleep for a time do so.
    ///
    /// # Errors
    /// If the kernel refuses what it should not.
    pub fn let_sleep(&mut self, only: Option<u32>) -> Result<(), HarnessError> {
        let threads = &self.threads;
        let is_meant = |(_, thread): &mut (u64, u32)| only.is_none_or(|pid| threads.get(thread) == Some(&pid));
        for (id, _) in self.sleepers.extract_if(.., is_meant).collect::<Vec<_>>() {
            self.answer(id, Answer::Continue)?;
        }
        Ok(())
    }

    /// How many threads wait to wake others or to sleep.
    pub(super) fn waiting(&self) -> usize {
        self.wakers.len() + self.sleepers.len()
    }

    /// A thread of a process makes a call that may wake others.
    pub(super) fn wakes(&mut self, waker: Waker, process: u32) -> Result<(), HarnessError> {
        let turn = self.processes.get(&process).and_then(|process| process.turn);
        if turn.is_some_and(|turn| turn != waker.thread) {
            self.wakers.push_back(waker);
            return Ok(());
        }
        self.goes_on(&waker)
    }

    fn goes_on(&mut self, waker: &Waker) -> Result<(), HarnessError> {
        self.may_wake(waker.only, Task::stirs);
        self.answer(waker.id, Answer::Continue).map(drop)
    }
}
