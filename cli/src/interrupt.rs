//! Ctrl-C of a command that has something to show for the time it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// The signal that asked for an end, if one has.
#[derive(Debug)]
pub(crate) struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// From now on the first signal lets everything be shown and saved, and a second one ends the process.
    pub(crate) fn catch() -> Self {
        let interrupted = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: what comes last sees the first signal last. Without a handler, the signal kills at once.
            let _ = flag::register_conditional_default(signal, Arc::clone(&again));
            let _ = flag::register(signal, Arc::clone(&again));
            let number = usize::try_from(signal).unwrap_or_default();
            let _ = flag::register_usize(signal, Arc::clone(&interrupted), number);
        }
        Self(interrupted)
    }

    /// Whether a signal has come.
    pub(crate) fn has_come(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Ends the process by the signal, if one has come: who waits for it sees the signal, as of any command that is
    /// interrupted.
    pub(crate) fn obey(&self) {
        let signal = i32::try_from(self.0.load(Ordering::Relaxed)).unwrap_or_default();
        if signal != 0 {
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}
