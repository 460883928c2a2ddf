//! Moving what is still wanted of the oldest segment forward, so that it can go.
//!
//! Where little of a segment is wanted, those records are written again, as entries that say where they
//! lay; the pass points their streams to the new places. When nothing is left, an entry says so, and from
//! then on nobody looks into the segment. What is wanted is asked of the streams each time anew: what
//! was moved, trimmed, cut or removed meanwhile is wanted there no more, and never again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::disk::Dir;
use crate::error::Result;
use crate::log::Position;
use crate::log::follow::{self, Anchor};
use crate::store::entry::{Entry, Kind};
use crate::store::evidence::{self, What};
use crate::store::id::StreamId;
use crate::store::shared::Shared;
use crate::store::state::places::{Located, SegmentIndex};

/// So many records are looked up while the state is held.
const LOOK: usize = 1000;
/// So much is moved at a time, in bytes.
const MOVE_BYTES: usize = 1 << 20;
/// About what an entry that is moved takes beside its payload, in bytes of the log.
const HEAD_BYTES: u64 = 64;
/// So much of a segment may be wanted for it to be moved in any case: one part of so many.
const LIVE_PART: u64 = 4;
/// A log that is so many times as long as what is wanted of it has more moved.
const CROWDED: u64 = 2;

/// What a look at a segment found.
pub(crate) enum Found {
    /// These entries are to be written; there may be more.
    Moves(Vec<Vec<u8>>),
    /// Nothing in it is wanted any more.
    Nothing,
    /// Too much of it is wanted.
    Much,
}

/// How much may be moved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means {
    pub(crate) segment_bytes: u64,
    /// How many segments the log has.
    pub(crate) segments: u64,
    /// Bytes that may be written again.
    pub(crate) credit: u64,
}

impl Means {
    /// Whether what is wanted of a segment is too much. Behind one of which much is wanted there may be others
    /// of which nothing is: where that is most of the log, it is moved, too.
    fn are_short(self, live: u64, payloads: u64, shared: &Shared) -> bool {
        if live > self.credit {
            return true;
        }
        if live <= self.segment_bytes / LIVE_PART {
            return false;
        }
        let state = shared.state.read();
        let bytes: u64 = state.streams().map(|(_, stream)| stream.bytes).sum();
        // As much beside their payloads as those of this segment have.
        let all = u128::from(bytes) * u128::from(live) / u128::from(payloads.max(1));
        let log = u128::from(self.segments) * u128::from(self.segment_bytes);
        log < all.saturating_mul(CROWDED.into())
    }
}

/// The index of a segment, as it is on disk.
pub(crate) fn index(dir: &dyn Dir, shared: &Shared, anchor: &Anchor) -> Result<Arc<SegmentIndex>> {
    let bytes = evidence::read(dir, What::Index, anchor)?;
    let index = match bytes {
        Some(bytes) => SegmentIndex::read(anchor.ordinal, &bytes),
        // None of its records is a stream's, but perhaps some that were moved there.
        None if !shared.state.read().has_left(anchor.ordinal) => {
            Some(SegmentIndex::new(anchor.ordinal, Vec::new()))
        }
        None => None,
    };
    index.ok_or_else(|| evidence::missing(dir, anchor.ordinal))
}

/// Looks at what is wanted of a segment.
pub(crate) fn look(dir: &dyn Dir, shared: &Shared, anchor: &Anchor, means: Means) -> Result<Found> {
    let index = index(dir, shared, anchor)?;
    let wanted = wanted(shared, &index);
    let payloads: u64 = wanted.values().map(|(_, at)| u64::from(at.bytes)).sum();
    let live = payloads + wanted.len() as u64 * HEAD_BYTES;
    if !wanted.is_empty() && means.are_short(live, payloads, shared) {
        return Ok(Found::Much);
    }
    let Some(first) = wanted.keys().next().copied() else {
        return Ok(Found::Nothing);
    };
    let mut moves = Vec::new();
    let mut left = MOVE_BYTES;
    follow::scan(dir, anchor, &mut |at, payload| {
        if at < first {
            return true;
        }
        if let Some((id, record)) = wanted.get(&at) {
            // One that was moved before is moved as it was at first.
            let original = match Entry::parse(payload) {
                Some(entry) if entry.kind == Kind::Moved => entry.payload,
                _ => payload,
            };
            let entry = Entry {
                offset: Some(record.offset),
                position: Some(at.to_u64()),
                ..Entry::new(Kind::Moved, *id, original)
            };
            let mut bytes = vec![0; entry.bytes()];
            entry.write(&mut bytes);
            left = left.saturating_sub(bytes.len());
            moves.push(bytes);
        }
        left > 0
    })?;
    Ok(Found::Moves(moves))
}

/// The records of a segment that are wanted, by their places.
fn wanted(shared: &Shared, index: &SegmentIndex) -> BTreeMap<Position, (StreamId, Located)> {
    let mut wanted = BTreeMap::new();
    for (id, run) in index.runs() {
        let mut from = run.base;
        loop {
            let state = shared.state.read();
            let Some(stream) = state.stream(*id) else {
                break;
            };
            let mut records = run.from(index.segment, from).peekable();
            let mut looked = 0;
            while let Some(record) = records.next() {
                let next = records.peek().map(|next| next.offset);
                let end = next.unwrap_or_else(|| stream.next_base(record.offset));
                if end > stream.start && stream.wants(record.offset, record.position) {
                    wanted.insert(record.position, (*id, record));
                }
                looked += 1;
                from = end;
                if looked == LOOK {
                    break;
                }
            }
            if looked < LOOK {
                break;
            }
        }
    }
    // What was moved here from segments before.
    let state = shared.state.read();
    for (id, stream) in state.streams() {
        for (offset, moved) in stream.rare.iter().flat_map(|rare| &rare.moved) {
            if moved.at.segment() == index.segment {
                let record = Located {
                    offset: *offset,
                    position: moved.at,
                    before: None,
                    bytes: moved.bytes,
                };
                wanted.insert(moved.at, (id, record));
            }
        }
    }
    wanted
}
