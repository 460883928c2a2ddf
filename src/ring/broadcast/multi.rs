//! The senders of a broadcast ring with many of them: places are claimed with a compare-and-swap,
//! and published one by one with stamps.

use std::fmt;
use std::mem::needs_drop;
use std::time::Instant;

use super::shared::{Shared, Stamps};
use super::station::{StationRef, settle, slowest, slowest_live};
use crate::ring::forms::{looking, sending};
use crate::ring::handle::Handle;
use crate::ring::side::Side;
use crate::ring::slots::drop_all;
use crate::ring::{Refused, RingStats, SendError};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// The sending side of a ring with many senders. Each thread has a clone of its own, which remembers
/// where it saw the receivers last.
pub struct MultiSender<T> {
    shared: Arc<Shared<T>>,
    /// Those who gate the senders.
    leaves: Vec<StationRef>,
    /// Where the slowest receiver was when this sender looked last.
    done_seen: u64,
}

sending!([&mut self] self, MultiSender, MultiClaim);
looking!(
    MultiSender,
    "broadcast::MultiSender",
    "Ends sending: the receivers get what is inside, then \
     [`RecvError::Closed`](crate::ring::RecvError::Closed). A send that runs at this very moment may \
     still be taken in. Dropping the last sender does the same."
);

impl<T> MultiSender<T> {
    /// The ring must have its stamps.
    pub(super) fn new(shared: Arc<Shared<T>>, leaves: Vec<StationRef>) -> Self {
        Self {
            leaves,
            done_seen: shared.first,
            shared,
        }
    }

    /// Sends an item in its place, a claimed one.
    #[inline]
    fn put(&mut self, place: u64, item: T) {
        let mut claim = self.claimed(place, 1);
        claim.push(item);
        claim.commit();
    }

    /// Claims `count` places from the returned one on. They must be published, if only as holes:
    /// whoever gets them makes a [`MultiClaim`] of them at once.
    #[inline]
    fn claim_places(&mut self, count: usize) -> Result<u64, Refused> {
        if self.shared.is_closed() {
            return Err(self.refused(count));
        }
        let wanted = count as u64;
        let mut place = self.shared.tail.load(Ordering::Relaxed);
        loop {
            if self.room(place) < wanted {
                self.look(place)?;
                if self.room(place) < wanted {
                    return Err(self.refused(count));
                }
            }
            // ORDERING: relaxed: the number says who may write, and nothing else. That the places
            // were passed by all was seen with `done_seen`.
            let claimed = self.shared.tail.compare_exchange_weak(
                place,
                place.wrapping_add(wanted),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match claimed {
                Ok(_) => return Ok(place),
                Err(now) => place = now,
            }
        }
    }

    #[inline]
    fn claimed(&mut self, first: u64, room: usize) -> MultiClaim<'_, T> {
        MultiClaim {
            shared: &self.shared,
            stamps: stamps(&self.shared),
            first,
            room,
            filled: 0,
        }
    }

    /// How much room there is from `place` on if that is the tail; at least as much if it was.
    #[inline]
    fn room(&self, place: u64) -> u64 {
        let ahead = place.wrapping_sub(self.done_seen) as i64;
        (self.shared.capacity() as i64 - ahead).max(0) as u64
    }

    /// Looks up where the slowest receiver is.
    fn look(&mut self, place: u64) -> Result<(), Refused> {
        while !self.leaves.is_empty() {
            match slowest(&self.leaves, place) {
                Ok(done) => {
                    self.done_seen = done;
                    return Ok(());
                }
                Err(_gone) => settle(&mut self.leaves),
            }
        }
        // All receivers are gone. Nothing gates this sender any more, not even that the sender of
        // a round before has published.
        Err(Refused::Closed)
    }

    #[cold]
    fn refused(&self, count: usize) -> Refused {
        if count as u64 > self.shared.capacity() {
            Refused::TooLarge
        } else if self.shared.is_closed() {
            Refused::Closed
        } else {
            Refused::Full
        }
    }
}

