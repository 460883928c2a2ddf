//! Segments in memory, as the persister sees them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::disk::{File, Region};
use crate::log::core::{Segment, Summary};
use crate::log::position::Position;
use crate::log::tail::image::Image;

/// A segment with an image. Offsets are bytes of the segment's file; they only grow:
/// `durable <= submitted <= frontier <= end`.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) generation: u64,
    pub(super) segment: Arc<Segment>,
    /// To be written; readers have openings of their own.
    pub(super) file: Arc<dyn File>,
    pub(super) image: Arc<Image>,
    pub(super) memory: Arc<Region>,
    /// Everything before is committed.
    pub(super) frontier: u64,
    /// Everything before was submitted; a multiple of the block.
    pub(super) submitted: u64,
    /// Everything before is on disk.
    pub(super) durable: u64,
    /// Zeroes were written, or are being, up to here; at its end where they are not wanted.
    pub(super) filled: u64,
    /// The last end of a frame in the whole blocks before the frontier, and in those on disk.
    pub(super) boundary: u64,
    pub(super) boundary_durable: u64,
    /// Writes under way, in order of their place.
    pub(super) writes: VecDeque<Piece>,
    pub(super) summary: Summary,
    /// Records before its end, since the log was made; known once the frontier is there.
    pub(super) records_total: u64,
    pub(super) footer: FooterState,
}

/// A write under way.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) op: u32,
    pub(super) to: u64,
    /// An end of a frame in it, or before.
    pub(super) boundary: u64,
    pub(super) done: bool,
}

/// How far a segment's footer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FooterState {
    Open,
    Submitted,
    Sealed,
}

impl Live {
    pub(super) fn new(
        generation: u64,
        segment: Arc<Segment>,
        file: Arc<dyn File>,
        image: Arc<Image>,
        memory: Arc<Region>,
        at: u64,
        fill: bool,
    ) -> Self {
        let summary = segment.summary.lock().clone();
        Self {
            generation,
            segment,
            file,
            image,
            memory,
            frontier: at,
            submitted: at,
            durable: at,
            filled: if fill { at } else { u64::MAX },
            boundary: at,
            boundary_durable: at,
            writes: VecDeque::new(),
            summary,
            records_total: 0,
            footer: FooterState::Open,
        }
    }

    pub(super) fn position(&self, offset: u64) -> Position {
        Position::new(self.segment.ordinal(), offset)
    }

    /// The place of a write under way, if it is one of this segment's, in bytes of the file.
    pub(super) fn range_of(&self, op: u32) -> Option<Range<u64>> {
        let index = self.writes.iter().position(|piece| piece.op == op)?;
        let before = index.checked_sub(1).and_then(|at| self.writes.get(at));
        let from = before.map_or(self.durable, |piece| piece.to);
        Some(from..self.writes.get(index)?.to)
    }

    /// Marks a write as done and moves the durable offset over the contiguous prefix. Says whether
    /// the write was one of this segment's.
    pub(super) fn complete(&mut self, op: u32) -> bool {
        let Some(piece) = self.writes.iter_mut().find(|piece| piece.op == op) else {
            return false;
        };
        piece.done = true;
        while self.writes.front().is_some_and(|piece| piece.done) {
            if let Some(piece) = self.writes.pop_front() {
                self.durable = piece.to;
                self.boundary_durable = piece.boundary;
            }
        }
        true
    }
}
