//! Reading a stream at its tail while it is written as fast as can be, by one and by four readers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringbolt::store::{ReadFrom, Stream};
use ringbolt::{Engine, ErrorKind};

use crate::bench::context::Bench;
use crate::bench::report::{Measure, Target, Unit, median};
use crate::bench::store::{make_streams, open, produce};
use crate::outcome::{Done, Failure};
use crate::units;

/// How many read; the rates of appending are held against the first.
const READERS: [usize; 3] = [0, 1, 4];
const BATCH_RECORDS: usize = 1024;
const BATCH_BYTES: usize = 1 << 20;
/// How often a reader that has nothing to read looks whether it is over.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let engine = bench.engine()?;
    let mut measures = Vec::new();
    for payload_bytes in [1024, 128] {
        measures.extend(run_payload(bench, &engine, payload_bytes)?);
    }
    Ok(measures)
}

fn run_payload(bench: &Bench, engine: &Engine, payload_bytes: usize) -> Done<Vec<Measure>> {
    let payload = vec![0x5a; payload_bytes];
    let mut appends = READERS.map(|_| Vec::new());
    let mut reads = READERS.map(|_| Vec::new());
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "reading {payload_bytes} B at the tail, round {round} of {}",
            bench.scale.rounds
        ));
        for turn in 0..READERS.len() {
            let which = (round + turn) % READERS.len();
            let (append, read) = rates(bench, engine, READERS[which], &payload)?;
            appends[which].push(append);
            reads[which].push(read);
        }
    }
    let quotients = |of: &[f64], by: &[f64]| of.iter().zip(by).map(|(of, by)| of / by).collect();
    let rate = |rates: &[f64]| units::count(median(&mut rates.to_vec()));
    let mut measures = Vec::new();
    for which in 1..READERS.len() {
        let (who, beside) = match READERS[which] {
            1 => ("a reader".to_owned(), "a reader".to_owned()),
            readers => (
                format!("the slowest of {readers} readers"),
                format!("{readers} readers"),
            ),
        };
        measures.push(Measure {
            name: "tail",
            what: format!("{payload_bytes} B: read by {who} / appended meanwhile"),
            target: (READERS[which] == 1).then_some(Target::AtLeast(0.7)),
            unit: Unit::Ratio,
            samples: quotients(&reads[which], &appends[which]),
            detail: format!("{} records/s", rate(&reads[which])),
        });
        measures.push(Measure {
            name: "tail",
            what: format!("{payload_bytes} B: appended beside {beside} / without"),
            target: Some(Target::AtLeast(0.8)),
            unit: Unit::Ratio,
            samples: quotients(&appends[which], &appends[0]),
            detail: format!(
                "{} against {} records/s",
                rate(&appends[which]),
                rate(&appends[0])
            ),
        });
    }
    Ok(measures)
}

/// Records a second: appended, and read by the slowest reader.
fn rates(bench: &Bench, engine: &Engine, readers: usize, payload: &[u8]) -> Done<(f64, f64)> {
    let store = open(bench, engine, "tail")?;
    let streams = make_streams(&store, 1)?;
    let ended = AtomicBool::new(false);
    let rates = std::thread::scope(|scope| -> Done<(f64, f64)> {
        let reader = || read(&streams[0], payload.len(), &ended);
        let threads = (0..readers)
            .map(|_| {
                let named = std::thread::Builder::new().name("reader".into());
                named.spawn_scoped(scope, reader)
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(Failure::io("starting a reader"))?;
        let produced = produce(&streams, payload, bench.scale.pass);
        ended.store(true, Ordering::Relaxed);
        let mut slowest = f64::INFINITY;
        for thread in threads {
            let read = thread.join().expect("a reader does not panic")?;
            slowest = slowest.min(read as f64);
        }
        let produced = produced?;
        let seconds = produced.elapsed.as_secs_f64();
        Ok((produced.per_second(), slowest / seconds))
    })?;
    store.close()?;
    bench.remove("tail");
    Ok(rates)
}

/// Reads until it is over; says how many records.
fn read(stream: &Stream, payload_bytes: usize, ended: &AtomicBool) -> Done<u64> {
    let mut reader = stream.reader(ReadFrom::Earliest)?;
    let mut read = 0;
    while !ended.load(Ordering::Relaxed) {
        let batch = reader.try_next_batch(BATCH_RECORDS, BATCH_BYTES)?;
        if !batch.is_empty() {
            read += batch
                .iter()
                .filter(|record| record.payload().len() == payload_bytes)
                .count() as u64;
            continue;
        }
        match reader.next_timeout(LOOK) {
            Ok(_) => read += 1,
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(read)
}
