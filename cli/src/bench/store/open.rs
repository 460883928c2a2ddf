//! Opening a large store with many streams, after a clean close and after a `kill -9`.

use std::io::{self, Write};
use std::time::Instant;

use ringbolt::store::Store;

use crate::bench::context::Bench;
use crate::bench::open::{append_and_kill, read_raw};
use crate::bench::probe::Kind;
use crate::bench::read::{Chance, files, forget, segment_files};
use crate::bench::report::{Measure, Target, Unit, median};
use crate::bench::store::{make_streams, open};
use crate::outcome::{Done, Failure};
use crate::units;

const STREAMS: usize = 10_000;
const PAYLOAD: [u8; 1024] = [0x5a; 1024];
/// In nanoseconds.
const OPENING_NS_MAX: f64 = 500e6;

pub(super) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let size = units::size(bench.scale.open_bytes as f64);
    bench.say(format!("writing a store of {size} to open"));
    let (engine, dir) = (bench.engine()?, bench.path("open"));
    let store = open(bench, &engine, "open")?;
    let streams = make_streams(&store, STREAMS)?;
    let mut chance = Chance::new();
    for _ in 0..bench.scale.open_bytes.div_ceil(PAYLOAD.len() as u64) {
        let _ = streams[chance.below(STREAMS)].append(&PAYLOAD)?;
    }
    store.close()?;

    let [mut took, mut raws] = [(); 2].map(|()| [Vec::new(), Vec::new()]);
    for round in 1..=bench.scale.rounds {
        bench.say(format!(
            "opening {size}, round {round} of {}",
            bench.scale.rounds
        ));
        for kill in [false, true] {
            if kill {
                append_and_kill(bench, Kind::StoreWriter, round)?;
            }
            forget(&files(&dir)?)?;
            let raw = read_raw(&segment_files(&dir)?)?;
            forget(&files(&dir)?)?;
            let begin = Instant::now();
            let store = open(bench, &engine, "open")?;
            took[usize::from(kill)].push(begin.elapsed().as_nanos() as f64);
            raws[usize::from(kill)].push(raw.as_nanos() as f64);
            store.close()?;
        }
    }
    bench.remove("open");
    let ways = ["a clean close", "a kill"].into_iter().zip(took).zip(raws);
    Ok(ways
        .map(|((way, samples), mut raw)| Measure {
            name: "open",
            what: format!("opening {STREAMS} streams, {size}, after {way}"),
            target: Some(Target::AtMost(OPENING_NS_MAX)),
            unit: Unit::Nanoseconds,
            samples,
            detail: format!(
                "its log's footers and open segments, raw: {}",
                units::nanos(median(&mut raw))
            ),
        })
        .collect())
}

/// Appends to all streams until it is killed; prints a line for every MiB or two that is durable.
pub(crate) fn write_for_ever(store: &Store) -> Done {
    let names = store.streams("", None, usize::MAX);
    let streams: Vec<_> = names
        .iter()
        .map(|info| store.stream(&info.name))
        .collect::<Result<_, _>>()?;
    let mut chance = Chance::new();
    let mut out = io::stdout().lock();
    loop {
        let mut append = || streams[chance.below(streams.len())].append(&PAYLOAD);
        for _ in 1..1024 {
            let _ = append()?;
        }
        // Waiting for one of two keeps writes in flight when the kill comes.
        let ticket = append()?;
        for _ in 0..1024 {
            let _ = append()?;
        }
        ticket.wait()?;
        writeln!(out, "{}", ticket.position()).map_err(Failure::stdout)?;
        out.flush().map_err(Failure::stdout)?;
    }
}
