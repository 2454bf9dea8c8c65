//! Which scenarios and which protocols are meant.

use std::borrow::Cow;
use std::path::Path;

use lockproof_model::protocol::{self, Entry};
use lockproof_scenarios::{Relative, Scenario, built_in, load, nearest};

use crate::error::CliError;

/// The scenarios that are built in.
pub(crate) fn all() -> Result<&'static [Scenario], CliError> {
    built_in().map_err(|refused| CliError::BuiltIn(Box::new(refused.clone())))
}

/// Those that are made of templates, for mutants.
pub(crate) fn families() -> Result<&'static [Relative], CliError> {
    lockproof_scenarios::families().map_err(|refused| CliError::BuiltIn(Box::new(refused.clone())))
}

/// The scenario of that name, or in that file.
pub(crate) fn scenario(name: &str) -> Result<Cow<'static, Scenario>, CliError> {
    let built_in = all()?;
    if let Some(found) = built_in.iter().find(|scenario| scenario.name == name) {
        return Ok(Cow::Borrowed(found));
    }
    if let Some(found) = families()?.iter().map(|relative| &relative.scenario).find(|scenario| scenario.name == name) {
        return Ok(Cow::Borrowed(found));
    }
    let path = Path::new(name);
    if path.exists() || path.extension().is_some_and(|extension| extension == "toml") {
        return Ok(Cow::Owned(load(path, &protocol::all())?));
    }
    let help = match nearest(name, built_in.iter().map(|scenario| scenario.name.as_str())) {
        Some(near) => format!("did you mean `{near}`? `lockproof list` shows all"),
        None => "`lockproof list` shows the names; a file ends in .toml".into(),
    };
    Err(CliError::UnknownScenario { name: name.into(), help })
}

/// What the command line calls a scenario that was selected: its name if it is built in, else its file, as a shell takes it.
pub(crate) fn argument(scenario: &Scenario) -> Result<String, CliError> {
    let origin = &scenario.origin;
    let mut known = all()?.iter().chain(families()?.iter().map(|relative| &relative.scenario));
    if known.any(|known| known.origin == *origin && known.text == scenario.text) {
        return Ok(scenario.name.clone());
    }
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    Ok(if origin.chars().all(is_plain) { origin.clone() } else { format!("'{}'", origin.replace('\'', r"'\''")) })
}

/// The scenarios of those names, each once; all if there are no names.
pub(crate) fn scenarios(names: &[String]) -> Result<Vec<Cow<'static, Scenario>>, CliError> {
    if names.is_empty() {
        return Ok(all()?.iter().map(Cow::Borrowed).collect());
    }
    let mut chosen: Vec<Cow<'static, Scenario>> = Vec::new();
    for name in names {
        let next = scenario(name)?;
        match chosen.iter().find(|other| other.name == next.name) {
            None => chosen.push(next),
            Some(same) if same.origin == next.origin => {}
            Some(same) => {
                let (first, second) = (same.origin.clone(), next.origin.clone());
                return Err(CliError::SameName { name: next.name.clone(), first, second });
            }
        }
    }
    Ok(chosen)
}

/// The protocols under which `scenario` is checked: those that were asked for, or those that it is for.
pub(crate) fn protocols(asked: &[String], scenario: &Scenario) -> Vec<Entry> {
    let wanted = |entry: &Entry| {
        if asked.is_empty() { scenario.is_for(entry.name) } else { asked.iter().any(|name| name == entry.name) }
    };
    protocol::all().into_iter().filter(wanted).collect()
}

/// The protocol of that name, which the command line has checked.
pub(crate) fn protocol(name: &str) -> Result<Entry, CliError> {
    protocol::by_name(name).ok_or_else(|| CliError::Nothing { why: format!("no protocol is called `{name}`") })
}
