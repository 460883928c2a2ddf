//! A receiver of a broadcast ring, and how it waits.

use std::fmt;
use std::time::Instant;

use super::lent::{Drain, Ref};
use super::shared::{Shared, State};
use super::station::{StationRef, settle, slowest, slowest_live};
use crate::ring::handle::Handle;
use crate::ring::side::Side;
use crate::ring::{RecvError, RingStats};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// A receiver: it sees every item, in order. Not `Clone`: a ring has the receivers that it was built
/// with.
pub struct Receiver<T> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) station: StationRef,
    /// The receivers that this one follows; none: it follows the senders.
    after: Vec<StationRef>,
    /// The first place that was not taken, and the first behind it that is not known to be open and to
    /// hold an item.
    next: u64,
    open: u64,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, station: StationRef, after: Vec<StationRef>) -> Self {
        shared.receiver_came();
        Self {
            station,
            after,
            next: shared.first,
            open: shared.first,
            shared,
        }
    }

    /// Lends the next item if there is one. Its place is given back when the [`Ref`] is dropped.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] or [`RecvError::Closed`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<Ref<'_, T>, RecvError> {
        let place = self.take_place()?;
        Ok(Ref::new(self, place))
    }

    /// Lends the next item; blocks while there is none.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`].
    #[inline]
    pub fn recv(&mut self) -> Result<Ref<'_, T>, RecvError> {
        let place = match self.take_place() {
            Err(RecvError::Empty) => self.wait_to_take(None, |this| this.take_place())?,
            done => done?,
        };
        Ok(Ref::new(self, place))
    }

    /// Lends the next item; blocks while there is none, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] or [`RecvError::TimedOut`].
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Ref<'_, T>, RecvError> {
        let place = self.wait_to_take(Some(deadline), |this| this.take_place())?;
        Ok(Ref::new(self, place))
    }

    /// Lends the next item; awaits it. A future that is dropped has received nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`].
    pub async fn recv_async(&mut self) -> Result<Ref<'_, T>, RecvError> {
        let place = self.await_to_take(|this| this.take_place()).await?;
        Ok(Ref::new(self, place))
    }

    /// Lends up to `max` items that are there, at least one (but for a `max` of 0). Their places are
    /// given back together, when the [`Drain`] is dropped.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] or [`RecvError::Closed`].
    #[inline]
    pub fn try_drain(&mut self, max: usize) -> Result<Drain<'_, T>, RecvError> {
        let (first, count) = self.take_places(max)?;
        Ok(Drain::new(self, first, count))
    }

    /// The same; blocks until there is at least one.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`].
    #[inline]
    pub fn drain(&mut self, max: usize) -> Result<Drain<'_, T>, RecvError> {
        let (first, count) = match self.take_places(max) {
            Err(RecvError::Empty) => self.wait_to_take(None, |this| this.take_places(max))?,
            done => done?,
        };
        Ok(Drain::new(self, first, count))
    }

    /// The same, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] or [`RecvError::TimedOut`].
    pub fn drain_deadline(
        &mut self,
        max: usize,
        deadline: Instant,
    ) -> Result<Drain<'_, T>, RecvError> {
        let (first, count) = self.wait_to_take(Some(deadline), |this| this.take_places(max))?;
        Ok(Drain::new(self, first, count))
    }

    /// The same; awaits the first. A future that is dropped has taken nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`].
    pub async fn drain_async(&mut self, max: usize) -> Result<Drain<'_, T>, RecvError> {
        let (first, count) = self.await_to_take(|this| this.take_places(max)).await?;
        Ok(Drain::new(self, first, count))
    }

    /// Shows `each` all items that come, until the ring is closed and empty; blocks while there is
    /// none. Places are given back in batches of what is there, a quarter of the ring at most.
    ///
    /// If `each` panics, the batch counts as received.
    pub fn for_each(&mut self, mut each: impl FnMut(&T)) {
        let most = (self.capacity() / 4).max(1);
        while let Ok(drain) = self.drain(most) {
            drain.iter().for_each(&mut each);
        }
    }

    /// Clones of the items that come, until the ring is closed and empty; blocks while there is none.
    pub fn iter_cloned(&mut self) -> impl Iterator<Item = T>
    where
        T: Clone,
    {
        std::iter::from_fn(move || Some(self.recv().ok()?.clone()))
    }

    /// Clones of the items that are there, until there is none.
    pub fn try_iter_cloned(&mut self) -> impl Iterator<Item = T>
    where
        T: Clone,
    {
        std::iter::from_fn(move || Some(self.try_recv().ok()?.clone()))
    }

    /// Ends the ring: sending is refused from now on, what is inside can still be received, by all.
    /// A send that runs at this very moment may still be taken in; receivers that had seen the end
    /// before see it when they ask again. Dropping the last receiver does the same.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the ring was closed, by either side. There may be items inside.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Items that this receiver has still to get, about: also those that it must leave to others
    /// first.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.len_from(self.next)
    }

    /// Whether there is nothing more to get now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items that the ring has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.capacity() as usize
    }

    /// Counts of what the ring has been through, for its slowest receiver. Takes a short lock.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        self.shared.stats()
    }
}

