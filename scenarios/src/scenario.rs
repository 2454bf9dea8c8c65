//! A scenario as it was read, and the system that it makes with a protocol.

use lockproof_model::call::{Call, StoreId};
use lockproof_model::op::Path;
use lockproof_model::property::Property;
use lockproof_model::protocol::layer_store::Mounts;
use lockproof_model::protocol::{Entry, Layer, LayerStore, Record, RecordStore};
use lockproof_model::system::{Process, Repeat, System, Thread};
use lockproof_model::value::{Datum, Object};

use crate::store::Additional;
use crate::write;

/// Who does what to a store, what must hold, and what is expected.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name: `stale-ro-cache-after-rw-write`.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Where it comes from: remarks of the discussion (`D14`, see [`remark`](crate::remark)), names of known races, links.
    pub cites: Vec<String>,
    /// A few sentences: who said what, and what the scenario shows.
    pub about: String,
    /// What is checked.
    pub properties: Vec<Property>,
    /// The protocols that it makes sense for, by name; `None`: all.
    pub protocols: Option<Vec<String>>,
    /// How many kills there may be, in all.
    pub crashes: u32,
    /// Whether files have fine-grained times ([`System::fine_times`]).
    pub fine_times: bool,
    /// The layers that are there at the start.
    pub layers: Vec<Layer>,
    /// The images that are there at the start.
    pub images: Vec<Record>,
    /// The containers that are there at the start; the layer of each is among the layers.
    pub containers: Vec<Record>,
    /// How often layers are mounted at the start, by id.
    pub mounts: Mounts,
    /// What the additional stores have at the start.
    pub additional: Vec<Additional>,
    /// Pairs of a path and the one it is another name of.
    pub aliases: Vec<(Path, Path)>,
    /// The processes, those that are alike as one.
    pub kinds: Vec<Kind>,
    /// The verdicts that are expected.
    pub expectations: Vec<Expectation>,
    /// What the file is called: a path, or the name of a built-in file.
    pub origin: String,
    /// The file's text.
    pub text: String,
}

/// What stands for a process where a run is done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// A reference process, which runs the protocol itself.
    #[default]
    Reference,
    /// A process of the real library too, of the release that is installed, if that is the protocol that it speaks.
    RealLibrary,
}

impl Program {
    /// All of them.
    pub const ALL: [Program; 2] = [Program::Reference, Program::RealLibrary];

    /// The name, as scenarios write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Program::Reference => "reference",
            Program::RealLibrary => "real-library",
        }
    }
}

/// Processes that are alike.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Their name; followed by a number where there are several.
    pub name: String,
    /// What stands for them where a run is done again.
    pub program: Program,
    /// How many there are.
    pub count: u32,
    /// How often each is started anew.
    pub runs: Repeat,
    /// The protocol that they speak whatever is checked; `None`: the one under check.
    pub protocol: Option<Entry>,
    /// Whether they may be killed.
    pub may_crash: bool,
    /// How many additional stores they read, the first ones.
    pub additional: u8,
    /// Calls of the first thread, before any other starts.
    pub before: Vec<Call>,
    /// Their threads.
    pub threads: Vec<Thread>,
}

/// The verdict that is expected of a protocol for a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The protocol's name.
    pub protocol: String,
    /// The property.
    pub property: Property,
    /// The verdict's name: `proved`.
    pub verdict: String,
}

impl Scenario {
    /// The closed system in which `protocol` is checked: it is what every process speaks that is not pinned to another.
    #[must_use]
    pub fn system(&self, protocol: Entry) -> System {
        let (mut documents, mut stamped) = (Vec::new(), Vec::new());
        let store = LayerStore::at(Object(0), true);
        if !self.layers.is_empty() {
            documents.push((store.layers.path, self.layers.to_value()));
            stamped.push(store.lockfile.path);
            stamped.extend(store.mounts_lockfile.map(|mounts| mounts.path));
        }
        if !self.mounts.is_empty() {
            documents.push((store.mounts.path, self.mounts.to_value()));
        }
        for (store, records) in [(RecordStore::images(), &self.images), (RecordStore::containers(), &self.containers)] {
            if !records.is_empty() {
                documents.push((store.document.path, records.to_value()));
                stamped.push(store.lockfile.path);
            }
        }
        for (number, additional) in (1..).zip(&self.additional) {
            if !additional.layers.is_empty() {
                let store = LayerStore::additional(Object(0), number, true);
                documents.push((store.layers.path, additional.layers.to_value()));
                stamped.push(store.lockfile.path);
            }
            if !additional.images.is_empty() {
                let store = RecordStore::images_of_additional(number);
                documents.push((store.document.path, additional.images.to_value()));
                stamped.push(store.lockfile.path);
            }
        }
        let processes = self.kinds.iter().flat_map(|kind| kind.processes(protocol)).collect();
        let Self { crashes, fine_times, .. } = *self;
        System { documents, stamped, aliases: self.aliases.clone(), processes, crashes, fine_times }
    }

    /// What stands for each process of its [`system`](Self::system) where a run is done again.
    #[must_use]
    pub fn programs(&self) -> Vec<Program> {
        self.kinds.iter().flat_map(|kind| (0..kind.count).map(|_| kind.program)).collect()
    }

    /// The text of a file that holds it: [`parse`](crate::parse) makes the same scenario of it, but for the comments and
    /// the order that its own file had.
    #[must_use]
    pub fn to_toml(&self) -> String {
        write::scenario(self)
    }

    /// The verdict that is expected, by name; `None` where the file says nothing.
    #[must_use]
    pub fn expected(&self, protocol: &str, property: Property) -> Option<&str> {
        self.expectations
            .iter()
            .find(|expectation| expectation.protocol == protocol && expectation.property == property)
            .map(|expectation| expectation.verdict.as_str())
    }

    /// Whether it makes sense for the protocol of that name.
    #[must_use]
    pub fn is_for(&self, protocol: &str) -> bool {
        self.protocols.as_ref().is_none_or(|protocols| protocols.iter().any(|name| name == protocol))
    }
}

impl Kind {
    /// The processes of this kind.
    fn processes(&self, protocol: Entry) -> impl Iterator<Item = Process> {
        let own = |call: &Call| match call {
            Call::Lockfile { .. } | Call::On { .. } => call.clone(),
            _ if self.additional == 0 => call.clone(),
            _ => Call::On { store: StoreId::With(self.additional), of: Box::new(call.clone()) },
        };
        let before: Vec<Call> = self.before.iter().map(own).collect();
        let thread = |thread: &Thread| Thread { script: thread.script.iter().map(own).collect(), ..thread.clone() };
        let threads: Vec<Thread> = self.threads.iter().map(thread).collect();
        (1..=self.count).map(move |number| Process {
            name: if self.count == 1 { self.name.clone() } else { format!("{}-{number}", self.name) },
            protocol: self.protocol.unwrap_or(protocol),
            before: before.clone(),
            threads: threads.clone(),
            runs: self.runs,
            may_crash: self.may_crash,
        })
    }
}
