//! What came of an execution, and what may come of one: what some order of the commands, one after the other, gives.
//!
//! The sequential specification is the store itself. Commands that were all started at once may take effect in any order, so
//! each order is run once without anything beside it, and an execution is explained if it ends as one of them did: the same
//! exit statuses, the same output, the same documents on disk, and the same answers of later commands. It is linearizability
//! of whole commands; one that is several atomic sections by design can fail it, and `known.toml` says which.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value as Json;

use super::execution::{Execution, Said, Stage};
use super::oracle::linear::Precedence;
use super::workload::Workload;
use crate::error::HarnessError;

/// The documents of a store that say what is in it.
const DOCUMENTS: [&str; 7] = [
    "root/vfs-layers/layers.json",
    "root/vfs-layers/volatile-layers.json",
    "root/vfs-images/images.json",
    "root/vfs-containers/containers.json",
    "root/vfs-containers/volatile-containers.json",
    "run/vfs-layers/mountpoints.json",
    "run/vfs-containers/volatile-containers.json",
];

/// The commands that look at a store when all is over, and then use it.
pub(super) const LATER: [&str; 6] =
    ["layers", "images", "containers", "create-layer -i lockproof-later", "layers", "delete-layer lockproof-later"];

/// An id that is drawn at random has so many hexadecimal digits.
const ID_DIGITS: usize = 64;

/// What commands answered: the exit status, and what was printed.
pub type Answers = Vec<(Option<i32>, String)>;

/// What came of it all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// What each command said. Standard error is for people, and not part of it.
    pub said: Answers,
    /// The documents, as text without what differs from run to run. One that is empty and one that is not there are alike.
    pub documents: BTreeMap<String, String>,
    /// What later commands say.
    pub later: Answers,
}

/// Looks at stores, and remembers what later commands said of one with the same files.
#[derive(Debug, Default)]
pub struct Observer {
    seen: BTreeMap<Files, Answers>,
}

/// The files of a store, without what differs from run to run.
type Files = BTreeMap<String, Vec<u8>>;

impl Observer {
    /// What came of it, if this is what the commands said. `run` runs a command with nothing beside it.
    ///
    /// # Errors
    /// Those of `run`.
    pub fn outcome(
        &mut self,
        stage: &Stage,
        said: &[Said],
        mut run: impl FnMut(&[String]) -> Result<Said, HarnessError>,
    ) -> Result<Outcome, HarnessError> {
        let documents = documents(&stage.store);
        let mut run = |words: &[String]| run(words).map(|said| judged(&said, &stage.store));
        let mut files = Files::new();
        read(&stage.store, Path::new(""), &mut files).map_err(HarnessError::io("read", stage.store.clone()))?;
        let later = match self.seen.get(&files) {
            Some(later) => later.clone(),
            None => {
                let mut later = Vec::new();
                for command in LATER {
                    later.push(run(&Workload::words(command))?);
                }
                self.seen.insert(files, later.clone());
                later
            }
        };
        Ok(Outcome { said: said.iter().map(|said| judged(said, &stage.store)).collect(), documents, later })
    }
}

/// Of what a command said, what counts: wherever the store is, it is the same store.
fn judged(said: &Said, store: &Path) -> (Option<i32>, String) {
    let output = anywhere(&said.output, store);
    let mut lines: Vec<String> = output.lines().map(steady).collect();
    lines.sort();
    (said.status, lines.join("\n"))
}

fn documents(store: &Path) -> BTreeMap<String, String> {
    let mut documents = BTreeMap::new();
    for name in DOCUMENTS {
        let Ok(text) = fs::read_to_string(store.join(name)) else { continue };
        let text = anywhere(&text, store);
        let shown = match serde_json::from_str::<Json>(&text) {
            Ok(mut document) => {
                strip(&mut document);
                if document.as_array().is_some_and(Vec::is_empty) || document.is_null() {
                    continue;
                }
                document.to_string()
            }
            Err(error) => format!("no JSON: {error}"),
        };
        documents.insert(name.to_owned(), shown);
    }
    documents
}

/// Reads all files below a directory but lock files, whose stamps are drawn at random.
fn read(directory: &Path, name: &Path, files: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, name) = (entry.path(), name.join(entry.file_name()));
        let kind = entry.file_type()?;
        let content = if kind.is_dir() {
            read(&path, &name, files)?;
            Vec::new()
        } else if kind.is_symlink() {
            fs::read_link(&path)?.into_os_string().into_encoded_bytes()
        } else if path.extension().is_some_and(|end| end == "lock") {
            Vec::new()
        } else {
            let content = fs::read(&path)?;
            match serde_json::from_slice::<Json>(&content) {
                Ok(mut document) => {
                    strip(&mut document);
                    document.to_string().into_bytes()
                }
                Err(_) => content,
            }
        };
        files.insert(steady(&name.to_string_lossy()), content);
    }
    Ok(())
}

