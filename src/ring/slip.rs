//! Distance between the two sides of a ring.
//!
//! A side that runs right behind the other fetches each line while that is still written to, or an
//! index with each item, and both crawl. So a side that has caught up lets the other get ahead, for
//! about as long as the run of items took that ends there: short at first, and longer while the runs
//! grow by it. This is the temporal slip of FastForward (Giacomoni et al., 2008), kept by pauses.
//!
//! A side that comes back to look again and again pauses once: the run is over then.

use crate::sync::atomic::{AtomicU64, Ordering, spin_loop};

/// Where a side caught up last.
#[derive(Debug)]
pub(crate) struct Slip {
    at: AtomicU64,
}

impl Slip {
    /// About a microsecond.
    const PAUSES_MAX: u64 = 32;

    pub(crate) fn new(first: u64) -> Self {
        Self {
            at: AtomicU64::new(first),
        }
    }

    /// To be called by a side that has caught up at `place`. Says whether it paused, so that it is
    /// worth looking again.
    #[inline]
    pub(crate) fn caught_up(&self, place: u64) -> bool {
        // ORDERING: relaxed: it only says how long to pause.
        let run = place.wrapping_sub(self.at.load(Ordering::Relaxed));
        self.at.store(place, Ordering::Relaxed);
        let pauses = if cfg!(ringbolt_loom) {
            0
        } else {
            run.min(Self::PAUSES_MAX)
        };
        (0..pauses).for_each(|_| spin_loop());
        pauses > 0
    }

    /// The same for a sender that finds so little room at `place`, if it is little.
    #[inline]
    pub(crate) fn caught_up_by(&self, place: u64, room: u64, capacity: u64) -> bool {
        room < Self::PAUSES_MAX.min(capacity / 2) && self.caught_up(place)
    }
}
