//! The memory of reads past the page cache, and the queues that carry them: shared by all readers
//! of a log.
//!
//! Buffers are lent within a budget of bytes. What comes back is kept for the next reader, within
//! the same budget: buffers in use and buffers at rest together are never more, but for what was
//! taken [anyway](ReadPool::take_anyway), with which each reader gets on when the budget is used up.
//! A few idle queues are kept, too: a ring costs more than the reads of a short look.
//!
//! Progress: a lock for the time of some additions; nobody waits for memory here.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::disk::{AlignedBuf, Disk, PlainReads, ReadQueue};
use crate::sync::lock::Mutex;
use crate::sys::fork::process_mark;

/// The most reads on their way in one queue.
pub(crate) const DEPTH_MAX: usize = 64;
/// How many idle queues are kept.
const QUEUES_MAX: usize = 4;
/// How many idle buffers are kept.
const IDLE_MAX: usize = 128;

/// What the readers of a log share.
pub(crate) struct ReadPool {
    /// Makes the queues; without it there are plain calls only.
    disk: Option<Arc<dyn Disk>>,
    budget_bytes: u64,
    /// The process that made it: a forked child may find the lock taken for ever.
    process: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lent_bytes: u64,
    /// The longest idle first.
    idle: VecDeque<AlignedBuf>,
    idle_bytes: u64,
    queues: Vec<Box<dyn ReadQueue>>,
    /// The most that there ever was, lent and idle.
    #[cfg(test)]
    peak_bytes: u64,
}

/// A buffer's part of the budget, given back when it is dropped.
pub(crate) struct Lease {
    pool: Arc<ReadPool>,
    bytes: u64,
}

impl ReadPool {
    pub(crate) fn new(disk: Arc<dyn Disk>, budget_bytes: u64) -> Arc<Self> {
        Self::with(Some(disk), budget_bytes)
    }

    /// Without a budget: one buffer for each reader, and plain calls.
    pub(crate) fn none() -> Arc<Self> {
        Self::with(None, 0)
    }

    fn with(disk: Option<Arc<dyn Disk>>, budget_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            disk,
            budget_bytes,
            process: process_mark(),
            state: Mutex::new(State::default()),
        })
    }

    /// A buffer of at least `len` bytes; `None` when the budget is used up.
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Option<(AlignedBuf, Lease)> {
        self.lend(len, false).ok()
    }

    /// The same, beyond the budget if need be: for what a reader cannot get on without.
    pub(crate) fn take_anyway(self: &Arc<Self>, len: usize) -> io::Result<(AlignedBuf, Lease)> {
        self.lend(len, true)
    }

    fn lend(self: &Arc<Self>, len: usize, anyway: bool) -> io::Result<(AlignedBuf, Lease)> {
        let mut dropped = Vec::new();
        let (found, lease) = {
            let mut state = self.state.lock();
            let found = state.reuse(len);
            let bytes = found.as_ref().map_or(len, |buffer| buffer.len()) as u64;
            if found.is_none() {
                if !anyway && state.lent_bytes + bytes > self.budget_bytes {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                while state.lent_bytes + state.idle_bytes + bytes > self.budget_bytes {
                    let Some(buffer) = state.idle.pop_front() else {
                        break;
                    };
                    state.idle_bytes -= buffer.len() as u64;
                    dropped.push(buffer);
                }
            }
            state.lent_bytes += bytes;
            state.note_peak();
            let pool = Arc::clone(self);
            (found, Lease { pool, bytes })
        };
        // Memory comes and goes outside of the lock.
        drop(dropped);
        let buffer = found.map_or_else(|| AlignedBuf::new(len), Ok)?;
        Ok((buffer, lease))
    }

    /// A queue with nothing outstanding.
    pub(crate) fn queue(&self) -> Box<dyn ReadQueue> {
        if let Some(queue) = self.state.lock().queues.pop() {
            return queue;
        }
        match &self.disk {
            Some(disk) => disk.reads(DEPTH_MAX),
            None => Box::new(PlainReads::new("no depth was asked for")),
        }
    }

    /// Keeps a queue for the next reader.
    pub(crate) fn put_queue(&self, queue: Box<dyn ReadQueue>) {
        if self.is_forked() || queue.outstanding() > 0 {
            return;
        }
        let mut state = self.state.lock();
        if state.queues.len() < QUEUES_MAX {
            state.queues.push(queue);
        }
    }

    /// Whether this is a forked child of the process that made the pool.
    pub(crate) fn is_forked(&self) -> bool {
        self.process != process_mark()
    }

    /// The most memory that there ever was, in bytes.
    #[cfg(test)]
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.state.lock().peak_bytes
    }

    /// The memory that is lent now, in bytes.
    #[cfg(test)]
    pub(crate) fn lent_bytes(&self) -> u64 {
        self.state.lock().lent_bytes
    }
}

