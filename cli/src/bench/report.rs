//! What the measurements came to: each a ratio beside its target, with an interval.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::units;

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// At least this much.
    AtLeast(f64),
    /// At most this much.
    AtMost(f64),
}

impl Target {
    fn reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

/// How a figure is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// A quotient of two measurements.
    Ratio,
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio if value >= 9.995 => format!("{value:.1}"),
            Self::Ratio => format!("{value:.2}"),
            Self::Nanoseconds if value < 0.0 => format!("-{}", units::nanos(-value)),
            Self::Nanoseconds => units::nanos(value),
            Self::Bytes if value < 0.0 => format!("-{}", units::size(-value)),
            Self::Bytes => units::size(value),
            Self::Count => units::count(value),
        }
    }
}

/// One row of the report: a figure from each round.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    /// The measurement it belongs to, as `--only` names it.
    pub(crate) name: &'static str,
    /// What was measured.
    pub(crate) what: String,
    /// What it is to reach, if anything.
    pub(crate) target: Option<Target>,
    pub(crate) unit: Unit,
    /// The figure of each round.
    pub(crate) samples: Vec<f64>,
    /// The absolute figures behind it.
    pub(crate) detail: String,
}

/// The middle of the samples and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    /// The bootstrap's 95% interval of the median.
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Summary {
    /// `None` without samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
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
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// A [`Measure`] as `--json` writes it.
#[derive(Debug, Serialize)]
pub(crate) struct MeasureJson<'a> {
    name: &'a str,
    what: &'a str,
    unit: Unit,
    target: Option<Target>,
    #[serde(flatten)]
    summary: Option<Summary>,
    reached: Option<bool>,
    samples: &'a [f64],
    detail: &'a str,
}

impl Measure {
    /// Whether the target was reached, where there is one and something was measured.
    pub(crate) fn reached(&self) -> Option<bool> {
        let summary = Summary::of(&self.samples)?;
        self.target.map(|target| target.reached(summary.median))
    }

    pub(crate) fn json(&self) -> MeasureJson<'_> {
        MeasureJson {
            name: self.name,
            what: &self.what,
            unit: self.unit,
            target: self.target,
            summary: Summary::of(&self.samples),
            reached: self.reached(),
            samples: &self.samples,
            detail: &self.detail,
        }
    }
}

/// The report's table.
pub(crate) fn table(measures: &[Measure]) -> Table {
    let mut table = new_table(&["measure", "median", "95% interval", "target", "", "figures"]);
    for measure in measures {
        let show = |value| measure.unit.show(value);
        let summary = Summary::of(&measure.samples);
        let target = match measure.target {
            Some(Target::AtLeast(bound)) => format!(">= {}", show(bound)),
            Some(Target::AtMost(bound)) => format!("<= {}", show(bound)),
            None => String::new(),
        };
        let verdict = match measure.reached() {
            Some(true) => Cell::new("yes").fg(Color::Green),
            Some(false) => Cell::new("no").fg(Color::Red),
            None => Cell::new(""),
        };
        table.add_row(vec![
            Cell::new(&measure.what),
            right(summary.map_or("-".into(), |s| show(s.median))),
            right(summary.map_or(String::new(), |s| {
                format!("{} to {}", show(s.low), show(s.high))
            })),
            right(target),
            verdict,
            Cell::new(&measure.detail),
        ]);
    }
    table
}

/// A table of latency percentiles, a row for each distribution.
pub(crate) fn percentiles<'a>(
    rows: impl IntoIterator<Item = (&'a str, &'a Histogram<u64>)>,
) -> Table {
    let mut table = new_table(&["latency", "count", "p50", "p99", "p99.9", "p99.99", "max"]);
    for (name, histogram) in rows {
        let at = |quantile: f64| match histogram.is_empty() {
            true => right("-"),
            false => right(units::nanos(histogram.value_at_quantile(quantile) as f64)),
        };
        table.add_row(vec![
            Cell::new(name),
            right(units::count(histogram.len() as f64)),
            at(0.5),
            at(0.99),
            at(0.999),
            at(0.9999),
            at(1.0),
        ]);
    }
    table
}

/// A distribution as `--json` writes it, in nanoseconds.
#[derive(Debug, Serialize)]
pub(crate) struct PercentilesJson {
    count: u64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    p9999_ns: u64,
    max_ns: u64,
}

impl PercentilesJson {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50_ns: histogram.value_at_quantile(0.5),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            p9999_ns: histogram.value_at_quantile(0.9999),
            max_ns: histogram.max(),
        }
    }
}

/// A table in the command's style.
pub(crate) fn new_table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(head);
    table
}

/// A cell for a number.
pub(crate) fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
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

    #[test]
    fn targets_look_the_right_way() {
        let mut measure = Measure {
            name: "x",
            what: "x".into(),
            target: Some(Target::AtMost(1.1)),
            unit: Unit::Ratio,
            samples: vec![1.0, 1.05, 1.2],
            detail: String::new(),
        };
        assert_eq!(measure.reached(), Some(true));
        measure.target = Some(Target::AtLeast(1.1));
        assert_eq!(measure.reached(), Some(false));
        measure.samples.clear();
        assert_eq!(measure.reached(), None);
        assert!(table(&[measure]).to_string().contains(">= 1.10"));
    }
}
