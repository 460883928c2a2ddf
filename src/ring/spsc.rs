//! One sender, one receiver.
//!
//! ```
//! let (mut sender, mut receiver) = ringbolt::ring::spsc::ring::<u64>(1024)?;
//! let thread = std::thread::spawn(move || receiver.iter().sum::<u64>());
//! for number in 0..1000 {
//!     sender.send(number).unwrap();
//! }
//! drop(sender); // closes the ring: the receiver's iterator ends
//! assert_eq!(thread.join().unwrap(), 499_500);
//! # Ok::<(), ringbolt::Error>(())
//! ```
//!
//! # Progress
//!
//! `try_send`, `try_claim`, commit, `try_recv`, `try_drain` are wait-free (but for waking a sleeper,
//! which takes a short lock). A stalled sender stalls nobody: the receiver gets what was sent
//! before. A stalled receiver lets the ring fill, then `try_send` says so. A claim that is forgotten
//! (`mem::forget`) has sent nothing, and its room is claimed anew; a drain that is forgotten keeps
//! its places until the receiver's next call. The items in both are leaked.
//!
//! # Threads
//!
//! Handles change threads where the items do. There is one of each.
//!
//! ```compile_fail,E0277
//! fn sends<T: Send>() {}
//! sends::<ringbolt::ring::spsc::Sender<std::rc::Rc<u8>>>();
//! ```
//!
//! ```compile_fail,E0277
//! fn sends<T: Send>() {}
//! sends::<ringbolt::ring::spsc::Receiver<std::rc::Rc<u8>>>();
//! ```
//!
//! ```compile_fail,E0599
//! let (sender, receiver) = ringbolt::ring::spsc::ring::<u8>(4).unwrap();
//! let second = sender.clone();
//! ```
//!
//! ```compile_fail,E0599
//! let (sender, receiver) = ringbolt::ring::spsc::ring::<u8>(4).unwrap();
//! let second = receiver.clone();
//! ```
//!
//! # Algorithm
//!
//! Lamport's ring (1983), with the copies of the other side's index that each side keeps as in
//! FastForward (Giacomoni et al., 2008) and MCRingBuffer (Lee et al., 2010): an index is looked up
//! again only when the copy says full, or empty.
//!
//! ```text
//!            head                    tail
//!             ▼                       ▼
//!   ┌────┬────┬────┬────┬────┬────┬────┬────┐   place p lies in slot p mod capacity;
//!   │    │    │ p  │ .. │ .. │ .. │    │    │   places head..tail are full and the receiver's,
//!   └────┴────┴────┴────┴────┴────┴────┴────┘   the others empty and the sender's
//! ```

use std::fmt;
use std::mem::MaybeUninit;
use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::forms::{looking, receiving, sending};
use super::handle::Handle;
use super::side::Side;
use super::slip::Slip;
use super::slots::{CountOnDrop, Slots, drop_all};
use super::{RecvError, Refused, RingOptions, RingStats, SendError};
use crate::error::Result as RingboltResult;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;

/// A ring of at least `capacity` items (rounded up to a power of two), with default options.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) for no capacity or more than 2^31 items,
/// [`OverBudget`](crate::ErrorKind::OverBudget) where there is no memory for so many.
pub fn ring<T>(capacity: usize) -> RingboltResult<(Sender<T>, Receiver<T>)> {
    RingOptions::new(capacity).spsc()
}

impl RingOptions {
    /// A ring with one sender and one receiver; see [`spsc`](crate::ring::spsc).
    ///
    /// # Errors
    ///
    /// Those of [`spsc::ring`](ring).
    pub fn spsc<T>(&self) -> RingboltResult<(Sender<T>, Receiver<T>)> {
        let slots = Slots::new(self.capacity()?, |_| UnsafeCell::new(MaybeUninit::uninit()))?;
        let shared = Arc::new(Shared {
            slots,
            closed: AtomicBool::new(false),
            senders: Side::of_senders(self.wait),
            receivers: Side::new(self.wait),
            first: self.first,
            tail: CachePadded::new(AtomicU64::new(self.first)),
            head: CachePadded::new(AtomicU64::new(self.first)),
        });
        let sender = Sender {
            shared: Arc::clone(&shared),
            tail: self.first,
            head_seen: self.first,
            slip: Slip::new(self.first),
        };
        let receiver = Receiver {
            shared,
            head: self.first,
            tail_seen: self.first,
            slip: Slip::new(self.first),
        };
        Ok((sender, receiver))
    }
}

