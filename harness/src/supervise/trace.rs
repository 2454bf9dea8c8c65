//! A program that is only watched: every call goes on at once, unless it would block; waiters are granted in the order in
//! which they came.

use std::os::fd::BorrowedFd;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::event::Event;
use super::launch::Program;
use super::session::{Happening, Session};
use crate::error::HarnessError;

/// How often one who waits for somebody who is not supervised is looked after.
const LOOK: Duration = Duration::from_millis(5);

/// How long nothing is heard of before we ask whether to go on.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs a program to its end and that of all that it started, and tells of each event as it happens. Returns how it ended;
/// `None` if `goes_on` said no, and everything was killed.
///
/// # Errors
/// If the program cannot be started, or the kernel refuses what it should not. Everything is killed then.
pub fn trace(
    session: &mut Session,
    program: &Program,
    standard: [BorrowedFd<'_>; 3],
    mut tell: impl FnMut(Event),
    mut goes_on: impl FnMut() -> bool,
) -> Result<Option<ExitStatus>, HarnessError> {
    const NUMBER: u32 = 0;
    session.run(NUMBER, program, standard)?;
    let mut order: Vec<u32> = Vec::new();
    let mut status = None;
    let mut asked = Instant::now();
    loop {
        let waits = session.parked().next().is_some();
        match session.next(if waits { LOOK } else { PATIENCE })? {
            Happening::Call(stopped) => {
                let thread = stopped.thread;
                session.go(stopped)?.into_iter().for_each(&mut tell);
                if session.parked().any(|(parked, _)| parked == thread) {
                    order.push(thread);
                }
            }
            Happening::Started { event, .. } | Happening::Ended(event) => tell(event),
            Happening::Status { status: ended, .. } => status = Some(ended),
            Happening::NotStarted { problem, .. } => {
                let name = program.command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                return Err(HarnessError::NotStarted { program: name, problem });
            }
            Happening::Nothing => {}
        }
        session.let_sleep(None)?;
        if waits {
            session.interrupt()?;
            order.retain(|thread| session.parked().any(|(parked, _)| parked == *thread));
            let free = session.grantable()?;
            let first = order.iter().copied().find(|thread| free.contains(thread));
            if let Some(thread) = first {
                session.grant(thread)?.into_iter().for_each(&mut tell);
            }
        }
        if status.is_some() && session.is_over() {
            return Ok(status);
        }
        if asked.elapsed() >= PATIENCE {
            asked = Instant::now();
            if !goes_on() {
                return Ok(None);
            }
        }
    }
}
