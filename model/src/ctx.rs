//! How a protocol acts: [`Ctx`], one operation at a time; and how a driver runs it: [`Task`].
//!
//! The future of a call waits for nothing but operations, so a driver polls it once for each outcome. There is no
//! reactor and no waker.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::call::{Call, Reply, StoreId};
use crate::mutation::{self, Turn};
use crate::op::{CellName, Document, LockResult, Mode, Note, Op, Outcome, Path};
use crate::protocol::Entry;
use crate::second_store;
use crate::value::{Datum, Instant, Mtime, Object, Stamp, Value};

/// A future that stays on its thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// What stands between a protocol and its driver.
#[derive(Debug, Default)]
struct Slot {
    request: Option<Op>,
    outcome: Option<Outcome>,
    error: Option<ProtocolError>,
    /// How many loops the call has entered.
    loops: u32,
}

/// A mistake of the protocol itself, not of what it is meant to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Two operations were asked for at once.
    #[error("asked for {second} while {first} was pending; inside a call operations come one after another")]
    TwoAtOnce {
        /// The one that was pending.
        first: String,
        /// The other.
        second: String,
    },
    /// The future waits for something that is no operation.
    #[error("the call waits for something that is no operation of `Ctx`")]
    Foreign,
    /// An outcome, a cell or a document was read as a type that it is not.
    #[error("{what} holds {value}, which is no {wanted}")]
    WrongType {
        /// The operation.
        what: String,
        /// What came.
        value: String,
        /// The type's name.
        wanted: &'static str,
    },
}

/// A plain cell of the process that holds a `T`. Read and written with [`Ctx::get`] and [`Ctx::set`].
pub struct Cell<T> {
    /// Its name.
    pub name: CellName,
    holds: PhantomData<fn() -> T>,
}

impl<T> Cell<T> {
    /// A package variable.
    #[must_use]
    pub fn global(field: impl Into<Arc<str>>) -> Self {
        Self { name: CellName { object: None, field: field.into() }, holds: PhantomData }
    }

    /// A field of `object`.
    #[must_use]
    pub fn field(object: Object, field: impl Into<Arc<str>>) -> Self {
        Self { name: CellName { object: Some(object), field: field.into() }, holds: PhantomData }
    }
}

impl<T> Clone for Cell<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), holds: PhantomData }
    }
}

impl<T> fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cell({})", self.name)
    }
}

/// The only way in which a protocol can act.
#[derive(Clone, Debug, Default)]
pub struct Ctx {
    slot: Rc<RefCell<Slot>>,
    /// Which Store object of the process the call is on; `None` of the first.
    store: Option<StoreId>,
}

impl Ctx {
    /// The same handle for a call on another Store object of the process: what belongs to a Store object (fields of `s`,
    /// the run root) is its own, and what belongs to the process (lock objects by path) is shared.
    #[must_use]
    pub fn on_store(&self, store: StoreId) -> Self {
        Self { store: Some(store), ..self.clone() }
    }

    /// How many additional stores the Store object of the call has, `additional1` the first.
    #[must_use]
    pub fn additional_stores(&self) -> u8 {
        match self.store {
            Some(StoreId::With(number)) => number,
            _ => 0,
        }
    }

