//! The receiving side.

use std::fmt;
use std::time::Instant;

use super::cells::Look;
use super::{Drain, Missed, NoUninit, RecvError, Shared, Stats};
use crate::ring::handle::Handle;
use crate::ring::side::Side;
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

/// A receiving side. A clone goes on from the same place, by itself.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The place of the next item for this receiver.
    head: u64,
    received: u64,
    missed: u64,
}

impl<T: NoUninit + Send> Receiver<T> {
    /// Receives the next item if there is one.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`], [`RecvError::Closed`], or [`RecvError::Missed`]: the next call goes on
    /// with the oldest item that is still there.
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        let item = self.peek()?;
        self.pass();
        Ok(item)
    }

    /// Receives the next item; blocks while there is none.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] or [`RecvError::Missed`].
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        let item = self.wait_to_peek(None)?;
        self.pass();
        Ok(item)
    }

    /// Receives the next item; blocks while there is none, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`], [`RecvError::Missed`] or [`RecvError::TimedOut`].
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, RecvError> {
        let item = self.wait_to_peek(Some(deadline))?;
        self.pass();
        Ok(item)
    }

    /// Receives the next item; awaits it. A future that is dropped has received nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] or [`RecvError::Missed`].
    pub async fn recv_async(&mut self) -> Result<T, RecvError> {
        let item = self.await_to_peek().await?;
        self.pass();
        Ok(item)
    }

    /// Up to `max` items that are there, at least one, as an iterator which copies each when it is
    /// asked for it. It ends early where there are no more, and where the sender overran it: the
    /// next call tells. What was not iterated over is there for the next call.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`], [`RecvError::Closed`] or [`RecvError::Missed`].
    #[inline]
    pub fn try_drain(&mut self, max: usize) -> Result<Drain<'_, T>, RecvError> {
        let first = self.peek()?;
        Ok(Drain::new(self, first, max))
    }

    /// The same; blocks until there is at least one.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] or [`RecvError::Missed`].
    #[inline]
    pub fn drain(&mut self, max: usize) -> Result<Drain<'_, T>, RecvError> {
        let first = self.wait_to_peek(None)?;
        Ok(Drain::new(self, first, max))
    }

    /// The same, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`], [`RecvError::Missed`] or [`RecvError::TimedOut`].
    pub fn drain_deadline(
        &mut self,
        max: usize,
        deadline: Instant,
    ) -> Result<Drain<'_, T>, RecvError> {
        let first = self.wait_to_peek(Some(deadline))?;
        Ok(Drain::new(self, first, max))
    }

    /// The same; awaits the first. A future that is dropped has taken nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] or [`RecvError::Missed`].
    pub async fn drain_async(&mut self, max: usize) -> Result<Drain<'_, T>, RecvError> {
        let first = self.await_to_peek().await?;
        Ok(Drain::new(self, first, max))
    }

    /// The items that come, and what was missed between them, until the ring is closed and empty;
    /// blocks while there are none.
    pub fn iter(&mut self) -> impl Iterator<Item = Result<T, Missed>> {
        std::iter::from_fn(move || missed_or_end(self.recv()))
    }

    /// The items that are there, and what was missed between them.
    pub fn try_iter(&mut self) -> impl Iterator<Item = Result<T, Missed>> {
        std::iter::from_fn(move || missed_or_end(self.try_recv()))
    }

    /// Leaves out what is there but for the newest item; says how many, which count as missed.
    pub fn skip_to_newest(&mut self) -> u64 {
        let skipped = self.behind().saturating_sub(1);
        self.miss(skipped);
        skipped
    }

    /// A new receiver, which gets what is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Self {
        // ORDERING: relaxed: a number, no more. What lies before it is not looked at.
        Self::new(&self.shared, self.shared.tail.load(Ordering::Relaxed))
    }

    /// A copy of the next item, which stays the next. Only of what was missed, once it is told, is
    /// nothing left.
    #[inline]
    fn peek(&mut self) -> Result<T, RecvError> {
        let mut look = self.shared.cells.look(self.head);
        if matches!(look, Look::Nothing) {
            // ORDERING: pairs with the release in `Shared::close`: what was sent before is seen
            // by the second look.
            if !self.shared.closed.load(Ordering::Acquire) {
                return Err(RecvError::Empty);
            }
            look = self.shared.cells.look(self.head);
        }
        match look {
            Look::Item(item) => Ok(item),
            Look::Nothing => Err(RecvError::Closed),
            Look::Overrun { ahead } => Err(RecvError::Missed(self.overrun(ahead))),
        }
    }

    /// A copy of the next item, if it is there.
    #[inline]
    pub(super) fn peek_item(&self) -> Option<T> {
        match self.shared.cells.look(self.head) {
            Look::Item(item) => Some(item),
            Look::Nothing | Look::Overrun { .. } => None,
        }
    }

    /// The item that was peeked at is received.
    #[inline]
    pub(super) fn pass(&mut self) {
        self.head = self.head.wrapping_add(1);
        self.received += 1;
    }

    /// Goes on with the oldest item that is still there; says how many are not. The slot of the
    /// head has been given to a place `ahead` of it.
    #[cold]
    fn overrun(&mut self, ahead: u64) -> u64 {
        // All others of the last round may still be there. The tail may know better, or be late.
        let capacity = self.shared.cells.capacity();
        let missed = (ahead + 1 - capacity).max(self.behind().saturating_sub(capacity));
        self.miss(missed);
        missed
    }

    fn miss(&mut self, count: u64) {
        self.head = self.head.wrapping_add(count);
        self.missed += count;
        self.shared.missed.fetch_add(count, Ordering::Relaxed);
    }

    #[inline]
    fn wait_to_peek(&mut self, deadline: Option<Instant>) -> Result<T, RecvError> {
        match self.peek() {
            Err(RecvError::Empty) => self.block_to_peek(deadline),
            done => done,
        }
    }

    #[cold]
    fn block_to_peek(&mut self, deadline: Option<Instant>) -> Result<T, RecvError> {
        let shared = Arc::clone(&self.shared);
        let attempt = || match self.peek() {
            Err(RecvError::Empty) => None,
            done => Some(done),
        };
        // All are woken for each item: nobody has to pass a wake-up on.
        let peeked = shared.receivers.block(deadline, attempt, || false);
        peeked.unwrap_or(Err(RecvError::TimedOut))
    }

    async fn await_to_peek(&mut self) -> Result<T, RecvError> {
        match self.peek() {
            Err(RecvError::Empty) => {}
            done => return done,
        }
        let shared = Arc::clone(&self.shared);
        let attempt = || match self.peek() {
            Err(RecvError::Empty) => None,
            done => Some(done),
        };
        shared.receivers.wait(attempt, || false).await
    }
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: &Arc<Shared<T>>, head: u64) -> Self {
        shared.count.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(shared),
            head,
            received: 0,
            missed: 0,
        }
    }

    /// Items that this receiver got since it was made.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Items that this receiver was told to have missed, or skipped, since it was made.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// How many items were sent that this receiver has not seen, about: the sender goes on
    /// meanwhile. More than the capacity: some of them are lost already.
    #[must_use]
    pub fn behind(&self) -> u64 {
        // ORDERING: pairs with the release in `Sender::write`: the items that this tells of are found.
        let tail = self.shared.tail.load(Ordering::Acquire);
        // An item is received before the tail tells of it.
        (tail.wrapping_sub(self.head) as i64).max(0) as u64
    }

    /// Items inside for this receiver, about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.behind().min(self.shared.cells.capacity()) as usize
    }

    /// Whether nothing is inside for this receiver.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the ring, for all: sending is refused from now on, what is inside can still be received.
    /// A send that runs at this very moment may still be taken in. (Dropping receivers, even all,
    /// ends nothing: there may be new ones.)
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the ring is closed. There may be items inside.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// Items that the ring has room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.cells.capacity() as usize
    }

    /// Counts of what the ring has been through.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

/// What an iterator gives for the outcome of a receive.
fn missed_or_end<T>(outcome: Result<T, RecvError>) -> Option<Result<T, Missed>> {
    match outcome {
        Ok(item) => Some(Ok(item)),
        Err(RecvError::Missed(count)) => Some(Err(Missed(count))),
        Err(_) => None,
    }
}

impl<T: NoUninit + Send> Handle for Receiver<T> {
    fn side(&self) -> &Side {
        &self.shared.receivers
    }

    fn is_ready(&self) -> bool {
        self.shared.cells.is_beyond(self.head) || self.is_closed()
    }
}

impl<T> Clone for Receiver<T> {
    /// A receiver that goes on from the same place. Its own counts begin at zero.
    fn clone(&self) -> Self {
        Self::new(&self.shared, self.head)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("lossy::Receiver")
            .field("received", &self.received)
            .field("missed", &self.missed)
            .field("stats", &self.stats())
            .finish()
    }
}
