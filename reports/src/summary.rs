//! The last line: how many verdicts, which of them surprise, and what it cost.

use lockproof_model::verdict::Verdict;

use crate::row::Row;
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

/// One line without colour: `41 verdicts, all as expected; 12 345 states; 3.2 s`.
#[must_use]
pub fn line(rows: &[Row]) -> String {
    let Count { unexpected, .. } = count(rows);
    let verdicts = counted(rows.len() as u64, "verdict");
    let free = rows.iter().filter(|row| row.as_expected && row.expected.is_none()).count();
    let cut = rows.iter().filter(|row| matches!(row.verdict, Verdict::Cut(_))).count();
    let mut parts = vec![match (rows.len(), unexpected, free) {
        (0, ..) => "nothing was checked".to_owned(),
        (_, 0, 0) => format!("{verdicts}, all as expected"),
        (all, 0, free) if free == all => format!("{verdicts}, nothing was expected of them"),
        (_, 0, free) => format!("{verdicts}, all as expected but {free} of which nothing was"),
        (_, unexpected, _) => format!("{unexpected} unexpected of {verdicts}"),
    }];
    if cut > 0 {
        parts.push(format!("{cut} cut short"));
    }
    let (states, schedules) = rows.iter().fold((0_u64, 0_u64), |(states, schedules), row| {
        (states.saturating_add(row.states), schedules.saturating_add(row.schedules))
    });
    if states > 0 {
        parts.push(counted(states, "state"));
    }
    if schedules > 0 {
        parts.push(format!("{} run one by one", counted(schedules, "schedule")));
    }
    if !rows.is_empty() {
        parts.push(duration(rows.iter().map(|row| row.seconds).sum()));
    }
    parts.join("; ")
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
    use crate::row::samples;

    #[test]
    fn a_line_says_what_surprises_and_what_it_cost() {
        let lines = |rows: &[Row]| line(rows);
        assert_eq!(lines(&[]), "nothing was checked");
        assert_eq!(lines(&samples::expected()), "16 verdicts, all as expected; 19 744 states; 2.0 s");
        assert_eq!(
            lines(&samples::surprising()),
            "2 unexpected of 18 verdicts; 1 cut short; 20 978 states; 2 606 schedules run one by one; 2.2 s"
        );
        let free = Row { expected: None, ..samples::expected().remove(0) };
        assert_eq!(lines(std::slice::from_ref(&free)), "1 verdict, nothing was expected of them; 1 234 states; 0.1 s");
        let mut rows = samples::expected();
        rows.push(free);
        assert_eq!(lines(&rows), "17 verdicts, all as expected but 1 of which nothing was; 20 978 states; 2.1 s");
    }
}
