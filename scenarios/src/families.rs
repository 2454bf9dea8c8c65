//! Families of scenarios for mutants: one for each call, from templates that are files of `mutants/families`.
//!
//! A mutant changes one call, and what gives it away is as a rule the same for every call: another thread beside it,
//! another process that changed something before, a question after it. A template is a scenario in which `CALLS` stands for the call,
//! `ADDITIONAL` for the call on the Store object of an additional store, and `VARIANT` for its name; each that is made of it is a scenario like any other, and can be checked by its name.

use std::sync::LazyLock;

use lockproof_model::call::LockMethod;

use crate::error::Refused;
use crate::scenario::Scenario;

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../mutants/families/", $name, ".toml")))),*]
    };
}

/// The name and the text of each template that there is a scenario of for each variant.
const TEMPLATES: &[(&str, &str)] = templates![
    "alone",
    "gives-locks-back",
    "gives-locks-back-after-a-change",
    "is-seen",
    "is-seen-by-a-reader",
    "after-mount",
    "after-set-names",
    "after-create-image",
    "after-create-container",
    "first-after-mount",
    "first-after-set-names",
    "first-after-create-image",
    "first-after-create-container",
    "beside-status",
    "beside-images",
    "beside-containers",
    "beside-create-image",
    "beside-set-names",
    "beside-close-diff",
    "beside-new-store",
    "beside-new-writing-store",
    "beside-additional",
    "with-additional",
];

/// Those about a lock file alone, in which `FILE` stands for it, and `SECOND` for another one.
const OF_LOCK_FILES: &[(&str, &str)] = templates![
    "asked-whether-locked",
    "locked-by-two-threads",
    "read-locked-by-two-threads",
    "locked-twice-by-two-threads",
    "locked-and-locked-twice",
    "got-by-two-threads",
    "locked-in-each-way",
];

/// Those in which the call finds in an additional store what it looks for.
const OF_ADDITIONAL: &[(&str, &str)] = templates![
    "with-additional",
    "after-additional",
    "reads-additional-beside",
    "lists-additional-beside",
    "diffs-additional-beside",
    "closes-additional-beside",
    "reads-here-beside",
    "gives-locks-back-here-and-elsewhere",
];

/// What stands for `VARIANT` and for `CALLS` in them.
const ADDITIONAL_VARIANTS: &[(&str, &[&str])] = &[
    ("names-elsewhere", &["names shared"]),
    ("names-of-an-image-elsewhere", &["names shared-img"]),
    ("lookup-elsewhere", &["lookup far"]),
    ("lookup-of-an-image-elsewhere", &["lookup distant"]),
    ("exists-elsewhere", &["exists shared"]),
    ("exists-of-an-image-elsewhere", &["exists shared-img"]),
    ("diff-elsewhere", &["diff shared", "close-diff shared"]),
    ("put-layer-on-one-elsewhere", &["put-layer new parent=shared"]),
    ("create-image-of-a-layer-elsewhere", &["create-image new layer=shared"]),
    ("create-container-of-an-image-elsewhere", &["create-container new image=shared-img"]),
    ("layers-here-and-elsewhere", &["layers"]),
    ("images-here-and-elsewhere", &["images"]),
    ("lists-here-and-elsewhere", &["multi-list"]),
];

/// The lock files of the other scenarios.
const LOCK_FILES: &[&str] = &["a", "b", "turn", "dir/a", "link/a"];

/// Those that are about some variants alone.
const FEW: &[(&str, &str)] = templates![
    "in-new-store",
    "beside-open",
    "reads-additional-at-first",
    "gives-additional-locks-back",
    "repair-is-seen",
    "after-put-layer",
    "beside-names",
    "beside-a-lock-file",
    "first-after-set-names-of-a-container",
];

/// The calls that are made in a store that is new, as whoever gets a layer store may be the one that makes it: those that the
/// locks of the store alone do not give away.
const IN_NEW_STORE: [&str; 12] = [
    "status",
    "names",
    "lookup",
    "exists",
    "layers",
    "multi-list",
    "diff",
    "create-image",
    "mounted",
    "mount",
    "unmount-at-first",
    "shutdown",
];

/// Whether there is a scenario of a template for a variant: the others would be large, and show nothing new.
fn is_about(template: &str, variant: &str) -> bool {
    match template {
        // What a list finds here and elsewhere is in `VARIANTS` too.
        "with-additional" => {
            let elsewhere = ADDITIONAL_VARIANTS.iter().find(|(name, _)| *name == variant);
            !elsewhere.is_some_and(|(_, calls)| VARIANTS.iter().any(|(_, others)| others == calls))
        }
        // Two threads that both meet each lock of an additional store have many states.
        "reads-additional-beside" => {
            !(variant.contains("of-an-image") || variant.starts_with("diff")) || variant.starts_with("create-container")
        }
        "closes-additional-beside" | "reads-here-beside" => variant.starts_with("diff"),
        "diffs-additional-beside" => ["put-layer", "create"].iter().any(|call| variant.starts_with(call)),
        "lists-additional-beside" => variant.contains("image") || variant.starts_with("lists"),
        "in-new-store" => IN_NEW_STORE.contains(&variant),
        "beside-open" | "beside-a-lock-file" | "reads-additional-at-first" | "gives-additional-locks-back" => {
            variant == "open"
        }
        "repair-is-seen" => variant == "mount",
        // Where a list of all has too many states, or what it answers says nothing.
        "after-put-layer" | "first-after-set-names-of-a-container" | "beside-names" => variant == "multi-list",
        "beside-new-writing-store" => variant != "multi-list",
        _ => true,
    }
}

