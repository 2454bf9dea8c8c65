//! The commands of `containers-storage` that take a lock, with arguments that make sense in one of a few stores.

use std::collections::BTreeSet;

use super::workload::Workload;

/// A store to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum From {
    /// Nothing is in it.
    Empty,
    /// The layers `base`, `mid` and `top`, one above the other, and `lone` above `base`.
    Chain,
    /// A chain, the image `img` with the container `box`, and the image `spare` of `lone`.
    Image,
    /// The same, and what is left of an `import-layer` that was killed.
    Leftovers,
}

impl From {
    /// All of them.
    pub const ALL: [From; 4] = [From::Empty, From::Chain, From::Image, From::Leftovers];

    /// As it is called on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            From::Empty => "empty",
            From::Chain => "chain",
            From::Image => "image",
            From::Leftovers => "leftovers",
        }
    }

    /// The commands that make it, if the program knows them.
    #[must_use]
    pub fn start(self, known: &BTreeSet<String>) -> Vec<Vec<String>> {
        const CHAIN: [&str; 5] = [
            "create-layer -i base",
            "create-layer -i mid base",
            "create-layer -i top -n foo mid",
            "create-layer -i lone base",
            "set-layer-data -f data top k",
        ];
        const IMAGE: [&str; 5] = [
            "create-image -i img -n pic top",
            "set-image-data -f data img k",
            "create-container -i box -n run img",
            "set-container-data -f data box k",
            "create-image -i spare lone",
        ];
        const LEFTOVERS: [&str; 1] = ["kill-before 2 layers.json import-layer -i left -f diff.tar top"];
        let parts: &[&[&str]] = match self {
            From::Empty => &[],
            From::Chain => &[&CHAIN],
            From::Image => &[&CHAIN, &IMAGE],
            From::Leftovers => &[&CHAIN, &IMAGE, &LEFTOVERS],
        };
        let commands = parts.concat().into_iter().map(Workload::words);
        commands.filter(|words| words[0] == "kill-before" || known.contains(&words[0])).collect()
    }
}

/// What a command needs to make sense.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Needs {
    Nothing,
    Layers,
    Images,
}

use Needs::{Images, Layers, Nothing};

/// Commands that change the store. What is likely to collide comes first.
const WRITERS: [(Needs, &str); 34] = [
    (Nothing, "create-layer -i a"),
    (Layers, "delete-layer top"),
    (Images, "delete-image spare"),
    (Images, "create-container -i box2 -n x spare"),
    (Layers, "create-image -i pic2 -n y top"),
    (Nothing, "import-layer -i b -n x -f diff.tar"),
    (Layers, "create-layer -i c -n y lone"),
    (Images, "delete-container box"),
    (Layers, "add-names -n x top"),
    (Layers, "set-names -n y base"),
    (Layers, "mount top"),
    (Layers, "unmount top"),
    (Nothing, "wipe"),
    (Nothing, "shutdown"),
    (Images, "delete-image img"),
    (Layers, "delete-layer lone"),
    (Images, "delete spare"),
    (Images, "delete box"),
    (Layers, "delete top"),
    (Layers, "remove-names -n foo top"),
    (Layers, "set-metadata -m m top"),
    (Layers, "set-layer-data -f data top k2"),
    (Images, "set-image-data -f data img k2"),
    (Images, "set-container-data -f data box k2"),
    (Images, "add-names -n x img"),
    (Images, "set-names -n y box"),
    (Images, "set-metadata -m m img"),
    (Images, "mount box"),
    (Images, "unmount box"),
    (Layers, "applydiff -f diff.tar top"),
    (Layers, "copy data top:/copied"),
    (Nothing, "gc"),
    (Nothing, "check"),
    (Nothing, "dedup"),
];

