//! Every receiver sees every item; a receiver may follow others.
//!
//! ```
//! use ringbolt::ring::RingOptions;
//!
//! // Two receivers beside each other, and one that gets each item after both of them.
//! let mut ring = RingOptions::new(1024).broadcast::<u64>()?;
//! let (mut parse, mut store) = (ring.receiver(), ring.receiver());
//! let mut reply = ring.receiver_after(&[&parse, &store])?;
//! let mut sender = ring.single()?; // or `multi`, for many senders
//!
//! let threads = [
//!     std::thread::spawn(move || parse.for_each(|_item| { /* .. */ })),
//!     std::thread::spawn(move || store.for_each(|_item| { /* .. */ })),
//! ];
//! for number in 0..1000 {
//!     sender.send(number).unwrap();
//! }
//! drop(sender); // closes the ring: the receivers end when they have seen everything
//! let mut sum = 0;
//! reply.for_each(|number| sum += number);
//! assert_eq!(sum, 499_500);
//! threads.map(|thread| thread.join().unwrap());
//! # Ok::<(), ringbolt::Error>(())
//! ```
//!
//! # Contract
//!
//! Items are lent to the receivers where they lie: [`Receiver::recv`] and [`Receiver::drain`] give
//! guards, and a place is given back when its guard is dropped. A place is written anew when all
//! receivers have given it back; until then senders wait, or are told [`Refused::Full`]. So the
//! slowest receiver gates the senders, and nobody misses anything.
//!
//! A receiver made with [`Builder::receiver_after`] gets an item when all of those that it follows have
//! given it back, and sees what they did with it. Receivers are made before the ring is built, and
//! never afterwards: a ring has the receivers that it was built with.
//!
//! Items are shared between threads by reference and dropped by a sender, so they must be
//! `Send + Sync` for handles to change threads. **An item is dropped when its place is used again, or
//! with the ring**: not when the last receiver has seen it. A drop that panics does so in the
//! sender's call, whose item is then not sent.
//!
//! ```compile_fail
//! fn sends<T: Send>() {}
//! sends::<ringbolt::ring::broadcast::Receiver<std::cell::Cell<u8>>>(); // not `Sync`
//! ```
//! ```compile_fail
//! fn sends<T: Send>() {}
//! sends::<ringbolt::ring::broadcast::Sender<std::sync::MutexGuard<'static, u8>>>(); // not `Send`
//! ```
//! ```compile_fail
//! fn sends<T: Send>() {}
//! sends::<ringbolt::ring::broadcast::MultiSender<std::rc::Rc<u8>>>(); // neither
//! ```
//! ```compile_fail
//! let (mut sender, [mut receiver]) = ringbolt::ring::broadcast::ring::<u8, 1>(4).unwrap();
//! sender.send(1).unwrap();
//! let drain = receiver.drain(1).unwrap();
//! let kept = drain.iter().next().unwrap();
//! drop(drain); // gives the place back
//! assert_eq!(*kept, 1);
//! ```
//!
//! # Handles that go
//!
//! The last sender that is dropped closes the ring, and so does the last receiver. A receiver that is
//! dropped gates nobody any more: those that followed it follow, from then on, what it had followed,
//! and get items that it has never seen. A receiver that is forgotten (`mem::forget`) gates for ever;
//! so does a guard, until its receiver's next call, or its drop. `stats()` shows it: `received` stands still.
//!
//! # Progress
//!
//! With one sender: `try_send`, `try_claim`, commit, `try_recv`, `try_drain` and giving back are
//! wait-free (but for waking a sleeper, which takes a short lock, and for the drop of a receiver), in time
//! that grows with the number of receivers that are followed or gate. With many senders, claiming
//! is lock-free.
//!
//! A stalled receiver lets the ring fill, and stalls those that follow it. A stalled sender stalls nobody
//! if it is the one sender. One of many that stalls while it has a claim stalls all receivers at its
//! place, and in the end, when the ring is full, all senders: with many senders, receiving is not
//! lock-free. A claim that is forgotten stalls them for ever: `sent` then stays ahead of `received`. A
//! claim that is dropped leaves a hole, which the receivers skip. A forgotten claim of the one
//! sender has sent nothing, and its room is claimed anew. Its items are leaked.
//!
//! # Algorithm
//!
//! The LMAX Disruptor (Thompson, Farley, Barker, Gee, Stewart, 2011). Each party keeps a copy of what gates
//! it, and looks up the others' sequences only when the copy says full, or empty. One sender
//! publishes its tail. Many senders claim the tail with a compare-and-swap and publish with stamps, the first
//! of a claim's last: who sees that one sees all of the claim.
//!
//! ```text
//!           slowest leaf              done of a                 tail
//!               ▼                         ▼                      ▼
//!   ┌────┬────┬────┬────┬────┬────┬────┬────┬────┬────┬────┬────┬────┐  place p lies in slot p mod capacity;
//!   │free│free│ c's│ .. │ c's│ b's│ .. │ a's│ .. │ .. │ .. │ .. │free│  c follows a and b; a place is c's
//!   └────┴────┴────┴────┴────┴────┴────┴────┴────┴────┴────┴────┴────┘  when a and b have passed it
//!
//!   stamp of a slot (many senders):  ┌──────────────────────────────┬──────┬──────┐
//!                                    │ place that it is published as│ skip │ item │
//!                                    └──────────────────────────────┴──────┴──────┘
//!                                     63                           2      1      0
//! ```
//!
//! [`Refused::Full`]: crate::ring::Refused::Full

