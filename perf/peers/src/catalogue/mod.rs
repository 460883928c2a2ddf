//! All comparisons: what runs on which work, and what is to be reached.

mod bytes;
mod fan;
mod idle;
mod latency;
mod many;
mod spsc;

use crate::item::{Item, Kibi, Line};
use crate::queue::{BlockingRx, BlockingTx, Queue};
use crate::scenario::{Figure, Length, Metric, Scenario, plan};
use crate::work::{Style, share};

/// The most memory that a ring's items take.
const RING_BYTES: usize = 4 << 20;
/// The most items of a ring.
const RING_ITEMS: usize = 1 << 16;

/// All scenarios, in the order of the table.
pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    spsc::add::<u64>(&mut all);
    spsc::add::<Line>(&mut all);
    spsc::add::<Kibi>(&mut all);
    many::add::<u64>(&mut all);
    many::add::<Line>(&mut all);
    many::add::<Kibi>(&mut all);
    fan::add::<u64>(&mut all);
    fan::add::<Line>(&mut all);
    fan::add::<Kibi>(&mut all);
    bytes::add(&mut all);
    latency::add(&mut all);
    idle::add(&mut all);
    all
}

/// The capacity of rings of `T`: a power of two.
fn capacity<T>() -> usize {
    (RING_BYTES / size_of::<T>()).min(RING_ITEMS)
}

/// `64 B`, `1 KiB`.
fn size<T>() -> String {
    match size_of::<T>() {
        bytes if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} B"),
    }
}

/// How items go, in the scenario's name and in words.
fn manner(style: Style) -> (&'static str, &'static str) {
    match style {
        Style::One => ("one", "one by one"),
        Style::Drain => ("drain", "put one by one, taken up to 256 at a time"),
        Style::Batch => ("batch", "batches of 256"),
    }
}

/// Producers and consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    producers: usize,
    consumers: usize,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}P{}C", self.producers, self.consumers)
    }
}

/// A scenario of throughput.
fn throughput<T>(kind: &str, shape: &str, (short, long): (&str, &str)) -> Scenario {
    let size = size::<T>();
    let name = format!("{kind}-{shape}-{}-{short}", size.replace(' ', ""));
    let what = format!("{kind} {shape}, {size}, {long}");
    Scenario::new(name, what, Metric::Rate, Length::Calibrated)
}

/// Adds a queue by its `try_` calls.
fn trying<T: Item, Q: Queue<T> + 'static>(
    scenario: &mut Scenario,
    name: &str,
    shape: Shape,
    style: Style,
) {
    scenario.subject(name, move |means| {
        let plan = plan(means, shape.producers, shape.consumers, capacity::<T>());
        share::trying::<T, Q>(&plan, style).map(Figure::from)
    });
}

/// Adds a queue by its blocking calls.
fn blocking<T: Item, Q: Queue<T> + 'static>(scenario: &mut Scenario, name: &str, shape: Shape)
where
    Q::Tx: BlockingTx<T>,
    Q::Rx: BlockingRx<T>,
{
    scenario.subject(name, move |means| {
        let plan = plan(means, shape.producers, shape.consumers, capacity::<T>());
        share::blocking::<T, Q>(&plan).map(Figure::from)
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::clock::Ticker;
    use crate::machine;
    use crate::rounds::{Scale, run};

    #[test]
    fn names_are_unique() {
        let mut seen = BTreeSet::new();
        for scenario in all() {
            assert!(seen.insert(scenario.name.clone()), "{}", scenario.name);
            let subjects: BTreeSet<_> = scenario.subjects.iter().map(|s| &s.name).collect();
            assert_eq!(subjects.len(), scenario.subjects.len(), "{}", scenario.name);
        }
    }

    /// Every queue does all of its work, and the checks find nothing.
    #[test]
    fn every_subject_is_whole() {
        let scale = Scale {
            rounds: 1,
            time: Duration::from_millis(2),
            items: Some(3000),
            cpus: machine::cpus(),
            ticker: Ticker::calibrated(),
        };
        for mut scenario in all() {
            if let Length::Paced(_) = scenario.length {
                scenario.length = Length::Paced(1_000_000);
            }
            let outcome = run(scenario, &scale, |_| {});
            let broken: Vec<_> = outcome.broken.iter().collect();
            assert!(broken.is_empty(), "{}: {broken:?}", outcome.scenario.name);
        }
    }
}
