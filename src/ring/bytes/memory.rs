//! The memory of a byte ring: a power of two of bytes, which are reached by their position.
//!
//! It is zeroed when it is made; of many senders, the receiver zeroes again what it gives back. Headers
//! are atomic words in it; all other bytes belong to one side at a time.
//!
//! In the models the headers are words apart, which loom watches, and each granule has a cell that
//! stands for its bytes: two sides that touch one without an order between them are seen.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use super::layout::{GRANULE_BYTES, Header};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::atomic::{AtomicU64, Ordering};
#[cfg(ringbolt_loom)]
use crate::sync::cell::UnsafeCell;

/// What the first byte is aligned to: a pair of lines, which processors fetch together.
const ALIGNMENT_BYTES: usize = 128;

/// What is zeroed word by word.
const SMALL_BYTES: usize = 96;

/// The memory.
pub(super) struct Memory {
    base: NonNull<u8>,
    capacity: u64,
    allocated: NonNull<u8>,
    layout: Layout,
    #[cfg(ringbolt_loom)]
    words: Box<[AtomicU64]>,
    #[cfg(ringbolt_loom)]
    granules: Box<[UnsafeCell<()>]>,
}

// SAFETY: plain bytes, which belong to no thread; who may touch which of them when is said by the
// duties of the methods.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// `capacity` zeroed bytes, a power of two.
    pub(super) fn new(capacity: usize) -> Result<Self> {
        debug_assert!(capacity.is_power_of_two() && capacity as u64 >= GRANULE_BYTES);
        let no_memory = || {
            Error::new(
                ErrorKind::OverBudget,
                format!("there is no memory for a ring of {capacity} bytes"),
            )
        };
        // Alignment by hand: for more than its usual one the allocator would zero all of it at once.
        let layout = Layout::from_size_align(capacity + ALIGNMENT_BYTES, GRANULE_BYTES as usize)
            .map_err(|_| no_memory())?;
        // SAFETY: the layout has a size.
        let allocated = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(no_memory)?;
        let base = allocated.as_ptr();
        // SAFETY: at most `ALIGNMENT_BYTES` further, which were allocated beyond the capacity.
        let base = unsafe { base.add(base.align_offset(ALIGNMENT_BYTES)) };
        Ok(Self {
            // SAFETY: inside the allocation, hence not null.
            base: unsafe { NonNull::new_unchecked(base) },
            capacity: capacity as u64,
            allocated,
            layout,
            #[cfg(ringbolt_loom)]
            words: (0..capacity / 8).map(|_| AtomicU64::new(0)).collect(),
            #[cfg(ringbolt_loom)]
            granules: (0..capacity / 8).map(|_| UnsafeCell::new(())).collect(),
        })
    }

    #[inline]
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    #[inline]
    fn offset(&self, position: u64) -> usize {
        (position & (self.capacity - 1)) as usize
    }

    /// What is committed at a position, a multiple of the granule. For the one who takes records.
    #[inline]
    pub(super) fn header(&self, position: u64) -> Header {
        // ORDERING: pairs with the release in `commit`: all that was written of the record is seen,
        // and what was stored with `prepare` behind it.
        let header = Header(self.word(position).load(Ordering::Acquire));
        self.look(position);
        #[cfg(ringbolt_loom)]
        if header.0 == 0 {
            // SAFETY: inside, by the mask. In the models threads take turns.
            let below = unsafe { self.at(position).cast::<u64>().read() };
            assert_eq!(below, 0, "a payload of old would be read as a header");
        }
        header
    }

    /// Publishes what begins at a position, and all that was prepared behind it.
    ///
    /// # Safety
    ///
    /// The place is the caller's claim, and complete; it is given up herewith.
    #[inline]
    pub(super) unsafe fn commit(&self, position: u64, header: Header) {
        self.look(position);
        // ORDERING: pairs with the acquire in `header`.
        self.word(position).store(header.0, Ordering::Release);
    }

    /// Writes a header that nobody looks at before an earlier one is [committed](Memory::commit).
    ///
    /// # Safety
    ///
    /// The place is the caller's claim.
    #[inline]
    pub(super) unsafe fn prepare(&self, position: u64, header: Header) {
        self.look(position);
        // ORDERING: the commit that follows has the release.
        self.word(position).store(header.0, Ordering::Relaxed);
    }

    /// The bytes of a payload that begins at a position, to be written.
    ///
    /// # Safety
    ///
    /// 1. They are in one piece, and the caller's claim.
    /// 2. No other reference to any of them exists while the returned one is used.
    #[inline]
    #[allow(clippy::mut_from_ref)] // the claim is what makes it exclusive
    pub(super) unsafe fn payload_mut(&self, position: u64, len: usize) -> &mut [u8] {
        self.touch(position, len);
        // SAFETY: inside by (1), initialised since they were allocated zeroed, exclusive by (2).
        unsafe { std::slice::from_raw_parts_mut(self.at(position), len) }
    }

    /// Copies a payload to a position.
    ///
    /// # Safety
    ///
    /// Those of [`Memory::payload_mut`].
    #[inline]
    pub(super) unsafe fn copy(&self, position: u64, payload: &[u8]) {
        // SAFETY: by the caller's duties.
        unsafe { self.payload_mut(position, payload.len()) }.copy_from_slice(payload);
    }

    /// The bytes of a payload that begins at a position.
    ///
    /// # Safety
    ///
    /// 1. They are in one piece, and the caller saw them committed, or they are its claim.
    /// 2. They are neither written nor given back while they are used.
    #[inline]
    pub(super) unsafe fn payload(&self, position: u64, len: usize) -> &[u8] {
        #[cfg(ringbolt_loom)]
        self.granules_of(position, len, |granule| granule.with(|_| ()));
        // SAFETY: inside by (1), initialised, unchanging by (2).
        unsafe { std::slice::from_raw_parts(self.at(position), len) }
    }

    /// Zeroes what lies between two positions, at most the capacity apart.
    ///
    /// # Safety
    ///
    /// The range is the caller's, committed and taken or claimed and given up, and nobody refers to
    /// any of it.
    #[inline]
    pub(super) unsafe fn clear(&self, from: u64, to: u64) {
        let len = to.wrapping_sub(from) as usize;
        let start = self.offset(from);
        let to_end = len.min(self.capacity as usize - start);
        #[cfg(ringbolt_loom)]
        for position in (0..len as u64).step_by(GRANULE_BYTES as usize) {
            let position = from.wrapping_add(position);
            self.touch(position, GRANULE_BYTES as usize);
            self.word(position).store(0, Ordering::Relaxed);
        }
        // SAFETY: inside the memory by the masks, and the caller's. Headers in it are reached by
        // atomic loads and stores of those alone to whom the range belongs before or after.
        unsafe {
            let start = self.base.as_ptr().add(start);
            if to_end <= SMALL_BYTES {
                // A few stores are cheaper than a call.
                let granules = start.cast::<u64>();
                for granule in 0..to_end / size_of::<u64>() {
                    granules.add(granule).write(0);
                }
            } else {
                start.write_bytes(0, to_end);
            }
            if to_end < len {
                self.base.as_ptr().write_bytes(0, len - to_end);
            }
        }
    }

    #[inline]
    fn at(&self, position: u64) -> *mut u8 {
        // SAFETY: the mask keeps it inside.
        unsafe { self.base.as_ptr().add(self.offset(position)) }
    }

    #[inline]
    fn word(&self, position: u64) -> &AtomicU64 {
        debug_assert!(position % GRANULE_BYTES == 0);
        #[cfg(ringbolt_loom)]
        return &self.words[self.offset(position) / 8];
        // SAFETY: inside, aligned to a granule, and only accessed as an atomic while it may be a
        // header: payloads begin behind it, and `clear` is for those who have it to themselves.
        #[cfg(not(ringbolt_loom))]
        return unsafe { &*self.at(position).cast::<AtomicU64>() };
    }

    /// Tells the model of an atomic access to a header, which nobody may write otherwise meanwhile.
    #[inline]
    fn look(&self, position: u64) {
        #[cfg(ringbolt_loom)]
        self.granules_of(position, GRANULE_BYTES as usize, |granule| {
            granule.with(|_| ())
        });
        let _ = position;
    }

    /// Tells the model of a write that is not atomic.
    #[inline]
    fn touch(&self, position: u64, len: usize) {
        #[cfg(ringbolt_loom)]
        self.granules_of(position, len, |granule| granule.with_mut(|_| ()));
        let _ = (position, len);
    }

    #[cfg(ringbolt_loom)]
    fn granules_of(&self, position: u64, len: usize, access: impl Fn(&UnsafeCell<()>)) {
        let first = self.offset(position) / 8;
        self.granules[first..first + len.div_ceil(8)]
            .iter()
            .for_each(access);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and not freed before.
        unsafe { dealloc(self.allocated.as_ptr(), self.layout) };
    }
}
