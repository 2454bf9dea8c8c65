//! The locking protocol of containers/storage, and the engines that explore it.
#![forbid(unsafe_code)]

pub mod automaton;
pub mod call;
pub mod ctx;
pub mod engine;
pub mod explore;
pub mod export;
pub mod machine;
pub mod monitor;
pub mod mutation;
pub mod op;
pub mod plain;
pub mod property;
pub mod protocol;
pub mod schedule;
pub mod second_store;
pub mod state;
pub mod step;
pub mod system;
pub mod times;
pub mod trace;
pub mod value;
pub mod verdict;
pub mod witness;
pub mod world;
