//! Verdicts and traces made readable: a [`table`] and [`columns`] for a terminal, [`markdown`] and [`mermaid`] for a
//! pull request, [`junit`] for a build server, [`json`] for another program, [`expect`] for a scenario's file.
//!
//! Nothing here prints, and nothing looks at the terminal or the environment: each report is a `String`, and a [`Style`]
//! says how wide it may be and whether it may be coloured. Texts that come from elsewhere (names of scenarios, ids of
//! layers, messages of panics) are cleaned of control characters before they are shown.
#![forbid(unsafe_code)]

pub mod agreement;
pub mod columns;
pub mod diff;
pub mod expect;
mod fold;
pub mod json;
pub mod junit;
mod ledger;
mod look;
pub mod markdown;
pub mod mermaid;
mod names;
mod notes;
pub mod row;
#[cfg(test)]
mod samples;
mod side_by_side;
mod story;
pub mod style;
pub mod summary;
pub mod table;
mod text;
#[cfg(test)]
mod traces;
mod values;

pub use row::{Refusal, Row, Verdicts};
pub use style::Style;
pub use text::wrap;
