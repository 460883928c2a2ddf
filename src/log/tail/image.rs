//! A tail image: a segment in memory, byte for byte what its file will hold.
//!
//! The image of a segment that was opened again begins where appending goes on: what lies before is
//! in the file alone, and is read from there.
//!
//! Producers write disjoint claimed ranges into it; each range becomes readable when its commit
//! word is released. The disk takes committed ranges, readers borrow them under a pin.
//!
//! An image lives once: its memory may serve another image later, but only after
//! [`Image::retire`] found it without pins. If there are pins, the memory stays with the image
//! until the last one goes, and whoever wanted it takes fresh memory instead: nobody waits for a
//! reader.
//!
//! Progress: pinning, unpinning and retiring are wait-free.

use std::ops::Range;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::disk::Region;
use crate::log::frame::{self, Seed};
use crate::sync::atomic::{AtomicU32, Ordering};
#[cfg(ringbolt_loom)]
use crate::sync::cell::UnsafeCell;
use crate::sync::lock::Mutex;

/// No new pins: the memory went elsewhere, or waits for the last pin.
const RETIRED: u32 = 1 << 31;
/// There were pins when the image was retired: the last of them frees the memory.
const DETACHED: u32 = 1 << 30;

/// A segment in memory.
pub(crate) struct Image {
    ordinal: u64,
    seed: Seed,
    base: *mut u8,
    len: usize,
    /// Where its first frame begins.
    first: usize,
    /// Pins, [`RETIRED`], [`DETACHED`].
    pins: CachePadded<AtomicU32>,
    memory: Mutex<Option<Arc<Region>>>,
    #[cfg(ringbolt_loom)]
    words: Vec<AtomicU32>,
    #[cfg(ringbolt_loom)]
    units: Vec<UnsafeCell<()>>,
}

