//! How long small writes take: so long a waiter may spin for its own.

use std::time::Duration;

/// No waiter spins for longer: where the disk is slower, a wake-up is not what the time goes to.
const SPIN_NS_MAX: u64 = 300_000;

/// Small writes that go alone, timed one after the other.
#[derive(Debug, Default)]
pub(super) struct SmallWrites {
    /// The one that is under way: its number, and since when.
    under_way: Option<(u32, u64)>,
    /// What they usually take, smoothed.
    usual_ns: u64,
}

impl SmallWrites {
    pub(super) fn begin(&mut self, op: u32, now_ns: u64) {
        self.under_way = Some((op, now_ns));
    }

    /// A write ended; if it is the timed one, says how long a wait is worth spinning for: a usual
    /// write's time, and half another.
    pub(super) fn end(&mut self, op: u32, now_ns: impl FnOnce() -> u64) -> Option<Duration> {
        let (_, since_ns) = self.under_way.take_if(|timed| timed.0 == op)?;
        let took_ns = now_ns().saturating_sub(since_ns);
        self.usual_ns = match self.usual_ns {
            0 => took_ns,
            usual_ns => usual_ns - usual_ns / 8 + took_ns / 8,
        };
        let limit_ns = self.usual_ns + self.usual_ns / 2;
        Some(Duration::from_nanos(if limit_ns <= SPIN_NS_MAX {
            limit_ns
        } else {
            0
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_spins_for_a_usual_write_and_not_for_a_slow_one() {
        let mut writes = SmallWrites::default();
        let mut write = |op, took_ns: u64| {
            writes.begin(op, 1000);
            assert_eq!(writes.end(op + 1, || 0), None, "another write's end");
            writes.end(op, || 1000 + took_ns).unwrap()
        };
        assert_eq!(write(1, 100_000), Duration::from_micros(150));
        assert_eq!(write(2, 108_000), Duration::from_nanos(151_500));
        assert_eq!(write(3, 10_000_000), Duration::ZERO);
        for op in 4..100 {
            write(op, 100_000);
        }
        let limit = write(100, 100_000);
        assert!(limit > Duration::from_micros(149) && limit < Duration::from_micros(152));
    }
}
