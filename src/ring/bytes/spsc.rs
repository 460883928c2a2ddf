//! Bytes from one sender to one receiver.
//!
//! The contract of all byte rings is told in [`bytes`](super). This one adds:
//!
//! ```
//! let (mut sender, mut receiver) = ringbolt::ring::bytes::spsc::ring(4096)?;
//! sender.send(b"a copy").unwrap();
//! sender.send_with(4, |room| room.copy_from_slice(b"here")).unwrap();
//! let mut batch = sender.batch();
//! for word in ["sent", "together"] {
//!     batch.push(word.as_bytes()).unwrap();
//! }
//! batch.commit();
//! drop(sender);
//!
//! assert_eq!(*receiver.recv().unwrap(), *b"a copy");
//! let mut lens = Vec::new();
//! receiver.for_each(|record| lens.push(record.len()));
//! assert_eq!(lens, [4, 4, 8]);
//! # Ok::<(), ringbolt::Error>(())
//! ```
//!
//! # Progress
//!
//! All `try_` calls and commits are wait-free (but for copying, and waking a sleeper, which takes a
//! short lock). A stalled sender stalls nobody: the receiver gets what was committed before.
//! A stalled receiver lets the ring fill, then `try_` calls say so.
//!
//! A claim that is dropped or forgotten, or whose fill panics, leaves nothing behind: its room is
//! claimed anew.
//!
//! # Algorithm
//!
//! Lamport's ring (1983), of bytes. Each side keeps a copy of the other's index, and looks it up again
//! only when the copy says full, or empty, as in MCRingBuffer (Lee et al., 2010). A commit is one
//! store. Records have a header that says how long they are; nothing is ever zeroed.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use super::forms::sending;
use super::layout::{HEADER_BYTES, Header, padding_before, record_bytes};
use super::shared::Shared;
use crate::error::Result as RingboltResult;
use crate::ring::handle::Handle;
use crate::ring::side::Side;
use crate::ring::slip::Slip;
use crate::ring::{Refused, RingOptions, RingStats};
use crate::sync::atomic::Ordering;

pub use super::receiver::{Drain, Receiver, Record};

/// A ring of at least `capacity` bytes (rounded up to a power of two, at least 64), with default
/// options.
///
/// # Errors
///
/// [`Invalid`](crate::ErrorKind::Invalid) for no capacity or more than 2^31 bytes,
/// [`OverBudget`](crate::ErrorKind::OverBudget) where there is no memory for so many.
pub fn ring(capacity: usize) -> RingboltResult<(Sender, Receiver)> {
    RingOptions::new(capacity).spsc_bytes()
}

impl RingOptions {
    /// A ring of bytes with one sender and one receiver; see [`bytes::spsc`](crate::ring::bytes::spsc).
    /// The capacity is in bytes.
    ///
    /// # Errors
    ///
    /// Those of [`bytes::spsc::ring`](ring).
    pub fn spsc_bytes(&self) -> RingboltResult<(Sender, Receiver)> {
        let shared = Arc::new(Shared::new(self, false)?);
        let first = shared.first();
        let sender = Sender {
            shared: Arc::clone(&shared),
            tail: first,
            head_seen: first,
            slip: Slip::new(first),
        };
        Ok((sender, Receiver::new(shared)))
    }
}

/// The sending side. Not `Clone`: there is one.
pub struct Sender {
    shared: Arc<Shared>,
    /// What is committed ends here.
    tail: u64,
    /// The last seen of the receiver's head.
    head_seen: u64,
    slip: Slip,
}

sending!([&mut self] self);

impl Sender {
    /// Sends a copy of `payload` if there is room.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`], [`Refused::Closed`] or [`Refused::TooLarge`].
    #[inline]
    pub fn try_send(&mut self, payload: &[u8]) -> Result<(), Refused> {
        let bytes = self.shared.record_bytes(payload.len())?;
        let place = self.place(bytes)?;
        // SAFETY: (1) claimed, in one piece; (2) by the one sender, which has no guard now.
        unsafe {
            self.shared
                .memory
                .copy(place.wrapping_add(HEADER_BYTES), payload);
        }
        self.publish(place, payload.len());
        Ok(())
    }

