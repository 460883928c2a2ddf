//! Following a log: whoever derives something from it gets every record once, in the log's order.
//!
//! While the log is opened, a [`Follower`] is given what is on disk, by the thread that opens it. From
//! then on it is given what is committed, by the thread that persists, after the next writes were
//! submitted: what it derives costs the disk nothing. It keeps memory from being reused until it
//! has seen what lies there, so it must not fall behind: then appends wait.

use std::panic::{AssertUnwindSafe, catch_unwind};

use std::sync::Arc;

use crate::disk::{Dir, Disk};
use crate::error::{Error, ErrorKind, Result};
use crate::log::core::{Core, Segment};
use crate::log::frame::{BatchRecords, Frame};
use crate::log::position::Position;
use crate::log::recover::{self, Mode, Recovered, Scanner, Step, Window};
use crate::log::segment::{Header, Link, LogId};

/// Who derives something from a log.
pub(crate) trait Follower: Send {
    /// The log is being opened: what was found of it. Returns the ordinal of the last segment that
    /// need not be gone over again; 0 for none.
    ///
    /// # Errors
    ///
    /// What keeps it from being followed: then the log is not opened.
    fn begin(&mut self, dir: &dyn Dir, found: &[Anchor]) -> Result<u64>;

    /// Takes what `events` has. Says whether it did: one who cannot just now is asked again soon,
    /// and must neither block nor take a part.
    fn follow(&mut self, events: &mut dyn Events) -> bool;

    /// Where what it wanted appended lies, and where that ends; `None` where there was no room.
    fn appended(&mut self, place: Option<(Position, Position)>);

    /// Something that it wants done, if there is something: asked for after each turn.
    fn work(&mut self, facts: &dyn Facts) -> Option<Work>;

    /// When it is to be asked for work though nothing came, in nanoseconds since 1970; `None` for never.
    fn due_unix_ns(&self) -> Option<u64>;

    /// The log takes and writes nothing any more: what is not on disk by now is indeterminate.
    fn ended(&mut self);
}

/// Which segment of a log something is about, as the log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) log_id: LogId,
    pub(crate) ordinal: u64,
    pub(crate) salt: u64,
    /// Where its frames begin, and where they end in bytes of the file.
    pub(crate) first: Position,
    pub(crate) end_bytes: u64,
    /// Whether it is the first that the log ever had.
    pub(crate) is_first: bool,
}

impl Anchor {
    pub(crate) fn of(header: &Header, end_bytes: u64) -> Self {
        Self {
            log_id: header.log_id,
            ordinal: header.ordinal,
            salt: header.salt,
            first: Position::new(header.ordinal, header.frames().start),
            end_bytes,
            is_first: header.previous == Link::NONE,
        }
    }
}

/// How the log stands.
pub(crate) trait Facts {
    /// Everything before is on disk.
    fn durable(&self) -> Position;

    /// The first segments of the log, oldest first, whose end is known.
    fn anchors(&self) -> Vec<Anchor>;

    /// The time, in nanoseconds since 1970.
    fn now_unix_ns(&self) -> u64;
}

/// How a log stands that is open.
pub(crate) struct Standing<'a> {
    pub(crate) core: &'a Core,
    pub(crate) disk: &'a dyn Disk,
}

impl Facts for Standing<'_> {
    fn durable(&self) -> Position {
        self.core.durable()
    }

    fn anchors(&self) -> Vec<Anchor> {
        anchors(self.core)
    }

    fn now_unix_ns(&self) -> u64 {
        self.disk.now_unix_ns()
    }
}

/// The first segments of a log, oldest first, whose end is known.
pub(crate) fn anchors(core: &Core) -> Vec<Anchor> {
    let segments = core.segments.read();
    let anchor = |segment: &Arc<Segment>| {
        let end = segment.end_bytes()?;
        Some(Anchor::of(&segment.header, end))
    };
    segments.list.iter().filter_map(anchor).collect()
}

/// File work, in the log's directory.
pub(crate) type Job = Box<dyn FnOnce(&dyn Dir) + Send>;

/// What a follower wants done.
pub(crate) enum Work {
    /// By the keeper, with the log's directory, while the log is locked.
    Job(Job),
    /// The log is to begin here.
    Trim(Position),
    /// This record is to be appended, if there is room now.
    Append(Vec<u8>),
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
    let anchors: Vec<_> = found
        .segments
        .iter()
        .map(|segment| Anchor::of(&segment.header, segment.end_bytes))
        .collect();
    let known = follower.begin(dir, &anchors)?;
    let mut window = Window::new(dir.block_size())?;
    for segment in &found.segments {
        let ordinal = segment.header.ordinal;
        if ordinal <= known {
            continue;
        }
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

/// Gives `visit` each record of a segment that is on disk, in order, until it says `false`.
///
/// # Errors
///
/// [`ErrorKind::Damaged`] or [`ErrorKind::Io`] of what cannot be read.
pub(crate) fn scan(
    dir: &dyn Dir,
    anchor: &Anchor,
    visit: &mut dyn FnMut(Position, &[u8]) -> bool,
) -> Result<()> {
    let at_path = |error: Error| error.or_at_path(recover::segment_path(dir, anchor.ordinal));
    let mut window = Window::new(dir.block_size())?;
    let file = recover::open_segment(dir, anchor.ordinal, Mode::Write)?;
    let block = anchor.first.offset_bytes();
    let head = window.bytes(&*file, 0, block as usize, block)?;
    let header = Header::parse(head)?.filter(|header| header.salt == anchor.salt);
    let header = header.ok_or_else(|| {
        at_path(Error::new(
            ErrorKind::Damaged,
            "the header is not the segment's",
        ))
    })?;
    let mut scanner = Scanner::new(&*file, &mut window, &header, block, anchor.end_bytes);
    loop {
        match scanner.step().map_err(at_path)? {
            Step::Frame { at, frame, .. } => match frame {
                Frame::Record { payload, .. } if !visit(at, payload) => return Ok(()),
                Frame::Batch { records, .. } => {
                    for (distance, payload) in records {
                        if !visit(at.plus(distance as u64), payload) {
                            return Ok(());
                        }
                    }
                }
                Frame::Record { .. } | Frame::Checkpoint(_) | Frame::Pad => {}
            },
            Step::Limit => return Ok(()),
            Step::Stop => {
                let at = Position::new(anchor.ordinal, scanner.offset());
                let what = "the checksum does not match, or no frame is there";
                return Err(at_path(
                    Error::new(ErrorKind::Damaged, what).at_position(at),
                ));
            }
        }
    }
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
