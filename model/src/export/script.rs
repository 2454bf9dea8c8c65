//! The calls of a thread, written out one after the other.

use std::collections::BTreeSet;

use super::ExportError;
use crate::call::Call;
use crate::system::{Process, Repeat, System};

/// The kernel's search for a cycle is written out for every order of the processes.
const PROCESSES_MAX: usize = 4;
/// Sets of threads of a process are masks in a byte.
const THREADS_MAX: usize = 8;
/// A call of a script that is repeated is written once for each time.
const CALLS_MAX: usize = 64;
/// What is seen at once to be impossible.
pub(super) fn refuse(system: &System) -> Result<(), ExportError> {
    let mut features = BTreeSet::new();
    if system.processes.len() > PROCESSES_MAX {
        features.insert(format!("more than {PROCESSES_MAX} processes"));
    }
    for process in &system.processes {
        let name = &process.name;
        if process.threads.len() > THREADS_MAX {
            features.insert(format!("more than {THREADS_MAX} threads in a process ({name})"));
        }
        if process.threads.len() > 1 && process.runs != Repeat::Times(1) {
            features.insert(format!("a process of several threads that is started again ({name})"));
        }
        for thread in 0..process.threads.len() {
            if script(process, thread).0.len() > CALLS_MAX {
                features.insert(format!("a thread that makes more than {CALLS_MAX} calls in all ({name})"));
            }
        }
    }
    if features.is_empty() { Ok(()) } else { Err(ExportError::Features(features.into_iter().collect())) }
}

/// What comes after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The call at that place.
    Call(usize),
    /// The same, in a new process.
    Process(usize),
    /// Nothing.
    End,
}

/// The calls that a thread makes, repeated as often as they are, each with what comes next; and how many of them are
/// the preparation of its process. A bound cuts what would be too long.
pub(super) fn script(process: &Process, thread: usize) -> (Vec<(&Call, Next)>, usize) {
    let before: &[_] = if thread == 0 { &process.before } else { &[] };
    let own = &process.threads[thread];
    let times = |repeat| if let Repeat::Times(times) = repeat { times as usize } else { 1 };
    let mut calls = Vec::new();
    for run in 0..times(process.runs) {
        let start = calls.len();
        calls.extend(before.iter().map(|call| (call, Next::End)));
        let first = calls.len();
        for _ in 0..times(own.repeat) {
            calls.extend(own.script.iter().map(|call| (call, Next::End)));
            if calls.len() > CALLS_MAX {
                return (calls, before.len());
            }
        }
        let end = calls.len();
        for (at, call) in calls.iter_mut().enumerate().take(end - 1).skip(start) {
            call.1 = Next::Call(at + 1);
        }
        if let Some(last) = calls.last_mut() {
            last.1 = match (own.repeat, process.runs) {
                (Repeat::Forever, _) if !own.script.is_empty() => Next::Call(first),
                (_, Repeat::Forever) => Next::Process(start),
                (_, Repeat::Times(runs)) if run + 1 < runs as usize => Next::Process(end),
                _ => Next::End,
            };
        }
    }
    (calls, before.len())
}
