//! Shrinking: from a scenario that fails to the smallest one that still does.

use lockproof_model::call::Call;
use lockproof_model::protocol::Entry;
use lockproof_model::system::Repeat;
use lockproof_scenarios::{Kind, Scenario};

use crate::tidy;

/// The scenarios that are one step smaller than `scenario`, the boldest steps first: without a process, a thread, a call,
/// kills, a layer, a property; one process instead of two; done once instead of often; one protocol instead of two, an older
/// one instead of a newer.
/// To go on from any of them ends.
#[must_use]
pub fn smaller(scenario: &Scenario, protocols: &[Entry]) -> Vec<Scenario> {
    let mut found = Vec::new();
    let mut edits = Edits { scenario, protocols, found: &mut found };
    edits.all();
    found
}

struct Edits<'a> {
    scenario: &'a Scenario,
    protocols: &'a [Entry],
    found: &'a mut Vec<Scenario>,
}

impl Edits<'_> {
    /// A candidate, unless nothing is left of it or nothing has changed.
    fn edit(&mut self, edit: impl FnOnce(&mut Scenario)) {
        let mut changed = self.scenario.clone();
        edit(&mut changed);
        if let Some(smaller) = tidy::tidied(changed, self.protocols)
            && smaller.text != self.scenario.text
        {
            self.found.push(smaller);
        }
    }

    fn all(&mut self) {
        let scenario = self.scenario;
        let kinds = || scenario.kinds.iter().enumerate();
        if scenario.kinds.len() > 1 {
            kinds().for_each(|(at, _)| self.edit(|s| drop(s.kinds.remove(at))));
            (1..scenario.kinds.len()).for_each(|at| self.edit(|s| into_one(&mut s.kinds, at)));
        }
        for (at, kind) in kinds() {
            if kind.count > 1 {
                self.edit(|s| s.kinds[at].count -= 1);
            }
            if kind.threads.len() > 1 {
                (0..kind.threads.len()).for_each(|thread| self.edit(|s| drop(s.kinds[at].threads.remove(thread))));
            }
        }
        if scenario.fine_times {
            self.edit(|s| s.fine_times = false);
        }
        if scenario.crashes > 0 {
            self.edit(|s| s.crashes = 0);
            self.edit(|s| s.crashes -= 1);
            for (at, _) in kinds().filter(|(_, kind)| kind.may_crash) {
                self.edit(|s| s.kinds[at].may_crash = false);
            }
        }
        for (at, kind) in kinds() {
            for call in (1..kind.before.len()).rev() {
                self.edit(|s| drop(s.kinds[at].before.remove(call)));
            }
            for (thread, script) in kind.threads.iter().enumerate().map(|(thread, it)| (thread, &it.script)) {
                for call in 0..script.len() {
                    self.edit(|s| drop(s.kinds[at].threads[thread].script.remove(call)));
                }
            }
        }
        for (at, kind) in kinds() {
            for fewer in fewer(kind.runs) {
                self.edit(|s| s.kinds[at].runs = fewer);
            }
            for (thread, repeat) in kind.threads.iter().enumerate().map(|(thread, it)| (thread, it.repeat)) {
                for fewer in fewer(repeat) {
                    self.edit(|s| s.kinds[at].threads[thread].repeat = fewer);
                }
            }
            if kind.protocol.is_some() {
                self.edit(|s| s.kinds[at].protocol = None);
            }
        }
        for at in 0..scenario.aliases.len() {
            self.edit(|s| drop(s.aliases.remove(at)));
        }
        for at in 0..scenario.mounts.len() {
            self.edit(|s| drop(s.mounts.remove(at)));
        }
        for at in 0..scenario.containers.len() {
            self.edit(|s| {
                let container = s.containers.remove(at);
                s.layers.retain(|layer| layer.id != container.layer);
            });
            self.edit(|s| s.containers[at].image.clear());
        }
        for at in 0..scenario.images.len() {
            self.edit(|s| drop(s.images.remove(at)));
            self.edit(|s| s.images[at].layer.clear());
            self.edit(|s| s.images[at].names.clear());
        }
        for at in 0..scenario.layers.len() {
            self.edit(|s| drop(s.layers.remove(at)));
            self.edit(|s| s.layers[at].incomplete = false);
            self.edit(|s| s.layers[at].names.clear());
            self.edit(|s| s.layers[at].parent.clear());
        }
        if scenario.properties.len() > 1 {
            for at in 0..scenario.properties.len() {
                self.edit(|s| s.properties.retain(|property| *property != scenario.properties[at]));
            }
        }
        self.simpler_calls();
        self.older();
    }

    fn simpler_calls(&mut self) {
        for (at, kind) in self.scenario.kinds.iter().enumerate() {
            for (thread, it) in kind.threads.iter().enumerate() {
                for (place, call) in it.script.iter().enumerate() {
                    for simpler in simpler(call) {
                        self.edit(|s| s.kinds[at].threads[thread].script[place] = simpler);
                    }
                }
            }
        }
    }

    /// The protocol under check, replaced by those that stand before it in the list.
    fn older(&mut self) {
        let Some([name]) = self.scenario.protocols.as_deref() else { return };
        let older: Vec<Entry> = self.protocols.iter().copied().take_while(|entry| entry.name != name).collect();
        for entry in older {
            self.edit(|s| s.protocols = Some(vec![entry.name.into()]));
        }
    }
}

/// The process before `at` makes the calls of that one, too, after its own.
fn into_one(kinds: &mut Vec<Kind>, at: usize) {
    let Kind { before, threads, .. } = kinds.remove(at);
    let calls = threads.into_iter().flat_map(|thread| thread.script);
    let calls = before.into_iter().filter(|call| *call != Call::Open).chain(calls);
    if let Some(thread) = kinds[at - 1].threads.first_mut() {
        thread.script.extend(calls);
    }
}

fn fewer(repeat: Repeat) -> Vec<Repeat> {
    match repeat {
        Repeat::Forever => vec![Repeat::Times(1), Repeat::Times(2)],
        Repeat::Times(times @ 2..) => vec![Repeat::Times(times - 1)],
        Repeat::Times(_) => Vec::new(),
    }
}

fn simpler(call: &Call) -> Vec<Call> {
    match call {
        Call::PutLayer { id, parent, names, diff } => {
            let put = |parent: &Option<String>, names: &[String], diff| Call::PutLayer {
                id: id.clone(),
                parent: parent.clone(),
                names: names.to_vec(),
                diff,
            };
            let mut simpler = Vec::new();
            simpler.extend(diff.then(|| put(parent, names, false)));
            simpler.extend(parent.is_some().then(|| put(&None, names, *diff)));
            simpler.extend((!names.is_empty()).then(|| put(parent, &[], *diff)));
            simpler
        }
        Call::CreateImage { id, layer: Some(_), names } => {
            vec![Call::CreateImage { id: id.clone(), layer: None, names: names.clone() }]
        }
        Call::CreateContainer { id, image: Some(_), names } => {
            vec![Call::CreateContainer { id: id.clone(), image: None, names: names.clone() }]
        }
        Call::Lockfile { method, file, ro: true } => {
            vec![Call::Lockfile { method: *method, file: file.clone(), ro: false }]
        }
        Call::SetNames { id, names } if names.len() > 1 => {
            vec![Call::SetNames { id: id.clone(), names: names[..1].to_vec() }]
        }
        _ => Vec::new(),
    }
}
