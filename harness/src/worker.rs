//! A process of a system, as the child sees it.
//!
//! A process is started by executing our own program again. [`run_if_asked`] stands at the top of `main`, looks whether
//! that is how we were started, and if so serves the parent and never returns. The parent speaks first, on stdin: who
//! the worker is; then one JSON object a line each way. A worker ends when its stdin does, and the kernel kills it when
//! its parent dies.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::{self, BufRead as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use lockproof_model::call::{Call, Reply};
use lockproof_model::op::{LockResult, Mode, Note, Op, Outcome, Path};
use lockproof_model::protocol::{self, Entry};
use lockproof_model::value::{Object, Stamp, Value};
use lockproof_model::world::memory::{Memory, Progress};

use crate::bounded;
use crate::disk::{Attempt, Disk, RETRY_AFTER, Waiting};
use crate::error::HarnessError;
use crate::guardian;
use crate::probe;
use crate::reference;
use crate::stamps::Bytes;
use crate::stress;
use crate::supervise;
use crate::sys::{self, Request};
use crate::thread::{self, At, Running};
use crate::wire::{self, Answer, BlockedRequest, Command, Did, Hello, Next, Role};

/// The exit status of a process that panicked; a Go program that panics ends with it too.
pub const PANICKED: i32 = 2;

/// The exit status of a worker that could not go on.
const TROUBLE: i32 = 70;

/// Serves as a worker if this process was started as one, and does not return then. To be called at the top of `main`,
/// before any thread is started and before the arguments are looked at.
pub fn run_if_asked() {
    run_if_asked_with(&[]);
}

/// The same for a program that has protocols of its own. They are found by name, before those of the model.
pub fn run_if_asked_with(protocols: &[Entry]) {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == wire::ARGUMENT) {
        let status = match serve(protocols) {
            Ok(status) => status,
            Err(problem) => {
                // If the parent is gone there is nobody to tell.
                let _ = say(&Answer::Trouble { problem });
                TROUBLE
            }
        };
        std::process::exit(status);
    }
    reference::run_if_asked(|name| find(protocols, name));
    bounded::execute_if_asked();
    supervise::run_if_asked();
}

/// The protocol of that name: one of the program's own, or one of the model's.
fn find(protocols: &[Entry], name: &str) -> Result<Entry, String> {
    let own = protocols.iter().find(|entry| entry.name == name).copied();
    let missing = || format!("it has no protocol called {name:?}: give it to `worker::run_if_asked_with` in `main`");
    own.or_else(|| protocol::by_name(name)).ok_or_else(missing)
}

fn serve(protocols: &[Entry]) -> Result<i32, String> {
    let Some(hello) = hear::<Hello>()? else {
        return Ok(0);
    };
    if hello.version != wire::VERSION {
        return Err(format!("it speaks version {}, its parent version {}", wire::VERSION, hello.version));
    }
    if let Role::Guardian { below } = &hello.role {
        return guardian::watch(below);
    }
    if !sys::die_with_parent(hello.parent).map_err(|error| error.to_string())? {
        return Ok(0);
    }
    match hello.role {
        Role::Steps { base, protocol } => {
            let disk = Disk::new(base).map_err(|error| error.to_string())?.telling_stamps();
            let steps = Steps::new(find(protocols, &protocol)?, disk);
            say(&Answer::Ready { pid: std::process::id() })?;
            steps.serve()
        }
        Role::Free(run) => stress::child::serve(find(protocols, &run.protocol)?, run),
        Role::Probe => probe::serve(),
        Role::Guardian { .. } => Ok(0),
    }
}

/// The next line of stdin; `None` at its end.
pub(crate) fn hear<T: serde::de::DeserializeOwned>() -> Result<Option<T>, String> {
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => serde_json::from_str(&line).map(Some).map_err(|error| format!("it cannot read {line:?}: {error}")),
        Err(error) => Err(error.to_string()),
    }
}

