//! The launcher as the supervisor sees it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::filter::{self, Wakes};
use super::keeper;
use super::wire::{Order, Report};
use crate::Harness;
use crate::error::HarnessError;
use crate::sys::{process, seccomp, socket};

/// How long the launcher may take to get ready, and the keeper to end.
const LIMIT: Duration = Duration::from_secs(10);

/// A program to run under supervision.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// In which directory.
    pub directory: PathBuf,
    /// What is set in its environment; the rest is ours.
    pub environment: BTreeMap<OsString, OsString>,
}

/// Where programs are kept, so that nothing of them is left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In our own namespaces: they see the world as it is. Whatever they leave is adopted and killed.
    Shared,
    /// In a process id namespace and a mount namespace of their own, where that is allowed: their process ids are small and
    /// come again, their mounts go with them. Else as [`Isolation::Shared`]. In both cases the keys of the terminal do not
    /// reach them.
    Own,
}

/// What the launcher told us.
pub(super) enum Told {
    /// A program runs.
    Started { number: u32, pid: u32 },
    /// A program does not run.
    NotStarted { number: u32, problem: String },
    /// A program has ended.
    Ended { number: u32, status: ExitStatus },
    /// Nothing is left.
    Swept,
    /// It is gone.
    Gone,
}

/// The launcher, and the listener of its filter. Dropping it kills everything that was started.
#[derive(Debug)]
pub(super) struct Launcher {
    keeper: Child,
    socket: Option<OwnedFd>,
    listener: OwnedFd,
    pid: u32,
    why_not_isolated: Option<String>,
    wakes_synchronously: bool,
}

impl Launcher {
    /// Starts keeper and launcher, and installs the filter.
    pub(super) fn start(harness: &Harness, isolation: Isolation, wakes: Wakes) -> Result<Self, HarnessError> {
        check_kernel()?;
        let (ours, theirs) = socket::pair().map_err(HarnessError::io("make", "a socket"))?;
        let mut command = Command::new(&harness.program);
        command
            .arg(keeper::ARGUMENT)
            .arg(if isolation == Isolation::Own { keeper::ISOLATE } else { keeper::SHARE })
            .arg(keeper::said(wakes))
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null());
        if isolation == Isolation::Own {
            command.process_group(0);
        }
        let mut keeper = command.spawn().map_err(HarnessError::io("start", harness.program.clone()))?;
        // With it goes our copy of the other end of the socket: else nobody would see that the keeper is gone.
        drop(command);
        match listen(&ours) {
            Ok((listener, pid, why_not)) => {
                let wakes_synchronously = seccomp::wake_synchronously(&listener);
                let why_not_isolated = why_not;
                Ok(Self { keeper, socket: Some(ours), listener, pid, why_not_isolated, wakes_synchronously })
            }
            Err(error) => {
                drop(ours);
                end(&mut keeper);
                Err(error)
            }
        }
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Why there is no namespace, though one was asked for.
    pub(super) fn why_not_isolated(&self) -> Option<&str> {
        self.why_not_isolated.as_deref()
    }

    /// Whether whoever is answered runs at once.
    pub(super) fn wakes_synchronously(&self) -> bool {
        self.wakes_synchronously
    }

    pub(super) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(OwnedFd::as_fd)
    }

    /// Has a program started, with these as its standard input, output and error.
    pub(super) fn order(
        &self,
        number: u32,
        program: &Program,
        standard: [BorrowedFd<'_>; 3],
    ) -> Result<(), HarnessError> {
        let Program { command, directory, environment } = program.clone();
        if command.is_empty() {
            return Err(HarnessError::Refused("there is no command to run".into()));
        }
        let environment = environment.into_iter().collect();
        self.tell(&Order::Start { number, command, directory, environment }, &standard.map(|fd| fd.as_raw_fd()))
    }

    /// Has whatever is left killed.
    pub(super) fn sweep(&self) -> Result<(), HarnessError> {
        self.tell(&Order::Sweep, &[])
    }

    fn tell(&self, order: &Order, descriptors: &[i32]) -> Result<(), HarnessError> {
        let text = serde_json::to_vec(order).map_err(|error| HarnessError::Refused(error.to_string()))?;
        let socket = self.socket.as_ref().ok_or_else(|| HarnessError::Refused("the launcher is gone".into()))?;
        socket::send(socket, &text, descriptors).map_err(HarnessError::io("start", "a program, by way of the launcher"))
    }

    /// What it tells; waits for it.
    pub(super) fn hear(&self) -> Result<Told, HarnessError> {
        let Some(socket) = &self.socket else { return Ok(Told::Gone) };
        let Some((report, descriptors)) = hear(socket)? else { return Ok(Told::Gone) };
        Ok(match report {
            Report::Started { number } => {
                // It is not waited for before the launcher has said so and we know its number.
                match descriptors.first().and_then(process::number) {
                    Some(pid) => Told::Started { number, pid },
                    None => Told::NotStarted { number, problem: "it ended at once".into() },
                }
            }
            Report::NotStarted { number, problem } => Told::NotStarted { number, problem },
            Report::Ended { number, status } => Told::Ended { number, status: ExitStatus::from_raw(status) },
            Report::Swept => Told::Swept,
            Report::Listening { .. } | Report::Deaf { .. } => {
                return Err(HarnessError::Refused(format!("the launcher says {report:?}, and was not asked")));
            }
        })
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // The keeper kills all at the end of its socket.
        drop(self.socket.take());
        end(&mut self.keeper);
    }
}

