//! The reader: an owned place in a log, from which records are lent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::log::core::Core;
use crate::log::position::Position;
use crate::log::read::batch::Batch;
use crate::log::read::cursor::{Cursor, Step, Taken};
use crate::log::read::future::{Next, NextBatch};
use crate::log::read::options::{From, ReadOptions};
use crate::log::read::record::Record;
use crate::log::read::share::Sharing;
use crate::sync::park::spin_until;

/// Reads a log, record by record or in batches. Owned, `Send`, independent of the log's handles:
/// after the log was closed, what is there can still be read. It has one file open at most: that of
/// the segment in which it stands, once that is not in memory any more.
///
/// A reader that is slow holds up nobody. One that falls behind retention gets
/// [`ErrorKind::Trimmed`], one whose place was truncated away [`ErrorKind::Cut`]: the error's
/// [position](Error::position) says where to resume, and the reader does so at the next call.
///
/// ```
/// use ringbolt::{From, Log};
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-reader-{}", std::process::id()));
/// let log = Log::open(&dir)?;
/// log.append_batch(&["one", "two", "three"])?.wait()?;
///
/// let mut reader = log.reader(From::Start)?;
/// assert_eq!(&*reader.next()?, b"one"); // lent, not copied
/// let kept = reader.next()?.share();    // kept beyond the next call
/// for record in &reader.next_batch(100, 1 << 20)? {
///     assert_eq!(&*record, b"three");
/// }
/// assert!(reader.try_next()?.is_none());
/// assert_eq!(kept.payload(), b"two");
/// # log.close()?;
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    pub(super) cursor: Cursor,
    pub(super) sharing: Sharing,
    /// The records of the batch that is lent; kept for its room.
    pub(super) batch: Vec<Taken>,
    spin: Duration,
}

impl Reader {
    pub(crate) fn open(core: Arc<Core>, from: From, options: ReadOptions) -> Result<Self> {
        let visibility = options.visibility.unwrap_or(core.options.visibility);
        let mut cursor = Cursor::new(core, visibility, options.cold);
        cursor.place(from)?;
        Ok(Self {
            cursor,
            sharing: Sharing::new(options.shared_bytes),
            batch: Vec::new(),
            spin: options.spin,
        })
    }

    /// The next record's position, or a place before it that is not behind any other record.
    #[must_use]
    pub fn position(&self) -> Position {
        self.cursor.position
    }

    /// Moves to another place. On an error the reader stays where it was, but for
    /// [`ErrorKind::Trimmed`] and [`ErrorKind::Cut`], after which it stands where the error says.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRecord`] where no record begins, [`ErrorKind::Trimmed`],
    /// [`ErrorKind::Cut`], [`ErrorKind::Io`], [`ErrorKind::Damaged`].
    pub fn seek(&mut self, from: From) -> Result<()> {
        self.cursor.place(from)
    }