/// Writes a line to stdout.
pub(crate) fn say(answer: &Answer) -> Result<(), String> {
    let mut line = serde_json::to_string(answer).map_err(|error| error.to_string())?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// A process that takes one step for each command. All threads of the process live in one thread of the system, but
/// for requests that block in the kernel.
struct Steps {
    protocol: Entry,
    disk: Arc<Disk>,
    memory: Memory,
    running: BTreeMap<u32, Running>,
    /// The goroutines that have not ended; the parent begins their calls, as it does those of other threads.
    goroutines: HashMap<u32, Call>,
    /// What the goroutines returned that have ended.
    ended: HashMap<u32, Reply>,
    /// Objects are numbered in the order of their allocation, as addresses that are never used twice.
    objects: BTreeSet<Object>,
    blocked: Arc<Mutex<Vec<BlockedRequest>>>,
}

impl Steps {
    fn new(protocol: Entry, disk: Disk) -> Self {
        Self {
            protocol,
            disk: Arc::new(disk),
            memory: Memory::default(),
            running: BTreeMap::new(),
            goroutines: HashMap::new(),
            ended: HashMap::new(),
            objects: BTreeSet::new(),
            blocked: Arc::default(),
        }
    }

    fn serve(mut self) -> Result<i32, String> {
        while let Some(command) = hear::<Command>()? {
            let answer = match command {
                Command::Exit => return Ok(0),
                Command::Begin { thread, call } => self.begin(thread, call)?,
                Command::Perform { thread, branch, spawns } => self.perform(thread, branch, spawns)?,
                Command::Refuse { thread } => {
                    let running = self.take(thread)?;
                    self.go_on(thread, running, Outcome::Locked(LockResult::Deadlock))?
                }
                Command::Block { thread } => self.block(thread)?,
                Command::Account => {
                    let requests = self.blocked.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    Answer::Account { requests }
                }
            };
            let dies = matches!(answer, Answer::Stands { next: Next::Death { .. }, .. });
            say(&answer)?;
            if dies {
                return Ok(PANICKED);
            }
        }
        Ok(0)
    }

    fn take(&mut self, thread: u32) -> Result<Running, String> {
        self.running.remove(&thread).ok_or_else(|| format!("its thread {thread} is in no call"))
    }

    fn stands(&mut self, thread: u32, did: Option<Did>, notes: Vec<Note>, at: At) -> Answer {
        let next = match at {
            At::Op(running) => {
                self.ended.remove(&thread);
                let next = Next::Op(running.op.clone());
                self.running.insert(thread, running);
                next
            }
            At::End(reply) => {
                self.goroutines.remove(&thread);
                self.ended.insert(thread, reply.clone());
                Next::End(reply)
            }
        };
        let stamps = self.disk.take_numbered().iter().map(|(Stamp(number), bytes)| (*number, hex(bytes))).collect();
        Answer::Stands { did, notes, next, stamps }
    }

    fn begin(&mut self, thread: u32, call: Call) -> Result<Answer, String> {
        let (notes, at) = thread::begin(&self.protocol, call).map_err(|error| error.to_string())?;
        Ok(self.stands(thread, None, notes, at))
    }

    fn go_on(&mut self, thread: u32, running: Running, outcome: Outcome) -> Result<Answer, String> {
        let (notes, at) = running.resume(outcome.clone()).map_err(|error| error.to_string())?;
        Ok(self.stands(thread, Some(Did::Done(outcome)), notes, at))
    }

    fn perform(&mut self, thread: u32, branch: u32, spawns: Option<u32>) -> Result<Answer, String> {
        let running = self.take(thread)?;
        let attempt = self.attempt(thread, &running.op, branch, spawns)?;
        match attempt {
            Progress::Done(outcome) => self.go_on(thread, running, outcome),
            Progress::Fatal(message) => Ok(Answer::Stands {
                did: Some(Did::Died),
                notes: Vec::new(),
                next: Next::Death { message },
                stamps: Vec::new(),
            }),
            Progress::Waits => Ok(self.stands(thread, Some(Did::Waits), Vec::new(), At::Op(running))),
            Progress::Blocked => Ok(self.stands(thread, Some(Did::Blocked), Vec::new(), At::Op(running))),
        }
    }

    fn attempt(&mut self, thread: u32, op: &Op, branch: u32, spawns: Option<u32>) -> Result<Progress, String> {
        if let Some(attempt) = self.disk.perform(op, Waiting::Park).map_err(|error| error.to_string())? {
            return Ok(match attempt {
                Attempt::Done(outcome) => Progress::Done(outcome),
                Attempt::Waits => Progress::Waits,
            });
        }
        if let Some(progress) = self.memory.attempt(thread, op) {
            return Ok(progress);
        }
        Ok(match op {
            Op::New => {
                let object = self.memory.fresh_object(&self.objects);
                self.objects.insert(object);
                Progress::Done(Outcome::Value(Value::Object(object)))
            }
            Op::Spawn { call } => {
                let number = spawns.ok_or("it starts a goroutine that has no number")?;
                self.ended.remove(&number);
                self.goroutines.insert(number, call.clone());
                Progress::Done(Outcome::Value(Value::Int(number)))
            }
            Op::Join { thread } => match self.ended.get(thread) {
                Some(reply) => Progress::Done(thread::joined(reply)),
                None if self.goroutines.contains_key(thread) => Progress::Blocked,
                None => Progress::Fatal(format!("join of goroutine {thread}, which there is none")),
            },
            Op::Choose { among } if branch < *among => Progress::Done(Outcome::Value(Value::Int(branch))),
            Op::Choose { among } => return Err(format!("the schedule takes branch {branch} of {among}")),
            Op::Panic { message } => Progress::Fatal(message.clone()),
            other => return Err(format!("it cannot perform {other:?}")),
        })
    }

    /// Lets the kernel decide: `F_SETLKW` in a thread of its own, again after each `EDEADLK` and 10 ms of sleep, as
    /// `lock` in `pkg/lockfile/lockfile_unix.go` does.
    fn block(&mut self, thread: u32) -> Result<Answer, String> {
        let running = self.running.get(&thread).ok_or_else(|| format!("its thread {thread} is in no call"))?;
        let Op::Lock { file, mode, .. } = running.op.clone() else {
            return Err(format!("its thread {thread} waits for no lock file: {:?}", running.op));
        };
        let descriptor = self.disk.descriptor(&file).map_err(|error: HarnessError| error.to_string())?;
        let requests = Arc::clone(&self.blocked);
        let index = push_request(&requests, thread, file, mode);
        std::thread::spawn(move || {
            loop {
                let answered = sys::set_lock(&*descriptor, mode, Request::Wait);
                let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
                match answered {
                    Ok(LockResult::Deadlock) => requests[index].deadlocks += 1,
                    Ok(_) => {
                        requests[index].granted = true;
                        return;
                    }
                    Err(_) => return,
                }
                drop(requests);
                std::thread::sleep(RETRY_AFTER);
            }
        });
        Ok(Answer::Blocking)
    }
}

fn push_request(requests: &Mutex<Vec<BlockedRequest>>, thread: u32, file: Path, mode: Mode) -> usize {
    let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
    requests.push(BlockedRequest { thread, file, mode, deadlocks: 0, granted: false });
    requests.len() - 1
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &Bytes) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
