//! How a ring ends: it is emptied and closed, or refused and its writes handed over.

use std::io;
use std::mem;
use std::time::Duration;

use super::Ring;
use crate::disk::posix::{self, Posix};
use crate::disk::{Completion, Queue};

/// How long a closed ring may take to end its writes.
const LANDING_MAX: Duration = Duration::from_secs(60);

impl Ring {
    /// Waits until the kernel has nothing of ours any more, and lets the locks go.
    pub(in crate::disk::uring) fn quiesce(&mut self) -> io::Result<()> {
        if self.armed {
            self.bell.raise()?;
        }
        while self.flying > 0 || self.armed {
            if let Err(error) = self.enter(1, None) {
                self.excuse(error)?;
            }
            self.collect();
        }
        // The locks should be free when we return.
        self.tables.clear_files(&self.ring);
        Ok(())
    }

    /// Gives up the ring and leaves all its writes to plain calls.
    pub(in crate::disk::uring) fn hand_over(mut self, posix: &mut Posix, refusal: &io::Error) {
        self.collect();
        let idle = self.with_kernel() == 0;
        let Self {
            ring,
            canary,
            wake_bytes,
            tables,
            flights,
            backlog,
            ready,
            shown,
            mut done,
            ..
        } = self;
        drop(ring);
        let landed = idle || canary.is_some_and(|canary| canary.wait(LANDING_MAX));
        for lock in tables.into_locks() {
            posix.hold(&lock);
        }
        for flight in flights.into_iter().flatten() {
            if landed {
                posix.push(flight.write);
            } else {
                done.push(Completion {
                    token: flight.write.token,
                    result: Err(posix::copy(refusal)),
                });
                // The kernel may still read this memory, for ever as far as we know.
                mem::forget(flight);
            }
        }
        if !landed {
            mem::forget(wake_bytes);
        }
        posix.adopt(done);
        if shown.get() {
            // Should this fail, the caller's loop still wakes by its own timeout.
            let _ = posix.show();
        }
        let mut backlog = backlog.into_iter();
        for flight in backlog.by_ref().take(ready) {
            posix.push(flight.write);
        }
        // Failures of single writes are in their completions, and there is no other.
        let _ = posix.submit();
        for flight in backlog {
            posix.push(flight.write);
        }
    }
}
