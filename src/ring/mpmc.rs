//! Many senders, many receivers; each item goes to one of them.
//!
//! ```
//! let (sender, receiver) = ringbolt::ring::mpmc::ring::<u64>(1024)?;
//! let workers: Vec<_> = (0..2)
//!     .map(|_| {
//!         let receiver = receiver.clone();
//!         std::thread::spawn(move || receiver.iter().sum::<u64>())
//!     })
//!     .collect();
//! for number in 0..1000 {
//!     sender.send(number).unwrap();
//! }
//! drop(sender); // the last one closes the ring
//! let sum: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
//! assert_eq!(sum, 499_500);
//! # Ok::<(), ringbolt::Error>(())
//! ```
//!
//! # Order
//!
//! Items are taken in the order in which their places were claimed. Those of one sender that one
//! receiver gets, it gets in the order in which they were sent.
//!
//! # Progress
//!
//! Claiming and taking a place are lock-free: a thread that fails has lost to one that got on. The
//! ring as a whole is not: between claiming a place and committing it a stalled sender hides what
//! lies behind it from the receivers (`try_recv` says [`RecvError::Empty`]), and between taking a
//! place and freeing it a stalled receiver keeps the senders from going beyond it one lap later
//! (`try_send` says [`Refused::Full`]). No call waits for another thread for longer than a bounded
//! spin unless it is one of the blocking ones. A claim that is forgotten (`mem::forget`) hides what is
//! behind it for good, a drain that is forgotten fills the ring for good: [`Sender::stats`] then shows
//! items inside, and receivers that wait.
//!
//! # Threads
//!
//! Handles change threads, and are shared between them, where the items change threads.
//!
//! ```compile_fail,E0277
//! fn sends<T: Send>() {}
//! sends::<ringbolt::ring::mpmc::Sender<std::rc::Rc<u8>>>();
//! ```
//!
//! ```compile_fail,E0277
//! fn sends<T: Send>() {}
//! sends::<ringbolt::ring::mpmc::Receiver<std::rc::Rc<u8>>>();
//! ```
//!
//! # Algorithm
//!
//! From Dmitry Vyukov's bounded MPMC queue (2010): each slot has a stamp that says which place was
//! committed in it; see the drawing in `ring/multi.rs`. There the receivers write to the same stamp to
//! free a slot, and so take its line from the sender that is about to fill its neighbour. Here each
//! slot's next place lies elsewhere, densely, and a sender reads it ahead: once for many places. Added
//! are claims of many places, holes, and closing.

use std::fmt;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::forms::{looking, receiving, sending};
use super::handle::Handle;
pub use super::multi::Claim;
use super::multi::{
    Pace, Place, Slot, State, Tail, after, committed, distance, first_lap, first_place,
};
use super::side::Side;
use super::slip::Slip;
use super::slots::{Slots, drop_all};
use super::{RecvError, Refused, RingOptions, RingStats, SendError};
use crate::error::Result as RingboltResult;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A ring of at least `capacity` items (rounded up to a power of two), with default options.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) for no capacity or more than 2^31 items,
/// [`OverBudget`](crate::ErrorKind::OverBudget) where there is no memory for so many.
pub fn ring<T>(capacity: usize) -> RingboltResult<(Sender<T>, Receiver<T>)> {
    RingOptions::new(capacity).mpmc()
}

impl RingOptions {
    /// A ring with many senders and many receivers; see [`mpmc`](crate::ring::mpmc).
    ///
    /// # Errors
    ///
    /// Those of [`mpmc::ring`](ring).
    pub fn mpmc<T>(&self) -> RingboltResult<(Sender<T>, Receiver<T>)> {
        let first = after(self.first, 0);
        let capacity = self.capacity()?;
        let first_places = |index| AtomicU64::new(first_place(capacity, first, index));
        let shared = Arc::new(Shared {
            slots: first_lap(capacity, first)?,
            freed: Slots::new(capacity, first_places)?,
            closed: AtomicBool::new(false),
            senders: Side::of_senders(self.wait),
            receivers: Side::new(self.wait),
            first,
            tail: Tail::new(first),
            head: CachePadded::new(AtomicU64::new(first)),
            sender_count: AtomicU64::new(1),
            receiver_count: AtomicU64::new(1),
        });
        let sender = Sender {
            shared: Arc::clone(&shared),
            gate: AtomicU64::new(first),
            pace: Pace::default(),
            slip: Slip::new(first),
        };
        let receiver = Receiver {
            shared,
            pace: Pace::default(),
        };
        Ok((sender, receiver))
    }
}

