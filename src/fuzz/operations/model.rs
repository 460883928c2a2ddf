//! What a log must hold after what was done to it.

use std::ops::RangeInclusive;

use crate::log::Position;
use crate::log::frame::{BATCH_RECORD_BYTES, HEADER_BYTES, aligned};

/// A record that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Appended {
    pub(super) position: Position,
    /// Whether it goes with the record before it: the same batch.
    joined: bool,
    /// Where its frame ends: it is durable when that is.
    end: Position,
    id: u64,
    len: usize,
}

/// The records of a log, and what is certain about them.
#[derive(Debug)]
pub(super) struct Model {
    /// In the log's order.
    pub(super) records: Vec<Appended>,
    /// So many of them were acknowledged.
    certain: usize,
    /// From here on they may have been cut, all or none, by a truncation that failed.
    maybe_cut: Option<usize>,
    /// Where the log may begin.
    start: RangeInclusive<Position>,
    /// No record will ever lie at or before this.
    used: Position,
    next_id: u64,
    /// Whether old segments may go by themselves.
    pub(super) retains: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            certain: 0,
            maybe_cut: None,
            start: Position::MIN..=Position::MIN,
            used: Position::MIN,
            next_id: 0,
            retains: false,
        }
    }
}

/// The payload of a record: tells it from all others, wherever one looks.
pub(super) fn fill(id: u64, payload: &mut [u8]) {
    let mut state = (id + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for chunk in payload.chunks_mut(8) {
        state = state.rotate_left(17).wrapping_mul(0xd6e8_feb8_6659_fd93);
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
}

impl Model {
    /// The identity of the next record.
    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A record was appended.
    pub(super) fn appended(&mut self, position: Position, id: u64, len: usize) {
        assert!(position > self.used, "{position} was used before");
        self.used = position;
        self.records.push(Appended {
            position,
            joined: false,
            end: position.plus(aligned(HEADER_BYTES + len) as u64),
            id,
            len,
        });
    }

    /// Records were appended together, with these identities and lengths; the first lies there.
    pub(super) fn appended_batch(&mut self, first: Position, batch: &[(u64, usize)]) {
        assert!(first > self.used, "{first} was used before");
        let from = self.records.len();
        let mut end = first;
        for &(id, len) in batch {
            self.used = end;
            self.records.push(Appended {
                position: end,
                joined: self.records.len() > from,
                end,
                id,
                len,
            });
            end = end.plus((BATCH_RECORD_BYTES + aligned(len)) as u64);
        }
        for record in &mut self.records[from..] {
            record.end = end;
        }
    }

    /// A position was given away without a record.
    pub(super) fn abandoned(&mut self, position: Position) {
        assert!(position > self.used, "{position} was used before");
        self.used = position;
    }

    /// Everything before this is on disk.
    pub(super) fn durable(&mut self, watermark: Position) {
        let certain = self.records.partition_point(|r| r.end <= watermark);
        self.certain = self.certain.max(certain);
    }

    /// Whether a record is acknowledged in any case.
    pub(super) fn is_certain(&self, index: usize) -> bool {
        index < self.certain
    }

    /// What a truncation before this record would cut.
    pub(super) fn truncating(&mut self, index: usize) {
        self.maybe_cut = Some(index);
    }

    /// A truncation ended: with where the log goes on, or without an effect.
    pub(super) fn truncated(&mut self, to: Option<Position>) {
        let cut = self.maybe_cut.take();
        if let (Some(index), Some(to)) = (cut, to) {
            self.records.truncate(index);
            self.certain = index;
            assert!(to > self.used, "{to} was used before");
        }
    }

    /// The log may have been trimmed up to there.
    pub(super) fn trimming(&mut self, to: Position) {
        let start = *self.start.start();
        self.start = start..=to.max(*self.start.end());
    }

    /// The log was trimmed up to there.
    pub(super) fn trimmed(&mut self, to: Position) {
        self.start = to..=to.max(*self.start.end());
    }

    /// An open log that has not failed holds exactly what was appended to it.
    pub(super) fn holds_all(&self, start: Position, found: &[(Position, Vec<u8>)]) {
        self.check_start(start, found.is_empty());
        let first = self.first(start);
        self.check_records(first, found);
        assert_eq!(
            first + found.len(),
            self.records.len(),
            "records are missing"
        );
    }

    /// What is read as durable is a prefix, with all that is certain.
    pub(super) fn holds_certain(&self, start: Position, found: &[(Position, Vec<u8>)]) {
        self.check_start(start, found.is_empty());
        let first = self.first(start);
        self.check_records(first, found);
        assert!(
            first + found.len() >= self.certain,
            "less than was acknowledged"
        );
    }

    /// After an opening: what was found becomes what is certain.
    pub(super) fn recovered(&mut self, start: Position, found: &[(Position, Vec<u8>)]) {
        self.check_start(start, found.is_empty());
        let mut first = self.first(start);
        if found.is_empty() && !self.retains {
            // Cut to nothing, it begins where it goes on.
            first = first.min(self.first(*self.start.end()));
        }
        self.check_records(first, found);
        let end = first + found.len();
        let cut = |at: usize| at == end || found.is_empty() && at < end;
        assert!(
            end >= self.certain || self.maybe_cut.is_some_and(cut),
            "{end} records, and {} were acknowledged",
            self.certain
        );
        assert!(
            self.records.get(end).is_none_or(|next| !next.joined),
            "a batch in part"
        );
        self.records.truncate(end);
        self.records.drain(..first);
        self.certain = self.records.len();
        self.maybe_cut = None;
        self.start = start..=start;
    }

    fn check_start(&self, start: Position, nothing: bool) {
        // Where no record lies in between, one place is as good as the other.
        let begin = self.first(*self.start.end());
        let emptied = nothing && self.maybe_cut.unwrap_or(self.certain).min(self.certain) <= begin;
        let moved = self.first(start) > begin && !emptied;
        assert!(
            start >= *self.start.start() && (self.retains || !moved),
            "the log begins at {start}, not in {:?}",
            self.start
        );
    }

    fn first(&self, start: Position) -> usize {
        self.records.partition_point(|r| r.position < start)
    }

    fn check_records(&self, first: usize, found: &[(Position, Vec<u8>)]) {
        let expected = &self.records[first..];
        assert!(
            found.len() <= expected.len(),
            "{} records, and {} were appended; the first too many at {}",
            found.len(),
            expected.len(),
            found[expected.len()].0
        );
        for ((position, payload), record) in found.iter().zip(expected) {
            assert_eq!(*position, record.position, "another record was expected");
            let mut appended = vec![0; record.len];
            fill(record.id, &mut appended);
            assert!(*payload == appended, "the record at {position} is another");
        }
    }
}
