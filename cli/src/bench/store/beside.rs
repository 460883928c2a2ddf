//! Appends that are waited for, beside a bulk writer that takes all that the disk has, in a store whose
//! bound on what is not yet on disk is low; beside raw writes that have the disk to themselves.

use std::sync::atomic::{AtomicBool, Ordering};

use hdrhistogram::Histogram;
use ringbolt::Engine;
use ringbolt::store::Stream;

use crate::bench::append::Produced;
use crate::bench::context::Bench;
use crate::bench::report::{Measure, Target, Unit, median};
use crate::bench::store::{make_streams, open_on, produce};
use crate::bench::sync::{BLOCK_OPS, BLOCKS, add, waiting};
use crate::histogram;
use crate::outcome::Done;
use crate::units;

const PAYLOAD: [u8; 128] = [0x5a; 128];
const BULK: [u8; 4096] = [0x5a; 4096];
const UNSYNCED_BYTES: u64 = 256 << 10;
/// Operations between two looks whether the bulk writer has ended.
const OPS: usize = 10;

pub(super) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let engine = bench.engine()?;
    let [mut ratios, mut bulk_rates, mut best_rates] = [(); 3].map(|()| Vec::new());
    let [mut all_ours, mut all_raw] = [(); 2].map(|()| histogram::nanoseconds());
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "synchronous appends beside a bulk writer, round {round} of {}",
            bench.scale.rounds
        ));
        let raw = bench.raw.small_writes(BLOCK_OPS * BLOCKS)?;
        best_rates.push(bench.raw.best_write_rate()?);
        let (bulk, ours) = pass(bench, &engine)?;
        ratios.push(ours.value_at_quantile(0.99) as f64 / raw.value_at_quantile(0.99) as f64);
        bulk_rates.push(bulk.per_second() * BULK.len() as f64);
        add(&mut all_ours, &ours);
        add(&mut all_raw, &raw);
    }
    bench.keep("synchronous append beside a bulk writer", &all_ours);
    bench.keep("raw 4 KiB durable write", &all_raw);
    let p99 = |all: &Histogram<u64>| units::nanos(all.value_at_quantile(0.99) as f64);
    Ok(vec![Measure {
        name: "beside",
        what: "synchronous append p99 beside a bulk writer / raw 4 KiB write p99".into(),
        target: Some(Target::AtMost(5.0)),
        unit: Unit::Ratio,
        samples: ratios,
        detail: format!(
            "{} against {}; bulk {}, the raw disk's best {}",
            p99(&all_ours),
            p99(&all_raw),
            units::size_rate(median(&mut bulk_rates)),
            units::size_rate(median(&mut best_rates))
        ),
    }])
}

fn pass(bench: &Bench, engine: &Engine) -> Done<(Produced, Histogram<u64>)> {
    let options = bench.options().unsynced_bytes(UNSYNCED_BYTES);
    let store = open_on(engine, &bench.path("beside"), options)?;
    let streams = make_streams(&store, 2)?;
    let (bulk, foreground) = streams.split_at(1);
    let ended = AtomicBool::new(false);
    let (produced, latency) = std::thread::scope(|scope| {
        let waits = scope.spawn(|| append_until(&foreground[0], &ended));
        let produced = produce(bulk, &BULK, bench.scale.pass);
        ended.store(true, Ordering::Relaxed);
        (produced, waits.join().expect("a writer does not panic"))
    });
    store.close()?;
    bench.remove("beside");
    Ok((produced?, latency?))
}

/// Appends and waits, until it is over.
fn append_until(stream: &Stream, ended: &AtomicBool) -> Done<Histogram<u64>> {
    let mut all = histogram::nanoseconds();
    while !ended.load(Ordering::Relaxed) {
        add(&mut all, &waiting(OPS, || stream.append(&PAYLOAD)?.wait())?);
    }
    Ok(all)
}
