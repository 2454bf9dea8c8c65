//! Engines that run the futures of a protocol themselves, beside the explorer: a second opinion on the same text.

pub mod loom;
