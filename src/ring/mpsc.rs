//! Many senders, one receiver.
//!
//! ```
//! let (sender, mut receiver) = ringbolt::ring::mpsc::ring::<u64>(1024)?;
//! let senders: Vec<_> = (0..2)
//!     .map(|_| {
//!         let sender = sender.clone();
//!         std::thread::spawn(move || (0..500).for_each(|number| sender.send(number).unwrap()))
//!     })
//!     .collect();
//! drop(sender); // the last one closes the ring
//! assert_eq!(receiver.iter().sum::<u64>(), 2 * 124_750);
//! # senders.into_iter().for_each(|sender| sender.join().unwrap());
//! # Ok::<(), ringbolt::Error>(())
//! ```
//!
//! # Order
//!
//! Items are received in the order in which their places were claimed, so those of one sender in the
//! order in which they were sent.
//!
//! # Progress
//!
//! Claiming a place is lock-free: a sender that fails has lost to one that got on. Committing and
//! receiving are wait-free (but for waking a sleeper, which takes a short lock). The ring as a whole
//! is not lock-free: between claiming a place and committing it a stalled sender hides what lies
//! behind it from the receiver (`try_recv` says [`RecvError::Empty`]). A stalled receiver lets the ring fill,
//! then `try_send` says so. A claim that is forgotten (`mem::forget`) hides what is behind it for
//! good: [`Sender::stats`] then shows items inside, and a receiver that waits. A drain that is
//! forgotten keeps its places until the receiver's next call, and leaks the items in them.
//!
//! # Threads
//!
//! Handles change threads where the items do. There is one receiver.
//!
//! ```compile_fail,E0277
//! fn sends<T: Send>() {}
//! sends::<ringbolt::ring::mpsc::Sender<std::rc::Rc<u8>>>();
//! ```
//!
//! ```compile_fail,E0277
//! fn sends<T: Send>() {}
//! sends::<ringbolt::ring::mpsc::Receiver<std::rc::Rc<u8>>>();
//! ```
//!
//! ```compile_fail,E0599
//! let (sender, receiver) = ringbolt::ring::mpsc::ring::<u8>(4).unwrap();
//! let second = receiver.clone();
//! ```
//!
//! # Algorithm
//!
//! Senders claim by compare-and-swap on the tail, gated by a copy of the receiver's index as in
//! [`spsc`](super::spsc), so that they never read the slots; each slot has a stamp that says whether
//! it is committed, as in Dmitry Vyukov's bounded queue (2010), but which only senders write. See the
//! drawing in `ring/multi.rs`.

use std::fmt;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::forms::{looking, receiving, sending};
use super::handle::Handle;
pub use super::multi::Claim;
use super::multi::{Pace, Place, Slot, State, Tail, after, committed, distance, first_lap};
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
    RingOptions::new(capacity).mpsc()
}

impl RingOptions {
    /// A ring with many senders and one receiver; see [`mpsc`](crate::ring::mpsc).
    ///
    /// # Errors
    ///
    /// Those of [`mpsc::ring`](ring).
    pub fn mpsc<T>(&self) -> RingboltResult<(Sender<T>, Receiver<T>)> {
        let first = after(self.first, 0);
        let shared = Arc::new(Shared {
            slots: first_lap(self.capacity()?, first)?,
            senders: Side::of_senders(self.wait),
            receivers: Side::new(self.wait),
            first,
            sender_count: AtomicU64::new(1),
            closed: AtomicBool::new(false),
            tail: Tail::new(first),
            head: CachePadded::new(AtomicU64::new(first)),
        });
        let sender = Sender {
            shared: Arc::clone(&shared),
            head_seen: AtomicU64::new(first),
            pace: Pace::default(),
            slip: Slip::new(first),
        };
        let receiver = Receiver {
            shared,
            head: first,
            full: 0,
            slip: Slip::new(first),
        };
        Ok((sender, receiver))
    }
}

