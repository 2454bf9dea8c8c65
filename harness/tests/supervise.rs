//! Programs under supervision: what is seen of them, who waits, who gets `EDEADLK`.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use common::harness;
use lockproof_harness::probe::Probe;
use lockproof_harness::supervise::event::{Action, Event, Fate, LockKind, Range, ReleasedBy};
use lockproof_harness::supervise::rest::Rest;
use lockproof_harness::supervise::session::{Happening, Session, Stopped};
use lockproof_harness::supervise::{Interest, Isolation, Program, Wakes, trace};
use lockproof_model::op::Mode;
use tempfile::TempDir;

/// How long anything may take that must happen.
const LIMIT: Duration = Duration::from_secs(20);

fn session(directory: &TempDir, isolation: Isolation) -> Session {
    let below = vec![directory.path().to_path_buf()];
    Session::start(&harness(), isolation, Wakes::Seen, Interest { below }).unwrap()
}

fn directory() -> TempDir {
    tempfile::Builder::new().prefix("lockproof-supervise-").tempdir().unwrap()
}

fn program(directory: &TempDir, words: &str) -> Program {
    let name = OsString::from(env!("CARGO_BIN_EXE_lockproof-locker"));
    let command = std::iter::once(name).chain(words.split(' ').map(OsString::from)).collect();
    Program { command, directory: directory.path().to_path_buf(), environment: BTreeMap::new() }
}

/// Runs it to its end with nothing for its standard input; returns what it printed and what was seen.
fn traced(session: &mut Session, directory: &TempDir, program: &Program) -> (String, Vec<Event>) {
    let said = directory.path().join("said");
    let (nothing, out) = (File::open("/dev/null").unwrap(), File::create(&said).unwrap());
    let mut events = Vec::new();
    let standard = [nothing.as_fd(), out.as_fd(), out.as_fd()];
    let status = trace::trace(session, program, standard, |event| events.push(event), || true).unwrap();
    let text = std::fs::read_to_string(&said).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{text}");
    (text, events)
}

/// `exclusive a: Granted`.
fn lines(events: &[Event]) -> Vec<String> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let numbers: Vec<u32> = events.iter().map(|event| event.process).fold(Vec::new(), |mut all, process| {
        if !all.contains(&process) {
            all.push(process);
        }
        all
    });
    let number = |process: &u32| numbers.iter().position(|known| known == process);
    let by = |by: &[u32]| {
        by.iter().map(|process| number(process).map_or("?".into(), |at| at.to_string())).collect::<Vec<_>>()
    };
    let line = |event: &Event| {
        let what = match &event.action {
            Action::Lock(wanted) => format!("{:?} {}", wanted.mode, name(&wanted.file.path)),
            Action::Grant(wanted) => format!("grant {:?} {}", wanted.mode, name(&wanted.file.path)),
            Action::Release { file, by, .. } => format!("release {} {by:?}", name(&file.path)),
            Action::Ended => "ended".into(),
            _ => return None,
        };
        let fate = match &event.fate {
            Fate::Granted | Fate::Goes => String::new(),
            Fate::Refused { by: who } => format!(": refused by {}", by(who).join(" ")),
            Fate::Waits { by: who } => format!(": waits for {}", by(who).join(" ")),
            Fate::Deadlock { by: who } => format!(": EDEADLK, {}", by(who).join(" ")),
            Fate::Failed { errno } => format!(": {errno}"),
            Fate::Short { bytes } => format!(": {bytes} bytes"),
        };
        Some(format!("{} {what}{fate}", number(&event.process).unwrap()))
    };
    events.iter().filter_map(line).collect()
}