/// Taking places.
impl<T> Receiver<T> {
    /// Takes up to `max` places with items. Whoever gets them calls `give_back` when done with them.
    #[inline]
    fn take_places(&mut self, max: usize) -> Result<(u64, usize), RecvError> {
        let mut there = self.open.wrapping_sub(self.next);
        if there < max.max(1) as u64 {
            self.look(max.max(1) as u64)?;
            there = self.open.wrapping_sub(self.next);
        }
        let (first, count) = (self.next, there.min(max as u64));
        self.next = first.wrapping_add(count);
        Ok((first, count as usize))
    }

    /// Takes one place with an item.
    #[inline]
    fn take_place(&mut self) -> Result<u64, RecvError> {
        if self.open == self.next {
            self.look(1)?;
        }
        let place = self.next;
        self.next = place.wrapping_add(1);
        Ok(place)
    }

    /// Looks for `wanted` open places, and is content with one.
    #[inline(never)]
    fn look(&mut self, wanted: u64) -> Result<(), RecvError> {
        self.look_once(wanted);
        if self.open != self.next {
            return Ok(());
        }
        if !self.shared.is_closed_acquire() {
            return Err(RecvError::Empty);
        }
        // What was sent before the ring was closed is seen now.
        self.look_once(wanted);
        if self.open != self.next {
            Ok(())
        } else if self.shared.tail.load(Ordering::Relaxed) == self.next {
            Err(RecvError::Closed)
        } else {
            // A sender has still to publish, or those whom this receiver follows to pass.
            Err(RecvError::Empty)
        }
    }

    /// Looks up which places are open.
    #[inline]
    fn look_once(&mut self, wanted: u64) {
        while !self.after.is_empty() {
            match slowest(&self.after, self.next) {
                // All places before the limit are published: stamps only tell which are holes.
                Ok(limit) if self.shared.is_holed() => return self.scan(wanted, limit),
                Ok(limit) => {
                    self.open = limit;
                    return;
                }
                Err(_gone) => settle(&mut self.after),
            }
        }
        if self.shared.stamps().is_some() {
            self.scan(wanted, self.next.wrapping_add(self.shared.capacity()));
        } else {
            // ORDERING: pairs with the release in `publish`.
            self.open = self.shared.tail.load(Ordering::Acquire);
        }
    }

    /// Opens the places that are published with items, up to `wanted`, `limit`, or a hole. Holes that
    /// come first are passed.
    fn scan(&mut self, wanted: u64, limit: u64) {
        let Some(stamps) = self.shared.stamps() else {
            return;
        };
        let mut place = self.open;
        if place == self.next {
            while place != limit && stamps.state(place) == State::Hole {
                place = place.wrapping_add(1);
            }
            if place != self.next {
                (self.next, self.open) = (place, place);
                self.give_back();
            }
        }
        let most = self.next.wrapping_add(wanted.min(self.shared.capacity()));
        while place != limit && place != most && stamps.state(place) == State::Item {
            place = place.wrapping_add(1);
        }
        self.open = place;
    }

    /// Gives back all places that were taken, also those of guards that were forgotten.
    #[inline]
    pub(super) fn give_back(&self) {
        self.station.pass(self.next);
        self.shared.passed(&self.station);
    }

    #[cold]
    fn wait_to_take<R>(
        &mut self,
        deadline: Option<Instant>,
        mut take: impl FnMut(&mut Self) -> Result<R, RecvError>,
    ) -> Result<R, RecvError> {
        let (shared, station) = (Arc::clone(&self.shared), self.station.clone());
        let attempt = || match take(self) {
            Err(RecvError::Empty) => None,
            done => Some(done),
        };
        // Each that waits is woken for itself: there is nobody to wake in turn.
        let taken = shared.side_of(&station).block(deadline, attempt, || false);
        taken.unwrap_or(Err(RecvError::TimedOut))
    }

    async fn await_to_take<R>(
        &mut self,
        mut take: impl FnMut(&mut Self) -> Result<R, RecvError>,
    ) -> Result<R, RecvError> {
        match take(self) {
            Err(RecvError::Empty) => {}
            done => return done,
        }
        let (shared, station) = (Arc::clone(&self.shared), self.station.clone());
        let attempt = || match take(self) {
            Err(RecvError::Empty) => None,
            done => Some(done),
        };
        shared.side_of(&station).wait(attempt, || false).await
    }
}

impl<T: Send + Sync> Handle for Receiver<T> {
    fn side(&self) -> &Side {
        self.shared.side_of(&self.station)
    }

    fn is_ready(&self) -> bool {
        let is_open = match (slowest_live(&self.after, self.next), self.shared.stamps()) {
            (Some(limit), _) => limit != self.next,
            // A hole is to be passed, so there is something to do.
            (None, Some(stamps)) => stamps.state(self.next) != State::Unpublished,
            (None, None) => self.shared.tail.load(Ordering::Relaxed) != self.next,
        };
        let is_at_end = || self.shared.tail.load(Ordering::Relaxed) == self.next;
        is_open || self.shared.is_closed_acquire() && is_at_end()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.leave(&self.station);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("broadcast::Receiver")
            .field("len", &self.len())
            .field("stats", &self.stats())
            .finish()
    }
}
