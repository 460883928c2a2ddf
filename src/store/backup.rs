//! Copies of a store: backups of one that is open, or of one that is not, and back again.
//!
//! A copy is a store with an identity of its own: the original and its copies can grow apart, and
//! no file of one ever counts for the other. Streams, offsets, positions and all else are the same.
//!
//! What is copied is the log from its begin up to a place where a record ends, the indexes, and snapshots
//! from before that place. A snapshot is read before the place is chosen, since it may be replaced by a
//! newer one at any time; the segments stay, pinned.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{Dir, Disk, Real};
use crate::error::{Error, ErrorKind, Result};
use crate::log::Position;
use crate::log::copy::LogCopy;
use crate::log::follow::Anchor;
use crate::log::maintain::members;
use crate::store::evidence::{self, What};
use crate::store::{Store, snapshot};

/// How often snapshots are looked for that are replaced meanwhile.
const TRIES: usize = 100;

/// A copy of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreCopy {
    /// The identity of the copy's log.
    pub log_id: [u8; 16],
    /// That of the log that it was copied from.
    pub origin: [u8; 16],
    /// Everything before was copied.
    pub end: Position,
    /// Segments that were copied.
    pub segments: u64,
    /// Bytes that were written of them.
    pub bytes: u64,
}

impl Store {
    /// Copies the store to the directory `to`, which must be empty or not be there yet, while appends go
    /// on. The copy holds all that was accepted when the call began, and perhaps some of what came
    /// behind, but nothing without all before it. When the call returns, it is on disk. Blocks for as
    /// long as it takes to read and write the log, and takes as much memory as a segment is long.
    ///
    /// Segments are [pinned](Store::pin_segment) meanwhile. A copy that was interrupted is opened by nobody.
    ///
    /// ```
    /// # use ringbolt::store::{Store, StreamOptions};
    /// # let dir = std::env::temp_dir().join(format!("ringbolt-doc-backup-{}", std::process::id()));
    /// # let (dir, to) = (dir.join("store"), dir.join("copy"));
    /// # std::fs::create_dir_all(dir.parent().unwrap())?;
    /// let store = Store::open(&dir)?;
    /// let orders = store.create("orders", &StreamOptions::new())?;
    /// orders.append(b"two anvils")?.wait()?;
    /// store.backup(&to)?;
    /// let copy = Store::open(&to)?; // another store from now on
    /// assert_eq!(copy.stream("orders")?.describe()?.next, 1);
    /// # copy.close()?;
    /// # store.close()?;
    /// # std::fs::remove_dir_all(dir.parent().unwrap()).ok();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a directory that is not empty, or on a file system with larger blocks,
    /// [`ErrorKind::NotALog`] for one with an interrupted copy, [`ErrorKind::Damaged`] where the store
    /// cannot be read, [`ErrorKind::Full`], [`ErrorKind::Io`], and what made the log fail or close.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<StoreCopy> {
        let log = &self.0.log;
        let pin = log.pin_first()?;
        let start = log.stats().start;
        let copy = LogCopy::begin(&**log.disk(), log.dir(), to.as_ref(), start)?;
        let snapshots = Snapshots::read(log.dir(), || log.anchors(pin.ordinal()))?;
        let end = log.end();
        log.durable().wait_for(end)?;
        let anchors = log.anchors_before(end, pin.ordinal());
        copy_all(log.dir(), copy, &anchors, snapshots, end).map_err(|error| {
            // The next opening knows nothing of the pin.
            log.check_open().err().unwrap_or(error)
        })
    }
}

/// Copies the store in `from`, which need not be open, and is not changed, to `to` on this machine's
/// disks: a backup, or its restoration. Another process may have the store open; see [`copy_with`].
///
/// # Errors
///
/// Those of [`copy_with`].
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<StoreCopy> {
    let disk: Arc<dyn Disk> = Arc::new(Real::probe());
    copy_with(&disk, from.as_ref(), to.as_ref())
}