impl State {
    /// The smallest idle buffer that will do, unless it is far too large.
    fn reuse(&mut self, len: usize) -> Option<AlignedBuf> {
        let fitting = self.idle.iter().enumerate();
        let (index, _) = fitting
            .filter(|(_, buffer)| (len..=2 * len).contains(&buffer.len()))
            .min_by_key(|(_, buffer)| buffer.len())?;
        let buffer = self.idle.remove(index)?;
        self.idle_bytes -= buffer.len() as u64;
        Some(buffer)
    }

    fn note_peak(&mut self) {
        #[cfg(test)]
        {
            self.peak_bytes = self.peak_bytes.max(self.lent_bytes + self.idle_bytes);
        }
    }
}

impl Lease {
    /// Gives the buffer back, for the next reader where that fits.
    pub(crate) fn give_back(self, buffer: AlignedBuf) {
        let pool = Arc::clone(&self.pool);
        drop(self);
        if pool.is_forked() {
            return;
        }
        let bytes = buffer.len() as u64;
        let mut state = pool.state.lock();
        let total = state.lent_bytes + state.idle_bytes + bytes;
        if total <= pool.budget_bytes && state.idle.len() < IDLE_MAX {
            state.idle_bytes += bytes;
            state.idle.push_back(buffer);
        } else {
            // Outside of the lock.
            drop(state);
            drop(buffer);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.pool.is_forked() {
            self.pool.state.lock().lent_bytes -= self.bytes;
        }
    }
}

impl fmt::Debug for ReadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadPool")
            .field("budget_bytes", &self.budget_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    fn pool(budget_bytes: u64) -> Arc<ReadPool> {
        ReadPool::new(Arc::new(SimDisk::new(1)), budget_bytes)
    }

    #[test]
    fn lends_within_the_budget_and_beyond_it_only_when_told_to() {
        let pool = pool(100);
        let (one, lease) = pool.take(60).unwrap();
        assert_eq!(one.len(), 60);
        assert!(pool.take(41).is_none());
        let (_, rest) = pool.take(40).unwrap();
        let (_, beyond) = pool.take_anyway(1000).unwrap();
        assert_eq!(pool.lent_bytes(), 1100);
        drop((rest, lease));
        assert!(pool.take(1).is_none(), "still beyond it");
        drop(beyond);
        assert!(pool.take(100).is_some());
    }

    #[test]
    fn what_comes_back_is_lent_again_and_makes_room_for_other_sizes() {
        let pool = pool(100);
        let (mut buffer, lease) = pool.take(50).unwrap();
        buffer.fill(7);
        lease.give_back(buffer);
        let (buffer, lease) = pool.take(30).unwrap();
        assert_eq!((buffer.len(), buffer[0]), (50, 7), "the same one");
        lease.give_back(buffer);
        // Far too large for this: a new one beside it.
        let (buffer, small) = pool.take(20).unwrap();
        assert_eq!(buffer.len(), 20);
        assert_eq!(pool.peak_bytes(), 70);
        // There is no room beside it for this: it goes.
        let (buffer, large) = pool.take(80).unwrap();
        assert_eq!(buffer.len(), 80);
        assert_eq!(pool.peak_bytes(), 100);
        // Beyond the budget nothing is kept.
        let (beyond, lease) = pool.take_anyway(80).unwrap();
        lease.give_back(beyond);
        drop((small, large));
        assert_eq!(pool.lent_bytes(), 0);
        assert!(pool.state.lock().idle.is_empty());
    }

    #[test]
    fn a_few_queues_are_kept() {
        let pool = pool(100);
        let queues: Vec<_> = (0..QUEUES_MAX + 2).map(|_| pool.queue()).collect();
        for queue in queues {
            pool.put_queue(queue);
        }
        assert_eq!(pool.state.lock().queues.len(), QUEUES_MAX);
        drop(pool.queue());
        assert_eq!(pool.state.lock().queues.len(), QUEUES_MAX - 1);
    }
}
