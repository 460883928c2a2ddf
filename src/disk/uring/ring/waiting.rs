//! Sleeping until there is something to reap, or until the bell is rung.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Instant;

use super::Ring;
use crate::disk::uring::left_until;
use crate::sys::event::{Readiness, wait_readable};

impl Ring {
    pub(in crate::disk::uring) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.tables.forget_dead_files(&self.ring);
        loop {
            self.collect();
            self.flush()?;
            if !self.done.is_empty() || !self.bell.listen() {
                return Ok(());
            }
            self.arm();
            if let Err(error) = self.enter(1, left_until(deadline)) {
                self.excuse(error)?;
            }
            let rung = self.bell.hush();
            self.collect();
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if rung || !self.done.is_empty() || late {
                // What a short write left, and what was taken out of the ring, makes room for more.
                return self.flush();
            }
        }
    }

    /// Waits as the caller's own loop does, by the descriptor that it watches.
    pub(in crate::disk::uring) fn wait_shown(
        &mut self,
        deadline: Option<Instant>,
        readiness: &Readiness,
    ) -> io::Result<()> {
        self.tables.forget_dead_files(&self.ring);
        loop {
            self.flush()?;
            self.run_task_work()?;
            let rung = self.bell.listen_on()?;
            // Left in the ring for `reap`, so that the descriptor keeps showing them.
            if rung || !self.done.is_empty() || !self.ring.completion().is_empty() {
                return Ok(());
            }
            if !wait_readable(readiness.descriptor(), left_until(deadline))? {
                return Ok(());
            }
        }
    }

    /// Lets one descriptor show whatever `wait` would return for, from now on.
    pub(in crate::disk::uring) fn show(&self) -> io::Result<Readiness> {
        // SAFETY: the ring's descriptor is open for as long as `self` is borrowed.
        let ring = unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) };
        let readiness = Readiness::of(&[self.bell.descriptor(), ring])?;
        self.shown.set(true);
        self.bell.show()?;
        if !self.done.is_empty() {
            self.bell.raise()?;
        }
        Ok(readiness)
    }
}
