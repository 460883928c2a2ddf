//! What both ends of a byte ring share, whoever sends.

use crossbeam_utils::CachePadded;

use super::layout::{CAPACITY_BYTES_MIN, GRANULE_BYTES, HEADER_BYTES, record_bytes_max};
use super::memory::Memory;
use crate::error::Result;
use crate::ring::side::Side;
use crate::ring::{Refused, RingOptions, RingStats};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// In [`Tail::position`]: no more claims. Positions are multiples of the granule.
pub(super) const CLOSED: u64 = 1;

pub(super) struct Shared {
    // Read by both, rarely written.
    pub(super) memory: Memory,
    closed: AtomicBool,
    /// Whether senders claim by comparing and swapping the tail. A single one stores it, and nobody else
    /// may.
    pub(super) many: bool,
    pub(super) senders: Side,
    pub(super) receivers: Side,
    first: u64,
    /// Written by senders.
    pub(super) tail: CachePadded<Tail>,
    /// The first position that the receiver has not given back. Written by the receiver.
    pub(super) head: CachePadded<AtomicU64>,
}

pub(super) struct Tail {
    /// The first position that no sender has claimed (or, of one sender, committed), and [`CLOSED`].
    pub(super) position: AtomicU64,
    /// A head that some sender saw.
    pub(super) head_seen: AtomicU64,
    /// Handles that can send.
    pub(super) handles: AtomicU64,
}

impl Shared {
    pub(super) fn new(options: &RingOptions, many: bool) -> Result<Self> {
        let capacity = options.capacity()?.max(CAPACITY_BYTES_MIN);
        let first = options.first & !(GRANULE_BYTES - 1);
        Ok(Self {
            memory: Memory::new(capacity)?,
            closed: AtomicBool::new(false),
            many,
            senders: Side::of_senders(options.wait),
            receivers: Side::new(options.wait),
            first,
            tail: CachePadded::new(Tail {
                position: AtomicU64::new(first),
                head_seen: AtomicU64::new(first),
                handles: AtomicU64::new(1),
            }),
            head: CachePadded::new(AtomicU64::new(first)),
        })
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    #[inline]
    pub(super) fn capacity(&self) -> u64 {
        self.memory.capacity()
    }

    /// The most that one claim may take.
    #[inline]
    pub(super) fn claim_bytes_max(&self) -> u64 {
        record_bytes_max(self.capacity())
    }

    pub(super) fn payload_bytes_max(&self) -> usize {
        (self.claim_bytes_max() - HEADER_BYTES) as usize
    }

    /// What a record takes, if the ring can ever hold it.
    #[inline]
    pub(super) fn record_bytes(&self, payload_bytes: usize) -> Result<u64, Refused> {
        if payload_bytes > self.payload_bytes_max() {
            return Err(Refused::TooLarge);
        }
        Ok(super::layout::record_bytes(payload_bytes))
    }

    /// What a batch takes, if the ring can ever hold it.
    pub(super) fn batch_bytes(&self, records: usize, payload_bytes: usize) -> Result<u64, Refused> {
        super::layout::batch_bytes(records, payload_bytes)
            .filter(|&bytes| bytes <= self.claim_bytes_max())
            .ok_or(Refused::TooLarge)
    }

    /// The first position that is not given back.
    #[inline]
    pub(super) fn freed(&self) -> u64 {
        // ORDERING: pairs with the release in `Receiver::give_back`: the bytes are read, and zeroed
        // where they must be.
        self.head.load(Ordering::Acquire)
    }

    /// The tail, without its flag.
    #[inline]
    pub(super) fn tail(&self) -> u64 {
        self.tail.position.load(Ordering::Relaxed) & !CLOSED
    }

    /// Whether the ring is closed. If so, the tail that is seen next has all that can be claimed.
    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        // ORDERING: pairs with the release in `close`.
        self.closed.load(Ordering::Acquire)
    }

    /// The same, at any moment before now. For those who know by themselves what they claimed.
    #[inline]
    pub(super) fn was_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        if self.many {
            // From now on nothing is claimed.
            self.tail.position.fetch_or(CLOSED, Ordering::Relaxed);
        }
        // ORDERING: pairs with the acquire in `is_closed`: the tail above, and what the one who
        // closes has committed, are seen with it.
        self.closed.store(true, Ordering::Release);
        self.senders.notify_all();
        self.receivers.notify_all();
    }

    /// Bytes that are not given back, about.
    pub(super) fn len(&self) -> usize {
        // ORDERING: pairs with the release in `Receiver::give_back`, so that the tail is not seen
        // before the head. It may have run ahead meanwhile. No model kills it: a length is a figure for
        // people, and clamped to what it can be.
        let head = self.head.load(Ordering::Acquire);
        self.tail().wrapping_sub(head).min(self.capacity()) as usize
    }

    /// Bytes that senders might find free; the receiver sees rather too many than too few.
    pub(super) fn room(&self) -> u64 {
        self.capacity() - self.len() as u64
    }

    pub(super) fn stats(&self) -> RingStats {
        RingStats {
            capacity: self.capacity() as usize,
            len: self.len(),
            sent: self.tail().wrapping_sub(self.first),
            received: self.head.load(Ordering::Relaxed).wrapping_sub(self.first),
            senders: self.senders.waits(),
            receivers: self.receivers.waits(),
        }
    }
}
