//! Which steps can be taken, and one that is.

use std::path::Path;
use std::time::Instant;

use lockproof_model::op::Mode;

use super::super::fault::Fault;
use super::super::step::{LockStep, Step, Unit};
use super::super::workload::Workload;
use super::{Running, SILENCE};
use crate::error::HarnessError;
use crate::supervise::event::Action;
use crate::supervise::locks::{Owner, Request};
use crate::supervise::session::{Session, Stopped};

impl Running<'_> {
    /// The steps that can be taken now, one for each unit that can take one. Of several calls of one process, the first by
    /// name. A request for a lock that is not free is no step, unless all that is left is a cycle of such requests: then the
    /// last to ask gets `EDEADLK`, and each may be the last.
    pub(super) fn enabled(&mut self) -> Result<Vec<Step>, HarnessError> {
        let (mut enabled, mut blocked) = (Vec::new(), Vec::new());
        let base = &self.stage.store;
        for (&unit, stopped) in &mut self.stopped {
            if stopped.len() > 1 {
                stopped.sort_by_cached_key(|stopped| describe(self.session, unit, base, stopped).what);
            }
            let mut is_free = false;
            for at in 0..stopped.len() {
                let describe = || describe(self.session, unit, base, &stopped[at]);
                let step = match stopped.len() {
                    1 => self.described.entry(unit).or_insert_with(describe).clone(),
                    _ => describe(),
                };
                let request = stopped[at].request().filter(|_| step.lock == LockStep::Takes).cloned();
                if request.is_none_or(|request| self.session.is_free(&request).unwrap_or(false)) {
                    enabled.push(step);
                    stopped.swap(0, at);
                    is_free = true;
                    break;
                }
            }
            if !is_free && let Some(first) = stopped.first() {
                let known = self.described.get(&unit).cloned();
                blocked.push(known.unwrap_or_else(|| describe(self.session, unit, base, first)));
            }
        }
        let parked: Vec<(u32, Unit, Step)> = (self.session.parked())
            .filter_map(|(thread, request)| {
                let unit = self.unit_of(request.owner.process(), thread)?;
                let action = Action::Grant(request.wanted.clone());
                Some((thread, unit, Step::of(unit, base, &[(action, None)])))
            })
            .collect();
        let free = self.session.grantable()?;
        for (thread, unit, step) in parked {
            if free.contains(&thread) && !enabled.iter().any(|step| step.unit == unit) {
                enabled.push(step);
            }
        }
        for step in self.tellable() {
            if !enabled.iter().any(|other| other.unit == step.unit) {
                enabled.push(step);
            }
        }
        if enabled.is_empty() {
            enabled.extend(blocked.into_iter().filter(|step| self.closes_cycle(step.unit)));
        }
        enabled.sort_by_key(|step| step.unit);
        Ok(enabled.into_iter().map(|step| self.in_memory(step)).collect())
    }

    /// Whether a unit's request would get `EDEADLK` if all others had asked before.
    pub(super) fn closes_cycle(&self, unit: Unit) -> bool {
        let mut table = self.session.locks().clone();
        for (other, stopped) in &self.stopped {
            let requests = stopped.iter().filter_map(|stopped| Some((stopped.thread, stopped.request()?)));
            for (thread, request) in requests.filter(|_| *other != unit) {
                if matches!(request.owner, Owner::Process(_)) && !table.in_the_way(request).is_empty() {
                    table.wait(thread, request.clone());
                }
            }
        }
        let mine = self.stopped.get(&unit).and_then(|stopped| stopped.first()?.request());
        mine.is_some_and(|request| table.deadlocks(request))
    }

    pub(super) fn take(&mut self, step: Step) -> Result<(), HarnessError> {
        let unit = step.unit;
        self.acts(unit.participant);
        self.give_turn(unit);
        let refusals = std::mem::take(&mut self.refusals);
        if step.fault == Some(Fault::Crash) {
            self.crash(unit)?;
            self.steps.push(step);
            return Ok(());
        }
        if !self.stopped.contains_key(&unit) && self.tell(&step)? {
            self.steps.push(step);
            return Ok(());
        }
        let stopped =
            self.stopped.get_mut(&unit).filter(|stopped| !stopped.is_empty()).map(|stopped| stopped.remove(0));
        let events = match (stopped, step.fault) {
            (Some(stopped), Some(Fault::Error(errno))) => self.session.fail(stopped, errno)?,
            (Some(stopped), Some(Fault::ShortWrite)) => self.session.shorten(stopped)?,
            (Some(stopped), _) => {
                let blocked = match stopped.request() {
                    Some(request) if step.lock == LockStep::Takes => !self.session.is_free(request)?,
                    _ => false,
                };
                let mut events = Vec::new();
                if blocked {
                    self.refusals = refusals + 1;
                    // The others of the cycle ask first.
                    self.described.clear();
                    let others: Vec<Unit> = self.stopped.keys().copied().filter(|other| *other != unit).collect();
                    for other in others {
                        for stopped in self.stopped.remove(&other).unwrap_or_default() {
                            events.extend(self.session.go(stopped)?);
                        }
                    }
                }
                events.extend(self.session.go(stopped)?);
                events
            }
            (None, _) => {
                let is_its =
                    |(thread, request): &(u32, &Request)| self.unit_of(request.owner.process(), *thread) == Some(unit);
                let thread = self.session.parked().find(is_its);
                match thread.map(|(thread, _)| thread) {
                    Some(thread) => self.session.grant(thread)?,
                    None => Vec::new(),
                }
            }
        };
        if self.stopped.get(&unit).is_some_and(Vec::is_empty) {
            self.stopped.remove(&unit);
        }
        for event in events {
            let participant = self.unit(event.process, event.thread).participant;
            self.events.push((participant, event));
        }
        self.steps.push(step);
        Ok(())
    }

    /// Kills a process, and waits until it is gone.
    fn crash(&mut self, unit: Unit) -> Result<(), HarnessError> {
        let Some(pid) = self.process_of(unit) else { return Ok(()) };
        self.session.kill(pid)?;
        let until = Instant::now() + SILENCE;
        while self.session.processes().any(|one| one == pid) {
            self.hear(SILENCE)?;
            if Instant::now() > until {
                let at = "a process that was killed does not end".into();
                return Err(HarnessError::Deadline { limit: SILENCE, at });
            }
        }
        Ok(())
    }

    /// The steps that units stand before, and those that they wait to take.
    pub(super) fn blocked(&self) -> Vec<Step> {
        let base = &self.stage.store;
        let stopped =
            self.stopped.iter().flat_map(|(unit, stopped)| stopped.iter().map(move |stopped| (unit, stopped)));
        let stopped = stopped.map(|(unit, stopped)| describe(self.session, *unit, base, stopped));
        let parked = self.session.parked().filter_map(|(thread, request)| {
            let unit = self.unit_of(request.owner.process(), thread)?;
            Some(Step::of(unit, base, &[(Action::Lock(request.wanted.clone()), None)]))
        });
        stopped.chain(parked).map(|step| self.in_memory(step)).collect()
    }

    /// Who waits, and for what.
    pub(super) fn waiting(&self) -> Vec<String> {
        let name = |unit: Unit| Workload::name(unit.participant);
        let blocked = self.blocked();
        let mut unanswered = self.unanswered();
        let nobody = blocked.is_empty() && unanswered.is_empty();
        let asleep = self.session.processes().filter_map(|pid| self.units.get(&pid)).filter(|_| nobody);
        let waits = |step: &Step| {
            let who = unanswered.remove(&step.unit).map_or(String::new(), |who| format!(" ({who})"));
            format!("{}{who} waits for {}", name(step.unit), step.what)
        };
        let mut all: Vec<String> = blocked.iter().map(waits).collect();
        // No call of theirs is waited for: what they wait for is inside their process.
        all.extend(unanswered.iter().map(|(unit, who)| format!("{} ({who}) waits inside its process", name(*unit))));
        all.extend(asleep.map(|unit| format!("{} sleeps", name(*unit))));
        all
    }
}

/// What a unit stands before.
fn describe(session: &Session, unit: Unit, base: &Path, stopped: &Stopped) -> Step {
    let actions: Vec<(Action, Option<Mode>)> = (stopped.actions().into_iter())
        .map(|action| {
            let released = match &action {
                Action::Release { file, .. } => {
                    file.id.and_then(|id| session.locks().of(stopped.process, id).map(|held| held.mode).max())
                }
                _ => None,
            };
            (action, released)
        })
        .collect();
    Step::of(unit, base, &actions)
}
