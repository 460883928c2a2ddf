//! A queue of reads that complete when, and in the order in which, the simulation likes.
//!
//! Bytes are taken from the file at a read's completion, and each read fails by the same plan as
//! any other ([`OpClass::Read`](super::OpClass::Read)). After a crash all of them fail.

use std::fmt;

use super::Schedule;
use super::random::{Rng, mix};
use super::state::Shared;
use crate::disk::read::carry_out;
use crate::disk::{BackendKind, Read, ReadDone, ReadQueue, Rung};

/// A queue of reads of a simulated disk.
pub(super) struct SimReads {
    shared: Shared,
    /// Its own, so that how often somebody reads changes nothing for anybody else.
    chance: Rng,
    depth: usize,
    pushed: Vec<Read>,
    in_flight: Vec<Read>,
    done: Vec<ReadDone>,
}

impl SimReads {
    pub(super) fn new(shared: &Shared, depth: usize) -> Self {
        let mut state = shared.lock();
        state.read_queues += 1;
        let seed = mix(mix(state.options.seed, 3), state.read_queues);
        Self {
            shared: std::sync::Arc::clone(shared),
            chance: Rng::new(seed),
            depth: depth.max(1),
            pushed: Vec::new(),
            in_flight: Vec::new(),
            done: Vec::new(),
        }
    }

    fn schedule(&self) -> Schedule {
        self.shared.lock().schedule()
    }

    /// Completes `count` of the reads in flight.
    fn complete(&mut self, schedule: Schedule, count: usize) {
        for _ in 0..count {
            let index = match schedule {
                Schedule::Random => self.chance.index(self.in_flight.len()),
                Schedule::Eager | Schedule::Lazy => 0,
            };
            let read = self.in_flight.remove(index);
            self.done.push(carry_out(read));
        }
        self.begin();
    }

    /// Lets what was submitted begin, as far as the depth allows.
    fn begin(&mut self) {
        let room = self.depth.saturating_sub(self.in_flight.len());
        let begun = self.pushed.drain(..room.min(self.pushed.len()));
        self.in_flight.extend(begun);
    }
}

impl ReadQueue for SimReads {
    fn rung(&self) -> Rung {
        Rung::new(BackendKind::Sim, false, None)
    }

    fn push(&mut self, read: Read) {
        self.pushed.push(read);
    }

    fn submit(&mut self) {
        self.begin();
    }

    fn reap(&mut self, done: &mut Vec<ReadDone>) {
        let schedule = self.schedule();
        let count = match schedule {
            Schedule::Random => self.chance.index(self.in_flight.len() + 1),
            Schedule::Eager => self.in_flight.len(),
            Schedule::Lazy => 0,
        };
        self.complete(schedule, count);
        done.append(&mut self.done);
    }

    fn wait(&mut self) {
        self.begin();
        if !self.done.is_empty() || self.in_flight.is_empty() {
            return;
        }
        let schedule = self.schedule();
        let count = match schedule {
            Schedule::Random => 1 + self.chance.index(self.in_flight.len()),
            Schedule::Eager => self.in_flight.len(),
            Schedule::Lazy => 1,
        };
        self.complete(schedule, count);
    }

    fn outstanding(&self) -> usize {
        self.pushed.len() + self.in_flight.len() + self.done.len()
    }
}

impl fmt::Debug for SimReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimReads")
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}
