//! Many named streams in one log: offsets, atomic batches, cursors, a table.
//!
//! A [`Store`] is a directory with one log. What its streams are is said by the log's order alone: one
//! pass goes over the records, in order, and derives offsets, cursors, keys and verdicts from it. It
//! follows the appends while the store is open, and goes over the log again when it is opened.
//! So ten thousand streams share one group commit, and a batch over many of them is one record.
//!
//! ```text
//!  append ──▶ accepted ─────▶ applied ───────────▶ durable
//!             claimed in      the pass came by:    on disk, with
//!             the log         offset or verdict    all before it
//! ```
//!
//! The rooms: `entry` is what lies in the log, `state` the pass's rules, `pass` who runs them, `stream`
//! and `batch` what goes in, `ticket` what comes of it, `read` and `wait` what comes out, `view` what another
//! process sees. What the store does by itself: `space` keeps the log short, with `moving` and `compact`;
//! `ticks` tells it the time.

mod acks;
mod ahead;
mod backup;
mod batch;
mod bytes;
mod compact;
mod config;
mod entry;
mod evidence;
mod id;
mod info;
pub mod maintain;
mod moving;
mod name;
mod options;
mod pass;
mod read;
mod record;
mod segments;
mod shared;
mod snapshot;
mod space;
mod state;
mod stream;
mod submit;
mod ticket;
mod ticks;
mod view;
mod wait;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{self, FEATURE_STORE, Log, Position, STORE_RULES_SHIFT, Stats, Ticket};

pub use backup::{StoreCopy, copy, copy_with};
pub use batch::Batch;
pub use info::{CursorInfo, StreamInfo};
pub use options::{StoreOptions, StreamOptions};
pub use read::{ReadFrom, StreamReadOptions, StreamReader};
pub use record::{Headers, NewRecord, Producer, StreamRecord};
pub use stream::Stream;
pub use ticket::{Appended, Committed, StoreTicket};
pub use view::{StoreView, ViewReader};

use entry::{Entry, Kind};
use id::StreamId;
use pass::Pass;
use shared::Shared;
use state::{Known, Missing, PASS_VERSION, State};
use submit::Patience;
use ticket::{Answer, Asks};

/// The features of a store's log.
const FEATURES: u64 = FEATURE_STORE | (PASS_VERSION as u64) << STORE_RULES_SHIFT;

/// A handle to an open store; cheap to clone, to be used from any thread.
///
/// ```
/// use ringbolt::store::{ReadFrom, Store, StreamOptions};
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-store-{}", std::process::id()));
/// let store = Store::open(&dir)?;
/// let orders = store.create("orders", &StreamOptions::new())?;
/// let appended = orders.append(b"two anvils")?.wait()?; // on disk, at an offset
/// assert_eq!(appended.offset, 0);
/// assert_eq!(orders.reader(ReadFrom::Earliest)?.next()?.payload(), b"two anvils");
/// store.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
#[derive(Clone)]
pub struct Store(Arc<Inner>);

/// What the handles of a store share.
pub(crate) struct Inner {
    pub(crate) log: Log,
    pub(crate) shared: Arc<Shared>,
}

/// A key of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyValue {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Arc<[u8]>,
    /// Which write of the table it was: rises, and is never used twice.
    pub version: u64,
}

/// What a store counts, and how it stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreStats {
    /// Its log's.
    pub log: Stats,
    /// How many streams there are.
    pub streams: usize,
    /// Everything before was judged.
    pub applied: Position,
    /// Records that were written again further on, so that the segment could go in which they lay.
    pub moved_records: u64,
    /// Their bytes in the log.
    pub moved_bytes: u64,
}

