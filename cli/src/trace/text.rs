//! A trace for people: a line for each event, with the words of the other traces.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::{Component, Path};

use lockproof_harness::supervise::event::{Action, Content, Event, Fate, FileRef, LockKind, Range, ReleasedBy, Wanted};
use lockproof_model::op::Mode;
use serde_json::Value as Json;

/// So many records of a document are named.
const RECORDS_MAX: usize = 4;

/// Of the id of a record, so many characters are shown.
const ID_CHARACTERS: usize = 12;

/// What has been seen so far, as far as lines depend on it.
#[derive(Debug)]
pub(super) struct Text {
    /// Also what is asked about files, and their whole paths.
    verbose: bool,
    /// What each process runs.
    programs: BTreeMap<u32, String>,
    /// The stamps, in the order in which they were seen.
    stamps: HashMap<String, usize>,
    /// Since when each thread waits, in microseconds.
    waiting: HashMap<u32, u64>,
    /// Reads or writes of one file in a row, which make one line.
    run: Option<Run>,
    locks: u64,
    waits: u64,
}

#[derive(Debug)]
struct Run {
    at_us: u64,
    process: u32,
    verb: &'static str,
    file: String,
    times: u64,
    bytes: u64,
}

impl Text {
    pub(super) fn new(verbose: bool) -> Self {
        Self {
            verbose,
            programs: BTreeMap::new(),
            stamps: HashMap::new(),
            waiting: HashMap::new(),
            run: None,
            locks: 0,
            waits: 0,
        }
    }

