//! Random scenarios, on which every engine checks the others.
//!
//! [`random`] draws a scenario, [`compare`](compare::compare) says where two engines cannot both be right about it, and
//! [`smaller`](smaller::smaller) makes it small; [`strategy`] joins the first and the last for proptest. A [`campaign`]
//! does so for a night, and keeps in a [`corpus`] what it has found.
#![forbid(unsafe_code)]

pub mod campaign;
pub mod compare;
pub mod corpus;
pub mod failure;
mod files;
mod hash;
pub mod random;
pub mod smaller;
pub mod strategy;
pub mod tally;
mod tidy;
