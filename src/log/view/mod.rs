//! A log seen from outside: by another process, or beside the log in the same one.
//!
//! A [`LogView`] writes nothing; a writer may append, roll over, trim and truncate meanwhile. It
//! maps nothing and believes only what is proven to be on disk: what a footer seals, what a later
//! epoch builds on, and what a checkpoint's watermark covers. All that lies behind the newest
//! watermark is *not yet*, whatever its bytes are; what lies before it and fails its checksum is
//! damage. A record is seen some milliseconds after it is durable, when the next checkpoint is.
//!
//! Behind a writer that was killed no next checkpoint comes. So where records lie beyond the newest
//! watermark, the view tries the log's lock, once and shared. If no writer holds it, nor writes of
//! a dead one that are still in flight, the view syncs the segments that are not sealed and reads
//! them as recovery does, and believes all that recovery keeps: whoever opens the log next can only
//! keep the same, since what was seen is synced and sound. The lock is held for this look alone,
//! which a writer that opens meanwhile waits out (one that opens with no lock timeout at all may be
//! refused). Where there is no lock file, or this user may not read it, the view stays with what is
//! attested until a writer has opened the log again.
//!
//! While a segment is read it is locked, shared, so that the writer does not recycle it.
//!
//! The rooms: `chain` knows the segments, `attest` how far they are proven, `place` finds
//! positions, `reader` reads, `changes` waits; `follow` and `lookup` are for who derives something
//! from the log.

mod attest;
mod chain;
mod changes;
mod file;
#[cfg(not(ringbolt_loom))]
mod follow;
#[cfg(not(ringbolt_loom))]
mod lookup;
mod place;
mod reader;
#[cfg(all(test, not(ringbolt_loom)))]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::disk::{Dir, Disk, Real};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::log::open::{Purpose, open_dir};
use crate::log::position::Position;
use crate::log::read::{From, SharedRecord};
use crate::sync::park::Parker;

#[cfg(not(ringbolt_loom))]
pub(crate) use {changes::Changes, follow::ViewFollow, lookup::Lookup};

pub use reader::ViewReader;

/// How often to look again for what is about to be proven.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A record that was read through a view: a copy.
pub type ViewRecord = SharedRecord;

/// A log, seen from outside.
///
/// ```
/// use ringbolt::{From, Log, LogView};
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-view-{}", std::process::id()));
/// let log = Log::open(&dir)?;
/// log.append(b"seen from outside")?.wait()?;
/// log.close()?;
///
/// let view = LogView::open(&dir)?; // this could be another process, and the log still open
/// let mut reader = view.reader(From::Start)?;
/// let record = reader.try_next()?.expect("it is on disk");
/// assert_eq!(record.payload(), b"seen from outside");
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LogView {
    dir: Arc<dyn Dir>,
}

impl LogView {
    /// Opens the log in `dir` for reading only: for every user who may read its files.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotALog`], [`ErrorKind::Symlink`] for what is no log; [`ErrorKind::Version`], [`ErrorKind::UnknownFeature`] for a newer format;
    /// [`ErrorKind::Damaged`] for segments that make no log; [`ErrorKind::Io`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(&Real::probe(), dir)
    }

    /// The same on a disk of the caller's choice.
    ///
    /// # Errors
    ///
    /// Those of [`LogView::open`].
    pub fn open_on(disk: &dyn Disk, dir: impl AsRef<Path>) -> Result<Self> {
        let dir = open_dir(disk, dir.as_ref(), Purpose::Read)?;
        chain::Chain::default().refresh(&*dir)?;
        Ok(Self { dir })
    }

    #[cfg(not(ringbolt_loom))]
    pub(crate) fn dir(&self) -> &Arc<dyn Dir> {
        &self.dir
    }

    /// A reader of its own pace. [`From::End`] is the end of what is proven to be on disk.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRecord`] where no record begins, [`ErrorKind::Trimmed`] and
    /// [`ErrorKind::Cut`] for a place that is gone (the error says where to resume), or what kept
    /// the log from being read.
    pub fn reader(&self, from: From) -> Result<ViewReader> {
        ViewReader::open(Arc::clone(&self.dir), from)
    }

    /// Up to where the log is proven to be on disk now.
    ///
    /// # Errors
    ///
    /// What kept the log from being read.
    pub fn end(&self) -> Result<Position> {
        self.end_within(Duration::ZERO)
    }

    /// The same, once all records are proven that lie in the log's files at the first look; waits
    /// for that until `timeout` has passed. Their writer attests them within milliseconds; after a
    /// `kill -9` of it the kernel may have to finish its writes first. So everything that was
    /// acknowledged before this call lies before the position that is returned in time.
    ///
    /// # Errors
    ///
    /// What kept the log from being read.
    pub fn end_within(&self, timeout: Duration) -> Result<Position> {
        let deadline = Instant::now().checked_add(timeout);
        let mut chain = chain::Chain::default();
        chain.refresh(&*self.dir)?;
        let mut attest = attest::Attest::new(&*self.dir, &chain)?;
        attest.advance(&*self.dir, &mut chain)?;
        let written = attest.written();
        // What was cut off meanwhile is not waited for.
        while attest.watermark() < written.min(attest.written()) && attest.damage().is_none() {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                break;
            }
            Parker::new().park(now.checked_add(LOOK_AGAIN));
            chain.refresh(&*self.dir)?;
            attest.advance(&*self.dir, &mut chain)?;
        }
        Ok(attest.watermark())
    }
}