// SAFETY: the raw pointer leads to the region in `memory`; ranges of it are accessed by one thread
// at a time until their commit word is released, and only read afterwards.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    /// An image over zeroed memory, whose first frame will begin at `first`.
    pub(crate) fn new(ordinal: u64, seed: Seed, memory: Arc<Region>, first: u64) -> Self {
        Self {
            ordinal,
            seed,
            base: memory.as_ptr(),
            len: memory.len(),
            first: first as usize,
            pins: CachePadded::new(AtomicU32::new(0)),
            #[cfg(ringbolt_loom)]
            words: (0..memory.len() / 8).map(|_| AtomicU32::new(0)).collect(),
            #[cfg(ringbolt_loom)]
            units: (0..memory.len() / 8).map(|_| UnsafeCell::new(())).collect(),
            memory: Mutex::new(Some(memory)),
        }
    }

    pub(crate) fn ordinal(&self) -> u64 {
        self.ordinal
    }

    pub(crate) fn seed(&self) -> Seed {
        self.seed
    }

    /// How much memory it takes, in bytes.
    pub(crate) fn bytes_total(&self) -> u64 {
        self.len as u64
    }

    /// Where its first frame begins, in bytes of the segment.
    pub(crate) fn first(&self) -> usize {
        self.first
    }

    /// The memory; `None` once it went elsewhere.
    #[cfg(any(test, ringbolt_loom))]
    pub(crate) fn memory(&self) -> Option<Arc<Region>> {
        self.memory.lock().clone()
    }

    /// The commit word of the frame at `offset`, a multiple of 8 inside the image.
    #[inline]
    fn commit_word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset % 8 == 0 && offset + 8 <= self.len);
        #[cfg(ringbolt_loom)]
        return &self.words[offset / 8];
        // SAFETY: inside the memory, aligned to 8, and only accessed as an atomic while it can
        // be a commit word: a claim's mutable borrows begin behind it (`OWNED_FROM`).
        #[cfg(not(ringbolt_loom))]
        return unsafe { &*self.base.add(offset).cast::<AtomicU32>() };
    }

    /// What is committed at `offset`; 0 for nothing yet.
    ///
    /// The caller must keep the image from being reused: it is the persister, or holds a pin.
    #[inline]
    pub(crate) fn committed(&self, offset: usize) -> u32 {
        // ORDERING: pairs with the release in `commit`: the frame's bytes are seen with it.
        self.commit_word(offset).load(Ordering::Acquire)
    }

    /// Publishes the frame at `offset`: its bytes are final.
    #[inline]
    pub(crate) fn commit(&self, offset: usize, word: u32) {
        // ORDERING: pairs with the acquire in `committed`.
        self.commit_word(offset).store(word, Ordering::Release);
        #[cfg(ringbolt_loom)]
        // The model's words lie apart; the bytes are kept true for the disk and for readers.
        // SAFETY: the frame is this thread's until this very moment in the program's order; in
        // the model nobody reads these four bytes but through the acquire above.
        unsafe {
            self.base.add(offset).cast::<u32>().write(word.to_le())
        };
    }

    /// The bytes of a claimed range.
    ///
    /// # Safety
    ///
    /// 1. The range was claimed by the caller, is not committed, and no other reference to any of
    ///    its bytes exists for as long as the returned one is used.
    /// 2. The memory is not given away meanwhile (an open claim keeps it).
    #[inline]
    #[allow(clippy::mut_from_ref)] // the claim is what makes it exclusive
    pub(crate) unsafe fn claimed(&self, range: Range<usize>) -> &mut [u8] {
        assert!(range.start <= range.end && range.end <= self.len);
        #[cfg(ringbolt_loom)]
        for unit in &self.units[range.start / 8..range.end.div_ceil(8)] {
            unit.with_mut(|_| ());
        }
        // SAFETY: inside the memory by the assertion, initialised (zeroed) from its beginning, and
        // exclusive by (1) and (2).
        unsafe {
            std::slice::from_raw_parts_mut(self.base.add(range.start), range.end - range.start)
        }
    }

    /// The bytes of a committed range.
    ///
    /// # Safety
    ///
    /// 1. The caller saw the range committed (see [`Image::committed`]), or owns the claim of it and
    ///    no mutable reference to it exists.
    /// 2. The memory is not given away meanwhile: the caller is the persister, or holds a pin for
    ///    as long as the bytes are used.
    #[inline]
    pub(crate) unsafe fn bytes(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.len);
        #[cfg(ringbolt_loom)]
        for unit in &self.units[range.start / 8..range.end.div_ceil(8)] {
            unit.with(|_| ());
        }
        // SAFETY: inside the memory, initialised, and never written again by (1) until the memory
        // serves another image, which (2) excludes.
        unsafe { std::slice::from_raw_parts(self.base.add(range.start), range.end - range.start) }
    }

    /// The records and payload bytes of the committed frame of `len` bytes at `offset`.
    ///
    /// For the persister alone, which keeps the memory.
    #[inline]
    pub(crate) fn count(&self, offset: usize, len: usize) -> (u64, u64) {
        // SAFETY: (1) the caller read the frame's length from its commit word; (2) the persister
        // itself decides when the memory goes.
        frame::count(unsafe { self.bytes(offset..offset + len.min(32)) })
    }

    /// The bytes that the committed frame at `offset` takes; `None` while nothing is committed there.
    ///
    /// For the persister alone, which keeps the memory.
    #[inline]
    pub(crate) fn frame_bytes(&self, offset: usize) -> Option<usize> {
        frame::committed_bytes(self.committed(offset))
    }

    /// The committed frame at `offset`, of `len` bytes.
    ///
    /// For the persister alone, which keeps the memory.
    #[inline]
    pub(crate) fn frame(&self, offset: usize, len: usize) -> &[u8] {
        assert!(self.frame_bytes(offset) == Some(len));
        // SAFETY: (1) it is committed, and so long; (2) the persister itself decides when the memory
        // goes, and not while it lends it.
        unsafe { self.bytes(offset..offset + len) }
    }

    /// Tries to keep the memory as it is; fails once the image was retired.
    #[inline]
    pub(crate) fn pin(&self) -> bool {
        // ORDERING: acquire, so that nothing of the reading moves before the pin. No model kills it:
        // a pin that is granted precedes the swap in `retire`, which the unpin then orders. It may
        // stay: an addition with a lock prefix, or its like, is paid for anyway.
        if self.pins.fetch_add(1, Ordering::Acquire) & RETIRED == 0 {
            return true;
        }
        self.unpin();
        false
    }

    /// Gives a pin back.
    #[inline]
    pub(crate) fn unpin(&self) {
        // ORDERING: release, pairing with the acquire of the swap in `retire` or of the last
        // unpin: the reading is over before the memory is reused or freed.
        if self.pins.fetch_sub(1, Ordering::AcqRel) == RETIRED | DETACHED | 1 {
            // The last pin of a detached image; a late failing `pin` may come here again and
            // find nothing.
            drop(self.memory.lock().take());
        }
    }

    /// Ends the image. Returns its memory if nobody pins it; else the last pin frees it.
    pub(crate) fn retire(&self) -> Option<Arc<Region>> {
        // ORDERING: acquire, pairing with the release in `unpin`.
        if self
            .pins
            .compare_exchange(0, RETIRED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            return self.memory.lock().take();
        }
        // ORDERING: acquire, for the freeing below, pairing with the release in `unpin`. No model kills
        // it, since the models do not see memory being freed.
        if self.pins.fetch_or(RETIRED | DETACHED, Ordering::AcqRel) & !(RETIRED | DETACHED) == 0 {
            // The pin went between the two: it did not see that it was the last.
            drop(self.memory.lock().take());
        }
        None
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image")
            .field("ordinal", &self.ordinal)
            .field("len", &self.len)
            .finish()
    }
}

/// Zeroes a piece of memory that serves nobody: it came from [`Image::retire`], is fresh, or is the
/// persister's own, and no write from it is outstanding.
pub(crate) fn zero_idle(memory: &Arc<Region>, range: Range<usize>) {
    assert!(range.start <= range.end && range.end <= memory.len());
    // SAFETY: inside the memory. No image leads to it and no write is outstanding, by what the
    // persister does before it calls this: nobody else reads or writes these bytes.
    unsafe {
        memory
            .as_ptr()
            .add(range.start)
            .write_bytes(0, range.end - range.start)
    };
}

/// Zeroes memory that serves nobody, and has it filled.
pub(crate) fn fill_idle<R>(memory: &Arc<Region>, fill: impl FnOnce(&mut [u8]) -> R) -> R {
    zero_idle(memory, 0..memory.len());
    // SAFETY: as in `zero_idle`, for as long as this call takes.
    fill(unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), memory.len()) })
}
