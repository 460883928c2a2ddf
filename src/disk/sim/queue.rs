//! A queue whose writes complete when, and in the order in which, the simulation likes.
//!
//! A write's bytes are taken at its completion, or at the crash: memory that is reused too early
//! shows up as wrong bytes on the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::Schedule;
use super::crash::{Doubt, ORPHAN_OPERATIONS_MAX};
use super::fault::{self, EBADF, EINVAL, ENOSPC, OpClass};
use super::lock::QueueId;
use super::media::{InodeId, Piece};
use super::state::{Orphan, Shared, State, Verdict};
use crate::disk::{BackendKind, Completion, File, Queue, Region, Rung, Write};
use crate::sync::atomic::{AtomicBool, Ordering};

/// What it takes until a write that is waited for has completed.
const WRITE_NS: u64 = 100_000;

/// A queue of a simulated disk.
pub(super) struct SimQueue {
    shared: Shared,
    id: QueueId,
    woken: Arc<Woken>,
    /// The files of the writes that are not collected yet: they stay open for so long.
    files: BTreeMap<u64, Arc<dyn File>>,
    regions: usize,
}

/// A queue's writes, by how far they are.
#[derive(Debug, Default)]
pub(super) struct Flights {
    pushed: Vec<Flight>,
    in_flight: Vec<Flight>,
    done: Vec<(u64, Completion)>,
}

#[derive(Debug)]
struct Flight {
    id: u64,
    inode: InodeId,
    offset: u64,
    region: Arc<Region>,
    region_offset: usize,
    len: usize,
    token: u64,
    /// Why the write is refused, where it is.
    refused: Option<i32>,
}

#[derive(Debug)]
struct Woken(AtomicBool);

impl SimQueue {
    pub(super) fn new(shared: &Shared) -> Self {
        let mut state = shared.lock();
        let id = state.next_id();
        state.queues.insert(id, Flights::default());
        Self {
            shared: Arc::clone(shared),
            id,
            woken: Arc::new(Woken(AtomicBool::new(false))),
            files: BTreeMap::new(),
            regions: 0,
        }
    }
}

impl Queue for SimQueue {
    fn rung(&self) -> Rung {
        Rung::new(BackendKind::Sim, self.regions > 0, None)
    }

    fn rung_changes(&self) -> u64 {
        u64::from(self.regions > 0)
    }

    fn add_region(&mut self, _region: &Arc<Region>) {
        self.regions += 1;
    }

    fn remove_region(&mut self, region: &Arc<Region>) {
        self.regions = self.regions.saturating_sub(1);
        let state = self.shared.lock();
        assert!(
            !state.queues[&self.id].uses(region),
            "a region was taken back while a write from it is outstanding"
        );
    }

    fn hold(&mut self, lock: &Arc<dyn File>) {
        let mut state = self.shared.lock();
        if let Some(&handle) = state.addresses.get(&address(lock)) {
            state.locks.hold(handle, self.id);
        }
    }

    fn release(&mut self, lock: &Arc<dyn File>) {
        let mut state = self.shared.lock();
        if let Some(&handle) = state.addresses.get(&address(lock)) {
            state.locks.release(handle, self.id);
        }
    }

    fn push(&mut self, write: Write) {
        let end = write.region_offset.checked_add(write.len);
        assert!(
            end.is_some_and(|end| end <= write.region.len()),
            "a write from beyond its region"
        );
        let mut state = self.shared.lock();
        let handle = state.addresses.get(&address(&write.file));
        let handle = *handle.expect("a write to a file of another disk");
        if state.step(OpClass::Push, |_| Vec::new()).is_err() {
            // The process is dead; whoever waits for the write hears so from `reap`.
            return;
        }
        let handle = state.handles[&handle];
        let block = u64::from(state.options.block_size);
        let aligned = |bytes: u64| bytes % block == 0;
        let refused = if !handle.writable {
            Some(EBADF)
        } else if write.len > 0
            && aligned(write.file_offset)
            && aligned(write.region_offset as u64)
            && aligned(write.len as u64)
        {
            None
        } else {
            Some(EINVAL)
        };
        let id = state.next_id();
        let queue = state.flights(self.id);
        queue.pushed.push(Flight {
            id,
            inode: handle.inode,
            offset: write.file_offset,
            region: write.region,
            region_offset: write.region_offset,
            len: write.len,
            token: write.token,
            refused,
        });
        self.files.insert(id, write.file);
    }

