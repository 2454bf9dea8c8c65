//! A store to begin with, of which each execution has a copy, and what is made of an execution there.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::build::Build;
use super::daemon::judge::of_calls;
use super::execution::{End, Execution, Limits, Running, Said, Stage, execute, start};
use super::faults::Explained;
use super::judge::{data_race, of_commands};
use super::oracle::linear::Specification;
use super::oracle::stamped::without_stamp;
use super::oracle::store::{Store, not_whole};
use super::outcome::{Observer, Outcome, orders};
use super::recording::Recording;
use super::step::Step;
use super::strategy::{Recorded, Strategy};
use super::workload::{Killed, Workload};
use super::{PARTICIPANTS_MAX, Wrong};
use crate::Harness;
use crate::error::HarnessError;
use crate::guardian::RunDirectory;
use crate::supervise::session::Session;
use crate::supervise::{Interest, Isolation, Wakes};

/// Where stores are quick, if it is there.
const MEMORY: &str = "/dev/shm";

/// A file that commands can read from the directory that they run in: what is attached as big data.
const DATA: (&str, &[u8]) = ("data", b"data of lockproof\n");

/// Another one: a layer's diff, a tar archive with an empty file.
const DIFF: &str = "diff.tar";

/// How often a recording with goroutines is run once more, until it goes as it was recorded.
const AGAIN_MAX: u32 = 50;

/// A run with more calls that wake threads (release 1.24.8 makes thousands, 1.43.0 some ten, and rarely a hundred) is slower
/// where they are seen. With goroutines they are seen however many there are: whose turn it is depends on them.
const WOKEN_MAX: u64 = 1000;

/// A store to begin with, and the directory in which each execution has its copy.
pub(super) struct Ground {
    observer: Observer,
    pub(super) stage: Stage,
    original: PathBuf,
    limits: Limits,
    harness: Harness,
    session: Session,
    /// Of each program, the commands that it knows.
    known: Vec<BTreeSet<String>>,
    /// What is in the original.
    begin: Result<Store, String>,
    /// Removed last.
    _directory: RunDirectory,
}

/// What is on disk when all commands have ended.
pub(super) struct Remains {
    pub(super) store: Result<Store, String>,
    pub(super) not_whole: Vec<String>,
}

/// What is expected of commands.
pub(super) struct Expected {
    pub(super) allowed: Vec<(Vec<usize>, Outcome)>,
    /// What is not whole after some order of them, with nothing at the same time.
    pub(super) not_whole: BTreeSet<String>,
    /// Why there is none: a command that is not modelled, or one of which the model is wrong.
    pub(super) specification: Result<Specification, String>,
    /// The workload, where processes of the library make calls: no order of them is run beforehand.
    pub(super) calls: Option<Workload>,
    /// What may come of commands one of which has a fault, where faults are wanted.
    pub(super) struck: Option<Explained>,
}

impl Ground {
    pub(super) fn new(
        harness: &Harness,
        programs: &[Build],
        drivers: &[Build],
        start: &[Vec<String>],
        limits: Limits,
    ) -> Result<Self, HarnessError> {
        let below = if Path::new(MEMORY).is_dir() { PathBuf::from(MEMORY) } else { std::env::temp_dir() };
        let directory = RunDirectory::below(harness, &below).or_else(|_| RunDirectory::new(harness))?;
        let (store, output) = (directory.path().join("store"), directory.path().join("output"));
        make(&store)?;
        make(&output)?;
        for (name, content) in [(DATA.0, DATA.1), (DIFF, &archive())] {
            let path = output.join(name);
            fs::write(&path, content).map_err(HarnessError::io("write", path))?;
        }
        let session = supervisor(harness, Wakes::Seen, &store)?;
        let stage = Stage { programs: programs.to_vec(), drivers: drivers.to_vec(), store: store.clone(), output };
        let original = directory.path().join("original");
        let known = programs.iter().map(|program| program.commands(harness)).collect::<Result<_, _>>()?;
        let begin = Ok(Store::default());
        let observer = Observer::default();
        let harness = harness.clone();
        let mut ground =
            Self { observer, stage, original, limits, harness, session, known, begin, _directory: directory };
        // Even the first store of all has been used: everybody makes its directories otherwise.
        for words in [vec!["layers".to_owned()]].iter().chain(start) {
            if let Some(killed) = Killed::of(words) {
                ground.kill(&killed)?;
                continue;
            }
            let (said, _) = ground.alone(0, words)?;
            if said.status != Some(0) {
                let (command, why) = (words.join(" "), said.errors.trim().to_owned());
                return Err(HarnessError::Refused(format!("`{command}` fails, before anything else is run: {why}")));
            }
        }
        ground.begin = Store::read(&store);
        fs::rename(&store, &ground.original).map_err(HarnessError::io("rename", store))?;
        Ok(ground)
    }

