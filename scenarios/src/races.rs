//! The races that happened, or were feared: every one that is known, with the reason where no scenario states it.
//!
//! The names are those that scenarios cite. They come from the history of containers/storage up to 83cf57466 (August 2025) and from
//! the discussion of pull request #473; those that begin with `s473-` or `s-` were found by its reviewers and never merged.

/// A race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Race {
    /// Its name: `modified-edge-consumed`.
    pub id: &'static str,
    /// What goes wrong.
    pub what: &'static str,
    /// Why no scenario states it; `None` if one does.
    pub not_stated: Option<&'static str>,
}

const fn stated(id: &'static str, what: &'static str) -> Race {
    Race { id, what, not_stated: None }
}

const fn left_out(id: &'static str, what: &'static str, why: &'static str) -> Race {
    Race { id, what, not_stated: Some(why) }
}

/// All of them: the lock library, the caches, several locks, several documents, staging, proposals.
pub const RACES: [Race; 72] = [
    stated("recursive-lock-not-exclusive", "mutual exclusion, panic"),
    stated("lw-unsynchronized", "data race, spurious/missed 'modified'"),
    stated("modified-edge-consumed", "stale read then lost update"),
    stated("locked-is-anybody", "lost update, panic"),
    stated("empty-lock-always-modified", "unbounded reload"),
    stated("setlkw-error-spin", "deadlock turned into livelock; unbounded retry"),
    left_out(
        "lockfile-inode-split",
        "mutual exclusion",
        "somebody removes a lock file that is held; a path of the model stands for one inode for ever (two paths may for the same: `path-alias-close-drops-lock`)",
    ),
    left_out(
        "lockdir-removed-panic",
        "panic",
        "somebody removes the directory of a lock file; no process of the model does",
    ),
    stated("path-alias-close-drops-lock", "lock dropped early"),
    stated("fcntl-writer-starvation", "starvation"),
    stated("nested-rlock-pending-writer", "deadlock"),
    left_out("trylock-blocks", "try-lock blocks unboundedly", "`TryLock` of a Go mutex is no operation of the model"),
    left_out(
        "last-writer-id-unique",
        "missed update (hypothetical collision)",
        "an assumption of the model: no stamp is ever written twice",
    ),
    stated("save-without-stamp", "stale read"),
    stated("unlocked-initial-load", "unlocked read; panic; unrepairable store"),
    stated("incomplete-layer-visible", "incomplete layer visible / built upon"),
    stated("reload-under-shared-lock", "data race, torn read, panic"),
    stated("mtime-self-invalidation", "spurious reload; reload mid read-lock"),
    stated("mount-counts-not-reset", "stale read then lost update (mount count)"),
    left_out("load-relocks-mounts", "self-deadlock", "1.11 to 1.13.2, older than every protocol here"),
    stated("layers-copied-after-unlock", "data race, stale read"),
    left_out(
        "reader-op-writes",
        "write under read lock (error/panic/race)",
        "big data of images and containers are not part of the model",
    ),
    left_out(
        "mounts-reload-under-rlock",
        "data race; unmount race",
        "the mounts and the layers are loaded together into one variable of the model, so that `reload-under-shared-lock` is met first",
    ),
    left_out(
        "reload-errors-ignored",
        "stale read then lost update",
        "before 1.10, older than every protocol here; no load of the model fails but for what is to be repaired",
    ),
    stated("lastwrite-rollback-after-cleanup", "spurious reload"),
    left_out(
        "toc-index-not-pruned",
        "stale index in process",
        "digests of layers, and the indexes by them, are not part of the model",
    ),
    left_out(
        "names-locks-layers-twice",
        "self-deadlock",
        "2017, older than every protocol here; `nested-rlock-on-a-lockfile` takes a lock twice in one thread",
    ),
    stated("shutdown-lock-order", "deadlock (ABBA)"),
    stated("createcontainer-ro-stores-unlocked", "unlocked read"),
    stated("putlayer-container-before-rolayers", "lock order"),
    left_out(
        "diff-leaks-lock-on-error",
        "leaked lock then deadlock",
        "it takes a document that cannot be loaded while a daemon is warm, and no version here writes one; the unlock that is missing is in `v1_24` all the same",
    ),
    left_out(
        "diff-without-lock",
        "lock dropped early (mount count)",
        "before 1.1 (2018), older than every protocol here; `copy_then_unlock` is what a caller that holds no lock meets",
    ),
    stated("diff-holds-lock-for-stream", "blocking / starvation / deadlock"),
    stated("diff-exclusive", "no shared reads during diff; self-deadlock"),
    left_out(
        "diff-mounts-under-read-lock",
        "write under read lock",
        "drivers whose diff is a mount (btrfs, zfs); the driver of the model is vfs",
    ),
    stated("startup-write-lock", "reader blocked by reader"),
    stated("graphlock-convoy", "unrelated ops blocked"),
    left_out(
        "differ-under-write-lock",
        "lock held over network; re-entry deadlock",
        "pulls in parts (zstd:chunked) are no call of the model",
    ),
    stated("mount-without-graphlock", "check-then-act across lock; hidden mount"),
    stated("graphlock-mtime-clock", "missed notification"),
    stated("stale-layerstore-handle", "use of obsolete object"),
    stated("ro-image-stores-lazy", "data race, duplicate stores"),
    stated("ro-layer-stores-partial", "silently missing stores"),
    left_out(
        "ro-layer-stores-old-driver",
        "use of obsolete object",
        "which driver a store object was made with harms nobody who only reads its records, and mounts there are none in an additional store",
    ),
    stated("graphdriver-field-unlocked", "data race, nil deref"),
    left_out(
        "deletecontainer-early-return",
        "lock dropped while goroutines run; panic",
        "1.16.2 to 1.18.0, between two of the releases here; it takes an I/O error of the driver, and no operation of the model fails",
    ),
    stated("getstore-ignores-runroot", "wrong mount table"),
    left_out(
        "stores-free-unlocked",
        "data race",
        "`Free` is no call of the model: a Store object lives as long as its process",
    ),
    left_out(
        "driver-before-record",
        "orphan / reused garbage layer",
        "what the driver has on disk is not part of the model: `crash-safe` judges records alone",
    ),
    left_out(
        "create-then-apply-staged",
        "incomplete layer visible",
        "what a layer contains is not part of the model, which knows only the mark that it is incomplete; pulls from a staging directory are no call of it",
    ),
    stated("cross-store-crash", "orphans / dangling references"),
    stated("pull-remove-toctou", "name/ref used after delete"),
    stated("listing-not-atomic", "inconsistent snapshot"),
    stated("additional-layer-duplicate-id", "check-then-act"),
    left_out(
        "userns-range-overlap",
        "overlap allowed",
        "user namespaces are not part of the model, nor is `userns.lock`",
    ),
    left_out(
        "staging-dir-removed-by-shutdown",
        "other's data deleted",
        "staging directories belong to the overlay driver",
    ),
    left_out("staging-locks-map-race", "concurrent map write (crash)", "a map of the overlay driver"),
    left_out(
        "staging-lock-window",
        "lock taken after object is visible",
        "staging directories belong to the overlay driver",
    ),
    left_out(
        "staging-locks-leak",
        "unbounded growth of the lock registry",
        "the growth of a map of the process; every state of the model is finite",
    ),
    stated("s473-readonlylayers-option", "writes through a read-locked store"),
    stated("s473-layers-ro-lock", "two lock files, reader lock that is a no-op, mixed versions"),
    stated("s473-shared-lock-two-stores", "stale read"),
    stated("s473-dual-caches", "double reads, divergent caches"),
    stated("s473-shutdownro", "unmount under live mounts, nil deref"),
    stated("s473-always-rw-lockfile", "RO media unusable; RecursiveLock changes meaning"),
    stated("s473-graphlock-scope", "data race, two instances"),
    stated("s473-layers-no-lock-no-reload", "stale read, data race"),
    stated("s473-ro-kind-cannot-repair", "reader fails, fix-ups under read lock"),
    stated("s-per-layer-lock-abba", "deadlock"),
    stated("s-lock-upgrade", "deadlock / lost update between"),
    stated("s-mixed-versions", "exclusion lost between versions"),
    stated("s-copy-then-unlock", "(mitigation)"),
];

/// The race of that name.
#[must_use]
pub fn race(id: &str) -> Option<&'static Race> {
    RACES.iter().find(|race| race.id == id)
}
