//! The two processes between the supervisor and what it supervises.
//!
//! The *keeper* outlives the supervisor by a moment, and kills what is left: when a listener is gone, trapped calls fail
//! with `ENOSYS`, and a Go program tries them again for ever. It learns of the supervisor's death from their socket, not
//! from `PR_SET_PDEATHSIG`, which is about the *thread* that started it. The *launcher* is its only child; it has the
//! filter, and all that it starts inherits it. It is init of a process id namespace where that is wanted and allowed, so
//! that its end is everyone's. Elsewhere both adopt orphans.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::filter::{self, Wakes};
use super::wire::{Order, Report};
use crate::sys::{process, seccomp, socket};

/// How long the launcher waits for something new while orphans may have ended, in milliseconds.
const REAP_MS: u16 = 100;

/// The first argument of a keeper or a launcher.
pub(crate) const ARGUMENT: &str = "--lockproof-supervise";

/// The second of a launcher that is init of a namespace.
const ISOLATED: &str = "launcher-isolated";

/// The second of one that is not; the fourth says why not, where it was to be.
const SHARED: &str = "launcher";

/// The second of a keeper that is to make a namespace.
pub(super) const ISOLATE: &str = "keeper-isolate";

/// The second of one that is not.
pub(super) const SHARE: &str = "keeper";

/// The third of each, where calls that wake other threads are seen.
const SEES_WAKES: &str = "sees-wakes";

/// The third, where they are not.
const SEES_NO_WAKES: &str = "sees-no-wakes";

/// How a keeper or a launcher is told.
pub(super) fn said(wakes: Wakes) -> &'static str {
    if wakes == Wakes::Seen { SEES_WAKES } else { SEES_NO_WAKES }
}

/// Serves in the role that the arguments after the first say.
pub(crate) fn serve(mut arguments: impl Iterator<Item = String>) -> Result<i32, String> {
    let (role, wakes, why_not) = (arguments.next(), arguments.next(), arguments.next());
    let wakes = match wakes.as_deref() {
        Some(SEES_WAKES) => Wakes::Seen,
        Some(SEES_NO_WAKES) => Wakes::Unseen,
        other => return Err(format!("it is not said whether wakes are seen, but {other:?}")),
    };
    match (role.as_deref(), why_not) {
        (Some(ISOLATE), None) => keep(true, wakes),
        (Some(SHARE), None) => keep(false, wakes),
        (Some(ISOLATED), None) => launch(true, wakes, None),
        (Some(SHARED), why_not) => launch(false, wakes, why_not),
        (role, _) => Err(format!("there is no role {role:?}")),
    }
}

/// The keeper's side. Its standard input is the socket to the supervisor, which it only watches.
fn keep(isolate: bool, wakes: Wakes) -> Result<i32, String> {
    // It goes when the supervisor does.
    process::outlive(&process::ASKED).map_err(|error| format!("the keeper cannot handle signals: {error}"))?;
    process::adopt_orphans().map_err(|error| format!("the keeper cannot adopt orphans: {error}"))?;
    // Where it is not allowed, the launcher says so.
    let why_not = if isolate { process::namespace_for_children().err() } else { None };
    let [input, ..] = process::standard();
    let program = std::env::current_exe().map_err(|error| format!("the keeper does not find its program: {error}"))?;
    let socket = input.try_clone_to_owned().map_err(|error| error.to_string())?;
    let isolated = isolate && why_not.is_none();
    let mut launcher = Command::new(program)
        .arg(ARGUMENT)
        .arg(if isolated { ISOLATED } else { SHARED })
        .arg(said(wakes))
        .args(why_not.map(|error| error.to_string()))
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("the keeper cannot start the launcher: {error}"))?;
    let held = process::hold(launcher.id()).map_err(|error| error.to_string())?;
    loop {
        // Nothing is asked for of the socket: that its other end is gone is told all the same.
        let mut watched = [PollFd::new(input, PollFlags::empty()), PollFd::new(held.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.to_string()),
            Ok(_) => break,
        }
    }
    // It fails only if the launcher has ended.
    let _ = launcher.kill();
    let _ = launcher.wait();
    kill_children();
    Ok(0)
}