struct Shared<T> {
    // Read by all, rarely written.
    slots: Slots<Slot<T>>,
    /// Of each slot the next place that it is free for.
    freed: Slots<AtomicU64>,
    /// Set behind the tail's own bit, so that receivers need not look at the senders' line.
    closed: AtomicBool,
    senders: Side,
    receivers: Side,
    first: Place,
    sender_count: AtomicU64,
    receiver_count: AtomicU64,
    /// The next place to be claimed by a sender.
    tail: Tail,
    /// The next place to be taken by a receiver.
    head: CachePadded<AtomicU64>,
}

// SAFETY: an item is touched by one thread at a time: by the sender that claimed its place, until it
// commits it, then by the receiver that took the place, until it frees it; stamp and lap hand it over
// with release and acquire. Items move between threads, hence `T: Send`; nobody shares one.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

/// A sending handle. Cloned for more senders, or shared by reference.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    /// All places before it are known to be free again.
    gate: AtomicU64,
    pace: Pace,
    slip: Slip,
}

/// How far a sender looks ahead for places that are free.
const LOOK_AHEAD: u64 = 256;

/// A receiving handle. Cloned for more receivers, or shared by reference.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    pace: Pace,
}

sending!([&self] self, Sender, Claim);
receiving!([&self] self, [&Self], Receiver, Drain);
looking!(
    Sender,
    "mpmc::Sender",
    "Ends sending, for all: receivers get what is inside, then [`RecvError::Closed`]. Dropping the last
sender does the same."
);
looking!(
    Receiver,
    "mpmc::Receiver",
    "Ends the ring: sending is refused from now on, what is inside can still be received. Dropping the
last receiver does the same."
);

impl<T> Sender<T> {
    /// Sends an item in its place, a claimed one.
    #[inline]
    fn put(&self, place: Place, item: T) {
        let slot = self.shared.slots.at(place);
        // SAFETY: the place is empty, and claimed.
        unsafe { slot.write(|| item) };
        slot.commit(place, State::Full);
        self.shared.receivers.notify(1);
        self.shared.slots.will_write(place);
    }

    /// Claims `count` places that are free; the first of them.
    #[inline]
    fn claim_places(&self, count: usize) -> Result<Place, Refused> {
        let shared = &*self.shared;
        let count = count as u64;
        if count > shared.slots.capacity() {
            return Err(Refused::TooLarge);
        }
        let spare = shared.slots.capacity() - count;
        loop {
            let (first, closed) = shared.tail.load();
            if closed {
                return Err(Refused::Closed);
            }
            // ORDERING: whoever stored it had acquired the receivers' releases, and passes them on.
            let gate = self.gate.load(Ordering::Acquire);
            if distance(gate, first) > spare {
                let ahead = count.max(LOOK_AHEAD);
                let mut gate = shared.freed_from(gate, first, ahead);
                let room = shared.slots.capacity().wrapping_sub(distance(gate, first));
                if self.slip.caught_up_by(first, room, shared.slots.capacity()) {
                    gate = shared.freed_from(gate, first, ahead);
                }
                self.gate.store(gate, Ordering::Release);
                if distance(gate, first) > spare {
                    if shared.tail.load() == (first, false) {
                        return Err(Refused::Full);
                    }
                    continue;
                }
            }
            if shared.tail.claim(first, count) {
                return Ok(first);
            }
            self.pace.lost(first);
        }
    }

