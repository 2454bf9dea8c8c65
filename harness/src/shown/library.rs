//! Whether the real library showed what the model says.
//!
//! It is judged as reference processes are, from documents and answers. What a writer believes of a document is not seen of
//! the library: a lost update is one that was acknowledged, and is gone though nobody deletes anything.

use lockproof_model::call::Call;
use lockproof_model::monitor::show_document;
use lockproof_model::op::Path;
use lockproof_model::property::Property;

use super::seen::{Happened, Seen};
use super::{CRASH_NOT, DEADLOCK_NOT, ERROR_NOT, STALE_NOT, Shown, ids, made_in};
use crate::library::Enacted;
use crate::replay::CallMade;

impl Enacted {
    /// What the library showed of `property`; `None` if that cannot be judged of it. One that parted from the model shows
    /// nothing.
    #[must_use]
    pub fn shows(&self, property: Property) -> Option<Shown> {
        if let Some(parted) = &self.parted {
            let text = format!(
                "model and library part at step {}, in the {}: {}; {}",
                parted.number, parted.what, parted.model, parted.real
            );
            return Some(Shown::NotSeen(text));
        }
        Some(match property {
            Property::Fresh => Shown::of(self.seen().stale_answer(), STALE_NOT),
            Property::NoError => Shown::of(self.seen().error(), ERROR_NOT),
            Property::NoLostUpdate => Shown::of(self.lost(), "all that was acknowledged is there"),
            Property::NoDeadlock => Shown::of(self.deadlock(), DEADLOCK_NOT),
            Property::CrashSafe => {
                let stuck = || self.deadlock().filter(|_| !self.killed.is_empty());
                Shown::of(self.seen().crash_damage().or_else(stuck), CRASH_NOT)
            }
            Property::NoPanic => Shown::of(self.panics.first().cloned(), "nobody panicked"),
            Property::Exclusive
            | Property::MutualExclusion
            | Property::NoStarvationWeak
            | Property::NoStarvationStrong
            | Property::ParallelReads
            | Property::NoDataRace
            | Property::ReadOnly
            | Property::NoNeedlessLoad
            | Property::DriverAlive
            | Property::Ordered => return None,
        })
    }

    fn deadlock(&self) -> Option<String> {
        (!self.stuck.is_empty()).then(|| self.stuck.join("; "))
    }

    /// What answers and documents show, in order: what is killed or replaced is a step, and answers come after one.
    fn seen(&self) -> Seen<'_> {
        let mut happened = Vec::new();
        let replaced = self.replaced.iter().map(|(number, pid, call, document, value)| {
            (*number, *pid, Happened::Replaced { document: document.clone(), value, call: call.as_ref() })
        });
        happened.extend(replaced);
        let killed = self.killed.iter();
        happened.extend(killed.map(|(number, pid, process)| (*number, *pid, Happened::Killed { process: *process })));
        happened.extend(self.calls.iter().filter_map(|made| {
            let (number, reply) = made.ended.as_ref()?;
            Some((*number, made.pid, Happened::Returned { call: &made.call, reply }))
        }));
        happened.sort_by_key(|(number, ..)| *number);
        Seen { initial: &self.initial, calls: &self.calls, happened }
    }

    fn lost(&self) -> Option<String> {
        let deletes = |made: &CallMade| {
            let call = made.call.plain();
            matches!(call, Call::DeleteLayer { .. } | Call::DeleteImage { .. } | Call::DeleteContainer { .. })
        };
        if self.calls.iter().any(deletes) {
            return None;
        }
        let documents =
            ["root/vfs-layers/layers.json", "root/vfs-images/images.json", "root/vfs-containers/containers.json"];
        self.calls.iter().find_map(|made| {
            let (step, _) = made.ended.as_ref().filter(|(_, reply)| reply.is_ok())?;
            documents.iter().find_map(|document| {
                let document = Path::new(*document);
                let id = made_in(&document, &made.call)?;
                let holds = self.documents.get(&document).cloned().unwrap_or_default();
                (!ids(&holds).contains(&id)).then(|| {
                    let (file, holds) = (document.file_name(), show_document(&holds));
                    format!(
                        "pid {}, step {step}: `{}` was acknowledged and is gone; {file} holds {holds} at the end",
                        made.pid, made.call
                    )
                })
            })
        })
    }
}
