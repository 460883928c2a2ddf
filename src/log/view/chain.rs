//! The segments that are the log now: those that the newest one leads back to.

use std::collections::{BTreeMap, BTreeSet};

use crate::disk::Dir;
use crate::error::{Error, ErrorKind, Result};
use crate::log::position::Position;
use crate::log::recover::{COPY_NAME, LOCK_NAME, unfinished_copy};
use crate::log::segment::{self, Header};
use crate::log::view::file::{SegmentFile, about};

/// How often a directory that changes under the listing is listed again.
const TRIES: usize = 100;

/// The log's segments, oldest first, as of the last refresh.
#[derive(Debug, Default)]
pub(super) struct Chain {
    segments: Vec<Header>,
    /// The names that the last refresh found.
    listed: BTreeSet<u64>,
    /// Headers that were read; a name never stands for two segments.
    known: BTreeMap<u64, Header>,
}

/// Where a position stands in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the segment with this index, or at its end.
    In(usize),
    /// Before the first segment.
    Before,
    /// It was cut off: the log goes on in the segment with this index.
    Cut(usize),
    /// Beyond the log.
    Beyond,
}

impl Chain {
    /// Looks at the directory again; says whether the chain changed.
    pub(super) fn refresh(&mut self, dir: &dyn Dir) -> Result<bool> {
        for _ in 0..TRIES {
            let listed = list(dir)?;
            if listed == self.listed && !listed.is_empty() {
                return Ok(false);
            }
            if let Some(segments) = self.follow(dir, &listed)? {
                self.known.retain(|ordinal, _| listed.contains(ordinal));
                self.listed = listed;
                self.segments = segments;
                return Ok(true);
            }
        }
        Err(
            Error::new(ErrorKind::Locked, "its newest segment cannot be opened")
                .at_path(dir.path())
                .remedy("try again when whoever holds it is done"),
        )
    }

    /// Follows the links back from the newest segment; `None` when that vanished meanwhile.
    fn follow(&mut self, dir: &dyn Dir, listed: &BTreeSet<u64>) -> Result<Option<Vec<Header>>> {
        let mut segments: Vec<Header> = Vec::new();
        let mut next = listed.last().copied();
        while let Some(ordinal) = next {
            let Some(header) = self.header(dir, ordinal)? else {
                // The newest one must be there; an older one may be trimmed at any time.
                return Ok((!segments.is_empty()).then(|| reversed(segments)));
            };
            if segments
                .first()
                .is_some_and(|newest| newest.log_id != header.log_id)
            {
                let foreign = Error::new(ErrorKind::Damaged, "it belongs to another log");
                return Err(about(dir, ordinal, foreign));
            }
            next = Some(header.previous.ordinal).filter(|ordinal| listed.contains(ordinal));
            segments.push(header);
        }
        Ok(Some(reversed(segments)))
    }

    fn header(&mut self, dir: &dyn Dir, ordinal: u64) -> Result<Option<Header>> {
        if let Some(header) = self.known.get(&ordinal) {
            return Ok(Some(*header));
        }
        let Some(file) = SegmentFile::open(dir, ordinal)? else {
            return Ok(None);
        };
        self.known.insert(ordinal, file.header);
        Ok(Some(file.header))
    }

    pub(super) fn segments(&self) -> &[Header] {
        &self.segments
    }

    pub(super) fn get(&self, index: usize) -> Option<&Header> {
        self.segments.get(index)
    }

    pub(super) fn index_of(&self, ordinal: u64) -> Option<usize> {
        self.segments
            .binary_search_by_key(&ordinal, |header| header.ordinal)
            .ok()
    }

    /// Where the frames of the segment with this index end, or can end at most, in bytes.
    pub(super) fn end_of(&self, index: usize) -> u64 {
        let Some(header) = self.segments.get(index) else {
            return 0;
        };
        let end = header.frames().end;
        self.segments
            .get(index + 1)
            .map_or(end, |next| next.previous.end_bytes.min(end))
    }

    /// Whether the segment behind this one was made when all of this one was settled: by a later
    /// opening, or a truncation.
    pub(super) fn is_settled(&self, index: usize) -> bool {
        match (self.segments.get(index), self.segments.get(index + 1)) {
            (Some(this), Some(next)) => next.epoch > this.epoch,
            _ => false,
        }
    }

    /// Where the first segment's frames begin.
    pub(super) fn start(&self) -> Position {
        self.segments.first().map_or(Position::MIN, first)
    }

    /// Where a position stands.
    pub(super) fn locate(&self, position: Position) -> Place {
        let ordinal = position.segment();
        let behind = self
            .segments
            .partition_point(|header| header.ordinal <= ordinal);
        if let Some(index) = self.index_of(ordinal) {
            return match position.offset_bytes() <= self.end_of(index) {
                true => Place::In(index),
                false if behind < self.segments.len() => Place::Cut(behind),
                false => Place::Beyond,
            };
        }
        if behind == self.segments.len() {
            Place::Beyond
        } else if behind == 0 {
            Place::Before
        } else {
            Place::Cut(behind)
        }
    }
}

/// Where a segment's frames begin.
pub(super) fn first(header: &Header) -> Position {
    Position::new(header.ordinal, header.frames().start)
}

fn reversed(mut segments: Vec<Header>) -> Vec<Header> {
    segments.reverse();
    segments
}

fn list(dir: &dyn Dir) -> Result<BTreeSet<u64>> {
    let entries = dir
        .list()
        .map_err(|error| Error::io("listing the log", error).at_path(dir.path()))?;
    if entries.iter().any(|entry| entry.name == COPY_NAME) {
        return Err(unfinished_copy(dir));
    }
    let listed: BTreeSet<u64> = entries
        .iter()
        .filter_map(|entry| segment::parse_file_name(&entry.name))
        .collect();
    // A writer makes its lock first, and a segment at once.
    if listed.is_empty() && !entries.iter().any(|entry| entry.name == LOCK_NAME) {
        return Err(Error::new(ErrorKind::NotALog, "there is no segment in it")
            .at_path(dir.path())
            .remedy("name the directory of a log"));
    }
    Ok(listed)
}
