//! The last line: how many verdicts, which of them surprise, and what it cost.

use std::collections::BTreeSet;

use lockproof_model::verdict::Verdict;

use crate::row::{Row, judges};
use crate::text::{counted, duration, grouped};

/// How many verdicts are as expected, and how many are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// As expected.
    pub as_expected: usize,
    /// Not as expected.
    pub unexpected: usize,
}

/// Counts the rows.
#[must_use]
pub fn count(rows: &[Row]) -> Count {
    let as_expected = rows.iter().filter(|row| row.as_expected).count();
    Count { as_expected, unexpected: rows.len() - as_expected }
}

/// One line without colour: `41 verdicts, all as expected; 12 345 states; 3.2 s of work`, which several cores share.
#[must_use]
pub fn line(rows: &[Row]) -> String {
    let Count { unexpected, .. } = count(rows);
    let verdicts = counted(rows.len() as u64, "verdict");
    let free = rows.iter().filter(|row| row.as_expected && row.expected.is_none()).count();
    let open = rows.iter().filter(|row| row.is_left_open()).count();
    let cut = rows.iter().filter(|row| matches!(row.verdict, Verdict::Cut(_))).count();
    let mut parts = vec![match (rows.len(), unexpected, free) {
        (0, ..) => "nothing was checked".to_owned(),
        (_, 0, 0) if open > 0 => format!("{verdicts}, none unexpected"),
        (_, 0, 0) => format!("{verdicts}, all as expected"),
        (all, 0, free) if free == all => format!("{verdicts}, nothing was expected of them"),
        (_, 0, free) => format!("{verdicts}, all as expected but {free} of which nothing was"),
        (_, unexpected, _) => format!("{unexpected} unexpected of {verdicts}"),
    }];
    if open > 0 {
        parts.push(format!("{open} left open"));
    }
    if cut > 0 {
        parts.push(format!("{cut} cut short"));
    }
    let (mut states, mut schedules, mut seconds) = (0_u64, 0_u64, 0.0);
    for row in searches(rows.iter()) {
        states = states.saturating_add(row.states);
        schedules = schedules.saturating_add(row.schedules);
        seconds += row.seconds;
    }
    if states > 0 {
        parts.push(counted(states, "state"));
    }
    if schedules > 0 {
        parts.push(format!("{} run one by one", counted(schedules, "schedule")));
    }
    if !rows.is_empty() {
        parts.push(format!("{} of work", duration(seconds)));
    }
    parts.join("; ")
}

/// One row of each search: a search that judged several properties says of each how many states it saw in all, and how
/// long it took.
pub(crate) fn searches<'a>(rows: impl Iterator<Item = &'a Row>) -> impl Iterator<Item = &'a Row> {
    let mut seen = BTreeSet::new();
    rows.filter(move |row| {
        let search = (&row.scenario, &row.protocol, &row.engine, row.states, row.schedules, row.seconds.to_bits());
        // Real processes are run for each property anew.
        !judges(&row.engine) || seen.insert(search)
    })
}

/// How much was left out, for the foot of a trace: steps inside processes, and locks and documents on the way.
pub(crate) fn folded(inside: usize, on_the_way: usize) -> String {
    let inside = match inside {
        0 => None,
        1 => Some("1 step inside the process".to_owned()),
        number => Some(format!("{} steps inside the processes", grouped(number as u64))),
    };
    let on_the_way = match on_the_way {
        0 => None,
        1 => Some("1 on a lock that has no part in this".to_owned()),
        number => Some(format!("{} on locks that have no part in this", grouped(number as u64))),
    };
    let all: Vec<String> = inside.into_iter().chain(on_the_way).collect();
    format!("not shown: {}; -v shows all", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn a_line_says_what_surprises_and_what_it_cost() {
        let lines = |rows: &[Row]| line(rows);
        assert_eq!(lines(&[]), "nothing was checked");
        assert_eq!(lines(&samples::expected()), "16 verdicts, all as expected; 14 808 states; 1.5 s of work");
        let rows = samples::by_three_engines().rows;
        assert_eq!(
            lines(&rows),
            "16 verdicts, none unexpected; 4 left open; 1 cut short; 7 404 states; 11 819 schedules run one by one; 1.8 s of work"
        );
        assert_eq!(
            lines(&samples::surprising()),
            "2 unexpected of 18 verdicts; 1 left open; 1 cut short; 16 042 states; 1 schedule run one by one; 1.8 s of work"
        );
        let free = Row { expected: None, ..samples::expected().remove(0) };
        assert_eq!(
            lines(std::slice::from_ref(&free)),
            "1 verdict, nothing was expected of them; 1 234 states; 0.1 s of work"
        );
        let mut rows = samples::expected();
        rows.push(free);
        assert_eq!(
            lines(&rows),
            "17 verdicts, all as expected but 1 of which nothing was; 14 808 states; 1.5 s of work"
        );
    }
}
