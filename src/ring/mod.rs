//! Queues between threads: bounded rings in memory, which know nothing of files.
//!
//! | ring | senders | receivers | each item goes to |
//! | --- | --- | --- | --- |
//! | [`spsc`] | one | one | the receiver |
//! | [`mpsc`] | many | one | the receiver |
//! | [`mpmc`] | many | many | one of the receivers |
//! | [`broadcast`] | one, or many | many, that may follow each other | all of the receivers |
//! | [`bytes::spsc`], [`bytes::mpsc`] | one, many | one | the receiver; items are records of bytes, of any length |
//! | [`lossy`] | one | many | every receiver that is fast enough; others are told what they missed |
//!
//! # One vocabulary
//!
//! All of them speak alike. Each way to send and to receive has four forms: `try_` returns at once,
//! the plain one blocks, `_deadline` blocks until then, `_async` gives a future for any executor.
//!
//! | to | calls |
//! | --- | --- |
//! | send one | `send(item)`; `send_with(|| item)` builds it in the ring |
//! | send many, which become visible together | `claim(n)` gives a guard: `push` each, `commit`; a guard that is dropped sends nothing |
//! | receive one | `recv()` |
//! | receive many | `drain(max)` gives an iterator over what is there, at least one |
//! | iterate | `iter()` until the ring is closed and empty, `try_iter()` until it is empty |
//! | end it | `close()` on either side, or drop all handles of one: sending is refused, what is inside can still be received |
//! | look | `len()`, `capacity()`, `stats()` |
//!
//! [`select`] waits on several rings at once; [`ReadyFd`] and [`Watch`] tie a ring to someone's own
//! event loop.
//!
//! A ring holds a number of items, rounded up to a power of two. How its threads wait is a
//! [`WaitStrategy`], set with [`RingOptions`].
//!
//! # What a stalled thread does to the others
//!
//! Each ring's page says which of its calls are wait-free, lock-free, or neither. Sleeping and
//! waking take a short lock, on the slow path alone. An attempt that has caught up with the other side, or
//! lost to a sibling, may pause for a microsecond or so, so that the others get on meanwhile; it waits for
//! nobody.

pub mod broadcast;
pub mod bytes;
mod forms;
mod handle;
pub mod lossy;
pub mod mpmc;
pub mod mpsc;
mod multi;
mod options;
mod outcome;
mod ready_fd;
pub mod select;
mod side;
mod slip;
mod slots;
pub mod spsc;
#[cfg(any(test, ringbolt_loom))]
#[doc(hidden)]
pub mod tokens;
mod watch;
mod words;

pub use options::{RingOptions, WaitStrategy};
pub use outcome::{RecvError, Refused, SendError};
pub use ready_fd::ReadyFd;
pub use select::{Ready, Selector};
pub use side::Waits;
pub use watch::Watch;

/// What a ring has been through, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingStats {
    /// Items that the ring has room for.
    pub capacity: usize,
    /// Items inside, about: other threads go on meanwhile.
    pub len: usize,
    /// Places that were claimed by senders since the ring was made; abandoned ones count.
    pub sent: u64,
    /// Places that were taken by receivers.
    pub received: u64,
    /// How often senders waited for room.
    pub senders: Waits,
    /// How often receivers waited for items.
    pub receivers: Waits,
}