/// A process asks us, and rests, only when the thread that it has woken asks, too; where wakes are seen, one that sleeps is not
/// looked at meanwhile.
#[test]
fn a_thread_that_was_woken_is_waited_for() {
    for (wakes, way) in [Wakes::Seen, Wakes::Unseen].into_iter().flat_map(|wakes| [(wakes, "wake"), (wakes, "poll")]) {
        let directory = directory();
        let below = vec![directory.path().to_path_buf()];
        let mut session = Session::start(&harness(), Isolation::Shared, wakes, Interest { below }).unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let words = format!("{way} {} {} {} 100", at("woken"), at("waker"), at("alone"));
        let nothing = File::options().read(true).write(true).open("/dev/null").unwrap();
        session.run(0, &program(&directory, &words), [nothing.as_fd(); 3]).unwrap();
        let (mut stopped, mut rests): (Vec<Stopped>, BTreeMap<Vec<String>, u32>) = Default::default();
        loop {
            match session.next(Duration::from_micros(100)).unwrap() {
                Happening::Call(call) => stopped.push(call),
                Happening::Status { status, .. } => {
                    assert!(status.success());
                    break;
                }
                _ => {}
            }
            if !stopped.first().is_some_and(|call| session.rest(call.process) == Rest::Asks) {
                continue;
            }
            let name = |stopped: &Stopped| match &stopped.actions()[..] {
                [Action::Status { file }] => file.path.file_name().unwrap().to_string_lossy().into_owned(),
                other => format!("{other:?}"),
            };
            let mut names: Vec<String> = stopped.iter().map(name).collect();
            names.sort();
            if names.iter().all(|name| !name.contains("Exit") && !name.contains("Execute")) {
                *rests.entry(names).or_default() += 1;
            }
            for call in stopped.drain(..) {
                session.go(call).unwrap();
            }
        }
        let expected = [(vec!["alone".to_owned()], 300), (vec!["waker".into(), "woken".into()], 100)];
        assert_eq!(rests, expected.into(), "{wakes:?} {way}");
        session.forget();
        let woken = session.woken();
        // What is written to a pipe is not among them; the answers are, where they had to be waited for.
        assert!(if wakes == Wakes::Unseen { woken == 0 } else { way == "poll" || woken >= 100 }, "{woken}");
    }
}

/// Where wakes are seen, a thread wakes others in its turn, and sleeps for a time when it may.
#[test]
fn whose_turn_it_is_not_waits() {
    const NOBODY: u32 = 1;
    let directory = directory();
    let mut session = session(&directory, Isolation::Shared);
    let nothing = File::options().read(true).write(true).open("/dev/null").unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let words = format!("wake {} {} {} 5", at("woken"), at("waker"), at("alone"));
    session.run(0, &program(&directory, &words), [nothing.as_fd(); 3]).unwrap();
    let (mut process, mut waited) = (0, 0);
    loop {
        match session.next(Duration::from_millis(1)).unwrap() {
            Happening::Started { event, .. } => {
                process = event.process;
                session.give_turn(process, NOBODY);
            }
            Happening::Call(call) => drop(session.go(call).unwrap()),
            Happening::Status { status, .. } => {
                assert!(status.success());
                break;
            }
            Happening::Nothing if session.rest(process) == Rest::Asks => {
                waited += u64::from(session.let_one_wake().unwrap());
            }
            _ => {}
        }
    }
    session.forget();
    assert_eq!(waited, session.woken());
    assert!(waited >= 5, "{waited}");

    let sleep = Program { command: vec!["sleep".into(), "0.001".into()], ..program(&directory, "") };
    session.run(1, &sleep, [nothing.as_fd(); 3]).unwrap();
    let mut dozes = 0;
    loop {
        match session.next(Duration::from_millis(1)).unwrap() {
            Happening::Started { event, .. } => process = event.process,
            Happening::Call(call) => drop(session.go(call).unwrap()),
            Happening::Status { status, .. } => {
                assert!(status.success());
                break;
            }
            Happening::Nothing => {
                dozes += u32::from(session.rest(process) == Rest::Dozes);
                if dozes == 20 {
                    session.let_sleep(Some(process)).unwrap();
                }
            }
            Happening::Ended(_) => {}
            Happening::NotStarted { problem, .. } => panic!("{problem}"),
        }
    }
    assert!(dozes >= 20, "{dozes}");
}

#[test]
fn every_lock_and_unlock_is_seen_whatever_drops_it() {
    let directory = directory();
    let mut session = session(&directory, Isolation::Shared);
    let words = "exclusive a shared b probe a exclusive c close b shared a try c close a close a";
    let (said, events) = traced(&mut session, &directory, &program(&directory, words));
    assert_eq!(said, "granted\n".repeat(5));
    assert_eq!(
        lines(&events),
        [
            "0 Exclusive a",
            "0 Shared b",
            // Another descriptor of the file is closed.
            "0 release a Close",
            "0 Exclusive c",
            "0 release b Close",
            "0 Shared a",
            "0 Exclusive c",
            "0 release a Close",
            "0 release c Exit",
            "0 ended",
        ]
    );
    let creates: Vec<&Path> = (events.iter())
        .filter_map(|event| match &event.action {
            Action::Open { file, mode } if mode.create && file.id.is_none() => Some(file.path.as_path()),
            _ => None,
        })
        .collect();
    assert_eq!(creates, ["a", "b", "c"].map(|name| directory.path().join(name)));
    for event in &events {
        if let Action::Release { kind, range, by, .. } = &event.action {
            assert_eq!((*kind, *range), (LockKind::Posix, Range::ALL));
            assert!(matches!(by, ReleasedBy::Close | ReleasedBy::Exit));
        }
    }
}

