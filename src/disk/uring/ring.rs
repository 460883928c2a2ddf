//! The ring itself: writes go in, completions come back, and one read carries the wake-ups.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::{IoUring, opcode, squeue, types};

use super::tables::Tables;
use crate::disk::posix;
use crate::disk::{BackendKind, Completion, Region, Rung, Write};
use crate::sys::event::{Bell, Canary, TIMER_EXPIRED};
use crate::sys::fs::WRITE_DSYNC;

mod ending;
mod waiting;

/// Entries of the submission side; the completion side has twice as many.
const ENTRIES: u32 = 256;
/// Writes in the ring at once: one entry is kept for the wake-up.
pub(super) const WRITES_MAX: usize = ENTRIES as usize - 1;
/// The token of the wake-up; those of writes are indexes.
const WAKE: u64 = u64::MAX;

/// The most bytes of one request: what is beyond follows as after a short write.
const REQUEST_BYTES_MAX: usize = 1 << 30;
/// A short write goes on from the last multiple of this.
const RESUME_UNIT_BYTES: usize = 4096;
/// How often a write may come back without progress before it fails.
const STALLS_MAX: u32 = 64;
/// No wait is longer than this: the kernel's clocks have an end.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// The ring with its tables. Errors of its methods mean that the kernel refuses the ring.
pub(super) struct Ring {
    ring: IoUring,
    /// What is missing from the best ring.
    shortfall: Option<String>,
    tables: Tables,
    canary: Option<Canary>,
    bell: Arc<Bell>,
    /// Where the wake-up's read puts its eight bytes: memory that only the kernel touches.
    wake_bytes: Region,
    /// Whether that read is in the ring.
    armed: bool,
    /// Whether the bell's descriptor is watched by the caller's own loop.
    shown: Cell<bool>,
    /// Writes in the ring, by token.
    flights: Vec<Option<Flight>>,
    vacant: Vec<usize>,
    flying: usize,
    /// Writes that are not in the ring, of which the first `ready` were submitted.
    backlog: VecDeque<Flight>,
    ready: usize,
    done: Vec<Completion>,
    /// Kept between calls for its memory.
    landed: Vec<(u64, i32)>,
    /// Lets the tests take the ring away.
    #[cfg(test)]
    pub(super) refuse: bool,
    /// The most bytes of each of the next requests: what the kernel writes of a longer one is
    /// as short.
    #[cfg(test)]
    pub(super) shorten: VecDeque<usize>,
}

/// A write on its way.
struct Flight {
    write: Write,
    /// How much of it was written.
    done_bytes: usize,
    stalls: u32,
}

