//! The remarks of the discussion under containers/storage pull request #473, by the numbers that scenarios cite.

/// Something that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remark {
    /// `D14`.
    pub id: &'static str,
    /// Who said it.
    pub who: &'static str,
    /// What was said, in short.
    pub said: &'static str,
}

const fn said(id: &'static str, who: &'static str, said: &'static str) -> Remark {
    Remark { id, who, said }
}

/// All of them, in the order of the discussion.
pub const REMARKS: [Remark; 22] = [
    said("D1", "commit message", "listing images while an image is pushed should work in parallel"),
    said(
        "D2",
        "vrothberg",
        "read-only functions should always take reader locks; newLayerStore should not lock at all",
    ),
    said("D3", "vrothberg", "can ForceReadOnlyLayers=true guarantee that nothing is written?"),
    said("D4", "vrothberg", "it only suits short-lived store objects, not a daemon"),
    said(
        "D5",
        "rhatdan",
        "a writer cannot write while a reader exists, and readers cannot read while a writer holds the lock",
    ),
    said("D6", "rhatdan", "writers may be frozen out by a continuous stream of readers"),
    said("D7", "rhatdan", "each runtime takes a read/write lock when it starts, even if it does not need it"),
    said("D8", "mtrmac", "maintaining two stores is risky; better a one-way upgrade that never goes back"),
    said("D9", "mtrmac", "two stores mean two caches and two reads of the data"),
    said("D10", "mtrmac", "ShutdownRO: the caller must know, and the code breaks if it is called after updates"),
    said(
        "D11",
        "mtrmac",
        "newLayerStore in place of newROLayerStore always makes a read-write lock file: RecursiveLock changes its meaning",
    ),
    said("D12", "mtrmac", "IsReadWrite on the lock file is now always true"),
    said("D13", "mtrmac", "graphLock protected all of LayerStore(); why is the narrower scope enough?"),
    said("D14", "mtrmac", "Names(foo), PutLayer(…), Names(foo): what happens now?"),
    said("D15", "saschagrunert", "the main use was to list images while another push is in progress"),
    said("D16", "saschagrunert", "locking by layer would solve more"),
    said("D17", "vrothberg", "fine-grained locking: a lock per layer is subject to ABBA deadlocks"),
    said("D18", "vrothberg", "older and newer versions must run on the same machine"),
    said("D19", "mtrmac", "what about the consistency fix-ups that write data on load?"),
    said("D20", "vrothberg", "containers/image #1167: copy to a temporary file, then let the lock go"),
    said("D21", "review threads", "the reader/writer lock's own fields: locked, locktype, recursive writers"),
    said("D22", "mtrmac", "TouchedSince and Modified: who compares what with what?"),
];

/// The remark of that number.
#[must_use]
pub fn remark(id: &str) -> Option<&'static Remark> {
    REMARKS.iter().find(|remark| remark.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remarks_are_numbered_in_order() {
        for (index, remark) in REMARKS.iter().enumerate() {
            assert_eq!(remark.id, format!("D{}", index + 1));
        }
    }
}