    /// Begins a batch: records that are sent together. It claims room as it grows.
    #[inline]
    pub fn batch(&mut self) -> Batch<'_> {
        self.batched(self.tail, 0)
    }

    /// Claims `bytes` in one piece; returns where they begin.
    #[inline]
    fn place(&mut self, bytes: u64) -> Result<u64, Refused> {
        let padding = padding_before(self.tail, bytes, self.shared.capacity());
        self.make_room(self.tail.wrapping_add(padding + bytes))?;
        Ok(self.tail.wrapping_add(padding))
    }

    /// Sees to it that all up to `end` is free.
    #[inline]
    fn make_room(&mut self, end: u64) -> Result<(), Refused> {
        let capacity = self.shared.capacity();
        if end.wrapping_sub(self.head_seen) > capacity {
            // ORDERING: pairs with the release in `Receiver::give_back`: what it gave back is read.
            self.head_seen = self.shared.freed();
            // In records like this one.
            let bytes = end.wrapping_sub(self.tail);
            let room = (capacity - self.tail.wrapping_sub(self.head_seen)) / bytes;
            let place = self.tail / bytes;
            if self.slip.caught_up_by(place, room, capacity / bytes) {
                self.head_seen = self.shared.freed();
            }
            if end.wrapping_sub(self.head_seen) > capacity {
                return Err(if self.shared.was_closed() {
                    Refused::Closed
                } else {
                    Refused::Full
                });
            }
        }
        if self.shared.was_closed() {
            return Err(Refused::Closed);
        }
        Ok(())
    }

    /// The room that a claim waits for; the tail stands still meanwhile.
    fn need(&self, bytes: u64) -> u64 {
        padding_before(self.tail, bytes, self.shared.capacity()) + bytes
    }

    #[inline]
    fn claimed(&mut self, place: u64, len: usize) -> Claim<'_> {
        Claim {
            sender: self,
            place,
            len,
        }
    }

    #[inline]
    fn batched(&mut self, _place: u64, _bytes: u64) -> Batch<'_> {
        Batch {
            end: self.tail,
            sender: self,
        }
    }

    /// Commits the record at `place`, the claimed one, and the padding before it.
    #[inline]
    fn publish(&mut self, place: u64, len: usize) {
        self.head_records(self.tail, place, len);
        self.advance(place.wrapping_add(record_bytes(len)));
    }

    /// Writes the header of a record at `place`, and of the padding from `end` up to it.
    #[inline]
    fn head_records(&mut self, end: u64, place: u64, len: usize) {
        let memory = &self.shared.memory;
        // SAFETY: claimed, by the caller's guard.
        unsafe {
            if place != end {
                memory.prepare(end, Header::padding(place.wrapping_sub(end)));
            }
            memory.prepare(place, Header::record(len));
        }
    }

    /// Moves the tail to `end`: commits what lies before.
    #[inline]
    fn advance(&mut self, end: u64) {
        self.tail = end;
        // ORDERING: pairs with the acquire in `Receiver::begins`: records are seen with the tail.
        self.shared.tail.position.store(end, Ordering::Release);
        self.shared.receivers.notify(1);
    }

    /// Ends sending: the receiver gets what is inside, then [`RecvError::Closed`]. Dropping the
    /// sender does the same.
    ///
    /// [`RecvError::Closed`]: crate::ring::RecvError::Closed
    pub fn close(&self) {
        self.shared.close();
    }
}

/// Ready when there is room for the smallest record, or the ring is closed.
impl Handle for Sender {
    fn side(&self) -> &Side {
        &self.shared.senders
    }

    fn is_ready(&self) -> bool {
        self.shared.room() > 0 || self.is_closed()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Room for one record, which dereferences to its bytes, unspecified at first. Sent by
/// [`commit`](Claim::commit); dropped without, it sends nothing.
#[must_use = "a claim that is dropped sends nothing"]
pub struct Claim<'a> {
    sender: &'a mut Sender,
    place: u64,
    len: usize,
}

impl Claim<'_> {
    /// Sends the record.
    #[inline]
    pub fn commit(self) {
        self.sender.publish(self.place, self.len);
    }

    /// Sends the first `len` bytes as the record.
    ///
    /// # Panics
    ///
    /// When more was asked for than is claimed; nothing is sent then.
    #[inline]
    pub fn commit_len(self, len: usize) {
        assert!(len <= self.len, "longer than the claim");
        self.sender.publish(self.place, len);
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let payload = self.place.wrapping_add(HEADER_BYTES);
        // SAFETY: (1) claimed, in one piece; (2) written through this guard alone.
        unsafe { self.sender.shared.memory.payload(payload, self.len) }
    }
}

impl DerefMut for Claim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let payload = self.place.wrapping_add(HEADER_BYTES);
        // SAFETY: (1) claimed, in one piece; (2) reached through this guard alone, which is borrowed.
        unsafe { self.sender.shared.memory.payload_mut(payload, self.len) }
    }
}

/// Records that are sent together by [`commit`](Batch::commit). Dropped without, it sends nothing.
#[must_use = "a batch that is dropped sends nothing"]
pub struct Batch<'a> {
    sender: &'a mut Sender,
    /// Where the next record goes.
    end: u64,
}

impl Batch<'_> {
    /// Appends a copy of `payload`.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`]: there is no room now for one more; commit, so that the receiver can make
    /// some. What a batch was [claimed](Sender::claim_batch) for always fits. [`Refused::Closed`],
    /// [`Refused::TooLarge`].
    #[inline]
    pub fn push(&mut self, payload: &[u8]) -> Result<(), Refused> {
        self.push_with(payload.len(), |room| room.copy_from_slice(payload))
    }

    /// Appends a record of `len` bytes that `fill` writes in place. What is there before is
    /// unspecified. If `fill` panics, the batch is as before.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Batch::push); `fill` has not run then.
    #[inline]
    pub fn push_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<(), Refused> {
        let bytes = self.sender.shared.record_bytes(len)?;
        let padding = padding_before(self.end, bytes, self.sender.shared.capacity());
        let place = self.end.wrapping_add(padding);
        let end = place.wrapping_add(bytes);
        self.sender.make_room(end)?;
        let payload = place.wrapping_add(HEADER_BYTES);
        // SAFETY: (1) free, in one piece; (2) reached through this guard alone.
        fill(unsafe { self.sender.shared.memory.payload_mut(payload, len) });
        self.sender.head_records(self.end, place, len);
        self.end = end;
        Ok(())
    }

    /// Sends the records.
    #[inline]
    pub fn commit(self) {
        if self.end != self.sender.tail {
            self.sender.advance(self.end);
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("bytes::spsc::Sender")
            .field("stats", &self.stats())
            .finish()
    }
}
