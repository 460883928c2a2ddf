//! Records that were removed one by one, or because newer ones have their keys.

use std::collections::BTreeMap;

/// What was removed of a stream: ranges of offsets that do not touch each other. A record is removed if
/// its first offset is in one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Erased(BTreeMap<u64, u64>);

impl Erased {
    pub(crate) fn of(ranges: BTreeMap<u64, u64>) -> Self {
        Self(ranges)
    }

    /// The ranges, by where they begin: where they end.
    pub(crate) fn ranges(&self) -> &BTreeMap<u64, u64> {
        &self.0
    }

    /// Whether the record that begins at `first` was removed.
    pub(crate) fn has(&self, first: u64) -> bool {
        let range = self.0.range(..=first).next_back();
        range.is_some_and(|(_, end)| first < *end)
    }

    /// Where the last range begins that does so at `offset` or before.
    pub(crate) fn last_from(&self, offset: u64) -> Option<u64> {
        self.0.range(..=offset).next_back().map(|(from, _)| *from)
    }

    /// Adds `from..to`.
    pub(crate) fn insert(&mut self, mut from: u64, mut to: u64) {
        if from >= to {
            return;
        }
        if let Some((before, end)) = self.0.range(..=from).next_back() {
            if *end >= from {
                (from, to) = (*before, to.max(*end));
            }
        }
        while let Some((next, end)) = self.0.range(from..=to).next() {
            let (next, end) = (*next, *end);
            self.0.remove(&next);
            to = to.max(end);
        }
        self.0.insert(from, to);
    }

    /// The stream begins at `offset`. The record that takes it may begin before.
    pub(crate) fn forget_below(&mut self, offset: u64) {
        let from = self.last_from(offset).unwrap_or(offset);
        self.0 = self.0.split_off(&from);
    }

    /// The stream ends at `offset`.
    pub(crate) fn forget_from(&mut self, offset: u64) {
        self.0.split_off(&offset);
        if let Some(mut last) = self.0.last_entry() {
            let end = *last.get();
            last.insert(end.min(offset));
        }
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn ranges_are_what_a_set_of_offsets_is(
            steps in prop::collection::vec((0..3u8, 0..40u64, 0..6u64), 0..40),
        ) {
            let mut erased = Erased::default();
            let mut set = BTreeSet::new();
            let mut below = 0;
            for (step, from, len) in steps {
                match step {
                    0 => {
                        erased.forget_from(from);
                        set.split_off(&from);
                    }
                    1 => {
                        erased.forget_below(from);
                        below = below.max(from);
                    }
                    _ => {
                        erased.insert(from, from + len);
                        set.extend(from..from + len);
                    }
                }
                // What lies below may be there still, or not.
                for n in below..50 {
                    prop_assert_eq!(erased.has(n), set.contains(&n), "{} {:?}", n, erased);
                }
                let mut end = None;
                for (from, to) in erased.ranges() {
                    prop_assert!(end < Some(*from) && from < to, "{:?}", erased);
                    end = Some(*to);
                }
            }
        }
    }
}
