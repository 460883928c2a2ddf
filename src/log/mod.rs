//! One segmented log: lock-free appends into memory, group commit to disk, reading without a copy.
//!
//! [`Log`] is the handle; the rooms behind it: `tail` (claiming), `persist` (group commit),
//! [`read`], `recover`, `make` (segments ahead and behind), `hold` (files, while they are read).

pub(crate) mod append;
#[cfg(not(ringbolt_loom))]
pub(crate) mod copy;
pub(crate) mod core;
mod cuts;
#[cfg_attr(ringbolt_loom, allow(dead_code))] // no model follows a log
pub(crate) mod follow;
pub(crate) mod frame;
mod hold;
pub mod maintain;
mod make;
mod open;
mod options;
mod persist;
mod pin;
mod position;
pub(crate) mod read;
pub(crate) mod recover;
pub(crate) mod segment;
mod stats;
#[allow(unsafe_code)]
pub(crate) mod tail;
pub(crate) mod ticket;
mod view;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::error::{ErrorKind, Result};

pub use append::Claim;
pub use options::{Durability, LogOptions, Preallocation, SealedSegment};
pub use pin::SegmentPin;
pub use position::Position;
pub use read::{
    Batch, BatchIter, Cold, From, Next, NextBatch, ReadMany, ReadOptions, Reader, Record,
    SharedRecord, Visibility,
};
pub use stats::Stats;
pub use ticket::{Acknowledged, Ticket};
pub use view::{LogView, ViewReader, ViewRecord};
pub use watch::Durable;

#[cfg(not(ringbolt_loom))]
pub(crate) use position::UNIT_BYTES;
#[cfg(not(ringbolt_loom))]
pub(crate) use segment::{FEATURE_STORE, STORE_RULES_SHIFT};
#[cfg(not(ringbolt_loom))]
pub(crate) use view::{Changes, Lookup, ViewFollow};

use self::core::{Cut, Reply, Request};
use crate::sync::atomic::Ordering::Relaxed;
use append::Patience;
use ticket::Shared;

/// A handle to an open log; cheap to clone, to be used from any thread.
///
/// The last handle to go closes the log without waiting for it; [`Log::close`] waits.
///
/// # Progress
///
/// A claim is lock-free and makes no system call unless the persister sleeps. The forms that wait
/// do so for room only: for bytes to reach the disk, or for the next segment.
///
/// ```
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-log-{}", std::process::id()));
/// let log = ringbolt::Log::open(&dir)?;
/// let ticket = log.append(b"a record")?; // in the log, at:
/// println!("{}", ticket.position());
/// ticket.wait()?; // on disk
/// log.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
#[derive(Clone)]
pub struct Log(Arc<Handle>);

/// Closes the log when the last handle goes.
struct Handle {
    core: Shared,
    /// Keeps the engine's threads alive.
    engine: Engine,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let core = &self.core.0;
        // A forked child has a copy of the handle, but neither the log nor the engine.
        if !core.is_forked() {
            core.request(Request::Close);
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("path", &self.0.core.0.path)
            .finish_non_exhaustive()
    }
}

/// Opens a log with somebody who follows it: see [`follow`].
#[cfg(not(ringbolt_loom))]
pub(crate) fn open_followed(
    engine: &Engine,
    dir: &Path,
    options: &LogOptions,
    follower: Box<dyn follow::Follower>,
) -> Result<Log> {
    options.check().map_err(|error| error.at_path(dir))?;
    open::open(engine, dir, options, Some(follower))
}

impl Engine {
    /// Opens the log in `dir` on this engine with the default [options](LogOptions), making it
    /// where there is none.
    ///
    /// # Errors
    ///
    /// See [`LogOptions::open_on`].
    pub fn open(&self, dir: impl AsRef<Path>) -> Result<Log> {
        LogOptions::new().open_on(self, dir)
    }
}

