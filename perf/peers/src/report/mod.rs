//! What all rounds came to: one table, the same as JSON, the same as a picture.

mod json;
mod svg;
mod table;

use hdrhistogram::Histogram;

use crate::machine::Machine;
use crate::rounds::{Outcome, Scale};
use crate::scenario::{Line, Metric, Target};
use crate::summary::{Summary, median};
use crate::units;

/// Everything that was measured.
pub struct Report {
    pub machine: Machine,
    pub scale: Scale,
    pub outcomes: Vec<Outcome>,
}

/// The peers that this build leaves out, and why.
pub fn skipped() -> &'static [&'static str] {
    if cfg!(feature = "aeron") {
        &[]
    } else {
        &["Aeron C (rusteron-rb): built without the feature `aeron`"]
    }
}

/// A line with what it came to.
struct Row<'o> {
    outcome: &'o Outcome,
    line: Line,
    samples: Vec<f64>,
    summary: Option<Summary>,
}

impl Outcome {
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.scenario.all_lines().into_iter().map(|line| {
            let samples = self.ratios(&line);
            Row {
                outcome: self,
                summary: Summary::of(&samples),
                samples,
                line,
            }
        })
    }

    /// A subject's figures, summed up.
    fn summary(&self, subject: usize) -> Option<Summary> {
        Summary::of(&self.figures[subject])
    }

    /// The median of a consumer's processor time, as a part of the time that passed.
    fn busy(&self, subject: usize) -> Option<f64> {
        let busy = self.busy.get(&subject)?;
        Some(median(&mut busy.clone()))
    }

    fn show(&self, value: f64) -> String {
        match self.scenario.metric {
            Metric::Rate => format!("{}/s", units::count(value)),
            Metric::Latency | Metric::Idle => units::nanos(value),
        }
    }
}

impl Row<'_> {
    fn title(&self) -> String {
        self.outcome.scenario.title(&self.line)
    }

    /// Whether the target was reached, where there is one and something was measured.
    fn reached(&self) -> Option<bool> {
        let summary = self.summary?;
        Some(match self.line.target? {
            Target::AtLeast(bound) => summary.median >= bound,
            Target::Ahead => summary.low >= 1.0,
            Target::Zero => summary.median <= 0.0,
        })
    }

    fn target(&self) -> String {
        match self.line.target {
            Some(Target::AtLeast(bound)) => format!(">= {bound:.1}"),
            Some(Target::Ahead) => "ahead".into(),
            Some(Target::Zero) => "0".into(),
            None => String::new(),
        }
    }

    /// A ratio, or a time where nothing is divided.
    fn show(&self, value: f64) -> String {
        match self.outcome.scenario.metric {
            Metric::Idle => units::nanos(value),
            _ if value >= 9.995 => format!("{value:.1}"),
            _ => format!("{value:.2}"),
        }
    }

    /// The figures behind the ratio, or why there are none.
    fn detail(&self) -> String {
        let broken = |subject: &usize| {
            let why = self.outcome.broken.get(subject)?;
            let name = &self.outcome.scenario.subjects[*subject].name;
            Some(format!("{name} failed: {}", why.0))
        };
        let all = std::iter::once(&self.line.ours).chain(&self.line.peers);
        let failures: Vec<String> = all.filter_map(broken).collect();
        if !failures.is_empty() {
            return failures.join("; ");
        }
        let middle = |subject: usize| median(&mut self.outcome.figures[subject].clone());
        let peers = self.line.peers.iter().map(|&peer| middle(peer));
        let best = match self.outcome.scenario.metric {
            Metric::Rate => peers.fold(f64::NAN, f64::max),
            Metric::Latency | Metric::Idle => peers.fold(f64::NAN, f64::min),
        };
        if best.is_nan() {
            return String::new();
        }
        let show = |value| self.outcome.show(value);
        format!("{} against {}", show(middle(self.line.ours)), show(best))
    }
}

/// `12 us / 1.3 ms`: the meter's 99th percentile and maximum.
fn hiccups(histogram: &Histogram<u64>) -> String {
    format!(
        "{} / {}",
        units::nanos(histogram.value_at_quantile(0.99) as f64),
        units::nanos(histogram.max() as f64)
    )
}
