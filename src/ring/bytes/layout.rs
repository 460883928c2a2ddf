//! How records lie in a ring: headers, alignment, and where a record goes.
//!
//! ```text
//!   bits    63        62        61 .. 32   31 .. 0
//!         ┌─────────┬─────────┬──────────┬─────────────────────────────────────┐
//!  header │ written │ padding │ 0        │ bytes of payload; a padding's bytes │
//!         └─────────┴─────────┴──────────┴─────────────────────────────────────┘   with its header
//! ```
//!
//! Of many senders, a header that is not written yet is zero, whatever lay there before: the receiver
//! zeroes what it gives back.

/// Records begin at multiples of this, and so do their payloads.
pub(super) const GRANULE_BYTES: u64 = 8;

/// What lies before a payload.
pub(super) const HEADER_BYTES: u64 = 8;

/// The smallest ring.
pub(super) const CAPACITY_BYTES_MIN: usize = 64;

const WRITTEN: u64 = 1 << 63;
const PADDING: u64 = 1 << 62;

/// The word that says what begins at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header(pub(super) u64);

/// What a [`Header`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// Nothing that is committed.
    Nothing,
    /// A record, with so many bytes of payload.
    Record(usize),
    /// So many bytes, header and all, that nobody reads.
    Padding(u64),
}

impl Header {
    #[inline]
    pub(super) fn record(payload_bytes: usize) -> Self {
        debug_assert!(u32::try_from(payload_bytes).is_ok());
        Self(WRITTEN | payload_bytes as u64)
    }

    #[inline]
    pub(super) fn padding(bytes: u64) -> Self {
        debug_assert!(bytes >= HEADER_BYTES && bytes % GRANULE_BYTES == 0 && bytes <= 1 << 31);
        Self(WRITTEN | PADDING | bytes)
    }

    #[inline]
    pub(super) fn begins(self) -> Begins {
        let bytes = self.0 as u32;
        match self.0 & (WRITTEN | PADDING) {
            0 => Begins::Nothing,
            WRITTEN => Begins::Record(bytes as usize),
            _ => Begins::Padding(bytes.into()),
        }
    }
}

/// What a record takes in the ring: header, payload, and what fills the last granule.
#[inline]
pub(super) fn record_bytes(payload_bytes: usize) -> u64 {
    (payload_bytes as u64 + HEADER_BYTES).next_multiple_of(GRANULE_BYTES)
}

/// What `records` records with `payload_bytes` together take at the most, in whatever order they
/// come; `None` beyond all bounds.
pub(super) fn batch_bytes(records: usize, payload_bytes: usize) -> Option<u64> {
    let each = HEADER_BYTES + GRANULE_BYTES - 1;
    let headers = (records.max(1) as u64).checked_mul(each)?;
    headers
        .checked_add(payload_bytes as u64)?
        .checked_next_multiple_of(GRANULE_BYTES)
}

/// The most that a record may take: in an empty ring it then finds room wherever the indices stand.
/// In the worst case all but a granule of it would fit before the end, which becomes padding.
#[inline]
pub(super) fn record_bytes_max(capacity: u64) -> u64 {
    capacity / 2
}

/// How many bytes must become padding before `bytes` fit in one piece from `tail` on.
#[inline]
pub(super) fn padding_before(tail: u64, bytes: u64, capacity: u64) -> u64 {
    let to_end = capacity - (tail & (capacity - 1));
    if to_end < bytes { to_end } else { 0 }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_was_put_in() {
        assert_eq!(Header(0).begins(), Begins::Nothing);
        for bytes in [0, 1, 8, 1 << 30] {
            assert_eq!(Header::record(bytes).begins(), Begins::Record(bytes));
            assert_ne!(Header::record(bytes).0, 0);
        }
        for bytes in [8, 16, 1 << 31] {
            assert_eq!(Header::padding(bytes).begins(), Begins::Padding(bytes));
        }
    }

    #[test]
    fn the_largest_record_fits_wherever_an_empty_ring_stands() {
        for capacity in [64, 128, 4096] {
            let most = record_bytes_max(capacity);
            for tail in (0..capacity).step_by(GRANULE_BYTES as usize) {
                assert!(padding_before(tail, most, capacity) + most <= capacity);
            }
            let more = most + GRANULE_BYTES;
            let somewhere = |tail| padding_before(tail, more, capacity) + more > capacity;
            assert!((0..capacity).step_by(8).any(somewhere), "not too strict");
        }
    }

    #[test]
    fn a_batch_has_room_for_what_it_was_made_for() {
        for sizes in [&[0_usize, 1, 7, 8, 9][..], &[1, 1, 1], &[15], &[]] {
            let taken: u64 = sizes.iter().map(|&size| record_bytes(size)).sum();
            let room = batch_bytes(sizes.len(), sizes.iter().sum()).unwrap();
            assert!(taken <= room && room >= HEADER_BYTES);
        }
        assert_eq!(batch_bytes(usize::MAX, 1), None);
        assert_eq!(batch_bytes(1, usize::MAX), None);
    }
}
