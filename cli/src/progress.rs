//! What is under way, on stderr: only where somebody watches, and only once it takes longer than a second.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::ticker::Ticker;

#[derive(Debug, Default)]
struct Work {
    done: usize,
    running: BTreeSet<String>,
}

/// The line of progress. Dropping it wipes it away.
#[derive(Debug)]
pub(crate) struct Progress {
    work: Arc<Mutex<Work>>,
    _ticker: Ticker,
}

impl Progress {
    /// Begins to watch `total` pieces of work.
    pub(crate) fn start(total: usize) -> Self {
        let work = Arc::new(Mutex::new(Work::default()));
        let watched = Arc::clone(&work);
        let line = move |elapsed| line(&watched.lock().unwrap_or_else(PoisonError::into_inner), total, elapsed);
        Self { work, _ticker: Ticker::start(line, None) }
    }

    /// A piece of work begins.
    pub(crate) fn begin(&self, name: &str) {
        self.change(|work| work.running.insert(name.to_owned()));
    }

    /// A piece of work is done.
    pub(crate) fn end(&self, name: &str) {
        self.change(|work| {
            work.done += 1;
            work.running.remove(name)
        });
    }

    /// A line that stays, above the one that is drawn again and again; there is nobody to tell if that fails.
    pub(crate) fn tell(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        let wipe = if stderr.is_terminal() { "\r\x1b[2K" } else { "" };
        let _ = writeln!(stderr, "{wipe}{text}");
    }

    fn change(&self, change: impl FnOnce(&mut Work) -> bool) {
        change(&mut self.work.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The line that says how many executions there were. Dropping it wipes it away.
#[derive(Debug)]
pub(crate) struct Executions {
    number: Arc<AtomicU64>,
    _ticker: Ticker,
}

impl Executions {
    /// Begins to watch.
    pub(crate) fn start() -> Self {
        let number: Arc<AtomicU64> = Arc::default();
        let watched = Arc::clone(&number);
        let line =
            move |elapsed: Duration| format!("{} executions, {} s", watched.load(Ordering::Relaxed), elapsed.as_secs());
        Self { number, _ticker: Ticker::start(line, None) }
    }

    /// There were so many.
    pub(crate) fn are(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
    }
}

fn line(work: &Work, total: usize, elapsed: Duration) -> String {
    let running: Vec<&str> = work.running.iter().map(String::as_str).collect();
    format!("{}/{total} checked, {} s; now {}", work.done, elapsed.as_secs(), running.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_much_is_done_and_what_is_running() {
        let mut work = Work { done: 3, ..Work::default() };
        work.running.insert("writer-starvation (v1_24)".into());
        work.running.insert("abba-layer-locks (pr_473)".into());
        let line = line(&work, 72, Duration::from_millis(12_700));
        assert_eq!(line, "3/72 checked, 12 s; now abba-layer-locks (pr_473), writer-starvation (v1_24)");
    }
}
