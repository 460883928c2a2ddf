//! A whole log in small: real claims, commits, waits and requests, on one segment, and a persister
//! that keeps to the order of the real one without a disk below it.

use std::sync::Arc;

use crate::disk::sim::SimDisk;
use crate::disk::{Disk, Region};
use crate::engine::Budget;
use crate::error::{Error, ErrorKind, Result};
use crate::log::append::{self, Patience};
use crate::log::core::{Core, CoreParts, Request, Segments};
use crate::log::frame::{self, CHECKPOINT_BYTES, Checkpoint, Seed};
use crate::log::read::ReadPool;
use crate::log::segment::LogId;
use crate::log::tail::Tail;
use crate::log::tail::image::Image;
use crate::log::ticket::Shared;
use crate::log::{Durable, LogOptions, Position, Ticket};
use crate::sync::park::Parker;

const ORDINAL: u64 = 1;
const GENERATION: u64 = 1;

/// A handle. The last one that goes closes the log.
#[derive(Clone)]
pub struct Log(Arc<Handle>);

struct Handle {
    core: Shared,
    image: Arc<Image>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.0.request(Request::Close);
    }
}

/// The persister: of the thread that made the log.
pub struct Persister {
    core: Arc<Core>,
    image: Arc<Image>,
    parker: Arc<Parker>,
    room: u64,
    frontier: u64,
    closing: Option<u64>,
}

/// A log of one segment of `end` bytes, of which `room` bytes may be claimed ahead of the disk.
pub fn open(end: u64, room: u64) -> (Log, Persister) {
    let disk = SimDisk::new(0);
    disk.create_dir("/log".as_ref()).expect("a new disk");
    let tail = Tail::new(0, end).expect("memory");
    let memory = Arc::new(Region::new(end as usize).expect("memory"));
    let image = Arc::new(Image::new(ORDINAL, Seed::new(1), memory, 0));
    let parker = Parker::new();
    let core = Arc::new(Core::new(CoreParts {
        path: "/log".into(),
        features: 0,
        log_id: LogId::default(),
        dir: disk.open_dir("/log".as_ref()).expect("it was made"),
        options: LogOptions::new(),
        share: Budget::new(u64::MAX).take(0).expect("there is no bound"),
        reads: ReadPool::none(),
        tail,
        engine: parker.waker(),
        segments: Segments::default(),
        start: Position::new(ORDINAL, 0),
        durable: Position::new(ORDINAL, 0),
    }));
    core.tail.ready(GENERATION, Arc::clone(&image));
    core.tail.set_limit(GENERATION, room);
    core.tail.restart(GENERATION, 0);
    let handle = Handle {
        core: Shared(Arc::clone(&core)),
        image: Arc::clone(&image),
    };
    let persister = Persister {
        core,
        image,
        parker,
        room,
        frontier: 0,
        closing: None,
    };
    (Log(Arc::new(handle)), persister)
}

impl Log {
    /// Appends, waiting for room.
    pub fn append(&self, payload: &[u8]) -> Result<Ticket<'_>> {
        self.append_patiently(payload, Patience::Block)
    }

    /// Appends if there is room.
    pub fn try_append(&self, payload: &[u8]) -> Result<Ticket<'_>> {
        self.append_patiently(payload, Patience::Try)
    }

    fn append_patiently(&self, payload: &[u8], patience: Patience) -> Result<Ticket<'_>> {
        append::append_with(&self.0.core, payload.len(), patience, |bytes| {
            bytes.copy_from_slice(payload);
        })
    }

    /// Claims and gives up.
    pub fn abandon(&self, len: usize) -> Result<()> {
        append::claim(&self.0.core, len, Patience::Block).map(drop)
    }

    /// What to wait with for the disk, also when the last handle is gone.
    pub fn durable(&self) -> Durable {
        Durable::new(Arc::clone(&self.0.core.0))
    }

    /// A reader of committed frames, which does not keep the log open.
    pub fn reader(&self) -> Reader {
        Reader {
            core: Arc::clone(&self.0.core.0),
            image: Arc::clone(&self.0.image),
            at: 0,
        }
    }
}

/// Stands at a frame's begin.
pub struct Reader {
    core: Arc<Core>,
    image: Arc<Image>,
    at: u64,
}

impl Reader {
    /// Waits for the frame where it stands, and moves over it; returns the frame's length.
    pub fn next_frame(&mut self) -> usize {
        let at = self.at;
        let needed = Position::new(ORDINAL, at).to_u64();
        let len = self.core.committed_waiters.wait(needed, None, || {
            frame::committed_bytes(self.image.committed(at as usize))
        });
        let len = len.expect("no deadline");
        self.at += len as u64;
        len
    }
}

/// The position at an offset.
pub fn position(offset: u64) -> Position {
    Position::new(ORDINAL, offset)
}

impl Persister {
    /// Brings everything to disk until the log is closed; returns where it then ends.
    pub fn run(&mut self) -> u64 {
        loop {
            self.take_requests();
            if self.scan() {
                self.publish();
                continue;
            }
            if self.closing == Some(self.frontier) {
                self.core.finish();
                return self.frontier;
            }
            self.core.arm(position(self.frontier + 8));
            // Look once more, at everything.
            let work = self.scan() || !self.core.requests.lock().is_empty();
            if work {
                self.core.disarm();
                self.publish();
            } else {
                self.parker.park(None);
            }
        }
    }

    /// Writes a checkpoint.
    pub fn checkpoint(&mut self) {
        let core = &self.core;
        let claim = core
            .tail
            .claim_control(|_, _| Some(CHECKPOINT_BYTES as u64))
            .expect("there is room");
        let from = claim.position();
        claim.checkpoint(&Checkpoint {
            log_id: core.log_id,
            watermark: core.durable(),
            log_start: core.start(),
            time_unix_ns: 1,
            records: 0,
            clean: false,
        });
        core.committed_by_persister(from);
    }

    /// Cuts off everything that was appended: the log goes on at `to`, which is on disk.
    pub fn cut_all(&mut self, to: u64) {
        self.core.cuts.add(position(0)..position(to));
        self.core.set_durable(position(to));
        self.core.durable_waiters.wake(position(to).to_u64());
    }

    /// Ends without having closed the log, as when the engine goes before it.
    pub fn die(self) {
        self.core.fail(Error::new(ErrorKind::Closed, "it ended"));
        self.core.finish();
    }

    fn take_requests(&mut self) {
        loop {
            let request = self.core.requests.lock().pop_front();
            match request {
                Some(Request::Close) => self.closing = Some(self.core.tail.close().offset),
                Some(_) => {}
                None => return,
            }
        }
    }

    /// Moves over what is committed; says whether that was anything.
    fn scan(&mut self) -> bool {
        let from = self.frontier;
        let end = self.core.tail.limits().1;
        while self.frontier < end {
            let word = self.image.committed(self.frontier as usize);
            let Some(len) = frame::committed_bytes(word) else {
                break;
            };
            self.frontier += len as u64;
        }
        self.frontier > from
    }

    /// What was found is on disk: watermark and bound first, then the wake-ups.
    fn publish(&mut self) {
        let durable = position(self.frontier);
        if durable > self.core.durable() {
            self.core.set_durable(durable);
            self.core
                .tail
                .set_limit(GENERATION, self.frontier + self.room);
            self.core.durable_waiters.wake(durable.to_u64());
            self.core.room_waiters.wake(0);
        }
    }
}
