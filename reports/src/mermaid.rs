//! A trace as a sequence diagram of Mermaid: the threads, the lock files and documents that they use, and a loop for the
//! cycle of a lasso. What happens inside a process is left out.
//!
//! Syntax: <https://mermaid.js.org/syntax/sequenceDiagram.html>.

use std::fmt::Write as _;

use lockproof_model::trace::Trace;

use crate::story::{Item, Kind, Story, tell};

/// The diagram, without the fence that Markdown wants around it.
#[must_use]
pub fn diagram(trace: &Trace, processes: &[String]) -> String {
    let story = tell(trace, &[], processes, false);
    let mut out = String::from("sequenceDiagram\n");
    for (lane, name) in story.lanes.iter().enumerate() {
        let _ = writeln!(out, "    participant L{lane} as {}", escape(name));
    }
    let _ = writeln!(out, "    participant {FILES} as files");
    for item in &story.items {
        write_item(&mut out, item, &story, "    ");
    }
    if story.is_lasso {
        out.push_str("    loop repeats for ever\n");
        for item in &story.cycle {
            write_item(&mut out, item, &story, "        ");
        }
        write_waiting(&mut out, &story, "        all the while ");
        out.push_str("    end\n");
    } else {
        write_waiting(&mut out, &story, "    at the end ");
    }
    out
}

/// Who plays the part of all files in the diagram.
const FILES: &str = "F";

fn write_item(out: &mut String, item: &Item, story: &Story, indent: &str) {
    let (lane, text) = (item.lane, escape(&item.text));
    let mark = if item.wrong && item.kind != Kind::Wrong { "✗ " } else { "" };
    let _ = match (item.kind, item.file.is_some()) {
        (Kind::Wrong, _) => writeln!(out, "{indent}Note over {}: ✗ {text}", everyone(story)),
        (Kind::Waits, true) => writeln!(out, "{indent}L{lane}-x{FILES}: {mark}{text}"),
        (Kind::Step | Kind::Inner, true) => writeln!(out, "{indent}L{lane}->>{FILES}: {mark}{text}"),
        _ => writeln!(out, "{indent}Note over L{lane}: {mark}{text}"),
    };
}

fn write_waiting(out: &mut String, story: &Story, beginning: &str) {
    let indent = &beginning[..beginning.len() - beginning.trim_start().len()];
    for waiting in &story.waiting {
        let _ = writeln!(out, "{indent}Note over {}: {}{}", everyone(story), beginning.trim_start(), escape(waiting));
    }
}

/// From the first participant to the last.
fn everyone(story: &Story) -> String {
    if story.lanes.is_empty() { FILES.to_owned() } else { format!("L0,{FILES}") }
}

/// `text` with what Mermaid would understand as its entities: `#` and `;` begin and end one and a statement, `%%` begins
/// a comment, and the word `end` ends a block wherever it stands.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut word = String::new();
    let finish = |word: &mut String, escaped: &mut String| {
        escaped.push_str(if word.eq_ignore_ascii_case("end") { "e#110;d" } else { word });
        word.clear();
    };
    for c in text.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        finish(&mut word, &mut escaped);
        if matches!(c, '#' | ';' | '%' | '<' | '>' | '&' | '"' | '\\' | ':') || c.is_control() {
            let _ = write!(escaped, "#{};", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    finish(&mut word, &mut escaped);
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces;

    #[test]
    fn a_deadlock() {
        insta::assert_snapshot!(diagram(&traces::deadlock(), &["pull".into(), "delete".into()]), @r#"
        sequenceDiagram
            participant L0 as pull
            participant L1 as delete
            participant F as files
            Note over L0: ▶ put-layer b on a with contents
            L0->>F: R(a) granted
            Note over L1: ▶ delete-layer b
            L1->>F: W(b) granted
            L0-xF: W(b) waits for delete (W)
            L1-xF: ✗ W(a) refused (EDEADLK), held by pull
            Note over L0,F: ✗ pull and delete wait for each other for ever
            Note over L0,F: at the end pull waits for W(b), kept from it by delete (W)
        "#);
    }

    #[test]
    fn a_lasso_is_a_loop() {
        let names = ["writer".into(), "reader".into(), "other reader".into()];
        insta::assert_snapshot!(diagram(&traces::lasso(), &names), @r#"
        sequenceDiagram
            participant L0 as writer
            participant L1 as reader
            participant L2 as other reader
            participant F as files
            Note over L1: ▶ names base
            L1->>F: R(layers) granted
            Note over L0: ▶ put-layer b
            L0-xF: W(layers) waits for reader (R)
            loop repeats for ever
                Note over L2: ▶ names base
                L2->>F: R(layers) granted
                L1->>F: U(layers)
                Note over L1: ◀ [base]
                Note over L1: ▶ names base
                L1->>F: R(layers) granted
                L2->>F: ✗ U(layers)
                Note over L2: ✗ ◀ [base]
                Note over L0,F: ✗ writer waits for W(layers) for ever, though it is fair
                Note over L0,F: all the while writer waits for W(layers), kept from it by reader (R)#59; in each round it is granted to others 2 times
            end
        "#);
    }

    #[test]
    fn nothing_in_a_name_is_understood() {
        assert_eq!(
            escape("end; #1 %% <b> ended \"x\": end"),
            "e#110;d#59; #35;1 #37;#37; #60;b#62; ended #34;x#34;#58; e#110;d"
        );
    }
}
