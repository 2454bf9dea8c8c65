//! What the operations mean: the kernel's record locks, Go's mutexes, files, clocks. Each rule with its source.

pub mod locks;
pub mod memory;
