//! Our reference store as a command: the arguments of `containers-storage`, one process for each command, real locks; and as a
//! daemon, which is told its calls.
//!
//! Like a worker it is our own program, executed again: `run_if_asked` looks whether that is how it was started. So a protocol
//! can stand in a hunt where an unmodified program stands, or beside one on the same store ([`Build`](crate::hunt::build::Build)).

mod command;
mod daemon;

pub(crate) use command::{COMMANDS, refuses};
pub(crate) use daemon::refuses_call;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use lockproof_model::call::Call;
use lockproof_model::op::{Op, Outcome};
use lockproof_model::protocol::Entry;
use lockproof_model::value::Value;

use crate::disk::Disk;
use crate::free::{self, Habits, Stop};
use crate::worker::PANICKED;

/// What comes first on the command line of such a process; then the name of the protocol.
pub(crate) const ARGUMENT: &str = "lockproof-reference";

/// What follows where it is a daemon.
pub(crate) const DAEMON: &str = "daemon";

/// The exit status of a command that failed, and of one that makes no sense.
const FAILED: i32 = 1;

/// Runs a command if this process was started for that, and does not return then.
pub(crate) fn run_if_asked(find: impl Fn(&str) -> Result<Entry, String>) {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().is_none_or(|argument| argument != ARGUMENT) {
        return;
    }
    let arguments: Vec<String> = arguments.collect();
    let ran = match arguments.split_first() {
        Some((protocol, rest)) => find(protocol).map_err(Stop::Trouble).and_then(|protocol| match rest {
            [only] if only == DAEMON => daemon::run(protocol),
            command => run(protocol, command),
        }),
        None => Err(Stop::Trouble("it is started by a hunt, with the name of a protocol".into())),
    };
    exit(ran);
}

fn exit(ran: Result<(), Stop>) -> ! {
    std::process::exit(match ran {
        Ok(()) => 0,
        Err(Stop::Trouble(problem)) => {
            eprintln!("{ARGUMENT}: {problem}");
            FAILED
        }
        Err(Stop::Panic(message)) => {
            eprintln!("panic: {message}");
            PANICKED
        }
    })
}

/// `--graph BASE/root --run BASE/run --storage-driver vfs COMMAND…`.
fn run(protocol: Entry, arguments: &[String]) -> Result<(), Stop> {
    let (mut graph, mut run) = (None, None);
    let mut rest = arguments;
    while let [option, value, more @ ..] = rest {
        match option.as_str() {
            "--graph" => graph = Some(PathBuf::from(value)),
            "--run" => run = Some(PathBuf::from(value)),
            "--storage-driver" => {}
            _ => break,
        }
        rest = more;
    }
    let base = graph.as_deref().and_then(std::path::Path::parent);
    let base = base.filter(|base| graph == Some(base.join("root")) && run == Some(base.join("run")));
    let base = base.ok_or("the store is --graph BASE/root and --run BASE/run, of one BASE".to_owned())?;
    let disk = Disk::new(base).map_err(|error| error.to_string())?;
    let process = Process(free::Process::new(protocol, disk, 1, Known::default()));
    process.call(&Call::Open)?;
    let mut lines = Vec::new();
    let end = command::run(&process, rest, &mut lines);
    for line in lines {
        println!("{line}");
    }
    end
}

/// A process that runs a command, in one thread and those that its calls start.
struct Process(Arc<free::Process<Known>>);

/// What each document held when it was last read or written here, by its name: of what the calls tell.
#[derive(Default)]
struct Known(Mutex<BTreeMap<String, Value>>);

impl Habits for Known {
    fn did(&self, op: &Op, outcome: &Outcome) {
        let (document, value) = match (op, outcome) {
            (Op::Read { document }, Outcome::Value(value)) | (Op::Rename { document, value, .. }, _) => {
                (document, value)
            }
            _ => return,
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(document.path.file_name().to_owned(), value.clone());
    }

    fn ends(&self, stopped: Result<(), Stop>) {
        if stopped.is_err() {
            exit(stopped);
        }
    }

    fn can_be_dead(&self) -> bool {
        true
    }
}

impl Process {
    /// Makes a call. Its failure is that of the command.
    fn call(&self, call: &Call) -> Result<Value, Stop> {
        self.0.call(0, call)?.map_err(|fail| Stop::Trouble(format!("{call}: {fail}")))
    }

    /// What a document held when it was last seen.
    fn known(&self, document: &str) -> Value {
        let known = self.0.habits.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(document).cloned().unwrap_or_default()
    }
}