struct Shared<T> {
    // Read by all, rarely written.
    slots: Slots<Slot<T>>,
    senders: Side,
    receivers: Side,
    first: Place,
    sender_count: AtomicU64,
    /// Set behind the tail's own bit, so that the receiver need not look at the senders' line.
    closed: AtomicBool,
    /// The next place to be claimed by a sender.
    tail: Tail,
    /// The first place that the receiver has not emptied. Written by the receiver.
    head: CachePadded<AtomicU64>,
}

// SAFETY: an item is touched by one thread at a time: by the sender that claimed its place, until it
// marks it full, then by the receiver, until its head is beyond; stamp and head hand it over with
// release and acquire. Items move between threads, hence `T: Send`; nobody shares one.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

/// A sending handle. Cloned for more senders, or shared by reference.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    /// The last seen head: places before it are empty. It only grows, and may be behind.
    head_seen: AtomicU64,
    pace: Pace,
    slip: Slip,
}

/// The receiving side. Not `Clone`: there is one.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The next place to be taken.
    head: Place,
    /// How many places from the head on are known to be full.
    full: u64,
    slip: Slip,
}

sending!([&self] self, Sender, Claim);
receiving!([&mut self] self, [&mut Self], Receiver, Drain);
looking!(
    Sender,
    "mpsc::Sender",
    "Ends sending, for all: the receiver gets what is inside, then [`RecvError::Closed`]. Dropping the
last sender does the same."
);
looking!(
    Receiver,
    "mpsc::Receiver",
    "Ends the ring: sending is refused from now on, what is inside can still be received. Dropping the
receiver does the same."
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

    /// Claims `count` places that are empty; the first of them.
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
            // ORDERING: whoever stored it had acquired the receiver's release, and passes it on.
            let mut head = self.head_seen.load(Ordering::Acquire);
            if distance(head, first) > spare {
                head = shared.freed();
                let room = shared.slots.capacity().wrapping_sub(distance(head, first));
                if self.slip.caught_up_by(first, room, shared.slots.capacity()) {
                    head = shared.freed();
                }
                self.head_seen.store(head, Ordering::Release);
                if distance(head, first) > spare {
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
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        if self.full == 0 {
            self.look_ahead()?;
        }
        let place = self.head;
        self.head = after(place, 1);
        self.full -= 1;
        // SAFETY: the place is full, and the head is beyond it now.
        let item = unsafe { self.shared.slots.at(place).read() };
        self.free(1);
        Ok(item)
    }

    /// Counts the full places at the head, up to some lines of them: what lies in several lines is
    /// fetched at the same time.
    fn look_ahead(&mut self) -> Result<(), RecvError> {
        let first = self.next_full()?;
        let slots = &self.shared.slots;
        self.full = committed(slots, first, slots.ahead(), |state| state == State::Full);
        Ok(())
    }

    /// The next full place, holes passed over.
    #[inline]
    fn next_full(&mut self) -> Result<Place, RecvError> {
        loop {
            match self.shared.state(self.head) {
                Some(State::Full) => return Ok(self.head),
                Some(State::Hole) => {
                    self.head = after(self.head, 1);
                    self.free(1);
                }
                None => return Err(self.nothing()),
            }
        }
    }

    /// Why nothing is committed at the head.
    #[inline]
    fn nothing(&mut self) -> RecvError {
        self.tell_forgotten();
        // ORDERING: pairs with the release in `close`: the closed tail is seen then.
        if self.shared.closed.load(Ordering::Acquire) && self.shared.tail.load().0 == self.head {
            RecvError::Closed
        } else {
            // Not claimed, or not committed.
            self.slip.caught_up(self.head);
            RecvError::Empty
        }
    }

    /// Takes up to `max` places that are ready, at least one of them full: whoever gets them empties
    /// them, and then calls `free`.
    #[inline]
    fn take_places(&mut self, max: usize) -> Result<(Place, usize), RecvError> {
        let first = self.next_full()?;
        let most = self.shared.slots.capacity().min(max as u64);
        let count = committed(&self.shared.slots, first, most, |_| true);
        self.head = after(first, count);
        self.full = 0;
        Ok((first, count as usize))
    }

    #[inline]
    fn taken(&mut self, place: Place, left: usize) -> Drain<'_, T> {
        Drain {
            receiver: self,
            place,
            left,
            count: left,
        }
    }

    /// Gives up what a forgotten drain kept.
    #[inline]
    fn tell_forgotten(&mut self) {
        let told = self.shared.head.load(Ordering::Relaxed);
        if told != self.head {
            self.free(distance(told, self.head) as usize);
        }
    }

    /// Gives all places before the head back to the senders, `count` of them new.
    #[inline]
    fn free(&mut self, count: usize) {
        // ORDERING: pairs with the acquire in `Sender::claim_places`: the slots are read before they
        // are given up.
        self.shared.head.store(self.head, Ordering::Release);
        self.shared.senders.notify(count);
    }
}

