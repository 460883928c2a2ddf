//! The rounds of a scenario: every subject once in each, in an order that turns, so that what drifts
//! hits all alike. No round is thrown away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::clock::Ticker;
use crate::hiccup::{HiccupMeter, nanoseconds};
use crate::item::Order;
use crate::scenario::{Length, Line, Means, Metric, Scenario};
use crate::wait::Broken;

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Scale {
    pub rounds: usize,
    /// How long a run should take.
    pub time: Duration,
    /// Items of a run, where that is set instead.
    pub items: Option<u64>,
    pub cpus: Vec<usize>,
    pub ticker: Ticker,
}

/// Fewest items of a latency run.
const PACED_MIN: u64 = 20;
/// Where the search for the number of items begins, and ends.
const ITEMS_FIRST: u64 = 20_000;
const ITEMS_MAX: u64 = 4_000_000_000;

/// What a scenario came to.
pub struct Outcome {
    pub scenario: Scenario,
    /// By subject: the figure of each round. Empty for a subject that failed.
    pub figures: Vec<Vec<f64>>,
    /// By subject: all of its latencies.
    pub latencies: BTreeMap<usize, Histogram<u64>>,
    /// By subject: its consumer's processor time in each round, as a part of the round's.
    pub busy: BTreeMap<usize, Vec<f64>>,
    /// By subject: why it failed.
    pub broken: BTreeMap<usize, Broken>,
    /// By subject: in how many rounds a consumer got a producer's items the wrong way round. Such a
    /// peer is measured all the same; one of ours has failed.
    pub disordered: BTreeMap<usize, usize>,
    /// How late a sleeping thread woke meanwhile.
    pub hiccups: Histogram<u64>,
}

/// Runs all rounds of a scenario; `say` is told what is done.
pub fn run(scenario: Scenario, scale: &Scale, mut say: impl FnMut(&str)) -> Outcome {
    let count = scenario.subjects.len();
    let mut outcome = Outcome {
        figures: vec![Vec::new(); count],
        latencies: BTreeMap::new(),
        busy: BTreeMap::new(),
        broken: BTreeMap::new(),
        disordered: BTreeMap::new(),
        hiccups: nanoseconds(),
        scenario,
    };
    say(&format!("{}: finding the lengths", outcome.scenario.name));
    let mut means = Vec::new();
    for subject in 0..count {
        let found = calibrate(&outcome.scenario, subject, scale);
        means.push(found.unwrap_or_else(|broken| {
            outcome.broken.insert(subject, broken);
            base(scale, 0)
        }));
    }
    let meter = HiccupMeter::start();
    for round in 0..scale.rounds {
        say(&format!(
            "{}: round {} of {}",
            outcome.scenario.name,
            round + 1,
            scale.rounds
        ));
        for turn in 0..count {
            let subject = (turn + round) % count;
            outcome.one(subject, &means[subject]);
        }
    }
    if let Ok(meter) = meter {
        outcome.hiccups = meter.stop();
    }
    // Pairs would no longer be pairs.
    for &subject in outcome.broken.keys() {
        outcome.figures[subject].clear();
    }
    outcome
}

fn base(scale: &Scale, items: u64) -> Means {
    Means {
        cpus: scale.cpus.clone(),
        ticker: scale.ticker,
        items,
        time: scale.time,
    }
}

/// How many items take about the set time; this also warms the subject up.
fn calibrate(scenario: &Scenario, subject: usize, scale: &Scale) -> Result<Means, Broken> {
    let subject = &scenario.subjects[subject];
    match scenario.length {
        Length::Timed => Ok(base(scale, 0)),
        Length::Paced(per_second) => {
            let items = (scale.time.as_secs_f64() * per_second as f64) as u64;
            Ok(base(scale, scale.items.unwrap_or(items).max(PACED_MIN)))
        }
        Length::Calibrated => {
            let mut means = base(scale, scale.items.unwrap_or(ITEMS_FIRST));
            loop {
                let begin = Instant::now();
                let rate = subject.run(&means)?.value;
                let long_enough = begin.elapsed() * 4 > scale.time;
                let enough = means.items as f64 * 4.0 > rate * scale.time.as_secs_f64();
                if scale.items.is_some() || means.items > ITEMS_MAX {
                    return Ok(means);
                }
                if enough || (long_enough && begin.elapsed() > scale.time * 4) {
                    means.items = (rate * scale.time.as_secs_f64()).max(1.0) as u64;
                    return Ok(means);
                }
                means.items *= 4;
            }
        }
    }
}

