//! The real library in a long-lived process: a small Go program of ours (`harness/go-driver`) that holds stores open and
//! makes the calls that it is told. It shows what one-shot commands cannot: caches that live on, and goroutines.
//!
//! | module | subject |
//! | --- | --- |
//! | [`enact`] | a run of the model, by the library |
//! | `marks`, `guide` | what it has to come to, and how it is led there |
//! | `told` | the calls of a scenario, as the library is told them |
//! | [`release`] | which release is installed |

pub mod enact;
mod guide;
mod marks;
pub mod release;
pub(crate) mod told;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Harness;
pub use enact::Enacted;

/// The driver's text.
const MAIN: &str = include_str!("../go-driver/main.go");

/// Debian's folder of Go packages.
const GOPATH: &str = "/usr/share/gocode";

/// Where `containers/storage` is below a `GOPATH`.
const PACKAGE: &str = "src/github.com/containers/storage";

/// Where the driver is put, for the compiler alone, in a source tree: a command of that module.
const OVERLAID: &str = "cmd/lockproof-driver/main.go";

/// Graph drivers that need libraries in C; the scenarios use none of them.
const TAGS: &str = "exclude_graphdriver_btrfs exclude_graphdriver_devicemapper";

/// What `apt-get install` needs for [`Source::Installed`].
pub const PACKAGES: [&str; 3] = ["golang-go", "golang-github-containers-storage-dev", "golang-github-ulikunitz-xz-dev"];

/// Which containers/storage is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Debian's package of its source.
    Installed,
    /// A source tree: the folder with its `go.mod`. Nothing is written there.
    Tree(PathBuf),
}

/// Why there is no driver.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no Go, or not the library.
    #[error("{what}; `apt-get install {}` installs what is needed", PACKAGES.join(" "))]
    Missing {
        /// What is missing.
        what: String,
    },
    /// The folder is no source tree of containers/storage.
    #[error("{path} is no source tree of containers/storage: it has no go.mod that says `module …/storage`")]
    NoTree {
        /// The folder.
        path: PathBuf,
    },
    /// The compiler refused.
    #[error("go build failed:\n{output}")]
    Compile {
        /// What it said.
        output: String,
    },
    /// A file could not be written, or a program not be started.
    #[error("failed to {what}: {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Builds the driver below `into`, and returns where it is. With `race`, Go's race detector is built in.
///
/// # Errors
/// What is missing, with the command that installs it; what the compiler says.
pub fn build(source: &Source, race: bool, into: &Path) -> Result<PathBuf, BuildError> {
    let io = |what, path: &Path| {
        let path = path.to_path_buf();
        move |source| BuildError::Io { what, path, source }
    };
    fs::create_dir_all(into).map_err(io("make", into))?;
    let into = into.canonicalize().map_err(io("find", into))?;
    let text = into.join("main.go");
    put(&text, MAIN).map_err(io("write", &text))?;
    let program = into.join(if race { "driver-race" } else { "driver" });
    // Another may build it at the same time, or run it.
    let beside = tempfile::tempdir_in(&into).map_err(io("make a folder in", &into))?;
    let built = beside.path().join("driver");
    let mut go = Command::new("go");
    go.args(["build", "-tags", TAGS, "-o"]).arg(&built).stdin(Stdio::null());
    if race {
        go.arg("-race");
    }
    match source {
        Source::Installed => {
            if !Path::new(GOPATH).join(PACKAGE).is_dir() {
                let what = format!("the source of containers/storage is not in {GOPATH}");
                return Err(BuildError::Missing { what });
            }
            go.env("GO111MODULE", "off").env("GOPATH", GOPATH).arg(&text);
        }
        Source::Tree(tree) => {
            let module = fs::read_to_string(tree.join("go.mod")).unwrap_or_default();
            let named = |line: &str| line.trim_end().starts_with("module ") && line.trim_end().ends_with("/storage");
            if !module.lines().any(named) {
                return Err(BuildError::NoTree { path: tree.clone() });
            }
            let tree = tree.canonicalize().map_err(io("find", tree))?;
            let overlay = into.join("overlay.json");
            let replace = serde_json::json!({ "Replace": { tree.join(OVERLAID).to_string_lossy(): text } });
            put(&overlay, &replace.to_string()).map_err(io("write", &overlay))?;
            go.arg("-overlay").arg(&overlay).arg("./cmd/lockproof-driver").current_dir(&tree);
        }
    }
    let output = go.output().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => BuildError::Missing { what: "Go is not installed".into() },
        _ => BuildError::Io { what: "start", path: "go".into(), source },
    })?;
    if !output.status.success() {
        return Err(BuildError::Compile { output: String::from_utf8_lossy(&output.stderr).trim_end().to_owned() });
    }
    fs::rename(&built, &program).map_err(io("write", &program))?;
    Ok(program)
}

/// Writes a file so that nobody ever reads half of it.
fn put(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

/// A call, as the driver reads it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Told<'a> {
    pub(crate) id: u64,
    pub(crate) store: &'a str,
    pub(crate) goroutine: &'a str,
    pub(crate) call: &'a str,
    pub(crate) args: &'a [&'a str],
}