    fn submit(&mut self) -> io::Result<()> {
        let id = self.id;
        let mut state = self.shared.lock();
        if state.flights(id).pushed.is_empty() {
            return state.alive();
        }
        let verdict = state.step(OpClass::Submit, |state| {
            state.queues[&id].pushed.iter().map(Flight::doubt).collect()
        })?;
        if let Verdict::Fail(error) = verdict {
            return Err(error);
        }
        let queue = state.flights(id);
        let pushed = std::mem::take(&mut queue.pushed);
        queue.in_flight.extend(pushed);
        Ok(())
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        let done = {
            let mut state = self.shared.lock();
            state.alive()?;
            let in_flight = state.flights(self.id).in_flight.len();
            let count = match state.schedule() {
                Schedule::Random => state.chance.index(in_flight + 1),
                Schedule::Eager => in_flight,
                Schedule::Lazy => 0,
            };
            state.complete(self.id, count)?;
            std::mem::take(&mut state.flights(self.id).done)
        };
        // Outside the lock: the last handle to a file may go here.
        for (flight, completion) in done {
            self.files.remove(&flight);
            completions.push(completion);
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        // ORDERING: pairs with the release in `wake_by_ref`.
        let woken = self.woken.0.swap(false, Ordering::Acquire);
        let mut state = self.shared.lock();
        state.alive()?;
        let queue = state.flights(self.id);
        if woken || !queue.done.is_empty() {
            return Ok(());
        }
        let in_flight = queue.in_flight.len();
        if in_flight > 0 {
            let count = match state.schedule() {
                Schedule::Random => 1 + state.chance.index(in_flight),
                Schedule::Eager => in_flight,
                Schedule::Lazy => 1,
            };
            state.tick(WRITE_NS);
            return state.complete(self.id, count);
        }
        state.land_orphans();
        match timeout {
            Some(timeout) => state.tick(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX)),
            None => state.idle_waits += 1,
        }
        drop(state);
        // Should the wake-up be due from another thread, let it run.
        std::thread::yield_now();
        Ok(())
    }

    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.woken))
    }

    fn event_descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn outstanding(&self) -> usize {
        let state = self.shared.lock();
        let queue = &state.queues[&self.id];
        queue.pushed.len() + queue.in_flight.len() + queue.done.len()
    }
}

impl Drop for SimQueue {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let Some(queue) = state.queues.remove(&self.id) else {
            return;
        };
        // Whoever drops a queue too early meets its writes again later.
        for flight in &queue.in_flight {
            let countdown = 1 + state.chance.below(ORPHAN_OPERATIONS_MAX);
            state.orphans.push(Orphan {
                pieces: flight.pieces(),
                countdown,
            });
        }
        state.locks.drop_queue(self.id, !queue.in_flight.is_empty());
    }
}

impl fmt::Debug for SimQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimQueue")
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

impl State {
    fn flights(&mut self, queue: QueueId) -> &mut Flights {
        self.queues
            .get_mut(&queue)
            .expect("a queue is known until it is dropped")
    }

    /// Completes `count` of the writes in flight.
    fn complete(&mut self, queue: QueueId, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let in_flight = self.flights(queue).in_flight.len();
            let index = match self.schedule() {
                Schedule::Random => self.chance.index(in_flight),
                Schedule::Eager | Schedule::Lazy => 0,
            };
            let verdict = self.step(OpClass::Write, |_| Vec::new())?;
            let flight = self.flights(queue).in_flight.remove(index);
            let bytes = flight.bytes();
            let end = flight.offset + flight.len as u64;
            let result = match (flight.refused, verdict) {
                (Some(errno), _) => Err(fault::error(errno)),
                (None, Verdict::Fail(error)) => {
                    self.write_failed(flight.inode, flight.offset, &bytes);
                    Err(error)
                }
                (None, Verdict::Go) if !self.has_room(flight.inode, end) => {
                    Err(fault::error(ENOSPC))
                }
                (None, Verdict::Go) => {
                    self.write_durable(flight.inode, flight.offset, &bytes);
                    Ok(())
                }
            };
            let completion = Completion {
                token: flight.token,
                result,
            };
            self.flights(queue).done.push((flight.id, completion));
        }
        Ok(())
    }
}

impl Flights {
    /// What the writes in flight may have done already.
    pub(super) fn doubts(&self) -> Vec<Doubt> {
        self.in_flight.iter().map(Flight::doubt).collect()
    }

    /// The files that writes are under way to.
    pub(super) fn inodes(&self) -> impl Iterator<Item = InodeId> + '_ {
        let under_way = self.pushed.iter().chain(&self.in_flight);
        under_way.map(|flight| flight.inode)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn uses(&self, region: &Arc<Region>) -> bool {
        let mut under_way = self.pushed.iter().chain(&self.in_flight);
        under_way.any(|flight| Arc::ptr_eq(&flight.region, region))
    }
}

impl Flight {
    /// The bytes as they are now.
    fn bytes(&self) -> Bytes {
        let mut bytes = vec![0; self.len];
        self.region.copy_to(self.region_offset, &mut bytes);
        Bytes::from(bytes)
    }

    fn pieces(&self) -> Vec<Piece> {
        if self.refused.is_some() {
            return Vec::new();
        }
        Piece::split(self.inode, self.offset, &self.bytes())
    }

    fn doubt(&self) -> Doubt {
        Doubt::Write {
            pieces: self.pieces(),
            queued: true,
        }
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING: pairs with the acquire in `wait`: what was done before the wake-up is seen
        // after it.
        self.0.store(true, Ordering::Release);
    }
}

/// What tells a file's handle from every other that is alive.
fn address(file: &Arc<dyn File>) -> usize {
    Arc::as_ptr(file).cast::<()>().addr()
}
