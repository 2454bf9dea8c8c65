//! Random scenarios: a small store, one to three processes, a few calls of each, now and then kills, endless threads, two
//! versions on one store, one lock file under two names; or the lock library without a store, which has so few states that
//! three processes are within every engine's reach.

use lockproof_model::call::{Call, LockMethod};
use lockproof_model::op::Path;
use lockproof_model::property::Property;
use lockproof_model::protocol::record_store::layer_of_container;
use lockproof_model::protocol::{Entry, Layer, Record};
use lockproof_model::system::{Repeat, Thread};
use lockproof_scenarios::{Kind, Program, Scenario};
use proptest::prelude::RngExt as _;
use proptest::test_runner::TestRng;

use crate::tidy;

/// The most processes, those that are alike counted one by one.
const PROCESSES_MAX: u32 = 3;
/// The most calls of a thread, its preparation not counted.
const CALLS_MAX: usize = 4;
/// Layers that the store holds at the start or that calls make.
const IDS: [&str; 4] = ["base", "child", "new", "other"];
const NAMES: [&str; 3] = ["foo", "bar", "moo"];
/// Of a hundred scenarios so many are about the lock library alone.
const LIBRARY_ALONE: u32 = 40;
/// What is done with a lock file of the lock library, as a rule; each after the other.
const PHRASES: [&[LockMethod]; 9] = [
    &[LockMethod::Lock, LockMethod::Unlock],
    &[LockMethod::Lock, LockMethod::Touch, LockMethod::Unlock],
    &[LockMethod::Rlock, LockMethod::Unlock],
    &[LockMethod::Rlock, LockMethod::Modified, LockMethod::Unlock],
    &[LockMethod::RecursiveLock, LockMethod::Unlock],
    &[LockMethod::GetLockfile],
    &[LockMethod::Rlock, LockMethod::Rlock, LockMethod::Unlock, LockMethod::Unlock],
    &[LockMethod::Locked],
    &[LockMethod::Touch],
];
/// Lock files of which two may be one inode.
const LOCKS: [&str; 5] = [
    "root/storage.lock",
    "root/vfs-layers/layers.lock",
    "run/vfs-layers/mountpoints.lock",
    "root/vfs-images/images.lock",
    "root/vfs-containers/containers.lock",
];

/// A random scenario for one of `protocols`, which is the only one that its `protocols` names. It is one that
/// [`parse`](lockproof_scenarios::parse) takes.
pub fn scenario(rng: &mut TestRng, protocols: &[Entry]) -> Scenario {
    Random { rng, protocols }.scenario()
}

/// `scenario` with a few random changes, or a new one where they leave nothing that makes sense.
pub fn mutation(rng: &mut TestRng, protocols: &[Entry], scenario: &Scenario) -> Scenario {
    let mut random = Random { rng, protocols };
    let mut changed = scenario.clone();
    for _ in 0..random.among(1, 3) {
        random.change(&mut changed);
    }
    tidy::tidied(changed, protocols).unwrap_or_else(|| random.scenario())
}

/// Draws the parts of a scenario.
struct Random<'a> {
    rng: &'a mut TestRng,
    protocols: &'a [Entry],
}

