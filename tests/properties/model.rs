//! What a log should hold: a list.

use std::collections::BTreeSet;
use std::time::SystemTime;

use ringbolt::{Position, Visibility};

/// A record that is in the log.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) position: Position,
    /// Where its frame ends: with that it becomes visible.
    pub(crate) frame_end: Position,
    /// Whether a frame begins with it, so that the log may be cut before it.
    pub(crate) cuttable: bool,
    /// A moment before it was committed.
    pub(crate) before: SystemTime,
    pub(crate) len: usize,
    pub(crate) seed: u64,
}

impl Expected {
    pub(crate) fn payload(&self) -> Vec<u8> {
        payload(self.seed, self.len)
    }
}

/// The bytes of the record with this seed.
pub(crate) fn payload(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; len];
    for chunk in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    bytes
}

/// A position so many bytes behind another in its segment.
pub(crate) fn plus(position: Position, bytes: usize) -> Position {
    Position::from_u64(position.to_u64() + bytes.div_ceil(8) as u64)
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Horizon {
    pub(crate) visibility: Visibility,
    /// The durable watermark before a step and after it.
    pub(crate) durable: (Position, Position),
    pub(crate) gate: Position,
}

impl Horizon {
    /// Whether the record must be seen.
    pub(crate) fn shows(&self, record: &Expected) -> bool {
        match self.visibility {
            Visibility::Committed => true,
            Visibility::Gated => record.frame_end <= self.gate,
            _ => record.frame_end <= self.durable.0,
        }
    }

    /// Whether the record may be seen.
    pub(crate) fn may_show(&self, record: &Expected) -> bool {
        match self.visibility {
            Visibility::Durable => record.frame_end <= self.durable.1,
            _ => self.shows(record),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    /// What can be read, in order.
    pub(crate) records: Vec<Expected>,
    /// Where records were that a truncation or a crash took back.
    pub(crate) cut: Vec<Position>,
    /// Of these, the ones at which a cut was made: reading may go on there.
    pub(crate) seams: BTreeSet<Position>,
    /// Where records were that are trimmed.
    pub(crate) trimmed: Vec<Position>,
    pub(crate) start: Option<Position>,
    pub(crate) gate: Option<Position>,
    /// The highest position that was ever given to a record.
    pub(crate) highest: Option<Position>,
    next_seed: u64,
}

impl Model {
    pub(crate) fn start(&self) -> Position {
        self.start.unwrap_or(Position::MIN)
    }

    pub(crate) fn gate(&self) -> Position {
        self.gate.unwrap_or(Position::MIN)
    }

    /// Seeds for the next records.
    pub(crate) fn seeds(&mut self, count: usize) -> Vec<u64> {
        let from = self.next_seed;
        self.next_seed += count as u64;
        (from..self.next_seed).collect()
    }

    /// A record was appended on its own.
    pub(crate) fn appended(
        &mut self,
        position: Position,
        seed: u64,
        len: usize,
        before: SystemTime,
    ) {
        self.push(Expected {
            position,
            frame_end: plus(position, 16 + len),
            cuttable: true,
            before,
            len,
            seed,
        });
    }

    /// A batch was appended whose first record is at `position`.
    pub(crate) fn batch_appended(
        &mut self,
        position: Position,
        records: &[(u64, usize)],
        before: SystemTime,
    ) {
        let mut at = position;
        let mut places = Vec::new();
        for (_, len) in records {
            places.push(at);
            at = plus(at, 8 + len);
        }
        for (index, ((seed, len), position)) in records.iter().zip(places).enumerate() {
            self.push(Expected {
                position,
                frame_end: at,
                cuttable: index == 0,
                before,
                len: *len,
                seed: *seed,
            });
        }
    }

    fn push(&mut self, record: Expected) {
        assert!(
            self.highest.is_none_or(|highest| highest < record.position),
            "{} was given out before",
            record.position
        );
        self.highest = Some(record.position);
        self.records.push(record);
    }

    pub(crate) fn trim(&mut self, start: Position) {
        let kept = self.records.partition_point(|r| r.position < start);
        self.trimmed
            .extend(self.records.drain(..kept).map(|r| r.position));
        self.start = Some(self.start().max(start));
    }

    /// Everything from `at` on is gone.
    pub(crate) fn truncate(&mut self, at: Position) {
        let kept = self.records.partition_point(|r| r.position < at);
        self.seams.insert(at);
        self.cut
            .extend(self.records.drain(kept..).map(|r| r.position));
    }

    /// The first record from `from` on.
    pub(crate) fn index_from(&self, from: Position) -> usize {
        self.records.partition_point(|r| r.position < from)
    }

    /// How many records a horizon must show, and how many it may.
    pub(crate) fn shown(&self, horizon: &Horizon) -> (usize, usize) {
        let count = |shows: &dyn Fn(&Expected) -> bool| {
            self.records
                .iter()
                .position(|record| !shows(record))
                .unwrap_or(self.records.len())
        };
        (
            count(&|record| horizon.shows(record)),
            count(&|record| horizon.may_show(record)),
        )
    }
}