    /// Runs a command with nothing beside it, by the program of a participant. Returns how many steps it took, too.
    fn alone(&mut self, participant: usize, words: &[String]) -> Result<(Said, usize), HarnessError> {
        alone(&mut self.session, &self.stage, participant, words, self.limits)
    }

    /// Runs a command until it is about to replace a file for the nth time, and kills it there.
    fn kill(&mut self, killed: &Killed<'_>) -> Result<(), HarnessError> {
        let workload = Workload { commands: vec![killed.command.to_vec()], ..Workload::default() };
        let mut strategy = Until { file: killed.file, left: killed.times };
        let execution = execute(&mut self.session, &self.stage, &workload, &mut strategy, self.limits)?;
        if execution.end == End::Abandoned {
            return Ok(());
        }
        let (command, file, times) = (killed.command.join(" "), killed.file, killed.times);
        Err(HarnessError::Refused(format!("`{command}` does not replace {file} {times} times, so it was not killed")))
    }

    /// A fresh copy of the store, and the supervisor that suits what is run on it.
    fn renew(&mut self) -> Result<(), HarnessError> {
        let store = &self.stage.store;
        if self.session.woken() > WOKEN_MAX && self.stage.drivers.is_empty() {
            self.session = supervisor(&self.harness, Wakes::Unseen, store)?;
        }
        if store.exists() {
            fs::remove_dir_all(store).map_err(HarnessError::io("remove", store.clone()))?;
        }
        copy(&self.original, store).map_err(HarnessError::io("copy the store to", store.clone()))
    }

    /// What each order of the commands gives, and the model of them, if it says the same of each order.
    pub(super) fn expected(&mut self, workload: &Workload) -> Result<Expected, HarnessError> {
        let number = workload.participants();
        if number == 0 || number > PARTICIPANTS_MAX {
            return Err(HarnessError::Refused(format!(
                "1 to {PARTICIPANTS_MAX} commands can be run against each other"
            )));
        }
        let adds_at_once = |participant: usize| {
            self.known.get(participant).or(self.known.last()).is_some_and(|known| known.contains("remove-names"))
        };
        if !workload.daemons.is_empty() {
            let specification = (self.begin.clone())
                .and_then(|begin| Specification::of_workload(begin, workload, adds_at_once))
                .map_err(|unknown| format!("`{unknown}` is not modelled"));
            let makes = Some(workload.clone());
            return Ok(Expected {
                allowed: Vec::new(),
                not_whole: BTreeSet::new(),
                specification,
                calls: makes,
                struck: None,
            });
        }
        let mut specification = (self.begin.clone())
            .and_then(|begin| Specification::new(begin, &workload.commands, adds_at_once))
            .map_err(|unknown| format!("`{unknown}` is not modelled"));
        let (mut allowed, mut not_whole) = (Vec::new(), BTreeSet::new());
        for (order, outcome, end) in self.run_orders(workload, &(0..number).collect::<Vec<usize>>())? {
            not_whole.extend(end.not_whole);
            if let Ok(model) = &specification {
                let precedence = order.windows(2).map(|pair| (pair[0], pair[1])).collect();
                if !end.store.is_ok_and(|store| model.explains(&outcome.said, &store, &precedence)) {
                    let names: Vec<String> = order.iter().map(|participant| Workload::name(*participant)).collect();
                    let order = names.join(" then ");
                    specification =
                        Err(format!("the model says something else of {order}, with nothing at the same time"));
                }
            }
            allowed.push((order, outcome));
        }
        Ok(Expected { allowed, not_whole, specification, calls: None, struck: None })
    }

    /// What each order of some of the commands gives, without the others.
    pub(super) fn orders_of(
        &mut self,
        workload: &Workload,
        participants: &[usize],
    ) -> Result<Vec<(Vec<usize>, Outcome)>, HarnessError> {
        let all = self.run_orders(workload, participants)?;
        Ok(all.into_iter().map(|(order, outcome, _)| (order, outcome)).collect())
    }

