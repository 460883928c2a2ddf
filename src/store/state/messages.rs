//! Message ids that a stream remembers, so that the same message is stored once.

use std::collections::BTreeMap;

/// The ids of a stream's newest messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Messages {
    by_id: BTreeMap<Box<[u8]>, u64>,
    by_offset: BTreeMap<u64, Box<[u8]>>,
}

impl Messages {
    pub(crate) fn of(by_offset: BTreeMap<u64, Box<[u8]>>) -> Self {
        let by_id = by_offset.iter().map(|(offset, id)| (id.clone(), *offset));
        Self {
            by_id: by_id.collect(),
            by_offset,
        }
    }

    pub(crate) fn by_offset(&self) -> &BTreeMap<u64, Box<[u8]>> {
        &self.by_offset
    }

    /// The offset of the message with this id.
    pub(crate) fn get(&self, id: &[u8]) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    /// Remembers a message, and forgets the oldest if there are more than `max`.
    pub(crate) fn insert(&mut self, id: &[u8], offset: u64, max: usize) {
        self.by_id.insert(id.into(), offset);
        self.by_offset.insert(offset, id.into());
        while self.by_id.len() > max {
            let Some((_, id)) = self.by_offset.pop_first() else {
                return;
            };
            self.by_id.remove(&id);
        }
    }

    /// Forgets those of lower offsets.
    pub(crate) fn forget_below(&mut self, offset: u64) {
        let keep = self.by_offset.split_off(&offset);
        for id in std::mem::replace(&mut self.by_offset, keep).values() {
            self.by_id.remove(id);
        }
    }

    /// Forgets those of this offset and higher ones.
    pub(crate) fn forget_from(&mut self, offset: u64) {
        for id in self.by_offset.split_off(&offset).values() {
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
            messages.insert(&n.to_le_bytes(), n, 6);
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
        assert_eq!(messages.get(&9u64.to_le_bytes()), None);
    }
}
