//! The locking protocol of containers/storage, as it was released and as it was proposed.
//!
//! Four traits follow the Go files: [`LockfileProtocol`] is `pkg/lockfile`, [`LayerStoreProtocol`] is `layers.go`,
//! [`RecordStoreProtocol`] is `images.go` and `containers.go`, [`StoreProtocol`] is `store.go`, of which the calls on images,
//! containers and mounts are in [`images`], [`containers`] and [`mounts`], what is looked up and changed under the layers lock in
//! [`lookups`] and [`changes`], and the reading of additional stores in [`additional`]. Their provided methods are the code at
//! commit 9f889830f, which is release 1.24.8.
//! A version that differs overrides the functions that its change touches, and says nothing else: see [`pr_473`].
//! So does a contributor's own, in their own crate. Release 1.45 changed so much that what has been since then has traits
//! of its own, in [`rework`].

pub mod additional;
pub mod before_493;
pub mod calls;
pub mod changes;
pub mod containers;
pub mod copy_then_unlock;
pub mod images;
pub mod layer_store;
pub mod layers;
pub mod layers_ro_lock;
pub mod lockfile;
pub mod lookups;
pub mod mounts;
pub mod one_way_upgrade;
pub mod per_layer_locks;
pub mod pr_473;
pub mod read_only_option;
pub mod record_store;
pub mod rework;
pub mod store;
pub mod v1_24;
pub mod v1_43;
pub mod v1_45;
pub mod v1_48;
pub mod v1_57;

pub use layer_store::{LayerStore, LayerStoreProtocol};
pub use layers::{Layer, Layers};
pub use lockfile::{Lockfile, LockfileProtocol};
pub use record_store::{Record, RecordStore, RecordStoreProtocol, Records};
pub use store::StoreProtocol;

use crate::call::{Call, Fail, Reply, StoreId};
use crate::ctx::{Ctx, LocalFuture};
use crate::mutation::Mutation;

/// What a call comes to inside a protocol.
pub type Go<T> = Result<T, Fail>;

/// A protocol as engines see it: a name, and a way to start a call.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name: `v1_24`.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Starts a call with a freshly built protocol value.
    pub start: fn(Ctx, Call) -> LocalFuture<Reply>,
    /// The files whose time it asks for; time is kept for these alone.
    pub timed: &'static [&'static str],
    /// Whether its stores are opened with an option that is to keep them from writing.
    pub read_only: bool,
    /// What is changed about it, of a mutant.
    pub mutation: Option<&'static Mutation>,
}

impl Entry {
    /// The entry of a protocol.
    #[must_use]
    pub fn of<P: StoreProtocol + Default + 'static>(name: &'static str, summary: &'static str) -> Self {
        let start = |ctx: Ctx, call: Call| -> LocalFuture<Reply> {
            Box::pin(async move {
                match call {
                    Call::On { store: StoreId::Second(_), of } if !P::STORES_BY_RUN_ROOT => {
                        P::default().call(&ctx, *of).await
                    }
                    Call::On { store, of } => P::default().call(&ctx.on_store(store), *of).await,
                    call => P::default().call(&ctx, call).await,
                }
            })
        };
        Self { name, summary, start, timed: P::TIMED, read_only: P::READ_ONLY, mutation: None }
    }
}

/// The protocols of this crate: releases, oldest first, each followed by what was proposed to change it.
#[must_use]
pub fn all() -> Vec<Entry> {
    vec![
        before_493::entry(),
        read_only_option::entry(),
        v1_24::entry(),
        layers_ro_lock::entry(),
        pr_473::entry(),
        one_way_upgrade::entry(),
        per_layer_locks::entry(),
        copy_then_unlock::entry(),
        v1_43::entry(),
        v1_45::entry(),
        v1_48::entry(),
        v1_57::entry(),
    ]
}

/// The protocol of this crate with that name.
#[must_use]
pub fn by_name(name: &str) -> Option<Entry> {
    all().into_iter().find(|entry| entry.name == name)
}
