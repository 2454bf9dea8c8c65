//! Traces to test with. The stale read is what the protocol `pr_473` really asks for, answered by a store that only one
//! process uses; the others are made by hand.

use std::collections::BTreeMap;

use lockproof_model::call::{Call, Fail, Reply};
use lockproof_model::ctx::{Request, Task};
use lockproof_model::op::{CellName, Document, LockResult, Mode, Note, Op, Outcome, Path};
use lockproof_model::protocol::{Layer, Layers, pr_473};
use lockproof_model::schedule::Step;
use lockproof_model::trace::{Effect, Event, Trace};
use lockproof_model::value::{Datum, Instant, Mtime, Object, Stamp, Value};

/// `text` without the escape codes that a [`Style`](crate::Style) may put in.
pub(crate) fn without_color(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').expect("an escape code ends with m").1);
    }
    plain
}

pub(crate) fn all() -> Vec<Trace> {
    vec![Trace::default(), stale_read(), deadlock(), lasso(), lost_update(), race()]
}

fn layers(ids: &[&str]) -> Value {
    let layers: Layers = ids.iter().map(|&id| Layer { id: id.into(), ..Layer::default() }).collect();
    layers.to_value()
}

fn layers_json() -> Document {
    Document { path: Path::new("root/vfs-layers/layers.json"), lock: layers_lock() }
}

fn layers_lock() -> Path {
    Path::new("root/vfs-layers/layers.lock")
}

/// A store that one thread of one process uses: every lock is free.
#[derive(Default)]
struct Alone {
    stamps: BTreeMap<Path, u32>,
    documents: BTreeMap<Path, Value>,
    cells: BTreeMap<CellName, Value>,
    objects: u32,
    clock: u64,
}

impl Alone {
    fn perform(&mut self, op: &Op) -> Outcome {
        let value = match op {
            Op::Lock { .. } => return Outcome::Locked(LockResult::Granted),
            Op::ReadStamp { file } => self.stamps.get(file).map(|&number| Stamp(number)).to_value(),
            Op::WriteStamp { file } => {
                let number = self.stamps.values().max().unwrap_or(&0) + 1;
                self.stamps.insert(file.clone(), number);
                Stamp(number).to_value()
            }
            Op::Read { document } => self.documents.get(&document.path).cloned().unwrap_or_default(),
            Op::Rename { document, value, .. } => {
                self.documents.insert(document.path.clone(), value.clone());
                return Outcome::Done;
            }
            Op::Mtime { .. } => Mtime(2).to_value(),
            Op::Now => {
                self.clock += 2;
                Instant(self.clock + 1).to_value()
            }
            Op::Get { cell } => self.cells.get(cell).cloned().unwrap_or_default(),
            Op::Set { cell, value } => {
                self.cells.insert(cell.clone(), value.clone());
                return Outcome::Done;
            }
            Op::New => {
                self.objects += 1;
                Object(self.objects).to_value()
            }
            Op::LoopHead { values, .. } => values.clone(),
            _ => return Outcome::Done,
        };
        Outcome::Value(value)
    }
}

/// D14: `Names(foo)`, `PutLayer(foo)`, `Names(foo)`, in one thread of one process under `pr_473`.
pub(crate) fn stale_read() -> Trace {
    let mut world = Alone::default();
    world.documents.insert(layers_json().path, layers(&["base"]));
    world.stamps.insert(layers_lock(), 1);
    let names = Call::Names { id: "foo".into() };
    let put = Call::PutLayer { id: "foo".into(), parent: Some("base".into()), names: Vec::new(), diff: false };
    let mut trace = Trace::default();
    for call in [Call::Open, names.clone(), put, names] {
        let mut task = Task::new(pr_473::entry(), call.clone());
        let mut outcome = None;
        let mut begins = Some(call.clone());
        loop {
            match task.resume(outcome.take()).expect("the protocol makes no mistake") {
                Request::Op(Op::Note(note)) => {
                    if let (Some(event), None) = (trace.events.last_mut(), &begins) {
                        event.notes.push(note);
                    }
                    outcome = Some(Outcome::Done);
                }
                Request::Op(op) => {
                    let answer = world.perform(&op);
                    outcome = Some(answer.clone());
                    let event = event(0, op, Effect::Done(answer));
                    trace.events.push(Event { begins: begins.take(), call: Some(call.clone()), ..event });
                }
                Request::Done(reply) => {
                    trace.events.last_mut().expect("every call does something").ends = Some(reply);
                    break;
                }
            }
        }
    }
    let last = trace.events.last_mut().expect("three calls");
    last.wrong =
        Some("names foo failed with ErrLayerUnknown, but foo was there from before the call to its end".into());
    trace
}

fn event(process: u8, op: Op, effect: Effect) -> Event {
    let step = Step::Run { process, thread: 0, branch: 0 };
    Event { step, begins: None, call: None, op: Some(op), effect, notes: Vec::new(), ends: None, wrong: None }
}

fn begins(call: Call, event: Event) -> Event {
    Event { begins: Some(call.clone()), call: Some(call), ..event }
}

fn ends(reply: Reply, event: Event) -> Event {
    Event { ends: Some(reply), ..event }
}

fn wrong(message: &str, event: Event) -> Event {
    Event { wrong: Some(message.into()), ..event }
}

pub(crate) fn thread(thread: u8, event: Event) -> Event {
    Event { step: Step::Run { process: event.step.process(), thread, branch: 0 }, ..event }
}

pub(crate) fn lock(process: u8, file: &Path, mode: Mode, effect: Effect) -> Event {
    event(process, Op::Lock { file: file.clone(), mode, wait: true }, effect)
}

