//! Bytes from many senders to one receiver.
//!
//! The contract of all byte rings is told in [`bytes`](super). This one adds:
//!
//! ```
//! let (sender, mut receiver) = ringbolt::ring::bytes::mpsc::ring(4096)?;
//! let threads: Vec<_> = (0..2_u8)
//!     .map(|number| {
//!         let sender = sender.clone();
//!         std::thread::spawn(move || {
//!             for _ in 0..100 {
//!                 sender.send(&[number; 24]).unwrap();
//!             }
//!         })
//!     })
//!     .collect();
//! drop(sender);
//! let mut counts = [0; 2];
//! receiver.for_each(|record| counts[usize::from(record[0])] += 1);
//! assert_eq!(counts, [100; 2]);
//! # threads.into_iter().for_each(|thread| thread.join().unwrap());
//! # Ok::<(), ringbolt::Error>(())
//! ```
//!
//! # Progress
//!
//! `try_send`, `try_claim` and the like are lock-free: a claim is a compare-and-swap, which is tried
//! again only when another sender has claimed. Commits are wait-free. `try_recv` and `try_drain` are
//! wait-free. (All but for copying, zeroing, and waking a sleeper, which takes a short lock.)
//!
//! A sender that stalls between claim and commit stalls the receiver when that comes to its record,
//! and, once the ring is full, the other senders. So does a claim that is forgotten (`mem::forget`), for
//! ever: it never corrupts, and it is seen in [`stats`](Sender::stats), where `received` stands still
//! below `sent`. A claim that is dropped, or whose fill panics, becomes padding, whose room the
//! receiver gives back when it next looks for a record.
//!
//! Records of one sender arrive in the order of its claims. [`Claim`] and [`Batch`] are not `Send`: a
//! task that pends while it holds one would stall everybody.
//!
//! ```compile_fail,E0277
//! fn sends<T: Send>(_: T) {}
//! let (sender, _receiver) = ringbolt::ring::bytes::mpsc::ring(64).unwrap();
//! sends(sender.claim(8).unwrap());
//! ```
//!
//! # Algorithm
//!
//! That of the many-to-one ring of Agrona and Aeron (Real Logic): claim by moving the tail, fill, and
//! store the header last; the receiver zeroes what it gives back. Unlike there the closing is a bit
//! in the tail, so that after it no claim is made, and the head that senders compare with lies on the
//! line of the tail.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use super::forms::sending;
use super::layout::{HEADER_BYTES, Header, padding_before, record_bytes};
use super::shared::{CLOSED, Shared};
use crate::error::Result as RingboltResult;
use crate::ring::handle::Handle;
use crate::ring::multi::Pace;
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
    RingOptions::new(capacity).mpsc_bytes()
}

impl RingOptions {
    /// A ring of bytes with many senders and one receiver; see
    /// [`bytes::mpsc`](crate::ring::bytes::mpsc). The capacity is in bytes.
    ///
    /// # Errors
    ///
    /// Those of [`bytes::mpsc::ring`](ring).
    pub fn mpsc_bytes(&self) -> RingboltResult<(Sender, Receiver)> {
        let shared = Arc::new(Shared::new(self, true)?);
        let sender = Sender {
            shared: Arc::clone(&shared),
            pace: Pace::default(),
            slip: Slip::new(0),
        };
        Ok((sender, Receiver::new(shared)))
    }
}

/// A sending side. `Clone` it for more senders; one may also be shared.
pub struct Sender {
    shared: Arc<Shared>,
    pace: Pace,
    slip: Slip,
}

sending!([&self] self);

