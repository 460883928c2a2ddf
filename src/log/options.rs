//! How a log is opened, and which of it is kept in the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::log::Log;
use crate::log::core::Segment;
use crate::log::position::Position;
use crate::log::read::Visibility;
use crate::log::segment::{self, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
use crate::log::tail::SLOTS;

/// When a ticket is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the record's bytes are on disk.
    #[default]
    Disk,
    /// When the record is committed in memory; persisting follows at once, without being waited
    /// for. A crash of the process or the machine may lose the newest records.
    Memory,
}

/// How the space of new segments is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preallocation {
    /// By the flow: while the log flows slowly, zeroes are written a little ahead of it, so that
    /// each write finds a written extent; where it writes large groups, near the disk's speed,
    /// space is allocated only.
    #[default]
    Auto,
    /// Each new segment is filled with zeroes while it is made: the steadiest latency, at the price
    /// of writing everything twice.
    Written,
    /// Space is allocated, and nothing is written ahead.
    Unwritten,
}

/// A segment that nothing is written to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedSegment {
    /// The segment's ordinal.
    pub ordinal: u64,
    /// Its file.
    pub path: PathBuf,
    /// The file's length in bytes.
    pub file_bytes: u64,
    /// Where its records begin and end.
    pub positions: std::ops::Range<Position>,
    /// Records in it.
    pub records: u64,
    /// Bytes of their payloads.
    pub payload_bytes: u64,
    /// When its first checkpoint was written that is still known.
    pub first_time: SystemTime,
    /// When its last checkpoint was written.
    pub time: SystemTime,
}

impl SealedSegment {
    /// A segment of the log in `dir`, once its end is known.
    pub(crate) fn of(dir: &Path, segment: &Segment) -> Option<Self> {
        let end = segment.end_bytes().filter(|_| segment.is_sealed())?;
        let summary = segment.summary.lock();
        let times = summary.times.entries();
        let newest = summary.times.newest_unix_ns();
        let newest = newest.unwrap_or(segment.header.created_unix_ns);
        let first = times.first().map_or(newest, |entry| entry.time_unix_ns);
        let time = |unix_ns| SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_ns);
        Some(Self {
            ordinal: segment.ordinal(),
            path: dir.join(segment::file_name(segment.ordinal())),
            file_bytes: segment.header.segment_bytes,
            positions: segment.first()..Position::new(segment.ordinal(), end),
            records: summary.records,
            payload_bytes: summary.payload_bytes,
            first_time: time(first),
            time: time(newest),
        })
    }
}

/// Fewer images than this, and appends would wait for the disk at each segment's end.
pub(crate) const IMAGES_MIN: usize = 3;

pub(crate) type SealHook = Arc<dyn Fn(&SealedSegment) + Send + Sync>;

/// Options for opening a log.
///
/// | option | kept in the log | may change on reopening |
/// | --- | --- | --- |
/// | segment size | in each segment | yes: from the next segment on |
/// | block size (not an option: probed) | yes | no |
/// | all others | no | yes |
///
/// ```
/// use ringbolt::LogOptions;
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-options-{}", std::process::id()));
/// let log = LogOptions::new()
///     .segment_bytes(1 << 20)
///     .retain_bytes(64 << 20)
///     .open(&dir)?;
/// log.append(b"hello")?.wait()?;
/// log.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
#[derive(Clone)]
pub struct LogOptions {
    pub(crate) segment_bytes: u64,
    memory_bytes: Option<u64>,
    unsynced_bytes: Option<u64>,
    pub(crate) read_buffer_bytes: u64,
    pub(crate) durability: Durability,
    pub(crate) visibility: Visibility,
    pub(crate) retain_bytes: Option<u64>,
    pub(crate) retain_age: Option<Duration>,
    pub(crate) preallocation: Preallocation,
    pub(crate) spare_segments: u32,
    pub(crate) stall_limit: Duration,
    pub(crate) lock_timeout: Duration,
    pub(crate) create: bool,
    pub(crate) on_seal: Option<SealHook>,
    /// Of the segments' headers, for a log that is made, and that one that is there must have.
    pub(crate) features: u64,
}