/// Waits for the keeper, which kills the others.
fn end(keeper: &mut Child) {
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        match keeper.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_micros(200)),
            _ => return,
        }
    }
    // It fails only if it has ended by itself.
    let _ = keeper.kill();
    let _ = keeper.wait();
}

/// Whether the kernel has what is needed.
fn check_kernel() -> Result<(), HarnessError> {
    if filter::program(Wakes::Seen).is_none() {
        let architecture = std::env::consts::ARCH;
        return Err(HarnessError::NoFilter(format!("there is none for {architecture}: x86_64 and aarch64 are known")));
    }
    if !seccomp::knows_notifications() {
        return Err(HarnessError::NoFilter(
            "the kernel has no SECCOMP_RET_USER_NOTIF (Linux 5.0 and later have)".into(),
        ));
    }
    match seccomp::notification_size() {
        Ok((_, true)) => Ok(()),
        Ok((size, false)) => Err(HarnessError::NoFilter(format!("the kernel's notifications have {size} bytes"))),
        Err(error) => {
            Err(HarnessError::NoFilter(format!("the kernel does not say how long its notifications are: {error}")))
        }
    }
}

fn listen(socket: &OwnedFd) -> Result<(OwnedFd, u32, Option<String>), HarnessError> {
    let mut watched = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(LIMIT.as_millis()).unwrap_or(PollTimeout::MAX);
    let silent = || HarnessError::Refused(format!("the launcher did not get ready within {LIMIT:?}"));
    if poll(&mut watched, limit) == Ok(0) {
        return Err(silent());
    }
    match hear(socket)? {
        Some((Report::Listening { why_not, .. }, descriptors)) => {
            let [listener, launcher] = <[OwnedFd; 2]>::try_from(descriptors).map_err(|_| silent())?;
            let pid = process::number(&launcher).ok_or_else(silent)?;
            Ok((listener, pid, why_not))
        }
        Some((Report::Deaf { errno }, _)) => Err(HarnessError::NoFilter(why_deaf(errno))),
        Some((other, _)) => Err(HarnessError::Refused(format!("the launcher says {other:?} first of all"))),
        None => Err(HarnessError::Refused("the launcher ended before it was ready; what it said is above".into())),
    }
}

/// What an `errno` of the installation of a filter means.
fn why_deaf(errno: i32) -> String {
    use nix::libc;
    match errno {
        libc::EBUSY => {
            "a filter with a listener is there already (EBUSY): we run under another supervisor, as in some \
                        containers; run outside of it"
                .into()
        }
        libc::EINVAL => {
            "the kernel knows no SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (EINVAL): Linux 5.19 and later do".into()
        }
        libc::EACCES | libc::EPERM => {
            "it is not allowed here (EACCES): another filter or a container forbids it".into()
        }
        libc::ENOSYS => "the kernel has no seccomp, or a container hides it (ENOSYS)".into(),
        other => std::io::Error::from_raw_os_error(other).to_string(),
    }
}

fn hear(socket: &OwnedFd) -> Result<Option<(Report, Vec<OwnedFd>)>, HarnessError> {
    let heard = socket::receive(socket).map_err(HarnessError::io("hear", "the launcher"))?;
    let Some((bytes, descriptors)) = heard else { return Ok(None) };
    let report = serde_json::from_slice(&bytes);
    let report = report.map_err(|error| HarnessError::Refused(format!("the launcher says nonsense: {error}")))?;
    Ok(Some((report, descriptors)))
}
