//! A worker as its parent sees it: started, asked, killed, waited for. It never outlives the value that stands for it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::Harness;
use crate::error::HarnessError;
use crate::sys::process::hold;
use crate::wire::{self, Answer, Hello, Role};

/// The longest answer, in bytes. Nothing that a worker says comes near.
const ANSWER_BYTES_MAX: usize = 1 << 28;

/// A child process. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Worker {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    /// What was read of an answer that is not complete yet.
    buffer: Vec<u8>,
    /// How long an answer may take.
    limit: Duration,
    ended: Option<ExitStatus>,
}

impl Worker {
    /// Starts our program again, as a worker in `role`.
    pub(crate) fn start(harness: &Harness, name: &str, role: Role, limit: Duration) -> Result<Self, HarnessError> {
        let is_guardian = matches!(role, Role::Guardian { .. });
        let mut command = Command::new(&harness.program);
        command.arg(wire::ARGUMENT).arg(name).stdin(Stdio::piped()).stdout(Stdio::piped());
        if is_guardian {
            // It outlives us: the keys of the terminal do not reach it, and whoever reads our stderr need not wait for it.
            command.stderr(Stdio::null()).process_group(0);
        }
        let mut child = command.spawn().map_err(HarnessError::io("start", harness.program.clone()))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(HarnessError::Refused("a process was started without pipes".into()));
        };
        let mut worker =
            Self { name: name.into(), child, stdin: Some(stdin), stdout, buffer: Vec::new(), limit, ended: None };
        worker.tell(&Hello { version: wire::VERSION, parent: std::process::id(), role })?;
        Ok(worker)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until it is ready.
    pub(crate) fn ready(mut self) -> Result<Self, HarnessError> {
        match self.first()? {
            Answer::Ready { .. } => Ok(self),
            other => Err(self.unexpected(&other)),
        }
    }

    /// Its answer to the first line.
    pub(crate) fn first(&mut self) -> Result<Answer, HarnessError> {
        self.hear(self.limit)
    }

    /// Says something.
    pub(crate) fn tell(&mut self, what: &impl Serialize) -> Result<(), HarnessError> {
        let line = serde_json::to_string(what).map_err(|error| self.problem(error.to_string()))? + "\n";
        let stdin = self.stdin.as_mut();
        let told = stdin.map_or(Err(io::ErrorKind::BrokenPipe.into()), |stdin| stdin.write_all(line.as_bytes()));
        // If it has ended, it may have said why.
        match told {
            Ok(()) => Ok(()),
            Err(error) => {
                let last = self.hear(self.limit);
                Err(match last {
                    Err(problem) => problem,
                    Ok(_) => self.problem(format!("it takes no more commands: {error}")),
                })
            }
        }
    }

    /// Says something, and waits for the answer.
    pub(crate) fn ask(&mut self, what: &impl Serialize) -> Result<Answer, HarnessError> {
        self.tell(what)?;
        self.hear(self.limit)
    }