    #[inline]
    fn claimed(&self, first: Place, room: usize) -> Claim<'_, T> {
        Claim::new(&self.shared.slots, &self.shared.receivers, first, room)
    }
}

impl<T> Receiver<T> {
    /// Receives the next item if there is one.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] or [`RecvError::Closed`].
    #[inline]
    pub fn try_recv(&self) -> Result<T, RecvError> {
        let shared = &*self.shared;
        loop {
            let place = shared.taken();
            let slot = shared.slots.at(place);
            let Some(state) = slot.state(place) else {
                shared.nothing_at(place)?;
                continue;
            };
            if !shared.take(place, 1) {
                self.pace.lost(place);
                continue;
            }
            // SAFETY: the place is full, and this receiver has taken it.
            let item = (state == State::Full).then(|| unsafe { slot.read() });
            shared.free_one(place);
            shared.senders.notify(1);
            // A hole is passed over.
            if let Some(item) = item {
                return Ok(item);
            }
        }
    }

    /// Takes up to `max` places that are committed, at least one of them full.
    #[inline]
    fn take_places(&self, max: usize) -> Result<(Place, usize), RecvError> {
        let shared = &*self.shared;
        loop {
            let first = shared.taken();
            let mut full = false;
            let most = (max as u64).min(shared.slots.capacity());
            let count = committed(&shared.slots, first, most, |state| {
                full |= state == State::Full;
                true
            });
            if count == 0 && max > 0 {
                shared.nothing_at(first)?;
            } else if !shared.take(first, count) {
                self.pace.lost(first);
            } else if full || max == 0 {
                return Ok((first, count as usize));
            } else {
                drop(self.taken(first, count as usize));
            }
        }
    }

    #[inline]
    fn taken(&self, place: Place, left: usize) -> Drain<'_, T> {
        Drain {
            shared: &self.shared,
            place,
            left,
            count: left,
        }
    }
}

impl<T> Shared<T> {
    /// The next place to be taken.
    #[inline]
    fn taken(&self) -> Place {
        // ORDERING: relaxed: a place's stamp says what may be done with it.
        self.head.load(Ordering::Relaxed)
    }

