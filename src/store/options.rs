//! How a store is opened, and what a stream is set to.

use std::path::Path;
use std::time::Duration;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::log::{LogOptions, SealedSegment};
use crate::store::Store;
use crate::store::config::{OPAQUE_BYTES_MAX, StreamConfig};

/// Options for opening a store.
///
/// ```
/// use ringbolt::LogOptions;
/// use ringbolt::store::StoreOptions;
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-store-options-{}", std::process::id()));
/// let store = StoreOptions::new()
///     .log(LogOptions::new().segment_bytes(1 << 20))
///     .open(&dir)?;
/// # store.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub(crate) log: LogOptions,
    pub(crate) time_step_ns: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl StoreOptions {
    /// The defaults: those of the log, and the time told each second.
    #[must_use]
    pub fn new() -> Self {
        Self {
            log: LogOptions::default(),
            time_step_ns: 1_000_000_000,
        }
    }

    /// How often the store writes the time into its log at most: that is how exact ages are, of what is
    /// young. It takes a record of 24 bytes, while others come or something grows too old.
    ///
    /// What is old goes by the time of the wall clock when that was written. If it is set back, no time
    /// passes until it has caught up.
    #[must_use]
    pub fn time_step(mut self, step: Duration) -> Self {
        self.time_step_ns = nanoseconds(step);
        self
    }

    /// The options of the store's log: segments, memory, how much may be on its way to the disk. What
    /// the log itself would retain is refused: streams retain.
    #[must_use]
    pub fn log(mut self, options: LogOptions) -> Self {
        self.log = options;
        self
    }

    /// Calls `hook` for each segment of the store's log that was sealed; see [`LogOptions::on_seal`].
    #[must_use]
    pub fn on_seal(mut self, hook: impl Fn(&SealedSegment) + Send + Sync + 'static) -> Self {
        self.log = self.log.on_seal(hook);
        self
    }

    /// Opens the store in `dir` with an engine of its own, making it where there is none.
    ///
    /// # Errors
    ///
    /// See [`StoreOptions::open_on`].
    pub fn open(&self, dir: impl AsRef<Path>) -> Result<Store> {
        self.open_on(&Engine::builder().start()?, dir)
    }

    /// Opens the store in `dir` on `engine`, making it where there is none.
    ///
    /// # Errors
    ///
    /// Those of [`LogOptions::open_on`]; [`ErrorKind::NotAStore`] for a log without streams,
    /// [`ErrorKind::Version`] for a store that follows other rules than this library.
    pub fn open_on(&self, engine: &Engine, dir: impl AsRef<Path>) -> Result<Store> {
        if self.log.retain_bytes.is_some() || self.log.retain_age.is_some() {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the log of a store cannot drop segments by itself",
            )
            .remedy("set what each stream retains"));
        }
        Store::open_with(engine, dir.as_ref(), self)
    }
}

/// What a stream is set to.
#[derive(Debug, Clone, Default)]
pub struct StreamOptions {
    config: StreamConfig,
    first_offset: u64,
}

impl StreamOptions {
    /// The defaults: the first offset is 0, everything is kept, 1,000 producers and 10,000 message
    /// ids are remembered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The offset that the stream begins with.
    #[must_use]
    pub fn begin_at(mut self, offset: u64) -> Self {
        self.first_offset = offset;
        self
    }

    /// How many bytes its records' payloads may take; beyond, appends are refused as
    /// [`ErrorKind::Full`].
    #[must_use]
    pub fn quota_bytes(mut self, bytes: u64) -> Self {
        self.config.quota_bytes = bytes;
        self
    }

    /// The oldest records go when the rest still has so many bytes: of what was written lately one by
    /// one, of the rest by segments of the log.
    ///
    /// Nothing goes by this or by [age](Self::retain_age) that a cursor which
    /// [holds](crate::store::Stream::hold) has before it.
    #[must_use]
    pub fn retain_bytes(mut self, bytes: u64) -> Self {
        self.config.retain_bytes = bytes;
        self
    }

    /// Records go when they were written so long ago: never earlier, and later by a part of the age and
    /// by a segment of the log. What times they were given does not matter.
    #[must_use]
    pub fn retain_age(mut self, age: Duration) -> Self {
        self.config.retain_age_ns = nanoseconds(age);
        self
    }

    /// Records go as soon as all cursors that [hold](crate::store::Stream::hold) have passed them; all
    /// stay while there is none.
    #[must_use]
    pub fn retain_unacknowledged(mut self) -> Self {
        self.config.retain_unacknowledged = true;
        self
    }

    /// Of records with the same [key](crate::store::NewRecord::key) only the latest is sure to be kept: the
    /// others go, some time after a later one lies in a segment that was left. Those without a key stay.
    /// An empty payload is as good as any.
    #[must_use]
    pub fn latest_by_key(mut self) -> Self {
        self.config.latest_by_key = true;
        self
    }

    /// How long a cursor is remembered that nobody moves, one that holds, too. Without end by default.
    #[must_use]
    pub fn cursors_expire(mut self, age: Duration) -> Self {
        self.config.cursor_age_ns = nanoseconds(age);
        self
    }

    /// How long a producer is remembered that sends nothing. Without end by default.
    #[must_use]
    pub fn producers_expire(mut self, age: Duration) -> Self {
        self.config.producer_age_ns = nanoseconds(age);
        self
    }

    /// How many producers are remembered: beyond, whoever was silent for longest is forgotten.
    #[must_use]
    pub fn producers_max(mut self, count: u32) -> Self {
        self.config.producers_max = count;
        self
    }

    /// How many message ids are remembered, and for how long at most.
    #[must_use]
    pub fn message_ids(mut self, count_max: u32, window: Duration) -> Self {
        self.config.messages_max = count_max;
        self.config.message_window_ns = nanoseconds(window);
        self
    }

    /// An opaque configuration of the embedder's own, of up to 4 KiB.
    #[must_use]
    pub fn opaque(mut self, bytes: impl Into<Box<[u8]>>) -> Self {
        self.config.opaque = bytes.into();
        self
    }

    pub(crate) fn first_offset(&self) -> u64 {
        self.first_offset
    }

    pub(crate) fn config(&self) -> Result<&StreamConfig> {
        if self.config.opaque.len() > OPAQUE_BYTES_MAX {
            let what = format!(
                "an opaque configuration of {} bytes",
                self.config.opaque.len()
            );
            return Err(Error::new(ErrorKind::Invalid, what).remedy("keep to 4 KiB"));
        }
        Ok(&self.config)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