impl Outcome {
    fn one(&mut self, subject: usize, means: &Means) {
        if self.broken.contains_key(&subject) {
            return;
        }
        match self.scenario.subjects[subject].run(means) {
            Ok(figure)
                if figure.order == Order::Broken && self.scenario.subjects[subject].ours() =>
            {
                let why = Broken("items out of order".into());
                self.broken.insert(subject, why);
            }
            Ok(figure) => {
                if figure.order == Order::Broken {
                    *self.disordered.entry(subject).or_default() += 1;
                }
                self.figures[subject].push(figure.value);
                if let Some(latencies) = figure.latencies {
                    let all = self.latencies.entry(subject).or_insert_with(nanoseconds);
                    all.add(latencies.histogram)
                        .expect("histograms of one kind");
                    self.busy.entry(subject).or_default().push(latencies.busy);
                }
            }
            Err(broken) => {
                self.broken.insert(subject, broken);
            }
        }
    }

    /// The figure of each round for a line: how many times better ours is than the best peer of that
    /// round, or the figure itself where nothing is divided. A line against broken peers is without
    /// them.
    pub fn ratios(&self, line: &Line) -> Vec<f64> {
        let ours = &self.figures[line.ours];
        let peers: Vec<&Vec<f64>> = line
            .peers
            .iter()
            .map(|&peer| &self.figures[peer])
            .filter(|figures| figures.len() == ours.len())
            .collect();
        if self.scenario.metric == Metric::Idle {
            return ours.clone();
        }
        if peers.is_empty() {
            return Vec::new();
        }
        let rounds = ours.iter().enumerate();
        rounds
            .map(|(round, &ours)| {
                let of_round = peers.iter().map(|figures| figures[round]);
                match self.scenario.metric {
                    Metric::Rate => ours / of_round.fold(f64::MIN_POSITIVE, f64::max),
                    Metric::Latency | Metric::Idle => {
                        of_round.fold(f64::INFINITY, f64::min) / ours.max(1.0)
                    }
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Figure, Target};

    fn outcome(metric: Metric, values: &'static [(&'static str, f64)]) -> Outcome {
        let (name, what) = ("x".to_owned(), String::new());
        let mut scenario = Scenario::new(name, what, metric, Length::Timed);
        for &(name, value) in values {
            scenario.subject(name, move |_| match value {
                bad if bad < 0.0 => Err(Broken("bad".into())),
                value => Ok(Figure::from(value)),
            });
        }
        scenario.against(&["a", "b"], Target::Ahead);
        let scale = Scale {
            rounds: 3,
            time: Duration::from_millis(1),
            items: None,
            cpus: vec![0],
            ticker: Ticker::calibrated(),
        };
        run(scenario, &scale, |_| {})
    }

    #[test]
    fn ratios_are_against_the_best_peer_of_the_round() {
        let rates = outcome(Metric::Rate, &[("ringbolt", 8.0), ("a", 2.0), ("b", 4.0)]);
        let lines = rates.scenario.all_lines();
        assert_eq!(lines.len(), 3, "the best, and each");
        assert_eq!(rates.ratios(&lines[0]), [2.0; 3]);
        assert_eq!(rates.ratios(&lines[1]), [4.0; 3]);
        let title = rates.scenario.title(&lines[0]);
        assert_eq!(title, "ringbolt / best of a, b");

        let times = outcome(
            Metric::Latency,
            &[("ringbolt", 8.0), ("a", 2.0), ("b", 4.0)],
        );
        assert_eq!(times.ratios(&times.scenario.all_lines()[0]), [0.25; 3]);
    }

    #[test]
    fn a_broken_peer_is_told_and_left_out() {
        let rates = outcome(Metric::Rate, &[("ringbolt", 8.0), ("a", 2.0), ("b", -1.0)]);
        let lines = rates.scenario.all_lines();
        assert_eq!(rates.ratios(&lines[0]), [4.0; 3]);
        assert!(rates.ratios(&lines[2]).is_empty());
        assert!(rates.broken.contains_key(&2));
    }
}
