//! One sender, any number of receivers, each of which sees every item that it is fast enough for.
//!
//! The sender never waits: it overwrites the oldest item, whether all have seen it or not. A receiver
//! that was overrun is told how many items it missed, exactly, and goes on with the oldest that is
//! still there. Receivers come and go at any time. For market data, telemetry, state: where the
//! newest counts, and where one slow reader must not hold up the others.
//!
//! ```
//! use ringbolt::ring::lossy::{self, RecvError};
//!
//! let mut sender = lossy::ring::<u64>(4)?;
//! let mut receiver = sender.subscribe();
//! for number in 0..10 {
//!     sender.send(number).unwrap();
//! }
//! assert_eq!(receiver.try_recv(), Err(RecvError::Missed(6)));
//! assert_eq!(receiver.try_recv(), Ok(6));
//! drop(sender); // closes the ring: what is inside can still be received
//! assert_eq!(receiver.iter().map(Result::unwrap).collect::<Vec<_>>(), [7, 8, 9]);
//! assert_eq!((receiver.received(), receiver.missed()), (4, 6));
//! # Ok::<(), ringbolt::Error>(())
//! ```
//!
//! # Which types
//!
//! An item is copied bit by bit, and possibly while it is overwritten (then the copy is thrown away).
//! For that to be sound under Rust's memory model, the bits travel through atomic words, and each of
//! them must have a value: no padding, no pointers. That is what [`NoUninit`] of the `bytemuck`
//! crate says, which numbers, `bool`, `char` and arrays of them have, and which
//! `#[derive(bytemuck::NoUninit)]` (its feature `derive`) proves for types of one's own. It is the
//! whole bound: not every pattern of bits needs to be a `T`, since only those are handed out that
//! were sent as one. A trait of our own would ask each user for an `unsafe impl` instead.
//!
//! ```
//! #[derive(Clone, Copy, bytemuck::NoUninit)]
//! #[repr(C)]
//! struct Quote {
//!     price: u64,
//!     volume: u64,
//! }
//! let mut sender = ringbolt::ring::lossy::ring(1024)?;
//! sender.send(Quote { price: 7, volume: 1 }).ok();
//! # Ok::<(), ringbolt::Error>(())
//! ```
//!
//! ```compile_fail
//! // Not a value that can be copied bit by bit.
//! ringbolt::ring::lossy::ring::<String>(4);
//! ```
//!
//! ```compile_fail
//! #[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
//! #[repr(transparent)]
//! struct OfThisThread(std::marker::PhantomData<*const ()>);
//! // Receivers give out copies in other threads.
//! ringbolt::ring::lossy::ring::<OfThisThread>(4);
//! ```
//!
//! # Progress
//!
//! `send` is wait-free, `send_all` for each item; `try_recv` and each item of `try_drain` are
//! wait-free: one that was overrun returns and says so, instead of trying again. (Waking sleepers
//! takes a short lock.) A stalled receiver stalls nobody. A stalled sender stalls no receiver:
//! they get what was sent before, but for the one item that it is overwriting. A receiver that is
//! slower than the sender for good reads the oldest item, the one that is overwritten next, and may
//! be overrun again and again: see [`Receiver::skip_to_newest`].
//!
//! # Algorithm
//!
//! A sequence lock in each slot, after Boehm, "Can seqlocks get along with programming language
//! memory models?" (2012): payload in relaxed atomic words between two looks at the slot's number.
//!
//! ```text
//!              number      words of the item
//!            ┌───────────┬─────┬─────┬─────┐   place p lies in slot p mod capacity;
//!   slot 0   │ 2p + 1    │ ... │ ... │ ... │   2p + 1: holds the item of place p
//!            ├───────────┼─────┼─────┼─────┤   2p:     is being overwritten with it
//!   slot 1   │ 2(p + 1)  │ ... │ ... │ ... │
//!            └───────────┴─────┴─────┴─────┘   (all modulo 2^64)
//!
//!   sender:   number = 2p │ release fence │ words │ number = 2p + 1, release
//!   receiver: number, acquire │ words │ acquire fence │ number again: the same?
//! ```

pub use bytemuck::NoUninit;
use crossbeam_utils::CachePadded;

use self::cells::Cells;
pub use self::drain::Drain;
pub use self::outcome::{Missed, RecvError, Stats};
pub use self::receiver::Receiver;
pub use self::sender::Sender;
use super::RingOptions;
use super::side::Side;
use crate::error::Result as RingboltResult;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

mod cells;
mod drain;
mod outcome;
mod receiver;
mod sender;

/// A ring of at least `capacity` items (rounded up to a power of two), with default options.
/// Receivers come with [`Sender::subscribe`].
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) for no capacity or more than 2^31 items,
/// [`OverBudget`](crate::ErrorKind::OverBudget) where there is no memory for so many.
pub fn ring<T: NoUninit + Send>(capacity: usize) -> RingboltResult<Sender<T>> {
    RingOptions::new(capacity).lossy()
}

impl RingOptions {
    /// A ring whose sender overwrites what slow receivers have not seen; see
    /// [`lossy`](crate::ring::lossy).
    ///
    /// # Errors
    ///
    /// Those of [`lossy::ring`](ring).
    pub fn lossy<T: NoUninit + Send>(&self) -> RingboltResult<Sender<T>> {
        let shared = Arc::new(Shared {
            cells: Cells::new(self.capacity()?, self.first)?,
            closed: AtomicBool::new(false),
            receivers: Side::new(self.wait),
            first: self.first,
            tail: CachePadded::new(AtomicU64::new(self.first)),
            missed: CachePadded::new(AtomicU64::new(0)),
            count: AtomicU64::new(0),
        });
        Ok(Sender {
            shared,
            tail: self.first,
        })
    }
}

struct Shared<T> {
    cells: Cells<T>,
    closed: AtomicBool,
    receivers: Side,
    first: u64,
    /// The place of the next item, as far as it is told: where new receivers begin, and where
    /// overrun ones look what is left.
    tail: CachePadded<AtomicU64>,
    /// Items that receivers missed, all together.
    missed: CachePadded<AtomicU64>,
    /// Receivers that there are. Beside `missed`: neither changes often.
    count: AtomicU64,
}

impl<T> Shared<T> {
    fn close(&self) {
        // ORDERING: pairs with the acquire in `Receiver::peek`: what the closing sender sent is seen.
        // No model kills it: there `notify_each` behind each item is a full fence. Elsewhere that is
        // the compiler's alone.
        self.closed.store(true, Ordering::Release);
        self.receivers.notify_all();
    }

    fn stats(&self) -> Stats {
        Stats {
            capacity: self.cells.capacity() as usize,
            receivers: self.count.load(Ordering::Relaxed) as usize,
            sent: self.tail.load(Ordering::Relaxed).wrapping_sub(self.first),
            missed: self.missed.load(Ordering::Relaxed),
            waits: self.receivers.waits(),
        }
    }
}
