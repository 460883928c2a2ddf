//! Histograms of latencies, all of one kind, so that they can be added up.

use hdrhistogram::Histogram;

/// The longest latency that is told from longer ones.
const HOUR_NS: u64 = 3_600_000_000_000;

/// An empty histogram of nanoseconds, exact to three digits. Its room is fixed: recording never
/// allocates, and `saturating_record` has something to saturate at.
pub(crate) fn nanoseconds() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HOUR_NS, 3).expect("the bounds are sound")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_values_are_kept() {
        let mut histogram = nanoseconds();
        histogram.saturating_record(150_000);
        histogram.saturating_record(u64::MAX);
        assert_eq!(histogram.value_at_quantile(0.5) / 1000, 150);
        assert!(histogram.max() >= HOUR_NS);
    }
}
