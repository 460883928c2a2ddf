//! Zeroes ahead of the tail: where a log flows slowly, each small write finds an extent that was
//! written before, and needs no change of metadata.
//!
//! A fresh segment is allocated and not written; the first write into each of its extents converts
//! it, through the file system's journal. So the persister writes zeroes ahead, into the next
//! segment in step with what is appended to this one, a piece at a time and beside writes that are
//! under way anyway: an idle log writes none. A log whose groups are large is bound by bandwidth, which this would halve: it gets none
//! either, and overtakes what was filled. Neither needs a clock or a threshold that depends on
//! the disk: with group commit, large groups are what a disk that cannot keep up looks like.
//!
//! Real bytes and zeroes never race: a write waits for the piece that covers its place, and no
//! piece begins before the last byte that was submitted.

use std::ops::Range;
use std::sync::Arc;

use crate::disk::{Queue, Region, Write};
use crate::engine::Token;
use crate::error::Error;
use crate::log::persist::group::LARGE;
use crate::log::persist::{Persist, ceil};
use crate::log::stats::Counters;

/// One piece, in bytes. Whatever its length, one group of the log waits for it (a flush of the
/// disk covers both, and in the same file a commit of the journal): so pieces had better be few.
const PIECE: u64 = 64 << 10;
/// In the segment that is appended to the next one is written when less than this is left, in bytes.
const AHEAD: u64 = 64 << 10;
/// It begins so far behind the tail where nothing was filled yet, in bytes: what is appended meanwhile
/// need not wait for it.
const GAP: u64 = 64 << 10;
/// The piece that is under way, and the zeroes.
#[derive(Debug, Default)]
pub(super) struct Fill {
    under_way: Option<Piece>,
    zeroes: Option<Arc<Region>>,
}

#[derive(Debug)]
struct Piece {
    op: u32,
    generation: u64,
    range: Range<u64>,
}

impl Fill {
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Takes a completion, if it is the piece's.
    pub(super) fn complete(&mut self, op: u32) -> bool {
        self.under_way.take_if(|piece| piece.op == op).is_some()
    }

    /// The generation and the place of the piece, if this is its write.
    pub(super) fn place(&self, op: u32) -> Option<(u64, Range<u64>)> {
        let piece = self.under_way.as_ref().filter(|piece| piece.op == op)?;
        Some((piece.generation, piece.range.clone()))
    }

    /// The queue failed: nothing completes any more.
    pub(super) fn abandon(&mut self) {
        self.under_way = None;
    }

    /// How far a write that begins at `from` may reach: up to the piece, if that lies ahead.
    /// `None` when it has to wait for the piece.
    pub(super) fn clear_to(&self, generation: u64, from: u64) -> Option<u64> {
        match &self.under_way {
            Some(piece) if piece.generation == generation && from < piece.range.end => {
                (from < piece.range.start).then_some(piece.range.start)
            }
            _ => Some(u64::MAX),
        }
    }
}

impl Persist {
    /// Whether the next write has to wait for a piece of zeroes.
    pub(super) fn is_behind_fill(&self) -> bool {
        let next = self.live.iter().find(|live| live.submitted < self.end);
        next.is_some_and(|live| {
            self.fill
                .clear_to(live.generation, live.submitted)
                .is_none()
        })
    }

    /// Pushes the next piece of zeroes, if one is due.
    pub(super) fn fill_ahead(&mut self, queue: &mut dyn Queue) {
        if self.in_flight == 0 || self.fill.is_under_way() || self.shut.tail().is_some() {
            return;
        }
        let backlog: u64 = self
            .live
            .iter()
            .map(|live| live.frontier - live.durable)
            .sum();
        if backlog >= LARGE {
            return;
        }
        let Some((index, range)) = self.next_piece() else {
            return;
        };
        let region = match &self.fill.zeroes {
            Some(zeroes) => Arc::clone(zeroes),
            None => match Region::new(PIECE as usize) {
                Ok(zeroes) => Arc::clone(self.fill.zeroes.insert(Arc::new(zeroes))),
                Err(error) => return self.fail(Error::io("mapping memory for zeroes", error)),
            },
        };
        let op = self.next_op();
        let live = &mut self.live[index];
        assert!(
            range.start >= live.frontier.max(live.submitted),
            "zeroes go only where nothing was appended"
        );
        live.filled = range.end;
        let len = range.end - range.start;
        queue.push(Write {
            file: Arc::clone(&live.file),
            file_offset: range.start,
            region,
            region_offset: 0,
            len: len as usize,
            token: Token::new(self.client, op).raw(),
        });
        self.fill.under_way = Some(Piece {
            op,
            generation: live.generation,
            range,
        });
        Counters::add(&self.core.counters.filled_bytes, len);
    }

    /// The piece that is due, and the index of its segment. The segment that is appended to comes
    /// with zeroes from when it was the one ahead, unless it is the first of this opening.
    fn next_piece(&self) -> Option<(usize, Range<u64>)> {
        let index = self
            .live
            .iter()
            .position(|live| live.submitted < self.end)?;
        let near = &self.live[index];
        let tail = ceil(near.frontier, self.block);
        if near.filled < (tail + AHEAD).min(self.end) {
            let from = if near.filled > tail {
                near.filled
            } else {
                tail + GAP
            };
            return (from < self.end).then(|| (index, from..(from + PIECE).min(self.end)));
        }
        let ahead = self.live.get(index + 1)?;
        // As far as this one is used, and a piece. Where something was appended to it already, its
        // zeroes come when its turn does.
        let from = ahead.filled;
        let due = ahead.frontier == self.first && from <= near.frontier && from < self.end;
        due.then(|| (index + 1, from..(from + PIECE).min(self.end)))
    }
}