/// Kills and waits for children until there are none. Those of a child that has died become ours.
fn kill_children() {
    loop {
        for pid in children() {
            // It may have ended meanwhile.
            let _ = kill(pid, Signal::SIGKILL);
        }
        match waitpid(None, None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

fn children() -> Vec<Pid> {
    let text = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

/// The launcher's side. Its own calls are trapped, too: the supervisor lets them go on.
fn launch(isolated: bool, wakes: Wakes, why_not: Option<String>) -> Result<i32, String> {
    let text = |error: io::Error| format!("the launcher: {error}");
    process::die_with_parent_thread().map_err(text)?;
    // It goes when the supervisor does.
    process::outlive(&process::ASKED).map_err(text)?;
    process::adopt_orphans().map_err(text)?;
    if isolated {
        process::own_proc().map_err(text)?;
    }
    let ourselves = process::hold(std::process::id()).map_err(text)?;
    let [supervisor, ..] = process::standard();
    let deaf = |error: io::Error| Report::Deaf { errno: error.raw_os_error().unwrap_or(0) };
    let program = filter::program(wakes).ok_or("there is no filter for this architecture")?;
    // With CAP_SYS_ADMIN a set-user-ID program keeps its meaning; the kernel says EACCES where we have not got it.
    let installed = seccomp::install(&program).or_else(|error| match error.raw_os_error() {
        Some(nix::libc::EACCES) => seccomp::no_new_privileges().and_then(|()| seccomp::install(&program)),
        _ => Err(error),
    });
    let listener = match installed {
        Ok(listener) => listener,
        Err(error) => {
            say(supervisor, &deaf(error), &[])?;
            return Ok(0);
        }
    };
    say(supervisor, &Report::Listening { isolated, why_not }, &[listener.as_raw_fd(), ourselves.as_raw_fd()])?;
    drop((listener, ourselves));
    Launcher::default().serve()
}

fn say(supervisor: impl std::os::fd::AsFd, report: &Report, descriptors: &[RawFd]) -> Result<(), String> {
    let text = serde_json::to_vec(report).map_err(|error| error.to_string())?;
    socket::send(supervisor, &text, descriptors).map_err(|error| format!("the launcher cannot report: {error}"))
}

/// The programs that it started, by process id, each with its number and a descriptor.
#[derive(Default)]
struct Launcher {
    children: HashMap<i32, (u32, OwnedFd)>,
}

impl Launcher {
    fn serve(&mut self) -> Result<i32, String> {
        let [supervisor, ..] = process::standard();
        loop {
            let mut watched = vec![PollFd::new(supervisor, PollFlags::POLLIN)];
            watched.extend(self.children.values().map(|(_, held)| PollFd::new(held.as_fd(), PollFlags::POLLIN)));
            let timeout = if self.children.is_empty() { PollTimeout::NONE } else { PollTimeout::from(REAP_MS) };
            match poll(&mut watched, timeout) {
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error.to_string()),
                Ok(_) => {}
            }
            let told = watched[0].any().unwrap_or(false);
            drop(watched);
            self.reap()?;
            if !told {
                continue;
            }
            let Some((message, descriptors)) = socket::receive(supervisor).map_err(|error| error.to_string())? else {
                return Ok(0);
            };
            match serde_json::from_slice(&message)
                .map_err(|error| format!("the launcher does not understand: {error}"))?
            {
                Order::Start { number, command, directory, environment } => {
                    let mut described = Command::new(&command[0]);
                    described.args(&command[1..]).current_dir(directory).envs(environment);
                    self.start(number, described, descriptors)?;
                }
                Order::Sweep => self.sweep()?,
            }
        }
    }

    fn start(&mut self, number: u32, mut command: Command, descriptors: Vec<OwnedFd>) -> Result<(), String> {
        let [supervisor, ..] = process::standard();
        if let Ok([input, output, error]) = <[OwnedFd; 3]>::try_from(descriptors) {
            command.stdin(input).stdout(output).stderr(error);
        }
        let held = command.spawn().and_then(|child: Child| Ok((process::hold(child.id())?, child)));
        match held {
            Err(error) => say(supervisor, &Report::NotStarted { number, problem: error.to_string() }, &[]),
            Ok((held, child)) => {
                say(supervisor, &Report::Started { number }, &[held.as_raw_fd()])?;
                self.children.insert(i32::try_from(child.id()).unwrap_or(i32::MAX), (number, held));
                Ok(())
            }
        }
    }

    /// Waits for whoever has ended, and tells of those that we started. Returns whether any child is left.
    fn reap(&mut self) -> Result<bool, String> {
        let [supervisor, ..] = process::standard();
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) => (pid, status << 8),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, signal as i32),
                Ok(WaitStatus::StillAlive) => return Ok(true),
                Err(_) => return Ok(false),
                Ok(_) => continue,
            };
            if let Some((number, _)) = self.children.remove(&pid.as_raw()) {
                let status = std::process::ExitStatus::from_raw(status).into_raw();
                say(supervisor, &Report::Ended { number, status }, &[])?;
            }
        }
    }

    fn sweep(&mut self) -> Result<(), String> {
        let [supervisor, ..] = process::standard();
        loop {
            // As init of a namespace this is everyone else in it; elsewhere it must not be.
            if std::process::id() == 1 {
                let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
            }
            for pid in children() {
                let _ = kill(pid, Signal::SIGKILL);
            }
            // Until one of those that were killed has ended: what it leaves is ours, and is killed next. There may be none.
            let _ = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            if !self.reap()? {
                break;
            }
        }
        say(supervisor, &Report::Swept, &[])
    }
}
