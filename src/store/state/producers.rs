//! Producers of a stream that number what they send, so that sending twice stores once.
//!
//! As in Kafka's protocol: a producer has an epoch, and each of its records a sequence number, which
//! wraps at 2^31. The last batches of each are remembered.

use std::collections::BTreeMap;

use crate::log::Position;
use crate::store::bytes::{In, Out};
use crate::store::entry::Stamp;
use crate::store::state::verdict::{Duplicate, Refusal};

/// How many batches of a producer are remembered.
pub(crate) const REMEMBERED: usize = 5;
/// One more than the largest sequence number.
const SEQUENCES: u32 = 1 << 31;

/// The producers of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Producers {
    by_id: BTreeMap<u64, Producer>,
    /// Who was heard of at which position: the first goes when there are too many.
    by_use: BTreeMap<Position, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: u32,
    /// Oldest first.
    batches: Vec<Sent>,
    used: Position,
}

/// A batch that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    sequence: u32,
    count: u32,
    offset: u64,
}

impl Sent {
    /// The sequence number that follows.
    fn next(self) -> u32 {
        ((u64::from(self.sequence) + u64::from(self.count)) % u64::from(SEQUENCES)) as u32
    }
}

impl Producers {
    /// Whether a batch of `count` records may be taken.
    pub(crate) fn check(&self, stamp: Stamp, count: u32) -> Result<(), Result<Duplicate, Refusal>> {
        let Some(producer) = self.by_id.get(&stamp.id) else {
            // Nothing is known, or not any more: it begins wherever it is.
            return Ok(());
        };
        let expected = match stamp.epoch.cmp(&producer.epoch) {
            std::cmp::Ordering::Less => {
                let epoch = producer.epoch;
                return Err(Err(Refusal::FencedEpoch { epoch }));
            }
            std::cmp::Ordering::Greater => 0,
            std::cmp::Ordering::Equal => {
                let same = |sent: &&Sent| sent.sequence == stamp.sequence && sent.count == count;
                if let Some(sent) = producer.batches.iter().rev().find(same) {
                    return Err(Ok(Duplicate {
                        offset: sent.offset,
                    }));
                }
                match producer.batches.last() {
                    Some(last) => last.next(),
                    // All of them were cut off: it begins wherever it is.
                    None => return Ok(()),
                }
            }
        };
        if stamp.sequence == expected {
            Ok(())
        } else {
            Err(Err(Refusal::OutOfOrder { expected }))
        }
    }

