//! What the engine `loom` counts on in loom itself, so that an upgrade that changes it is noticed. Found in 0.7.3.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize as Counter;
use std::sync::atomic::Ordering::SeqCst as Outside;
use std::sync::{Arc, Mutex as OutsideMutex};

use loom::cell::Cell;
use loom::model::Builder;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::sync::{Condvar, Mutex};
use loom::thread;

/// How many executions `body` has, and the panic that ended them.
fn run(builder: &Builder, body: impl Fn() + Send + Sync + 'static) -> (usize, Option<String>) {
    let executions = Arc::new(Counter::new(0));
    let counted = Arc::clone(&executions);
    let all = || {
        builder.check(move || {
            counted.fetch_add(1, Outside);
            body();
        });
    };
    let panic = catch_unwind(AssertUnwindSafe(all)).err().map(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_string());
        text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
    });
    (executions.load(Outside), panic)
}

/// Whether two threads that step on `step` in between race on a cell, in loom's eyes, in the order writer, reader.
fn races_around(step: impl Fn(&AtomicUsize, &Mutex<()>) + Send + Sync + Copy + 'static) -> bool {
    let (_, panic) = run(&Builder::new(), move || {
        let shared = Arc::new((OutsideMutex::new(Cell::new(0)), AtomicUsize::new(0), Mutex::new(())));
        let writer = Arc::clone(&shared);
        let written = Arc::new(Counter::new(0));
        let seen = Arc::clone(&written);
        let writing = thread::spawn(move || {
            writer.0.lock().expect("nobody has panicked").set(1);
            step(&writer.1, &writer.2);
            written.store(1, Outside);
        });
        step(&shared.1, &shared.2);
        if seen.load(Outside) == 1 {
            shared.0.lock().expect("nobody has panicked").get();
        }
        writing.join().expect("it ends");
    });
    panic.is_some_and(|text| text.contains("Causality violation"))
}

/// Contents of files are behind a relaxed read-modify-write, for that orders nothing; behind a `Mutex` they would be ordered.
#[test]
fn a_relaxed_step_orders_nothing_and_a_mutex_does() {
    assert!(races_around(|atomic, _| {
        atomic.fetch_add(1, Relaxed);
    }));
    assert!(!races_around(|_, mutex| drop(mutex.lock())));
}

/// A read-modify-write sees the newest value: two of them on one atomic have two orders, and no third outcome. loom takes
/// four executions for these.
#[test]
fn read_modify_writes_have_every_order() {
    let outcomes = Arc::new(OutsideMutex::new(BTreeSet::new()));
    let found = Arc::clone(&outcomes);
    let (executions, _) = run(&Builder::new(), move || {
        let atomic = Arc::new(AtomicUsize::new(0));
        let other = Arc::clone(&atomic);
        let thread = thread::spawn(move || other.fetch_add(1, Relaxed));
        let mine = atomic.fetch_add(1, Relaxed);
        let theirs = thread.join().expect("it ends");
        found.lock().expect("nobody panics").insert((mine, theirs));
    });
    assert_eq!((executions, outcomes.lock().expect("nobody panics").clone()), (4, BTreeSet::from([(0, 1), (1, 0)])));
}

/// Store buffering: with `SeqCst` one of the two has to see the other's store. loom takes it for `AcqRel`.
#[test]
fn sequential_consistency_is_not_modelled() {
    let neither = Arc::new(Counter::new(0));
    let seen = Arc::clone(&neither);
    run(&Builder::new(), move || {
        let both = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
        let other = Arc::clone(&both);
        let thread = thread::spawn(move || {
            other.0.store(1, SeqCst);
            other.1.load(SeqCst)
        });
        both.1.store(1, SeqCst);
        let mine = both.0.load(SeqCst);
        if mine + thread.join().expect("it ends") == 0 {
            seen.fetch_add(1, Outside);
        }
    });
    assert!(neither.load(Outside) > 0);
}

/// Which of two waiters `notify_one` wakes: only ever the first. So a driver that lets waiters go in any order wakes all.
#[test]
fn notify_one_is_first_in_first_out() {
    let woken = Arc::new(OutsideMutex::new(BTreeSet::new()));
    let found = Arc::clone(&woken);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    run(&builder, move || {
        let shared = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let waiter = |number: usize| {
            let (shared, found) = (Arc::clone(&shared), Arc::clone(&found));
            thread::spawn(move || {
                let mut waiting = shared.0.lock().expect("nobody panics");
                waiting.push(number);
                waiting = shared.1.wait(waiting).expect("nobody panics");
                found.lock().expect("nobody panics").insert(waiting.iter().position(|other| *other == number));
                waiting.retain(|other| *other != number);
                shared.1.notify_one();
            })
        };
        let waiters = [waiter(1), waiter(2)];
        while shared.0.lock().expect("nobody panics").len() < 2 {
            thread::yield_now();
        }
        shared.1.notify_one();
        for waiter in waiters {
            waiter.join().expect("it ends");
        }
    });
    assert_eq!(*woken.lock().expect("nobody panics"), BTreeSet::from([Some(0)]));
}

#[test]
fn there_is_room_for_five_threads() {
    let spawn = |count: usize| {
        let mut builder = Builder::new();
        builder.max_threads = 5;
        run(&builder, move || {
            let threads: Vec<_> = (0..count).map(|_| thread::spawn(|| ())).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
        })
        .1
    };
    assert_eq!(spawn(4), None);
    assert!(spawn(5).is_some());
}

fn two_counters() {
    let atomic = Arc::new(AtomicUsize::new(0));
    let other = Arc::clone(&atomic);
    let add = |atomic: &AtomicUsize| {
        for _ in 0..4 {
            atomic.fetch_add(1, Relaxed);
        }
    };
    let thread = thread::spawn(move || add(&other));
    add(&atomic);
    thread.join().expect("it ends");
}

#[test]
fn too_many_branches_are_a_panic() {
    let mut builder = Builder::new();
    builder.max_branches = 5;
    let (_, panic) = run(&builder, two_counters);
    assert!(panic.is_some_and(|text| text.contains("exceeded maximum number of branches")));
}

/// The limits on executions and time stop the search without a word, and only where a checkpoint would be.
#[test]
fn limits_are_silent() {
    let (all, _) = run(&Builder::new(), two_counters);
    let mut builder = Builder::new();
    (builder.max_permutations, builder.checkpoint_interval) = (Some(10), 5);
    assert_eq!(run(&builder, two_counters), (9, None));
    let mut builder = Builder::new();
    (builder.max_duration, builder.checkpoint_interval) = (Some(std::time::Duration::ZERO), 5);
    assert_eq!(run(&builder, two_counters), (4, None));
    assert!(all > 10, "{all}");
}
