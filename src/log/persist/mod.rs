//! The persister of one log: finds what is committed, writes it in groups, moves the watermark.
//!
//! **Group commit without timers**: whatever was committed while the last writes were in flight is
//! the next group. Only contiguous, committed, whole blocks are written, each once. Small groups
//! go one at a time; large ones keep several writes in flight.
//!
//! One state, driven by the engine's thread alone ([`Client`]); handles talk to it through
//! [`Core`]. The parts: `group` decides what to write, `fill` zeroes ahead of it, `images` keeps
//! segments ready ahead and takes memory back, `seal` writes footers and trims, `control` closes and
//! truncates, `follow` gives what was committed to who derives something from it, `timing` tells
//! waiters how long a write takes.

mod control;
mod fill;
#[cfg_attr(ringbolt_loom, allow(dead_code))] // no model follows a log
mod follow;
mod group;
mod images;
mod live;
mod seal;
mod timing;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::disk::{Disk, File, Queue, Region};
use crate::engine::{Client, Shared};
use crate::error::{Error, ErrorKind};
use crate::log::core::{Core, Request, Segment};
use crate::log::follow::Follower;
use crate::log::make::Spares;
use crate::log::position::Position;
use crate::log::segment;
use crate::sync::atomic::Ordering;

pub(crate) use images::Made;
use live::{FooterState, Live};

/// How long a log is left alone before a trailing checkpoint attests its last group.
const TRAILING_NS: u64 = 5_000_000;

/// The persister's state.
pub(crate) struct Persist {
    core: Arc<Core>,
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    lock: Option<Arc<dyn File>>,
    client: u32,
    next_op: u32,
    block: u64,
    /// Where frames begin and end in a segment.
    first: u64,
    end: u64,
    /// Segments in memory, oldest first; the last may be one that is ready ahead.
    live: VecDeque<Live>,
    /// The generation in which the frontier stands.
    frontier_generation: u64,
    next_generation: u64,
    in_flight: usize,
    fill: fill::Fill,
    images: images::Images,
    spares: Arc<Spares>,
    footer: seal::FooterWrite,
    /// Every frame before is on disk as a whole: what checkpoints attest. The watermark itself
    /// counts blocks, and may lie within a frame.
    whole: Position,
    /// What the last checkpoint attested, where the last frame ended that is no checkpoint or
    /// padding, and the last checkpoint's time.
    attested: Position,
    data_end: Position,
    last_time_unix_ns: u64,
    records_total: u64,
    epoch: u64,
    ordinal_max: u64,
    start: seal::Start,
    shut: control::Shut,
    following: follow::Following,
    /// Jobs of the keeper that have not told yet.
    jobs: usize,
    small_writes: timing::SmallWrites,
    /// What changed since the last `settle`.
    progressed: bool,
    last_active_ns: u64,
    /// Since when the frontier has waited for an open claim.
    stuck: Option<(Position, u64)>,
    failed: bool,
    finished: bool,
}

/// How a log's persister begins.
pub(crate) struct Beginning {
    pub(crate) core: Arc<Core>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) lock: Arc<dyn File>,
    pub(crate) spares: Arc<Spares>,
    /// The segment that appends go on in, its file and memory, and where.
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn File>,
    pub(crate) image: Arc<crate::log::tail::image::Image>,
    pub(crate) memory: Arc<Region>,
    pub(crate) at: u64,
    /// Whether zeroes are to be written ahead of what is appended.
    pub(crate) fill: bool,
    pub(crate) records_total: u64,
    pub(crate) last_time_unix_ns: u64,
    pub(crate) epoch: u64,
    pub(crate) ordinal_max: u64,
    /// Who follows the log, from where appending begins.
    pub(crate) follower: Option<Box<dyn Follower>>,
}

/// The generation that an opening begins with.
pub(crate) const FIRST_GENERATION: u64 = 1;

