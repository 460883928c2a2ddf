//! The segments of a store's log, for who keeps copies of them elsewhere.

use crate::error::Result;
use crate::log::{SealedSegment, SegmentPin};
use crate::store::Store;

impl Store {
    /// The segments of the store's log that nothing is written to any more, oldest first. The newest ones
    /// of them may not have their index beside them yet.
    #[must_use]
    pub fn sealed_segments(&self) -> Vec<SealedSegment> {
        self.0.log.sealed_segments()
    }

    /// Keeps the segment with this ordinal, and all behind it, though no stream wants anything in them any
    /// more; see [`Log::pin_segment`](crate::Log::pin_segment).
    ///
    /// # Errors
    ///
    /// Those of [`Log::pin_segment`](crate::Log::pin_segment).
    pub fn pin_segment(&self, ordinal: u64) -> Result<SegmentPin> {
        self.0.log.pin_segment(ordinal)
    }
}