    /// The lines that an event adds.
    pub(super) fn event(&mut self, event: &Event) -> String {
        if let Action::Execute { program } = &event.action {
            self.programs.insert(event.process, program.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        if let Some((verb, file, bytes)) = plain_data(&event.action) {
            let file = self.name(file);
            match &mut self.run {
                Some(run) if (run.process, run.verb) == (event.process, verb) && run.file == file => {
                    run.times += 1;
                    run.bytes += bytes;
                    return String::new();
                }
                _ => {
                    let lines = self.end_of_run();
                    let (at_us, process) = (event.at_us, event.process);
                    self.run = Some(Run { at_us, process, verb, file, times: 1, bytes });
                    return lines;
                }
            }
        }
        let Some(what) = self.what(event) else { return String::new() };
        let mut lines = self.end_of_run();
        self.line(&mut lines, event.at_us, event.process, &what);
        lines
    }

    /// The lines at the end.
    pub(super) fn end(&mut self) -> String {
        let mut lines = self.end_of_run();
        let _ = writeln!(
            lines,
            "{}, {}, {}",
            counted(self.programs.len() as u64, "process", "processes"),
            counted(self.locks, "lock", "locks"),
            counted(self.waits, "wait", "waits")
        );
        lines
    }

    fn end_of_run(&mut self) -> String {
        let mut lines = String::new();
        if let Some(run) = self.run.take() {
            let times = if run.times > 1 { format!("{} times, ", run.times) } else { String::new() };
            let what = format!("{} {}, {times}{} bytes", run.verb, run.file, run.bytes);
            self.line(&mut lines, run.at_us, run.process, &what);
        }
        lines
    }

    fn line(&self, lines: &mut String, at_us: u64, process: u32, what: &str) {
        let name = self.process(process);
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{:>6}.{:03}  {name:<24}  {what}", at_us / 1000, at_us % 1000);
    }

    /// `containers-storage 4711`.
    fn process(&self, process: u32) -> String {
        match (process, self.programs.get(&process)) {
            (0, _) => "one that is not traced".into(),
            (_, Some(program)) => format!("{program} {process}"),
            (_, None) => process.to_string(),
        }
    }

    fn processes(&self, all: &[u32]) -> String {
        let mut names: Vec<String> = all.iter().map(|process| self.process(*process)).collect();
        names.dedup();
        names.join(" and ")
    }

    /// The file's name and its directory's, as a rule enough to know it by.
    fn name(&self, file: &FileRef) -> String {
        if self.verbose { file.path.display().to_string() } else { short(&file.path) }
    }

    /// `W(vfs-layers/layers.lock)`.
    fn lock(&self, wanted: &Wanted) -> String {
        let letter = match wanted.mode {
            Mode::Shared => 'R',
            Mode::Exclusive => 'W',
        };
        format!("{letter}({}){}", self.name(&wanted.file), what_of(wanted.kind, wanted.range))
    }

    /// What an event says; nothing of what is shown only to those who ask for more.
    fn what(&mut self, event: &Event) -> Option<String> {
        let text = match &event.action {
            Action::Lock(wanted) => self.asked(event, wanted),
            Action::Grant(wanted) => {
                let since = self.waiting.remove(&event.thread).unwrap_or(event.at_us);
                let waited = (event.at_us - since) as f64 / 1000.0;
                format!("{} granted, after {waited:.1} ms", self.lock(wanted))
            }
            Action::Release { file, kind, range, by } => {
                let why = match by {
                    ReleasedBy::Close => "",
                    ReleasedBy::Unlock => " by unlock",
                    ReleasedBy::Exec => " by exec",
                    ReleasedBy::Exit => " by exit",
                };
                format!("U({}){}{why}", self.name(file), what_of(*kind, *range))
            }
            Action::Open { file, mode } => match (file.id, mode.create) {
                (None, true) => format!("creates {}", self.name(file)),
                (None, false) => format!("opens {}: there is none", self.name(file)),
                (Some(_), _) if mode.truncate && mode.write => format!("empties {}", self.name(file)),
                (Some(_), _) if self.verbose => format!("opens {}", self.name(file)),
                (Some(_), _) => return None,
            },
            Action::Read { file, content: Some(content), .. } => match content {
                Content::Bytes(bytes) if bytes.is_empty() => format!("stamp({}) is empty", self.name(file)),
                Content::Bytes(bytes) => format!("stamp({}) is {}", self.name(file), self.stamp(bytes)),
                document => format!("reads {}: {}", self.name(file), shown(document)),
            },
            Action::Write { file, content: Some(content), .. } => match content {
                Content::Bytes(bytes) => format!("stamp({}) := {}", self.name(file), self.stamp(bytes)),
                document => format!("writes {}: {}", self.name(file), shown(document)),
            },
            Action::Read { .. } | Action::Write { .. } => return None,
            Action::Status { file } if self.verbose => match file.id {
                Some(_) => format!("asks about {}", self.name(file)),
                None => format!("asks about {}: there is none", self.name(file)),
            },
            Action::Change { file } if self.verbose => format!("changes mode or times of {}", self.name(file)),
            Action::List { file } if self.verbose => format!("lists {}", self.name(file)),
            Action::Status { .. } | Action::Change { .. } | Action::List { .. } => return None,
            Action::Rename { from, to } => {
                let replaces = if to.id.is_some() { ", which it replaces" } else { "" };
                format!("renames {} to {}{replaces}", self.name(from), self.name(to))
            }
            Action::Unlink { file, .. } if file.id.is_none() => {
                format!("removes {}: there is none", self.name(file))
            }
            Action::Unlink { file, directory } => {
                format!("removes {}{}", if *directory { "directory " } else { "" }, self.name(file))
            }
            Action::MakeDirectory { file } => {
                let already = if file.id.is_some() { ": it is there" } else { "" };
                format!("makes directory {}{already}", self.name(file))
            }
            Action::Link { target, file, symbolic } => {
                let kind = if *symbolic { "a symbolic link" } else { "another name" };
                format!("makes {}, {kind} of {}", self.name(file), target.display())
            }
            Action::Truncate { file, bytes } => format!("cuts {} to {bytes} bytes", self.name(file)),
            Action::Sync { file } => format!("syncs {}", self.name(file)),
            Action::Mount { file, unmount: false } => format!("mounts {}", self.name(file)),
            Action::Mount { file, unmount: true } => format!("unmounts {}", self.name(file)),
            Action::Execute { program } => format!("executes {}", program.display()),
            Action::Exit { status } => format!("exits with {status}"),
            Action::Ended => "has ended".into(),
        };
        Some(match event.fate {
            Fate::Failed { errno } => format!("{text}: error {errno} in its place"),
            Fate::Short { bytes } => format!("{text}: {bytes} of them"),
            _ => text,
        })
    }

    fn asked(&mut self, event: &Event, wanted: &Wanted) -> String {
        self.locks += 1;
        let lock = self.lock(wanted);
        match &event.fate {
            Fate::Granted | Fate::Goes => format!("{lock} granted"),
            Fate::Refused { by } => format!("{lock} refused (EAGAIN), held by {}", self.processes(by)),
            Fate::Waits { by } => {
                self.waits += 1;
                self.waiting.insert(event.thread, event.at_us);
                format!("{lock} waits for {}", self.processes(by))
            }
            Fate::Deadlock { by } => {
                self.waiting.remove(&event.thread);
                format!("{lock} refused (EDEADLK), held by {}", self.processes(by))
            }
            Fate::Failed { .. } | Fate::Short { .. } => lock,
        }
    }

    /// `s3`: the third that was seen.
    fn stamp(&mut self, bytes: &str) -> String {
        let next = self.stamps.len() + 1;
        let number = *self.stamps.entry(bytes.to_owned()).or_insert(next);
        if self.verbose { format!("s{number} ({bytes})") } else { format!("s{number}") }
    }
}

/// Reading or writing what is neither a stamp nor a document.
fn plain_data(action: &Action) -> Option<(&'static str, &FileRef, u64)> {
    match action {
        // The rest of a document, whose beginning was shown.
        Action::Read { file, content: None, .. } if file.path.extension().is_some_and(|end| end == "json") => None,
        Action::Read { file, content: None, bytes, .. } => Some(("reads", file, *bytes)),
        Action::Write { file, content: None, bytes, .. } => Some(("writes", file, *bytes)),
        _ => None,
    }
}

/// What is not as it mostly is: the kind of a lock, its bytes.
fn what_of(kind: LockKind, range: Range) -> String {
    let kind = match kind {
        LockKind::Posix => "",
        LockKind::OpenFile => " of the open file",
        LockKind::Flock => " by flock",
    };
    let bytes = match range {
        Range::ALL => String::new(),
        Range { start, end: u64::MAX } => format!(" from byte {start}"),
        Range { start, end } if start == end => format!(" byte {start}"),
        Range { start, end } => format!(" bytes {start} to {end}"),
    };
    format!("{bytes}{kind}")
}

/// A document: the ids of its records.
fn shown(content: &Content) -> String {
    match content {
        Content::Json(Json::Array(records)) => {
            let mut ids: Vec<String> = records.iter().take(RECORDS_MAX).map(id).collect();
            if records.len() > RECORDS_MAX {
                ids.push(format!("{} more", records.len() - RECORDS_MAX));
            }
            format!("[{}]", ids.join(", "))
        }
        Content::Json(Json::Object(fields)) => counted(fields.len() as u64, "field", "fields"),
        Content::Json(other) => other.to_string(),
        Content::Bytes(bytes) => format!("{} bytes that are no document", bytes.len() / 2),
        Content::Long(bytes) => format!("{bytes} bytes"),
    }
}

fn id(record: &Json) -> String {
    let Some(id) = record.get("id").and_then(Json::as_str) else { return "a record".into() };
    let short: String = id.chars().filter(|letter| !letter.is_control()).take(ID_CHARACTERS).collect();
    let cut = if short.len() < id.len() { "…" } else { "" };
    let incomplete = record.pointer("/flags/incomplete").is_some_and(|flag| *flag == Json::Bool(true));
    format!("{short}{cut}{}", if incomplete { " (incomplete)" } else { "" })
}

fn short(path: &Path) -> String {
    let names: Vec<_> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy()),
            _ => None,
        })
        .collect();
    let from = names.len().saturating_sub(2);
    names[from..].join("/").chars().filter(|letter| !letter.is_control()).collect()
}

