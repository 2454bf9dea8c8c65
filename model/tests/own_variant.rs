//! A contributor's own variant, as README.md shows it: one step is replaced, the rest is the release.

// README: begin
use lockproof_model::call::Call;
use lockproof_model::ctx::Ctx;
use lockproof_model::engine::loom::{self, LoomOptions};
use lockproof_model::explore::{Options, check};
use lockproof_model::op::Path;
use lockproof_model::property::Property;
use lockproof_model::protocol::{
    Entry, Layer, LayerStoreProtocol, Lockfile, LockfileProtocol, RecordStoreProtocol, StoreProtocol,
};
use lockproof_model::system::{Process, Repeat, System, Thread};
use lockproof_model::value::Datum;
use lockproof_model::verdict::Verdict;

/// Release 1.24.8, but `Touch` leaves no stamp.
#[derive(Default)]
struct WithoutStamp;

impl LockfileProtocol for WithoutStamp {
    async fn touch(&self, ctx: &Ctx, lock: &Lockfile) {
        if !self.locked(ctx, lock).await {
            ctx.panic::<()>("attempted to update last-writer in lockfile without the write lock").await;
        }
        // and no `ctx.write_stamp(&lock.path).await`
    }
}
impl LayerStoreProtocol for WithoutStamp {}
impl RecordStoreProtocol for WithoutStamp {}
impl StoreProtocol for WithoutStamp {}

fn process(name: &str, script: Vec<Call>) -> Process {
    let threads = vec![Thread { script, repeat: Repeat::Times(1) }];
    let protocol = Entry::of::<WithoutStamp>("without_stamp", "a write that leaves no stamp");
    Process { name: name.into(), protocol, before: vec![], threads, runs: Repeat::Times(1), may_crash: false }
}

/// Who lists the names twice, beside who changes them.
fn system() -> System {
    let base = Layer { id: "base".into(), names: vec!["foo".into()], ..Layer::default() };
    let names = || Call::Names { id: "base".into() };
    let rename = Call::SetNames { id: "base".into(), names: vec!["bar".into()] };
    System {
        documents: vec![(Path::new("root/vfs-layers/layers.json"), vec![base].to_value())],
        stamped: ["root/vfs-layers/layers.lock", "run/vfs-layers/mountpoints.lock"].map(Path::new).to_vec(),
        aliases: vec![],
        processes: vec![process("reader", vec![names(), names()]), process("writer", vec![rename])],
        crashes: 0,
        fine_times: false,
    }
}

#[test]
fn a_write_without_a_stamp_is_not_noticed() {
    let report = check(&system(), &[Property::Fresh], &Options::default(), &|| false).expect("no mistake of ours");
    assert_eq!(report.findings[0].verdict, Verdict::Violated);
    assert_eq!(report.findings[0].detail, "`names base` returns [foo], but all the while the answer was [bar]");
}

#[test]
fn loom_finds_it_too() {
    let options = LoomOptions { preemption_bound: Some(2), ..LoomOptions::default() };
    let report = loom::check(&system(), &[Property::Fresh], &options).expect("no mistake of ours");
    assert_eq!(report.findings[0].verdict, Verdict::Violated);
    assert_eq!(report.findings[0].detail, "`names base` returns [foo], but all the while the answer was [bar]");
}
// README: end

/// What README.md shows is this file.
#[test]
fn the_readme_shows_this_variant() {
    let (readme, here) = (include_str!("../../README.md"), include_str!("own_variant.rs"));
    let begin = here.find("// README: begin\n").expect("a beginning") + "// README: begin\n".len();
    let end = here.find("// README: end").expect("an end");
    assert!(readme.contains(&format!("```rust\n{}```\n", &here[begin..end])));
}
