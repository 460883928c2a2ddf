//! Durable bytes a second of one producer, at 1 KiB and 128 B, while the log grows and when its
//! segments are recycled.

use std::time::{Duration, Instant};

use ringbolt::{Log, Position};

use crate::bench::context::{Bench, Pinned};
use crate::bench::report::{Measure, Target, Unit, median};
use crate::outcome::Done;
use crate::units;

/// Segments that the recycling log keeps.
const RETAINED_SEGMENTS: u64 = 8;

struct Kind {
    what: &'static str,
    payload_bytes: usize,
    recycled: bool,
    target: f64,
}

const KINDS: [Kind; 4] = [
    Kind {
        what: "1 KiB, recycled / raw best",
        payload_bytes: 1024,
        recycled: true,
        target: 0.90,
    },
    Kind {
        what: "1 KiB, growing / raw best",
        payload_bytes: 1024,
        recycled: false,
        target: 0.75,
    },
    Kind {
        what: "128 B, recycled / raw best",
        payload_bytes: 128,
        recycled: true,
        target: 0.40,
    },
    Kind {
        what: "128 B, growing / raw best",
        payload_bytes: 128,
        recycled: false,
        target: 0.35,
    },
];

pub(crate) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    KINDS.iter().map(|kind| run_kind(bench, kind)).collect()
}

fn run_kind(bench: &mut Bench, kind: &Kind) -> Done<Measure> {
    let payload = vec![0x5a; kind.payload_bytes];
    let pass = bench.scale.pass;
    let engine = bench.engine()?;
    let retained = if kind.recycled {
        bench.say(format!("{}: filling up to the retention", kind.what));
        let bytes = RETAINED_SEGMENTS * bench.scale.segment_bytes;
        let log = bench
            .options()
            .retain_bytes(bytes)
            .open_on(&engine, bench.path("append"))?;
        while log.stats().recycled < RETAINED_SEGMENTS {
            produce(&log, &payload, Duration::from_millis(50))?;
        }
        Some(log)
    } else {
        None
    };

    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "{}, round {round} of {}",
            kind.what, bench.scale.rounds
        ));
        let before = bench.raw.best_write_rate()?;
        let produced = match &retained {
            Some(log) => produce(log, &payload, pass)?,
            None => {
                let log = bench.options().open_on(&engine, bench.path("append"))?;
                let produced = produce(&log, &payload, pass)?;
                log.close()?;
                bench.remove("append");
                produced
            }
        };
        let after = bench.raw.best_write_rate()?;
        let rate = produced.per_second();
        ratios.push(rate * kind.payload_bytes as f64 / before.max(after));
        rates.push(rate);
    }
    if let Some(log) = retained {
        log.close()?;
        bench.remove("append");
    }
    let rate = median(&mut rates);
    Ok(Measure {
        name: "append",
        what: kind.what.into(),
        target: Some(Target::AtLeast(kind.target)),
        unit: Unit::Ratio,
        samples: ratios,
        detail: format!(
            "{} of payload, {} records/s",
            units::size_rate(rate * kind.payload_bytes as f64),
            units::count(rate)
        ),
    })
}

/// What a producer did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Produced {
    pub(crate) records: u64,
    /// Until the last of them was durable.
    pub(crate) elapsed: Duration,
}

impl Produced {
    pub(crate) fn per_second(self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64()
    }
}

/// Appends for `time`, never waiting for a ticket but the last.
pub(crate) fn produce(log: &Log, payload: &[u8], time: Duration) -> Done<Produced> {
    pipelined(time, || log.append(payload), |last| last.wait().map(drop))
}

/// Appends for `time` from one thread, and waits for the last ticket alone.
pub(crate) fn pipelined<T>(
    time: Duration,
    mut append: impl FnMut() -> ringbolt::Result<T>,
    wait: impl FnOnce(T) -> ringbolt::Result<()>,
) -> Done<Produced> {
    /// How often the clock is read.
    const STRIDE: u64 = 256;
    let _pinned = Pinned::to(0);
    let begin = Instant::now();
    let mut records = 0;
    loop {
        for _ in 1..STRIDE {
            let _ = append()?;
        }
        let last = append()?;
        records += STRIDE;
        if begin.elapsed() >= time {
            wait(last)?;
            return Ok(Produced {
                records,
                elapsed: begin.elapsed(),
            });
        }
    }
}

/// Appends until the log ends `bytes` of payload further, durably.
pub(crate) fn produce_bytes(log: &Log, payload: &[u8], bytes: u64) -> Done<Position> {
    for _ in 0..bytes.div_ceil(payload.len() as u64) {
        let _ = log.append(payload)?;
    }
    Ok(log.flush()?)
}
