//! The pipes to a process of the library: what it was told, and what it answered.

use std::collections::HashMap;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value as Json;

use super::script::{Call, OPEN, RUN, Script};
use crate::library::{Answer, Returned, Told};
use crate::proc::Fields;

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// By which participant.
    pub participant: usize,
    /// By which of its goroutines, from 1; 0 for what is called first.
    pub goroutine: usize,
    /// What.
    pub call: Call,
    /// Before which step it was told.
    pub begun: usize,
    /// Before which step the answer was there, and the answer; `None` if there is none.
    pub ended: Option<(usize, Returned)>,
}

/// The calls of a goroutine.
struct Lane {
    name: String,
    calls: Vec<Call>,
    next: usize,
    /// The number of the call that has no answer, and its place in [`Line::made`].
    asked: Option<(u64, usize)>,
}

/// A process of the library that is told its calls.
pub(in crate::hunt) struct Line {
    participant: usize,
    /// Closed when it has nothing more to do.
    input: Option<PipeWriter>,
    output: PipeReader,
    /// What has come of a line of output.
    begun: Vec<u8>,
    /// The first is for what is called before the goroutines go.
    lanes: Vec<Lane>,
    told: u64,
    /// By the thread's number, as we know it.
    threads: HashMap<u32, usize>,
    pub(in crate::hunt) made: Vec<Made>,
}

/// The ends of the pipes that the process has.
pub(in crate::hunt) struct Ends {
    pub(in crate::hunt) input: PipeReader,
    pub(in crate::hunt) output: PipeWriter,
}

impl Line {
    pub(in crate::hunt) fn new(participant: usize, script: &Script) -> io::Result<(Self, Ends)> {
        let ((input, ours), (output, theirs)) = (io::pipe()?, io::pipe()?);
        let lane = |(name, calls): &(String, Vec<Call>)| Lane {
            name: name.clone(),
            calls: calls.clone(),
            next: 0,
            asked: None,
        };
        let first = ("main".to_owned(), script.before.clone());
        let line = Self {
            participant,
            input: Some(ours),
            output,
            begun: Vec::new(),
            lanes: [&first].into_iter().chain(&script.goroutines).map(lane).collect(),
            told: 0,
            threads: HashMap::new(),
            made: Vec::new(),
        };
        Ok((line, Ends { input, output: theirs }))
    }

    /// How many goroutines there are.
    pub(in crate::hunt) fn goroutines(&self) -> usize {
        self.lanes.len() - 1
    }

    /// The goroutine that a thread belongs to; 0 for whatever else the process does.
    pub(in crate::hunt) fn goroutine_of(&self, thread: u32) -> usize {
        self.threads.get(&thread).copied().unwrap_or(0)
    }

    /// The thread that a goroutine stays on.
    pub(in crate::hunt) fn thread_of(&self, goroutine: usize) -> Option<u32> {
        self.threads.iter().find(|(_, known)| **known == goroutine).map(|(thread, _)| *thread)
    }

    /// Has each goroutine stay on a thread of its own, and what is called first, too. It answers with the thread's number.
    pub(in crate::hunt) fn ask_for_threads(&mut self) {
        for goroutine in 0..self.lanes.len() {
            let id = self.say("", goroutine, "thread", &[]);
            // The call is none of the script's.
            self.lanes[goroutine].asked = Some((id, usize::MAX));
        }
    }

    /// Whether all goroutines have said which thread they are on.
    pub(in crate::hunt) fn knows_threads(&self) -> bool {
        self.threads.len() == self.lanes.len()
    }

    /// What a goroutine may be told now, in words.
    pub(in crate::hunt) fn next(&self, goroutine: usize) -> Option<String> {
        self.input.as_ref()?;
        let lane = self.lanes.get(goroutine)?;
        let is_done = |lane: &Lane| lane.asked.is_none() && lane.next == lane.calls.len();
        if goroutine > 0 && !is_done(&self.lanes[0]) || lane.asked.is_some() {
            return None;
        }
        match lane.calls.get(lane.next) {
            Some(call) => Some(format!("calls {call}")),
            None if goroutine == 0 && self.lanes.iter().all(is_done) => Some("has nothing more to do".into()),
            None => None,
        }
    }

