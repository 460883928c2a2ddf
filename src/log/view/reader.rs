//! Reading through a view.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::disk::Dir;
use crate::error::{Error, ErrorKind, Result};
use crate::log::frame::{self, NoFrame};
use crate::log::position::{Position, UNIT_BYTES};
use crate::log::read::{Found, From, What};
use crate::log::view::ViewRecord;
use crate::log::view::attest::Attest;
use crate::log::view::chain::{Chain, Place, first};
use crate::log::view::changes::Changes;
use crate::log::view::file::{SegmentFile, about};

/// Reads a log from outside of it: see [`LogView`](crate::LogView). Owned, `Send`.
///
/// Records are copied out: what lies in a file that another process may trim cannot be lent.
#[derive(Debug)]
pub struct ViewReader {
    pub(super) dir: Arc<dyn Dir>,
    pub(super) chain: Chain,
    pub(super) attest: Attest,
    /// The next frame's position, or a batch's record's.
    pub(super) position: Position,
    /// Whether the position was read up to, or asked for.
    reached: bool,
    /// Records before this are passed over.
    skip_to: Position,
    pub(super) file: Option<SegmentFile>,
    /// The rest of a batch.
    pending: VecDeque<ViewRecord>,
    changes: Changes,
}

impl ViewReader {
    pub(super) fn open(dir: Arc<dyn Dir>, from: From) -> Result<Self> {
        let mut chain = Chain::default();
        chain.refresh(&*dir)?;
        let attest = Attest::new(&*dir, &chain)?;
        let mut reader = Self {
            dir,
            chain,
            attest,
            position: Position::MIN,
            reached: true,
            skip_to: Position::MIN,
            file: None,
            pending: VecDeque::new(),
            changes: Changes::default(),
        };
        reader.seek(from)?;
        Ok(reader)
    }

    /// The next record's position, or a place before it that is not behind any other record.
    #[must_use]
    pub fn position(&self) -> Position {
        self.pending
            .front()
            .map_or(self.position, ViewRecord::position)
    }

    /// The next record, if it is proven to be on disk.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Trimmed`], [`ErrorKind::Cut`]: the place is gone; the next call goes on where
    ///   the error's [position](Error::position) says.
    /// - [`ErrorKind::Damaged`]: an acknowledged record fails its checksum, or a log that nobody
    ///   writes is damaged behind what was read; the reader stays.
    /// - [`ErrorKind::Io`]: ask again, or give up.
    pub fn try_next(&mut self) -> Result<Option<ViewRecord>> {
        let mut looked = false;
        loop {
            if let Some(record) = self.pending.pop_front() {
                return Ok(Some(record));
            }
            if self.position >= self.attest.watermark() {
                if looked {
                    return self.nothing_more();
                }
                looked = true;
                self.look()?;
                continue;
            }
            match self.step()? {
                Moved::Record(record) => return Ok(Some(record)),
                Moved::On => {}
                Moved::NotYet if looked => return self.nothing_more(),
                Moved::NotYet => {
                    looked = true;
                    self.look()?;
                }
            }
        }
    }

    /// What is proven was read.
    fn nothing_more(&self) -> Result<Option<ViewRecord>> {
        match self.attest.damage() {
            Some(damage) => Err(damage.clone()),
            None => Ok(None),
        }
    }

