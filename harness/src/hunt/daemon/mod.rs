//! A long-lived process among the participants: the Go library in our driver ([`crate::library`]), which makes the calls
//! that its goroutines are told to make.
//!
//! To tell a goroutine its next call is a step of the schedule, and so is the end of the process's input. Each goroutine is
//! a [`Unit`](super::step::Unit) of its own: it stays on one thread, so that we know whose a system call is. What one
//! goroutine waits for inside the process is not seen: it has been told a call, gives no answer, and everything rests.
//!
//! | module | subject |
//! | --- | --- |
//! | [`script`] | what is called, as text |
//! | [`mod@line`] | the pipes to a process, what it was told and what it answered |
//! | `judge` | what must hold of the calls: the same that must hold of commands |
//! | [`draw`] | scripts drawn at random |
//! | `killing` | who is killed on the way, and when |
//! | [`search`] | what random scripts show |

pub mod draw;
pub mod script;
pub mod search;

pub(super) mod judge;
mod killing;
pub mod line;
