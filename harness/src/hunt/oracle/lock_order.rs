//! The order in which locks are taken, over all runs: a cycle is a deadlock that may come (Goodlock, Havelund 2000).
//!
//! An edge says that a process asked for a lock while it held another. Two edges of one process make no deadlock, nor do two
//! that a third lock keeps apart, held by both and by at least one of them exclusively; a shared request waits for no shared
//! lock.

use std::collections::{BTreeMap, BTreeSet};

use lockproof_model::op::Mode;

use crate::hunt::execution::Execution;
use crate::hunt::workload::Workload;
use crate::supervise::event::{Action, Fate};

/// A lock file and a mode.
type Lock = (String, bool);

/// One asked for a lock while it held others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    participant: usize,
    held: Lock,
    wanted: Lock,
    /// Whatever else it held.
    beside: Vec<Lock>,
}

/// All edges that were seen.
#[derive(Clone, Debug, Default)]
pub struct LockOrder {
    edges: BTreeSet<Edge>,
}

fn excludes(one: &Lock, other: &Lock) -> bool {
    one.0 == other.0 && (one.1 || other.1)
}

impl LockOrder {
    /// Adds what was seen in an execution. A command holds locks as a process, wherever its goroutines run; goroutines of a
    /// process of the library stay on threads, and what one holds does not keep another from asking.
    pub fn add(&mut self, execution: &Execution) {
        let mut held: BTreeMap<(u32, u32), Vec<Lock>> = BTreeMap::new();
        for (participant, event) in &execution.events {
            let is_command = execution.calls.iter().all(|made| made.participant != *participant);
            let locks = held.entry((event.process, if is_command { 0 } else { event.thread })).or_default();
            let name = |path: &std::path::Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match (&event.action, &event.fate) {
                (Action::Lock(wanted) | Action::Grant(wanted), fate) if wanted.waits => {
                    let lock = (name(&wanted.file.path), wanted.mode == Mode::Exclusive);
                    for (at, one) in locks.iter().enumerate().filter(|(_, one)| one.0 != lock.0) {
                        let beside = locks.iter().enumerate().filter(|(other, _)| *other != at);
                        let beside = beside.map(|(_, lock)| lock.clone()).collect();
                        let edge = Edge { participant: *participant, held: one.clone(), wanted: lock.clone(), beside };
                        self.edges.insert(edge);
                    }
                    if *fate == Fate::Granted {
                        locks.retain(|one| one.0 != lock.0);
                        locks.push(lock);
                    }
                }
                (Action::Release { file, .. }, Fate::Goes) => {
                    // Of several readers of a process the last one releases what the first took.
                    let name = name(&file.path);
                    let of_process = held.iter_mut().filter(|((process, _), _)| *process == event.process);
                    of_process.for_each(|(_, locks)| locks.retain(|lock| lock.0 != name));
                }
                (Action::Ended, _) => held.retain(|(process, _), _| *process != event.process),
                _ => {}
            }
        }
    }

    /// A cycle, in words.
    #[must_use]
    pub fn cycle(&self) -> Option<String> {
        self.edges.iter().find_map(|edge| self.closes(&mut vec![edge]))
    }

    fn closes<'a>(&'a self, path: &mut Vec<&'a Edge>) -> Option<String> {
        let last = *path.last()?;
        for next in &self.edges {
            let apart = |edge: &&Edge| {
                let gate = |one: &Lock| next.beside.iter().any(|other| excludes(one, other));
                edge.participant != next.participant && !edge.beside.iter().any(gate)
            };
            if !excludes(&last.wanted, &next.held) || !path.iter().all(apart) {
                continue;
            }
            path.push(next);
            if excludes(&next.wanted, &path[0].held) {
                let step = |edge: &&Edge| {
                    let mode = |lock: &Lock| format!("{}({})", if lock.1 { 'W' } else { 'R' }, lock.0);
                    let who = Workload::name(edge.participant);
                    format!("{who} asks for {} with {}", mode(&edge.wanted), mode(&edge.held))
                };
                return Some(path.iter().map(step).collect::<Vec<_>>().join("; "));
            }
            let found = self.closes(path);
            if found.is_some() {
                return found;
            }
            path.pop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(participant: usize, held: &str, wanted: &str, beside: &[(&str, bool)]) -> Edge {
        let lock = |text: &str| (text.to_owned(), true);
        let beside = beside.iter().map(|(name, exclusive)| ((*name).to_owned(), *exclusive)).collect();
        Edge { participant, held: lock(held), wanted: lock(wanted), beside }
    }

    fn cycle(edges: &[Edge]) -> Option<String> {
        LockOrder { edges: edges.iter().cloned().collect() }.cycle()
    }

    #[test]
    fn two_orders_are_a_cycle_and_one_is_none() {
        let found = cycle(&[edge(0, "a", "b", &[]), edge(1, "b", "a", &[])]);
        assert_eq!(found.as_deref(), Some("A asks for W(b) with W(a); B asks for W(a) with W(b)"));
        assert_eq!(cycle(&[edge(0, "a", "b", &[]), edge(1, "a", "b", &[])]), None);
        assert_eq!(cycle(&[edge(0, "a", "b", &[]), edge(0, "b", "a", &[])]), None, "one process, one after the other");
        let three = [edge(0, "a", "b", &[]), edge(1, "b", "c", &[]), edge(2, "c", "a", &[])];
        assert!(cycle(&three).is_some());
    }

    #[test]
    fn what_a_third_lock_keeps_apart_or_what_is_shared_is_no_cycle() {
        let gate = &[("gate", true)][..];
        assert_eq!(cycle(&[edge(0, "a", "b", gate), edge(1, "b", "a", gate)]), None);
        assert!(cycle(&[edge(0, "a", "b", &[("gate", false)]), edge(1, "b", "a", &[("gate", false)])]).is_some());
        let mut shared = edge(1, "b", "a", &[]);
        shared.held.1 = false;
        let mut reader = edge(0, "a", "b", &[]);
        reader.wanted.1 = false;
        assert_eq!(cycle(&[reader, shared]), None, "both hold b in shared mode");
    }
}
