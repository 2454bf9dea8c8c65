//! Our reference store as a command: the arguments of `containers-storage`, one process for each command, real locks.
//!
//! Like a worker it is our own program, executed again: `run_if_asked` looks whether that is how it was started. So a protocol
//! can stand in a hunt where an unmodified program stands, or beside one on the same store ([`Build`](crate::hunt::build::Build)).

mod command;

pub(crate) use command::{COMMANDS, refuses};

use std::collections::BTreeMap;
use std::path::PathBuf;

use lockproof_model::call::Call;
use lockproof_model::op::{LockResult, Op, Outcome};
use lockproof_model::protocol::Entry;
use lockproof_model::value::{Object, Value};
use lockproof_model::world::memory::{Memory, Progress};

use crate::disk::{Attempt, Disk, RETRY_AFTER, Waiting};
use crate::thread::{self, At};
use crate::worker::PANICKED;

/// What comes first on the command line of such a process; then the name of the protocol.
pub(crate) const ARGUMENT: &str = "lockproof-reference";

/// The exit status of a command that failed, and of one that makes no sense.
const FAILED: i32 = 1;

/// What Go's runtime says of a process in which nobody can go on (`checkdead` of runtime/proc.go).
const ALL_ASLEEP: &str = "all goroutines are asleep - deadlock!";

/// Why a command does not come to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A call failed, or the command makes no sense.
    Fails(String),
    /// The process panics.
    Dies(String),
}

impl From<String> for Stop {
    fn from(problem: String) -> Self {
        Stop::Fails(problem)
    }
}

/// Runs a command if this process was started for that, and does not return then.
pub(crate) fn run_if_asked(find: impl Fn(&str) -> Result<Entry, String>) {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().is_none_or(|argument| argument != ARGUMENT) {
        return;
    }
    let arguments: Vec<String> = arguments.collect();
    let ran = match arguments.split_first() {
        Some((protocol, rest)) => find(protocol).map_err(Stop::Fails).and_then(|protocol| run(protocol, rest)),
        None => Err(Stop::Fails("it is started by a hunt, with the name of a protocol".into())),
    };
    std::process::exit(match ran {
        Ok(()) => 0,
        Err(Stop::Fails(problem)) => {
            eprintln!("{ARGUMENT}: {problem}");
            FAILED
        }
        Err(Stop::Dies(message)) => {
            eprintln!("panic: {message}");
            PANICKED
        }
    });
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
    let mut process = Process { protocol, disk, memory: Memory::default(), objects: 0, known: BTreeMap::new() };
    process.call(Call::Open)?;
    let mut lines = Vec::new();
    let end = command::run(&mut process, rest, &mut lines);
    for line in lines {
        println!("{line}");
    }
    end
}

/// A process with one thread.
struct Process {
    protocol: Entry,
    disk: Disk,
    memory: Memory,
    objects: u32,
    /// What each document held when it was last read or written here, by its name: of what the calls tell.
    known: BTreeMap<String, Value>,
}

impl Process {
    /// Makes a call. Its failure is that of the command.
    fn call(&mut self, call: Call) -> Result<Value, Stop> {
        let text = call.to_string();
        let (_, mut at) = thread::begin(&self.protocol, call).map_err(|error| error.to_string())?;
        loop {
            match at {
                At::End(reply) => return reply.map_err(|fail| Stop::Fails(format!("{text}: {fail}"))),
                At::Op(running) => {
                    let outcome = self.perform(&running.op)?;
                    at = running.resume(outcome).map_err(|error| error.to_string())?.1;
                }
            }
        }
    }

    fn perform(&mut self, op: &Op) -> Result<Outcome, Stop> {
        if let Some(attempt) = self.disk.perform(op, Waiting::Kernel).map_err(|error| error.to_string())? {
            let Attempt::Done(outcome) = attempt else {
                return Err(Stop::Fails(format!("the kernel neither grants nor refuses {op:?}")));
            };
            if outcome == Outcome::Locked(LockResult::Deadlock) {
                std::thread::sleep(RETRY_AFTER);
            }
            self.remember(op, &outcome);
            return Ok(outcome);
        }
        if let Some(progress) = self.memory.attempt(0, op) {
            return match progress {
                Progress::Done(outcome) => Ok(outcome),
                Progress::Waits | Progress::Blocked => Err(Stop::Dies(ALL_ASLEEP.into())),
                Progress::Fatal(message) => Err(Stop::Dies(message)),
            };
        }
        match op {
            Op::New => {
                self.objects += 1;
                Ok(Outcome::Value(Value::Object(Object(self.objects))))
            }
            // Which of several may come is the strategy's choice as little as a real program's.
            Op::Choose { .. } => Ok(Outcome::Value(Value::Int(0))),
            Op::Panic { message } => Err(Stop::Dies(message.clone())),
            other => Err(Stop::Fails(format!("a reference process has one thread, and cannot perform {other:?}"))),
        }
    }

    fn remember(&mut self, op: &Op, outcome: &Outcome) {
        let (document, value) = match (op, outcome) {
            (Op::Read { document }, Outcome::Value(value)) | (Op::Rename { document, value, .. }, _) => {
                (document, value)
            }
            _ => return,
        };
        self.known.insert(document.path.file_name().to_owned(), value.clone());
    }
}
