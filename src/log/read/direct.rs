//! A window of a file that is read past the page cache, into buffers of the log's pool.
//!
//! A first look is one plain call. A window that is moved forward is *streamed*: the next ones, up
//! to [`AHEAD_MAX`], are on their way while this one is used. They come as pieces of the file, each
//! in a buffer of its own with some room before it, into which the begin of a frame is copied that
//! lies across the border. A frame that is too large for that is put together in a buffer of its
//! own.
//!
//! ```text
//!  file    ──────────────┬───────────────────┬───────────────────┬──
//!  window  ▓▓▓▓▓▓▓▓[fra… │ …me][frame][frame]│  on its way       │
//!                   └┬─┘
//!                    ▼ copied
//!  buffer  ┌────────────┬────────────────────┐
//!          │ room [fra… │ …me][frame][frame] │   becomes the window
//!          └────────────┴────────────────────┘
//! ```
//!
//! What is read ahead keeps to the pool's budget. Where that is used up, or nothing is left to be
//! read ahead, the window is moved by plain calls, one after the other, in the one buffer that
//! every reader has.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{AlignedBuf, File, Read};
use crate::log::read::ahead::{AHEAD_MAX, Ahead, Piece};
use crate::log::read::cold::{Pace, Unread, WINDOW_MAX};
use crate::log::read::pool::{Lease, ReadPool};
use crate::log::read::share::{BufferPart, Sharing};

/// The most room before a piece, in bytes.
const ROOM_MAX: u64 = WINDOW_MAX / 4;

/// What a window is read from, and with.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) file: Arc<dyn File>,
    /// What offset, length and address of direct reads must be multiples of.
    pub(super) block: u64,
    pub(super) pool: Arc<ReadPool>,
}

/// The buffer that holds the window, and what is on its way behind it.
pub(super) struct Direct {
    origin: Origin,
    held: Option<Held>,
    ahead: Ahead,
    /// The room before the next piece, in bytes: as much as frames across a border have needed.
    room: u64,
}

/// A buffer in which the file's byte `begin` lies at `index`.
struct Held {
    buffer: Arc<AlignedBuf>,
    lease: Lease,
    index: usize,
    begin: u64,
}

