//! Finding the place where reading through a view begins.

use std::sync::Arc;
use std::time::SystemTime;

#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::log::position::Position;
use crate::log::read::{From, What};
use crate::log::segment::TimeIndex;
use crate::log::view::chain::{Place, first};
use crate::log::view::file::SegmentFile;
use crate::log::view::reader::{ViewReader, batch, frame_of_batch};
use crate::time::unix_ns;

impl ViewReader {
    /// Moves to another place.
    ///
    /// # Errors
    ///
    /// Those of [`LogView::reader`](crate::LogView::reader).
    pub fn seek(&mut self, from: From) -> Result<()> {
        self.look()?;
        match from {
            From::Start => self.jump(self.attest.log_start(), false),
            From::End => self.seek_end()?,
            From::Position(position) => self.seek_position(position)?,
            From::Time(time) => self.seek_time(time)?,
        }
        Ok(())
    }

    fn seek_position(&mut self, position: Position) -> Result<()> {
        let index = match self.chain.locate(position) {
            _ if position < self.attest.log_start() => {
                self.position = position;
                return self.fell_behind();
            }
            Place::In(index) => index,
            Place::Before => {
                self.position = position;
                return self.fell_behind();
            }
            Place::Cut(index) => {
                self.position = position;
                return Err(self.cut(index));
            }
            Place::Beyond => return Err(self.no_record(position)),
        };
        let (ordinal, offset) = (position.segment(), position.offset_bytes());
        let end = self.chain.end_of(index);
        let begin = self
            .chain
            .get(index)
            .map_or(0, |header| header.frames().start);
        // What is at hand may be older than what is there.
        self.file = None;
        let is_place = offset == end
            || position == self.attest.scanned()
            || (offset >= begin && self.is_record(ordinal, offset, end)?);
        if !is_place {
            return Err(self.no_record(position));
        }
        self.jump(position, true);
        self.file = None;
        Ok(())
    }

    /// Whether a frame, or a batch's record, begins there.
    fn is_record(&mut self, ordinal: u64, offset: u64, end: u64) -> Result<bool> {
        let dir = Arc::clone(&self.dir);
        let Some(file) = self.open_file(ordinal)? else {
            return Ok(false);
        };
        if file.frame(&*dir, offset, end)?.is_ok() {
            return Ok(true);
        }
        let Some(found) = frame_of_batch(file, &*dir, offset, end)? else {
            return Ok(false);
        };
        let What::Batch { first, count, .. } = found.what else {
            return Ok(false);
        };
        let frame = file.bytes(found.begin..found.end);
        let position = Position::new(ordinal, offset);
        Ok(batch(ordinal, found.begin, first, count, frame).any(|(at, _)| at == position))
    }

    fn seek_end(&mut self) -> Result<()> {
        let watermark = self.attest.watermark();
        let ordinal = watermark.segment();
        let index = match self.chain.locate(watermark) {
            Place::In(index) => index,
            Place::Cut(index) => {
                let resume = self.chain.get(index).map_or(watermark, first);
                self.jump(resume, true);
                return Ok(());
            }
            Place::Before | Place::Beyond => {
                self.jump(self.attest.log_start(), false);
                return Ok(());
            }
        };
        // The watermark lies anywhere in a frame: the last boundary before it is meant.
        let begin = self.chain.get(index).map_or(watermark, first);
        let marks = self.attest.times().entries();
        let known = marks
            .iter()
            .rev()
            .map(|mark| mark.position)
            .find(|mark| *mark <= watermark);
        let mut position = known.unwrap_or(begin).max(begin);
        let dir = Arc::clone(&self.dir);
        self.file = None;
        let limit = watermark.offset_bytes();
        if limit < self.chain.end_of(index) {
            let Some(file) = self.open_file(ordinal)? else {
                return Ok(());
            };
            while let Ok(found) = file.frame(&*dir, position.offset_bytes(), limit)? {
                position = Position::new(ordinal, found.end);
            }
        } else {
            position = watermark;
        }
        self.jump(position, true);
        Ok(())
    }

    fn seek_time(&mut self, time: SystemTime) -> Result<()> {
        let time_unix_ns = unix_ns(time);
        let last_before = |times: &TimeIndex| {
            let entries = times.entries();
            let earlier = entries.partition_point(|entry| entry.time_unix_ns < time_unix_ns);
            earlier
                .checked_sub(1)
                .and_then(|index| entries.get(index))
                .map(|at| at.position)
        };
        let mut place = last_before(self.attest.times());
        for index in (0..self.chain.segments().len()).rev() {
            if place.is_some() {
                break;
            }
            let Some(header) = self.chain.get(index) else {
                break;
            };
            if let Some(mut file) = SegmentFile::open(&*self.dir, header.ordinal)? {
                place = file
                    .footer(&*self.dir)?
                    .and_then(|footer| last_before(&footer.times));
            }
        }
        let start = self.attest.log_start();
        let place = place
            .filter(|place| *place > start)
            .filter(|place| matches!(self.chain.locate(*place), Place::In(_)));
        self.jump(place.unwrap_or(start), false);
        Ok(())
    }
}