mod lent;
mod multi;
mod receiver;
mod shared;
mod single;
mod station;

use std::fmt;

pub use lent::{Drain, Iter, Ref};
pub use multi::{MultiClaim, MultiSender};
pub use receiver::Receiver;
pub use single::{Claim, Sender};

use self::shared::Shared;
use self::station::StationRef;
use super::RingOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Arc;

/// A ring of at least `capacity` items (rounded up to a power of two), with one sender, `N` receivers
/// beside each other, and default options.
///
/// # Errors
///
/// [`Invalid`](ErrorKind::Invalid) for no capacity, more than 2^31 items, or no receivers;
/// [`OverBudget`](ErrorKind::OverBudget) where there is no memory for so many.
pub fn ring<T, const N: usize>(capacity: usize) -> Result<(Sender<T>, [Receiver<T>; N])> {
    let mut ring = RingOptions::new(capacity).broadcast()?;
    let receivers = std::array::from_fn(|_| ring.receiver());
    Ok((ring.single()?, receivers))
}

impl RingOptions {
    /// A ring in which every receiver sees every item; see [`broadcast`](crate::ring::broadcast).
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for no capacity or more than 2^31 items,
    /// [`OverBudget`](ErrorKind::OverBudget) where there is no memory for so many.
    pub fn broadcast<T>(&self) -> Result<Builder<T>> {
        Ok(Builder {
            shared: Arc::new(Shared::new(self)?),
            is_built: false,
        })
    }
}

/// A broadcast ring whose receivers are being made. Ends with [`Builder::single`] or
/// [`Builder::multi`]; until then there is nothing to receive. Dropped without, it closes the ring.
pub struct Builder<T> {
    shared: Arc<Shared<T>>,
    is_built: bool,
}

impl<T> Builder<T> {
    /// A receiver that gets each item as soon as it is sent.
    pub fn receiver(&mut self) -> Receiver<T> {
        self.add(Vec::new())
    }

    /// A receiver that gets each item when all of `before` have given it back. With none of them it is
    /// as if made with [`Builder::receiver`].
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if one of them is another ring's.
    pub fn receiver_after(&mut self, before: &[&Receiver<T>]) -> Result<Receiver<T>> {
        let after: Vec<StationRef> = (before.iter())
            .map(|receiver| receiver.station.clone())
            .collect();
        let topology = self.shared.topology.lock();
        if !after.iter().all(|station| topology.contains(station)) {
            let error = Error::new(
                ErrorKind::Invalid,
                "a receiver can only follow receivers of its own ring",
            );
            return Err(error.remedy("make all receivers with the same builder"));
        }
        drop(topology);
        Ok(self.add(after))
    }

    fn add(&mut self, after: Vec<StationRef>) -> Receiver<T> {
        let mut topology = self.shared.topology.lock();
        let station = topology.add(self.shared.first, after.clone());
        drop(topology);
        Receiver::new(Arc::clone(&self.shared), station, after)
    }

    /// The ring, with one sender.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if there is no receiver.
    pub fn single(mut self) -> Result<Sender<T>> {
        let leaves = self.leaves()?;
        self.is_built = true;
        Ok(Sender::new(Arc::clone(&self.shared), leaves))
    }

    /// The ring, with a sender that can be cloned. Each item costs a few bytes more, and a
    /// compare-and-swap when it is sent.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) if there is no receiver,
    /// [`OverBudget`](ErrorKind::OverBudget) where there is no memory for the stamps.
    pub fn multi(mut self) -> Result<MultiSender<T>> {
        let leaves = self.leaves()?;
        self.shared.stamp()?;
        self.is_built = true;
        Ok(MultiSender::new(Arc::clone(&self.shared), leaves))
    }

    fn leaves(&self) -> Result<Vec<StationRef>> {
        let leaves = self.shared.topology.lock().leaves();
        if leaves.is_empty() {
            let error = Error::new(ErrorKind::Invalid, "a broadcast ring without receivers");
            return Err(error.remedy("make receivers before the sender, and keep them"));
        }
        Ok(leaves)
    }
}

impl<T> Drop for Builder<T> {
    fn drop(&mut self) {
        if !self.is_built {
            self.shared.close();
        }
        self.shared.receiver_went();
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Builder")
            .field("capacity", &self.shared.capacity())
            .finish_non_exhaustive()
    }
}
