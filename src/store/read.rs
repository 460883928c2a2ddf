//! Reading a stream: where its records lie is copied from the state, a few at a time; the log has them.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, ErrorKind, Result};
use crate::log::{Position, ReadOptions, UNIT_BYTES, Visibility};
use crate::store::Inner;
use crate::store::ahead::{Ahead, ReadAhead};
use crate::store::id::StreamId;
use crate::store::record::StreamRecord;
use crate::store::shared::Watching;
use crate::store::state::places::Located;
use crate::store::state::stream::StreamState;
use crate::store::stream::Stream;
use crate::store::wait::Available;
use crate::sync::park::Parker;
use crate::time::unix_ns;

/// So many places are copied at a time.
pub(crate) const PLACES: usize = 256;

/// Where reading a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadFrom<'a> {
    /// At its first record.
    Earliest,
    /// Behind its last one.
    Latest,
    /// At the record that has this offset.
    Offset(u64),
    /// At the first record whose time is this one or later: the time that was [given](crate::store::NewRecord::time) with
    /// it, or else when it was written. That is known to the [step](crate::store::StoreOptions::time_step) in
    /// which the store is told the time, and to a part of its age: reading begins earlier by
    /// that, and never later. At the end, if all are older.
    Time(SystemTime),
    /// Where this group's cursor stands.
    Cursor(&'a str),
}

/// Options for reading a stream.
#[derive(Debug, Clone)]
pub struct StreamReadOptions {
    visibility: Visibility,
    depth: usize,
}

impl Default for StreamReadOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamReadOptions {
    /// The defaults: durable records, 32 reads at once.
    #[must_use]
    pub fn new() -> Self {
        Self {
            visibility: Visibility::Durable,
            depth: 32,
        }
    }

    /// Which records are seen: durable ones, all that are applied ([`Visibility::Committed`]), or
    /// those before the stream's [gate](Stream::set_gate), as far as they are durable.
    #[must_use]
    pub fn visibility(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// How many reads may be on their way at once, of what is not in memory.
    #[must_use]
    pub fn depth(mut self, reads: usize) -> Self {
        self.depth = reads;
        self
    }
}

/// Reads a stream, record by record or in batches. Owned, `Send`; it holds up nobody.
///
/// One that falls behind the stream's start gets [`ErrorKind::Trimmed`], one whose place was cut off
/// [`ErrorKind::Cut`]; each tells which offset it goes on at, and does so at the next call.
///
/// ```
/// use ringbolt::store::{ReadFrom, Store, StreamOptions};
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-stream-{}", std::process::id()));
/// let store = Store::open(&dir)?;
/// let stream = store.create("greetings", &StreamOptions::new())?;
/// stream.append(b"hello")?.wait()?;
///
/// let mut reader = stream.reader(ReadFrom::Earliest)?;
/// let record = reader.next()?;
/// assert_eq!((record.offset(), record.payload()), (0, &b"hello"[..]));
/// assert!(reader.try_next()?.is_none());
/// # store.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
pub struct StreamReader {
    stream: Stream,
    options: StreamReadOptions,
    /// The next record's offset, or one before it.
    offset: u64,
    ahead: Ahead,
    /// Kept for its memory.
    places: Vec<Located>,
    /// What must be on disk before there is another record to see.
    wanted: Option<Position>,
}

impl StreamReader {
    pub(crate) fn open(
        stream: Stream,
        from: ReadFrom<'_>,
        options: &StreamReadOptions,
    ) -> Result<Self> {
        let state = stream.store().shared.state.read();
        let Some(found) = state.stream(stream.id()) else {
            return Err(stream.gone());
        };
        let offset = offset_of(found, from, stream.name())?;
        drop(state);
        let mut reader = Self {
            stream,
            options: options.clone(),
            offset,
            ahead: Ahead::default(),
            places: Vec::new(),
            wanted: None,
        };
        if let ReadFrom::Time(time) = from {
            reader.go_to(time)?;
        }
        Ok(reader)
    }

    /// Goes to the first record that is not older.
    fn go_to(&mut self, time: SystemTime) -> Result<()> {
        let id = self.stream.id();
        let store = Arc::clone(self.stream.store());
        let time_ns = unix_ns(time);
        let before;
        (self.offset, before) = store.look(|state, known| {
            let Some(stream) = state.stream(id) else {
                return Ok(Err(self.stream.gone()));
            };
            let offset = state.since(stream, id, time_ns, known)?;
            Ok(Ok((offset, state.time.clock.written_before(time_ns))))
        })?;
        self.pass_over(time, before)
    }

    /// The offset of the next record, or one before it.
    #[must_use]
    pub fn offset(&self) -> u64 {
        let next = self.ahead.records.front();
        next.map_or(self.offset, StreamRecord::offset)
    }

    /// The next record, if there is one to see.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Trimmed`], [`ErrorKind::Cut`], [`ErrorKind::NoStream`], or what kept it from being
    /// read.
    pub fn try_next(&mut self) -> Result<Option<StreamRecord>> {
        self.take()
    }

