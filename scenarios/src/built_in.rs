//! The scenarios that come with the tool: each a file of this folder, compiled in.

use std::sync::LazyLock;

use crate::error::Refused;
use crate::scenario::Scenario;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../", $name, ".toml")))),*]
    };
}

/// The name and the text of each, in the order in which they are listed and checked.
pub const BUILT_IN: &[(&str, &str)] = files![
    "stale-ro-cache-after-rw-write",
    "sibling-consumes-the-change",
    "short-lived-stores",
    "writer-starvation",
    "list-while-push",
    "readers-exclude-writer",
    "writer-excludes-readers",
    "graphlock-scope-race",
    "lw-unsynchronized",
    "change-taken-by-a-thread",
    "nested-rlock-pending-writer",
    "abba-layer-locks",
    "parallel-pulls",
    "concurrent-writers-lose-nothing",
    "crash-between-document-and-stamp",
    "incomplete-layer-visible",
    "shutdown-ro-after-write",
    "mixed-versions",
    "unlocked-initial-load",
    "every-write-is-seen",
    "layers-stamp-alone",
    "locks-are-given-back",
    "threads-take-turns",
    "recursive-lock-on-ro-store",
    "listing-not-atomic",
    "images-behind-a-convoy",
    "create-image-waits-for-push",
    "pull-remove-toctou",
    "two-removals",
    "container-of-a-removed-image",
    "concurrent-images",
    "names-of-images",
    "images-reload-under-shared-lock",
    "crash-before-the-stamp-of-images",
    "cross-store-crash",
    "container-without-layer",
    "image-removal-is-ordered",
    "mount-counts",
    "empty-lock-always-modified",
    "shutdown-while-mounted",
    "shutdown-lock-order",
    "lock-hierarchy",
    "stale-layerstore-handle",
    "readers-and-writers-of-a-lockfile",
    "recursive-lock-not-exclusive",
    "two-recursive-writers",
    "locked-is-anybody",
    "stamp-of-two-readers",
    "nested-rlock-on-a-lockfile",
    "setlkw-error-spin",
    "edeadlk-without-a-deadlock",
    "path-alias-close-drops-lock",
    "two-names-exclude-nobody",
    "one-process-starves-writers",
    "writers-take-turns",
];

/// The scenarios that come with the tool.
///
/// # Errors
/// None as released: a test reads each of them. A file that was edited since then may have mistakes.
pub fn built_in() -> Result<&'static [Scenario], &'static Refused> {
    static SCENARIOS: LazyLock<Result<Vec<Scenario>, Refused>> = LazyLock::new(|| {
        let protocols = lockproof_model::protocol::all();
        BUILT_IN.iter().map(|(name, text)| crate::parse(&format!("{name}.toml"), text, &protocols)).collect()
    });
    SCENARIOS.as_deref()
}
