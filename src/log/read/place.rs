//! Finding the place where reading begins.

use std::sync::Arc;
use std::time::SystemTime;

use crate::error::{Error, ErrorKind, Result};
use crate::log::core::{Core, Segment};
use crate::log::position::Position;
use crate::log::read::cursor::{Cursor, Landing};
use crate::log::read::look::{Sight, end_of};
use crate::log::read::options::{Cold, From, Visibility};
use crate::log::read::source::Source;
use crate::log::watch;
use crate::time::unix_ns;

/// Where the frame of the record at `position` begins, so that the log may be cut off there: a
/// frame's begin and the end of the log stand for themselves, a batch's first record for the
/// batch. Another record of a batch is refused: the batch stands or falls as one.
///
/// # Errors
///
/// [`ErrorKind::NoRecord`], [`ErrorKind::Trimmed`], [`ErrorKind::Cut`], or what kept it from being
/// read.
pub(crate) fn frame_at(core: &Arc<Core>, position: Position) -> Result<Position> {
    let mut cursor = Cursor::new(Arc::clone(core), Visibility::Committed, Cold::Direct);
    cursor.place(From::Position(position))?;
    match cursor.batch_at_hand() {
        Some((frame, true)) => Ok(frame),
        None if cursor.landing == Landing::Reached => Ok(position),
        _ => Err(cursor.no_record()),
    }
}

impl Cursor {
    /// Goes to the place. On an error that leads nowhere else it stays where it was.
    pub(super) fn place(&mut self, from: From) -> Result<()> {
        self.check_fork()?;
        let (position, skip_to) = (self.position, self.skip_to);
        let placed = match from {
            From::Start => {
                self.place_at_start();
                Ok(())
            }
            From::End => self.place_at_end(),
            From::Position(position) => self.place_at(position),
            From::Time(time) => {
                self.place_at_time(time);
                Ok(())
            }
        };
        if let Err(error) = &placed {
            if !matches!(error.kind(), ErrorKind::Trimmed | ErrorKind::Cut) {
                // It had come there before.
                self.jump(position, Landing::Lenient);
                self.skip_to = skip_to;
            }
        }
        self.pause();
        placed
    }

    /// The log's start need not be where a record begins, nor in what a truncation left: the next
    /// record is meant.
    pub(super) fn place_at_start(&mut self) {
        let start = self.core.start();
        let (known, next) = {
            let segments = self.core.segments.read();
            let next = segments
                .after(start.segment())
                .map(|segment| segment.first());
            let holds = |segment: &Arc<Segment>| start.offset_bytes() <= end_of(segment);
            (segments.get(start.segment()).is_some_and(holds), next)
        };
        match next {
            Some(next) if !known => self.jump(next, Landing::Reached),
            _ => self.jump(start, Landing::Lenient),
        }
    }

    fn place_at(&mut self, position: Position) -> Result<()> {
        self.jump(position, Landing::Strict);
        self.check_place()?;
        let Some(segment) = self.segment.clone() else {
            return Err(self.no_record());
        };
        let offset = position.offset_bytes();
        if offset < segment.first().offset_bytes() {
            return Err(self.no_record());
        }
        if offset == end_of(&segment) {
            self.landing = Landing::Reached;
            return Ok(());
        }
        match self.look(false)? {
            Sight::Frame(found) if found.begin == offset => {
                self.landing = Landing::Reached;
                Ok(())
            }
            Sight::Frame(found) => {
                // Inside a frame: only a batch's records begin there.
                let end = Position::new(position.segment(), found.end);
                self.enter_frame(found)?;
                if self.hidden(Some(end)).is_some() {
                    self.leave_frame();
                }
                Ok(())
            }
            Sight::NotYet => self.place_ahead(&segment, offset),
        }
    }

    /// At a place where nothing is committed yet: the log's end, or what others are about to commit.
    fn place_ahead(&mut self, segment: &Segment, offset: u64) -> Result<()> {
        let known_to = match &self.source {
            Source::Image(walk) => walk.at() as u64,
            _ => self.readable_to(segment),
        };
        if known_to == offset {
            self.landing = Landing::Reached;
            return Ok(());
        }
        // Claimed, behind a claim that is still open: it is looked at when it is there.
        let claimed = matches!(self.source, Source::Image(_))
            && Position::new(segment.ordinal(), offset) < watch::end(&self.core);
        if claimed {
            Ok(())
        } else {
            Err(self.no_record())
        }
    }