    /// Waits for a line. A worker that says nothing in time is killed.
    pub(crate) fn hear(&mut self, limit: Duration) -> Result<Answer, HarnessError> {
        let until = Instant::now() + limit;
        let mut chunk = [0; 1 << 16];
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return match serde_json::from_slice(&line) {
                    Ok(Answer::Trouble { problem }) => Err(self.problem(problem)),
                    Ok(answer) => Ok(answer),
                    Err(error) => Err(self.problem(format!("it says {:?}: {error}", String::from_utf8_lossy(&line)))),
                };
            }
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            let waiting = poll(&mut [PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)], timeout);
            if left.is_zero() || waiting == Ok(0) {
                self.kill();
                return Err(HarnessError::Silent { process: self.name.clone(), pid: self.pid(), limit });
            }
            if waiting == Err(nix::errno::Errno::EINTR) {
                continue;
            }
            match self.stdout.read(&mut chunk) {
                Ok(0) => {
                    let status = self.kill();
                    return Err(self.problem(format!("it ended ({})", describe(status))));
                }
                Ok(more) if self.buffer.len() + more > ANSWER_BYTES_MAX => {
                    self.kill();
                    return Err(self.problem("its answer does not end".into()));
                }
                Ok(more) => self.buffer.extend_from_slice(&chunk[..more]),
                Err(error) => return Err(self.problem(error.to_string())),
            }
        }
    }

    /// An error about this worker.
    pub(crate) fn problem(&self, problem: String) -> HarnessError {
        HarnessError::Worker { process: self.name.clone(), pid: self.pid(), problem }
    }

    /// An error about an answer that makes no sense here.
    pub(crate) fn unexpected(&self, answer: &Answer) -> HarnessError {
        self.problem(format!("it answers {answer:?}"))
    }

    /// Ends its stdin and waits for its end; kills it if it takes too long. Returns how it ended.
    pub(crate) fn finish(&mut self) -> Option<ExitStatus> {
        drop(self.stdin.take());
        let until = Instant::now() + self.limit;
        while self.ended.is_none() && Instant::now() < until {
            match self.child.try_wait() {
                Ok(Some(status)) => self.ended = Some(status),
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => break,
            }
        }
        self.kill()
    }

    /// Kills it with `SIGKILL` and waits for its end. Its process id cannot have gone to another: we have not waited
    /// for it yet. Returns how it ended.
    pub(crate) fn kill(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            // It fails only if it has ended by itself.
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
        self.ended
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for the end of a process and for what it says on its pipes; `None` if it takes longer, and then it is killed. What
/// holds its pipes longer than it lives itself is heard as long as there is time.
pub(crate) fn within(mut child: Child, limit: Duration) -> io::Result<Option<Output>> {
    let output = hear_out(&mut child, Instant::now() + limit);
    if !matches!(output, Ok(Some(_))) {
        // It fails only if it has just ended.
        let _ = child.kill();
        child.wait()?;
    }
    output
}

fn hear_out(child: &mut Child, until: Instant) -> io::Result<Option<Output>> {
    let held = hold(child.id())?;
    let pipes = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
    let mut pipes = pipes.map(|pipe| pipe.map(File::from));
    for pipe in pipes.iter().flatten() {
        let flags = OFlag::from_bits_retain(fcntl(pipe, FcntlArg::F_GETFL)?);
        fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    }
    let mut said = [Vec::new(), Vec::new()];
    loop {
        let status = child.try_wait()?;
        for (pipe, said) in pipes.iter_mut().zip(&mut said) {
            let more = pipe.as_mut().map_or(Ok(0), |pipe| pipe.read_to_end(said));
            match more {
                Ok(_) => *pipe = None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        match status {
            Some(status) if left.is_zero() || pipes.iter().all(Option::is_none) => {
                let [stdout, stderr] = said;
                return Ok(Some(Output { status, stdout, stderr }));
            }
            None if left.is_zero() => return Ok(None),
            _ => {}
        }
        let mut watched: Vec<PollFd<'_>> =
            pipes.iter().flatten().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)).collect();
        if status.is_none() {
            watched.push(PollFd::new(held.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut watched, PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// How a process ended, in words.
pub(crate) fn describe(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "nobody knows how".into(), |status| status.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as this is more than a moment, it makes no difference.
    const LIMIT: Duration = Duration::from_millis(300);

    /// Runs a script beside a grandchild that keeps its pipes open until we say so.
    fn outlived(script: &str) -> Option<Output> {
        let text = format!("exec 3<&0; cat <&3 & {script}");
        let mut command = Command::new("sh");
        command.args(["-c", &text]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let keeps = child.stdin.take();
        let output = within(child, LIMIT).unwrap();
        drop(keeps);
        output
    }

    #[test]
    fn a_process_that_does_not_end_is_killed_whoever_has_its_pipes() {
        assert_eq!(outlived("exec sleep 600"), None);
    }

    #[test]
    fn what_a_process_said_is_there_though_another_has_its_pipes() {
        let output = outlived("echo said; echo why >&2; exit 3").unwrap();
        assert_eq!((output.status.code(), &*output.stdout, &*output.stderr), (Some(3), &b"said\n"[..], &b"why\n"[..]));
    }

    #[test]
    fn more_than_a_pipe_holds_is_heard() {
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = within(child, Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 300_000));
    }
}