    fn run_orders(
        &mut self,
        workload: &Workload,
        participants: &[usize],
    ) -> Result<Vec<(Vec<usize>, Outcome, Remains)>, HarnessError> {
        let mut all = Vec::new();
        for order in orders(participants.len()) {
            let order: Vec<usize> = order.into_iter().map(|at| participants[at]).collect();
            self.renew()?;
            let mut said = vec![Said::default(); workload.commands.len()];
            for participant in &order {
                let words = &workload.commands[*participant];
                let (one, steps) = self.alone(*participant, words)?;
                if steps == 0 && one.status != Some(0) {
                    return Err(HarnessError::Refused(misused(words, &one)));
                }
                said[*participant] = one;
            }
            let (outcome, end) = self.outcome(&said)?;
            all.push((order, outcome, end));
        }
        Ok(all)
    }

    /// What came of it, and what is on disk before later commands are run.
    pub(super) fn outcome(&mut self, said: &[Said]) -> Result<(Outcome, Remains), HarnessError> {
        let remains = Remains { store: Store::read(&self.stage.store), not_whole: not_whole(&self.stage.store) };
        let Self { observer, stage, session, limits, .. } = self;
        let outcome =
            observer.outcome(stage, said, |words| alone(session, stage, 0, words, *limits).map(|(said, _)| said))?;
        Ok((outcome, remains))
    }

    pub(super) fn execute(
        &mut self,
        workload: &Workload,
        strategy: &mut dyn Strategy,
        limits: Limits,
    ) -> Result<Execution, HarnessError> {
        self.start(workload)?.run(strategy, limits)
    }

    /// Starts the commands of a workload on a fresh copy of the store, and waits until they rest before their first steps.
    pub(super) fn start(&mut self, workload: &Workload) -> Result<Running<'_>, HarnessError> {
        self.renew()?;
        start(&mut self.session, &self.stage, workload)
    }

    /// What the daemons are.
    pub(super) fn drivers(&self) -> &[Build] {
        &self.stage.drivers
    }

    /// Runs a recording once.
    pub(super) fn repeat(&mut self, recording: &Recording, limits: Limits) -> Result<Execution, HarnessError> {
        let mut strategy = Recorded::new(recording.steps(), recording.faults.clone());
        self.execute(&recording.workload, &mut strategy, limits)
    }

    /// Runs a recording again, and says how often it went otherwise before: which of two goroutines gets what they both wait for
    /// inside their process is not ours to choose.
    pub(super) fn once_more(
        &mut self,
        recording: &Recording,
        expected: &Expected,
        limits: Limits,
    ) -> Result<(Execution, u32), HarnessError> {
        let mut retries = 0;
        loop {
            let execution = self.repeat(recording, limits)?;
            let parts = expected.calls.is_some() && matches!(execution.end, End::Diverged { .. });
            if !parts || retries == AGAIN_MAX {
                return Ok((execution, retries));
            }
            retries += 1;
        }
    }

    /// An execution by a strategy, if it shows something wrong with this property.
    pub(super) fn shows(
        &mut self,
        property: &str,
        workload: &Workload,
        expected: &Expected,
        strategy: &mut dyn Strategy,
        limits: Limits,
    ) -> Result<Option<(Execution, Wrong)>, HarnessError> {
        let tried = self.execute(workload, strategy, limits)?;
        let wrong = self.judge(&tried, expected)?.0;
        Ok(wrong.filter(|wrong| wrong.property == property).map(|wrong| (tried, wrong)))
    }

    /// What is wrong with an execution, and what came of it, if it came to its end.
    pub(super) fn judge(
        &mut self,
        execution: &Execution,
        expected: &Expected,
    ) -> Result<(Option<Wrong>, Option<Outcome>), HarnessError> {
        if let Some(struck) = expected.struck.as_ref().filter(|_| !execution.faulty().is_empty()) {
            return struck.judge(self, execution);
        }
        let wrong = |property, detail| Ok((Some(Wrong { property, detail }), None));
        if let Some(detail) = execution.replaced_without_lock().into_iter().next() {
            return wrong("exclusive", detail);
        }
        if let Some(detail) = without_stamp(execution).into_iter().next() {
            return wrong("stamped", detail);
        }
        if let Some(detail) = data_race(execution) {
            return wrong("no-data-race", detail);
        }
        match &execution.end {
            End::Stuck(waiting) => wrong("no-deadlock", waiting.join("; ")),
            End::Done => {
                let (outcome, remains) = self.outcome(&execution.said)?;
                let wrong = match &expected.calls {
                    Some(workload) => of_calls(&outcome, remains, expected, workload, execution),
                    None => of_commands(&outcome, remains, expected, execution),
                };
                Ok((wrong, Some(outcome)))
            }
            End::Abandoned | End::Diverged { .. } | End::Limit(_) => Ok((None, None)),
        }
    }
}

