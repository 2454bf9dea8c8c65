//! What is under way, on stderr: only where somebody watches, and only once it takes longer than a second.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use terminal_size::{Width, terminal_size_of};

/// Nothing is shown before.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two pictures.
const PERIOD: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Work {
    done: usize,
    running: BTreeSet<String>,
}

/// The line of progress. Dropping it wipes it away.
#[derive(Debug)]
pub(crate) struct Progress {
    work: Arc<Mutex<Work>>,
    drawing: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Begins to watch `total` pieces of work.
    pub(crate) fn start(total: usize) -> Self {
        let work = Arc::new(Mutex::new(Work::default()));
        let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let drawing = (io::stderr().is_terminal() && !is_dumb).then(|| {
            let (stop, stopped) = mpsc::channel();
            let work = Arc::clone(&work);
            (stop, thread::spawn(move || draw(&work, total, &stopped)))
        });
        Self { work, drawing }
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

    fn change(&self, change: impl FnOnce(&mut Work) -> bool) {
        change(&mut self.work.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.drawing.take() {
            drop(stop);
            let _ = thread.join(); // a panic there has been shown already, and there is nothing to save
        }
    }
}

fn draw(work: &Mutex<Work>, total: usize, stopped: &mpsc::Receiver<()>) {
    let started = Instant::now();
    let mut wait = PATIENCE;
    let mut drawn = String::new();
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = PERIOD;
        let line = line(&work.lock().unwrap_or_else(PoisonError::into_inner), total, started.elapsed());
        let width = terminal_size_of(io::stderr()).map_or(80, |(Width(width), _)| usize::from(width));
        let line: String = line.chars().take(width.saturating_sub(1)).collect();
        // Terminals that record, and people, are spared the same picture again.
        if line != drawn && write!(io::stderr().lock(), "\r\x1b[2K{line}").is_ok() {
            drawn = line;
        }
    }
    if !drawn.is_empty() {
        let _ = write!(io::stderr().lock(), "\r\x1b[2K");
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
