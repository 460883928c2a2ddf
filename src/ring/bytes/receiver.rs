//! The receiving side, which is the same whoever sends.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use super::layout::{Begins, record_bytes};
use super::shared::Shared;
use crate::ring::handle::Handle;
use crate::ring::side::Side;
use crate::ring::slip::Slip;
use crate::ring::{RecvError, RingStats};
use crate::sync::atomic::Ordering;

/// A drain gives back what it has read when it is this part of the ring, and at its end.
const GIVE_BACK_PARTS: u64 = 4;

/// The receiving side. Not `Clone`: there is one.
pub struct Receiver {
    shared: Arc<Shared>,
    /// What is taken ends here.
    head: u64,
    /// Records so far.
    taken: u64,
    /// Of one sender: what is known to be committed ends here.
    tail_seen: u64,
    /// Of many senders: what is taken and zeroed again ends here.
    cleared: u64,
    /// What the senders know to be theirs again ends here.
    given_back: u64,
    slip: Slip,
}

impl Receiver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let first = shared.first();
        Self {
            shared,
            head: first,
            taken: 0,
            tail_seen: first,
            slip: Slip::new(0),
            cleared: first,
            given_back: first,
        }
    }

    /// Receives the next record if there is one: a guard that gives its room back when dropped.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] or [`RecvError::Closed`].
    #[inline]
    pub fn try_recv(&mut self) -> Result<Record<'_>, RecvError> {
        let len = self.find()?;
        Ok(self.record(len))
    }

    /// Receives the next record; blocks while the ring is empty.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`].
    #[inline]
    pub fn recv(&mut self) -> Result<Record<'_>, RecvError> {
        let len = match self.find() {
            Err(RecvError::Empty) => self.wait_to_find(None)?,
            found => found?,
        };
        Ok(self.record(len))
    }

    /// Receives the next record; blocks while the ring is empty, until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`] or [`RecvError::TimedOut`].
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Record<'_>, RecvError> {
        let len = match self.find() {
            Err(RecvError::Empty) => self.wait_to_find(Some(deadline))?,
            found => found?,
        };
        Ok(self.record(len))
    }

    /// Receives the next record; awaits it. A future that is dropped has received nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`].
    pub async fn recv_async(&mut self) -> Result<Record<'_>, RecvError> {
        let len = self.await_to_find().await?;
        Ok(self.record(len))
    }

    /// Reads up to `max` records that are there, in place, one after another. Records that were not
    /// read stay in the ring.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] or [`RecvError::Closed`].
    #[inline]
    pub fn try_drain(&mut self, max: usize) -> Result<Drain<'_>, RecvError> {
        self.find()?;
        Ok(self.drained(max))
    }

    /// The same; blocks until there is at least one.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`].
    #[inline]
    pub fn drain(&mut self, max: usize) -> Result<Drain<'_>, RecvError> {
        match self.find() {
            Err(RecvError::Empty) => self.wait_to_find(None)?,
            found => found?,
        };
        Ok(self.drained(max))
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
    ) -> Result<Drain<'_>, RecvError> {
        match self.find() {
            Err(RecvError::Empty) => self.wait_to_find(Some(deadline))?,
            found => found?,
        };
        Ok(self.drained(max))
    }

    /// The same; awaits the first. A future that is dropped has taken nothing.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`].
    pub async fn drain_async(&mut self, max: usize) -> Result<Drain<'_>, RecvError> {
        self.await_to_find().await?;
        Ok(self.drained(max))
    }

    /// Reads all records that come, in place, until the ring is closed and empty; blocks while it is
    /// empty. If `read` panics, its record counts as received.
    pub fn for_each(&mut self, mut read: impl FnMut(&[u8])) {
        while let Ok(drain) = self.drain(usize::MAX) {
            drain.for_each(&mut read);
        }
    }

    /// The length of the next record, which is not taken yet.
    #[inline]
    fn find(&mut self) -> Result<usize, RecvError> {
        self.clear();
        match self.begins() {
            Begins::Record(len) => Ok(len),
            _ => self.find_further(),
        }
    }

    /// What begins at the head. Many senders commit each record by its header; a single one by its
    /// tail, behind which no header is looked at.
    #[inline]
    fn begins(&mut self) -> Begins {
        if !self.shared.many && self.tail_seen == self.head {
            // ORDERING: pairs with the release in `spsc::Sender::advance`.
            self.tail_seen = self.shared.tail.position.load(Ordering::Acquire);
            if self.tail_seen == self.head {
                return Begins::Nothing;
            }
        }
        self.shared.memory.header(self.head).begins()
    }

    /// Takes padding, and looks whether the ring is closed if there is nothing behind it.
    #[inline(never)]
    fn find_further(&mut self) -> Result<usize, RecvError> {
        let mut closed = false;
        loop {
            match self.begins() {
                Begins::Record(len) => return Ok(len),
                Begins::Padding(bytes) => {
                    self.head = self.head.wrapping_add(bytes);
                    self.clear();
                }
                Begins::Nothing => {
                    // A leaked guard, a drain or the padding above may not have told.
                    if self.given_back != self.head {
                        self.give_back();
                    }
                    if closed && self.shared.tail() == self.head {
                        return Err(RecvError::Closed);
                    }
                    // What was committed before the ring was closed is seen if that is: once more.
                    if closed || !self.shared.is_closed() {
                        self.slip.caught_up(self.taken);
                        return Err(RecvError::Empty);
                    }
                    closed = true;
                }
            }
        }
    }

    #[inline]
    fn record(&mut self, len: usize) -> Record<'_> {
        let position = self.take(len);
        Record {
            receiver: self,
            position,
            len,
        }
    }

    #[inline]
    fn drained(&mut self, max: usize) -> Drain<'_> {
        Drain {
            receiver: self,
            left: max,
        }
    }

    /// Takes the record that [`find`](Receiver::find) has found; returns where its payload begins.
    #[inline]
    fn take(&mut self, len: usize) -> u64 {
        let payload = self.head.wrapping_add(super::layout::HEADER_BYTES);
        self.head = self.head.wrapping_add(record_bytes(len));
        self.taken = self.taken.wrapping_add(1);
        payload
    }

    /// Zeroes what was taken: no header may be read from it in the next lap. A single sender's are not
    /// looked at before they are committed.
    #[inline]
    fn clear(&mut self) {
        if self.shared.many && self.cleared != self.head {
            // SAFETY: committed and taken, by this receiver. Guards that referred to it borrowed the
            // receiver, which is free again.
            unsafe { self.shared.memory.clear(self.cleared, self.head) };
            self.cleared = self.head;
        }
    }

    /// Gives all that was taken back to the senders.
    #[inline]
    fn give_back(&mut self) {
        self.clear();
        // ORDERING: pairs with the acquire of the senders' look at the head: the bytes are read, and
        // zeroed where they must be, before they are given up.
        self.shared.head.store(self.head, Ordering::Release);
        self.given_back = self.head;
        self.shared.senders.notify_reached(|| self.shared.room());
    }

    #[cold]
    fn wait_to_find(&mut self, deadline: Option<Instant>) -> Result<usize, RecvError> {
        let shared = Arc::clone(&self.shared);
        let attempt = || match self.find() {
            Err(RecvError::Empty) => None,
            found => Some(found),
        };
        let found = shared.receivers.block(deadline, attempt, || false);
        found.unwrap_or(Err(RecvError::TimedOut))
    }

    async fn await_to_find(&mut self) -> Result<usize, RecvError> {
        match self.find() {
            Err(RecvError::Empty) => {}
            found => return found,
        }
        let shared = Arc::clone(&self.shared);
        let attempt = || match self.find() {
            Err(RecvError::Empty) => None,
            found => Some(found),
        };
        shared.receivers.wait(attempt, || false).await
    }

    /// Ends the ring: sending is refused from now on, what is inside can still be received. Dropping
    /// the receiver does the same.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether either side has closed the ring. There may be records inside.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Bytes inside, with headers and padding, about: senders go on meanwhile.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether nothing is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ring's size in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.capacity() as usize
    }

    /// The largest record.
    #[must_use]
    pub fn payload_bytes_max(&self) -> usize {
        self.shared.payload_bytes_max()
    }

    /// Counts of what the ring has been through, in bytes.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        self.shared.stats()
    }
}

