//! What is known to be wrong already, each with its source: a run fails only on what is new.

use serde::Deserialize;

use super::Wrong;

/// Findings that are known.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Each of them.
    #[serde(default)]
    pub known: Vec<Known>,
}

/// Why something is no news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The maintainers want it so, or take it for granted.
    ByDesign,
    /// It is a fault that is known.
    Reported,
}

/// A finding that is known.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// What it is called.
    pub name: String,
    /// The property that is violated.
    pub property: String,
    /// The commands that it needs, without their arguments, in any order; there may be others beside them. `*` is any.
    pub commands: Vec<String>,
    /// The releases that have it, one of which must take part; all if there are none.
    #[serde(default)]
    pub releases: Vec<String>,
    /// Words that the finding must contain.
    #[serde(default)]
    pub detail: String,
    /// Why it is no news.
    pub kind: Kind,
    /// Where that is said: a file and a commit of containers/storage, an issue, an entry of the list of races.
    pub source: String,
    /// What happens, for people.
    pub why: String,
}

impl Baseline {
    /// Reads `known.toml`.
    ///
    /// # Errors
    /// What is wrong with it, and in which line.
    pub fn read(text: &str) -> Result<Self, String> {
        let baseline: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for (at, known) in baseline.known.iter().enumerate() {
            if known.source.trim().is_empty() || known.commands.is_empty() {
                return Err(format!("`{}` needs a source and at least one command", known.name));
            }
            if baseline.known[..at].iter().any(|other| other.name == known.name) {
                return Err(format!("two findings are called `{}`", known.name));
            }
        }
        Ok(baseline)
    }

    /// The entry that a finding has. The most special comes first in the file.
    pub(super) fn find(&self, wrong: &Wrong, commands: &[Vec<String>], releases: &[String]) -> Option<&Known> {
        let verbs: Vec<&str> = commands.iter().filter_map(|words| words.first().map(String::as_str)).collect();
        self.known.iter().find(|known| {
            known.property == wrong.property
                && wrong.detail.contains(&known.detail)
                && (known.releases.is_empty() || releases.iter().any(|release| known.releases.contains(release)))
                && covers(&known.commands, &verbs)
        })
    }
}

/// Whether each pattern has a command of its own.
fn covers(patterns: &[String], verbs: &[&str]) -> bool {
    let Some((first, rest)) = patterns.split_first() else { return true };
    (0..verbs.len()).filter(|at| first == "*" || first == verbs[*at]).any(|at| {
        let mut left = verbs.to_vec();
        left.remove(at);
        covers(rest, &left)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[known]]
        name = "lost-name"
        property = "atomic"
        commands = ["add-names", "*"]
        releases = ["1.43.0"]
        kind = "by-design"
        source = "cmd/containers-storage/name.go at v1.43.0"
        why = "read, then set"
    "#;

    fn finds(property: &'static str, commands: &[&str], release: &str) -> bool {
        let commands: Vec<Vec<String>> = commands.iter().map(|verb| vec![(*verb).to_owned()]).collect();
        let wrong = Wrong { property, detail: "lost".into() };
        Baseline::read(TEXT).expect("TOML").find(&wrong, &commands, &[release.into()]).is_some()
    }

    #[test]
    fn a_finding_is_known_by_property_commands_and_release() {
        assert!(finds("atomic", &["layers", "add-names"], "1.43.0"));
        assert!(finds("atomic", &["add-names", "x", "y"], "1.43.0"));
        assert!(!finds("atomic", &["add-names"], "1.43.0"), "the other may be anything, but must be there");
        assert!(!finds("linearizable", &["layers", "add-names"], "1.43.0"));
        assert!(!finds("atomic", &["layers", "add-names"], "1.57.2"));
    }

    #[test]
    fn a_finding_without_a_source_or_with_a_field_too_much_is_refused() {
        let without = TEXT.replace("cmd/containers-storage/name.go at v1.43.0", "");
        assert_eq!(Baseline::read(&without).unwrap_err(), "`lost-name` needs a source and at least one command");
        assert!(Baseline::read(&TEXT.replace("why", "because")).unwrap_err().contains("because"));
        assert_eq!(Baseline::read(&TEXT.repeat(2)).unwrap_err(), "two findings are called `lost-name`");
    }
}
