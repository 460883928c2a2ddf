//! Waiting until a log may have changed that another process writes.

use std::time::{Duration, Instant};

use crate::disk::{Dir, Watch};
use crate::error::{Error, Result};
use crate::sync::park::Parker;

/// How often to look where the disk cannot tell of changes.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Tells of changes in a log's directory.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    watch: Option<Box<dyn Watch>>,
    /// Whether the disk cannot tell.
    blind: bool,
}

impl Changes {
    /// Sleeps until something may have changed since the last call, or until `timeout` passed; says
    /// which.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`](crate::ErrorKind::Io).
    pub(crate) fn wait(&mut self, dir: &dyn Dir, timeout: Duration) -> Result<bool> {
        let at = |error| Error::io("watching the log", error).at_path(dir.path());
        if !self.blind && self.watch.is_none() {
            self.watch = dir.watch().map_err(at)?;
            self.blind = self.watch.is_none();
            if !self.blind {
                // It tells of what comes from now on: look once more at what came before.
                return Ok(true);
            }
        }
        match &self.watch {
            Some(watch) => watch.wait(Some(timeout)).map_err(at),
            None => {
                let nap = timeout.min(LOOK_AGAIN);
                Parker::new().park(Instant::now().checked_add(nap));
                Ok(nap < timeout)
            }
        }
    }
}
