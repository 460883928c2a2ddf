//! Where reading begins, and how it is done.

use std::time::{Duration, SystemTime};

use crate::log::position::Position;

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum From {
    /// At the oldest record that was not trimmed.
    Start,
    /// Behind the newest record that is visible now.
    End,
    /// At the record that lies there. The end of the log, and where the next segment goes on, are
    /// positions, too.
    Position(Position),
    /// At the first record that was committed at or after this time, or a little before it: the
    /// log knows the time of groups of records, by the wall clock of the time.
    Time(SystemTime),
}

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Visibility {
    /// Those that are on disk: nothing that is seen can be lost.
    #[default]
    Durable,
    /// Those that are committed: sooner, but a crash may take back what was seen.
    Committed,
    /// Those that are committed and lie before the gate, which the embedder moves
    /// ([`Log::set_gate`](crate::Log::set_gate)): a replicated log's high watermark.
    Gated,
}

/// How sealed segments are read that are not in memory any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Cold {
    /// Through a shared mapping. A disk that fails is an error, but for one case: a page that was
    /// read, was evicted, and cannot be read again is reported by the kernel as a signal, SIGBUS.
    #[default]
    Mapped,
    /// Into buffers, past the page cache; every failure of the disk is an error. While a reader
    /// moves forward, up to four windows of up to 1 MiB are on their way (through io_uring where
    /// that is to be had), within [the log's budget](crate::LogOptions::read_buffer_bytes). Moving
    /// elsewhere, and dropping the reader, wait for them: a few reads of the disk.
    Direct,
}

/// Options of a reader.
///
/// ```
/// use std::time::Duration;
/// use ringbolt::{Cold, ReadOptions, Visibility};
///
/// let options = ReadOptions::new()
///     .visibility(Visibility::Committed)
///     .cold(Cold::Direct)
///     .spin(Duration::from_micros(20));
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Without it, the log's.
    pub(super) visibility: Option<Visibility>,
    pub(super) cold: Cold,
    pub(super) spin: Duration,
    pub(super) shared_bytes: u64,
    pub(super) depth: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ReadOptions {
    /// The defaults: records of the log's visibility, mapped segments, no spinning.
    #[must_use]
    pub fn new() -> Self {
        Self {
            visibility: None,
            cold: Cold::default(),
            spin: Duration::ZERO,
            shared_bytes: 256 << 20,
            depth: 32,
        }
    }

    /// Which records the reader sees. Default: what
    /// [`LogOptions::visibility`](crate::LogOptions::visibility) says.
    #[must_use]
    pub fn visibility(mut self, visibility: Visibility) -> Self {
        self.visibility = Some(visibility);
        self
    }

    /// How sealed segments are read.
    #[must_use]
    pub fn cold(mut self, cold: Cold) -> Self {
        self.cold = cold;
        self
    }

    /// How long a blocking call spins before it sleeps: the processor's time for the wake-up's
    /// latency. Default: not at all.
    #[must_use]
    pub fn spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// How many reads [`Log::read_many`](crate::Log::read_many) keeps on their way at once: from 1
    /// to 64. Default: 32.
    #[must_use]
    pub fn depth(mut self, reads: usize) -> Self {
        self.depth = reads;
        self
    }

    /// How much memory this reader's [shared records](crate::SharedRecord) may keep, in bytes of
    /// segments and buffers, before sharing copies instead. Small records are always copied.
    /// Default: 256 MiB.
    #[must_use]
    pub fn shared_bytes(mut self, bytes: u64) -> Self {
        self.shared_bytes = bytes;
        self
    }
}
