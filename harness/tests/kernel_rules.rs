//! Every rule about Linux that `lockproof_model::op` and `lockproof_model::world::locks` state, tried on the real kernel
//! and compared with what the model's functions say.
//!
//! No test waits for time to pass: a request is known to wait when `/proc/locks` lists it (`->`).

use std::fs;
use std::path::{Path as FsPath, PathBuf};
use std::time::{Duration, Instant};

use lockproof_harness::disk::{Attempt, Disk, Waiting};
use lockproof_harness::probe::Probe;
use lockproof_harness::{Harness, kernel, sys};
use lockproof_model::op::{Document, LockResult, Mode, Op, Outcome, Path};
use lockproof_model::protocol::Record;
use lockproof_model::value::{Datum, Value};
use lockproof_model::world::locks::{HOPS_MAX, Waits, closes_cycle};

use LockResult::{Deadlock, Granted, WouldBlock};
use Mode::{Exclusive, Shared};

/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_secs(20);

fn probe(name: &str) -> Probe {
    Probe::start(&Harness::new(env!("CARGO_BIN_EXE_lockproof-worker")), name).unwrap()
}

fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("lockproof-kernel-").tempdir().unwrap()
}

/// Waits until the kernel lists a waiting request of `probe`.
fn until_it_waits(probe: &Probe) {
    let until = Instant::now() + LIMIT;
    while !kernel::locks_of(&[probe.pid()]).unwrap().iter().any(|lock| lock.waits) {
        assert!(Instant::now() < until, "no waiting request of pid {} within {LIMIT:?}", probe.pid());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A process that waits for whoever is listed.
struct WaitsFor(Vec<Vec<usize>>);

impl Waits for WaitsFor {
    fn blockers(&self, process: usize) -> Vec<usize> {
        self.0[process].clone()
    }
}

#[test]
fn two_processes_exclude_each_other_as_the_table_of_modes_says() {
    let dir = directory();
    for held in [Shared, Exclusive] {
        for asked in [Shared, Exclusive] {
            let file = dir.path().join(format!("{held:?}-{asked:?}"));
            let (mut holder, mut other) = (probe("holder"), probe("other"));
            holder.open(0, &file).unwrap();
            other.open(0, &file).unwrap();
            assert_eq!(holder.try_lock(0, held).unwrap(), Granted);
            let model = if asked.conflicts(held) { WouldBlock } else { Granted };
            assert_eq!(other.try_lock(0, asked).unwrap(), model, "{asked:?} while another holds {held:?}");
        }
    }
}

#[test]
fn a_lock_belongs_to_the_process_and_covers_the_whole_file() {
    let dir = directory();
    let file = dir.path().join("file");
    let (mut owner, mut other) = (probe("owner"), probe("other"));
    owner.open(0, &file).unwrap();
    owner.open(1, &file).unwrap();
    other.open(0, &file).unwrap();
    assert_eq!(owner.try_lock(0, Exclusive).unwrap(), Granted);
    // Another descriptor of the same process is the same owner.
    assert_eq!(owner.try_lock(1, Exclusive).unwrap(), Granted);
    // The file grows, and is still locked to its end.
    fs::write(&file, [0; 4096]).unwrap();
    assert_eq!(other.try_lock(0, Shared).unwrap(), WouldBlock);
    let lines = kernel::locks_of(&[owner.pid()]).unwrap();
    assert!(lines.iter().all(|lock| lock.line.ends_with(" 0 EOF")), "{lines:?}");
    assert_eq!(lines.len(), 1);
}

#[test]
fn closing_any_descriptor_of_the_inode_drops_the_lock() {
    let dir = directory();
    let file = dir.path().join("file");
    let (mut owner, mut other) = (probe("owner"), probe("other"));
    owner.open(0, &file).unwrap();
    other.open(0, &file).unwrap();
    assert_eq!(owner.try_lock(0, Exclusive).unwrap(), Granted);
    assert_eq!(other.try_lock(0, Exclusive).unwrap(), WouldBlock);
    // `Op::Probe`: open and close.
    owner.open(1, &file).unwrap();
    owner.close(1).unwrap();
    assert_eq!(other.try_lock(0, Exclusive).unwrap(), Granted);
}

#[test]
fn two_paths_of_one_inode_are_one_lock() {
    let dir = directory();
    fs::create_dir(dir.path().join("root")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("root"), dir.path().join("alias")).unwrap();
    let (direct, alias) = (dir.path().join("root/l.lock"), dir.path().join("alias/l.lock"));
    let (mut owner, mut other) = (probe("owner"), probe("other"));
    owner.open(0, &direct).unwrap();
    other.open(0, &alias).unwrap();
    assert_eq!(owner.try_lock(0, Exclusive).unwrap(), Granted);
    assert_eq!(other.try_lock(0, Shared).unwrap(), WouldBlock);
    // To probe the other path drops the lock, too.
    owner.open(1, &alias).unwrap();
    owner.close(1).unwrap();
    assert_eq!(other.try_lock(0, Shared).unwrap(), Granted);
}

#[test]
fn a_lock_taken_again_replaces_its_mode() {
    let dir = directory();
    let file = dir.path().join("file");
    let (mut owner, mut other) = (probe("owner"), probe("other"));
    owner.open(0, &file).unwrap();
    other.open(0, &file).unwrap();
    assert_eq!(owner.try_lock(0, Exclusive).unwrap(), Granted);
    assert_eq!(owner.try_lock(0, Shared).unwrap(), Granted);
    assert_eq!(other.try_lock(0, Shared).unwrap(), Granted);
    // From shared to exclusive it waits for the other reader.
    assert_eq!(owner.try_lock(0, Exclusive).unwrap(), WouldBlock);
    owner.request(0, Exclusive).unwrap();
    until_it_waits(&owner);
    assert_eq!(owner.result(0).unwrap(), None);
    other.close(0).unwrap();
    assert_eq!(owner.result_within(0, LIMIT).unwrap(), Some(Granted));
}

#[test]
fn a_later_reader_passes_a_writer_that_waits() {
    let dir = directory();
    let file = dir.path().join("file");
    let (mut reader, mut writer, mut late) = (probe("reader"), probe("writer"), probe("late reader"));
    for probe in [&mut reader, &mut writer, &mut late] {
        probe.open(0, &file).unwrap();
    }
    assert_eq!(reader.try_lock(0, Shared).unwrap(), Granted);
    writer.request(0, Exclusive).unwrap();
    until_it_waits(&writer);
    // The model looks at what is held, not at who waits.
    assert!(!Shared.conflicts(Shared));
    assert_eq!(late.try_lock(0, Shared).unwrap(), Granted);
    reader.close(0).unwrap();
    assert_eq!(writer.result(0).unwrap(), None, "the late reader still holds it");
    late.close(0).unwrap();
    assert_eq!(writer.result_within(0, LIMIT).unwrap(), Some(Granted));
}

#[test]
fn two_writers_that_wait_for_each_other_get_edeadlk() {
    let dir = directory();
    let files = [dir.path().join("x"), dir.path().join("y")];
    let (mut one, mut two) = (probe("one"), probe("two"));
    for probe in [&mut one, &mut two] {
        probe.open(0, &files[0]).unwrap();
        probe.open(1, &files[1]).unwrap();
    }
    assert_eq!(one.try_lock(0, Exclusive).unwrap(), Granted);
    assert_eq!(two.try_lock(1, Exclusive).unwrap(), Granted);
    one.request(1, Exclusive).unwrap();
    until_it_waits(&one);
    let model = closes_cycle(&WaitsFor(vec![vec![1], vec![]]), 1, &[0]);
    assert!(model.possible && model.certain);
    // A request that does not wait never closes a cycle.
    assert_eq!(two.try_lock(0, Exclusive).unwrap(), WouldBlock);
    for _ in 0..3 {
        two.request(0, Exclusive).unwrap();
        assert_eq!(two.result_within(0, LIMIT).unwrap(), Some(Deadlock));
    }
}

/// A ring: each process holds a file and asks for the next one's, the last for the first's. Returns what the last is told;
/// `None` if it waits.
fn ring(dir: &FsPath, length: usize) -> Option<LockResult> {
    let files: Vec<PathBuf> = (0..length).map(|number| dir.join(format!("{length}-{number}"))).collect();
    let mut probes: Vec<Probe> = (0..length).map(|number| probe(&format!("ring {number}"))).collect();
    for (number, probe) in probes.iter_mut().enumerate() {
        probe.open(0, &files[number]).unwrap();
        probe.open(1, &files[(number + 1) % length]).unwrap();
        assert_eq!(probe.try_lock(0, Exclusive).unwrap(), Granted);
    }
    for probe in &mut probes[..length - 1] {
        probe.request(1, Exclusive).unwrap();
        until_it_waits(probe);
    }
    let last = probes.last_mut().unwrap();
    last.request(1, Exclusive).unwrap();
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(result) = last.result(1).unwrap() {
            return Some(result);
        }
        if kernel::locks_of(&[last.pid()]).unwrap().iter().any(|lock| lock.waits) {
            return None;
        }
        assert!(Instant::now() < until, "the last of a ring of {length} neither waits nor is told anything");
    }
}

#[test]
fn a_ring_of_twelve_is_found_and_a_ring_of_thirteen_is_not() {
    let dir = directory();
    for length in [2, 3, 11, 12, 13] {
        // Everybody but the last waits for the next.
        let waiting = (0..length).map(|number| if number + 1 < length { vec![number + 1] } else { Vec::new() });
        let model = closes_cycle(&WaitsFor(waiting.collect()), length - 1, &[0]);
        assert_eq!(model.possible, model.certain);
        let kernel = ring(dir.path(), length);
        println!("a ring of {length}: the kernel says {kernel:?}, the model (which follows {HOPS_MAX} hops) {model:?}");
        assert_eq!(kernel == Some(Deadlock), model.certain, "a ring of {length}");
        assert_eq!(kernel.is_none(), length > 12, "a ring of {length}");
    }
}

#[test]
fn a_process_with_two_threads_gets_edeadlk_where_there_is_no_deadlock() {
    let dir = directory();
    let files = [dir.path().join("x"), dir.path().join("y")];
    let (mut one, mut two) = (probe("one"), probe("two"));
    for probe in [&mut one, &mut two] {
        probe.open(0, &files[0]).unwrap();
        probe.open(1, &files[1]).unwrap();
    }
    // One thread of the first process holds x and is free to give it back; another waits for y.
    assert_eq!(one.try_lock(0, Exclusive).unwrap(), Granted);
    assert_eq!(two.try_lock(1, Exclusive).unwrap(), Granted);
    one.request(1, Exclusive).unwrap();
    until_it_waits(&one);
    two.request(0, Exclusive).unwrap();
    assert_eq!(two.result_within(0, LIMIT).unwrap(), Some(Deadlock));
    assert!(closes_cycle(&WaitsFor(vec![vec![1], vec![]]), 1, &[0]).certain);
    // It was none: the first thread gives x back, and the second process goes on.
    one.close(0).unwrap();
    two.request(0, Exclusive).unwrap();
    assert_eq!(two.result_within(0, LIMIT).unwrap(), Some(Granted));
    two.close(1).unwrap();
    assert_eq!(one.result_within(1, LIMIT).unwrap(), Some(Granted));
}

#[test]
fn locks_of_open_file_descriptions_never_get_edeadlk() {
    let dir = directory();
    let files = [dir.path().join("x"), dir.path().join("y")];
    let (mut one, mut two) = (probe("one"), probe("two"));
    for probe in [&mut one, &mut two] {
        probe.open(0, &files[0]).unwrap();
        probe.open(1, &files[1]).unwrap();
    }
    one.request_ofd(0, Exclusive).unwrap();
    two.request_ofd(1, Exclusive).unwrap();
    assert_eq!(one.result_within(0, LIMIT).unwrap(), Some(Granted));
    assert_eq!(two.result_within(1, LIMIT).unwrap(), Some(Granted));
    one.request_ofd(1, Exclusive).unwrap();
    two.request_ofd(0, Exclusive).unwrap();
    // Such locks have no process in /proc/locks, so there is nothing to wait for but a while.
    let told = [
        one.result_within(1, Duration::from_millis(200)).unwrap(),
        two.result_within(0, Duration::from_millis(200)).unwrap(),
    ];
    println!("two processes that wait for each other with OFD locks are told {told:?}");
    assert_eq!(told, [None, None]);
}

#[test]
fn the_death_of_a_process_drops_its_locks_and_leaves_its_files() {
    let dir = directory();
    let (file, litter) = (dir.path().join("file"), dir.path().join(".tmp-layers.json1"));
    let (mut owner, mut other) = (probe("owner"), probe("other"));
    owner.open(0, &file).unwrap();
    owner.open(1, &litter).unwrap();
    other.open(0, &file).unwrap();
    assert_eq!(owner.try_lock(0, Exclusive).unwrap(), Granted);
    other.request(0, Exclusive).unwrap();
    until_it_waits(&other);
    owner.kill();
    assert_eq!(other.result_within(0, LIMIT).unwrap(), Some(Granted));
    assert!(litter.exists());
}

#[test]
fn a_reader_sees_the_old_document_or_the_new_one() {
    let dir = directory();
    let path = Path::new("root/vfs-images/images.json");
    let document = Document { path: path.clone(), lock: Path::new("root/vfs-images/images.lock") };
    let image = Record { id: "i".repeat(40), ..Record::default() };
    let contents: Vec<Value> = [1_usize, 400].map(|length| vec![image.clone(); length].to_value()).to_vec();
    let perform = |disk: &Disk, op: Op| match disk.perform(&op, Waiting::Park).unwrap() {
        Some(Attempt::Done(outcome)) => outcome,
        other => panic!("{op:?} came to {other:?}"),
    };
    let writer = Disk::new(dir.path()).unwrap();
    writer.put(&path, &contents[0]).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let disk = Disk::new(dir.path()).unwrap();
            let mut seen = [0_u32; 2];
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let Outcome::Value(value) = perform(&disk, Op::Read { document: document.clone() }) else { panic!() };
                let which = contents.iter().position(|other| *other == value);
                seen[which.expect("neither the old document nor the new one")] += 1;
            }
            seen
        });
        for round in 0..500 {
            let (base, value) = (contents[round % 2].clone(), contents[(round + 1) % 2].clone());
            perform(&writer, Op::WriteTemp { document: document.clone(), value: value.clone() });
            perform(&writer, Op::Rename { document: document.clone(), base, value });
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reader.join().unwrap()
    });
    println!("the old document was read {} times, the new one {} times", seen[0], seen[1]);
}

/// Recorded, not asserted: it differs from kernel to kernel.
#[test]
fn which_clock_gives_files_their_times_is_printed() {
    let dir = directory();
    let file = dir.path().join("file");
    let mut distinct = [0_u32; 2];
    for (kind, looked_at) in [false, true].into_iter().enumerate() {
        let mut last = 0;
        for round in 0..200_u32 {
            fs::write(&file, round.to_le_bytes()).unwrap();
            // A file that was looked at since it was last written gets a fine time (multigrain timestamps, Linux 6.13).
            if looked_at || round == 199 {
                let time = sys::mtime_ns(&fs::metadata(&file).unwrap());
                distinct[kind] += u32::from(time != last);
                last = time;
            }
        }
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let kind = if distinct[1] > 150 { "fine (multigrain)" } else { "coarse" };
    println!(
        "Linux {}: 200 writes, each followed by stat, gave {} distinct times: they are {kind}",
        release.trim(),
        distinct[1]
    );
}
