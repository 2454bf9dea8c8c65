//! Small systems for tests.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of them")]

pub mod random;
pub mod small;
pub mod tiny;

use lockproof_model::call::{Call, LockMethod};
use lockproof_model::op::Path;
use lockproof_model::protocol::{Entry, Layer, by_name};
use lockproof_model::system::{Process, Repeat, System, Thread};
use lockproof_model::value::Datum;

pub fn layer(id: &str, names: &[&str], parent: &str) -> Layer {
    let names = names.iter().map(|name| (*name).into()).collect();
    Layer { id: id.into(), names, parent: parent.into(), incomplete: false }
}

pub fn protocol(name: &str) -> Entry {
    by_name(name).expect("a protocol of this crate")
}

pub fn once(calls: &[Call]) -> Thread {
    Thread { script: calls.to_vec(), repeat: Repeat::Times(1) }
}

pub fn forever(calls: &[Call]) -> Thread {
    Thread { script: calls.to_vec(), repeat: Repeat::Forever }
}

pub fn process(protocol_name: &str, threads: Vec<Thread>) -> Process {
    process_of(protocol(protocol_name), threads)
}

pub fn process_of(protocol: Entry, threads: Vec<Thread>) -> Process {
    Process { name: "P".into(), protocol, before: vec![Call::Open], threads, runs: Repeat::Times(1), may_crash: false }
}

pub fn system(layers: &[Layer], processes: Vec<Process>) -> System {
    let mut processes = processes;
    for (index, process) in processes.iter_mut().enumerate() {
        process.name = format!("P{}", index + 1);
    }
    System {
        documents: vec![(Path::new("root/vfs-layers/layers.json"), layers.to_vec().to_value())],
        stamped: vec![Path::new("root/vfs-layers/layers.lock")],
        aliases: Vec::new(),
        processes,
        crashes: 0,
        fine_times: false,
    }
}

pub fn exists(id: &str) -> Call {
    Call::Exists { id: id.into() }
}

pub fn names(id: &str) -> Call {
    Call::Names { id: id.into() }
}

pub fn put(id: &str, parent: Option<&str>, diff: bool) -> Call {
    Call::PutLayer { id: id.into(), parent: parent.map(Into::into), names: Vec::new(), diff }
}

pub fn set_names(id: &str, names: &[&str]) -> Call {
    Call::SetNames { id: id.into(), names: names.iter().map(|name| (*name).into()).collect() }
}

pub fn delete(id: &str) -> Call {
    Call::DeleteLayer { id: id.into() }
}

/// Discussion D14: three calls of one thread.
pub fn d14(protocol_name: &str) -> System {
    let thread = once(&[names("base"), set_names("base", &["foo", "bar"]), names("base")]);
    system(&[layer("base", &["foo"], "")], vec![process(protocol_name, vec![thread])])
}

pub fn on_lockfile(method: LockMethod, file: &str) -> Call {
    Call::Lockfile { method, file: file.into(), ro: false }
}

/// Processes that use the lock library alone; each thread makes its calls once.
pub fn lockfile_system(protocol_name: &str, processes: &[&[&[(LockMethod, &str)]]]) -> System {
    let thread = |calls: &&[(LockMethod, &str)]| {
        once(&calls.iter().map(|(method, file)| on_lockfile(*method, file)).collect::<Vec<_>>())
    };
    let process = |threads: &&[&[(LockMethod, &str)]]| Process {
        before: Vec::new(),
        ..process(protocol_name, threads.iter().map(thread).collect())
    };
    System { stamped: Vec::new(), documents: Vec::new(), ..system(&[], processes.iter().map(process).collect()) }
}
