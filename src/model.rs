//! A face for the loom models: the concurrent parts of the log, at a size that can be explored.
//!
//! Exists only under `--cfg ringbolt_loom`. Segments are as small as a model needs them; what runs
//! is the code of the library itself.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::disk::Region;
use crate::log::frame::{self, Check, Frame, HEADER_BYTES, Seed, Shape};
use crate::log::tail::image::Image;
use crate::log::tail::{Refusal, TailAt};
use crate::sync::atomic::{AtomicU64, Ordering, fence};
use crate::sync::lock::Mutex;

#[cfg(feature = "sim")]
pub mod log;

/// Claiming in segments of `end` bytes, without headers or footers.
pub struct Tail {
    tail: crate::log::tail::Tail,
    images: Mutex<Vec<Arc<Image>>>,
    end: u64,
}

/// Where a record was put: ordinal and offset.
pub type Place = (u64, u64);

impl Tail {
    /// A tail with one segment ready.
    pub fn new(end: u64) -> Self {
        let tail = crate::log::tail::Tail::new(0, end).expect("memory");
        let this = Self {
            tail,
            images: Mutex::new(Vec::new()),
            end,
        };
        this.ready();
        this.tail.restart(1, 0);
        this.tail.set_limit(1 << 20, 0);
        this
    }

    /// Makes one more segment ready; its ordinal is ten times its generation.
    pub fn ready(&self) {
        let mut images = self.images.lock();
        let generation = images.len() as u64 + 1;
        let memory = Arc::new(Region::new(self.end as usize).expect("memory"));
        let image = Arc::new(Image::new(
            generation * 10,
            Seed::new(generation),
            memory,
            0,
        ));
        images.push(Arc::clone(&image));
        drop(images);
        self.tail.ready(generation, image);
    }

    /// Appends a record; `Err` says why not.
    pub fn append(&self, payload: &[u8]) -> Result<Place, &'static str> {
        let shape = Shape::default();
        let mut claim = self
            .tail
            .claim(HEADER_BYTES + payload.len(), |_| ())
            .map_err(name)?;
        claim
            .body_mut(shape, payload.len())
            .copy_from_slice(payload);
        let at = claim.position();
        claim.commit(shape, payload.len());
        Ok((at.segment(), at.offset_bytes()))
    }

    /// Claims, fills a part, and drops the claim.
    pub fn abandon(&self, len: usize) -> Result<Place, &'static str> {
        let mut claim = self.tail.claim(HEADER_BYTES + len, |_| ()).map_err(name)?;
        claim.body_mut(Shape::default(), len).fill(0xEE);
        let at = claim.position();
        drop(claim);
        Ok((at.segment(), at.offset_bytes()))
    }

    /// Scans a segment (counted from 0) as the persister does; returns the payloads of its records
    /// with their offsets, and where the committed part ends. Every frame must be sound.
    pub fn scan(&self, index: usize) -> (Vec<(u64, Vec<u8>)>, u64) {
        let Some(image) = self.images.lock().get(index).cloned() else {
            return (Vec::new(), 0);
        };
        let mut records = Vec::new();
        let mut at = 0;
        while at < self.end {
            let Some(len) = frame::committed_bytes(image.committed(at as usize)) else {
                break;
            };
            assert!(at + len as u64 <= self.end, "a frame beyond the end");
            let position = crate::log::position_for_model(image.ordinal(), at);
            // SAFETY: (1) seen committed; (2) nobody retires images in this model.
            let bytes = unsafe { image.bytes(at as usize..at as usize + len) };
            match frame::parse(Check::Verify(image.seed()), position, bytes) {
                Ok((Frame::Record { payload, .. }, _)) => records.push((at, payload.to_vec())),
                Ok((Frame::Pad, pad)) => {
                    assert!(
                        bytes[8..pad].iter().all(|byte| *byte == 0),
                        "padding is zero"
                    );
                }
                other => panic!("no sound frame at {at}: {other:?}"),
            }
            at += len as u64;
        }
        (records, at)
    }

    /// Closes; says where the tail stood: generation and offset.
    pub fn close(&self) -> (u64, u64) {
        let TailAt { generation, offset } = self.tail.close();
        (generation, offset)
    }

    /// Freezes; says where the tail stood.
    pub fn freeze(&self) -> (u64, u64) {
        let TailAt { generation, offset } = self.tail.freeze();
        (generation, offset)
    }

    /// Thaws in a generation that is ready.
    pub fn restart(&self, generation: u64) {
        self.tail.restart(generation, 0);
    }

    /// Thaws where it stood.
    pub fn thaw(&self, generation: u64, offset: u64) {
        self.tail.restart(generation, offset);
    }

    /// Where the tail stands: generation and offset.
    pub fn now(&self) -> (u64, u64) {
        let TailAt { generation, offset } = self.tail.now();
        (generation, offset)
    }

    /// The ordinal of a generation, as readers of the tail's place look it up.
    pub fn ordinal(&self, generation: u64) -> Option<u64> {
        self.tail.ordinal(generation)
    }

    /// Retires the image of a segment (counted from 0), which must be committed in full. Its memory
    /// is written to at once, as the next image would.
    pub fn retire(&self, index: usize) {
        let image = Arc::clone(&self.images.lock()[index]);
        assert!(image.retire().is_some(), "nobody pins in this model");
        // SAFETY: (1) retired without pins, all claims in it committed: the bytes are this thread's;
        // (2) `images` keeps the image, and nobody else has taken its memory.
        let _ = unsafe { image.claimed(0..self.end as usize) };
    }

    /// Poisons.
    pub fn poison(&self) {
        self.tail.poison();
    }

    /// The bound: claims are granted below this place of a generation.
    pub fn set_limit(&self, generation: u64, offset: u64) {
        self.tail.set_limit(generation, offset);
    }
}