pub(crate) fn granted() -> Effect {
    Effect::Done(Outcome::Locked(LockResult::Granted))
}

pub(crate) fn close(process: u8, file: &Path) -> Event {
    event(process, Op::Close { file: file.clone() }, Effect::Done(Outcome::Done))
}

pub(crate) fn done(process: u8, op: Op) -> Event {
    event(process, op, Effect::Done(Outcome::Done))
}

pub(crate) fn value(process: u8, op: Op, value: Value) -> Event {
    event(process, op, Effect::Done(Outcome::Value(value)))
}

/// ABBA: each of two processes has the lock that the other waits for, and the kernel refuses the second.
pub(crate) fn deadlock() -> Trace {
    let (a, b) = (Path::new("root/vfs-layers/a.lock"), Path::new("root/vfs-layers/b.lock"));
    let put = Call::PutLayer { id: "b".into(), parent: Some("a".into()), names: Vec::new(), diff: true };
    let delete = Call::DeleteLayer { id: "b".into() };
    let round = Op::LoopHead { label: "F_SETLKW".into(), values: Value::Nil };
    let refused = Effect::Done(Outcome::Locked(LockResult::Deadlock));
    Trace {
        events: vec![
            begins(put, lock(0, &a, Mode::Shared, granted())),
            begins(delete, done(1, Op::MutexLock { mutex: CellName { object: None, field: "m".into() } })),
            lock(1, &b, Mode::Exclusive, granted()),
            lock(0, &b, Mode::Exclusive, Effect::Waits),
            done(1, round),
            wrong("pull and delete wait for each other for ever", lock(1, &a, Mode::Exclusive, refused)),
        ],
        cycle: Vec::new(),
    }
}

/// Two readers overlap for ever, and a writer waits.
pub(crate) fn lasso() -> Trace {
    let layers = layers_lock();
    let names = || Call::Names { id: "base".into() };
    let base = || Ok(Value::List(vec![Value::Text("base".into())]));
    let put = Call::PutLayer { id: "b".into(), parent: None, names: Vec::new(), diff: false };
    Trace {
        events: vec![
            begins(names(), lock(1, &layers, Mode::Shared, granted())),
            begins(put, lock(0, &layers, Mode::Exclusive, Effect::Waits)),
        ],
        cycle: vec![
            begins(names(), lock(2, &layers, Mode::Shared, granted())),
            ends(base(), close(1, &layers)),
            begins(names(), lock(1, &layers, Mode::Shared, granted())),
            wrong("writer waits for W(layers) for ever, though it is fair", ends(base(), close(2, &layers))),
        ],
    }
}

/// A writer that did not reload, then a kill and a panic.
pub(crate) fn lost_update() -> Trace {
    let document = layers_json;
    let rename =
        |base: &[&str], value: &[&str]| Op::Rename { document: document(), base: layers(base), value: layers(value) };
    let put = |id: &str| Call::PutLayer { id: id.into(), parent: None, names: vec!["n".into()], diff: false };
    let kill = Event { step: Step::Kill { process: 1 }, op: None, ..event(1, Op::Now, Effect::Died) };
    Trace {
        events: vec![
            begins(put("x"), value(0, Op::Read { document: document() }, layers(&["base"]))),
            begins(put("y"), lock(1, &layers_lock(), Mode::Exclusive, granted())),
            value(1, Op::Read { document: document() }, layers(&["base"])),
            done(1, rename(&["base"], &["base", "y"])),
            value(1, Op::WriteStamp { file: layers_lock() }, Stamp(2).to_value()),
            kill,
            wrong("the layer y of b is lost", done(0, rename(&["base"], &["base", "x"]))),
            ends(Err(Fail("ErrLayerUnknown".into())), done(0, Op::Sync { document: document() })),
            event(0, Op::Panic { message: "calling Unlock on\nunlocked lock".into() }, Effect::Died),
        ],
        cycle: Vec::new(),
    }
}

/// Two threads share a read lock and both remember the stamp.
pub(crate) fn race() -> Trace {
    let lw = || CellName { object: None, field: format!("{}:lw", layers_lock()).into() };
    let rw_mutex = || CellName { object: None, field: format!("{}:rwMutex", layers_lock()).into() };
    let names = || Call::Names { id: "base".into() };
    let acquired = || vec![Note::Acquired(layers_lock(), Mode::Shared)];
    let stamp = || value(0, Op::ReadStamp { file: layers_lock() }, Stamp(3).to_value());
    let write = || Op::RwLock { mutex: rw_mutex(), mode: Mode::Exclusive };
    let read = || Op::RwLock { mutex: rw_mutex(), mode: Mode::Shared };
    let set = || done(0, Op::Set { cell: lw(), value: Stamp(3).to_value() });
    Trace {
        events: vec![
            begins(names(), done(0, read())),
            Event { notes: acquired(), ..lock(0, &layers_lock(), Mode::Shared, granted()) },
            thread(1, begins(names(), Event { notes: acquired(), ..done(0, read()) })),
            thread(2, begins(Call::DeleteLayer { id: "base".into() }, event(0, write(), Effect::Waits))),
            value(0, Op::Get { cell: lw() }, Value::Nil),
            stamp(),
            thread(1, stamp()),
            set(),
            wrong("two threads write layers.lock:lw, and nothing orders them", thread(1, set())),
            thread(1, done(0, Op::RwUnlock { mutex: rw_mutex(), mode: Mode::Shared })),
        ],
        cycle: Vec::new(),
    }
}
