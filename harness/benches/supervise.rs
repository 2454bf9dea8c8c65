//! What a trapped call costs us: the processor time of the supervisor alone, for each call of a program that asks for the
//! status of a file again and again. What is wanted is less than 5 µs of our own.
//!
//! Processor time and not time, so that a busy machine changes little. `of no interest` is a call that goes on at once, as its
//! file is not below the store; `told of` one that the user of a session is told of and lets go on. Their peers, in the
//! same run: `untrapped` is what the same call costs its caller without any filter, `mechanism` what it costs whoever only
//! receives it and lets it go on. What is more than that is our own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::hint::black_box;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use criterion::Criterion;
use lockproof_harness::Harness;
use lockproof_harness::supervise::session::{Happening, Session};
use lockproof_harness::supervise::{Interest, Isolation, Program, Wakes};
use lockproof_harness::sys::seccomp::{self, Answer};
use lockproof_harness::sys::{self, socket};
use nix::libc;
use nix::time::{ClockId, clock_gettime};

/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// The fewest calls of a run, so that the start of the program is little of it.
const CALLS_MIN: u64 = 20_000;

/// The processor time of this thread.
fn processor() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock that every thread has").into()
}

/// Our processor time for `calls` calls about `file`.
fn supervised(session: &mut Session, directory: &Path, file: &Path, calls: u64) -> Duration {
    let made = calls.max(CALLS_MIN);
    let words = ["status".into(), file.as_os_str().to_owned(), made.to_string().into()];
    let command = std::iter::once(OsString::from(env!("CARGO_BIN_EXE_lockproof-locker"))).chain(words).collect();
    let program = Program { command, directory: directory.to_path_buf(), environment: BTreeMap::new() };
    let nothing = File::options().read(true).write(true).open("/dev/null").expect("nothing");
    session.run(0, &program, [nothing.as_fd(); 3]).expect("a program that starts");
    let (began, before) = (processor(), session.calls());
    loop {
        match session.next(LIMIT).expect("a session that goes on") {
            Happening::Call(stopped) => drop(session.go(stopped).expect("a call that goes on")),
            Happening::Status { status, .. } => {
                assert!(status.success());
                break;
            }
            Happening::Nothing => panic!("it does not end"),
            _ => {}
        }
    }
    let (spent, seen) = (processor() - began, session.calls() - before);
    assert!(seen >= made);
    // The calls at its start are seen, too.
    Duration::from_nanos(u64::try_from(spent.as_nanos() * u128::from(calls) / u128::from(seen)).expect("hours at most"))
}

/// The first argument of this program where it is the one whose calls are trapped by the mechanism alone.
const TRAPPED: &str = "--trapped";

/// Has its calls of `statx` trapped, sends their listener, and makes so many, about a file.
fn trapped(file: &str, calls: u64) {
    let statx = u32::try_from(libc::SYS_statx).expect("a small number");
    let [ask, allow] = [libc::SECCOMP_RET_USER_NOTIF, libc::SECCOMP_RET_ALLOW].map(seccomp::ret);
    let program = [seccomp::load(0), seccomp::jump_if(statx, 0, 1), ask, allow];
    seccomp::no_new_privileges().expect("fewer rights");
    let listener = seccomp::install(&program).expect("a filter");
    socket::send(sys::process::standard()[0], b"-", &[listener.as_raw_fd()]).expect("a socket");
    drop(listener);
    for _ in 0..calls {
        let _ = black_box(fs::metadata(file));
    }
}

/// The processor time of receiving `calls` calls and letting them go on, and of nothing else.
fn mechanism(file: &Path, calls: u64) -> Duration {
    let (ours, theirs) = socket::pair().expect("a socket");
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.arg(TRAPPED).arg(file).arg(calls.to_string()).stdin(Stdio::from(theirs));
    let mut child = command.spawn().expect("a program that starts");
    let (_, descriptors) = socket::receive(&ours).expect("a message").expect("one");
    let listener = &descriptors[0];
    seccomp::wake_synchronously(listener);
    let began = processor();
    for _ in 0..calls {
        let call = seccomp::receive(listener).expect("a listener").expect("a call");
        seccomp::answer(listener, call.id, Answer::Continue).expect("a call that goes on");
    }
    let spent = processor() - began;
    assert!(child.wait().expect("a child").success());
    spent
}

fn main() {
    if let [_, first, file, calls] = &std::env::args().collect::<Vec<_>>()[..]
        && first == TRAPPED
    {
        return trapped(file, calls.parse().expect("a number"));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (ours, other) = (directory.path().join("store/file"), directory.path().join("other"));
    fs::create_dir(directory.path().join("store")).expect("a directory");
    fs::write(&ours, "").and_then(|()| fs::write(&other, "")).expect("two files");
    let interest = Interest { below: vec![directory.path().join("store")] };
    let harness = Harness::new(env!("CARGO_BIN_EXE_lockproof-worker"));
    let mut session = Session::start(&harness, Isolation::Shared, Wakes::Seen, interest).expect("a filter");
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("supervise");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.bench_function("untrapped", |bench| {
        bench.iter_custom(|calls| {
            let began = processor();
            for _ in 0..calls {
                let _ = black_box(fs::metadata(&other));
            }
            processor() - began
        });
    });
    group.bench_function("mechanism", |bench| bench.iter_custom(|calls| mechanism(&other, calls)));
    for (name, file) in [("of no interest", &other), ("told of", &ours)] {
        group.bench_function(name, |bench| {
            bench.iter_custom(|calls| supervised(&mut session, directory.path(), file, calls));
        });
    }
    group.finish();
    criterion.final_summary();
}