#[test]
fn a_descriptor_is_of_the_file_that_was_opened_whatever_has_its_name_now() {
    let directory = directory();
    let mut session = session(&directory, Isolation::Shared);
    let words = "exclusive a status b 1 write b status b 1 rename b a measure a status a 1";
    let (_, events) = traced(&mut session, &directory, &program(&directory, words));
    let locked = events.iter().find_map(|event| match &event.action {
        Action::Lock(wanted) => Some(wanted.file.id.unwrap()),
        _ => None,
    });
    let asked: Vec<_> = (events.iter())
        .filter_map(|event| match &event.action {
            Action::Status { file } => Some(file.id),
            _ => None,
        })
        .collect();
    let [None, written, measured, named] = asked[..] else { panic!("{asked:?}") };
    assert_eq!((measured, named), (locked, written));
    assert_ne!(measured, named);
}

#[test]
fn one_who_waits_is_parked_and_granted_when_the_lock_is_free() {
    let directory = directory();
    let mut session = session(&directory, Isolation::Shared);
    // The other has been started, and is about to ask, when the first goes on; so nobody knows who asks first.
    let words = "exclusive a beside write,here,exclusive,a,close,a,write,there await here try a close a join";
    let (said, events) = traced(&mut session, &directory, &program(&directory, words));
    assert_eq!(said, "granted\n".repeat(3));
    let lines = lines(&events);
    let of = |line: &str| lines.iter().position(|seen| seen == line).unwrap_or_else(|| panic!("no {line}: {lines:#?}"));
    if lines.contains(&"1 Exclusive a: waits for 0".to_owned()) {
        assert!(of("0 release a Close") < of("1 grant Exclusive a"));
        assert!(of("1 grant Exclusive a") < of("1 release a Close"));
    } else {
        assert!(of("0 release a Close") < of("1 Exclusive a"));
    }
    assert_eq!(session.parked().count(), 0);
}

#[test]
fn one_who_is_not_supervised_is_waited_for_too() {
    let directory = directory();
    let mut holder = Probe::start(&harness(), "holder").unwrap();
    holder.open(0, &directory.path().join("a")).unwrap();
    holder.try_lock(0, Mode::Shared).unwrap();
    let mut session = session(&directory, Isolation::Shared);
    let (mut released, mut events) = (false, Vec::new());
    let nothing = File::open("/dev/null").unwrap();
    let (program, limit) = (program(&directory, "try a shared a exclusive a"), std::time::Instant::now() + LIMIT);
    let said = File::create(directory.path().join("said")).unwrap();
    let standard = [nothing.as_fd(), said.as_fd(), said.as_fd()];
    let goes_on = || std::time::Instant::now() < limit;
    let status = trace::trace(
        &mut session,
        &program,
        standard,
        |event| {
            if matches!(event.fate, Fate::Waits { .. }) && !released {
                holder.close(0).unwrap();
                released = true;
            }
            events.push(event);
        },
        goes_on,
    );
    assert!(status.unwrap().is_some_and(|status| status.success()));
    assert_eq!(
        lines(&events),
        [
            "0 Exclusive a: refused by ?",
            "0 Shared a",
            "0 Exclusive a: waits for ?",
            "0 grant Exclusive a",
            "0 release a Exit",
            "0 ended",
        ]
    );
    assert_eq!(std::fs::read_to_string(directory.path().join("said")).unwrap(), "busy\ngranted\ngranted\n");
}

