//! The ring of a queue of reads: reads go in, completions come back.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, opcode, types};

use crate::disk::{Read, ReadDone};
use crate::sys::event::{CANCELED, wait_readable};

/// The largest ring.
const ENTRIES_MAX: usize = 256;
/// The most bytes of one request: what is beyond follows as after a short read.
const REQUEST_BYTES_MAX: usize = 1 << 30;
/// How often a read may come back without progress before it fails.
const STALLS_MAX: u32 = 64;
/// A direct read that ends at no multiple of this has met the file's end.
const SECTOR_BYTES: usize = 512;

/// The ring. Errors of its methods mean that the kernel refuses it.
pub(super) struct Ring {
    ring: IoUring,
    entries: usize,
    /// Reads in the ring, by token.
    flights: Vec<Option<Flight>>,
    vacant: Vec<usize>,
    flying: usize,
    /// Reads that are not in the ring, of which the first `ready` were submitted.
    pub(super) backlog: VecDeque<Flight>,
    ready: usize,
    pub(super) done: Vec<ReadDone>,
    /// Kept between calls for its memory.
    landed: Vec<(u64, i32)>,
    /// Lets the tests take the ring away.
    #[cfg(test)]
    pub(super) refuse: bool,
}

/// A read on its way.
pub(super) struct Flight {
    read: Read,
    /// How much of it was read.
    done_bytes: usize,
    stalls: u32,
}