/// Ready when something is committed, if only padding, or the ring is closed and empty.
impl Handle for Receiver {
    fn side(&self) -> &Side {
        &self.shared.receivers
    }

    fn is_ready(&self) -> bool {
        let shared = &self.shared;
        // What guards that were forgotten kept is told by the next call; of many senders, what lies at
        // the head may be theirs until then.
        let untold = self.given_back != self.head;
        let is_there = match shared.many {
            true => shared.memory.header(self.head).begins() != Begins::Nothing,
            false => shared.tail() != self.head,
        };
        untold || is_there || (shared.is_closed() && shared.tail() == self.head)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// A record in its place in the ring. Dereferences to its bytes; dropping it gives its room back.
///
/// One that is forgotten (`mem::forget`) keeps its room until a later call of the receiver, and is not
/// received again.
#[must_use = "a record that is dropped has been received"]
pub struct Record<'a> {
    receiver: &'a mut Receiver,
    position: u64,
    len: usize,
}

impl Deref for Record<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: (1) found committed; (2) it is given back when the guard is gone.
        unsafe { self.receiver.shared.memory.payload(self.position, self.len) }
    }
}

impl AsRef<[u8]> for Record<'_> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Record<'_> {
    #[inline]
    fn drop(&mut self) {
        self.receiver.give_back();
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Records that are there, read in place one after another. See [`Receiver::try_drain`].
///
/// Each is valid until the next is asked for. Room is given back when a quarter of the ring has been
/// read, and when the drain is dropped; one that is forgotten keeps its room until a later call of
/// the receiver.
#[must_use = "a drain does nothing until it is read"]
pub struct Drain<'a> {
    receiver: &'a mut Receiver,
    left: usize,
}

impl Drain<'_> {
    /// The next record; `None` when there is none, or as many as were asked for have been read.
    #[allow(clippy::should_implement_trait)] // a record lives until the next call
    #[inline]
    pub fn next(&mut self) -> Option<&[u8]> {
        let left = self.left.checked_sub(1)?;
        let receiver = &mut *self.receiver;
        let unknown = receiver.head.wrapping_sub(receiver.given_back);
        if unknown >= receiver.shared.capacity() / GIVE_BACK_PARTS {
            receiver.give_back();
        }
        let len = receiver.find().ok()?;
        self.left = left;
        let position = receiver.take(len);
        // SAFETY: (1) found committed; (2) it is given back by later calls, which borrow
        // the drain, or its drop.
        Some(unsafe { receiver.shared.memory.payload(position, len) })
    }

    /// Reads all of them.
    #[inline]
    pub fn for_each(mut self, mut read: impl FnMut(&[u8])) {
        while let Some(record) = self.next() {
            read(record);
        }
    }
}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.receiver.given_back != self.receiver.head {
            self.receiver.give_back();
        }
    }
}

impl fmt::Debug for Drain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("left", &self.left).finish()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("bytes::Receiver")
            .field("stats", &self.stats())
            .finish()
    }
}