    /// The next record, waiting for it.
    ///
    /// # Errors
    ///
    /// Those of [`StreamReader::try_next`], and [`ErrorKind::Closed`] or what made the store fail.
    #[allow(clippy::should_implement_trait)] // it waits, and can fail
    pub fn next(&mut self) -> Result<StreamRecord> {
        loop {
            if let Some(record) = self.try_next()? {
                return Ok(record);
            }
            self.wait(None)?;
        }
    }

    /// The same for at most `timeout`; then [`ErrorKind::TimedOut`].
    ///
    /// # Errors
    ///
    /// Those of [`StreamReader::next`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<StreamRecord> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(record) = self.try_next()? {
                return Ok(record);
            }
            self.wait(deadline)?;
        }
    }

    /// The next record, awaited. Dropped before it is done, the future has taken nothing.
    ///
    /// # Errors
    ///
    /// Those of [`StreamReader::next`].
    pub async fn next_async(&mut self) -> Result<StreamRecord> {
        loop {
            if let Some(record) = self.try_next()? {
                return Ok(record);
            }
            self.wait_async().await?;
        }
    }

    /// Up to `records_max` records of up to `bytes_max` bytes together, as far as there are some; the
    /// first one comes whatever its size.
    ///
    /// # Errors
    ///
    /// Those of [`StreamReader::try_next`], with none taken.
    pub fn try_next_batch(
        &mut self,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StreamRecord>> {
        self.take_batch(records_max, bytes_max)
    }

    /// Goes to another offset.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoStream`]; [`ErrorKind::NoOffset`] beyond the end: the reader stays where it was.
    pub fn seek(&mut self, offset: u64) -> Result<()> {
        let state = self.stream.store().shared.state.read();
        let Some(found) = state.stream(self.stream.id()) else {
            return Err(self.stream.gone());
        };
        if offset > found.next {
            return Err(found.out_of_range().error(Some(self.stream.name())));
        }
        drop(state);
        self.offset = offset;
        self.ahead = Ahead::default();
        self.wanted = None;
        Ok(())
    }

    /// Copies the places of the next records that may be seen; returns the offset behind them if there
    /// are none.
    fn find_places(&mut self) -> Result<u64> {
        self.places.clear();
        self.wanted = None;
        let durable = self.stream.store().log.durable().get();
        let id = self.stream.id();
        let store = Arc::clone(self.stream.store());
        let next = store.look(|state, known| {
            let Some(stream) = state.stream(id) else {
                return Ok(Err(self.stream.gone()));
            };
            if let Err(error) = keep_up(&mut self.offset, stream) {
                return Ok(Err(error));
            }
            let (offset, places) = (self.offset, &mut self.places);
            state
                .locate(stream, id, offset, PLACES, known, places)
                .map(Ok)
        })?;
        let limit = match self.options.visibility {
            Visibility::Gated => store.shared.gate(id),
            Visibility::Committed | Visibility::Durable => u64::MAX,
        };
        let seen = self.places.partition_point(|place| place.offset < limit);
        self.places.truncate(seen);
        if self.options.visibility != Visibility::Committed {
            for place in &mut self.places {
                // One that is being moved lies on disk where it lay before.
                if let Some(before) = place.before.filter(|_| place.position >= durable) {
                    place.position = before;
                }
            }
            let hidden = |place: &Located| place.position >= durable;
            if let Some(seen) = self.places.iter().position(hidden) {
                self.wanted = Some(self.places[seen].position.plus(UNIT_BYTES));
                self.places.truncate(seen);
            }
        }
        Ok(if self.wanted.is_none() && limit == u64::MAX {
            next.max(self.offset)
        } else {
            self.offset
        })
    }

    /// Sleeps until there may be something to see.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<()> {
        let store = Arc::clone(self.stream.store());
        let timed_out = || {
            Error::new(ErrorKind::TimedOut, "no record yet").remedy("wait again, or give it longer")
        };
        if let Some(wanted) = self.wanted {
            let durable = store.log.durable();
            return match deadline {
                None => durable.wait_for(wanted).map(|_| ()),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    durable.wait_timeout(wanted, left).map(|_| ())
                }
            };
        }
        let parker = Parker::new();
        let watching = store.shared.watch(self.stream.id(), parker.waker());
        let woken = match self.peek() {
            Ok(false) => Ok(parker.park(deadline)),
            found => found,
        };
        store.shared.unwatch(watching);
        if woken? { Ok(()) } else { Err(timed_out()) }
    }

    async fn wait_async(&mut self) -> Result<()> {
        let store = Arc::clone(self.stream.store());
        if let Some(wanted) = self.wanted {
            return store.log.durable().reached(wanted).await.map(|_| ());
        }
        let mut watched = Watched::new(&store);
        std::future::poll_fn(|cx| {
            watched.again(self.stream.id(), cx.waker().clone());
            match self.peek() {
                Ok(false) => Poll::Pending,
                found => Poll::Ready(found.map(|_| ())),
            }
        })
        .await
    }

    pub(crate) fn store(&self) -> Arc<Inner> {
        Arc::clone(self.stream.store())
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// What must be on disk before there is another record to see.
    pub(crate) fn wanted(&self) -> Option<Position> {
        self.wanted
    }

    /// What can be taken without waiting.
    pub(crate) fn available(&mut self) -> Result<Available> {
        self.peek()?;
        let ahead = self
            .ahead
            .records
            .iter()
            .map(|record| record.payload().len());
        let places = self.places.iter().map(|place| place.bytes as usize);
        Ok(Available {
            bytes: ahead.chain(places).sum(),
            is_enough: self.ahead.error.is_some() || self.places.len() == PLACES,
        })
    }

    /// Whether there may be something to see, or to be told.
    fn peek(&mut self) -> Result<bool> {
        if let Err(error) = self.find_places() {
            self.ahead.error = Some(error);
            return Ok(true);
        }
        let found = !self.places.is_empty() || self.wanted.is_some();
        if !found && self.stream.store().shared.has_ended() {
            return Err(self.stream.store().ended());
        }
        Ok(found)
    }
}