    /// Asks for an operation and waits for its outcome. The typed methods below are all this one.
    pub async fn perform(&self, op: Op) -> Outcome {
        let mut op = Some(match self.store {
            Some(store) => second_store::located(op, store),
            None => op,
        });
        poll_fn(|_| {
            let mut slot = self.slot.borrow_mut();
            if let Some(op) = op.take() {
                if let Some(first) = &slot.request {
                    let error = ProtocolError::TwoAtOnce { first: format!("{first:?}"), second: format!("{op:?}") };
                    slot.error.get_or_insert(error);
                }
                slot.request = Some(op);
                return Poll::Pending;
            }
            match slot.outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Performs `op`, whose outcome is a value, and reads it as a `T`. A value of another type stops the call with
    /// [`ProtocolError::WrongType`].
    async fn value<T: Datum>(&self, op: Op) -> T {
        let outcome = self.perform(op.clone()).await;
        if let Outcome::Value(value) = &outcome
            && let Some(datum) = T::from_value(value)
        {
            return datum;
        }
        let error = ProtocolError::WrongType {
            what: format!("{op:?}"),
            value: format!("{outcome:?}"),
            wanted: std::any::type_name::<T>(),
        };
        self.slot.borrow_mut().error.get_or_insert(error);
        std::future::pending().await
    }

    /// `F_SETLKW` on the whole of `file`.
    ///
    /// # Errors
    /// [`LockResult::Deadlock`] where the kernel answers `EDEADLK`.
    pub async fn set_lock_wait(&self, file: &Path, mode: Mode) -> Result<(), LockResult> {
        self.lock(file, mode, true).await
    }

    /// `F_SETLK` on the whole of `file`.
    ///
    /// # Errors
    /// [`LockResult::WouldBlock`] where another process holds it.
    pub async fn set_lock(&self, file: &Path, mode: Mode) -> Result<(), LockResult> {
        self.lock(file, mode, false).await
    }

    async fn lock(&self, file: &Path, mode: Mode, wait: bool) -> Result<(), LockResult> {
        match self.perform(Op::Lock { file: file.clone(), mode, wait }).await {
            Outcome::Locked(LockResult::Granted) => Ok(()),
            Outcome::Locked(refused) => Err(refused),
            _ => std::future::pending().await,
        }
    }

    /// Closes the descriptor of a lock file.
    pub async fn close(&self, file: &Path) {
        self.perform(Op::Close { file: file.clone() }).await;
    }

    /// Opens a lock file, for reading alone or for writing too, and closes it.
    pub async fn probe(&self, file: &Path, mode: Mode) {
        self.perform(Op::Probe { file: file.clone(), mode }).await;
    }

    /// Reads the stamp of a lock file; `None` if it was never written.
    pub async fn read_stamp(&self, file: &Path) -> Option<Stamp> {
        self.value(Op::ReadStamp { file: file.clone() }).await
    }

    /// Writes a fresh stamp into a lock file and returns it.
    pub async fn write_stamp(&self, file: &Path) -> Stamp {
        self.value(Op::WriteStamp { file: file.clone() }).await
    }

    /// Reads a document; one that does not exist reads as `T` reads `Nil`.
    pub async fn read<T: Datum>(&self, document: &Document) -> T {
        self.value(Op::Read { document: document.clone() }).await
    }

    /// `AtomicWriteFile` of `pkg/ioutils/fswriters.go`: write a temporary file, `fdatasync`, rename.
    /// `base` is what the writer believes it replaces.
    pub async fn replace<T: Datum>(&self, document: &Document, base: &T, new: &T) {
        let (base, value) = (base.to_value(), new.to_value());
        self.perform(Op::WriteTemp { document: document.clone(), value: value.clone() }).await;
        self.perform(Op::Sync { document: document.clone() }).await;
        self.perform(Op::Rename { document: document.clone(), base, value }).await;
    }

    /// When `file` was last written; `None` if it is a document that does not exist.
    pub async fn mtime(&self, file: &Path) -> Option<Mtime> {
        self.value(Op::Mtime { file: file.clone() }).await
    }

    /// `time.Now()`.
    pub async fn now(&self) -> Instant {
        self.value(Op::Now).await
    }

    /// Locks a Go `sync.Mutex`.
    pub async fn mutex_lock(&self, mutex: &CellName) {
        self.perform(Op::MutexLock { mutex: mutex.clone() }).await;
    }

    /// Unlocks a Go `sync.Mutex`.
    pub async fn mutex_unlock(&self, mutex: &CellName) {
        self.perform(Op::MutexUnlock { mutex: mutex.clone() }).await;
    }

    /// Locks a Go `sync.RWMutex`.
    pub async fn rw_lock(&self, mutex: &CellName, mode: Mode) {
        self.perform(Op::RwLock { mutex: mutex.clone(), mode }).await;
    }

    /// Unlocks a Go `sync.RWMutex`.
    pub async fn rw_unlock(&self, mutex: &CellName, mode: Mode) {
        self.perform(Op::RwUnlock { mutex: mutex.clone(), mode }).await;
    }

    /// Reads a cell; one never written reads as `T` reads `Nil`.
    pub async fn get<T: Datum>(&self, cell: &Cell<T>) -> T {
        self.value(Op::Get { cell: cell.name.clone() }).await
    }

    /// Writes a cell.
    pub async fn set<T: Datum>(&self, cell: &Cell<T>, value: &T) {
        self.perform(Op::Set { cell: cell.name.clone(), value: value.to_value() }).await;
    }

    /// Allocates an object.
    pub async fn new_object(&self) -> Object {
        self.value(Op::New).await
    }

    /// Starts a goroutine and returns its number.
    pub async fn spawn(&self, name: &str, arguments: Value) -> u32 {
        let mut call = Call::Goroutine { name: name.into(), arguments };
        if let Some(store) = self.store {
            call = Call::On { store, of: Box::new(call) };
        }
        self.value(Op::Spawn { call }).await
    }

    /// Waits for a goroutine to end.
    pub async fn join(&self, thread: u32) {
        self.perform(Op::Join { thread }).await;
    }

    /// Any number below `among`.
    pub async fn choose(&self, among: u32) -> u32 {
        self.value(Op::Choose { among }).await
    }

    /// A Go panic. Never returns.
    pub async fn panic<T>(&self, message: impl Into<String>) -> T {
        self.perform(Op::Panic { message: message.into() }).await;
        std::future::pending().await
    }

    /// Enters a loop that may repeat without bound. Its rounds begin with [`Loop::top`].
    #[must_use]
    pub fn enter_loop(&self, label: &str) -> Loop<'_> {
        let mut slot = self.slot.borrow_mut();
        slot.loops += 1;
        Loop { ctx: self, label: format!("{label} ({})", slot.loops) }
    }

    /// Notes something for properties and for people.
    pub async fn note(&self, note: Note) {
        self.perform(Op::Note(note)).await;
    }
}

/// A loop that may repeat without bound, entered once.
#[derive(Debug)]
pub struct Loop<'c> {
    ctx: &'c Ctx,
    label: String,
}

impl Loop<'_> {
    /// The top of a round. `values` is all that the round needs to know of the rounds before it; the round must go on
    /// with what comes back, and with nothing else that it learned since the loop was entered.
    pub async fn top<T: Datum>(&self, values: T) -> T {
        self.ctx.value(Op::LoopHead { label: self.label.clone(), values: values.to_value() }).await
    }
}