/// An answer, as the driver writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    #[serde(default)]
    pub(crate) value: Json,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

/// The number of a call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(u64);

/// What a call returned: its value, or the text of the Go error.
pub type Returned = Result<Json, String>;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// It did not return in time. That may be what a scenario is about.
    #[error("call {call} has not returned within {limit:?}")]
    StillRunning {
        /// The call's number.
        call: u64,
        /// How long we waited.
        limit: Duration,
    },
    /// The process is gone: a Go panic, or it was killed. Its words are on standard error.
    #[error("the driver has ended")]
    Ended,
}

/// A process of the driver. Dropping it kills it and waits for its end.
///
/// It dies with the thread that started it, and ends by itself soon after its standard input does.
#[derive(Debug)]
pub struct Library {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<Answer>,
    /// Answers that came while another was waited for.
    early: Vec<Answer>,
    calls: u64,
}

impl Library {
    /// Starts `program`, which [`build`] made. It says what it has to say of itself (a panic, a data race) in the file
    /// `errors`, or on our standard error.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(harness: &Harness, program: &Path, errors: Option<fs::File>) -> std::io::Result<Self> {
        let mut command = harness.bounded(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(errors) = errors {
            command.stderr(errors);
        }
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok) {
                // What is no answer is what the library prints; whoever waits for an answer goes on waiting.
                if let Ok(answer) = serde_json::from_str(&line)
                    && sender.send(answer).is_err()
                {
                    break;
                }
            }
        });
        Ok(Self { child, stdin, answers, early: Vec::new(), calls: 0 })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens the store in `directory`/root, with the run root `run` beside it, as `store`. A process has one store object for
    /// each pair of roots (`GetStore` in store.go), so two run roots make two objects over one graph root.
    ///
    /// # Errors
    /// As [`Library::call`]; the text of the Go error is a value.
    pub fn open(
        &mut self,
        store: &str,
        directory: &Path,
        run: &str,
        limit: Duration,
    ) -> Result<Returned, LibraryError> {
        let (root, run) = (directory.join("root"), directory.join(run));
        self.call(store, "main", "open", &[&root.to_string_lossy(), &run.to_string_lossy()], limit)
    }

    /// Has `goroutine` make a call of `store`, after the calls that it was given before.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn begin(&mut self, store: &str, goroutine: &str, call: &str, args: &[&str]) -> Result<CallId, LibraryError> {
        self.calls += 1;
        let told = Told { id: self.calls, store, goroutine, call, args };
        let line = serde_json::to_string(&told).map_err(|_| LibraryError::Ended)? + "\n";
        let stdin = self.stdin.as_mut().ok_or(LibraryError::Ended)?;
        stdin.write_all(line.as_bytes()).map_err(|_| LibraryError::Ended)?;
        Ok(CallId(self.calls))
    }

    /// Waits until a call returns.
    ///
    /// # Errors
    /// If it does not in time, or the process is gone.
    pub fn returned(&mut self, call: CallId, limit: Duration) -> Result<Returned, LibraryError> {
        let until = Instant::now() + limit;
        loop {
            if let Some(place) = self.early.iter().position(|answer| answer.id == call.0) {
                let answer = self.early.swap_remove(place);
                return Ok(answer.error.map_or(Ok(answer.value), Err));
            }
            match self.answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(answer) => self.early.push(answer),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(LibraryError::StillRunning { call: call.0, limit });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(LibraryError::Ended),
            }
        }
    }

    /// Waits until any call returns, and says which; `None` if none does in time.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn next(&mut self, limit: Duration) -> Result<Option<(CallId, Returned)>, LibraryError> {
        let answer = match self.early.pop() {
            Some(answer) => answer,
            None => match self.answers.recv_timeout(limit) {
                Ok(answer) => answer,
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Err(LibraryError::Ended),
            },
        };
        Ok(Some((CallId(answer.id), answer.error.map_or(Ok(answer.value), Err))))
    }

    /// Makes a call and waits until it returns.
    ///
    /// # Errors
    /// As [`Library::returned`].
    pub fn call(
        &mut self,
        store: &str,
        goroutine: &str,
        call: &str,
        args: &[&str],
        limit: Duration,
    ) -> Result<Returned, LibraryError> {
        let id = self.begin(store, goroutine, call, args)?;
        self.returned(id, limit)
    }

    /// Has the Go runtime write the stack of every goroutine on its standard error, which ends it (`SIGQUIT`, package
    /// runtime); `SIGKILL` if that takes longer than `limit`.
    pub fn tell_stacks(&mut self, limit: Duration) {
        let pid = i32::try_from(self.child.id()).map(Pid::from_raw);
        // It fails only if it has ended by itself, and then it is waited for below.
        let _ = pid.map(|pid| kill(pid, Signal::SIGQUIT));
        let until = Instant::now() + limit;
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// Kills it with `SIGKILL`, and waits for its end. Returns how it ended.
    pub fn kill(&mut self) -> Option<ExitStatus> {
        self.stdin = None;
        // It fails only if it has ended by itself.
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.kill();
    }
}
