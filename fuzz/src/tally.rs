//! How far the engines came, over many scenarios.

use std::collections::BTreeMap;
use std::fmt;

use crate::compare::{Comparison, Reach};

/// Counts of scenarios.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many scenarios there were.
    pub scenarios: u64,
    reached: BTreeMap<(&'static str, Reach), u64>,
}

impl Tally {
    /// Counts a scenario.
    pub fn add(&mut self, comparison: &Comparison) {
        self.scenarios += 1;
        for (engine, reach) in &comparison.reached {
            *self.reached.entry((engine, *reach)).or_default() += 1;
        }
    }

    /// Of how many scenarios `engine` came so far.
    #[must_use]
    pub fn count(&self, engine: &'static str, reach: Reach) -> u64 {
        self.reached.get(&(engine, reach)).copied().unwrap_or_default()
    }
}

/// A table, one line for each engine. What came to a limit and what an engine has no means for are columns of their own.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut engines: Vec<&'static str> = self.reached.keys().map(|(engine, _)| *engine).collect();
        engines.dedup();
        let s = if self.scenarios == 1 { "" } else { "s" };
        let head = format!("{} scenario{s}", self.scenarios);
        let width = engines.iter().map(|engine| engine.len()).max().unwrap_or(0).max(head.len());
        write!(f, "{head:<width$} {:>10} {:>10} {:>12}", "to the end", "too large", "no means")?;
        for engine in engines {
            let of = |reach| self.count(engine, reach);
            let (finished, large, unsupported) = (of(Reach::Finished), of(Reach::TooLarge), of(Reach::Unsupported));
            write!(f, "\n{engine:<width$} {finished:>10} {large:>10} {unsupported:>12}")?;
        }
        Ok(())
    }
}
