//! The report as JSON.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{Report, Row, skipped};
use crate::machine::Machine;
use crate::rounds::Outcome;
use crate::scenario::{Metric, Target};
use crate::summary::Summary;

#[derive(Serialize)]
struct ReportJson<'a> {
    machine: &'a Machine,
    rounds: usize,
    run_millis: u64,
    run_items: Option<u64>,
    left_out: &'a [&'a str],
    comparisons: Vec<ComparisonJson<'a>>,
}

#[derive(Serialize)]
struct ComparisonJson<'a> {
    name: &'a str,
    what: &'a str,
    unit: &'static str,
    subjects: Vec<SubjectJson<'a>>,
    ratios: Vec<RatioJson>,
    hiccups: PercentilesJson,
}

#[derive(Serialize)]
struct SubjectJson<'a> {
    name: &'a str,
    #[serde(flatten)]
    summary: Option<Summary>,
    rounds: &'a [f64],
    latency: Option<PercentilesJson>,
    /// The consumer's processor time, as a part of the time that passed.
    busy: Option<f64>,
    failed: Option<&'a str>,
    rounds_out_of_order: usize,
}

#[derive(Serialize)]
struct RatioJson {
    what: String,
    target: Option<BTreeMap<&'static str, f64>>,
    #[serde(flatten)]
    summary: Option<Summary>,
    reached: Option<bool>,
    rounds: Vec<f64>,
}

#[derive(Serialize)]
struct PercentilesJson {
    count: u64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    p9999_ns: u64,
    max_ns: u64,
}

impl PercentilesJson {
    fn of(histogram: &Histogram<u64>) -> Self {
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

impl Report {
    /// Everything, with the figure of each round.
    pub fn json(&self) -> Result<String, String> {
        let report = ReportJson {
            machine: &self.machine,
            rounds: self.scale.rounds,
            run_millis: self.scale.time.as_millis() as u64,
            run_items: self.scale.items,
            left_out: skipped(),
            comparisons: self.outcomes.iter().map(comparison).collect(),
        };
        serde_json::to_string_pretty(&report).map_err(|error| format!("writing JSON: {error}"))
    }
}

fn comparison(outcome: &Outcome) -> ComparisonJson<'_> {
    let subjects = outcome.scenario.subjects.iter().enumerate();
    ComparisonJson {
        name: &outcome.scenario.name,
        what: &outcome.scenario.what,
        unit: match outcome.scenario.metric {
            Metric::Rate => "items_per_second",
            Metric::Latency => "p50_ns",
            Metric::Idle => "processor_ns_per_second",
        },
        subjects: subjects
            .map(|(index, subject)| SubjectJson {
                name: &subject.name,
                summary: outcome.summary(index),
                rounds: &outcome.figures[index],
                latency: outcome.latencies.get(&index).map(PercentilesJson::of),
                busy: outcome.busy(index),
                failed: outcome.broken.get(&index).map(|why| why.0.as_str()),
                rounds_out_of_order: outcome.disordered.get(&index).copied().unwrap_or(0),
            })
            .collect(),
        ratios: outcome.rows().map(ratio).collect(),
        hiccups: PercentilesJson::of(&outcome.hiccups),
    }
}

fn ratio(row: Row<'_>) -> RatioJson {
    let target = row.line.target.map(|target| match target {
        Target::AtLeast(bound) => ("median_at_least", bound),
        Target::Ahead => ("low_at_least", 1.0),
        Target::Zero => ("median_at_most", 0.0),
    });
    RatioJson {
        what: row.title(),
        target: target.map(|pair| BTreeMap::from([pair])),
        summary: row.summary,
        reached: row.reached(),
        rounds: row.samples,
    }
}
