//! Where a stream's records lie: runs of records in one segment, and the index of a segment.

use std::sync::Arc;

use crate::log::Position;
use crate::store::bytes::{In, Out};
use crate::store::id::StreamId;

/// Records of a stream that lie in one segment, in the order of their offsets and their positions:
/// each ends where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The offset that its places count from.
    pub(crate) base: u64,
    pub(crate) places: Vec<Place>,
}

/// Where a record lies in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its first offset, from the run's base.
    offset: u32,
    /// The position, in units of 8 bytes.
    units: u32,
    /// Bytes of its payload.
    pub(crate) bytes: u32,
}

/// A record of a stream, as the index knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Located {
    /// Its first offset.
    pub(crate) offset: u64,
    /// Its entry's position in the log.
    pub(crate) position: Position,
    /// Where it lay before it was moved there: still so until the new place is on disk.
    pub(crate) before: Option<Position>,
    /// Bytes of its payload.
    pub(crate) bytes: u32,
}

impl Place {
    #[inline]
    fn new(position: Position, offset: u32, bytes: usize) -> Self {
        Self {
            offset,
            units: (position.offset_bytes() / 8) as u32,
            bytes: bytes as u32,
        }
    }
}

impl Run {
    pub(crate) fn new(base: u64) -> Self {
        Self {
            base,
            places: Vec::new(),
        }
    }

    /// Adds a record; `false` where its offset is too far from the base.
    #[inline]
    pub(crate) fn push(&mut self, position: Position, offset: u64, bytes: usize) -> bool {
        let Ok(delta) = u32::try_from(offset - self.base) else {
            return false;
        };
        self.places.push(Place::new(position, delta, bytes));
        true
    }

    /// The first offset of a place.
    pub(crate) fn offset(&self, place: &Place) -> u64 {
        self.base + u64::from(place.offset)
    }

    /// Takes away the records that begin at `offset` or behind it; returns their bytes.
    pub(crate) fn cut(&mut self, offset: u64) -> u64 {
        let keep = self.before(offset);
        let gone = self.places.drain(keep..);
        gone.map(|place| u64::from(place.bytes)).sum()
    }

    /// How many records begin before `offset`.
    pub(crate) fn before(&self, offset: u64) -> usize {
        self.places
            .partition_point(|place| self.offset(place) < offset)
    }

    /// The records from the one on that takes `offset`.
    pub(crate) fn from(&self, segment: u64, offset: u64) -> impl Iterator<Item = Located> + '_ {
        let first = self.before(offset.saturating_add(1)).saturating_sub(1);
        let places = self.places.get(first..).unwrap_or(&[]);
        places.iter().map(move |place| Located {
            offset: self.offset(place),
            position: Position::new(segment, u64::from(place.units) * 8),
            before: None,
            bytes: place.bytes,
        })
    }

    /// The first offset of those that lie at `position` or behind it.
    pub(crate) fn since(&self, position: Position) -> Option<u64> {
        let units = position.offset_bytes() / 8;
        let before = |place: &Place| u64::from(place.units) < units;
        let first = self.places.get(self.places.partition_point(before))?;
        Some(self.offset(first))
    }

    /// The offset of the record at `position`.
    pub(crate) fn at(&self, position: Position) -> Option<u64> {
        let units = position.offset_bytes() / 8;
        let found = self
            .places
            .binary_search_by_key(&units, |place| place.units.into());
        Some(self.offset(self.places.get(found.ok()?)?))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.places.iter().map(|place| u64::from(place.bytes)).sum()
    }
}

/// Where the records of a segment lie that the pass has left. Never changes: what became of them
/// since is said by their streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    pub(crate) segment: u64,
    /// By stream, and then by base.
    runs: Vec<(StreamId, Run)>,
}

impl SegmentIndex {
    pub(crate) fn new(segment: u64, mut runs: Vec<(StreamId, Run)>) -> Arc<Self> {
        runs.sort_by_key(|(id, run)| (*id, run.base));
        Arc::new(Self { segment, runs })
    }

    /// All runs, by stream.
    pub(crate) fn runs(&self) -> &[(StreamId, Run)] {
        &self.runs
    }

    /// Memory that it takes, about, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let places: usize = self.runs.iter().map(|(_, run)| run.places.len()).sum();
        places * size_of::<Place>() + self.runs.len() * size_of::<(StreamId, Run)>()
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.list(self.runs.iter(), |out, (id, run)| {
            out.number(id.to_u64());
            out.number(run.base);
            let mut before = (0, 0);
            out.list(run.places.iter(), |out, place| {
                // Both rise from place to place.
                out.number((place.offset - before.0).into());
                out.number((place.units - before.1).into());
                out.number(place.bytes.into());
                before = (place.offset, place.units);
            });
        });
        out.0
    }

    /// Reads an index; `None` for bytes that are none.
    pub(crate) fn read(segment: u64, bytes: &[u8]) -> Option<Arc<Self>> {
        let mut from = In(bytes);
        let runs = from.list(|from| {
            let id = StreamId::from_u64(from.number()?);
            let base = from.number()?;
            let (mut offset, mut units) = (0_u32, 0_u32);
            let places = from.list(|from| {
                offset = offset.checked_add(from.word()?)?;
                units = units.checked_add(from.word()?)?;
                let bytes = from.word()?;
                if units >> 28 != 0 {
                    return None;
                }
                Some(Place {
                    offset,
                    units,
                    bytes,
                })
            })?;
            Some((id, Run { base, places }))
        })?;
        from.0.is_empty().then(|| Self::new(segment, runs))
    }

    /// The run of a stream that takes `offset`.
    pub(crate) fn run(&self, id: StreamId, offset: u64) -> Option<&Run> {
        let behind = self
            .runs
            .partition_point(|(of, run)| (*of, run.base) <= (id, offset));
        let (of, run) = self.runs.get(behind.checked_sub(1)?)?;
        (*of == id).then_some(run)
    }

    /// The runs of a stream.
    pub(crate) fn runs_of(&self, id: StreamId) -> impl Iterator<Item = &Run> {
        let from = self.runs.partition_point(|(of, _)| *of < id);
        let runs = self.runs[from..]
            .iter()
            .take_while(move |(of, _)| *of == id);
        runs.map(|(_, run)| run)
    }
}
