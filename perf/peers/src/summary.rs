//! The middle of some samples, and how sure that is.

use serde::Serialize;

/// A median with the bootstrap's 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Summary {
    /// `None` without samples.
    pub fn of(samples: &[f64]) -> Option<Self> {
        if samples.is_empty() {
            return None;
        }
        const RESAMPLES: usize = 2000;
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut resample = vec![0.0; samples.len()];
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                for place in &mut resample {
                    // xorshift64: the interval is the same each time for the same samples.
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    *place = samples[(state % samples.len() as u64) as usize];
                }
                median(&mut resample)
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        Some(Self {
            median: median(&mut samples.to_vec()),
            low: medians[RESAMPLES / 40],
            high: medians[RESAMPLES - 1 - RESAMPLES / 40],
        })
    }
}

/// The median; reorders. Zero of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_median() {
        let samples = [0.9, 0.95, 0.91, 0.2, 0.93, 0.92, 0.94];
        let summary = Summary::of(&samples).unwrap();
        assert_eq!(summary.median, 0.92);
        assert!(summary.low >= 0.2 && summary.low <= 0.92);
        assert!(summary.high >= 0.92 && summary.high <= 0.95);
        assert_eq!(Summary::of(&samples), Some(summary), "the same each time");
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0]).unwrap().low, 1.0);
    }
}