impl Sender {
    /// Sends a copy of `payload` if there is room.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`], [`Refused::Closed`] or [`Refused::TooLarge`].
    #[inline]
    pub fn try_send(&self, payload: &[u8]) -> Result<(), Refused> {
        let bytes = self.shared.record_bytes(payload.len())?;
        let place = self.place(bytes)?;
        // SAFETY: (1) claimed, in one piece; (2) by this call, which gives it up below.
        unsafe {
            self.shared
                .memory
                .copy(place.wrapping_add(HEADER_BYTES), payload);
            self.shared
                .memory
                .commit(place, Header::record(payload.len()));
        }
        self.shared.receivers.notify(1);
        Ok(())
    }

    /// Claims `bytes` in one piece; returns where they begin.
    #[inline]
    fn place(&self, bytes: u64) -> Result<u64, Refused> {
        let capacity = self.shared.capacity();
        let shared = &self.shared.tail;
        loop {
            // ORDERING: pairs with the release below and, through it, with that in
            // `Receiver::give_back`: what was given back is read, and zeroed. And the tail below is
            // not older than this head.
            let head = shared.head_seen.load(Ordering::Acquire);
            let tail = shared.position.load(Ordering::Relaxed);
            if tail & CLOSED != 0 {
                return Err(Refused::Closed);
            }
            let padding = padding_before(tail, bytes, capacity);
            let end = tail.wrapping_add(padding + bytes);
            if end.wrapping_sub(head) > capacity {
                // ORDERING: pairs with the release in `Receiver::give_back`.
                let mut now = self.shared.freed();
                if now == head {
                    return Err(Refused::Full);
                }
                // In records like this one.
                let room = capacity.wrapping_sub(tail.wrapping_sub(now)) / bytes;
                if self.slip.caught_up_by(tail / bytes, room, capacity / bytes) {
                    now = self.shared.freed();
                }
                // An older one may overwrite a newer: then the next sender looks again.
                // ORDERING: pairs with the acquire above.
                shared.head_seen.store(now, Ordering::Release);
                continue;
            }
            // ORDERING: relaxed: the tail hands nothing over, it only keeps claims apart.
            let claimed = shared.position.compare_exchange_weak(
                tail,
                end,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if claimed.is_err() {
                self.pace.lost(tail / bytes);
                continue;
            }
            if padding > 0 {
                // SAFETY: claimed above.
                unsafe { self.shared.memory.commit(tail, Header::padding(padding)) };
            }
            return Ok(tail.wrapping_add(padding));
        }
    }

    /// The room that a claim waits for. Padding may be needed too, or not, when others have claimed.
    fn need(&self, bytes: u64) -> u64 {
        bytes
    }

    #[inline]
    fn claimed(&self, place: u64, len: usize) -> Claim<'_> {
        Claim {
            shared: &self.shared,
            place,
            len,
            _local: PhantomData,
        }
    }

    #[inline]
    fn batched(&self, place: u64, bytes: u64) -> Batch<'_> {
        Batch {
            shared: &self.shared,
            place,
            bytes,
            filled: 0,
            first: None,
            _local: PhantomData,
        }
    }

    /// Ends sending, of all senders: the receiver gets what was claimed before and is committed, then
    /// [`RecvError::Closed`]. Dropping the last sender does the same.
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

impl Clone for Sender {
    fn clone(&self) -> Self {
        self.shared.tail.handles.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(&self.shared),
            pace: Pace::default(),
            slip: Slip::new(0),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // ORDERING: the last one's acquire pairs with the others' release: what they committed is
        // seen by whoever sees the ring closed.
        if self.shared.tail.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.close();
        }
    }
}

/// Room for one record, which dereferences to its bytes, unspecified at first. Sent by
/// [`commit`](Claim::commit); dropped without, it becomes padding.
#[must_use = "a claim that is dropped becomes padding"]
pub struct Claim<'a> {
    shared: &'a Shared,
    place: u64,
    len: usize,
    /// Not `Send`: see the module's head.
    _local: PhantomData<*mut ()>,
}

