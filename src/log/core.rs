//! What the handles of one log share with its persister: the tail, the watermarks, who waits, and
//! the list of segments.
//!
//! The persister alone moves the durable watermark and changes the list; handles claim, read and
//! wait. Nothing here blocks on the disk.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;

use crossbeam_utils::CachePadded;

use crate::disk::{Access, Dir};
use crate::engine::Share;
use crate::error::{Error, ErrorKind, Result};
use crate::log::cuts::Cuts;
use crate::log::hold::{Absent, Held};
use crate::log::options::{Durability, LogOptions};
use crate::log::pin::Pins;
use crate::log::position::Position;
use crate::log::read::ReadPool;
use crate::log::segment::{Header, LogId, TimeIndex};
use crate::log::stats::Counters;
use crate::log::tail::claim::Claimed;
use crate::log::tail::image::Image;
use crate::log::tail::{Refusal, Tail};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sync::bell::Bell;
use crate::sync::lock::{Mutex, RwLock};
use crate::sync::park::SpinPlace;
use crate::sync::waiters::Waiters;

/// Everything that the handles of a log and its persister share.
pub(crate) struct Core {
    pub(crate) path: PathBuf,
    pub(crate) log_id: LogId,
    /// Of its segments' headers.
    pub(crate) features: u64,
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) options: LogOptions,
    pub(crate) access: Access,
    pub(crate) tail: Tail,
    /// What the images have of the engine's buffer budget; goes back when the log closed, or, if it
    /// failed, with the last handle: the images stay until then.
    pub(crate) share: Share,
    /// Everything before this position is on disk.
    durable: CachePadded<AtomicU64>,
    /// What wakes the persister: a commit that ends at or beyond a position.
    bell: CachePadded<Bell>,
    /// Readers of gated visibility see what lies before it.
    gate: AtomicU64,
    /// Records before this were trimmed.
    start: AtomicU64,
    /// Those who wait for the durable watermark.
    pub(crate) durable_waiters: Waiters,
    /// The one of them that spins while a small write is under way.
    pub(crate) durable_spin: SpinPlace,
    /// Readers that wait for a commit, by the position where they stand.
    pub(crate) committed_waiters: Waiters,
    /// Readers that wait for the gate.
    pub(crate) gate_waiters: Waiters,
    /// Producers that wait for room; all with the same number.
    pub(crate) room_waiters: Waiters,
    /// What was cut off since the log was opened.
    pub(crate) cuts: Cuts,
    /// Segments that must not go yet.
    pub(crate) pins: Pins,
    failure: OnceLock<Error>,
    /// The persister is through with this log; the lock is free again.
    finished: AtomicBool,
    /// The next segment could not be made: the disk is full.
    pub(crate) full: AtomicBool,
    pub(crate) segments: RwLock<Segments>,
    /// The memory of direct reads, and their queues.
    pub(crate) reads: Arc<ReadPool>,
    pub(crate) requests: Mutex<VecDeque<Request>>,
    /// Wakes the engine's thread.
    pub(crate) engine: Waker,
    pub(crate) counters: Counters,
}

/// What handles ask of the persister.
pub(crate) enum Request {
    /// Close the log: the last handle is gone, or somebody called `close`.
    Close,
    /// Drop what lies before the position.
    Trim(Position, Reply),
    /// Cut what lies at and behind the position.
    Truncate(Cut, Reply),
    /// A job ended; see the persister.
    Made(crate::log::persist::Made),
    /// An append found the disk full: try again to make a segment.
    Retry,
    /// A pin has gone that was in a trim's way.
    Unpinned,
    /// A job that removed segments ended.
    Removed,
    /// A job of who follows the log ended.
    Followed,
    /// A job ended in a panic.
    JobPanicked,
}

impl Request {
    /// Whether it is what a job of the keeper tells, and not what a handle asks.
    pub(crate) fn is_told(&self) -> bool {
        matches!(
            self,
            Self::Made(_) | Self::Removed | Self::Followed | Self::JobPanicked
        )
    }
}

