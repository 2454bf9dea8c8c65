//! The verdicts as Markdown, for a comment on a pull request: the line that sums up, the table, what surprises.
//!
//! GitHub's dialect. Nothing in it calls a person (`@name`) or an issue (`#1`), whatever the names say.

use std::fmt::Write as _;

use crate::agreement;
use crate::notes::REFUSED;
use crate::row::{self, AGAIN, Row, Verdicts};
use crate::side_by_side;
use crate::summary;
use crate::table::symbol;
use crate::text::clean;

/// The comment.
#[must_use]
pub fn report(verdicts: &Verdicts) -> String {
    let rows = &verdicts.rows;
    let mut out = String::new();
    let _ = writeln!(out, "**{}**", escape(&summary::line(rows)));
    if rows.is_empty() && verdicts.refused.is_empty() {
        return out;
    }
    if agreement::engines(verdicts).len() > 1 {
        by_engine(&mut out, verdicts);
    } else {
        by_protocol(&mut out, rows);
    }
    let mut unexpected = rows.iter().filter(|row| !row.as_expected).peekable();
    if unexpected.peek().is_some() {
        out.push_str("\nNot as expected:\n\n");
    }
    for row in unexpected {
        let _ = write!(
            out,
            "- {} · {} · {} ({}): {}",
            escape(&row.scenario),
            row.property,
            escape(&row.protocol),
            escape(&row.engine),
            escape(&row.surprise())
        );
        if !row.reason().is_empty() {
            let _ = write!(out, ". {}", escape(&row.reason()));
        }
        if !row.remarks.is_empty() {
            let _ = write!(out, " (answers {})", escape(&row.remarks.join(", ")));
        }
        out.push('\n');
        if let Some(schedule) = &row.schedule {
            let _ = writeln!(out, "  {}", code(schedule));
        }
    }
    out
}

/// A column for each protocol.
fn by_protocol(out: &mut String, rows: &[Row]) {
    let protocols = row::protocols(rows);
    let lines = row::lines(rows);
    let usual = lines.first().map_or("", |line| line.engine);
    out.push_str("\n| scenario | property |");
    for protocol in &protocols {
        let _ = write!(out, " {} |", escape(protocol));
    }
    let _ = writeln!(out, "\n|{}", " --- |".repeat(protocols.len() + 2));
    for line in &lines {
        let engine = if line.engine == usual { String::new() } else { format!(", by {}", escape(line.engine)) };
        let _ = write!(out, "| {} | {}{engine} |", escape(line.scenario), escape(line.property.name()));
        for protocol in &protocols {
            let cells: Vec<String> = line.under(protocol).map(cell).collect();
            let _ = write!(out, " {} |", cells.join("<br>"));
        }
        out.push('\n');
    }
}

/// A column for each engine, then what each came to and who contradicts whom.
fn by_engine(out: &mut String, verdicts: &Verdicts) {
    let questions = agreement::questions(verdicts);
    let mut engines = agreement::engines(verdicts);
    engines.extend(AGAIN.iter().filter(|again| verdicts.rows.iter().any(|row| row.engine == **again)));
    out.push_str("\n| scenario | property | protocol |");
    for engine in &engines {
        let _ = write!(out, " {} |", escape(engine));
    }
    let _ = writeln!(out, "\n|{}", " --- |".repeat(engines.len() + 3));
    for question in &questions {
        let _ = write!(
            out,
            "| {} | {} | {} |",
            escape(question.scenario),
            escape(question.property.name()),
            escape(question.protocol)
        );
        for engine in &engines {
            let mut cells: Vec<String> =
                question.rows.iter().filter(|row| row.engine == *engine).map(|row| cell(row)).collect();
            cells.dedup();
            cells.extend(question.refused.iter().filter(|refusal| refusal.engine == *engine).map(|_| REFUSED.into()));
            let _ = write!(out, " {} |", cells.join("<br>"));
        }
        out.push('\n');
    }
    let _ = writeln!(out, "\n{}.", escape(&side_by_side::verdict(verdicts).1));
    for question in questions.iter().filter(|question| question.is_contradicted()) {
        let subject = format!("{} · {} · {}", question.scenario, question.property, question.protocol);
        let _ = writeln!(out, "- **{}: {}**", escape(&subject), escape(&question.contradiction()));
        let _ = writeln!(out, "  {}", code(&question.command(&verdicts.options)));
    }
    out.push('\n');
    for tally in agreement::tallies(verdicts) {
        let _ = writeln!(out, "- {}: {}", escape(&tally.engine), escape(&side_by_side::sum(&tally)));
    }
}

pub(crate) fn cell(row: &Row) -> String {
    let text = format!("{} {}", symbol(&row.verdict), row.verdict.name());
    match &row.expected {
        _ if row.as_expected => escape(&text),
        Some(expected) => format!("**{} !!** (expected {})", escape(&text), escape(expected)),
        None => format!("**{} !!**", escape(&text)),
    }
}

