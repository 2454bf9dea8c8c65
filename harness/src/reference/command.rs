//! The commands of `containers-storage` that come to calls of a protocol, and what they print (cmd/containers-storage).

use lockproof_model::call::Call;
use lockproof_model::protocol::{Layers, Record, Records};
use lockproof_model::value::Datum as _;

use super::Process;
use crate::free::Stop;

/// The commands that are known here.
pub(crate) const COMMANDS: [&str; 21] = [
    "add-names",
    "containers",
    "create-container",
    "create-image",
    "create-layer",
    "delete-container",
    "delete-image",
    "delete-layer",
    "diff",
    "exists",
    "get-names",
    "images",
    "import-layer",
    "layers",
    "mount",
    "mounted",
    "set-names",
    "shutdown",
    "status",
    "unmount",
    "version",
];

/// What a command is about: `None` of a word that is no option of these commands.
#[derive(Debug, Default)]
struct Words {
    id: Option<String>,
    names: Vec<String>,
    rest: Vec<String>,
}

impl Words {
    fn of(words: &[String]) -> Result<Self, String> {
        let mut parsed = Words::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut argument = || words.next().cloned().ok_or_else(|| format!("{word} needs an argument"));
            match word.as_str() {
                "-i" | "--id" => parsed.id = Some(argument()?),
                "-n" | "--name" => parsed.names.push(argument()?),
                // Contents are not written.
                "-f" | "--file" => drop(argument()?),
                option if option.starts_with('-') => {
                    return Err(format!("{option} is no option of a reference process: -i ID, -n NAME, -f FILE are"));
                }
                other => parsed.rest.push(other.to_owned()),
            }
        }
        Ok(parsed)
    }
}

/// A command, ready to be run.
enum Command {
    /// It makes something: the call, the id and the names.
    Create(Call, String, Vec<String>),
    /// It makes these calls, and prints nothing.
    Calls(Vec<Call>),
    Exists(String),
    Names(String),
    /// Whether it adds to the names that there are.
    SetNames {
        what: String,
        names: Vec<String>,
        adds: bool,
    },
    Mounted(String),
    Layers,
    Images,
    Containers,
}

/// What is wrong with a command, if anything is.
pub(crate) fn refuses(words: &[String]) -> Option<String> {
    Command::of(words).err()
}

impl Command {
    fn of(words: &[String]) -> Result<Self, String> {
        let (verb, rest) = words.split_first().ok_or("a command is missing")?;
        let Words { id, names, rest } = Words::of(rest)?;
        let new = || id.clone().ok_or_else(|| format!("`{verb}` of a reference process needs an id: -i ID"));
        let optional = || match &rest[..] {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            _ => Err(format!("`{verb}` takes at most one argument")),
        };
        let nothing = || if rest.is_empty() { Ok(()) } else { Err(format!("`{verb}` takes no argument")) };
        let what = || match &rest[..] {
            [one] => Ok(one.clone()),
            _ => Err(format!("`{verb}` takes one argument")),
        };
        Ok(match verb.as_str() {
            "create-layer" | "import-layer" => {
                let (id, parent, diff) = (new()?, optional()?, verb == "import-layer");
                let call = Call::PutLayer { id: id.clone(), parent, names: names.clone(), diff };
                Command::Create(call, id, names)
            }
            "create-image" => {
                let (id, layer) = (new()?, optional()?);
                Command::Create(Call::CreateImage { id: id.clone(), layer, names: names.clone() }, id, names)
            }
            "create-container" => {
                let (id, image) = (new()?, Some(what()?));
                Command::Create(Call::CreateContainer { id: id.clone(), image, names: names.clone() }, id, names)
            }
            "delete-layer" => Command::Calls(vec![Call::DeleteLayer { id: what()? }]),
            "delete-image" => Command::Calls(vec![Call::DeleteImage { id: what()? }]),
            "delete-container" => Command::Calls(vec![Call::DeleteContainer { id: what()? }]),
            "diff" => Command::Calls(vec![Call::Diff { id: what()? }, Call::CloseDiff { id: what()? }]),
            "mount" => Command::Calls(vec![Call::Mount { id: what()? }]),
            "unmount" => Command::Calls(vec![Call::Unmount { id: what()? }]),
            "shutdown" => nothing().map(|()| Command::Calls(vec![Call::Shutdown]))?,
            "status" => nothing().map(|()| Command::Calls(vec![Call::Status]))?,
            "version" => nothing().map(|()| Command::Calls(Vec::new()))?,
            "exists" => Command::Exists(what()?),
            "get-names" => Command::Names(what()?),
            "add-names" | "set-names" => Command::SetNames { what: what()?, names, adds: verb == "add-names" },
            "mounted" => Command::Mounted(what()?),
            "layers" => nothing().map(|()| Command::Layers)?,
            "images" => nothing().map(|()| Command::Images)?,
            "containers" => nothing().map(|()| Command::Containers)?,
            other => {
                return Err(format!(
                    "`{other}` is no command of a reference process; those are {}",
                    COMMANDS.join(", ")
                ));
            }
        })
    }
}

