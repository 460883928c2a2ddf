//! A log that nobody writes: its writer closed it, or was killed.
//!
//! Who only reads may then learn where the log ends as its next writer will: by the writer's own
//! lock, held shared, by a sync of what a cache may hold, and by the recovery's scan. What is found
//! so stays: the next recovery keeps all sound frames up to the first bad one, and these are.
//!
//! The lock file is never made here, and opened for reading only. Writers wait while it is held,
//! for as long as their lock timeout says, so it is held for the look alone.

use std::io::ErrorKind::{NotFound, PermissionDenied};
use std::sync::Arc;

use crate::disk::{Dir, File, LockMode, OpenMode};
use crate::error::{Error, Result};
use crate::log::recover::{LOCK_NAME, Mode, Recovered, settled};

/// Nobody writes the log for as long as this lives.
#[derive(Debug)]
pub(crate) struct Quiet<'a> {
    dir: &'a dyn Dir,
    _lock: Arc<dyn File>,
}

impl<'a> Quiet<'a> {
    /// Tries once. `None` while somebody writes, or writes of a killed process are in flight; also
    /// where that cannot be told: there is no lock file, or this user may not read it.
    pub(crate) fn of(dir: &'a dyn Dir) -> Result<Option<Self>> {
        let at =
            |error| Error::io("looking at the lock", error).at_path(dir.path().join(LOCK_NAME));
        let lock = match dir.open(LOCK_NAME, OpenMode::Read) {
            Err(error) if matches!(error.kind(), NotFound | PermissionDenied) => return Ok(None),
            opened => opened.map_err(at)?,
        };
        // A lock that was removed meanwhile keeps nobody out.
        let held = lock.try_lock(LockMode::Shared).map_err(at)? && lock.links().map_err(at)? > 0;
        Ok(held.then_some(Self { dir, _lock: lock }))
    }

    /// What the next writer will find.
    ///
    /// # Errors
    ///
    /// Those of [`recover`](super::recover).
    pub(crate) fn recovered(&self) -> Result<Recovered> {
        settled(self.dir, Mode::Quiet)
    }
}