/// Where a log is to be cut off: before this record, whose frame begins there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) record: Position,
    /// Not the record's position where that is a batch's first.
    pub(crate) frame: Position,
}

/// Where the answer to a request goes.
#[derive(Clone)]
pub(crate) struct Reply(pub(crate) Arc<ReplySlot>);

/// The answer, and who waits for it.
pub(crate) struct ReplySlot {
    pub(crate) answer: Mutex<Option<Result<Position>>>,
    pub(crate) waiters: Waiters,
}

impl Reply {
    pub(crate) fn new() -> Self {
        Self(Arc::new(ReplySlot {
            answer: Mutex::new(None),
            waiters: Waiters::new(),
        }))
    }

    pub(crate) fn send(&self, answer: Result<Position>) {
        *self.0.answer.lock() = Some(answer);
        self.0.waiters.wake_all();
    }

    pub(crate) fn get(&self) -> Option<Result<Position>> {
        self.0.answer.lock().clone()
    }

    pub(crate) fn wait(&self) -> Result<Position> {
        self.0
            .waiters
            .wait(0, None, || self.get())
            .expect("there is no deadline")
    }
}

/// The segments of the log, oldest first: all that can be read.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    pub(crate) list: VecDeque<Arc<Segment>>,
}

/// One segment of the log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) header: Header,
    /// Where its frames end, in bytes; `u64::MAX` while it is written.
    end: AtomicU64,
    /// Its footer is on disk, or it was cut: nothing writes to its file any more.
    sealed: AtomicBool,
    /// In memory, while it is near the tail.
    pub(crate) image: Mutex<Option<Arc<Image>>>,
    /// Its file, while somebody reads it; whoever writes has an opening of his own.
    held: Mutex<Weak<Held>>,
    pub(crate) summary: Mutex<Summary>,
}

/// What a segment holds, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) times: TimeIndex,
}

impl Segment {
    pub(crate) fn new(
        header: Header,
        end: Option<u64>,
        sealed: bool,
        image: Option<Arc<Image>>,
        summary: Summary,
    ) -> Arc<Self> {
        Arc::new(Self {
            header,
            end: AtomicU64::new(end.unwrap_or(u64::MAX)),
            sealed: AtomicBool::new(sealed),
            image: Mutex::new(image),
            held: Mutex::new(Weak::new()),
            summary: Mutex::new(summary),
        })
    }

    pub(crate) fn ordinal(&self) -> u64 {
        self.header.ordinal
    }

    /// Where its frames begin.
    pub(crate) fn first(&self) -> Position {
        Position::new(self.header.ordinal, self.header.frames().start)
    }

    /// Where its frames end, in bytes of the file, once that is known: then what follows is in the
    /// next segment.
    pub(crate) fn end_bytes(&self) -> Option<u64> {
        match self.end.load(Ordering::Acquire) {
            u64::MAX => None,
            end => Some(end),
        }
    }

    pub(crate) fn set_end(&self, end_bytes: u64) {
        self.end.store(end_bytes, Ordering::Release);
    }

    /// Whether its file may be mapped and read: nothing writes to it any more.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    pub(crate) fn set_sealed(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// Its file, to be read: the one that other readers have, or opened anew. It closes when the
    /// last of them lets it go. Blocks on the disk.
    pub(crate) fn hold(&self, dir: &dyn Dir) -> io::Result<Result<Arc<Held>, Absent>> {
        let mut slot = self.held.lock();
        if let Some(held) = slot.upgrade() {
            return Ok(Ok(held));
        }
        let opened = Held::open(dir, self.ordinal())?.map(Arc::new);
        if let Ok(held) = &opened {
            *slot = Arc::downgrade(held);
        }
        Ok(opened)
    }

    /// The image, while the segment is in memory.
    pub(crate) fn image(&self) -> Option<Arc<Image>> {
        self.image.lock().clone()
    }
}

impl Segments {
    /// The segment with this ordinal.
    pub(crate) fn get(&self, ordinal: u64) -> Option<&Arc<Segment>> {
        let index = self
            .list
            .binary_search_by_key(&ordinal, |s| s.ordinal())
            .ok()?;
        self.list.get(index)
    }

