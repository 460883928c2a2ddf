//! Clocks and random bytes.

use rustix::rand::{GetRandomFlags, getrandom};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds since 1970, from the wall clock, which may jump; 0 before that year.
pub(crate) fn unix_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

/// Nanoseconds on a clock that never goes back.
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

fn nanoseconds(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Fills `bytes` with random ones.
///
/// # Panics
///
/// When the kernel has no random bytes at all, which no supported one does.
pub(crate) fn random(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(filled) => bytes = &mut bytes[filled..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no random bytes: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_run_and_random_bytes_differ() {
        let before = monotonic_ns();
        assert!(monotonic_ns() >= before);
        assert!(unix_ns() > 1_600_000_000_000_000_000);
        let (mut one, mut other) = ([0; 300], [0; 300]);
        random(&mut one);
        random(&mut other);
        assert_ne!(one, other);
    }
}
