//! Aeron's C ring buffers, by rusteron-rb: records for one consumer, claimed in place, handed to a
//! callback up to a limit at a time.
//!
//! The C functions are called directly: the crate's own handles make the descriptor apart from the
//! buffer, where the C library lays it behind it.
//!
//! In this version the ring for one producer claims room that is not free when there is too little of
//! it both at the end and at the beginning (aeron-io/aeron, pull request 2015). So that it can be
//! measured at all, its producer here holds back while the ring is within two records of full.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusteron_rb::bindings as c;

use super::{clones, single};
use crate::queue::{Bytes, BytesRx, BytesTx};

/// Padding of two cache lines of 64 bytes around each of the descriptor's five words, and before.
const TRAILER_BYTES: usize = size_of::<c::aeron_rb_descriptor_stct>();
const ALIGNMENT: usize = 128;
/// Types begin at one.
const MESSAGE_TYPE: i32 = 1;

/// The ring's memory.
struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the memory belongs to the C rings, which synchronise their access to it.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn zeroed(capacity: usize) -> Self {
        let layout = Layout::from_size_align(capacity + TRAILER_BYTES, ALIGNMENT)
            .expect("the capacity is far from the largest");
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self { start, layout }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and each handle holds it alive by its `Arc`.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// Whether a producer must hold back, see above.
trait Brake<Ring> {
    fn holds(&mut self, ring: &Ring, len: usize) -> bool;
}

/// The ring for many producers needs none.
#[derive(Clone, Copy, Default)]
struct NoBrake;

impl Brake<c::aeron_mpsc_rb_stct> for NoBrake {
    #[inline(always)]
    fn holds(&mut self, _ring: &c::aeron_mpsc_rb_stct, _len: usize) -> bool {
        false
    }
}

/// The consumer's position as the producer last saw it.
#[derive(Clone, Copy, Default)]
struct HeadSeen(i64);

/// Calls `each` of the reader with a message; `state` points to it.
unsafe extern "C" fn deliver<F: FnMut(&[u8])>(
    _kind: i32,
    message: *const c_void,
    len: usize,
    state: *mut c_void,
) {
    // SAFETY: `read` passes a pointer to its closure, which nothing else uses meanwhile; the library
    // passes a message of `len` bytes, which stays until the callback returns.
    unsafe {
        let each = &mut *state.cast::<F>();
        each(std::slice::from_raw_parts(message.cast(), len));
    }
}

macro_rules! ring {
    ($name:ident, $side:ident, $producers:ident, $ring:ident, $init:ident, $claim:ident, $commit:ident, $read:ident, $brake:ty) => {
        pub struct $name;

        /// Either side: each has the addresses of the shared memory.
        #[derive(Clone)]
        pub struct $side {
            ring: c::$ring,
            brake: $brake,
            _memory: Arc<Memory>,
        }

        // SAFETY: the pointers in `ring` lead into the memory that is held; one side each is used by
        // one thread, as the library asks for (any number of producers for its mpsc ring).
        unsafe impl Send for $side {}

        impl Bytes for $name {
            type Tx = $side;
            type Rx = $side;

            fn open(capacity: usize, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
                let memory = Arc::new(Memory::zeroed(capacity));
                let mut ring = c::$ring::default();
                // SAFETY: the memory is zeroed and as long as is said.
                let done = unsafe {
                    c::$init(
                        &mut ring,
                        memory.start.as_ptr().cast(),
                        capacity + TRAILER_BYTES,
                    )
                };
                assert_eq!(done, 0, "{capacity} bytes are a power of two");
                let side = $side {
                    ring,
                    brake: <$brake>::default(),
                    _memory: memory,
                };
                ($producers(side.clone(), producers), side)
            }
        }

        impl BytesTx for $side {
            #[inline(always)]
            fn try_put(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
                if self.brake.holds(&self.ring, len) {
                    return false;
                }
                // SAFETY: the ring was initialised; a claim of `len` bytes from `offset` on is ours
                // until it is committed.
                unsafe {
                    let offset = c::$claim(&mut self.ring, MESSAGE_TYPE, len);
                    if offset < 0 {
                        return false;
                    }
                    let start = self.ring.buffer.add(offset as usize);
                    fill(std::slice::from_raw_parts_mut(start, len));
                    c::$commit(&mut self.ring, offset) == 0
                }
            }
        }

        impl BytesRx for $side {
            #[inline(always)]
            fn try_take(&mut self, max: usize, each: impl FnMut(&[u8])) -> usize {
                read(each, |handler, state| {
                    // SAFETY: the ring was initialised; the handler fits the state.
                    unsafe { c::$read(&mut self.ring, handler, state, max) }
                })
            }
        }
    };
}

/// Calls `read` with the handler for `each` and its state.
#[inline(always)]
fn read<F: FnMut(&[u8])>(
    mut each: F,
    read: impl FnOnce(c::aeron_rb_handler_t, *mut c_void) -> usize,
) -> usize {
    read(Some(deliver::<F>), (&raw mut each).cast())
}

ring!(
    AeronSpsc,
    SpscSide,
    single,
    aeron_spsc_rb_stct,
    aeron_spsc_rb_init,
    aeron_spsc_rb_try_claim,
    aeron_spsc_rb_commit,
    aeron_spsc_rb_read,
    HeadSeen
);
ring!(
    AeronMpsc,
    MpscSide,
    clones,
    aeron_mpsc_rb_stct,
    aeron_mpsc_rb_init,
    aeron_mpsc_rb_try_claim,
    aeron_mpsc_rb_commit,
    aeron_mpsc_rb_read,
    NoBrake
);

impl Brake<c::aeron_spsc_rb_stct> for HeadSeen {
    /// Looks at the consumer's position only where the one last seen does not do.
    #[inline(always)]
    fn holds(&mut self, ring: &c::aeron_spsc_rb_stct, len: usize) -> bool {
        // Header and alignment twice, and the next record's header, which is zeroed beforehand.
        let spare = 2 * (len as i64 + 16) + 8;
        let limit = ring.capacity as i64 - spare;
        // SAFETY: the descriptor lies in the ring's memory; only this side writes the tail.
        let tail = unsafe { (&raw const (*ring.descriptor).tail_position).read() };
        if tail - self.0 > limit {
            // SAFETY: as above; the position is aligned, and the consumer writes it in one piece.
            let head = unsafe { AtomicI64::from_ptr(&raw mut (*ring.descriptor).head_position) };
            // ORDERING: nothing is read by it; the claim itself looks again, with acquire.
            self.0 = head.load(Ordering::Relaxed);
        }
        tail - self.0 > limit
    }
}
