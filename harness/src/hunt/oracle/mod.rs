//! What must hold of every execution. None of it knows a particular fault.
//!
//! | module | property | what it says |
//! | --- | --- | --- |
//! | [`linear`] | `linearizable` | answers and store are explained by some order of the atomic sections of the commands |
//! | [`linear`] | `atomic` | … but by no order of whole commands: some command is several sections by design |
//! | [`store`] | `whole` | nothing half-made is left that no order of the commands leaves |
//! | `made` | `acknowledged` | what a call says that it has made is there at the end, if nobody removes anything |
//! | `made` | `half-made` | nothing is built upon a layer that is not complete |
//! | [`lock_order`] | `lock-order` | locks are taken in one order, over all runs |
//! | [`stamped`] | `stamped` | who replaces a document writes the stamp of its lock before releasing it |
//!
//! `serial` (of [`super::outcome`]) stands in for the first two where a command is not modelled.

pub mod linear;
pub mod lock_order;
pub mod stamped;
pub mod store;

mod call;
mod command;
pub(super) mod made;
mod section;