/// Commands that only read.
const READERS: [(Needs, &str); 33] = [
    (Nothing, "layers"),
    (Nothing, "images"),
    (Nothing, "containers"),
    (Layers, "layer top"),
    (Images, "image img"),
    (Images, "container box"),
    (Layers, "exists top"),
    (Layers, "get-names top"),
    (Layers, "metadata top"),
    (Layers, "diff -f /dev/null top"),
    (Layers, "changes top"),
    (Layers, "diffsize top"),
    (Layers, "mounted top"),
    (Layers, "list-layer-data top"),
    (Layers, "get-layer-data -f /dev/null top k"),
    (Images, "list-image-data img"),
    (Images, "get-image-data -f /dev/null img k"),
    (Images, "get-image-data-size img k"),
    (Images, "get-image-data-digest img k"),
    (Images, "list-container-data box"),
    (Images, "get-container-data -f /dev/null box k"),
    (Images, "get-container-data-size box k"),
    (Images, "get-container-data-digest box k"),
    (Images, "images-by-digest sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (Layers, "layer-parent-owners top"),
    (Images, "container-parent-owners box"),
    (Images, "get-image-dir img"),
    (Images, "get-image-run-dir img"),
    (Images, "get-container-dir box"),
    (Images, "get-container-run-dir box"),
    (Images, "exists box"),
    (Images, "get-names img"),
    (Nothing, "storage-layers"),
];

/// Commands of some release that take no lock, or need what is not here: why they are left out.
const LEFT_OUT: [(&str, &str); 6] = [
    ("applydiff-using-staging-dir", "needs the overlay driver"),
    ("config", "takes no lock"),
    ("create-storage-layer", "works on the driver without the store"),
    ("status", "asks the driver"),
    ("unshare", "runs another program"),
    ("version", "takes no lock"),
];

/// What is run from one store.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Commands that change the store, and then those that only read.
    pub commands: Vec<Vec<String>>,
    /// How many of them change it.
    pub writers: usize,
    /// Commands that the program does not know.
    pub unknown: BTreeSet<String>,
    /// Commands of the program that are left out, and why.
    pub left_out: Vec<(String, &'static str)>,
}

impl Catalogue {
    /// Of a store to begin with, for a program that knows these commands.
    #[must_use]
    pub fn new(from: From, known: &BTreeSet<String>) -> Self {
        let mut catalogue = Catalogue::default();
        let has = match from {
            From::Empty => Nothing,
            From::Chain => Layers,
            From::Image | From::Leftovers => Images,
        };
        for (writes, (needs, command)) in
            WRITERS.iter().map(|entry| (true, entry)).chain(READERS.iter().map(|entry| (false, entry)))
        {
            let words = Workload::words(command);
            if !known.contains(&words[0]) {
                catalogue.unknown.insert(words[0].clone());
            } else if *needs <= has {
                catalogue.commands.push(words);
                catalogue.writers += usize::from(writes);
            }
        }
        let all = WRITERS.iter().chain(&READERS);
        let tried: BTreeSet<String> =
            all.filter_map(|(_, command)| Workload::words(command).into_iter().next()).collect();
        for command in known.difference(&tried) {
            let why =
                LEFT_OUT.iter().find(|(left, _)| left == command).map_or("is not in the catalogue", |(_, why)| *why);
            catalogue.left_out.push((command.clone(), why));
        }
        catalogue
    }

    /// Every pair, also of a command with itself.
    #[must_use]
    pub fn pairs(&self) -> Vec<[usize; 2]> {
        let number = self.commands.len();
        (0..number).flat_map(|one| (one..number).map(move |other| [one, other])).collect()
    }

    /// Where commands come that run together: those that all change the store first, those that only read last.
    #[must_use]
    pub fn rank(&self, workload: &[usize]) -> (usize, usize) {
        let readers = workload.iter().filter(|at| **at >= self.writers).count();
        (readers, workload.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        let all = WRITERS.iter().chain(&READERS).map(|(_, command)| Workload::words(command)[0].clone());
        all.chain(["version".into(), "new-one".into()]).collect()
    }

    #[test]
    fn every_command_is_paired_with_every_other_and_itself() {
        let catalogue = Catalogue::new(From::Image, &known());
        assert_eq!((catalogue.commands.len(), catalogue.writers), (67, 34));
        assert_eq!(catalogue.pairs().len(), 67 * 68 / 2);
        assert_eq!(Catalogue::new(From::Empty, &known()).pairs().len(), 11 * 12 / 2);
        let ranks = [[0, 1], [2, 2], [0, 34], [34, 34]].map(|pair| catalogue.rank(&pair));
        assert_eq!(ranks, [(0, 1), (0, 4), (1, 34), (2, 68)], "what only reads comes last");
    }

    #[test]
    fn what_a_program_does_not_know_or_the_catalogue_has_not_is_said() {
        let mut known = known();
        known.remove("gc");
        let catalogue = Catalogue::new(From::Empty, &known);
        assert_eq!(catalogue.unknown, BTreeSet::from(["gc".to_owned()]));
        let left_out = [("new-one".to_owned(), "is not in the catalogue"), ("version".to_owned(), "takes no lock")];
        assert_eq!(catalogue.left_out, left_out);
    }
}