impl Ring {
    pub(super) fn new(bell: Arc<Bell>, register: bool) -> io::Result<Self> {
        let (ring, shortfall) = set_up()?;
        if !ring.params().is_feature_ext_arg() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel is older than 5.11",
            ));
        }
        let (tables, canary) = Tables::new(&ring, register)?;
        Ok(Self {
            ring,
            shortfall,
            tables,
            canary,
            bell,
            wake_bytes: Region::new(8)?,
            armed: false,
            shown: Cell::new(false),
            flights: Vec::new(),
            vacant: Vec::new(),
            flying: 0,
            backlog: VecDeque::new(),
            ready: 0,
            done: Vec::new(),
            landed: Vec::new(),
            #[cfg(test)]
            refuse: false,
            #[cfg(test)]
            shorten: VecDeque::new(),
        })
    }

    pub(super) fn rung(&self) -> Rung {
        let reasons: Vec<&str> = self
            .shortfall
            .iter()
            .chain(self.tables.reasons())
            .map(String::as_str)
            .collect();
        let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        Rung::new(BackendKind::Uring, self.tables.all_registered(), reason)
    }

    pub(super) fn rung_changes(&self) -> u64 {
        self.tables.changes()
    }

    pub(super) fn outstanding(&self) -> usize {
        self.backlog.len() + self.flying + self.done.len()
    }

    /// The tables, with the ring that they belong to.
    pub(super) fn tables(&mut self) -> (&mut Tables, &IoUring) {
        (&mut self.tables, &self.ring)
    }

    pub(super) fn push(&mut self, write: Write) {
        self.backlog.push_back(Flight {
            write,
            done_bytes: 0,
            stalls: 0,
        });
    }

    pub(super) fn submit(&mut self) -> io::Result<()> {
        self.ready = self.backlog.len();
        self.flush()
    }

    pub(super) fn reap(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.run_task_work()?;
        self.collect();
        self.flush()?;
        completions.append(&mut self.done);
        if self.shown.get() {
            self.settle()?;
        }
        Ok(())
    }

    // ---- the way in

    /// Hands the kernel what is ready and what has room.
    fn flush(&mut self) -> io::Result<()> {
        while self.ready > 0 && self.flying < WRITES_MAX {
            let Some(flight) = self.backlog.pop_front() else {
                break;
            };
            self.ready -= 1;
            self.launch(flight);
        }
        loop {
            let queued = self.ring.submission().len();
            if queued == 0 {
                return Ok(());
            }
            match self.enter(0, None) {
                Ok(()) if self.ring.submission().len() < queued => {}
                // It takes no more just now. What is left goes with the next call.
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.excuse(error),
            }
        }
    }

    /// Queues one write in the ring, which has room for it.
    fn launch(&mut self, flight: Flight) {
        let write = &flight.write;
        let descriptor = match posix::descriptor(write) {
            Ok(_) if write.len == 0 => return self.end(flight, Ok(())),
            Ok(descriptor) => descriptor.as_raw_fd(),
            Err(error) => return self.end(flight, Err(error)),
        };
        let len = (write.len - flight.done_bytes).min(REQUEST_BYTES_MAX);
        #[cfg(test)]
        let len = self.shorten.pop_front().unwrap_or(len).min(len);
        let len = len as u32;
        let file_offset = write.file_offset + flight.done_bytes as u64;
        let region_offset = write.region_offset + flight.done_bytes;
        let place = self.tables.file_place(&self.ring, &write.file, descriptor);
        let target = types::Fd(place.map_or(descriptor, |place| place as RawFd));
        // SAFETY: `descriptor` checked that the write's bytes lie within its region.
        let bytes = unsafe { write.region.as_ptr().add(region_offset) };
        let entry = match self.tables.buffer_place(&write.region) {
            Some(buffer) => opcode::WriteFixed::new(target, bytes, len, buffer)
                .offset(file_offset)
                .rw_flags(WRITE_DSYNC as i32)
                .build(),
            None => opcode::Write::new(target, bytes, len)
                .offset(file_offset)
                .rw_flags(WRITE_DSYNC as i32)
                .build(),
        };
        let entry = match place {
            Some(_) => entry.flags(squeue::Flags::FIXED_FILE),
            None => entry,
        };
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        self.flights[index] = Some(flight);
        self.flying += 1;
        let entry = entry.user_data(index as u64);
        // SAFETY: the memory and the file live until the completion: the flight has both, and is
        // given up only when its completion was seen, or the ring is closed and the canary told that
        // its requests have ended.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("no more is launched than the ring has entries");
    }

    /// Puts the read of the bell's descriptor into the ring, where it is not yet.
    fn arm(&mut self) {
        if self.armed {
            return;
        }
        let descriptor = types::Fd(self.bell.descriptor().as_raw_fd());
        let entry = opcode::Read::new(descriptor, self.wake_bytes.as_ptr(), 8)
            .build()
            .user_data(WAKE);
        // SAFETY: the eight bytes live as long as the ring's requests: `quiesce` and `hand_over` see
        // to that. Nobody else touches them.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("one entry is kept for the wake-up");
        self.armed = true;
    }

    /// Enters the kernel: hands over what is queued, runs its deferred work, and waits for `want`
    /// completions or until `timeout` passed.
    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> io::Result<()> {
        #[cfg(test)]
        if self.refuse {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let submitter = self.ring.submitter();
        let entered = match timeout {
            None => submitter.submit_and_wait(want),
            Some(timeout) => {
                let timespec = types::Timespec::from(timeout.min(WAIT_MAX));
                submitter.submit_with_args(want, &types::SubmitArgs::new().timespec(&timespec))
            }
        };
        match entered {
            Err(error) if error.raw_os_error() == Some(TIMER_EXPIRED) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Tells what passes (the kernel is short of memory or room, and has requests of ours whose
    /// ending helps) from a refusal.
    fn excuse(&mut self, error: io::Error) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock
            | io::ErrorKind::ResourceBusy
            | io::ErrorKind::OutOfMemory
                if self.with_kernel() > 0 =>
            {
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// The requests that the kernel has taken and that have not ended.
    fn with_kernel(&mut self) -> usize {
        let queued = self.ring.submission().len();
        (self.flying + usize::from(self.armed)).saturating_sub(queued)
    }

    // ---- the way back

    /// Lets the kernel finish what waits for this thread to enter it, if it says so.
    fn run_task_work(&mut self) -> io::Result<()> {
        if self.ring.submission().taskrun() {
            if let Err(error) = self.enter(0, None) {
                return self.excuse(error);
            }
        }
        Ok(())
    }

    /// Takes the ring's completions. No system call.
    fn collect(&mut self) {
        let mut landed = mem::take(&mut self.landed);
        let completions = self.ring.completion();
        landed.extend(completions.map(|entry| (entry.user_data(), entry.result())));
        for (token, result) in landed.drain(..) {
            if token == WAKE {
                self.armed = false;
                if self.shown.get() {
                    // It took from the descriptor what the caller's loop should see there.
                    let _ = self.bell.raise();
                }
            } else if let Some(flight) = self.flights[token as usize].take() {
                self.vacant.push(token as usize);
                self.flying -= 1;
                self.land(flight, result);
            }
        }
        self.landed = landed;
    }

    /// Ends a write, or lets the rest of it follow.
    fn land(&mut self, mut flight: Flight, result: i32) {
        let count = match usize::try_from(result) {
            Ok(count) => count,
            Err(_) => {
                let error = io::Error::from_raw_os_error(-result);
                match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => 0,
                    _ => return self.end(flight, Err(error)),
                }
            }
        };
        let written = flight.done_bytes + count;
        if written >= flight.write.len {
            return self.end(flight, Ok(()));
        }
        let resume = written - written % RESUME_UNIT_BYTES;
        if resume > flight.done_bytes {
            flight.stalls = 0;
        } else {
            flight.stalls += 1;
            if flight.stalls > STALLS_MAX {
                return self.end(flight, Err(io::ErrorKind::WriteZero.into()));
            }
        }
        flight.done_bytes = resume;
        self.backlog.push_front(flight);
        self.ready += 1;
    }

    fn end(&mut self, flight: Flight, result: io::Result<()>) {
        self.done.push(Completion {
            token: flight.write.token,
            result,
        });
    }
}

/// A ring with the best flags that the kernel takes, and what is missing from the very best.
fn set_up() -> io::Result<(IoUring, Option<String>)> {
    let mut best = IoUring::builder();
    best.dontfork()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all();
    let mut good = IoUring::builder();
    good.dontfork()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all();
    let mut plain = IoUring::builder();
    plain.dontfork();
    match best.build(ENTRIES) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => good
            .build(ENTRIES)
            .or_else(|_| plain.build(ENTRIES))
            .map(|ring| (ring, Some("the kernel is older than 6.1".into()))),
        other => other.map(|ring| (ring, None)),
    }
}