struct Shared<T> {
    // Read by both, rarely written.
    slots: Slots<UnsafeCell<MaybeUninit<T>>>,
    closed: AtomicBool,
    senders: Side,
    receivers: Side,
    first: u64,
    /// The first place that the sender has not filled. Written by the sender.
    tail: CachePadded<AtomicU64>,
    /// The first place that the receiver has not emptied. Written by the receiver.
    head: CachePadded<AtomicU64>,
}

// SAFETY: a slot is touched by one side at a time: by the sender while its place is outside of
// head..tail, by the receiver while it is inside; the two indices hand it over with release and
// acquire. Items move from one thread to the other, hence `T: Send`; nobody shares one.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

/// The sending side. Not `Clone`: there is one.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    /// This side's own index, and the last seen of the other's.
    tail: u64,
    head_seen: u64,
    slip: Slip,
}

/// The receiving side. Not `Clone`: there is one.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// This side's own index, and the last seen of the other's.
    head: u64,
    tail_seen: u64,
    slip: Slip,
}

sending!([&mut self] self, Sender, Claim);
receiving!([&mut self] self, [&mut Self], Receiver, Drain);
looking!(
    Sender,
    "spsc::Sender",
    "Ends sending: the receiver gets what is inside, then [`RecvError::Closed`]. Dropping the sender
does the same."
);
looking!(
    Receiver,
    "spsc::Receiver",
    "Ends the ring: sending is refused from now on, what is inside can still be received. A send that
runs at this very moment may still be taken in, and is then received, or dropped with the ring.
Dropping the receiver does the same."
);

impl<T> Sender<T> {
    /// Sends an item in its place, a claimed one.
    #[inline]
    fn put(&mut self, place: u64, item: T) {
        // SAFETY: the place is empty, and claimed by the one sender.
        unsafe { self.shared.write(place, || item) };
        self.publish(1);
    }

    /// Whether there is room for `count` items from the returned place on. Nothing is changed: the
    /// sender is the only one who could take it.
    #[inline]
    fn claim_places(&mut self, count: usize) -> Result<u64, Refused> {
        let capacity = self.shared.slots.capacity();
        let possibly_full =
            capacity.wrapping_sub(self.tail.wrapping_sub(self.head_seen)) < count as u64;
        if possibly_full {
            self.head_seen = self.shared.freed();
            let room = capacity - self.tail.wrapping_sub(self.head_seen);
            if self.slip.caught_up_by(self.tail, room, capacity) {
                self.head_seen = self.shared.freed();
            }
            if capacity - self.tail.wrapping_sub(self.head_seen) < count as u64 {
                return Err(self.refused(count));
            }
        }
        if self.shared.closed.load(Ordering::Relaxed) {
            return Err(Refused::Closed);
        }
        Ok(self.tail)
    }

    #[inline]
    fn claimed(&mut self, _first: u64, room: usize) -> Claim<'_, T> {
        Claim {
            sender: self,
            room,
            filled: 0,
        }
    }

    #[cold]
    fn refused(&self, count: usize) -> Refused {
        if count as u64 > self.shared.slots.capacity() {
            Refused::TooLarge
        } else if self.shared.closed.load(Ordering::Relaxed) {
            Refused::Closed
        } else {
            Refused::Full
        }
    }

    /// Gives `count` filled places to the receiver.
    #[inline]
    fn publish(&mut self, count: usize) {
        self.tail = self.tail.wrapping_add(count as u64);
        // ORDERING: pairs with the acquire in `Receiver::available`: the items are seen with the
        // index.
        self.shared.tail.store(self.tail, Ordering::Release);
        self.shared.receivers.notify(1);
        self.shared.slots.will_write(self.tail);
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
        if let Err(why) = self.available() {
            if why == RecvError::Empty {
                // Not in drains, whose runs take less time than their items would one by one.
                self.slip.caught_up(self.head);
            }
            return Err(why);
        }
        let place = self.head;
        self.head = place.wrapping_add(1);
        // SAFETY: (1) `available` found the place full; (2) the head is beyond it now.
        let item = unsafe { self.shared.read(place) };
        self.free();
        Ok(item)
    }

    /// How many items are known to be there: at least one.
    #[inline]
    fn available(&mut self) -> Result<u64, RecvError> {
        if self.tail_seen == self.head {
            // Closed first: what was sent before the ring was closed is seen then.
            let closed = self.shared.closed.load(Ordering::Acquire);
            // ORDERING: pairs with the release in `Sender::publish`.
            self.tail_seen = self.shared.tail.load(Ordering::Acquire);
            if self.tail_seen == self.head {
                self.tell_forgotten();
                if closed {
                    return Err(RecvError::Closed);
                }
                return Err(RecvError::Empty);
            }
        }
        Ok(self.tail_seen.wrapping_sub(self.head))
    }

    /// Takes up to `max` full places, which are never looked at again by this receiver: whoever gets
    /// them empties them, and then calls `free`.
    #[inline]
    fn take_places(&mut self, max: usize) -> Result<(u64, usize), RecvError> {
        let mut available = self.available()?;
        if available < max as u64 {
            // ORDERING: as in `available`.
            self.tail_seen = self.shared.tail.load(Ordering::Acquire);
            available = self.tail_seen.wrapping_sub(self.head);
        }
        let (first, count) = (self.head, available.min(max as u64));
        self.head = first.wrapping_add(count);
        Ok((first, count as usize))
    }

    #[inline]
    fn taken(&mut self, place: u64, left: usize) -> Drain<'_, T> {
        Drain {
            receiver: self,
            place,
            left,
        }
    }

    /// Gives up what a forgotten drain kept.
    #[inline]
    fn tell_forgotten(&mut self) {
        if self.shared.head.load(Ordering::Relaxed) != self.head {
            self.free();
        }
    }

    /// Gives all places before the head back to the sender.
    #[inline]
    fn free(&mut self) {
        // ORDERING: pairs with the acquire in `Sender::claim_places`: the slots are read before
        // they are given up.
        self.shared.head.store(self.head, Ordering::Release);
        self.shared.senders.notify(1);
    }
}

