//! The primitives of shuttle.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, PoisonError};

use ::shuttle::rand::{RngCore, thread_rng};
use ::shuttle::sync::atomic::AtomicUsize;
use shuttle_engine::runtime::execution::CurrentSchedule;
use shuttle_engine::scheduler::serialization::serialize_schedule;

use super::super::driver::{Object, Primitives, World};
use super::chooser::Run;
use crate::op::CellName;

/// Where a thread is between two scheduling points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It was chosen, and has not made its step.
    Due,
    /// It is in its step.
    Taken,
    /// It has made its step, and has to be chosen again.
    Spent,
}

/// The shuttle objects of one execution.
#[derive(Debug)]
pub(super) struct Shuttle {
    run: Arc<Run>,
    /// Whether choices are drawn.
    draws: bool,
    /// Whether shuttle's own text says all that is needed to run a schedule again.
    repeatable: bool,
    point: AtomicUsize,
    turns: Mutex<Vec<Turn>>,
}

impl Shuttle {
    pub(super) fn new(run: &Arc<Run>, draws: bool, repeatable: bool) -> Self {
        Self { run: Arc::clone(run), draws, repeatable, point: AtomicUsize::new(0), turns: Mutex::default() }
    }

    fn turn<T>(&self, at: usize, act: impl FnOnce(&mut Turn) -> T) -> T {
        act(&mut self.turns.lock().unwrap_or_else(PoisonError::into_inner)[at])
    }

    /// A scheduling point, unless the thread was chosen already and has made no step since.
    fn wait_for_turn(world: &World<Self>, at: usize) {
        let shuttle = &world.primitives;
        if shuttle.turn(at, |turn| *turn) == Turn::Spent && !world.is_alone() && !world.is_over() {
            shuttle.point.fetch_add(1, SeqCst);
        }
    }
}

impl Primitives for Shuttle {
    const REDUCES: bool = false;
    type Object = ();
    type Guard<'o> = ();

    fn spawn(&self, at: usize, body: Box<dyn FnOnce() + Send>) -> Result<(), String> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.resize(at + 1, Turn::Due);
        drop(turns);
        // To start a thread is no step: nobody else is chosen before it is there.
        self.run.spawning(true);
        ::shuttle::thread::spawn(body);
        self.run.spawning(false);
        Ok(())
    }

    fn next_step(&self, at: usize) {
        self.turn(at, |turn| {
            if *turn == Turn::Taken {
                *turn = Turn::Spent;
            }
        });
    }

    fn yields(world: &World<Self>, at: usize) {
        Self::wait_for_turn(world, at);
        world.primitives.turn(at, |turn| *turn = Turn::Due);
    }

    fn object(&self, _object: Object) {}

    fn enter(world: &World<Self>, at: usize, (): &()) -> Option<()> {
        Self::wait_for_turn(world, at);
        world.primitives.turn(at, |turn| *turn = Turn::Taken);
        None
    }

    fn touch(world: &World<Self>, at: usize, _object: &Object) {
        Self::enter(world, at, &());
    }

    fn access(world: &World<Self>, at: usize, _cell: (usize, u32, &CellName), _writes: bool) -> bool {
        Self::enter(world, at, &());
        false
    }

    fn sleep(world: &World<Self>, at: usize) {
        world.primitives.point.fetch_add(1, SeqCst);
        world.primitives.turn(at, |turn| *turn = Turn::Due);
    }

    fn wake(&self, _at: usize) {}

    fn own_schedule(&self) -> Option<String> {
        let text = || serialize_schedule(&CurrentSchedule::get_schedule());
        self.repeatable.then(|| text().split_whitespace().collect())
    }

    fn draw(&self, below: u32) -> Option<u32> {
        let drawn = || u32::try_from(thread_rng().next_u64() % u64::from(below)).unwrap_or(0);
        self.draws.then(drawn)
    }
}