    /// Takes a batch, and forgets whoever was not heard of for longest if there are more than `max`.
    pub(crate) fn take(&mut self, stamp: Stamp, count: u32, offset: u64, at: Position, max: usize) {
        let producer = self.by_id.entry(stamp.id).or_insert_with(|| Producer {
            epoch: stamp.epoch,
            batches: Vec::new(),
            used: at,
        });
        if stamp.epoch != producer.epoch {
            producer.epoch = stamp.epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == REMEMBERED {
            producer.batches.remove(0);
        }
        producer.batches.push(Sent {
            sequence: stamp.sequence,
            count,
            offset,
        });
        self.by_use.remove(&producer.used);
        producer.used = at;
        self.by_use.insert(at, stamp.id);
        while self.by_id.len() > max.max(1) {
            if let Some((_, id)) = self.by_use.pop_first() {
                self.by_id.remove(&id);
            }
        }
    }

    /// Forgets those that were not heard of since this position.
    pub(crate) fn forget_before(&mut self, position: Position) {
        let kept = self.by_use.split_off(&position);
        for id in std::mem::replace(&mut self.by_use, kept).values() {
            self.by_id.remove(id);
        }
    }

    /// The stream was cut off: what was taken behind the cut may come again.
    pub(crate) fn forget_from(&mut self, offset: u64) {
        for producer in self.by_id.values_mut() {
            producer.batches.retain(|sent| sent.offset < offset);
        }
    }

    pub(crate) fn write(&self, out: &mut Out) {
        out.list(self.by_id.iter(), |out, (id, producer)| {
            out.number(*id);
            out.number(producer.epoch.into());
            out.number(producer.used.to_u64());
            out.list(producer.batches.iter(), |out, sent| {
                out.number(sent.sequence.into());
                out.number(sent.count.into());
                out.number(sent.offset);
            });
        });
    }

    pub(crate) fn read(from: &mut In<'_>) -> Option<Self> {
        let by_id: BTreeMap<u64, Producer> = from.list(|from| {
            let id = from.number()?;
            let producer = Producer {
                epoch: from.word()?,
                used: Position::from_u64(from.number()?),
                batches: from.list(|from| {
                    Some(Sent {
                        sequence: from.word()?,
                        count: from.word()?,
                        offset: from.number()?,
                    })
                })?,
            };
            Some((id, producer))
        })?;
        let by_use = by_id.iter().map(|(id, producer)| (producer.used, *id));
        Some(Self {
            by_use: by_use.collect(),
            by_id,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    fn stamp(epoch: u32, sequence: u32) -> Stamp {
        Stamp {
            id: 1,
            epoch,
            sequence,
        }
    }

    fn at(n: u64) -> Position {
        Position::new(1, n * 8)
    }

    #[test]
    fn a_repeat_tells_the_first_offset_and_a_gap_what_was_expected() {
        let mut producers = Producers::default();
        for n in 0..7 {
            assert_eq!(producers.check(stamp(3, n * 2), 2), Ok(()));
            producers.take(stamp(3, n * 2), 2, u64::from(n) * 10, at(n.into()), 10);
        }
        // The last five are remembered.
        for n in 2..7u32 {
            let offset = u64::from(n) * 10;
            let repeat = producers.check(stamp(3, n * 2), 2);
            assert_eq!(repeat, Err(Ok(Duplicate { offset })));
        }
        let gap = Err(Err(Refusal::OutOfOrder { expected: 14 }));
        for sequence in [0, 2, 13, 15] {
            assert_eq!(producers.check(stamp(3, sequence), 2), gap);
        }
        // A part of a batch is not the batch.
        assert_eq!(producers.check(stamp(3, 12), 1), gap);
        let fenced = Err(Err(Refusal::FencedEpoch { epoch: 3 }));
        assert_eq!(producers.check(stamp(2, 14), 2), fenced);
        assert_eq!(producers.check(stamp(4, 0), 1), Ok(()));
        let begin = Err(Err(Refusal::OutOfOrder { expected: 0 }));
        assert_eq!(producers.check(stamp(4, 14), 1), begin);
    }

    #[test]
    fn sequences_wrap_at_two_to_the_thirty_first() {
        let mut producers = Producers::default();
        producers.take(stamp(0, SEQUENCES - 2), 3, 5, at(1), 10);
        assert_eq!(producers.check(stamp(0, 1), 1), Ok(()));
        let gap = Err(Err(Refusal::OutOfOrder { expected: 1 }));
        assert_eq!(producers.check(stamp(0, 0), 1), gap);
    }

    #[test]
    fn whoever_was_silent_for_longest_is_forgotten_first() {
        let mut producers = Producers::default();
        for (n, id) in [1, 2, 1, 3].into_iter().enumerate() {
            let stamp = Stamp {
                id,
                epoch: 0,
                sequence: n as u32,
            };
            producers.take(stamp, 1, 0, at(n as u64), 2);
        }
        assert_eq!(producers.by_id.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(producers.by_use.len(), 2);
        producers.forget_before(at(3));
        assert_eq!((producers.len(), producers.by_use.len()), (1, 1));
        assert!(producers.by_id.contains_key(&3));
    }

    #[test]
    fn what_was_cut_off_may_come_again() {
        let mut producers = Producers::default();
        producers.take(stamp(0, 0), 1, 10, at(1), 10);
        producers.take(stamp(0, 1), 1, 11, at(2), 10);
        producers.forget_from(11);
        assert_eq!(producers.check(stamp(0, 1), 1), Ok(()));
        producers.forget_from(0);
        assert_eq!(producers.check(stamp(0, 77), 1), Ok(()));
    }
}