    /// The first segment with an ordinal above this.
    pub(crate) fn after(&self, ordinal: u64) -> Option<&Arc<Segment>> {
        let index = self.list.partition_point(|s| s.ordinal() <= ordinal);
        self.list.get(index)
    }
}

pub(crate) struct CoreParts {
    pub(crate) path: PathBuf,
    pub(crate) log_id: LogId,
    pub(crate) features: u64,
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) options: LogOptions,
    pub(crate) tail: Tail,
    pub(crate) share: Share,
    pub(crate) engine: Waker,
    pub(crate) segments: Segments,
    pub(crate) reads: Arc<ReadPool>,
    pub(crate) start: Position,
    pub(crate) durable: Position,
}

impl Core {
    pub(crate) fn new(parts: CoreParts) -> Self {
        Self {
            access: parts.dir.access(),
            path: parts.path,
            log_id: parts.log_id,
            features: parts.features,
            dir: parts.dir,
            options: parts.options,
            tail: parts.tail,
            share: parts.share,
            durable: CachePadded::new(AtomicU64::new(parts.durable.to_u64())),
            bell: CachePadded::new(Bell::new()),
            gate: AtomicU64::new(0),
            start: AtomicU64::new(parts.start.to_u64()),
            durable_waiters: Waiters::new(),
            durable_spin: SpinPlace::new(),
            committed_waiters: Waiters::new(),
            gate_waiters: Waiters::new(),
            room_waiters: Waiters::new(),
            cuts: Cuts::new(),
            pins: Pins::new(parts.start),
            failure: OnceLock::new(),
            finished: AtomicBool::new(false),
            full: AtomicBool::new(false),
            segments: RwLock::new(parts.segments),
            reads: parts.reads,
            requests: Mutex::new(VecDeque::new()),
            engine: parts.engine,
            counters: Counters::new(),
        }
    }

    /// Everything before this is on disk.
    #[inline]
    pub(crate) fn durable(&self) -> Position {
        // ORDERING: pairs with the release in `set_durable`.
        Position::from_u64(self.durable.load(Ordering::Acquire))
    }

    /// Persister only. Wakes nobody: that comes after the next submission.
    pub(crate) fn set_durable(&self, position: Position) {
        self.durable.store(position.to_u64(), Ordering::Release);
    }

    pub(crate) fn start(&self) -> Position {
        Position::from_u64(self.start.load(Ordering::Acquire))
    }

    /// Persister only.
    pub(crate) fn set_start(&self, position: Position) {
        self.start.store(position.to_u64(), Ordering::Release);
    }

    pub(crate) fn gate(&self) -> Position {
        Position::from_u64(self.gate.load(Ordering::Acquire))
    }

    pub(crate) fn set_gate(&self, position: Position) {
        self.gate.store(position.to_u64(), Ordering::Release);
        // A reader that stands at p needs the gate beyond p.
        self.gate_waiters.wake(position.to_u64());
    }

    /// After a commit of the frame from `from` to `end`: wakes the persister and the readers that
    /// wait for it. No system call when neither does.
    #[inline]
    pub(crate) fn committed(&self, from: Position, end: Position) {
        // ORDERING: pairs with the fences in `Bell::arm` and in `Waiters::register`: either we see
        // the wish, or whoever wished sees the commit.
        fence(Ordering::SeqCst);
        if self.bell.rings_fenced(end.to_u64()) {
            self.engine.wake_by_ref();
        }
        self.committed_waiters.wake_fenced(from.to_u64());
    }

    /// After a commit of the persister's own at `from`: wakes the readers that wait for it, or that
    /// found it uncommitted in front of a record.
    pub(crate) fn committed_by_persister(&self, from: Position) {
        self.committed_waiters.wake(from.to_u64());
    }