impl Direct {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            ahead: Ahead::new(Arc::clone(&origin.pool)),
            room: origin.block,
            origin,
            held: None,
        }
    }

    /// Brings `need` bytes from `from` on to hand, if the file has them before `limit`.
    pub(super) fn load(
        &mut self,
        window: &mut Range<u64>,
        pace: &mut Pace,
        wanted: Range<u64>,
        limit: u64,
        forward: bool,
    ) -> Result<(), Unread> {
        if forward {
            self.stream(window, pace, &wanted, limit)?;
            if window.start <= wanted.start && wanted.end <= window.end {
                return Ok(());
            }
            pace.grow();
        }
        self.ahead.discard();
        self.read(window, *pace, &wanted, limit)
    }

    /// Bytes of the window.
    #[inline]
    pub(super) fn bytes(&self, range: Range<u64>) -> &[u8] {
        match &self.held {
            Some(held) => held.bytes(range),
            None => &[],
        }
    }

    /// Nothing that is on its way is believed any more. Says what the blocks are.
    pub(super) fn forget(&mut self) -> u64 {
        self.ahead.discard();
        self.origin.block
    }

    /// Bytes of the window, kept beyond it; `None` when they had better be copied.
    pub(super) fn share(&self, range: Range<u64>, sharing: &Sharing) -> Option<Bytes> {
        let held = self.held.as_ref()?;
        let place = held.place(&range);
        BufferPart::share(&held.buffer, place, sharing)
    }

    // ---- one window, by a plain call

    fn read(
        &mut self,
        window: &mut Range<u64>,
        pace: Pace,
        wanted: &Range<u64>,
        limit: u64,
    ) -> Result<(), Unread> {
        let block = self.origin.block;
        let begin = wanted.start & !(block - 1);
        let end = (begin + pace.step)
            .max(wanted.end)
            .min(limit.max(wanted.start))
            .next_multiple_of(block);
        let len = (end - begin) as usize;
        let unread = |error| Unread {
            offset: begin,
            len,
            error,
        };
        // Nothing is at hand while it is read, and if that fails.
        *window = 0..0;
        let (mut buffer, lease) = match self.held.take().and_then(Held::into_parts) {
            Some((buffer, lease)) if buffer.len() >= len => (buffer, lease),
            other => {
                if let Some((buffer, lease)) = other {
                    lease.give_back(buffer);
                }
                self.origin.pool.take_anyway(len).map_err(unread)?
            }
        };
        let read = self.origin.file.read_at(&mut buffer[..len], begin);
        self.held = Some(Held {
            buffer: Arc::new(buffer),
            lease,
            index: 0,
            begin,
        });
        let read = read.map_err(unread)? as u64;
        *window = begin..(begin + read).min(limit.max(begin));
        Ok(())
    }

    // ---- several windows at once

    /// Goes on from the window's end with what was read ahead, until what is wanted is at hand, or
    /// nothing more comes this way.
    fn stream(
        &mut self,
        window: &mut Range<u64>,
        pace: &mut Pace,
        wanted: &Range<u64>,
        limit: u64,
    ) -> Result<(), Unread> {
        while window.end < wanted.end {
            self.send(window.end, wanted.end, limit, pace);
            let Some(piece) = self.ahead.next()? else {
                return Ok(());
            };
            if !self.adopt(window, wanted, piece) {
                self.ahead.discard();
                return Ok(());
            }
            pace.deepen();
        }
        self.send(window.end, wanted.end, limit, pace);
        Ok(())
    }

    /// Lets reads begin behind those that are on their way.
    fn send(&mut self, window_end: u64, wanted_end: u64, limit: u64, pace: &mut Pace) {
        let block = self.origin.block;
        if self.ahead.len() == 0 {
            self.ahead.end = window_end;
        }
        let mut sent = false;
        loop {
            let (count, next) = (self.ahead.len(), self.ahead.end);
            let enough = count >= pace.depth && next >= wanted_end;
            if next >= limit || count >= AHEAD_MAX || enough {
                break;
            }
            let mut grown = *pace;
            grown.grow();
            let begin = next & !(block - 1);
            let end = (begin + grown.step).min(limit).next_multiple_of(block);
            if count == 0 && end >= limit {
                // There is nothing to overlap it with: a plain call does as well.
                break;
            }
            let index = self.room as usize;
            let len = (end - begin) as usize;
            let Some((buffer, lease)) = self.origin.pool.take(index + len) else {
                break;
            };
            *pace = grown;
            let read = Read {
                file: Arc::clone(&self.origin.file),
                file_offset: begin,
                buffer,
                range: index..index + len,
                token: 0,
            };
            self.ahead.push(read, lease, end.min(limit));
            sent = true;
        }
        if sent {
            self.ahead.submit();
        }
    }

    /// Makes a piece that follows the window, together with what is wanted of the window, the new
    /// window. `false` when nothing more comes this way: the file ended, or memory is short.
    fn adopt(&mut self, window: &mut Range<u64>, wanted: &Range<u64>, mut piece: Piece) -> bool {
        let begin = piece.begin;
        debug_assert!(begin <= window.end, "a piece that does not follow");
        let kept = begin.saturating_sub(wanted.start);
        if kept <= piece.index as u64 {
            if let Some(held) = self.held.as_ref().filter(|_| kept > 0) {
                let place = piece.index - kept as usize..piece.index;
                piece.buffer[place].copy_from_slice(held.bytes(wanted.start..begin));
            }
            *window = begin - kept..piece.end;
            let held = Held {
                buffer: Arc::new(piece.buffer),
                lease: piece.lease,
                index: piece.index,
                begin,
            };
            if let Some(old) = self.held.replace(held) {
                old.give_back();
            }
            return piece.is_whole;
        }
        self.room = kept
            .next_multiple_of(self.origin.block)
            .clamp(self.room, ROOM_MAX);
        let bytes = &piece.buffer[piece.index..][..(piece.end - begin) as usize];
        let gathered = self.gather(window, wanted, begin, bytes);
        piece.lease.give_back(piece.buffer);
        gathered && piece.is_whole
    }

    /// Puts bytes of the file from `begin` on behind the window, all of it from what is wanted on in
    /// one buffer. `false` when memory is short.
    fn gather(
        &mut self,
        window: &mut Range<u64>,
        wanted: &Range<u64>,
        begin: u64,
        bytes: &[u8],
    ) -> bool {
        let end = begin + bytes.len() as u64;
        let sole = |held: &mut Held| held.end() >= end && Arc::get_mut(&mut held.buffer).is_some();
        if !self.held.as_mut().is_some_and(sole) {
            // Where more is to follow, it is let in without moving everything again.
            let capacity = if end < wanted.end {
                wanted.end + WINDOW_MAX - wanted.start
            } else {
                end - wanted.start
            };
            let capacity = capacity.next_multiple_of(self.origin.block) as usize;
            let Some((mut buffer, lease)) = self.origin.pool.take(capacity) else {
                return false;
            };
            let kept = begin - wanted.start;
            if let Some(old) = self.held.take() {
                buffer[..kept as usize].copy_from_slice(old.bytes(wanted.start..begin));
                old.give_back();
            }
            self.held = Some(Held {
                buffer: Arc::new(buffer),
                lease,
                index: 0,
                begin: wanted.start,
            });
            window.start = wanted.start;
        }
        let Some(held) = &mut self.held else {
            return false;
        };
        let place = held.place(&(begin..end));
        let Some(buffer) = Arc::get_mut(&mut held.buffer) else {
            return false;
        };
        buffer[place].copy_from_slice(bytes);
        window.end = end;
        true
    }
}

impl Held {
    /// Where bytes of the file lie in the buffer.
    #[inline]
    fn place(&self, range: &Range<u64>) -> Range<usize> {
        // The room before `begin` may be used, too.
        let from = (self.index as u64 + range.start - self.begin) as usize;
        from..from + (range.end - range.start) as usize
    }

    #[inline]
    fn bytes(&self, range: Range<u64>) -> &[u8] {
        &self.buffer[self.place(&range)]
    }

    /// Up to where bytes of the file could lie in the buffer.
    fn end(&self) -> u64 {
        self.begin + (self.buffer.len() - self.index) as u64
    }

    /// The buffer; `None` when shared records keep it, whose budget it is from now on.
    fn into_parts(self) -> Option<(AlignedBuf, Lease)> {
        Some((Arc::into_inner(self.buffer)?, self.lease))
    }

    fn give_back(self) {
        if let Some((buffer, lease)) = self.into_parts() {
            lease.give_back(buffer);
        }
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.give_back();
        }
    }
}
