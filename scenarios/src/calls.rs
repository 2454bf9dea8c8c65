//! Calls as scenarios write them: `put-layer b parent=base names=x,y diff=true`.

use std::ops::Range;

use lockproof_model::call::{ADDITIONAL_MAX, Call, LockMethod, StoreId};

use crate::decode::{Mistakes, Placed};

/// The calls, as messages and the reference show them.
pub(crate) const FORMS: [(&str, &str); 31] = [
    ("open", "open"),
    ("status", "status"),
    ("names", "names LAYER"),
    ("lookup", "lookup NAME"),
    ("exists", "exists LAYER"),
    ("layers", "layers"),
    ("put-layer", "put-layer ID [parent=ID] [names=NAME,NAME…] [diff=true]"),
    ("delete-layer", "delete-layer LAYER"),
    ("set-names", "set-names LAYER NAME,NAME…"),
    ("diff", "diff ID"),
    ("close-diff", "close-diff ID"),
    ("create-image", "create-image ID [layer=LAYER] [names=NAME,NAME…]"),
    ("delete-image", "delete-image IMAGE"),
    ("images", "images"),
    ("create-container", "create-container ID [image=IMAGE] [names=NAME,NAME…]"),
    ("delete-container", "delete-container CONTAINER"),
    ("containers", "containers"),
    ("multi-list", "multi-list"),
    ("mount", "mount ID"),
    ("unmount", "unmount ID"),
    ("mounted", "mounted ID"),
    ("shutdown", "shutdown"),
    ("shutdown-ro", "shutdown-ro"),
    ("get-lockfile", "get-lockfile FILE [ro=true]"),
    ("lock", "lock FILE [ro=true]"),
    ("rlock", "rlock FILE [ro=true]"),
    ("recursive-lock", "recursive-lock FILE [ro=true]"),
    ("unlock", "unlock FILE [ro=true]"),
    ("touch", "touch FILE [ro=true]"),
    ("modified", "modified FILE [ro=true]"),
    ("locked", "locked FILE [ro=true]"),
];

/// The call that `text` is. `source` is the whole file: a string without escapes is marked to the word.
pub(crate) fn parse(text: &Placed<&str>, source: &str, mistakes: &mut Mistakes) -> Option<Call> {
    let mut words = words(text, source);
    if words.is_empty() {
        mistakes.add(&text.span, "empty call", "a call goes here", forms_help());
        return None;
    }
    if let Some(name) = words[0].value.strip_prefix('@') {
        let Some(store) = store_id(name) else {
            let help =
                "`@2` to `@9`: another Store object of the process; `@additional1`, `@additional2`: one of that \
                        additional store; without it, the first"
                    .to_owned();
            mistakes.add(&words[0].span, format!("`{}` is no Store object", words[0].value), "here", help);
            return None;
        };
        words.remove(0);
        if words.is_empty() {
            mistakes.add(&text.span, "empty call", "a call goes here", forms_help());
            return None;
        }
        return plain(words, mistakes).map(|of| Call::On { store, of: Box::new(of) });
    }
    plain(words, mistakes)
}

/// The Store object of that name: `2` to `9`, `additional1`, `additional2`.
fn store_id(name: &str) -> Option<StoreId> {
    let number = |text: &str| text.parse::<u8>().ok();
    match name.strip_prefix("additional") {
        Some(text) => number(text).filter(|number| (1..=ADDITIONAL_MAX).contains(number)).map(StoreId::Additional),
        None => number(name).filter(|number| (2..=9).contains(number)).map(StoreId::Second),
    }
}

