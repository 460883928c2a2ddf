//! Resident memory for each stream and each cursor, in a process of its own.
//!
//! What is resident, and not what was asked of the allocator: so its overhead, and what tables have
//! in reserve, count.

use std::time::Duration;

use ringbolt::store::Store;
use serde::{Deserialize, Serialize};

use crate::bench::context::Bench;
use crate::bench::probe::{Args, Kind, resident};
use crate::bench::report::{Measure, Target, Unit};
use crate::bench::store::{create_streams, in_batches, name};
use crate::outcome::Done;

/// Of each.
const COUNT: usize = 100_000;
const STREAM_BYTES_MAX: f64 = 300.0;
const CURSOR_BYTES_MAX: f64 = 200.0;

/// Bytes that were resident for one of many.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// A stream without records.
    stream: f64,
    /// The only cursor of a stream.
    only_cursor: f64,
    /// A cursor of a stream that has as many.
    cursor: f64,
}

pub(super) fn run(bench: &mut Bench) -> Done<Vec<Measure>> {
    let [mut streams, mut only_cursors, mut cursors] = [(); 3].map(|()| Vec::new());
    let rounds = bench.scale.rounds.min(3);
    for round in 1..=rounds {
        bench.say(format!("memory of streams, round {round} of {rounds}"));
        let args = Args::new(Kind::StoreMemory, bench, "memory", Duration::ZERO);
        let figures: Figures = args.figures()?;
        bench.remove("memory");
        streams.push(figures.stream);
        only_cursors.push(figures.only_cursor);
        cursors.push(figures.cursor);
    }
    let measure = |what: &str, bytes_max, samples| Measure {
        name: "memory",
        what: what.into(),
        target: Some(Target::AtMost(bytes_max)),
        unit: Unit::Bytes,
        samples,
        detail: format!("resident, of {COUNT}"),
    };
    Ok(vec![
        measure("memory of an idle stream", STREAM_BYTES_MAX, streams),
        measure(
            "memory of a cursor, one of many in a stream",
            CURSOR_BYTES_MAX,
            cursors,
        ),
        measure(
            "memory of a cursor, the only one of its stream",
            CURSOR_BYTES_MAX,
            only_cursors,
        ),
    ])
}

/// Runs in a process of its own.
pub(crate) fn measure(store: &Store, segment_bytes: u64) -> Done<Figures> {
    warm_up(store, segment_bytes)?;
    create_streams(store, 0..WARM)?;
    let all = WARM..WARM + COUNT;
    let stream = each(|| create_streams(store, all.clone()))?;
    let only_cursor = each(|| {
        in_batches(store, all.clone(), |batch, number| {
            batch.seek(&store.stream(&name(number))?, "billing", 0, b"")?;
            Ok(())
        })
    })?;
    let shared = store.stream(&name(0))?;
    let cursor = each(|| {
        in_batches(store, all.clone(), |batch, number| {
            batch.seek(&shared, &format!("group-{number:06}"), 0, b"")?;
            Ok(())
        })
    })?;
    store.close()?;
    Ok(Figures {
        stream,
        only_cursor,
        cursor,
    })
}

/// Streams that are made before anything is measured.
const WARM: usize = 1000;

/// Writes until all memory of the log itself is resident.
fn warm_up(store: &Store, segment_bytes: u64) -> Done<()> {
    const IMAGES: u64 = 4;
    let filler = store.create("filler", &Default::default())?;
    let payload = vec![0x5a; 64 << 10];
    for _ in 0..(IMAGES + 1) * segment_bytes / payload.len() as u64 {
        let _ = filler.append(&payload[..])?;
    }
    store.flush()?;
    Ok(())
}

fn each(make: impl FnOnce() -> Done<()>) -> Done<f64> {
    let before = resident()?;
    make()?;
    Ok((resident()? as f64 - before as f64) / COUNT as f64)
}