impl<T: Send + Sync> Handle for MultiSender<T> {
    fn side(&self) -> &Side {
        &self.shared.senders
    }

    fn is_ready(&self) -> bool {
        let tail = self.shared.tail.load(Ordering::Relaxed);
        let done = slowest_live(&self.leaves, tail);
        // A receiver may be beyond this tail, which others have moved since.
        let has_room = |done| (tail.wrapping_sub(done) as i64) < self.shared.capacity() as i64;
        self.is_closed() || done.is_none_or(has_room)
    }
}

impl<T> Clone for MultiSender<T> {
    fn clone(&self) -> Self {
        self.shared.sender_came();
        Self {
            shared: Arc::clone(&self.shared),
            leaves: self.leaves.clone(),
            done_seen: self.done_seen,
        }
    }
}

impl<T> Drop for MultiSender<T> {
    fn drop(&mut self) {
        self.shared.sender_went();
    }
}

/// Room for some items, filled in place with [`MultiClaim::push`] and sent together by
/// [`MultiClaim::commit`]. Dropped without, it drops what was pushed, and leaves a hole that the
/// receivers skip. Until then the receivers wait at its first place for whatever follows, and if it
/// is forgotten (`mem::forget`), for ever.
pub struct MultiClaim<'a, T> {
    shared: &'a Shared<T>,
    stamps: &'a Stamps,
    first: u64,
    room: usize,
    filled: usize,
}

impl<T> MultiClaim<'_, T> {
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
        if needs_drop::<T>() && self.stamps.take_old(place) {
            // SAFETY: (1) the stamp said so, and the claim, which was granted, that all have passed it;
            // (2) claimed, and the stamp says no more so, even if the drop panics.
            drop(unsafe { self.shared.take(place) });
        }
        // SAFETY: claimed, and not yet published.
        unsafe { self.shared.write(place, make) };
        self.filled += 1;
    }

    /// Pushes items while there is room; returns how many.
    #[inline]
    pub fn fill(&mut self, items: impl IntoIterator<Item = T>) -> usize {
        let before = self.filled;
        // The room comes first: an item that finds none stays where it is.
        for (_, item) in (before..self.room).zip(items) {
            self.push(item);
        }
        self.filled - before
    }

    /// Sends what was pushed; room that was not used becomes a hole.
    #[inline]
    pub fn commit(mut self) {
        if self.filled < self.room {
            self.shared.mark_holed();
        }
        self.publish();
    }

    /// Publishes the places as they are, and leaves nothing for the drop.
    #[inline]
    fn publish(&mut self) {
        let (filled, room) = (
            std::mem::take(&mut self.filled),
            std::mem::take(&mut self.room),
        );
        self.stamps.publish(self.first, filled, room);
        self.shared.published();
    }

    #[cold]
    fn abandon(&mut self) {
        /// Published as a hole in any case, even if an item's drop panics.
        struct Hole<'h, 'a, T>(&'h mut MultiClaim<'a, T>);
        impl<T> Drop for Hole<'_, '_, T> {
            fn drop(&mut self) {
                self.0.shared.mark_holed();
                self.0.publish();
            }
        }
        let (shared, first) = (self.shared, self.first);
        let pushed = std::mem::take(&mut self.filled) as u64;
        let _hole = Hole(self);
        let places = (0..pushed).map(|offset| first.wrapping_add(offset));
        // SAFETY: (1) filled by this claim, never published; (2) the claim ends, and its stamps say
        // that nothing is inside.
        drop_all(places.map(|place| unsafe { shared.take(place) }));
    }
}

/// The stamps of a ring that was built for many senders.
#[inline]
fn stamps<T>(shared: &Shared<T>) -> &Stamps {
    shared
        .stamps()
        .expect("a ring with many senders has stamps")
}

impl<T> Drop for MultiClaim<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.room > 0 {
            self.abandon();
        }
    }
}