impl Store {
    /// Opens the store in `dir` with the default [options](StoreOptions) and an engine of its own,
    /// making it where there is none.
    ///
    /// # Errors
    ///
    /// See [`StoreOptions::open_on`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        StoreOptions::new().open(dir)
    }

    fn open_with(engine: &Engine, dir: &Path, options: &StoreOptions) -> Result<Self> {
        let shared = Shared::new();
        let mut log_options = options.log.clone();
        log_options.features = FEATURES;
        let pass = Pass::new(
            Arc::clone(&shared),
            log_options.segment_bytes,
            options.time_step_ns,
        );
        let pass = Box::new(pass);
        let log = log::open_followed(engine, dir, &log_options, pass)?;
        shared.go_live();
        Ok(Self(Arc::new(Inner { log, shared })))
    }

    /// Makes a stream, durably.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Exists`], [`ErrorKind::Invalid`] for a name or options that cannot be, or those of
    /// [`Log::append`].
    pub fn create(&self, name: &str, options: &StreamOptions) -> Result<Stream> {
        let config = options.config()?.to_bytes();
        let entry = batch::create(name, options, &config)?;
        let ticket = submit::one(&self.0.log, &entry, Patience::Block)?;
        let name: Arc<str> = name.into();
        let ticket = self.0.ticket(ticket, &entry, Some(&name), Answer::number);
        let id = StreamId::from_u64(ticket.wait()?);
        Ok(Stream::new(Arc::clone(&self.0), id, name))
    }

    /// The same, awaited.
    ///
    /// # Errors
    ///
    /// Those of [`Store::create`].
    pub async fn create_async(&self, name: &str, options: &StreamOptions) -> Result<Stream> {
        let config = options.config()?.to_bytes();
        let entry = batch::create(name, options, &config)?;
        let ticket = submit::one_async(&self.0.log, &entry).await?;
        let name: Arc<str> = name.into();
        let ticket = self.0.ticket(ticket, &entry, Some(&name), Answer::number);
        let id = StreamId::from_u64(ticket.wait_async().await?);
        Ok(Stream::new(Arc::clone(&self.0), id, name))
    }

    /// The stream of this name, as it is applied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoStream`], [`ErrorKind::Invalid`] for what is no name.
    pub fn stream(&self, name: &str) -> Result<Stream> {
        name::check(name)?;
        let state = self.0.shared.state.read();
        let found = state
            .find(name)
            .and_then(|id| Some((id, state.stream(id)?)));
        let (id, stream) = found.ok_or_else(|| {
            Error::new(ErrorKind::NoStream, format!("{name:?}")).remedy("create it")
        })?;
        let name = Arc::clone(&stream.name);
        Ok(Stream::new(Arc::clone(&self.0), id, name))
    }

    /// Up to `max` streams whose names begin with `prefix`, in order, the first behind `after`.
    #[must_use]
    pub fn streams(&self, prefix: &str, after: Option<&str>, max: usize) -> Vec<StreamInfo> {
        self.0.shared.streams(prefix, after, max)
    }

    /// How many streams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.shared.state.read().streams_len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a batch into the log, waiting for room if there is none. All of it must fit one segment.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append_batch`]; nothing was accepted then. The ticket tells the rest: the
    /// errors of the item that was refused.
    pub fn commit(&self, batch: &Batch) -> Result<StoreTicket<Committed>> {
        self.commit_patiently(batch, Patience::Block)
    }

    /// The same if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`Store::commit`], and [`ErrorKind::WouldBlock`].
    pub fn try_commit(&self, batch: &Batch) -> Result<StoreTicket<Committed>> {
        self.commit_patiently(batch, Patience::Try)
    }

    /// The same, waiting for room until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Store::commit`], and [`ErrorKind::TimedOut`].
    pub fn commit_deadline(
        &self,
        batch: &Batch,
        deadline: Instant,
    ) -> Result<StoreTicket<Committed>> {
        self.commit_patiently(batch, Patience::Until(deadline))
    }

    /// The same, awaiting room. Dropped before it is done, the future has written nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Store::commit`].
    pub async fn commit_async(&self, batch: &Batch) -> Result<StoreTicket<Committed>> {
        check_batch(batch)?;
        let ticket = submit::many_async(&self.0.log, &batch.entries).await?;
        Ok(self
            .0
            .told(ticket, batch.streams[..].into(), Answer::committed))
    }

    fn commit_patiently(
        &self,
        batch: &Batch,
        patience: Patience,
    ) -> Result<StoreTicket<Committed>> {
        check_batch(batch)?;
        let ticket = submit::many(&self.0.log, &batch.entries, patience)?;
        Ok(self
            .0
            .told(ticket, batch.streams[..].into(), Answer::committed))
    }

    /// How far a group has come, in each stream where it has a cursor: the streams' names, in order. It
    /// goes over all streams.
    #[must_use]
    pub fn cursors(&self, group: &str) -> Vec<(String, CursorInfo)> {
        self.0.shared.cursors(group)
    }

    /// A key of the table, as it is applied.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<KeyValue> {
        self.0.shared.get(key)
    }

    /// Sets a key of the table. The ticket gives its version.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`], [`ErrorKind::Invalid`] for a key of more than 65,535 bytes.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<StoreTicket<u64>> {
        self.submit(&batch::put(key, value, None)?)
    }

    /// Sets a key if it has this version; 0 stands for one that is not there. The ticket gives the new
    /// version, or [`ErrorKind::Conflict`].
    ///
    /// # Errors
    ///
    /// Those of [`Store::put`].
    pub fn put_if(&self, key: &[u8], value: &[u8], version: u64) -> Result<StoreTicket<u64>> {
        self.submit(&batch::put(key, value, Some(version))?)
    }

    /// Removes a key of the table. That it was not there is no error.
    ///
    /// # Errors
    ///
    /// Those of [`Store::put`].
    pub fn remove(&self, key: &[u8]) -> Result<StoreTicket<u64>> {
        let entry = Entry {
            key: Some(batch::check_key(key)?),
            ..Entry::new(Kind::Remove, StreamId::NONE, &[])
        };
        self.submit(&entry)
    }

    /// Up to `max` keys that begin with `prefix`, in order, the first behind `after`. All of them are as
    /// they are at one place of the log.
    #[must_use]
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Vec<KeyValue> {
        self.0.shared.scan(prefix, after, max)
    }

    /// Waits until everything that was accepted before this call is applied and durable.
    ///
    /// # Errors
    ///
    /// What made the log fail or close.
    pub fn flush(&self) -> Result<Position> {
        self.0.push_acks()?;
        let end = self.0.log.flush()?;
        let shared = &self.0.shared;
        let reached = || {
            let ended = shared.has_ended();
            if shared.applied() >= end {
                return Some(Ok(end));
            }
            ended.then(|| Err(self.0.ended()))
        };
        let waiters = &shared.applied_waiters;
        waiters
            .wait(end.to_u64(), None, reached)
            .expect("there is no deadline")
    }

    /// What the store counts since it was opened, and how it stands.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let (moved_records, moved_bytes) = self.0.shared.moved();
        StoreStats {
            log: self.0.log.stats(),
            streams: self.len(),
            applied: self.0.shared.applied(),
            moved_records,
            moved_bytes,
        }
    }

    /// All that the pass has derived, as text, and up to where: two stores with the same text are the
    /// same. For tests.
    ///
    /// # Errors
    ///
    /// What keeps the indexes from being read.
    #[cfg(any(test, feature = "sim"))]
    #[doc(hidden)]
    pub fn fingerprint(&self) -> Result<(Position, String)> {
        self.0.look(|state, known| {
            fingerprint(state, known).map(|text| Ok((self.0.shared.applied(), text)))
        })
    }

    /// Closes the store: refuses what comes, brings everything to disk, gives the lock back.
    ///
    /// # Errors
    ///
    /// What made the log fail. Closing a closed store is no error.
    pub fn close(&self) -> Result<()> {
        // Where the log takes nothing any more, they are as if they had never been said.
        let _ = self.0.push_acks();
        self.0.log.close()
    }

    /// The same, awaited.
    ///
    /// # Errors
    ///
    /// Those of [`Store::close`].
    pub async fn close_async(&self) -> Result<()> {
        let _ = self.0.push_acks();
        self.0.log.close_async().await
    }

    fn submit(&self, entry: &Entry<'_>) -> Result<StoreTicket<u64>> {
        let ticket = submit::one(&self.0.log, entry, Patience::Block)?;
        Ok(self.0.ticket(ticket, entry, None, Answer::number))
    }
}

