//! What truncations cut off since the log was opened.
//!
//! Positions are never used twice, so a cut range says for good that a record in it is gone, also
//! when the log's start has passed it since. One range a truncation is kept, nested ones as one.

use std::ops::Range;

use crate::log::position::Position;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::lock::RwLock;

/// The ranges that were cut off, in order.
#[derive(Debug)]
pub(crate) struct Cuts {
    /// Whether there are any: what every ticket asks.
    any: AtomicBool,
    ranges: RwLock<Vec<Range<Position>>>,
}

impl Cuts {
    pub(crate) fn new() -> Self {
        Self {
            any: AtomicBool::new(false),
            ranges: RwLock::new(Vec::new()),
        }
    }

    /// Everything from `cut.start` on is gone; the log goes on at `cut.end`. To be called before
    /// anything of the new segment is durable.
    pub(crate) fn add(&self, cut: Range<Position>) {
        let mut ranges = self.ranges.write();
        ranges.retain(|earlier| earlier.start < cut.start);
        ranges.push(cut);
        // ORDERING: pairs with the acquire in `hold`; the watermark that rises over the cut is
        // released after this.
        self.any.store(true, Ordering::Release);
    }

    /// Whether this position was cut off.
    pub(crate) fn hold(&self, position: Position) -> bool {
        // ORDERING: pairs with the release in `add`.
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let ranges = self.ranges.read();
        let behind = ranges.partition_point(|cut| cut.start <= position);
        behind > 0 && position < ranges[behind - 1].end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_stays_cut() {
        let at = Position::new;
        let cuts = Cuts::new();
        assert!(!cuts.hold(at(1, 4096)));
        cuts.add(at(3, 8000)..at(5, 4096));
        cuts.add(at(6, 4096)..at(8, 4096));
        for (position, cut) in [
            (at(3, 7992), false),
            (at(3, 8000), true),
            (at(4, 4096), true),
            (at(5, 4096), false),
            (at(6, 4088), false),
            (at(7, 100_000), true),
            (at(8, 4096), false),
        ] {
            assert_eq!(cuts.hold(position), cut, "{position}");
        }
        // A deeper cut takes the later ones with it.
        cuts.add(at(3, 9000)..at(9, 4096));
        assert!(cuts.hold(at(3, 8000)) && cuts.hold(at(8, 4096)));
        cuts.add(at(2, 4096)..at(10, 4096));
        assert!(cuts.hold(at(5, 4096)) && !cuts.hold(at(10, 4096)));
        assert_eq!(cuts.ranges.read().len(), 1);
    }
}