/// Copies the store in `from` to `to`, which must be an empty directory or not be there yet, on `disk`. All
/// that is acknowledged is copied. Beside a process that writes the store, newest records may be that
/// are not on its disk yet; and if it removes what is still to be copied, the copy fails, and is to be made
/// anew, or by [`Store::backup`].
///
/// # Errors
///
/// Those of [`Store::backup`]; [`ErrorKind::NotALog`], [`ErrorKind::NotAStore`], and
/// [`ErrorKind::Trimmed`] where segments went meanwhile.
pub fn copy_with(disk: &Arc<dyn Disk>, from: &Path, to: &Path) -> Result<StoreCopy> {
    let source = members(&**disk, from)?;
    if !source.is_store() {
        return Err(Error::new(ErrorKind::NotAStore, "it is a log without streams").at_path(from));
    }
    let dir = &*source.dir;
    let copy = LogCopy::begin(&**disk, dir, to, source.log_start)?;
    let first = source.anchors.first().map_or(0, |anchor| anchor.ordinal);
    let copied = Snapshots::read(dir, || source.anchors.clone())
        .and_then(|snapshots| copy_all(dir, copy, &source.anchors, snapshots, source.end));
    copied.map_err(|error| {
        let gone = members(&**disk, from).is_ok_and(|now| {
            let now = now.anchors.first();
            now.is_none_or(|now| now.ordinal > first)
        });
        if !gone {
            return error;
        }
        Error::new(ErrorKind::Trimmed, "segments went while they were copied")
            .at_path(from)
            .remedy("copy once more, to another directory, or by who has the store open (`Store::backup`)")
    })
}

/// Snapshots, the newest first.
struct Snapshots(Vec<(Anchor, Vec<u8>)>);

impl Snapshots {
    /// Reads those that an opening would begin at.
    fn read(dir: &dyn Dir, anchors: impl Fn() -> Vec<Anchor>) -> Result<Self> {
        for _ in 0..TRIES {
            let anchors = anchors();
            let mut found = Vec::new();
            for anchor in anchors.iter().rev() {
                if let Some(body) = evidence::read(dir, What::Snapshot, anchor)? {
                    found.push((*anchor, body));
                }
            }
            let needed = anchors.first().is_some_and(|first| !first.is_first);
            if !found.is_empty() || !needed {
                return Ok(Self(found));
            }
        }
        Err(Error::new(ErrorKind::Damaged, evidence::NO_BEGIN).at_path(dir.path()))
    }
}

fn copy_all(
    from: &dyn Dir,
    copy: LogCopy<'_>,
    anchors: &[Anchor],
    snapshots: Snapshots,
    end: Position,
) -> Result<StoreCopy> {
    let newest = snapshots.0.first();
    let state = newest.and_then(|(anchor, body)| Some((anchor.ordinal, snapshot::read(body)?)));
    for anchor in anchors {
        match evidence::read(from, What::Index, anchor)? {
            Some(body) => evidence::write(copy.dir(), What::Index, &copy.anchor(anchor), &body)?,
            // What lies behind the snapshot is gone over again.
            None => {
                let missed = state.as_ref().is_some_and(|(ordinal, state)| {
                    anchor.ordinal <= *ordinal && state.has_left(anchor.ordinal)
                });
                if missed {
                    return Err(evidence::missing(from, anchor.ordinal));
                }
            }
        }
    }
    for (anchor, body) in &snapshots.0 {
        evidence::write(copy.dir(), What::Snapshot, &copy.anchor(anchor), body)?;
    }
    let mut bytes = 0;
    for anchor in anchors {
        bytes += copy.segment(anchor)?;
    }
    let log_id = copy.finish()?;
    Ok(StoreCopy {
        log_id,
        origin: anchors.first().map_or([0; 16], |anchor| anchor.log_id),
        end,
        segments: anchors.len() as u64,
        bytes,
    })
}