fn supervisor(harness: &Harness, wakes: Wakes, store: &Path) -> Result<Session, HarnessError> {
    Session::start(harness, Isolation::Own, wakes, Interest { below: vec![store.to_path_buf()] })
}

/// What is wrong with a command that fails before it asks anything of the store: there is nothing to be ordered.
fn misused(words: &[String], said: &Said) -> String {
    let why = [&said.errors, &said.output].into_iter().flat_map(|text| text.lines()).find(|line| !line.is_empty());
    let command = words.join(" ");
    format!("`{command}` fails, and asks nothing of the store: {}", why.unwrap_or("it does not say why").trim())
}

/// Runs a command with nothing beside it, to its end. Returns how many steps it took, too.
fn alone(
    session: &mut Session,
    stage: &Stage,
    participant: usize,
    words: &[String],
    limits: Limits,
) -> Result<(Said, usize), HarnessError> {
    let workload = Workload { commands: vec![words.to_vec()], ..Workload::default() };
    let stage = Stage { programs: stage.program(participant).cloned().into_iter().collect(), ..stage.clone() };
    let mut execution = execute(session, &stage, &workload, &mut First, limits)?;
    match execution.end {
        End::Done => Ok((execution.said.remove(0), execution.steps.len())),
        other => Err(HarnessError::Refused(format!(
            "`{}` does not come to its end with nothing beside it: {other:?}",
            words.join(" ")
        ))),
    }
}

/// Lets the first go that can.
struct First;

impl Strategy for First {
    fn choose(&mut self, _: &[Step]) -> Result<Option<usize>, (String, String)> {
        Ok(Some(0))
    }

    fn learn(&mut self, _: &Execution) -> bool {
        false
    }
}

/// Lets the only one go, until it is about to give a file its name for the last of so many times.
struct Until<'a> {
    file: &'a str,
    left: u32,
}

impl Strategy for Until<'_> {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        let is_it = |step: &Step| step.what.starts_with("renames ") && step.what.ends_with(self.file);
        if enabled.iter().any(is_it) {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                return Ok(None);
            }
        }
        Ok(Some(0))
    }

    fn learn(&mut self, _: &Execution) -> bool {
        false
    }
}

fn make(directory: &Path) -> Result<(), HarnessError> {
    fs::create_dir_all(directory).map_err(HarnessError::io("make", directory))
}

/// Copies a directory: files, directories, symbolic links, and who may do what with them.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            // `changes` compares the times of files.
            let modified = entry.metadata()?.modified()?;
            File::options().write(true).open(target)?.set_times(FileTimes::new().set_modified(modified))?;
        }
    }
    let modified = fs::metadata(from)?.modified()?;
    File::open(to)?.set_times(FileTimes::new().set_modified(modified))?;
    // Last, for it may say that nothing can be made there.
    fs::set_permissions(to, fs::Permissions::from_mode(fs::metadata(from)?.permissions().mode()))
}

/// A tar archive (ustar, POSIX.1-1988) of one empty file.
fn archive() -> Vec<u8> {
    const BLOCK_BYTES: usize = 512;
    let mut header = [0_u8; BLOCK_BYTES];
    let fields: [(usize, &[u8]); 9] = [
        (0, b"file"),
        (100, b"0000644\0"),
        (108, b"0000000\0"),
        (116, b"0000000\0"),
        (124, b"00000000000\0"),
        (136, b"00000000000\0"),
        // The checksum is of the header with blanks in its place.
        (148, b"        "),
        (156, b"0"),
        (257, b"ustar\x0000"),
    ];
    for (at, bytes) in fields {
        header[at..at + bytes.len()].copy_from_slice(bytes);
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    // Two blocks of zeros are the end.
    [&header[..], &[0; 2 * BLOCK_BYTES]].concat()
}
