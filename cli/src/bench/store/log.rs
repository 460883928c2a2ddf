//! Durable appends to a stream beside the same ones to the bare log: pipelined, and each waited for.

use std::time::Instant;

use ringbolt::Engine;

use crate::bench::append::produce;
use crate::bench::context::Bench;
use crate::bench::report::{Measure, Target, Unit, median};
use crate::bench::store::{self, make_streams, open};
use crate::bench::sync::{BLOCK_OPS, BLOCKS, add, waiting};
use crate::histogram;
use crate::outcome::Done;
use crate::units;

const PAYLOAD: [u8; 128] = [0x5a; 128];

pub(super) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let engine = bench.engine()?;
    let mut measures = vec![
        run_pipelined(bench, &engine, 1024)?,
        run_pipelined(bench, &engine, 128)?,
    ];
    measures.extend(run_waiting(bench, &engine)?);
    Ok(measures)
}

fn run_pipelined(bench: &Bench, engine: &Engine, payload_bytes: usize) -> Done<Measure> {
    let payload = vec![0x5a; payload_bytes];
    let [mut ours, mut logs] = [(); 2].map(|()| Vec::new());
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "a stream beside the bare log, {payload_bytes} B, round {round} of {}",
            bench.scale.rounds
        ));
        // Which comes first changes: the disk remembers what came before.
        for is_stream in [round % 2 == 0, round % 2 == 1] {
            if is_stream {
                let store = open(bench, engine, "beside-log")?;
                let streams = make_streams(&store, 1)?;
                ours.push(store::produce(&streams, &payload, bench.scale.pass)?.per_second());
                store.close()?;
            } else {
                let log = bench.options().open_on(engine, bench.path("beside-log"))?;
                log.append(&payload)?.wait()?;
                logs.push(produce(&log, &payload, bench.scale.pass)?.per_second());
                log.close()?;
            }
            bench.remove("beside-log");
        }
    }
    Ok(Measure {
        name: "log",
        what: format!("{payload_bytes} B to a stream / to the bare log"),
        target: Some(Target::AtLeast(0.8)),
        unit: Unit::Ratio,
        samples: ours
            .iter()
            .zip(&logs)
            .map(|(ours, log)| ours / log)
            .collect(),
        detail: format!(
            "{} against {} records/s",
            units::count(median(&mut ours)),
            units::count(median(&mut logs))
        ),
    })
}

fn run_waiting(bench: &mut Bench, engine: &Engine) -> Done<[Measure; 2]> {
    let store = open(bench, engine, "sync-store")?;
    let stream = make_streams(&store, 1)?.remove(0);
    let log = bench.options().open_on(engine, bench.path("sync-log"))?;
    let append_to_stream = || waiting(BLOCK_OPS, || stream.append(&PAYLOAD)?.wait());
    let append_to_log = || waiting(BLOCK_OPS, || log.append(&PAYLOAD)?.wait());
    // The first operations find cold caches and what has just been made.
    append_to_stream()?;
    append_to_log()?;
    let (mut rates, mut medians) = (Vec::new(), Vec::new());
    let [mut all_ours, mut all_logs] = [(); 2].map(|()| histogram::nanoseconds());
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "synchronous appends to a stream, round {round} of {}",
            bench.scale.rounds
        ));
        let [mut ours, mut logs] = [(); 2].map(|()| histogram::nanoseconds());
        let [mut our_time, mut log_time] = [0.0; 2];
        for _ in 0..BLOCKS {
            let begin = Instant::now();
            add(&mut logs, &append_to_log()?);
            let between = Instant::now();
            add(&mut ours, &append_to_stream()?);
            log_time += (between - begin).as_secs_f64();
            our_time += between.elapsed().as_secs_f64();
        }
        rates.push(log_time / our_time);
        medians.push(ours.value_at_quantile(0.5) as f64 / logs.value_at_quantile(0.5) as f64);
        add(&mut all_ours, &ours);
        add(&mut all_logs, &logs);
    }
    store.close()?;
    log.close()?;
    bench.remove("sync-store");
    bench.remove("sync-log");
    bench.keep("synchronous append to a stream", &all_ours);
    bench.keep("synchronous append to the bare log", &all_logs);
    let p50 = |all: &hdrhistogram::Histogram<u64>| units::nanos(all.value_at_quantile(0.5) as f64);
    let measure = |what: &str, target, samples, detail| Measure {
        name: "log",
        what: what.into(),
        target: Some(target),
        unit: Unit::Ratio,
        samples,
        detail,
    };
    Ok([
        measure(
            "synchronous appends/s to a stream / to the bare log",
            Target::AtLeast(0.8),
            rates,
            String::new(),
        ),
        measure(
            "synchronous append p50, stream / bare log",
            Target::AtMost(1.10),
            medians,
            format!("{} against {}", p50(&all_ours), p50(&all_logs)),
        ),
    ])
}
