//! Appends that are waited for while the store moves what is still wanted of old segments forward, beside
//! the same where there is nothing to move.
//!
//! A fast stream is trimmed as it is written. A slow one has a few records in each segment and keeps them
//! all; in the store that this is held against, it is trimmed as well.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringbolt::Engine;
use ringbolt::store::{Store, Stream};

use crate::bench::context::Bench;
use crate::bench::report::{Measure, Target, Unit};
use crate::bench::store::{make_streams, open_on};
use crate::bench::sync::add;
use crate::histogram;
use crate::outcome::Done;
use crate::units;

const FAST: [u8; 1024] = [0x5a; 1024];
const SLOW: [u8; 128] = [0x5a; 128];
/// Records of the fast stream before each append that is waited for.
const BURST: u64 = 16;
/// Bursts to a record of the slow stream.
const BURSTS_PER_SLOW: u64 = 4;
/// Bursts between two trims.
const BURSTS_PER_TRIM: u64 = 64;
/// Segments are small, so that many go in a round: one part of so many.
const SEGMENT_PART: u64 = 16;
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// After so many segments old ones are going, if they ever do.
const WARM_SEGMENTS: u64 = 32;

pub(super) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let engine = bench.engine()?;
    bench.say("filling stores until old segments go");
    let mut moving = Load::new(bench, &engine, "moving", false)?;
    let mut trimmed = Load::new(bench, &engine, "trimmed", true)?;
    let mut ratios = Vec::new();
    let [mut all_moving, mut all_trimmed] = [(); 2].map(|()| histogram::nanoseconds());
    let before = moving.store.stats();
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "appends while records are moved, round {round} of {}",
            bench.scale.rounds
        ));
        let without = trimmed.run(bench.scale.pass)?;
        let with = moving.run(bench.scale.pass)?;
        ratios.push(with.value_at_quantile(0.99) as f64 / without.value_at_quantile(0.99) as f64);
        add(&mut all_moving, &with);
        add(&mut all_trimmed, &without);
    }
    let after = moving.store.stats();
    for (load, folder) in [(moving, "moving"), (trimmed, "trimmed")] {
        load.store.close()?;
        bench.remove(folder);
    }
    bench.keep("synchronous append, records moved", &all_moving);
    bench.keep("synchronous append, none to move", &all_trimmed);
    let p99 = |all: &Histogram<u64>| units::nanos(all.value_at_quantile(0.99) as f64);
    Ok(vec![Measure {
        name: "moving",
        what: "synchronous append p99 while records are moved / with none to move".into(),
        target: Some(Target::AtMost(2.0)),
        unit: Unit::Ratio,
        samples: ratios,
        detail: format!(
            "{} against {}; {} records moved, {}, while {} were written",
            p99(&all_moving),
            p99(&all_trimmed),
            units::count((after.moved_records - before.moved_records) as f64),
            units::size((after.moved_bytes - before.moved_bytes) as f64),
            units::size((after.log.written_bytes - before.log.written_bytes) as f64)
        ),
    }])
}

struct Load {
    store: Store,
    /// The fast one, the slow one, and the one whose appends are waited for.
    streams: [Stream; 3],
    /// How many records each of them got.
    appended: [u64; 3],
    trims_slow: bool,
    bursts: u64,
}

impl Load {
    fn new(bench: &Bench, engine: &Engine, folder: &str, trims_slow: bool) -> Done<Self> {
        let segment_bytes = (bench.scale.segment_bytes / SEGMENT_PART).max(SEGMENT_BYTES_MIN);
        let options = bench.options().segment_bytes(segment_bytes);
        let store = open_on(engine, &bench.path(folder), options)?;
        let streams = make_streams(&store, 3)?;
        let mut load = Self {
            store,
            streams: streams.try_into().expect("as many as were asked for"),
            appended: [0; 3],
            trims_slow,
            bursts: 0,
        };
        let bytes = WARM_SEGMENTS * segment_bytes;
        for _ in 0..bytes / (BURST * FAST.len() as u64) {
            load.burst()?;
        }
        Ok(load)
    }

    /// The latency of the appends that are waited for.
    fn run(&mut self, time: Duration) -> Done<Histogram<u64>> {
        let mut latency = histogram::nanoseconds();
        let begin = Instant::now();
        while begin.elapsed() < time {
            let took = self.burst()?;
            latency.saturating_record(took.as_nanos() as u64);
        }
        Ok(latency)
    }

    fn burst(&mut self) -> Done<Duration> {
        let [fast, slow, waited] = &self.streams;
        self.bursts += 1;
        for _ in 0..BURST {
            let _ = fast.append(&FAST)?;
        }
        self.appended[0] += BURST;
        if self.bursts.is_multiple_of(BURSTS_PER_SLOW) {
            let _ = slow.append(&SLOW)?;
            self.appended[1] += 1;
        }
        if self.bursts.is_multiple_of(BURSTS_PER_TRIM) {
            let _ = fast.trim(self.appended[0])?;
            let _ = waited.trim(self.appended[2])?;
            if self.trims_slow {
                let _ = slow.trim(self.appended[1])?;
            }
        }
        let begin = Instant::now();
        let ticket = waited.append(&SLOW)?;
        ticket.wait()?;
        self.appended[2] += 1;
        Ok(begin.elapsed())
    }
}