/// Lets each of `number` processes take a lock of its own, and then ask for its neighbour's, one after the other. Returns
/// what became of each second request, and what they all printed after the first of them was killed.
fn ring(number: u32) -> (Vec<Fate>, String) {
    let directory = directory();
    let mut session = session(&directory, Isolation::Own);
    let said = directory.path().join("said");
    let nothing = File::open("/dev/null").unwrap();
    let out = File::options().create(true).append(true).open(&said).unwrap();
    for at in 0..number {
        let words = format!("exclusive f{at} exclusive f{}", (at + 1) % number);
        session.run(at, &program(&directory, &words), [nothing.as_fd(), out.as_fd(), out.as_fd()]).unwrap();
    }
    // Each goes on until it asks for its second lock.
    let mut second: BTreeMap<u32, Stopped> = BTreeMap::new();
    let mut granted: BTreeSet<u32> = BTreeSet::new();
    while second.len() < number as usize {
        match session.next(LIMIT).unwrap() {
            Happening::Call(stopped) if stopped.request().is_some() && granted.contains(&stopped.process) => {
                second.insert(session.program_of(stopped.process).unwrap(), stopped);
            }
            Happening::Call(stopped) => {
                let is_lock = stopped.request().is_some();
                let process = stopped.process;
                let events = session.go(stopped).unwrap();
                if is_lock {
                    assert_eq!(events[0].fate, Fate::Granted);
                    granted.insert(process);
                }
            }
            Happening::Nothing => panic!("{} of {number} came to their second lock", second.len()),
            _ => {}
        }
    }
    let mut fates = Vec::new();
    let first = second[&0].process;
    for (_, stopped) in second {
        fates.push(session.go(stopped).unwrap().remove(0).fate);
    }
    // The ring is broken, and all others come to their end.
    session.kill(first).unwrap();
    while !session.is_over() {
        match session.next(LIMIT).unwrap() {
            Happening::Call(stopped) => drop(session.go(stopped).unwrap()),
            Happening::Nothing => panic!("they do not end: {:?}", session.parked().collect::<Vec<_>>()),
            _ => {}
        }
        for thread in session.grantable().unwrap() {
            session.grant(thread).unwrap();
        }
    }
    (fates, std::fs::read_to_string(said).unwrap())
}

/// As in the kernel (`kernel_rules.rs`): a ring of 12 is found, a ring of 13 is not.
#[test]
fn edeadlk_is_answered_where_the_kernel_would() {
    for (number, found) in [(2, true), (3, true), (12, true), (13, false)] {
        let (fates, said) = ring(number);
        let (last, others) = fates.split_last().unwrap();
        assert!(others.iter().all(|fate| matches!(fate, Fate::Waits { .. })), "{others:?}");
        assert_eq!(matches!(last, Fate::Deadlock { .. }), found, "{number}: {last:?}");
        assert_eq!(said.matches("deadlock").count(), usize::from(found), "{number}: {said}");
        // The first was killed while it waited; the last did not get what it was refused.
        let granted = usize::try_from(number).unwrap() * 2 - 1 - usize::from(found);
        assert_eq!(said.matches("granted").count(), granted, "{number}: {said}");
    }
}