    /// Tells a goroutine what [`Line::next`] says. `store` is the directory of the store, `step` the number of the step.
    pub(in crate::hunt) fn tell(&mut self, goroutine: usize, store: &Path, step: usize) {
        let lane = &mut self.lanes[goroutine];
        let Some(call) = lane.calls.get(lane.next).cloned() else {
            self.input = None;
            return;
        };
        lane.next += 1;
        let args: Vec<String> = if call.call == OPEN {
            let run = call.args.first().map_or(RUN, String::as_str);
            [store.join("root"), store.join(run)].map(|path| path.to_string_lossy().into_owned()).into()
        } else {
            call.args.clone()
        };
        let id = self.say(&call.store, goroutine, &call.call, &args);
        self.lanes[goroutine].asked = Some((id, self.made.len()));
        self.made.push(Made { participant: self.participant, goroutine, call, begun: step, ended: None });
    }

    fn say(&mut self, store: &str, goroutine: usize, call: &str, args: &[String]) -> u64 {
        self.told += 1;
        let (id, goroutine) = (self.told, self.lanes[goroutine].name.as_str());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let line = serde_json::to_string(&Told { id, store, goroutine, call, args: &args }).unwrap_or_default() + "\n";
        // That it has ended is told by others.
        let _ = self.input.as_mut().map(|input| input.write_all(line.as_bytes()));
        id
    }

    /// Takes in the answers that are there, when everything rests before this step. `pid` is the process.
    pub(in crate::hunt) fn listen(&mut self, pid: u32, step: usize) {
        let mut bytes = [0; 4096];
        loop {
            let mut watched = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            if !poll(&mut watched, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
                break;
            }
            match self.output.read(&mut bytes) {
                Ok(length) if length > 0 => self.begun.extend_from_slice(&bytes[..length]),
                _ => break,
            }
        }
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            // What is no answer is what the library prints.
            if let Ok(answer) = serde_json::from_slice(&line) {
                self.take(answer, pid, step);
            }
        }
    }

    fn take(&mut self, answer: Answer, pid: u32, step: usize) {
        let asked = |lane: &Lane| lane.asked.is_some_and(|(id, _)| id == answer.id);
        let Some(goroutine) = self.lanes.iter().position(asked) else { return };
        let Some((_, at)) = self.lanes[goroutine].asked.take() else { return };
        match self.made.get_mut(at) {
            Some(made) => made.ended = Some((step, answer.error.map_or(Ok(answer.value), Err))),
            None => {
                let inner = answer.value.as_u64().and_then(|inner| u32::try_from(inner).ok());
                if let Some(thread) = inner.and_then(|inner| thread_of(pid, inner)) {
                    self.threads.insert(thread, goroutine);
                }
            }
        }
    }

    /// It is gone.
    pub(in crate::hunt) fn ends(&mut self) {
        self.input = None;
    }

    /// The calls that have no answer: the goroutine's number, its name, and the call.
    pub(in crate::hunt) fn unanswered(&self) -> impl Iterator<Item = (usize, &str, &Call)> {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter_map(|(at, lane)| Some((at, lane.name.as_str(), &self.made.get(lane.asked?.1)?.call)))
    }
}

/// The number that we know a thread by, which has `inner` in its process's own namespace (`NSpid` of proc(5)).
fn thread_of(pid: u32, inner: u32) -> Option<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).find(|thread: &u32| {
        let status = Fields::of(format!("/proc/{pid}/task/{thread}/status"));
        let numbers = status.as_ref().and_then(|status| status.get("NSpid"));
        numbers.and_then(|numbers| numbers.split_whitespace().last()) == Some(inner.to_string().as_str())
    })
}

/// What a call returned, as lines in alphabetical order: a list's items, or the value.
pub(crate) fn lines(value: &Json) -> Vec<String> {
    let word = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines: Vec<String> = match value {
        Json::Null => Vec::new(),
        Json::Array(all) => all.iter().map(word).collect(),
        other => vec![word(other)],
    };
    lines.sort();
    lines
}
