//! Where text goes, how wide it may be, and whether it may be coloured.

use std::io::{self, ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use lockproof_reports::Style;
use serde::Serialize;
use terminal_size::{Width, terminal_size_of};

use crate::error::CliError;

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set or it is a dumb one.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Stdout and stderr as the user wants them.
#[derive(Debug)]
pub(crate) struct Output {
    color: Color,
}

impl Output {
    pub(crate) fn new(color: Color) -> Self {
        Self { color }
    }

    fn in_color(&self, is_terminal: bool) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                // https://no-color.org: present and not empty.
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
                is_terminal && !refused && !dumb
            }
        }
    }

    pub(crate) fn errors_in_color(&self) -> bool {
        self.in_color(io::stderr().is_terminal())
    }

    /// How reports on stdout are drawn.
    pub(crate) fn style(&self) -> Style {
        let width = match terminal_size_of(io::stdout()) {
            Some((Width(width), _)) => usize::from(width),
            None => Style::PLAIN.width,
        };
        Style { color: self.in_color(io::stdout().is_terminal()), width }
    }

    /// Whether stdout is a terminal, so that a line that does not fit had better be broken.
    pub(crate) fn is_for_people(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Adds a sentence in lines that fit, each after `indent`; all but the first a little further in.
    pub(crate) fn wrap(&self, text: &mut String, indent: &str, sentence: &str) {
        let width = self.style().width.max(Style::WIDTH_MIN);
        for line in lockproof_reports::wrap(sentence, width - indent.len(), 4) {
            text.push_str(indent);
            text.push_str(&line);
            text.push('\n');
        }
    }

    /// Prints to stdout. That nobody reads any more (`lockproof | head`) is no error.
    pub(crate) fn print(&self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(CliError::Write),
        }
    }

    /// Says something on stderr beside what was asked for; there is nobody to tell if that fails.
    pub(crate) fn tell(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Prints an error to stderr; there is nobody to tell if that fails.
    pub(crate) fn error(&self, error: CliError) {
        let _ = writeln!(io::stderr().lock(), "{:?}", miette::Report::new(error));
    }
}

/// A record for another program: indented JSON, and a newline at its end.
pub(crate) fn pretty_json(record: &impl Serialize) -> String {
    serde_json::to_string_pretty(record).expect("strings and numbers can be written as JSON") + "\n"
}
