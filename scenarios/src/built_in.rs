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
    "second-store-goes-stale",
    "second-store-loses-an-image",
    "writer-starvation",
    "short-lived-readers-and-a-writer",
    "list-while-push",
    "list-while-push-in-a-daemon",
    "startup-write-lock",
    "two-diffs-at-once",
    "upload-window",
    "readers-exclude-writer",
    "writer-excludes-readers",
    "graphlock-scope-race",
    "graphlock-scope-lost-update",
    "stale-layer-store-handle",
    "lw-unsynchronized",
    "change-taken-by-a-thread",
    "layers-copied-after-unlock",
    "new-store-removes-a-pull",
    "nested-rlock-pending-writer",
    "nested-rlock-after-a-shutdown",
    "call-during-a-diff",
    "call-during-a-diff-after-a-shutdown",
    "diff-and-a-starting-process",
    "diff-and-a-shutdown",
    "abba-layer-locks",
    "parallel-pulls",
    "lock-order",
    "concurrent-writers-lose-nothing",
    "crash-between-document-and-stamp",
    "incomplete-layer-visible",
    "incomplete-layer-at-the-start",
    "two-readers-repair",
    "duplicate-names-are-repaired",
    "shutdown-ro-after-write",
    "read-only-option-writes",
    "mixed-versions",
    "mixed-with-bookworm",
    "mixed-with-trixie",
    "mixed-daemon-and-old-writer",
    "proposal-beside-a-library",
    "mixed-stale-bookworm",
    "unlocked-initial-load",
    "every-write-is-seen",
    "layers-stamp-alone",
    "locks-are-given-back",
    "record-locks-are-given-back",
    "new-store-gives-locks-back",
    "threads-take-turns",
    "threads-take-turns-on-records",
    "readers-of-one-process",
    "store-made-beside-a-writer",
    "store-made-anew-is-loaded",
    "writers-reload-before-they-write",
    "writers-of-records-reload",
    "every-write-of-records-is-seen",
    "repair-is-noticed",
    "whoever-is-inside-has-the-lock",
    "whoever-is-inside-has-the-lock-of-records",
    "threads-keep-out-of-each-others-locks",
    "threads-keep-out-of-each-others-records",
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
    "additional-store-is-followed",
    "additional-store-on-read-only-media",
    "additional-store-abba",
    "createcontainer-ro-stores-unlocked",
    "putlayer-container-before-rolayers",
    "ro-layer-stores-partial",
    "ro-image-stores-lazy",
    "graphdriver-field-unlocked",
    "touched-since-clock",
    "shutdown-noticed-by-fine-times",
    "own-shutdown-unnoticed",
    "one-load-for-each-change",
    "load-after-a-foreign-write",
    "load-after-a-repair",
    "empty-lock-is-always-loaded",
    "two-pulls-of-one-layer",
    "images-are-repaired",
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