    /// Claims space for a frame of `len` bytes.
    #[inline]
    pub(crate) fn claim(&self, len: usize) -> Result<Claimed<'_>, Refusal> {
        self.tail.claim(len, |padding| {
            self.nudge();
            // A reader may stand before the padding, and the claim behind it be given up.
            self.committed_waiters.wake_fenced(padding.to_u64());
        })
    }

    /// Wakes the persister if it sleeps until a commit: an append found no room.
    pub(crate) fn nudge(&self) {
        fence(Ordering::SeqCst);
        if self.bell.rings_fenced(u64::MAX - 1) {
            self.engine.wake_by_ref();
        }
    }

    /// Persister only: asks to be woken by a commit that ends at or beyond `position`. Look for it
    /// once more afterwards.
    pub(crate) fn arm(&self, position: Position) {
        self.bell.arm(position.to_u64());
    }

    /// Persister only: takes the wish back.
    pub(crate) fn disarm(&self) {
        self.bell.disarm();
    }

    /// Sends a request to the persister.
    pub(crate) fn request(&self, request: Request) {
        self.requests.lock().push_back(request);
        self.engine.wake_by_ref();
    }

    /// The log failed: no claim and no acknowledgement from now on; everybody is told.
    pub(crate) fn fail(&self, error: Error) {
        let _ = self.failure.set(error.into_fatal());
        self.tail.poison();
        self.wake_everybody();
    }

    /// The error that ended the log.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.get()
    }

    /// The persister is through with this log.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        self.wake_everybody();
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Wakes every waiter to look again at what it waits for.
    pub(crate) fn wake_everybody(&self) {
        self.durable_waiters.wake_all();
        self.committed_waiters.wake_all();
        self.gate_waiters.wake_all();
        self.room_waiters.wake_all();
    }

    /// Whether the record that begins at `at` and ends at `end` is acknowledged: `None` while that
    /// is open.
    pub(crate) fn outcome(&self, at: Position, end: Position) -> Option<Result<Position>> {
        if self.options.durability == Durability::Memory && !self.is_forked() {
            return Some(self.failure().map_or(Ok(at), |error| Err(error.clone())));
        }
        if let Some(verdict) = self.on_disk(at, end) {
            return Some(verdict);
        }
        let ended = if let Some(error) = self.failure() {
            error.clone()
        } else if self.is_forked() {
            self.refused(Refusal::Forked)
        } else if self.is_finished() {
            self.closed_error()
        } else {
            return None;
        };
        // Once more: it may have come to disk just before the end, where the watermark stays.
        Some(self.on_disk(at, end).unwrap_or(Err(ended)))
    }

    /// The verdict on a record up to whose end the log is on disk.
    fn on_disk(&self, at: Position, end: Position) -> Option<Result<Position>> {
        if end > self.durable() {
            return None;
        }
        if self.cuts.hold(at) {
            return Some(Err(Error::new(
                ErrorKind::Cut,
                "the record was cut off before it was acknowledged",
            )
            .at_position(at)));
        }
        Some(Ok(at))
    }

    /// Whether this is a forked child of the process that opened the log.
    pub(crate) fn is_forked(&self) -> bool {
        self.tail.shut() == Some(Refusal::Forked)
    }

    pub(crate) fn closed_error(&self) -> Error {
        Error::new(ErrorKind::Closed, "")
            .at_path(&self.path)
            .remedy("open it again")
    }

    /// A refused claim as an error.
    pub(crate) fn refused(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Bound | Refusal::Frozen => Error::new(ErrorKind::WouldBlock, "no room yet"),
            Refusal::NotReady if self.full.load(Ordering::Acquire) => {
                self.request(Request::Retry);
                Error::new(ErrorKind::Full, "there is no space for the next segment")
                    .at_path(&self.path)
                    .remedy("free space or trim the log, then append again")
            }
            Refusal::NotReady => Error::new(ErrorKind::WouldBlock, "no segment is ready yet"),
            Refusal::Closed => self.closed_error(),
            Refusal::Poisoned => self
                .failure()
                .cloned()
                .unwrap_or_else(|| self.closed_error()),
            Refusal::Forked => Error::new(ErrorKind::Forked, "")
                .at_path(&self.path)
                .remedy("open the log in the process that uses it"),
        }
    }
}
