//! What answers and documents show, whoever was run: reference processes, or the real library.

use std::collections::BTreeMap;

use lockproof_model::call::{Call, Reply};
use lockproof_model::monitor;
use lockproof_model::op::Path;
use lockproof_model::state::Shared;
use lockproof_model::value::Value;

use crate::replay::CallMade;

/// What was seen of a run.
pub(super) struct Seen<'r> {
    /// What each document held at the start.
    pub(super) initial: &'r BTreeMap<Path, Value>,
    /// The calls, in the order in which they began.
    pub(super) calls: &'r [CallMade],
    /// What happened, in order, each with the number of the step and the process id.
    pub(super) happened: Vec<(usize, u32, Happened<'r>)>,
}

/// Something that properties are judged by.
pub(super) enum Happened<'r> {
    /// A document that answers are judged by was replaced.
    Replaced {
        document: Path,
        value: &'r Value,
        /// In which call; `None` if that is not known.
        call: Option<&'r Call>,
    },
    /// A process was killed.
    Killed { process: u8 },
    /// A call returned.
    Returned { call: &'r Call, reply: &'r Reply },
}

impl Seen<'_> {
    fn at_the_start(&self) -> Shared {
        Shared { documents: self.initial.clone(), ..Shared::default() }
    }

    /// What answers are judged by: as it was at the start, and after each step that replaced a part of it.
    fn contents_over_time(&self) -> Vec<(usize, Shared)> {
        let mut shared = self.at_the_start();
        let mut over_time = vec![(0, shared.clone())];
        for (number, _, what) in &self.happened {
            if let Happened::Replaced { document, value, .. } = what {
                shared.documents.insert(document.clone(), (*value).clone());
                over_time.push((*number, shared.clone()));
            }
        }
        over_time
    }

    /// An answer that was true at no moment of its call.
    pub(super) fn stale_answer(&self) -> Option<String> {
        let over_time = self.contents_over_time();
        self.calls.iter().find_map(|made| {
            let (ended, reply) = made.ended.as_ref().filter(|_| made.call.is_query())?;
            // What was there when it began, and everything that came until it ended.
            let first = over_time.iter().rposition(|(step, _)| *step < made.begun).unwrap_or(0);
            let meanwhile = over_time[first..].iter().take_while(|(step, _)| step <= ended);
            let answers = meanwhile.flat_map(|(_, shared)| monitor::answers(&made.call, shared)).collect();
            let (_, text) = monitor::judge_answer(&made.call, reply, &answers)?;
            Some(format!("pid {}, steps {} to {ended}: {text}", made.pid, made.begun))
        })
    }

    /// A call that returned an error.
    pub(super) fn error(&self) -> Option<String> {
        self.calls.iter().find_map(|made| {
            let (ended, Err(fail)) = made.ended.as_ref()? else { return None };
            let (_, text) = monitor::failed(&made.call, fail);
            Some(format!("pid {}, step {ended}: {text}", made.pid))
        })
    }

    /// What is wrong after a kill: something acknowledged is gone, or something half-made is seen.
    pub(super) fn crash_damage(&self) -> Option<String> {
        let mut shared = self.at_the_start();
        monitor::acknowledge_all(&mut shared);
        for (number, pid, what) in &self.happened {
            let wrong = match what {
                Happened::Killed { process } => {
                    let begun = self.calls.iter().filter(|made| made.process == *process && made.pid == *pid);
                    let under_way = begun.filter(|made| made.ended.is_none() && made.begun < *number);
                    monitor::killed(under_way.map(|made| made.call.clone()), &mut shared);
                    None
                }
                Happened::Replaced { document, value, call } => {
                    let replaced = shared.documents.insert(document.clone(), (*value).clone()).unwrap_or_default();
                    call.and_then(|call| monitor::contents_replaced(call, document, &replaced, &mut shared))
                }
                Happened::Returned { call, reply } => monitor::call_ends(call, reply, &mut shared),
            };
            if let Some((_, text)) = wrong {
                return Some(format!("pid {pid}, step {number}: {text}"));
            }
        }
        None
    }
}
