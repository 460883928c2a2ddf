//! Which bytes are written next.

use std::ops::Range;
use std::sync::Arc;

use crate::disk::{Queue, Write};
use crate::engine::Token;
use crate::log::frame::{self, CHECKPOINT_BYTES, Checkpoint};
use crate::log::persist::live::Piece;
use crate::log::persist::{Persist, ceil, floor};
use crate::log::position::Position;
use crate::log::stats::Counters;
use crate::log::tail::TailAt;
use crate::log::tail::claim::Claimed;
use crate::log::tail::word::GENERATION_MASK;

/// Writes of large groups that are under way at a time.
const DEPTH: usize = 8;
/// A group so large is written although others are under way, in bytes.
pub(super) const LARGE: u64 = 256 << 10;
/// The largest single write, in bytes.
const PIECE_MAX: u64 = 1 << 20;
/// The most that one scan looks at, in bytes, so that the disk is fed in between.
const SCAN_MAX: u64 = 1 << 20;

impl Persist {
    /// Moves the frontier over what was committed.
    pub(super) fn scan(&mut self) {
        let mut budget = SCAN_MAX;
        loop {
            let frontier_generation = self.frontier_generation;
            let (end, block) = (self.end, self.block);
            let oldest = self.live.front().map_or(0, |live| live.generation);
            let index = (frontier_generation - oldest) as usize;
            let live = &mut self.live[index];
            let (mut records, mut payload_bytes) = (0, 0);
            while live.frontier < end && budget > 0 {
                let at = live.frontier as usize;
                let Some(len) = frame::committed_bytes(live.image.committed(at)) else {
                    break;
                };
                let (new_records, new_bytes) = live.image.count(at, len);
                let from = live.frontier;
                live.frontier += len as u64;
                if live.frontier % block == 0 {
                    live.boundary = live.frontier;
                } else if floor(live.frontier, block) > from {
                    live.boundary = from;
                }
                if new_records > 0 {
                    records += new_records;
                    payload_bytes += new_bytes;
                    self.data_end = live.position(live.frontier);
                }
                budget = budget.saturating_sub(len as u64);
            }
            if records > 0 {
                live.summary.records += records;
                live.summary.payload_bytes += payload_bytes;
                self.records_total += records;
                Counters::add(&self.core.counters.records, records);
                Counters::add(&self.core.counters.payload_bytes, payload_bytes);
                self.stuck = None;
            }
            if live.frontier < end {
                return;
            }
            live.records_total = self.records_total;
            if index + 1 == self.live.len() {
                return;
            }
            // The segment is full; go on in the next one, if claims do.
            if self.tail_at().generation == frontier_generation & GENERATION_MASK {
                return;
            }
            self.frontier_generation += 1;
            self.progressed = true;
            Counters::add(&self.core.counters.rollovers, 1);
        }
    }

    /// Whether a segment is ready behind the frontier's.
    pub(super) fn has_next(&self) -> bool {
        self.live(self.frontier_generation + 1).is_some()
    }

    /// Whether there is a group to write now.
    pub(super) fn has_group(&self) -> bool {
        let whole: u64 = self
            .live
            .iter()
            .map(|live| floor(live.frontier, self.block) - live.submitted)
            .sum();
        match self.in_flight {
            _ if self.is_behind_fill() => false,
            0 => whole > 0 || self.has_partial(),
            depth if depth < DEPTH => whole >= LARGE,
            _ => false,
        }
    }

    /// Whether the last block is partial and nobody is filling it: padding makes it whole.
    fn has_partial(&self) -> bool {
        let front = self.front();
        front.frontier > floor(front.frontier, self.block)
            && front.frontier > front.submitted
            && self.is_tail(self.tail_at())
    }

    /// Whether the frontier stands at this tail: no claim is open.
    pub(super) fn is_tail(&self, tail: TailAt) -> bool {
        tail.offset == self.front().frontier
            && tail.generation == self.frontier_generation & GENERATION_MASK
    }

    pub(super) fn tail_at(&self) -> TailAt {
        self.shut.tail().unwrap_or_else(|| self.core.tail.now())
    }

    /// A commit that ends here, or beyond, should wake the persister.
    pub(super) fn wish(&self) -> Position {
        let front = self.front();
        match self.in_flight {
            0 => Position::from_u64(front.position(front.frontier).to_u64() + 1),
            depth if depth < DEPTH => front.position((front.submitted + LARGE).min(self.end)),
            _ => Position::from_u64(u64::MAX),
        }
    }

    /// Pushes the next group, with a checkpoint, if there is one.
    pub(super) fn write_groups(&mut self, queue: &mut dyn Queue) {
        if self.is_behind_fill() {
            return;
        }
        let group = self.has_group();
        let pad = self.in_flight == 0 && (self.has_partial() || self.wants_checkpoint_now());
        if !group && !pad {
            return;
        }
        // Behind the clean checkpoint of a closing log there is nothing.
        if !self.shut.is_attesting() {
            if pad && self.front().frontier == self.end {
                self.core.tail.install_next();
                self.scan();
            }
            self.checkpoint(pad, false);
            self.scan();
        }
        self.push_pieces(queue);
    }

