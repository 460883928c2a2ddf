//! Writers that wait for each of their records: one beside a bare disk write, and many beside one.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringbolt::Log;

use crate::bench::context::Bench;
use crate::bench::report::{Measure, Target, Unit, median};
use crate::histogram;
use crate::outcome::{Done, Failure};
use crate::units;

const PAYLOAD: [u8; 128] = [0x5a; 128];
/// Operations between two changes from the disk to the log and back.
pub(crate) const BLOCK_OPS: usize = 200;
/// Changes in a round.
pub(crate) const BLOCKS: usize = 4;

pub(crate) fn run_single(bench: &mut Bench) -> Done<Vec<Measure>> {
    let log = bench
        .options()
        .open_on(&bench.engine()?, bench.path("sync"))?;
    let (mut ratios, mut all_raw, mut all_log) = (
        Vec::new(),
        histogram::nanoseconds(),
        histogram::nanoseconds(),
    );
    // The first operations find cold caches and a log that has just been made.
    waiting(BLOCK_OPS, || log.append(&PAYLOAD)?.wait())?;
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "one synchronous writer, round {round} of {}",
            bench.scale.rounds
        ));
        let (mut raw, mut ours) = (histogram::nanoseconds(), histogram::nanoseconds());
        for _ in 0..BLOCKS {
            add(&mut raw, &bench.raw.small_writes(BLOCK_OPS)?);
            add(
                &mut ours,
                &waiting(BLOCK_OPS, || log.append(&PAYLOAD)?.wait())?,
            );
        }
        ratios.push(ours.value_at_quantile(0.5) as f64 / raw.value_at_quantile(0.5) as f64);
        add(&mut all_raw, &raw);
        add(&mut all_log, &ours);
    }
    log.close()?;
    bench.remove("sync");
    let detail = format!(
        "{} against {}",
        units::nanos(all_log.value_at_quantile(0.5) as f64),
        units::nanos(all_raw.value_at_quantile(0.5) as f64)
    );
    bench.keep("raw 4 KiB durable write", &all_raw);
    bench.keep("synchronous append", &all_log);
    Ok(vec![Measure {
        name: "sync",
        what: "synchronous append p50 / raw 4 KiB write p50".into(),
        target: Some(Target::AtMost(1.10)),
        unit: Unit::Ratio,
        samples: ratios,
        detail,
    }])
}

pub(crate) fn run_writers(bench: &mut Bench) -> Done<Vec<Measure>> {
    let log = bench
        .options()
        .open_on(&bench.engine()?, bench.path("writers"))?;
    waiting(BLOCK_OPS, || log.append(&PAYLOAD)?.wait())?;
    let pass = bench.scale.pass / 2;
    let (mut of_16, mut of_64, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    let mut rates: [Vec<f64>; 3] = Default::default();
    let (mut all_16, mut all_64) = (histogram::nanoseconds(), histogram::nanoseconds());
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "many synchronous writers, round {round} of {}",
            bench.scale.rounds
        ));
        let raw = bench.raw.small_writes(BLOCK_OPS * BLOCKS)?;
        let (one, _) = write_together(&log, 1, pass)?;
        let (sixteen, latency_16) = write_together(&log, 16, pass)?;
        let (many, latency_64) = write_together(&log, 64, pass)?;
        of_16.push(sixteen / one);
        of_64.push(many / one);
        tails.push(latency_16.value_at_quantile(0.99) as f64 / raw.value_at_quantile(0.99) as f64);
        for (rates, rate) in rates.iter_mut().zip([one, sixteen, many]) {
            rates.push(rate);
        }
        add(&mut all_16, &latency_16);
        add(&mut all_64, &latency_64);
    }
    log.close()?;
    bench.remove("writers");
    bench.keep("synchronous append, 16 writers", &all_16);
    bench.keep("synchronous append, 64 writers", &all_64);
    let [one, sixteen, many] = rates.map(|mut rates| units::count(median(&mut rates)));
    let measure = |what: &str, target, samples, detail| Measure {
        name: "writers",
        what: what.into(),
        target: Some(target),
        unit: Unit::Ratio,
        samples,
        detail,
    };
    Ok(vec![
        measure(
            "16 synchronous writers / one",
            Target::AtLeast(7.0),
            of_16,
            format!("{sixteen}/s against {one}/s"),
        ),
        measure(
            "64 synchronous writers / one",
            Target::AtLeast(18.0),
            of_64,
            format!("{many}/s against {one}/s"),
        ),
        measure(
            "p99 of 16 writers / raw 4 KiB write p99",
            Target::AtMost(3.0),
            tails,
            units::nanos(all_16.value_at_quantile(0.99) as f64),
        ),
    ])
}

pub(crate) fn add(to: &mut Histogram<u64>, more: &Histogram<u64>) {
    to.add(more).expect("histograms of one kind");
}

/// So many appends, each waited for.
pub(crate) fn waiting<T>(
    count: usize,
    mut append: impl FnMut() -> ringbolt::Result<T>,
) -> Done<Histogram<u64>> {
    let mut latency = histogram::nanoseconds();
    for _ in 0..count {
        let begin = Instant::now();
        append()?;
        latency.saturating_record(begin.elapsed().as_nanos() as u64);
    }
    Ok(latency)
}

/// Some threads that append and wait, for `time`: records a second, and their latency.
fn write_together(log: &Log, writers: usize, time: Duration) -> Done<(f64, Histogram<u64>)> {
    let begin = Instant::now();
    let deadline = begin + time;
    std::thread::scope(|scope| {
        let mut threads = Vec::with_capacity(writers);
        for _ in 0..writers {
            let writer = move || -> Done<Histogram<u64>> {
                let mut latency = histogram::nanoseconds();
                while Instant::now() < deadline {
                    let begin = Instant::now();
                    log.append(&PAYLOAD)?.wait()?;
                    latency.saturating_record(begin.elapsed().as_nanos() as u64);
                }
                Ok(latency)
            };
            threads.push(
                std::thread::Builder::new()
                    .name("writer".into())
                    .spawn_scoped(scope, writer)
                    .map_err(Failure::io("starting a writer"))?,
            );
        }
        let mut all = histogram::nanoseconds();
        for thread in threads {
            add(&mut all, &thread.join().expect("writers do not panic")?);
        }
        let rate = all.len() as f64 / begin.elapsed().as_secs_f64();
        Ok((rate, all))
    })
}
