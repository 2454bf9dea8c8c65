//! Several executions at once, each in a lane of its own: a thread with its store and its supervisor.
//!
//! The search stays one search. Lanes run what it is about to try, and then what it would try next if nothing came of that;
//! the search takes the executions in its own order. So the verdict, the number of executions and the first violation are
//! those of one lane. A guess that was wrong was run for nothing, and is not counted.
//!
//! What a command does before its first step (to be loaded, to set up its runtime) takes a third of an execution and more, and
//! does not depend on what is chosen: a lane that has nothing to run gets ready for the next one. Where there are more lanes
//! than executions are run at once, one gets ready while another runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::Wrong;
use super::execution::{Execution, Limits};
use super::ground::{Expected, Ground};
use super::outcome::Outcome;
use super::step::Step;
use super::strategy::{Beginning, RunsAhead, Strategy};
use super::workload::Workload;
use crate::error::HarnessError;

/// So many guesses are looked at, until there is one that has not been run.
const GUESSES_MAX: usize = 1000;

/// An execution, and what was made of it.
pub(super) struct Ran {
    pub(super) execution: Execution,
    pub(super) wrong: Option<Wrong>,
    pub(super) outcome: Option<Outcome>,
    /// Between what was chosen at each step.
    choices: Vec<Vec<Step>>,
}

struct Job {
    search: Box<dyn RunsAhead>,
    limits: Limits,
}

/// Runs executions as a search wants them, up to `at_once` of them at a time, and hands each to `take`, with whether the
/// search has another to try. `limits` is asked for the bounds of each.
///
/// # Errors
/// Those of any execution, and of `take`.
pub(super) fn run(
    grounds: &mut [Ground],
    at_once: usize,
    workload: &Workload,
    expected: &Expected,
    search: &mut Box<dyn RunsAhead>,
    limits: impl Fn() -> Limits,
    mut take: impl FnMut(Ran, bool) -> ControlFlow<()>,
) -> Result<(), HarnessError> {
    thread::scope(|scope| {
        let (done, answers) = channel();
        let mut free = VecDeque::new();
        let orders: Vec<Sender<Job>> = (grounds.iter_mut().enumerate())
            .map(|(lane, ground)| {
                let ((order, jobs), done) = (channel(), done.clone());
                scope.spawn(move || serve(lane, ground, workload, expected, &jobs, &done));
                free.push_back(lane);
                order
            })
            .collect();
        drop(done);
        let (mut under_way, mut there) = (BTreeSet::new(), BTreeMap::new());
        loop {
            let next = search.beginning();
            if let Some(ran) = there.remove(&next) {
                let Some(is_left) = follow(search, &ran) else { continue };
                if take(ran, is_left).is_break() || !is_left {
                    return Ok(());
                }
                continue;
            }
            let mut guess = search.copy();
            for _ in 0..GUESSES_MAX {
                // The one that has been free for longest is ready.
                let Some(lane) = free.front().copied().filter(|_| under_way.len() < at_once) else { break };
                let beginning = guess.beginning();
                if !there.contains_key(&beginning) && under_way.insert(beginning) {
                    free.pop_front();
                    // A lane that is gone has said why.
                    let _ = orders[lane].send(Job { search: guess.copy(), limits: limits() });
                }
                if at_once == 1 || !guess.pass() {
                    break;
                }
            }
            let gone = |_| HarnessError::Refused("every lane has ended, and none says why".into());
            let (lane, beginning, ran): (usize, Beginning, Result<Ran, HarnessError>) = answers.recv().map_err(gone)?;
            under_way.remove(&beginning);
            free.push_back(lane);
            there.insert(beginning, ran?);
        }
    })
}

/// Has the search follow an execution that another has run for it. Returns whether there is another to try; `None` if the
/// search would have gone elsewhere.
fn follow(search: &mut Box<dyn RunsAhead>, ran: &Ran) -> Option<bool> {
    let mut follower = search.copy();
    let steps = ran.execution.steps.iter().map(Some).chain(std::iter::once(None));
    for (enabled, step) in ran.choices.iter().zip(steps) {
        let chosen = follower.choose(enabled).ok().flatten().map(|chosen| &enabled[chosen]);
        if chosen.map(|chosen| chosen.unit) != step.map(|step| step.unit) {
            return None;
        }
        if let Some(chosen) = chosen {
            follower.fault(chosen);
        }
    }
    let is_left = follower.learn(&ran.execution);
    *search = follower;
    Some(is_left)
}

/// A lane: until nobody orders anything more.
fn serve(
    lane: usize,
    ground: &mut Ground,
    workload: &Workload,
    expected: &Expected,
    jobs: &Receiver<Job>,
    done: &Sender<(usize, Beginning, Result<Ran, HarnessError>)>,
) {
    loop {
        let ready = ground.start(workload);
        let Ok(Job { mut search, limits }) = jobs.recv() else {
            // If it fails, whoever uses the session next learns of it.
            let _ = ready.and_then(|mut ready| ready.clear());
            return;
        };
        let beginning = search.beginning();
        let mut noted = Noted { strategy: &mut *search, choices: Vec::new() };
        let ran = ready.and_then(|ready| ready.run(&mut noted, limits)).and_then(|execution| {
            let choices = noted.choices;
            let (wrong, outcome) = ground.judge(&execution, expected)?;
            Ok(Ran { execution, wrong, outcome, choices })
        });
        if done.send((lane, beginning, ran)).is_err() {
            return;
        }
    }
}

/// A strategy, and between what it chose.
struct Noted<'a> {
    strategy: &'a mut dyn Strategy,
    choices: Vec<Vec<Step>>,
}

impl Strategy for Noted<'_> {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        self.choices.push(enabled.to_vec());
        self.strategy.choose(enabled)
    }

    fn fault(&mut self, step: &Step) -> Option<super::fault::Fault> {
        self.strategy.fault(step)
    }

    fn learn(&mut self, execution: &Execution) -> bool {
        self.strategy.learn(execution)
    }
}
