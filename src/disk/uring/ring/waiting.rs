//! Sleeping until there is something to reap, or until the bell is rung.
//!
//! Two ways. Usually the owner sleeps in the ring, and a read of the bell's descriptor there wakes
//! it. Once a caller asked for the descriptor, to watch it in a loop of its own, nothing reads it in
//! the ring any more; instead the kernel signals the ring's completions on it, and this side keeps
//! it readable for as long as there is something that was neither heard nor reaped.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use super::Ring;
use crate::disk::uring::left_until;
use crate::sys::event::wait_readable;

impl Ring {
    pub(in crate::disk::uring) fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.tables.forget_dead_files(&self.ring);
        if self.shown.get() {
            self.wait_outside(deadline)
        } else {
            self.wait_inside(deadline)
        }
    }

    /// Sleeps in the ring.
    fn wait_inside(&mut self, deadline: Option<Instant>) -> io::Result<()> {
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
                // What has ended made room for more.
                return self.flush();
            }
        }
    }

    /// Sleeps on the descriptor, as the caller's own loop does.
    fn wait_outside(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            self.flush()?;
            let rung = self.bell.listen_on()?;
            self.run_task_work()?;
            if self.has_landed() {
                self.bell.raise()?;
                return Ok(());
            }
            if rung || !wait_readable(self.bell.descriptor(), left_until(deadline))? {
                return Ok(());
            }
        }
    }

    /// Lets the bell's descriptor show whatever `wait` would return for, from now on.
    pub(in crate::disk::uring) fn show(&self) -> io::Result<()> {
        if self.shown.get() {
            return Ok(());
        }
        let descriptor = self.bell.descriptor().as_raw_fd();
        self.ring.submitter().register_eventfd(descriptor)?;
        self.shown.set(true);
        self.bell.show()?;
        // For what has landed already: one look too many does no harm.
        self.bell.raise()
    }

    /// Makes the descriptor show what is left after reaping.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.bell.lower()?;
        // The kernel may have signalled what came after the reaping, too.
        if self.ring.submission().taskrun() || self.has_landed() {
            self.bell.raise()?;
        }
        Ok(())
    }

    /// Whether there is something to reap.
    fn has_landed(&mut self) -> bool {
        !self.done.is_empty() || !self.ring.completion().is_empty()
    }
}