/// The call that `words` are, at least one.
fn plain(mut words: Vec<Placed<&str>>, mistakes: &mut Mistakes) -> Option<Call> {
    let name = words.remove(0);
    let Some((_, form)) = FORMS.iter().find(|(known, _)| *known == name.value) else {
        mistakes.unknown(&name.span, "call", name.value, FORMS.map(|(known, _)| known));
        return None;
    };
    let mut arguments = Arguments { form, call: name.clone(), words, mistakes };
    let call = match name.value {
        "open" => Some(Call::Open),
        "status" => Some(Call::Status),
        "layers" => Some(Call::Layers),
        "images" => Some(Call::Images),
        "containers" => Some(Call::Containers),
        "multi-list" => Some(Call::MultiList),
        "create-image" => arguments.created("layer").map(|(id, layer, names)| Call::CreateImage { id, layer, names }),
        "create-container" => {
            arguments.created("image").map(|(id, image, names)| Call::CreateContainer { id, image, names })
        }
        "delete-image" => arguments.word("an image").map(|id| Call::DeleteImage { id }),
        "delete-container" => arguments.word("a container").map(|id| Call::DeleteContainer { id }),
        "mount" => arguments.word("a layer or a container").map(|id| Call::Mount { id }),
        "unmount" => arguments.word("a layer or a container").map(|id| Call::Unmount { id }),
        "mounted" => arguments.word("a layer or a container").map(|id| Call::Mounted { id }),
        "shutdown" => Some(Call::Shutdown),
        "shutdown-ro" => Some(Call::ShutdownRo),
        "names" => arguments.word("a layer").map(|id| Call::Names { id }),
        "lookup" => arguments.word("a name").map(|name| Call::Lookup { name }),
        "exists" => arguments.word("a layer").map(|id| Call::Exists { id }),
        "delete-layer" => arguments.word("a layer").map(|id| Call::DeleteLayer { id }),
        "diff" => arguments.word("a layer").map(|id| Call::Diff { id }),
        "close-diff" => arguments.word("a layer").map(|id| Call::CloseDiff { id }),
        "set-names" => arguments.set_names(),
        "put-layer" => arguments.put_layer(),
        method => arguments.lockfile(method),
    };
    arguments.end();
    call
}

/// `call` as a scenario writes it. A list that is empty cannot be written; no file holds one.
pub(crate) fn write(call: &Call) -> String {
    if let Call::On { store, of } = call {
        return format!("{store}{}", write(of));
    }
    let mut words = vec![call.name().to_owned()];
    match call {
        Call::Open
        | Call::Status
        | Call::Layers
        | Call::Images
        | Call::Containers
        | Call::MultiList
        | Call::Shutdown
        | Call::ShutdownRo
        | Call::On { .. }
        | Call::Goroutine { .. } => {}
        Call::Names { id }
        | Call::Exists { id }
        | Call::DeleteLayer { id }
        | Call::Diff { id }
        | Call::CloseDiff { id }
        | Call::DeleteImage { id }
        | Call::DeleteContainer { id }
        | Call::Mount { id }
        | Call::Unmount { id }
        | Call::Mounted { id } => words.push(id.clone()),
        Call::Lookup { name } => words.push(name.clone()),
        Call::SetNames { id, names } => words.extend([id.clone(), names.join(",")]),
        Call::PutLayer { id, parent, names, diff } => {
            words.extend(created(id, "parent", parent.as_ref(), names));
            words.extend(diff.then(|| "diff=true".to_owned()));
        }
        Call::Lockfile { file, ro, .. } => {
            words.push(file.clone());
            words.extend(ro.then(|| "ro=true".to_owned()));
        }
        Call::CreateImage { id, layer, names } => words.extend(created(id, "layer", layer.as_ref(), names)),
        Call::CreateContainer { id, image, names } => words.extend(created(id, "image", image.as_ref(), names)),
    }
    words.join(" ")
}

fn created(id: &str, key: &str, on: Option<&String>, names: &[String]) -> impl Iterator<Item = String> {
    let on = on.map(|on| format!("{key}={on}"));
    let names = (!names.is_empty()).then(|| format!("names={}", names.join(",")));
    [Some(id.to_owned()), on, names].into_iter().flatten()
}

fn forms_help() -> String {
    let forms: Vec<String> = FORMS.iter().map(|(_, form)| format!("`{form}`")).collect();
    format!("calls: {}", forms.join(", "))
}

/// The words of a string, each with its own place where the file holds the string as it is.
fn words<'t>(text: &Placed<&'t str>, source: &str) -> Vec<Placed<&'t str>> {
    let inside = text.span.start + 1..text.span.end.saturating_sub(1);
    let plain = source.get(inside.clone()) == Some(text.value);
    let place = |word: &str| -> Range<usize> {
        if !plain {
            return text.span.clone();
        }
        let start = inside.start + (word.as_ptr() as usize - text.value.as_ptr() as usize);
        start..start + word.len()
    };
    text.value.split_whitespace().map(|word| Placed { value: word, span: place(word) }).collect()
}