impl<T: Send> Handle for Sender<T> {
    fn side(&self) -> &Side {
        &self.shared.senders
    }

    fn is_ready(&self) -> bool {
        // ORDERING: relaxed: whoever goes on because of it looks again.
        let head = self.shared.head.load(Ordering::Relaxed);
        self.tail.wrapping_sub(head) < self.shared.slots.capacity() || self.is_closed()
    }
}

impl<T: Send> Handle for Receiver<T> {
    fn side(&self) -> &Side {
        &self.shared.receivers
    }

    fn is_ready(&self) -> bool {
        // ORDERING: relaxed: whoever goes on because of it looks again.
        self.shared.tail.load(Ordering::Relaxed) != self.head || self.is_closed()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // A drain that was forgotten has not told.
        self.free();
        self.shared.close();
    }
}

impl<T> Shared<T> {
    /// The first place that is not free again.
    #[inline]
    fn freed(&self) -> u64 {
        // ORDERING: pairs with the release in `Receiver::free`: the receiver is done with the slots
        // before it.
        self.head.load(Ordering::Acquire)
    }

    /// Builds an item in a place.
    ///
    /// # Safety
    ///
    /// The place is empty, and the caller's to fill.
    #[inline]
    unsafe fn write(&self, place: u64, make: impl FnOnce() -> T) {
        self.slots.at(place).with_mut(|slot| {
            // SAFETY: by the caller's duty.
            unsafe { (*slot).write(make()) };
        });
    }

    /// Moves the item of a place out.
    ///
    /// # Safety
    ///
    /// 1. The place is full, and the caller's to read.
    /// 2. It is not read again.
    #[inline]
    unsafe fn read(&self, place: u64) -> T {
        self.slots.at(place).with(|slot| {
            // SAFETY: by the caller's 1 and 2.
            unsafe { (*slot).assume_init_read() }
        })
    }

    fn close(&self) {
        // ORDERING: pairs with the acquire in `available`: what the closing sender sent is seen.
        self.closed.store(true, Ordering::Release);
        self.senders.notify_all();
        self.receivers.notify_all();
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn len(&self) -> usize {
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        // Two moments: the difference may be anything for one of them, but not for long.
        (tail.wrapping_sub(head)).min(self.slots.capacity()) as usize
    }

    /// One side has one thread: there is no sibling to wake.
    fn has_room(&self) -> bool {
        false
    }

    fn has_items(&self) -> bool {
        false
    }

    fn stats(&self) -> RingStats {
        RingStats {
            capacity: self.slots.capacity() as usize,
            len: self.len(),
            sent: self.tail.load(Ordering::Relaxed).wrapping_sub(self.first),
            received: self.head.load(Ordering::Relaxed).wrapping_sub(self.first),
            senders: self.senders.waits(),
            receivers: self.receivers.waits(),
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let head = self.head.load(Ordering::Relaxed);
        let count = self.tail.load(Ordering::Relaxed).wrapping_sub(head);
        drop_all(Full {
            shared: self,
            place: head,
            left: count as usize,
        });
    }
}

/// Full places that are nobody else's, as the items in them.
struct Full<'a, T> {
    shared: &'a Shared<T>,
    place: u64,
    left: usize,
}

impl<T> Iterator for Full<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place;
        self.place = place.wrapping_add(1);
        // SAFETY: (1) full, and nobody else's, by construction; (2) the place is counted off.
        Some(unsafe { self.shared.read(place) })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// Room for some items, filled in place with [`Claim::push`] and sent together by
/// [`Claim::commit`]. Dropped without, it sends nothing, and drops what was pushed.
pub struct Claim<'a, T> {
    sender: &'a mut Sender<T>,
    room: usize,
    filled: usize,
}

