//! The machine below a [`Reader`](super::Reader): where it stands, what it may see, how it moves.
//!
//! A step looks for the next record and brings it to hand without consuming it; [`Cursor::take`]
//! then moves beyond it. Between the two nothing is lost: a step may be repeated, a wait dropped.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::log::core::{Core, Segment};
use crate::log::hold::Held;
use crate::log::position::Position;
use crate::log::read::cold::Pace;
use crate::log::read::current::Current;
use crate::log::read::look::{Sight, end_of};
use crate::log::read::need::Need;
use crate::log::read::options::{Cold, Visibility};
use crate::log::read::source::Source;
use crate::sys::fork::process_mark;

/// Where a reader stands in a log.
pub(crate) struct Cursor {
    pub(super) core: Arc<Core>,
    /// The process that made it.
    pub(super) process: u64,
    pub(super) visibility: Visibility,
    pub(super) cold: Cold,
    /// The next record's position, or a boundary before it.
    pub(super) position: Position,
    /// How far the position was checked to be a boundary.
    pub(super) landing: Landing,
    /// Records before this are passed over.
    pub(super) skip_to: Position,
    /// The durable watermark when it was last looked at; it only rises.
    durable: Position,
    pub(super) segment: Option<Arc<Segment>>,
    pub(super) source: Source,
    /// Where the file ends as a source, as the image begins there.
    pub(super) file_until: u64,
    /// The segment's file, if it was read: who seeks about in a segment opens and maps it once.
    pub(super) held: Option<Arc<Held>>,
    /// How much the next source may read at once: reading goes on from one segment to the next.
    pub(super) pace: Pace,
    /// The frame at hand, not all of whose records were taken.
    pub(super) current: Option<Current>,
}

/// What is known of the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landing {
    /// A boundary: reading came here.
    Reached,
    /// Asked for: if no record begins there, that is an error.
    Strict,
    /// Asked for: if no record begins there, the next one is meant.
    Lenient,
}

/// A record that was taken: its bytes are at hand until the next step.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) position: Position,
    pub(crate) payload: Range<u64>,
    pub(crate) time_unix_ns: Option<u64>,
}

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record is at hand.
    Ready,
    /// There is none yet.
    Wait(Need),
}

impl Cursor {
    pub(super) fn new(core: Arc<Core>, visibility: Visibility, cold: Cold) -> Self {
        Self {
            durable: core.durable(),
            process: process_mark(),
            core,
            visibility,
            cold,
            position: Position::MIN,
            landing: Landing::Reached,
            skip_to: Position::MIN,
            segment: None,
            source: Source::None,
            file_until: u64::MAX,
            held: None,
            pace: Pace::START,
            current: None,
        }
    }

    /// Moves to a position that is still to be looked at.
    pub(super) fn jump(&mut self, position: Position, landing: Landing) {
        if position.segment() != self.position.segment() {
            self.held = None;
        }
        self.position = position;
        self.landing = landing;
        self.skip_to = Position::MIN;
        self.source = Source::None;
        self.pace = Pace::START;
        self.segment = None;
        self.current = None;
    }

    /// Lets go of everything, its place included.
    pub(super) fn leave(&mut self) {
        self.jump(Position::MIN, Landing::Reached);
    }

    /// Gives back what keeps memory from being reused.
    #[inline]
    pub(super) fn pause(&mut self) {
        self.source.release();
    }

    /// Looks for the next record. At the end of a log that failed or was closed: its error.
    #[inline]
    pub(super) fn poll(&mut self) -> Result<Step> {
        match self.step(false)? {
            Step::Ready => Ok(Step::Ready),
            Step::Wait(need) => self.at_end(need),
        }
    }

    fn at_end(&mut self, need: Need) -> Result<Step> {
        if self.core.failure().is_none() && !self.core.is_finished() {
            return Ok(Step::Wait(need));
        }
        // Once more: what became visible before the end is still to be read.
        match self.step(false)? {
            Step::Ready => Ok(Step::Ready),
            Step::Wait(_) => {
                self.pause();
                Err(self
                    .core
                    .failure()
                    .cloned()
                    .unwrap_or_else(|| self.core.closed_error()))
            }
        }
    }

    /// Looks for the next record among what is at hand already, so that what was taken before
    /// stays at hand, too.
    #[inline]
    pub(super) fn has_more(&mut self) -> bool {
        matches!(self.step(true), Ok(Step::Ready))
    }

    /// Brings the next record to hand. With `stay` it keeps to what is at hand: neither reads nor
    /// goes to another segment.
    fn step(&mut self, stay: bool) -> Result<Step> {
        loop {
            if !stay {
                self.check_place()?;
            }
            if self.current.is_some() && (stay || self.current_is_at_hand()) {
                return Ok(self.gated_again().map_or(Step::Ready, Step::Wait));
            }
            if let Some(need) = self.hidden(None) {
                return Ok(Step::Wait(need));
            }
            let Some(segment) = &self.segment else {
                continue;
            };
            let end = end_of(segment);
            if self.position.offset_bytes() >= end {
                if stay || !self.go_to_next() {
                    return Ok(Step::Wait(self.need_here()));
                }
                continue;
            }
            let found = match self.look(stay)? {
                Sight::Frame(found) => found,
                Sight::NotYet => return Ok(Step::Wait(self.need_here())),
            };
            let frame_end = Position::new(self.position.segment(), found.end);
            if let Some(need) = self.hidden(Some(frame_end)) {
                return Ok(Step::Wait(need));
            }
            self.enter_frame(found)?;
        }
    }

