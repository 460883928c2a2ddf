//! Cold reading of one stream among a thousand whose records lie one after the other, beside raw reads
//! at random of as many blocks as a record lies in.

use std::time::{Duration, Instant};

use ringbolt::Engine;
use ringbolt::store::{ReadFrom, Store};

use crate::bench::context::Bench;
use crate::bench::raw::Way;
use crate::bench::read::{Chance, SCATTERED_DEPTH, files, forget, raw_rate, sealed_files};
use crate::bench::report::{Measure, Target, Unit, median};
use crate::bench::store::{make_streams, name, open};
use crate::outcome::{Done, Failure};
use crate::units;

const STREAMS: usize = 1000;
const RECORD: [u8; 4096] = [0x5a; 4096];
/// With what stands before it, a record lies in two blocks of 4 KiB.
const DEVICE_BYTES: usize = 8192;
const BATCH_RECORDS: usize = 1024;
const BATCH_BYTES: usize = 1 << 20;

pub(super) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let (mut way, depth) = match Way::ring(SCATTERED_DEPTH) {
        Some(ring) => (ring, SCATTERED_DEPTH),
        None => (
            Way::plain().map_err(Failure::io("preparing the raw disk"))?,
            1,
        ),
    };
    bench.say("writing a thousand streams to read");
    let engine = bench.engine()?;
    write(bench, &engine)?;
    let dir = bench.path("cold");
    let sealed = sealed_files(&dir)?;
    let mut chance = Chance::new();
    let [mut ours, mut bare] = [(); 2].map(|()| Vec::new());
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "cold reading of one stream, round {round} of {}",
            bench.scale.rounds
        ));
        bare.push(raw_rate(
            &mut way,
            &sealed,
            DEVICE_BYTES,
            bench.scale.pass,
            &mut chance,
        )?);
        // Opened anew, it has none of the indexes in memory.
        forget(&files(&dir)?)?;
        let store = open(bench, &engine, "cold")?;
        ours.push(rate(&store, bench.scale.pass, &mut chance)?);
        store.close()?;
    }
    bench.remove("cold");
    let samples = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare);
    Ok(vec![Measure {
        name: "cold",
        what: format!(
            "cold 4 KiB records of one stream among {STREAMS} / raw 8 KiB reads at depth {depth}"
        ),
        target: Some(Target::AtLeast(0.7)),
        unit: Unit::Ratio,
        samples: samples.collect(),
        detail: {
            let bytes =
                |rates: &mut Vec<f64>| units::size_rate(median(rates) * DEVICE_BYTES as f64);
            format!(
                "{} of the device against {}",
                bytes(&mut ours),
                bytes(&mut bare)
            )
        },
    }])
}

/// A record to each stream in turn; behind them, what fills the segment that stays in memory.
fn write(bench: &Bench, engine: &Engine) -> Done<()> {
    let store = open(bench, engine, "cold")?;
    let streams = make_streams(&store, STREAMS)?;
    let turns = bench.scale.read_bytes / (RECORD.len() * STREAMS) as u64;
    for _ in 0..turns.max(1) {
        for stream in &streams {
            let _ = stream.append(&RECORD)?;
        }
    }
    let filler = store.create("filler", &Default::default())?;
    for _ in 0..bench.scale.segment_bytes / RECORD.len() as u64 {
        let _ = filler.append(&RECORD)?;
    }
    Ok(store.close()?)
}

/// Records a second, of one stream after the other.
fn rate(store: &Store, time: Duration, chance: &mut Chance) -> Done<f64> {
    let begin = Instant::now();
    let mut records = 0;
    while begin.elapsed() < time {
        let stream = store.stream(&name(chance.below(STREAMS)))?;
        let mut reader = stream.reader(ReadFrom::Earliest)?;
        loop {
            let batch = reader.try_next_batch(BATCH_RECORDS, BATCH_BYTES)?;
            if batch.is_empty() {
                break;
            }
            records += batch.len();
        }
    }
    Ok(records as f64 / begin.elapsed().as_secs_f64())
}
