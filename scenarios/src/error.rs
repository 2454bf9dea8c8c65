//! What is wrong with a scenario file, and where.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// Why there is no scenario.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ScenarioError {
    /// The file could not be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file has mistakes.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Refused(#[from] Refused),
}

/// A file that was refused, with everything that is wrong with it.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("failed to read scenario {}: {}", source_code.name(), Count(mistakes.len()))]
pub struct Refused {
    /// The file.
    #[source_code]
    pub source_code: NamedSource<String>,
    /// The mistakes, in the order of the file; at least one.
    #[related]
    pub mistakes: Vec<Mistake>,
}

impl Refused {
    pub(crate) fn new(origin: &str, text: &str, found: Vec<Found>) -> Self {
        let mut mistakes: Vec<Mistake> = found.into_iter().map(|found| found.locate(text)).collect();
        mistakes.sort_by_key(|mistake| mistake.span.offset());
        Self { source_code: NamedSource::new(origin, text.to_owned()), mistakes }
    }

    /// One line for each mistake, `file:line:column: what (help)`, for those who show no source.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.mistakes.iter().map(|mistake| format!("{}:{mistake:#}", self.source_code.name()))
    }
}

struct Count(usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("one mistake"),
            number => write!(f, "{number} mistakes"),
        }
    }
}

/// One mistake in a file. Its text is what is wrong; with `{:#}`, `line:column: what (help)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong.
    pub what: String,
    /// What is said beside the marked place.
    pub label: String,
    /// What is allowed there, or what to do.
    pub help: Option<String>,
    /// The marked place, in bytes.
    pub span: SourceSpan,
    /// Its line, from 1.
    pub line: usize,
    /// Its column, from 1, in characters.
    pub column: usize,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return f.write_str(&self.what);
        }
        write!(f, "{}:{}: {}", self.line, self.column, self.what)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Mistake {}

impl Diagnostic for Mistake {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = miette::LabeledSpan> + '_>> {
        let label = miette::LabeledSpan::new_with_span(Some(self.label.clone()), self.span);
        Some(Box::new(std::iter::once(label)))
    }
}

/// A mistake before its line and column are known.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) span: Range<usize>,
    pub(crate) what: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
}

impl Found {
    fn locate(self, text: &str) -> Mistake {
        let start = text.floor_char_boundary(self.span.start);
        let before = &text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let span = (start, self.span.end.saturating_sub(start)).into();
        Mistake { what: self.what, label: self.label, help: self.help, span, line, column }
    }
}
