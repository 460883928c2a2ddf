//! What a log counts, and what it reports of itself.

use std::time::Duration;

use crate::disk::{Access, Rung};
use crate::log::position::Position;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Counters that the persister alone writes; reading them costs nobody anything.
#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) payload_bytes: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) filled_bytes: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) rollovers: AtomicU64,
    pub(crate) recycled: AtomicU64,
    /// When the claim was first seen that the persister waits for; 0 when it waits for none.
    pub(crate) stuck_since_ns: AtomicU64,
    pub(crate) blocked: AtomicU64,
    pub(crate) removals_failed: AtomicU64,
}

impl Counters {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            records: zero(),
            payload_bytes: zero(),
            writes: zero(),
            written_bytes: zero(),
            filled_bytes: zero(),
            checkpoints: zero(),
            rollovers: zero(),
            recycled: zero(),
            stuck_since_ns: zero(),
            blocked: zero(),
            removals_failed: zero(),
        }
    }

    /// Adds to a counter that only the calling thread writes.
    pub(crate) fn add(counter: &AtomicU64, more: u64) {
        counter.store(
            counter.load(Ordering::Relaxed).wrapping_add(more),
            Ordering::Relaxed,
        );
    }

    /// Adds to a counter that many threads write.
    pub(crate) fn add_shared(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

/// A log's report of itself. The numbers count from this opening on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Where the log begins.
    pub start: Position,
    /// Everything before this is on disk.
    pub durable: Position,
    /// Claimed so far.
    pub claimed: Position,
    /// Records that the persister has seen committed.
    pub records: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// Writes submitted.
    pub writes: u64,
    /// Bytes in them, with headers, checkpoints and padding.
    pub written_bytes: u64,
    /// Bytes of zeroes written ahead of the log, see
    /// [`Preallocation::Auto`](crate::Preallocation).
    pub filled_bytes: u64,
    /// Checkpoint frames written.
    pub checkpoints: u64,
    /// Segments filled.
    pub rollovers: u64,
    /// Segments that were made from an emptied one.
    pub recycled: u64,
    /// How often an append had to wait for room.
    pub blocked: u64,
    /// How often segments that are not wanted any more could not be removed. They take space until
    /// the next opening, which tries again.
    pub removals_failed: u64,
    /// For how long the oldest open claim has kept the persister waiting.
    pub oldest_claim: Option<Duration>,
    /// Segments that can be read.
    pub segments: usize,
    /// Segments in memory.
    pub images: usize,
    /// Segments that are [pinned](crate::SegmentPin).
    pub pins: usize,
    /// Bytes of the segments that are kept for pins alone.
    pub pinned_bytes: u64,
    /// How this log's files are written, and why not in the best way.
    pub access: Access,
    /// What carries the writes, and why not the best; see [`Engine::rung`](crate::Engine::rung).
    pub rung: Rung,
}