impl Log {
    /// Opens the log in `dir` with the default [options](LogOptions) and an engine of its own,
    /// making it where there is none.
    ///
    /// # Errors
    ///
    /// See [`LogOptions::open_on`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        LogOptions::new().open(dir)
    }

    /// Where its files are.
    #[cfg(not(ringbolt_loom))]
    pub(crate) fn dir(&self) -> &dyn crate::disk::Dir {
        &*self.core().dir
    }

    /// Has whoever follows the log asked for work.
    #[cfg(not(ringbolt_loom))]
    pub(crate) fn wake_follower(&self) {
        self.core().engine.wake_by_ref();
    }

    /// What tells one of its segments.
    #[cfg(not(ringbolt_loom))]
    pub(crate) fn anchor(&self, ordinal: u64) -> Option<follow::Anchor> {
        let anchors = follow::anchors(self.core());
        anchors.into_iter().find(|anchor| anchor.ordinal == ordinal)
    }

    /// What tells the segments from `first` on whose end is known.
    #[cfg(not(ringbolt_loom))]
    pub(crate) fn anchors(&self, first: u64) -> Vec<follow::Anchor> {
        let mut anchors = follow::anchors(self.core());
        anchors.retain(|anchor| anchor.ordinal >= first);
        anchors
    }

    /// What tells the segments from `first` on up to `end`, where the last one of them then ends.
    #[cfg(not(ringbolt_loom))]
    pub(crate) fn anchors_before(&self, end: Position, first: u64) -> Vec<follow::Anchor> {
        let segments = self.core().segments.read();
        let wanted = segments
            .list
            .iter()
            .filter(|s| (first..=end.segment()).contains(&s.ordinal()));
        let anchor = |segment: &Arc<core::Segment>| {
            let header = &segment.header;
            let end = Some(end).filter(|end| end.segment() == header.ordinal);
            let end = end.map(Position::offset_bytes).or(segment.end_bytes());
            follow::Anchor::of(header, end.unwrap_or(header.frames().end))
        };
        wanted.map(anchor).collect()
    }

    /// Where its files are made.
    #[cfg(not(ringbolt_loom))]
    pub(crate) fn disk(&self) -> &Arc<dyn crate::disk::Disk> {
        self.0.engine.disk()
    }

    /// Pins the log's first segment.
    #[cfg(not(ringbolt_loom))]
    pub(crate) fn pin_first(&self) -> Result<SegmentPin> {
        self.check_open()?;
        SegmentPin::of(self.core(), None)
    }

    fn core(&self) -> &Arc<core::Core> {
        &self.0.core.0
    }

    /// Appends a record, waiting for room if there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`], [`ErrorKind::Full`] (nothing was claimed; retry when there is
    /// space), [`ErrorKind::Closed`], [`ErrorKind::Forked`], or what made the log fail.
    #[inline]
    pub fn append(&self, payload: &[u8]) -> Result<Ticket<'_>> {
        self.append_patiently(payload, Patience::Block)
    }

    /// Appends a record if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`], and [`ErrorKind::WouldBlock`].
    #[inline]
    pub fn try_append(&self, payload: &[u8]) -> Result<Ticket<'_>> {
        self.append_patiently(payload, Patience::Try)
    }

    /// Appends a record, waiting for room until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`], and [`ErrorKind::TimedOut`].
    pub fn append_deadline(&self, payload: &[u8], deadline: Instant) -> Result<Ticket<'_>> {
        self.append_patiently(payload, Patience::Until(deadline))
    }

    /// Appends a record, awaiting room. Dropped before it is done, the future has written nothing.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`].
    pub async fn append_async(&self, payload: &[u8]) -> Result<Ticket<'_>> {
        self.append_with_async(payload.len(), |buffer| buffer.copy_from_slice(payload))
            .await
    }

    #[inline]
    fn append_patiently(&self, payload: &[u8], patience: Patience) -> Result<Ticket<'_>> {
        append::append_with(&self.0.core, payload.len(), patience, |buffer| {
            buffer.copy_from_slice(payload);
        })
    }

    /// Appends a record of `len` bytes that `fill` writes in place. The bytes are zero before.
    /// `fill` holds up everything behind it: it should only write. If it panics, the space becomes
    /// padding.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`].
    #[inline]
    pub fn append_with(&self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<Ticket<'_>> {
        append::append_with(&self.0.core, len, Patience::Block, fill)
    }

    /// The same if there is room now; else `fill` is not called.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`], and [`ErrorKind::WouldBlock`].
    #[inline]
    pub fn try_append_with(&self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<Ticket<'_>> {
        append::append_with(&self.0.core, len, Patience::Try, fill)
    }

    /// The same, waiting for room until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`], and [`ErrorKind::TimedOut`].
    pub fn append_with_deadline(
        &self,
        len: usize,
        deadline: Instant,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Ticket<'_>> {
        append::append_with(&self.0.core, len, Patience::Until(deadline), fill)
    }

    /// The same, awaiting room. `fill` is called once there is room, and awaits nothing itself: no
    /// claim is held across an await. Dropped before it is done, the future has called and written
    /// nothing.
    ///
    /// ```
    /// # async fn append(log: ringbolt::Log, number: u64) -> ringbolt::Result<()> {
    /// let ticket = log
    ///     .append_with_async(8, |buffer| buffer.copy_from_slice(&number.to_le_bytes()))
    ///     .await?;
    /// ticket.await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`].
    pub async fn append_with_async(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Ticket<'_>> {
        append::append_with_async(&self.0.core, len, fill).await
    }

    /// Appends several records that stand or fall together, under one checksum. The ticket's
    /// position is the first one's. All of them must fit one segment, with 16 bytes each and 8.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`], and [`ErrorKind::Invalid`] for a batch without records.
    pub fn append_batch(&self, payloads: &[impl AsRef<[u8]>]) -> Result<Ticket<'_>> {
        append::append_batch(&self.0.core, payloads, Patience::Block)
    }

    /// The same if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append_batch`], and [`ErrorKind::WouldBlock`].
    pub fn try_append_batch(&self, payloads: &[impl AsRef<[u8]>]) -> Result<Ticket<'_>> {
        append::append_batch(&self.0.core, payloads, Patience::Try)
    }

    /// The same, waiting for room until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append_batch`], and [`ErrorKind::TimedOut`].
    pub fn append_batch_deadline(
        &self,
        payloads: &[impl AsRef<[u8]>],
        deadline: Instant,
    ) -> Result<Ticket<'_>> {
        append::append_batch(&self.0.core, payloads, Patience::Until(deadline))
    }

    /// The same, awaiting room.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append_batch`].
    pub async fn append_batch_async(&self, payloads: &[impl AsRef<[u8]>]) -> Result<Ticket<'_>> {
        append::append_batch_async(&self.0.core, payloads).await
    }

    /// Claims space for a record of `len` bytes, to be written in place; see [`Claim`].
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`].
    pub fn claim(&self, len: usize) -> Result<Claim<'_>> {
        append::claim(&self.0.core, len, Patience::Block)
    }

    /// The same if there is room now.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`], and [`ErrorKind::WouldBlock`].
    pub fn try_claim(&self, len: usize) -> Result<Claim<'_>> {
        append::claim(&self.0.core, len, Patience::Try)
    }

    /// The same, waiting for room until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`], and [`ErrorKind::TimedOut`].
    pub fn claim_deadline(&self, len: usize, deadline: Instant) -> Result<Claim<'_>> {
        append::claim(&self.0.core, len, Patience::Until(deadline))
    }

    /// The largest record that fits a segment, in bytes.
    #[must_use]
    pub fn payload_bytes_max(&self) -> usize {
        append::payload_bytes_max(self.core())
    }

    /// A reader with the default [options](ReadOptions): records of the log's
    /// [visibility](LogOptions::visibility), durable ones unless that was changed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRecord`] where no record begins, [`ErrorKind::Trimmed`] and
    /// [`ErrorKind::Cut`] for a place that is gone (the error says where to resume),
    /// [`ErrorKind::Forked`], or what kept the log from being read.
    pub fn reader(&self, from: From) -> Result<Reader> {
        self.reader_with(from, ReadOptions::new())
    }

    /// A reader with these options.
    ///
    /// # Errors
    ///
    /// Those of [`Log::reader`].
    pub fn reader_with(&self, from: From, options: ReadOptions) -> Result<Reader> {
        self.check_fork()?;
        Reader::open(Arc::clone(self.core()), from, options)
    }

    /// The records at many positions, with many reads on their way: an iterator that gives each
    /// record, or why it cannot be had, in the order asked. For scattered reads of what is not in
    /// memory any more, which need depth: one at a time, a disk does a fraction of what it can.
    ///
    /// Each answer is of its own; an error concerns that one position. Durable records only,
    /// always past the page cache, 32 reads at once: [`Log::read_many_with`] has it otherwise.
    /// A record of a batch costs reading its batch, whose checksum it is that vouches for it.
    /// Memory comes from [the log's budget](LogOptions::read_buffer_bytes).
    ///
    /// The iterator blocks while it waits for the disk; there is no other form.
    ///
    /// ```
    /// use ringbolt::{ErrorKind, Log};
    /// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-many-{}", std::process::id()));
    /// let log = Log::open(&dir)?;
    /// let mut index = Vec::new(); // of an embedder's own making
    /// for word in ["zero", "one", "two", "three"] {
    ///     index.push(log.append(word.as_bytes())?.position());
    /// }
    /// log.flush()?;
    /// log.trim(index[1])?;
    ///
    /// let wanted = [index[3], index[0], index[2]];
    /// for (position, answer) in wanted.iter().zip(log.read_many(wanted)) {
    ///     match answer {
    ///         Ok(record) => println!("{position}: {:?}", record.payload()),
    ///         Err(error) => assert_eq!(error.kind(), ErrorKind::Trimmed),
    ///     }
    /// }
    /// # log.close()?;
    /// # std::fs::remove_dir_all(&dir).ok();
    /// # Ok::<(), ringbolt::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Of each answer:
    ///
    /// - [`ErrorKind::NoRecord`]: no record begins there.
    /// - [`ErrorKind::Trimmed`], [`ErrorKind::Cut`]: the record is gone.
    /// - [`ErrorKind::WouldBlock`]: it is not visible yet.
    /// - [`ErrorKind::Damaged`]: an acknowledged record fails its checksum; the error's position
    ///   says which: the one asked for, or one before it that hides where records begin.
    /// - [`ErrorKind::Io`]: the file could not be read.
    /// - [`ErrorKind::Closed`], or what made the log fail: it will not become visible.
    /// - [`ErrorKind::Forked`]: this is a forked child.
    pub fn read_many<P>(&self, positions: P) -> ReadMany<P::IntoIter>
    where
        P: IntoIterator<Item = Position>,
    {
        self.read_many_with(positions, &ReadOptions::new())
    }

    /// The same with other options: which records are [visible](ReadOptions::visibility), how many
    /// reads are on their way ([depth](ReadOptions::depth)), and how much memory the records may
    /// [keep](ReadOptions::shared_bytes).
    ///
    /// # Errors
    ///
    /// Those of [`Log::read_many`].
    pub fn read_many_with<P>(&self, positions: P, options: &ReadOptions) -> ReadMany<P::IntoIter>
    where
        P: IntoIterator<Item = Position>,
    {
        ReadMany::new(Arc::clone(self.core()), positions.into_iter(), options)
    }

    /// Waits until everything that was claimed before this call is on disk, whatever the log's
    /// [`Durability`], and returns up to where that is.
    ///
    /// # Errors
    ///
    /// What made the log fail or close.
    pub fn flush(&self) -> Result<Position> {
        self.check_failure()?;
        self.durable().wait_for(self.end())
    }

    /// The same, awaited.
    ///
    /// # Errors
    ///
    /// Those of [`Log::flush`].
    pub async fn flush_async(&self) -> Result<Position> {
        self.check_failure()?;
        self.durable().reached(self.end()).await
    }

    /// Whether the log is open.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_failure()?;
        let core = self.core();
        if core.is_finished() {
            return Err(core.closed_error());
        }
        Ok(())
    }

    /// A log that failed says so, even where nothing is left to be brought to disk.
    fn check_failure(&self) -> Result<()> {
        self.check_fork()?;
        self.core()
            .failure()
            .map_or(Ok(()), |error| Err(error.clone()))
    }

    /// A forked child has copies of everything but the engine.
    fn check_fork(&self) -> Result<()> {
        let core = self.core();
        if core.is_forked() {
            return Err(core.refused(tail::Refusal::Forked));
        }
        Ok(())
    }

    /// Up to where the log is on disk, as a value to watch.
    #[must_use]
    pub fn durable(&self) -> Durable {
        Durable::new(Arc::clone(self.core()))
    }

    /// Where the log begins: what lies before was trimmed.
    #[must_use]
    pub fn start(&self) -> Position {
        self.core().start()
    }

    /// Up to where the log is claimed: where the next record will lie, or a little before.
    #[must_use]
    pub fn end(&self) -> Position {
        watch::end(self.core())
    }

    /// Moves the gate up to which readers of [gated](crate::Visibility::Gated) visibility see. It
    /// may move back, too: what they have not read yet is hidden again.
    pub fn set_gate(&self, position: Position) {
        self.core().set_gate(position);
    }

    /// Drops everything before `position`, which must be on disk already, and waits until that is
    /// durable. Space is freed by whole segments. Returns where the log now begins, which is before
    /// `position` where a [pin](Log::pin_segment) is in the way.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] beyond what is on disk, or what made the log fail or close.
    pub fn trim(&self, position: Position) -> Result<Position> {
        self.ask(|reply| Request::Trim(position, reply))
    }

    /// The segments that nothing is written to any more, oldest first.
    #[must_use]
    pub fn sealed_segments(&self) -> Vec<SealedSegment> {
        let core = self.core();
        let segments = core.segments.read();
        let sealed = |segment| SealedSegment::of(&core.path, segment);
        segments
            .list
            .iter()
            .filter_map(|segment| sealed(segment))
            .collect()
    }

    /// Keeps the segment with this ordinal, which is the first half of its positions, and all behind it,
    /// for as long as the pin lives: a trim goes no further, and on by itself when the pin has gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Trimmed`] for one that is gone, or about to go: the error says where the log begins;
    /// [`ErrorKind::Invalid`] for one that is not there yet; what made the log fail or close.
    pub fn pin_segment(&self, ordinal: u64) -> Result<SegmentPin> {
        self.check_open()?;
        SegmentPin::of(self.core(), Some(ordinal))
    }

    /// Cuts off everything from `position` on, durably: it never comes back. Appends wait
    /// meanwhile; a claim that is held open holds it up. Tickets whose records are cut before they
    /// were acknowledged resolve as [`ErrorKind::Cut`]. Returns where the log goes on: a new
    /// segment's begin, since positions are never used twice.
    ///
    /// `position` must be where a record begins, or the end of the log. Of a batch only the first
    /// record will do: the batch stands or falls as one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRecord`], [`ErrorKind::Trimmed`], [`ErrorKind::Full`] (nothing was cut), or
    /// what made the log fail.
    pub fn truncate(&self, position: Position) -> Result<Position> {
        let place = read::frame_at(self.core(), position);
        let frame = match place {
            // Others may be about to commit it: by then everything before it is on disk.
            Err(error) if error.kind() == ErrorKind::NoRecord => {
                self.durable().wait_for(self.end())?;
                read::frame_at(self.core(), position)?
            }
            place => place?,
        };
        self.ask(|reply| {
            Request::Truncate(
                Cut {
                    record: position,
                    frame,
                },
                reply,
            )
        })
    }

    /// [`Log::trim`], awaited. Dropped before it is done, the future leaves the trim to go on.
    ///
    /// # Errors
    ///
    /// Those of [`Log::trim`].
    pub async fn trim_async(&self, position: Position) -> Result<Position> {
        self.ask_async(|reply| Request::Trim(position, reply)).await
    }

    /// [`Log::truncate`], awaited. Dropped before it is done, the future leaves the truncation to
    /// go on.
    ///
    /// # Errors
    ///
    /// Those of [`Log::truncate`].
    pub async fn truncate_async(&self, position: Position) -> Result<Position> {
        let place = read::frame_at(self.core(), position);
        let frame = match place {
            Err(error) if error.kind() == ErrorKind::NoRecord => {
                self.durable().reached(self.end()).await?;
                read::frame_at(self.core(), position)?
            }
            place => place?,
        };
        self.ask_async(|reply| {
            Request::Truncate(
                Cut {
                    record: position,
                    frame,
                },
                reply,
            )
        })
        .await
    }

    fn ask(&self, request: impl FnOnce(Reply) -> Request) -> Result<Position> {
        let reply = Reply::new();
        let answer = match self.send(request(reply.clone()), &reply) {
            Some(answer) => answer,
            None => reply.wait(),
        };
        answer.map_err(|error| error.or_at_path(&self.core().path))
    }

    async fn ask_async(&self, request: impl FnOnce(Reply) -> Request) -> Result<Position> {
        let reply = Reply::new();
        let answer = match self.send(request(reply.clone()), &reply) {
            Some(answer) => answer,
            None => reply.0.waiters.wait_async(0, || reply.get()).await,
        };
        answer.map_err(|error| error.or_at_path(&self.core().path))
    }

    /// Hands a request to the persister; an answer, if there is one at once.
    fn send(&self, request: Request, reply: &Reply) -> Option<Result<Position>> {
        let core = self.core();
        if core.is_forked() {
            return Some(Err(core.refused(tail::Refusal::Forked)));
        }
        core.request(request);
        // The persister may have gone before it saw the request; then nobody answers it.
        core.is_finished().then(|| {
            let error = core.failure().cloned();
            let error = error.unwrap_or_else(|| core.closed_error());
            reply.get().unwrap_or(Err(error))
        })
    }

    /// What the log counts, and how it stands.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let core = self.core();
        let counters = &core.counters;
        // Never asked for while the segments are held: who pins has them the other way round.
        let (pins, asked) = (core.pins.len(), core.pins.asked().segment());
        let segments = core.segments.read();
        let images = segments
            .list
            .iter()
            .filter(|s| s.image.lock().is_some())
            .count();
        let pinned = core.start().segment()..asked;
        let pinned = segments
            .list
            .iter()
            .filter(|s| pinned.contains(&s.ordinal()));
        let pinned_bytes = pinned.map(|s| s.header.segment_bytes).sum();
        let stuck = counters.stuck_since_ns.load(Relaxed);
        let oldest_claim = (stuck != 0).then(|| {
            Duration::from_nanos(
                self.0
                    .engine
                    .disk()
                    .now_monotonic_ns()
                    .saturating_sub(stuck),
            )
        });
        Stats {
            start: core.start(),
            durable: core.durable(),
            claimed: self.end(),
            records: counters.records.load(Relaxed),
            payload_bytes: counters.payload_bytes.load(Relaxed),
            writes: counters.writes.load(Relaxed),
            written_bytes: counters.written_bytes.load(Relaxed),
            removals_failed: counters.removals_failed.load(Relaxed),
            filled_bytes: counters.filled_bytes.load(Relaxed),
            checkpoints: counters.checkpoints.load(Relaxed),
            rollovers: counters.rollovers.load(Relaxed),
            recycled: counters.recycled.load(Relaxed),
            blocked: counters.blocked.load(Relaxed),
            oldest_claim,
            segments: segments.list.len(),
            images,
            pins,
            pinned_bytes,
            access: core.access.clone(),
            rung: self.0.engine.rung(),
        }
    }

    /// Closes the log: refuses new appends, brings everything to disk, marks it as cleanly closed,
    /// gives the lock back. Other handles then get [`ErrorKind::Closed`]; readers can drain.
    ///
    /// # Errors
    ///
    /// What made the log fail. Closing a closed log is no error.
    pub fn close(&self) -> Result<()> {
        self.check_fork()?;
        let core = self.core();
        core.request(Request::Close);
        core.durable_waiters
            .wait(u64::MAX - 2, None, || core.is_finished().then_some(()));
        core.failure().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The same, awaited.
    ///
    /// # Errors
    ///
    /// Those of [`Log::close`].
    pub async fn close_async(&self) -> Result<()> {
        self.check_fork()?;
        let core = self.core();
        core.request(Request::Close);
        let closed = || core.is_finished().then_some(());
        core.durable_waiters.wait_async(u64::MAX - 2, closed).await;
        core.failure().map_or(Ok(()), |error| Err(error.clone()))
    }
}

#[cfg(ringbolt_loom)]
pub(crate) fn position_for_model(ordinal: u64, offset: u64) -> Position {
    Position::new(ordinal, offset)
}
