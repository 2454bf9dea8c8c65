//! Linearizability (Herlihy and Wing 1990) against the sequential model: is there an order of the sections of all commands
//! that respects real time, and gives every answer and the store that is there at the end? All orders are tried, each state
//! once (Wing and Gong 1993; Lowe 2017 for the memory of states).

use std::collections::BTreeSet;

use super::command::Command;
use super::section::Memory;
use super::store::Store;
use crate::hunt::daemon::script::{Call, OPEN, RUN, Script};
use crate::hunt::workload::Workload;

/// What a command answered: its exit status, and its lines in alphabetical order. One that was cut short has no status; it
/// may have taken effect as far as any of its sections.
pub(crate) type Answer = (Option<i32>, String);

/// Which commands had ended before which began: pairs of the earlier and the later.
pub type Precedence = Vec<(usize, usize)>;

/// The commands as the model knows them, and the store to begin with.
pub struct Specification {
    commands: Vec<Command>,
    start: Store,
}

/// Where each command is: how many sections are done, what it remembers, and whether it has ended and how.
type Positions = Vec<(usize, Memory, Option<i32>)>;

impl Specification {
    /// Of the commands; `Err` names the first that is not modelled. `adds_at_once` says of each command whether its release's
    /// `add-names` is one section.
    ///
    /// # Errors
    /// The command that the model does not know.
    pub fn new(start: Store, commands: &[Vec<String>], adds_at_once: impl Fn(usize) -> bool) -> Result<Self, String> {
        let command =
            |(at, words): (usize, &Vec<String>)| Command::of(words, adds_at_once(at)).ok_or_else(|| words.join(" "));
        Ok(Self { commands: commands.iter().enumerate().map(command).collect::<Result<_, _>>()?, start })
    }

    /// Of the commands and calls of a workload with processes of the library, in the order of
    /// [`Workload::operations`].
    ///
    /// # Errors
    /// The command or call that the model does not know.
    pub(in crate::hunt) fn of_workload(
        start: Store,
        workload: &Workload,
        adds_at_once: impl Fn(usize) -> bool,
    ) -> Result<Self, String> {
        let calls = || workload.daemons.iter().flat_map(Script::calls);
        let mounts = calls().all(|call| call.call != OPEN || call.args.first().is_none_or(|run| run == RUN));
        let call = |call: &Call| Command::of_call(call, mounts).ok_or_else(|| call.to_string());
        let calls: Vec<Command> = calls().map(call).collect::<Result<_, _>>()?;
        let mut new = Self::new(start, &workload.commands, adds_at_once)?;
        new.commands.extend(calls);
        Ok(new)
    }

    /// How many sections each command has.
    #[must_use]
    pub fn sections(&self) -> Vec<usize> {
        self.commands.iter().map(|command| command.sections.len()).collect()
    }

    /// Whether some order of the sections explains the answers and the store at the end.
    #[must_use]
    pub fn explains(&self, answers: &[Answer], end: &Store, precedence: &Precedence) -> bool {
        let begin: Positions = self.commands.iter().map(|_| (0, Memory::default(), None)).collect();
        let mut seen = BTreeSet::new();
        let mut left = vec![(self.start.clone(), begin)];
        while let Some((store, positions)) = left.pop() {
            if !seen.insert((store.clone(), positions.clone())) {
                continue;
            }
            let is_over = |(at, (_, _, ended)): (usize, &(usize, Memory, Option<i32>))| {
                ended.is_some() || answers[at].0.is_none()
            };
            if positions.iter().enumerate().all(is_over) && store == *end {
                return true;
            }
            for at in 0..positions.len() {
                let must_wait = |(before, after): &(usize, usize)| *after == at && positions[*before].2.is_none();
                if positions[at].2.is_some() || precedence.iter().any(must_wait) {
                    continue;
                }
                let (mut store, mut positions) = (store.clone(), positions.clone());
                let (done, memory, ended) = &mut positions[at];
                let sections = &self.commands[at].sections;
                let failed = sections.get(*done).is_some_and(|section| section(&mut store, memory).is_err());
                *done += 1;
                if failed || *done >= sections.len() {
                    let status = i32::from(failed);
                    if answers[at].0.is_some() && !self.answers(at, status, memory, &answers[at]) {
                        continue;
                    }
                    *ended = Some(status);
                }
                left.push((store, positions));
            }
        }
        false
    }

