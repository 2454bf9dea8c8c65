//! A long-lived process of a protocol: it is told its calls as the Go driver is (`harness/go-driver/main.go`), a line of JSON
//! each, and answers as that does. Each goroutine is a thread of the system.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lockproof_model::call::{Call, StoreId};
use lockproof_model::protocol::Entry;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::disk::Disk;
use crate::free::{self, Habits, Stop};
use crate::hunt::daemon::script::{self, OPEN};
use crate::library::told::{heard, returned};
use crate::library::{Answer, Returned};

/// How long calls may go on after the end of the input.
const GRACE: Duration = Duration::from_secs(2);

/// The exit status if one does not end in that time.
const STUCK: i32 = 3;

/// Who calls what comes before the goroutines go.
const FIRST: &str = "main";

/// There are fewer goroutines than this; those that a call starts are counted from here.
const THREADS_MAX: u32 = 1 << 16;

/// A call, as it is told.
#[derive(Deserialize)]
struct Request {
    id: u64,
    #[serde(default)]
    store: String,
    #[serde(default)]
    goroutine: String,
    call: String,
    #[serde(default)]
    args: Vec<String>,
}

/// What a daemon does beside its operations.
struct Plain;

impl Habits for Plain {
    fn ends(&self, stopped: Result<(), Stop>) {
        if stopped.is_err() {
            super::exit(stopped);
        }
    }
}

/// What all goroutines share.
struct Daemon {
    protocol: Entry,
    /// The directory of the store and the process, once a store is open.
    process: OnceLock<(PathBuf, Arc<free::Process<Plain>>)>,
    /// The number of each store.
    stores: Mutex<HashMap<String, u8>>,
}

/// What is wrong with a call, if anything is.
pub(crate) fn refuses_call(call: &script::Call) -> Option<String> {
    let heard = if call.call == OPEN { Ok(Call::Open) } else { heard(&call.call, &call.args) };
    heard.err().map(|why| format!("`{call}`: {why}"))
}

/// Does what it is told, until its input ends.
pub(super) fn run(protocol: Entry) -> Result<(), Stop> {
    let daemon = Arc::new(Daemon { protocol, process: OnceLock::new(), stores: Mutex::default() });
    let mut goroutines: HashMap<String, Sender<Request>> = HashMap::new();
    let (running, all_ended) = channel::<()>();
    for line in io::stdin().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let request: Request = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(error) => {
                answer(0, Err(error.to_string()))?;
                continue;
            }
        };
        // What comes first is done by the first thread of a scenario's process, and so is the first goroutine's.
        let others = goroutines.keys().filter(|name| *name != FIRST).count();
        let thread = if request.goroutine == FIRST { 0 } else { u32::try_from(others).unwrap_or(u32::MAX) };
        let queue = goroutines.entry(request.goroutine.clone()).or_insert_with(|| {
            let (queue, requests) = channel();
            let (daemon, running) = (Arc::clone(&daemon), running.clone());
            std::thread::spawn(move || {
                if let Err(stop) = daemon.serve(thread, &requests) {
                    super::exit(Err(stop));
                }
                drop(running);
            });
            queue
        });
        // A goroutine listens until its queue ends.
        let _ = queue.send(request);
    }
    drop((goroutines, running));
    match all_ended.recv_timeout(GRACE) {
        Err(RecvTimeoutError::Timeout) => std::process::exit(STUCK),
        _ => Ok(()),
    }
}

impl Daemon {
    fn serve(&self, thread: u32, requests: &Receiver<Request>) -> Result<(), Stop> {
        for request in requests {
            let returned = match request.call.as_str() {
                // It stays on its thread anyway.
                "thread" => Ok(nix::unistd::gettid().as_raw().into()),
                _ => match self.call(&request) {
                    Ok((number, call)) => self.make(thread, number, call)?,
                    Err(problem) => Err(problem),
                },
            };
            answer(request.id, returned)?;
        }
        Ok(())
    }

    /// The call that is meant, and the number of its Store object, which is made known.
    fn call(&self, request: &Request) -> Result<(u8, Call), String> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if request.call != OPEN {
            let unknown = || format!("no store {:?} is open", request.store);
            let number = *stores.get(&request.store).ok_or_else(unknown)?;
            return Ok((number, heard(&request.call, &request.args)?));
        }
        let [graph, run] = &request.args[..] else {
            return Err("open needs the graph root and the run root".into());
        };
        let (graph, run) = (Path::new(graph), Path::new(run));
        let name = run.file_name().and_then(|name| name.to_str()?.strip_prefix("run"));
        let number = name.and_then(|number| if number.is_empty() { Some(1) } else { number.parse().ok() });
        let base = graph.parent().filter(|base| *graph == base.join("root") && run.parent() == Some(base));
        let (Some(base), Some(number)) = (base, number) else {
            return Err("a store is BASE/root with BASE/run, or BASE/run2 and so on, of one BASE".into());
        };
        if self.process.get().is_none() {
            let disk = Disk::new(base).map_err(|error| error.to_string())?;
            let process = free::Process::new(self.protocol, disk, THREADS_MAX, Plain);
            // Stores are opened one after the other: `stores` is locked.
            let _ = self.process.set((base.to_path_buf(), process));
        }
        if self.process.get().is_some_and(|(other, _)| other != base) {
            return Err("all stores of a process are in one directory".into());
        }
        stores.insert(request.store.clone(), number);
        Ok((number, Call::Open))
    }

    fn make(&self, thread: u32, number: u8, call: Call) -> Result<Returned, Stop> {
        let Some((_, process)) = self.process.get() else {
            return Ok(Err("no store is open".into()));
        };
        let call = match number {
            1 => call,
            _ => Call::On { store: StoreId::Second(number), of: Box::new(call) },
        };
        Ok(returned(&process.call(thread, &call)?))
    }
}

fn answer(id: u64, returned: Returned) -> Result<(), Stop> {
    let (value, error) = match returned {
        Ok(value) => (value, None),
        Err(error) => (Json::Null, Some(error)),
    };
    let line = serde_json::to_string(&Answer { id, value, error }).map_err(|error| error.to_string())? + "\n";
    let mut out = io::stdout().lock();
    Ok(out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(|error| error.to_string())?)
}
