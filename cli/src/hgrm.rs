//! Latency distributions as text, in the `.hgrm` form that HdrHistogram's own plotter reads.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// How finely the distribution is resolved: steps in each halving of the distance to 100%.
const STEPS_PER_HALVING: u32 = 5;

/// The distribution of `histogram` (in nanoseconds) with values in microseconds.
pub(crate) fn render(histogram: &Histogram<u64>) -> String {
    let us = |ns: f64| ns / 1000.0;
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    for value in histogram.iter_quantiles(STEPS_PER_HALVING) {
        let quantile = value.quantile_iterated_to();
        let at = us(value.value_iterated_to() as f64);
        let total = histogram.count_between(0, value.value_iterated_to());
        let _ = if quantile < 1.0 {
            writeln!(
                text,
                "{at:12.3} {quantile:14.12} {total:10} {:14.2}",
                1.0 / (1.0 - quantile)
            )
        } else {
            writeln!(text, "{at:12.3} {quantile:14.12} {total:10}            inf")
        };
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        us(histogram.mean()),
        us(histogram.stdev())
    );
    let _ = writeln!(
        text,
        "#[Max     = {:12.3}, Total count    = {:12}]",
        us(histogram.max() as f64),
        histogram.len()
    );
    let _ = writeln!(
        text,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        histogram.distinct_values() / usize::from(histogram.buckets()).max(1)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plotters_form_is_kept() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for ns in 1..=1000 {
            histogram.record(ns * 1000).unwrap();
        }
        let text = render(&histogram);
        let mut lines = text.lines();
        assert_eq!(lines.next().unwrap().split_whitespace().count(), 4);
        assert_eq!(lines.next(), Some(""));
        let rows: Vec<Vec<f64>> = lines
            .by_ref()
            .take_while(|line| !line.starts_with('#'))
            .map(|line| {
                line.split_whitespace()
                    .map(|cell| cell.parse().unwrap())
                    .collect()
            })
            .collect();
        assert!(rows.len() > 20);
        assert!(
            rows.windows(2)
                .all(|two| two[0][0] <= two[1][0] && two[0][1] <= two[1][1])
        );
        let last = rows.last().unwrap();
        assert_eq!((last[1], last[2]), (1.0, 1000.0));
        assert!(text.contains("Total count    =         1000"));
    }
}