/// `text` with everything that Markdown, HTML or GitHub would understand taken literally.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' => escaped.push_str("&#64;"),
            '#' => escaped.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// `text` as a code span, with a fence that is longer than any run of backticks in it.
pub(crate) fn code(text: &str) -> String {
    let text = clean(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let room = if longest > 0 { " " } else { "" };
    format!("{fence}{room}{text}{room}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn of(rows: &[Row]) -> Verdicts {
        Verdicts { rows: rows.to_vec(), ..Verdicts::default() }
    }

    #[test]
    fn engines_stand_side_by_side() {
        insta::assert_snapshot!(report(&samples::by_three_engines()), @r#"
        **16 verdicts, none unexpected; 4 left open; 1 cut short; 7 404 states; 11 819 schedules run one by one; 1.8 s of work**

        | scenario | property | protocol | explore | loom | shuttle | processes |
        | --- | --- | --- | --- | --- | --- | --- |
        | stale-ro-cache-after-rw-write | fresh | v1\_24 | ✓ proved | ✓ proved | \~ sampled |  |
        | stale-ro-cache-after-rw-write | fresh | pr\_473 | ✗ violated | ✗ violated | ✗ violated | ✗ violated |
        | stale-ro-cache-after-rw-write | exclusive | v1\_24 | ✓ proved | ✗ violated | – |  |
        | abba-layer-locks | no-deadlock | v1\_24 | ✓ proved | ? cut | \~ sampled |  |
        | abba-layer-locks | no-deadlock | per\_layer\_locks | ✗ violated | – | \~ sampled |  |
        | writer-starvation | no-starvation-strong | v1\_24 | ✗ violated | – | – |  |
        | writer-starvation | no-starvation-strong | pr\_473 | ✗ violated | – | – |  |

        3 verdicts compared, the engines contradict each other in 1.
        - **stale-ro-cache-after-rw-write · exclusive · v1\_24: explore says proved, loom says violated**
          `lockproof check stale-ro-cache-after-rw-write -p v1_24 --property exclusive --engine explore,loom`

        - explore: 7 decided; 7 404 states; 0.8 s
        - loom: 3 decided, 1 cut, 3 not judged; 7 818 schedules; 0.4 s
        - shuttle: 1 decided, 3 sampled, 3 not judged, 1 missed what another found; 4 000 schedules; 0.5 s
        "#);
    }

    #[test]
    fn a_comment() {
        insta::assert_snapshot!(report(&of(&samples::surprising())), @r#"
        **2 unexpected of 18 verdicts; 1 left open; 1 cut short; 16 042 states; 1 schedule run one by one; 1.8 s of work**

        | scenario | property | v1\_24 | pr\_473 | one\_way\_upgrade | per\_layer\_locks | copy\_then\_unlock |
        | --- | --- | --- | --- | --- | --- | --- |
        | stale-ro-cache-after-rw-write | fresh | ✓ proved | ✗ violated | **✗ violated !!** (expected proved) | ✓ proved |  |
        | stale-ro-cache-after-rw-write | fresh, by processes |  | ✗ violated |  |  |  |
        | stale-ro-cache-after-rw-write | exclusive | ✗ violated | ✗ violated | ✓ proved | ✗ violated |  |
        | writer-starvation | no-starvation-strong | ✗ violated | ✗ violated | ✗ violated | ✗ violated |  |
        | abba-layer-locks | no-deadlock | ✓ proved | ✓ proved | ✓ proved | **? cut !!** (expected violated) |  |
        | other | no-panic |  |  |  |  | \~ bounded |

        Not as expected:

        - stale-ro-cache-after-rw-write · fresh · one\_way\_upgrade (explore): violated, expected proved. names returned \[\] and the document held \[base, foo\] all the while (answers D8, D14)
          `lk1:A41-5d0a7f11`
        - abba-layer-locks · no-deadlock · per\_layer\_locks (explore): cut, expected violated. 20 000 000 states
        "#);
    }

    #[test]
    fn nothing_in_a_name_is_understood() {
        let mut rows = samples::surprising();
        rows[2].scenario = "a|b`c` <img> @torvalds #1 [x](y) *z* \\".into();
        rows[2].detail = "line\nbreak".into();
        rows[2].schedule = Some("lk1:``A".into());
        let text = report(&of(&rows[2..3]));
        insta::assert_snapshot!(text, @r#"
        **1 unexpected of 1 verdict; 1 234 states; 0.1 s of work**

        | scenario | property | one\_way\_upgrade |
        | --- | --- | --- |
        | a\|b\`c\` &lt;img&gt; &#64;torvalds &#35;1 \[x\](y) \*z\* \\ | fresh | **✗ violated !!** (expected proved) |

        Not as expected:

        - a\|b\`c\` &lt;img&gt; &#64;torvalds &#35;1 \[x\](y) \*z\* \\ · fresh · one\_way\_upgrade (explore): violated, expected proved. line\\nbreak (answers D8, D14)
          ``` lk1:``A ```
        "#);
    }
}