impl std::fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogOptions")
            .field("segment_bytes", &self.segment_bytes)
            .field("memory_bytes", &self.memory_bound())
            .field("unsynced_bytes", &self.unsynced_bound())
            .field("durability", &self.durability)
            .field("visibility", &self.visibility)
            .finish_non_exhaustive()
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl LogOptions {
    /// The defaults: segments of 64 MiB, four of them in memory, durable on disk, kept for ever.
    #[must_use]
    pub fn new() -> Self {
        Self {
            segment_bytes: 64 << 20,
            memory_bytes: None,
            unsynced_bytes: None,
            read_buffer_bytes: 16 << 20,
            durability: Durability::Disk,
            visibility: Visibility::Durable,
            retain_bytes: None,
            retain_age: None,
            preallocation: Preallocation::Auto,
            spare_segments: 4,
            stall_limit: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            create: true,
            on_seal: None,
            features: 0,
        }
    }

    /// The size of new segments in bytes: a power of two from 1 MiB to 1 GiB. A record must fit
    /// into one, with two blocks and 16 bytes to spare.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// The bound on the memory of this log's tail images, in bytes: at least three segments (fewer
    /// are refused), at most 64 count. Default: four segments. One for all logs on an engine is
    /// [`EngineBuilder::memory_bytes`](crate::EngineBuilder::memory_bytes).
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }

    /// The bound on bytes that are claimed and not yet on disk. Appends wait (or fail, or are
    /// awaited) beyond it; set low, it bounds how long a durable append can take. At most the
    /// memory less two segments; default: 16 MiB.
    #[must_use]
    pub fn unsynced_bytes(mut self, bytes: u64) -> Self {
        self.unsynced_bytes = Some(bytes);
        self
    }

    /// The bound on the buffers of direct reads ([`Cold::Direct`](crate::Cold::Direct),
    /// [`Log::read_many`]) that all readers of the log share, in bytes: those in use, and those that
    /// are kept to be used again. When it is used up, each reader still has one window, of up to
    /// 1 MiB or as large as one record needs, and each `read_many` one record; only depth is lost.
    /// What shared records keep counts [elsewhere](crate::ReadOptions::shared_bytes).
    /// Default: 16 MiB; a reader at full depth takes about five.
    #[must_use]
    pub fn read_buffer_bytes(mut self, bytes: u64) -> Self {
        self.read_buffer_bytes = bytes;
        self
    }

    /// When tickets are done.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Which records this log's readers see unless their own
    /// [options](crate::ReadOptions::visibility) say something else. Default: durable ones.
    ///
    /// ```
    /// use ringbolt::{From, LogOptions, Visibility};
    /// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-visible-{}", std::process::id()));
    /// let log = LogOptions::new().visibility(Visibility::Gated).open(&dir)?;
    /// let position = log.append(b"replicated")?.wait()?;
    /// let mut reader = log.reader(From::Start)?;
    /// assert!(reader.try_next()?.is_none());
    /// log.set_gate(log.end()); // a majority has it
    /// assert_eq!(reader.next()?.position(), position);
    /// # log.close()?;
    /// # std::fs::remove_dir_all(&dir).ok();
    /// # Ok::<(), ringbolt::Error>(())
    /// ```
    #[must_use]
    pub fn visibility(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// Drops the oldest sealed segments while the log takes more than so many bytes on disk.
    #[must_use]
    pub fn retain_bytes(mut self, bytes: u64) -> Self {
        self.retain_bytes = Some(bytes);
        self
    }

    /// Drops sealed segments whose newest record is older than this.
    #[must_use]
    pub fn retain_age(mut self, age: Duration) -> Self {
        self.retain_age = Some(age);
        self
    }

    /// How the space of new segments is prepared.
    #[must_use]
    pub fn preallocation(mut self, preallocation: Preallocation) -> Self {
        self.preallocation = preallocation;
        self
    }

    /// How many emptied segments are kept for reuse at most, beside the one that is the ballast of a
    /// full disk. Default: 4.
    #[must_use]
    pub fn spare_segments(mut self, count: u32) -> Self {
        self.spare_segments = count;
        self
    }

    /// After how long an uncommitted claim makes the log fail as stalled. Default: 30 s.
    #[must_use]
    pub fn stall_limit(mut self, limit: Duration) -> Self {
        self.stall_limit = limit;
        self
    }

    /// How long opening waits for another writer to go: after a `kill -9` the kernel may still be
    /// finishing the dead process's writes. Default: 10 s.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Whether a log is made where there is none. Default: yes.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Calls `hook` for each segment that was sealed, in order, on a thread of the engine's that does
    /// nothing else (where the caller [drives](crate::Driver) it, on the caller's): the log does not wait
    /// for it, nor does closing, and a panic in it is contained. What was sealed just before a crash, or
    /// before the process ended, may not be told: [`Log::sealed_segments`] has it after the next opening.
    /// [`Log::pin_segment`] keeps a segment for longer.
    #[must_use]
    pub fn on_seal(mut self, hook: impl Fn(&SealedSegment) + Send + Sync + 'static) -> Self {
        self.on_seal = Some(Arc::new(hook));
        self
    }

    /// Opens the log in `dir` with an engine, and so threads, of its own.
    ///
    /// # Errors
    ///
    /// See [`LogOptions::open_on`].
    pub fn open(&self, dir: impl AsRef<Path>) -> Result<Log> {
        self.open_on(&Engine::builder().start()?, dir)
    }

    /// Opens the log in `dir` on `engine`, making it where there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`] when another writer has it and does not go in time;
    /// [`ErrorKind::NotALog`], [`ErrorKind::Symlink`], [`ErrorKind::NotOwner`] for a directory that
    /// must not be touched; [`ErrorKind::Version`], [`ErrorKind::UnknownFeature`] for a newer
    /// format; [`ErrorKind::Damaged`] when acknowledged data cannot be read: nothing was changed;
    /// [`ErrorKind::OverBudget`] when the engine's [buffer budget](crate::EngineBuilder::memory_bytes)
    /// has not three segments left; [`ErrorKind::Full`], [`ErrorKind::Io`], and
    /// [`ErrorKind::Invalid`] for options that cannot be met.
    pub fn open_on(&self, engine: &Engine, dir: impl AsRef<Path>) -> Result<Log> {
        self.check().map_err(|error| error.at_path(dir.as_ref()))?;
        crate::log::open::open(engine, dir.as_ref(), self, None)
    }

    pub(crate) fn memory_bound(&self) -> u64 {
        self.memory_bytes
            .unwrap_or(self.segment_bytes.saturating_mul(4))
    }

    /// How many images may exist.
    pub(crate) fn images(&self) -> usize {
        let images = self.memory_bound().checked_div(self.segment_bytes);
        images.map_or(0, |images| images.min(SLOTS as u64) as usize)
    }

    /// How many bytes may be claimed and not yet on disk.
    pub(crate) fn unsynced_bound(&self) -> u64 {
        let images = (self.images() as u64).saturating_sub(2).max(1);
        let room = images.saturating_mul(self.segment_bytes);
        self.unsynced_bytes.unwrap_or(16 << 20).min(room).max(8)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        if !self.segment_bytes.is_power_of_two()
            || !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes)
        {
            return invalid(format!(
                "a segment of {} bytes; it must be a power of two from 1 MiB to 1 GiB",
                self.segment_bytes
            ));
        }
        if self.memory_bound() < IMAGES_MIN as u64 * self.segment_bytes {
            return invalid(format!(
                "{} bytes of memory for segments of {}; at least three segments must fit",
                self.memory_bound(),
                self.segment_bytes
            ));
        }
        Ok(())
    }
}
