//! A segment's file, opened to be read only: locked, so that it is not recycled meanwhile.

use std::io;

use crate::disk::Dir;
use crate::error::{Error, ErrorKind, Result};
use crate::log::frame::{self, Check, NoFrame, Seed};
use crate::log::hold::Held;
use crate::log::position::Position;
use crate::log::read::{FileWindow, Found, ReadPool};
use crate::log::segment::{self, Footer, Header};

/// Bytes at the begin of a segment that hold its header.
const HEADER_BYTES: u64 = 512;

/// An open segment.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub(super) header: Header,
    seed: Seed,
    len: u64,
    window: FileWindow,
}

impl SegmentFile {
    /// Opens the segment; `None` when it is not there any more.
    pub(super) fn open(dir: &dyn Dir, ordinal: u64) -> Result<Option<Self>> {
        let at = |error: io::Error| about(dir, ordinal, Error::io("opening a segment", error));
        let Ok(held) = Held::open(dir, ordinal).map_err(at)? else {
            return Ok(None);
        };
        let len = held.file().len().map_err(at)?;
        // Nothing is read ahead: what is not proven yet may be written in the next moment.
        let block = u64::from(dir.block_size());
        let mut window = FileWindow::direct(held.into_file(), block, &ReadPool::none());
        window
            .load(0, HEADER_BYTES, HEADER_BYTES)
            .map_err(|unread| about(dir, ordinal, unread.into_error()))?;
        let parsed = Header::parse(window.from(0)).map_err(|error| about(dir, ordinal, error))?;
        match parsed {
            Some(header) if header.ordinal == ordinal => {
                let seed = header.seed();
                Ok(Some(Self {
                    header,
                    seed,
                    len,
                    window,
                }))
            }
            _ => Err(about(
                dir,
                ordinal,
                Error::new(ErrorKind::Damaged, "its header is not that of this segment")
                    .remedy("`ringbolt verify` says more"),
            )),
        }
    }

    /// The footer, if the segment is sealed.
    pub(super) fn footer(&mut self, dir: &dyn Dir) -> Result<Option<Footer>> {
        let block = u64::from(self.header.block_bytes);
        let begin = self.header.segment_bytes - block;
        if self.len < self.header.segment_bytes {
            return Ok(None);
        }
        self.window.forget(0);
        self.window
            .load(begin, block, self.header.segment_bytes)
            .map_err(|unread| about(dir, self.header.ordinal, unread.into_error()))?;
        let footer = Footer::parse(self.window.from(begin)).filter(|footer| {
            (footer.log_id, footer.ordinal, footer.salt)
                == (self.header.log_id, self.header.ordinal, self.header.salt)
        });
        self.window.forget(0);
        Ok(footer)
    }

    /// The frame at `offset`, if it is there and lies before `limit`.
    pub(super) fn frame(
        &mut self,
        dir: &dyn Dir,
        offset: u64,
        limit: u64,
    ) -> Result<Result<Found, NoFrame>> {
        let ordinal = self.header.ordinal;
        let mut need = frame::PAD_BYTES_MIN as u64;
        loop {
            if offset + need > limit {
                return Ok(Err(NoFrame::Short {
                    needed_bytes: need as usize,
                }));
            }
            let range = offset..offset + need;
            if !self.window.has(&range) {
                self.window.load(offset, need, limit).map_err(|unread| {
                    about(dir, ordinal, unread.into_error())
                        .at_position(Position::new(ordinal, offset))
                })?;
                if !self.window.has(&range) {
                    return Ok(Err(NoFrame::Bad));
                }
            }
            let bytes = self.window.from(offset);
            match Found::parse(Check::Verify(self.seed), ordinal, offset, bytes) {
                Ok(found) if found.end > limit => {
                    let needed_bytes = (found.end - offset) as usize;
                    return Ok(Err(NoFrame::Short { needed_bytes }));
                }
                Err(NoFrame::Short { needed_bytes }) => need = needed_bytes as u64,
                other => return Ok(other),
            }
        }
    }

    /// What a batch's record at `offset` says about its frame: where that begins.
    pub(super) fn batch_frame(&self, offset: u64) -> Option<u64> {
        let distance = frame::batch_distance(self.window.from(offset))? as u64;
        offset
            .checked_sub(distance)
            .filter(|begin| *begin >= self.header.frames().start)
    }

    /// Bytes of a frame that was just found.
    pub(super) fn bytes(&self, range: std::ops::Range<u64>) -> &[u8] {
        self.window.bytes(range)
    }

    /// The block that holds `offset`, and all behind it, may have been written since.
    pub(super) fn forget(&mut self, offset: u64) {
        self.window.forget(offset);
    }
}

/// The error, naming the segment's file.
pub(super) fn about(dir: &dyn Dir, ordinal: u64, error: Error) -> Error {
    error.at_path(dir.path().join(segment::file_name(ordinal)))
}