/// What follows the name of a call.
struct Arguments<'a, 't> {
    form: &'static str,
    call: Placed<&'t str>,
    words: Vec<Placed<&'t str>>,
    mistakes: &'a mut Mistakes,
}

impl<'t> Arguments<'_, 't> {
    fn shape(&self) -> String {
        format!("it is written `{}`", self.form)
    }

    /// The next argument that is no `key=value`.
    fn word(&mut self, what: &str) -> Option<String> {
        let word = self.any_word(what)?;
        self.check_name(&word);
        Some(word.value.to_owned())
    }

    fn any_word(&mut self, what: &str) -> Option<Placed<&'t str>> {
        let Some(at) = self.words.iter().position(|word| !word.value.contains('=')) else {
            let message = format!("`{}` needs {what}", self.call.value);
            let help = self.shape();
            self.mistakes.add(&self.call.span, message, "one is missing", help);
            return None;
        };
        Some(self.words.remove(at))
    }

    /// Ids and names are words of letters, digits, `-`, `_` and `.`.
    fn check_name(&mut self, word: &Placed<&str>) {
        if !is_name(word.value) {
            let message = format!("`{}` is no id and no name", word.value);
            let help = "letters, digits, `-`, `_` and `.` make a name; several are separated by `,` alone".to_owned();
            self.mistakes.add(&word.span, message, "in here", help);
        }
    }

    fn list(&mut self, word: &Placed<&str>, list: &str) -> Vec<String> {
        list.split(',')
            .map(|name| {
                self.check_name(&Placed { value: name, span: word.span.clone() });
                name.to_owned()
            })
            .collect()
    }

    /// Takes the argument `key=…`.
    fn keyed(&mut self, key: &str) -> Option<(Placed<&'t str>, &'t str)> {
        let at = self.words.iter().position(|word| word.value.split_once('=').is_some_and(|(name, _)| name == key))?;
        let word = self.words.remove(at);
        let (_, value) = word.value.split_once('=')?;
        Some((word, value))
    }

    fn set_names(&mut self) -> Option<Call> {
        let id = self.word("a layer")?;
        let Some(at) = self.words.iter().position(|word| !word.value.contains('=')) else {
            let help = self.shape();
            self.mistakes.add(&self.call.span, "`set-names` needs names", "they are missing", help);
            return None;
        };
        let word = self.words.remove(at);
        let names = self.list(&word, word.value);
        Some(Call::SetNames { id, names })
    }

    /// What is made: its id, what it is made on (the argument `on=…`), and its names.
    fn created(&mut self, on: &str) -> Option<(String, Option<String>, Vec<String>)> {
        let id = self.word("the id of what is made")?;
        let on = self.keyed(on).map(|(word, on)| {
            self.check_name(&Placed { value: on, span: word.span });
            on.to_owned()
        });
        let names = match self.keyed("names") {
            Some((word, names)) => self.list(&word, names),
            None => Vec::new(),
        };
        Some((id, on, names))
    }

    /// The argument `key=true`; `false` where there is none.
    fn flag(&mut self, key: &str) -> bool {
        match self.keyed(key) {
            None | Some((_, "false")) => false,
            Some((_, "true")) => true,
            Some((word, other)) => {
                let message = format!("`{key}` is `true` or `false`, not `{other}`");
                self.mistakes.add(&word.span, message, "here", None);
                false
            }
        }
    }

    /// A method of the lock library. The file may be in a directory.
    fn lockfile(&mut self, method: &str) -> Option<Call> {
        let method = LockMethod::ALL.into_iter().find(|known| known.name() == method)?;
        let file = self.any_word("a lock file")?;
        for part in file.value.split('/') {
            self.check_name(&Placed { value: part, span: file.span.clone() });
        }
        Some(Call::Lockfile { method, file: file.value.to_owned(), ro: self.flag("ro") })
    }

    fn put_layer(&mut self) -> Option<Call> {
        let (id, parent, names) = self.created("parent")?;
        let diff = self.flag("diff");
        Some(Call::PutLayer { id, parent, names, diff })
    }

    /// Nothing may be left.
    fn end(self) {
        let help = self.shape();
        for word in self.words {
            let message = format!("`{}` takes no `{}`", self.call.value, word.value);
            self.mistakes.add(&word.span, message, "not expected", help.clone());
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}