impl<T> Claim<'_, T> {
    /// How many more items can be pushed.
    #[must_use]
    #[inline]
    pub fn room(&self) -> usize {
        self.room - self.filled
    }

    /// Pushes an item.
    ///
    /// # Panics
    ///
    /// When the claim is full.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.push_with(|| item);
    }

    /// Pushes what `make` gives, built in place. If it panics, the claim is as before.
    ///
    /// # Panics
    ///
    /// When the claim is full.
    #[inline]
    pub fn push_with(&mut self, make: impl FnOnce() -> T) {
        assert!(self.filled < self.room, "the claim is full");
        let place = self.sender.tail.wrapping_add(self.filled as u64);
        // SAFETY: the place is claimed, and empty.
        unsafe { self.sender.shared.write(place, make) };
        self.filled += 1;
    }

    /// Pushes items while there is room; returns how many.
    #[inline]
    pub fn fill(&mut self, items: impl IntoIterator<Item = T>) -> usize {
        let before = self.filled;
        let first = self.sender.tail.wrapping_add(before as u64);
        let (run, wrapped) = self.sender.shared.slots.runs(first, self.room());
        let mut items = items.into_iter();
        // The slots come first: an item that finds none stays where it is. What is filled is counted
        // at the end, or when an item panics, so that many are one copy.
        let mut filled = CountOnDrop::new(&mut self.filled);
        for run in [run, wrapped] {
            for (slot, item) in run.iter().zip(items.by_ref()) {
                // SAFETY: the place is claimed, and empty.
                slot.with_mut(|slot| unsafe { (*slot).write(item) });
                filled.count += 1;
            }
        }
        drop(filled);
        self.filled - before
    }

    /// Sends what was pushed; room that was not used stays the sender's.
    #[inline]
    pub fn commit(mut self) {
        let filled = std::mem::take(&mut self.filled);
        self.sender.publish(filled);
    }
}

impl<T> Drop for Claim<'_, T> {
    #[inline]
    fn drop(&mut self) {
        drop_all(Full {
            shared: &self.sender.shared,
            place: self.sender.tail,
            left: self.filled,
        });
    }
}

/// Items that were there, as an iterator. See [`Receiver::try_drain`].
pub struct Drain<'a, T> {
    receiver: &'a mut Receiver<T>,
    place: u64,
    left: usize,
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place;
        self.place = place.wrapping_add(1);
        // SAFETY: (1) it was found full, and taken; (2) it is counted off.
        Some(unsafe { self.receiver.shared.read(place) })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

#[cfg(not(ringbolt_loom))]
impl<T> Drain<'_, T> {
    /// The items that are left, in place and in order: those up to the end of the ring's memory, and
    /// those that wrapped around.
    #[must_use]
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        let slots = &self.receiver.shared.slots;
        let (run, wrapped) = slots.runs(self.place, self.left);
        let items = |run: &[UnsafeCell<MaybeUninit<T>>]| {
            // SAFETY: the places were found full and taken for this drain, which has not read them
            // yet; nobody writes to them while it is borrowed. The cell has the layout of its
            // contents, and these that of an item.
            unsafe { std::slice::from_raw_parts(run.as_ptr().cast::<T>(), run.len()) }
        };
        (items(run), items(wrapped))
    }
}

impl<T> ExactSizeIterator for Drain<'_, T> {}

impl<T> Drop for Drain<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Given up in any case, even if an item's drop panics, but after the items are dropped.
        struct Free<'d, 'a, T>(&'d mut Drain<'a, T>);
        impl<T> Drop for Free<'_, '_, T> {
            fn drop(&mut self) {
                self.0.receiver.free();
            }
        }
        let free = Free(self);
        drop_all(free.0.by_ref());
    }
}
