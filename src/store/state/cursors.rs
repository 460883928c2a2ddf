//! Cursors of a stream: how far each group has come.

use std::collections::BTreeMap;

use crate::log::Position;

/// The longest metadata of a cursor, in bytes.
pub(crate) const METADATA_BYTES_MAX: usize = 4 << 10;

/// The cursors of one stream, by group.
pub(crate) type Groups = BTreeMap<Box<str>, Cursor>;

/// The cursors of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cursors(pub(crate) Groups);

/// How far a group has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Everything before is done.
    pub(crate) offset: u64,
    /// What is done behind it, as ranges that neither touch each other nor the offset.
    pub(crate) done: Vec<(u64, u64)>,
    pub(crate) metadata: Box<[u8]>,
    /// Where the entry lies that moved it last.
    pub(crate) used: Position,
    /// Whether retention waits for it.
    pub(crate) hold: bool,
}

impl Cursors {
    /// How far those have come that hold retention, all of them; `None` if none does.
    pub(crate) fn held(&self) -> Option<u64> {
        let holding = self.0.values().filter(|cursor| cursor.hold);
        holding.map(|cursor| cursor.offset).min()
    }

    /// Forgets those that were not moved since this position.
    pub(crate) fn forget_before(&mut self, position: Position) {
        self.0.retain(|_, cursor| cursor.used >= position);
    }

    /// The stream was cut off: nobody has come further than that.
    pub(crate) fn cut(&mut self, end: u64) {
        for cursor in self.0.values_mut() {
            cursor.offset = cursor.offset.min(end);
            cursor.done.retain_mut(|(from, to)| {
                *to = (*to).min(end);
                *from < *to
            });
        }
    }
}

impl Cursor {
    /// Adds `from..to` to what is done.
    pub(crate) fn acknowledge(&mut self, from: u64, to: u64) {
        let from = from.max(self.offset);
        if from >= to {
            return;
        }
        let first = self.done.partition_point(|range| range.1 < from);
        let behind = self.done.partition_point(|range| range.0 <= to);
        let touched = self.done.get(first..behind).unwrap_or(&[]);
        let from = touched.first().map_or(from, |range| range.0.min(from));
        let to = touched.last().map_or(to, |range| range.1.max(to));
        if from == self.offset {
            self.offset = to;
            self.done.drain(..behind);
        } else {
            self.done.splice(first..behind, [(from, to)]);
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
            begin in 0..5u64,
            acks in prop::collection::vec((0..40u64, 0..6u64), 0..40),
        ) {
            let mut cursor = Cursor {
                offset: begin,
                done: Vec::new(),
                metadata: Box::default(),
                used: Position::MIN,
                hold: false,
            };
            let mut set: BTreeSet<u64> = (0..begin).collect();
            for (from, len) in acks {
                cursor.acknowledge(from, from + len);
                set.extend(from..from + len);
                let offset = (0..).find(|n| !set.contains(n)).unwrap();
                prop_assert_eq!(cursor.offset, offset);
                let mut flat: Vec<u64> = (0..offset).collect();
                let mut end = offset;
                for (from, to) in &cursor.done {
                    prop_assert!(end < *from && from < to, "{:?}", cursor.done);
                    flat.extend(*from..*to);
                    end = *to;
                }
                prop_assert_eq!(flat, set.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