/// What a call asks for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// This operation.
    Op(Op),
    /// Nothing: it returned.
    Done(Reply),
}

/// A call under way.
pub struct Task {
    slot: Rc<RefCell<Slot>>,
    future: LocalFuture<Reply>,
    /// Of a mutant, what changes its operations.
    mutation: Option<Box<mutation::Driver>>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("slot", &self.slot).finish_non_exhaustive()
    }
}

impl Task {
    /// Starts `call` with a freshly built protocol.
    pub fn new(protocol: Entry, call: Call) -> Self {
        let ctx = Ctx::default();
        let slot = Rc::clone(&ctx.slot);
        let mutation = protocol.mutation.filter(|mutation| mutation.call == call.name()).map(mutation::Driver::new);
        let mutation = mutation.map(Box::new);
        Self { slot, future: (protocol.start)(ctx, call), mutation }
    }

    /// Lets the call go on to its next request: with `None` at its start, then with the outcome of what it asked for.
    ///
    /// # Errors
    /// A [`ProtocolError`], after which the task is of no more use.
    pub fn resume(&mut self, outcome: Option<Outcome>) -> Result<Request, ProtocolError> {
        let Some(mutation) = &mut self.mutation else { return self.go_on(outcome) };
        let mut turn = mutation.performed(outcome);
        loop {
            turn = match turn {
                Turn::Ask(op) => return Ok(Request::Op(op)),
                Turn::Return(reply) => return Ok(Request::Done(reply)),
                Turn::GoOn(outcome) => {
                    let request = self.go_on(outcome)?;
                    match &mut self.mutation {
                        Some(mutation) => mutation.requested(request),
                        None => return Ok(request),
                    }
                }
            };
        }
    }

    /// Lets the call itself go on.
    fn go_on(&mut self, outcome: Option<Outcome>) -> Result<Request, ProtocolError> {
        self.slot.borrow_mut().outcome = outcome;
        let polled = self.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let mut slot = self.slot.borrow_mut();
        if let Some(error) = slot.error.take() {
            return Err(error);
        }
        match polled {
            Poll::Ready(reply) => Ok(Request::Done(reply)),
            Poll::Pending => slot.request.take().map(Request::Op).ok_or(ProtocolError::Foreign),
        }
    }
}
