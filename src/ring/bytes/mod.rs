//! Rings of bytes: records of any length, filled in place and read in place.
//!
//! | ring | senders | receivers |
//! | --- | --- | --- |
//! | [`spsc`] | one | one |
//! | [`mpsc`] | many | one |
//!
//! # Contract
//!
//! - A record is a slice of bytes, zero or more of them, and always in one piece. Its first byte is
//!   aligned to 8.
//! - The capacity is in bytes, rounded up to a power of two: 64 at least, 2^31 at most. A record takes
//!   8 bytes more than its length, rounded up to a multiple of 8.
//! - A record may take half of the capacity: `payload_bytes_max()` is `capacity() / 2 - 8`, and more is
//!   [`Refused::TooLarge`]. Whatever is not too large can be sent into an empty ring, wherever its
//!   indices stand: where the rest of a lap is too short, it becomes padding, and the record begins
//!   the next lap.
//! - A record is sent with a copy (`send`), by a closure that writes it in place (`send_with`), or by
//!   a guard (`claim`, then `commit`). Nothing is seen of it before. Several can be sent together, seen
//!   all or none (`claim_batch`; `batch` with one sender).
//! - `recv` gives a guard that dereferences to the record; dropping it gives its room back. `drain` reads
//!   many in place, and gives their room back in few steps.
//! - Either side may close the ring. What is inside can still be received.
//! - `len` and [`RingStats`] count bytes, headers and padding among them.
//!
//! Senders that wait are woken when there is room for what they need; those that need more sleep on. A
//! sender that needs much may wait for as long as others take what becomes free. In a
//! [`Selector`](crate::ring::Selector) a sender is ready when the smallest record has room.
//!
//! Each ring's page says what is wait-free, what is lock-free, and what a stalled thread does to the
//! others. No guard that is forgotten (`mem::forget`) makes the ring give wrong bytes, or the same
//! record twice.
//!
//! # Layout
//!
//! ```text
//!        given back                                claimed
//!          head                                     tail
//!           ▼                                        ▼
//!   ┌───────┬───┬─────────┬───┬──────┬───┬───────────┬──────────────┐
//!   │ free  │ H │ payload │ H │ pay. │ H │ padding   │ free         │   position p lies at byte
//!   └───────┴───┴─────────┴───┴──────┴───┴───────────┴──────────────┘   p mod capacity
//! ```
//!
//! A header H is one word: the length, and whether it is a record or padding. A single sender commits
//! with its tail. Many commit each record by its header, whose store, with release, is the commit: it
//! is zero before, since the receiver zeroes what it has read before it gives it back, and looks at the
//! header at its head and nowhere else. So no payload of an earlier lap is ever taken for a header.
//!
//! [`Refused::TooLarge`]: crate::ring::Refused::TooLarge
//! [`RingStats`]: crate::ring::RingStats

mod forms;
mod layout;
mod memory;
pub mod mpsc;
mod receiver;
mod shared;
pub mod spsc;

pub use receiver::{Drain, Receiver, Record};
