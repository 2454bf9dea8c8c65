//! Lock files: `F_SETLKW`, `F_SETLK` and close, as `posix_lock_inode` of fs/locks.c has them.

use std::sync::Arc;

use super::actor::{Actor, Gone, Head};
use super::world::{Contents, Running, Sleep};
use super::{Object, Primitives};
use crate::op::{LockResult, Mode, Outcome, Path};
use crate::world::locks::closes_cycle;

impl<P: Primitives> Actor<P> {
    pub(super) fn lock(&mut self, file: &Path, mode: Mode, wait: bool) -> Result<LockResult, Gone> {
        let inode = self.world.system().inode(file);
        let object = |object| self.world.primitives.object(object);
        let (mutex, cycle) = (object(Object::File(inode.clone())), object(Object::Waits));
        let (world, holds) = (Arc::clone(&self.world), self.holds());
        loop {
            let held = holds.as_ref().map(|holds| P::enter(&world, self.at, holds));
            let file_guard = P::enter(&world, self.at, &mutex);
            self.may_go_on()?;
            let (excluded, awaited) = {
                let contents = world.contents();
                (!contents.holders(self.process, &inode, mode).is_empty(), contents.is_awaited(&inode))
            };
            let cycle_guard = if awaited || (excluded && wait) { P::enter(&world, self.at, &cycle) } else { None };
            self.may_go_on()?;
            if !excluded {
                self.local(|local| {
                    local.locks.insert(inode.clone(), mode);
                    local.threads[self.thread].waiting = None;
                });
                self.record(0);
                self.refused = None;
                self.wake_for_file();
                return Ok(LockResult::Granted);
            }
            let waits = self.local(|local| local.threads[self.thread].waiting.is_some());
            if !waits && !wait {
                self.record(0);
                return Ok(LockResult::WouldBlock);
            }
            if !waits {
                let answer = {
                    let contents = world.contents();
                    closes_cycle(&*contents, self.process, &contents.holders(self.process, &inode, mode))
                };
                // Where the kernel may answer either way, to wait is the first outcome.
                let ambiguous = answer.possible && !answer.certain;
                let deadlock = answer.certain || (ambiguous && self.choose(2)? == 1);
                if deadlock && self.asks_again(&inode, mode) {
                    self.sleep(Sleep::Refused(inode.clone()), (held, file_guard, cycle_guard))?;
                    continue;
                }
                if deadlock {
                    self.record(u8::from(ambiguous));
                    self.refused = Some((inode, mode, self.head.clone()));
                    return Ok(LockResult::Deadlock);
                }
                self.local(|local| local.threads[self.thread].waiting = Some((inode.clone(), mode)));
                self.record(0);
                self.wake_for_file();
            }
            self.sleep(Sleep::File(inode.clone(), mode), (held, file_guard, cycle_guard))?;
        }
    }

    /// Whether this request was just refused in a round of a loop that was like this one: to ask again is no news until
    /// something has changed.
    fn asks_again(&self, inode: &Path, mode: Mode) -> bool {
        let same = |refused: &(Path, Mode, Head)| refused.0 == *inode && refused.1 == mode && refused.2 == self.head;
        self.head.is_some() && self.refused.as_ref().is_some_and(same)
    }

    /// Who holds or awaits a lock file has changed.
    pub(super) fn wake_for_file(&self) {
        self.world.wake(|contents, thread, sleep| wakes(contents, thread, sleep, self.process));
    }

    /// Closing any descriptor of an inode drops the lock of the process.
    pub(super) fn unlock(&mut self, file: &Path) -> Result<Outcome, Gone> {
        let inode = self.world.system().inode(file);
        if self.is_only_thread() && !self.local(|local| local.locks.contains_key(&inode)) {
            self.record(0);
            return Ok(Outcome::Done);
        }
        let world = Arc::clone(&self.world);
        let object = |object| world.primitives.object(object);
        let (mutex, cycle) = (object(Object::File(inode.clone())), object(Object::Waits));
        let _file = P::enter(&world, self.at, &mutex);
        self.may_go_on()?;
        let awaited = world.contents().is_awaited(&inode);
        let _cycle = if awaited { P::enter(&world, self.at, &cycle) } else { None };
        self.may_go_on()?;
        self.local(|local| local.locks.remove(&inode));
        self.record(0);
        self.wake_for_file();
        Ok(Outcome::Done)
    }
}

/// Whether a thread is woken by a change that `changer` made to who holds or awaits a lock file.
fn wakes(contents: &Contents, thread: &Running, sleep: &Sleep, changer: usize) -> bool {
    match sleep {
        Sleep::File(inode, mode) => contents.holders(thread.process, inode, *mode).is_empty(),
        Sleep::Refused(_) => thread.process != changer,
        Sleep::Go(_) | Sleep::Join(_) | Sleep::Start { .. } => false,
    }
}
