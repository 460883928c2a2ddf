//! The producers and the consumers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringbolt::{ErrorKind, From, Log, Position, ReadOptions, Reader, Visibility};

use crate::commands::demo::check::Order;
use crate::commands::demo::live::Live;
use crate::commands::demo::record::{self, Record};
use crate::histogram;
use crate::outcome::{Done, Failure};

pub(super) const PRODUCERS: usize = 2;
/// Producers wait for a consumer that is so many records behind: it must not be overtaken by
/// retention, and reading from the disk is not what the latencies are to show.
const LAG_RECORDS_MAX: u64 = 200_000;
/// How long a consumer sleeps when nothing wakes it.
const IDLE: Duration = Duration::from_millis(5);
const BATCH_RECORDS: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// How fast the producers go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// As fast as the disk, or the consumers, let them.
    Full,
    /// So many records a second, all producers together.
    Records(u32),
}

impl Pace {
    /// How long a producer waits between two records.
    fn gap(self) -> Option<Duration> {
        match self {
            Self::Full => None,
            Self::Records(rate) => Some(Duration::from_secs(PRODUCERS as u64) / rate.max(1)),
        }
    }

    /// Every how many-th record's durable acknowledgement is timed.
    fn durable_stride(self) -> u64 {
        if self == Self::Full { 64 } else { 1 }
    }
}

/// What was done at one pace, and how long each part took, in nanoseconds.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) pace: Pace,
    pub(super) run: u64,
    /// Where the first record of this run is, or later.
    pub(super) begin: Position,
    /// Records of each producer.
    pub(super) sent: Vec<u64>,
    pub(super) elapsed: Duration,
    pub(super) append: Histogram<u64>,
    pub(super) durable: Histogram<u64>,
    pub(super) received_committed: Histogram<u64>,
    pub(super) received_durable: Histogram<u64>,
}

impl Work {
    pub(super) fn records(&self) -> u64 {
        self.sent.iter().sum()
    }
}

/// What all threads of a run see.
#[derive(Debug)]
pub(super) struct Shared {
    run: u64,
    pace: Pace,
    origin: Instant,
    /// Producers stop.
    stop: AtomicBool,
    /// Somebody failed: nobody waits for anybody any more.
    failed: AtomicBool,
    pub(super) appended: AtomicU64,
    /// By each consumer.
    pub(super) received: [AtomicU64; 2],
    /// What the consumers are to receive; `u64::MAX` until it is known.
    total: AtomicU64,
    durable: Arc<Mutex<Histogram<u64>>>,
}

impl Shared {
    fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn lag(&self) -> u64 {
        let received = |i: usize| self.received[i].load(Ordering::Relaxed);
        self.appended
            .load(Ordering::Relaxed)
            .saturating_sub(received(0).min(received(1)))
    }

    fn done(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }
}

/// Runs all of it for `time`, and until the consumers have received everything.
pub(super) fn run(log: &Log, pace: Pace, time: Duration) -> Done<Work> {
    let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let shared = Shared {
        run: since_1970.as_nanos() as u64,
        pace,
        origin: Instant::now(),
        stop: AtomicBool::new(false),
        failed: AtomicBool::new(false),
        appended: AtomicU64::new(0),
        received: [AtomicU64::new(0), AtomicU64::new(0)],
        total: AtomicU64::new(u64::MAX),
        durable: Arc::new(Mutex::new(histogram::nanoseconds())),
    };
    let begin = log.end();
    let committed = ReadOptions::new().visibility(Visibility::Committed);
    let readers = [
        log.reader_with(From::End, committed)?,
        log.reader(From::End)?,
    ];
    std::thread::scope(|scope| {
        let shared = &shared;
        let mut outcome = Ok(());
        let mut consumers = Vec::new();
        for (index, reader) in readers.into_iter().enumerate() {
            match spawn(scope, "consumer", move || consume(shared, index, reader)) {
                Ok(thread) => consumers.push(thread),
                Err(failure) => outcome = Err(failure),
            }
        }
        let mut producers = Vec::new();
        for index in 0..PRODUCERS as u64 {
            match spawn(scope, "producer", move || produce(shared, index, log)) {
                Ok(thread) => producers.push(thread),
                Err(failure) => outcome = Err(failure),
            }
        }
        if outcome.is_err() {
            shared.failed.store(true, Ordering::Relaxed);
        }

        watch(shared, log, time);
        shared.stop.store(true, Ordering::Relaxed);
        let mut append = histogram::nanoseconds();
        let mut sent = Vec::new();
        for producer in producers {
            match producer.join().expect("producers do not panic") {
                Ok((count, latency)) => {
                    append.add(&latency).expect("histograms of one kind");
                    sent.push(count);
                }
                Err(failure) => outcome = Err(failure),
            }
        }
        let flushed = log.flush();
        if outcome.is_err() || flushed.is_err() {
            shared.failed.store(true, Ordering::Relaxed);
        }
        shared.total.store(sent.iter().sum(), Ordering::Release);
        let mut received = Vec::new();
        for consumer in consumers {
            match consumer.join().expect("consumers do not panic") {
                Ok(latency) => received.push(latency),
                Err(failure) => outcome = outcome.and(Err(failure)),
            }
        }
        outcome?;
        flushed?;
        let elapsed = shared.origin.elapsed();
        let received_durable = received.pop().expect("two consumers");
        let received_committed = received.pop().expect("two consumers");
        let durable = shared
            .durable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let run = shared.run;
        Ok(Work {
            pace,
            run,
            begin,
            sent,
            elapsed,
            append,
            durable,
            received_committed,
            received_durable,
        })
    })
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Done<std::thread::ScopedJoinHandle<'scope, T>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn_scoped(scope, work)
        .map_err(Failure::io("starting a thread"))
}