/// The same two processes without us: the kernel refuses one of them.
#[test]
fn a_run_without_us_ends_alike() {
    let directory = directory();
    let words = "exclusive a beside exclusive,b,write,b-held,await,a-held,exclusive,a write a-held await b-held exclusive b close b close a join";
    let mut answers = Vec::new();
    for supervised in [true, false] {
        let program = program(&directory, words);
        for name in ["a-held", "b-held"] {
            let _ = std::fs::remove_file(directory.path().join(name));
        }
        let said = if supervised {
            let mut session = session(&directory, Isolation::Shared);
            let (said, events) = traced(&mut session, &directory, &program);
            let deadlocks = events.iter().filter(|event| matches!(event.fate, Fate::Deadlock { .. })).count();
            assert_eq!(deadlocks, 1);
            said
        } else {
            let mut command = std::process::Command::new(&program.command[0]);
            let output = command.args(&program.command[1..]).current_dir(directory.path()).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let mut said: Vec<String> = said.lines().map(str::to_owned).collect();
        said.sort();
        answers.push(said);
    }
    assert_eq!(answers[0], ["deadlock", "granted", "granted", "granted"]);
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_call_fails_as_it_is_told_to() {
    let directory = directory();
    let mut session = session(&directory, Isolation::Own);
    let said = directory.path().join("said");
    let (nothing, out) = (File::open("/dev/null").unwrap(), File::create(&said).unwrap());
    let run = program(&directory, "exclusive a exclusive b");
    session.run(0, &run, [nothing.as_fd(), out.as_fd(), out.as_fd()]).unwrap();
    let mut failed = Vec::new();
    loop {
        match session.next(LIMIT).unwrap() {
            Happening::Call(stopped) if stopped.request().is_some() && failed.is_empty() => {
                failed = session.fail(stopped, nix::libc::EDEADLK).unwrap();
            }
            Happening::Call(stopped) => drop(session.go(stopped).unwrap()),
            Happening::Status { status, .. } => {
                assert!(status.success());
                break;
            }
            Happening::Nothing => panic!("it does not end"),
            _ => {}
        }
    }
    assert!(matches!(failed[0].fate, Fate::Failed { errno } if errno == nix::libc::EDEADLK));
    assert_eq!(std::fs::read_to_string(said).unwrap(), "deadlock\ngranted\n");
}

/// Half of the bytes are in the file, and the position is behind them: a program that writes the rest has it whole.
#[test]
fn a_write_is_cut_short_and_says_so() {
    let directory = directory();
    let mut session = session(&directory, Isolation::Own);
    let nothing = File::options().read(true).write(true).open("/dev/null").unwrap();
    let file = directory.path().join("f");
    for command in ["printf 0123456789 > f", "printf 0123456789 >> f"] {
        let mut program = program(&directory, "");
        program.command = ["sh", "-c", command].map(OsString::from).to_vec();
        session.run(0, &program, [nothing.as_fd(); 3]).unwrap();
        let mut wrote = Vec::new();
        loop {
            match session.next(LIMIT).unwrap() {
                Happening::Call(stopped)
                    if stopped.actions().iter().any(|action| matches!(action, Action::Write { .. })) =>
                {
                    if wrote.is_empty() {
                        assert!(matches!(session.shorten(stopped).unwrap()[0].fate, Fate::Short { bytes: 5 }));
                        wrote.push(std::fs::read_to_string(&file).unwrap());
                    } else {
                        session.go(stopped).unwrap();
                    }
                }
                Happening::Call(stopped) => drop(session.go(stopped).unwrap()),
                Happening::Status { status, .. } => {
                    assert!(status.success());
                    break;
                }
                Happening::Nothing => panic!("it does not end"),
                _ => {}
            }
        }
        assert!(wrote[0].ends_with("01234"), "{wrote:?}");
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "0123456789".repeat(2));
}

#[test]
fn a_program_that_does_not_exist_is_an_error() {
    let directory = directory();
    let mut session = session(&directory, Isolation::Shared);
    let mut program = program(&directory, "");
    program.command = vec!["/no/such/program".into()];
    let nothing = File::open("/dev/null").unwrap();
    let standard = [nothing.as_fd(); 3];
    let refused = trace::trace(&mut session, &program, standard, |_| {}, || true).unwrap_err();
    assert!(refused.to_string().starts_with("failed to start /no/such/program: No such file"), "{refused}");
}

/// However the ends fall between the launcher's looks, each is told.
#[test]
fn a_sweep_tells_how_each_program_ended() {
    use std::os::unix::process::ExitStatusExt as _;
    const ROUNDS: u32 = 10;
    const PROGRAMS: u32 = 4;
    let directory = directory();
    let nothing = File::options().read(true).write(true).open("/dev/null").unwrap();
    for isolation in [Isolation::Own, Isolation::Shared] {
        let mut session = session(&directory, isolation);
        for round in 0..ROUNDS {
            for number in 0..PROGRAMS {
                session.run(number, &program(&directory, "sleep"), [nothing.as_fd(); 3]).unwrap();
            }
            let (mut started, mut killed, mut swept) = (0, 0, false);
            while killed < PROGRAMS || !session.is_over() {
                match session.next(LIMIT).unwrap() {
                    Happening::Started { .. } => started += 1,
                    Happening::Call(stopped) => drop(session.go(stopped).unwrap()),
                    Happening::Status { status, .. } => {
                        assert_eq!(status.signal(), Some(9));
                        killed += 1;
                    }
                    Happening::Nothing => panic!("round {round}: {killed} of {PROGRAMS} ends were told"),
                    _ => {}
                }
                if started == PROGRAMS && !swept {
                    swept = true;
                    session.sweep().unwrap();
                }
            }
            session.forget();
        }
    }
}
