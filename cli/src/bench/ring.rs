//! `ringbolt bench ring`: the rings beside the standard library's channel, in the same run.
//!
//! Each round runs every case once, so that a machine that drifts does so for all; the ratio is to
//! `std::sync::mpsc::sync_channel`, one sender and one receiver, in the same round. Other peers
//! are measured by a crate of their own, in `perf/peers`.

use std::io::{self, Write};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringbolt::ring::{RingOptions, WaitStrategy, bytes};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::bench::context::{Machine, Pinned, cpus};
use crate::bench::hiccup::HiccupMeter;
use crate::bench::report::{self, Measure, MeasureJson, PercentilesJson, Unit};
use crate::histogram;
use crate::outcome::{Done, Failure, Outcome, print_json};
use crate::units;

/// Items that each ring holds, and bytes that each ring of bytes holds.
const CAPACITY: usize = 1 << 16;
const CAPACITY_BYTES: usize = 1 << 20;
/// Items of a batch.
const BATCH: usize = 256;

/// Measure the rings: throughput by shape and payload, latency, what waiting costs.
#[derive(Debug, clap::Args)]
pub(crate) struct RingBench {
    /// Rounds of each measurement.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// A smoke run, whose figures mean little.
    #[arg(long)]
    quick: bool,
    /// Only these measurements.
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Name>,
    /// Print everything as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Items a second, by shape and payload.
    Throughput,
    /// From sending to having received, at set rates.
    Latency,
    /// The processor time of a receiver that waits for nothing.
    Idle,
}

pub(crate) fn run(args: &RingBench) -> Done {
    let rounds = args
        .rounds
        .unwrap_or(if args.quick { 1 } else { 15 })
        .max(1);
    let items = if args.quick { 20_000 } else { 1_000_000 };
    let chosen = |name: Name| args.only.is_empty() || args.only.contains(&name);
    let meter = HiccupMeter::start().map_err(Failure::io("starting the hiccup meter"))?;
    let mut measures = Vec::new();
    let mut distributions = Vec::new();
    if chosen(Name::Throughput) {
        measures.extend(throughput(rounds, items));
    }
    if chosen(Name::Latency) {
        let time = Duration::from_millis(if args.quick { 20 } else { 2000 });
        distributions.extend(latencies(time));
    }
    if chosen(Name::Idle) {
        measures.push(idle(rounds));
    }
    distributions.push(("hiccup meter".to_owned(), meter.stop()));
    let machine = Machine::describe(std::path::Path::new("."));
    if args.json {
        print_json(&ReportJson {
            machine: &machine,
            measures: measures.iter().map(Measure::json).collect(),
            latencies: distributions
                .iter()
                .map(|(name, histogram)| (name.as_str(), PercentilesJson::of(histogram)))
                .collect(),
        })?;
    } else {
        print(&machine, &measures, &distributions).map_err(Failure::stdout)?;
    }
    Ok(Outcome::Good)
}

#[derive(Serialize)]
struct ReportJson<'a> {
    machine: &'a Machine,
    measures: Vec<MeasureJson<'a>>,
    latencies: std::collections::BTreeMap<&'a str, PercentilesJson>,
}

fn print(
    machine: &Machine,
    measures: &[Measure],
    distributions: &[(String, Histogram<u64>)],
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{machine}\n")?;
    if !measures.is_empty() {
        writeln!(out, "{}\n", report::table(measures))?;
    }
    let rows = distributions
        .iter()
        .map(|(name, histogram)| (name.as_str(), histogram));
    writeln!(out, "{}", report::percentiles(rows))
}

type Task = Box<dyn FnOnce() + Send>;

/// A shape: makes the tasks that move so many items.
struct Case {
    what: String,
    make: Box<dyn Fn(u64) -> Vec<Task>>,
}

fn case(what: impl Into<String>, make: impl Fn(u64) -> Vec<Task> + 'static) -> Case {
    Case {
        what: what.into(),
        make: Box::new(make),
    }
}