fn counted(number: u64, one: &str, more: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {more}") }
}

#[cfg(test)]
mod tests {
    use lockproof_harness::supervise::event::{FileId, OpenMode};
    use serde_json::json;

    use super::*;

    fn file(path: &str, inode: u64) -> FileRef {
        let id = (inode != 0).then_some(FileId { device: 1, inode });
        FileRef { id, path: path.into() }
    }

    fn wanted(path: &str, mode: Mode, range: Range) -> Wanted {
        Wanted { file: file(path, 7), kind: LockKind::Posix, mode, range, waits: true }
    }

    /// Two processes of containers/storage, one of which waits for the other.
    fn events() -> Vec<(u32, Action, Fate)> {
        let lock = "/s/vfs-layers/layers.lock";
        let layers = || wanted(lock, Mode::Exclusive, Range::ALL);
        let executes = || Action::Execute { program: "/usr/bin/containers-storage".into() };
        let temporary = "/s/vfs-layers/.tmp-layers.json1";
        let document =
            Content::Json(json!([{"id": "base"}, {"id": "0123456789abcdef", "flags": {"incomplete": true}}]));
        let stamp = |bytes: &str| Some(Content::Bytes(bytes.into()));
        let write = |offset, content| Action::Write { file: file(lock, 7), offset, bytes: 64, content };
        let release =
            || Action::Release { file: file(lock, 7), kind: LockKind::Posix, range: Range::ALL, by: ReleasedBy::Close };
        let opens = |path: &str, inode, create| {
            let mode = OpenMode { read: true, create, ..OpenMode::default() };
            Action::Open { file: file(path, inode), mode }
        };
        let data = |bytes| Action::Write { file: file("/s/layer.tar", 9), offset: None, bytes, content: None };
        vec![
            (10, executes(), Fate::Goes),
            (11, executes(), Fate::Goes),
            (10, Action::Status { file: file("/s", 1) }, Fate::Goes),
            (10, opens(lock, 0, true), Fate::Goes),
            (10, Action::Lock(layers()), Fate::Granted),
            (10, Action::Read { file: file(lock, 7), offset: Some(0), bytes: 64, content: stamp("") }, Fate::Goes),
            (10, opens("/s/vfs-layers/layers.json", 0, false), Fate::Goes),
            (11, Action::Lock(layers()), Fate::Waits { by: vec![10] }),
            (10, data(512), Fate::Goes),
            (10, data(512), Fate::Goes),
            (
                10,
                Action::Write { file: file(temporary, 8), offset: None, bytes: 9, content: Some(document) },
                Fate::Goes,
            ),
            (10, Action::Sync { file: file(temporary, 8) }, Fate::Failed { errno: 5 }),
            (10, Action::Rename { from: file(temporary, 8), to: file("/s/vfs-layers/layers.json", 6) }, Fate::Goes),
            (10, write(Some(0), stamp("01")), Fate::Goes),
            (10, release(), Fate::Goes),
            (11, Action::Grant(layers()), Fate::Granted),
            (11, Action::Read { file: file(lock, 7), offset: Some(0), bytes: 64, content: stamp("01") }, Fate::Goes),
            (11, Action::Lock(wanted("/db", Mode::Shared, Range { start: 5, end: 9 })), Fate::Refused { by: vec![0] }),
            (11, Action::Lock(wanted("/a", Mode::Shared, Range::ALL)), Fate::Deadlock { by: vec![10] }),
            (11, Action::Exit { status: 1 }, Fate::Goes),
            (11, Action::Ended, Fate::Goes),
        ]
    }

    fn shown(verbose: bool) -> String {
        let mut text = Text::new(verbose);
        let mut all = String::new();
        for (at, (process, action, fate)) in events().into_iter().enumerate() {
            let at_us = at as u64 * 250;
            all += &text.event(&Event { at_us, process, thread: process, action, fate });
        }
        all + &text.end()
    }

    #[test]
    fn who_waits_for_whom_is_seen() {
        insta::assert_snapshot!(shown(false));
    }

    #[test]
    fn those_who_ask_see_whole_paths_and_stamps_and_what_is_asked_about() {
        insta::assert_snapshot!(shown(true));
    }
}
