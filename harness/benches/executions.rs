//! How many executions of two commands of the real store a second, under our control and without.
//!
//! The peer, in the same run, is what the same commands reach with nobody beside them, one after the other, each pair on a fresh
//! copy of the same store: a supervised execution lets one of them run at a time, too. Times are of one pair.
//!
//! `LOCKPROOF_STORE` names the `containers-storage`; without it, it is the one that is installed.

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{commands_at_once, harness, hunting};
use criterion::Criterion;
use lockproof_harness::hunt::{HuntOptions, Search, hunt};

const PAIR: [&str; 2] = ["create-layer -i a", "create-layer -i b"];

/// The fewest executions of a hunt, for the first with each outcome takes longer: later commands look at what it leaves.
const EXECUTIONS_MIN: u64 = 150;

fn run(program: &Path, store: &Path, command: &str) {
    let mut described = Command::new(program);
    described.arg("--graph").arg(store.join("root")).arg("--run").arg(store.join("run"));
    described.args(["--storage-driver", "vfs"]).args(command.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(described.status().expect("a program that runs").success(), "{command}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

/// How long so many pairs take without us, shared among so many threads.
fn alone(program: &Path, directory: &Path, pairs: u64, lanes: u64) -> Duration {
    let began = Instant::now();
    thread::scope(|scope| {
        for lane in 0..lanes {
            scope.spawn(move || {
                for _ in 0..pairs / lanes + u64::from(lane < pairs % lanes) {
                    let store = directory.join(lane.to_string());
                    copy(&directory.join("original"), &store);
                    PAIR.iter().for_each(|command| run(program, &store, command));
                    fs::remove_dir_all(store).expect("a store that goes");
                }
            });
        }
    });
    began.elapsed()
}

/// How long so many controlled executions take, without what comes before the first.
fn controlled(program: &Path, wanted: u64, lanes: usize, ahead: bool) -> Duration {
    let executions = wanted.max(EXECUTIONS_MIN);
    let options = HuntOptions { search: Search::Random, lanes, ahead, executions, ..hunting(program, "") };
    let report = hunt(&harness(), &commands_at_once(&[], &PAIR), &options, |_| true).expect("a hunt");
    assert_eq!((report.executions, report.cut), (executions, 0));
    Duration::from_secs_f64(report.lasted.as_secs_f64() * wanted as f64 / executions as f64)
}

fn main() {
    let given = std::env::var_os("LOCKPROOF_STORE").map(PathBuf::from);
    let program = given.unwrap_or_else(|| "/usr/bin/containers-storage".into());
    if !program.exists() {
        eprintln!("NOT MEASURED: there is no {}: apt-get install containers-storage", program.display());
        return;
    }
    let memory = Path::new("/dev/shm");
    let below = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let directory = tempfile::tempdir_in(below).expect("a directory");
    let original = directory.path().join("original");
    fs::create_dir(&original).expect("a directory");
    run(&program, &original, "layers");
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("executions");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(10));
    for lanes in [1, 2] {
        group.bench_function(format!("alone, {lanes} at once"), |bench| {
            bench.iter_custom(|pairs| black_box(alone(&program, directory.path(), pairs, lanes)));
        });
    }
    for (name, lanes, ahead) in [("one lane", 1, false), ("one lane, ahead", 1, true), ("two lanes", 2, false)] {
        group.bench_function(format!("controlled, {name}"), |bench| {
            bench.iter_custom(|executions| controlled(&program, executions, lanes, ahead));
        });
    }
    group.finish();
    criterion.final_summary();
}
