//! A disk that looks, before each operation of a queue, at what is acknowledged by then: the
//! persister moves the watermark in the middle of its turn, and goes on to the next writes before
//! whoever drives it gets to look.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use ringbolt::Ticket;
use ringbolt::disk::sim::SimDisk;
use ringbolt::disk::{Completion, Dir, Disk, File, PathStat, Queue, Region, Rung, Write};

/// Tickets that nobody has seen done yet, and those that were.
#[derive(Debug, Default)]
pub(crate) struct Pending(Mutex<Tickets>);

#[derive(Debug, Default)]
struct Tickets {
    /// Course, number of the first record, ticket.
    waiting: Vec<(usize, usize, Ticket<'static>)>,
    /// The same with the operation.
    acked: Vec<(usize, usize, u64)>,
}

impl Pending {
    pub(crate) fn push(&self, timeline: usize, first: usize, ticket: Ticket<'static>) {
        let mut tickets = self.0.lock().unwrap();
        tickets.waiting.push((timeline, first, ticket));
    }

    pub(crate) fn is_empty(&self) -> bool {
        let tickets = self.0.lock().unwrap();
        tickets.waiting.is_empty() && tickets.acked.is_empty()
    }

    /// Notes what is acknowledged, after so many operations.
    pub(crate) fn look(&self, operations: u64) {
        let tickets = &mut *self.0.lock().unwrap();
        tickets.waiting.retain(|(timeline, first, ticket)| {
            let done = ticket.is_done();
            if done && ticket.wait().is_ok() {
                tickets.acked.push((*timeline, *first, operations));
            }
            !done
        });
    }

    pub(crate) fn take_acked(&self) -> Vec<(usize, usize, u64)> {
        std::mem::take(&mut self.0.lock().unwrap().acked)
    }

    /// Records from the `n`-th on are not waited for any more; those before belong to another
    /// course now.
    pub(crate) fn cut(&self, n: usize, timeline: usize) {
        let mut tickets = self.0.lock().unwrap();
        tickets.waiting.retain(|(_, first, _)| *first < n);
        for (of, _, _) in &mut tickets.waiting {
            *of = timeline;
        }
    }
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Watched {
    disk: SimDisk,
    pending: Arc<Pending>,
}

impl Watched {
    pub(crate) fn new(disk: &SimDisk, pending: &Arc<Pending>) -> Self {
        Self {
            disk: disk.clone(),
            pending: Arc::clone(pending),
        }
    }
}

impl Disk for Watched {
    fn stat(&self, path: &Path) -> io::Result<PathStat> {
        self.disk.stat(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        self.disk.open_dir(path)
    }

    fn queue(&self) -> io::Result<Box<dyn Queue>> {
        Ok(Box::new(WatchedQueue {
            queue: self.disk.queue()?,
            disk: self.disk.clone(),
            pending: Arc::clone(&self.pending),
        }))
    }

    fn now_unix_ns(&self) -> u64 {
        self.disk.now_unix_ns()
    }

    fn now_monotonic_ns(&self) -> u64 {
        self.disk.now_monotonic_ns()
    }

    fn random(&self, bytes: &mut [u8]) {
        self.disk.random(bytes);
    }
}

#[derive(Debug)]
struct WatchedQueue {
    queue: Box<dyn Queue>,
    disk: SimDisk,
    pending: Arc<Pending>,
}

impl WatchedQueue {
    fn look(&self) {
        self.pending.look(self.disk.operations());
    }
}

impl Queue for WatchedQueue {
    fn rung(&self) -> Rung {
        self.queue.rung()
    }

    fn add_region(&mut self, region: &Arc<Region>) {
        self.queue.add_region(region);
    }

    fn remove_region(&mut self, region: &Arc<Region>) {
        self.queue.remove_region(region);
    }

    fn hold(&mut self, lock: &Arc<dyn File>) {
        self.queue.hold(lock);
    }

    fn release(&mut self, lock: &Arc<dyn File>) {
        self.queue.release(lock);
    }

    fn push(&mut self, write: Write) {
        self.look();
        self.queue.push(write);
    }

    fn submit(&mut self) -> io::Result<()> {
        self.look();
        self.queue.submit()
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.look();
        self.queue.reap(completions)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.look();
        self.queue.wait(timeout)
    }

    fn waker(&self) -> Waker {
        self.queue.waker()
    }

    fn event_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.queue.event_descriptor()
    }

    fn outstanding(&self) -> usize {
        self.queue.outstanding()
    }
}
