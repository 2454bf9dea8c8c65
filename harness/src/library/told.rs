//! What a process of a scenario is in the library: its calls, as the driver reads them, and their answers, as the model
//! writes them; and the other way round, for a reference process that is told its calls as the driver is.

use lockproof_model::call::{Call, Fail, Reply, StoreId};
use lockproof_model::system::{Process, Repeat};
use lockproof_model::value::Value;
use serde_json::Value as Json;

use super::Returned;
use crate::hunt::daemon::line::lines;
use crate::hunt::daemon::script::{self, OPEN, RUN, Script};

/// What a process of the library is told for a process of a system.
///
/// # Errors
/// What the library, or the driver, cannot do.
pub(super) fn script(process: &Process) -> Result<Script, String> {
    let name = &process.name;
    if process.runs != Repeat::Times(1) || process.threads.iter().any(|thread| thread.repeat != Repeat::Times(1)) {
        return Err(format!("{name}: a process of the library is started once, and makes each call once"));
    }
    let mut told = Script::default();
    for call in &process.before {
        told.before.push(as_told(call).map_err(|problem| format!("{name}: {problem}"))?);
    }
    for (number, thread) in (1..).zip(&process.threads) {
        if let Some(open) = thread.script.iter().find(|call| *call.plain() == Call::Open) {
            return Err(format!("{name}: `{open}`: the library's stores are opened before its goroutines go"));
        }
        let calls: Result<Vec<_>, String> = thread.script.iter().map(as_told).collect();
        told.goroutines.push((number.to_string(), calls.map_err(|problem| format!("{name}: {problem}"))?));
    }
    Ok(told)
}

/// A call, as the driver knows it.
fn as_told(call: &Call) -> Result<script::Call, String> {
    let unknown = || format!("`{call}` is no call of the driver of the library");
    let number = match call.store() {
        None => 1,
        Some(StoreId::Second(number)) => number,
        Some(StoreId::With(_) | StoreId::Additional(_)) => {
            return Err(format!("`{call}`: the driver of the library opens no additional stores"));
        }
    };
    let plain = call.plain();
    let on = |id: &String, below: &Option<String>, names: &[String]| -> Vec<String> {
        let below = below.clone().unwrap_or_default();
        [id.clone(), below].into_iter().chain(names.iter().cloned()).collect()
    };
    let (mut name, mut args) = (plain.name(), Vec::new());
    match plain {
        Call::Open => args.push(if number == 1 { RUN.to_owned() } else { format!("{RUN}{number}") }),
        Call::Status | Call::Layers | Call::Images | Call::Containers | Call::Shutdown => {}
        Call::Names { id }
        | Call::Exists { id }
        | Call::DeleteLayer { id }
        | Call::Diff { id }
        | Call::CloseDiff { id }
        | Call::DeleteImage { id }
        | Call::DeleteContainer { id }
        | Call::Mount { id }
        | Call::Unmount { id }
        | Call::Mounted { id }
        | Call::Lookup { name: id } => args.push(id.clone()),
        // `PutLayer` of layers.go without contents is `CreateLayer`.
        Call::PutLayer { id, parent, names, diff } => {
            name = if *diff { "put-layer" } else { "create-layer" };
            args = on(id, parent, names);
        }
        Call::CreateImage { id, layer, names } => args = on(id, layer, names),
        Call::CreateContainer { id, image, names } => args = on(id, image, names),
        Call::SetNames { id, names } => args = [id].into_iter().chain(names).cloned().collect(),
        Call::MultiList | Call::ShutdownRo | Call::Lockfile { .. } | Call::On { .. } | Call::Goroutine { .. } => {
            return Err(unknown());
        }
    }
    debug_assert!(name == OPEN || plain != &Call::Open);
    Ok(script::Call { store: format!("@{number}"), call: name.to_owned(), args })
}

/// The call of the first Store object that the driver knows by this name.
///
/// # Errors
/// There is none, or not with these arguments.
pub(crate) fn heard(name: &str, args: &[String]) -> Result<Call, String> {
    let (id, rest) = match args.split_first() {
        Some((id, rest)) => (Ok(id.clone()), rest),
        None => (Err(format!("{name} needs an argument")), args),
    };
    let below = || rest.first().filter(|below| !below.is_empty()).cloned();
    let names = || rest.iter().skip(1).cloned().collect();
    Ok(match name {
        "status" => Call::Status,
        "layers" => Call::Layers,
        "images" => Call::Images,
        "containers" => Call::Containers,
        "shutdown" => Call::Shutdown,
        "names" => Call::Names { id: id? },
        "lookup" => Call::Lookup { name: id? },
        "exists" => Call::Exists { id: id? },
        "delete-layer" => Call::DeleteLayer { id: id? },
        "delete-image" => Call::DeleteImage { id: id? },
        "delete-container" => Call::DeleteContainer { id: id? },
        "diff" => Call::Diff { id: id? },
        "close-diff" => Call::CloseDiff { id: id? },
        "mount" => Call::Mount { id: id? },
        "unmount" => Call::Unmount { id: id? },
        "mounted" => Call::Mounted { id: id? },
        "put-layer" | "create-layer" => {
            Call::PutLayer { id: id?, parent: below(), names: names(), diff: name == "put-layer" }
        }
        "create-image" => Call::CreateImage { id: id?, layer: below(), names: names() },
        "create-container" => Call::CreateContainer { id: id?, image: below(), names: names() },
        "set-names" => Call::SetNames { id: id?, names: rest.to_vec() },
        other => return Err(format!("no call of a reference process is named {other:?}")),
    })
}

