//! One step as Promela: beside what the operation does, what the call, the properties and the registers make of it.

use std::fmt::Write as _;

use super::node::{Place, Writer, mode};
use super::registers::{matches, moves, register};
use super::symbolic::{ByKind, Kind, Pattern, State, Step};
use crate::call::{Call, Reply};
use crate::op::{Mode, Note, Op, Outcome};
use crate::value::Value;

/// Effects that come last in a step, in this order. They have loops, so that their text is in the text once: the process
/// `tidy` does them.
const LAST: [&str; 3] = ["LEAVE", "COLLECT", "NORMALISE"];

/// Where the text of one control state grows.
pub(super) struct Options<'a> {
    pub(super) place: &'a Place<'a>,
    pub(super) number: usize,
    pub(super) state: &'a State,
    /// The control state that is written right below, where an option goes on without a `goto`.
    pub(super) below: Option<usize>,
    pub(super) text: String,
    /// Where the others go.
    pub(super) jumps: Vec<String>,
}

impl Writer<'_> {
    /// An option for the one outcome that needs no look at its value.
    pub(super) fn outcome(&self, options: &mut Options<'_>, outcome: &Outcome, guards: &[String], effects: &[String]) {
        self.judged(options, outcome, guards, effects, &[]);
    }

    pub(super) fn judged(
        &self,
        options: &mut Options<'_>,
        outcome: &Outcome,
        guards: &[String],
        effects: &[String],
        judge: &[String],
    ) {
        let found = options.state.edges.iter().find(|(pattern, _)| pattern.outcome == *outcome);
        match found.map(|(pattern, step)| (pattern.clone(), step.clone())) {
            Some((pattern, step)) => self.edge(options, &pattern, &step, guards, effects, judge, &ByKind::default()),
            None => options.never(guards),
        }
    }

    /// An option for an operation whose outcome is something new: it equals nothing that is held.
    pub(super) fn unguarded(
        &self,
        options: &mut Options<'_>,
        guards: &[String],
        effects: &[String],
        judge: &[String],
        source: &ByKind<Vec<String>>,
    ) {
        let found = options.state.edges.first_key_value().map(|(pattern, step)| (pattern.clone(), step.clone()));
        match found {
            Some((pattern, step)) => self.edge(options, &pattern, &step, guards, effects, judge, source),
            None => options.never(guards),
        }
    }

    /// An option for each outcome that was learned, and one for all others, which says so. `is` is what a value asks of
    /// the world, beside what its stamps, objects and times do; those are in `source`.
    pub(super) fn outcomes(
        &self,
        options: &mut Options<'_>,
        judge: &[String],
        is: &dyn Fn(&Value) -> Vec<String>,
        source: &ByKind<Vec<String>>,
    ) {
        let mut all = Vec::new();
        for (pattern, step) in &options.state.edges {
            let Outcome::Value(value) = &pattern.outcome else { continue };
            let mut conditions = is(value);
            conditions.extend(matches(pattern, &options.state.registers, source));
            all.push(and(&conditions));
            self.edge(options, pattern, step, &conditions, &[], judge, source);
        }
        options.never(&[format!("!({})", if all.is_empty() { "false".into() } else { all.join(" || ") })]);
    }

    pub(super) fn now_after_tick(
        &self,
        options: &mut Options<'_>,
        guards: &[String],
        now: &ByKind<Vec<String>>,
        later: &ByKind<Vec<String>>,
    ) {
        let tick = ["clock = clock + 2".to_owned()];
        let mut all = Vec::new();
        for (pattern, step) in &options.state.edges {
            let mut conditions = guards.to_vec();
            let matching = matches(pattern, &options.state.registers, later);
            all.push(and(&matching));
            conditions.extend(matching);
            self.edge(options, pattern, step, &conditions, &tick, &[], now);
        }
        let mut other = guards.to_vec();
        other.push(format!("!({})", if all.is_empty() { "false".into() } else { all.join(" || ") }));
        options.never(&other);
    }

    /// A step that leaves the thread where it is, in the queue of a lock.
    pub(super) fn stay(&self, options: &mut Options<'_>, guards: &[String], effects: &[String]) {
        let mut effects = effects.to_vec();
        effects.extend(self.begin(options));
        if options.place.shared_memory {
            effects.push("JUDGE_RACE(me)".into());
        }
        let here = options.place.label(options.number);
        options.add(guards, &effects, &here);
    }

    /// The Go runtime or the protocol ends the process.
    pub(super) fn fatal(&self, options: &mut Options<'_>, guards: &[String]) {
        let effects = if options.place.shared_memory { vec!["STANDS_BEFORE(t, 0)".to_owned()] } else { vec![] };
        options.add(guards, &effects, "panics");
    }

    /// The call begins with its first step.
    pub(super) fn begin(&self, options: &Options<'_>) -> Vec<String> {
        let place = options.place;
        if options.number != place.root {
            return Vec::new();
        }
        let mut effects = vec!["begun[t] = 1".to_owned()];
        if let Some(query) = self.layout.queries.iter().position(|(call, _)| call == place.call) {
            effects.push(format!("ASK(t, {})", query + 1));
        }
        if let Call::PutLayer { id, .. } = place.call {
            effects.push(format!("makes(t, {})", self.layout.layer(id).trailing_zeros()));
        }
        effects.extend(self.notes(place.root_notes));
        if matches!(options.state.op(), Some(Op::Lock { .. } | Op::RwLock { .. })) {
            // It may have begun when it joined the queue.
            let effects = effects.join("; ");
            return vec![format!("if :: !begun[t] -> {effects} :: else fi")];
        }
        effects
    }

    pub(super) fn notes(&self, notes: &[Note]) -> Vec<String> {
        let one = |note: &Note| match note {
            Note::Acquire(..) => None,
            Note::Acquired(path, wanted) => Some(format!("ACQUIRED(me, t, {}, {})", self.lock(path), mode(*wanted))),
            Note::Release(path) => Some(format!("release(t, {})", self.lock(path))),
        };
        notes.iter().filter_map(one).collect()
    }

    /// An option that takes an edge.
    #[expect(clippy::too_many_arguments, reason = "an edge, and all that its operation does")]
    pub(super) fn edge(
        &self,
        options: &mut Options<'_>,
        pattern: &Pattern,
        step: &Step,
        guards: &[String],
        effects: &[String],
        judge: &[String],
        source: &ByKind<Vec<String>>,
    ) {
        let place = options.place;
        let target = &self.automata.states[step.target];
        let mut all = effects.to_vec();
        all.extend(self.begin(options));
        all.extend(judge.iter().cloned());
        all.extend(self.notes(&step.notes));
        let lost = |kind| target.registers.get(kind) < options.state.registers.get(kind) || target.reply().is_some();
        let set = |kind| match options.state.op() {
            Some(Op::Set { cell, .. }) => self.layout.slots(cell, kind).0 > 0,
            _ => false,
        };
        let label = match target.reply() {
            Some(reply) => {
                all.extend(self.reply(place, reply));
                let held = Kind::ALL.into_iter().flat_map(|kind| {
                    (0..*options.state.registers.get(kind)).map(move |place| format!("{} = 0", register(kind, place)))
                });
                all.extend(held);
                all.extend(place.after.0.iter().cloned());
                place.after.1.clone()
            }
            None => {
                all.extend(moves(pattern, step, &options.state.registers, source));
                if place.shared_memory {
                    all.push(self.stands_before(target.op()));
                }
                place.label(step.target)
            }
        };
        let ticks = effects.iter().any(|effect| effect.contains("clock"));
        all.extend(self.tidy(ticks, &|kind| set(kind) || lost(kind)));
        if place.shared_memory {
            all.push("JUDGE_RACE(me)".into());
        }
        all.extend(self.turn(options, target));
        options.add(guards, &all, &label);
    }

    /// What is forgotten, and made dense, after a step that ticked, or after which fewer numbers of a kind may be held.
    pub(super) fn tidy(&self, ticks: bool, fewer: &dyn Fn(Kind) -> bool) -> Vec<String> {
        let mut effects = Vec::new();
        if !self.layout.cells.fields.is_empty() && fewer(Kind::Object) {
            effects.push("COLLECT".into());
        }
        if !self.layout.timed.is_empty() && (ticks || fewer(Kind::Time)) {
            effects.push("NORMALISE".into());
        }
        effects
    }

    /// The access to a cell that a thread stands before now.
    pub(super) fn stands_before(&self, op: Option<&Op>) -> String {
        match op {
            Some(Op::Get { cell }) => format!("STANDS_BEFORE(t, 2 * ({}) + 1)", self.cell(cell)),
            Some(Op::Set { cell, .. }) => format!("STANDS_BEFORE(t, 2 * ({}) + 2)", self.cell(cell)),
            _ => "STANDS_BEFORE(t, 0)".into(),
        }
    }

    /// Whether the thread goes on at once, with `-DMERGE`.
    pub(super) fn turn(&self, options: &Options<'_>, target: &State) -> Option<String> {
        if options.place.shared_memory {
            return None;
        }
        let own = |op: &Op| match op {
            Op::Get { .. } | Op::Set { .. } | Op::New | Op::WriteTemp { .. } | Op::Sync { .. } => {
                Some("KEEP(t)".into())
            }
            Op::MutexLock { mutex } => Some(format!("KEEP_IF(!MUTEX(me, {}), t)", self.mutex(mutex))),
            Op::RwLock { mutex, mode } => {
                let mutex = self.rw_mutex(mutex);
                let also = if *mode == Mode::Exclusive { format!(" && !READERS(me, {mutex})") } else { String::new() };
                Some(format!("KEEP_IF(!WRITER(me, {mutex}){also}, t)"))
            }
            // Of a mutex that is locked; and if it is not, the process ends.
            Op::MutexUnlock { .. } | Op::RwUnlock { .. } => Some("KEEP(t)".into()),
            _ => None,
        };
        let keeps = target.op().and_then(own);
        let kept = options.state.op().and_then(own).is_some();
        keeps.or_else(|| kept.then(|| "YIELD".into()))
    }

    /// What properties make of a reply, and the end of the call.
    pub(super) fn reply(&self, place: &Place<'_>, reply: &Reply) -> Vec<String> {
        let mut effects = Vec::new();
        if let Some((_, replies)) = self.layout.queries.iter().find(|(call, _)| call == place.call) {
            effects.push(match replies.iter().position(|known| known == reply) {
                Some(bit) => format!("ANSWERED(t, {bit})"),
                None => "ANSWERED_OTHERWISE".into(),
            });
        }
        if reply.is_err() {
            effects.push("FAILED".into());
        }
        let layer = |id: &String| self.layout.layer(id);
        let (seen, made) = match (place.call, reply) {
            (_, Err(_)) => (0, 0),
            (Call::Exists { id }, Ok(Value::Bool(true))) | (Call::Names { id }, Ok(_)) => (layer(id), 0),
            (Call::Lookup { .. }, Ok(Value::Text(id))) => (layer(id), 0),
            (Call::Layers, Ok(Value::List(ids))) => {
                let bit = |id: &Value| if let Value::Text(id) = id { layer(id) } else { 0 };
                (ids.iter().fold(0, |mask, id| mask | bit(id)), 0)
            }
            (Call::PutLayer { id, parent, .. }, Ok(_)) => (parent.as_ref().map_or(0, layer), layer(id)),
            _ => (0, 0),
        };
        if (seen, made) != (0, 0) {
            effects.push(format!("replied({seen}, {made})"));
        }
        effects.push("ends(t)".into());
        effects
    }
}

