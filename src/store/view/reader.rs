//! Reading a stream through a view.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, ErrorKind, Result};
use crate::log::{Changes, Lookup, Position};
use crate::store::ahead::{Ahead, ReadAhead};
use crate::store::id::StreamId;
use crate::store::read::{PLACES, ReadFrom, keep_up, offset_of};
use crate::store::record::StreamRecord;
use crate::store::state::State;
use crate::store::state::places::Located;
use crate::store::state::stream::StreamState;
use crate::store::view::StoreView;
use crate::time::unix_ns;

/// How often what vanishes under the look is looked for again.
const TRIES: usize = 10;
/// How long to sleep when nothing wakes: a writer that was killed tells of its end by nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Reads a stream from outside, record by record or in batches. Owned, `Send`. It refreshes its
/// [`StoreView`] when it has read what that has seen.
///
/// It tells what a [`StreamReader`](crate::store::StreamReader) tells: one that falls behind the stream's start
/// gets [`ErrorKind::Trimmed`], one whose place was cut off [`ErrorKind::Cut`]; each tells which
/// offset it goes on at, and does so at the next call. [`ErrorKind::Cut`] may also mean that the log
/// was cut off, as a repair does it.
pub struct ViewReader {
    view: StoreView,
    name: Arc<str>,
    id: StreamId,
    /// The next record's offset, or one before it.
    offset: u64,
    /// How often the view had been cut off when it was looked at, and up to where it had seen.
    cuts: u64,
    proven: Position,
    ahead: Ahead,
    /// Kept for its memory.
    places: Vec<Located>,
    lookup: Lookup,
    changes: Changes,
}

impl ViewReader {
    pub(super) fn open(view: StoreView, name: &str, from: ReadFrom<'_>) -> Result<Self> {
        let seen = view.0.seen.lock();
        let (id, name, offset) = seen.stream(name, |id, stream| {
            (
                id,
                Arc::clone(&stream.name),
                offset_of(stream, from, &stream.name),
            )
        })?;
        let (offset, cuts) = (offset?, seen.cuts);
        drop(seen);
        let mut reader = Self {
            view,
            name,
            id,
            offset,
            cuts,
            proven: Position::MIN,
            ahead: Ahead::default(),
            places: Vec::new(),
            lookup: Lookup::default(),
            changes: Changes::default(),
        };
        if let ReadFrom::Time(time) = from {
            reader.go_to(time)?;
        }
        Ok(reader)
    }

    /// Goes to the first record that is not older.
    fn go_to(&mut self, time: SystemTime) -> Result<()> {
        let time_ns = unix_ns(time);
        let seen = self.view.0.seen.lock();
        let (offset, before) = seen.look(&self.view.0.log, |state, known| {
            let stream = match find(state, self.id, &self.name) {
                Ok(stream) => stream,
                Err(error) => return Ok(Err(error)),
            };
            let offset = state.since(stream, self.id, time_ns, known)?;
            Ok(Ok((offset, state.time.clock.written_before(time_ns))))
        })?;
        drop(seen);
        self.offset = offset;
        self.pass_over(time, before)
    }

    /// The offset of the next record, or one before it.
    #[must_use]
    pub fn offset(&self) -> u64 {
        let next = self.ahead.records.front();
        next.map_or(self.offset, StreamRecord::offset)
    }

    /// The next record, if there is one that is proven to be on disk.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Trimmed`], [`ErrorKind::Cut`], [`ErrorKind::NoStream`]; [`ErrorKind::Damaged`], or what
    /// kept it from being read: the reader stays.
    pub fn try_next(&mut self) -> Result<Option<StreamRecord>> {
        self.take()
    }

    /// The next record, waiting for it.
    ///
    /// # Errors
    ///
    /// Those of [`ViewReader::try_next`].
    #[allow(clippy::should_implement_trait)] // it waits, and can fail
    pub fn next(&mut self) -> Result<StreamRecord> {
        loop {
            if let Some(record) = self.try_next()? {
                return Ok(record);
            }
            self.wait(LOOK_AGAIN)?;
        }
    }

