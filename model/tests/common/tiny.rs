//! Protocols of a few operations, for systems that can be explored one operation at a time.

use lockproof_model::call::{Call, Fail, Reply};
use lockproof_model::ctx::{Cell, Ctx, LocalFuture};
use lockproof_model::monitor::{LAYERS, LAYERS_LOCK};
use lockproof_model::op::{CellName, Document, Mode, Note, Path};
use lockproof_model::protocol::{
    Entry, Layer, LayerStoreProtocol, Layers, LockfileProtocol, RecordStoreProtocol, StoreProtocol, layers,
};
use lockproof_model::value::{Datum, Instant, Mtime, Value};

/// A program for [`tiny`]: words, one an operation.
pub fn program(words: &str) -> Call {
    Call::Goroutine { name: words.into(), arguments: Value::Nil }
}

/// The lock file that a word names: `a` is `root/a.lock`, `other/a` is `other/a.lock`.
pub fn lock_path(name: &str) -> Path {
    Path::new(if name.contains('/') { format!("{name}.lock") } else { format!("root/{name}.lock") })
}

/// A protocol whose calls are programs, see [`program`]. `exists` guesses, `lookup` answers nonsense and keeps its lock.
pub fn tiny() -> Entry {
    Entry::of::<Tiny<false>>("tiny", "programs of a few words")
}

/// The same, where the time of `root/a.lock` is kept.
pub fn timed() -> Entry {
    Entry::of::<Tiny<true>>("timed", "programs of a few words, with times")
}

#[derive(Default)]
struct Tiny<const TIMED: bool>;

impl<const TIMED: bool> LockfileProtocol for Tiny<TIMED> {}
impl<const TIMED: bool> LayerStoreProtocol for Tiny<TIMED> {}
impl<const TIMED: bool> RecordStoreProtocol for Tiny<TIMED> {}
impl<const TIMED: bool> StoreProtocol for Tiny<TIMED> {
    const TIMED: &'static [&'static str] = if TIMED { &["root/a.lock"] } else { &[] };

    async fn call(&self, ctx: &Ctx, call: Call) -> Reply {
        match call {
            Call::Goroutine { name, .. } => run(ctx.clone(), name).await,
            Call::Exists { .. } => Ok(Value::Bool(ctx.choose(2).await == 1)),
            Call::Lookup { .. } => {
                acquire(ctx, &Path::new(LAYERS_LOCK), Mode::Shared, true).await?;
                ctx.read_stamp(&Path::new(LAYERS_LOCK)).await;
                Ok(Value::Text("a layer".into()))
            }
            other => Err(Fail(format!("no program: {other}"))),
        }
    }
}