/// Runs tasks side by side, each on a processor of its own if there are enough; items a second.
fn rate(case: &Case, items: u64) -> f64 {
    let tasks = (case.make)(items);
    let pin = tasks.len() <= cpus().len();
    let begin = Instant::now();
    let threads: Vec<_> = tasks
        .into_iter()
        .enumerate()
        .map(|(n, task)| {
            thread::spawn(move || {
                let _pinned = pin.then(|| Pinned::to(n));
                task();
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a case does not panic");
    }
    items as f64 / begin.elapsed().as_secs_f64()
}

fn throughput(rounds: usize, items: u64) -> Vec<Measure> {
    let base = case("std", |items| {
        let (sender, receiver) = sync_channel::<u64>(CAPACITY);
        let send = move || (0..items).for_each(|n| sender.send(n).expect("open"));
        let receive = move || assert_eq!(receiver.iter().count() as u64, items);
        vec![Box::new(send), Box::new(receive)]
    });
    let mut cases = queues::<1>();
    cases.extend(queues::<8>());
    cases.extend(queues::<128>());
    cases.extend([8, 64, 256, 1024].into_iter().flat_map(byte_rings));
    let mut ratios = vec![Vec::new(); cases.len()];
    let mut rates = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        let base = rate(&base, items);
        for (n, case) in cases.iter().enumerate() {
            let rate = rate(case, items);
            ratios[n].push(rate / base);
            rates[n].push(rate);
        }
    }
    cases
        .into_iter()
        .zip(ratios)
        .zip(rates)
        .map(|((case, samples), mut rates)| Measure {
            name: "throughput",
            what: case.what,
            target: None,
            unit: Unit::Ratio,
            samples,
            detail: format!("{} items/s", units::count(report::median(&mut rates))),
        })
        .collect()
}

/// The rings whose items go to one receiver, with items of `WORDS` eight bytes.
fn queues<const WORDS: usize>() -> Vec<Case> {
    type Item<const WORDS: usize> = [u64; WORDS];
    let size = units::size((WORDS * 8) as f64);
    let item = |n: u64| [n; WORDS];
    let mut cases = vec![
        case(format!("spsc, {size}"), move |items| {
            let ring = RingOptions::new(CAPACITY).spsc::<Item<WORDS>>();
            let (mut sender, mut receiver) = ring.expect("memory");
            let send = move || (0..items).for_each(|n| sender.send(item(n)).expect("open"));
            let receive = move || assert_eq!(receiver.iter().count() as u64, items);
            vec![Box::new(send), Box::new(receive)]
        }),
        case(format!("spsc, {size}, batches"), move |items| {
            let ring = RingOptions::new(CAPACITY).spsc::<Item<WORDS>>();
            let (mut sender, mut receiver) = ring.expect("memory");
            let send = move || {
                let mut next = 0;
                while next < items {
                    let count = BATCH.min((items - next) as usize);
                    let mut claim = sender.claim(count).expect("open");
                    claim.fill((next..items).map(item));
                    claim.commit();
                    next += count as u64;
                }
            };
            let receive = move || {
                let mut count = 0;
                while let Ok(drain) = receiver.drain(BATCH) {
                    count += drain.count() as u64;
                }
                assert_eq!(count, items);
            };
            vec![Box::new(send), Box::new(receive)]
        }),
    ];
    for senders in [1, 2] {
        let what = format!("mpsc {senders} to 1, {size}");
        cases.push(case(what, move |items| {
            let ring = RingOptions::new(CAPACITY).mpsc::<Item<WORDS>>();
            let (sender, mut receiver) = ring.expect("memory");
            let mut tasks: Vec<Task> = (0..senders)
                .map(|_| {
                    let sender = sender.clone();
                    let each = items / senders;
                    let send = move || (0..each).for_each(|n| sender.send(item(n)).expect("open"));
                    Box::new(send) as Task
                })
                .collect();
            tasks.push(Box::new(move || {
                assert_eq!(receiver.iter().count() as u64, items / senders * senders);
            }));
            tasks
        }));
    }
    for (senders, receivers) in [(1, 1), (1, 2), (2, 2), (4, 4)] {
        let what = format!("mpmc {senders} to {receivers}, {size}");
        cases.push(case(what, move |items| {
            let ring = RingOptions::new(CAPACITY).mpmc::<Item<WORDS>>();
            let (sender, receiver) = ring.expect("memory");
            let sending = (0..senders).map(|_| {
                let sender = sender.clone();
                let each = items / senders;
                let send = move || (0..each).for_each(|n| sender.send(item(n)).expect("open"));
                Box::new(send) as Task
            });
            let receiving = (0..receivers).map(|_| {
                let receiver = receiver.clone();
                Box::new(move || receiver.iter().for_each(drop)) as Task
            });
            sending.chain(receiving).collect()
        }));
    }
    cases
}

/// The rings of bytes, with records of so many.
fn byte_rings(payload_bytes: usize) -> Vec<Case> {
    let size = units::size(payload_bytes as f64);
    let spsc = case(format!("bytes, {size}"), move |items| {
        let (mut sender, mut receiver) = bytes::spsc::ring(CAPACITY_BYTES).expect("memory");
        let payload = vec![0x5a; payload_bytes];
        let send = move || (0..items).for_each(|_| sender.send(&payload).expect("open"));
        let receive = move || {
            let mut count = 0;
            while receiver.recv().is_ok() {
                count += 1;
            }
            assert_eq!(count, items);
        };
        vec![Box::new(send), Box::new(receive)]
    });
    let mpsc = case(format!("bytes 2 to 1, {size}"), move |items| {
        let (sender, mut receiver) = bytes::mpsc::ring(CAPACITY_BYTES).expect("memory");
        let mut tasks: Vec<Task> = (0..2)
            .map(|_| {
                let sender = sender.clone();
                let payload = vec![0x5a; payload_bytes];
                let send =
                    move || (0..items / 2).for_each(|_| sender.send(&payload).expect("open"));
                Box::new(send) as Task
            })
            .collect();
        tasks.push(Box::new(move || while receiver.recv().is_ok() {}));
        tasks
    });
    vec![spsc, mpsc]
}

/// One way through an `spsc` ring, at set rates, from the moment when an item was due.
fn latencies(time: Duration) -> Vec<(String, Histogram<u64>)> {
    let strategies = [
        ("spinning", WaitStrategy::Spin),
        ("sleeping", WaitStrategy::SpinPark),
    ];
    let rates: [u32; 3] = [1_000, 10_000, 100_000];
    let cases = strategies
        .into_iter()
        .flat_map(|strategy| rates.map(|rate| (strategy, rate)));
    cases
        .map(|((name, strategy), rate)| {
            let what = format!("spsc at {}/s, {name}", units::count(f64::from(rate)));
            (what, latency(strategy, rate, time))
        })
        .collect()
}

fn latency(strategy: WaitStrategy, rate: u32, time: Duration) -> Histogram<u64> {
    let ring = RingOptions::new(CAPACITY).wait(strategy).spsc::<Instant>();
    let (mut sender, mut receiver) = ring.expect("memory");
    let period = Duration::from_secs(1) / rate;
    let receiving = thread::spawn(move || {
        let _pinned = Pinned::to(1);
        let mut taken = histogram::nanoseconds();
        for due in receiver.iter() {
            taken.saturating_record(due.elapsed().as_nanos() as u64);
        }
        taken
    });
    let sending = thread::spawn(move || {
        let _pinned = Pinned::to(0);
        let begin = Instant::now();
        let mut due = begin;
        while due < begin + time {
            while Instant::now() < due {
                std::hint::spin_loop();
            }
            sender.send(due).expect("open");
            due += period;
        }
    });
    sending.join().expect("it does not panic");
    receiving.join().expect("it does not panic")
}

/// The processor time of a receiver that waits for nothing, a second.
fn idle(rounds: usize) -> Measure {
    const QUIET: Duration = Duration::from_millis(200);
    let samples = (0..rounds).map(|_| {
        let ring = RingOptions::new(CAPACITY).mpsc::<()>();
        let (sender, mut receiver) = ring.expect("memory");
        let receiving = thread::spawn(move || {
            let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime));
            let before = now().unwrap_or_default();
            assert!(receiver.recv().is_err());
            now().unwrap_or_default().saturating_sub(before)
        });
        thread::sleep(QUIET);
        drop(sender);
        let spent = receiving.join().expect("it does not panic");
        spent.as_nanos() as f64 / QUIET.as_secs_f64()
    });
    Measure {
        name: "idle",
        what: "processor time of a receiver that waits, a second".into(),
        target: None,
        unit: Unit::Nanoseconds,
        samples: samples.collect(),
        detail: String::new(),
    }
}
