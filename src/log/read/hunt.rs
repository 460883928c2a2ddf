//! One look of a [`Scatter`](super::scatter::Scatter) through a segment's file: which bytes it wants
//! next, the buffer that it has, and what its bytes say.

use std::ops::Range;
use std::sync::Arc;

use crate::disk::{AlignedBuf, File, Read, ReadDone};
use crate::log::core::Segment;
use crate::log::position::Position;
use crate::log::read::cold::Unread;
use crate::log::read::pool::{Lease, ReadPool};
use crate::log::read::question::{Question, Says, Sought};

/// A look through a segment's file.
pub(super) struct Hunt {
    pub(super) position: Position,
    /// Keeps the file from being recycled.
    _segment: Arc<Segment>,
    file: Arc<dyn File>,
    block: u64,
    question: Question,
    /// What must be at hand next, in whole blocks of the file.
    want: Range<u64>,
    /// What is at hand, or is being read.
    held: Option<Held>,
    /// Its read is in the queue; else it waits for memory.
    is_away: bool,
}

/// Bytes of the file from `begin` on.
struct Held {
    begin: u64,
    len: usize,
    /// In the queue while more is read into it.
    buffer: Option<AlignedBuf>,
    lease: Lease,
}

/// A record that lies verified in a buffer.
pub(super) struct Found {
    pub(super) position: Position,
    pub(super) payload: Range<usize>,
    pub(super) time_unix_ns: Option<u64>,
    pub(super) buffer: AlignedBuf,
    pub(super) lease: Lease,
}

impl Hunt {
    /// Asks about a position; these bytes are wanted first.
    pub(super) fn new(
        position: Position,
        segment: Arc<Segment>,
        file: Arc<dyn File>,
        block: u64,
        question: Question,
        want: Range<u64>,
    ) -> Self {
        Self {
            position,
            _segment: segment,
            file,
            block,
            question,
            want: blocks(block, want),
            held: None,
            is_away: false,
        }
    }

    /// Whether its read is in the queue.
    pub(super) fn is_away(&self) -> bool {
        self.is_away
    }

    /// Wants these bytes next; `false` when they were read already, and the file did not have them.
    pub(super) fn want(&mut self, bytes: Range<u64>) -> bool {
        let want = blocks(self.block, bytes);
        if self.want.start <= want.start && want.end <= self.want.end {
            return false;
        }
        self.want = want;
        self.is_away = false;
        true
    }

    /// The read of what is missing from what is wanted; `None` when there is no memory for it now.
    pub(super) fn read(
        &mut self,
        pool: &Arc<ReadPool>,
        anyway: bool,
    ) -> Result<Option<Read>, Unread> {
        let len = (self.want.end - self.want.start) as usize;
        let taken = match pool.take(len) {
            Some(taken) => taken,
            None if anyway => {
                // What it has goes first: one buffer is all that it may have then.
                self.give_back_held();
                let unread = |error| Unread {
                    offset: self.want.start,
                    len,
                    error,
                };
                pool.take_anyway(len).map_err(unread)?
            }
            None => return Ok(None),
        };
        let (mut buffer, lease) = taken;
        let mut have = 0;
        if let Some(held) = self.held.take() {
            if let Some(old) = held.buffer {
                if held.begin == self.want.start {
                    // Whole blocks, unless the file ended in between.
                    have = held.len.min(len) & !(self.block as usize - 1);
                    buffer[..have].copy_from_slice(&old[..have]);
                }
                held.lease.give_back(old);
            }
        }
        self.held = Some(Held {
            begin: self.want.start,
            len: have,
            buffer: None,
            lease,
        });
        self.is_away = true;
        Ok(Some(Read {
            file: Arc::clone(&self.file),
            file_offset: self.want.start + have as u64,
            buffer,
            range: have..len,
            token: 0,
        }))
    }

    /// What its bytes say, once they are there.
    pub(super) fn landed(&mut self, done: ReadDone) -> Result<Says, Unread> {
        let Some(held) = &mut self.held else {
            return Ok(Says::Unsound);
        };
        let (offset, missing) = (held.begin + held.len as u64, self.want.end);
        let buffer = held.buffer.insert(done.buffer);
        match done.result {
            Ok(count) => {
                held.len += count;
                Ok(self.question.ask(held.begin, &buffer[..held.len]))
            }
            Err(error) => Err(Unread {
                offset,
                len: (missing - offset) as usize,
                error,
            }),
        }
    }

    /// The record, with the buffer in which it lies.
    pub(super) fn found(&mut self, sought: &Sought) -> Option<Found> {
        let held = self.held.take()?;
        let place = |offset: u64| (offset - held.begin) as usize;
        Some(Found {
            position: Position::new(self.position.segment(), sought.offset),
            payload: place(sought.payload.start)..place(sought.payload.end),
            time_unix_ns: sought.time_unix_ns,
            buffer: held.buffer?,
            lease: held.lease,
        })
    }

    fn give_back_held(&mut self) {
        if let Some(held) = self.held.take() {
            if let Some(buffer) = held.buffer {
                held.lease.give_back(buffer);
            }
        }
    }

    pub(super) fn give_back(mut self) {
        self.give_back_held();
    }
}

/// The whole blocks that hold these bytes.
fn blocks(block: u64, bytes: Range<u64>) -> Range<u64> {
    bytes.start & !(block - 1)..bytes.end.next_multiple_of(block)
}