    #[inline]
    fn take(&self, first: Place, count: u64) -> bool {
        // ORDERING: relaxed: this only tells receivers apart.
        self.head
            .compare_exchange(
                first,
                after(first, count),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// How far beyond `gate` all places are free again, up to `tail`; looks at `most` of them.
    #[inline]
    fn freed_from(&self, gate: Place, tail: Place, most: u64) -> Place {
        // What lies a lap behind was free before the tail got here.
        let lapped = after(tail, self.slots.capacity().wrapping_neg());
        let gate = if distance(gate, tail) > self.slots.capacity() {
            lapped
        } else {
            gate
        };
        let ahead = distance(gate, tail).min(most);
        let is_free = |n: &u64| {
            let place = after(gate, *n);
            let next = after(place, self.slots.capacity());
            // ORDERING: pairs with the release in `free`: the receiver is done with the slot.
            let freed = self.freed.at(place).load(Ordering::Acquire);
            // It may have been freed for a later lap since.
            distance(next, freed) < 1 << 62
        };
        after(gate, (0..ahead).take_while(is_free).count() as u64)
    }

    /// Why nothing is committed at `place`; no error if another receiver has taken it meanwhile.
    #[inline]
    fn nothing_at(&self, place: Place) -> Result<(), RecvError> {
        // ORDERING: pairs with the release in `close`: the closed tail is seen then.
        if self.closed.load(Ordering::Acquire) && self.tail.load().0 == place {
            return Err(RecvError::Closed);
        }
        if self.taken() == place {
            // Not claimed, or not committed.
            return Err(RecvError::Empty);
        }
        Ok(())
    }

    /// Frees a place for the next lap.
    #[inline]
    fn free_one(&self, place: Place) {
        let next = after(place, self.slots.capacity());
        // ORDERING: pairs with the acquire in `freed_from`.
        self.freed.at(place).store(next, Ordering::Release);
    }

    /// Frees `count` places from `first` on for the next lap.
    #[inline]
    fn free(&self, first: Place, count: usize) {
        let next = after(first, self.slots.capacity());
        let (run, wrapped) = self.freed.runs(first, count);
        for (n, freed) in (0..).zip(run.iter().chain(wrapped)) {
            // ORDERING: as in `free_one`.
            freed.store(after(next, n), Ordering::Release);
        }
    }

    fn has_room(&self) -> bool {
        let tail = self.tail.load().0;
        let lapped = after(tail, self.slots.capacity().wrapping_neg());
        self.freed_from(lapped, tail, 1) != lapped
    }

    fn has_items(&self) -> bool {
        let place = self.taken();
        self.slots.at(place).state(place).is_some()
    }

    fn is_closed(&self) -> bool {
        self.tail.load().1
    }

    fn len(&self) -> usize {
        let head = self.taken();
        // Two moments: the difference may be anything for one of them, but not for long.
        distance(head, self.tail.load().0).min(self.slots.capacity()) as usize
    }

    fn stats(&self) -> RingStats {
        RingStats {
            capacity: self.slots.capacity() as usize,
            len: self.len(),
            sent: distance(self.first, self.tail.load().0),
            received: distance(self.first, self.taken()),
            senders: self.senders.waits(),
            receivers: self.receivers.waits(),
        }
    }

    fn close(&self) {
        if self.tail.close() {
            // ORDERING: pairs with the acquire in `nothing_at`.
            self.closed.store(true, Ordering::Release);
            self.senders.notify_all();
            self.receivers.notify_all();
        }
    }
}

/// Items that were there, as an iterator. See [`Receiver::try_drain`].
pub struct Drain<'a, T> {
    shared: &'a Shared<T>,
    place: Place,
    left: usize,
    count: usize,
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        loop {
            self.left = self.left.checked_sub(1)?;
            let place = self.place;
            self.place = after(place, 1);
            let slot = self.shared.slots.at(place);
            if slot.state(place) == Some(State::Full) {
                // SAFETY: the place is full, and was taken for this drain, which reads it once.
                return Some(unsafe { slot.read() });
            }
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<T> Drop for Drain<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Freed in any case, even if an item's drop panics, but after the items are dropped.
        struct Free<'d, 'a, T>(&'d mut Drain<'a, T>);
        impl<T> Drop for Free<'_, '_, T> {
            fn drop(&mut self) {
                let Drain { shared, count, .. } = *self.0;
                let end = after(self.0.place, self.0.left as u64);
                shared.free(after(end, (count as u64).wrapping_neg()), count);
                shared.senders.notify(count);
            }
        }
        let free = Free(self);
        drop_all(free.0.by_ref());
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let (head, tail) = (self.taken(), self.tail.load().0);
        let count = distance(head, tail) as usize;
        drop(Drain {
            shared: self,
            place: head,
            left: count,
            count,
        });
    }
}

impl<T: Send> Handle for Sender<T> {
    fn side(&self) -> &Side {
        &self.shared.senders
    }

    fn is_ready(&self) -> bool {
        self.shared.has_room() || self.shared.is_closed()
    }
}

impl<T: Send> Handle for Receiver<T> {
    fn side(&self) -> &Side {
        &self.shared.receivers
    }

    fn is_ready(&self) -> bool {
        // Closed, with a claim that is not committed, is neither an item nor the end.
        self.shared.has_items() || self.shared.tail.load() == (self.shared.taken(), true)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.sender_count.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(&self.shared),
            // ORDERING: as in `claim_places`: another thread may have stored it, through this handle. No
            // model kills it, although one clones a handle that is in use. It stays: the language's
            // rules ask for it, and a clone is made once.
            gate: AtomicU64::new(self.gate.load(Ordering::Acquire)),
            pace: Pace::default(),
            slip: Slip::new(self.shared.first),
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receiver_count.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(&self.shared),
            pace: Pace::default(),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // ORDERING: no data goes with the count: closing is a change of the tail.
        if self.shared.sender_count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.close();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.shared.receiver_count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.close();
        }
    }
}