/// What a call returned, as the driver writes it.
pub(crate) fn returned(reply: &Reply) -> Returned {
    fn json(value: &Value) -> Json {
        match value {
            Value::Text(text) => text.clone().into(),
            Value::Bool(truth) => (*truth).into(),
            Value::Int(number) => (*number).into(),
            Value::List(all) => all.iter().map(json).collect(),
            _ => Json::Null,
        }
    }
    reply.as_ref().map(json).map_err(ToString::to_string)
}

/// What a call returned, as the model writes it.
pub(super) fn reply(call: &Call, returned: &Returned) -> Reply {
    let json = match returned {
        Ok(json) => json,
        // The model has one name for what is asked for and not there (`Contents::find` of its monitors).
        Err(text) if call.is_query() && text.contains("not known") => return Err(Fail::layer_unknown()),
        Err(text) => return Err(Fail(text.clone())),
    };
    let text = |json: &Json| Value::Text(lines(json).concat());
    Ok(match call.plain() {
        Call::Names { .. } | Call::Layers | Call::Images | Call::Containers => {
            Value::List(json.as_array().into_iter().flatten().map(text).collect())
        }
        Call::Lookup { .. } | Call::PutLayer { .. } | Call::CreateImage { .. } | Call::CreateContainer { .. } => {
            text(json)
        }
        Call::Exists { .. } | Call::Unmount { .. } => Value::Bool(json.as_bool().unwrap_or_default()),
        Call::Mounted { .. } => {
            Value::Int(json.as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or_default())
        }
        _ => Value::Nil,
    })
}

#[cfg(test)]
mod tests {
    use lockproof_model::call::Fail;

    use super::*;

    #[test]
    fn a_reference_process_hears_what_the_library_is_told_and_answers_as_it_does() {
        let list = || Ok(Value::List(vec![Value::Text("a".into()), Value::Text("b".into())]));
        let text = |text: &str| Ok(Value::Text(text.into()));
        let id = || "base".to_owned();
        let names = || vec!["x".to_owned(), "y".to_owned()];
        let put = |diff| Call::PutLayer { id: "new".into(), parent: Some(id()), names: names(), diff };
        let duplicate = || Err(Fail("ErrDuplicateID".into()));
        for (call, answers) in [
            (Call::Status, Ok(Value::Nil)),
            (Call::Names { id: id() }, list()),
            (Call::Lookup { name: "foo".into() }, text("base")),
            (Call::Exists { id: id() }, Ok(Value::Bool(true))),
            (Call::Layers, list()),
            (Call::Images, list()),
            (Call::Containers, list()),
            (put(true), text("new")),
            (put(false), duplicate()),
            (Call::PutLayer { id: "new".into(), parent: None, names: Vec::new(), diff: false }, text("new")),
            (Call::CreateImage { id: "new".into(), layer: Some(id()), names: names() }, text("new")),
            (Call::CreateContainer { id: "new".into(), image: None, names: names() }, text("new")),
            (Call::SetNames { id: id(), names: names() }, Ok(Value::Nil)),
            (Call::DeleteLayer { id: id() }, Err(Fail("ErrLayerHasChildren".into()))),
            (Call::DeleteImage { id: id() }, Ok(Value::Nil)),
            (Call::DeleteContainer { id: id() }, Ok(Value::Nil)),
            (Call::Diff { id: id() }, Ok(Value::Nil)),
            (Call::CloseDiff { id: id() }, Ok(Value::Nil)),
            (Call::Mount { id: id() }, Ok(Value::Nil)),
            (Call::Unmount { id: id() }, Ok(Value::Bool(false))),
            (Call::Mounted { id: id() }, Ok(Value::Int(2))),
            (Call::Shutdown, Ok(Value::Nil)),
        ] {
            let told = as_told(&call).unwrap();
            assert_eq!(heard(&told.call, &told.args), Ok(call.clone()));
            assert_eq!(reply(&call, &returned(&answers)), answers, "{call}");
        }
        assert_eq!(heard("names", &[]).unwrap_err(), "names needs an argument");
        assert_eq!(heard("wipe", &[]).unwrap_err(), "no call of a reference process is named \"wipe\"");
    }
}
