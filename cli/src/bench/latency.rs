//! What the callers feel: the append call itself, and the way from publish to receive.
//!
//! The append call is measured in an open loop, beside the same loop that calls nothing while a thread
//! writes to the raw disk what the log would: so both feel the machine, its interrupts and its disk
//! alike, and that loop is the hiccup meter.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringbolt::{ErrorKind, From, Log, ReadOptions, Visibility};

use crate::bench::append::produce;
use crate::bench::context::{Bench, Pinned, cpus};
use crate::bench::hiccup::Rest;
use crate::bench::raw::{DEPTH_MAX, Direction, Extents, OP_BYTES_MAX, Op, RawFile, Ticker, Way};
use crate::bench::report::{Measure, Target, Unit};
use crate::histogram;
use crate::outcome::{Done, Failure};
use crate::units;

const PAYLOAD: [u8; 128] = [0x5a; 128];
/// What a record takes in the log.
const FRAME_BYTES: f64 = PAYLOAD.len() as f64 + 16.0;
/// The part of the sustained rate at which the open loop runs.
const LOAD: f64 = 0.9;

pub(crate) fn run_call(bench: &mut Bench) -> Done<Vec<Measure>> {
    let engine = bench.engine()?;
    let pass = bench.scale.pass;
    let ticker = bench.ticker;
    let retain = 8 * bench.scale.segment_bytes;
    let log = bench
        .options()
        .retain_bytes(retain)
        .open_on(&engine, bench.path("call"))?;
    let sustained = sustained_rate(&log, bench.scale.rounds as u32 * pass)?;
    let rate = LOAD * sustained;
    let mut load = RawLoad::new(bench, rate)?;
    let _rest = Rest::begin();

    let (mut calls, mut blocked, mut bare) = (
        histogram::nanoseconds(),
        histogram::nanoseconds(),
        histogram::nanoseconds(),
    );
    let mut samples: [Vec<f64>; 3] = Default::default();
    let mut stolen_times = [Duration::ZERO; 2];
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "the append call, round {round} of {}",
            bench.scale.rounds
        ));
        let before = stolen();
        let machine = load.beside(|| open_loop(ticker, rate, pass, || Ok(Call::Done)))?;
        let between = stolen();
        let ours = open_loop(ticker, rate, pass, || match log.try_append(&PAYLOAD) {
            Ok(_) => Ok(Call::Done),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = log.append(&PAYLOAD)?;
                Ok(Call::Blocked)
            }
            Err(error) => Err(error.into()),
        })?;
        stolen_times[0] += between.saturating_sub(before);
        stolen_times[1] += stolen().saturating_sub(between);
        log.flush()?;
        let at = |quantile| ours.calls.value_at_quantile(quantile) as f64;
        samples[0].push(at(0.5));
        samples[1].push(at(0.999));
        // Under a microsecond the machine is as good as still.
        let still = (machine.calls.value_at_quantile(0.9999) as f64).max(1000.0);
        samples[2].push(at(0.9999) / still);
        calls.add(&ours.calls).expect("histograms of one kind");
        blocked.add(&ours.blocked).expect("histograms of one kind");
        bare.add(&machine.calls).expect("histograms of one kind");
    }
    log.close()?;
    bench.remove("call");
    bench.keep("append call", &calls);
    bench.keep("append call, blocked", &blocked);
    bench.keep("the same loop beside raw writes", &bare);

    let share = blocked.len() as f64 / (calls.len() + blocked.len()).max(1) as f64;
    let rate = units::count(rate);
    let [p50, p999, p9999] = samples;
    let measure = |what: &str, target, unit, samples, detail| Measure {
        name: "call",
        what: what.into(),
        target: Some(target),
        unit,
        samples,
        detail,
    };
    Ok(vec![
        measure(
            "append call p50, open loop at 90%",
            Target::AtMost(150.0),
            Unit::Nanoseconds,
            p50,
            format!("at {rate} records/s"),
        ),
        measure(
            "append call p99.9",
            Target::AtMost(2000.0),
            Unit::Nanoseconds,
            p999,
            format!(
                "{:.4}% waited for room; the host took {} ms of the processors, {} ms beside raw writes",
                share * 100.0,
                stolen_times[1].as_millis(),
                stolen_times[0].as_millis()
            ),
        ),
        measure(
            "append call p99.99 / the loop beside raw writes",
            Target::AtMost(1.0),
            Unit::Ratio,
            p9999,
            format!(
                "{} against {}",
                units::nanos(calls.value_at_quantile(0.9999) as f64),
                units::nanos(bare.value_at_quantile(0.9999) as f64)
            ),
        ),
    ])
}

