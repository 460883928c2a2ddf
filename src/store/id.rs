//! Which stream an entry means.

use std::fmt;

/// A stream's number in the log: the slot that it has, and how many streams had that slot before.
/// What was meant for a stream that is gone is never taken for the next one in its slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamId(u64);

impl StreamId {
    /// What concerns no stream.
    pub(crate) const NONE: Self = Self::new(u32::MAX, u32::MAX);

    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self(slot as u64 | (generation as u64) << 32)
    }

    pub(crate) const fn slot(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn to_u64(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_u64(raw: u64) -> Self {
        Self(raw)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.slot(), self.generation())
    }
}