/// Shows the rates until the time is over or somebody failed.
fn watch(shared: &Shared, log: &Log, time: Duration) {
    const TICK: Duration = Duration::from_millis(100);
    let mut live = Live::new(&log.stats());
    while shared.origin.elapsed() < time && !shared.failed.load(Ordering::Relaxed) {
        std::thread::sleep(TICK.min(time.saturating_sub(shared.origin.elapsed())));
        live.show(shared.origin.elapsed(), shared, &log.stats());
    }
}

fn produce(shared: &Shared, producer: u64, log: &Log) -> Done<(u64, Histogram<u64>)> {
    let mut latency = histogram::nanoseconds();
    let mut payload = [0; record::BYTES];
    let mut sequence = 0;
    let mut due = Instant::now();
    let (gap, stride) = (shared.pace.gap(), shared.pace.durable_stride());
    let mut append = || -> Done<()> {
        while !shared.done() {
            if let Some(gap) = gap {
                // By the schedule: a sleep that was too long is made up for.
                due += gap;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            if shared.lag() > LAG_RECORDS_MAX {
                std::thread::yield_now();
                continue;
            }
            let sent_ns = shared.now_ns();
            Record {
                run: shared.run,
                producer,
                sequence,
                sent_ns,
            }
            .write(&mut payload);
            let begin = Instant::now();
            let ticket = log.append(&payload)?;
            latency.saturating_record(begin.elapsed().as_nanos() as u64);
            if sequence.is_multiple_of(stride) {
                let durable = Arc::clone(&shared.durable);
                ticket.on_done(move |result| {
                    if result.is_ok() {
                        let took = begin.elapsed().as_nanos() as u64;
                        durable
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .saturating_record(took);
                    }
                });
            }
            sequence += 1;
            shared.appended.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let appended = append();
    if appended.is_err() {
        shared.failed.store(true, Ordering::Relaxed);
    }
    appended.map(|()| (sequence, latency))
}

fn consume(shared: &Shared, index: usize, mut reader: Reader) -> Done<Histogram<u64>> {
    let mut latency = histogram::nanoseconds();
    let mut order = Order::new(shared.run, PRODUCERS);
    let mut take = |order: &mut Order, record: &ringbolt::Record<'_>| -> Done<()> {
        let sent_ns = order.take(record.payload(), record.position())?.sent_ns;
        latency.saturating_record(shared.now_ns().saturating_sub(sent_ns));
        shared.received[index].store(order.records(), Ordering::Relaxed);
        Ok(())
    };
    let mut receive = || -> Done<()> {
        while !shared.failed.load(Ordering::Relaxed) {
            // Woken by the next record; the deadline is for noticing that none will come.
            let deadline = Instant::now() + IDLE;
            let batch = match reader.next_batch_deadline(BATCH_RECORDS, BATCH_BYTES, deadline) {
                Ok(batch) => batch,
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    if order.records() >= shared.total.load(Ordering::Acquire) {
                        break;
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for record in &batch {
                take(&mut order, &record)?;
            }
        }
        Ok(())
    };
    let received = receive();
    if received.is_err() {
        shared.failed.store(true, Ordering::Relaxed);
    }
    received.map(|()| latency)
}