impl Ring {
    pub(super) fn new(depth: usize) -> io::Result<Self> {
        let entries = depth.clamp(1, ENTRIES_MAX).next_power_of_two();
        let mut builder = IoUring::builder();
        builder.dontfork();
        let ring = builder.build(entries as u32)?;
        // The queue of writes asks for no less.
        if !ring.params().is_feature_ext_arg() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel is older than 5.11",
            ));
        }
        Ok(Self {
            ring,
            entries: depth.clamp(1, ENTRIES_MAX),
            flights: Vec::new(),
            vacant: Vec::new(),
            flying: 0,
            backlog: VecDeque::new(),
            ready: 0,
            done: Vec::new(),
            landed: Vec::new(),
            #[cfg(test)]
            refuse: false,
        })
    }

    pub(super) fn push(&mut self, read: Read) {
        self.backlog.push_back(Flight {
            read,
            done_bytes: 0,
            stalls: 0,
        });
    }

    pub(super) fn submit(&mut self) -> io::Result<()> {
        self.ready = self.backlog.len();
        self.flush()
    }

    /// The reads that were pushed and not reaped.
    pub(super) fn outstanding(&self) -> usize {
        self.flying + self.backlog.len() + self.done.len()
    }

    pub(super) fn reap(&mut self, done: &mut Vec<ReadDone>) -> io::Result<()> {
        self.collect();
        done.append(&mut self.done);
        // What has ended made room for more.
        self.flush()
    }

    pub(super) fn wait(&mut self) -> io::Result<()> {
        self.ready = self.backlog.len();
        loop {
            self.collect();
            self.fill();
            if !self.done.is_empty() || self.flying == 0 {
                return self.flush();
            }
            if let Err(error) = self.enter(1) {
                self.excuse(error)?;
                if self.with_kernel() > 0 {
                    self.sleep();
                }
            }
        }
    }

    // ---- the way in

    /// Puts what is ready and has room into the ring.
    fn fill(&mut self) {
        while self.ready > 0 && self.flying < self.entries {
            let Some(flight) = self.backlog.pop_front() else {
                return;
            };
            self.ready -= 1;
            self.launch(flight);
        }
    }

    /// Hands the kernel what is ready and what has room.
    fn flush(&mut self) -> io::Result<()> {
        self.fill();
        loop {
            let queued = self.ring.submission().len();
            if queued == 0 {
                return Ok(());
            }
            match self.enter(0) {
                Ok(()) if self.ring.submission().len() < queued => {}
                // It takes no more just now. What is left goes with the next call.
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.excuse(error),
            }
        }
    }

    /// Queues one read in the ring, which has room for it.
    fn launch(&mut self, mut flight: Flight) {
        let offset = flight.read.file_offset + flight.done_bytes as u64;
        let bytes = match flight.read.target() {
            Ok(bytes) => &mut bytes[flight.done_bytes..],
            Err(error) => return self.end(flight, Err(error)),
        };
        let len = bytes.len().min(REQUEST_BYTES_MAX) as u32;
        let place = bytes.as_mut_ptr();
        if len == 0 {
            return self.end(flight, Ok(()));
        }
        let Some(descriptor) = flight.read.file.descriptor().map(|fd| fd.as_raw_fd()) else {
            let error = io::Error::new(
                io::ErrorKind::InvalidInput,
                "a read of a file that is not the kernel's",
            );
            return self.end(flight, Err(error));
        };
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        self.flights[index] = Some(flight);
        self.flying += 1;
        let entry = opcode::Read::new(types::Fd(descriptor), place, len)
            .offset(offset)
            .build()
            .user_data(index as u64);
        // SAFETY: the memory is the buffer's, at least `len` bytes by the slice that `place` is of,
        // and stays where it is when the buffer is moved. Buffer and file live until the
        // completion, and nobody touches the buffer until then: the flight has both, and is given
        // up only when its completion was seen, or (see `dissolve`) when the kernel was never given
        // this entry, or in a child, whose memory is a copy that the kernel knows nothing of.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("no more is launched than the ring has entries");
    }

    /// Enters the kernel: hands over what is queued, and waits for `want` completions.
    fn enter(&mut self, want: usize) -> io::Result<()> {
        #[cfg(test)]
        if self.refuse {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.ring.submitter().submit_and_wait(want).map(drop)
    }

    /// Tells what passes (the kernel is short of memory or room, and has reads of ours whose
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

    /// The reads that the kernel has taken and that have not been seen to end.
    fn with_kernel(&mut self) -> usize {
        let queued = self.ring.submission().len();
        self.flying.saturating_sub(queued)
    }

    // ---- the way back

    /// Sleeps until the ring has a completion, without entering it.
    fn sleep(&self) {
        // SAFETY: the descriptor is the ring's, which lives for as long as the borrow of `self`.
        let descriptor = unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) };
        if wait_readable(descriptor, None).is_err() {
            // Nor may we sleep like this: then look again and again.
            std::thread::yield_now();
        }
    }

    /// Takes the ring's completions. No system call.
    fn collect(&mut self) {
        let mut landed = mem::take(&mut self.landed);
        let completions = self.ring.completion();
        landed.extend(completions.map(|entry| (entry.user_data(), entry.result())));
        for (token, result) in landed.drain(..) {
            if let Some(flight) = self.flights[token as usize].take() {
                self.vacant.push(token as usize);
                self.flying -= 1;
                self.land(flight, result);
            }
        }
        self.landed = landed;
    }

    /// Ends a read, or lets the rest of it follow.
    pub(super) fn land(&mut self, mut flight: Flight, result: i32) {
        match usize::try_from(result) {
            Ok(0) => return self.end(flight, Ok(())),
            Ok(count) => {
                flight.done_bytes += count;
                flight.stalls = 0;
            }
            Err(_) => {
                let error = io::Error::from_raw_os_error(-result);
                let passes = match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => true,
                    // There is no aligned place behind the file's end to go on from.
                    io::ErrorKind::InvalidInput if flight.done_bytes % SECTOR_BYTES != 0 => {
                        return self.end(flight, Ok(()));
                    }
                    // The thread that submitted it has ended. Nobody else cancels.
                    _ => -result == CANCELED,
                };
                flight.stalls += 1;
                if !passes || flight.stalls > STALLS_MAX {
                    return self.end(flight, Err(error));
                }
            }
        }
        if flight.done_bytes >= flight.read.range.len() {
            return self.end(flight, Ok(()));
        }
        self.backlog.push_front(flight);
        self.ready += 1;
    }

    fn end(&mut self, flight: Flight, result: io::Result<()>) {
        let count = flight.done_bytes;
        self.done.push(flight.read.done(result.map(|()| count)));
    }

    // ---- the end

    /// Waits until the kernel has nothing of ours any more, and closes the ring; in a forked child
    /// it leaves the ring alone. What was read, and what is still to be read, from its begin.
    pub(super) fn dissolve(mut self, is_ours: bool) -> (Vec<ReadDone>, Vec<Read>) {
        while is_ours && self.with_kernel() > 0 {
            self.sleep();
            self.collect();
        }
        let Self {
            ring,
            flights,
            backlog,
            done,
            ..
        } = self;
        if is_ours {
            drop(ring);
        } else {
            // Where the parent has the ring's memory, this process may have something else by now.
            mem::forget(ring);
        }
        let undone = flights.into_iter().flatten().chain(backlog);
        (done, undone.map(|flight| flight.read).collect())
    }
}