impl Random<'_> {
    fn among(&mut self, least: usize, most: usize) -> usize {
        self.rng.random_range(least..=most)
    }

    /// Whether something happens that happens so often in a hundred times.
    fn percent(&mut self, often: u32) -> bool {
        self.rng.random_range(0..100) < often
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.random_range(0..all.len())]
    }

    fn scenario(&mut self) -> Scenario {
        loop {
            let drawn = self.draw();
            let has_calls = |kind: &Kind| kind.threads.iter().all(|thread| !thread.script.is_empty());
            if let Some(scenario) = tidy::tidied(drawn, self.protocols).filter(|it| it.kinds.iter().all(has_calls)) {
                return scenario;
            }
        }
    }

    fn draw(&mut self) -> Scenario {
        let library_alone = self.percent(LIBRARY_ALONE);
        let layers = if library_alone { Vec::new() } else { self.layers() };
        let images = if !library_alone && self.percent(25) { vec![self.image(&layers)] } else { Vec::new() };
        let containers = if !library_alone && self.percent(15) { vec![self.container(&images)] } else { Vec::new() };
        let mut kinds: Vec<Kind> = Vec::new();
        let processes = match self.among(0, 99) {
            0..55 => 1,
            55..90 => 2,
            _ => PROCESSES_MAX,
        };
        let mut left = processes;
        while left > 0 {
            let count = if left > 1 && self.percent(25) { left.min(2) } else { 1 };
            left -= count;
            let number = kinds.len() + 1;
            let kind = if library_alone {
                self.library(number, count, processes)
            } else {
                self.kind(number, count, processes)
            };
            kinds.push(kind);
        }
        let crashes = if self.percent(20) { self.rng.random_range(1..=2) } else { 0 };
        for kind in &mut kinds {
            kind.may_crash = crashes > 0 && self.percent(60);
        }
        Scenario {
            name: "random".into(),
            title: "A random scenario".into(),
            cites: Vec::new(),
            about: String::new(),
            properties: self.properties(),
            protocols: Some(vec![self.one_of(self.protocols).name.into()]),
            crashes,
            fine_times: self.percent(10),
            images,
            containers,
            mounts: if self.percent(5) {
                layers.iter().take(1).map(|layer| (layer.id.clone(), 1)).collect()
            } else {
                Vec::new()
            },
            layers,
            additional: Vec::new(),
            aliases: if self.percent(4) { vec![self.alias()] } else { Vec::new() },
            kinds,
            expectations: Vec::new(),
            origin: String::new(),
            text: String::new(),
        }
    }

    /// Those that a single step or state shows, for reductions apply to them; those of whole runs too; or some of all.
    fn properties(&mut self) -> Vec<Property> {
        let among = self.among(0, 99);
        let mut properties = Property::ALL.to_vec();
        // `mutual-exclusion` is a part of `exclusive`; the engines that are compared do not judge the other two. Without
        // them a seed draws what it always drew.
        let left_out = [Property::MutualExclusion, Property::NoNeedlessLoad, Property::DriverAlive];
        properties.retain(|property| !left_out.contains(property));
        properties.retain(|property| match among {
            0..50 => !property.is_liveness() && *property != Property::CrashSafe,
            50..75 => true,
            _ => self.percent(40),
        });
        if properties.is_empty() { vec![Property::Fresh] } else { properties }
    }

    fn layers(&mut self) -> Vec<Layer> {
        let count = self.one_of(&[0, 1, 1, 1, 1, 2, 2]);
        let mut layers: Vec<Layer> = Vec::new();
        for id in &IDS[..count] {
            let parent = layers.first().filter(|_| self.percent(70)).map(|layer| layer.id.clone());
            layers.push(Layer {
                id: (*id).into(),
                names: if self.percent(60) { vec![self.one_of(&NAMES).into()] } else { Vec::new() },
                parent: parent.unwrap_or_default(),
                incomplete: self.percent(8),
            });
        }
        layers
    }

    fn image(&mut self, layers: &[Layer]) -> Record {
        let layer = layers.last().map(|layer| layer.id.clone()).unwrap_or_default();
        Record { id: "image".into(), names: vec![self.one_of(&NAMES).into()], layer, image: String::new() }
    }

    fn container(&mut self, images: &[Record]) -> Record {
        let id = "box".to_owned();
        let image = images.first().map(|image| image.id.clone()).unwrap_or_default();
        Record { layer: layer_of_container(&id), id, names: Vec::new(), image }
    }

    fn alias(&mut self) -> (Path, Path) {
        let target = self.among(1, LOCKS.len() - 1);
        let path = self.among(0, target - 1);
        (Path::new(LOCKS[path]), Path::new(LOCKS[target]))
    }

    fn repeat(&mut self) -> Repeat {
        match self.among(0, 99) {
            0..6 => Repeat::Forever,
            6..11 => Repeat::Times(2),
            _ => Repeat::Times(1),
        }
    }

    /// One kind of process of about `processes`: the more there are, the less each does, for states multiply.
    fn kind(&mut self, number: usize, count: u32, processes: u32) -> Kind {
        let open_first = self.percent(85);
        let threads = if self.percent(if processes == 1 { 25 } else { 6 }) { 2 } else { 1 };
        let calls: &[usize] = if processes * threads == 1 { &[1, 2, 2, 3, CALLS_MAX] } else { &[1, 1, 1, 1, 2] };
        let mut before = Vec::new();
        if open_first {
            before.push(Call::Open);
            while self.percent(8) {
                self.add_call(&mut before);
            }
        }
        Kind {
            name: format!("p{number}"),
            program: Program::Reference,
            count,
            runs: self.repeat(),
            protocol: if number > 1 && self.percent(20) { Some(self.one_of(self.protocols)) } else { None },
            may_crash: false,
            additional: 0,
            before,
            threads: (0..threads).map(|_| self.thread(open_first, calls)).collect(),
        }
    }

    /// One kind of process that uses the lock library alone.
    fn library(&mut self, number: usize, count: u32, processes: u32) -> Kind {
        let threads = if self.percent(30) { 2 } else { 1 };
        let phrases: &[usize] = if processes * threads == 1 { &[1, 2, 3] } else { &[1, 1, 1, 2] };
        let mut thread = || {
            let mut script = Vec::new();
            for _ in 0..self.one_of(phrases) {
                let phrase = self.phrase();
                // One phrase inside of another, or one after the other.
                let at = self.rng.random_range(0..=script.len());
                script.splice(at..at, phrase);
            }
            Thread { script, repeat: self.repeat() }
        };
        let threads = (0..threads).map(|_| thread()).collect();
        let protocol = if number > 1 && self.percent(20) { Some(self.one_of(self.protocols)) } else { None };
        let (name, runs) = (format!("p{number}"), self.repeat());
        let (before, program) = (Vec::new(), Program::Reference);
        Kind { name, program, count, runs, protocol, may_crash: false, before, threads, additional: 0 }
    }

    fn phrase(&mut self) -> Vec<Call> {
        let (file, ro) = (self.one_of(&["a", "a", "b"]), self.percent(5));
        let mut methods = self.one_of(&PHRASES).to_vec();
        if self.percent(8) {
            methods.pop(); // a lock that is kept, or a touch that is left out
        }
        methods.into_iter().map(|method| Call::Lockfile { method, file: file.into(), ro }).collect()
    }

    fn thread(&mut self, opened: bool, calls: &[usize]) -> Thread {
        let mut script = if opened { Vec::new() } else { vec![Call::Open] };
        let calls = script.len() + self.one_of(calls);
        while script.len() < calls {
            self.add_call(&mut script);
        }
        Thread { script, repeat: self.repeat() }
    }

    /// Adds a call, and to a diff its end.
    fn add_call(&mut self, script: &mut Vec<Call>) {
        let call = self.call();
        let close = match &call {
            Call::Diff { id } if self.percent(90) => Some(Call::CloseDiff { id: id.clone() }),
            _ => None,
        };
        script.push(call);
        if close.is_some() && self.percent(40) {
            let between = self.call();
            script.push(between);
        }
        script.extend(close);
    }

    fn id(&mut self) -> String {
        self.one_of(&["base", "base", "base", "child", "new", "new", "other"]).into()
    }

    fn names(&mut self) -> Vec<String> {
        let first = self.among(0, NAMES.len() - 1);
        let last = if self.percent(25) { NAMES.len() - 1 } else { first };
        NAMES[first..=last].iter().map(|name| (*name).into()).collect()
    }

    fn call(&mut self) -> Call {
        let asked = match self.among(0, 99) {
            0..86 => self.id(),
            86..94 => self.one_of(&NAMES).into(),
            _ => self.one_of(&["image", "box"]).into(),
        };
        match self.among(0, 99) {
            0..14 => Call::Names { id: asked },
            14..20 => Call::Lookup { name: self.one_of(&NAMES).into() },
            20..34 => Call::Exists { id: asked },
            34..44 => Call::Layers,
            44..50 => Call::Status,
            50..66 => Call::PutLayer {
                id: self.one_of(&IDS[1..]).into(),
                parent: self.percent(40).then(|| self.id()),
                names: if self.percent(30) { self.names() } else { Vec::new() },
                diff: self.percent(40),
            },
            66..72 => Call::DeleteLayer { id: asked },
            72..81 => Call::SetNames { id: asked, names: self.names() },
            81..87 => Call::Diff { id: self.id() },
            87..89 => Call::Shutdown,
            89..90 => Call::ShutdownRo,
            90..91 => Call::Open,
            _ => self.record_call(),
        }
    }

    /// A call about images, containers and mounts.
    fn record_call(&mut self) -> Call {
        let (image, container) = ("image".to_owned(), "box".to_owned());
        let mounted = self.one_of(&["base", "box"]).into();
        match self.among(0, 11) {
            0 | 1 => Call::CreateImage { id: image, layer: self.percent(80).then(|| self.id()), names: Vec::new() },
            2 => Call::DeleteImage { id: image },
            3 => Call::Images,
            4 | 5 => {
                Call::CreateContainer { id: container, image: self.percent(60).then_some(image), names: Vec::new() }
            }
            6 => Call::DeleteContainer { id: container },
            7 => Call::Containers,
            8 => Call::MultiList,
            9 => Call::Mount { id: mounted },
            10 => Call::Unmount { id: mounted },
            _ => Call::Mounted { id: mounted },
        }
    }

    /// One change: somewhere in the scenario a part is drawn again, added or left out.
    fn change(&mut self, scenario: &mut Scenario) {
        let at = self.rng.random_range(0..scenario.kinds.len());
        match self.among(0, 99) {
            0..45 => self.change_script(&mut scenario.kinds[at]),
            45..53 => scenario.kinds[at].runs = self.repeat(),
            53..61 => {
                let pinned = self.percent(60).then(|| self.one_of(self.protocols));
                scenario.kinds[at].protocol = pinned;
            }
            61..69 => scenario.protocols = Some(vec![self.one_of(self.protocols).name.into()]),
            69..76 => scenario.properties = self.properties(),
            76..82 => {
                scenario.crashes = self.rng.random_range(0..=2);
                scenario.kinds[at].may_crash = scenario.crashes > 0;
            }
            82..88 => scenario.layers = self.layers(),
            88..90 => scenario.aliases = if scenario.aliases.is_empty() { vec![self.alias()] } else { Vec::new() },
            90..94 if scenario.kinds.len() > 1 => {
                scenario.kinds.remove(at);
            }
            _ => {
                let kind = self.kind(scenario.kinds.len() + 1, 1, PROCESSES_MAX);
                scenario.kinds.push(kind);
            }
        }
        let mut left = PROCESSES_MAX;
        scenario.kinds.retain_mut(|kind| {
            kind.count = kind.count.min(left);
            left -= kind.count;
            kind.count > 0
        });
    }

    fn change_script(&mut self, kind: &mut Kind) {
        if self.percent(10) {
            let opened = !kind.before.is_empty();
            if kind.threads.len() > 1 {
                kind.threads.pop();
            } else {
                let thread = self.thread(opened, &[1]);
                kind.threads.push(thread);
            }
            return;
        }
        let thread = self.rng.random_range(0..kind.threads.len());
        let thread = &mut kind.threads[thread];
        if self.percent(20) {
            thread.repeat = self.repeat();
            return;
        }
        let script = &mut thread.script;
        let at = self.rng.random_range(0..=script.len());
        match self.among(0, 2) {
            0 if at < script.len() && script[at].is_on_lockfile() => drop(script.splice(at..=at, self.phrase())),
            0 if at < script.len() => script[at] = self.call(),
            1 if at < script.len() => {
                script.remove(at);
            }
            _ => {
                let mut added = Vec::new();
                if script.iter().all(Call::is_on_lockfile) {
                    added = self.phrase();
                } else {
                    self.add_call(&mut added);
                }
                script.splice(at..at, added);
                script.truncate(CALLS_MAX + 1);
            }
        }
    }
}