impl Claim<'_> {
    /// Sends the record.
    #[inline]
    pub fn commit(self) {
        let record = Header::record(self.len);
        self.end(record);
    }

    /// Sends the first `len` bytes as the record; the rest becomes padding.
    ///
    /// # Panics
    ///
    /// When more was asked for than is claimed; nothing is sent then.
    #[inline]
    pub fn commit_len(self, len: usize) {
        assert!(len <= self.len, "longer than the claim");
        let used = record_bytes(len);
        let rest = record_bytes(self.len) - used;
        if rest > 0 {
            // SAFETY: inside of the claim.
            unsafe {
                self.shared
                    .memory
                    .prepare(self.place.wrapping_add(used), Header::padding(rest));
            }
        }
        self.end(Header::record(len));
    }

    #[inline]
    fn end(self, header: Header) {
        publish(self.shared, self.place, header);
        std::mem::forget(self);
    }
}

/// Ends a claim.
#[inline]
fn publish(shared: &Shared, place: u64, header: Header) {
    // SAFETY: the only callers are guards, which end their own claims once, complete.
    unsafe { shared.memory.commit(place, header) };
    shared.receivers.notify(1);
}

impl Deref for Claim<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let payload = self.place.wrapping_add(HEADER_BYTES);
        // SAFETY: (1) claimed, in one piece; (2) written through this guard alone.
        unsafe { self.shared.memory.payload(payload, self.len) }
    }
}

impl DerefMut for Claim<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let payload = self.place.wrapping_add(HEADER_BYTES);
        // SAFETY: (1) claimed, in one piece; (2) reached through this guard alone, which is borrowed.
        unsafe { self.shared.memory.payload_mut(payload, self.len) }
    }
}

impl Drop for Claim<'_> {
    #[cold]
    fn drop(&mut self) {
        publish(
            self.shared,
            self.place,
            Header::padding(record_bytes(self.len)),
        );
    }
}

/// Room for several records, sent together by [`commit`](Batch::commit): nobody else's come between.
/// Dropped without, it becomes padding.
#[must_use = "a batch that is dropped becomes padding"]
pub struct Batch<'a> {
    shared: &'a Shared,
    place: u64,
    bytes: u64,
    filled: u64,
    /// The header of the first record, which is written last.
    first: Option<Header>,
    /// Not `Send`: see the module's head.
    _local: PhantomData<*mut ()>,
}

impl Batch<'_> {
    /// Appends a copy of `payload`.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`]: the room that was claimed is used up. What the batch was claimed for always
    /// fits.
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
        let room = self.bytes - self.filled;
        if room < HEADER_BYTES || len as u64 > room - HEADER_BYTES {
            return Err(Refused::Full);
        }
        let place = self.place.wrapping_add(self.filled);
        let payload = place.wrapping_add(HEADER_BYTES);
        // SAFETY: (1) claimed, in one piece; (2) reached through this guard alone.
        fill(unsafe { self.shared.memory.payload_mut(payload, len) });
        self.prepare(Header::record(len));
        self.filled += record_bytes(len);
        Ok(())
    }

    #[inline]
    fn prepare(&mut self, header: Header) {
        if self.filled == 0 {
            self.first = Some(header);
        } else {
            let place = self.place.wrapping_add(self.filled);
            // SAFETY: inside of the claim.
            unsafe { self.shared.memory.prepare(place, header) };
        }
    }

    /// Sends the records; room that was not used becomes padding.
    #[inline]
    pub fn commit(mut self) {
        let rest = self.bytes - self.filled;
        if rest > 0 {
            self.prepare(Header::padding(rest));
        }
        if let Some(first) = self.first {
            publish(self.shared, self.place, first);
            std::mem::forget(self);
        }
    }
}

impl Drop for Batch<'_> {
    #[cold]
    fn drop(&mut self) {
        // One padding over all of it: headers that were written inside are zeroed with it, unread.
        publish(self.shared, self.place, Header::padding(self.bytes));
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("bytes::mpsc::Sender")
            .field("stats", &self.stats())
            .finish()
    }
}