impl ReadAhead for StreamReader {
    fn ahead(&mut self) -> &mut Ahead {
        &mut self.ahead
    }

    fn read_ahead(&mut self) -> Result<()> {
        let next = self.find_places()?;
        if self.places.is_empty() {
            self.offset = next;
            return Ok(());
        }
        let visibility = match self.options.visibility {
            Visibility::Committed => Visibility::Committed,
            Visibility::Durable | Visibility::Gated => Visibility::Durable,
        };
        let options = ReadOptions::new()
            .visibility(visibility)
            .depth(self.options.depth);
        let log = &self.stream.store().log;
        let places = std::mem::take(&mut self.places);
        let positions = places.iter().map(|place| place.position);
        let answers = log.read_many_with(positions, &options);
        for (place, answer) in places.iter().zip(answers) {
            let record = answer.and_then(|record| {
                StreamRecord::new(record, place.offset).ok_or_else(|| {
                    Error::new(ErrorKind::Damaged, "the record is none of a stream")
                        .at_position(place.position)
                })
            });
            match record {
                Ok(record) => {
                    self.offset = place.offset + u64::from(record.count());
                    self.ahead.records.push_back(record);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // It ends in the block that comes next.
                    self.wanted = Some(log.durable().get().plus(UNIT_BYTES));
                    break;
                }
                // Its place may have changed since it was looked up: the next call looks again.
                Err(_) if !self.ahead.records.is_empty() => break,
                Err(error) => {
                    let was = place.position;
                    self.places = places;
                    self.find_places()?;
                    return match self.places.first() {
                        Some(is) if is.position == was => Err(error),
                        _ => self.read_ahead(),
                    };
                }
            }
        }
        self.places = places;
        Ok(())
    }
}

/// The offset where reading a stream begins.
pub(crate) fn offset_of(found: &StreamState, from: ReadFrom<'_>, name: &str) -> Result<u64> {
    Ok(match from {
        ReadFrom::Earliest | ReadFrom::Time(_) => found.start,
        ReadFrom::Latest => found.next,
        ReadFrom::Offset(offset) if offset > found.next => {
            return Err(found.out_of_range().error(Some(name)));
        }
        ReadFrom::Offset(offset) => offset,
        ReadFrom::Cursor(group) => {
            let rare = found.rare.as_deref();
            let cursor = rare.and_then(|rare| rare.cursors.0.get(group));
            let cursor = cursor.ok_or_else(|| {
                let what = format!("group {group:?} has no cursor in {name:?}");
                Error::new(ErrorKind::Absent, what)
            })?;
            cursor.offset
        }
    })
}

/// Comes to terms with what became of the stream: an error says where reading goes on.
pub(crate) fn keep_up(offset: &mut u64, stream: &StreamState) -> Result<()> {
    let (kind, what, to) = if stream.next < *offset {
        (ErrorKind::Cut, "the stream was cut off there", stream.next)
    } else if *offset < stream.start {
        (ErrorKind::Trimmed, "the stream begins later", stream.start)
    } else {
        return Ok(());
    };
    *offset = to;
    let what = format!("{what} ({:?})", stream.name);
    Err(Error::new(kind, what).remedy(format!("reading goes on at offset {to}")))
}

/// A place among those who wait for a stream, given back in any case.
pub(crate) struct Watched<'a> {
    store: &'a Inner,
    key: Option<Watching>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(store: &'a Inner) -> Self {
        Self { store, key: None }
    }

    pub(crate) fn again(&mut self, id: StreamId, waker: Waker) {
        self.give_back();
        self.key = Some(self.store.shared.watch(id, waker));
    }

    fn give_back(&mut self) {
        if let Some(key) = self.key.take() {
            self.store.shared.unwatch(key);
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader")
            .field("stream", &self.stream)
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}