    /// The next record, if it is there. From memory wait-free; a sealed segment waits for the disk.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::next`].
    #[inline]
    pub fn try_next(&mut self) -> Result<Option<Record<'_>>> {
        match self.cursor.poll()? {
            Step::Ready => Ok(Some(self.lend())),
            Step::Wait(_) => {
                self.cursor.pause();
                Ok(None)
            }
        }
    }

    /// The next record, waiting for it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Closed`]: the log was closed, and all that was visible has been read.
    /// - [`ErrorKind::Trimmed`], [`ErrorKind::Cut`]: the place is gone; the next call goes on
    ///   where the error says.
    /// - [`ErrorKind::Damaged`]: an acknowledged record fails its checksum. The reader stays
    ///   before it.
    /// - [`ErrorKind::Io`]: a file could not be read: ask again, or give up. Or the log failed,
    ///   and all that was visible has been read. [`Error::is_fatal`] tells them apart.
    /// - [`ErrorKind::Forked`]: this is a forked child of the process that made the reader.
    #[allow(clippy::should_implement_trait)] // a record is lent: no iterator can do that
    pub fn next(&mut self) -> Result<Record<'_>> {
        self.wait(None)?;
        Ok(self.lend())
    }

    /// The next record, waiting for it until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::next`], and [`ErrorKind::TimedOut`].
    pub fn next_deadline(&mut self, deadline: Instant) -> Result<Record<'_>> {
        self.wait(Some(deadline))?;
        Ok(self.lend())
    }

    /// The next record, awaited. Dropping the future loses nothing.
    ///
    /// Waiting for a record blocks no thread. Reading a sealed segment that is not in memory any
    /// more waits for the disk within `poll`: a reader far behind belongs on a thread that may.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::next`].
    pub fn next_async(&mut self) -> Next<'_> {
        Next::new(self)
    }

    /// The records that are there, at most so many of them and so many bytes of payload, waiting
    /// for the first. That one always comes, however large it is.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::next`], and [`ErrorKind::Invalid`] for no records.
    pub fn next_batch(&mut self, max_records: usize, max_bytes: usize) -> Result<Batch<'_>> {
        self.check_batch(max_records)?;
        self.wait(None)?;
        Ok(self.lend_batch(max_records, max_bytes))
    }

    /// The same, if there is a record now.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::next_batch`].
    pub fn try_next_batch(
        &mut self,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Option<Batch<'_>>> {
        self.check_batch(max_records)?;
        match self.cursor.poll()? {
            Step::Ready => Ok(Some(self.lend_batch(max_records, max_bytes))),
            Step::Wait(_) => {
                self.cursor.pause();
                Ok(None)
            }
        }
    }

    /// The same, waiting for the first until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::next_batch`], and [`ErrorKind::TimedOut`].
    pub fn next_batch_deadline(
        &mut self,
        max_records: usize,
        max_bytes: usize,
        deadline: Instant,
    ) -> Result<Batch<'_>> {
        self.check_batch(max_records)?;
        self.wait(Some(deadline))?;
        Ok(self.lend_batch(max_records, max_bytes))
    }

    /// The same, awaiting the first. Dropping the future loses nothing; what [`Reader::next_async`]
    /// says of sealed segments holds here, too.
    ///
    /// ```
    /// # async fn consume(mut reader: ringbolt::Reader) -> ringbolt::Result<()> {
    /// loop {
    ///     let batch = reader.next_batch_async(1000, 1 << 20).await?;
    ///     for record in &batch {
    ///         println!("{} {:?}", record.position(), record.payload());
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Reader::next_batch`].
    pub fn next_batch_async(&mut self, max_records: usize, max_bytes: usize) -> NextBatch<'_> {
        NextBatch::new(self, max_records, max_bytes)
    }

    pub(super) fn check_batch(&self, max_records: usize) -> Result<()> {
        if max_records == 0 {
            return Err(Error::new(ErrorKind::Invalid, "a batch of no records")
                .at_path(&self.cursor.core.path)
                .remedy("ask for at least one"));
        }
        Ok(())
    }

    /// Lends the record that a step brought to hand.
    #[inline]
    pub(super) fn lend(&mut self) -> Record<'_> {
        let taken = self.cursor.take();
        Record::alone(self, taken)
    }

    pub(super) fn lend_batch(&mut self, max_records: usize, max_bytes: usize) -> Batch<'_> {
        self.batch.clear();
        let mut bytes = 0usize;
        loop {
            let len = self.cursor.next_bytes();
            if !self.batch.is_empty() && bytes.saturating_add(len) > max_bytes {
                break;
            }
            bytes = bytes.saturating_add(len);
            self.batch.push(self.cursor.take());
            if self.batch.len() >= max_records || !self.cursor.has_more() {
                break;
            }
        }
        Batch::new(self)
    }

    /// Blocks until a record is at hand.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<()> {
        if let Step::Ready = self.cursor.poll()? {
            return Ok(());
        }
        if !self.spin.is_zero() {
            let cursor = &mut self.cursor;
            let found = spin_until(self.spin, deadline, 1, || match cursor.poll() {
                Ok(Step::Ready) => Some(Ok(())),
                Ok(Step::Wait(_)) => None,
                Err(error) => Some(Err(error)),
            });
            if let Some(found) = found {
                return found;
            }
        }
        self.park(deadline)
    }

    fn park(&mut self, deadline: Option<Instant>) -> Result<()> {
        let core = Arc::clone(&self.cursor.core);
        loop {
            let Step::Wait(need) = self.cursor.poll()? else {
                return Ok(());
            };
            let cursor = &mut self.cursor;
            let woken = need
                .waiters(&core)
                .wait(need.value, deadline, || match cursor.poll() {
                    // Nothing is pinned while the thread sleeps.
                    Ok(Step::Wait(same)) if same == need => {
                        cursor.pause();
                        None
                    }
                    // There is a record, or something else to wait for.
                    Ok(_) => Some(Ok(())),
                    Err(error) => Some(Err(error)),
                });
            match woken {
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(error),
                None => {
                    return Err(Error::new(ErrorKind::TimedOut, "no record came")
                        .at_path(&core.path)
                        .at_position(self.cursor.position)
                        .remedy("nothing was lost: ask again, or give it longer"));
                }
            }
        }
    }
}
