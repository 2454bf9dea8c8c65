//! Images, containers, mounts, and the lock library alone: verdicts, counterexamples, exact numbers of states.

mod common;

use lockproof_model::call::{Call, LockMethod};
use lockproof_model::explore::{Options, check};
use lockproof_model::op::Path;
use lockproof_model::property::Property;
use lockproof_model::protocol::Record;
use lockproof_model::system::System;
use lockproof_model::value::Datum;
use lockproof_model::verdict::{Finding, Verdict};
use lockproof_model::witness;

use common::{layer, lockfile_system, once, process, put, system};

/// The finding of one property, of a search that visits everything, and the number of states.
fn explore(system: &System, property: Property) -> (Finding, u64) {
    let options = Options { visit_all: true, ..Options::default() };
    let mut report = check(system, &[property], &options, &|| false).expect("no mistake of ours");
    let finding = report.findings.remove(0);
    witness::validate(system, &[property], &finding, 60_000).expect("a counterexample that is a run");
    (finding, report.extent.states)
}

/// A store with a layer and an image of it, and processes of one thread each.
fn with_image(protocol: &str, scripts: &[&[Call]]) -> System {
    let processes = scripts.iter().map(|calls| process(protocol, vec![once(calls)])).collect();
    let mut system = system(&[layer("base", &[], "")], processes);
    let image = Record { id: "img".into(), layer: "base".into(), ..Record::default() };
    system.documents.push((Path::new("root/vfs-images/images.json"), vec![image].to_value()));
    let stamped = ["root/vfs-images/images.lock", "run/vfs-layers/mountpoints.lock"];
    system.stamped.extend(stamped.map(Path::new));
    system
}

fn create_image(id: &str) -> Call {
    Call::CreateImage { id: id.into(), layer: None, names: Vec::new() }
}

fn create_container(id: &str) -> Call {
    Call::CreateContainer { id: id.into(), image: Some("img".into()), names: Vec::new() }
}

fn mounts(id: &str) -> [Call; 3] {
    [Call::Mount { id: id.into() }, Call::Mounted { id: id.into() }, Call::Unmount { id: id.into() }]
}

#[test]
fn writers_of_images_lose_nothing() {
    let system = with_image("v1_24", &[&[create_image("a"), Call::Images], &[create_image("b"), Call::Images]]);
    for (property, states_expected) in [(Property::Fresh, 1_362), (Property::NoLostUpdate, 1_254)] {
        let (finding, states) = explore(&system, property);
        assert_eq!((finding.verdict, states), (Verdict::Proved, states_expected), "{property}: {}", finding.detail);
    }
}

#[test]
fn a_listing_of_three_calls_shows_what_never_was() {
    let pull =
        [put("new", None, false), Call::CreateImage { id: "i".into(), layer: Some("new".into()), names: vec![] }];
    let (finding, _) = explore(&with_image("v1_24", &[&[Call::MultiList], &pull]), Property::Fresh);
    assert_eq!(finding.verdict, Verdict::Violated);
    assert_eq!(
        finding.detail,
        "`multi-list` returns [[base], [img, i], []], but all the while the answer was [[base], [img], []] or \
         [[base, new], [img], []] or [[base, new], [img, i], []]"
    );
}

#[test]
fn a_kill_leaves_a_layer_without_its_container() {
    let mut system = with_image("v1_24", &[&[create_container("c")], &[Call::Layers]]);
    system.crashes = 1;
    system.processes[0].may_crash = true;
    let (finding, _) = explore(&system, Property::CrashSafe);
    assert_eq!(finding.verdict, Verdict::Violated);
    assert_eq!(finding.detail, "`layers` sees a layer that a killed process left half-made");
}

#[test]
fn an_image_that_a_container_uses_is_not_removed() {
    let remove = [Call::DeleteImage { id: "img".into() }];
    let system = with_image("v1_24", &[&[create_container("c")], &remove]);
    let (finding, _) = explore(&system, Property::NoError);
    assert_eq!(
        (finding.verdict, finding.detail.as_str()),
        (Verdict::Violated, "`create-container c on img` returns ErrImageUnknown")
    );
    let mut found = Vec::new();
    for property in [Property::CrashSafe, Property::NoDeadlock, Property::Ordered, Property::NoLostUpdate] {
        let (finding, states) = explore(&system, property);
        assert_eq!(finding.verdict, Verdict::Proved, "{property}: {}", finding.detail);
        found.push(states);
    }
    // What crash-safe remembers is part of the state; the last two allow every reduction.
    assert_eq!(found, [5_509, 5_509, 5_403, 5_403]);
}

#[test]
fn mounts_are_counted() {
    let system = with_image("v1_24", &[&mounts("base"), &mounts("base")]);
    for (property, states_expected) in [(Property::Fresh, 15_118), (Property::NoError, 12_871)] {
        let (finding, states) = explore(&system, property);
        assert_eq!((finding.verdict, states), (Verdict::Proved, states_expected), "{property}: {}", finding.detail);
    }
}

#[test]
fn a_recursive_writer_goes_beside_a_reader_until_it_is_gone() {
    use LockMethod::{RecursiveLock, Rlock, Unlock};
    for (protocol, verdict, states_expected) in
        [("v1_24", Verdict::Violated, 79), ("v1_43", Verdict::Violated, 79), ("v1_45", Verdict::Proved, 57)]
    {
        let threads: &[&[(LockMethod, &str)]] =
            &[&[(Rlock, "a"), (Unlock, "a")], &[(RecursiveLock, "a"), (Unlock, "a")]];
        let (finding, states) = explore(&lockfile_system(protocol, &[threads]), Property::Exclusive);
        assert_eq!((finding.verdict, states), (verdict, states_expected), "{protocol}: {}", finding.detail);
    }
}

#[test]
fn a_cycle_of_two_lock_files_is_a_livelock() {
    use LockMethod::{Lock, Unlock};
    let take = |first, second| [(Lock, first), (Lock, second), (Unlock, second), (Unlock, first)];
    let (up, down) = (take("a", "b"), take("b", "a"));
    let system = lockfile_system("v1_24", &[&[&up], &[&down]]);
    let (finding, states) = explore(&system, Property::NoDeadlock);
    assert_eq!((finding.verdict, states), (Verdict::Violated, 33), "{}", finding.detail);
    let (ordered, _) = explore(&system, Property::Ordered);
    assert_eq!(ordered.verdict, Verdict::Violated);
}

#[test]
fn the_second_name_of_a_lock_file_drops_the_lock_of_the_first() {
    use LockMethod::{GetLockfile, Lock, Touch, Unlock};
    let calls = [(Lock, "dir/a"), (GetLockfile, "link/a"), (Touch, "dir/a"), (Unlock, "dir/a")];
    let mut system = lockfile_system("v1_24", &[&[&calls]]);
    system.aliases = vec![(Path::new("root/link"), Path::new("root/dir"))];
    let (finding, _) = explore(&system, Property::Exclusive);
    assert_eq!(
        finding.detail,
        "writes the stamp of a.lock without the write lock on a.lock: the kernel has dropped it"
    );
    system.aliases.clear();
    assert_eq!(explore(&system, Property::Exclusive).0.verdict, Verdict::Proved);
}
