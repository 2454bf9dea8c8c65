//! Short names: of processes and threads, and of lock files.

use std::collections::{BTreeMap, BTreeSet};

use lockproof_model::op::{CellName, Mode, Note, Op, Path};
use lockproof_model::schedule::Step;
use lockproof_model::trace::{Event, Trace};

use crate::text::clean;

/// A process and one of its threads, both from 0.
pub(crate) type Lane = (u8, u8);

/// The thread that an event is about; of a kill, the first.
pub(crate) fn lane(event: &Event) -> Lane {
    match event.step {
        Step::Run { process, thread, .. } => (process, thread),
        Step::Kill { process } => (process, 0),
    }
}

/// The names that a trace is told with.
pub(crate) struct Names<'a> {
    processes: &'a [String],
    threads: BTreeMap<u8, BTreeSet<u8>>,
    /// Short names that stand for more than one lock file, which are then called by their path.
    ambiguous: BTreeSet<String>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(trace: &Trace, processes: &'a [String]) -> Self {
        let mut threads: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        let mut paths: BTreeMap<String, BTreeSet<&Path>> = BTreeMap::new();
        for event in trace.events.iter().chain(&trace.cycle) {
            let (process, thread) = lane(event);
            threads.entry(process).or_default().insert(thread);
            for path in lock_files(event) {
                paths.entry(short(path)).or_default().insert(path);
            }
        }
        let ambiguous = paths.into_iter().filter(|(_, paths)| paths.len() > 1).map(|(name, _)| name).collect();
        Self { processes, threads, ambiguous }
    }

    /// The threads of the trace, in order.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        self.threads
            .iter()
            .flat_map(|(&process, threads)| threads.iter().map(move |&thread| (process, thread)))
            .collect()
    }

    /// `reader`; of a process that nobody named, `P1`.
    pub(crate) fn process(&self, process: u8) -> String {
        match self.processes.get(usize::from(process)) {
            Some(name) if !name.is_empty() => clean(name).into_owned(),
            _ => format!("P{}", u32::from(process) + 1),
        }
    }

    /// `reader`, or `reader.T2` in a process with several threads.
    pub(crate) fn lane(&self, (process, thread): Lane) -> String {
        match self.threads.get(&process) {
            Some(threads) if threads.len() > 1 || thread > 0 => format!("{}.{}", self.process(process), nth(thread)),
            _ => self.process(process),
        }
    }

    /// `layers`, or the whole path where that would not tell two lock files from each other.
    pub(crate) fn lock(&self, path: &Path) -> String {
        let name = short(path);
        if self.ambiguous.contains(&name) { clean(&path.0).into_owned() } else { name }
    }

    /// `R(layers)`, `W(layers)`.
    pub(crate) fn held(&self, path: &Path, mode: Mode) -> String {
        format!("{}({})", letter(mode), self.lock(path))
    }
}

/// `T2`: the second thread of a process.
pub(crate) fn nth(thread: u8) -> String {
    format!("T{}", u32::from(thread) + 1)
}

/// A cell for people, without the directories of a lock file: `layers.lock:lw`, `lockfiles[layers.lock]`, `#2.cache`.
pub(crate) fn cell_name(cell: &CellName) -> String {
    let name = cell.to_string();
    let (head, path) = name.split_once('[').map_or(("", name.as_str()), |(head, path)| (head, path));
    let bracket = if head.is_empty() { "" } else { "[" };
    clean(&format!("{head}{bracket}{}", path.rsplit('/').next().unwrap_or(path))).into_owned()
}

/// `R` or `W`.
pub(crate) fn letter(mode: Mode) -> char {
    match mode {
        Mode::Shared => 'R',
        Mode::Exclusive => 'W',
    }
}

/// The lock file whose lock object has this `RWMutex`, if it is one of the lock library's.
pub(crate) fn rw_mutex_of(mutex: &CellName) -> Option<Path> {
    mutex.field.strip_suffix(":rwMutex").map(Path::new)
}

fn lock_files(event: &Event) -> impl Iterator<Item = &Path> {
    let of_op = match &event.op {
        Some(
            Op::Lock { file, .. }
            | Op::Close { file }
            | Op::Probe { file, .. }
            | Op::ReadStamp { file }
            | Op::WriteStamp { file },
        ) => Some(file),
        _ => None,
    };
    let of_notes = event.notes.iter().map(|note| match note {
        Note::Acquire(path, _) | Note::Acquired(path, _) | Note::Release(path) => path,
    });
    of_op.into_iter().chain(of_notes)
}

/// The names that discussions of containers/storage use; of another lock file, what stands before its dot.
fn short(path: &Path) -> String {
    let name = path.file_name();
    match name {
        "storage.lock" => "graph".to_owned(),
        "mountpoints.lock" => "mounts".to_owned(),
        "containers.lock" => "ctrs".to_owned(),
        name => clean(name.strip_suffix(".lock").unwrap_or(name)).into_owned(),
    }
}