impl Inner {
    #[inline]
    pub(crate) fn ticket<T>(
        self: &Arc<Self>,
        ticket: Ticket<'static>,
        entry: &Entry<'_>,
        stream: Option<&Arc<str>>,
        reads: fn(Answer) -> Result<T>,
    ) -> StoreTicket<T> {
        if entry.is_plain() {
            return StoreTicket {
                store: Arc::clone(self),
                ticket,
                asks: Asks::Index(entry.stream),
                reads,
            };
        }
        self.told(ticket, [stream.cloned()].into(), reads)
    }

    fn told<T>(
        self: &Arc<Self>,
        ticket: Ticket<'static>,
        streams: submit::Names,
        reads: fn(Answer) -> Result<T>,
    ) -> StoreTicket<T> {
        StoreTicket {
            store: Arc::clone(self),
            ticket,
            asks: Asks::Told { streams },
            reads,
        }
    }

    /// Puts those acknowledgements into the log that wait for the next group.
    fn push_acks(self: &Arc<Self>) -> Result<()> {
        while let Some(bytes) = self.shared.acks.take() {
            let ticket = self.log.append(&bytes)?.into_owned();
            // Nobody asks what became of it.
            drop(self.told(ticket, [None].into(), Answer::number));
        }
        Ok(())
    }

    /// Looks at the state, with indexes brought from disk as they are needed.
    pub(crate) fn look<T>(
        &self,
        look: impl FnMut(&State, &Known) -> Result<Result<T>, Missing>,
    ) -> Result<T> {
        let anchor = |segment| self.log.anchor(segment);
        self.shared.look(self.log.dir(), anchor, look)
    }

    /// The error of whoever waits for what will never come.
    pub(crate) fn ended(&self) -> Error {
        match self.log.durable().wait_for(Position::from_u64(u64::MAX)) {
            Err(error) => error,
            Ok(_) => Error::new(ErrorKind::Closed, "the store ended"),
        }
    }
}

/// All that the pass has derived, as text.
#[cfg(any(test, feature = "sim"))]
fn fingerprint(state: &State, known: &Known) -> Result<String, Missing> {
    let mut places = Vec::new();
    for (id, stream) in state.streams() {
        let mut at = stream.start;
        while at < stream.next {
            let max = usize::MAX - places.len();
            at = state.locate(stream, id, at, max, known, &mut places)?;
        }
    }
    let mut copy = state.clone();
    // A segment that is full may have been left already, or not yet; and its index be in memory, or not any
    // more.
    copy.leave();
    copy.forget_indexes();
    Ok(format!("{copy:#?}\n{places:#?}"))
}

fn check_batch(batch: &Batch) -> Result<()> {
    if batch.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "a batch without items"));
    }
    Ok(())
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("log", &self.0.log)
            .finish_non_exhaustive()
    }
}