impl Options<'_> {
    pub(super) fn add(&mut self, guards: &[String], effects: &[String], label: &str) {
        let mut all = vec!["MAY(me, t)".to_owned()];
        if self.place.waits_until_ready && self.number == self.place.root {
            all.push("ready[me]".into());
        }
        all.extend(guards.iter().cloned());
        let (last, mut steps): (Vec<_>, Vec<_>) =
            effects.iter().cloned().partition(|effect| LAST.iter().any(|last| effect.starts_with(last)));
        if !last.is_empty() {
            steps.push(format!("after!me,{}", last.join(" + ")));
        }
        let text =
            if steps.is_empty() { and(&all) } else { format!("atomic {{ {} -> {} }}", and(&all), steps.join("; ")) };
        if self.below.is_some_and(|below| self.place.label(below) == label) {
            let _ = writeln!(self.text, "    :: {text}");
        } else {
            let _ = writeln!(self.text, "    :: {text}; goto {label}");
            self.jumps.push(label.to_owned());
        }
    }

    /// An outcome that the explorer never saw is an error.
    pub(super) fn never(&mut self, guards: &[String]) {
        self.add(guards, &["assert(unlearned)".to_owned()], "stopped");
    }
}

pub(super) fn and(conditions: &[String]) -> String {
    if conditions.is_empty() { "true".into() } else { conditions.join(" && ") }
}
