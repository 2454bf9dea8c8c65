//! Engines tell what they find by panicking; nobody wants to read that on standard error.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `act`, and catches its panic without a word on standard error.
pub(super) fn quietly<T>(act: impl FnOnce() -> T) -> std::thread::Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        // shuttle puts a hook of its own in front at its first run, which prints at every panic of the whole process. It
        // is not asked for; so that first run is here, and its hook is dropped.
        let before = std::panic::take_hook();
        ::shuttle::Runner::new(::shuttle::scheduler::DfsScheduler::new(Some(1), false), Default::default()).run(|| {});
        drop(std::panic::take_hook());
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(act));
    QUIET.set(outer);
    result
}

/// What a panic says.
pub(super) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "for an unknown reason".into())
}
