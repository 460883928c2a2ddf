//! `ringbolt bench store`: many streams in one log, beside the bare log and the raw disk, in the same run.

mod beside;
mod cold;
mod log;
pub(crate) mod memory;
mod moving;
pub(crate) mod open;
mod streams;
mod tail;

use std::path::Path;
use std::time::Duration;

use ringbolt::store::{Batch, Store, StoreOptions, Stream, StreamOptions};
use ringbolt::{Engine, LogOptions};

use crate::bench::Settings;
use crate::bench::append::{Produced, pipelined};
use crate::bench::context::Bench;
use crate::bench::read::Chance;
use crate::bench::report::Measure;
use crate::outcome::Done;

/// Changes in a batch, where many are made.
const BATCH: usize = 1000;

/// Measure the store: many streams beside one and beside the bare log, reading, opening, memory.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreBench {
    /// Only these measurements.
    #[arg(long, value_enum, value_name = "NAME", value_delimiter = ',')]
    only: Vec<Name>,
    #[command(flatten)]
    settings: Settings,
}

/// The measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Durable appends a second over 1, 100 and 10,000 streams.
    Streams,
    /// Appends to a stream beside those to the bare log, pipelined and waited for.
    Log,
    /// Reading a stream while it is written.
    Tail,
    /// Cold reading of one stream among a thousand.
    Cold,
    /// A synchronous append beside a bulk writer.
    Beside,
    /// Opening a large store, clean and killed.
    Open,
    /// Memory for each stream and each cursor.
    Memory,
    /// Synchronous appends while old records are moved forward.
    Moving,
}

impl Name {
    const ALL: [Self; 8] = [
        Self::Streams,
        Self::Log,
        Self::Tail,
        Self::Cold,
        Self::Beside,
        Self::Open,
        Self::Memory,
        Self::Moving,
    ];

    fn run(self, bench: &mut Bench) -> Done<Vec<Measure>> {
        match self {
            Self::Streams => streams::run(bench),
            Self::Log => log::run(bench),
            Self::Tail => tail::run(bench),
            Self::Cold => cold::run(bench),
            Self::Beside => beside::run(bench),
            Self::Open => open::run(bench),
            Self::Memory => memory::run(bench),
            Self::Moving => moving::run(bench),
        }
    }
}

pub(crate) fn run(args: &StoreBench) -> Done {
    let chosen = |name: Name| args.only.is_empty() || args.only.contains(&name);
    crate::bench::measure("store", &args.settings, |bench| {
        let mut measures = Vec::new();
        for name in Name::ALL.into_iter().filter(|&name| chosen(name)) {
            measures.append(&mut name.run(bench)?);
        }
        Ok((None, measures))
    })
}

/// Opens the store in this folder of the bench.
fn open(bench: &Bench, engine: &Engine, folder: &str) -> Done<Store> {
    open_on(engine, &bench.path(folder), bench.options())
}

pub(crate) fn open_on(engine: &Engine, dir: &Path, log: LogOptions) -> Done<Store> {
    Ok(StoreOptions::new().log(log).open_on(engine, dir)?)
}

/// Makes so many streams, durably.
fn make_streams(store: &Store, count: usize) -> Done<Vec<Stream>> {
    create_streams(store, 0..count)?;
    (0..count)
        .map(|number| Ok(store.stream(&name(number))?))
        .collect()
}

fn create_streams(store: &Store, numbers: std::ops::Range<usize>) -> Done<()> {
    let options = StreamOptions::new();
    in_batches(store, numbers, |batch, number| {
        batch.create(&name(number), &options)?;
        Ok(())
    })
}

fn name(number: usize) -> String {
    format!("stream-{number:06}")
}

/// Makes a change for each of these numbers, durably.
fn in_batches(
    store: &Store,
    numbers: std::ops::Range<usize>,
    mut add: impl FnMut(&mut Batch, usize) -> Done<()>,
) -> Done<()> {
    let mut batch = Batch::new();
    let end = numbers.end;
    for number in numbers {
        add(&mut batch, number)?;
        if batch.len() == BATCH || number + 1 == end {
            store.commit(&batch)?.wait()?;
            batch.clear();
        }
    }
    Ok(())
}

/// Appends to any of the streams for `time`, never waiting for a ticket but the last.
fn produce(streams: &[Stream], payload: &[u8], time: Duration) -> Done<Produced> {
    let mut chance = Chance::new();
    let append = || streams[chance.below(streams.len())].append(payload);
    pipelined(time, append, |last| last.wait().map(drop))
}
