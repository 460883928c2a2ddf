//! The one sender of a broadcast ring: its tail is its own, and a send is one store.

use std::fmt;
use std::mem::needs_drop;
use std::time::Instant;

use super::shared::Shared;
use super::station::{StationRef, settle, slowest, slowest_live};
use crate::ring::forms::{looking, sending};
use crate::ring::handle::Handle;
use crate::ring::side::Side;
use crate::ring::slots::{CountOnDrop, drop_all};
use crate::ring::{Refused, RingStats, SendError};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// The sending side of a ring with one sender. Not `Clone`: there is one.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    /// Those who gate this sender.
    leaves: Vec<StationRef>,
    /// The first place that is not sent, and the first behind it that is not known to be free.
    tail: u64,
    room_end: u64,
    /// Before which place the items of the round before are dropped: the tail, or further where a claim
    /// was abandoned.
    cleared: u64,
}

sending!([&mut self] self, Sender, Claim);
looking!(
    Sender,
    "broadcast::Sender",
    "Ends sending: the receivers get what is inside, then \
     [`RecvError::Closed`](crate::ring::RecvError::Closed). Dropping the sender does the same."
);

impl<T> Sender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, leaves: Vec<StationRef>) -> Self {
        Self {
            leaves,
            tail: shared.first,
            room_end: shared.first.wrapping_add(shared.capacity()),
            cleared: shared.first,
            shared,
        }
    }

    /// Sends an item in its place, a claimed one.
    #[inline]
    fn put(&mut self, place: u64, item: T) {
        let shared = &*self.shared;
        // SAFETY: there is room at the tail, and this is the one sender.
        unsafe { write(shared, &mut self.cleared, place, || item) };
        self.tail = place.wrapping_add(1);
        publish(shared, self.tail);
    }

    /// Whether there is room for `count` items from the returned place on. Nothing is changed: the
    /// sender is the only one who could take it.
    #[inline]
    fn claim_places(&mut self, count: usize) -> Result<u64, Refused> {
        if self.room_end.wrapping_sub(self.tail) < count as u64 {
            self.look();
            if self.room_end.wrapping_sub(self.tail) < count as u64 {
                return Err(self.refused(count));
            }
        }
        if self.shared.is_closed() {
            return Err(Refused::Closed);
        }
        self.shared.will_write(self.tail.wrapping_add(count as u64));
        Ok(self.tail)
    }

    #[inline]
    fn claimed(&mut self, first: u64, room: usize) -> Claim<'_, T> {
        Claim {
            shared: &self.shared,
            tail: &mut self.tail,
            cleared: &mut self.cleared,
            first,
            room,
            filled: 0,
        }
    }

    /// Looks up where the slowest receiver is.
    #[inline(never)]
    fn look(&mut self) {
        while !self.leaves.is_empty() {
            match slowest(&self.leaves, self.tail) {
                Ok(done) => {
                    self.room_end = done.wrapping_add(self.shared.capacity());
                    return;
                }
                Err(_gone) => settle(&mut self.leaves),
            }
        }
        // All receivers are gone. That closes the ring.
    }

    #[cold]
    fn refused(&self, count: usize) -> Refused {
        if count as u64 > self.shared.capacity() {
            Refused::TooLarge
        } else if self.shared.is_closed() || self.leaves.is_empty() {
            Refused::Closed
        } else {
            Refused::Full
        }
    }
}

/// Builds an item in a place, and drops what was there a round before. Whichever of the two panics, the
/// place is claimed and filled anew next time.
///
/// # Safety
///
/// The caller is the one sender, whose `cleared` this is; it has room at the place, which is the tail, or
/// comes right after places that were written since.
#[inline]
unsafe fn write<T>(shared: &Shared<T>, cleared: &mut u64, place: u64, make: impl FnOnce() -> T) {
    if needs_drop::<T>() && *cleared == place {
        // First counted, then dropped: a drop that panics is not repeated.
        *cleared = place.wrapping_add(1);
        if place.wrapping_sub(shared.first) >= shared.capacity() {
            // SAFETY: (1) places are filled in their order, so this slot was filled a round ago, and
            // there is room, so all have passed it; (2) the one sender, and it is counted.
            drop(unsafe { shared.take(place) });
        }
    }
    // SAFETY: by the caller's duty.
    unsafe { shared.write(place, make) };
}

/// Gives all places before `tail` to the receivers.
#[inline]
fn publish<T>(shared: &Shared<T>, tail: u64) {
    // ORDERING: pairs with the acquire in `Receiver::look_once`: the items are seen with the index.
    shared.tail.store(tail, Ordering::Release);
    shared.published();
}

impl<T: Send + Sync> Handle for Sender<T> {
    fn side(&self) -> &Side {
        &self.shared.senders
    }

    fn is_ready(&self) -> bool {
        let done = slowest_live(&self.leaves, self.tail);
        let has_room = |done| self.tail.wrapping_sub(done) < self.shared.capacity();
        self.is_closed() || done.is_none_or(has_room)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // ORDERING: relaxed: read by whoever drops the ring, after this handle.
        self.shared.cleared.store(self.cleared, Ordering::Relaxed);
        self.shared.close();
    }
}

/// Room for some items, filled in place with [`Claim::push`] and sent together by
/// [`Claim::commit`]. Dropped without, it sends nothing, and drops what was pushed.
pub struct Claim<'a, T> {
    shared: &'a Shared<T>,
    /// The sender's.
    tail: &'a mut u64,
    cleared: &'a mut u64,
    /// The tail.
    first: u64,
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
        let place = self.first.wrapping_add(self.filled as u64);
        // SAFETY: the place is claimed, those before it are filled.
        unsafe { write(self.shared, self.cleared, place, make) };
        self.filled += 1;
    }

    /// Pushes items while there is room; returns how many.
    #[inline]
    pub fn fill(&mut self, items: impl IntoIterator<Item = T>) -> usize {
        let before = self.filled;
        let first = self.first.wrapping_add(before as u64);
        // The room comes first in both: an item that finds none stays where it is.
        if needs_drop::<T>() {
            for (_, item) in (before..self.room).zip(items) {
                self.push(item);
            }
        } else {
            let (run, wrapped) = self.shared.runs(first, self.room());
            let mut items = items.into_iter();
            let mut filled = CountOnDrop::new(&mut self.filled);
            for run in [run, wrapped] {
                for (slot, item) in run.iter().zip(items.by_ref()) {
                    // SAFETY: the place is claimed, and what was there before needs no drop.
                    slot.with_mut(|slot| unsafe { (*slot).write(item) });
                    filled.count += 1;
                }
            }
        }
        self.filled - before
    }

    /// Sends what was pushed; room that was not used stays the sender's.
    #[inline]
    pub fn commit(mut self) {
        let filled = std::mem::take(&mut self.filled);
        let end = self.first.wrapping_add(filled as u64);
        *self.tail = end;
        publish(self.shared, end);
    }
}

impl<T> Drop for Claim<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let (shared, first) = (self.shared, self.first);
        let places = (0..self.filled as u64).map(|offset| first.wrapping_add(offset));
        // SAFETY: (1) filled by this claim, never published; (2) the claim ends, and its slots are
        // counted as cleared.
        drop_all(places.map(|place| unsafe { shared.take(place) }));
    }
}