impl Persist {
    pub(crate) fn new(beginning: Beginning) -> Self {
        let Beginning {
            core,
            shared,
            lock,
            spares,
            segment,
            file,
            image,
            memory,
            at,
            fill,
            ..
        } = beginning;
        let (first, end) = core.tail.limits();
        let block = u64::from(segment.header.block_bytes);
        let position = Position::new(segment.ordinal(), at);
        let disk = Arc::clone(&shared.disk);
        let now = disk.now_monotonic_ns();
        let images = images::Images::new(&segment);
        let footer = seal::FooterWrite::default();
        let start = seal::Start::new(core.start());
        let mut this = Self {
            live: VecDeque::from([Live::new(
                FIRST_GENERATION,
                segment,
                file,
                image,
                memory,
                at,
                fill,
            )]),
            core,
            shared,
            disk,
            lock: Some(lock),
            client: 0,
            next_op: 0,
            block,
            first,
            end,
            frontier_generation: FIRST_GENERATION,
            next_generation: FIRST_GENERATION + 1,
            in_flight: 0,
            fill: fill::Fill::default(),
            images,
            spares,
            footer,
            whole: position,
            attested: position,
            data_end: position,
            last_time_unix_ns: beginning.last_time_unix_ns,
            records_total: beginning.records_total,
            epoch: beginning.epoch,
            ordinal_max: beginning.ordinal_max,
            start,
            shut: control::Shut::Open,
            following: follow::Following::new(beginning.follower, FIRST_GENERATION, at),
            jobs: 0,
            small_writes: timing::SmallWrites::default(),
            progressed: false,
            last_active_ns: now,
            stuck: None,
            failed: false,
            finished: false,
        };
        // Claims are granted from now on.
        this.publish();
        this
    }

    fn next_op(&mut self) -> u32 {
        self.next_op = self.next_op.wrapping_add(1);
        self.next_op
    }

    /// The live segment of a generation.
    fn live(&self, generation: u64) -> Option<&Live> {
        let oldest = self.live.front()?.generation;
        self.live.get(generation.checked_sub(oldest)? as usize)
    }

    /// The live segment in which the frontier stands.
    fn front(&self) -> &Live {
        self.live(self.frontier_generation)
            .expect("the frontier stands in a live segment")
    }

    /// Where the frontier stands.
    fn frontier(&self) -> Position {
        let live = self.front();
        live.position(live.frontier)
    }

    /// Ends the log: nothing is acknowledged any more, everybody is told.
    fn fail(&mut self, error: Error) {
        if !self.failed {
            self.failed = true;
            let error = error
                .into_fatal()
                .or_at_path(&self.core.path)
                .remedy("what was acknowledged is safe; open the log again to go on");
            #[cfg(feature = "tracing")]
            tracing::error!(path = %self.core.path.display(), %error, "the log failed");
            self.core.fail(error);
            self.following.end();
            self.answer_all();
        }
    }

    /// Handles learn that the log is closed.
    fn end(&mut self) {
        self.following.end();
        self.finished = true;
        self.core.finish();
        self.answer_all();
    }

    /// Tells everybody who still waits for an answer that none will come.
    fn answer_all(&mut self) {
        let error = self
            .core
            .failure()
            .cloned()
            .unwrap_or_else(|| self.core.closed_error());
        for reply in self.start.take_replies().chain(self.shut.take_reply()) {
            reply.send(Err(error.clone()));
        }
        let mut asked = Vec::new();
        // The keeper's answers stay: a log is through only when its jobs are.
        self.core.requests.lock().retain(|request| {
            if let Request::Trim(_, reply) | Request::Truncate(_, reply) = request {
                asked.push(reply.clone());
                return false;
            }
            true
        });
        for reply in asked {
            reply.send(Err(error.clone()));
        }
    }

    /// Moves the durable watermark over what is contiguous, and the bound with it.
    fn publish(&mut self) {
        let mut durable = None;
        for live in &self.live {
            let reached = live.durable > self.first || live.generation <= self.frontier_generation;
            if durable.is_none() || reached {
                durable = Some((live.position(live.durable), live.generation, live.durable));
                self.whole = self.whole.max(live.position(live.boundary_durable));
            }
            if live.durable < self.end {
                break;
            }
        }
        let Some((position, generation, offset)) = durable else {
            return;
        };
        // A truncation that is under way acknowledges nothing beyond its cut.
        let position = self.shut.cap(position);
        if position > self.core.durable() {
            self.core.set_durable(position);
            self.progressed = true;
        }
        let room = self.end - self.first;
        let reach = (offset - self.first) + self.core.options.unsynced_bound();
        self.core
            .tail
            .set_limit(generation + reach / room, self.first + reach % room);
    }