    /// Sleeps until the log may have changed, or until `timeout` passed; says which. To be called
    /// when [`ViewReader::try_next`] found nothing; a change in between is not lost.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        self.changes.wait(&*self.dir, timeout)
    }

    /// Looks at the directory and its tail again, and whether the position is still there.
    pub(super) fn look(&mut self) -> Result<()> {
        self.chain.refresh(&*self.dir)?;
        self.attest.advance(&*self.dir, &mut self.chain)?;
        if self.position == Position::MIN {
            // Made on an empty log, whose first segment was not there yet.
            self.position = self.attest.log_start();
            self.reached = false;
        }
        if self.position < self.attest.log_start() {
            return self.fell_behind();
        }
        match self.chain.locate(self.position) {
            Place::In(_) => Ok(()),
            Place::Before => self.fell_behind(),
            Place::Cut(index) => Err(self.cut(index)),
            Place::Beyond if self.chain.segments().is_empty() => Ok(()),
            Place::Beyond => Err(self.no_record(self.position)),
        }
    }

    /// The position lies before the log's start: the reader goes on there.
    pub(super) fn fell_behind(&mut self) -> Result<()> {
        let was = self.position;
        // Whoever read a segment to its end misses nothing if the log goes on right behind it.
        let followed = self.chain.segments().iter().find(|header| {
            header.previous.ordinal == was.segment()
                && header.previous.end_bytes == was.offset_bytes()
        });
        if let Some(next) = followed
            .map(first)
            .filter(|next| *next >= self.attest.log_start())
        {
            self.jump(next, true);
            return Ok(());
        }
        let start = self.attest.log_start().max(self.chain.start());
        self.jump(start, false);
        Err(Error::new(
            ErrorKind::Trimmed,
            format!("{was} lies before the start of the log"),
        )
        .at_path(self.dir.path())
        .at_position(start)
        .remedy("reading goes on at the position given"))
    }

    pub(super) fn cut(&mut self, index: usize) -> Error {
        let was = self.position;
        let resume = self.chain.get(index).map_or(was, first);
        self.jump(resume, true);
        Error::new(ErrorKind::Cut, format!("the log was cut off before {was}"))
            .at_path(self.dir.path())
            .at_position(resume)
            .remedy("reading goes on at the position given")
    }

    pub(super) fn no_record(&self, position: Position) -> Error {
        Error::new(ErrorKind::NoRecord, "")
            .at_path(self.dir.path())
            .at_position(position)
    }

    pub(super) fn jump(&mut self, position: Position, reached: bool) {
        self.position = position;
        self.reached = reached;
        self.skip_to = Position::MIN;
        self.pending.clear();
    }

    /// Moves over one frame before the watermark.
    fn step(&mut self) -> Result<Moved> {
        let found = match self.frame_here()? {
            Here::Frame(found) => found,
            Here::Moved => return Ok(Moved::On),
            Here::NotYet => return Ok(Moved::NotYet),
        };
        let ordinal = self.position.segment();
        let at = self.position.max(self.skip_to);
        let Some(file) = &self.file else {
            return Ok(Moved::NotYet);
        };
        let mut record = None;
        match found.what {
            What::Record {
                payload,
                time_unix_ns,
            } => {
                let position = Position::new(ordinal, found.begin);
                if position >= at {
                    let bytes = Bytes::copy_from_slice(file.bytes(payload));
                    record = Some(ViewRecord::new(bytes, position, time_unix_ns));
                }
            }
            What::Batch {
                first,
                count,
                time_unix_ns,
            } => {
                let frame = Bytes::copy_from_slice(file.bytes(found.begin..found.end));
                for (position, payload) in batch(ordinal, found.begin, first, count, &frame) {
                    if position >= at {
                        let bytes = frame.slice(payload);
                        self.pending
                            .push_back(ViewRecord::new(bytes, position, time_unix_ns));
                    }
                }
            }
            What::Nothing | What::Checkpoint(_) => {}
        }
        self.position = Position::new(ordinal, found.end);
        self.reached = true;
        Ok(record.map_or(Moved::On, Moved::Record))
    }

    /// The proven frame at the position.
    pub(super) fn frame_here(&mut self) -> Result<Here> {
        let Place::In(index) = self.chain.locate(self.position) else {
            self.look()?;
            return Ok(Here::Moved);
        };
        let (ordinal, offset) = (self.position.segment(), self.position.offset_bytes());
        let end = self.chain.end_of(index);
        if offset >= end {
            let Some(next) = self.chain.get(index + 1).map(first) else {
                return Ok(Here::NotYet);
            };
            let skip_to = self.skip_to;
            self.jump(next, true);
            self.skip_to = skip_to;
            // Each segment is a chance to notice that the log was trimmed or cut.
            self.look()?;
            return Ok(Here::Moved);
        }
        let watermark = self.attest.watermark();
        let limit = match watermark.segment() > ordinal {
            true => end,
            false => watermark.offset_bytes().min(end),
        };
        let dir = Arc::clone(&self.dir);
        let Some(file) = self.open_file(ordinal)? else {
            return Ok(Here::NotYet);
        };
        match file.frame(&*dir, offset, limit)? {
            Ok(found) => return Ok(Here::Frame(found)),
            Err(NoFrame::Short { .. }) if limit < end => return Ok(Here::NotYet),
            Err(_) => {}
        }
        if let Some(found) = frame_of_batch(file, &*dir, offset, limit)? {
            return Ok(Here::Frame(found));
        }
        if !self.reached {
            let first = self.chain.get(index).map_or(self.position, first);
            let skip_to = self.position;
            self.jump(first, true);
            self.skip_to = skip_to;
            return Ok(Here::Moved);
        }
        // It may be nobody's any more: only what the log still holds can be damaged.
        self.look()?;
        let error = Error::new(ErrorKind::Damaged, "the checksum does not match")
            .at_position(self.position)
            .remedy("`ringbolt verify` says how much is damaged; seek to a later position");
        Err(about(&*dir, ordinal, error))
    }

    /// The open file of a segment; `None` when that vanished.
    pub(super) fn open_file(&mut self, ordinal: u64) -> Result<Option<&mut SegmentFile>> {
        if self
            .file
            .as_ref()
            .is_none_or(|file| file.header.ordinal != ordinal)
        {
            self.file = SegmentFile::open(&*self.dir, ordinal)?;
        }
        Ok(self.file.as_mut())
    }
}

/// What a step did.
enum Moved {
    Record(ViewRecord),
    /// Something that is no record, or a batch whose records are pending.
    On,
    NotYet,
}

/// What is at the position.
pub(super) enum Here {
    Frame(Found),
    /// The position moved.
    Moved,
    NotYet,
}

/// The batch's frame that has a record at `offset`, by what is written there.
pub(super) fn frame_of_batch(
    file: &mut SegmentFile,
    dir: &dyn Dir,
    offset: u64,
    limit: u64,
) -> Result<Option<Found>> {
    let Some(begin) = file.batch_frame(offset) else {
        return Ok(None);
    };
    let found = file.frame(dir, begin, limit)?.ok();
    Ok(found.filter(|found| matches!(found.what, What::Batch { .. }) && found.end > offset))
}

/// The records of a batch: where each lies, and its payload's place in the frame.
pub(super) fn batch(
    ordinal: u64,
    frame_begin: u64,
    first: u64,
    count: u32,
    frame: &[u8],
) -> impl Iterator<Item = (Position, Range<usize>)> + '_ {
    let mut next = first;
    (0..count).map(move |_| {
        let begin = next;
        let payload = frame::batch_record(begin, &frame[(begin - frame_begin) as usize..]);
        next = payload.end.next_multiple_of(UNIT_BYTES);
        let place = (payload.start - frame_begin) as usize..(payload.end - frame_begin) as usize;
        (Position::new(ordinal, begin), place)
    })
}