/// Runs a command on a store that is open. What it prints until it ends, well or not, goes to `lines`.
pub(super) fn run(process: &Process, words: &[String], lines: &mut Vec<String>) -> Result<(), Stop> {
    Command::of(words).map_err(Stop::Trouble)?.run(process, lines)
}

impl Command {
    fn run(self, process: &Process, lines: &mut Vec<String>) -> Result<(), Stop> {
        match self {
            Command::Create(call, id, names) => {
                process.call(&call)?;
                lines.push(id);
                lines.extend(names.iter().map(|name| format!("\t{name}")));
            }
            Command::Calls(calls) => {
                for call in calls {
                    process.call(&call)?;
                }
            }
            Command::Exists(what) => {
                let exists = process.call(&Call::Exists { id: what.clone() })? == true.to_value();
                lines.push(format!("{what}: {exists}"));
                if !exists {
                    return Err(Stop::Trouble(format!("{what} does not exist")));
                }
            }
            Command::Names(what) => {
                let id = lookup(process, what)?;
                lines.extend(names_of(process, id)?);
            }
            Command::SetNames { what, names, adds } => {
                let id = lookup(process, what)?;
                let mut all = if adds { names_of(process, id.clone())? } else { Vec::new() };
                all.extend(names);
                process.call(&Call::SetNames { id: id.clone(), names: all })?;
                // It reads them again, for whoever asks for JSON.
                names_of(process, id)?;
            }
            Command::Mounted(what) => {
                let count = process.call(&Call::Mounted { id: what.clone() })?;
                if u32::from_value(&count).is_some_and(|count| count > 0) {
                    lines.push(format!("{what} mounted"));
                }
            }
            Command::Layers => list_layers(process, lines)?,
            Command::Images => list_records(process, Call::Images, "images.json", lines)?,
            Command::Containers => list_records(process, Call::Containers, "containers.json", lines)?,
        }
        Ok(())
    }
}

/// `Lookup`, which takes an id, too.
fn lookup(process: &Process, what: String) -> Result<String, Stop> {
    let id = process.call(&Call::Lookup { name: what })?;
    String::from_value(&id).ok_or_else(|| Stop::Trouble(format!("it is no id: {id:?}")))
}

fn names_of(process: &Process, id: String) -> Result<Vec<String>, Stop> {
    texts(process, Call::Names { id })
}

/// A list of names or of ids.
fn texts(process: &Process, call: Call) -> Result<Vec<String>, Stop> {
    let value = process.call(&call)?;
    Vec::<String>::from_value(&value).ok_or_else(|| Stop::Trouble(format!("it is no list of texts: {value:?}")))
}

/// The records that a list told of, as the process knows them from that moment.
fn records(process: &Process, call: Call, document: &str) -> Result<Records, Stop> {
    let ids = texts(process, call)?;
    let known = process.known(document);
    let all = Vec::<Record>::from_value(&known).unwrap_or_default();
    Ok(all.into_iter().filter(|record| ids.contains(&record.id)).collect())
}

fn list_records(process: &Process, call: Call, document: &str, lines: &mut Vec<String>) -> Result<(), Stop> {
    for record in records(process, call, document)? {
        lines.push(record.id);
        lines.extend(record.names.iter().map(|name| format!("\tname: {name}")));
    }
    Ok(())
}

/// Layers, each with the images and the containers of which it is the top layer, as cmd/containers-storage/tree.go has them.
fn list_layers(process: &Process, lines: &mut Vec<String>) -> Result<(), Stop> {
    let ids = texts(process, Call::Layers)?;
    let known = process.known("layers.json");
    let layers = Layers::from_value(&known).unwrap_or_default();
    let images = records(process, Call::Images, "images.json")?;
    let containers = records(process, Call::Containers, "containers.json")?;
    for layer in layers.iter().filter(|layer| ids.contains(&layer.id)) {
        lines.push(layer.id.clone());
        lines.extend(layer.names.iter().map(|name| format!("\tname: {name}")));
        for (kind, records) in [("image", &images), ("container", &containers)] {
            for record in records.iter().filter(|record| record.layer == layer.id) {
                lines.push(format!("\t{kind}: {}", record.id));
                lines.extend(record.names.iter().map(|name| format!("\t\tname: {name}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(command: &str) -> Option<String> {
        refuses(&command.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_command_that_makes_no_sense_is_refused_and_every_listed_one_is_known() {
        for (command, why) in [
            ("", "a command is missing"),
            ("create-layer", "`create-layer` of a reference process needs an id: -i ID"),
            ("create-layer -i", "-i needs an argument"),
            ("create-layer -i a b c", "`create-layer` takes at most one argument"),
            ("layers all", "`layers` takes no argument"),
            ("exists", "`exists` takes one argument"),
            ("delete-image -t img", "-t is no option of a reference process: -i ID, -n NAME, -f FILE are"),
        ] {
            assert_eq!(refused(command).as_deref(), Some(why), "{command}");
        }
        assert!(refused("wipe").is_some_and(|why| why.starts_with("`wipe` is no command of a reference process")));
        for command in COMMANDS {
            let forms =
                [command.to_owned(), format!("{command} x"), format!("{command} -i x"), format!("{command} -i x y")];
            assert!(forms.iter().any(|form| refused(form).is_none()), "{command}");
        }
    }
}
