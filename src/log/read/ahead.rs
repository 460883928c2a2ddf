//! What a window that is read into buffers has on its way: the next parts of the file, in order.
//!
//! The reads of the queue complete in any order, and are taken in the file's. One that fails is told
//! when its turn comes: what was read before it is not lost, and what lies behind it is given up.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::disk::{AlignedBuf, Read, ReadDone, ReadQueue};
use crate::log::read::cold::Unread;
use crate::log::read::pool::{Lease, ReadPool};

/// The most windows on their way at once.
pub(super) const AHEAD_MAX: usize = 4;

/// Windows on their way, in the file's order.
pub(super) struct Ahead {
    pool: Arc<ReadPool>,
    /// Made when it is first needed.
    queue: Option<Box<dyn ReadQueue>>,
    /// Their tokens follow each other.
    flights: VecDeque<Flight>,
    token: u64,
    /// Up to where the file was read or is being read.
    pub(super) end: u64,
    /// Kept for its memory.
    done: Vec<ReadDone>,
}

struct Flight {
    begin: u64,
    index: usize,
    len: usize,
    /// What lies beyond may have been written since.
    end: u64,
    lease: Lease,
    done: Option<ReadDone>,
}

/// Bytes of the file, from `begin` to `end`, which lie in the buffer from `index` on.
pub(super) struct Piece {
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) index: usize,
    pub(super) buffer: AlignedBuf,
    pub(super) lease: Lease,
    /// Whether the file had all that was asked for.
    pub(super) is_whole: bool,
}

impl Ahead {
    pub(super) fn new(pool: Arc<ReadPool>) -> Self {
        Self {
            pool,
            queue: None,
            flights: VecDeque::new(),
            token: 0,
            end: 0,
            done: Vec::new(),
        }
    }

    /// Adds a read, of which what lies before `end` is believed.
    pub(super) fn push(&mut self, mut read: Read, lease: Lease, end: u64) {
        read.token = self.token;
        self.token += 1;
        self.end = end;
        self.flights.push_back(Flight {
            begin: read.file_offset,
            index: read.range.start,
            len: read.range.len(),
            end,
            lease,
            done: None,
        });
        let pool = &self.pool;
        self.queue.get_or_insert_with(|| pool.queue()).push(read);
    }

    /// How many windows are on their way.
    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    pub(super) fn submit(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.submit();
        }
    }

    /// Waits for the first window on its way. If it cannot be read, the others are given up, too:
    /// whoever tries again begins there.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, Unread> {
        while self
            .flights
            .front()
            .is_some_and(|first| first.done.is_none())
        {
            self.wait();
        }
        let Some((flight, done)) = self.pop() else {
            return Ok(None);
        };
        match done.result {
            Ok(count) => Ok(Some(Piece {
                begin: flight.begin,
                end: (flight.begin + count as u64).min(flight.end),
                index: flight.index,
                buffer: done.buffer,
                lease: flight.lease,
                is_whole: count == flight.len,
            })),
            Err(error) => {
                flight.lease.give_back(done.buffer);
                self.discard();
                Err(Unread {
                    offset: flight.begin,
                    len: flight.len,
                    error,
                })
            }
        }
    }

    fn pop(&mut self) -> Option<(Flight, ReadDone)> {
        let mut flight = self.flights.pop_front()?;
        let done = flight.done.take()?;
        Some((flight, done))
    }

    /// Waits for any of them.
    fn wait(&mut self) {
        let Some(queue) = &mut self.queue else {
            return;
        };
        let first = self.token - self.flights.len() as u64;
        queue.wait();
        queue.reap(&mut self.done);
        for done in self.done.drain(..) {
            let flight = done
                .token
                .checked_sub(first)
                .and_then(|index| self.flights.get_mut(index as usize));
            if let Some(flight) = flight {
                flight.done = Some(done);
            }
        }
    }

    /// Gives up what is on its way: waits for it, and keeps the memory.
    pub(super) fn discard(&mut self) {
        while self
            .queue
            .as_ref()
            .is_some_and(|queue| queue.outstanding() > 0)
        {
            self.wait();
        }
        while let Some((flight, done)) = self.pop() {
            flight.lease.give_back(done.buffer);
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if !self.pool.is_forked() {
            self.discard();
        }
        if let Some(queue) = self.queue.take() {
            self.pool.put_queue(queue);
        }
    }
}