    /// Whether a command that ends so may have answered this.
    fn answers(&self, at: usize, status: i32, memory: &Memory, (said, lines): &Answer) -> bool {
        // What fails prints nothing that counts.
        let fits = |status: i32| *said == Some(status);
        if !fits(status) && !(memory.any_status && (fits(0) || fits(1))) {
            return false;
        }
        if status != 0 || memory.any_status || !self.commands[at].prints {
            return true;
        }
        let shown = |line: &String| if line.starts_with('*') { "*".to_owned() } else { line.clone() };
        let mut expected: Vec<String> = memory.lines.iter().map(shown).collect();
        expected.sort();
        expected.join("\n") == *lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Layer;
    use super::*;

    fn base() -> Store {
        let mut store = Store::default();
        store.layers.insert("base".into(), Layer::default());
        store
    }

    fn commands(all: &[&str]) -> Vec<Vec<String>> {
        all.iter().map(|command| command.split(' ').map(str::to_owned).collect()).collect()
    }

    fn named(names: &[&str]) -> Store {
        let mut store = base();
        store.layers.get_mut("base").expect("it").names = names.iter().map(|name| (*name).to_owned()).collect();
        store
    }

    #[test]
    fn a_lost_name_is_explained_only_if_add_names_is_two_sections() {
        let both = commands(&["add-names -n x base", "add-names -n y base"]);
        let answers = vec![(Some(0), String::new()), (Some(0), String::new())];
        for (adds_at_once, explained) in [(false, true), (true, false)] {
            let model = Specification::new(base(), &both, |_| adds_at_once).expect("both are modelled");
            assert_eq!(model.explains(&answers, &named(&["x"]), &vec![]), explained);
            assert!(model.explains(&answers, &named(&["x", "y"]), &vec![]));
            // A name that was acknowledged is gone though nobody set names at the same time.
            assert!(!model.explains(&answers, &named(&["x"]), &vec![(0, 1)]));
            assert!(!model.explains(&answers, &named(&[]), &vec![]));
        }
    }

    #[test]
    fn real_time_is_respected() {
        let both = commands(&["create-layer -i a", "layers"]);
        let model = Specification::new(Store::default(), &both, |_| true).expect("both are modelled");
        let mut end = Store::default();
        end.layers.insert("a".into(), Layer::default());
        let answers = vec![(Some(0), "a".to_owned()), (Some(0), String::new())];
        assert!(model.explains(&answers, &end, &vec![]));
        assert!(!model.explains(&answers, &end, &vec![(0, 1)]), "the list does not have what was there before");
        let seen = vec![(Some(0), "a".to_owned()), (Some(0), "a".to_owned())];
        assert!(model.explains(&seen, &end, &vec![(0, 1)]));
        assert!(!model.explains(&seen, &end, &vec![(1, 0)]), "the list has what was not there yet");
    }

    #[test]
    fn what_was_acknowledged_must_be_there() {
        let both = commands(&["create-layer -i a base", "delete-layer base"]);
        let model = Specification::new(base(), &both, |_| true).expect("both are modelled");
        let both_did = vec![(Some(0), "a".to_owned()), (Some(0), String::new())];
        let mut end = Store::default();
        end.layers.insert("a".into(), Layer { parent: Some("base".into()), ..Layer::default() });
        assert!(!model.explains(&both_did, &end, &vec![]), "a child without its parent");
        let deleted = vec![(Some(1), String::new()), (Some(0), String::new())];
        assert!(model.explains(&deleted, &Store::default(), &vec![]));
        assert!(!model.explains(&deleted, &base(), &vec![]), "it is still there");
    }

    #[test]
    fn who_was_killed_may_have_taken_effect_or_not() {
        let all = commands(&["create-layer -i a base"]);
        let model = Specification::new(base(), &all, |_| true).expect("it is modelled");
        let mut end = base();
        let killed = [(None, String::new())];
        assert!(model.explains(&killed, &end, &vec![]));
        end.layers.insert("a".into(), Layer { parent: Some("base".into()), ..Layer::default() });
        assert!(model.explains(&killed, &end, &vec![]));
        assert!(!model.explains(&[(Some(0), "a".into())], &base(), &vec![]), "it was acknowledged, and is not there");
    }

    #[test]
    fn a_list_of_layers_is_three_sections() {
        let all = commands(&["layers", "create-image -i i base"]);
        let model = Specification::new(base(), &all, |_| true).expect("both are modelled");
        assert_eq!(model.sections(), [3, 2]);
        assert!(Specification::new(base(), &commands(&["dedup"]), |_| true).is_err_and(|unknown| unknown == "dedup"));
    }
}