/// What a hypervisor took of all processors since the machine started.
fn stolen() -> Duration {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: u64 = stat
        .split_whitespace()
        .nth(8)
        .and_then(|ticks| ticks.parse().ok())
        .unwrap_or(0);
    Duration::from_millis(1000 * ticks / rustix::param::clock_ticks_per_second())
}

/// Records a second over so long a time that what may wait in memory is no matter.
fn sustained_rate(log: &Log, time: Duration) -> Done<f64> {
    // Until segments are recycled.
    produce(log, &PAYLOAD, time / 4)?;
    Ok(produce(log, &PAYLOAD, time)?.per_second())
}

/// Writes to the raw disk at the rate of a log, as it would: large, durable, several at a time.
struct RawLoad {
    file: RawFile,
    bytes_per_second: f64,
}

impl RawLoad {
    fn new(bench: &Bench, records_per_second: f64) -> Done<Self> {
        let path = bench.path("raw-load");
        let file = RawFile::create(&path, bench.scale.file_bytes, Extents::Written)
            .map_err(Failure::io("preparing the raw disk"))?;
        Ok(Self {
            file,
            bytes_per_second: records_per_second * FRAME_BYTES,
        })
    }

    /// Does something while a thread writes, on the processor that the log's persister has.
    fn beside<T>(&mut self, act: impl FnOnce() -> Done<T>) -> Done<T> {
        let ended = AtomicBool::new(false);
        let (file, rate) = (&self.file, self.bytes_per_second);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| -> Done<()> {
                let _pinned = Pinned::to(1);
                let mut way = match Way::ring(DEPTH_MAX) {
                    Some(ring) => ring,
                    None => Way::plain().map_err(Failure::io("preparing the raw disk"))?,
                };
                let begin = Instant::now();
                let ops = (0..)
                    .step_by(OP_BYTES_MAX)
                    .take_while(|_| !ended.load(Ordering::Relaxed))
                    .map(|at: u64| {
                        let due = Duration::from_secs_f64(at as f64 / rate);
                        std::thread::sleep(due.saturating_sub(begin.elapsed()));
                        Op {
                            file: 0,
                            offset: at % file.len(),
                            len: OP_BYTES_MAX,
                        }
                    });
                way.run(&[file.file()], Direction::Write, ops)
                    .map_err(Failure::io("writing to the raw disk"))?;
                Ok(())
            });
            let done = act();
            ended.store(true, Ordering::Relaxed);
            writer.join().expect("the writer does not panic")?;
            done
        })
    }
}

/// How a call ended.
enum Call {
    Done,
    /// It had to wait for room: the disk's affair, and counted apart.
    Blocked,
}

struct OpenLoop {
    /// From when a call was due to when it was done.
    calls: Histogram<u64>,
    /// How long blocked calls took.
    blocked: Histogram<u64>,
}

/// Calls at a set rate. A call that is late because the one before was slow counts from when it was
/// due, so a stall is seen by every call that it delayed. Time spent blocked moves the schedule.
fn open_loop(
    ticker: Ticker,
    rate: f64,
    time: Duration,
    mut call: impl FnMut() -> Done<Call>,
) -> Done<OpenLoop> {
    let _pinned = Pinned::to(0);
    let (mut calls, mut blocked) = (histogram::nanoseconds(), histogram::nanoseconds());
    let period_ns = 1e9 / rate.max(1.0);
    let count = (time.as_nanos() as f64 / period_ns) as u64;
    let mut origin_ns = ticker.now_ns();
    let mut now_ns = origin_ns;
    for index in 0..count {
        let due_ns = origin_ns + (index as f64 * period_ns) as u64;
        while now_ns < due_ns {
            std::hint::spin_loop();
            now_ns = ticker.now_ns();
        }
        let begin_ns = now_ns;
        let how = call()?;
        now_ns = ticker.now_ns();
        match how {
            Call::Done => calls.saturating_record(now_ns.saturating_sub(due_ns)),
            Call::Blocked => {
                let waited_ns = now_ns.saturating_sub(begin_ns);
                blocked.saturating_record(waited_ns);
                origin_ns += waited_ns;
            }
        }
    }
    Ok(OpenLoop { calls, blocked })
}