/// Runs a program. A word is an operation and what it is about: `X:a` takes `a` to write, again for ever on `EDEADLK`,
/// `S:a` to read; `x:a` and `s:a` give up on `EDEADLK`; `t:a` does not wait; `U:a` closes; `P:a` probes. `ws` and `rs` write
/// and read a stamp, `wr` and `rd` a document. `took:a` notes that it has `a`, whether or not. `M m W w R r` are mutexes, `G C Z` a cell. `go:X:a+U:a` starts a goroutine.
fn run(ctx: Ctx, program: String) -> LocalFuture<Reply> {
    Box::pin(async move {
        let mut goroutines = Vec::new();
        for word in program.split_whitespace() {
            let (op, name) = word.split_once(':').unwrap_or((word, ""));
            let path = lock_path(name);
            let mutex = CellName { object: None, field: format!("{name}.mutex").into() };
            let cell: Cell<Value> = Cell::global(name);
            let document = Document { path: Path::new(format!("root/{name}.json")), lock: path.clone() };
            let known: Cell<u32> = Cell::global(format!("{name}.json"));
            match op {
                "X" => acquire(&ctx, &path, Mode::Exclusive, true).await?,
                "S" => acquire(&ctx, &path, Mode::Shared, true).await?,
                "x" => acquire(&ctx, &path, Mode::Exclusive, false).await?,
                "s" => acquire(&ctx, &path, Mode::Shared, false).await?,
                "t" => {
                    ctx.note(Note::Acquire(path.clone(), Mode::Exclusive)).await;
                    ctx.set_lock(&path, Mode::Exclusive).await.map_err(|_| Fail("EAGAIN".into()))?;
                    ctx.note(Note::Acquired(path, Mode::Exclusive)).await;
                }
                "U" => {
                    ctx.note(Note::Release(path.clone())).await;
                    ctx.close(&path).await;
                }
                "took" => ctx.note(Note::Acquired(path, Mode::Exclusive)).await,
                "P" => ctx.probe(&path, Mode::Exclusive).await,
                "ws" => {
                    let stamp = ctx.write_stamp(&path).await;
                    ctx.set(&Cell::global(format!("{name}.lw")), &stamp).await;
                }
                "rs" => {
                    let stamp = ctx.read_stamp(&path).await;
                    let lw: Cell<Value> = Cell::global(format!("{name}.lw"));
                    let known = ctx.get(&lw).await;
                    if stamp.to_value() != known {
                        ctx.set(&lw, &stamp.to_value()).await;
                    }
                }
                "rd" => {
                    let value: Option<u32> = ctx.read(&document).await;
                    ctx.set(&known, &value.unwrap_or_default()).await;
                }
                "wr" => {
                    let base: Option<u32> = ctx.get(&Cell::global(format!("{name}.json"))).await;
                    let base = base.unwrap_or_default();
                    ctx.replace(&document, &base, &((base + 1) % 3)).await;
                }
                "M" => ctx.mutex_lock(&mutex).await,
                "m" => ctx.mutex_unlock(&mutex).await,
                "W" => ctx.rw_lock(&mutex, Mode::Exclusive).await,
                "w" => ctx.rw_unlock(&mutex, Mode::Exclusive).await,
                "R" => ctx.rw_lock(&mutex, Mode::Shared).await,
                "r" => ctx.rw_unlock(&mutex, Mode::Shared).await,
                "G" => drop(ctx.get(&cell).await),
                "C" => ctx.set(&cell, &Value::Int(1)).await,
                "Z" => ctx.set(&cell, &Value::Nil).await,
                "now" => {
                    let now = ctx.now().await;
                    ctx.set(&Cell::global(name), &now).await;
                }
                "since" => {
                    let when: Instant = ctx.get(&Cell::global(name)).await;
                    let touched: Option<Mtime> = ctx.mtime(&lock_path("a")).await;
                    let since: Cell<bool> = Cell::global(format!("{name}.touched"));
                    ctx.set(&since, &touched.is_some_and(|touched| touched.is_after(when))).await;
                }
                "choose" => {
                    if ctx.choose(name.parse().unwrap_or(2)).await == 1 {
                        return Err(Fail("chosen".into()));
                    }
                }
                "panic" => ctx.panic(name).await,
                "go" => goroutines.push(ctx.spawn(&name.replace('+', " "), Value::Nil).await),
                "join" => {
                    if let Some(goroutine) = goroutines.pop() {
                        ctx.join(goroutine).await;
                    }
                }
                "loop" => {
                    let rounds = ctx.enter_loop("round");
                    loop {
                        rounds.top(()).await;
                        run(ctx.clone(), name.replace('+', " ")).await?;
                    }
                }
                other => return Err(Fail(format!("no operation is called {other}"))),
            }
        }
        Ok(Value::Nil)
    })
}

/// Takes a lock, with the notes of the lock library.
async fn acquire(ctx: &Ctx, path: &Path, mode: Mode, again: bool) -> Result<(), Fail> {
    ctx.note(Note::Acquire(path.clone(), mode)).await;
    let attempts = ctx.enter_loop("F_SETLKW");
    loop {
        attempts.top(()).await;
        match ctx.set_lock_wait(path, mode).await {
            Ok(()) => break,
            Err(_) if again => {}
            Err(_) => return Err(Fail("EDEADLK".into())),
        }
    }
    ctx.note(Note::Acquired(path.clone(), mode)).await;
    Ok(())
}

/// A store in a few lines: one lock, one stamp, one document, one cache. What [`Mini`] leaves out is in its number.
pub fn mini() -> Entry {
    Entry::of::<Mini<0>>("mini", "one lock, one document")
}

/// A write does not look whether its cache is old.
pub fn mini_without_reload() -> Entry {
    Entry::of::<Mini<NO_RELOAD>>("mini_without_reload", "a write that skips the reload")
}

/// A write leaves no stamp.
pub fn mini_without_stamp() -> Entry {
    Entry::of::<Mini<NO_STAMP>>("mini_without_stamp", "a write that leaves no stamp")
}

/// A read takes no lock.
pub fn mini_without_lock() -> Entry {
    Entry::of::<Mini<NO_LOCK>>("mini_without_lock", "a read under no lock")
}

