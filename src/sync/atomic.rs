//! The atomic types, from `std` or from loom.

#[cfg(not(ringbolt_loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, Ordering, compiler_fence, fence,
};

#[cfg(ringbolt_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

/// A hint to the processor that this thread spins; a yield to the model checker.
#[inline]
pub(crate) fn spin_loop() {
    #[cfg(not(ringbolt_loom))]
    std::hint::spin_loop();
    #[cfg(ringbolt_loom)]
    loom::thread::yield_now();
}
