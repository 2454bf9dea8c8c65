//! A line on stderr that says what is under way: on a terminal one that is drawn again and again, and wiped away at the
//! end; in a pipe a new one now and then, if that is wanted.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use terminal_size::{Width, terminal_size_of};

/// On a terminal nothing is shown before.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two pictures.
const PERIOD: Duration = Duration::from_millis(200);

/// Shows a line until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticker(Option<(mpsc::Sender<()>, JoinHandle<()>)>);

impl Ticker {
    /// Begins to show what `line` says, which is told how long it has been; in a pipe every `in_a_pipe`, or never.
    pub(crate) fn start(line: impl Fn(Duration) -> String + Send + 'static, in_a_pipe: Option<Duration>) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let (stop, stopped) = mpsc::channel();
        let shown = match in_a_pipe {
            _ if io::stderr().is_terminal() && !is_dumb => thread::spawn(move || draw(&line, &stopped)),
            Some(period) => thread::spawn(move || write(&line, period, &stopped)),
            None => return Self(None),
        };
        Self(Some((stop, shown)))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            let _ = thread.join(); // a panic there has been shown already, and there is nothing to save
        }
    }
}

fn draw(line: &dyn Fn(Duration) -> String, stopped: &mpsc::Receiver<()>) {
    let started = Instant::now();
    let mut wait = PATIENCE;
    let mut drawn = String::new();
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = PERIOD;
        let line = line(started.elapsed());
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

fn write(line: &dyn Fn(Duration) -> String, period: Duration, stopped: &mpsc::Receiver<()>) {
    let started = Instant::now();
    while stopped.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        let _ = writeln!(io::stderr().lock(), "{}", line(started.elapsed()));
    }
}