/// A put completes its layer without a repair of what others left.
pub fn mini_without_repair() -> Entry {
    Entry::of::<Mini<NO_REPAIR>>("mini_without_repair", "incomplete layers are never removed")
}

const NO_RELOAD: u8 = 1;
const NO_STAMP: u8 = 2;
const NO_LOCK: u8 = 4;
const NO_REPAIR: u8 = 8;

#[derive(Default)]
struct Mini<const LEFT_OUT: u8>;

impl<const LEFT_OUT: u8> LockfileProtocol for Mini<LEFT_OUT> {}
impl<const LEFT_OUT: u8> LayerStoreProtocol for Mini<LEFT_OUT> {}
impl<const LEFT_OUT: u8> RecordStoreProtocol for Mini<LEFT_OUT> {}
impl<const LEFT_OUT: u8> StoreProtocol for Mini<LEFT_OUT> {
    const TIMED: &'static [&'static str] = &[];

    async fn call(&self, ctx: &Ctx, call: Call) -> Reply {
        let lock = Path::new(LAYERS_LOCK);
        let query = call.is_query();
        let locked = !(query && LEFT_OUT & NO_LOCK != 0);
        if locked {
            acquire(ctx, &lock, if query { Mode::Shared } else { Mode::Exclusive }, true).await?;
        }
        let reload = query || LEFT_OUT & NO_RELOAD == 0;
        let mut known = if reload { Self::reload(ctx).await } else { ctx.get(&Self::cache()).await };
        if !query && LEFT_OUT & NO_REPAIR == 0 && known.iter().any(|layer| layer.incomplete) {
            known.retain(|layer| !layer.incomplete);
            Self::save(ctx, &known).await;
        }
        let reply = match call {
            Call::Exists { id } => Ok(Value::Bool(layers::lookup(&known, &id).is_some())),
            Call::Layers => Ok(Value::List(known.iter().map(|layer| layer.id.to_value()).collect())),
            Call::Names { id } => {
                layers::lookup(&known, &id).map(|layer| layer.names.to_value()).ok_or_else(Fail::layer_unknown)
            }
            Call::SetNames { id, names } => {
                for layer in known.iter_mut().filter(|layer| layer.id == id) {
                    layer.names.clone_from(&names);
                }
                Self::save(ctx, &known).await;
                Ok(Value::Nil)
            }
            Call::PutLayer { id, diff, .. } => {
                known.retain(|layer| layer.id != id);
                known.push(Layer { id: id.clone(), incomplete: diff, ..Layer::default() });
                Self::save(ctx, &known).await;
                if diff {
                    known.iter_mut().for_each(|layer| layer.incomplete &= layer.id != id);
                    Self::save(ctx, &known).await;
                }
                Ok(Value::Text(id))
            }
            other => Err(Fail(format!("no call of mini: {other}"))),
        };
        if locked {
            ctx.note(Note::Release(lock.clone())).await;
            ctx.close(&lock).await;
        }
        reply
    }
}

impl<const LEFT_OUT: u8> Mini<LEFT_OUT> {
    fn cache() -> Cell<Layers> {
        Cell::global("cache")
    }

    fn document() -> Document {
        Document { path: Path::new(LAYERS), lock: Path::new(LAYERS_LOCK) }
    }

    async fn reload(ctx: &Ctx) -> Layers {
        let lw: Cell<Value> = Cell::global("lw");
        let stamp = ctx.read_stamp(&Path::new(LAYERS_LOCK)).await.to_value();
        if ctx.get(&lw).await != stamp {
            let layers: Layers = ctx.read(&Self::document()).await;
            ctx.set(&Self::cache(), &layers).await;
            ctx.set(&Cell::global("base"), &layers).await;
            ctx.set(&lw, &stamp).await;
        }
        ctx.get(&Self::cache()).await
    }

    async fn save(ctx: &Ctx, layers: &Layers) {
        let base: Layers = ctx.get(&Cell::global("base")).await;
        ctx.replace(&Self::document(), &base, layers).await;
        ctx.set(&Cell::global("base"), layers).await;
        ctx.set(&Self::cache(), layers).await;
        if LEFT_OUT & NO_STAMP == 0 {
            let stamp = ctx.write_stamp(&Path::new(LAYERS_LOCK)).await;
            ctx.set(&Cell::global("lw"), &stamp).await;
        }
    }
}
