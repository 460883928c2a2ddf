//! Looking for the frame at a reader's position: in memory, else in the file.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::log::core::{Core, Segment};
use crate::log::frame::{self, Check, NoFrame};
use crate::log::hold::Absent;
use crate::log::position::Position;
use crate::log::read::cold::{FileWindow, Pace};
use crate::log::read::cursor::{Cursor, Landing};
use crate::log::read::options::Cold;
use crate::log::read::source::{Found, Source, What};
use crate::log::segment;
use crate::log::tail::pinned::ImageWalk;

/// Whether there is a frame at the position.
pub(super) enum Sight {
    Frame(Found),
    NotYet,
}

impl Cursor {
    /// The frame at the position, brought to hand.
    pub(super) fn look(&mut self, stay: bool) -> Result<Sight> {
        let offset = self.position.offset_bytes();
        loop {
            match &mut self.source {
                Source::Image(walk) => {
                    if walk.covers(offset) && walk.hold() {
                        return self.look_in_image();
                    }
                    // The memory went elsewhere, or never had it: the file does.
                    self.source = Source::None;
                }
                // From here on it is in memory.
                Source::File(_) if offset >= self.file_until && !stay => self.source = Source::None,
                Source::File(_) => return self.look_in_file(stay),
                Source::None if stay => return Ok(Sight::NotYet),
                Source::None => self.open_source()?,
            }
        }
    }

    fn open_source(&mut self) -> Result<()> {
        let Some(segment) = &self.segment else {
            return Ok(());
        };
        self.file_until = u64::MAX;
        if let Some(mut walk) = ImageWalk::new(segment) {
            if walk.hold() {
                if walk.covers(self.position.offset_bytes()) {
                    self.source = Source::Image(walk);
                    self.held = None;
                    return Ok(());
                }
                self.file_until = walk.at() as u64;
                walk.release();
            }
        }
        let (block, pool) = (block_bytes(&self.core, segment), &self.core.reads);
        let mapped = self.cold == Cold::Mapped && segment.is_sealed();
        let len = segment.header.segment_bytes;
        let held = segment
            .hold(&*self.core.dir)
            .map_err(|error| self.about_file(Error::io("opening a segment", error)))?;
        let held = match held {
            Ok(held) => held,
            Err(absent) => return Err(self.absent(absent)),
        };
        self.held = Some(Arc::clone(&held));
        let window = if mapped {
            FileWindow::mapped(held, len, block, pool)
                .map_err(|error| self.about_file(Error::io("mapping a segment", error)))?
        } else {
            FileWindow::direct(held.shared_file(), block, pool)
        };
        let pace = std::mem::replace(&mut self.pace, Pace::START);
        self.source = Source::File(window.at_pace(pace));
        Ok(())
    }

    #[inline]
    fn look_in_image(&mut self) -> Result<Sight> {
        let ordinal = self.position.segment();
        let offset = self.position.offset_bytes();
        let Source::Image(walk) = &mut self.source else {
            return Ok(Sight::NotYet);
        };
        if walk.at() as u64 != offset {
            if walk.at() as u64 > offset {
                walk.rewind();
            }
            walk.advance_to(offset as usize);
        }
        let begin = walk.at() as u64;
        let Some(bytes) = walk.frame() else {
            return Ok(Sight::NotYet);
        };
        match Found::parse(Check::Trust, ordinal, begin, bytes) {
            Ok(found) => Ok(Sight::Frame(found)),
            Err(_) => Err(self.damaged("a frame in memory is no frame")),
        }
    }

    fn look_in_file(&mut self, stay: bool) -> Result<Sight> {
        let offset = self.position.offset_bytes();
        match self.frame_in_file(offset, stay)? {
            Ok(found) => return Ok(Sight::Frame(found)),
            Err(NoFrame::Short { .. }) => return Ok(Sight::NotYet),
            Err(NoFrame::Empty | NoFrame::Bad) if stay => return Ok(Sight::NotYet),
            Err(NoFrame::Empty | NoFrame::Bad) => {}
        }
        // It may be a batch's record: that says how far back its frame begins.
        let Source::File(window) = &self.source else {
            return Ok(Sight::NotYet);
        };
        let batch = frame::batch_distance(window.from(offset))
            .and_then(|distance| offset.checked_sub(distance as u64))
            .filter(|begin| *begin >= self.first_bytes());
        if let Some(begin) = batch {
            if let Ok(found) = self.frame_in_file(begin, false)? {
                if matches!(found.what, What::Batch { .. }) && found.end > offset {
                    return Ok(Sight::Frame(found));
                }
            }
        }
        match self.landing {
            Landing::Reached => {
                Err(self.damaged("the checksum does not match, or no frame is there"))
            }
            Landing::Strict => Err(self.no_record()),
            Landing::Lenient => {
                self.skip_to = self.position;
                self.position = Position::new(self.position.segment(), self.first_bytes());
                self.landing = Landing::Reached;
                self.look_in_file(stay)
            }
        }
    }

