//! A participant that is killed on its way: at a step of its own, or near a document.
//!
//! What a crash leaves half-made is in the documents, so half of the kills strike there: before a document is written or gets
//! its name, or at the step after that. Then the one that is to be killed goes first, once processes of the library have
//! been used for a while, so that there are calls that come later and meet what it leaves.

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::hunt::execution::Execution;
use crate::hunt::fault::{Fault, Strike};
use crate::hunt::step::Step;
use crate::hunt::strategy::Strategy;

/// How many steps a command is thought to have, to draw the one at which it is killed.
const STEPS: usize = 120;

/// How many steps of a command are thought to write a document or give it its name.
const DOCUMENTS: usize = 12;

/// Kills a participant at one of its steps, and lets another strategy choose.
pub(super) struct Killing {
    inner: Box<dyn Strategy>,
    kill: Kill,
}

/// When.
enum Kill {
    /// Never, or not any more.
    No,
    /// At one of its steps.
    At(Option<Strike>),
    /// Near a document.
    Near(Near),
}

struct Near {
    participant: usize,
    /// How many steps at a document come before that one.
    left: usize,
    /// Whether it is killed at the step after that one.
    after: bool,
    /// Whether the next step is the one.
    is_next: bool,
}

impl Killing {
    /// Kills `participant`, if there is one, at a step that is drawn.
    pub(super) fn new(inner: Box<dyn Strategy>, participant: Option<usize>, draws: &mut StdRng) -> Self {
        let kill = match participant {
            None => Kill::No,
            Some(participant) if draws.random_bool(0.5) => {
                let (left, after) = (draws.random_range(0..DOCUMENTS), draws.random_bool(0.5));
                Kill::Near(Near { participant, left, after, is_next: false })
            }
            Some(participant) => Kill::At(Some(Strike::new(participant, draws.random_range(0..STEPS), Fault::Crash))),
        };
        Self { inner, kill }
    }
}

impl Near {
    /// Takes a step that was chosen: whether it is the one.
    fn strikes(&mut self, step: &Step) -> bool {
        if step.unit.participant != self.participant {
            return false;
        }
        if self.is_next {
            return true;
        }
        if is_at_document(&step.what) {
            match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                None if self.after => self.is_next = true,
                None => return true,
            }
        }
        false
    }

    /// Who goes, as long as it lives: the calls that come first of processes of the library, then the one that is to be killed.
    /// `None` if that has ended.
    fn first(&self, enabled: &[Step]) -> Option<usize> {
        // The end of its input comes only when all goroutines are done.
        let comes_first = |step: &Step| step.unit.participant != self.participant && step.unit.process == 0;
        let first = enabled.iter().position(comes_first);
        first.or_else(|| enabled.iter().position(|step| step.unit.participant == self.participant))
    }
}

/// Whether a step writes a document, under the name that it has until it is whole, or gives it its own.
fn is_at_document(what: &str) -> bool {
    let named = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.ends_with(".json") || name.starts_with(".tmp-") && name.contains(".json")
    };
    let file = what.strip_prefix("writes ").or_else(|| what.strip_prefix("renames ")?.split(" to ").nth(1));
    file.is_some_and(named)
}

impl Strategy for Killing {
    fn choose(&mut self, enabled: &[Step]) -> Result<Option<usize>, (String, String)> {
        if let Kill::Near(near) = &self.kill {
            match near.first(enabled) {
                Some(first) => return Ok(Some(first)),
                None => self.kill = Kill::No,
            }
        }
        self.inner.choose(enabled)
    }

    fn fault(&mut self, step: &Step) -> Option<Fault> {
        match &mut self.kill {
            Kill::No => None,
            Kill::At(strike) => Strike::at(strike, step),
            Kill::Near(near) => near.strikes(step).then(|| {
                self.kill = Kill::No;
                Fault::Crash
            }),
        }
    }

    fn learn(&mut self, execution: &Execution) -> bool {
        self.inner.learn(execution)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;
    use crate::hunt::step::Unit;

    fn step(participant: usize, process: usize, what: &str) -> Step {
        Step::tells(Unit { participant, process }, what.into())
    }

    #[test]
    fn what_is_at_a_document_is_known() {
        for (what, is) in [
            ("writes root/vfs-layers/.tmp-layers.json*0.0", true),
            ("renames root/vfs-layers/.tmp-layers.json*0.0 to root/vfs-layers/layers.json", true),
            ("writes root/vfs-layers/layers.lock", false),
            ("writes root/vfs-layers/.tmp-o.tar-split.gz*0.0", false),
            ("renames a.json to b.lock", false),
            ("reads root/vfs-layers/layers.json", false),
        ] {
            assert_eq!(is_at_document(what), is, "{what}");
        }
    }

    #[test]
    fn it_strikes_at_the_document_or_after_it() {
        let mine = ["opens x.lock", "writes x.json", "syncs x.json", "writes y.json", "U(x.lock)"];
        let struck = |left, after| {
            let mut near = Near { participant: 0, left, after, is_next: false };
            mine.iter().position(|what| near.strikes(&step(0, 0, what)))
        };
        let both = |left| (struck(left, false), struck(left, true));
        assert_eq!((both(0), both(1), both(2)), ((Some(1), Some(2)), (Some(3), Some(4)), (None, None)));
        let mut near = Near { participant: 0, left: 0, after: false, is_next: false };
        assert!(!near.strikes(&step(1, 0, "writes x.json")), "another one does so");
    }

    #[test]
    fn the_one_that_is_to_be_killed_goes_after_what_comes_first() {
        let near = Near { participant: 0, left: 0, after: false, is_next: false };
        let (command, before, goroutine) = (step(0, 0, "W(l)"), step(1, 0, "calls a names base"), step(1, 1, "W(l)"));
        assert_eq!(near.first(&[command.clone(), before.clone(), goroutine.clone()]), Some(1));
        assert_eq!(near.first(&[command, goroutine.clone()]), Some(0));
        assert_eq!(near.first(&[goroutine]), None);
    }

    #[test]
    fn half_of_the_kills_are_near_a_document() {
        let mut draws = StdRng::seed_from_u64(1);
        let mut near = 0;
        for _ in 0..100 {
            let killing = Killing::new(Box::new(crate::hunt::strategy::Random::new(1)), Some(0), &mut draws);
            near += usize::from(matches!(killing.kill, Kill::Near(_)));
        }
        assert_eq!(near, 43);
    }
}