    /// Takes what is asked for. While the tail is shut everything but the keeper's answers waits:
    /// a truncation, or a close, is done before anything else begins.
    fn take_requests(&mut self, queue: &mut dyn Queue) {
        while let Some(request) = self.next_request() {
            self.progressed = true;
            match request {
                Request::Close => self.shut_for_close(),
                Request::Trim(position, reply) => self.trim(position, Some(reply)),
                Request::Truncate(cut, reply) => self.shut_for_truncate(cut, reply),
                Request::Retry => self.retry_make(),
                Request::Unpinned => self.move_start(Position::MIN),
                Request::Made(made) => {
                    self.jobs -= 1;
                    if !self.is_over() {
                        self.made(made, queue);
                    }
                }
                Request::Removed => {
                    self.jobs -= 1;
                    if !self.is_over() && self.shut.tail().is_none() {
                        self.retry_make();
                    }
                }
                Request::Followed => self.jobs -= 1,
                Request::JobPanicked => {
                    self.jobs -= 1;
                    self.fail(Error::new(
                        ErrorKind::Io,
                        "a job of the log's keeper panicked",
                    ));
                }
            }
        }
    }

    fn next_request(&self) -> Option<Request> {
        let mut requests = self.core.requests.lock();
        let ready = requests.iter().position(|request| self.is_ready(request))?;
        requests.remove(ready)
    }

    /// Whether a request can be taken now.
    fn is_ready(&self, request: &Request) -> bool {
        request.is_told() || !self.is_over() && self.shut.tail().is_none()
    }

    fn has_request(&self) -> bool {
        self.core
            .requests
            .lock()
            .iter()
            .any(|request| self.is_ready(request))
    }

