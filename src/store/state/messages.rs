//! Message ids that a stream remembers, so that the same message is stored once.

use std::collections::BTreeMap;

use crate::log::Position;

/// The ids of a stream's newest messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Messages {
    by_id: BTreeMap<Box<[u8]>, u64>,
    /// The id, and where the message was written: the positions rise with the offsets.
    by_offset: BTreeMap<u64, (Box<[u8]>, Position)>,
}

impl Messages {
    pub(crate) fn of(by_offset: BTreeMap<u64, (Box<[u8]>, Position)>) -> Self {
        let ids = by_offset.iter();
        let by_id = ids.map(|(offset, (id, _))| (id.clone(), *offset));
        Self {
            by_id: by_id.collect(),
            by_offset,
        }
    }

    pub(crate) fn by_offset(&self) -> &BTreeMap<u64, (Box<[u8]>, Position)> {
        &self.by_offset
    }

    /// The offset of the message with this id.
    pub(crate) fn get(&self, id: &[u8]) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    /// Remembers a message, and forgets the oldest if there are more than `max`.
    pub(crate) fn insert(&mut self, id: &[u8], offset: u64, at: Position, max: usize) {
        self.by_id.insert(id.into(), offset);
        self.by_offset.insert(offset, (id.into(), at));
        while self.by_id.len() > max {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, (id, _))) = self.by_offset.pop_first() {
            self.by_id.remove(&id);
        }
    }

    /// Forgets those that were written before this position.
    pub(crate) fn forget_before(&mut self, position: Position) {
        let old = |messages: &Self| {
            let first = messages.by_offset.first_key_value();
            first.is_some_and(|(_, (_, at))| *at < position)
        };
        while old(self) {
            self.forget_first();
        }
    }

    /// Forgets those of lower offsets.
    pub(crate) fn forget_below(&mut self, offset: u64) {
        let keep = self.by_offset.split_off(&offset);
        for (id, _) in std::mem::replace(&mut self.by_offset, keep).values() {
            self.by_id.remove(id);
        }
    }

    /// Forgets those of this offset and higher ones.
    pub(crate) fn forget_from(&mut self, offset: u64) {
        for (id, _) in self.by_offset.split_off(&offset).values() {
            self.by_id.remove(id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_both_sides_agree() {
        let mut messages = Messages::default();
        for n in 0..10u64 {
            messages.insert(&n.to_le_bytes(), n, Position::new(1, n * 8), 6);
        }
        assert_eq!(messages.get(&3u64.to_le_bytes()), None);
        assert_eq!(messages.get(&4u64.to_le_bytes()), Some(4));
        messages.forget_below(6);
        messages.forget_from(9);
        assert_eq!(
            messages.by_offset.keys().copied().collect::<Vec<_>>(),
            [6, 7, 8]
        );
        assert_eq!(messages.len(), 3);
        messages.forget_before(Position::new(1, 7 * 8));
        assert_eq!(
            (messages.len(), messages.get(&6u64.to_le_bytes())),
            (2, None)
        );
        assert_eq!(messages.get(&9u64.to_le_bytes()), None);
    }
}