fn name(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Bound => "bound",
        Refusal::NotReady => "not ready",
        Refusal::Frozen => "frozen",
        Refusal::Closed => "closed",
        Refusal::Poisoned => "poisoned",
        Refusal::Forked => "forked",
    }
}

/// An image and its pins.
pub struct Pins(Image);

impl Pins {
    /// An image of 16 bytes.
    pub fn new() -> Self {
        Self(Image::new(
            1,
            Seed::new(1),
            Arc::new(Region::new(16).expect("memory")),
            0,
        ))
    }

    /// Pins, touches the memory, unpins; says whether the pin was granted.
    pub fn read(&self) -> bool {
        let pinned = self.0.pin();
        if pinned {
            // SAFETY: (1) nothing is written in this model before the image is retired; (2) pinned.
            let _ = unsafe { self.0.bytes(0..8) };
            self.0.unpin();
        }
        pinned
    }

    /// Retires; when the memory comes back, writes to it as the next image would.
    pub fn retire(&self) -> bool {
        let memory = self.0.retire();
        if memory.is_some() {
            // SAFETY: (1) the memory is this thread's now, (2) and alive.
            let _ = unsafe { self.0.claimed(0..8) };
        }
        memory.is_some()
    }

    /// Whether the memory is still held by the image.
    pub fn holds_memory(&self) -> bool {
        self.0.memory().is_some()
    }
}

impl Default for Pins {
    fn default() -> Self {
        Self::new()
    }
}

/// A watermark and those who wait for it.
pub struct Watermark {
    value: AtomicU64,
    failed: AtomicU64,
    waiters: crate::sync::waiters::Waiters,
}

impl Watermark {
    /// At 0.
    pub fn new() -> Self {
        Self {
            value: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            waiters: crate::sync::waiters::Waiters::new(),
        }
    }

    /// Raises the watermark and wakes.
    pub fn raise(&self, to: u64) {
        self.value.store(to, Ordering::Release);
        self.waiters.wake(to);
    }

    /// Fails: everybody is told.
    pub fn fail(&self) {
        self.failed.store(1, Ordering::Release);
        self.waiters.wake_all();
    }

    fn ready(&self, needed: u64) -> Option<bool> {
        if self.value.load(Ordering::Acquire) >= needed {
            return Some(true);
        }
        (self.failed.load(Ordering::Acquire) != 0).then_some(false)
    }

    /// Blocks until raised (true) or failed (false).
    pub fn wait(&self, needed: u64) -> bool {
        self.waiters
            .wait(needed, None::<Instant>, || self.ready(needed))
            .expect("no deadline")
    }

    /// Awaits the same.
    pub async fn wait_async(&self, needed: u64) -> bool {
        self.waiters.wait_async(needed, || self.ready(needed)).await
    }

    /// Registers a waker and takes it back.
    pub fn register_and_remove(&self, needed: u64, waker: Waker) {
        let key = self.waiters.register(needed, waker);
        self.waiters.remove(key);
    }
}

impl Default for Watermark {
    fn default() -> Self {
        Self::new()
    }
}

/// A bell, work that is counted, and a sleeper's second look.
pub struct Bell {
    bell: crate::sync::bell::Bell,
    work: AtomicU64,
    rung: AtomicU64,
}

impl Bell {
    /// Silent.
    pub fn new() -> Self {
        Self {
            bell: crate::sync::bell::Bell::new(),
            work: AtomicU64::new(0),
            rung: AtomicU64::new(0),
        }
    }

    /// Does a piece of work, and rings if that was wished.
    pub fn work(&self) {
        let done = self.work.fetch_add(1, Ordering::Release) + 1;
        fence(Ordering::SeqCst);
        if self.bell.rings_fenced(done) {
            self.rung.fetch_add(1, Ordering::Release);
        }
    }

    /// Arms for the first piece of work and looks again; says whether it may sleep.
    pub fn may_sleep(&self) -> bool {
        self.bell.arm(1);
        self.work.load(Ordering::Acquire) == 0
    }

    /// How often it was rung.
    pub fn rung(&self) -> u64 {
        self.rung.load(Ordering::Acquire)
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}