    /// The same for at most `timeout`; then [`ErrorKind::TimedOut`].
    ///
    /// # Errors
    ///
    /// Those of [`ViewReader::next`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<StreamRecord> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(record) = self.try_next()? {
                return Ok(record);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(Error::new(ErrorKind::TimedOut, "no record yet")
                    .remedy("wait again, or give it longer"));
            }
            self.wait(left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN)))?;
        }
    }

    /// Up to `records_max` records of up to `bytes_max` bytes together, as far as there are some; the
    /// first one comes whatever its size.
    ///
    /// # Errors
    ///
    /// Those of [`ViewReader::try_next`], with none taken.
    pub fn try_next_batch(
        &mut self,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StreamRecord>> {
        self.take_batch(records_max, bytes_max)
    }

    /// Sleeps until the store may have changed, or until `timeout` passed; says which. To be called when
    /// [`ViewReader::try_next`] found nothing; a change in between is not lost.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        self.changes.wait(&**self.view.0.log.dir(), timeout)
    }

    /// Reads what the view has seen, up to some records.
    fn read_seen(&mut self) -> Result<()> {
        let next = self.find_places()?;
        let dir = self.view.0.log.dir();
        for place in &self.places {
            let record = self.lookup.read(&**dir, place.position, self.proven);
            let record = record.and_then(|record| {
                let record = record.and_then(|record| StreamRecord::new(record, place.offset));
                record.ok_or_else(|| {
                    let what = "the record is missing, or none of a stream";
                    Error::new(ErrorKind::Damaged, what)
                        .at_path(dir.path())
                        .at_position(place.position)
                })
            });
            match record {
                Ok(record) => {
                    self.offset = place.offset + u64::from(record.count());
                    self.ahead.records.push_back(record);
                }
                // Its place may have changed since it was looked up: the next call looks again.
                Err(_) if !self.ahead.records.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        if self.places.is_empty() {
            self.offset = next;
        }
        Ok(())
    }

    /// Copies the places of the next records; returns the offset behind them if there are none.
    fn find_places(&mut self) -> Result<u64> {
        self.places.clear();
        let seen = self.view.0.seen.lock();
        self.proven = seen.applied();
        seen.look(&self.view.0.log, |state, known| {
            let stream = match find(state, self.id, &self.name) {
                Ok(stream) => stream,
                Err(error) => return Ok(Err(error)),
            };
            if self.cuts != seen.cuts {
                self.cuts = seen.cuts;
                self.offset = self.offset.min(stream.next).max(stream.start);
                let what = format!("the log was cut off, and so was perhaps {:?}", self.name);
                return Ok(Err(Error::new(ErrorKind::Cut, what)
                    .remedy(format!("reading goes on at offset {}", self.offset))));
            }
            if let Err(error) = keep_up(&mut self.offset, stream) {
                return Ok(Err(error));
            }
            let (offset, places) = (self.offset, &mut self.places);
            state
                .locate(stream, self.id, offset, PLACES, known, places)
                .map(|next| Ok(next.max(offset)))
        })
    }
}

/// The stream, if it is still there.
fn find<'a>(state: &'a State, id: StreamId, name: &Arc<str>) -> Result<&'a StreamState> {
    let found = state.stream(id).filter(|stream| stream.name == *name);
    found.ok_or_else(|| Error::new(ErrorKind::NoStream, format!("{name:?} was deleted")))
}

impl ReadAhead for ViewReader {
    fn ahead(&mut self) -> &mut Ahead {
        &mut self.ahead
    }

    fn read_ahead(&mut self) -> Result<()> {
        let mut tries = 0;
        loop {
            let read = self.read_seen();
            let is_over = match &read {
                Ok(()) => !self.ahead.records.is_empty() || tries > 0,
                // What vanished may be elsewhere by now.
                Err(error) => error.kind() != ErrorKind::Damaged || tries == TRIES,
            };
            if is_over {
                return read;
            }
            match self.view.refresh() {
                Ok(applied) if applied == self.proven => return read,
                Ok(_) => {}
                // Told by the next look, if the stream is still there.
                Err(error) if error.kind() == ErrorKind::Cut => {}
                Err(error) => return read.and(Err(error)),
            }
            tries += 1;
        }
    }
}

impl std::fmt::Debug for ViewReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewReader")
            .field("stream", &self.name)
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}