/// Takes out what differs from run to run: times, and ids that are drawn at random.
fn strip(value: &mut Json) {
    match value {
        Json::Object(fields) => {
            fields.remove("created");
            fields.values_mut().for_each(strip);
        }
        Json::Array(all) => all.iter_mut().for_each(strip),
        Json::String(text) => *text = steady(text),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// `text` with `*` for an id that is drawn at random.
fn steady(text: &str) -> String {
    let is_id = |word: &str| word.len() == ID_DIGITS && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(' ').map(|word| if is_id(word) { "*" } else { word }).collect::<Vec<_>>().join(" ")
}

/// `text` with `STORE` for the directory of the store, of which each lane has its own.
fn anywhere(text: &str, store: &Path) -> String {
    text.replace(&*store.to_string_lossy(), "STORE")
}

/// All orders of so many.
#[must_use]
pub fn orders(number: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..number {
        let longer = |order: &Vec<usize>| {
            let rest = (0..number).filter(|next| !order.contains(next));
            rest.map(|next| order.iter().copied().chain([next]).collect()).collect::<Vec<Vec<usize>>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

impl Outcome {
    /// In words, what tells it from those that are allowed, in an order that respects real time; `None` if it is one of
    /// them.
    #[must_use]
    pub fn unexplained(
        &self,
        allowed: &[(Vec<usize>, Outcome)],
        precedence: &Precedence,
        execution: &Execution,
    ) -> Option<String> {
        let place = |order: &[usize], of: usize| order.iter().position(|participant| *participant == of);
        let respects =
            |order: &[usize]| precedence.iter().all(|(one, other)| place(order, *one) < place(order, *other));
        if allowed.iter().any(|(order, outcome)| respects(order) && outcome == self) {
            return None;
        }
        let ended = |(participant, said): (usize, &Said)| {
            let name = Workload::name(participant);
            let status = said.status.map_or("did not end".into(), |status| format!("exit {status}"));
            let why = reason(&said.errors);
            if why.is_empty() { format!("{name}: {status}") } else { format!("{name}: {status} ({why})") }
        };
        let mut parts: Vec<String> = execution.said.iter().enumerate().map(ended).collect();
        let any = |is_alike: &dyn Fn(&Outcome) -> bool| allowed.iter().any(|(_, outcome)| is_alike(outcome));
        if !any(&|outcome| outcome.said == self.said) {
            parts.push("no order of the commands gives these answers".into());
        } else if !any(&|outcome| outcome.said == self.said && outcome.documents == self.documents) {
            parts.push("no order with these answers leaves these documents".into());
        } else if any(&|outcome| outcome == self) {
            parts.push("one had ended before the other began, and it is as if in the other order".into());
        } else {
            parts.push("later commands answer as after no order".into());
        }
        for (name, text) in &self.documents {
            parts.push(format!("{name} is {text}"));
        }
        for (words, (status, _)) in LATER.iter().zip(&self.later).filter(|(_, (status, _))| *status != Some(0)) {
            parts.push(format!(
                "later, `{words}` ends with {}",
                status.map_or("a signal".into(), |status| status.to_string())
            ));
        }
        Some(parts.join("; "))
    }
}

/// The last line of what went wrong. Releases up to 1.41 say below it where it arose (`%+v` of an error of
/// github.com/pkg/errors; commit 3455d1272 ended that): the name of a function on a line, and its place on the next, after a tab.
fn reason(errors: &str) -> &str {
    let lines: Vec<&str> = errors.lines().collect();
    let is_place = |at: usize| lines.get(at).is_some_and(|line| line.starts_with('\t'));
    let last = (0..lines.len()).rev().find(|at| !is_place(*at) && !is_place(at + 1));
    last.map_or("", |at| lines[at].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_and_not_where_it_arose() {
        assert_eq!(reason(""), "");
        assert_eq!(reason("warning\nno such layer\n"), "no such layer");
        let placed = "shutdown: layer is in use\nA layer is mounted\nmain.shutdown\n\tshutdown.go:17\nmain.main\n\tmain.go:124\n";
        assert_eq!(reason(placed), "A layer is mounted");
    }

    #[test]
    fn there_are_as_many_orders_as_permutations() {
        assert_eq!(orders(1), [[0]]);
        assert_eq!(orders(2), [[0, 1], [1, 0]]);
        assert_eq!(orders(4).len(), 24);
    }

    #[test]
    fn times_and_ids_that_are_drawn_are_no_part_of_an_outcome() {
        let id = "7a2cc569fb21524a4d356caea8be4616bf44a2b374ae7fe4df5829e1fc8eac93";
        let mut document = serde_json::json!([{"id": id, "created": "2026", "names": ["a"]}]);
        strip(&mut document);
        assert_eq!(document, serde_json::json!([{"id": "*", "names": ["a"]}]));
    }
}
