//! The claim word: which segment appends go to, how far it is claimed, and whether it is open.
//!
//! ```text
//!  63        62       61       60     59          36 35                               0
//! ┌─────────┬────────┬────────┬──────┬──────────────┬──────────────────────────────────┐
//! │poisoned │ closed │ frozen │ live │ generation   │ offset in units of 8 bytes       │
//! └─────────┴────────┴────────┴──────┴──────────────┴──────────────────────────────────┘
//! ```
//!
//! Claims are added to the offset, and the offset may run past the segment's end. It can never
//! reach the generation: an addition takes at most [`ADD_UNITS_MAX`] units (larger claims compare
//! and swap instead), a thread adds at most once beyond the end before it sees that, and Linux
//! runs at most 2^22 threads: 2^22 times 2^13 units stay below 2^36.
//!
//! A word of 0 is not live: that is what a forked child finds (see `WipedOnFork`).

/// Bits of the offset.
const OFFSET_BITS: u32 = 36;
const OFFSET_MASK: u64 = (1 << OFFSET_BITS) - 1;
const GENERATION_BITS: u32 = 24;
/// The part of a generation's number that the word carries.
pub(crate) const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
const LIVE: u64 = 1 << 60;
/// Claims wait: a truncation is under way.
pub(crate) const FROZEN: u64 = 1 << 61;
/// Claims are refused for good: the log was closed.
pub(crate) const CLOSED: u64 = 1 << 62;
/// Claims are refused for good: the log failed.
pub(crate) const POISONED: u64 = 1 << 63;
const SHUT: u64 = FROZEN | CLOSED | POISONED;

/// The most that one unconditional addition may claim: 64 KiB.
pub(crate) const ADD_UNITS_MAX: u64 = 1 << 13;

/// The most threads that Linux runs (`PID_MAX_LIMIT`).
const THREADS_MAX: u64 = 1 << 22;

/// The most that a segment holds, in units.
const SEGMENT_UNITS_MAX: u64 = crate::log::segment::SEGMENT_BYTES_MAX / 8;

const _: () = assert!(SEGMENT_UNITS_MAX + THREADS_MAX * ADD_UNITS_MAX < 1 << OFFSET_BITS);
const _: () = assert!(LIVE == 1 << (OFFSET_BITS + GENERATION_BITS));

/// A value of the claim word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    /// A live, open word.
    pub(crate) fn new(generation: u64, offset_units: u64) -> Self {
        debug_assert!(offset_units <= OFFSET_MASK);
        Self(LIVE | (generation & GENERATION_MASK) << OFFSET_BITS | offset_units)
    }

    pub(crate) fn offset_units(self) -> u64 {
        self.0 & OFFSET_MASK
    }

    /// The generation's low bits.
    pub(crate) fn generation(self) -> u64 {
        self.0 >> OFFSET_BITS & GENERATION_MASK
    }

    /// Whether claims are granted.
    #[inline]
    pub(crate) fn is_open(self) -> bool {
        self.0 & (LIVE | SHUT) == LIVE
    }

    pub(crate) fn is_live(self) -> bool {
        self.0 & LIVE != 0
    }

    pub(crate) fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// Whether this word's claims have not passed `limit`, where generations wrap around.
    #[inline]
    pub(crate) fn within(self, limit: Self) -> bool {
        const SPARE: u32 = 64 - OFFSET_BITS - GENERATION_BITS;
        ((limit.0 << SPARE).wrapping_sub(self.0 << SPARE) as i64) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_touch_each_other() {
        let word = Word::new(GENERATION_MASK + 5, OFFSET_MASK);
        assert_eq!((word.generation(), word.offset_units()), (4, OFFSET_MASK));
        assert!(word.is_open());
        for flag in [FROZEN, CLOSED, POISONED] {
            let shut = Word(word.0 | flag);
            assert!(shut.has(flag) && shut.is_live() && !shut.is_open());
            assert_eq!((shut.generation(), shut.offset_units()), (4, OFFSET_MASK));
        }
        assert!(!Word(0).is_live() && !Word(0).is_open());
    }

    #[test]
    fn limits_wrap_around_with_the_generations() {
        let before = Word::new(GENERATION_MASK, 7);
        let after = Word::new(GENERATION_MASK + 1, 3);
        assert!(before.within(after) && !after.within(before));
        assert!(!after.within(after), "at the limit nothing more is granted");
        assert!(Word(before.0 | FROZEN).within(after), "flags do not count");
    }
}