    /// Behind what is visible now.
    fn place_at_end(&mut self) -> Result<()> {
        let to = match self.visibility {
            Visibility::Durable => self.core.durable(),
            Visibility::Committed => Position::from_u64(u64::MAX),
            Visibility::Gated => self.core.gate().max(self.core.start()),
        };
        // Everything before the durable watermark is committed: no need to look at it.
        let from = self.core.durable().min(to);
        let segment = self.core.segments.read().get(from.segment()).cloned();
        match segment {
            Some(segment) => self.jump(self.boundary_before(&segment, from), Landing::Reached),
            None => self.place_at_start(),
        }
        loop {
            match self.check_place() {
                // The boundary may lie before the log's start, or what it lay in may just have
                // gone: the cursor is where it can go on, and that is on the way to the end.
                Err(gone) if matches!(gone.kind(), ErrorKind::Trimmed | ErrorKind::Cut) => continue,
                checked => checked?,
            }
            let Some(segment) = self.segment.clone() else {
                return Ok(());
            };
            if self.position.offset_bytes() >= end_of(&segment) {
                if to.segment() <= segment.ordinal() || !self.go_to_next() {
                    return Ok(());
                }
                continue;
            }
            match self.look(false)? {
                Sight::Frame(found) => {
                    let end = Position::new(segment.ordinal(), found.end);
                    if end > to {
                        return Ok(());
                    }
                    if let Source::Image(walk) = &mut self.source {
                        walk.advance();
                    }
                    self.position = end;
                }
                Sight::NotYet => return Ok(()),
            }
        }
    }

    /// Why no sound frame has a record at a position that lies within the log's frames: it never
    /// was a record's, or the frame there is damaged. Walks there from a boundary before.
    #[cold]
    pub(super) fn verdict(&mut self, position: Position) -> Error {
        let segment = self.core.segments.read().get(position.segment()).cloned();
        self.jump(position, Landing::Strict);
        if let Some(segment) = segment {
            self.jump(self.boundary_before(&segment, position), Landing::Reached);
            // It is not trimmed as long as the position is not.
            self.skip_to = position;
        }
        loop {
            if let Err(gone) = self.check_place() {
                return gone;
            }
            match self.look(false) {
                Err(error) => return error,
                Ok(Sight::Frame(found))
                    if Position::new(position.segment(), found.end) <= position =>
                {
                    if let Source::Image(walk) = &mut self.source {
                        walk.advance();
                    }
                    self.position = Position::new(position.segment(), found.end);
                }
                Ok(_) => {
                    self.position = position;
                    return self.no_record();
                }
            }
        }
    }

    /// A frame boundary at or before `position`, not too far before it.
    fn boundary_before(&self, segment: &Segment, position: Position) -> Position {
        let summary = segment.summary.lock();
        let entries = summary.times.entries();
        let before = entries.partition_point(|entry| entry.position <= position);
        let known = before.checked_sub(1).and_then(|index| entries.get(index));
        known
            .map_or(segment.first(), |entry| entry.position)
            .max(segment.first())
    }

    /// The last place that the time index knows before which everything was committed earlier.
    fn place_at_time(&mut self, time: SystemTime) {
        let time_unix_ns = unix_ns(time);
        let segments: Vec<_> = self.core.segments.read().list.iter().cloned().collect();
        let place = segments.iter().rev().find_map(|segment| {
            let summary = segment.summary.lock();
            let entries = summary.times.entries();
            let earlier = entries.partition_point(|entry| entry.time_unix_ns < time_unix_ns);
            let entry = earlier
                .checked_sub(1)
                .and_then(|index| entries.get(index))?;
            let is_in = entry.position >= segment.first()
                && entry.position.offset_bytes() <= end_of(segment);
            is_in.then_some(entry.position)
        });
        match place {
            Some(place) if place > self.core.start() => self.jump(place, Landing::Lenient),
            _ => self.place_at_start(),
        }
    }

    /// A forked child has copies of everything but the engine: what it read would be anything.
    #[inline]
    pub(super) fn check_fork(&self) -> Result<()> {
        if self.process == crate::sys::fork::process_mark() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Forked, "")
            .at_path(&self.core.path)
            .remedy("open the log, or a view of it, in the process that reads"))
    }
}
