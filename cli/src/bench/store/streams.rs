//! Durable appends a second of one producer, to any of 1, 100 and 10,000 streams.

use ringbolt::Engine;

use crate::bench::context::Bench;
use crate::bench::report::{Measure, Target, Unit, median};
use crate::bench::store::{make_streams, open, produce};
use crate::outcome::Done;
use crate::units;

/// How many streams there are; the others are held against the first.
const COUNTS: [usize; 3] = [1, 100, 10_000];
const TARGETS: [Option<Target>; 3] = [None, None, Some(Target::AtLeast(0.8))];

pub(super) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let engine = bench.engine()?;
    let mut measures = Vec::new();
    for payload_bytes in [1024, 128] {
        let payload = vec![0x5a; payload_bytes];
        let mut rates = COUNTS.map(|_| Vec::new());
        for round in 1..=bench.scale.rounds {
            bench.say(format!(
                "appending {payload_bytes} B to many streams, round {round} of {}",
                bench.scale.rounds
            ));
            // Another one comes first each time: the disk remembers what came before.
            for turn in 0..COUNTS.len() {
                let which = (round + turn) % COUNTS.len();
                rates[which].push(rate(bench, &engine, COUNTS[which], &payload)?);
            }
        }
        let one = rates[0].clone();
        let others = COUNTS.into_iter().zip(TARGETS).zip(rates).skip(1);
        measures.extend(others.map(|((count, target), mut rates)| {
            Measure {
                name: "streams",
                what: format!("{payload_bytes} B to {count} streams / to one"),
                target,
                unit: Unit::Ratio,
                samples: rates
                    .iter()
                    .zip(&one)
                    .map(|(many, one)| many / one)
                    .collect(),
                detail: format!(
                    "{} against {} records/s",
                    units::count(median(&mut rates)),
                    units::count(median(&mut one.clone()))
                ),
            }
        }));
    }
    Ok(measures)
}

/// Records a second, into a store that grows.
fn rate(bench: &Bench, engine: &Engine, count: usize, payload: &[u8]) -> Done<f64> {
    let store = open(bench, engine, "streams")?;
    let streams = make_streams(&store, count)?;
    let produced = produce(&streams, payload, bench.scale.pass)?;
    store.close()?;
    bench.remove("streams");
    Ok(produced.per_second())
}