    /// Pushes what is whole, as few writes as possible.
    fn push_pieces(&mut self, queue: &mut dyn Queue) {
        'segments: for index in 0..self.live.len() {
            loop {
                let live = &self.live[index];
                let from = live.submitted;
                let whole = floor(live.frontier, self.block) - from;
                let small = whole < LARGE && live.frontier < self.end;
                if whole == 0 || self.in_flight >= DEPTH || (small && self.in_flight > 0) {
                    break;
                }
                // What zeroes are being written to waits for them, and what is behind it too.
                let Some(clear) = self.fill.clear_to(live.generation, from) else {
                    break 'segments;
                };
                let to = (from + whole.min(PIECE_MAX)).min(clear);
                self.push_piece(queue, index, from..to);
            }
        }
    }

    fn push_piece(&mut self, queue: &mut dyn Queue, index: usize, range: Range<u64>) {
        let op = self.next_op();
        let len = range.end - range.start;
        if self.in_flight == 0 && len < LARGE {
            self.small_writes.begin(op, self.disk.now_monotonic_ns());
        }
        let live = &mut self.live[index];
        queue.push(Write {
            file: Arc::clone(&live.file),
            file_offset: range.start,
            region: Arc::clone(&live.memory),
            region_offset: range.start as usize,
            len: len as usize,
            token: Token::new(self.client, op).raw(),
        });
        live.submitted = range.end;
        // A piece out of the middle keeps to the boundary before it.
        let known = range.end == floor(live.frontier, self.block);
        let before = live
            .writes
            .back()
            .map_or(live.boundary_durable, |piece| piece.boundary);
        let boundary = if known { live.boundary } else { before };
        live.writes.push_back(Piece {
            op,
            to: range.end,
            boundary,
            done: false,
        });
        self.in_flight += 1;
        Counters::add(&self.core.counters.writes, 1);
        Counters::add(&self.core.counters.written_bytes, len);
    }

    /// Writes a checkpoint into the log, and pads to the block's end if asked to. Does nothing
    /// where there is no room left: the segment's end then takes its place.
    pub(super) fn checkpoint(&mut self, pad: bool, clean: bool) {
        let block = self.block;
        let size = CHECKPOINT_BYTES as u64;
        let take = |tail: TailAt, room: u64| {
            if !pad {
                return (size <= room).then_some(size);
            }
            // Only where nothing is open behind the frontier: else the rest comes by itself.
            if !self.is_tail(tail) {
                return None;
            }
            let len = ceil(tail.offset + size, block) - tail.offset;
            Some(len.min(room))
        };
        let core = Arc::clone(&self.core);
        let claim = match self.shut.tail() {
            None => core.tail.claim_control(take),
            Some(tail) => take(tail, self.end - tail.offset)
                .filter(|len| *len > 0)
                .map(|len| {
                    let offset = tail.offset + len;
                    self.shut.set_tail(TailAt {
                        generation: tail.generation,
                        offset,
                    });
                    core.tail.behind_end(tail.generation, tail.offset, len)
                }),
        };
        let Some(claim) = claim else { return };
        let from = claim.position();
        if claim.len() < CHECKPOINT_BYTES {
            claim.pad();
        } else {
            self.fill_checkpoint(claim, clean);
        }
        core.committed_by_persister(from);
    }

    fn fill_checkpoint(&mut self, claim: Claimed<'_>, clean: bool) {
        let now = self.disk.now_unix_ns();
        self.last_time_unix_ns = self.last_time_unix_ns.max(now);
        let watermark = self.whole;
        let position = claim.position();
        let checkpoint = Checkpoint {
            log_id: self.core.log_id,
            watermark,
            log_start: self.start.wanted(),
            time_unix_ns: self.last_time_unix_ns,
            records: self.records_total,
            clean,
        };
        self.start.noted(claim.end());
        claim.checkpoint(&checkpoint);
        self.attested = watermark;
        Counters::add(&self.core.counters.checkpoints, 1);
        if let Some(live) = self
            .live
            .iter_mut()
            .find(|live| live.segment.ordinal() == position.segment())
        {
            live.summary.times.push(position, self.last_time_unix_ns);
            live.segment.summary.lock().clone_from(&live.summary);
        }
    }

    /// Whether the last group is not attested yet, though the log went idle.
    pub(super) fn wants_trailing(&self) -> bool {
        self.in_flight == 0
            && self.shut.tail().is_none()
            && self.attested < self.data_end
            && self.core.durable() >= self.data_end
            && self.is_tail(self.core.tail.now())
            && (self.front().frontier < self.end || self.has_next())
    }

    fn wants_checkpoint_now(&self) -> bool {
        let room = self.front().frontier < self.end || self.has_next();
        if self.start.is_unwritten() && room && self.shut.tail().is_none() {
            return true;
        }
        self.wants_trailing()
            && self.disk.now_monotonic_ns()
                >= self.last_active_ns.saturating_add(super::TRAILING_NS)
    }
}