    /// The frame at an offset of the file, read and verified.
    fn frame_in_file(&mut self, offset: u64, stay: bool) -> Result<Result<Found, NoFrame>> {
        let Some(segment) = &self.segment else {
            return Ok(Err(NoFrame::Empty));
        };
        let (ordinal, seed) = (segment.ordinal(), segment.header.seed());
        let limit = self.readable_to(segment);
        let mut need = frame::PAD_BYTES_MIN as u64;
        loop {
            if offset + need > limit {
                return Ok(match limit == end_of(segment) {
                    true => Err(NoFrame::Bad),
                    false => Err(NoFrame::Short {
                        needed_bytes: need as usize,
                    }),
                });
            }
            let Source::File(window) = &mut self.source else {
                return Ok(Err(NoFrame::Empty));
            };
            if !window.has(&(offset..offset + need)) {
                if stay && !window.grows_to(offset) {
                    return Ok(Err(NoFrame::Short {
                        needed_bytes: need as usize,
                    }));
                }
                window
                    .load(offset, need, limit)
                    .map_err(|unread| self.about_file(unread.into_error()))?;
                let Source::File(window) = &self.source else {
                    return Ok(Err(NoFrame::Empty));
                };
                if !window.has(&(offset..offset + need)) {
                    return Err(self.damaged("the file ends before the segment does"));
                }
            }
            let Source::File(window) = &self.source else {
                return Ok(Err(NoFrame::Empty));
            };
            match Found::parse(Check::Verify(seed), ordinal, offset, window.from(offset)) {
                // Padding may end beyond what is at hand; there is nothing in it to be read.
                Ok(found) if found.end > limit => return Ok(Err(NoFrame::Bad)),
                Err(NoFrame::Short { needed_bytes }) => need = needed_bytes as u64,
                other => return Ok(other),
            }
        }
    }

    /// Up to where the file holds what was acknowledged.
    pub(super) fn readable_to(&self, segment: &Segment) -> u64 {
        readable_to(&self.core, segment)
    }

    fn first_bytes(&self) -> u64 {
        self.segment
            .as_ref()
            .map_or(0, |segment| segment.first().offset_bytes())
    }

    /// Bytes that should be a frame are none: unless they are nobody's any more, that is damage.
    #[cold]
    pub(super) fn damaged(&mut self, what: &str) -> Error {
        if let Err(gone) = self.check_place() {
            return gone;
        }
        self.about_file(Error::new(ErrorKind::Damaged, what))
            .remedy(
                "`ringbolt verify` says how much is damaged; seek to a later position to read on",
            )
    }

    /// The segment's file cannot be had: the log went on without it, or somebody took it.
    #[cold]
    pub(super) fn absent(&mut self, absent: Absent) -> Error {
        if let Err(gone) = self.check_place() {
            return gone;
        }
        if self.core.is_finished() {
            return self.outlived();
        }
        let error = match absent {
            Absent::Missing => Error::new(ErrorKind::Damaged, "the segment's file is missing")
                .remedy("put it back, or seek to a later position to read on"),
            Absent::Locked => Error::new(ErrorKind::Locked, "a stranger locked the segment's file")
                .remedy("try again when that is over"),
        };
        self.about_file(error)
    }

    #[cold]
    fn about_file(&self, error: Error) -> Error {
        about_file(&self.core, self.position, error)
    }
}

/// The error, naming the file that should have the position.
#[cold]
pub(super) fn about_file(core: &Core, position: Position, error: Error) -> Error {
    let name = segment::file_name(position.segment());
    error.at_path(core.path.join(name)).at_position(position)
}

/// What direct reads of the segment's file must be aligned to.
pub(super) fn block_bytes(core: &Core, segment: &Segment) -> u64 {
    u64::from(core.dir.block_size().max(segment.header.block_bytes))
}

/// Up to where the segment's file holds what was acknowledged.
pub(super) fn readable_to(core: &Core, segment: &Segment) -> u64 {
    let end = end_of(segment);
    if segment.is_sealed() {
        return end;
    }
    let durable = core.durable();
    if durable.segment() > segment.ordinal() {
        end
    } else {
        durable.offset_bytes().min(end)
    }
}

/// Where a segment's frames end, or can end at most, in bytes.
#[inline]
pub(super) fn end_of(segment: &Segment) -> u64 {
    segment
        .end_bytes()
        .unwrap_or_else(|| segment.header.frames().end)
}