impl<T> Shared<T> {
    /// The first place that is not free again.
    #[inline]
    fn freed(&self) -> Place {
        // ORDERING: pairs with the release in `Receiver::free`: the receiver is done with the slots
        // before it.
        self.head.load(Ordering::Acquire)
    }

    #[inline]
    fn state(&self, place: Place) -> Option<State> {
        self.slots.at(place).state(place)
    }

    fn is_closed(&self) -> bool {
        self.tail.load().1
    }

    fn len(&self) -> usize {
        let head = self.head.load(Ordering::Relaxed);
        // Two moments: the difference may be anything for one of them, but not for long.
        distance(head, self.tail.load().0).min(self.slots.capacity()) as usize
    }

    fn has_room(&self) -> bool {
        (self.len() as u64) < self.slots.capacity()
    }

    /// There is one receiver, and no sibling to wake.
    fn has_items(&self) -> bool {
        false
    }

    fn stats(&self) -> RingStats {
        RingStats {
            capacity: self.slots.capacity() as usize,
            len: self.len(),
            sent: distance(self.first, self.tail.load().0),
            received: distance(self.first, self.head.load(Ordering::Relaxed)),
            senders: self.senders.waits(),
            receivers: self.receivers.waits(),
        }
    }

    fn close(&self) {
        if self.tail.close() {
            // ORDERING: pairs with the acquire in `nothing`.
            self.closed.store(true, Ordering::Release);
            self.senders.notify_all();
            self.receivers.notify_all();
        }
    }
}

/// Items that were there, as an iterator. See [`Receiver::try_drain`].
pub struct Drain<'a, T> {
    receiver: &'a mut Receiver<T>,
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
            if self.receiver.shared.state(place) == Some(State::Full) {
                // SAFETY: the place is full, and was taken for this drain, which reads it once.
                return Some(unsafe { self.receiver.shared.slots.at(place).read() });
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
        // Given up in any case, even if an item's drop panics, but after the items are dropped.
        struct Free<'d, 'a, T>(&'d mut Drain<'a, T>);
        impl<T> Drop for Free<'_, '_, T> {
            fn drop(&mut self) {
                self.0.receiver.free(self.0.count);
            }
        }
        let free = Free(self);
        drop_all(free.0.by_ref());
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let head = self.head.load(Ordering::Relaxed);
        let count = distance(head, self.tail.load().0);
        let full = (0..count)
            .map(|n| after(head, n))
            .filter(|place| self.state(*place) == Some(State::Full));
        // SAFETY: nobody else is there any more, and each is read once.
        drop_all(full.map(|place| unsafe { self.slots.at(place).read() }));
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
        self.shared.state(self.head).is_some() || self.shared.tail.load() == (self.head, true)
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
            head_seen: AtomicU64::new(self.head_seen.load(Ordering::Acquire)),
            pace: Pace::default(),
            slip: Slip::new(self.shared.first),
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
        // A drain that was forgotten has not told.
        self.free(0);
        self.shared.close();
    }
}