    /// Whether the position was trimmed or cut away; enters its segment.
    #[inline]
    pub(super) fn check_place(&mut self) -> Result<()> {
        self.check_fork()?;
        // On the way to a place that no record begins at, it walks there from a boundary before.
        let at = self.position.max(self.skip_to);
        if at < self.core.start() && !self.is_right_before_start() {
            return Err(self.trimmed());
        }
        if let Some(segment) = &self.segment {
            if segment.ordinal() == self.position.segment()
                && self.position.offset_bytes() <= end_of(segment)
            {
                return Ok(());
            }
        }
        self.enter()
    }

    #[cold]
    fn enter(&mut self) -> Result<()> {
        let ordinal = self.position.segment();
        let found = self.core.segments.read().get(ordinal).cloned();
        match found {
            Some(segment) if self.position.offset_bytes() <= end_of(&segment) => {
                if self
                    .segment
                    .as_ref()
                    .is_none_or(|at| !Arc::ptr_eq(at, &segment))
                {
                    self.segment = Some(segment);
                    self.source = Source::None;
                    self.current = None;
                }
                Ok(())
            }
            _ if self.position < self.core.start() => Err(self.trimmed()),
            _ => Err(self.cut()),
        }
    }

    /// Whether the reader read its segment to the end, and the log now begins right behind: then
    /// it missed nothing, and goes on there.
    #[cold]
    fn is_right_before_start(&mut self) -> bool {
        let Some(segment) = &self.segment else {
            return false;
        };
        let (ordinal, end) = (segment.ordinal(), end_of(segment));
        let at_end = self.position == Position::new(ordinal, end);
        let follows = self
            .core
            .segments
            .read()
            .after(ordinal)
            .is_some_and(|next| next.header.previous.ordinal == ordinal);
        at_end && follows && self.go_to_next() && self.position >= self.core.start()
    }

    /// The reader fell behind the log's start, and goes on there.
    #[cold]
    fn trimmed(&mut self) -> Error {
        let was = self.position;
        self.place_at_start();
        let start = self.position;
        Error::new(
            ErrorKind::Trimmed,
            format!("{was} lies before the start of the log"),
        )
        .at_path(&self.core.path)
        .at_position(start)
        .remedy("reading goes on at the position given")
    }

    /// The log was closed, and whoever opened it next removed the reader's segment: it goes on
    /// in the next one that this log knew.
    #[cold]
    pub(super) fn outlived(&mut self) -> Error {
        let was = self.position;
        if !self.go_to_next() {
            return self.core.closed_error();
        }
        Error::new(
            ErrorKind::Trimmed,
            format!("what lay at {was} was removed after this log was closed"),
        )
        .at_path(&self.core.path)
        .at_position(self.position)
        .remedy("reading goes on at the position given; open the log again to see what it is now")
    }

    /// What the reader stood on was cut off; it goes on behind the cut.
    #[cold]
    pub(super) fn cut(&mut self) -> Error {
        let was = self.position;
        let next = self
            .core
            .segments
            .read()
            .after(was.segment())
            .map(|segment| segment.first());
        let Some(resume) = next else {
            return Error::new(
                ErrorKind::NoRecord,
                format!("{was} lies beyond the log's end"),
            )
            .at_path(&self.core.path)
            .at_position(was);
        };
        self.jump(resume, Landing::Reached);
        Error::new(ErrorKind::Cut, format!("the log was cut off before {was}"))
            .at_path(&self.core.path)
            .at_position(resume)
            .remedy("reading goes on at the position given")
    }

    /// Goes to the segment behind this one, if that is there.
    pub(super) fn go_to_next(&mut self) -> bool {
        let next = self
            .core
            .segments
            .read()
            .after(self.position.segment())
            .cloned();
        let Some(segment) = next else { return false };
        let first = segment.first();
        let (skip_to, pace) = (self.skip_to, self.source.pace());
        self.jump(first, Landing::Reached);
        self.skip_to = skip_to;
        self.pace = pace;
        self.segment = Some(segment);
        true
    }

    /// What must happen before the frame that ends at `end` may be seen (or, with `None`, any
    /// frame here).
    #[inline]
    pub(super) fn hidden(&mut self, end: Option<Position>) -> Option<Need> {
        match self.visibility {
            Visibility::Durable => {
                let is_hidden = |durable| match end {
                    Some(end) => end > durable,
                    None => self.position >= durable,
                };
                if is_hidden(self.durable) {
                    let durable = self.core.durable();
                    if is_hidden(durable) {
                        return Some(
                            end.map_or_else(|| Need::durable_beyond(self.position), Need::durable),
                        );
                    }
                    self.durable = durable;
                }
                None
            }
            Visibility::Committed => None,
            Visibility::Gated => {
                let gate = self.core.gate();
                match end {
                    Some(end) if end > gate => Some(Need::gate(end)),
                    None if self.position >= gate => Some(Need::gate_beyond(self.position)),
                    _ => None,
                }
            }
        }
    }

    /// The frame at hand was visible when it was found; only a gate may have moved back since.
    #[inline]
    fn gated_again(&mut self) -> Option<Need> {
        if self.visibility != Visibility::Gated {
            return None;
        }
        let end = self.current.as_ref()?.end;
        self.hidden(Some(Position::new(self.position.segment(), end)))
    }

    /// What must happen before there is a frame at the position.
    fn need_here(&self) -> Need {
        match (self.visibility, &self.source) {
            (Visibility::Durable, _) | (_, Source::File(_)) => Need::durable_beyond(self.position),
            _ => Need::committed(self.position),
        }
    }

    #[cold]
    pub(super) fn no_record(&self) -> Error {
        Error::new(ErrorKind::NoRecord, "")
            .at_path(&self.core.path)
            .at_position(self.position)
            .remedy("give a position that a ticket or a record gave, or the log's start or end")
    }
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor")
            .field("position", &self.position)
            .field("visibility", &self.visibility)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
