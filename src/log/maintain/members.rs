//! The segments of a log that nobody here has open, for layers above.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{Dir, Disk};
use crate::error::Result;
use crate::log::follow::Anchor;
use crate::log::maintain::no_log;
use crate::log::open::{Purpose, open_dir};
use crate::log::position::Position;
use crate::log::recover::{self, Listing, Mode, Window};
use crate::log::segment::FEATURE_STORE;

/// What a log on disk consists of.
pub(crate) struct Members {
    pub(crate) dir: Arc<dyn Dir>,
    features: u64,
    pub(crate) log_start: Position,
    pub(crate) end: Position,
    /// Oldest first; at least one.
    pub(crate) anchors: Vec<Anchor>,
}

impl Members {
    /// Whether the records are a store's entries.
    pub(crate) fn is_store(&self) -> bool {
        self.features & FEATURE_STORE != 0
    }
}

/// Opens a directory to be read alone.
///
/// # Errors
///
/// [`ErrorKind::NotALog`](crate::ErrorKind::NotALog), [`ErrorKind::Symlink`](crate::ErrorKind::Symlink),
/// [`ErrorKind::Io`](crate::ErrorKind::Io).
pub(crate) fn open_dir_to_read(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn Dir>> {
    open_dir(disk, path, Purpose::Read)
}

/// Looks at the log in `path`, which may be in use.
///
/// # Errors
///
/// Those of [`recover::observe`], and [`ErrorKind::NotALog`](crate::ErrorKind::NotALog).
pub(crate) fn members(disk: &dyn Disk, path: &Path) -> Result<Members> {
    let dir = open_dir_to_read(disk, path)?;
    let found = recover::observe(&*dir)?;
    let mut log_start = found.log_start;
    let segments = found.segments.iter();
    let mut anchors: Vec<_> = segments
        .map(|segment| Anchor::of(&segment.header, segment.end_bytes))
        .collect();
    if anchors.is_empty() {
        // Nothing was written yet, or all of it was trimmed: the newest segment is empty.
        let listing = Listing::read(&*dir)?;
        let newest = listing.segments.last_key_value();
        let (ordinal, entry) = newest.ok_or_else(|| no_log(&*dir))?;
        let mut window = Window::new(dir.block_size())?;
        let member = recover::read_member(&*dir, entry, *ordinal, Mode::Observe, &mut window)?;
        let header = member.header;
        log_start = log_start.max(header.previous.position());
        anchors.push(Anchor::of(&header, header.frames().start));
    }
    Ok(Members {
        dir,
        features: found.features,
        log_start,
        end: found.end,
        anchors,
    })
}
