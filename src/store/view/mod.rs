//! A store seen from outside: by another process, or beside the store in the same one.
//!
//! A [`StoreView`] writes nothing and locks nobody out. It loads the newest snapshot, and runs the store's
//! own pass over what comes behind, as far as a [`LogView`] finds it proven to be on disk: so it derives what
//! the store derives, only later. Where records lie is taken from the indexes on disk; the view keeps
//! those alone that are not there yet.
//!
//! Whatever it looks for may vanish meanwhile: segments are trimmed, and their indexes with them. Then the
//! view takes in what came since, which says where things are now, and looks again. One that fell behind the
//! log's start begins anew at a snapshot.
//!
//! The rooms: `seen` is what was derived so far, `reader` reads a stream.

mod reader;
mod seen;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::{Disk, Real};
use crate::error::{ErrorKind, Result};
use crate::log::{LogView, Position};
use crate::store::KeyValue;
use crate::store::info::{CursorInfo, StreamInfo, cursor_of, stream_info};
use crate::store::read::ReadFrom;
use crate::sync::lock::Mutex;

pub use reader::ViewReader;

use seen::Seen;

/// A store, seen from outside; cheap to clone, to be used from any thread.
///
/// All but [`StoreView::refresh`] and the readers tell how things were when it was refreshed last, by anybody.
/// Calls that refresh it wait for each other, and for the disk.
///
/// ```
/// use ringbolt::store::{ReadFrom, Store, StoreView, StreamOptions};
/// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-store-view-{}", std::process::id()));
/// let store = Store::open(&dir)?;
/// let orders = store.create("orders", &StreamOptions::new())?;
/// orders.append(b"two anvils")?.wait()?;
/// store.close()?;
///
/// let view = StoreView::open(&dir)?; // this could be another process, and the store still open
/// assert_eq!(view.describe("orders")?.next, 1);
/// let mut reader = view.reader("orders", ReadFrom::Earliest)?;
/// assert_eq!(reader.next()?.payload(), b"two anvils");
/// # std::fs::remove_dir_all(&dir).ok();
/// # Ok::<(), ringbolt::Error>(())
/// ```
#[derive(Clone)]
pub struct StoreView(Arc<Inner>);

struct Inner {
    log: LogView,
    seen: Mutex<Seen>,
}

impl StoreView {
    /// Opens the store in `dir` for reading only, for every user who may read its files, and takes in what
    /// there is.
    ///
    /// # Errors
    ///
    /// Those of [`LogView::open`]; [`ErrorKind::NotAStore`] for a log without streams,
    /// [`ErrorKind::Version`] where other rules made the store, [`ErrorKind::Damaged`] where no snapshot is
    /// sound and the log's begin is gone. Damage behind which nothing can be taken in is told by
    /// [`StoreView::refresh`], and by readers that come to it.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(&Real::probe(), dir)
    }

    /// The same on a disk of the caller's choice.
    ///
    /// # Errors
    ///
    /// Those of [`StoreView::open`].
    pub fn open_on(disk: &dyn Disk, dir: impl AsRef<Path>) -> Result<Self> {
        let log = LogView::open_on(disk, dir)?;
        let mut seen = Seen::begin(&log)?;
        match seen.refresh(&log) {
            Err(error) if !matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Cut) => {
                return Err(error);
            }
            _ => {}
        }
        let seen = Mutex::new(seen);
        Ok(Self(Arc::new(Inner { log, seen })))
    }

    /// Takes in what came since, as far as it is proven to be on disk. Returns up to where.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Cut`]: what had been taken in was cut off, as a repair does it. The view has begun anew.
    /// - [`ErrorKind::Damaged`]: what comes next cannot be read. What came before was taken in.
    /// - [`ErrorKind::Io`]: ask again, or give up.
    pub fn refresh(&self) -> Result<Position> {
        let mut seen = self.0.seen.lock();
        seen.refresh(&self.0.log)?;
        Ok(seen.applied())
    }

    /// The same, once all is proven that lies in the log's files at the first look; waits for that until
    /// `timeout` has passed. See [`LogView::end_within`].
    ///
    /// # Errors
    ///
    /// Those of [`StoreView::refresh`].
    pub fn refresh_within(&self, timeout: Duration) -> Result<Position> {
        self.0.log.end_within(timeout)?;
        self.refresh()
    }

    /// Up to where it was taken in.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.0.seen.lock().applied()
    }

    /// Up to `max` streams whose names begin with `prefix`, in order, the first behind `after`.
    #[must_use]
    pub fn streams(&self, prefix: &str, after: Option<&str>, max: usize) -> Vec<StreamInfo> {
        self.0.seen.lock().shared.streams(prefix, after, max)
    }

    /// How many streams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.seen.lock().shared.state.read().streams_len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the stream of this name stands.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoStream`], [`ErrorKind::Invalid`] for what is no name.
    pub fn describe(&self, name: &str) -> Result<StreamInfo> {
        let seen = self.0.seen.lock();
        seen.stream(name, |_, stream| stream_info(stream))
    }

    /// A group's cursor in the stream of this name.
    ///
    /// # Errors
    ///
    /// Those of [`StoreView::describe`].
    pub fn cursor(&self, name: &str, group: &str) -> Result<Option<CursorInfo>> {
        let seen = self.0.seen.lock();
        seen.stream(name, |_, stream| cursor_of(stream, group))
    }

    /// How far a group has come, in each stream where it has a cursor: the streams' names, in order.
    #[must_use]
    pub fn cursors(&self, group: &str) -> Vec<(String, CursorInfo)> {
        self.0.seen.lock().shared.cursors(group)
    }

    /// A key of the table.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<KeyValue> {
        self.0.seen.lock().shared.get(key)
    }

    /// Up to `max` keys that begin with `prefix`, in order, the first behind `after`.
    #[must_use]
    pub fn scan(&self, prefix: &[u8], after: Option<&[u8]>, max: usize) -> Vec<KeyValue> {
        self.0.seen.lock().shared.scan(prefix, after, max)
    }

    /// A reader of the stream of this name, at its own pace.
    ///
    /// # Errors
    ///
    /// Those of [`StoreView::describe`]; [`ErrorKind::Absent`] for a group without a cursor,
    /// [`ErrorKind::NoOffset`] beyond the end.
    pub fn reader(&self, name: &str, from: ReadFrom<'_>) -> Result<ViewReader> {
        ViewReader::open(self.clone(), name, from)
    }

    /// All that was derived, as text. For tests.
    ///
    /// # Errors
    ///
    /// What keeps the indexes from being read.
    #[cfg(any(test, feature = "sim"))]
    #[doc(hidden)]
    pub fn fingerprint(&self) -> Result<(Position, String)> {
        let seen = self.0.seen.lock();
        let text = seen.look(&self.0.log, |state, known| {
            crate::store::fingerprint(state, known).map(Ok)
        })?;
        Ok((seen.applied(), text))
    }
}

impl std::fmt::Debug for StoreView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreView")
            .field("log", &self.0.log)
            .finish_non_exhaustive()
    }
}
