//! Mutants that no scenario can kill, each with the reason: `mutants/equivalent.toml`.

use lockproof_model::mutation::Mutation;
use lockproof_model::protocol::Entry;
use toml::de::DeTable;

use crate::decode::{Mistakes, Placed, Table};
use crate::error::{Found, Refused};

/// The name of the file, and its text.
const BUILT_IN: (&str, &str) = ("mutants/equivalent.toml", include_str!("../mutants/equivalent.toml"));

/// A mutant that does nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivalent {
    /// The protocol that it is a mutant of.
    pub protocol: String,
    /// What is changed.
    pub mutation: Mutation,
    /// Why nobody can tell.
    pub reason: String,
}

/// Those that come with the tool.
///
/// # Errors
/// None as released: a test reads them. A file that was edited since then may have mistakes.
pub fn equivalents() -> Result<Vec<Equivalent>, Refused> {
    parse(BUILT_IN.0, BUILT_IN.1, &lockproof_model::protocol::all())
}

fn parse(origin: &str, text: &str, protocols: &[Entry]) -> Result<Vec<Equivalent>, Refused> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.into_iter().next() {
        let span = error.span().unwrap_or(0..0);
        let (what, label) = (error.message().to_owned(), "this is no TOML".into());
        return Err(Refused::new(origin, text, vec![Found { span, what, label, help: None }]));
    }
    let mut mistakes = Mistakes::default();
    let root = Table::new(root.get_ref(), 0..0, "the list", &["equivalent"], &mut mistakes);
    let keys = ["protocols", "reason", "mutants"];
    let tables = root.optional("equivalent");
    let tables = tables.and_then(|item| item.tables("an entry", &keys, &mut mistakes)).unwrap_or_default();
    let mut found: Vec<Equivalent> = Vec::new();
    for table in &tables {
        let texts = |key: &str, mistakes: &mut Mistakes| -> Vec<Placed<&str>> {
            let item = table.required(key, mistakes);
            item.and_then(|item| item.texts(mistakes)).unwrap_or_default()
        };
        let (of, mutants) = (texts("protocols", &mut mistakes), texts("mutants", &mut mistakes));
        let reason = table.required("reason", &mut mistakes).and_then(|item| item.text(&mut mistakes));
        let reason =
            reason.map_or_else(String::new, |reason| reason.value.split_whitespace().collect::<Vec<_>>().join(" "));
        for protocol in &of {
            if !protocols.iter().any(|entry| entry.name == protocol.value) {
                mistakes.unknown(&protocol.span, "protocol", protocol.value, protocols.iter().map(|entry| entry.name));
            }
        }
        for mutant in &mutants {
            let mutation: Mutation = match mutant.value.parse() {
                Ok(mutation) => mutation,
                Err(error) => {
                    mistakes.add(&mutant.span, format!("{error}"), "here", None);
                    continue;
                }
            };
            for protocol in &of {
                if found.iter().any(|other| other.protocol == protocol.value && other.mutation == mutation) {
                    let what = format!("`{mutation}` is listed twice for {}", protocol.value);
                    mistakes.add(&mutant.span, what, "again", None);
                }
                let (protocol, mutation) = (protocol.value.to_owned(), mutation.clone());
                found.push(Equivalent { protocol, mutation, reason: reason.clone() });
            }
        }
    }
    if mistakes.0.is_empty() { Ok(found) } else { Err(Refused::new(origin, text, mistakes.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_that_comes_with_the_tool_has_no_mistake_and_every_reason_is_given() {
        let list = equivalents().unwrap_or_else(|refused| panic!("{}", refused.lines().collect::<Vec<_>>().join("\n")));
        assert!(list.iter().all(|equivalent| equivalent.reason.len() > 20));
    }

    #[test]
    fn mistakes_are_shown_with_their_places() {
        let text = r#"
[[equivalent]]
protocols = ["v1_24", "v1_25"]
reason = "nobody can tell"
mutants = [
    "names:drop-lock:root/storage.lock:1",
    "names:drop-lok:root/storage.lock:1",
    "names:drop-lock:root/storage.lock:0",
    "names:drop-lock:root/storage.lock:1",
]
"#;
        let refused = parse("mine.toml", text, &lockproof_model::protocol::all()).expect_err("mistakes");
        let lines: Vec<String> =
            refused.lines().map(|line| line.split(" (").next().unwrap_or_default().into()).collect();
        assert_eq!(lines.len(), 4 + 1, "one of them for each protocol: {lines:#?}");
        assert!(lines[0].starts_with("mine.toml:3:23: unknown protocol `v1_25`"), "{}", lines[0]);
        assert!(lines[1].starts_with("mine.toml:7:5: there is no operator `drop-lok`"), "{}", lines[1]);
        assert!(lines[2].starts_with("mine.toml:8:5: `names:drop-lock:root/storage.lock:0` names no mutant"));
        assert!(lines[3].starts_with("mine.toml:9:5: `names:drop-lock:root/storage.lock:1` is listed twice"));
    }
}
