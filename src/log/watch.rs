//! The durable watermark as a value to watch, and waiting for such values without blocking.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::log::core::Core;
use crate::log::position::Position;
use crate::log::tail::Refusal;
use crate::sync::atomic::spin_loop;

/// Up to where a log is on disk. Cheap to clone; outlives the log's handles.
#[derive(Clone)]
pub struct Durable {
    core: Arc<Core>,
    /// What [`Durable::changed`] last told.
    seen: Position,
}

impl Durable {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let seen = core.durable();
        Self { core, seen }
    }

    /// Everything before this position is on disk. Wait-free.
    #[must_use]
    pub fn get(&self) -> Position {
        self.core.durable()
    }

    /// Blocks until everything before `position` is on disk; returns how far it then is.
    ///
    /// # Errors
    ///
    /// What made the log fail or close before.
    pub fn wait_for(&self, position: Position) -> Result<Position> {
        let waiters = &self.core.durable_waiters;
        waiters
            .wait(position.to_u64(), None, || self.reached_now(position))
            .expect("there is no deadline")
    }

    /// The same for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`Durable::wait_for`], and [`ErrorKind::TimedOut`].
    pub fn wait_timeout(&self, position: Position, timeout: Duration) -> Result<Position> {
        let waiters = &self.core.durable_waiters;
        let deadline = Instant::now().checked_add(timeout);
        waiters
            .wait(position.to_u64(), deadline, || self.reached_now(position))
            .unwrap_or_else(|| {
                Err(Error::new(ErrorKind::TimedOut, "not on disk yet")
                    .at_path(&self.core.path)
                    .at_position(position)
                    .remedy("wait again, or give it longer"))
            })
    }

    /// Awaits that everything before `position` is on disk.
    ///
    /// # Errors
    ///
    /// Those of [`Durable::wait_for`].
    pub async fn reached(&self, position: Position) -> Result<Position> {
        let waiters = &self.core.durable_waiters;
        waiters
            .wait_async(position.to_u64(), || self.reached_now(position))
            .await
    }

    /// Awaits that the watermark rises above what this handle told last, and tells it.
    ///
    /// # Errors
    ///
    /// Those of [`Durable::wait_for`].
    pub async fn changed(&mut self) -> Result<Position> {
        let beyond = Position::from_u64(self.seen.to_u64() + 1);
        self.seen = self.reached(beyond).await?;
        Ok(self.seen)
    }

    fn reached_now(&self, position: Position) -> Option<Result<Position>> {
        // Asked before the watermark, which stays where it is from then on: the last that was
        // brought to disk before the end is on disk.
        let (failure, finished) = (self.core.failure(), self.core.is_finished());
        let durable = self.core.durable();
        if durable >= position {
            return Some(Ok(durable));
        }
        if let Some(error) = failure {
            return Some(Err(error.clone()));
        }
        if self.core.is_forked() {
            return Some(Err(self.core.refused(Refusal::Forked)));
        }
        finished.then(|| Err(self.core.closed_error()))
    }
}

impl std::fmt::Debug for Durable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Durable")
            .field("position", &self.get())
            .finish()
    }
}

/// Where the tail stands, as a position.
pub(crate) fn end(core: &Core) -> Position {
    loop {
        if core.is_forked() {
            return core.durable();
        }
        let tail = core.tail.now();
        // The slot may go to a later generation between the two looks: then the tail has moved.
        if let Some(ordinal) = core.tail.ordinal(tail.generation) {
            return Position::new(ordinal, tail.offset);
        }
        spin_loop();
    }
}
