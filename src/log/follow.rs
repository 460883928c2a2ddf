//! Following a log: whoever derives something from it gets every record once, in the log's order.
//!
//! While the log is opened, a [`Follower`] is given what is on disk, by the thread that opens it. From
//! then on it is given what is committed, by the thread that persists, after the next writes were
//! submitted: what it derives costs the disk nothing. It keeps memory from being reused until it
//! has seen what lies there, so it must not fall behind: then appends wait.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::disk::Dir;
use crate::error::{Error, ErrorKind, Result};
use crate::log::frame::{BatchRecords, Frame};
use crate::log::position::Position;
use crate::log::recover::{self, Mode, Recovered, Scanner, Step, Window};

/// Who derives something from a log.
pub(crate) trait Follower: Send {
    /// Takes what `events` has. Says whether it did: one who cannot just now is asked again soon,
    /// and must neither block nor take a part.
    fn follow(&mut self, events: &mut dyn Events) -> bool;

    /// The log takes and writes nothing any more: what is not on disk by now is indeterminate.
    fn ended(&mut self);
}

/// What there is to follow.
pub(crate) trait Events {
    /// The next event; `None` when that is all for now.
    fn next(&mut self) -> Option<Event<'_>>;

    /// Up to where everything was given.
    fn reached(&self) -> Position;
}

/// One step of the log.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A record by itself.
    Record { at: Position, payload: &'a [u8] },
    /// Records that stand or fall together. `at` is where their frame begins.
    Batch {
        at: Position,
        records: BatchRecords<'a>,
    },
    /// Nothing more will come from the segment of what came last.
    Left,
    /// Bytes without a record.
    Nothing,
}

impl<'a> Event<'a> {
    /// What a frame is to a follower.
    #[inline]
    pub(crate) fn of(at: Position, frame: Frame<'a>) -> Self {
        match frame {
            Frame::Record { payload, .. } => Self::Record { at, payload },
            Frame::Batch { records, .. } => Self::Batch { at, records },
            Frame::Checkpoint(_) | Frame::Pad => Self::Nothing,
        }
    }
}

/// Gives a follower all that was found on disk.
///
/// # Errors
///
/// [`ErrorKind::Damaged`] or [`ErrorKind::Io`] of what cannot be read.
pub(crate) fn replay(dir: &dyn Dir, found: &Recovered, follower: &mut dyn Follower) -> Result<()> {
    let mut window = Window::new(dir.block_size())?;
    for segment in &found.segments {
        let ordinal = segment.header.ordinal;
        let file = recover::open_segment(dir, ordinal, Mode::Write)?;
        let from = segment.first().offset_bytes();
        let to = segment.end_bytes;
        let mut scan = Scan {
            scanner: Scanner::new(&*file, &mut window, &segment.header, from, to),
            ordinal,
            at: segment.first(),
            error: None,
        };
        while scan.error.is_none() && scan.scanner.offset() < to {
            follower.follow(&mut scan);
        }
        if let Some(error) = scan.error {
            return Err(error.or_at_path(recover::segment_path(dir, ordinal)));
        }
    }
    Ok(())
}

/// The records of a segment's file.
struct Scan<'a> {
    scanner: Scanner<'a>,
    ordinal: u64,
    /// Where the last step began.
    at: Position,
    error: Option<Error>,
}

impl Events for Scan<'_> {
    fn next(&mut self) -> Option<Event<'_>> {
        if self.error.is_some() {
            return None;
        }
        self.at = self.reached();
        match self.scanner.step() {
            Ok(Step::Frame { at, frame, .. }) => Some(Event::of(at, frame)),
            Ok(Step::Limit) => None,
            Ok(Step::Stop) => {
                let at = self.at;
                let what = "the checksum does not match, or no frame is there";
                self.error = Some(Error::new(ErrorKind::Damaged, what).at_position(at));
                None
            }
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }

    fn reached(&self) -> Position {
        Position::new(self.ordinal, self.scanner.offset())
    }
}

/// Has a follower take what there is; its panic is an error of the log.
pub(crate) fn contained(follower: &mut dyn Follower, events: &mut dyn Events) -> Result<bool> {
    catch_unwind(AssertUnwindSafe(|| follower.follow(events))).map_err(|_| {
        Error::new(ErrorKind::Io, "what follows the log panicked")
            .remedy("what was acknowledged is safe; open it again, and report this")
    })
}
