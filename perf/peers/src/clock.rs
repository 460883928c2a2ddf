//! A clock that costs little to read and is the same on all threads.

#![allow(unsafe_code)]

use std::time::{Duration, Instant};

/// Nanoseconds by the processor's time stamp counter, calibrated against the monotonic clock; where
/// there is no such counter, the monotonic clock itself.
#[derive(Debug, Clone, Copy)]
pub struct Ticker {
    origin: Instant,
    origin_ticks: u64,
    ns_per_tick: f64,
}

impl Ticker {
    /// Calibrates for 20 ms.
    pub fn calibrated() -> Self {
        let origin = Instant::now();
        let origin_ticks = ticks(origin);
        std::thread::sleep(Duration::from_millis(20));
        let passed_ticks = ticks(origin).saturating_sub(origin_ticks).max(1);
        Self {
            origin,
            origin_ticks,
            ns_per_tick: origin.elapsed().as_nanos() as f64 / passed_ticks as f64,
        }
    }

    /// Nanoseconds since this clock was made.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        (ticks(self.origin).saturating_sub(self.origin_ticks) as f64 * self.ns_per_tick) as u64
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn ticks(_origin: Instant) -> u64 {
    // SAFETY: the instruction is there on every x86-64 processor and touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn ticks(origin: Instant) -> u64 {
    origin.elapsed().as_nanos() as u64
}