/// What stands for `VARIANT` and for `CALLS`: each call, on whatever makes it take another path.
const VARIANTS: &[(&str, &[&str])] = &[
    ("open", &["open"]),
    ("status", &["status"]),
    ("names", &["names base"]),
    ("names-of-a-container", &["names c1"]),
    ("lookup", &["lookup foo"]),
    ("lookup-of-a-container", &["lookup box"]),
    ("exists", &["exists base"]),
    ("exists-of-a-container", &["exists c1"]),
    ("layers", &["layers"]),
    ("put-layer", &["put-layer new parent=base"]),
    ("put-layer-with-contents", &["put-layer new parent=base diff=true"]),
    ("delete-layer", &["delete-layer one"]),
    ("delete-mounted-layer", &["mount one", "delete-layer one"]),
    ("set-names", &["set-names base bar"]),
    ("set-names-of-an-image", &["set-names img bar"]),
    ("set-names-of-a-container", &["set-names c1 bar"]),
    ("diff", &["diff base", "close-diff base"]),
    ("create-image", &["create-image new layer=base"]),
    ("create-image-without-layer", &["create-image new"]),
    ("delete-image", &["delete-image old"]),
    ("images", &["images"]),
    ("create-container", &["create-container new image=img"]),
    ("delete-container", &["delete-container c1"]),
    ("containers", &["containers"]),
    ("multi-list", &["multi-list"]),
    ("mount", &["mount base"]),
    ("unmount", &["mount base", "unmount base"]),
    ("unmount-at-first", &["unmount base"]),
    ("mounted", &["mounted base"]),
    ("shutdown", &["shutdown"]),
];

/// A scenario that was made of a template.
#[derive(Debug)]
pub struct Relative {
    /// The name of the template.
    pub family: &'static str,
    /// The names of the calls that it is about.
    pub calls: Vec<&'static str>,
    /// It.
    pub scenario: Scenario,
}

/// All that the templates make.
///
/// # Errors
/// None as released: a test reads them. A template that was edited since then may have mistakes.
pub fn families() -> Result<&'static [Relative], &'static Refused> {
    static RELATIVES: LazyLock<Result<Vec<Relative>, Refused>> = LazyLock::new(|| {
        let protocols = lockproof_model::protocol::all();
        let make = |family: &'static str, variant: &str, text: String, calls| {
            let scenario = crate::parse(&format!("{variant}-{family}.toml"), &text, &protocols)?;
            Ok(Relative { family, calls, scenario })
        };
        let of_calls = |(family, text): &(&'static str, &str), (variant, calls): &(&str, &[&'static str])| {
            let listed = |store: &str| {
                let quoted: Vec<String> = calls.iter().map(|call| format!("\"{store}{call}\"")).collect();
                quoted.join(", ")
            };
            let text = text.replace("VARIANT", variant).replace("CALLS", &listed(""));
            let text = text.replace("ADDITIONAL", &listed("@additional1 "));
            make(family, variant, text, calls.iter().filter_map(|call| call.split(' ').next()).collect())
        };
        let of_file = |(family, text): &(&'static str, &str), file: &str| {
            let variant = format!("file-{}", file.replace('/', "-"));
            let second = if file == "a" { "b" } else { "a" };
            make(
                family,
                &variant,
                text.replace("VARIANT", &variant).replace("FILE", file).replace("SECOND", second),
                LockMethod::ALL.map(LockMethod::name).to_vec(),
            )
        };
        let pairs = TEMPLATES.iter().chain(FEW).flat_map(|one| VARIANTS.iter().map(move |variant| (one, variant)));
        let elsewhere =
            OF_ADDITIONAL.iter().flat_map(|one| ADDITIONAL_VARIANTS.iter().map(move |variant| (one, variant)));
        let pairs = pairs.chain(elsewhere).filter(|(template, variant)| is_about(template.0, variant.0));
        let files = OF_LOCK_FILES.iter().flat_map(|one| LOCK_FILES.iter().map(move |file| (one, file)));
        let of_files = files.map(|(template, file)| of_file(template, file));
        pairs.map(|(template, variant)| of_calls(template, variant)).chain(of_files).collect()
    });
    RELATIVES.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_makes_a_scenario_of_every_variant_and_no_two_have_one_name() {
        let all = families().unwrap_or_else(|refused| panic!("{}", refused.lines().collect::<Vec<_>>().join("\n")));
        // Each of the other templates about a few is about one.
        let few = IN_NEW_STORE.len() + 8;
        let elsewhere = OF_ADDITIONAL.len() * ADDITIONAL_VARIANTS.len() - 47;
        let of_calls = TEMPLATES.len() * VARIANTS.len() - 1 + few + elsewhere;
        assert_eq!(all.len(), of_calls + OF_LOCK_FILES.len() * LOCK_FILES.len());
        let mut names: Vec<&str> = all.iter().map(|relative| relative.scenario.name.as_str()).collect();
        names.extend(crate::BUILT_IN.iter().map(|(name, _)| *name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for Relative { family, scenario, .. } in all {
            assert!(scenario.name.ends_with(family) && scenario.origin == format!("{}.toml", scenario.name));
        }
    }
}
