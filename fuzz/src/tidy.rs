//! What is left of a scenario once the calls are gone that make no sense in it, as they do after random changes. What makes
//! sense, [`parse`] says: it is asked, and the calls that it marks are left out.

use lockproof_model::call::Call;
use lockproof_model::protocol::Entry;
use lockproof_scenarios::{Kind, Scenario, parse};

/// `scenario` without what makes no sense in it, read back from its own text; `None` if something else than a call is
/// wrong.
pub(crate) fn tidied(mut scenario: Scenario, protocols: &[Entry]) -> Option<Scenario> {
    for (kind, number) in scenario.kinds.iter_mut().zip(1..) {
        kind.name = format!("p{number}");
        open_first(kind);
    }
    if scenario.crashes == 0 || !scenario.kinds.iter().any(|kind| kind.may_crash) {
        scenario.crashes = 0;
        scenario.kinds.iter_mut().for_each(|kind| kind.may_crash = false);
    }
    if scenario.kinds.iter().all(|kind| kind.protocol.is_some()) {
        scenario.kinds.first_mut()?.protocol = None;
    }
    // A call that goes may be the one that made what another asks for.
    loop {
        let text = scenario.to_toml();
        let refused = match parse("random.toml", &text, protocols) {
            Ok(scenario) => return Some(scenario),
            Err(refused) => refused,
        };
        let marked = refused.mistakes.iter().map(|mistake| mistake.span.offset());
        let mut calls: Vec<Place> = marked.map(|offset| place(&text, offset)).collect::<Option<_>>()?;
        calls.sort_unstable();
        calls.dedup();
        for call in calls.into_iter().rev() {
            call.remove(&mut scenario)?;
        }
    }
}

/// `open` comes first, in `before` or in each thread, unless the lock library is all that is called.
fn open_first(kind: &mut Kind) {
    let threads = kind.threads.iter_mut().map(|thread| &mut thread.script);
    let scripts: Vec<&mut Vec<Call>> = if kind.before.is_empty() {
        threads.filter(|script| !script.is_empty()).collect()
    } else {
        vec![&mut kind.before]
    };
    for script in scripts {
        if script[0] != Call::Open && !script[0].is_on_lockfile() {
            script.insert(0, Call::Open);
        }
    }
}

/// Where a call stands: its process, its thread or (0) what comes before all threads, its place in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    kind: usize,
    thread: usize,
    call: usize,
}

/// The call that holds the byte at `offset` of a text that [`Scenario::to_toml`] wrote; `None` if it is in no call.
fn place(text: &str, offset: usize) -> Option<Place> {
    let before = text.get(..offset)?;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = &text[start..];
    if !(line.starts_with("before = [") || line.starts_with("calls = [")) {
        return None;
    }
    let kind = before.matches("[[process]]").count().checked_sub(1)?;
    let thread = before[before.rfind("[[process]]")?..].matches("[[process.thread]]").count();
    // Calls hold no quotation marks: before the n-th one there are two for each of the others, and its own first.
    let call = text[start..=offset].matches('"').count().checked_sub(1)? / 2;
    Some(Place { kind, thread, call })
}

impl Place {
    fn remove(self, scenario: &mut Scenario) -> Option<Call> {
        let kind = scenario.kinds.get_mut(self.kind)?;
        let script = match self.thread.checked_sub(1) {
            None => &mut kind.before,
            Some(thread) => &mut kind.threads.get_mut(thread)?.script,
        };
        (self.call < script.len()).then(|| script.remove(self.call))
    }
}
