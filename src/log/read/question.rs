//! What bytes say about one position of a segment: the record there, or what else is needed to tell.
//!
//! The bytes may be a part of the segment's file or of its memory; nothing is known of what lies in
//! between frames, so every checksum is verified. A position that is no frame's begin may be a
//! record's within a batch: there the distance back to the frame is written.

use std::ops::Range;

use crate::log::frame::{self, Check, HEADER_BYTES, NoFrame, Seed};
use crate::log::position::UNIT_BYTES;
use crate::log::read::source::{Found, What};

/// A position that is asked about. Offsets are bytes of the segment.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) ordinal: u64,
    pub(super) seed: Seed,
    pub(super) offset: u64,
    /// Where the segment's frames begin.
    pub(super) first: u64,
    /// Up to where frames may be seen; beyond `offset`.
    pub(super) limit: u64,
    /// Whether frames end there in any case.
    pub(super) is_end: bool,
    /// Where the batch begins to which the position's bytes lead back.
    pub(super) batch: Option<u64>,
}

/// What the bytes say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Says {
    Record(Sought),
    /// These bytes must be at hand.
    More(Range<u64>),
    /// The frame there ends beyond what may be seen.
    Beyond,
    /// There is a frame, and no record of it begins there.
    NoRecord,
    /// There is no sound frame.
    Unsound,
}

/// A record that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sought {
    /// Where it begins: for the begin of a batch its first record.
    pub(super) offset: u64,
    pub(super) payload: Range<u64>,
    pub(super) time_unix_ns: Option<u64>,
    pub(super) frame: Range<u64>,
}

impl Question {
    /// Asks bytes of which the first lies at `at`.
    pub(super) fn ask(&mut self, at: u64, bytes: &[u8]) -> Says {
        if self.batch.is_none() {
            match self.frame(self.offset, at, bytes) {
                Ok(found) => return self.record(found, at, bytes),
                Err(Says::Unsound) => {}
                Err(other) => return other,
            }
            let back = frame::batch_distance(part(at, bytes, self.offset));
            let begin = back.and_then(|back| self.offset.checked_sub(back as u64));
            match begin.filter(|begin| *begin >= self.first) {
                Some(begin) => self.batch = Some(begin),
                None => return Says::Unsound,
            }
        }
        let begin = self.batch.unwrap_or(self.offset);
        match self.frame(begin, at, bytes) {
            Ok(found) => match found.what {
                What::Batch { .. } if found.end > self.offset => self.record(found, at, bytes),
                _ => Says::Unsound,
            },
            Err(other) => other,
        }
    }

    /// The sound frame at `begin`.
    fn frame(&self, begin: u64, at: u64, bytes: &[u8]) -> Result<Found, Says> {
        let bytes = part(at, bytes, begin);
        let head = (HEADER_BYTES as u64).min(self.limit - begin);
        if (bytes.len() as u64) < head {
            return Err(Says::More(begin..begin + head));
        }
        let needed = match frame::needed_bytes(&bytes[..head as usize]) {
            Ok(needed) => needed as u64,
            // What may be seen ends within the header.
            Err(_) if head < HEADER_BYTES as u64 => return Err(self.beyond()),
            Err(_) => return Err(Says::Unsound),
        };
        let end = begin + needed;
        if end > self.limit {
            return Err(self.beyond());
        }
        if begin < self.offset && end <= self.offset {
            return Err(Says::Unsound);
        }
        if (bytes.len() as u64) < needed {
            return Err(Says::More(begin..end));
        }
        match Found::parse(Check::Verify(self.seed), self.ordinal, begin, bytes) {
            Ok(found) if found.end > self.limit => Err(self.beyond()),
            Ok(found) => Ok(found),
            Err(NoFrame::Short { needed_bytes }) => {
                Err(Says::More(begin..begin + needed_bytes as u64))
            }
            Err(NoFrame::Empty | NoFrame::Bad) => Err(Says::Unsound),
        }
    }

    fn beyond(&self) -> Says {
        if self.is_end {
            Says::Unsound
        } else {
            Says::Beyond
        }
    }

    /// The record of a frame that begins at the offset asked for.
    fn record(&self, found: Found, at: u64, bytes: &[u8]) -> Says {
        let frame = found.begin..found.end;
        match found.what {
            What::Record {
                payload,
                time_unix_ns,
            } => Says::Record(Sought {
                offset: found.begin,
                payload,
                time_unix_ns,
                frame,
            }),
            What::Batch {
                first,
                count,
                time_unix_ns,
            } => {
                // The frame's own position stands for its first record.
                let want = if self.offset == frame.start {
                    first
                } else {
                    self.offset
                };
                let mut offset = first;
                for _ in 0..count {
                    let payload = frame::batch_record(offset, part(at, bytes, offset));
                    if offset == want {
                        return Says::Record(Sought {
                            offset,
                            payload,
                            time_unix_ns,
                            frame,
                        });
                    }
                    offset = payload.end.next_multiple_of(UNIT_BYTES);
                }
                Says::NoRecord
            }
            What::Nothing | What::Checkpoint(_) => Says::NoRecord,
        }
    }
}

/// The bytes from `from` on, of which the first lies at `at`.
fn part(at: u64, bytes: &[u8], from: u64) -> &[u8] {
    let skipped = from
        .checked_sub(at)
        .and_then(|skip| usize::try_from(skip).ok());
    skipped.and_then(|skip| bytes.get(skip..)).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Any bytes whatever: no panic, and what is asked for is not there and may be seen.
        #[test]
        fn noise_is_read_without_harm(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            (at, offset, limit) in (0..40u64, 0..40u64, 1..60u64),
            head in prop::option::of((1..3u32, 0..400u32)),
            is_end in any::<bool>(),
        ) {
            const FIRST: u64 = 4096;
            let (at, offset) = (FIRST + at * 8, FIRST + offset * 8);
            let limit = offset + limit * 8;
            let place = offset.checked_sub(at).map_or(0, |place| place as usize);
            if let (Some((state, len)), Some(word)) = (head, bytes.get_mut(place..place + 4)) {
                // Something that might be a frame.
                word.copy_from_slice(&(state << 30 | len).to_le_bytes());
            }
            let mut question = Question {
                ordinal: 1,
                seed: Seed::new(7),
                offset,
                first: FIRST,
                limit,
                is_end,
                batch: None,
            };
            for _ in 0..2 {
                if let Says::More(range) = question.ask(at, &bytes) {
                    prop_assert!(FIRST <= range.start && range.start < range.end);
                    prop_assert!(range.end <= limit);
                    let end = at + bytes.len() as u64;
                    prop_assert!(range.start < at || end < range.end);
                }
            }
        }
    }
}
