//! Keeping of the records with the same key only the latest, for streams that ask for it.
//!
//! The segments that have records of the stream are read twice: first for the latest offset of each key
//! that came since the last time, then for the records that have newer ones. Which those are is written
//! as entries, and judged by the pass: where the stream was cut off meanwhile they do nothing, since what was
//! the latest may not be there any more.

use std::collections::BTreeSet;
use std::collections::HashMap;

use crate::disk::Dir;
use crate::error::Result;
use crate::log::Position;
use crate::log::follow::{self, Anchor};
use crate::store::entry::{Entry, Kind};
use crate::store::id::StreamId;
use crate::store::moving;
use crate::store::shared::Shared;
use crate::store::state::State;
use crate::store::state::stream::StreamState;

/// So many bytes of keys are known at a time; what lies behind them comes the next time.
const KEYS_BYTES: usize = 64 << 20;
/// About what a key takes beside its bytes.
const KEY_BYTES: usize = 48;
/// So many ranges are in one entry.
const RANGES: usize = 2000;
/// A stream is due when what came since has one part of so many of what there was.
const DIRTY_PART: u64 = 2;

/// The stream that is due and has most to be looked at, but for those that were looked at.
pub(crate) fn due(state: &State, looked: &BTreeSet<StreamId>) -> Option<StreamId> {
    let dirty = |(id, stream): (StreamId, &StreamState)| {
        let rare = stream.rare.as_deref()?;
        if !rare.config.latest_by_key || looked.contains(&id) {
            return None;
        }
        let (mut clean, mut dirty) = (0, 0);
        for run in &stream.left {
            let part = if run.base < rare.compacted {
                &mut clean
            } else {
                &mut dirty
            };
            *part += u64::from(run.bytes);
        }
        (dirty > clean / DIRTY_PART).then_some((dirty, id))
    };
    state.streams().filter_map(dirty).max().map(|(_, id)| id)
}

/// Looks for the records of a stream that have newer ones of the same key; `None` where it has gone.
pub(crate) fn look(
    dir: &dyn Dir,
    shared: &Shared,
    anchors: &[Anchor],
    id: StreamId,
) -> Result<Option<Vec<Vec<u8>>>> {
    let Some(stream) = shared.state.read().stream(id).cloned() else {
        return Ok(None);
    };
    let Some(last) = stream.left.last() else {
        return Ok(None);
    };
    let rare = stream.rare.as_deref();
    let (dirty, end) = (
        rare.map_or(0, |rare| rare.compacted),
        stream.next_base(last.base),
    );
    let scan = Scan {
        dir,
        shared,
        anchors,
        id,
        stream: &stream,
    };
    let mut latest: HashMap<Box<[u8]>, u64> = HashMap::new();
    let mut left = KEYS_BYTES;
    let mut to = end;
    scan.each(&mut |record| {
        if !(dirty..end).contains(&record.offset) {
            return;
        }
        if let Some(known) = latest.get_mut(record.key) {
            *known = record.offset.max(*known);
        } else if let Some(rest) = left.checked_sub(record.key.len() + KEY_BYTES) {
            left = rest;
            latest.insert(record.key.into(), record.offset);
        } else {
            to = to.min(record.offset);
        }
    })?;
    let mut gone = Vec::new();
    scan.each(&mut |record| {
        let newer = latest.get(record.key).is_some_and(|at| *at > record.offset);
        if newer {
            gone.push(Range {
                from: record.offset,
                to: record.offset + u64::from(record.count),
                bytes: record.bytes,
            });
        }
    })?;
    Ok(Some(entries(&stream, id, to, joined(&stream, gone))))
}

/// A record that is wanted and has a key.
struct Keyed<'a> {
    offset: u64,
    count: u32,
    bytes: u64,
    key: &'a [u8],
}

/// Records that lie side by side.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: u64,
    to: u64,
    bytes: u64,
}

/// The records of a stream, wherever they lie.
struct Scan<'a> {
    dir: &'a dyn Dir,
    shared: &'a Shared,
    anchors: &'a [Anchor],
    id: StreamId,
    stream: &'a StreamState,
}

impl Scan<'_> {
    /// Gives `visit` the records with keys in the segments that the pass has left.
    fn each(&self, visit: &mut dyn FnMut(Keyed<'_>)) -> Result<()> {
        let moved = self.stream.rare.iter().flat_map(|rare| rare.moved.values());
        let mut segments: BTreeSet<u64> = moved.map(|moved| moved.at.segment()).collect();
        let runs = self.stream.left.iter().filter(|run| !run.is_released());
        segments.extend(runs.map(|run| run.segment()));
        for anchor in self.anchors {
            if segments.contains(&anchor.ordinal) {
                self.segment(anchor, visit)?;
            }
        }
        Ok(())
    }

    fn segment(&self, anchor: &Anchor, visit: &mut dyn FnMut(Keyed<'_>)) -> Result<()> {
        let index = moving::index(self.dir, self.shared, anchor)?;
        let mut look = |at: Position, payload: &[u8]| {
            let found = Entry::parse(payload).filter(|entry| entry.stream == self.id)?;
            let (offset, entry) = match found.kind {
                Kind::Append => (index.runs_of(self.id).find_map(|run| run.at(at))?, found),
                Kind::Moved => (found.offset?, Entry::parse(found.payload)?),
                _ => return None,
            };
            let key = entry.key.filter(|_| self.stream.wants(offset, at))?;
            visit(Keyed {
                offset,
                count: entry.count,
                bytes: entry.payload.len() as u64,
                key,
            });
            Some(())
        };
        follow::scan(self.dir, anchor, &mut |at, payload| {
            let _ = look(at, payload);
            true
        })
    }
}

/// Ranges that touch become one, as long as they lie in one run.
fn joined(stream: &StreamState, mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_by_key(|range| range.from);
    let mut joined: Vec<Range> = Vec::new();
    for range in ranges {
        let run = |offset: u64| stream.left.partition_point(|run| run.base <= offset);
        match joined.last_mut() {
            Some(last) if last.to == range.from && run(last.from) == run(range.from) => {
                last.to = range.to;
                last.bytes += range.bytes;
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// The entries that say so; the last one alone says that all is done up to `to`.
fn entries(stream: &StreamState, id: StreamId, to: u64, ranges: Vec<Range>) -> Vec<Vec<u8>> {
    let mut chunks: Vec<&[Range]> = ranges.chunks(RANGES).collect();
    let last = chunks.pop().unwrap_or_default();
    let chunks = chunks.into_iter().map(|chunk| (0, chunk));
    let entry = |(to, chunk): (u64, &[Range])| {
        let words = chunk
            .iter()
            .flat_map(|range| [range.from, range.to, range.bytes]);
        let payload: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        let entry = Entry {
            offset: Some(to),
            incarnation: Some(stream.incarnation),
            ..Entry::new(Kind::Compact, id, &payload)
        };
        let mut bytes = vec![0; entry.bytes()];
        entry.write(&mut bytes);
        bytes
    };
    chunks.chain([(to, last)]).map(entry).collect()
}