    fn stall_limit_ns(&self) -> u64 {
        u64::try_from(self.core.options.stall_limit.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Fails the log when one claim has kept everything waiting for too long.
    fn check_stalled(&mut self, now: u64) {
        let tail = self.tail_at();
        let front = self.front();
        let waiting = tail.generation != front.generation & crate::log::tail::word::GENERATION_MASK
            || tail.offset > front.frontier;
        let frontier = self.frontier();
        if !waiting || self.core.tail.shut() == Some(crate::log::tail::Refusal::Poisoned) {
            self.stuck = None;
        } else if self.stuck.is_none_or(|(at, _)| at != frontier) {
            self.stuck = Some((frontier, now));
        }
        let since = self.stuck.map_or(0, |(_, since)| since);
        self.core
            .counters
            .stuck_since_ns
            .store(since, Ordering::Relaxed);
        let limit = self.core.options.stall_limit;
        if since != 0 && now.saturating_sub(since) >= self.stall_limit_ns() {
            self.fail(
                Error::new(
                    ErrorKind::Stalled,
                    format!("a claim was neither committed nor dropped for {limit:?}"),
                )
                .at_position(frontier),
            );
        }
    }
}

impl Client for Persist {
    fn attach(&mut self, id: u32, queue: &mut dyn Queue) {
        self.client = id;
        if let Some(lock) = &self.lock {
            queue.hold(lock);
        }
        for live in &self.live {
            queue.add_region(&live.memory);
        }
    }

    fn complete(&mut self, op: u32, result: io::Result<()>) {
        let failure = result.err().map(|error| self.write_failed(op, error));
        let filled = self.fill.complete(op);
        if !filled {
            self.in_flight -= 1;
            self.progressed = true;
        }
        if let Some(error) = failure {
            return self.fail(error);
        }
        if self.failed || filled {
            return;
        }
        let now = || self.disk.now_monotonic_ns();
        if let Some(limit) = self.small_writes.end(op, now) {
            self.core.durable_spin.set_limit(limit);
        }
        if self.footer.op == Some(op) {
            self.footer_done();
        } else {
            for live in &mut self.live {
                if live.complete(op) {
                    break;
                }
            }
        }
        self.publish();
    }

    fn turn(&mut self, queue: &mut dyn Queue) {
        self.take_requests(queue);
        if self.is_over() {
            return;
        }
        self.scan();
        self.keep_ready(queue);
        self.write_groups(queue);
        self.write_footer(queue);
        self.fill_ahead(queue);
        self.advance_shut();
    }

    fn settle(&mut self, queue: &mut dyn Queue) -> bool {
        if self.is_over() {
            if self.is_still() && self.jobs == 0 && !self.finished {
                if !self.failed {
                    self.end_following();
                }
                self.release(queue);
                self.end();
            }
            return false;
        }
        let late = self.follow(follow::FOLLOW_MAX);
        let progressed = std::mem::take(&mut self.progressed);
        if progressed {
            self.last_active_ns = self.disk.now_monotonic_ns();
            self.core.durable_waiters.wake(self.core.durable().to_u64());
            self.core.room_waiters.wake(0);
            self.finish_trims(queue);
            self.retain();
        } else if self.retention_due() {
            self.retain();
            return true;
        }
        self.work_for_follower();
        let zeroing = self.zero_piece(queue);
        progressed || zeroing || late
    }

    fn arm(&mut self) -> bool {
        if self.is_over() {
            let through = self.is_still() && self.jobs == 0;
            return through && !self.finished || self.has_request();
        }
        let now = self.disk.now_monotonic_ns();
        self.check_stalled(now);
        if self.failed {
            return true;
        }
        self.core.arm(self.wish());
        // Look once more: what was committed before the wish was seen wakes nobody.
        self.scan();
        let overdue = self.deadline_ns().is_some_and(|deadline| deadline <= now);
        let work = self.has_group() || overdue || self.has_request() || self.is_followed_late();
        if work {
            self.core.disarm();
        }
        work
    }

    fn deadline_ns(&self) -> Option<u64> {
        if self.is_over() {
            return None;
        }
        let stalled = self
            .stuck
            .and_then(|(_, since)| since.checked_add(self.stall_limit_ns()));
        let trailing = self
            .wants_trailing()
            .then_some(self.last_active_ns.saturating_add(TRAILING_NS));
        let retention = self.retention_deadline_ns();
        [stalled, trailing, retention, self.follower_deadline_ns()]
            .into_iter()
            .flatten()
            .min()
    }

    fn queue_failed(&mut self, error: &io::Error) {
        // Nothing completes any more: the kernel closes what is open.
        self.in_flight = 0;
        self.fill.abandon();
        let error = io::Error::new(error.kind(), error.to_string());
        self.fail(Error::io("the queue to the disk failed", error));
        self.lock = None;
        if !self.finished {
            self.end();
        }
    }

    fn is_finished(&self) -> bool {
        self.finished
    }
}

impl Persist {
    /// Whether nothing will be written any more: failed, or closed.
    fn is_over(&self) -> bool {
        self.failed || self.finished || self.shut.is_done()
    }

    /// The error of a write that is still known: what was to be written, and where.
    fn write_failed(&self, op: u32, error: io::Error) -> Error {
        let (what, place) = if let Some((generation, range)) = self.fill.place(op) {
            let live = self.live(generation);
            ("zeroes ahead of the log", live.map(|live| (live, range)))
        } else if self.footer.op == Some(op) {
            let sealing = |live: &&Live| live.footer == FooterState::Submitted;
            let range = self.end..self.end + self.block;
            let live = self.live.iter().find(sealing);
            ("a segment's footer", live.map(|live| (live, range)))
        } else {
            let range = |live: &'_ Live| live.range_of(op);
            let mut found = self.live.iter().filter_map(|l| Some((l, range(l)?)));
            ("the log", found.next())
        };
        let Some((live, range)) = place else {
            return Error::io(format!("writing {what}"), error);
        };
        let bytes = range.end - range.start;
        let name = segment::file_name(live.segment.ordinal());
        Error::io(format!("writing {bytes} bytes of {what}"), error)
            .at_path(self.core.path.join(name))
            .at_position(live.position(range.start))
    }

    /// Whether no write of this log is under way.
    fn is_still(&self) -> bool {
        self.in_flight == 0 && !self.fill.is_under_way()
    }

    /// Gives the queue back what was announced to it, and the lock to whoever comes next.
    fn release(&mut self, queue: &mut dyn Queue) {
        for live in &self.live {
            queue.remove_region(&live.memory);
        }
        self.images.release(queue);
        self.footer.release(queue);
        // Of a log that failed, memory alone has what was committed and is not on disk.
        if !self.failed {
            self.let_images_go();
        }
        if let Some(lock) = self.lock.take() {
            queue.release(&lock);
            // Not by closing alone: a forked child may have the descriptor, too. If it fails, the
            // closing does it once the child is gone.
            let _ = lock.unlock();
        }
    }
}

impl Drop for Persist {
    fn drop(&mut self) {
        // The engine ended before this log was closed: nobody will ever finish it.
        if !self.finished {
            self.core
                .fail(Error::new(ErrorKind::Closed, "the engine ended").at_path(&self.core.path));
            self.end();
        }
    }
}

/// Rounds down to a multiple of a power of two.
fn floor(value: u64, unit: u64) -> u64 {
    value & !(unit - 1)
}

/// Rounds up to a multiple of a power of two.
fn ceil(value: u64, unit: u64) -> u64 {
    floor(value + unit - 1, unit)
}