pub(crate) fn run_publish(bench: &mut Bench) -> Done<Vec<Measure>> {
    let engine = bench.unpinned_engine()?;
    let log = bench.options().open_on(&engine, bench.path("publish"))?;
    let ticker = bench.ticker;
    let mut all = histogram::nanoseconds();
    let (mut ratios, mut transfers) = (Vec::new(), Vec::new());
    let count = (bench.scale.pass.as_nanos() as u64 / PUBLISH_GAP_NS).max(1000);
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "publish to receive, round {round} of {}",
            bench.scale.rounds
        ));
        let transfer_ns = cache_line_transfer_ns();
        let received = publish(&log, ticker, count)?;
        ratios.push(received.value_at_quantile(0.5) as f64 / transfer_ns);
        transfers.push(transfer_ns);
        all.add(&received).expect("histograms of one kind");
    }
    log.close()?;
    bench.remove("publish");
    bench.keep("publish to receive", &all);
    Ok(vec![Measure {
        name: "publish",
        what: "publish to receive p50 / one-way cache line".into(),
        target: Some(Target::AtMost(3.0)),
        unit: Unit::Ratio,
        samples: ratios,
        detail: format!(
            "{} against {}{}",
            units::nanos(all.value_at_quantile(0.5) as f64),
            units::nanos(crate::bench::report::median(&mut transfers)),
            if cpus().len() < 2 {
                "; one processor: this says nothing"
            } else {
                ""
            }
        ),
    }])
}

/// Between two records, so that the reader waits at the tail for each.
const PUBLISH_GAP_NS: u64 = 10_000;

/// A writer puts the time into each record at the last moment before it commits; a reader spins for
/// it on another processor.
fn publish(log: &Log, ticker: Ticker, count: u64) -> Done<Histogram<u64>> {
    let options = ReadOptions::new().visibility(Visibility::Committed);
    let mut reader = log.reader_with(From::End, options)?;
    let ready = AtomicBool::new(false);
    // Whoever fails first tells the other, or that one would spin for ever.
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| -> Done<Histogram<u64>> {
            let _pinned = Pinned::to(1);
            let mut latency = histogram::nanoseconds();
            ready.store(true, Ordering::Release);
            while latency.len() < count && !ended.load(Ordering::Relaxed) {
                let Some(record) = reader.try_next()? else {
                    std::hint::spin_loop();
                    continue;
                };
                let now_ns = ticker.now_ns();
                let sent = record
                    .payload()
                    .first_chunk::<8>()
                    .copied()
                    .unwrap_or_default();
                latency.saturating_record(now_ns.saturating_sub(u64::from_le_bytes(sent)));
            }
            Ok(latency)
        });
        let sent = {
            let _pinned = Pinned::to(0);
            while !ready.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            send_paced(log, ticker, count)
        };
        if sent.is_err() {
            ended.store(true, Ordering::Relaxed);
        }
        let received = receiver.join().expect("the reader does not panic");
        sent?;
        received
    })
}

fn send_paced(log: &Log, ticker: Ticker, count: u64) -> Done<()> {
    for _ in 0..count {
        let due_ns = ticker.now_ns() + PUBLISH_GAP_NS;
        while ticker.now_ns() < due_ns {
            std::hint::spin_loop();
        }
        let _ = log.append_with(PAYLOAD.len(), |buf| {
            buf[8..].fill(0x5a);
            buf[..8].copy_from_slice(&ticker.now_ns().to_le_bytes());
        })?;
    }
    Ok(())
}

/// How long a cache line takes from one processor to another: half a round trip, the median of many.
fn cache_line_transfer_ns() -> f64 {
    const TRIPS: u64 = 500;
    const BLOCKS: usize = 101;
    #[repr(align(128))]
    struct Line(AtomicU64);
    if cpus().len() < 2 {
        return f64::NAN;
    }
    let (ping, pong) = (Line(AtomicU64::new(0)), Line(AtomicU64::new(0)));
    let last = TRIPS * BLOCKS as u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _pinned = Pinned::to(1);
            for trip in 1..=last {
                while ping.0.load(Ordering::Acquire) < trip {
                    std::hint::spin_loop();
                }
                pong.0.store(trip, Ordering::Release);
            }
        });
        let _pinned = Pinned::to(0);
        let mut blocks: Vec<f64> = (0..BLOCKS as u64)
            .map(|block| {
                let begin = Instant::now();
                for trip in block * TRIPS + 1..=(block + 1) * TRIPS {
                    ping.0.store(trip, Ordering::Release);
                    while pong.0.load(Ordering::Acquire) < trip {
                        std::hint::spin_loop();
                    }
                }
                begin.elapsed().as_nanos() as f64 / (2 * TRIPS) as f64
            })
            .collect();
        crate::bench::report::median(&mut blocks)
    })
}
